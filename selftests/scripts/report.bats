#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# scripts/lab/report: whether all is as it should be. Each test takes results that are, and
# changes what must make them not be.

setup()
{
	# shellcheck source=scripts/lib.sh
	. "$BATS_TEST_DIRNAME/../../scripts/lib.sh"
	RESULTS=$BATS_TEST_TMPDIR/results.tsv
}

# r SET STAGE RUN CASE EXPECT RESULT [REASON] - a result of gpc-refresh on 6.1 in QEMU
r()
{
	local name=$4

	[ "$name" != step ] || name='*'
	printf '%s\t' 6.1 6.1.0-56-amd64 qemu "$1" gpc-refresh "$2" "$3" "$name" "$5" "$6" 1.5 7 "${7-}"
	printf '%s\n' "log:$(wc -l <"$RESULTS")"
}

# demo_results - of a demo in which all is well: one race, two runs, a fatal case, control
demo_results()
{
	local run stage

	: >"$RESULTS"
	{
		for run in 1 2; do
			for stage in before closed after; do
				if [ $stage = closed ]; then
					r patched closed $run forced pass pass
					r patched closed $run xen pass skip "no KVM_XEN"
					r patched closed $run fatal pass skip "no KVM_XEN"
					r patched closed $run step pass pass
				else
					r reopen-gpc-refresh $stage $run forced fail fail
					r reopen-gpc-refresh $stage $run harmless any pass
					r reopen-gpc-refresh $stage $run xen any fail
					r reopen-gpc-refresh $stage $run fatal any unnamed "name it"
					r reopen-gpc-refresh $stage $run step fail fail "forced xen"
				fi
			done
		done
		r control-gpc-refresh control 1 forced pass pass
		r control-gpc-refresh control 1 xen pass pass
		r control-gpc-refresh control 1 fatal pass pass
		r control-gpc-refresh control 1 step pass pass
		r stock shipped 1 forced any fail
		r stock shipped 1 step fail fail forced
		r reopen-gpc-refresh fatal fatal fatal dies dies | sed 's/\tfatal\t/\tonce\t/'
		r reopen-gpc-refresh fatal fatal step dies dies "in fatal: Fatal exception" | sed 's/\tfatal\t/\tonce\t/'
	} >>"$RESULTS"
}

# change STAGE RUN CASE RESULT - of those in the results
change()
{
	local name=$3

	[ "$name" != step ] || name='*'
	awk -F '\t' -v OFS='\t' -v stage="$1" -v run="$2" -v name="$name" -v result="$4" '
		$6 == stage && $7 == run && $8 == name { $10 = result; n++ }
		{ print }
		END { exit n != 1 }' "$RESULTS" >"$RESULTS.new"
	mv "$RESULTS.new" "$RESULTS"
}

# demo_says STATUS TEXT... - that view ends so, and has these lines
demo_says()
{
	local want=$1 text

	shift
	run "$TOP/scripts/lab/report" demo "$RESULTS"
	echo "$output"
	[ "$status" -eq "$want" ] || return 1
	for text; do
		grep -qxF -- "$text" <<<"$output" || { echo "no line '$text'"; return 1; }
	done
}

@test "report demo: all as it should be" {
	demo_results
	demo_says 0
	diff - <(echo "$output") <<-'END'
	race                                 kernel                 host   unpatched                  patched        time
	gpc-refresh                          6.1.0-56-amd64         qemu   shows 2/2 (reopened)       closed 2/2     21 s a run
	  as shipped                         6.1.0-56-amd64         qemu   shows 1/1 (vulnerable)     as above
	  fatal                              6.1.0-56-amd64         qemu   host dies 1/1 (reopened)   by control     7.0 s

	gpc-refresh, 6.1, qemu, patched: 2 of 3 cases skipped: no KVM_XEN
	gpc-refresh, 6.1, qemu, control: closed 1/1
	END
	# It does not matter which file a result is in.
	grep closed "$RESULTS" >"$RESULTS.1"
	grep -v closed "$RESULTS" >"$RESULTS.2"
	run "$TOP/scripts/lab/report" demo "$RESULTS.2" "$RESULTS.1"
	[ "$status" -eq 0 ]
}

