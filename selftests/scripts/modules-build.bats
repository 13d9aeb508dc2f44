#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# modules-build, on 6.1. Modules that were built for the project itself (O=, build/ if unset) are
# used here too. Tests that need other patches work on a copy of the scripts, with a build
# directory of their own that borrows the kernel.
#
# shellcheck disable=SC2016,SC2030,SC2031 # sed programs; each test is a process

bats_require_minimum_version 1.5.0

setup_file()
{
	# shellcheck source=scripts/lib.sh
	. "$BATS_TEST_DIRNAME/../../scripts/lib.sh"
	"$TOP/scripts/modules/kernel-get" --want image,headers,source 6.1
	"$TOP/scripts/modules/modules-build" --kernel 6.1
	"$TOP/scripts/modules/modules-build" --kernel 6.1 --variant unpatched

	# The copy has the objects of a build, from which its builds can start.
	export COPY=$BATS_FILE_TMPDIR/copy
	mkdir -p "$COPY/build/kernels" "$COPY/patches/6.1"
	cp -r "$TOP/scripts" "$TOP/VERSION" "$COPY/"
	ln -s "$BUILD/kernels/6.1" "$COPY/build/kernels/6.1"
	# Its patches belong to no race that status knows.
	cat >"$COPY/scripts/tree/apply" <<-'END'
	#!/bin/bash
	cd "$(dirname "$0")/../../patches/6.1" && sed "s,^,$PWD/," series
	END
	: >"$COPY/patches/6.1/series"
	kver=$(<"$BUILD/kernels/6.1/release")
	mkdir -p "$COPY/build/work/$kver"
	built=$(readlink -f "$BUILD/work/$kver/unpatched")
	cp -a "$built" "$COPY/build/work/$kver/start"
	find "$COPY/build/work" -name '.*.cmd' -exec \
		sed -i "s,$built/,$COPY/build/work/$kver/start/,g" {} +
}

setup()
{
	# shellcheck source=scripts/lib.sh
	. "$BATS_TEST_DIRNAME/../../scripts/lib.sh"
	KVER=$(<"$BUILD/kernels/6.1/release")
	VERSION=$(<"$TOP/VERSION")
	COPY_OUT=$COPY/build/modules/$KVER/patched
	rm -f "$COPY/patches/6.1"/*
	: >"$COPY/patches/6.1/series"
}

modules_build()
{
	"$TOP/scripts/modules/modules-build" "$@"
}

copy_build()
{
	env -u O "$COPY/scripts/modules/modules-build" --kernel 6.1 "$@"
}

# copy_patch NAME RACE FILE SED - add a patch to the copy's series: FILE of 6.1, edited
copy_patch()
{
	local name=$1 race=$2 file=$3 edit=$4

	{
		printf 'Subject: a patch of a test\n\n'
		[ -z "$race" ] || printf 'Race: %s\n' "$race"
		printf -- '---\ndiff --git a/%s b/%s\n' "$file" "$file"
		diff -u --label "a/$file" --label "b/$file" "$BUILD/kernels/6.1/source/$file" \
			<(sed "$edit" "$BUILD/kernels/6.1/source/$file") || :
	} >"$COPY/patches/6.1/$name"
	echo "$name" >>"$COPY/patches/6.1/series"
}

# same_module A B - are they equal except for the build id, which depends on the build directory?
# If not, print where they differ
same_module()
{
	objcopy -R .note.gnu.build-id "$1" "$BATS_TEST_TMPDIR/a"
	objcopy -R .note.gnu.build-id "$2" "$BATS_TEST_TMPDIR/b"
	cmp "$BATS_TEST_TMPDIR"/{a,b} && return
	for section in $(readelf -SW "$1" | grep -v "\.rela" | sed -n 's/^ *\[ *[0-9]*\] \(\.[^ ]*\).*/\1/p'); do
		diff <(objdump -sj "$section" "$BATS_TEST_TMPDIR/a" 2>&1 | tail -n +4) \
			<(objdump -sj "$section" "$BATS_TEST_TMPDIR/b" 2>&1 | tail -n +4) >"$BATS_TEST_TMPDIR/diff" ||
			{ echo "$section:"; head -n 4 "$BATS_TEST_TMPDIR/diff"; }
	done
	return 1
}

