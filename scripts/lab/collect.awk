# SPDX-License-Identifier: GPL-2.0-only
#
# Part of collect: the results of one boot, from its rows, wall and output.log. The caller sets
# dir, end, reason, release and boot_wall of the boot; again, if another boot has the steps that
# a host left when it died; lockdep, whether it was on at the end (1, 0, or empty: not reported);
# dead, the line of console.log in which the kernel reports its end, or 0; and died, the rows
# that died as their plan expects.
#
# A step's output is between
#	@lab@ begin ROW
#	@lab@ end ROW STATUS TENTHS
# STATUS is the test's exit status, or setup; TENTHS are of a second of the host's time.
# Between the two is KTAP of the kernel's harness. It does not name a case that it skips; the
# line "# RUN" does.

# out ROW CASE EXPECT RESULT SECONDS WALL REASON WHERE - print a line of the results
function out(row, name, expect, result, seconds, time, why, where)
{
	case_out()
	print kernel[row], release, host[row], set[row], race[row], stage[row], run[row],
		name, expect, result, seconds, time, why, where
}

# case_out - print the line of the case that has ended, with its time if it is known by now
function case_out(  held)
{
	if (ended_case == "")
		return
	held = ended_case
	ended_case = ""
	sub(SUBSEP, took, held)
	print held
}

# expected ROW CASE - return the result that the plan expects of that case
function expected(row, name,  list)
{
	if (expect[row] == "pass" || expect[row] == "dies")
		return expect[row]
	list = expect[row]
	if (sub(/^fail:/, "", list) && index("," list ",", "," name ","))
		return "fail"
	return "any"
}

# case_ends RESULT REASON - end the running case
function case_ends(result, why)
{
	if (!name)
		return
	case_out()
	# Its time is in a later line.
	ended_case = kernel[now] OFS release OFS host[now] OFS set[now] OFS race[now] OFS stage[now] OFS run[now] \
		OFS name OFS expected(now, name) OFS result OFS SUBSEP OFS "" OFS why OFS dir "/output.log:" case_line
	ended_begun = begun
	took = begun = ""
	count[result]++
	done[name]
	if (result ~ /^(fail|timeout|crash)$/) {
		bad = bad (bad ? " " : "") name
		if (!bad_line)
			bad_line = case_line
	}
	if (result == "skip" && !skipped)
		skipped = why
	name = ""
}

# never_ran ROW - print the cases that must fail there, and did not run
function never_ran(row,  list, i, n, one)
{
	list = expect[row]
	if (!sub(/^fail:/, "", list))
		return
	n = split(list, one, ",")
	for (i = 1; i <= n; i++)
		if (!(one[i] in done))
			out(row, one[i], "fail", "lost", "", "", "it did not run", dir "/output.log:" begin)
}

# step_ends ROW RESULT SECONDS REASON WHERE - end the step; no case runs after it
function step_ends(row, result, seconds, why, where)
{
	never_ran(row)
	sub(/:.*/, "", expect[row])
	out(row, "*", expect[row], result, seconds, wall[row], why, where)
	ended[row]
	now = ""
}

# result_of STATUS - return the result of the test as a whole
function result_of(status)
{
	if (status == "setup")
		return "setup"
	if (status ~ /^(124|137|143)$/)
		return "unfinished"
	if (status == 4)
		return "skip"
	if (status == 0)
		return count["pass"] ? "pass" : count["skip"] + count["unnamed"] ? "skip" : "error"
	if (status == 1)
		return count["fail"] ? "fail" : count["timeout"] ? "timeout" : count["crash"] ? "crash" : "error"
	return "error"
}

FNR == 1 { file++ }

file == 1 {
	rows[++nr] = $1
	kernel[$1] = $3
	host[$1] = $4
	set[$1] = $5
	race[$1] = $6
	cases[$1] = $7
	run[$1] = $8
	stage[$1] = $9
	expect[$1] = $10
	next
}

FILENAME ~ /\/wall$/ { wall[$1] = $2; next }

/^@lab@ begin [0-9]+$/ {
	now = $0
	sub(/.* /, "", now)
	begin = FNR
	split("", count)
	split("", done)
	name = bad = skipped = stress = ""
	bad_line = 0
	next
}

now == "" { next }

/^@lab@ end [0-9]+ [a-z0-9]+ [0-9]+$/ {
	split($0, word, " ")
	case_ends("unfinished", stress)
	result = result_of(word[4])
	why = bad ? bad : result == "skip" ? skipped : result ~ /^(error|unfinished)$/ ? "exit status " word[4] : ""
	step_ends(now, result, word[5] / 10, why, dir "/output.log:" (bad_line ? bad_line : begin))
	next
}

# "#  RUN           global.NAME ..."
/^# *RUN  / {
	case_ends("unfinished", "")
	name = $0
	sub(/^# *RUN *[^.]*\./, "", name)
	sub(/ .*/, "", name)
	case_line = FNR
	ending = named = ""
	next
}

/^# [^ ]+: Test terminated by timeout$/ { ending = "timeout"; next }
/^# [^ ]+: Test terminated unexpectedly by signal/ { ending = "crash"; next }
# "# at SECONDS s", when a case begins, and after the last
/^# at [0-9]+\.[0-9][0-9] s$/ {
	split($0, word, " ")
	if (ended_begun != "")
		took = sprintf("%.2f", word[3] - ended_begun)
	case_out()
	begun = name != "" ? word[3] : ""
	next
}

/^# not named: / { named = "no"; next }

# "# stress: SHOWN of TRIES tries in SECONDS s showed it"
/^# stress: [0-9]+ of [0-9]+ tries in / {
	split($0, word, " ")
	stress = "shown=" word[3] " tries=" word[5] " seconds=" word[8]
	next
}

/^not ok / { case_ends(ending ? ending : "fail", stress); next }

/^ok .*# SKIP/ {
	why = $0
	sub(/.*# SKIP */, "", why)
	case_ends(named == "no" ? "unnamed" : "skip", why)
	next
}

/^ok / { case_ends("pass", stress); next }

# The steps that did not end, if the boot did.
END {
	if (lockdep != "")
		out(rows[1], "lockdep", "any", lockdep ? "pass" : "fail", "", "", "", dir "/output.log")
	case_out()
	if (end == "")
		exit
	dying = end != "clean"
	# A dead host was killed by the step that was running, or by the first that is left.
	for (i = 1; i <= nr; i++) {
		row = rows[i]
		if (row in ended)
			continue
		dying = 0
		if (end == "clean") {
			begin = 1
			split("", done)
			step_ends(row, "lost", "", "it did not run", dir "/output.log:1")
			continue
		}
		if (now == "") {
			split("", count)
			split("", done)
			name = bad = stress = ""
			begin = 1
		} else
			row = now
		result = end == "panic" && (" " died " ") ~ (" " row " ") ? "dies" : end
		in_case = name
		# A host that hangs may not have reported it.
		where = dead ? dir "/console.log:" dead : dir "/output.log:" (name ? case_line : begin)
		if (name)
			out(row, name, expected(row, name), result, "", "", stress, where)
		done[name]
		wall[row] = boot_wall
		step_ends(row, result, "", in_case ? "in " in_case ": " reason : reason, where)
		if (again)
			exit
		end = "clean"
	}
	# The host died after its last step.
	if (dying)
		out(rows[nr], "host", expected(rows[nr], "host"), end, "", "", reason, dead ? dir "/console.log:" dead : dir "/output.log:" FNR)
}
