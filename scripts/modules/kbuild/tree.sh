# shellcheck shell=bash
# shellcheck disable=SC2034 # the caller uses the variables that these functions set
# SPDX-License-Identifier: GPL-2.0-only
#
# Part of modules-build: the copy of the source that is built.

# base - print as text all that the objects depend on besides the contents of their sources. The
# names of headers are part of it: a new one may hide another, which make does not notice
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

# inputs - print a text that changes with anything that the modules are made from
inputs()
{
	printf '%s\n' "$VERSION" "$CLAIM" "$WORK" "${TARGETS[*]}" "${FILES[@]}"
	cat "$NEW.base"
	sha256sum <"$TOP/scripts/modules/modules-build"
	[ ${#PATCHES[@]} -eq 0 ] || sha256sum "${PATCHES[@]}"
	(cd "$KSRC" && cat "${FILES[@]}" | sha256sum)
}

# sync_tree NEW OLD - copy the sources of NEW to OLD, but leave equal files alone: make goes by
# modification times, and OLD has objects
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

# copy_files SOURCE DIR - copy FILES from SOURCE to DIR: links as the files that they lead to, all
# writable by their owner
copy_files()
{
	printf '%s\n' "${FILES[@]}" | tar -C "$1" -c -h --mode=u+rwX -T - | tar -C "$2" -x --no-same-owner &&
		return
	die "$EX_USAGE" "cannot copy the source from $1 to $2 (is the disk full?)"
}

# prepare_kvm DIR - make DIR the source of VARIANT, with the paths that it will have in WORK
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

	# Let paths into the kernel's tree lead to WORK.
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

# has_objects DIR - does DIR have objects? A directory that was only prepared has none
has_objects()
{
	[ -n "$(find "$1" -name '*.o' -print -quit 2>/dev/null)" ]
}

# seeds - print the variants of this kernel whose objects can be used, those first that need the
# fewest recompiled: a changed header costs more than all other files
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

# seed - start with the objects of another variant, most of which are the same. Objects do not hold
# the path of their directory, only kbuild's .cmd files do.
seed()
{
	local other name

	while IFS= read -r other; do
		name=${other##*/}
		# Leave out a variant whose build is under way, or was killed.
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

# prepare - make WORK the up-to-date source of VARIANT
prepare()
{
	# A build that was killed may have left half an object behind, and make does not notice
	# a new compiler, nor headers of another version that are not newer.
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