@test "modules-build: all modules are for the kernel, and have their description" {
	ids=$("$TOP/scripts/tree/apply" --modules --list "$BUILD/kernels/6.1/source" | xargs sed -n 's/^Race: *//p' |
		awk '!seen[$0]++' | paste -sd, | sed 's/,/, /g')
	for mod in kvm kvm-intel kvm-amd; do
		file=$BUILD/modules/$KVER/patched/$mod.ko
		magic=$(modinfo -F vermagic "$file")
		[ "$magic" = "$(modinfo -F vermagic "$BUILD/kernels/6.1/modules/kernel/arch/x86/kvm/$mod.ko")" ]
		[ "$(modinfo -F version "$file")" = "kvm-racefix $VERSION ($ids)" ]
		[ "$(modinfo -F version "$BUILD/modules/$KVER/unpatched/$mod.ko")" = \
			"kvm-racefix $VERSION (unpatched: no race closed)" ]
	done
}

@test "modules-build: symbols keep the types that the distro's modules know" {
	for variant in patched unpatched; do
		awk 'NR == FNR { crc[$2] = $1; next }
		     $2 in crc && crc[$2] != $1 { print; bad = 1 } END { exit bad }' \
			"$BUILD/kernels/6.1/kbuild/Module.symvers" "$BUILD/work/$KVER/$variant/Module.symvers"
	done
}

@test "modules-build: unpatched modules have the code of the distro's" {
	grep -o 'gcc-[0-9]*' "$BUILD/kernels/6.1/kbuild/.kernelvariables" | head -n 1 |
		xargs which >/dev/null || skip "the compiler of the distro's modules is not here"
	for mod in kvm kvm-intel kvm-amd; do
		objcopy -O binary -j .text "$BUILD/modules/$KVER/unpatched/$mod.ko" "$BATS_TEST_TMPDIR/ours"
		objcopy -O binary -j .text "$BUILD/kernels/6.1/modules/kernel/arch/x86/kvm/$mod.ko" \
			"$BATS_TEST_TMPDIR/theirs"
		cmp "$BATS_TEST_TMPDIR/ours" "$BATS_TEST_TMPDIR/theirs"
	done
}

@test "modules-build: a second build does nothing, in less than 2 s" {
	before=$(find "$BUILD/modules/$KVER/patched" "$BUILD/work/$KVER/patched" -printf '%p %T@\n' | sort)
	SECONDS=0
	run -0 modules_build --kernel 6.1
	[ "$SECONDS" -lt 2 ]
	[ "$output" = "$(readlink -f "$BUILD")/modules/$KVER/patched" ]
	[ "$(find "$BUILD/modules/$KVER/patched" "$BUILD/work/$KVER/patched" -printf '%p %T@\n' | sort)" = "$before" ]
}

@test "modules-build: the caller's make flags do not reach the kernel's build" {
	rm -rf "$COPY/build/modules/$KVER/unpatched"
	MAKEFLAGS="n -- O=/nowhere" copy_build --variant unpatched
	[ -e "$COPY/build/modules/$KVER/unpatched/kvm.ko" ]
}

@test "modules-build: a kernel without headers is named, and what to do" {
	run -2 modules_build --kver 6.1.0-999-amd64
	[[ $output == *"/lib/modules/6.1.0-999-amd64/build"*"linux-headers-6.1.0-999-amd64"* ]]
	[ ! -e "$BUILD/modules/6.1.0-999-amd64" ]
}

@test "modules-build: a kernel is found by its release, too" {
	[ "$(modules_build --kver "$KVER")" = "$(readlink -f "$BUILD")/modules/$KVER/patched" ]
}

# bare DIR - make a directory of commands without Coccinelle and apt
bare()
{
	local cmd

	mkdir -p "$1"
	for cmd in $(compgen -c | sort -u); do
		case $cmd in spatch|apt-get) continue ;; esac
		cmd=$(type -P "$cmd") && ln -sf "$cmd" "$1/"
	done
	# Without package lists, it has to be installed.
	printf '#!/bin/sh\nexit 1\n' >"$1/dpkg-query.new"
	chmod +x "$1/dpkg-query.new"
	mv -f "$1/dpkg-query.new" "$1/dpkg-query"
}

