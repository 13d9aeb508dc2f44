#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# scripts/lab/collect: the results that it reads from the logs of a host. logs/nested.log is a
# triple on Debian's 6.1.176-1 in Bochs, five cases of it, as an emulated host printed it.

bats_require_minimum_version 1.5.0

setup()
{
	# shellcheck source=scripts/lib.sh
	. "$BATS_TEST_DIRNAME/../../scripts/lib.sh"
	OUT=$BATS_TEST_TMPDIR/out
	LOG=$OUT/k-bochs/output.log
	row k-bochs 1 stock default 1 before fail:rvi_pending
	row k-bochs 2 patched every 1 closed pass
	row k-bochs 3 stock default 1 after fail
	cp "$BATS_TEST_DIRNAME/logs/nested.log" "$LOG"
	ends k-bochs clean
}

# row BOOT ROW SET CASES RUN STAGE EXPECT - add a row to that boot
row()
{
	local IFS=$'\t' boot=$1 nr=$2 set=$3

	shift 3
	mkdir -p "$OUT/$boot"
	printf '%s\n' "$nr	$boot	6.1.176-1	bochs	$set	nested-vmcs12-pages	$*	180	-" >>"$OUT/$boot/rows"
	echo 6.1.0-50-amd64 >"$OUT/$boot/release"
}

# ends BOOT END [REASON] - write host-run's result of that boot
ends()
{
	printf 'end=%s\nreason=%s\nseconds=27.1\n' "$2" "${3-}" >"$OUT/$1/result"
}

# line REGEX N - print the number of the Nth line of the log that matches
line()
{
	grep -n "$1" "$LOG" | sed -n "$2s/:.*//p"
}

# results COLUMN,... [CASE] - print the columns of collect's results, of all cases or one
results()
{
	"$TOP/scripts/lab/collect" "$OUT" | awk -F '\t' -v name="${2-}" 'name == "" || $8 == name' | cut -f "$1"
}

@test "collect: a row for each case and for each step, with the expected result" {
	printf '1\t22\n2\t20\n' >"$OUT/k-bochs/wall"
	diff - <(results 2-10) <<-'END'
	6.1.0-50-amd64	bochs	stock	nested-vmcs12-pages	before	1	rvi_pending	fail	fail
	6.1.0-50-amd64	bochs	stock	nested-vmcs12-pages	before	1	notification_pending	any	pass
	6.1.0-50-amd64	bochs	stock	nested-vmcs12-pages	before	1	stress	any	unnamed
	6.1.0-50-amd64	bochs	stock	nested-vmcs12-pages	before	1	snapshot_revert	any	unnamed
	6.1.0-50-amd64	bochs	stock	nested-vmcs12-pages	before	1	unbacked_vapic	any	unnamed
	6.1.0-50-amd64	bochs	stock	nested-vmcs12-pages	before	1	*	fail	fail
	6.1.0-50-amd64	bochs	patched	nested-vmcs12-pages	closed	1	rvi_pending	pass	pass
	6.1.0-50-amd64	bochs	patched	nested-vmcs12-pages	closed	1	notification_pending	pass	pass
	6.1.0-50-amd64	bochs	patched	nested-vmcs12-pages	closed	1	snapshot_revert	pass	pass
	6.1.0-50-amd64	bochs	patched	nested-vmcs12-pages	closed	1	unbacked_vapic	pass	pass
	6.1.0-50-amd64	bochs	patched	nested-vmcs12-pages	closed	1	*	pass	pass
	6.1.0-50-amd64	bochs	stock	nested-vmcs12-pages	after	1	rvi_pending	any	fail
	6.1.0-50-amd64	bochs	stock	nested-vmcs12-pages	after	1	notification_pending	any	pass
	6.1.0-50-amd64	bochs	stock	nested-vmcs12-pages	after	1	stress	any	unnamed
	6.1.0-50-amd64	bochs	stock	nested-vmcs12-pages	after	1	snapshot_revert	any	unnamed
	6.1.0-50-amd64	bochs	stock	nested-vmcs12-pages	after	1	unbacked_vapic	any	unnamed
	6.1.0-50-amd64	bochs	stock	nested-vmcs12-pages	after	1	*	fail	fail
	END
	# Where it is, the reason, and its time.
	diff - <(results 6,11-14 '*') <<-END
	before	4.5	22	rvi_pending	$LOG:$(line 'RUN .*rvi_pending' 1)
	closed	0	20		$LOG:$(line '@lab@ begin 2' 1)
	after	0		rvi_pending	$LOG:$(line 'RUN .*rvi_pending' 3)
	END
}

