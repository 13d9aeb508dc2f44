#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# scripts/stress as a person meets it who types something wrong, and the table that it
# makes of results. It is never run as a whole here: it takes minutes for each race.

setup()
{
	# shellcheck source=scripts/lib.sh
	. "$BATS_TEST_DIRNAME/../../scripts/lib.sh"
	# A tree of its own: --table writes next to the scripts.
	TREE=$BATS_TEST_TMPDIR/tree
	mkdir -p "$TREE"
	cp -r "$TOP/scripts" "$TREE/"
	mkdir "$TREE/selftests"
	cp -r "$TOP/selftests/races" "$TREE/selftests/"
	STRESS=$TREE/scripts/lab/stress
	export O=$BATS_TEST_TMPDIR/build
}

@test "stress: an unknown race, kernel or host is refused, and the known ones named" {
	run "$STRESS" --race no-such-race
	[ "$status" -eq 2 ]
	[[ $output == *no-such-race*gpc-refresh*nested-vmcs12-pages* ]]
	run "$STRESS" --kernel 4.99
	[ "$status" -eq 2 ]
	[[ $output == *4.99*5.10*6.1* ]]
	run "$STRESS" --host mars
	[ "$status" -eq 2 ]
	[[ $output == *bochs*qemu*mars* ]]
}

@test "stress: numbers that are none are refused, and so is an option without its value" {
	for n in 0 0.0 -1 many 3.55 1000; do
		run "$STRESS" --minutes "$n"
		[ "$status" -eq 2 ]
		[[ $output == *"--minutes $n"* ]]
	done
	run "$STRESS" --jobs 0
	[ "$status" -eq 2 ]
	run "$STRESS" --minutes
	[ "$status" -eq 2 ]
	[[ $output == *"--minutes needs a value"* ]]
	run "$STRESS" --frobnicate
	[ "$status" -eq 2 ]
	[[ $output == *usage:* ]]
}

@test "stress: what a kernel or a host does not have is said before anything is built" {
	run "$STRESS" --race gpc-refresh --kernel 5.10
	[ "$status" -eq 2 ]
	[[ $output == *"5.10 does not have gpc-refresh"* ]]
	run "$STRESS" --race gpc-refresh --host bochs
	[ "$status" -eq 2 ]
	[[ $output == *"gpc-refresh in bochs"* ]]
	[ ! -e "$O/stress/results.tsv" ]
}

@test "stress --table: nothing was run, nothing is written" {
	run "$STRESS" --table
	[ "$status" -eq 2 ]
	[[ $output == *"run scripts/stress first"* ]]
	[ ! -e "$TREE/doc/results/stress.md" ]
}

@test "stress --table: a row says how often it showed, and what became of the host" {
	mkdir -p "$O/stress"
	{
		printf '%s\t' gpc-refresh 6.1 6.1.0-x qemu reopened 3 1234 5 180.0 clean 3 3 1.5 2; echo 0.50
		printf '%s\t' tdp-mmu-zap 6.1 6.1.0-x qemu reopened 3 77 1 33.0 died 3 3 2.5 2; echo 12.00
	} >"$O/stress/results.tsv"
	run "$STRESS" --table
	[ "$status" -eq 0 ]
	grep -F '| `gpc-refresh` | 6.1.0-x (reopened) | qemu | shown 5 of 1234 tries in 3.0 min | shown 3 of 3 in 1.5 s each |' "$TREE/doc/results/stress.md"
	grep -F '| `tdp-mmu-zap` | 6.1.0-x (reopened) | qemu | shown 1 of 77 tries: the host died within 33.0 s | shown 3 of 3 in 2.5 s each |' "$TREE/doc/results/stress.md"
	grep -F 'load average 0.50 to 12.00' "$TREE/doc/results/stress.md"
}
