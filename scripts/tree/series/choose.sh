# shellcheck shell=bash
# shellcheck disable=SC2004,SC2034 # arrays are passed by name; the caller uses the variables
# SPDX-License-Identifier: GPL-2.0-only
#
# Part of apply: choose the patches that a tree needs, and the lines to take them from.

# read_status FILE ARRAY [ARRAY2] - read rows of scripts/status: ARRAY gets the status by slug,
# ARRAY2 the evidence
read_status()
{
	local slug status evidence
	local -n by_slug=$2

	while IFS=$'\t' read -r slug status evidence; do
		by_slug[$slug]=$status
		[ $# -lt 3 ] || {
			local -n why=$3
			why[$slug]=$evidence
		}
	done <"$1"
}

# find_wanted VERSION - set WANTED, the vulnerable parts of the selected races, and UNSURE, the
# races of which a part is unknown, for which nothing is done. WANTED has the order of the
# nearest series of an X.Y: the series of an X.Y.Z has only the patches that differ, which
# does not tell their order among all
find_wanted()
{
	local line slug race order=() whole='[0-9]+\.[0-9]+'
	local -A seen=()

	for line in $(lines_near "$1" | grep -xE "$whole") $(lines_near "$1" | grep -vxE "$whole"); do
		for slug in $(series_of "$line"); do
			[ -z "${seen[$slug]-}" ] || continue
			[ -n "$(slug_race "$slug")" ] ||
				die "$EX_USAGE" "patches/$line/$slug.patch is missing, or has no 'Race:' trailer"
			seen[$slug]=1
			order+=("$slug")
		done
	done
	WANTED=() UNSURE=()
	for slug in "${order[@]}"; do
		race=$(slug_race "$slug")
		is_asked "$race" || continue
		case ${BEFORE[$slug]-unknown} in
		unknown) case " ${UNSURE[*]} " in *" $race "*) ;; *) UNSURE+=("$race") ;; esac ;;
		esac
	done
	for slug in "${order[@]}"; do
		race=$(slug_race "$slug")
		is_asked "$race" || continue
		case " ${UNSURE[*]} " in *" $race "*) continue ;; esac
		[ "${BEFORE[$slug]-}" != vulnerable ] || WANTED+=("$slug")
	done
}

# usable PATCH - does the patch exist, and is it not banned, as one that closes nothing here?
usable()
{
	[ -e "$1" ] && [ -z "${BANNED[$1]-}" ]
}

# fits PATCH DIR - does the patch apply in DIR, perhaps with an offset, but without fuzz?
fits()
{
	patch -d "$2" -p1 -F0 -N -f -s --dry-run <"$1" >/dev/null 2>&1
}

