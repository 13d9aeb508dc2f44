# SPDX-License-Identifier: GPL-2.0-only
#
# Draw the map of a race's window: the path of the operation that is held, from its first point
# down, with the result of holding it there, on unfixed and on fixed modules.
#
# Input: rows of scripts/lab/sweep, of the unfixed modules, then of the fixed ones.
# Variables: race, kernel, host, unfixed (that set's name).

BEGIN {
	mark["ran through"] = "|"; mark["waited"] = "w"; mark["not reached"] = "."
	mark["not tried"] = "?"; mark["shows"] = "S"; mark["dies"] = "X"
}
FNR == 1 { set++ }
$1 != "@sweep@" { next }
$2 == "pair" { held = $4; other = $5 }
# A host that is booted again traces its path again; the first one is the map's. A function that
# is called from another place on the other modules is told apart by its depth.
$2 == "path" && !seen[set, $3, $4, $5]++ {
	path[set, ++nr[set]] = $3 "\t" $4 "\t" $5 "\t" $6
	place[set, path[set, nr[set]]]
}
$2 == "point" {
	key = $3 "\t" $4 "\t" $5
	if ((set, key) in verdict)
		next
	verdict[set, key] = $7
	count[set, $7]++
	points[set]++
	if ($7 == "not tried" || $7 == "dies")
		why[$7 == "dies" ? "dies" : "not tried", set, $9]++
}
$2 == "two" {
	both[set, ++two[set]] = words($3 "\t" $4 "\t" $5) ", B at " words($6 "\t" $7 "\t" $8)
	gsub(/  +/, " ", both[set, two[set]])
}
$2 == "count" && $3 ~ /^two holds: / {
	sub(/^two holds: /, "", $3)
	of_two[set, $3] += $4
	holds_two = 1
}
$2 == "count" && $3 == "schedules" { schedules[set] += $4 }
$2 == "count" && $3 == "milliseconds" { ms[set] += $4 }
$2 == "count" && $3 ~ /^orders/ { orders[set] += $4 }
$2 == "count" && $3 ~ /still are referenced/ { leaked[set] += $4 }

function mark_of(s, key) {
	if (!((s, key) in place))
		return " "
	sub(/\t[0-9]+$/, "", key)
	return (s, key) in verdict ? mark[verdict[s, key]] : " "
}

# "kvm:function" and "_raw_spin_lock<kvm", where, visit, depth: the function's name, as in C
function words(key,  part, name, i, indent) {
	split(key, part, "\t")
	name = part[1]
	sub(/^[a-z_]+:/, "", name)
	sub(/<.*/, "", name)
	for (i = 0; i < part[4]; i++)
		indent = indent "  "
	return indent (part[2] == "entry" ? name "() {" : "} " name) \
		(part[3] > 1 ? "  #" part[3] : "")
}

# The longest path that both have in common, with the points that only one of them has in between.
function merge(  i, j) {
	for (i = nr[1]; i >= 0; i--)
		for (j = nr[2]; j >= 0; j--) {
			if (i == nr[1] || j == nr[2])
				common[i, j] = 0
			else if (path[1, i + 1] == path[2, j + 1])
				common[i, j] = common[i + 1, j + 1] + 1
			else
				common[i, j] = common[i + 1, j] > common[i, j + 1] ? \
					common[i + 1, j] : common[i, j + 1]
		}
	i = j = 0
	while (i < nr[1] || j < nr[2]) {
		rows++
		if (i < nr[1] && j < nr[2] && path[1, i + 1] == path[2, j + 1]) {
			row[rows] = path[1, ++i]
			j++
		} else if (j == nr[2] || (i < nr[1] && common[i + 1, j] >= common[i, j + 1])) {
			row[rows] = path[1, ++i]
		} else {
			row[rows] = path[2, ++j]
		}
	}
}

function summary(s, name,  shown, text) {
	shown = count[s, "shows"] + count[s, "dies"]
	text = sprintf("%-8s %d of %d points show", name ":", shown, nr[s])
	if (count[s, "dies"])
		text = text sprintf(" (the host dies at %d)", count[s, "dies"])
	text = text sprintf("; %d ran through, %d waited, %d not reached, %d not tried",
		count[s, "ran through"], count[s, "waited"], count[s, "not reached"],
		count[s, "not tried"] + nr[s] - points[s])
	if (orders[s])
		text = text "; shows without an overlap, too"
	if (ms[s])
		text = text sprintf("; %d schedules, %.1f/s", schedules[s],
			1000 * schedules[s] / ms[s])
	if (leaked[s])
		text = text sprintf("; %d VMs left references to pages", leaked[s])
	return text
}

# Print the result with B held as well.
function print_two(s, name,  i) {
	if (!holds_two)
		return
	printf "two holds, %s: %d show, %d ran through, %d waited, %d not reached, %d not tried; %d schedules, %.1f/s\n", \
		name, of_two[s, "shows"], of_two[s, "ran through"], of_two[s, "waited"], \
		of_two[s, "not reached"], of_two[s, "not tried"], of_two[s, "schedules"], \
		1000 * of_two[s, "schedules"] / (of_two[s, "milliseconds"] + 1)
	for (i = 1; i <= two[s]; i++)
		print "  A held at " both[s, i]
}

function print_text(  i, w) {
	print title
	print "S shows   X the host dies   | B ran through   w B waited   . not reached   ? not tried"
	print summary(1, "unfixed")
	print summary(2, "fixed")
	for (w in why) {
		split(w, part, SUBSEP)
		printf "%s, %s, %d: %s\n", part[1], part[2] == 1 ? "unfixed" : "fixed", why[w], part[3]
	}
	print_two(1, "unfixed")
	print_two(2, "fixed")
	print "\nunfixed fixed"
	for (i = 1; i <= rows; i++) {
		text = sprintf("   %s      %s   %s", mark_of(1, row[i]), mark_of(2, row[i]),
			words(row[i]))
		sub(/ +$/, "", text)
		print text
	}
}

END {
	merge()
	title = race " on " kernel ", " host ": A " held ", B " other
	if (unfixed != "stock")
		title = title "; unfixed: " unfixed
	print_text()
}
