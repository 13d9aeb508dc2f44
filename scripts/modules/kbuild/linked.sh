# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Shared by modules-build and status-host: find the source that a build directory leads to.

# linked_source KBUILD - print the tree from which the kernel of that build directory was built: by
# its link "source" (O= builds, openSUSE), by the link beside it in /lib/modules, or the directory
# itself, for a build in the tree. Fails if none of these has KVM of exactly this version
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
		# version.h has 255 for each sublevel above 255.
		have=$(awk '$2 == "=" && /^(VERSION|PATCHLEVEL|SUBLEVEL) / { n[$1] = $3 }
			END { printf "%d.%d.%d", n["VERSION"], n["PATCHLEVEL"], (n["SUBLEVEL"] > 255 ? 255 : n["SUBLEVEL"]) }' \
			"$dir/Makefile" 2>/dev/null)
		[ "$have" = "$want" ] || continue
		readlink -f "$dir"
		return
	done
	return 1
}
