# SPDX-License-Identifier: GPL-2.0-only
#
# The cost of the patches, from rows of scripts/costs:
#	KERNEL HOST SET PATH BOOT MINIMUM MEDIAN ROUNDS
# or - and a REASON instead of the last three. Given are limit, in percent, and tsv for rows
# separated by tabs: kernel, host, the unpatched set, path, unpatched, patched,
# difference, percent, spread.
#
# Nothing is said of a difference between boots where there was one ("one").
# Of several boots, the fewest instructions count. A path that costs more than the limit, and
# more than the boots differ by, is marked, and the exit status is 1; so it is if a path has no
# number on one of the sets.

BEGIN {
	FS = OFS = "\t"
	SUBSEP = "|"
	if (!tsv)
		row("kernel", "host", "path", "unpatched", "patched", "diff", "%", "boots")
}

function row(kernel, host, path, before, after, diff, percent, spread, mark)
{
	printf "%-16s %-6s %-26s %10s %10s %6s %7s  %-6s%s\n",
		kernel, host, path, before, after, diff, percent, spread, mark
}

{
	at = $1 SUBSEP $2
	where = $3 == "patched" ? "patched" : "before"
	if (where == "before")
		against[at] = $3
	if ($6 == "-")
		next
	if (!((at, $4) in seen)) {
		seen[at, $4]
		paths[++nr] = $4
		place[nr] = at
	}
	key = at SUBSEP $4 SUBSEP where
	counted[key]++
	if (!(key in least) || $6 + 0 < least[key])
		least[key] = $6 + 0
	if (!(key in most) || $6 + 0 > most[key])
		most[key] = $6 + 0
}

END {
	for (i = 1; i <= nr; i++) {
		split(place[i], part, "|")
		before = place[i] SUBSEP paths[i] SUBSEP "before"
		after = place[i] SUBSEP paths[i] SUBSEP "patched"
		if (!(before in least) || !(after in least)) {
			print part[1] ", " part[2] ": " paths[i] " was not counted on both sets" >"/dev/stderr"
			code = 1
			continue
		}
		diff = least[after] - least[before]
		percent = 100 * diff / least[before]
		spread = most[before] - least[before]
		if (most[after] - least[after] > spread)
			spread = most[after] - least[after]
		boots = spread ? "~" spread : "same"
		if (counted[before] < 2 || counted[after] < 2)
			boots = "one"
		if (tsv) {
			print part[1], part[2], against[place[i]], paths[i], least[before], least[after],
				sprintf("%+d", diff), sprintf("%+.3f", percent), boots == "one" ? "one boot" : spread
			continue
		}
		more = percent > limit && diff > spread
		row(part[1], part[2], paths[i], least[before], least[after], sprintf("%+d", diff),
			sprintf("%+.3f", percent), boots, more ? "  MORE" : "")
		if (more)
			code = 1
	}
	exit code
}
