#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# The package kvm-racefix on the Debian release of a kernel: it is built, installed and upgraded
# in a chroot, which is then booted in an emulated host, where the package's modules must be in
# use, and the distro's again after a purge and a reboot.
#
# PACKAGE_LINE in the environment: the kernel line, 5.10, 6.1 or 6.12 (default 6.1).

bats_require_minimum_version 1.5.0

setup()
{
	# shellcheck source=selftests/scripts/in-debian.sh
	. "$BATS_TEST_DIRNAME/in-debian.sh"
}

setup_file()
{
	local dir

	# shellcheck source=scripts/lib.sh
	. "$BATS_TEST_DIRNAME/../../scripts/lib.sh"
	# shellcheck source=selftests/scripts/package.sh
	. "$BATS_TEST_DIRNAME/package.sh"
	LINE=${PACKAGE_LINE:-6.1}
	dir=$BUILD/host-package/$LINE
	export LINE OUT=$dir/out DEBS=$BUILD/host-package/debs
	rm -rf "$dir" "$DEBS"
	mkdir -p "$dir/setup" "$dir/payload"
	package_setup "$dir" "$DEBS"
	"$TOP/scripts/modules/kernel-get" --want image "$LINE"
	read -r release <"$BUILD/kernels/$LINE/release"
	read -r kernel_version <"$BUILD/kernels/$LINE/version"
	cp "$TOP"/scripts/lab/guest/package/{run,cases} "$dir/payload/"
	gcc -O2 -Wall -Werror -static -o "$dir/payload/tinyvm" "$TOP/src/tinyvm/tinyvm.c"
	# The packages that it depends on; apt cannot be used in there.
	"$TOP/scripts/lab/debian-image" --own-release --setup "$dir/setup" "$LINE" "$dir/disk" \
		"linux-headers-$release=$kernel_version" "linux-source-$LINE=$kernel_version" \
		gcc make binutils patch kmod xz-utils coccinelle universal-ctags
	rm -f "$dir/disk.made-from"
	"$TOP/scripts/lab/debian-host" --kernel "$LINE" --disk "$dir/disk" \
		--payload "$dir/payload" --out "$OUT" --timeout 2000 || :
	rm -f "$dir/disk"
}

@test "package: lintian reports nothing" {
	# shellcheck source=scripts/lib.sh
	. "$BATS_TEST_DIRNAME/../../scripts/lib.sh"
	need_packages lintian
	run -0 lintian --allow-root --fail-on warning --pedantic "$DEBS"/*.changes
	[ -z "$output" ]
}

@test "package: installs, builds and upgrades" {
	passed "installed in the chroot" "built, and taken by modprobe" "in the initramfs" \
		upgraded "built anew, and taken by modprobe" "in the initramfs after the upgrade"
}

@test "package: kernels that need no modules are skipped with a message" {
	passed "kernels without anything to build are skipped"
}

@test "package: a rebuilt kernel gets its modules rebuilt" {
	passed "another build of the same release is built for"
}

@test "package: in use after a reboot; purged without a trace; the distro's after another" {
	passed "in use after a reboot" purged "no trace is left" "the distro's after a reboot"
}
