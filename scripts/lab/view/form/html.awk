# SPDX-License-Identifier: GPL-2.0-only
#
# Part of the page that scripts/lab/page makes: the verdict, the table of the view, and each
# step with its cases. The caller sets dir, the directory of the logs, which page includes.

# linked TEXT - return TEXT as HTML, in which BOOT/NAME.log:LINE of the logs in dir is a link
function linked(text,  at, out, place, id)
{
	while ((at = index(text, dir "/")) && match(substr(text, at), /^[^:; ]*\.log:[0-9]+/)) {
		place = substr(text, at + length(dir) + 1, RLENGTH - length(dir) - 1)
		out = out escaped(substr(text, 1, at - 1))
		id = place
		sub(/\.log:.*/, "", id)
		gsub(/[^A-Za-z0-9.-]/, "-", id)
		out = out "<a href=\"#log-" id "\">" escaped(place) "</a>"
		text = substr(text, at + length(dir) + 1 + length(place))
	}
	return out escaped(text)
}

# cells_row TAG CELLS CLASS - return a row of a table
function cells_row(tag, row_cells, class,  n, i, part, text)
{
	n = split(row_cells, part, "\t")
	text = "<tr" (class != "" ? " class=\"" class "\"" : "") ">"
	for (i = 1; i <= n; i++)
		text = text (tag == "th" ? "<th scope=\"col\">" : "<td>") (tag == "th" ? escaped(part[i]) : linked(part[i])) "</" tag ">"
	return text "</tr>"
}

function html_table(  i, heading, width, part, below)
{
	# The view of trees has no header row.
	heading = view_name == "tree" ? "kernel\trace\thost\tunpatched\tpatched" : cells[1]
	width = split(heading, part, "\t")
	print "<div class=\"wide\"><table>\n<thead>" cells_row("th", heading) "</thead>\n<tbody>"
	for (i = view_name == "tree" ? 1 : 2; i <= lines; i++) {
		if (cells[i] != "")
			print cells_row("td", cells[i], cells[i] ~ /^  / ? "sub" : "")
		else if (line[i] ~ /^    /)
			print "<tr><td class=\"why\" colspan=\"" width "\">" linked(substr(line[i], 5)) "</td></tr>"
		else if (line[i] != "")
			below = below "<li>" linked(line[i]) "</li>\n"
	}
	print "</tbody>\n</table></div>"
	if (below != "")
		print "<ul>\n" below "</ul>"
}

function html_step(key,  n, i, name, why, note)
{
	why = complaint_of(key, "")
	print "<details class=\"cases\"><summary>" escaped(step_title(key)) ": " (good(key) ? "" : "<strong>not as expected</strong>, ") \
		escaped(in_words(result[key], expect[key]) (wall[key] != "" ? ", " wall[key] " s" : "")) "</summary>"
	print "<p>Modules: " escaped(set[key]) ". " (why != "" ? "<strong>" linked(why) "</strong>" : linked(reason[key])) "</p>"
	n = split(names[key], name, " ")
	if (n) {
		print "<div class=\"wide\"><table>\n<thead>" cells_row("th", "case\tresult\tseconds\tremark\tlog") "</thead>\n<tbody>"
		for (i = 1; i <= n; i++) {
			why = complaint_of(key, name[i])
			note = why != "" ? "not as expected: " why : case_note(key, name[i])
			print cells_row("td", name[i] "\t" case_result[key, name[i]] "\t" case_seconds[key, name[i]] "\t" note "\t" case_where[key, name[i]], why != "" ? "wrong" : "")
		}
		print "</tbody>\n</table></div>"
	}
	print "</details>"
}

END {
	code = exit_code()
	print "<p class=\"verdict\">" (code == 0 ? "All is as expected." : code == 3 ? "A host died that should not have." : "Not all is as expected.") "</p>"
	print "<section id=\"table\">\n<h2>Table</h2>"
	html_table()
	print "</section>\n<section id=\"steps\">\n<h2>Steps and cases</h2>"
	print "<p>A step is one run of a race's test on one set of modules; on an unfixed set a case is expected to fail.</p>"
	for (i = 1; i <= nr_steps; i++)
		html_step(steps[i])
	print "</section>"
	exit code
}
