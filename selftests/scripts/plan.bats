#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# scripts/lab/plan/*: the rows that they print. Two races are invented here: one shows in both
# hosts, is reopened for the test and is fatal; two shows in Bochs, as shipped.

bats_require_minimum_version 1.5.0

setup()
{
	# shellcheck source=scripts/lib.sh
	. "$BATS_TEST_DIRNAME/../../scripts/lib.sh"
	COPY=$BATS_TEST_TMPDIR/copy
	export O=$COPY/build
	mkdir -p "$COPY" "$O/kernels/6.1/source"
	cp -r "$TOP/scripts" "$COPY/"
	cat >"$COPY/scripts/tree/races.sh" <<-'END'
	race_ids() { printf '%s\n' one two; }
	race_hosts() { case $1 in one) printf 'qemu\nbochs\n' ;; two) echo bochs ;; esac | grep -x -- "${2:-.*}"; }
	race_shows_in() { [ -n "$(race_hosts "$1" "$2")" ]; }
	race_in_line() { [ "$1" = one ] || [ "$2" != 4.4 ]; }
	must_fail() { [ "$1" != two ] || printf 'a\nb\n'; }
	destructive_cases() { [ "$1" != one ] || echo fatal; }
	patches_for() { compgen -G "$O/races/$2/$1/*.patch"; }
	open_set() { [ "$1" = one ] && echo reopen-one || echo stock; }
	fit() { ! grep -l UNFIT "${@:2}" /dev/null >/dev/null; }
	closes() { [ "$2" = one ]; }
	END
	# The parts of the tree that are open.
	cat >"$COPY/scripts/tree/series/tree.sh" <<-'END'
	tree_parts() { [ ! -e "$O/open" ] || printf 'one-part\tvulnerable\tx\n'; }
	slug_race() { echo "${1%-part}"; }
	tree_release() { echo 6.1.7; }
	END
}

# patch RACE KIND NAME [TEXT] - make a patch in the race's reopen/, control/ or mutations/
patch()
{
	mkdir -p "$O/races/$1/$2"
	printf 'Race: %s\n%s\ndiff --git\n' "$1" "${4-}" >"$O/races/$1/$2/$3.patch"
}

# rows PLAN [ARGUMENT]... - print BOOT SET RACE CASES RUN STAGE EXPECT of its rows
rows()
{
	"$COPY/scripts/lab/plan/$1" "${@:2}" | cut -f 1,4-9 | tr '\t' ' '
}

@test "plan demo: triples by host, and a boot of its own for a fatal case" {
	diff - <(rows demo --kernel 6.1 --runs 2) <<-'END'
	6.1-bochs reopen-one one default 1 before fail
	6.1-bochs patched one every 1 closed pass
	6.1-bochs reopen-one one default 1 after fail
	6.1-bochs reopen-one one default 2 before fail
	6.1-bochs patched one every 2 closed pass
	6.1-bochs reopen-one one default 2 after fail
	6.1-bochs stock two default 1 before fail:a,b
	6.1-bochs patched two every 1 closed pass
	6.1-bochs stock two default 1 after fail:a,b
	6.1-bochs stock two default 2 before fail:a,b
	6.1-bochs patched two every 2 closed pass
	6.1-bochs stock two default 2 after fail:a,b
	6.1-qemu reopen-one one default 1 before fail
	6.1-qemu patched one every 1 closed pass
	6.1-qemu reopen-one one default 1 after fail
	6.1-qemu reopen-one one default 2 before fail
	6.1-qemu patched one every 2 closed pass
	6.1-qemu reopen-one one default 2 after fail
	6.1-qemu-fatal reopen-one one fatal fatal once dies
	6.1-bochs-fatal reopen-one one fatal fatal once dies
	END
	# An oops ends only the host of the fatal case.
	[ "$("$COPY/scripts/lab/plan/demo" --kernel 6.1 | awk -F '\t' '$11 != "-" { print $1, $11 }' | sort | tr '\n' ' ')" = "6.1-bochs-fatal oops=panic 6.1-qemu-fatal oops=panic " ]
}

@test "plan demo --host local: all on one set, then all on the other, and races in the source must show" {
	diff - <(rows demo --host local --kernel 9.9.0-x --has two --runs 2 --without one) <<-'END'
	local stock one default 1 before any
	local stock two default 1 before fail
	local without-one one default 1 closed pass
	local without-one two default 1 closed pass
	local stock one default 1 after any
	local stock two default 1 after fail
	local stock one default 2 before any
	local stock two default 2 before fail
	local without-one one default 2 closed pass
	local without-one two default 2 closed pass
	local stock one default 2 after any
	local stock two default 2 after fail
	END
	[ "$("$COPY/scripts/lab/plan/demo" --host local --kernel 9.9.0-x --race one --runs 1 | cut -f 2,3 | sort -u)" = "9.9.0-x	local" ]
}

