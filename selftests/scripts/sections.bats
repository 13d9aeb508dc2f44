#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# What scripts/demo reads from a host's output: which cases skipped on patched
# modules, whether one that it calls closed has run there, and in how many runs it was so.

setup()
{
	# shellcheck source=scripts/lib.sh
	. "$BATS_TEST_DIRNAME/../../scripts/lib.sh"
	# shellcheck source=scripts/lab/sections.sh
	. "$TOP/scripts/lab/sections.sh"
	# shellcheck source=scripts/lab/demo.sh
	. "$TOP/scripts/lab/demo.sh"
	LOG=$BATS_TEST_TMPDIR/output.log
	cat >"$LOG" <<-'END'
	ok 1 global.other
	@demo@ step other-race 1 closed 0
	TAP version 13
	not ok 1 global.fails
	ok 2 # SKIP of another step
	@demo@ step a-race 1 before 1
	ok 1 global.passes
	#      SKIP      no such thing
	ok 2 # SKIP no such thing
	ok 3 # SKIP no such thing
	not ok 4 global.fails
	ok 5 # SKIP another reason
	ok 6 # SKIP waits for the race instead of forcing it; name it with -t
	@demo@ step a-race 1 closed 0
	ok 1 global.passes
	ok 2 global.skips
	@demo@ step a-race control try 0
	END
}

@test "sections: the cases that skipped are counted, each reason given once" {
	run skipped_cases "$LOG" a-race closed
	[ "$output" = "3 of 5 cases skipped: no such thing; another reason" ]
}

@test "sections: nothing is said where no case skipped, or there is no such step" {
	run skipped_cases "$LOG" a-race try
	[ -z "$output" ]
	run skipped_cases "$LOG" a-race after
	[ -z "$output" ]
	run skipped_cases "$LOG" no-race closed
	[ -z "$output" ]
}

@test "sections: a case has passed only where it ran and passed" {
	case_passed "$LOG" a-race closed passes
	run case_passed "$LOG" a-race closed fails
	[ "$status" -ne 0 ]
	run case_passed "$LOG" a-race closed skips
	[ "$status" -ne 0 ]
	case_passed "$LOG" a-race try skips
	run case_passed "$LOG" a-race closed other
	[ "$status" -ne 0 ]
}

# count TRIPLE... - count_triples, of steps that ended with "BEFORE CLOSED AFTER"
count()
{
	local run=0 stage steps

	for steps; do
		run=$((run + 1))
		for stage in before closed after; do
			echo "@demo@ step a-race $run $stage ${steps%% *}"
			steps=${steps#* }
		done
		echo "@demo@ step another $run before 1"
	done >"$LOG"
	count_triples "$LOG" a-race
}

@test "sections: what is a whole triple, and what is none" {
	[ "$(count "1 0 1")" = "1 1 0 2 0" ]
	[ "$(count "1 0 1" "1 0 0")" = "1 2 0 3 0" ]
	[ "$(count "1 1 1" "1 4 1")" = "2 0 1 4 0" ]
	[ "$(count "0 0 0" "0 124 0" "124 0 0")" = "0 2 0 0 2" ]
	runs=2
	[ "$(patched_result 2 0)" = "closed 2/2" ]
	[ "$(patched_result 1 0)" = "unclear 1/2" ]
	[ "$(patched_result 1 1)" = "SHOWS 1/2" ]
}