@test "modules-build: if the tree cannot be judged, nothing is built" {
	bare "$BATS_TEST_TMPDIR/bin"
	mkdir -p "$BATS_TEST_TMPDIR/build/kernels"
	ln -s "$(readlink -f "$BUILD/kernels/6.1")" "$BATS_TEST_TMPDIR/build/kernels/6.1"
	O=$BATS_TEST_TMPDIR/build PATH=$BATS_TEST_TMPDIR/bin run -2 modules_build --kernel 6.1
	[[ $output == *"missing"*coccinelle* ]]
	[ -z "$(find "$BATS_TEST_TMPDIR/build" -name '*.ko' ! -path '*/kernels/*')" ]
	# A part that status does not know does not help either, if it is the only one.
	cp -r "$TOP/scripts" "$TOP/VERSION" "$BATS_TEST_TMPDIR/"
	printf '#!/bin/sh\necho "a-race: status does not recognise its code" >&2\nexit 2\n' >"$BATS_TEST_TMPDIR/scripts/tree/apply"
	O=$BATS_TEST_TMPDIR/build run -2 "$BATS_TEST_TMPDIR/scripts/modules/modules-build" --kernel 6.1
	[[ $output == *"a-race: status does not recognise"*"nothing is built"* ]]
}

@test "modules-build: a race that status does not know is not claimed" {
	copy_patch one.patch some-race virt/kvm/eventfd.c 's/^#include <linux\/kvm.h>/&\n\/* changed *\//'
	cp "$COPY/scripts/tree/apply" "$BATS_TEST_TMPDIR/"
	echo 'exit 2' >>"$COPY/scripts/tree/apply"
	run copy_build
	cp "$BATS_TEST_TMPDIR/apply" "$COPY/scripts/tree/apply"
	[ "$status" -eq 0 ]
	[ "$(modinfo -F version "$COPY_OUT/kvm.ko")" = "kvm-racefix $VERSION (some-race)" ]
}

@test "modules-build: an unknown line, variant or race is refused" {
	run -2 modules_build --kernel 4.99
	[[ $output == *4.99* ]]
	run -2 modules_build --kernel 6.1 --variant fixed
	[[ $output == *fixed*without-ID* ]]
	run -2 modules_build --kernel 6.1 --variant without-no-such-race
	[[ $output == *no-such-race*nested-vmcs12-pages* ]]
	run -2 modules_build --kernel 6.1 --variant reopen-no-such-race
	[[ $output == *selftests/races/*/reopen/6.1/no-such-race.patch* ]]
	run -2 modules_build --kernel 6.1 --variant mutation-no-such-race
	[[ $output == *selftests/races/*/mutations/6.1/no-such-race.patch* ]]
	run -2 modules_build --kernel 6.1 --variant without-../x
	run -2 modules_build --kernel
}

@test "modules-build: KSRC without KVM, or of another kernel, is refused" {
	mkdir -p "$BATS_TEST_TMPDIR/tree/arch/x86/kvm"
	run -2 modules_build --kernel 6.1 --ksrc "$BATS_TEST_TMPDIR/tree"
	[[ $output == *"$BATS_TEST_TMPDIR/tree"*virt/kvm* ]]
	mkdir -p "$BATS_TEST_TMPDIR/tree/virt/kvm"
	printf 'VERSION = 5\nPATCHLEVEL = 4\n' >"$BATS_TEST_TMPDIR/tree/Makefile"
	run -2 modules_build --kernel 6.1 --ksrc "$BATS_TEST_TMPDIR/tree"
	[[ $output == *"Linux 5.4"*"Linux 6.1"* ]]
	run -2 modules_build --kernel 6.1 --ksrc "$BATS_TEST_TMPDIR/none"
}

@test "modules-build: a directory that is not prepared, or another kernel's, is refused" {
	run -2 modules_build --kbuild "$BATS_TEST_TMPDIR"
	[[ $output == *utsrelease.h* ]]
	run -2 modules_build --kbuild "$BUILD/kernels/6.1/kbuild" --kver 6.1.0-999-amd64
	[[ $output == *"$KVER"*6.1.0-999-amd64* ]]
}

