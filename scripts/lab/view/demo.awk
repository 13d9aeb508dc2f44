# SPDX-License-Identifier: GPL-2.0-only
#
# The demo's table, after judge.awk. Given is order, "RACE:HOST RACE:HOST ...".

function row(race, kernel, host, unfixed, fixed, time,  text)
{
	text = sprintf("%-36s %-22s %-6s %-26s %-14s %s", race, kernel, host, unfixed, fixed, time)
	sub(/ *$/, "", text)
	add_row(text, race OFS kernel OFS host OFS unfixed OFS fixed OFS time)
}

# how KEY - did that set have the race as shipped?
function how(key)
{
	return set[key] == "stock" ? "vulnerable" : "reopened"
}

# covered AT NAME - if that case skips on fixed modules, has nothing shown that it matters, or
# does it pass on control modules?
function covered(at, name,  run)
{
	if (case_result[at, "control", 1, name] == "pass")
		return 1
	for (run = 1; (at, "before", run) in result; run++)
		if (case_result[at, "before", run, name] == "fail" || case_result[at, "after", run, name] == "fail")
			return 0
	return 1
}

# closed_well AT RUN - did the fixed modules pass each case that shows the race?
function closed_well(at, run,  key, i, n, name)
{
	key = at SUBSEP "closed" SUBSEP run
	n = split(names[key], name, " ")
	for (i = 1; i <= n; i++)
		if (case_result[key, name[i]] == "skip" && !covered(at, name[i]))
			complain(key, name[i] ": skip, but it fails on unfixed modules", case_where[key, name[i]], 0, name[i])
	return good(key)
}

# triples AT - the row for all runs of a race on a kernel in a host
function triples(at, race, kernel, host,  run, shows, closed, open, time, before, after, key, bad, fixed)
{
	for (run = 1; (at, "before", run) in result || (at, "closed", run) in result; run++) {
		before = at SUBSEP "before" SUBSEP run
		after = at SUBSEP "after" SUBSEP run
		key = at SUBSEP "closed" SUBSEP run
		shows += good(before) && good(after)
		closed += closed_well(at, run)
		open += result[key] == "fail"
		time += wall[before] + wall[key] + wall[after]
	}
	run--
	fixed = (open ? "SHOWS " : closed == run ? "closed " : "unclear ") closed + 0 "/" run
	row(race, release[kernel], host,
		(shows ? "shows " : "does not show ") shows + 0 "/" run " (" how(at SUBSEP "before" SUBSEP 1) ")",
		fixed, sprintf("%d s a run", time / run))
	if (shows == run && closed == run)
		return
	code = 1
	for (key = 1; key <= run; key++) {
		tell(at SUBSEP "before" SUBSEP key, "run " key ", before")
		tell(at SUBSEP "closed" SUBSEP key, "run " key ", fixed")
		tell(at SUBSEP "after" SUBSEP key, "run " key ", after")
	}
	told_all()
}

# once AT NAME - the row of a fatal case, which has a boot of its own
function once(at, name, kernel, host, key,  verdict, fixed, last, run)
{
	verdict = good(key) ? "host dies 1/1 (" how(key) ")" : "does not show 0/1"
	# Of the last run that came so far.
	for (run = 1; (at, "closed", run) in result; run++)
		if (last == "" || (at, "closed", run, name) in case_result)
			last = at SUBSEP "closed" SUBSEP run
	# Not every kernel has what the case needs.
	fixed = case_result[last, name] == "pass" ? "as above" :
		case_result[at, "control", 1, name] == "pass" ? "by control" : "not shown"
	row("  " name, release[kernel], host, verdict, fixed, sprintf("%.1f s", wall[key]))
	if (!good(key)) {
		code = 1
		tell(key, "unfixed")
		told_all()
	}
	if (fixed == "not shown") {
		code = 1
		add_line("    fixed: " (case_result[last, name] != "" ? case_result[last, name] ": " case_where[last, name] : "it did not run"))
		if (last != "")
			complain(last, name ": " (case_result[last, name] != "" ? case_result[last, name] : "it did not run") ", but it kills an unfixed host", case_where[last, name], 0, name)
	}
}

function note(at, race, kernel, host,  run, key, text)
{
	for (run = 1; (at, "closed", run) in result; run++)
		if (key == "" || names[at, "closed", run] != "")
			key = at SUBSEP "closed" SUBSEP run
	text = skips(key)
	if (text)
		notes = notes race ", " kernel ", " host ", patched: " text "\n"
	key = at SUBSEP "control" SUBSEP 1
	if (!(key in result))
		return
	if (good(key)) {
		text = skips(key)
		notes = notes race ", " kernel ", " host ", control: closed 1/1" (text ? "; " text : "") "\n"
	} else {
		notes = notes race ", " kernel ", " host ", control: NOT closed (" result[key] "): " where[key] "\n"
		code = 1
	}
}

# of_race RACE HOSTS - all its rows
function of_race(race, hosts,  k, h, n, host, at, i, part)
{
	n = split(hosts, host, " ")
	for (k = 1; k <= kernels; k++)
		for (h = 1; h <= n; h++) {
			at = kernel[k] SUBSEP host[h] SUBSEP race
			if (!((at, "before", 1) in result))
				continue
			triples(at, race, kernel[k], host[h])
			if ((at, "shipped", 1) in result) {
				i = good(at SUBSEP "shipped" SUBSEP 1)
				row("  as shipped", release[kernel[k]], host[h],
					i ? "shows 1/1 (vulnerable)" : "does not show 0/1", "as above", "")
				if (!i) {
					code = 1
					tell(at SUBSEP "shipped" SUBSEP 1, "as shipped")
					told_all()
				}
			}
			for (i = 1; i <= nr_steps; i++)
				if (index(steps[i], at SUBSEP "once" SUBSEP) == 1) {
					part = steps[i]
					sub(/.*[|]/, "", part)
					once(at, part, kernel[k], host[h], steps[i])
				}
			note(at, race, kernel[k], host[h])
		}
}

function view(  n, e, entry, part, note_line, last_race, hosts)
{
	headers = 1
	row("race", "kernel", "host", "unpatched", "patched", "time")
	n = split(order, entry, " ")
	for (e = 1; e <= n; e++) {
		split(entry[e], part, ":")
		if (part[1] == last_race)
			hosts = hosts " " part[2]
		else {
			of_race(last_race, hosts)
			last_race = part[1]
			hosts = part[2]
		}
	}
	of_race(last_race, hosts)
	n = split(notes, note_line, "\n")
	for (e = 0; e < n; e++)
		add_line(note_line[e])
	return dead_hosts ? 3 : code
}
