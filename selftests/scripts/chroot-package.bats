#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# The package kvm-racefix in a chroot with trixie, its kernel and its DKMS, which moves
# modules away: scripts/lab/guest/package/setup installs, replaces the kernel by a newer
# build of its release, upgrades, removes and purges. Nothing is booted.
#
# PACKAGE_LINE in the environment: the kernel line, 6.12, 6.1 or 5.10 (default 6.12).

setup_file()
{
	local dir line=${PACKAGE_LINE:-6.12}

	# shellcheck source=scripts/lib.sh
	. "$BATS_TEST_DIRNAME/../../scripts/lib.sh"
	# shellcheck source=selftests/scripts/package.sh
	. "$BATS_TEST_DIRNAME/package.sh"
	dir=$BUILD/chroot-package/$line
	export LOG=$dir/log
	rm -rf "$dir"
	package_setup "$dir" "$dir/source"
	touch "$dir/setup/purge"
	"$TOP/scripts/modules/kernel-get" --want image "$line"
	read -r release <"$BUILD/kernels/$line/release"
	read -r version <"$BUILD/kernels/$line/version"
	# The packages that it depends on; apt cannot be used in there.
	"$TOP/scripts/lab/debian-image" --own-release --setup "$dir/setup" --no-disk "$line" "$LOG" \
		"linux-headers-$release=$version" "linux-source-$line=$version" \
		dkms gcc make binutils patch kmod xz-utils coccinelle universal-ctags
}

# passed NAME... - did these cases pass?
passed()
{
	local name

	for name; do
		grep -qxF "ok - $name" "$LOG" && continue
		cat "$LOG"
		return 1
	done
}

@test "package: installs and builds beside the distro's modules" {
	passed "installed in the chroot" "built, and taken by modprobe" "in the initramfs" \
		"the distro's files are where they were"
}

@test "package: kernels that need no modules are skipped with a message" {
	passed "kernels without anything to build are skipped"
}

@test "package: a newer build of the kernel's release keeps its own modules, or gets new ones" {
	passed "another build of the same release uses its own modules" \
		"the source that is missing is named, with the command" \
		"another build of the same release is built for"
}

@test "package: is upgraded" {
	passed upgraded "built anew, and taken by modprobe" "in the initramfs after the upgrade" \
		"the newer kernel's files are where they were"
}

@test "package: does not wait for a user's lock, and for root's a bounded time" {
	passed "nobody else's lock" "a hook waits a bounded time"
}

@test "package: can be removed if depmod fails, and leaves a complete set" {
	passed "removed where depmod fails" "installed again" "in place again"
}

@test "package: removed and purged, the newer kernel's modules are the newer ones" {
	passed "removed, and the newer kernel's files are as they were" "purged, and dpkg --verify is silent"
}
