# SPDX-License-Identifier: GPL-2.0-only
#
# Part of report, for every view: read results, and decide for each step whether it is as its plan
# expects. A step is named by its key:
#	KERNEL, HOST, RACE, STAGE, RUN
# FS and OFS are a tab, and SUBSEP is "|".
#
# A view has a function view(), which passes its table to add_row() and add_line() and returns
# report's exit code; if the table begins with the names of its columns, it sets headers to 1.
# form/FORM.awk prints that table, or the steps and cases.

BEGIN {
	FS = OFS = "\t"
	SUBSEP = "|"
	TELL_MAX = 8
}

# add_row TEXT CELLS - add a row of the view's table: as text, and its cells, which tabs separate
function add_row(text, row_cells)
{
	line[++lines] = text
	cells[lines] = row_cells
	rows_added++
}

# exit_code - report's exit code: that of the view, and 1 if it has no row below its header
function exit_code(  got)
{
	got = view()
	if (rows_added > headers || lines > headers)
		return got
	if (!tsv)
		add_line("nothing was run: there is no row")
	return got ? got : 1
}

# add_line TEXT - add a line of text between or below the rows
function add_line(text)
{
	line[++lines] = text
}

# complain KEY TEXT WHERE [LOST [CASE]] - record that a case or the step is not as expected; tell()
# omits a case that is LOST if the step did not end properly either
function complain(key, text, where, is_lost, name)
{
	complaint[key, ++complaints[key]] = text ": " where
	lost[key, complaints[key]] = is_lost
	of_case[key, complaints[key]] = name
}

# host_died RESULT - is this the end of a host?
function host_died(result)
{
	return result ~ /^(dies|panic|oops|hang|killed|no-boot)$/
}

# as_expected RESULT EXPECT - is the step's result the expected one?
function as_expected(result, expect)
{
	if (expect == "caught")
		return result ~ /^(fail|timeout|crash|dies|panic)$/
	if (expect == "harm")
		return result ~ /^(fail|timeout|crash|dies|panic|oops|hang|setup)$/
	if (expect == "any")
		return result ~ /^(pass|fail|skip|dies|panic)$/
	return result == expect
}

{
	key = $1 SUBSEP $3 SUBSEP $5 SUBSEP $6 SUBSEP $7
	if (!($1 in kernel_seen)) {
		kernel_seen[$1]
		kernel[++kernels] = $1
	}
	if ($2 != "")
		release[$1] = $2
}

$8 == "*" {
	if (!(key in result))
		steps[++nr_steps] = key
	result[key] = $10
	expect[key] = $9
	set[key] = $4
	seconds[key] = $11
	wall[key] = $12
	reason[key] = $13
	where[key] = $14
	release_of_step[key] = $2
	if (!as_expected($10, $9))
		complain(key, ($9 == "fail" && $10 == "pass" ? "no case fails" : $10) ($13 != "" ? " (" $13 ")" : ""), $14)
	if (host_died($10) && $6 != "once" && !($9 ~ /^(caught|harm)$/ && as_expected($10, $9)))
		dead_hosts++
	next
}

# A report of the kernel, in a boot whose first step is this one.
$8 == "log" {
	log_text[key, ++logs[key]] = $13
	log_kind[key, logs[key]] = $10
	next
}

{
	names[key] = names[key] (names[key] == "" ? "" : " ") $8
	case_result[key, $8] = $10
	case_expect[key, $8] = $9
	case_seconds[key, $8] = $11
	case_reason[key, $8] = $13
	case_where[key, $8] = $14
	# A skip on fixed modules is neither a pass nor an error: views check whether it matters.
	if (($9 == "fail" && $10 != "fail") || ($9 == "pass" && $10 !~ /^(pass|skip|unnamed)$/))
		complain(key, $8 ": " $10 ($10 == "skip" && $13 != "" ? " (" $13 ")" : "") ", not " $9, $14, $10 == "lost", $8)
}

# name_of KERNEL - return its release, and the name of its directory if they differ; the name of a
# debug kernel ends in its kind
function name_of(dir,  name, rel, kind)
{
	name = dir
	sub(/.*[\/]/, "", name)
	rel = kind = release[dir]
	sub(/-racefix.*/, "", rel)
	if (!sub(/.*-racefix-/, "-", kind))
		kind = ""
	return name == rel kind ? rel : rel " (" name ")"
}

# good KEY - did it run, with all results as expected?
function good(key)
{
	return key in result && !complaints[key]
}

# excuse KEY - drop its complaints: the view accepts these results
function excuse(key)
{
	complaints[key] = 0
}

# tell KEY TEXT - print its unexpected results, a line each, at most TELL_MAX for a row of the
# table; told counts them
function tell(key, text,  i)
{
	if (!(key in result))
		tell_line(text ": it did not run")
	for (i = 1; i <= complaints[key]; i++)
		if (!lost[key, i] || result[key] ~ /^(pass|fail)$/)
			tell_line(text ": " complaint[key, i])
}

function tell_line(text)
{
	if (++told <= TELL_MAX)
		add_line("    " text)
}

# told_all - end the list of a row
function told_all()
{
	if (told > TELL_MAX)
		add_line("    and " told - TELL_MAX " more")
	told = 0
}

# skips KEY - "N of M cases skipped: REASON; REASON", or nothing
function skips(key,  i, n, name, all, skipped, why, seen, text)
{
	n = split(names[key], name, " ")
	for (i = 1; i <= n; i++) {
		if (case_result[key, name[i]] == "unnamed")
			continue
		all++
		if (case_result[key, name[i]] != "skip")
			continue
		skipped++
		text = case_reason[key, name[i]]
		if (!seen[text]++)
			why = why (why ? "; " : "") text
	}
	return skipped ? skipped " of " all " cases skipped: " why : ""
}
