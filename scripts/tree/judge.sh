# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Match the code of a kernel tree against the shapes that selftests/races/*/*.cocci describe, and
# judge each part of a race by the matches. scripts/tree/status sources this file.
#
# The caller sets tree, the tree; SOURCES, the directories of KVM in it; rules, the rules' files;
# tmp, an empty directory, with the file index: NAME FILE FIRST LAST for each function and
# variable of KVM. SLUG is the name of a rules' file without .cocci, and of the part's patch.
#
# status is called often, in emulated hosts too, and to start a process takes longer than most of
# the work: no process is started for each of the rules, except spatch if its result is not saved.
#
# shellcheck disable=SC2154 # the variables of the caller

# read_rules - set SLUGS, and FIELD[SLUG:NAME] to the values of "// NAME: " in the headers of the
# rules, one in a line
declare -A FIELD=() PRESENT=() FACTS=()
SLUGS=()
read_rules()
{
	local rule slug line name

	for rule in "${rules[@]}"; do
		slug=${rule##*/}
		slug=${slug%.cocci}
		SLUGS+=("$slug")
		FIELD[$slug:file]=$rule
		while IFS= read -r line; do
			case $line in
			"// "*) ;;
			'') break ;;
			*) continue ;;
			esac
			name=${line#// }
			name=${name%%:*}
			case $name in
			Race|Functions|Users|Absent|Closed-by|Uses|Users-only|Needs)
				line=${line#*:}
				line=${line#"${line%%[! ]*}"}
				FIELD[$slug:$name]+=${FIELD[$slug:$name]+$'\n'}$line
				;;
			esac
		done <"$rule"
	done
}

# field NAME SLUG - print this field of the rules SLUG
field()
{
	printf '%s' "${FIELD[$2:$1]-}"
}

# select_code - write to $tmp/wanted which code the rules need, as SLUG NAME FILE FIRST LAST: the
# functions that they name, and all code with one of the words of "Users:"; set PRESENT to the
# words of "Absent:" that the tree has
select_code()
{
	local slug line words=()

	for slug in "${SLUGS[@]}"; do
		line=${FIELD[$slug:Absent]-}
		printf '%s\t%s\t%s\n' "$slug" "${FIELD[$slug:Functions]-}" "${FIELD[$slug:Users]-}"
		# shellcheck disable=SC2206 # words
		words+=(${FIELD[$slug:Users]-} ${line%%:*})
	done >"$tmp/rules"
	# As one word may be the beginning of another one, -w has to decide which of them it is.
	printf '%s\n' "${words[@]}" >"$tmp/words"
	(cd "$tree" && grep -rnwoH --include='*.[ch]' -F -f "$tmp/words" "${SOURCES[@]}" /dev/null) >"$tmp/hits"
	while IFS= read -r line; do PRESENT[$line]=y; done < <(sed 's/.*://' "$tmp/hits" | sort -u)

	awk -F'\t' -v OFS='\t' '
		FILENAME == ARGV[1] {
			n = split($2, a, / +/)
			for (i = 1; i <= n; i++) by_name[a[i]] = by_name[a[i]] " " $1
			n = split($3, a, / +/)
			for (i = 1; i <= n; i++) by_word[a[i]] = by_word[a[i]] " " $1
			next
		}
		FILENAME == ARGV[2] {
			n = split($0, a, ":")
			if (a[3] in by_word) hits[a[1]] = hits[a[1]] " " a[2] ":" a[3]
			next
		}
		{
			delete wants
			n = split(by_name[$1], a, " ")
			for (i = 1; i <= n; i++) wants[a[i]]
			n = split(hits[$2], l, " ")
			for (i = 1; i <= n; i++) {
				split(l[i], hit, ":")
				if (hit[1] + 0 < $3 + 0 || hit[1] + 0 > $4 + 0) continue
				m = split(by_word[hit[2]], a, " ")
				for (j = 1; j <= m; j++) wants[a[j]]
			}
			for (slug in wants) print slug, $0
		}' "$tmp/rules" "$tmp/hits" "$tmp/index" | sort -u >"$tmp/wanted"
}

# slice - for each rule SLUG write the code that it needs to $tmp/SLUG/FILE, with the lines of a
# definition before its name, and FILE and the numbers of these lines to $tmp/SLUG.numbers.
# Empty lines in place of the others would keep the numbers, but cost spatch seconds.
slice()
{
	awk -F'\t' -v tmp="$tmp" '
		{ dir = tmp "/" $1 "/" $3; sub(/\/[^\/]*$/, "", dir) }
		!seen[dir]++ { print dir }' "$tmp/wanted" | xargs -r -d '\n' mkdir -p
	awk -F'\t' -v tmp="$tmp" -v tree="$tree" '
		# FNAME(x) becomes FNAME_x, as in the index.
		function named(text,   out, at) {
			while (match(text, /FNAME\([a-z_]*\)/)) {
				at = RSTART
				out = out substr(text, 1, at - 1)
				if (out ~ /[A-Za-z0-9_]$/)
					out = out substr(text, at, RLENGTH)
				else
					out = out "FNAME_" substr(text, at + 6, RLENGTH - 7)
				text = substr(text, at + RLENGTH)
			}
			return out text
		}
		function cut(slug, file, ranges,   n, r, i, a, first, j, keep, numbers, out) {
			n = split(ranges, r, " ")
			for (i = 1; i <= n; i++) {
				split(r[i], a, "-")
				first = a[1]
				while (first > 1 && line[first - 1] !~ /^[ \t]*$|^#|[;}\/][ \t\r]*$/)
					first--
				for (j = first; j <= a[2]; j++) keep[j]
			}
			out = tmp "/" slug "/" file
			for (j = 1; j <= lines; j++)
				if (j in keep) {
					print index(line[j], "FNAME(") ? named(line[j]) : line[j] >out
					numbers = numbers " " j
				}
			close(out)
			print slug "/" file >(tmp "/hashed")
			print file "\t" numbers >(tmp "/" slug ".numbers")
		}
		{
			key = $3 "\t" $1
			if (!(key in ranges)) keys[++count] = key
			ranges[key] = ranges[key] $4 "-" $5 " "
		}
		!($3 in seen) { seen[$3]; files[++n_files] = $3 }
		END {
			for (f = 1; f <= n_files; f++) {
				lines = 0
				while ((getline text <(tree "/" files[f])) > 0) line[++lines] = text
				close(tree "/" files[f])
				for (k = 1; k <= count; k++) {
					split(keys[k], part, "\t")
					if (part[1] == files[f]) cut(part[2], part[1], ranges[keys[k]])
				}
			}
		}' "$tmp/wanted"
}

# The options of spatch. Each fact is a comment that a rule adds to the code.
SPATCH=(--very-quiet --no-includes --timeout 60 -U 0)

# name_results - set FIELD[SLUG:key] to the name of spatch's result in build/status. The result
# depends only on spatch, its options, the rules and the code that they see, and a patch
# changes that of few rules.
name_results()
{
	local slug sum name

	for slug in "${SLUGS[@]}"; do
		[ ! -e "$tmp/$slug.numbers" ] || printf '%s\n' "${FIELD[$slug:file]}"
	done >>"$tmp/hashed"
	(cd "$tmp" && xargs -r -d '\n' sha256sum <hashed) |
		awk -v tmp="$tmp" -v spatch="$(stat -L -c '%n %s %Y' "$(command -v spatch)") ${SPATCH[*]}" '
			{
				sub(/^\\/, "")
				slug = name = substr($0, 67)
				if (name ~ /^\//) {
					gsub(/.*\/|\.cocci$/, "", slug)
					name = "rules"
				} else {
					sub(/\/.*/, "", slug)
					sub(/[^\/]*\//, "", name)
				}
				if (!(slug in text)) text[slug] = spatch "\n"
				text[slug] = text[slug] substr($0, 1, 64) " " name "\n"
			}
			END {
				for (slug in text) {
					printf "%s", text[slug] >(tmp "/" slug ".key")
					print slug ".key"
				}
			}' >"$tmp/keys"
	while read -r sum name; do
		FIELD[${name%.key}:key]=${sum:0:40}.diff
	done < <(cd "$tmp" && xargs -r -d '\n' sha256sum <keys)
}

# judge SLUG - run spatch with these rules on their code, and save its result
judge()
{
	local diff=${FIELD[$1:key]}

	# HOME keeps the user's configuration of coccinelle out.
	(cd "$tmp/$1" && cut -f 1 "../$1.numbers" |
		HOME=$tmp xargs -d '\n' spatch "${SPATCH[@]}" --sp-file "${FIELD[$1:file]}") \
		>"$tmp/$diff.part" 2>"$tmp/$1.err" || return
	mv "$tmp/$diff.part" "$tmp/$diff"
	grep -qv "^warning: " "$tmp/$1.err" || keep "$diff" <"$tmp/$diff"
}

# judge_all - set FACTS[SLUG] to a line "FACT<TAB>FILE:LINE<TAB>TEXT" for each match of the rules
judge_all()
{
	local slug fact diff saved=() running=0 cpus inputs=()

	name_results
	for slug in "${SLUGS[@]}"; do
		diff=$BUILD/status/${FIELD[$slug:key]-}
		[ ! -f "$diff" ] || saved+=("$diff")
	done
	# Somebody may remove one meanwhile; it is made anew then.
	[ ${#saved[@]} -eq 0 ] || cp -t "$tmp" "${saved[@]}" 2>/dev/null
	cpus=$(nproc)
	for slug in "${SLUGS[@]}"; do
		diff=${FIELD[$slug:key]-}
		if [ -z "$diff" ] || [ -f "$tmp/$diff" ]; then
			continue
		fi
		[ "$running" -lt "$cpus" ] || { wait -n; running=$((running - 1)); }
		judge "$slug" &
		running=$((running + 1))
	done
	wait

	for slug in "${SLUGS[@]}"; do
		diff=$tmp/${FIELD[$slug:key]-}
		[ ! -f "$diff" ] || inputs+=("slug=$slug" "$tmp/$slug.numbers" "$diff")
	done
	[ ${#inputs[@]} -gt 0 ] || return 0
	while IFS=$'\t' read -r slug fact; do
		FACTS[$slug]+=$fact$'\n'
	done < <(awk -v OFS='\t' '
		FNR == 1 { is_diff = FILENAME ~ /\.diff$/ }
		!is_diff {
			split($0, part, "\t")
			numbers[slug, part[1]] = part[2]
			next
		}
		/^--- / {
			file = substr($0, 5)
			sub(/\t.*/, "", file)
			split(numbers[slug, file], line, " ")
			next
		}
		/^\+\+\+ / { next }
		/^@@ / {
			split($2, a, /[-,]/)
			at = a[2] + (a[3] == "0")
			next
		}
		/^\+/ {
			own = !sub(/^\+[ \t]*\/\* racefix /, "")
			if (own && !sub(/.*\/\* racefix /, "")) { at++; next }
			sub(/ *\*\/.*/, "")
			fact = $0
			sub(/:.*/, "", fact)
			sub(/^[^:]*: */, "")
			print slug, fact, file ":" line[at], $0
		}' "${inputs[@]}" | sort -u)
}

# has_fact SLUG FACT - was this fact found?
has_fact()
{
	[[ $'\n'${FACTS[$1]-} == *$'\n'"$2"$'\t'* ]]
}

# evidence_of SLUG PATTERN - print the facts with such names in one line; each
# text once
evidence_of()
{
	local fact where text out='' texts=$'\n'

	while IFS=$'\t' read -r fact where text; do
		# shellcheck disable=SC2053 # a pattern
		[[ $fact == $2 ]] || continue
		[[ $texts != *$'\n'"$text"$'\n'* ]] || continue
		texts+=$text$'\n'
		out+="${out:+; }$where $text"
	done <<<"${FACTS[$1]-}"
	printf '%s' "$out"
}

# set_verdict SLUG - set VERDICT to STATUS<TAB>EVIDENCE for one part
set_verdict()
{
	local slug=$1 name absent text lacking='' status=unknown evidence

	absent=${FIELD[$slug:Absent]-}
	if [ -n "$absent" ]; then
		for name in ${absent%%:*}; do
			[ -z "${PRESENT[$name]-}" ] || absent=''
		done
	fi
	if [ -n "$absent" ]; then
		name=${absent%%:*}
		VERDICT=$'not-affected\t'"${absent#*: } (no ${name// / or } in arch/x86/kvm and virt/kvm)"
		return
	fi
	if [ -s "$tmp/$slug.err" ] && ! [ -e "$tmp/${FIELD[$slug:key]}" ]; then
		VERDICT=$'unknown\t'"spatch failed: $(tail -n 1 "$tmp/$slug.err")"
		return
	fi
	# The facts that close the part, and were not found.
	while IFS= read -r text; do
		has_fact "$slug" "closed ${text%%:*}" || lacking+="${text#*: }, "
	done <<<"${FIELD[$slug:Closed-by]-}"
	if has_fact "$slug" vulnerable; then
		status=vulnerable
		evidence=$(evidence_of "$slug" vulnerable)
	elif has_fact "$slug" not-affected; then
		status=not-affected
		evidence=$(evidence_of "$slug" not-affected)
	elif has_fact "$slug" unsure; then
		evidence=$(evidence_of "$slug" unsure)
	elif [ -z "$lacking" ]; then
		status=fixed
		evidence=$(evidence_of "$slug" "closed *")
	else
		evidence="not recognised: ${lacking%, } (looked at $(awk -F'\t' -v slug="$slug" '
			$1 == slug { printf "%s%s %s:%s", sep, $2, $3, $4; sep = ", " }' "$tmp/wanted"))"
	fi
	case $status in vulnerable|unknown) evidence+=$(notes "$slug") ;; esac
	# shellcheck disable=SC2034 # for the caller
	VERDICT=$status$'\t'$evidence
}

# is_off OPTION - is there a configuration, and OPTION off in it?
is_off()
{
	[ -n "$config" ] && ! grep -qE "^$1=[ym]" "$config"
}

# notes SLUG - print "; TEXT" for each limit of a race that the code has: all its users depend
# on an option ("Users-only:", if only these files have the words of "Uses:"), or an option is off
notes()
{
	local users option files text file off

	users=$(field Users-only "$1")
	read -r option files <<<"${users%%: *}"
	text=${users#*: }
	if [ -n "$users" ]; then
		(cd "$tree" && grep -rlwF --include='*.c' -e "$(field Uses "$1" | sed 's, ,\n,g')" "${SOURCES[@]}") |
			sort >"$tmp/users"
		# A file that only defines one of the words is no user.
		for file in $(awk -F'\t' -v names="$(field Uses "$1")" '
			BEGIN { n = split(names, a, / +/); for (i = 1; i <= n; i++) want[a[i]] }
			$1 in want { print $2 }' "$tmp/index") $files; do
			sed -i "\\,^$file\$,d" "$tmp/users"
		done
		if [ -s "$tmp/users" ]; then
			:
		elif is_off "$option"; then
			printf '; %s is not set in %s: nothing uses %s' "$option" "$config" "$text"
		else
			printf '; only %s uses %s, with %s%s' "${files// /, }" "$text" "$option" \
				"${config:+, which is set in $config}"
		fi
	fi
	off=$(field Needs "$1")
	for option in CONFIG_KVM $off; do
		! is_off "$option" || printf '; %s is not set in %s: none of it is built' "$option" "$config"
	done
}
