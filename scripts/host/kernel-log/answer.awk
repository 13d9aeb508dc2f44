# SPDX-License-Identifier: GPL-2.0-only
#
# Print the findings, as text and as JSON; part of explain.awk.

# title(E) - return a description of the event
function title(e,   kind, text)
{
	kind = ev_kind[e]
	text = "an excerpt of a trace"
	if (kind == "gpf") text = "general protection fault"
	if (kind == "null") text = "NULL pointer dereference"
	if (kind == "fault") text = "page fault in the kernel"
	if (kind == "bug") text = "BUG"
	if (kind == "oops") text = "oops"
	if (kind == "warning") text = "WARNING"
	if (kind == "kasan") text = "report of KASAN or KFENCE"
	if (kind == "kcsan") text = "report of KCSAN"
	if (kind == "lockup") text = "lockup"
	if (kind == "lock") text = "report of the lock validator"
	if (kind == "hang") text = "hang"
	if (kind == "memory") text = "report of the page allocator or of slab"
	if (kind == "list") text = "list corruption"
	if (kind == "panic") text = "panic"
	if (kind == "backtrace") text = "backtrace"
	if (ev_rip[e] != "")
		text = text " in " ev_rip[e] "()"
	return text
}

# fold(TEXT, INDENT, USED) - return TEXT in lines of 90 columns, of which the first has USED already
function fold(text, indent, used,   n, i, word, line, out)
{
	n = split(text, word, / +/)
	line = ""
	out = ""
	for (i = 1; i <= n; i++) {
		if (line != "" && length(line) + length(word[i]) >= 90 - used) {
			used = length(indent)
			out = out line "\n" indent
			line = word[i]
		} else {
			line = line (line == "" ? "" : " ") word[i]
		}
	}
	return out line
}

# exists(FILE) - does FILE exist, and is it not empty?
function exists(file,   line, rc)
{
	rc = (getline line <file)
	close(file)
	return rc > 0
}

# patch_for(S, RELEASE) - return the patch of the signature's part in the directory of the kernel
# line, or nothing
function patch_for(s, release,   line, file)
{
	if (!((s, "Part") in field))
		return ""
	if (release == "" || release !~ /^[0-9]+\.[0-9]+/)
		return ""
	line = release
	match(line, /^[0-9]+\.[0-9]+/)
	line = substr(line, 1, RLENGTH)
	file = "patches/" line "/" field[s, "Part"] ".patch"
	return exists(TOPDIR "/" file) ? file : ""
}

# q(TEXT) - return TEXT as a string of JSON
function q(text)
{
	gsub(/\\/, "\\\\", text)
	gsub(/"/, "\\\"", text)
	gsub(/\t/, "\\t", text)
	gsub(/[\001-\037\177]/, "?", text)
	return "\"" text "\""
}

