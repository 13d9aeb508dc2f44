#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# install and uninstall on a Debian in an emulated host, also if the disk is full or the power is
# cut: scripts/lab/guest/install/cases runs there, in one run of four boots.
#
# CHECK_ALL in the environment: also the cases that are similar to another one, in two boots more.

setup()
{
	# shellcheck source=selftests/scripts/in-debian.sh
	. "$BATS_TEST_DIRNAME/in-debian.sh"
}

setup_file()
{
	local dir kver

	# shellcheck source=scripts/lib.sh
	. "$BATS_TEST_DIRNAME/../../scripts/lib.sh"
	dir=$BUILD/host-install
	export OUT=$dir/out
	rm -rf "$dir"
	mkdir -p "$dir/payload/racefix"

	"$TOP/scripts/modules/kernel-get" 6.1
	cp -r "$("$TOP/scripts/modules/modules-build" --kernel 6.1)" "$dir/payload/modules"
	cp -r "$("$TOP/scripts/modules/modules-build" --kernel 6.1 --variant unpatched)" "$dir/payload/next"
	kver=$(<"$BUILD/kernels/6.1/release")
	# Make a set for another kernel: the release with all digits but its first changed.
	cp -r "$dir/payload/modules" "$dir/payload/other"
	sed -i "s/vermagic=$kver/vermagic=${kver:0:1}$(tr 0-9 1-90 <<<"${kver:1}")/" "$dir/payload/other/"*.ko
	(cd "$dir/payload/other" && sha256sum -- *.ko >.sums)
	cp -r "$dir/payload/modules" "$dir/payload/signed"
	openssl req -new -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=nobody knows/" \
		-keyout "$dir/key.pem" -out "$dir/cert.pem"
	"$TOP/scripts/host/sign" --key "$dir/key.pem" --cert "$dir/cert.pem" \
		--kver "$kver" --modules "$dir/payload/signed"
	gcc -O2 -Wall -Werror -static -o "$dir/payload/modules/tinyvm" "$TOP/src/tinyvm/tinyvm.c"
	cp "$TOP"/scripts/lab/guest/{install/run,install/cases,verdict.sh} "$dir/payload/"
	cp -r "$TOP/scripts" "$TOP/VERSION" "$dir/payload/racefix/"
	[ -z "${CHECK_ALL-}" ] || touch "$dir/payload/all"
	"$TOP/scripts/lab/debian-host" --payload "$dir/payload" --out "$OUT" --timeout 2000 || :
}

@test "install: modules that are not fit are refused, nothing is touched" {
	passed "modules for another kernel" "damaged, missing and mixed modules" \
		"DKMS has a set there" "signatures are enforced"
}

@test "install: the disk is full at once, half-way, and in an upgrade" {
	passed "the disk is full"
}

@test "install: interrupted, killed, two at once, a second time" {
	passed interrupted "killed, then again" "two at once" "a second time"
}

@test "install: other kernels and a kernel's update are left alone" {
	passed "other kernels come and go"
}

@test "install: used at boot and from the initramfs, and the distro's after uninstall" {
	passed "kvm is in the initramfs" "used after a reboot" "the distro's after a reboot"
}

@test "install: the power is cut during an upgrade" {
	passed "power cut during an upgrade"
}

@test "install: the power is cut during install and uninstall" {
	[ -n "${CHECK_ALL-}" ] || skip "only with CHECK_ALL=1, as check --all sets it"
	passed "power cut during install" "power cut during uninstall"
}

@test "install: the kernel reports nothing" {
	local boot

	grep -qx 'end=clean' "$OUT/result"
	for boot in "$OUT"/[1-6]; do
		grep -qx 'warnings=0' "$boot/result"
		grep -qx 'oopses=0' "$boot/result"
	done
}
