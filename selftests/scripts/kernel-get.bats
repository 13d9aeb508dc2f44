#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# kernel-get, kernel-source and apt-private. Files that were fetched for the project itself (O=,
# build/ if unset) are used here too; the others are small.

bats_require_minimum_version 1.5.0

setup_file()
{
	# shellcheck source=scripts/lib.sh
	. "$BATS_TEST_DIRNAME/../../scripts/lib.sh"
	"$TOP/scripts/modules/kernel-get" 6.1
}

setup()
{
	# shellcheck source=selftests/scripts/commands.sh
	. "$BATS_TEST_DIRNAME/commands.sh"
	PATH=$TOP/scripts/modules:$PATH
	K=$BUILD/kernels/6.1
}

# scratch - make a build directory of the test's own, with the existing package lists
scratch()
{
	O=$BATS_TEST_TMPDIR/build
	mkdir -p "$O"
	cp -r "$BUILD/apt" "$O/apt"
	# The lists record where they were fetched to.
	find "$O/apt" -name sources.list -exec cp {} {}.used \;
	export O
}

@test "kernel-get: an unknown line is refused, and the known ones named" {
	run -2 kernel-get 4.99
	[[ $output == *"4.99"*"5.10 6.1"* ]]
}

@test "kernel-get: if a suite lacks the line, its lines are named" {
	scratch
	cp -r "$TOP/scripts" "$BATS_TEST_TMPDIR/"
	sed -i 's/^\t6\.1) /\t6.99) echo bookworm,bookworm-security ;;\n&/' "$BATS_TEST_TMPDIR/scripts/lib.sh"
	run -4 "$BATS_TEST_TMPDIR/scripts/modules/kernel-get" 6.99
	[[ $output == *"has no kernel 6.99; it has: 6.1"* ]]
	[ ! -e "$O/kernels/6.99/version" ]
}

# archive LINE... - make an apt-private whose archive has "PACKAGE VERSION" of each LINE
archive()
{
	local line

	cp -r "$TOP/scripts" "$BATS_TEST_TMPDIR/"
	for line in "$@"; do
		printf 'Package: %s\nVersion: %s\n\n' "${line% *}" "${line#* }"
	done >"$BATS_TEST_TMPDIR/archive"
	cat >"$BATS_TEST_TMPDIR/scripts/modules/apt-private" <<-'END'
	#!/bin/bash
	archive=$(dirname "$0")/../../archive
	case "$2 $3" in
	"cache pkgnames") sed -n "s/^Package: //p" "$archive" | grep "^$4" ;;
	"cache show")
		shift 3
		for name; do
			awk -v RS= -v name="${name%=*}" 'index($0, "Package: " name "\n") == 1 { print $0 "\n" }' "$archive"
		done
		;;
	*) echo "apt-private $*" >&2; exit 2 ;;
	esac
	END
	PATH=$BATS_TEST_TMPDIR/scripts/modules:$PATH
	O=$BATS_TEST_TMPDIR/build
	export O
}

@test "kernel-get: an image of which the archive has only the unsigned package is that one" {
	archive "linux-image-6.1.0-57-amd64-unsigned 6.1.192-3" "linux-headers-6.1.0-57-amd64 6.1.192-3" \
		"linux-source-6.1 6.1.192-3"
	run kernel-get --want image 6.1
	[[ $output == *"download linux-image-6.1.0-57-amd64-unsigned=6.1.192-3 "* ]]
}

@test "kernel-get: a version is named whole, or by its beginning where that is one version" {
	archive "linux-image-6.1.0-50-amd64 6.1.176-1" "linux-image-6.1.0-50-amd64-unsigned 6.1.176-1" \
		"linux-image-6.1.0-55-amd64 6.1.192-1" "linux-image-6.1.0-56-amd64 6.1.192-2" \
		"linux-image-7.3.4+deb13-amd64 7.3.4-1~bpo13+1" "linux-image-rt-amd64 6.1.176-1"
	[ "$(kernel-get --name 6.1.176)" = 6.1.176-1 ]
	[ "$(kernel-get --name 6.1.176-1)" = 6.1.176-1 ]
	[ "$(kernel-get --name 7.3.4)" = 7.3.4-1~bpo13+1 ]
	[ "$(kernel-get --name 6.1)" = 6.1 ]
	run -2 kernel-get --name 6.1.192
	[[ $output == *"6.1.192 may be any of 6.1.192-1 6.1.192-2"* ]]
	# 6.1.17 is a prefix of 6.1.176, but not a version of its own.
	run -4 kernel-get --name 6.1.17
	[[ $output == *"no kernel 6.1.17; of 6.1 it has: 6.1.176-1 6.1.192-1 6.1.192-2."*"KSRC=DIR KBUILD=DIR"* ]]
	[ ! -e "$O/kernels" ]
}