@test "report demo: a case that must fail on an unfixed kernel and does not is an error" {
	for result in pass skip unnamed timeout crash unfinished lost; do
		demo_results
		change after 2 forced $result
		at=$(awk -F '\t' '$6 == "after" && $7 == 2 && $8 == "forced" { print $14 }' "$RESULTS")
		demo_says 1 \
			"gpc-refresh                          6.1.0-56-amd64         qemu   shows 1/2 (reopened)       closed 2/2     21 s a run" \
			"    run 2, after: forced: $result, not fail: $at"
	done
}

@test "report demo: a test that ends otherwise than by a failing case does not show" {
	for result in pass skip timeout crash setup lost; do
		demo_results
		change before 1 step $result
		change before 2 step $result
		demo_says 1
		[[ $output == *"does not show 0/2 (reopened)"* ]]
	done
	[[ $output == *"run 1, before: lost (forced xen): log:4"* ]]
}

@test "report demo: on fixed modules a case that fails shows, and one that does not end is unclear" {
	demo_results
	change closed 1 forced fail
	change closed 1 step fail
	demo_says 1
	[[ $output == *"SHOWS 1/2"*"run 1, fixed: forced: fail, not pass: log:5"* ]]
	for result in timeout crash unfinished lost; do
		demo_results
		change closed 1 forced $result
		demo_says 1
		[[ $output == *"unclear 1/2"*"run 1, fixed: forced: $result, not pass: log:5"* ]]
	done
	for result in skip timeout crash setup lost; do
		demo_results
		change closed 1 step $result
		demo_says 1
		[[ $output == *"unclear 1/2"* ]]
	done
}

@test "report demo: a skip on fixed modules is no pass: what fails on unfixed ones must pass by control" {
	demo_results
	change control 1 xen skip
	demo_says 1
	[[ $output == *"unclear 0/2"*"xen: skip, but it fails on unfixed modules: log:6"* ]]
	# One that showed nothing anywhere may skip.
	for stage in before after; do
		for run in 1 2; do
			change $stage $run xen skip
		done
	done
	demo_says 0
	# A fatal case is held against its own boot.
	change control 1 fatal skip
	demo_says 1
	[[ $output == *"  fatal "*"not shown"*"fixed: skip: log:"* ]]
}

@test "report demo: control modules that do not pass are an error" {
	demo_results
	change control 1 forced fail
	change control 1 step fail
	demo_says 1
	[[ $output == *"control: NOT closed (fail): log:"* ]]
}

@test "report demo: a race that is open as shipped must show" {
	demo_results
	change shipped 1 step pass
	demo_says 1
	[[ $output == *"as shipped "*"does not show 0/1"*"as shipped: no case fails (forced): log:"* ]]
}

@test "report demo: a fatal case must kill the host, and of what it is said to" {
	for result in panic hang oops no-boot killed pass fail skip lost; do
		demo_results
		change once fatal step $result
		demo_says 1
		[[ $output == *"  fatal "*"does not show 0/1"*"unfixed: $result (in fatal: Fatal exception): log:"* ]]
	done
}

@test "report demo: a host that dies and should not have is 3" {
	for result in panic oops hang killed no-boot dies; do
		demo_results
		change closed 2 step $result
		demo_says 3
		[[ $output == *"unclear 1/2"* ]]
	done
}

@test "report demo: a step that was not run is told of" {
	demo_results
	sed -i '/\tbefore\t2\t/d' "$RESULTS"
	demo_says 1
	[[ $output == *"shows 1/2"*"run 2, before: it did not run"* ]]
}

@test "report: bad input is refused" {
	for args in '' demo 'demo /nonexistent' "mars $BATS_TEST_DIRNAME/report.bats"; do
		# shellcheck disable=SC2086 # words are wanted
		run "$TOP/scripts/lab/report" $args
		[ "$status" -eq 2 ]
	done
	[[ $output == *"no view 'mars'; there are: "*demo* ]]
}
