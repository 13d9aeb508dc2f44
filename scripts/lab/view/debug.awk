# SPDX-License-Identifier: GPL-2.0-only
#
# The reports of a debug kernel while the tests run, after judge.awk: a row for each boot of
# plan/debug, from results that include reports. Prints rows of doc's table if tsv is set.

# label KEY - return the modules' name in the table, and the cases if they are not the usual ones
function label(key,  part)
{
	split(key, part, "|")
	if (part[4] == "closed")
		return "patched"
	if (part[3] == "kvm-selftests")
		return "patched: kernel's selftests"
	if (part[4] == "waited")
		return set[key] == "patched" ? "patched: stress" : "stock: stress " part[3]
	return part[4] == "once" ? "stock: " part[5] : "stock"
}

# report_of TEXT KIND - count a report of the kernel
function report_of(text, kind)
{
	if (kind == "allowed")
		others++
	else if (!times[text]++)
		report[++nr_reports] = text
	if (kind != "allowed" && text !~ /^at boot: /)
		bad = 1
}

# dies RESULT - return the end of a host, in words
function dies(got)
{
	return got == "hang" ? ", the host hangs" : ", the host dies"
}

# add_step KEY - count its cases, and the reports of its boot
function add_step(key,  i, n, name, got, some, other)
{
	# These tests are not this project's: one may need more time than an emulator gives it.
	other = key ~ /[|]kvm-selftests[|]/
	n = split(names[key], name, " ")
	for (i = 1; i <= n; i++) {
		got = case_result[key, name[i]]
		if (name[i] == "host")
			dead = dies(got)
		if (name[i] == "host" || name[i] == "lockdep")
			continue
		count["passed"] += got == "pass"
		count["skipped"] += got == "skip" || got == "unnamed"
		timed_out += other && got == "timeout"
		count["failed"] += got ~ (other ? "^(fail|crash)$" : "^(fail|timeout|crash)$")
		some += got ~ /^(fail|timeout|crash)$/
	}
	got = result[key]
	# The modules did not load, or the test did not end.
	count["failed"] += !some && got ~ /^(unfinished|error|setup)$/ && !other
	if (other && got ~ /^(unfinished|error|setup|lost)$/)
		dead = ", not all were run"
	if (host_died(got))
		dead = dies(got)
	no_boot += got == "no-boot"
	if ((key, "lockdep") in case_result)
		lockdep = case_result[key, "lockdep"]
	for (i = 1; i <= logs[key]; i++)
		report_of(log_text[key, i], log_kind[key, i])
}

# all_reports - return all of them in one line, sorted by name
function all_reports(  i, j, text, out)
{
	for (i = 2; i <= nr_reports; i++) {
		text = report[i]
		for (j = i - 1; j >= 1 && report[j] > text; j--)
			report[j + 1] = report[j]
		report[j + 1] = text
	}
	for (i = 1; i <= nr_reports; i++)
		out = out (out ? "; " : "") report[i] (times[report[i]] > 1 ? " (" times[report[i]] " times)" : "")
	if (others)
		out = out (out ? "; " : "") others " data races outside of modules"
	return out ? out : "none"
}

# one_row LABEL - print the row of the steps with this label
function one_row(what, kind, host,  i, cases, reports, dir, text)
{
	split("", times)
	split("", count)
	nr_reports = others = bad = no_boot = timed_out = 0
	dead = lockdep = ""
	for (i = 1; i <= nr_steps; i++)
		if (label(steps[i]) == what) {
			add_step(steps[i])
			dir = where[steps[i]]
		}
	cases = count["passed"] + 0 " passed, " count["failed"] + 0 " failed, " count["skipped"] + 0 " skipped" (timed_out ? ", " timed_out " timed out" : "") dead
	reports = all_reports()
	text = name_of(kernel[1]) OFS kind OFS host OFS what OFS cases OFS reports
	gsub(/; /, "\n\t", reports)
	add_row(tsv ? text : name_of(kernel[1]) " " kind " " host " " what ": " cases "; reports: " reports, text)
	if (no_boot)
		code = 3
	if (what !~ /^patched/)
		return
	if (dead != "")
		code = 3
	else if (what ~ /selftests/)
		;
	else if (!count["passed"])
		blame("no case passed on patched modules, which proves nothing: " dir)
	else if (kind == "kasan" && lockdep != "pass")
		# A lock validator that switched itself off has checked nothing since.
		blame("the lock validator was off in the end: " dir)
	if (bad || count["failed"] && what !~ /selftests/)
		blame("")
}

function blame(text)
{
	if (text && !tsv)
		add_line("    " text)
	if (!code)
		code = 1
}

function view(  i, what, kind, part, done)
{
	kind = release[kernel[1]]
	sub(/.*-/, "", kind)
	for (i = 1; i <= nr_steps; i++) {
		what = label(steps[i])
		if (done[what]++)
			continue
		split(steps[i], part, "|")
		one_row(what, kind, part[2])
	}
	return code
}
