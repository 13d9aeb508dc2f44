# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# What selftests/races/table and .../destructive say, for scripts that run the
# race tests. Sourced after lib.sh.

# race_ids - all of them
race_ids()
{
	awk -F '\t' '!/^#/ && NF { print $1 }' "$TOP/selftests/races/table"
}

# race_hosts ID [HOST] - the emulated hosts that can show it, one a line, the one to
# prefer first, or only HOST if it is one of them; nothing for an unknown race
race_hosts()
{
	awk -F '\t' -v id="$1" -v only="${2-}" '!/^#/ && $1 == id {
		n = split($2, host, ",")
		for (i = 1; i <= n; i++)
			if (only == "" || host[i] == only)
				print host[i]
	}' "$TOP/selftests/races/table"
}

# race_shows_in ID HOST - can that host show it?
race_shows_in()
{
	grep -qxF -- "$2" < <(race_hosts "$1")
}

# race_test ID - its built test
race_test()
{
	printf '%s\n' "$BUILD/selftests/${1//-/_}_test"
}

# in_lines LIST KERNEL - does LIST, such as 5.10,6.1<6.1.177, have that kernel? Of a
# line, an entry with < holds for releases before that one. KERNEL is a release, as
# 6.1.176-1 or 6.1.20, or a line, which is the kernel of that line in build/kernels, and
# newer than any release that an entry may name if there is none yet.
in_lines()
{
	local kernel=$2

	[[ $kernel == *.*.* ]] || kernel=$(cat "$BUILD/kernels/$2/version" 2>/dev/null) || kernel=$2
	awk -v list="$1" -v kernel="$kernel" '
		function line(version,  part) {
			split(version, part, /[^0-9]+/)
			return part[1] "." part[2]
		}
		function sublevel(version,  part) {
			return split(version, part, /[^0-9]+/) > 2 ? part[3] + 0 : 1e9
		}
		BEGIN {
			n = split(list, entry, ",")
			for (i = 1; i <= n; i++) {
				split(entry[i], part, "<")
				if (part[1] == line(kernel) &&
				    (part[2] == "" || sublevel(kernel) < sublevel(part[2])))
					exit 0
			}
			exit 1
		}'
}

# destructive_cases ID KERNEL - its cases that bring that line or release down as shipped
destructive_cases()
{
	local id case lines rest

	while IFS=$'\t' read -r id case lines rest; do
		[ "$id" != "$1" ] || ! in_lines "$lines" "$2" || printf '%s\n' "$case"
	done < <(grep -v '^#' "$TOP/selftests/races/destructive")
}

# died_of ID CASE DIR - did the host whose results are in DIR die, and of that case?
died_of()
{
	local regex

	regex=$(awk -F '\t' -v race="$1" -v name="$2" \
		'!/^#/ && $1 == race && $2 == name { print $4 }' "$TOP/selftests/races/destructive")
	[ -n "$regex" ] && grep -qx end=panic "$3/result" 2>/dev/null &&
		grep -aqE -- "$regex" "$3/console.log"
}

# race_in_line ID KERNEL - does that line or release have it, as shipped or reopened?
race_in_line()
{
	in_lines "$(awk -F '\t' -v id="$1" '!/^#/ && $1 == id { print $3 }' "$TOP/selftests/races/table")" "$2"
}

# patches_for DIR ID KERNEL - selftests/races/ID/DIR/LINE/*.patch of the kernel's line; an
# ID of * is all races
patches_for()
{
	compgen -G "$TOP/selftests/races/$2/$1/$(kernel_line "$3")/*.patch"
}

# open_set RACE KERNEL - the modules that show the race on that kernel
open_set()
{
	if patches_for reopen "$1" "$2" >/dev/null; then
		echo "reopen-$1"
	else
		echo stock
	fi
}

# fit KERNEL PATCH... - do these apply to its source in build/kernels, one upon the other?
fit()
{
	local source=$BUILD/kernels/$1/source copy rc=0 patch file

	shift
	[ $# -gt 0 ] || return 0
	need_package patch patch
	copy=$(mktemp -d) || exit "$EX_USAGE"
	while IFS= read -r file; do
		mkdir -p "$copy/${file%/*}"
		cp "$source/$file" "$copy/$file" 2>/dev/null
	done < <(sed -nE 's,^--- a/([^[:space:]]+).*,\1,p' "$@" | sort -u)
	for patch; do
		patch -d "$copy" -p1 -F0 -N -f -s <"$patch" >/dev/null 2>&1 || rc=1
	done
	rm -rf "$copy"
	return $rc
}

# closes DIR ID - do the modules there say that they close that race? Which patches a
# tree gets, and from which lines, only the building of it tells.
closes()
{
	grep -qxF -- "$2" < <(modinfo -F version "$1/kvm.ko" | sed 's/^[^(]*(//; s/)$//; s/, /\n/g')
}