@test "modules-build: headers of unknown origin need a source that is named" {
	mkdir -p "$BATS_TEST_TMPDIR/kbuild/include/generated"
	echo '#define UTS_RELEASE "6.1.99-own"' >"$BATS_TEST_TMPDIR/kbuild/include/generated/utsrelease.h"
	: >"$BATS_TEST_TMPDIR/kbuild/Module.symvers"
	echo CONFIG_KVM=m >"$BATS_TEST_TMPDIR/kbuild/.config"
	run -2 modules_build --kbuild "$BATS_TEST_TMPDIR/kbuild"
	[[ $output == *linux-headers-6.1.99-own*KSRC=* ]]
}

@test "modules-build: a real-time kernel needs its own source, which linux-source is not" {
	mkdir -p "$BATS_TEST_TMPDIR/kbuild/include/generated" "$BATS_TEST_TMPDIR/bin"
	echo '#define UTS_RELEASE "6.1.99-rt-amd64"' >"$BATS_TEST_TMPDIR/kbuild/include/generated/utsrelease.h"
	: >"$BATS_TEST_TMPDIR/kbuild/Module.symvers"
	printf 'CONFIG_KVM=m\nCONFIG_PREEMPT_RT=y\n' >"$BATS_TEST_TMPDIR/kbuild/.config"
	printf '#!/bin/sh\necho 6.1.99-1\n' >"$BATS_TEST_TMPDIR/bin/dpkg-query"
	chmod +x "$BATS_TEST_TMPDIR/bin/dpkg-query"
	PATH=$BATS_TEST_TMPDIR/bin:$PATH run -2 modules_build --kbuild "$BATS_TEST_TMPDIR/kbuild"
	echo "$output"
	[[ $output == *"6.1.99-rt-amd64 has the real-time patch"*KSRC=* ]]
}

@test "modules-build: a kernel with KVM built in is refused" {
	mkdir -p "$BATS_TEST_TMPDIR/kbuild/include/generated"
	cp "$BUILD/kernels/6.1/kbuild/include/generated/utsrelease.h" "$BATS_TEST_TMPDIR/kbuild/include/generated/"
	: >"$BATS_TEST_TMPDIR/kbuild/Module.symvers"
	echo CONFIG_KVM=y >"$BATS_TEST_TMPDIR/kbuild/.config"
	run -2 modules_build --kbuild "$BATS_TEST_TMPDIR/kbuild"
	[[ $output == *CONFIG_KVM* ]]
}

@test "modules-build: racegate names what the kernel was built without" {
	local config

	mkdir -p "$BATS_TEST_TMPDIR/kbuild/include/generated"
	cp "$BUILD/kernels/6.1/kbuild/include/generated/utsrelease.h" "$BATS_TEST_TMPDIR/kbuild/include/generated/"
	: >"$BATS_TEST_TMPDIR/kbuild/Module.symvers"
	for config in KPROBES FUNCTION_TRACER; do
		printf "CONFIG_%s=y\n" KPROBES FUNCTION_TRACER | sed "s/^CONFIG_$config=y/# CONFIG_$config is not set/" >"$BATS_TEST_TMPDIR/kbuild/.config"
		run modules_build --kbuild "$BATS_TEST_TMPDIR/kbuild" --variant racegate
		[ "$status" -eq 2 ]
		[[ $output == *"racegate needs CONFIG_$config, which kernel $KVER was built without"* ]]
	done
}

@test "modules-build: a build that is killed leaves no module and no hindrance" {
	copy_patch one.patch first-race arch/x86/kvm/i8254.c 's/^#define pr_fmt.*/&\n\/* changed *\//'
	env -u O setsid "$COPY/scripts/modules/modules-build" --kernel 6.1 >/dev/null 2>&1 3>&- &
	pid=$!
	until [ -e "$COPY/build/work/$KVER/patched/.building" ]; do
		sleep 0.2
	done
	kill -KILL -- "-$pid"
	wait "$pid" || :
	[ ! -e "$COPY_OUT" ]
	copy_build
	[ "$(modinfo -F version "$COPY_OUT/kvm.ko")" = "kvm-racefix $VERSION (first-race)" ]
	[ -z "$(find "$COPY/build/work/$KVER" -maxdepth 1 -name '.*.new*' ! -name '*.lock')" ]
}