@test "kernel-get: a version whose source the archive lacks is refused, with what can be done" {
	archive "linux-image-6.1.0-51-amd64 6.1.177-1" "linux-headers-6.1.0-51-amd64 6.1.177-1" \
		"linux-source-6.1 6.1.176-1"
	run -4 kernel-get 6.1.177-1
	[[ $output == *"no linux-source-6.1 of that version"*"KSRC=DIR"* ]]
	[ ! -e "$O/kernels" ]
}

@test "kernel-get: an impossible version is refused, and so is a newer one of a version" {
	for name in 6.1.x 6.1. 6.1.176- 6.1.176-x ../6.1 '6.1.176 -1' '6.1.*' 6 .; do
		run -2 kernel-get "$name"
		[[ $output == *"unknown kernel '$name'"* ]]
	done
	run -2 kernel-get --update 6.1.176-1
	[[ $output == *"--update is for a line"* ]]
}

@test "kernel-get: LINE@SUITE is the newest whole kernel that this suite has" {
	archive "linux-image-6.1.0-50-amd64 6.1.176-1" "linux-headers-6.1.0-50-amd64 6.1.176-1" \
		"linux-source-6.1 6.1.176-1" "linux-image-6.1.0-9-amd64 6.1.99-1" \
		"linux-headers-6.1.0-9-amd64 6.1.99-1" "linux-source-6.1 6.1.99-1" \
		"linux-image-6.1.0-51-amd64 6.1.177-1" "linux-headers-6.1.0-51-amd64 6.1.177-1"
	[ "$(kernel-get --name 6.1@bookworm)" = 6.1.176-1 ]
	run -4 kernel-get --name 6.12@bookworm
	[[ $output == *"bookworm has no kernel 6.12; it has: 6.1."* ]]
	for name in 6.1@ @bookworm 6.1.176@bookworm 6.1@../x 6.1@a@b; do
		run -2 kernel-get --name "$name"
		[[ $output == *"unknown kernel '$name'"* ]]
	done
}

@test "kernel-get: a version of another line than the project's can be named, and the archive asked" {
	archive "linux-image-4.9.0-1-amd64 4.9.1-1"
	[ "$(kernel-get --name 4.9.1)" = 4.9.1-1 ]
	run -4 kernel-get --name 4.8.1
	[[ $output == *"of 4.8 it has: none"* ]]
}

@test "kernel-get: an unknown part is refused" {
	run -2 kernel-get --want image,firmware 6.1
	[[ $output == *"firmware"*"image, headers, source"* ]]
}

@test "kernel-get: a missing line is an error, --help is none" {
	run -2 kernel-get
	[[ $output == *usage:* ]]
	run -0 kernel-get --help
	[[ $output == *usage:* ]]
}

@test "kernel-get: a second run does nothing, prints nothing, and needs no network" {
	stub apt-get 'echo "apt-get $*" >&2; exit 1'
	stub apt-cache 'echo "apt-cache $*" >&2; exit 1'
	before=$(find "$K" -maxdepth 1 -printf '%p %T@\n' | sort)
	run -0 kernel-get 6.1
	[ -z "$output" ]
	[ "$(find "$K" -maxdepth 1 -printf '%p %T@\n' | sort)" = "$before" ]
}

@test "kernel-get: image, headers and source are of one version" {
	release=$(<"$K/release")
	version=$(<"$K/version")
	magic=$(modinfo -F vermagic "$K/modules/kernel/arch/x86/kvm/kvm.ko")
	[ "${magic%% *}" = "$release" ]
	grep -qF "\"$release\"" "$K/kbuild/include/generated/utsrelease.h"
	# The kernel's own banner has the Debian version.
	grep -qF "Debian $version " < <(strings "$K/vmlinuz" | grep -F "$release")
	sub=$(sed -n 's/^SUBLEVEL = //p' "$K/source/Makefile")
	[[ $version == "6.1.$sub"-* ]]
}

