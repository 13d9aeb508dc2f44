# shellcheck shell=bash
# shellcheck disable=SC2034 # the caller uses the variables that these functions set
# SPDX-License-Identifier: GPL-2.0-only
#
# Part of modules-build: check that the modules fit other modules, which were built
# against the distro's KVM, in two ways: each build compares the CRCs of exported
# symbols (genksyms); --check compares the layout of the types in public headers
# (pahole), which is the only check for kernels without CONFIG_MODVERSIONS.
#
# A patch that has to change such a type declares this in a trailer of its header:
#	Layout: struct NAME[, struct NAME]... (WHY)
# --check leaves these types out, and complains if one did not change.

# changed_symbols - print the symbols of the distro's KVM which WORK's lacks, or exports with
# another type, one on each line
changed_symbols()
{
	awk -F '\t' '
		FNR == 1 { file++ }
		file == 1 { if (index($3, "arch/x86/kvm/") == 1) want[$2] = $1; next }
		{ have[$2] = $1 }
		END { for (name in want) if (have[name] != want[name]) print name }' \
		"$KBUILD/Module.symvers" "$WORK/Module.symvers" | sort
}

# compare_symbols - warn of changed symbols: modules that use them would not load. The build
# fails if only the patches can be the cause, and none has a Layout: trailer.
compare_symbols()
{
	local names text

	mapfile -t names < <(changed_symbols)
	[ ${#names[@]} -gt 0 ] || return 0
	text="${#names[@]} symbols of kvm are missing, or differ in type from the distro's"
	text+="; modules of others that use them would not load: ${names[*]:0:5}"
	case $VARIANT in
	patched|without-*)
		# A tree that the user named may itself differ from the distro's.
		[ -z "$OWN_SOURCE" ] || [ -n "$(allowed_types "${PATCHES[@]}")" ] ||
			die "$EX_NO" "$VARIANT for $KVER: $text"
		;;
	esac
	warn "$text"
}

# layout_object DIR - make layout.o in DIR, by kbuild()
layout_object()
{
	local WORK=$1 TARGETS=(layout.o) MAKE_ARGS=()

	kbuild
}

# one_layout - prepare WORK, and write the types of its public headers to WORK.layout, by pahole
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
		# Keep all types, though the file uses none of them.
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

# changed_types OLD NEW - print the types in OLD that are missing or different in NEW
changed_types()
{
	awk '
		FNR == 1 { file++ }
		/^(struct|union) .*\{$/ { name = $1 " " $2; text = "" }
		# Skip comments on gaps and cache lines, which follow from the offsets of members.
		name && (!/^[\t ]*\/\* / || /\/\* size: /) { text = text $0 "\n" }
		/^}/ && name {
			if (file == 1) old[name] = text; else new[name] = text
			name = ""
		}
		END { for (name in old) if (new[name] != old[name]) print name }' "$1" "$2" | sort
}

# allowed_types PATCH... - print the types in their Layout: trailers
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

# one_type TYPE FILE - print the members of TYPE from pahole's output, without their offsets
one_type()
{
	awk -v head="$1 {" '$0 == head { on = 1 } on; /^}/ { on = 0 }' "$2" | sed 's, */\*.*,,'
}

# compare_layouts OLD NEW PATCH... - report types that differ without a trailer, and trailers
# whose type does not differ; fails if there are any
compare_layouts()
{
	local old=$1 new=$2 type bad=0

	shift 2
	while read -r type; do
		echo "$type differs from the unpatched one, and other modules can access it;" \
			"no patch has a trailer 'Layout: $type (why)'"
		diff <(one_type "$type" "$old") <(one_type "$type" "$new") | grep '^[<>]' | grep -v '^..$' | head -n 4
		bad=1
	done < <(comm -23 <(changed_types "$old" "$new") <(allowed_types "$@"))
	while read -r type; do
		echo "a trailer has 'Layout: $type', but that type does not differ from the unpatched one"
		bad=1
	done < <(comm -13 <(changed_types "$old" "$new") <(allowed_types "$@"))
	return $bad
}

# check_layout - compare the layout of VARIANT's types with the unpatched tree's. Call it in a
# subshell: it sets VARIANT to unpatched.
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
