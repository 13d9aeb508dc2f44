# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The races that this project has a test for. Sourced after lib.sh.
#
# A race is a folder, selftests/races/ID. It has these files: test.c, with the code that only
# this test uses; *.cocci, a semantic patch for each part, by which scripts/status judges a
# tree; reopen/LINE/, patches that put the race back into a kernel that is fixed as shipped;
# control/LINE/, patches that add code which cases need; mutations/LINE/, wrong fixes;
# cases.tsv, the cases that fail if a part of the fix is missing (scripts/patch-index);
# signatures, the form of logs (scripts/explain); about.md and ladder, for its page
# (scripts/race-pages); and race, with comments and lines KEY = VALUE:
#
#	summary	the effect of the race, in a few words
#	hosts	the emulated hosts that can show it, the preferred one first: bochs
#		(Intel), qemu (AMD)
#	vendor	the vendor module that has it, if only one does
#	off_by	parameters, MODULE.NAME; the race cannot occur if one of a loaded module is
#		off (N or 0), by the code
#	lines	the kernel lines that have it, as shipped or reopened: those of the
#		demo, and 6.6 and 6.18, of which Debian has no kernel
#	forced	the first case to show it, which leaves the host alive
#	try	a description of one try of the case "stress"
#
# and, after a line [CASE], facts about that case:
#
#	kills	the lines whose kernels die of it as shipped or reopened; it runs only if
#		it is named
#	ends	the same for a case that is another end of one that kills: only a demo with ENDS=yes
#		has it
#	console	a regular expression that matches a line of the console if the host dies of it
#	effect	a description of its effect on these kernels
#	must_fail  the lines on whose unfixed modules it failed in each run in an emulated
#		host; if a later release of a line is known, or likely, to differ, the line is
#		limited to releases up to the one that was run
#
# Lines are separated by commas; X.Y<X.Y.Z is line X.Y before release X.Y.Z.

# race_ids - print the ids of all races
race_ids()
{
	local file

	for file in "$TOP"/selftests/races/*/race; do
		[ ! -f "$file" ] || basename "${file%/race}"
	done
}

# race_facts ID - print "CASE<TAB>KEY<TAB>VALUE" for each line of its file, with an empty CASE for
# the race itself; nothing for an unknown race
race_facts()
{
	awk -v OFS='\t' '
		/^#/ || !NF { next }
		/^\[.*\]$/ { name = substr($0, 2, length($0) - 2); next }
		{
			value = $0
			sub(/^[^=]*= */, "", value)
			print name, $1, value
		}' "$TOP/selftests/races/$1/race" 2>/dev/null
}

# race_field ID KEY [CASE] - print the value, or nothing
race_field()
{
	race_facts "$1" | awk -F '\t' -v key="$2" -v name="${3-}" '$1 == name && $2 == key { print $3 }'
}

# race_hosts ID [HOST] - print the emulated hosts that can show it, one on each line, the
# preferred one first; only HOST, if HOST is one of them; nothing for an unknown race. HOST=kvm
# counts as one of them if this machine's CPU has the vendor of an emulated host that is
race_hosts()
{
	local only=${2-}

	[ "$only" != kvm ] || only=$(stands_for)
	race_field "$1" hosts | tr , '\n' | awk -v only="$only" -v asked="${2-}" '
		only == "" { print }
		only != "" && $0 == only { print asked }'
}

# stands_for - print the emulated host that has a CPU of the same vendor as this machine
stands_for()
{
	case $(sed -n 's/^vendor_id[^:]*: *//p;T;q' /proc/cpuinfo) in
	GenuineIntel) echo bochs ;;
	*) echo qemu ;;
	esac
}

# race_shows_in ID HOST - can that host show the race?
race_shows_in()
{
	[ -n "$(race_hosts "$1" "$2")" ]
}

# race_test ID - print the path of its built test
race_test()
{
	printf '%s\n' "$BUILD/selftests/${1//-/_}_test"
}

# in_lines LIST KERNEL - does LIST, such as 5.10,6.1<6.1.177, have that kernel? KERNEL is a
# release, such as 6.1.176-1 or 6.1.20, or a line, which stands for the kernel of that line in
# build/kernels. If there is none, it counts as newer than all releases in LIST.
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

# race_in_line ID KERNEL - does that line or release have the race, as shipped or reopened?
race_in_line()
{
	in_lines "$(race_field "$1" lines)" "$2"
}

# cases_where ID KEY KERNEL - print the cases whose KEY is a list of lines that has KERNEL
cases_where()
{
	local name key value

	while IFS=$'\t' read -r name key value; do
		[ "$key" != "$2" ] || ! in_lines "$value" "$3" || printf '%s\n' "$name"
	done < <(race_facts "$1" | sed '/^\t/d')
}

# destructive_cases ID KERNEL - print its cases that bring that line or release down
destructive_cases()
{
	cases_where "$1" kills "$2"
}

# other_ends ID KERNEL - print the cases that do so in another way than a destructive case
other_ends()
{
	cases_where "$1" ends "$2"
}

# must_fail ID KERNEL - print its cases that must fail on unfixed modules of that line or release
must_fail()
{
	cases_where "$1" must_fail "$2"
}

# died_of ID CASE DIR - did the host whose results are in DIR die of that case?
died_of()
{
	local regex

	regex=$(race_field "$1" console "$2")
	[ -n "$regex" ] && grep -qx end=panic "$3/result" 2>/dev/null &&
		grep -aqE -- "$regex" "$3/console.log"
}

# patches_for DIR ID KERNEL - print selftests/races/ID/DIR/LINE/*.patch for the kernel's line; an
# ID of * stands for all races
patches_for()
{
	compgen -G "$TOP/selftests/races/$2/$1/$(kernel_line "$3")/*.patch"
}

# open_set RACE KERNEL - print the set of modules that shows the race on that kernel
open_set()
{
	if patches_for reopen "$1" "$2" >/dev/null; then
		echo "reopen-$1"
	else
		echo stock
	fi
}

# fit KERNEL PATCH... - do these patches apply to its source in build/kernels, one after the other?
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

# closes DIR ID - do the modules in DIR claim, in their version, to close that race? Only the
# build knows the patches that it has used.
closes()
{
	grep -qxF -- "$2" < <(modinfo -F version "$1/kvm.ko" | sed 's/^[^(]*(//; s/)$//; s/, /\n/g')
}

# cve_parts - print "CVE<TAB>PART<TAB>RACE" for each CVE that a patch of a part names, or that
# upstream.tsv has for a commit in its Upstream: trailers
cve_parts()
{
	awk -F'\t' -v OFS='\t' '
		FILENAME == ARGV[1] { if ($3 ~ /^CVE-/) of[$1] = $3; next }
		FNR == 1 { part = FILENAME; sub(/.*\//, "", part); sub(/\.patch$/, "", part) }
		/^diff / { nextfile }
		/^Race: / { race[part] = $0; sub(/^Race: */, "", race[part]) }
		/^(CVE|Upstream): / {
			n = split($0, word, /[^-A-Za-z0-9]+/)
			for (i = 2; i <= n; i++) {
				cve = word[i] in of ? of[word[i]] : word[i]
				if (cve ~ /^CVE-[0-9]+-[0-9]+$/) row[cve OFS part] = part
			}
		}
		END { for (i in row) print i, race[row[i]] }' \
		"$TOP/patches/upstream.tsv" "$TOP"/patches/*/*.patch | sort
}