@test "kernel-get: kvm's modules are there with their dependencies" {
	for mod in kvm-intel kvm-amd; do
		line=$(grep "/$mod.ko:" "$K/modules/modules.dep")
		[[ $line == *kvm.ko* ]]
		for file in ${line/:/}; do
			[ -e "$K/modules/$file" ]
		done
	done
}

@test "kernel-get: the leftovers of a killed run do no harm" {
	scratch
	mkdir -p "$O/kernels/6.1/.part/headers/usr" "$O/kernels/6.1/headers/half"
	cp "$K/version" "$K/release" "$O/kernels/6.1/"
	kernel-get --want headers 6.1
	[ -e "$O/kernels/6.1/kbuild/Module.symvers" ]
	[ ! -e "$O/kernels/6.1/headers/half" ]
	[ ! -e "$O/kernels/6.1/.part" ]
}

@test "kernel-get: a version that the archive has dropped is replaced as a whole" {
	scratch
	mkdir -p "$O/kernels/6.1"
	echo 6.1.0-1-amd64 >"$O/kernels/6.1/release"
	echo 6.1.4-1 >"$O/kernels/6.1/version"
	: >"$O/kernels/6.1/vmlinuz"
	run -0 kernel-get --want headers 6.1
	[[ $output == *"6.1.0-1-amd64 6.1.4-1"* ]]
	[ "$(<"$O/kernels/6.1/version")" != 6.1.4-1 ]
	[ ! -e "$O/kernels/6.1/vmlinuz" ]
}

@test "kernel-get: a full disk is noticed before anything is fetched" {
	scratch
	stub df 'echo h; echo "x 1000 990 10 99% /"'
	run -2 kernel-get 6.1
	[[ $output == *"10 MiB"*"900 MiB"* ]]
	[ ! -e "$O/kernels/6.1/version" ]
}

@test "kernel-source: only the version that was asked for will do" {
	scratch
	run -2 kernel-source 6.1.4-1 "$BATS_TEST_TMPDIR/src"
	[[ $output == *"linux-source-6.1 6.1.4-1"*"KSRC="* ]]
	[ ! -e "$BATS_TEST_TMPDIR/src" ]
	[ -z "$(find "$BATS_TEST_TMPDIR" -maxdepth 1 -name '.src*')" ]
}

@test "apt-private: a suite that does not exist is named" {
	O=$BATS_TEST_TMPDIR/build run -4 apt-private no-such-suite update
	[[ $output == *no-such-suite* ]]
	run -2 apt-private ../x update
}

@test "apt-private: a package that does not exist leaves nothing" {
	scratch
	run -2 apt-private bookworm,bookworm-security download no-such-package "$BATS_TEST_TMPDIR/d"
	[[ $output == *no-such-package* ]]
	[ -z "$(find "$BATS_TEST_TMPDIR/d" -type f)" ]
}

@test "apt-private: a closure has the dependencies of its packages, as if nothing were installed" {
	run -0 apt-private bookworm,bookworm-security closure make
	[[ $output == *make=* ]]
	[[ $output == *libc6=* ]]
	# Each one can be had by exactly this name.
	while read -r pkg; do
		apt-private bookworm,bookworm-security cache show "$pkg" >/dev/null
	done < <(grep "=" <<<"$output")
	run -2 apt-private bookworm,bookworm-security closure no-such-package
	[[ $output == *no-such-package* ]]
}

@test "apt-private: rubbish from a broken download is thrown away" {
	mkdir -p "$BATS_TEST_TMPDIR/d/.partial"
	head -c 2000 /dev/urandom >"$BATS_TEST_TMPDIR/d/.partial/hello_2.10-3_amd64.deb"
	file=$(apt-private bookworm,bookworm-security download hello "$BATS_TEST_TMPDIR/d")
	[ "$(dpkg-deb -f "$file" Package)" = hello ]
	[ ! -e "$BATS_TEST_TMPDIR/d/.partial" ]
}

@test "apt-private: the machine's own apt stays as it is" {
	state() { find /etc/apt /var/lib/apt /var/cache/apt -type f -printf '%p %s %T@\n' 2>/dev/null | sort; }
	before=$(state)
	apt-private bookworm,bookworm-security update --force
	apt-private bookworm,bookworm-security cache policy linux-source-6.1 >/dev/null
	[ "$(state)" = "$before" ]
}
