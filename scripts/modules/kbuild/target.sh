# shellcheck shell=bash
# shellcheck disable=SC2034 # what these functions set, their caller uses
# SPDX-License-Identifier: GPL-2.0-only
#
# Part of modules-build: what kernel is meant, where its build directory and its
# source are, and which line of patches goes with it.

# kernel_release KBUILD - the release that modules built there are for
kernel_release()
{
	sed -n 's/^#define UTS_RELEASE "\(.*\)"$/\1/p' "$1/include/generated/utsrelease.h" 2>/dev/null
}

# find_kbuild - set KBUILD and KVER from what the caller gave
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
		[ -d "$KBUILD" ] ||
			die "$EX_USAGE" "no headers of kernel $KVER: /lib/modules/$KVER/build is missing;" \
				"as root: apt-get install linux-headers-$KVER," \
				"or name a prepared build directory (--kbuild), or a kernel to fetch (--kernel)"
	fi
	release=$(kernel_release "$KBUILD")
	[ -n "$release" ] ||
		die "$EX_USAGE" "$KBUILD is no prepared build directory (no include/generated/utsrelease.h)"
	[ "${KVER:-$release}" = "$release" ] ||
		die "$EX_USAGE" "$KBUILD is for kernel $release, not $KVER"
	KVER=$release
	KBUILD=$(readlink -f "$KBUILD")
	[ -e "$KBUILD/Module.symvers" ] ||
		die "$EX_USAGE" "$KBUILD has no Module.symvers: it was prepared, but no kernel was built in it"
}

# find_ksrc - set KSRC: the Debian source of the very version of the headers
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
	version=$(dpkg-query -W -f '${Version}' "linux-headers-$KVER" 2>/dev/null) ||
		die "$EX_USAGE" "$KBUILD is not from a Debian package linux-headers-$KVER," \
			"so its source is not known: name it (KSRC=)"
	if [ "$KVER" = "$(uname -r)" ] && ! grep -qF " $version " < <(uname -v); then
		warn "the headers are of version $version, the running kernel is $(uname -v)"
	fi
	KSRC=$BUILD/sources/$version
	[ -d "$KSRC" ] || "$TOP/scripts/modules/kernel-source" "$version" "$KSRC" || exit
}

# find_line - set LINE, by which patches go
find_line()
{
	local built

	built=$(awk '/LINUX_VERSION_CODE/ { printf "%d.%d\n", $3 / 65536, ($3 / 256) % 256 }' \
		"$KBUILD/include/generated/uapi/linux/version.h" 2>/dev/null)
	LINE=$(awk '$1 == "VERSION" && $2 == "=" { v = $3 } $1 == "PATCHLEVEL" && $2 == "=" { print v "." $3; exit }' \
		"$KSRC/Makefile" 2>/dev/null)
	LINE=${LINE:-$built}
	[ -n "$LINE" ] || die "$EX_USAGE" "cannot tell the kernel version of $KSRC"
	[ "${built:-$LINE}" = "$LINE" ] ||
		die "$EX_USAGE" "$KSRC is Linux $LINE and $KBUILD is for Linux $built"
}
