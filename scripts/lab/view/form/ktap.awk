# SPDX-License-Identifier: GPL-2.0-only
#
# Results as KTAP, version 1 (the kernel's Documentation/dev-tools/ktap.rst): a test for each
# step, with its cases as subtests and a last one for the step's end, and one for the table.

# name_of_point TEXT - return TEXT as a test's description, in which "#" would begin a directive
function name_of_point(text)
{
	text = printable(text)
	gsub(/#/, "_", text)
	return text
}

# point INDENT OK NR NAME DIRECTIVE
function point(indent, is_ok, nr, name, directive)
{
	print indent (is_ok ? "ok " : "not ok ") nr " " name_of_point(name) (directive != "" ? " # " directive : "")
}

# directive_of RESULT REASON - return KTAP's directive for it, or nothing
function directive_of(got, why)
{
	if (is_skip(got))
		return "SKIP " printable(why == "" ? "no reason given" : why)
	if (got == "timeout" || got == "unfinished")
		return "TIMEOUT"
	return got ~ /^(crash|error|setup|lost|panic|oops|hang|killed|no-boot)$/ ? "ERROR" : ""
}

# ktap_step NR KEY - print its cases, and the step
function ktap_step(nr, key,  name, n, i, why, got)
{
	n = split(names[key], name, " ")
	print "    KTAP version 1"
	print "    # Subtest: " name_of_point(step_title(key))
	print "    # modules: " printable(set[key]) ", kernel " printable(release_of_step[key])
	print "    1.." n + 1
	for (i = 1; i <= n; i++) {
		got = case_result[key, name[i]]
		why = complaint_of(key, name[i])
		if (why != "")
			print "    # " why
		else if (!is_skip(got) && case_note(key, name[i]) != "")
			print "    # " name[i] ": " case_note(key, name[i])
		# An unexpected result is no skip, and an expected one has no directive for an error.
		point("    ", why == "", i, name[i], is_skip(got) == (why == "") ? directive_of(got, case_reason[key, name[i]]) : "")
	}
	got = result[key]
	why = complaint_of(key, "")
	print "    # " (why != "" ? why : "the step: " printable(in_words(got, expect[key]) (reason[key] != "" ? " (" reason[key] ")" : "")))
	point("    ", why == "", n + 1, "step", is_skip(got) == (why == "") ? directive_of(got, reason[key]) : "")
	point("", good(key), nr, step_title(key), good(key) && is_skip(got) ? directive_of(got, reason[key]) : "")
}

END {
	code = exit_code()
	print "KTAP version 1"
	print "1.." nr_steps + 1
	for (i = 1; i <= nr_steps; i++)
		ktap_step(i, steps[i])
	for (i = 1; i <= lines; i++)
		print "# " printable(line[i])
	point("", code == 0, nr_steps + 1, "table of " view_name)
	exit code
}
