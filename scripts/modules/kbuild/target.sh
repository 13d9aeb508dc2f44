# shellcheck shell=bash
# shellcheck disable=SC2034 # the caller uses the variables that these functions set
# SPDX-License-Identifier: GPL-2.0-only
#
# Part of modules-build: find the kernel, its build directory and source, and the kernel line
# whose patches are used.

# shellcheck source=scripts/modules/kernel-name.sh
. "$TOP/scripts/modules/kernel-name.sh"
# shellcheck source=scripts/modules/module-set.sh
. "$TOP/scripts/modules/module-set.sh"

# kernel_release KBUILD - print the kernel release of a build directory
kernel_release()
{
	sed -n 's/^#define UTS_RELEASE "\(.*\)"$/\1/p' "$1/include/generated/utsrelease.h" 2>/dev/null
}

# find_kbuild - set KBUILD and KVER from the command line
find_kbuild()
{
	local dir release parts=''

	if [ -n "$KERNEL" ]; then
		[ -n "$KSRC" ] || [ "$VARIANT" = racegate ] || parts=source
		[ -n "$KBUILD" ] || parts+=${parts:+,}headers
		if [ -n "$parts" ]; then
			KERNEL=$(kernel_name "$KERNEL") || exit
			"$TOP/scripts/modules/kernel-get" --want "$parts" "$KERNEL" || exit
		fi
		KBUILD=${KBUILD:-$BUILD/kernels/$KERNEL/kbuild}
	elif [ -z "$KBUILD" ]; then
		KVER=${KVER:-$(uname -r)}
		KBUILD=/lib/modules/$KVER/build
		for dir in "$BUILD"/kernels/*/; do
			[ -e "$KBUILD" ] && break
			[ "$(cat "$dir/release" 2>/dev/null)" = "$KVER" ] && KBUILD=${dir}kbuild
		done
		[ -d "$KBUILD" ] || [ "$VARIANT" = racegate ] || ! has_builtin "$KVER" || exit "$EX_USAGE"
		[ -d "$KBUILD" ] ||
			die "$EX_USAGE" "no headers of kernel $KVER: /lib/modules/$KVER/build is missing;" \
				"as root: $(kernel_advice headers "$KVER")," \
				"or name a prepared build directory (--kbuild), or a kernel to fetch (--kernel)"
	fi
	release=$(kernel_release "$KBUILD")
	[ -n "$release" ] ||
		die "$EX_USAGE" "$KBUILD is no prepared build directory (no include/generated/utsrelease.h)"
	[ "${KVER:-$release}" = "$release" ] ||
		die "$EX_USAGE" "$KBUILD is for kernel $release, not $KVER"
	KVER=$release
	GIVEN_LINK=$KBUILD
	KBUILD=$(readlink -f "$KBUILD")
	[ -e "$KBUILD/Module.symvers" ] ||
		die "$EX_USAGE" "$KBUILD has no Module.symvers: it was prepared, but no kernel was built in it"
}

# find_ksrc - set KSRC, by default to the Debian source of exactly the version of the headers
find_ksrc()
{
	local version dir

	if [ -n "$KSRC" ]; then
		[ -d "$KSRC" ] || die "$EX_USAGE" "KSRC: $KSRC is not a directory"
		for dir in arch/x86/kvm virt/kvm; do
			[ -d "$KSRC/$dir" ] || die "$EX_USAGE" "KSRC: $KSRC has no $dir: no kernel tree with x86 KVM"
		done
		KSRC=$(readlink -f "$KSRC")
		return
	fi
	if [ -n "$KERNEL" ]; then
		KSRC=$(readlink -f "$BUILD/kernels/$KERNEL/source")
		return
	fi
	for dir in "$BUILD"/kernels/*/; do
		if [ "$(readlink -f "$dir/kbuild")" = "$KBUILD" ]; then
			"$TOP/scripts/modules/kernel-get" --want source "$(basename "$dir")" || exit
			KSRC=$(readlink -f "$dir/source")
			return
		fi
	done
	if KSRC=$(linked_source "$GIVEN_LINK"); then
		say "the source of kernel $KVER is $KSRC, by its build directory"
		return
	fi
	version=''
	[ "$(system_id)" = ubuntu ] ||
		version=$(dpkg-query -W -f '${Version}' "linux-headers-$KVER" 2>/dev/null)
	[ -n "$version" ] ||
		die "$EX_USAGE" "$KBUILD is not from a Debian package linux-headers-$KVER, and the source that it was built from" \
			"is not there: name a tree of that very kernel (KSRC=); $(kernel_advice source "$KVER") may bring one"
	if [ "$KVER" = "$(uname -r)" ] && ! grep -qF " $version " < <(uname -v); then
		warn "the headers are of version $version, the running kernel is $(uname -v)"
	fi
	! is_realtime "$KBUILD" ||
		die "$EX_USAGE" "kernel $KVER has the real-time patch, which the archive's linux-source is without:" \
			"name a tree that has it (KSRC=); $(kernel_advice source "$KVER") may bring one"
	KSRC=$BUILD/sources/$version
	[ -d "$KSRC" ] || "$TOP/scripts/modules/kernel-source" "$version" "$KSRC" || exit
}

