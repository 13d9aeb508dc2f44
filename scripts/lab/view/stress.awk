# SPDX-License-Identifier: GPL-2.0-only
#
# How often each race showed without and with the interleaving forced, after judge.awk: rows of
# stress' results if tsv is set (scripts/lab/stress explains them), or a sentence for each.

# The interval between two signs of life of the case "stress", in the host's time.
BEGIN { SIGN_SECONDS = 0.5 }

# said KEY WORD - return the number behind WORD= in the last sign of life of "stress"
function said(key, word,  i, n, part)
{
	n = split(case_reason[key, "stress"], part, /[ =]/)
	for (i = 1; i < n; i += 2)
		if (part[i] == word)
			return part[i + 1]
	return 0
}

# ended KEY - return the end of the case: clean, died, hung, or nothing if it was not tried
function ended(key)
{
	if (result[key] ~ /^(pass|fail)$/)
		return "clean"
	if (result[key] ~ /^(timeout|unfinished|hang)$/)
		return "hung"
	return result[key] ~ /^(dies|panic|oops|killed)$/ ? "died" : ""
}

# forced AT - sets shows, runs and each, the average seconds of a run
function forced(at,  key)
{
	shows = runs = each = 0
	for (runs = 1; (at, "forced", runs) in result; runs++) {
		key = at SUBSEP "forced" SUBSEP runs
		shows += result[key] == "fail"
		each += seconds[key]
		if (!good(key)) {
			code = host_died(result[key]) || result[key] == "lost" ? 3 : code ? code : 1
		}
	}
	runs--
	each = runs ? sprintf("%.1f", each / runs) : 0
}

function row(at, kernel, host, race,  key, end, tries, shown, lasted, how, i, name)
{
	key = at SUBSEP "waited" SUBSEP 1
	name = race ", " kernel ", " host
	end = ended(key)
	tries = said(key, "tries")
	shown = said(key, "shown")
	lasted = said(key, "seconds")
	if (end != "" && end != "clean") {
		# Add the try in which the host ended.
		tries++
		shown++
		lasted += SIGN_SECONDS
	}
	if (end == "" || !tries) {
		code = result[key] ~ /^(no-boot|lost)$/ ? 3 : code ? code : 1
		if (!tsv)
			add_line(name ": " (end == "" ? "the test could not be run: " result[key] (reason[key] != "" ? " (" reason[key] ")" : "") : \
			"there was not a single try: give it more time") ": " where[key])
		return
	}
	# The end of the host is a valid result here.
	excuse(key)
	forced(at)
	how = set[key] == "stock" ? "vulnerable" : "reopened"
	cell = race OFS kernel OFS host OFS release[kernel] OFS how OFS tries OFS shown OFS lasted OFS end OFS shows OFS runs OFS each
	add_row(tsv ? cell : name ": " shown " of " tries " tries in " lasted " s (" end "); forced: " shows " of " runs " in " each " s each", cell)
	for (i = 1; i <= runs && !tsv; i++)
		tell(at SUBSEP "forced" SUBSEP i, "forced, run " i)
	told_all()
}

function view(  i, part)
{
	for (i = 1; i <= nr_steps; i++) {
		split(steps[i], part, "|")
		if (part[4] == "waited")
			row(part[1] SUBSEP part[2] SUBSEP part[3], part[1], part[2], part[3])
	}
	return code
}
