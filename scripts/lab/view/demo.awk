# SPDX-License-Identifier: GPL-2.0-only
#
# The demo's table, after judge.awk. The caller sets order, "RACE:HOST RACE:HOST ...".

function row(race, kernel, host, unfixed, fixed, time,  text)
{
	text = sprintf("%-36s %-22s %-6s %-26s %-14s %s", race, kernel, host, unfixed, fixed, time)
	sub(/ *$/, "", text)
	add_row(text, race OFS kernel OFS host OFS unfixed OFS fixed OFS time)
}

# how KEY - return in a word whether that set has the race as shipped
function how(key)
{
	return set[key] == "stock" ? "vulnerable" : "reopened"
}

# covered AT NAME - if that case skips on fixed modules, is this harmless, because the case does
# not fail on unfixed modules, or passes on control modules?
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

# fixed_cell OPEN CLOSED RUNS - return the table's cell for the fixed modules
function fixed_cell(open, closed, runs)
{
	return (open ? "SHOWS " : closed == runs ? "closed " : "unclear ") closed + 0 "/" runs
}

# tell_triples AT RUNS - print the unexpected results of their steps
function tell_triples(at, runs,  run)
{
	code = 1
	for (run = 1; run <= runs; run++) {
		tell(at SUBSEP "before" SUBSEP run, "run " run ", before")
		tell(at SUBSEP "closed" SUBSEP run, "run " run ", fixed")
		tell(at SUBSEP "after" SUBSEP run, "run " run ", after")
	}
	told_all()
}

# triples AT - print the row for all runs of a race on a kernel in a host
function triples(at, race, kernel, host,  run, shows, closed, open, time, before, after, key)
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
	row(race, release[kernel], host,
		(shows ? "shows " : "does not show ") shows + 0 "/" run " (" how(at SUBSEP "before" SUBSEP 1) ")",
		fixed_cell(open, closed, run), sprintf("%d s a run", time / run))
	if (shows < run || closed < run)
		tell_triples(at, run)
}

# must_show KEY - whether the race has shown in another step here, so that it must show
function must_show(key)
{
	if (result[key] == "pass" && good(key))
		complain(key, "no case fails, but the race showed in another step", where[key])
}

# here AT - print the row for all runs of a race on this machine, whose kernel may have the race or
# not; this need not be known
function here(at, race, kernel,  run, has, shows, showed, quiet, closed, open, time, before, after, key, unfixed, wrong)
{
	before = at SUBSEP "before" SUBSEP 1
	has = expect[before] == "fail" ? " (vulnerable)" : ""
	tested_here++
	if (result[before] == "skip") {
		excuse(before)
		row(race, release[kernel], "local", "not tried: " (reason[before] != "" ? reason[before] : "it skipped") has, "", "")
		untried++
		return
	}
	for (run = 1; (at, "before", run) in result; run++) {
		before = at SUBSEP "before" SUBSEP run
		after = at SUBSEP "after" SUBSEP run
		key = at SUBSEP "closed" SUBSEP run
		shows += result[before] == "fail" && result[after] == "fail"
		showed += (result[before] == "fail") + (result[after] == "fail")
		quiet += result[before] == "pass" && result[after] == "pass"
		closed += closed_well(at, run)
		open += result[key] == "fail"
		time += wall[before] + wall[key] + wall[after]
	}
	run--
	if (showed)
		unfixed = "shows " shows + 0 "/" run " (vulnerable)"
	else if (quiet < run)
		unfixed = "unclear " quiet + 0 "/" run
	else
		unfixed = has ? "does not show 0/" run has : "does not show (as shipped)"
	for (key = 1; key <= run && showed; key++) {
		must_show(at SUBSEP "before" SUBSEP key)
		must_show(at SUBSEP "after" SUBSEP key)
	}
	wrong = showed ? shows < run : quiet < run || has
	shown_here += showed || wrong || closed < run
	row(race, release[kernel], "local", unfixed, fixed_cell(open, closed, run), sprintf("%d s a run", time / run))
	if (wrong || closed < run)
		tell_triples(at, run)
}

# once AT NAME - print the row of a fatal case, which has a boot of its own
function once(at, name, kernel, host, key,  verdict, fixed, last, run)
{
	verdict = good(key) ? "host dies 1/1 (" how(key) ")" : "does not show 0/1"
	# Take the last run that reached the case.
	for (run = 1; (at, "closed", run) in result; run++)
		if (last == "" || (at, "closed", run, name) in case_result)
			last = at SUBSEP "closed" SUBSEP run
	# Some kernels lack code that the case needs.
	fixed = case_result[at, "control", 1, name] == "pass" ? "by control" : "not shown"
	if (case_result[last, name] == "pass")
		fixed = "as above"
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

# of_race RACE HOSTS - print all rows of the race
function of_race(race, hosts,  k, h, n, host, at, i, part)
{
	n = split(hosts, host, " ")
	for (k = 1; k <= kernels; k++)
		for (h = 1; h <= n; h++) {
			at = kernel[k] SUBSEP host[h] SUBSEP race
			if (!((at, "before", 1) in result))
				continue
			if (host[h] == "local")
				here(at, race, kernel[k])
			else
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
	if (tested_here && untried == tested_here) {
		code = 1
		add_line("No race could be tried on this machine; HOST=bochs and HOST=qemu are emulated machines.")
	} else if (tested_here && !shown_here) {
		add_line("No race that was tried shows on this kernel's own modules: there was nothing to close. Races are reopened" \
			" only in emulated hosts, HOST=bochs and HOST=qemu.")
	}
	return dead_hosts ? 3 : code
}
