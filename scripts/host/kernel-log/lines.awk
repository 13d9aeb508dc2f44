# SPDX-License-Identifier: GPL-2.0-only
#
# Turn raw lines, raw[], into the messages of the kernel, plain[] and msg[], in their order; part of
# explain.awk.
#
# It takes off the prefixes of loggers, sorts the records of pstore and the lines of two callers,
# and joins lines that a console has wrapped.

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
