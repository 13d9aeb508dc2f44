# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Part of apply and modules-build: the kernel tree, the series of patches, and the parts that
# the tree lacks.

# The files that apply reads and changes: KVM and its headers, relative to the tree.
KVM_PARTS=(
	Makefile 'arch/x86/kvm' 'virt/kvm' 'include/kvm'
	'include/linux/kvm*' 'include/uapi/linux/kvm*' 'include/trace/events/kvm.h'
	'arch/x86/include/asm/kvm*' 'arch/x86/include/uapi/asm/kvm*'
	'arch/x86/include/asm/svm.h' 'arch/x86/include/asm/vmx*.h'
	'arch/x86/include/uapi/asm/svm.h' 'arch/x86/include/uapi/asm/vmx.h'
)

# tree_version DIR - print VERSION.PATCHLEVEL of the tree's Makefile, or nothing
tree_version()
{
	awk '$1 == "VERSION" && $2 == "=" { v = $3 }
	     $1 == "PATCHLEVEL" && $2 == "=" { if (v != "") print v "." $3; exit }' \
		"$1/Makefile" 2>/dev/null
}

# tree_release DIR - print the same with SUBLEVEL, by which stable releases differ
tree_release()
{
	awk '$1 == "SUBLEVEL" && $2 == "=" { s = $3; exit } END { print s == "" ? 0 : s }' \
		"$1/Makefile" 2>/dev/null | sed "s/^/$(tree_version "$1")./"
}

