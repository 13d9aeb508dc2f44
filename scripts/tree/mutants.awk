# SPDX-License-Identifier: GPL-2.0-only
#
# Part of mutants: make the first-order mutants of some functions of one C file in the kernel's
# coding style.
#
# Variables: file (its path in the tree), out (the directory for NAME.patch), list (a table to
# append to, see mutants) and marks, a file of rows
#	PART line TEXT		a line that a fix adds
#	PART function NAME	all of that function
# A statement is changed if one of its own lines is marked, if it is inside of a marked one, or if
# it is the condition for one; its neighbours are swapped with it. The marks in a function count
# only if one of them is found nowhere else in the file.
#
# A mutant has as many lines as the original: removed code leaves its line breaks, so that WARN's
# line numbers, which are in the object code, stay the same.
#
# This is not done by spatch, which changes all places that a rule matches at once; to choose one
# takes its script rules, in Python or OCaml. Here a place is a range of characters.

function fail(text)
{
	print "mutants.awk: " file ": " text >"/dev/stderr"
	failed = 1
	exit 2
}

function trim(text)
{
	gsub(/[ \t]+/, " ", text)
	sub(/^ /, "", text)
	sub(/ $/, "", text)
	return text
}

# flat TEXT - return TEXT on one line
function flat(text)
{
	gsub(/\n/, " ", text)
	return trim(text)
}

# breaks TEXT - return only the line breaks of TEXT
function breaks(text)
{
	gsub(/[^\n]/, "", text)
	return text
}

