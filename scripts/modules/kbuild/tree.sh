# shellcheck shell=bash
# shellcheck disable=SC2034 # what these functions set, their caller uses
# SPDX-License-Identifier: GPL-2.0-only
#
# Part of modules-build: the copy of the source that is built.

# base - what all objects depend on besides the contents of their source, as text:
# a header that is new may hide another, which make does not see
base()
{
	local patch

	printf '%s\n' "$KBUILD" "${MODULES[*]}" "${MAKE_ARGS[*]}"
	{
		printf '%s\n' "${FILES[@]}"
		[ ${#PATCHES[@]} -eq 0 ] || patched_files "${PATCHES[@]}"
	} | grep '\.h$' | sort -u
	# A patch to a Makefile gives every object another command line.
	for patch in "${PATCHES[@]}"; do
		if grep -q "/Makefile\$" < <(patched_files "$patch"); then
			sha256sum <"$patch"
		fi
	done
	if [ -n "$ROOT" ]; then
		cat "$ROOT/packages"
	else
		"$COMPILER" --version | head -n 1
	fi
	cat "$TOP/scripts/modules/kbuild/tree.sh" "$TOP/scripts/modules/kbuild/kvm-head.mk" | sha256sum
	cat "$KBUILD/Module.symvers" "$KBUILD/.config" "$KBUILD"/.kernelvariables 2>/dev/null | sha256sum
}

# inputs - all that the modules are made from, as text that differs if one does
inputs()
{
	printf '%s\n' "$VERSION" "$CLAIM" "$WORK" "${TARGETS[*]}" "${FILES[@]}"
	cat "$NEW.base"
	sha256sum <"$TOP/scripts/modules/modules-build"
	[ ${#PATCHES[@]} -eq 0 ] || sha256sum "${PATCHES[@]}"
	(cd "$KSRC" && cat "${FILES[@]}" | sha256sum)
}

# sync_tree NEW OLD - make OLD hold the sources that NEW holds, and leave alone
# what is the same: make goes by modification times, and OLD has objects
sync_tree()
{
	local new=$1 old=$2 file

	mkdir -p "$old"
	(cd "$new" && find . -type f | sort) >"$new.list"
	if [ -e "$old/.list" ]; then
		comm -23 "$old/.list" "$new.list" | (cd "$old" && xargs -r rm -f)
	fi
	while read -r file; do
		if ! cmp -s "$new/$file" "$old/$file"; then
			mkdir -p "$old/${file%/*}"
			cp "$new/$file" "$old/$file" || die "$EX_USAGE" "cannot write $old/$file (is the disk full?)"
		fi
	done <"$new.list"
	mv "$new.list" "$old/.list"
}

# copy_files SOURCE DIR - FILES of it and their directories, and no links, writable whatever the
# source's are
copy_files()
{
	printf '%s\n' "${FILES[@]}" | tar -C "$1" -c -h --mode=u+rwX -T - | tar -C "$2" -x --no-same-owner &&
		return
	die "$EX_USAGE" "cannot copy the source from $1 to $2 (is the disk full?)"
}

# prepare_kvm DIR - the source of VARIANT, as it will lie in WORK
prepare_kvm()
{
	local dir=$1 patch out mod

	copy_files "$KSRC" "$dir"
	for patch in "${PATCHES[@]}"; do
		out=$(patch -d "$dir" -p1 -F0 --no-backup-if-mismatch <"$patch" 2>&1) || {
			grep -v '^patching file' <<<"$out" >&2
			die "$EX_USAGE" "${patch#"$TOP/"} does not apply to $KSRC"
		}
	done

	# Paths that mean the kernel's tree, and have to mean this one.
	# shellcheck disable=SC2016,SC2046
	sed -i -E 's,\$\(srctree\)/(arch/x86/kvm|virt/kvm),$(racefix)/\1,g
		s,-I ?arch/x86/kvm,-I $(racefix)/arch/x86/kvm,' \
		$(find "$dir/arch/x86/kvm" "$dir/virt/kvm" -name "Makefile*")
	{
		echo "racefix := $WORK"
		cat "$TOP/scripts/modules/kbuild/kvm-head.mk"
		cat "$dir/arch/x86/kvm/Makefile"
		for mod in "${MODULES[@]}"; do
			echo "$mod-y += racefix-$mod.o"
		done
	} >"$dir/Makefile.new"
	mv "$dir/Makefile.new" "$dir/arch/x86/kvm/Makefile"
	for mod in "${MODULES[@]}"; do
		printf '// SPDX-License-Identifier: GPL-2.0-only\n#include <linux/module.h>\n\nMODULE_VERSION("%s");\n' \
			"kvm-racefix $VERSION ($CLAIM)" >"$dir/arch/x86/kvm/racefix-$mod.c"
	done
	echo 'obj-m := arch/x86/kvm/' >"$dir/Kbuild"
}

# has_objects DIR - was anything compiled there? Not if it was only laid out, or prepared
has_objects()
{
	[ -n "$(find "$1" -name '*.o' -print -quit 2>/dev/null)" ]
}

# seeds - the variants for this kernel whose objects will do, those first that the
# fewest have to be made again of: a header costs more than all other files
seeds()
{
	local other

	for other in "$BUILD/work/$KVER"/*/.base; do
		cmp -s "$other" "$NEW.base" || continue
		other=${other%/.base}
		has_objects "$other" || continue
		diff -rq "$NEW" "$other" | awk -v other="$other" '
			/^Files / { n += / and .*\.h differ$/ ? 1000 : 1 }
			END { print n + 0 "\t" other }'
	done | sort -n | cut -f 2-
}

# seed - start with the objects of another variant: most are the same. They hold no
# path of their place, only what kbuild notes of them does.
seed()
{
	local other name

	while IFS= read -r other; do
		name=${other##*/}
		# Not one that is being built, or was when it was killed.
		if (
			flock -n 8 && [ ! -e "$other/.building" ] && cp -a "$other" "$NEW.seed"
		) 8>>"${other%/*}/.$name.new.lock"; then
			find "$NEW.seed" \( -name '*.mod*' -o -name '*.ko' -o -name modules.order \
				-o -name Module.symvers -o -name .inputs \) -delete
			find "$NEW.seed" -name '.*.cmd' -exec sed -i "s,$other/,$WORK/,g" {} +
			mv "$NEW.seed" "$WORK"
			return
		fi
		rm -rf "$NEW.seed"
	done < <(seeds)
}

# prepare - bring WORK to what it should be
prepare()
{
	# A build that was killed may have left half an object behind, and make does
	# not see a new compiler, nor headers that are another version's but not younger.
	if [ -e "$WORK/.building" ] || ! cmp -s "$NEW.base" "$WORK/.base"; then
		rm -rf "$WORK"
	fi
	if has_objects "$WORK"; then
		cmp -s "$NEW.inputs" "$WORK/.inputs" && return
	else
		rm -rf "$WORK"
	fi
	rm -rf "$NEW" "$NEW.seed"
	mkdir -p "$NEW/include/trace"
	if [ "$VARIANT" = racegate ]; then
		copy_files "$KSRC" "$NEW"
	else
		prepare_kvm "$NEW"
	fi
	[ -d "$WORK" ] || seed
	rm -f "$WORK/.inputs"
	sync_tree "$NEW" "$WORK"
	mkdir -p "$WORK/include/trace"
	cp "$NEW.base" "$WORK/.base"
	cp "$NEW.inputs" "$WORK/.inputs"
}
