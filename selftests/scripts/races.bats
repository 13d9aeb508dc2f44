#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# scripts/tree/races.sh: which races and destructive cases a kernel has, and what of
# selftests/ is for it.

setup()
{
	# shellcheck source=scripts/lib.sh
	. "$BATS_TEST_DIRNAME/../../scripts/lib.sh"
	TOP=$BATS_TEST_TMPDIR BUILD=$BATS_TEST_TMPDIR/build
	# shellcheck source=scripts/tree/races.sh
	. "$BATS_TEST_DIRNAME/../../scripts/tree/races.sh"
	mkdir -p "$TOP"/selftests/races/early/{reopen,control}/6.1 "$BUILD/kernels/6.1"
	printf '%s\t%s\t%s\t%s\n' '# ID' HOSTS LINES SUMMARY \
		early bochs '5.10,6.1<6.1.177' closed-in-stable \
		late qemu,bochs '6.1,6.12' never-closed >"$TOP/selftests/races/table"
	printf '%s\t%s\t%s\t%s\t%s\n' \
		early panics '5.19,6.1<6.1.177' 'RIP: x' what \
		early oopses '6.1' 'RIP: y' what \
		late panics '6.12<6.12.3,6.1' 'RIP: z' what >"$TOP/selftests/races/destructive"
}

@test "races: LINE<RELEASE has the releases of that line before that one" {
	for kernel in 6.1.0 6.1.20 6.1.176 6.1.176-1 6.1.176-1~deb11u1 5.10 5.10.262-1; do
		in_lines '5.10,6.1<6.1.177' "$kernel"
	done
	for kernel in 6.1.177 6.1.177-1 6.1.1770-1 6.10.3 6.12 6.12.3-1 5.1 5.1.3 5.15.177 ''; do
		run in_lines '5.10,6.1<6.1.177' "$kernel"
		[ "$status" -eq 1 ]
	done
	run in_lines '' 6.1
	[ "$status" -eq 1 ]
}

@test "races: a line is its kernel that is there, or newer than all of its entries" {
	run race_in_line early 6.1
	[ "$status" -eq 1 ]
	race_in_line late 6.1
	echo 6.1.176-1 >"$BUILD/kernels/6.1/version"
	race_in_line early 6.1
	echo 6.1.192-2 >"$BUILD/kernels/6.1/version"
	run race_in_line early 6.1
	[ "$status" -eq 1 ]
	race_in_line early 6.1.176-1
	run race_in_line no-such-race 6.1
	[ "$status" -eq 1 ]
}

@test "races: destructive cases are those of the race and the release" {
	[ "$(destructive_cases early 6.1.176-1 | paste -sd ' ')" = "panics oopses" ]
	[ "$(destructive_cases early 6.1.177-1)" = oopses ]
	[ "$(destructive_cases late 6.12.2)" = panics ]
	[ -z "$(destructive_cases late 6.12.3)" ]
	[ -z "$(destructive_cases late 6.10.2)" ]
}

@test "races: a version uses what its line has, where that fits" {
	mkdir -p "$BUILD/kernels/6.1.176-1/source/virt" "$BUILD/kernels/6.1.20-1/source"
	seq 9 >"$BUILD/kernels/6.1.176-1/source/virt/a.c"
	patch=$TOP/selftests/races/early/reopen/6.1/early-part.patch
	diff -u --label a/virt/a.c --label b/virt/a.c <(seq 9) <(seq 9 | sed 's/5/five/') >"$patch" || :
	diff -u --label a/virt/a.c --label b/virt/a.c <(seq 9 | sed 's/5/five/') \
		<(seq 9 | sed 's/5/FIVE/') >"$TOP/selftests/races/early/control/6.1/early.patch" || :
	[ "$(open_set early 6.1.176-1)" = reopen-early ]
	[ "$(open_set late 6.1.176-1)" = stock ]
	[ "$(open_set early 6.12.3-1)" = stock ]
	[ "$(patches_for reopen early 6.1.176-1)" = "$patch" ]
	# One upon the other, and not the second alone.
	fit 6.1.176-1 "$patch" "$TOP/selftests/races/early/control/6.1/early.patch"
	run fit 6.1.176-1 "$TOP/selftests/races/early/control/6.1/early.patch"
	[ "$status" -eq 1 ]
	# The file is not there at all.
	run fit 6.1.20-1 "$patch"
	[ "$status" -eq 1 ]
	fit 6.1.20-1
	[ "$(cat "$BUILD/kernels/6.1.176-1/source/virt/a.c")" = "$(seq 9)" ]
}
