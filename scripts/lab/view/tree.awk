# SPDX-License-Identifier: GPL-2.0-only
#
# The races that unmodified kernel trees have, after judge.awk: rows of doc's table if tsv is
# set, or lines of text. The caller sets order, "RACE:HOST RACE:HOST ...".

function row(dir, race, host, unfixed, fixed,  row_cells)
{
	row_cells = name_of(dir) OFS race OFS host OFS unfixed OFS fixed
	add_row(tsv ? row_cells : sprintf("%-12s %-37s %-6s %-20s %s", name_of(dir), race, host, unfixed, fixed), row_cells)
	if (!(unfixed ~ /^(does not show|shows) / && fixed ~ /^closed / ||
	      unfixed ~ /^does not show / && fixed ~ /^(no patch|as above)$/ ||
	      unfixed ~ /^not tried/ || unfixed ~ /^host dies /)) {
		code = 1
		return 1
	}
}

# steps_of AT STAGE - count its results in n[RESULT]; set results to all of them in their order,
# and why to the reason of the first skip
function steps_of(at, stage,  run, key)
{
	for (run = 1; (at, stage, run) in result; run++) {
		key = at SUBSEP stage SUBSEP run
		n["all"]++
		n[result[key]]++
		results = results (results == "" ? "" : " ") result[key]
		if (result[key] == "skip" && why == "")
			why = reason[key]
	}
}

function clear()
{
	split("", n)
	n["all"] = n["fail"] = n["pass"] = 0
	results = why = ""
}

function unfixed(at)
{
	clear()
	steps_of(at, "before")
	steps_of(at, "after")
	steps_of(at, "as-is")
	if (n["fail"])
		return "shows " n["fail"] "/" n["all"]
	if (results ~ /^pass/)
		return "does not show 0/" n["all"]
	if (results ~ /^skip/)
		return "not tried: " why
	return n["lost"] == n["all"] || results ~ /^(panic|oops|hang|killed|no-boot)/ ? "the host died" : "failed: " results
}

function fixed(at,  run, closed)
{
	if (!((at, "closed", 1) in result))
		return "no patch"
	clear()
	steps_of(at, "closed")
	if (n["fail"])
		return "SHOWS " n["fail"] "/" n["all"]
	if (results ~ /^skip/)
		return "not tried"
	if (n["lost"] == n["all"] || results ~ /^(panic|oops|hang|killed|no-boot)/)
		return "the host died"
	if (results !~ /^pass/)
		return "failed: " results
	for (run = 1; run <= n["all"]; run++)
		closed += good(at SUBSEP "closed" SUBSEP run)
	return (closed == n["all"] ? "closed " : "unclear ") closed + 0 "/" n["all"]
}

function once(key)
{
	if (result[key] == "dies")
		return "host dies 1/1"
	if (result[key] ~ /^(pass|fail)$/)
		return "does not show 0/1"
	return result[key] == "skip" ? "not tried" : "failed: " result[key]
}

# tell_all AT BAD - print the unexpected results as text, if BAD is set
function tell_all(at, bad,  i, part)
{
	if (bad && tsv)
		return
	for (i = 1; i <= nr_steps; i++)
		if (index(steps[i], at SUBSEP) == 1) {
			if (!bad) {
				if (steps[i] !~ /[|]once[|]/)
					excuse(steps[i])
				continue
			}
			split(substr(steps[i], length(at) + 2), part, "|")
			tell(steps[i], "run " part[2] ", " part[1])
		}
	told_all()
}

function view(  n_entries, entry, k, e, i, part, at)
{
	n_entries = split(order, entry, " ")
	for (k = 1; k <= kernels; k++) {
		for (e = 1; e <= n_entries; e++) {
			split(entry[e], part, ":")
			at = kernel[k] SUBSEP part[2] SUBSEP part[1]
			if (!((at, "before", 1) in result) && !((at, "as-is", 1) in result))
				continue
			tell_all(at, row(kernel[k], part[1], part[2], unfixed(at), fixed(at)))
		}
		for (i = 1; i <= nr_steps; i++) {
			split(steps[i], part, "|")
			if (part[1] != kernel[k] || part[4] != "once")
				continue
			if (!row(part[1], part[3] ": " part[5], part[2], once(steps[i]), "as above"))
				excuse(steps[i])
			else if (!tsv)
				add_line("    " result[steps[i]] " (" reason[steps[i]] "): " where[steps[i]])
		}
	}
	return dead_hosts ? 3 : code
}
