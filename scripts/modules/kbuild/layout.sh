# shellcheck shell=bash
# shellcheck disable=SC2034 # what these functions set, others use
# SPDX-License-Identifier: GPL-2.0-only
#
# Part of modules-build: does what is built fit modules of others, that were built
# against the distro's KVM? Two looks at it: versions of exported symbols, as
# genksyms has them, in each build; and in --check the types of public headers as
# they lie in memory, by pahole, which kernels without CONFIG_MODVERSIONS need.
#
# A patch that has to change such a type says so, in a trailer of its header:
#	Layout: struct NAME[, struct NAME]... (WHY)
# --check passes these types over, and finds it wrong if one did not change.

# changed_symbols - of the symbols that the distro's KVM exports, those which WORK's
# lacks, or has with another type: one a line
changed_symbols()
{
	awk -F '\t' '
		FNR == 1 { file++ }
		file == 1 { if (index($3, "arch/x86/kvm/") == 1) want[$2] = $1; next }
		{ have[$2] = $1 }
		END { for (name in want) if (have[name] != want[name]) print name }' \
		"$KBUILD/Module.symvers" "$WORK/Module.symvers" | sort
}

# compare_symbols - tell of those symbols: modules that use them would not load. It
# ends the build if that cannot be but the patches' doing, and they don't own up to it.
compare_symbols()
{
	local names text

	mapfile -t names < <(changed_symbols)
	[ ${#names[@]} -gt 0 ] || return 0
	text="${#names[@]} symbols of kvm are missing, or differ in type from the distro's"
	text+="; modules of others that use them would not load: ${names[*]:0:5}"
	case $VARIANT in
	patched|without-*)
		# A tree that the user named may differ by itself.
		[ -z "$OWN_SOURCE" ] || [ -n "$(allowed_types "${PATCHES[@]}")" ] ||
			die "$EX_NO" "$VARIANT for $KVER: $text"
		;;
	esac
	warn "$text"
}

# layout_object DIR - make its layout.o, as kbuild() makes what WORK holds
layout_object()
{
	local WORK=$1 TARGETS=(layout.o) MAKE_ARGS=()

	kbuild
}

# one_layout - prepare WORK; its public headers' types, as pahole prints them, to WORK.layout
one_layout()
{
	local dir=$WORK/layout key=$WORK.layout.key

	prepare
	{
		cat "$NEW.inputs"
		sha256sum <"$TOP/scripts/modules/kbuild/layout.sh"
		sha256sum <"$TOP/scripts/modules/kbuild/layout.c"
	} >"$key.new"
	[ -e "$WORK.layout" ] && cmp -s "$key.new" "$key" && return
	rm -rf "$WORK.layout" "$dir"
	mkdir "$dir" && cp "$TOP/scripts/modules/kbuild/layout.c" "$dir/" || exit "$EX_USAGE"
	{
		echo "racefix := $WORK"
		cat "$TOP/scripts/modules/kbuild/kvm-head.mk"
		echo 'obj-m := layout.o'
		# All types, though the file uses none of them.
		echo 'CFLAGS_layout.o := -gdwarf-4 -fno-eliminate-unused-debug-types'
	} >"$dir/Kbuild"
	say "laying out the types of $VARIANT for $KVER"
	layout_object "$dir"
	pahole "$dir/layout.o" >"$WORK.layout" 2>"$WORK.layout.log" ||
		die "$EX_USAGE" "pahole does not read $dir/layout.o: $(head -n 1 "$WORK.layout.log")"
	grep -q '^struct kvm_vcpu {' "$WORK.layout" ||
		die "$EX_USAGE" "pahole found no struct kvm_vcpu in $dir/layout.o"
	rm -rf "$dir"
	mv "$key.new" "$key"
}

# changed_types OLD NEW - of the types in OLD, those which NEW lacks or has otherwise
changed_types()
{
	awk '
		FNR == 1 { file++ }
		/^(struct|union) .*\{$/ { name = $1 " " $2; text = "" }
		# Remarks on gaps and cache lines follow from where the members lie.
		name && (!/^[\t ]*\/\* / || /\/\* size: /) { text = text $0 "\n" }
		/^}/ && name {
			if (file == 1) old[name] = text; else new[name] = text
			name = ""
		}
		END { for (name in old) if (new[name] != old[name]) print name }' "$1" "$2" | sort
}

# allowed_types PATCH... - what their Layout: trailers name
allowed_types()
{
	[ $# -eq 0 ] || awk '
		FNR == 1 { head = 1 }
		/^(diff|---) / { head = 0 }
		head && sub(/^Layout: */, "") {
			sub(/ *\(.*/, "")
			n = split($0, name, / *, */)
			for (i = 1; i <= n; i++)
				print name[i]
		}' "$@" | sort -u
}

# one_type TYPE FILE - what pahole said of its members, without where they lie
one_type()
{
	awk -v head="$1 {" '$0 == head { on = 1 } on; /^}/ { on = 0 }' "$2" | sed 's, */\*.*,,'
}

# compare_layouts OLD NEW PATCH... - complain of types that differ and of trailers that
# are not true; fails if there are such
compare_layouts()
{
	local old=$1 new=$2 type bad=0

	shift 2
	while read -r type; do
		echo "$type differs from the unpatched one, and modules of others can see it;" \
			"no patch has a trailer 'Layout: $type (why)'"
		diff <(one_type "$type" "$old") <(one_type "$type" "$new") | grep '^[<>]' | grep -v '^..$' | head -n 4
		bad=1
	done < <(comm -23 <(changed_types "$old" "$new") <(allowed_types "$@"))
	while read -r type; do
		echo "a trailer says 'Layout: $type', which is as in the unpatched tree"
		bad=1
	done < <(comm -13 <(changed_types "$old" "$new") <(allowed_types "$@"))
	return $bad
}

# check_layout - is VARIANT laid out as the unpatched tree? For a process of its own: it
# makes VARIANT that.
check_layout()
{
	local patched wanted=("${PATCHES[@]}")

	[ ${#wanted[@]} -gt 0 ] || return 0
	need_package pahole dwarves
	TEMP=()
	trap 'rm -rf "${TEMP[@]}"' EXIT
	open_work ""
	one_layout
	patched=$WORK.layout
	VARIANT=unpatched
	find_patches
	find_files
	open_work ""
	one_layout
	compare_layouts "$WORK.layout" "$patched" "${wanted[@]}"
}
