# SPDX-License-Identifier: GPL-2.0-only
#
# The results of the kernel's own KVM selftests on the kernel's modules ("stock") and on others
# ("ours"), after judge.awk: a line for each kernel and host, or a row of doc's table if tsv is
# set. If a test ran several times, its best result counts.

# word RESULT - return the result of a case, in the table's words
function word(got)
{
	return got ~ /^(pass|skip|timeout)$/ ? got : "fail"
}

function rank(got)
{
	return got == "pass" ? 4 : got == "skip" ? 3 : got == "fail" ? 2 : 1
}

# best AT STAGE NAME - return the best result of its runs; sets at_best to its place in a log
function best(at, stage, name,  run, got, it)
{
	at_best = ""
	for (run = 1; (at, stage, run) in result; run++) {
		if (!((at, stage, run, name) in case_result))
			continue
		got = word(case_result[at, stage, run, name])
		if (at_best == "" || rank(got) > rank(it)) {
			it = got
			at_best = case_where[at, stage, run, name]
		}
	}
	return it
}

# whole AT STAGE - did all of its tests run, each time? Prints those that did not
function whole(at, stage,  run, key, well)
{
	well = 1
	for (run = 1; (at, stage, run) in result; run++) {
		key = at SUBSEP stage SUBSEP run
		excuse(key)
		if (result[key] ~ /^(pass|fail|skip|timeout|crash)$/)
			continue
		well = 0
		complain(key, "not all tests were run: " result[key] (reason[key] != "" ? " (" reason[key] ")" : ""), where[key])
		if (!tsv)
			tell(key, stage ", run " run)
	}
	told_all()
	return well
}

# one_host AT KERNEL HOST - print its line
function one_host(at, kernel, host,  i, n, name, both, well, ours, stock, count, differ, worse, nr_worse)
{
	both = (at, "stock", 1) in result
	sub(/.*[\/]/, "", kernel)
	well = whole(at, "ours")
	if (both)
		well = whole(at, "stock") && well
	if (!well) {
		if (!tsv)
			add_line(kernel " " host ": not all tests were run, so nothing is compared")
		code = 3
		return
	}
	n = split(names[at, "ours", 1], name, " ")
	for (i = 1; i <= n; i++) {
		stock = both ? best(at, "stock", name[i]) : ""
		ours = best(at, "ours", name[i])
		if (!both || stock == ours) {
			count[ours]++
			continue
		}
		differ = differ (differ ? ", " : "") name[i] ": " stock ", " ours
		if (stock == "pass") {
			worse[++nr_worse] = "    " name[i] ": pass on the kernel's own modules, " ours " on ours: " at_best
			complain(at SUBSEP "ours" SUBSEP 1, name[i] ": " ours ", but it passes on the kernel's own modules", at_best, 0, name[i])
		}
	}
	add_row(tsv ? row_of(kernel, host, n, count, differ) : \
		sprintf("%-22s %-6s %d tests: pass %d, skip %d, fail %d, time out %d with %s", kernel, host, n,
			count["pass"], count["skip"], count["fail"], count["timeout"], both ? "both; differ: " (differ ? differ : "none") : "ours"),
		row_of(kernel, host, n, count, differ))
	for (i = 1; i <= nr_worse && !tsv; i++)
		add_line(worse[i])
	if (nr_worse && !code)
		code = 1
}

function row_of(kernel, host, n, count, differ)
{
	return kernel OFS host OFS n OFS count["pass"] + 0 OFS count["skip"] + 0 OFS count["fail"] + 0 OFS \
		count["timeout"] + 0 OFS (differ ? differ : "none")
}

function view(  i, part, at, seen)
{
	for (i = 1; i <= nr_steps; i++) {
		split(steps[i], part, "|")
		at = part[1] SUBSEP part[2] SUBSEP part[3]
		if (!seen[at]++)
			one_host(at, part[1], part[2])
	}
	return code
}
