# SPDX-License-Identifier: GPL-2.0-only
#
# The mutants made by rule that the tests catch, after judge.awk, and the score: the caught ones
# in proportion to those that were run and are not listed as equivalent.

function row(name, race, host, text)
{
	add_row(tsv ? name OFS race OFS host OFS text : sprintf("%-74s %-6s %s", name, host, text), name OFS race OFS host OFS text)
}

# ends KEY - return the result in words
function ends(key,  died_in)
{
	died_in = reason[key]
	if (!sub(/^in /, "", died_in) || !sub(/:.*/, "", died_in))
		died_in = "it"
	if (result[key] ~ /^(fail|timeout|crash)$/)
		return reason[key]
	if (result[key] ~ /^(dies|panic|oops)$/)
		return "the host dies of " died_in
	return result[key] == "hang" ? "the host hangs in " died_in : "the modules do not load or unload"
}

function view(  i, part, key, text, caught, survived, untried, equivalent, elsewhere)
{
	headers = 1
	if (!tsv)
		row("mutant", "race", "host", "result")
	for (i = 1; i <= nr_steps; i++) {
		key = steps[i]
		split(key, part, "|")
		if (part[4] == "fixed") {
			if (!good(key)) {
				code = 1
				add_line("after " part[5] ", " set[key] " modules: " result[key] (reason[key] ? " (" reason[key] ")" : "") \
					"; the results before it in that boot are in doubt: " where[key])
			}
			continue
		}
		if (result[key] == "pass") {
			text = part[4] == "equivalent" ? "equivalent" : part[4] == "elsewhere" ? "passes: worse elsewhere only" : "SURVIVES"
			if (part[4] == "equivalent")
				equivalent++
			else if (part[4] == "elsewhere")
				elsewhere++
			else
				survived++
		} else if (!as_expected(result[key], "harm")) {
			text = "NOT TRIED: " result[key] (reason[key] ? " (" reason[key] ")" : "")
			untried++
		} else if (part[4] != "mutant") {
			text = "is listed as " (part[4] == "equivalent" ? "EQUIVALENT" : "worse ELSEWHERE only") ", and caught: " ends(key)
			survived++
		} else {
			text = "caught: " ends(key)
			caught++
		}
		row(part[5], part[3], part[2], text)
	}
	if (survived || untried)
		code = 1
	if (!tsv)
		add_line(sprintf("%d caught, %d survive, %d equivalent, %s%d not tried: score %s", caught, survived, equivalent,
			elsewhere ? elsewhere " worse elsewhere only, " : "", untried,
			caught + survived ? int(100 * caught / (caught + survived)) " %" : "none"))
	return code
}