@test "modules-build: a changed patch rebuilds, and one race can be left out" {
	copy_patch one.patch first-race arch/x86/kvm/i8254.c 's/^#define pr_fmt.*/&\n\/* changed *\//'
	copy_patch two.patch second-race arch/x86/kvm/irq.c '$a int racefix_test_mark = 1;'
	copy_patch three.patch first-race arch/x86/kvm/mtrr.c '$a int racefix_other_mark = 1;'
	copy_build
	[ "$(modinfo -F version "$COPY_OUT/kvm.ko")" = "kvm-racefix $VERSION (first-race, second-race)" ]
	grep -q racefix_test_mark < <(nm "$COPY_OUT/kvm.ko")

	copy_build --variant without-first-race
	other=$COPY/build/modules/$KVER/without-first-race/kvm.ko
	[ "$(modinfo -F version "$other")" = "kvm-racefix $VERSION (second-race; without first-race)" ]
	grep -q racefix_test_mark < <(nm "$other")
	run ! grep -q racefix_other_mark <(nm "$other")
}

@test "modules-build: objects of another variant make the same modules as a build from nothing" {
	rm -rf "$COPY/build"/{modules,work}/"$KVER/unpatched"
	copy_build --variant unpatched
	run ! grep -q 'emulate\.o$' "$COPY/build/work/$KVER/unpatched.log"
	for mod in kvm kvm-intel kvm-amd; do
		same_module "$BUILD/modules/$KVER/unpatched/$mod.ko" "$COPY/build/modules/$KVER/unpatched/$mod.ko"
	done
}

@test "modules-build: a patch that does not apply, or only with fuzz, is named; nothing is left" {
	mkdir -p "$COPY_OUT"
	: >"$COPY_OUT/kvm.ko"
	copy_patch fuzzy.patch some-race virt/kvm/eventfd.c 's/^#include <linux\/kvm.h>/&\n\/* changed *\//'
	sed -i 's/^ #include <linux\/workqueue.h>/ #include <linux\/playqueue.h>/' "$COPY/patches/6.1/fuzzy.patch"
	run -2 copy_build
	[[ $output == *patches/6.1/fuzzy.patch*"does not apply"* ]]
	[ ! -e "$COPY_OUT" ]
	[ -z "$(find "$COPY/build/work/$KVER" -maxdepth 1 -name '.*.new*' ! -name '*.lock')" ]
}

@test "modules-build: a patch to other parts of the kernel, or about no race, is refused" {
	copy_patch mm.patch some-race Makefile 's/^NAME = .*/NAME = changed/'
	run -2 copy_build
	[[ $output == *mm.patch*Makefile* ]]
	: >"$COPY/patches/6.1/series"
	copy_patch none.patch "" virt/kvm/eventfd.c 's/^#include <linux\/kvm.h>/&\n\/* changed *\//'
	run -2 copy_build
	[[ $output == *none.patch*"Race:"* ]]
	echo missing.patch >"$COPY/patches/6.1/series"
	run -2 copy_build
	[[ $output == *missing.patch* ]]
}

@test "modules-build: a patch may change a header of the kernel's, and it wins" {
	copy_patch header.patch some-race arch/x86/include/asm/kvm_para.h '/^#include <asm\/processor.h>/a #error our header is read'
	run -1 copy_build
	[[ $output == *"our header is read"*"do not build"* ]]
	[ ! -e "$COPY_OUT" ]
}

@test "modules-build --check: the project's patches bring no warning" {
	run -0 modules_build --kernel 6.1 --check
}

@test "modules-build --check: reports a warning that a patch adds, and no other" {
	copy_patch warn.patch some-race arch/x86/kvm/irq.c '$a int racefix_global; void racefix_none(void) { }'
	copy_patch header.patch some-race arch/x86/kvm/mmu/tdp_iter.h '/^#include <linux\/kvm_host.h>/i static const int racefix_const = 1;'
	run -1 copy_build --check
	[[ $output == *"tdp_iter.h: warning:"*racefix_const* ]]
	[[ $output == *"irq.c: warning:"*prototype*racefix_none* ]]
	[[ $output == *"irq.c: warning:"*racefix_global* ]]
	[[ $output != *"x86.c"* ]]
}

