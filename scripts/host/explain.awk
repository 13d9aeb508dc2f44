# SPDX-License-Identifier: GPL-2.0-only
#
# Match a kernel log, a guest's error or a report in plain words with the signatures of
# the races; see scripts/explain, which runs this.
#
# Input: the files of signatures, then LOG=1, then the log (one stream).
# Variables: JSON=1 prints a JSON object; TOPDIR is the directory of patches/.
# Exit codes: 0 a race is named, 9 none is, 2 a file of signatures is wrong; awk's own
# errors are 1 and 2.
#
# The first signature of a race that fits an event counts, so that strict ones come first
# in a file.  Nothing here may need gawk: mawk has no intervals in expressions.

function fail(text)
{
	print "explain: error: " text >"/dev/stderr"
	wrong = 1
	exit 2
}

# add_field(KEY, VALUE) - add a field to the signature that is being read
function add_field(key, value)
{
	if (!(key in known_key))
		fail(FILENAME ":" FNR ": unknown field '" key "'")
	if ((nr_sigs, key) in field) {
		if (known_key[key] != "many")
			fail(FILENAME ":" FNR ": a second '" key "'")
		field[nr_sigs, key] = field[nr_sigs, key] SUBSEP value
	} else {
		field[nr_sigs, key] = value
	}
}