@test "plan demo: --race, --host, --kernel and --without" {
	diff - <(rows demo --kernel 4.4 --kernel 6.1 --race two --runs 1 --without one) <<-'END'
	6.1-bochs stock two default 1 before fail:a,b
	6.1-bochs without-one two every 1 closed pass
	6.1-bochs stock two default 1 after fail:a,b
	END
	[ "$(rows demo --host qemu --kernel 6.1 | cut -d ' ' -f 1 | sort -u | tr '\n' ' ')" = "6.1-qemu 6.1-qemu-fatal " ]
	run -2 "$COPY/scripts/lab/plan/demo" --kernel 4.4 --race two
	[[ $output == *"kernel 4.4 does not have, or cannot show: two"* ]]
}

@test "plan demo: control modules if there are some, and as shipped if a part is open" {
	patch one control xen
	touch "$O/open"
	diff - <(rows demo --kernel 6.1 --race one --host qemu --runs 1) <<-'END'
	6.1-qemu reopen-one one default 1 before fail
	6.1-qemu patched one every 1 closed pass
	6.1-qemu reopen-one one default 1 after fail
	6.1-qemu control-one one every 1 control pass
	6.1-qemu stock one default 1 shipped fail
	6.1-qemu-fatal reopen-one one fatal fatal once dies
	END
	# Control modules have all patches, which --without has to leave out.
	[ -z "$(rows demo --kernel 6.1 --race one --without one | grep control)" ]
}

@test "plan demo: a patch that does not fit a version is left out, and named" {
	patch one control xen UNFIT
	run -0 "$COPY/scripts/lab/plan/demo" --kernel 6.1 --race one
	[[ $output == *"the additional patch that the test of one needs is made for 6.1, and does not apply"* ]]
	[[ $output != *control* ]]
	patch one reopen it UNFIT
	run -2 "$COPY/scripts/lab/plan/demo" --kernel 6.1 --race one
	[[ $output == *"6.1: one is left out"* ]]
}

@test "plan mutations: fixed modules first, which must pass, then each that must be caught" {
	patch one mutations one-b
	patch one mutations one-a "Cases: every"
	patch one control xen
	patch two mutations two-a
	diff - <(rows mutations) <<-'END'
	6.1-bochs patched two default patched patched pass
	6.1-qemu patched one every patched patched pass
	6.1-qemu control-one one every control control pass
	6.1-bochs mutation-two-a two default two-a mutation caught
	6.1-qemu mutation-one-a one every one-a mutation caught
	6.1-qemu mutation-one-b one default one-b mutation caught
	END
	diff - <(rows mutations one-b) <<-'END'
	6.1-qemu patched one default patched patched pass
	6.1-qemu control-one one every control control pass
	6.1-qemu mutation-one-b one default one-b mutation caught
	END
	[ "$(rows mutations --host bochs | cut -d ' ' -f 1 | sort -u)" = 6.1-bochs ]
	# In the host where the race does not show, by the case that is named.
	patch two mutations two-b $'Cases: c\nHost: qemu'
	diff - <(rows mutations two) <<-'END'
	6.1-bochs patched two default patched patched pass
	6.1-qemu patched two every patched patched pass
	6.1-bochs mutation-two-a two default two-a mutation caught
	6.1-qemu mutation-two-b two c two-b mutation caught
	END
	[ "$(rows mutations --host bochs two | grep -c two-b)" = 0 ]
	# For a version, only those that apply to it.
	patch one mutations one-b UNFIT
	run -0 "$COPY/scripts/lab/plan/mutations" --kernel 6.1.7-1 one
	[[ $output == *"one-b is left out: it does not fit 6.1.7-1"*one-a* ]]
	run -2 "$COPY/scripts/lab/plan/mutations" no-such
	[[ $output == *"no mutation of 6.1 is called no-such"* ]]
}

@test "plan tree: triples if there are patches, otherwise the tree's own modules" {
	mkdir -p "$O/trees/6.1.7/kbuild"
	printf '#!/bin/sh\necho patched\n' >"$COPY/scripts/modules/modules-build"
	diff - <(rows tree "$O/trees/6.1.7") <<-'END'
	6.1.7-bochs stock one default 1 before any
	6.1.7-bochs patched one every 1 closed pass
	6.1.7-bochs stock one default 1 after any
	6.1.7-bochs stock two default 1 as-is any
	6.1.7-qemu stock one default 1 before any
	6.1.7-qemu patched one every 1 closed pass
	6.1.7-qemu stock one default 1 after any
	6.1.7-bochs-fatal stock one fatal fatal once any
	6.1.7-qemu-fatal stock one fatal fatal once any
	END
	[ "$("$COPY/scripts/lab/plan/tree" --host qemu "$O/trees/6.1.7" | cut -f 2 | sort -u)" = "$(readlink -f "$O/trees/6.1.7")" ]
	run -2 "$COPY/scripts/lab/plan/tree" "$O/trees/no-such"
}
