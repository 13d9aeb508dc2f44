# SPDX-License-Identifier: GPL-2.0-only
#
# The cost of the patches, from rows of scripts/costs:
#	KERNEL HOST SET PATH BOOT MINIMUM MEDIAN ROUNDS
# or - and a REASON instead of the last three. The caller sets limit, in percent, and tsv for rows
# separated by tabs: kernel, host, the unpatched set, path, unpatched, patched, difference,
# percent, the difference of the sets that were loaded second, and the difference between hosts
# with the same order, or - if no order was repeated.
#
# In boots with an odd number patched modules are loaded second, in the others first. A host that
# has had another set loaded has another memory layout, so the first sets of two boots are
# compared, and the second ones. A path whose cost exceeds the limit in both comparisons is marked,
# and the exit status is 1; it is also 1 if a path has no number on one of the sets.

BEGIN {
	FS = OFS = "\t"
	SUBSEP = "|"
	if (!tsv)
		row("kernel", "host", "path", "unpatched", "patched", "diff", "%", "second", "again")
}

function row(kernel, host, path, before, after, diff, percent, second, again, mark)
{
	printf "%-16s %-6s %-26s %10s %10s %6s %7s %7s  %-6s%s\n",
		kernel, host, path, before, after, diff, percent, second, again, mark
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
	order = (where == "patched") == ($5 % 2 == 0) ? "first" : "second"
	key = at SUBSEP $4 SUBSEP where SUBSEP order
	counted[key]++
	if (!(key in least) || $6 + 0 < least[key])
		least[key] = $6 + 0
	if (!(key in most) || $6 + 0 > most[key])
		most[key] = $6 + 0
}

# Compare the sets that were loaded first, or second, and the boots of the same order.
function compare(path, order,	before, after)
{
	before = path SUBSEP "before" SUBSEP order
	after = path SUBSEP "patched" SUBSEP order
	if (!(before in least) || !(after in least))
		return 0
	unpatched[order] = least[before]
	patched[order] = least[after]
	if (counted[before] > 1 && counted[after] > 1) {
		again += 0
		if (most[before] - least[before] > again)
			again = most[before] - least[before]
		if (most[after] - least[after] > again)
			again = most[after] - least[after]
	}
	return 1
}

END {
	for (i = 1; i <= nr; i++) {
		split(place[i], part, "|")
		again = ""
		if (!compare(place[i] SUBSEP paths[i], "first") || !compare(place[i] SUBSEP paths[i], "second")) {
			print part[1] ", " part[2] ": " paths[i] " was not counted on both sets" >"/dev/stderr"
			code = 1
			continue
		}
		diff = patched["first"] - unpatched["first"]
		second = patched["second"] - unpatched["second"]
		percent = 100 * diff / unpatched["first"]
		if (tsv) {
			print part[1], part[2], against[place[i]], paths[i], unpatched["first"], patched["first"],
				sprintf("%+d", diff), sprintf("%+.3f", percent), sprintf("%+d", second),
				again == "" ? "-" : again
			continue
		}
		more = percent > limit && 100 * second / unpatched["second"] > limit
		row(part[1], part[2], paths[i], unpatched["first"], patched["first"], sprintf("%+d", diff),
			sprintf("%+.3f", percent), sprintf("%+d", second),
			again == "" ? "-" : again ? "~" again : "same", more ? "  MORE" : "")
		if (more)
			code = 1
	}
	exit code
}
