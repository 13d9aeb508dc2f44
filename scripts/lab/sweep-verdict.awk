# SPDX-License-Identifier: GPL-2.0-only
#
# Judge all rows of a sweep (scripts/lab/sweep): those of unfixed modules, then those of fixed ones,
# a file for each operation that was held. -v pair=1: two operations that the user named, without a
# known race.
#
# usage: awk -F '\t' [-v pair=1] -f sweep-verdict.awk set=unfixed ROWS... set=fixed ROWS...
#
# Prints the unexpected results. Exit status: 0 points show on the unfixed modules (with pair=1,
# none does), and the fixed ones were swept to the end and show nothing; 1 this is not so; 3 there
# is no verdict, as the fixed ones were not swept to the end.

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
# The verdict of the program itself, which also covers two holds and pages that are still
# referenced.
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
