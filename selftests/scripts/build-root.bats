#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# build-root, and modules-build in it, on 6.12: a kernel whose compiler is newer than bookworm's.
# The tests build racegate: it takes seconds, and is built in the same way as KVM.
#
# shellcheck disable=SC2030,SC2031 # each test is a process

bats_require_minimum_version 1.5.0

setup_file()
{
	# shellcheck source=scripts/lib.sh
	. "$BATS_TEST_DIRNAME/../../scripts/lib.sh"
	"$TOP/scripts/modules/kernel-get" --want headers 6.12
	"$TOP/scripts/modules/build-root" 6.12
}

setup()
{
	# shellcheck source=selftests/scripts/commands.sh
	. "$BATS_TEST_DIRNAME/commands.sh"
	PATH=$TOP/scripts/modules:$PATH
	K=$BUILD/kernels/6.12
	KVER=$(<"$K/release")
	if command -v gcc-14 >/dev/null || [ "$(gcc -dumpversion | cut -d . -f 1)" -ge 14 ]; then
		skip "this machine builds for 6.12 itself"
	fi
}

# scratch - make a build directory of the test's own that borrows the kernel
scratch()
{
	O=$BATS_TEST_TMPDIR/build
	mkdir -p "$O/kernels"
	ln -s "$K" "$O/kernels/6.12"
	export O
}

# is_clean ROOT - is nothing mounted below it, and nothing written to its /dev?
is_clean()
{
	local root

	root=$(readlink -f "$1")
	! grep -qF " $root/" /proc/self/mountinfo &&
		[ -z "$(find "$root/dev" "$root/proc" -mindepth 1)" ]
}

@test "build-root: an unknown line, and one without headers, are refused" {
	run -2 build-root 4.99
	[[ $output == *4.99*6.12* ]]
	O=$BATS_TEST_TMPDIR/build run -2 build-root 6.12
	[[ $output == *"kernel-get --want headers 6.12"* ]]
	run -2 build-root
}

@test "build-root: with the packages that the archive of security updates lacks, and a compiler that the headers do not name" {
	mkdir -p "$BATS_TEST_TMPDIR/build/kernels/5.10/"{headers,kbuild}
	cp -r "$TOP/scripts" "$TOP/VERSION" "$BATS_TEST_TMPDIR/"
	echo libelf1 >"$BATS_TEST_TMPDIR/build/kernels/5.10/headers/needs"
	# shellcheck disable=SC2016 # for make
	echo 'CC := $(notdir $(or $(shell command -v gcc-10),gcc))' >"$BATS_TEST_TMPDIR/build/kernels/5.10/kbuild/.kernelvariables"
	printf '#!/bin/sh\necho "asked: $*"; exit 2\n' >"$BATS_TEST_TMPDIR/scripts/modules/apt-private"
	O=$BATS_TEST_TMPDIR/build run -2 "$BATS_TEST_TMPDIR/scripts/modules/build-root" 5.10
	[ -z "$(find "$BATS_TEST_TMPDIR/build/kernels/5.10" -name '.root.part' -o -name root)" ]
	[[ $output == *"of bullseye,bullseye-security for 5.10:"*" gcc-10 "*libelf1* ]]
}

@test "build-root: a second run does nothing, prints nothing, and needs no network" {
	stub apt-get 'echo "apt-get $*" >&2; exit 1'
	stub apt-cache 'echo "apt-cache $*" >&2; exit 1'
	run -0 build-root 6.12
	[ -z "$output" ]
}

@test "build-root: a package that the archive has not is named, and nothing is left" {
	O=$BATS_TEST_TMPDIR/build
	export O
	mkdir -p "$O/kernels/6.12/headers" "$O/kernels/6.12/.root.part/half"
	cp -r "$BUILD/apt" "$O/apt"
	find "$O/apt" -name sources.list -exec cp {} {}.used \;
	echo no-such-compiler >"$O/kernels/6.12/headers/needs"
	run -2 build-root 6.12
	[[ $output == *no-such-compiler* ]]
	[ ! -e "$O/kernels/6.12/root" ]
	[ ! -e "$O/kernels/6.12/.root.part" ]
}

@test "modules-build: for a newer release by its own compiler, and nothing stays mounted" {
	scratch
	run --separate-stderr modules-build --kernel 6.12 --variant racegate
	[ "$status" -eq 0 ]
	file=$output/racegate.ko
	[ "$(modinfo -F vermagic "$file" | cut -d ' ' -f 1)" = "$KVER" ]
	grep -q 'GCC: .* 14\.' < <(readelf -p .comment "$file")
	is_clean "$K/root"
}

@test "modules-build: killed in the root, it leaves no mount and no hindrance" {
	scratch
	setsid modules-build --kernel 6.12 --variant racegate >/dev/null 2>&1 3>&- &
	pid=$!
	until [ -e "$O/work/$KVER/racegate/.building" ]; do
		kill -0 $pid
		sleep 0.1
	done
	sleep 0.5
	kill -KILL -- "-$pid"
	wait "$pid" || :
	is_clean "$K/root"
	modules-build --kernel 6.12 --variant racegate
	[ -e "$O/modules/$KVER/racegate/racegate.ko" ]
}

@test "modules-build: if the root cannot be entered, the message names the requirements" {
	scratch
	stub unshare 'echo "unshare: unshare failed: Operation not permitted" >&2; exit 1'
	run -2 modules-build --kernel 6.12 --variant racegate
	[[ $output == *"Operation not permitted"*"user namespaces"* ]]
	[ ! -e "$O/modules/$KVER/racegate" ]
}