@test "modules-build --layout: a field that modules of others would see is refused, by its struct" {
	copy_patch field.patch some-race include/linux/kvm_types.h '/^struct gfn_to_pfn_cache {/a\	unsigned long racefix_none;'
	run -1 copy_build --layout
	[[ $output == *"struct gfn_to_pfn_cache differs"*"Layout: struct gfn_to_pfn_cache"* ]]
	[[ $output == *racefix_none* ]]
	# Structs that contain it differ, too, and no others.
	[[ $output == *"struct kvm_vcpu_arch differs"* ]]
	[[ $output != *"struct kvm_memory_slot differs"* ]]
}

@test "modules-build: symbols that differ in type from the distro's end a build of patches" {
	# shellcheck source=scripts/modules/kbuild/layout.sh
	. "$TOP/scripts/modules/kbuild/layout.sh"
	KBUILD=$BATS_TEST_TMPDIR/kbuild WORK=$BATS_TEST_TMPDIR/work OWN_SOURCE=yes PATCHES=()
	mkdir "$KBUILD" "$WORK"
	printf '%s\t%s\tarch/x86/kvm/kvm\tEXPORT_SYMBOL_GPL\t\n' 0x11 kvm_one 0x22 kvm_two 0x33 kvm_three >"$KBUILD/Module.symvers"
	printf '0x44\tprintk\tvmlinux\tEXPORT_SYMBOL\t\n' >>"$KBUILD/Module.symvers"
	sed '/printk/d' "$KBUILD/Module.symvers" >"$WORK/Module.symvers"
	VARIANT=patched
	run -0 compare_symbols
	[ -z "$output" ]
	# One symbol has another type, and one is missing.
	sed -i '/kvm_one/s/0x11/0x12/; /kvm_three/d' "$WORK/Module.symvers"
	run -1 compare_symbols
	[[ $output == *"2 symbols of kvm are missing, or differ in type"*"would not load"*"kvm_one kvm_three"* ]]
	# Differences of a tree that the user named, or of an unpatched one, are not caused by
	# patches.
	OWN_SOURCE=''
	run -0 compare_symbols
	OWN_SOURCE=yes VARIANT=unpatched
	run -0 compare_symbols
	[[ $output == *"2 symbols of kvm"* ]]
}

@test "modules-build: a field that modules of others would see is refused, by its symbols" {
	[ -n "${CHECK_ALL-}" ] || skip "it builds all of kvm: only with CHECK_ALL=1, as check --all sets it"
	copy_patch field.patch some-race include/linux/kvm_types.h '/^struct gfn_to_pfn_cache {/a\	unsigned long racefix_none;'
	run -1 copy_build
	[[ $output == *"symbols of kvm"*"differ in type"*"would not load"* ]]
	[ ! -e "$COPY_OUT" ]
}

@test "modules-build --layout: a field in padding needs a trailer, which has to be true" {
	copy_patch pad.patch some-race include/linux/kvm_types.h \
		'/^	bool active;/a \	bool racefix_none;'
	run -1 copy_build --layout
	[[ $output == *"struct gfn_to_pfn_cache differs"* ]]
	sed -i 's/^Race: .*/&\nLayout: struct gfn_to_pfn_cache (a test)/' "$COPY/patches/6.1/pad.patch"
	run -0 copy_build --layout
	sed -i 's/^Layout: .*/Layout: struct gfn_to_pfn_cache, struct kvm_vcpu (a test)/' "$COPY/patches/6.1/pad.patch"
	run -1 copy_build --layout
	[[ $output == *"'Layout: struct kvm_vcpu'"*"does not differ from the unpatched one"* ]]
}

@test "Kbuild: the kernel's own build makes the modules from a plain checkout" {
	[ "$BUILD" = "$TOP/build" ] || skip "it works in build/ of the checkout only, and O= is elsewhere"
	rm -f "$BUILD/work/$KVER/patched/arch/x86/kvm"/kvm*.ko
	make -C "$BUILD/kernels/6.1/kbuild" M="$TOP"
	file=$BUILD/work/$KVER/patched/arch/x86/kvm/kvm.ko
	[ "$(modinfo -F version "$file")" = "$(modinfo -F version "$BUILD/modules/$KVER/patched/kvm.ko")" ]
	# It has left nothing that modules-build would have to do again.
	run modules_build --kernel 6.1
	[[ $output != *building* ]]
}
