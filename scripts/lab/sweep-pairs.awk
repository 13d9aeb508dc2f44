# SPDX-License-Identifier: GPL-2.0-only
#
# Make a row of the table of pairs, from the rows of one sweep (scripts/lab/sweeps.sh).
#
# usage: awk -F '\t' -v kernel=K -v host=H -v modules=M -v way=A+B-first|second -f sweep-pairs.awk ROWS
#
# Prints, separated by tabs: kernel, host, modules, pair, the operation that was held, points, and
# how many of these show, ran through, waited, were not reached and were not tried; schedules,
# their seconds, how many a second, and a verdict in words. Exit status: 0 nothing shows, or this
# host does not have the operation; 1 something shows, or the sweep did not end.

function why(text) {
	if (!(text in seen)) {
		seen[text]
		reasons = reasons (reasons == "" ? "" : "; ") text
	}
}

$1 != "@sweep@" { next }
$2 == "path" && !placed[$3, $4, $5]++ { points++ }
$2 == "point" {
	count[$7]++
	tried++
	if ($7 == "not tried" || $7 == "dies")
		why($9)
}
$2 == "count" && $3 == "schedules" { schedules += $4 }
$2 == "count" && $3 == "milliseconds" { ms += $4 }
$2 == "count" && $3 ~ /still are referenced/ { leaked += $4 }
$2 == "exit" { ended = 1; status = $3 }

function verdict() {
	if (status == 4)
		return "not here"
	if (!ended)
		return "not swept to the end"
	if (status > 1)
		return "could not be swept (" status ")"
	if (shown)
		return "shows" (reasons == "" ? "" : " (" reasons ")")
	if (leaked)
		return leaked " VMs left references to pages"
	if (count["not tried"])
		return "nothing (" reasons ")"
	return "nothing"
}

END {
	held = way
	sub(/.*-/, "", held)
	pair = substr(way, 1, length(way) - length(held) - 1)
	split(pair, op, "+")
	shown = count["shows"] + count["dies"]
	OFS = "\t"
	print kernel, host, modules, op[1] ", " op[2], op[held == "first" ? 1 : 2], points + 0, shown, \
		count["ran through"] + 0, count["waited"] + 0, count["not reached"] + 0, \
		count["not tried"] + points - tried, schedules + 0, sprintf("%.1f", ms / 1000), \
		sprintf("%.0f", ms ? schedules * 1000 / ms : 0), verdict()
	exit status != 4 && (shown || leaked || !ended || status > 1)
}