# check_tree DIR - die unless it is a kernel tree with x86 KVM in it
check_tree()
{
	local part up

	[ -e "$1" ] || die "$EX_USAGE" "$1: no such directory"
	[ -d "$1" ] || die "$EX_USAGE" "$1 is not a directory; name the top of a kernel tree"
	if [ ! -r "$1" ] || [ ! -x "$1" ]; then die "$EX_USAGE" "$1 cannot be read"; fi
	if [ -z "$(tree_version "$1")" ]; then
		up=$(cd "$1" && pwd -P)
		while up=${up%/*}; [ -n "$up" ]; do
			[ -z "$(tree_version "$up")" ] ||
				die "$EX_USAGE" "$1 is within a kernel tree; name its top: $up"
		done
		die "$EX_USAGE" "$1 is not a kernel tree (no Makefile with VERSION and PATCHLEVEL)"
	fi
	for part in arch/x86/kvm virt/kvm virt/kvm/kvm_main.c arch/x86/kvm/x86.c; do
		[ -e "$1/$part" ] ||
			die "$EX_USAGE" "$1 is Linux $(tree_version "$1") without x86 KVM (no $part)"
		[ -r "$1/$part" ] || die "$EX_USAGE" "$1/$part cannot be read"
	done
}

# copy_kvm FROM TO - copy KVM's files, with their modification times
copy_kvm()
{
	(
		cd "$1" || exit
		list=()
		for pattern in "${KVM_PARTS[@]}"; do
			# shellcheck disable=SC2206 # the patterns are to be expanded
			list+=($pattern)
		done
		for i in "${!list[@]}"; do
			[ -e "${list[i]}" ] || unset "list[i]"
		done
		# A tree that was built has objects in it, and a copy must be writable.
		tar -c --exclude='*.o' --exclude='*.ko' --exclude='*.a' --exclude='.*.cmd' \
			-- "${list[@]}"
	) | tar -x -C "$2" --no-same-owner --mode=u+rwX ||
		die "$EX_USAGE" "cannot copy KVM of $1 to $2 (unreadable, or is the disk full?)"
}

# all_slugs - print every part that a series has a patch for
all_slugs()
{
	local file

	for file in "$TOP"/patches/*/*.patch; do
		[ ! -e "$file" ] || basename "$file" .patch
	done | sort -u
}

# patch_race PATCH - print the race in its trailer
patch_race()
{
	sed -n 's/^Race: *//p;/^diff /q' "$1" | head -n 1
}

# slug_race SLUG - print the race that this part belongs to
slug_race()
{
	local file

	for file in "$TOP"/patches/*/"$1.patch"; do
		[ ! -e "$file" ] || patch_race "$file"
		return
	done
}

# series_of LINE - print the slugs of its patches, in their order
series_of()
{
	local name opt

	while read -r name opt || [ -n "$name" ]; do
		case $name in ''|\#*) continue ;; esac
		case $opt in
		''|-p1|\#*) ;;
		*) die "$EX_USAGE" "patches/$1/series: '$name $opt': only -p1 is understood" ;;
		esac
		printf '%s\n' "${name%.patch}"
	done <"$TOP/patches/$1/series"
}

# form_of LINE SLUG - print the path of the part's patch in that series, which need not exist.
# With FORM=modules that is LINE/modules/SLUG.patch, if it exists, which keeps the layout of
# structures that other modules see.
form_of()
{
	local file=$TOP/patches/$1/modules/$2.patch

	[ "${FORM-}" = modules ] && [ -e "$file" ] || file=$TOP/patches/$1/$2.patch
	printf '%s\n' "$file"
}

# line_of PATCH - print the name of its directory in patches/
line_of()
{
	local file=${1#"$TOP/patches/"}

	printf '%s\n' "${file%%/*}"
}

# all_lines - print the directories of patches/ that have a series, the oldest line first
all_lines()
{
	local file

	for file in "$TOP"/patches/*/series; do
		[ -e "$file" ] || continue
		file=${file%/series}
		printf '%s\n' "${file##*/}"
	done | sort -V
}

# lines_near RELEASE - print the directories that have a series, in the order to try them. X.Y
# has the patches for X.Y from its first release on, X.Y.Z those for X.Y.Z and later. Of
# RELEASE's own line comes first the last directory that is not later than RELEASE, then those
# before it, then the later ones; after that the neighbouring lines, the nearest first.
lines_near()
{
	all_lines | awk -F . -v want="$1" '
		# 5.19 was followed by 6.0, and 6.19 by 7.0.
		function place(version,  part) {
			split(version, part, ".")
			return part[1] * 20 + part[2]
		}
		function minor(version,  part) {
			split(version, part, ".")
			return part[3] + 0
		}
		function abs(n) { return n < 0 ? -n : n }
		{
			far = place($0) - place(want)
			later = far ? far > 0 : minor($0) > minor(want)
			print abs(far), later, (far || later ? minor($0) : -minor($0)), $0
		}
	' | sort -n -k 1,1 -k 2,2 -k 3,3 | awk '{ print $4 }'
}

# known_range - print "OLDEST NEWEST" of the lines that have patches, or on which the
# project's tests are run
known_range()
{
	local lines

	mapfile -t lines < <({
		all_lines | grep -oE '^[0-9]+\.[0-9]+'
		printf '%s\n' "$KERNEL_LINES" "$MORE_LINES" | tr -s ' ' '\n'
	} | grep . | sort -V)
	printf '%s %s\n' "${lines[0]}" "${lines[-1]}"
}

# is_known RELEASE - is RELEASE within that range?
is_known()
{
	local oldest newest line

	read -r oldest newest < <(known_range)
	line=$(cut -d . -f 1,2 <<<"$1")
	[ "$(printf '%s\n' "$oldest" "$line" "$newest" | sort -V | sed -n 2p)" = "$line" ]
}

# tree_key DIR FILE... - print a key that changes with KVM's source in DIR and with the FILEs,
# which may be directories
tree_key()
{
	local dir=$1

	shift
	{
		(cd "$dir" && find -L Makefile arch/x86/kvm virt/kvm include/linux/kvm* arch/x86/include/asm/kvm* \
			-type f '(' -name '*.[ch]' -o -name Makefile ')' -print0 2>/dev/null |
			sort -z | xargs -0 sha256sum)
		# Equal patches are links to one file.
		[ $# -eq 0 ] || find -L "$@" -type f -print0 2>/dev/null | sort -z | xargs -0 sha256sum
	} | sha256sum | cut -c 1-40
}

# keep NAME - save the answer on stdin as build/status/NAME, if build/ can be written
keep()
{
	local part=$BUILD/status/.$1.$$

	if mkdir -p "$BUILD/status" 2>/dev/null && cat >"$part" 2>/dev/null; then
		mv "$part" "$BUILD/status/$1"
	fi
}

# tree_parts DIR - print the result of scripts/status for each part, "SLUG<TAB>STATUS<TAB>EVIDENCE".
# It depends only on KVM's source and on the rules and the script that judge it, and is saved.
tree_parts()
{
	local key out

	key=$(tree_key "$1" "$TOP/scripts/tree/status" "$TOP/scripts/tree/judge.sh" "$TOP"/selftests/races/*/*.cocci).parts
	if [ -s "$BUILD/status/$key" ]; then
		cat "$BUILD/status/$key"
		return
	fi
	out=$("$TOP/scripts/tree/status" --tsv --parts "$1")
	# Exit codes 1 and 2 are answers, too, if there are rows.
	[ -n "$out" ] || return
	keep "$key" <<<"$out"
	printf '%s\n' "$out"
}