# shown(I) - return line I as it was read, shortened if it is long
function shown(i,   text)
{
	text = raw[line_of[i]]
	gsub(/\033\[[0-9;]*[A-Za-z]/, "", text)
	gsub(/[\r\007]/, "", text)
	sub(/[ \t]+$/, "", text)
	if (length(text) > 200)
		text = substr(text, 1, 197) "..."
	return text
}

function print_text(   f, s, e, i, race, verdict, patch, release, times)
{
	for (f = 1; f <= nr_findings; f++) {
		s = finding_sig[f]
		e = finding_event[f]
		race = sig_race[s]
		verdict = field[s, "Verdict"]
		release = e ? ev_release[e] : log_release
		if (f > 1)
			print ""
		printf "line %d: %s%s\n", line_of[e ? ev_first[e] : finding_line[f, 1]],
			e ? title(e) : "a report, not a kernel's event",
			release == "" ? "" : ", Linux " release
		if (verdict == "other")
			printf "  not %s: %s\n", race, fold(field[s, "Is"], "    ", 8 + length(race))
		else
			printf "  %s (%s): %s\n", race, verdict, fold(field[s, "Is"], "    ", 7 + length(race verdict))
		print "  lines that decide:"
		for (i = 1; i <= finding_lines[f]; i++)
			printf "    %5d: %s\n", line_of[finding_line[f, i]], shown(finding_line[f, i])
		if (finding_again[f] != "")
			printf "  the same again at line %s\n", fold(finding_again[f], "    ", 25)
		if ((s, "But") in field)
			printf "  but: %s\n", fold(field[s, "But"], "    ", 7)
		if (verdict != "other" || (s, "Part") in field) {
			patch = patch_for(s, release)
			printf "  next: %s\n", fold("scripts/status --race " ((s, "Part") in field ? field[s, "Part"] : race) \
				" TREE shows whether a tree has it, make status-host whether this host does", "        ", 8)
			if (verdict != "other")
				printf "        make demo RACE=%s shows it; doc/races/%s.md describes it\n", race, race
			printf "        scripts/apply TREE puts the fix in%s\n", patch == "" ? "" : ", " patch
		}
		if (verdict != "other" && (race, "Avoid") in of_race)
			printf "  meanwhile: %s\n", fold(of_race[race, "Avoid"], "    ", 13)
		printf "  signature: %s of %s, from %s\n", field[s, "Signature"], race,
			fold(field[s, "Source"], "    ", 23 + length(field[s, "Signature"] race))
	}
	split("", times)
	for (i = 1; i <= nr_unknown; i++)
		times[title(unknown[i])]++
	for (i = 1; i <= nr_unknown; i++) {
		e = unknown[i]
		if (!times[title(e)])
			continue
		if (i == 1 && nr_findings)
			print ""
		printf "line %d: %s%s: not one of the races that are known here\n", line_of[ev_first[e]], title(e),
			(times[title(e)] > 1 ? ", " times[title(e)] " times" : "")
		times[title(e)] = 0
		if (ev_rip[e] == "" && ev_nameless[e])
			print "  its addresses have no names; give the log of a kernel that has CONFIG_KALLSYMS, or decode it first"
	}
	if (!nr_findings && !nr_unknown)
		printf "no oops, warning or panic of a kernel and no symptom that is known here, in %d line%s\n",
			nr_raw, nr_raw == 1 ? "" : "s"
}

function print_json(   f, s, e, i, comma)
{
	printf "{\"schema\": \"kvm-racefix/explain/1\", \"named\": %s, \"lines\": %d, \"findings\": [",
		named ? "true" : "false", nr_raw
	for (f = 1; f <= nr_findings; f++) {
		s = finding_sig[f]
		e = finding_event[f]
		printf "%s{\"race\": %s, \"verdict\": %s, \"signature\": %s, \"line\": %d, \"event\": %s, \"function\": %s, \"kernel\": %s, \"is\": %s",
			(f > 1 ? ", " : ""), q(sig_race[s]), q(field[s, "Verdict"]), q(field[s, "Signature"]),
			line_of[e ? ev_first[e] : finding_line[f, 1]], q(e ? ev_kind[e] : "report"),
			q(e ? ev_rip[e] : ""), q(e ? ev_release[e] : log_release), q(field[s, "Is"])
		if ((s, "Part") in field)
			printf ", \"part\": %s", q(field[s, "Part"])
		printf ", \"avoid\": %s, \"source\": %s, \"deciding\": [", q(of_race[sig_race[s], "Avoid"]), q(field[s, "Source"])
		for (i = 1; i <= finding_lines[f]; i++)
			printf "%s{\"line\": %d, \"text\": %s}", (i > 1 ? ", " : ""),
				line_of[finding_line[f, i]], q(shown(finding_line[f, i]))
		printf "]}"
	}
	printf "], \"unknown\": ["
	for (i = 1; i <= nr_unknown; i++) {
		e = unknown[i]
		printf "%s{\"line\": %d, \"event\": %s, \"function\": %s}", (i > 1 ? ", " : ""),
			line_of[ev_first[e]], q(ev_kind[e]), q(ev_rip[e])
	}
	print "]}"
}
