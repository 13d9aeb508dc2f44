#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# scripts/tree/races.sh: the races and cases that a kernel has, and the patches of selftests/races
# for it.

bats_require_minimum_version 1.5.0

setup()
{
	# shellcheck source=scripts/lib.sh
	. "$BATS_TEST_DIRNAME/../../scripts/lib.sh"
	TOP=$BATS_TEST_TMPDIR BUILD=$BATS_TEST_TMPDIR/build
	# shellcheck source=scripts/tree/races.sh
	. "$BATS_TEST_DIRNAME/../../scripts/tree/races.sh"
	mkdir -p "$TOP"/selftests/races/{early/{reopen,control}/6.1,late} "$BUILD/kernels/6.1"
	cat >"$TOP/selftests/races/early/race" <<-'END'
	# a comment
	summary = closed = in stable
	hosts = bochs
	lines = 5.10,6.1<6.1.177

	[panics]
	kills = 5.19,6.1<6.1.177
	console = RIP: .*(x|y)
	[oopses]
	kills = 6.1
	console = RIP: z
	[fails]
	must_fail = 5.10,6.1<6.1.177
	[fails_in_old]
	must_fail = 5.10
	END
	cat >"$TOP/selftests/races/late/race" <<-'END'
	summary = never closed
	hosts = qemu,bochs
	lines = 6.1,6.12
	[panics]
	kills = 6.12<6.12.3,6.1
	END
}

@test "races: LINE<RELEASE has the releases of that line before that one" {
	for kernel in 6.1.0 6.1.20 6.1.176 6.1.176-1 6.1.176-1~deb11u1 5.10 5.10.262-1; do
		in_lines '5.10,6.1<6.1.177' "$kernel"
	done
	for kernel in 6.1.177 6.1.177-1 6.1.1770-1 6.10.3 6.12 6.12.3-1 5.1 5.1.3 5.15.177 ''; do
		run -1 in_lines '5.10,6.1<6.1.177' "$kernel"
	done
	run -1 in_lines '' 6.1
}

@test "races: a line stands for its kernel that was fetched, or is newer than all of its entries" {
	run -1 race_in_line early 6.1
	race_in_line late 6.1
	echo 6.1.176-1 >"$BUILD/kernels/6.1/version"
	race_in_line early 6.1
	echo 6.1.192-2 >"$BUILD/kernels/6.1/version"
	run -1 race_in_line early 6.1
	race_in_line early 6.1.176-1
	run -1 race_in_line no-such-race 6.1
}

@test "races: destructive cases are those of the race and the release" {
	[ "$(destructive_cases early 6.1.176-1 | paste -sd ' ')" = "panics oopses" ]
	[ "$(destructive_cases early 6.1.177-1)" = oopses ]
	[ "$(destructive_cases late 6.12.2)" = panics ]
	[ -z "$(destructive_cases late 6.12.3)" ]
	[ -z "$(destructive_cases late 6.10.2)" ]
}

@test "races: a field is the race's or a case's, or empty" {
	[ "$(race_ids | paste -sd ' ')" = "early late" ]
	[ "$(race_field early summary)" = "closed = in stable" ]
	[ "$(race_field early console panics)" = "RIP: .*(x|y)" ]
	[ -z "$(race_field late console panics)" ]
	[ -z "$(race_field early kills)" ]
	[ -z "$(race_field no-such-race summary)" ]
	[ "$(race_hosts late | paste -sd ' ')" = "qemu bochs" ]
	[ "$(race_hosts late bochs)" = bochs ]
	[ -z "$(race_hosts early qemu)" ]
}

@test "races: the cases that must fail are those of the line or release" {
	[ "$(must_fail early 6.1.176-1)" = fails ]
	[ "$(must_fail early 5.10.262-1 | paste -sd ' ')" = "fails fails_in_old" ]
	[ -z "$(must_fail early 6.1.192-2)" ]
	[ -z "$(must_fail late 6.1)" ]
}

@test "races: a host died of a case if it panicked and the console shows it" {
	mkdir "$BATS_TEST_TMPDIR/out"
	echo 'RIP: 0010:y+0x1' >"$BATS_TEST_TMPDIR/out/console.log"
	echo end=clean >"$BATS_TEST_TMPDIR/out/result"
	run -1 died_of early panics "$BATS_TEST_TMPDIR/out"
	echo end=panic >"$BATS_TEST_TMPDIR/out/result"
	died_of early panics "$BATS_TEST_TMPDIR/out"
	for name in oopses fails no_such_case; do
		run -1 died_of early $name "$BATS_TEST_TMPDIR/out"
	done
}

@test "races: a version uses the patches of its line that apply" {
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
	# The second patch applies only on top of the first.
	fit 6.1.176-1 "$patch" "$TOP/selftests/races/early/control/6.1/early.patch"
	run -1 fit 6.1.176-1 "$TOP/selftests/races/early/control/6.1/early.patch"
	# The file does not exist in that tree.
	run -1 fit 6.1.20-1 "$patch"
	fit 6.1.20-1
	[ "$(cat "$BUILD/kernels/6.1.176-1/source/virt/a.c")" = "$(seq 9)" ]
}
