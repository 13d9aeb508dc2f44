# shellcheck shell=bash
# shellcheck disable=SC2004,SC2154 # what its caller has declared
# SPDX-License-Identifier: GPL-2.0-only
#
# Part of mutants-build: a mutant's modules from the objects of the fix, with the one object compiled anew that
# differs, by the command that kbuild has noted for it. This takes a third of what a build by kbuild does, which also reads all
# dependencies, runs modpost, and compiles what modpost writes.
#
# A mutant is for kbuild where this is not known to come to the same: where the objects of the fix do not, linked
# and compiled here, give the modules that kbuild has made of them; of a header; and where the object has
# a symbol that the fix does not refer to, whose version modpost has to find.
# The modules' srcversion is that of the fix.

# noted_command TREE FILE.o - run what kbuild has noted as the command for it, where kbuild does; its output is in quick.log
noted_command()
{
	local cmd=$1/${2%/*}/.${2##*/}.cmd

	[ -e "$cmd" ] || return
	cmd=$(sed -n '1s/^[^ ]* := //p' "$cmd")
	# What make would make of its variables is not known here.
	[ -n "$cmd" ] && [[ $cmd != *'$'* ]] || return
	# The command is a list: as in kbuild, its first error ends it. Without an object, nothing is taken for one.
	rm -f "$1/$2"
	(cd "$QUICK_KBUILD" && sh -ec "$cmd") </dev/null >"$SCRATCH/quick.log" 2>&1
}

# symbols FILE [OPTION] - that nm prints, without their addresses
symbols()
{
	nm "${@:2}" "$1" 2>/dev/null | awk 'NF >= 2 { print $NF }' | sort -u
}

# quick_open RACE DIR - a copy of the objects of the fix, whose modules are in DIR, as SCRATCH/tree;
# 1 if mutants of RACE are for kbuild
quick_open()
{
	local race=$1 dir=$2 kver set root work file mod version

	QUICK=$SCRATCH/tree QUICK_OF=''
	rm -rf "$QUICK" "$SCRATCH/ko"
	set=${dir##*/} kver=${dir%/*} kver=${kver##*/}
	root=$(readlink -f "$BUILD")
	work=$root/work/$kver/$set
	# A build that was killed may have left half an object behind.
	[ -e "$work/.base" ] && [ ! -e "$work/.building" ] || return
	(flock 8 && cp -a "$work" "$QUICK") 8>>"$BUILD/work/$kver/.$set.new.lock" || return
	QUICK_KBUILD=$(head -n 1 "$QUICK/.base")
	find "$QUICK" -name '.*.cmd' -exec sed -i "s,$work/,$QUICK/,g" {} +
	# In these, kbuild has the objects' paths.
	find "$QUICK" -name '*.mod' -exec sed -i "s,$work/,$QUICK/,g" {} +
	mkdir "$SCRATCH/ko"
	for file in "$QUICK"/arch/x86/kvm/racefix-*.c; do
		[ -e "$file" ] || return
		mod=${file##*/racefix-} mod=${mod%.c}
		version="kvm-racefix $(head -n 1 "$TOP/VERSION") (mutant of $race; no race closed)"
		sed -i "s/^MODULE_VERSION(.*/MODULE_VERSION(\"$version\");/" "$file"
		noted_command "$QUICK" "arch/x86/kvm/racefix-$mod.o" && quick_link "$mod" "$SCRATCH/ko" || return
	done
	[ "$(code "$SCRATCH/ko")" = "${base[$race]}" ] || return
	QUICK_OF=$race
}

# quick_link MOD DIR - MOD.ko of QUICK's objects, into DIR
quick_link()
{
	noted_command "$QUICK" "arch/x86/kvm/$1.o" && noted_command "$QUICK" "arch/x86/kvm/$1.ko" &&
		objcopy --strip-debug "$QUICK/arch/x86/kvm/$1.ko" "$2/$1.ko"
}

# quick_file FILE - does its object, compiled here, come out as kbuild has made it? Its copies, of
# source and object, are kept with .fix
quick_file()
{
	[ ! -e "$QUICK/$1.fix" ] || return 0
	[[ $1 == *.c ]] && cp -p "$QUICK/${1%.c}.o" "$QUICK/${1%.c}.o.fix" && noted_command "$QUICK" "${1%.c}.o" &&
		cmp -s "$QUICK/${1%.c}.o" "$QUICK/${1%.c}.o.fix" && cp -p "$QUICK/$1" "$QUICK/$1.fix"
}

# quick NAME FILE PATCH OUT - the mutant's modules, in OUT; sets result (built, same, refused or twin:OTHER);
# 1 if it is for kbuild. What was found out about the same patch and the same fix is not found out again.
quick()
{
	local key

	key=$({ echo "${base[$QUICK_OF]}"; cat "$3"; } | sha256sum)
	key=${key%% *}
	result=${known[$key]-}
	case $result in
	built) told[$1]=yes; [ ! -e "$4/.sums" ] || return 0 ;;
	twin:*) [ -z "${told[${result#twin:}]-}" ] || return 0 ;;
	?*) return ;;
	esac
	quick_build "$@" && printf '%s\t%s\n' "$key" "$result" >>"$KNOWN"
}

# quick_build - the same, anew
quick_build()
{
	local name=$1 source=$QUICK/$2 object=$QUICK/${2%.c}.o patch=$3 out=$4 mod sum rc=0

	quick_file "$2" || return
	patch -d "$QUICK" -p1 -F0 -s --no-backup-if-mismatch <"$patch" >/dev/null || die "$EX_USAGE" "$patch does not apply"
	noted_command "$QUICK" "${2%.c}.o" || rc=$?
	cp -p "$source.fix" "$source"
	rm -rf "$out"
	if [ $rc -ne 0 ]; then
		cp -p "$object.fix" "$object"
		grep -q ' error: ' "$SCRATCH/quick.log" || return
		result=refused
		return
	fi
	if cmp -s "$object" "$object.fix"; then
		result=same
		return
	fi
	sum=$({ echo "$QUICK_OF ${base[$QUICK_OF]} $2"; cat "$object"; } | sha256sum)
	sum=${sum%% *}
	# Its own result is none of another: it is to be run again.
	if [ -n "${twins[$sum]-}" ] && [ "${twins[$sum]}" != "$name" ]; then
		result=twin:${twins[$sum]}
		cp -p "$object.fix" "$object"
		return
	fi
	mod=$(grep -lxE "$QUICK/(arch/x86/kvm/(../../../))?${2%.c}.o" "$QUICK"/arch/x86/kvm/*.mod | head -n 1)
	mod=${mod##*/} mod=${mod%.mod}
	if [ -z "$mod" ] || [ -n "$(comm -23 <(symbols "$object" -u) <(symbols "$QUICK/arch/x86/kvm/$mod.ko"))" ]; then
		cp -p "$object.fix" "$object"
		return 1
	fi
	mkdir -p "$out.new" && cp "$SCRATCH"/ko/*.ko "$out.new/" && quick_link "$mod" "$out.new" || rc=1
	cp -p "$object.fix" "$object"
	[ $rc -eq 0 ] && (cd "$out.new" && sha256sum -- *.ko >.sums) && mv "$out.new" "$out" || return
	result=built
	twins[$sum]=$name told[$name]=yes
	printf '%s\t%s\n' "$sum" "$name" >>"$CODES"
}