@test "collect: a case that skips is named by its line RUN, and its reason kept" {
	sed -i '/^# not named: unbacked_vapic/d; s/SKIP on an unfixed kernel: KVM_RUN/SKIP no KVM_RUN/' "$LOG"
	diff - <(results 6,10,13 unbacked_vapic | cut -d ' ' -f 1-3) <<-'END'
	before	skip	no KVM_RUN reads
	closed	pass	
	after	skip	no KVM_RUN reads
	END
	# Newer harnesses print its name.
	sed -i 's/^ok 18 # SKIP/ok 18 global.unbacked_vapic # SKIP/' "$LOG"
	[ "$(results 6,10 unbacked_vapic | head -n 1)" = "before	skip" ]
}

@test "collect: a test that ends with 1 without a failing case has not shown the race" {
	sed -i 's/^not ok 1 /ok 1 /' "$LOG"
	[ "$(results 10,13 '*' | sed -n 1p)" = "error	exit status 1" ]
	# Bad usage, killed by a signal, and 0 without a case that passed.
	for status in 2 139 0; do
		cp "$BATS_TEST_DIRNAME/logs/nested.log" "$LOG"
		sed -i "/^@lab@ begin 1/,/^@lab@ end 1/{/^@lab@/!d}; s/^@lab@ end 1 1/@lab@ end 1 $status/" "$LOG"
		[ "$(results 10,13 '*' | sed -n 1p)" = "error	exit status $status" ]
		# The case that must fail is reported, although there is no trace of it.
		[ "$(results 8,9,10 rvi_pending | sed -n 1p)" = "rvi_pending	fail	lost" ]
	done
}

@test "collect: a case that the harness ends, or that dies of a signal, has not failed" {
	sed -i 's/^# rvi_pending: Test failed at step #2/# rvi_pending: Test terminated by timeout/' "$LOG"
	[ "$(results 10 rvi_pending | sed -n 1p)" = timeout ]
	[ "$(results 10 '*' | sed -n 1p)" = timeout ]
	sed -i 's/terminated by timeout/terminated unexpectedly by signal 11/' "$LOG"
	[ "$(results 10 rvi_pending | sed -n 1p)" = crash ]
	[ "$(results 10 '*' | sed -n 1p)" = crash ]
}

@test "collect: a test that is ended leaves its case unfinished" {
	sed -i '/^# *RUN .*notification_pending/,/^@lab@ end/{/^@lab@ end/!{/RUN /!d}}; s/^@lab@ end \([12]\) .*/@lab@ end \1 124 1800/' "$LOG"
	[ "$(results 6,10 notification_pending | sed -n 1p)" = "before	unfinished" ]
	[ "$(results 10,11 '*' | sed -n 1p)" = "unfinished	180" ]
	[ "$(results 10 '*' | sed -n 2p)" = unfinished ]
}

@test "collect: all cases skipped, or modules that do not load, are neither pass nor fail" {
	sed -i 's/^@lab@ end 1 .*/@lab@ end 1 4 0/; s/^@lab@ end 2 .*/@lab@ end 2 setup 0/; s/^@lab@ end 3 .*/@lab@ end 3 0 0/
		s/^\(not \)\{0,1\}ok 1 global.*/ok 1 # SKIP why/; s/^ok 6 global.*/ok 6 # SKIP why not/' "$LOG"
	[ "$(results 10,13 '*' | paste -sd ' ')" = "skip	why setup	 skip	why" ]
}

