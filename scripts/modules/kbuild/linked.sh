# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Shared by modules-build and status-host: the source that a build directory has by itself.

# linked_source KBUILD - the tree that the kernel of that build directory was built from, by its
# link "source" (O= builds, openSUSE), by that beside it in /lib/modules, or because it was
# built in the tree; it fails if none of these has KVM, of the very version
linked_source()
{
	local dir kbuild want have

	kbuild=$(readlink -f "$1")
	want=$(awk '/LINUX_VERSION_CODE/ { printf "%d.%d.%d", $3 / 65536, ($3 / 256) % 256, $3 % 256 }' \
		"$kbuild/include/generated/uapi/linux/version.h" 2>/dev/null)
	for dir in "$kbuild/source" "${1%/build}/source" "$kbuild"; do
		if ! [ -e "$dir/virt/kvm/kvm_main.c" ] || ! [ -e "$dir/arch/x86/kvm/x86.c" ]; then
			continue
		fi
		# As version.h counts: a sublevel above 255 is 255 there.
		have=$(awk '$2 == "=" && /^(VERSION|PATCHLEVEL|SUBLEVEL) / { n[$1] = $3 }
			END { printf "%d.%d.%d", n["VERSION"], n["PATCHLEVEL"], (n["SUBLEVEL"] > 255 ? 255 : n["SUBLEVEL"]) }' \
			"$dir/Makefile" 2>/dev/null)
		[ "$have" = "$want" ] || continue
		readlink -f "$dir"
		return
	done
	return 1
}
