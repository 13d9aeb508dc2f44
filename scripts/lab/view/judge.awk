# SPDX-License-Identifier: GPL-2.0-only
#
# Part of report, for every view: reads results, and says of each step whether it is as
# its plan expects. A step is named by its key:
#	KERNEL, HOST, RACE, STAGE, RUN
# FS and OFS are a tab, and SUBSEP is "|".
#
# A view has a function view(), which hands over its table by add_row() and add_line() and
# returns report's exit code; a table that begins with the names of its columns sets
# headers to 1. form/FORM.awk prints that table, or the steps and cases.

BEGIN {
	FS = OFS = "\t"
	SUBSEP = "|"
	TELL_MAX = 8
}

# add_row TEXT CELLS - a row of the view's table: as a person reads it, and its cells, which
# tabs separate
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

# add_line TEXT - what a person reads between or below the rows
function add_line(text)
{
	line[++lines] = text
}

# complain KEY TEXT WHERE [LOST [CASE]] - one more thing there that is not as expected, of a
# case or of the step; of a case that is LOST tell() says nothing where the step did not come
# to its end either
function complain(key, text, where, is_lost, name)
{
	complaint[key, ++complaints[key]] = text ": " where
	lost[key, complaints[key]] = is_lost
	of_case[key, complaints[key]] = name
}

# host_died RESULT - is that what became of the host?
function host_died(result)
{
	return result ~ /^(dies|panic|oops|hang|killed|no-boot)$/
}

# as_expected RESULT EXPECT - of a step, by how it ended
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

# What the kernel reported, of a boot whose first step this is.
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
	# A skip on fixed modules is no pass, and no error of theirs: views look whether it matters.
	if (($9 == "fail" && $10 != "fail") || ($9 == "pass" && $10 !~ /^(pass|skip|unnamed)$/))
		complain(key, $8 ": " $10 ($10 == "skip" && $13 != "" ? " (" $13 ")" : "") ", not " $9, $14, $10 == "lost", $8)
}

# name_of KERNEL - its release, and the name of its directory if that is another; a debug
# kernel's ends in its kind
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

# good KEY - was it run, and all as expected?
function good(key)
{
	return key in result && !complaints[key]
}

# excuse KEY - all that was complained of there is as a view takes it
function excuse(key)
{
	complaints[key] = 0
}

# tell KEY TEXT - what is not as expected there, a line each, of which a row of the table
# has at most TELL_MAX; told counts them
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

# told_all - that was all of a row
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
