#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# scripts/stress with wrong arguments, and the table that it makes of results. It is never run as a
# whole here: it takes minutes for each race.

bats_require_minimum_version 1.5.0

setup()
{
	# shellcheck source=scripts/lib.sh
	. "$BATS_TEST_DIRNAME/../../scripts/lib.sh"
	# Use a separate tree: --table writes next to the scripts.
	TREE=$BATS_TEST_TMPDIR/tree
	mkdir -p "$TREE"
	cp -r "$TOP/scripts" "$TREE/"
	mkdir "$TREE/selftests"
	cp -r "$TOP/selftests/races" "$TREE/selftests/"
	STRESS=$TREE/scripts/lab/stress
	export O=$BATS_TEST_TMPDIR/build
}

@test "stress: an unknown race, kernel or host is refused, and the known ones named" {
	run -2 "$STRESS" --race no-such-race
	[[ $output == *no-such-race*gpc-refresh*nested-vmcs12-pages* ]]
	run -2 "$STRESS" --kernel 4.99
	[[ $output == *4.99*5.10*6.1* ]]
	run -2 "$STRESS" --host mars
	[[ $output == *bochs*qemu*mars* ]]
}

@test "stress: bad numbers are refused, and so is an option without its value" {
	for n in 0 0.0 -1 many 3.55 1000; do
		run -2 "$STRESS" --minutes "$n"
		[[ $output == *"--minutes $n"* ]]
	done
	run -2 "$STRESS" --jobs 0
	run -2 "$STRESS" --minutes
	[[ $output == *"--minutes needs a value"* ]]
	run -2 "$STRESS" --frobnicate
	[[ $output == *usage:* ]]
}

@test "stress: a race that a kernel or a host does not have is named before anything is built" {
	run -2 "$STRESS" --race gpc-refresh --kernel 5.10
	[[ $output == *"5.10 does not have gpc-refresh"* ]]
	run -2 "$STRESS" --race gpc-refresh --host bochs
	[[ $output == *"--host bochs: none of these races shows there: gpc-refresh"* ]]
	[ ! -e "$O/stress/results.tsv" ]
}

@test "stress --table: nothing was run, nothing is written" {
	run -2 "$STRESS" --table
	[[ $output == *"run scripts/stress first"* ]]
	[ ! -e "$TREE/doc/results/stress.md" ]
}

@test "stress --table: a row has how often it showed, and the end of the host" {
	mkdir -p "$O/stress"
	{
		printf "%s\t" gpc-refresh 6.1 qemu 6.1.0-x reopened 1234 5 180.0 clean 3 3 1.5 2; echo 0.50
		printf "%s\t" tdp-mmu-zap 6.1 qemu 6.1.0-x reopened 77 1 33.0 died 3 3 2.5 2; echo 12.00
	} >"$O/stress/results.tsv"
	run -0 "$STRESS" --table
	grep -F '| `gpc-refresh` | 6.1.0-x (reopened) | qemu | shown 5 of 1234 tries in 3.0 min | shown 3 of 3 in 1.5 s each |' "$TREE/doc/results/stress.md"
	grep -F '| `tdp-mmu-zap` | 6.1.0-x (reopened) | qemu | shown 1 of 77 tries: the host died within 33.0 s | shown 3 of 3 in 2.5 s each |' "$TREE/doc/results/stress.md"
	grep -F 'load average 0.50 to 12.00' "$TREE/doc/results/stress.md"
}

# waited RESULT [REASON [STEP-REASON]] - make results of a race that was waited for, and forced
# twice
waited()
{
	local row=$'6.1\t6.1.0-x\tqemu\treopen-gpc-refresh\tgpc-refresh' run

	mkdir -p "$O"
	{
		[ -z "${2-}" ] || printf '%s\twaited\t1\tstress\tany\t%s\t\t\t%s\tlog:1\n' "$row" "$1" "$2"
		printf '%s\twaited\t1\t*\tany\t%s\t\t20\t%s\tlog:1\n' "$row" "$1" "${3-}"
		for run in 1 2; do
			printf '%s\tforced\t%d\t*\tfail\t%s\t1.%d\t20\t\tlog:2\n' "$row" $run "${FORCED-fail}" $run
		done
	} >"$O/results.tsv"
	run "$TREE/scripts/lab/report" stress "$O/results.tsv"
	echo "$output"
}

@test "stress: the end of a host while it waited is a result" {
	for end in pass fail; do
		waited $end "shown=5 tries=33653 seconds=180.0"
		[ "$status" -eq 0 ]
		[ "$output" = "gpc-refresh, 6.1, qemu: 5 of 33653 tries in 180.0 s (clean); forced: 2 of 2 in 1.1 s each" ]
	done
	for end in panic killed hang timeout unfinished; do
		waited $end "shown=0 tries=76 seconds=32.5"
		[ "$status" -eq 0 ]
		[[ $output == *": 1 of 77 tries in 33 s ("*"); forced: 2 of 2 "* ]]
	done
	[[ $output == *"(hung)"* ]]
	# The host may die before the case's first sign of life.
	waited panic ''
	[ "$status" -eq 0 ]
	[[ $output == *": 1 of 1 tries in 0.5 s (died)"* ]]
}

@test "stress: no try, a test that does not run and a forced race that does not show are errors" {
	waited pass "shown=0 tries=0 seconds=6.0"
	[ "$status" -eq 1 ]
	[[ $output == *"not a single try"*log:1 ]]
	waited setup
	[ "$status" -eq 1 ]
	[[ $output == *"could not be run: setup"* ]]
	waited no-boot '' why
	[ "$status" -eq 3 ]
	FORCED=pass waited pass "shown=0 tries=10 seconds=6.0"
	[ "$status" -eq 1 ]
	[[ $output == *"forced: 0 of 2"*"forced, run 1: no case fails: log:2"* ]]
	FORCED=panic waited pass "shown=0 tries=10 seconds=6.0"
	[ "$status" -eq 3 ]
}
