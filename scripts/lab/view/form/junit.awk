# SPDX-License-Identifier: GPL-2.0-only
#
# Results as JUnit's XML (doc/schema/junit.xsd): a testsuite for each step, with its cases as
# testcases and a last one for the step's end, and one for the table. The time of a testsuite is
# this machine's, that of a testcase is its host's.

# is_error RESULT - did it end without a result of its own?
function is_error(got)
{
	return got !~ /^(pass|fail|skip|unnamed)$/
}

# testcase SUITE NAME RESULT WHY REASON NOTE SECONDS - print and count a testcase; WHY is the error,
# or empty. The testsuite's own text follows its testcases, so they are collected first.
function testcase(suite, name, got, why, text, remark, time)
{
	nr["tests"]++
	kept = kept "\t\t<testcase classname=\"" escaped(suite) "\" name=\"" escaped(name) "\"" (time != "" ? " time=\"" time + 0 "\"" : "")
	if (why != "") {
		nr[is_error(got) ? "errors" : "failures"]++
		kept = kept ">\n\t\t\t<" (is_error(got) ? "error" : "failure") " type=\"" escaped(got) "\" message=\"" escaped(why) "\"/>\n\t\t</testcase>\n"
	} else if (is_skip(got)) {
		nr["skipped"]++
		kept = kept ">\n\t\t\t<skipped message=\"" escaped(text) "\"/>\n\t\t</testcase>\n"
	} else if (remark != "")
		kept = kept ">\n\t\t\t<system-out>" escaped(remark) "</system-out>\n\t\t</testcase>\n"
	else
		kept = kept "/>\n"
}

# begin_suite, end_suite TITLE SECONDS PROPERTIES TEXT - print the tags around its testcases
function begin_suite()
{
	split("", nr)
	kept = ""
}

function end_suite(title, time, properties, text,  i, n, word)
{
	n = split("tests failures errors skipped", word, " ")
	body = body "\t<testsuite name=\"" escaped(title) "\""
	for (i = 1; i <= n; i++) {
		body = body " " word[i] "=\"" nr[word[i]] + 0 "\""
		total[word[i]] += nr[word[i]]
	}
	body = body (time != "" ? " time=\"" time + 0 "\"" : "") ">\n" properties kept
	if (text != "")
		body = body "\t\t<system-out>" text "</system-out>\n"
	body = body "\t</testsuite>\n"
}

function property(name, value)
{
	return "\t\t\t<property name=\"" name "\" value=\"" escaped(value) "\"/>\n"
}

function junit_step(key,  name, n, i, suite, part)
{
	suite = step_title(key)
	split(key, part, "|")
	begin_suite()
	n = split(names[key], name, " ")
	for (i = 1; i <= n; i++)
		testcase(suite, name[i], case_result[key, name[i]], complaint_of(key, name[i]),
			case_reason[key, name[i]], case_note(key, name[i]), case_seconds[key, name[i]])
	testcase(suite, "step", result[key], complaint_of(key, ""), reason[key],
		in_words(result[key], expect[key]) (reason[key] != "" ? " (" reason[key] ")" : "") ", " where[key])
	end_suite(suite, wall[key], "\t\t<properties>\n" property("race", part[3]) property("host", part[2]) \
		property("kernel", release_of_step[key]) property("modules", set[key]) "\t\t</properties>\n")
}

END {
	code = exit_code()
	for (i = 1; i <= nr_steps; i++)
		junit_step(steps[i])
	for (i = 1; i <= lines; i++)
		text = text escaped(line[i]) "\n"
	begin_suite()
	testcase("table", view_name, code ? "fail" : "pass", code ? "it is not as expected; exit code " code : "")
	end_suite("table", "", "", text)
	print "<?xml version=\"1.0\" encoding=\"UTF-8\"?>"
	printf "<testsuites name=\"kvm-racefix %s\" tests=\"%d\" failures=\"%d\" errors=\"%d\" skipped=\"%d\">\n%s</testsuites>\n",
		escaped(view_name), total["tests"], total["failures"], total["errors"], total["skipped"], body
	exit code
}