# a_dead_boot - make a boot that a fatal case has ended, with its console
a_dead_boot()
{
	row k-bochs-snapshot_revert 61 stock snapshot_revert snapshot_revert once dies
	ends k-bochs-snapshot_revert panic "Fatal exception"
	cat >"$OUT/k-bochs-snapshot_revert/output.log" <<-'END'
	@lab@ begin 61
	TAP version 13
	1..1
	#  RUN           global.snapshot_revert ...
	END
	cat >"$OUT/k-bochs-snapshot_revert/console.log" <<-'END'
	[    8.606968] host: init reached
	[   19.529427] BUG: kernel NULL pointer dereference, address: 00000000000000a0
	[   19.552054] Oops: 0000 [#1] PREEMPT SMP NOPTI
	[   19.572140] RIP: 0010:vmx_guest_apic_has_interrupt+0x61/0x130 [kvm_intel]
	[   19.876235] Kernel panic - not syncing: Fatal exception
	END
}

@test "collect: a fatal case kills the host in the way that its race names" {
	a_dead_boot
	at=$OUT/k-bochs-snapshot_revert/console.log:4
	diff - <(results 7-10,12-14 | grep ^snapshot) <<-END
	snapshot_revert	snapshot_revert	dies	dies			$at
	snapshot_revert	*	dies	dies	27.1	in snapshot_revert: Fatal exception	$at
	END
	sed -i 's/vmx_guest_apic_has_interrupt/elsewhere/' "$OUT"/k-bochs-snapshot_revert/console.log
	[ "$(results 7,10 '*' | tail -n 1)" = "snapshot_revert	panic" ]
	ends k-bochs-snapshot_revert hang "did not end"
	[ "$(results 7,10 '*' | tail -n 1)" = "snapshot_revert	hang" ]
}

@test "collect: after a dead host the remaining steps are lost, unless they had another boot" {
	ends k-bochs panic "Fatal exception"
	sed -i '/^@lab@ end 2/,$d' "$LOG"
	echo 'RIP: here' >"$OUT/k-bochs/console.log"
	[ "$(results 6,10 '*' | paste -sd ' ')" = "before	fail closed	panic after	lost" ]
	row k-bochs@2 3 stock default 1 after fail
	ends k-bochs@2 clean
	sed -n '/^@lab@ begin 3/,$p' "$BATS_TEST_DIRNAME/logs/nested.log" >"$OUT/k-bochs@2/output.log"
	[ "$(results 6,10 '*' | paste -sd ' ')" = "before	fail closed	panic after	fail" ]
	# The host ended properly, and the steps did not.
	ends k-bochs clean
	rm -r "$OUT/k-bochs@2"
	[ "$(results 6,10 '*' | paste -sd ' ')" = "before	fail closed	lost after	lost" ]
	# The host was not booted.
	rm "$LOG"
	ends k-bochs no-boot why
	[ "$(results 6,10,13 '*' | paste -sd ' ')" = "before	no-boot	why closed	lost	it did not run after	lost	it did not run" ]
	[ "$(results 6,9,10 rvi_pending)" = "before	fail	lost" ]
}

@test "collect: a host that still runs has the results of the steps that have ended" {
	rm "$OUT/k-bochs/result"
	sed -i '/^ok 6 /,$d' "$LOG"
	[ "$(results 6,8,10)" = "before	rvi_pending	fail" ]
	cp "$BATS_TEST_DIRNAME/logs/nested.log" "$LOG"
	sed -i '/^@lab@ end 2/,$d' "$LOG"
	printf '@lab@ end 2 0' >>"$LOG"
	[ "$(results 6 '*')" = before ]
}

@test "collect: a line that a test left without its end does not hide the next ones" {
	sed -i 's/^@lab@ end 1 .*/half a line\n&/' "$LOG"
	[ "$(results 10 '*' | sed -n 1p)" = fail ]
}

@test "collect: the time of a case is from its line to the next case's, or to the end" {
	sed -i "/RUN .*global.rvi_pending/a # at 10.25 s
		/RUN .*global.notification_pending/a # at 11.75 s
		/RUN .*global.unbacked_vapic/a # at 14.00 s
		s/^@lab@ end 1 .*/# at 114.02 s\n&/" "$LOG"
	# The host died, an older test ran, or a case has no such line.
	diff - <(results 6,8,11 | sed -n 1,10p) <<-'END'
	before	rvi_pending	1.50
	before	notification_pending	
	before	stress	
	before	snapshot_revert	
	before	unbacked_vapic	100.02
	before	*	4.5
	closed	rvi_pending	1.50
	closed	notification_pending	
	closed	snapshot_revert	
	closed	unbacked_vapic	
	END
}

@test "collect: the output of stress is kept" {
	sed -i 's/^ok 16 # SKIP.*/# stress: 5 of 33653 tries in 180.0 s showed it\nnot ok 16 global.stress/' "$LOG"
	[ "$(results 10,13 stress | head -n 1)" = "fail	shown=5 tries=33653 seconds=180.0" ]
}

@test "collect: bad input is refused" {
	for args in '' /nonexistent "$BATS_TEST_TMPDIR"; do
		# shellcheck disable=SC2086 # the splitting is intended
		run -2 "$TOP/scripts/lab/collect" $args
	done
}