# read_signature(LINE) - read a line of a file of signatures
function read_signature(line,   key, value)
{
	if (line ~ /^#/)
		return
	if (line ~ /^[ \t]*$/) {
		last_key = ""
		return
	}
	if (line ~ /^[ \t]/) {
		if (last_key == "")
			fail(FILENAME ":" FNR ": continues nothing")
		sub(/^[ \t]+/, "", line)
		if (last_key in race_key)
			of_race[race, last_key] = of_race[race, last_key] " " line
		else
			field[nr_sigs, last_key] = field[nr_sigs, last_key] " " line
		return
	}
	if (line !~ /^[A-Z][a-z-]*: ./)
		fail(FILENAME ":" FNR ": not 'Key: value'")
	key = value = line
	sub(/:.*/, "", key)
	sub(/^[^:]*: +/, "", value)
	last_key = key
	if (key == "Race") {
		race = value
		races[++nr_races] = race
	} else if (key in race_key) {
		of_race[race, key] = value
	} else if (key == "Signature") {
		field[++nr_sigs, "Signature"] = value
		sig_race[nr_sigs] = race
	} else {
		if (!nr_sigs)
			fail(FILENAME ":" FNR ": '" key "' before the first Signature")
		add_field(key, value)
	}
}

# unprefix(LINE) - return LINE without the prefixes that loggers add; sets had_prefix
function unprefix(line,   before)
{
	had_prefix = 0
	sub(/^\357\273\277/, "", line)
	gsub(/\033\[[0-9;]*[A-Za-z]/, "", line)
	gsub(/[\r\007]/, "", line)
	sub(/[ \t]+$/, "", line)
	if (line ~ /&(gt|lt|quot|amp);/) {
		gsub(/&gt;/, ">", line)
		gsub(/&lt;/, "<", line)
		gsub(/&quot;/, "\"", line)
		gsub(/&amp;/, "\\&", line)
	}
	if (line ~ /^("[^"]*",)+" *(\[ *[0-9]+\.[0-9]+\]|<[0-9]+>) ?.*"$/) {
		# This is a field of CSV.
		sub(/"$/, "", line)
		sub(/^("[^"]*",)+"/, "", line)
		gsub(/""/, "\"", line)
	}
	if (line ~ /^\[[0-9]+\] [^ ]+: \[.*"(msg|message|log)"=>".*"\}\]$/) {
		# This is from Fluent Bit's standard output.
		sub(/"\}\]$/, "", line)
		sub(/^\[[0-9]+\] [^ ]+: \[.*"(msg|message|log)"=>"/, "", line)
		gsub(/\\"/, "\"", line)
		had_prefix = 1
	}
	if (line ~ /^[^ ]+ login: +\[ *[0-9]+\./)
		sub(/^[^ ]+ login: +/, "", line)
	# Names of months and days may be in the language of the host.
	do {
		before = line
		sub(/^(> ?)+/, "", line)
		if (line ~ /^[ \t]+(MESSAGE=|\[ *[0-9]+\.|<[0-9]+>|(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) +[0-9]+ [0-9])/)
			sub(/^[ \t]+/, "", line)
		sub(/^MESSAGE=/, "", line)
		sub(/^\(XEN\) /, "", line)
		# abrt has a colon before each line, docker compose the container's name.
		sub(/^:/, "", line)
		if (line ~ /^[A-Za-z0-9._-]+ +\| +\[ *[0-9]+\.[0-9]+\] /)
			sub(/^[^|]*\| +/, "", line)
		if (sub(/^[0-9]+,[0-9]+,[0-9]+,[^;]*;/, "", line) ||
		    sub(/^\[ *[0-9]+\.[0-9]+\] ?/, "", line) ||
		    sub(/^\[ *[0-9]+\.[0-9]+ *<[ 0-9.]*>\] ?/, "", line) ||
		    sub(/^\[ *[+<][ 0-9.]+>?\] ?/, "", line) ||
		    sub(/^\[ *[TC][0-9]+\] ?/, "", line) ||
		    sub(/^\[(Mon|Tue|Wed|Thu|Fri|Sat|Sun) [^]]*\] ?/, "", line) ||
		    sub(/^\[[^]0-9]+ [^] ]+ +[0-9]+ [0-9:.]+ [12][0-9][0-9][0-9]\] ?/, "", line) ||
		    sub(/^(Mon|Tue|Wed|Thu|Fri|Sat|Sun) [12][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9] [0-9:.]+ ([A-Z]+|[+-][0-9]+) /, "", line) ||
		    sub(/^\[(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) +[0-9]+ [0-9:]+\] ?/, "", line) ||
		    sub(/^\[[12][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9][T ][0-9:.,]+([+-][0-9:]+|Z)?\] ?/, "", line) ||
		    sub(/^[12][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9][T ][0-9:.,]+([+-][0-9:]+|Z)?:? /, "", line) ||
		    sub(/^[01][0-9]-[0-3][0-9] [0-9:.]+ +[0-9]+ +[0-9]+ [VDIWEF] [^:]*: /, "", line) ||
		    sub(/^[^][ \t<>(){}:=]+ +[0-9]+ [0-9][0-9]:[0-9][0-9]:[0-9][0-9][0-9.]* /, "", line) ||
		    sub(/^([A-Za-z0-9._-]+ )?([A-Za-z0-9._-]+ )?kernel(\[[^]]*\])?: ?/, "", line) ||
		    sub(/^([A-Za-z0-9._-]+ )?kernel - - (-|\[[^\]]*\]) /, "", line) ||
		    sub(/^<[0-9]+>1 /, "", line))
			had_prefix = 1
		# Loki adds labels.
		if (had_prefix)
			sub(/^\{[a-z_]+="[^}]*"\} +/, "", line)
		# A syslog server adds the host to netconsole's lines, but no name of a program.
		if (had_prefix && line ~ /^[A-Za-z0-9._:-]+ +(<[0-9]+> ?)?\[ *[0-9]+\.[0-9]+\] /)
			sub(/^[^ ]+ +/, "", line)
		sub(/^<[0-9]+> ?/, "", line)
		sub(/^(kern|user|daemon|syslog) *:(emerg|alert|crit|err|warn|notice|info|debug) *: /, "", line)
		sub(/^ *(EMERG|ALERT|CRIT|WARN): /, "", line)
	} while (line != before)
	# Other collectors: drop all before the kernel's own time.
	if (!had_prefix && line ~ /^[^\[]+[ \t\]:|>=]\[ *[0-9]+\.[0-9][0-9][0-9][0-9][0-9][0-9]\] /) {
		sub(/^[^\[]*\[ *[0-9]+\.[0-9]+\] ?/, "", line)
		had_prefix = 1
	}
	return line
}

# in_order() - sort the lines of pstore's records: the first part of a record has the log's end, and
# a record may stand before the one that was written before it
function in_order(   i, n, b, r, kind, part)
{
	b = 0
	for (i = 1; i <= nr_raw; i++) {
		if (raw[i] ~ /^(Oops|Panic|Emergency|Shutdown|Unknown)#[0-9]+ Part[0-9]+/) {
			kind = part = raw[i]
			sub(/ Part.*/, "", kind)
			sub(/.* Part/, "", part)
			b++
			block_kind[b] = kind
			block_part[b] = part + 0
			block_first[b] = i + 1
			block_last[b - 1] = i - 1
		} else if (!b) {
			b = 1
			block_kind[b] = ""
			block_first[b] = i
		}
	}
	block_last[b] = nr_raw
	# A record is a run of blocks with the same kind and number.
	r = 0
	for (i = 1; i <= b; i = run_last[r] + 1) {
		r++
		run_first[r] = run_last[r] = i
		while (run_last[r] < b && block_kind[i] != "" && block_kind[run_last[r] + 1] == block_kind[i] &&
		       block_part[run_last[r] + 1] > block_part[run_last[r]])
			run_last[r]++
	}
	n = 0
	for (i = 1; i <= r; i++) {
		if (i < r && follows(block_kind[run_first[i]], block_kind[run_first[i + 1]])) {
			n = add_run(i + 1, n)
			n = add_run(i++, n)
		} else {
			n = add_run(i, n)
		}
	}
	nr_order = n
}

# follows(KIND, OTHER) - is KIND the record after OTHER, as "Panic#2" is after "Oops#1"?
function follows(kind, other)
{
	if (kind == "" || other == "")
		return 0
	sub(/.*#/, "", kind)
	sub(/.*#/, "", other)
	return kind == other + 1
}

# add_run(R, N) - append the lines of record R to the N lines in order; return the new number
function add_run(r, n,   i, p)
{
	for (i = run_last[r]; i >= run_first[r]; i--)
		for (p = block_first[i]; p <= block_last[i]; p++)
			order[++n] = p
	return n
}

# by_caller() - if lines have their task or CPU (PRINTK_CALLER), sort them by it: two callers that
# print at once have an event each
function by_caller(   i, at, n, c, line_at, who, nr_callers, with, caller, first, next_of, last)
{
	for (i = 1; i <= nr_order; i++) {
		at = order[i]
		if (match(raw[at], /\[ *[0-9]+\.[0-9]+\](<[0-9]+>)? ?\[ *[TC][0-9]+\]/)) {
			who = substr(raw[at], RSTART, RLENGTH)
			sub(/.*\[ */, "", who)
			with++
		}
		# A line without a caller continues the line before it.
		if (!(who in caller)) {
			caller[who] = ++nr_callers
			first[nr_callers] = i
		} else {
			next_of[last[who]] = i
		}
		last[who] = i
		line_at[i] = at
	}
	if (nr_callers < 2 || with * 2 < nr_order)
		return
	for (c = 1; c <= nr_callers; c++) {
		first_of_caller[line_at[first[c]]] = 1
		for (i = first[c]; i; i = next_of[i])
			order[++n] = line_at[i]
	}
}

# unwrap() - join lines that were wrapped by a console's width or a mail program
function unwrap(   i, at, text, width, with, lines, same, longest, before)
{
	for (i = 1; i <= nr_order; i++) {
		at = order[i]
		text = unprefix(raw[at])
		plain[at] = text
		prefixed[at] = had_prefix
		if (text == "")
			continue
		lines++
		with += had_prefix
		if (text ~ /^(Code|Modules linked in):/)
			continue
		width = length(raw[at])
		if (width > longest) {
			longest = width
			same = 0
		}
		same += (width == longest)
	}
	is_prose = with * 2 <= lines
	# The longest line has the console's width only if several are as long.
	if (same < 3 || longest < 76)
		longest = -1
	before = 0
	for (i = 1; i <= nr_order; i++) {
		at = order[i]
		text = plain[at]
		if (before && text != "" && !prefixed[at] && is_rest(text, before, with * 5 > lines * 2, longest)) {
			msg[nr] = msg[nr] (length(raw[before]) == longest ? "" : " ") text
			before = at
			continue
		}
		msg[++nr] = text
		line_of[nr] = at
		before = at
	}
}

# is_rest(TEXT, BEFORE, MANY, WIDTH) - does TEXT continue line BEFORE? MANY is true if many lines
# of this log have a time; WIDTH is the console's, or -1
function is_rest(text, before, many, width)
{
	if (plain[before] ~ /(probably for non-canonical address|[Pp]ointer dereference, address:|page fault for address:|^RIP:( 0010:)?| Comm:( [^ ]*)?)$/)
		return 1
	if (length(raw[before]) == width)
		return 1
	return many && prefixed[before] && length(raw[before]) >= 60 && text !~ /^[ \t]/
}

# function_of(TEXT) - return the function that TEXT begins with, without suffixes of compilers
function function_of(text)
{
	sub(/^[ \t]+/, "", text)
	sub(/^#[0-9]+ +/, "", text)
	sub(/^\[<?(0x)?[0-9a-f]+>?\] */, "", text)
	sub(/^\[<[0-9a-f]+>\] */, "", text)
	sub(/^\? */, "", text)
	if (text !~ /^[A-Za-z_]/)
		return ""
	sub(/[^A-Za-z0-9_.].*/, "", text)
	sub(/\.(part|cold|isra|constprop|llvm|lto_priv|localalias).*/, "", text)
	return text
}

# kind_of(TEXT) - return the kind of the event that TEXT begins, or nothing
function kind_of(text)
{
	if (text ~ /^[ \t]*(Oops: )?general protection fault/) return "gpf"
	if (text ~ /BUG: (KASAN|KFENCE): /) return "kasan"
	if (text ~ /BUG: KCSAN: /) return "kcsan"
	if (text ~ /NULL pointer dereference/) return "null"
	if (text ~ /BUG: unable to handle|unable to handle kernel paging request/) return "fault"
	if (text ~ /(kernel BUG at |^PANIC: .*kernel BUG)/) return "bug"
	if (text ~ /BUG: (soft lockup|workqueue lockup)|hard LOCKUP/) return "lockup"
	if (text ~ /WARNING: (bad unlock|possible|suspicious|inconsistent|lock held|held lock)|INFO: trying to register|BUG: (rwlock|spinlock|sleeping|scheduling|using|key |MAX_)|INFO: possible/)
		return "lock"
	if (text ~ /^WARNING: / || text ~ /^WARNING: CPU/) return "warning"
	if (text ~ /INFO: (task|rcu)|rcu: INFO/) return "hang"
	if (text ~ /^NMI backtrace/) return "backtrace"
	if (text ~ /BUG: Bad |BUG [^ ]+ \(.*\): /) return "memory"
	if (text ~ /^(invalid opcode|double fault|stack segment|divide error|int3|Oops): /) return "oops"
	if (text ~ /^list_(add|del) corruption/) return "list"
	if (text ~ /^Kernel panic - not syncing/) return "panic"
	if (text ~ /^-+\[ cut here \]/) return "cut"
	return ""
}

# better(NEW, OLD) - is the kind NEW more specific than OLD?
function better(new, old)
{
	if (old == "" || old == "cut" || old == "excerpt" || old == "list")
		return new != "" && new != "cut"
	return old == "oops" && new != "cut" && new != "panic" && new != "list"
}

# open_event(I, KIND) - begin an event in line I, with messages that belong to it just before
function open_event(i, kind,   n)
{
	ev = ++nr_events
	ev_first[ev] = ev_last[ev] = i
	ev_kind[ev] = kind
	in_trace = traced = closed = 0
	# The messages of pte_list_remove() and list_add() stand before the event.
	for (n = i - 1; n >= i - 2 && n > 0 && !(n in event_of) && msg[n] != ""; n--)
		if (msg[n] ~ /pte_list_remove|corruption|rmap/)
			ev_first[ev] = n
	for (n = ev_first[ev]; n <= i; n++)
		event_of[n] = ev
}

# add_frame(I, NAME, UNSURE) - add a function of the trace; UNSURE ones have a "?"
function add_frame(i, name, unsure)
{
	frame[ev, ++nr_frames[ev]] = name
	frame_line[ev, nr_frames[ev]] = i
	frame_unsure[ev, nr_frames[ev]] = unsure
	if (!unsure)
		nr_sure[ev]++
	if (name ~ /^rg_/)
		ev_racegate[ev] = 1
}

# release_of(TEXT) - return the kernel release in TEXT, or nothing; for Debian its version, which
# has the sublevel
function release_of(text)
{
	if (text ~ /Debian [0-9]+\.[0-9]+\.[0-9]+-/) {
		sub(/.*Debian /, "", text)
		sub(/[ )].*/, "", text)
		return text
	}
	if (text ~ /[Tt]ainted/) {
		if (text !~ / [0-9]+\.[0-9]+[^ ]* #/)
			return ""
		sub(/ #.*/, "", text)
		sub(/.* /, "", text)
		return text
	}
	if (text ~ /Linux version [0-9]/) {
		sub(/.*Linux version /, "", text)
		sub(/[ (].*/, "", text)
		return text
	}
	if (text ~ /^ *RELEASE: [0-9]/) {
		sub(/.*RELEASE: /, "", text)
		return text
	}
	return ""
}

# find_events() - divide the log into events (ev_*) and other lines (other_lines)
function find_events(   i, text, kind, name, release, after)
{
	ev = 0
	closed = 1
	for (i = 1; i <= nr; i++) {
		text = msg[i]
		if (line_of[i] in first_of_caller)
			closed = 1
		if (text ~ /[Tt]ainted|Linux version [0-9]|RELEASE: /) {
			release = release_of(text)
			if (release != "") {
				if (ev && !closed)
					ev_release[ev] = release
				if (text !~ /[Tt]ainted/ || log_release == "")
					log_release = release
			}
		}
		kind = kind_of(text)
		# A panic within 40 lines after an event belongs to it.
		if (kind == "panic" && ev && i - ev_last[ev] < 40) {
			event_of[i] = ev
			ev_panic[ev] = 1
			closed = 1
			continue
		}
		if (kind != "") {
			if (closed || traced) {
				open_event(i, kind)
				closed = 0
			} else if (better(kind, ev_kind[ev])) {
				ev_kind[ev] = kind
			}
		} else if (closed && (text ~ /^[ \t]*(RIP|IP): / || text ~ /^[ \t]*\[?exception RIP: / || text ~ /^ *Call Trace:/)) {
			# The kernel prints the registers again after the end of a trace.
			if (after && text ~ /RIP: / && function_of(rip_text(text)) == ev_rip[ev]) {
				event_of[i] = ev
				continue
			}
			open_event(i, "excerpt")
			closed = 0
		}
		if (closed) {
			if (after && text ~ /^(R[A-Z0-9]+|CR2|CR0|FS|CS|DR[0-9]|Code|RSP|note|Kernel Offset|---\[ end):? /)
				event_of[i] = ev
			continue
		}
		event_of[i] = ev
		ev_last[ev] = i
		if (text ~ /^[ \t]*(RIP|IP): / || text ~ /exception RIP: /) {
			name = function_of(rip_text(text))
			if (text ~ /RIP: (0010:)?(\[<|0x)?(ffffffff)?[0-9a-f]+/ && name == "" && text !~ /RIP: (0033|0023):/)
				ev_nameless[ev] = 1
			if (name != "" && ev_rip[ev] == "") {
				ev_rip[ev] = name
				ev_rip_line[ev] = i
				if (text ~ /exception RIP/) {
					nr_frames[ev] = nr_sure[ev] = 0
					in_trace = 1
				}
			}
			if (text !~ /exception RIP/)
				in_trace = 0
		} else if (kind == "warning" || kind == "kasan") {
			name = text
			if (kind == "kasan")
				sub(/.* in /, "", name)
			else if (name ~ / at [^ ]+:[0-9]+,? (at )?[A-Za-z_]/)
				sub(/.* at [^ ]+:[0-9]+,? (at )?/, "", name)
			else if (name ~ /^WARNING: .*[^ ]+:[0-9]+ at [A-Za-z_]/)
				sub(/.*:[0-9]+ at /, "", name)
			else
				name = ""
			name = function_of(name)
			if (name != "") {
				ev_where[ev] = name
				ev_where_line[ev] = i
			}
		} else if (text ~ /(Call Trace|[Bb]acktrace|stack backtrace):?$|Call Trace:|^ *<(TASK|IRQ|NMI|EOI|#DF)>|^PID: .*TASK: /) {
			in_trace = 1
			traced = 1
			if (text ~ /Call Trace: *\[?</ || text ~ /Call Trace: +[a-z_]/) {
				sub(/.*Call Trace: */, "", text)
				name = function_of(text)
				if (name != "")
					add_frame(i, name, text ~ /^(\[<[0-9a-f]+>\] )?\? /)
			}
		} else if (text ~ /---\[ end trace|---\[ end Kernel/) {
			closed = 1
			after = 1
			continue
		} else if (text ~ /^ *(Modules linked in|Code|CR2|R[A-Z][A-Z]|R[0-9]+|FS|CS|EFLAGS|Hardware name|CPU|Kernel Offset|Workqueue|Allocated by|Freed by|The buggy)[: ]/) {
			in_trace = 0
		} else if (text ~ /^ *(\? *)?(\[<[0-9a-f]+>\] *)?(\? *)?[A-Za-z_][A-Za-z0-9_.]*\+0x[0-9a-f]+(\/0x[0-9a-f]+)?/ ||
			   in_trace && text ~ /^ *(#[0-9]+ +\[|\? *[A-Za-z_]|\[<[0-9a-f]+>\] *\??|[A-Za-z_][A-Za-z0-9_.]*( |$))/) {
			name = function_of(text)
			if (name != "" && text !~ /^ *<\//)
				add_frame(i, name, text ~ /^ *(\[<[0-9a-f]+>\] *)?\?/)
			traced = 1
		}
		after = 0
	}
	for (i = 1; i <= nr; i++)
		if (!(i in event_of))
			other_lines[++nr_other] = i
	for (ev = 1; ev <= nr_events; ev++) {
		if (ev_where[ev] != "" && (ev_rip[ev] == "" || ev_kind[ev] == "kasan")) {
			ev_rip[ev] = ev_where[ev]
			ev_rip_line[ev] = ev_where_line[ev]
		}
		if (ev_release[ev] == "")
			ev_release[ev] = log_release
	}
}

# rip_text(TEXT) - return the text after "RIP:", without selector and address
function rip_text(text)
{
	sub(/.*(RIP|IP): +/, "", text)
	sub(/^00[0-9a-f][0-9a-f]:/, "", text)
	sub(/^e0[0-9a-f][0-9a-f]:/, "", text)
	sub(/^\[<[0-9a-f]+>\] */, "", text)
	sub(/^\[<[0-9a-f]+>\] */, "", text)
	return text
}

# address_of(E) - return the address that faulted, without leading zeros; sets address_line
function address_of(e,   i, text)
{
	for (i = ev_first[e]; i <= ev_last[e]; i++) {
		text = msg[i]
		if (text !~ /(dereference|paging request|page fault)/ && text !~ /non-canonical address/)
			continue
		if (text !~ /(address:?|at) +(0x)?[0-9a-f]+/)
			continue
		sub(/.*(address:?|at) +(0x)?/, "", text)
		sub(/[^0-9a-f].*/, "", text)
		sub(/^0+/, "", text)
		address_line = i
		return text == "" ? "0" : text
	}
	address_line = 0
	return ""
}

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

BEGIN {
	n = split("Verdict Kind Alone Rip Address Kernel Is But Part Source", key_list, " ")
	for (i = 1; i <= n; i++) known_key[key_list[i]] = "one"
	n = split("Calls Calls-not Text Text-not", key_list, " ")
	for (i = 1; i <= n; i++) known_key[key_list[i]] = "many"
	race_key["Avoid"] = 1
}

!LOG { read_signature($0); next }

{ raw[++nr_raw] = $0 }

END {
	if (wrong)
		exit 2
	for (s = 1; s <= nr_sigs; s++) {
		if (field[s, "Verdict"] !~ /^(sure|likely|possible|other)$/)
			fail("signature " field[s, "Signature"] ": its Verdict is none")
		if (field[s, "Is"] == "" || field[s, "Source"] == "")
			fail("signature " field[s, "Signature"] ": lacks Is or Source")
	}
	in_order()
	by_caller()
	unwrap()
	find_events()
	judge()
	if (JSON)
		print_json()
	else
		print_text()
	exit named ? 0 : 9
}