# header_missing PATCH DIR - print the first header that PATCH includes and DIR lacks: PATCH
# would apply, and the result would not compile. Fails if there is none.
header_missing()
{
	local file header dir

	while read -r file header; do
		for dir in "${file%/*}" arch/x86/kvm virt/kvm; do
			[ ! -e "$2/$dir/$header" ] || continue 2
		done
		printf '%s\n' "$header"
		return 0
	done < <(awk '
		/^\+\+\+ / { file = $2; sub(/^b\//, "", file) }
		/^\+#include "/ { split($0, a, "\""); print file, a[2] }' "$1")
	return 1
}

# declared_twice PATCH DIR - print the first declaration that PATCH, which fits, would add to a
# structure of DIR's headers that has it already. Fails if there is none.
declared_twice()
{
	local file headers

	mapfile -t headers < <(changed_by "$1" | grep '\.h$')
	[ ${#headers[@]} -gt 0 ] || return
	rm -rf "$SCRATCH/try"
	mkdir "$SCRATCH/try"
	(cd "$2" && changed_by "$1" | xargs -d '\n' cp --parents -t "$SCRATCH/try" -- 2>/dev/null)
	patch -d "$SCRATCH/try" -p1 -F0 -N -f -s <"$1" >/dev/null
	for file in "${headers[@]}"; do
		awk -v file="$file" '
			NR == FNR { if (/^\+.*;$/) added[substr($0, 2)]; next }
			/^[ \t]*\}/ { depth-- }
			/;$/ && depth && $0 in added && said[block[depth], $0]++ {
				sub(/^[ \t]*/, "")
				print $0 " twice in " file
				found = 1
				exit
			}
			/\{[^}]*$/ { block[++depth] = ++blocks }
			END { exit !found }' "$1" "$SCRATCH/try/$file" && return
	done
	return 1
}

# breaks PATCH DIR - print why DIR would not compile with PATCH, which fits. Fails if no reason
# is found.
breaks()
{
	local header

	if header=$(header_missing "$1" "$2"); then
		printf 'includes %s, which is not there\n' "$header"
	elif header=$(declared_twice "$1" "$2"); then
		printf 'declares %s\n' "$header"
	else
		return 1
	fi
}

# find_candidates VERSION - set CANDIDATES: for each slug of WANTED the files to try in this
# order, one on each line; a file with several links is tried once
find_candidates()
{
	local slug line lines

	mapfile -t lines < <(lines_near "$1")
	CANDIDATES=()
	for slug in "${WANTED[@]}"; do
		CANDIDATES[$slug]=$(for line in "${lines[@]}"; do
			form_of "$line" "$slug"
		done | xargs -d '\n' stat -L -c '%d:%i %n' 2>/dev/null |
			awk '!seen[$1]++ { sub(/^[^ ]* /, ""); print }')
	done
}

# try_all - patch a fresh copy of SCRATCH/before: each slug of WANTED gets the first of its
# candidates that fits; those that fit only on top of others come after them. Set CHOSEN to the
# patches, and STUCK to the slugs for which none fits
try_all()
{
	local slug file rest=("${WANTED[@]}")

	rm -rf "$SCRATCH/after"
	cp -a "$SCRATCH/before" "$SCRATCH/after" || die "$EX_USAGE" "cannot write $SCRATCH (is the disk full?)"
	CHOSEN=()
	while :; do
		STUCK=()
		for slug in "${rest[@]}"; do
			while IFS= read -r file; do
				if ! usable "$file" || ! fits "$file" "$SCRATCH/after" ||
					breaks "$file" "$SCRATCH/after" >/dev/null; then
					continue
				fi
				patch -d "$SCRATCH/after" -p1 -F0 -N -f -s --no-backup-if-mismatch <"$file" ||
					die "$EX_USAGE" "cannot write $SCRATCH (is the disk full?)"
				CHOSEN+=("$file")
				continue 2
			done <<<"${CANDIDATES[$slug]}"
			STUCK+=("$slug")
		done
		[ ${#STUCK[@]} -lt ${#rest[@]} ] || return
		rest=("${STUCK[@]}")
	done
}

# choose VERSION - set CHOSEN to patches with which status calls all of WANTED fixed; if there are
# none, set STUCK and fail
choose()
{
	local file slug bad

	find_candidates "$1"
	BANNED=()
	while :; do
		try_all
		[ ${#STUCK[@]} -eq 0 ] || return
		unset AFTER
		declare -gA AFTER=()
		tree_parts "$SCRATCH/after" >"$SCRATCH/after.tsv"
		read_status "$SCRATCH/after.tsv" AFTER AFTER_WHY
		bad=''
		for file in "${CHOSEN[@]}"; do
			slug=$(basename "$file" .patch)
			[ "${AFTER[$slug]-}" != fixed ] || continue
			BANNED[$file]="${AFTER[$slug]-unknown}: ${AFTER_WHY[$slug]-}"
			bad=yes
		done
		[ -n "$bad" ] && continue
		for slug in "${!BEFORE[@]}"; do
			case ${BEFORE[$slug]}:${AFTER[$slug]-} in
			vulnerable:*|unknown:*|*:fixed|*:not-affected) ;;
			*)
				STUCK+=("$slug")
				BANNED[$slug]="the patches together would leave it ${AFTER[$slug]-unknown}: ${AFTER_WHY[$slug]-}"
				;;
			esac
		done
		[ ${#STUCK[@]} -eq 0 ]
		return
	done
}

# races_that_fit VERSION - after choose has failed, print the races of WANTED whose patches
# all fit without those of the races that are stuck
races_that_fit()
{
	local slug kept races stuck

	while [ ${#STUCK[@]} -gt 0 ]; do
		stuck=" $(for slug in "${STUCK[@]}"; do slug_race "$slug"; done | paste -sd ' ') "
		kept=()
		for slug in "${WANTED[@]}"; do
			case $stuck in *" $(slug_race "$slug") "*) ;; *) kept+=("$slug") ;; esac
		done
		[ ${#kept[@]} -lt ${#WANTED[@]} ] || return
		WANTED=("${kept[@]}")
		[ ${#WANTED[@]} -gt 0 ] || return
		choose "$1" || continue
	done
	mapfile -t races < <(for slug in "${WANTED[@]}"; do slug_race "$slug"; done | sort -u)
	printf '%s\n' "${races[@]}"
}

# closest FILE - print the range of FILE that has most of the lines on stdin, as "FROM,TO", or
# that it has none. Lines that are rare in FILE weigh more than common ones.
closest()
{
	awk -v name="$1" '
	NR == FNR { want[++n] = $0; is[$0] = 1; next }
	{ have[++total] = $0; if ($0 in is) seen[$0]++ }
	END {
		for (i = 1; i <= total; i++)
			if (have[i] in is && have[i] !~ /^[[:space:]{}]*$/)
				weight[i] = 1 / seen[have[i]]
		size = n + 4
		for (i = 1; i <= total; i++) {
			sum += weight[i]
			if (i > size)
				sum -= weight[i - size]
			if (sum > best + 1e-9) {
				best = sum
				end = i
			}
		}
		if (!best) {
			print "no line of it is in the file"
			exit
		}
		from = end - size + 1
		if (from < 1)
			from = 1
		# Begin and end at a line that is in both.
		while (from < end && !(have[from] in is))
			from++
		to = end
		while (to < total && to - from < size && have[to + 1] in is)
			to++
		print from "," to
	}' - "$1"
}

# is_in HUNK FILE - is HUNK applied in FILE already?
is_in()
{
	{
		printf '%s\n' "--- a/file" "+++ b/file"
		cat "$1"
	} >"$SCRATCH/one-hunk"
	patch -R -f -s -F0 --dry-run -o /dev/null "$2" "$SCRATCH/one-hunk" >/dev/null 2>&1
}

# explain_rejects PATCH DIR - print each hunk of PATCH that does not apply in DIR, and the lines of
# the file that come nearest to it
explain_rejects()
{
	local file hunk range missing=''

	rm -rf "$SCRATCH/reject" "$SCRATCH/rejects" "$SCRATCH/hunks"
	cp -a "$2" "$SCRATCH/reject"
	mkdir "$SCRATCH/hunks"
	# No -N here: it skips all of a file whose first hunk is applied already.
	patch -d "$SCRATCH/reject" -p1 -F0 -f -s --no-backup-if-mismatch \
		-r "$SCRATCH/rejects" <"$1" >"$SCRATCH/patch.log" 2>&1
	# patch writes no rejects for files that do not exist.
	while IFS= read -r file; do
		[ ! -e "$2/$file" ] || continue
		printf '  there is no %s in this tree\n' "$file"
		missing=yes
	done < <(sed -n 's,^--- a/,,p' "$1")
	if [ ! -s "$SCRATCH/rejects" ]; then
		[ -n "$missing" ] || sed 's/^/  /' "$SCRATCH/patch.log"
		return
	fi
	awk -v dir="$SCRATCH/hunks" '
		/^--- / { next }
		/^\+\+\+ / { file = $2; sub(/^b\//, "", file); next }
		/^@@ / { out = sprintf("%s/%03d", dir, ++n); print file > (out ".file") }
		out { print > out }' "$SCRATCH/rejects"
	for hunk in "$SCRATCH"/hunks/???; do
		file=$(cat "$hunk.file")
		if is_in "$hunk" "$2/$file"; then
			printf '  this hunk is in already, in %s:\n' "$file"
			sed 's/^/    /' "$hunk"
			continue
		fi
		printf '  rejected, of %s:\n' "$file"
		sed 's/^/    /' "$hunk"
		sed -n '/^[- ]/s/^.//p' "$hunk" >"$hunk.old"
		range=$(closest "$2/$file" <"$hunk.old")
		case $range in
		[0-9]*)
			printf '  its old lines were looked for in all of %s; the nearest are lines %s,\n' "$file" "${range/,/ to }"
			printf '  which differ from them (-) like this (+):\n'
			sed -n "${range}p" "$2/$file" | diff -U 100 "$hunk.old" - | sed '1,3d;s/^/    /'
			;;
		*) printf '  its old lines were looked for in all of %s: %s\n' "$file" "$range" ;;
		esac
	done
}

# rejected_share PATCH DIR - print the percentage of PATCH's hunks that do not apply in DIR
rejected_share()
{
	local hunks

	hunks=$(grep -c '^@@ ' "$1")
	patch -d "$2" -p1 -F0 -f --dry-run <"$1" 2>/dev/null |
		awk -v all="$hunks" '
			/^[0-9]+ out of [0-9]+ hunks? / { n += $1 }
			END { printf "%d\n", n * 100 / all }'
}

# explain_stuck - print why nothing was done; set MISFITS to the patches that are the reason
explain_stuck()
{
	local slug file why share best least lines

	MISFITS=()
	for slug in "${STUCK[@]}"; do
		if [ -n "${BANNED[$slug]-}" ]; then
			printf '%s: %s\n' "$slug" "${BANNED[$slug]}"
			MISFITS+=("$slug")
			continue
		fi
		printf '%s: no patch of any line closes it in this tree\n' "$slug"
		best='' least='' lines=''
		while IFS= read -r file; do
			if [ -n "${BANNED[$file]-}" ]; then
				printf '  %s applies, but leaves it %s\n' "${file#"$TOP/"}" "${BANNED[$file]}"
			elif fits "$file" "$SCRATCH/after" && why=$(breaks "$file" "$SCRATCH/after"); then
				printf '  %s applies, but %s\n' "${file#"$TOP/"}" "$why"
			else
				lines+=${lines:+, }$(line_of "$file")
				share=$(rejected_share "$file" "$SCRATCH/after")
				if [ -z "$best" ] || [ "$share" -lt "$least" ]; then
					best=$file least=$share
				fi
			fi
		done <<<"${CANDIDATES[$slug]}"
		MISFITS+=("${best:-$slug}")
		[ -n "$best" ] || continue
		printf '  none of the patches applies without fuzz (of %s)\n' "$lines"
		printf '  the nearest is %s:\n' "$best"
		explain_rejects "$best" "$SCRATCH/after"
	done
}
