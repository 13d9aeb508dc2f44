# SPDX-License-Identifier: GPL-2.0-only
#
# The mutations that the tests catch, after judge.awk.

function row(mutation, race, host, text)
{
	add_row(sprintf("%-50s %-24s %-6s %s", mutation, race, host, text), mutation OFS race OFS host OFS text)
}

# verdict KEY STAGE - return the verdict in words
function verdict(key, stage,  died_in)
{
	if (stage != "mutation")
		return good(key) ? "passes, as it should" : "FAILS on " stage " modules: " result[key] (reason[key] ? " (" reason[key] ")" : "")
	if (result[key] ~ /^(fail|timeout|crash)$/)
		return "caught: " reason[key]
	if (result[key] ~ /^(dies|panic)$/) {
		died_in = reason[key]
		sub(/^in /, "", died_in)
		sub(/:.*/, "", died_in)
		return "caught: the host dies of " (reason[key] ~ /^in / ? died_in : "it")
	}
	return result[key] == "pass" ? "SURVIVES" : "NOT TRIED: " result[key] (reason[key] ? " (" reason[key] ")" : "")
}

function view(  i, part)
{
	headers = 1
	row("mutation", "race", "host", "result")
	for (i = 1; i <= nr_steps; i++) {
		split(steps[i], part, "|")
		row(part[5], part[3], part[2], verdict(steps[i], part[4]))
		if (!good(steps[i])) {
			code = 1
			tell(steps[i], set[steps[i]])
			told_all()
		}
	}
	return dead_hosts ? 3 : code
}
