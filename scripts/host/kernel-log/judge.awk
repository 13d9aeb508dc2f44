# SPDX-License-Identifier: GPL-2.0-only
#
# Find the signature that fits each event, and those that fit the lines outside of events; part of
# explain.awk. keep() has the findings.

# decides(LINE) - add LINE to those that decide
function decides(i)
{
	if (i && !(i in seen_line)) {
		seen_line[i] = 1
		deciding[++nr_deciding] = i
	}
}

# text_line(E, RE) - return the line of event E that matches RE, or 0
function text_line(e, re,   i)
{
	for (i = ev_first[e]; i <= ev_last[e]; i++)
		if (event_of[i] == e && msg[i] ~ re)
			return i
	# RE may match two lines that follow each other.
	for (i = ev_first[e]; i < ev_last[e]; i++)
		if ((msg[i] " " msg[i + 1]) ~ re)
			return i
	return 0
}

# frame_at(E, RE) - return the line of a function of E whose name matches RE, or 0. Functions with
# a "?" count only if there are no others, or if racegate, which makes the unwinder unsure, is in
# the trace
function frame_at(e, re,   f)
{
	if (ev_rip[e] ~ re && ev_rip[e] != "")
		return ev_rip_line[e]
	for (f = 1; f <= nr_frames[e]; f++)
		if (frame[e, f] ~ re && (!frame_unsure[e, f] || !nr_sure[e] || ev_racegate[e]))
			return frame_line[e, f]
	return 0
}

# fits(S, E) - does signature S fit event E?
function fits(s, e,   n, i, list, at, address)
{
	nr_deciding = 0
	split("", seen_line)
	if (field[s, "Kind"] ~ /^(report|prose)$/)
		return 0
	if ((s, "Kernel") in field && ev_release[e] != "" && ev_release[e] !~ field[s, "Kernel"])
		return 0
	if ((s, "Kind") in field) {
		if (ev_kind[e] !~ "^(" field[s, "Kind"] ")$")
			return 0
		for (i = ev_first[e]; i <= ev_last[e] && kind_of(msg[i]) != ev_kind[e]; i++) { }
		if (i <= ev_last[e])
			decides(i)
	}
	if ((s, "Rip") in field) {
		if (ev_rip[e] == "" || ev_rip[e] !~ "^(" field[s, "Rip"] ")$")
			return 0
		decides(ev_rip_line[e])
	}
	if ((s, "Address") in field) {
		address = address_of(e)
		if (address !~ "^(" field[s, "Address"] ")$")
			return 0
		decides(address_line)
	}
	n = split(field[s, "Calls"], list, SUBSEP)
	for (i = 1; i <= n; i++) {
		at = frame_at(e, "^(" list[i] ")$")
		if (!at)
			return 0
		decides(at)
	}
	n = split(field[s, "Calls-not"], list, SUBSEP)
	for (i = 1; i <= n; i++)
		if (frame_at(e, "^(" list[i] ")$"))
			return 0
	n = split(field[s, "Text"], list, SUBSEP)
	for (i = 1; i <= n; i++) {
		at = text_line(e, list[i])
		if (!at)
			return 0
		decides(at)
	}
	n = split(field[s, "Text-not"], list, SUBSEP)
	for (i = 1; i <= n; i++)
		if (text_line(e, list[i]))
			return 0
	return 1
}

# report_line(RE) - return the line outside of events that matches RE, perhaps with the next, or 0
function report_line(re,   i, at, text)
{
	for (i = 1; i <= nr_other; i++)
		if (msg[other_lines[i]] ~ re)
			return other_lines[i]
	for (i = 1; i < nr_other; i++) {
		text = msg[other_lines[i]]
		if (text == "" || other_lines[i + 1] != other_lines[i] + 1)
			continue
		sub(/^[ \t]+/, "", msg[other_lines[i + 1]])
		if ((text " " msg[other_lines[i + 1]]) ~ re)
			return other_lines[i]
	}
	return 0
}

# fits_text(S) - does S fit the lines outside of kernel events, of VMMs, guests or people ("prose")?
function fits_text(s,   n, i, list, at)
{
	nr_deciding = 0
	split("", seen_line)
	if ((s, "Alone") in field && nr_traced)
		return 0
	if (field[s, "Kind"] == "prose" ? !is_prose || log_release != "" : field[s, "Kind"] != "report")
		return 0
	if ((s, "Kernel") in field && log_release != "" && log_release !~ field[s, "Kernel"])
		return 0
	n = split(field[s, "Text"], list, SUBSEP)
	for (i = 1; i <= n; i++) {
		at = report_line(list[i])
		if (!at)
			return 0
		decides(at)
	}
	n = split(field[s, "Text-not"], list, SUBSEP)
	for (i = 1; i <= n; i++)
		if (report_line(list[i]))
			return 0
	return 1
}

# keep(S, E) - add a finding, or another place of a finding with the same signature
function keep(s, e,   i)
{
	if ((s) in finding_of) {
		finding_again[finding_of[s]] = finding_again[finding_of[s]] (finding_again[finding_of[s]] == "" ? "" : ", ") line_of[ev_first[e]]
		return
	}
	f = ++nr_findings
	finding_of[s] = f
	finding_sig[f] = s
	finding_event[f] = e
	finding_lines[f] = nr_deciding
	for (i = 1; i <= nr_deciding; i++) {
		finding_line[f, i] = deciding[i]
		quoted[deciding[i]] = 1
	}
	if (field[s, "Verdict"] != "other")
		named = 1
}

# judge() - find the best signature of each event, and those of each race that fit the other lines
function judge(   e, s, best, rank, done)
{
	rank["possible"] = 1
	rank["other"] = 2
	rank["likely"] = 3
	rank["sure"] = 4
	for (e = 1; e <= nr_events; e++) {
		best = 0
		split("", done)
		for (s = 1; s <= nr_sigs; s++) {
			if (sig_race[s] in done || !fits(s, e))
				continue
			done[sig_race[s]] = 1
			if (!best || rank[field[s, "Verdict"]] > rank[field[best, "Verdict"]])
				best = s
		}
		if (best) {
			fits(best, e)
			keep(best, e)
		} else if (ev_first[e] == ev_last[e] && ev_rip[e] == "" && !nr_frames[e]) {
			# A line without a trace is a title, or a report that quotes one.
			other_lines[++nr_other] = ev_first[e]
			lone[++nr_lone] = e
		} else if (ev_kind[e] !~ /^(backtrace|cut)$/ || ev_rip[e] != "") {
			unknown[++nr_unknown] = e
		}
	}
	split("", done)
	nr_traced = nr_events - nr_lone
	for (s = 1; s <= nr_sigs; s++)
		if (!(sig_race[s] in done) && fits_text(s)) {
			# A CVE and a symptom may both be there.
			if (field[s, "Signature"] !~ /^CVE-/)
				done[sig_race[s]] = 1
			keep(s, 0)
		}
	for (e = 1; e <= nr_lone; e++)
		if (!(ev_first[lone[e]] in quoted))
			unknown[++nr_unknown] = lone[e]
}