# without_comments TEXT - return TEXT with spaces for comments, strings and directives
function without_comments(text,  got, at, end, first, what)
{
	got = ""
	while (match(text, /\/\*|"|'|\n#/)) {
		at = RSTART
		first = substr(text, at, 1)
		got = got substr(text, 1, at - 1)
		text = substr(text, at)
		if (first == "/") {
			end = index(text, "*/") + 1
			if (end < 2)
				end = length(text)
		} else if (first == "\n") {
			end = index(substr(text, 2), "\n")
			if (!end)
				end = length(text)
		} else {
			for (end = 2; end < length(text) && substr(text, end, 1) != first; end++)
				if (substr(text, end, 1) == "\\")
					end++
		}
		what = substr(text, 1, end)
		gsub(/[^\n]/, " ", what)
		got = got what
		text = substr(text, end + 1)
	}
	return got text
}

# skip AT - return the first place from AT on that is no space
function skip(at)
{
	while (at <= length(code) && index(" \t\n", substr(code, at, 1)))
		at++
	return at
}

# word AT - return the identifier that begins at AT
function word(at,  end)
{
	for (end = at; substr(code, end, 1) ~ /[A-Za-z0-9_]/; end++)
		;
	return substr(code, at, end - at)
}

# closing AT - return the place of the bracket that closes the one at AT
function closing(at,  depth, c)
{
	depth = 0
	for (; at <= length(code); at++) {
		c = substr(code, at, 1)
		if (c == "(" || c == "{" || c == "[")
			depth++
		else if ((c == ")" || c == "}" || c == "]") && !--depth)
			return at
	}
	fail("a bracket does not close in " func_name)
}

# semicolon AT - return the end of the simple statement that begins at AT
function semicolon(at,  c)
{
	for (; at <= length(code); at++) {
		c = substr(code, at, 1)
		if (c == "(" || c == "{" || c == "[")
			at = closing(at)
		else if (c == ";")
			return at
	}
	fail("a statement does not end in " func_name)
}

# statement AT LIST PARENT - parse a statement, and return its number. Sets begin[], end[], kind[]
# (simple, if, loop, do, block), cond_begin[] and cond_end[] (inside of the parentheses),
# body[], other[] (of else), head_end[]
function statement(at, in_list, parent,  n, name, next_at)
{
	n = ++statements
	list_of[n] = in_list
	parent_of[n] = parent
	begin[n] = at
	name = word(at)
	if (substr(code, at, 1) == "{") {
		kind[n] = "block"
		head_end[n] = at
		end[n] = closing(at)
		parse(at + 1, end[n] - 1, n)
	} else if (name == "if" || name == "for" || name == "while" || name == "switch" || name ~ /(^|_)for_each_/) {
		kind[n] = name == "if" ? "if" : name == "switch" ? "switch" : "loop"
		looks_like[n] = name
		next_at = index(substr(code, at), "(") + at - 1
		cond_begin[n] = next_at + 1
		next_at = closing(next_at)
		cond_end[n] = next_at - 1
		head_end[n] = next_at
		body[n] = statement(skip(next_at + 1), 0, n)
		end[n] = end[body[n]]
		next_at = skip(end[n] + 1)
		if (name == "if" && word(next_at) == "else") {
			other[n] = statement(skip(next_at + 4), 0, n)
			end[n] = end[other[n]]
		}
	} else if (name == "do") {
		kind[n] = "do"
		head_end[n] = at + 1
		body[n] = statement(skip(at + 2), 0, n)
		next_at = index(substr(code, end[body[n]]), "(") + end[body[n]] - 1
		cond_begin[n] = next_at + 1
		next_at = closing(next_at)
		cond_end[n] = next_at - 1
		end[n] = semicolon(next_at)
	} else {
		kind[n] = "simple"
		head_end[n] = end[n] = semicolon(at)
	}
	return n
}

# parse FROM TO PARENT - parse a list of statements; sets place[] and at[list, place]
function parse(from, to, parent,  here, count, n, name)
{
	here = ++lists
	for (from = skip(from); from <= to; from = skip(from)) {
		name = word(from)
		if (name == "case" || name == "default" || name != "" && substr(code, skip(from + length(name)), 1) == ":" && substr(code, skip(from + length(name)) + 1, 1) != ":") {
			from = index(substr(code, from), ":") + from
			continue
		}
		n = statement(from, here, parent)
		place[n] = ++count
		at[here, count] = n
		from = end[n] + 1
	}
	counted[here] = count
}

function text_of(n)
{
	return substr(code, begin[n], end[n] - begin[n] + 1)
}

# line_of AT - return the line in the function; the line of its opening brace is 0
function line_of(where,  text)
{
	text = substr(code, 1, where - 1)
	return gsub(/\n/, "", text)
}

# is_declaration N - is statement N a declaration of variables?
function is_declaration(n,  text)
{
	if (kind[n] != "simple")
		return 0
	text = flat(text_of(n))
	if (text ~ /^(return|goto|break|continue|else)([ ;]|$)/)
		return 0
	return text ~ /^[A-Za-z_][A-Za-z0-9_]*( [A-Za-z_][A-Za-z0-9_]*)* (\*+ ?)?[a-z_][A-Za-z0-9_]*( = .*|, .*|\[.*)?;$/
}

# is_jump N - does statement N leave the list of statements?
function is_jump(n)
{
	return kind[n] == "simple" && flat(text_of(n)) ~ /^(return|goto|break|continue)([ ;]|$)/
}

# is_remark N - is statement N only for developers, such as WARN_ON(), and without effect otherwise?
function is_remark(n)
{
	return kind[n] == "simple" && flat(text_of(n)) ~ /^(lockdep_[a-z_]*|WARN_ON(_ONCE)?|pr_[a-z_]*|trace_[a-z0-9_]*|cond_resched|might_sleep|kvm_make_request_trace) ?\(/
}

# lock_name N - return the function that statement N calls to take or drop a lock, or nothing
function lock_name(n,  name)
{
	if (kind[n] != "simple")
		return ""
	name = word(begin[n])
	return name ~ /^((mutex|spin|raw_spin|read|write)_(un)?lock(_irq|_bh)?|(down|up)_(read|write)|preempt_(disable|enable)|KVM_MMU_(READ_)?(UN)?LOCK)$/ ? name : ""
}

# drops NAME - return the function that drops a lock taken by NAME
function drops(name)
{
	sub(/lock/, "unlock", name)
	sub(/^down_/, "up_", name)
	sub(/_disable$/, "_enable", name)
	sub(/LOCK$/, "UNLOCK", name)
	return name
}

function argument(n)
{
	return flat(substr(code, begin[n] + length(word(begin[n])), end[n] - begin[n] - length(word(begin[n]))))
}

# change FROM TO TEXT - add a change to the next mutant; changes are added from first to last
function change(from, to, text)
{
	from_of[++changes] = from
	to_of[changes] = to
	text_for[changes] = text
}

# mutant N RULE TEXT - write a mutant with the changes so far; TEXT describes it
function mutant(n, rule, text,  i, result, at_line, first, last, name, old, new, count, k)
{
	result = ""
	last = 1
	for (i = 1; i <= changes; i++) {
		result = result substr(source, last, from_of[i] - last) text_for[i]
		last = to_of[i] + 1
	}
	result = result substr(source, last)
	changes = 0
	count = split(source, old, "\n")
	if (split(result, new, "\n") != count)
		fail("a mutant of " func_name " has another number of lines (" rule ")")
	if (result == source)
		return
	at_line = line_of(begin[n])
	name = part_of[n] "-" func_name "-" at_line "-" rule
	gsub(/_/, "-", name)
	name = tolower(name)
	if (name in names) {
		for (k = 2; (name "-" k) in names; k++)
			;
		name = name "-" k
	}
	names[name]
	gsub(/\t/, " ", text)
	print name, race, part_of[n], file, func_name, first_line + at_line, rule, text >>list
	for (first = 1; new[first] == old[first]; first++)
		;
	for (last = count; new[last] == old[last]; last--)
		;
	result = out "/" name ".patch"
	printf "Subject: Mutant: %s: %s\n\nMade by scripts/mutations --generate; never for use.\n\nRace: %s\nPart: %s\n\n" \
		"diff --git a/%s b/%s\n--- a/%s\n+++ b/%s\n@@ -%d,%d +%d,%d @@\n",
		func_name, text, race, part_of[n], file, file, file, file, first_line + first - 1, last - first + 1,
		first_line + first - 1, last - first + 1 >result
	for (i = first; i <= last; i++)
		print "-" old[i] >result
	for (i = first; i <= last; i++)
		print "+" new[i] >result
	close(result)
}

# operands FROM TO - return the number of operands of the weakest operator there, && or ||; sets
# operand_begin[] and operand_end[]
function operands(from, to,  i, c, two, depth, count, op)
{
	for (op = "||"; ; op = "&&") {
		count = 1
		operand_begin[1] = from
		depth = 0
		for (i = from; i <= to; i++) {
			c = substr(code, i, 1)
			if (c == "(" || c == "[" || c == "{")
				depth++
			else if (c == ")" || c == "]" || c == "}")
				depth--
			else if (!depth && substr(code, i, 2) == op) {
				operand_end[count] = i - 1
				operand_begin[++count] = i + 2
				i++
			} else if (!depth && c == "?")
				return 1
		}
		operand_end[count] = to
		if (count > 1 || op == "&&")
			return count
	}
}

# expression N FROM TO - make the mutants of the expression there: without each operand, and with
# another bound in comparisons
function expression(n, from, to,  i, count, inner, text)
{
	# unlikely(A && B)
	inner = skip(from)
	if (word(inner) ~ /^(un)?likely$/ && closing(inner + length(word(inner))) >= to - 1) {
		to = closing(inner + length(word(inner))) - 1
		from = inner + length(word(inner)) + 1
	}
	count = operands(from, to)
	for (i = 1; count > 1 && i <= count; i++) {
		text = flat(substr(code, operand_begin[i], operand_end[i] - operand_begin[i] + 1))
		if (text ~ /^WARN_ON/)
			continue
		if (i < count)
			change(operand_begin[i], operand_begin[i + 1] - 1,
				breaks(substr(source, operand_begin[i], operand_begin[i + 1] - operand_begin[i])))
		else
			change(operand_end[i - 1] + 1, to, breaks(substr(source, operand_end[i - 1] + 1, to - operand_end[i - 1])))
		mutant(n, "drop", "without " text)
	}
	for (i = from; i <= to; i++) {
		if (substr(code, i, 1) !~ /[<>]/ || substr(code, i + 1, 1) !~ /[ =]/ || substr(code, i - 1, 1) != " ")
			continue
		text = flat(substr(code, from, to - from + 1))
		if (substr(code, i + 1, 1) == "=")
			change(i + 1, i + 1, "")
		else
			change(i, i, substr(code, i, 1) "=")
		mutant(n, "bound", substr(code, i, 1) (substr(code, i + 1, 1) == "=" ? "" : "=") " in " text)
	}
}

# calls N FROM TO - make the mutants of the calls there: a request is checked and not cleared, or
# only the first of all vCPUs visited
function calls(n, from, to,  text, name, where, end_at, args, comma)
{
	text = substr(code, from, to - from + 1)
	for (name = "kvm_check_request"; name != ""; name = name == "kvm_check_request" ? "pi_test_and_clear_on" : "") {
		where = index(text, name "(")
		if (!where)
			continue
		where += from - 1
		change(where, where + length(name) - 1, name == "kvm_check_request" ? "kvm_test_request" : "pi_test_on")
		mutant(n, "test", name " does not clear")
	}
	name = "kvm_make_all_cpus_request"
	where = index(text, name "(")
	if (where) {
		where += from - 1
		end_at = closing(where + length(name))
		args = substr(code, where + length(name) + 1, end_at - where - length(name) - 1)
		comma = index(args, ",")
		change(where, end_at, "({ struct kvm_vcpu *mutant_first = kvm_get_vcpu(" substr(args, 1, comma - 1) \
			", 0); kvm_make_request(" substr(args, comma + 1) ", mutant_first); kvm_vcpu_kick(mutant_first); })")
		mutant(n, "first", "only the first vCPU gets the request")
	}
}

# lock_pair N - make the mutants of the lock that N takes: without it and all statements of the
# function that drop it or take it again; and taken for reading
function lock_pair(n,  i, name, other_name, shared)
{
	name = lock_name(n)
	if (name ~ /unlock|^up_|_enable$|UNLOCK/ || paired[name, argument(n)]++)
		return
	other_name = drops(name)
	for (i = 1; i <= statements; i++)
		if ((lock_name(i) == name || lock_name(i) == other_name) && argument(i) == argument(n))
			change(begin[i], end[i], ";")
	mutant(n, "unlocked", "without " name argument(n))
	shared = name
	if (!sub(/^write_/, "read_", shared) && !sub(/_write$/, "_read", shared))
		return
	for (i = 1; i <= statements; i++)
		if (lock_name(i) == name && argument(i) == argument(n))
			change(begin[i], begin[i] + length(name) - 1, shared)
		else if (lock_name(i) == other_name && argument(i) == argument(n))
			change(begin[i], begin[i] + length(other_name) - 1, drops(shared))
	mutant(n, "shared", shared " for " name argument(n))
}

# moves N - make the mutants that move N before or after the block that it is in
function moves(n,  up, text)
{
	if (kind[n] != "simple" || is_jump(n) || is_declaration(n) || is_remark(n))
		return
	up = parent_of[n]
	if (up && kind[up] == "block")
		up = parent_of[up]
	if (!up || kind[up] == "switch")
		return
	text = flat(text_of(n))
	if ((!list_of[n] || place[n] == 1) && n != other[up]) {
		change(begin[up], begin[up] - 1, text " ")
		change(begin[n], end[n], ";" breaks(substr(source, begin[n], end[n] - begin[n] + 1)))
		# Without a block around it, the change would move all of the body.
		if (list_of[up] || kind[up] == "do")
			mutant(n, "before", text " before the block that it is in")
		changes = 0
	}
	if (list_of[up] && (!list_of[n] || place[n] == counted[list_of[n]])) {
		change(begin[n], end[n], ";" breaks(substr(source, begin[n], end[n] - begin[n] + 1)))
		change(end[up] + 1, end[up], " " text)
		mutant(n, "after", text " after the block that it is in")
	}
}

# swaps N - make the mutant that exchanges N and the next statement. Two assignments are left
# alone: only another CPU could see the difference, and the compiler may exchange them, too.
function swaps(n,  next_one, a, b)
{
	if (!list_of[n])
		return
	next_one = at[list_of[n], place[n] + 1]
	if (!next_one || is_jump(n) || is_jump(next_one) || is_declaration(n) || is_declaration(next_one) ||
	    is_remark(n) || is_remark(next_one) || is_assignment(n) && is_assignment(next_one))
		return
	a = substr(source, begin[n], end[n] - begin[n] + 1)
	b = substr(source, begin[next_one], end[next_one] - begin[next_one] + 1)
	change(begin[n], end[n], b)
	change(begin[next_one], end[next_one], a)
	mutant(n, "swap", flat(substr(code, begin[n], head_end[n] - begin[n] + 1)) " after " \
		flat(substr(code, begin[next_one], head_end[next_one] - begin[next_one] + 1)))
}

# flips N - make the mutant that returns true for false
function flips(n,  where, text)
{
	text = substr(code, begin[n], end[n] - begin[n] + 1)
	if (!match(text, /return (true|false);$/))
		return
	where = match(text, /(true|false);$/) + begin[n] - 1
	change(where, end[n] - 1, substr(code, where, 4) == "true" ? "false" : "true")
	mutant(n, "flip", "not " flat(text))
}

# head N - return the head of a compound statement, up to its body
function head(n)
{
	if (kind[n] == "do")
		return "do while (" flat(substr(code, cond_begin[n], cond_end[n] - cond_begin[n] + 1)) ")"
	return flat(substr(code, begin[n], head_end[n] - begin[n] + 1))
}

# is_alone N - is N the last statement of the function, or all that a condition guards?
function is_alone(n)
{
	if (list_of[n] && parent_of[n] == 1)
		return place[n] == counted[list_of[n]]
	return !list_of[n] || counted[list_of[n]] == 1
}

# is_assignment N - is N an assignment without a call?
function is_assignment(n)
{
	return kind[n] == "simple" && text_of(n) ~ / [-|&+]?= / && text_of(n) !~ /\(/
}

function mutants_of(n,  c)
{
	if (beside[n]) {
		if (lock_name(n) != "")
			lock_pair(n)
		if (list_of[n] && part_of[at[list_of[n], place[n] + 1]] != "" && !beside[at[list_of[n], place[n] + 1]])
			swaps(n)
		return
	}
	if (kind[n] == "block" || is_declaration(n) || is_remark(n))
		return
	if (kind[n] == "simple") {
		if (lock_name(n) != "")
			lock_pair(n)
		else if (!(is_jump(n) && is_alone(n))) {
			change(begin[n], end[n], ";" breaks(substr(source, begin[n], end[n] - begin[n] + 1)))
			mutant(n, "delete", "without " flat(text_of(n)))
		}
		flips(n)
		c = index(text_of(n), " = ")
		if (word(begin[n]) == "return")
			expression(n, begin[n] + 6, end[n] - 1)
		else if (c)
			expression(n, begin[n] + c + 2, end[n] - 1)
		calls(n, begin[n], end[n])
		moves(n)
	} else if (kind[n] != "switch") {
		if (kind[n] == "if") {
			change(begin[n], end[n], ";" breaks(substr(source, begin[n], end[n] - begin[n] + 1)))
			mutant(n, "delete", "without all of " head(n))
			change(cond_begin[n], cond_end[n], "(" substr(source, cond_begin[n], cond_end[n] - cond_begin[n] + 1) ") || 1")
			mutant(n, "always", "whatever " head(n) " says")
		}
		if (kind[n] == "if" || kind[n] == "do" || looks_like[n] == "while") {
			change(cond_begin[n], cond_end[n], "!(" substr(source, cond_begin[n], cond_end[n] - cond_begin[n] + 1) ")")
			mutant(n, "negate", "the opposite of " head(n))
			expression(n, cond_begin[n], cond_end[n])
			calls(n, cond_begin[n], cond_end[n])
		}
		if (kind[n] == "do" || looks_like[n] == "while") {
			change(cond_begin[n], cond_end[n], "(" substr(source, cond_begin[n], cond_end[n] - cond_begin[n] + 1) ") && 0")
			mutant(n, "once", head(n) " only once")
		}
		if (looks_like[n] ~ /for_each_vcpu/) {
			change(begin[body[n]], begin[body[n]] - 1, "{ ")
			change(end[body[n]] + 1, end[body[n]], " break; }")
			mutant(n, "first", head(n) " for the first only")
		}
	}
	swaps(n)
}

# own_marks N - return the part of a marked line of N, but not of the statements inside of it
function own_marks(n,  first, last, i)
{
	first = line_of(begin[n])
	last = line_of(kind[n] == "simple" ? end[n] : head_end[n])
	for (i = first; i <= last; i++)
		if ((func_name, i) in marked)
			return marked[func_name, i]
	if (kind[n] == "do") {
		i = line_of(cond_begin[n])
		if ((func_name, i) in marked)
			return marked[func_name, i]
	}
	return ""
}

# all_inside N PART - mark all statements inside of N
function all_inside(n, part,  i)
{
	for (i = 1; i <= statements; i++)
		if (parent_of[i] == n) {
			if (part_of[i] == "")
				part_of[i] = part
			all_inside(i, part)
		}
}

# one_function - make the mutants of the function in source, whose opening brace is in first_line
function one_function(  i, part, n, any, mine)
{
	code = without_comments(source)
	statements = lists = changes = 0
	split("", begin); split("", end); split("", kind); split("", body); split("", other)
	split("", place); split("", at); split("", counted); split("", list_of); split("", parent_of)
	split("", part_of); split("", beside); split("", looks_like); split("", paired); split("", mine)
	statement(index(code, "{"), 0, 0)
	for (i = 2; i <= statements; i++) {
		part = func_name in whole ? whole[func_name] : own_marks(i)
		if (part != "") {
			mine[i] = part_of[i] = part
			any = 1
		}
	}
	if (!any)
		return
	for (i = 2; i <= statements; i++)
		if (i in mine && kind[i] != "simple")
			all_inside(i, mine[i])
	# Mark the conditions that guard such statements.
	for (i = 2; i <= statements; i++) {
		n = parent_of[i]
		if (n && kind[n] == "block")
			n = parent_of[n]
		if (i in mine && n > 1 && part_of[n] == "" && kind[n] == "if")
			part_of[n] = mine[i]
	}
	for (i = 2; i <= statements; i++)
		if (i in mine && list_of[i]) {
			n = at[list_of[i], place[i] - 1]
			if (n && part_of[n] == "")
				beside[n] = part_of[n] = mine[i]
			n = at[list_of[i], place[i] + 1]
			if (n && part_of[n] == "")
				beside[n] = part_of[n] = mine[i]
		}
	for (i = 2; i <= statements; i++)
		if (part_of[i] != "")
			mutants_of(i)
}

BEGIN {
	FS = OFS = "\t"
	while ((getline row < marks) > 0) {
		split(row, field, "\t")
		if (field[2] == "function")
			whole[field[3]] = field[1]
		else
			text_mark[trim(field[3])] = field[1]
	}
	close(marks)
}

{ line[NR] = $0; times[trim($0)]++ }

END {
	if (failed)
		exit 2
	for (k = 1; k <= NR; k++) {
		if (line[k] !~ /^\{[ \t]*$/)
			continue
		# The function's name is before the first parenthesis after the last blank line,
		# directive, comment or end of a statement or block.
		text = ""
		for (j = k - 1; j >= 1 && line[j] !~ /^[ \t]*$|^[}#]|;[ \t]*$|\*\/[ \t]*$/; j--)
			text = line[j] " " text
		sub(/ *\(.*/, "", text)
		sub(/.*[ *\t]/, "", text)
		func_name = text
		for (last = k; last <= NR && line[last] !~ /^\}/; last++)
			;
		if (func_name !~ /^[A-Za-z_][A-Za-z0-9_]*$/ || last > NR)
			continue
		source = line[k]
		wanted = func_name in whole
		for (j = k + 1; j <= last; j++) {
			source = source "\n" line[j]
			text = trim(line[j])
			# A line that the file repeats marks nothing.
			if (text in text_mark && times[text] <= 3) {
				marked[func_name, j - k] = text_mark[text]
				if (times[text] == 1)
					wanted = 1
			}
		}
		first_line = k
		if (wanted)
			one_function()
		k = last
	}
	for (k = 1; k <= NR; k++) {
		# This is an operation in a table.
		if (line[k] !~ /^\t\.[a-z_0-9]+[ \t]*= .*,$/ || !(trim(line[k]) in text_mark))
			continue
		func_name = "operations"
		source = line[k]
		code = source
		first_line = k
		split("", part_of)
		begin[1] = 1
		part_of[1] = text_mark[trim(line[k])]
		change(1, length(source), "\t")
		mutant(1, "delete", "without " trim(line[k]))
	}
}
