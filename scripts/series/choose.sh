# shellcheck shell=bash
# shellcheck disable=SC2004,SC2034 # arrays go by name, and what is set the caller uses
# SPDX-License-Identifier: GPL-2.0-only
#
# Part of apply: which patches a tree needs, and of which line.

# read_status FILE ARRAY [ARRAY2] - rows of scripts/status, by slug; evidence in ARRAY2
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

# find_wanted VERSION - set WANTED: vulnerable parts of the races asked for, in
# the order that their patches have in the nearest series; and UNSURE: races of
# which a part is not known, for which nothing is done
find_wanted()
{
	local line slug race order=()
	local -A seen=()

	for line in $(lines_near "$1"); do
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

# usable PATCH - is it there, and not known to close nothing in this tree?
usable()
{
	[ -e "$1" ] && [ -z "${BANNED[$1]-}" ]
}

# fits PATCH DIR - does it apply there at some offset, but with no fuzz?
fits()
{
	patch -d "$2" -p1 -F0 -N -f -s --dry-run <"$1" >/dev/null 2>&1
}

# header_missing PATCH DIR - print the first header that PATCH includes and DIR has not;
# the result would apply, and not compile. Fails if there is none.
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

# try_all LINE... - patch a fresh copy of SCRATCH/before with what WANTED needs,
# of the first of the lines that fits; set CHOSEN, and STUCK to what none fits
try_all()
{
	local slug line file

	rm -rf "$SCRATCH/after"
	cp -a "$SCRATCH/before" "$SCRATCH/after" || die "$EX_USAGE" "cannot write $SCRATCH (is the disk full?)"
	CHOSEN=() STUCK=()
	for slug in "${WANTED[@]}"; do
		for line; do
			file=$(form_of "$line" "$slug")
			if ! usable "$file" || ! fits "$file" "$SCRATCH/after" ||
				header_missing "$file" "$SCRATCH/after" >/dev/null; then
				continue
			fi
			patch -d "$SCRATCH/after" -p1 -F0 -N -f -s --no-backup-if-mismatch <"$file" ||
				die "$EX_USAGE" "cannot write $SCRATCH (is the disk full?)"
			CHOSEN+=("$file")
			continue 2
		done
		STUCK+=("$slug")
	done
}

# choose VERSION - set CHOSEN to patches that close all of WANTED, as status judges
# the result; fails with STUCK set if there are none
choose()
{
	local lines file slug bad

	mapfile -t lines < <(lines_near "$1")
	BANNED=()
	while :; do
		try_all "${lines[@]}"
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

# closest FILE - where FILE has most lines of what stdin holds, and how that differs.
# Lines that are rare in FILE weigh more than braces.
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
		# Begin and end at what is common.
		while (from < end && !(have[from] in is))
			from++
		to = end
		while (to < total && to - from < size && have[to + 1] in is)
			to++
		print from "," to
	}' - "$1"
}

# explain_rejects PATCH DIR - each hunk of PATCH that DIR does not take, where it was
# looked for, and what is there instead
explain_rejects()
{
	local file hunk range part missing=''

	rm -rf "$SCRATCH/reject" "$SCRATCH/rejects" "$SCRATCH/hunks"
	cp -a "$2" "$SCRATCH/reject"
	mkdir "$SCRATCH/hunks"
	patch -d "$SCRATCH/reject" -p1 -F0 -N -f -s --no-backup-if-mismatch \
		-r "$SCRATCH/rejects" <"$1" >"$SCRATCH/patch.log" 2>&1
	# patch has no rejects for what is not there.
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
		printf '  rejected, of %s:\n' "$file"
		sed 's/^/    /' "$hunk"
		sed -n '/^[- ]/s/^.//p' "$hunk" >"$hunk.old"
		range=$(closest "$2/$file" <"$hunk.old")
		case $range in
		[0-9]*)
			printf '  its old lines were looked for in all of %s; the nearest are lines %s,\n' "$file" "${range/,/ to }"
			printf '  which differ from them (-) like this (+):\n'
			part=$(sed -n "${range}p" "$2/$file" | diff -U 100 "$hunk.old" - | sed '1,3d;s/^/    /')
			printf '%s\n' "$part"
			;;
		*) printf '  its old lines were looked for in all of %s: %s\n' "$file" "$range" ;;
		esac
	done
}

# rejected_share PATCH DIR - what percentage of PATCH's hunks DIR does not take
rejected_share()
{
	local hunks

	hunks=$(grep -c '^@@ ' "$1")
	patch -d "$2" -p1 -F0 -N -f --dry-run <"$1" 2>/dev/null |
		awk -v all="$hunks" '
			/^[0-9]+ out of [0-9]+ hunks? / { n += $1 }
			END { printf "%d\n", n * 100 / all }'
}

# explain_stuck VERSION - for a person, why nothing was done
explain_stuck()
{
	local slug line file header share best least misfits

	for slug in "${STUCK[@]}"; do
		if [ -n "${BANNED[$slug]-}" ]; then
			printf '%s: %s\n' "$slug" "${BANNED[$slug]}"
			continue
		fi
		printf '%s: no patch of any line closes it in this tree\n' "$slug"
		best='' least='' misfits=''
		for line in $(lines_near "$1"); do
			file=$(form_of "$line" "$slug")
			[ -e "$file" ] || continue
			if [ -n "${BANNED[$file]-}" ]; then
				printf '  %s applies, but leaves it %s\n' "${file#"$TOP/"}" "${BANNED[$file]}"
			elif fits "$file" "$SCRATCH/after" && header=$(header_missing "$file" "$SCRATCH/after"); then
				printf '  %s applies, but includes %s, which is not there\n' "${file#"$TOP/"}" "$header"
			else
				misfits+=${misfits:+, }$line
				share=$(rejected_share "$file" "$SCRATCH/after")
				if [ -z "$best" ] || [ "$share" -lt "$least" ]; then
					best=$file least=$share
				fi
			fi
		done
		[ -n "$best" ] || continue
		printf '  none of the patches applies without fuzz (of %s)\n' "$misfits"
		printf '  the nearest is %s:\n' "$best"
		explain_rejects "$best" "$SCRATCH/after"
	done
}
