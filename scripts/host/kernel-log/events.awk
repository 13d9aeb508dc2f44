# SPDX-License-Identifier: GPL-2.0-only
#
# Find the events of a log, such as an oops or a warning, with the trace of each; part of explain.awk.
#
# Event E has the lines from ev_first[E] to ev_last[E], its kind is ev_kind[E].

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
