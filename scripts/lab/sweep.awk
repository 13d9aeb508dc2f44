# SPDX-License-Identifier: GPL-2.0-only
#
# The map of a race's window: the path of the operation that is held, from its first
# point down, with what came of holding it there, on unfixed and on fixed modules.
#
# Input: rows of scripts/lab/sweep, of the unfixed modules, then of the fixed ones.
# Variables: form (text or svg), race, kernel, host, unfixed (that set's name).

BEGIN {
	mark["ran through"] = "|"; mark["waited"] = "w"; mark["not reached"] = "."
	mark["not tried"] = "?"; mark["shows"] = "S"; mark["dies"] = "X"
	colour["|"] = "#9ccc9c"; colour["w"] = "#d9d9d9"; colour["."] = "#ffffff"
	colour["?"] = "#f5dc8c"; colour["S"] = "#d64545"; colour["X"] = "#000000"
}
FNR == 1 { set++ }
$1 != "@sweep@" { next }
$2 == "pair" { held = $4; other = $5 }
# A host that is booted again finds its path again; the first one is the map's.
$2 == "path" && !seen[set, $3, $4, $5]++ {
	path[set, ++nr[set]] = $3 "\t" $4 "\t" $5
	depth[$3 "\t" $4 "\t" $5] = $6
}
$2 == "point" {
	key = $3 "\t" $4 "\t" $5
	if ((set, key) in verdict)
		next
	verdict[set, key] = $7
	count[set, $7]++
	points[set]++
	if ($7 == "not tried")
		why[set, $9]++
}
$2 == "count" && $3 == "schedules" { schedules[set] += $4 }
$2 == "count" && $3 == "milliseconds" { ms[set] += $4 }
$2 == "count" && $3 ~ /^orders/ { orders[set] += $4 }
$2 == "count" && $3 ~ /still refers/ { leaked[set] += $4 }

function mark_of(s, key) {
	return (s, key) in verdict ? mark[verdict[s, key]] : " "
}

# "kvm:function" and "_raw_spin_lock<kvm": the function's name, as in C
function words(key,  part, name, i, indent) {
	split(key, part, "\t")
	name = part[1]
	sub(/^[a-z_]+:/, "", name)
	sub(/<.*/, "", name)
	for (i = 0; i < depth[key]; i++)
		indent = indent "  "
	return indent (part[2] == "entry" ? name "() {" : "} " name) \
		(part[3] > 1 ? "  #" part[3] : "")
}

# The longest path that both have in common, filled up with what only one of them has.
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

function escape(text) {
	gsub(/&/, "\\&amp;", text)
	gsub(/</, "\\&lt;", text)
	gsub(/>/, "\\&gt;", text)
	return text
}

function print_text(  i, w) {
	print title
	print "S shows   X the host dies   | B ran through   w B waited   . not reached   ? not tried"
	print summary(1, "unfixed")
	print summary(2, "fixed")
	for (w in why) {
		split(w, part, SUBSEP)
		printf "not tried, %s, %d: %s\n", part[1] == 1 ? "unfixed" : "fixed", why[w], part[2]
	}
	print "\nunfixed fixed"
	for (i = 1; i <= rows; i++) {
		text = sprintf("   %s      %s   %s", mark_of(1, row[i]), mark_of(2, row[i]),
			words(row[i]))
		sub(/ +$/, "", text)
		print text
	}
}

function box(x, y, m) {
	if (m == " ")
		return
	printf "<rect x=\"%d\" y=\"%d\" width=\"56\" height=\"14\" fill=\"%s\" stroke=\"#888888\" stroke-width=\"0.5\"/>\n", x, y, colour[m]
	printf "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\" fill=\"%s\">%s</text>\n",
		x + 28, y + 11, m == "X" || m == "S" ? "#ffffff" : "#000000", m
}

# As wide as the title, of which a character has less than 7 pixels.
function print_svg(  i, y, wide) {
	wide = length(title) > 110 ? 20 + 7 * length(title) : 790
	printf "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" role=\"img\" style=\"font: 11px monospace\">\n", wide, 96 + 15 * rows, wide, 96 + 15 * rows
	printf "<title>%s</title>\n", escape(title)
	print "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>"
	printf "<text x=\"8\" y=\"16\" font-weight=\"bold\">%s</text>\n", escape(title)
	printf "<text x=\"8\" y=\"34\">%s</text>\n", escape(summary(1, "unfixed"))
	printf "<text x=\"8\" y=\"50\">%s</text>\n", escape(summary(2, "fixed"))
	print "<text x=\"8\" y=\"66\">S shows, X the host dies, | B ran through, w B waited, . not reached, ? not tried</text>"
	print "<text x=\"14\" y=\"86\">unfixed</text><text x=\"84\" y=\"86\">fixed</text>"
	for (i = 1; i <= rows; i++) {
		y = 90 + 15 * (i - 1)
		box(8, y, mark_of(1, row[i]))
		box(70, y, mark_of(2, row[i]))
		printf "<text x=\"140\" y=\"%d\" xml:space=\"preserve\">%s</text>\n", y + 11, escape(words(row[i]))
	}
	print "</svg>"
}

END {
	merge()
	title = race " on " kernel ", " host ": A " held ", B " other
	if (unfixed != "stock")
		title = title "; unfixed: " unfixed
	if (form == "svg")
		print_svg()
	else
		print_text()
}