# find_line - set LINE, the kernel line whose patches are used
find_line()
{
	local built

	built=$(awk '/LINUX_VERSION_CODE/ { printf "%d.%d\n", $3 / 65536, ($3 / 256) % 256 }' \
		"$KBUILD/include/generated/uapi/linux/version.h" 2>/dev/null)
	LINE=$(awk '$1 == "VERSION" && $2 == "=" { v = $3 } $1 == "PATCHLEVEL" && $2 == "=" { print v "." $3; exit }' \
		"$KSRC/Makefile" 2>/dev/null)
	LINE=${LINE:-$built}
	[ -n "$LINE" ] || die "$EX_USAGE" "cannot find the kernel version of $KSRC"
	[ "${built:-$LINE}" = "$LINE" ] ||
		die "$EX_USAGE" "$KSRC is Linux $LINE and $KBUILD is for Linux $built"
}

# check_path DIR OPTION - exit if DIR has characters at which make would split it, or which are
# special in a makefile or in sed; OPTION sets it
check_path()
{
	local path

	path=$(readlink -f "$1" || printf '%s\n' "$1")
	[[ $path =~ ^[A-Za-z0-9/._+@~=-]*$ ]] ||
		die "$EX_USAGE" "the kernel's build cannot work in '$path': a path of letters, digits and" \
			"._+@~=- is needed, without spaces; name another directory with $2"
}

# has_compiler NAME - is there a command of that name?
has_compiler()
{
	command -v "$1" >/dev/null
}

# find_compiler - set COMPILER, OBJCOPY and MAKE_ARGS to the toolchain that the kernel was built
# with, and make all packages available that a build needs
find_compiler()
{
	local need=() suffix='' version tool

	COMPILER=gcc OBJCOPY=objcopy
	hash make 2>/dev/null || need+=(make)
	hash patch 2>/dev/null || need+=(patch)
	hash modinfo 2>/dev/null || need+=(kmod)
	# objtool of the headers package needs libelf.
	has_library libelf.so.1 || need+=(libelf1)
	if grep -qs '^CONFIG_CC_IS_CLANG=y' "$KBUILD/.config"; then
		version=$(sed -n 's/^CONFIG_CLANG_VERSION=//p' "$KBUILD/.config")
		# Prefer the kernel's own version of clang, where there are several.
		suffix=-$((${version:-0} / 10000))
		if ! has_compiler "clang$suffix" || ! has_compiler "ld.lld$suffix"; then suffix=; fi
		COMPILER=clang$suffix
		has_compiler "$COMPILER" || need+=(clang)
		if grep -qs '^CONFIG_LD_IS_BFD=y' "$KBUILD/.config"; then
			MAKE_ARGS+=("CC=$COMPILER")
		else
			OBJCOPY=llvm-objcopy$suffix
			MAKE_ARGS+=(LLVM=1)
			has_compiler "ld.lld$suffix" || need+=(lld)
			has_compiler "$OBJCOPY" || need+=(llvm)
			# LLVM=-14 came with 5.18.
			[ -z "$suffix" ] || for tool in CC=clang LD=ld.lld AR=llvm-ar NM=llvm-nm OBJCOPY=llvm-objcopy \
				OBJDUMP=llvm-objdump READELF=llvm-readelf STRIP=llvm-strip; do
				MAKE_ARGS+=("$tool$suffix")
			done
		fi
	else
		has_compiler gcc || need+=(gcc)
	fi
	# scripts/apply needs them, which find_lacking calls.
	case $VARIANT in
	racegate|unpatched|mutation-*) ;;
	*) hash spatch 2>/dev/null || need+=(coccinelle); hash ctags 2>/dev/null || need+=(universal-ctags) ;;
	esac
	[ ${#need[@]} -eq 0 ] || need_packages "${need[@]}"
	[ "$COMPILER" = gcc ] ||
		say "kernel $KVER was built by clang: building with ${MAKE_ARGS[0]}, $("$COMPILER" --version | head -n 1)"
}
