# SPDX-License-Identifier: GPL-2.0-only
#
# Part of report, for the forms: the texts for programs and the HTML page about a step and its
# cases. A case or a step is as expected if no complaint was recorded about it.

# printable TEXT - remove control characters, which a log may have
function printable(text)
{
	gsub(/[\001-\010\013-\037\177]/, "?", text)
	gsub(/[\t\n]/, " ", text)
	return text
}

# escaped TEXT - return TEXT as text or an attribute of XML or HTML
function escaped(text)
{
	text = printable(text)
	gsub(/&/, "\\&amp;", text)
	gsub(/</, "\\&lt;", text)
	gsub(/>/, "\\&gt;", text)
	gsub(/"/, "\\&quot;", text)
	return text
}

# step_title KEY - return "KERNEL HOST RACE STAGE RUN", with the kernel's name
function step_title(key,  part)
{
	split(key, part, "|")
	sub(/.*[\/]/, "", part[1])
	return part[1] " " part[2] " " part[3] " " part[4] " " part[5]
}

# complaint_of KEY NAME - return the complaint about that case, or about the step if NAME is empty,
# and its place; or nothing
function complaint_of(key, name,  i, text)
{
	for (i = 1; i <= complaints[key]; i++)
		if (of_case[key, i] == name)
			text = text (text == "" ? "" : "; ") complaint[key, i]
	return printable(text)
}

# in_words RESULT EXPECT - return the result of a case or step that is as expected, in words
function in_words(got, want)
{
	if (got == want || want == "caught" && got != "pass")
		return got ", as expected"
	return got ", and nothing was expected"
}

# case_note KEY NAME - return the same, with the reason from the results; nothing for a plain pass
function case_note(key, name,  got, text)
{
	got = case_result[key, name]
	if (got == "pass")
		return ""
	if (is_skip(got))
		return printable(case_reason[key, name])
	text = in_words(got, case_expect[key, name])
	return printable(text (case_reason[key, name] != "" ? " (" case_reason[key, name] ")" : ""))
}

# is_skip RESULT - was it not run, for a reason?
function is_skip(got)
{
	return got == "skip" || got == "unnamed"
}
