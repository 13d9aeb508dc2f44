# SPDX-License-Identifier: GPL-2.0-only
#
# Is it as it should be? Of all rows of a sweep (scripts/lab/sweep), those of unfixed modules and
# then those of fixed ones, a file for each operation that was held. -v pair=1: two operations that
# somebody named, of which nothing is known.
#
# usage: awk -F '\t' [-v pair=1] -f sweep-verdict.awk set=unfixed ROWS... set=fixed ROWS...
#
# Prints what is not as it should be. Exit status: 0 points show on the unfixed modules (of a pair,
# none does), and the fixed ones were swept to the end and have nothing; 1 it is not so; 3 it
# cannot be told, as the fixed ones were not swept to the end.

# Percent of the points of fixed modules that may be left untried.
BEGIN {
	MAY_BE_UNTRIED = 5
	# A file may be empty.
	for (i = 1; i < ARGC; i++)
		if (ARGV[i] ~ /^set=/)
			which = substr(ARGV[i], 5)
		else
			file[which, ++files[which]] = ARGV[i]
}

$2 == "point" {
	points[set]++
	shown[set] += $7 == "shows" || $7 == "dies"
	untried[set] += $7 == "not tried"
}
# The program's own verdict, of two holds and of pages that are still referred to as well.
$2 == "exit" { ended[FILENAME]; failed[set] += $3 == 1 }

function complain(text, status)
{
	print text
	if (status > code)
		code = status
}

END {
	code = 0
	if (!pair && !shown["unfixed"])
		complain("no point shows on the unfixed modules", 1)
	if (pair && (shown["unfixed"] || failed["unfixed"]))
		complain(shown["unfixed"] + 0 " points show", 1)
	if (shown["fixed"])
		complain(shown["fixed"] " points show on the fixed modules", 1)
	else if (failed["fixed"])
		complain("on the fixed modules two holds show, an order is wrong, or pages are still referred to", 1)
	if (untried["fixed"] * 100 > points["fixed"] * MAY_BE_UNTRIED)
		complain(untried["fixed"] " of " points["fixed"] " points were not tried on the fixed modules", 1)
	for (i = 1; i <= files["fixed"]; i++)
		if (!(file["fixed", i] in ended))
			open = open " " file["fixed", i]
	if (!code && (open != "" || !files["fixed"]))
		complain("the fixed modules were not swept to the end:" open, 3)
	exit code
}
