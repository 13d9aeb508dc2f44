#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# host-run and its parts: emulated hosts that end well and badly, in both emulators, and the
# scanner of kernel logs.

bats_require_minimum_version 1.5.0

setup_file()
{
	# shellcheck source=scripts/lib.sh
	. "$BATS_TEST_DIRNAME/../../scripts/lib.sh"
	"$TOP/scripts/modules/kernel-get" 6.1
	"$TOP/scripts/lab/bochs-build"
}

setup()
{
	# shellcheck source=scripts/lib.sh
	. "$BATS_TEST_DIRNAME/../../scripts/lib.sh"
	PATH=$TOP/scripts/lab:$PATH
	P=$BATS_TEST_TMPDIR/payload
	OUT=$BATS_TEST_TMPDIR/out
	LOG=$BATS_TEST_TMPDIR/log
	mkdir "$P"
}

# boot HOST LINE SCRIPT [OPTION]... - run SCRIPT in an emulated host
boot()
{
	printf '%s\n' "$3" >"$P/run"
	run host-run --host "$1" --kernel "$2" --payload "$P" --out "$OUT" "${@:4}"
}

# result KEY - print the value from host-run's result
result()
{
	sed -n "s/^$1=//p" "$OUT/result"
}

# child_named NAME PID - print the pid of a child of PID that runs NAME
child_named()
{
	local child

	for child in $(cat "/proc/$2/task/$2/children"); do
		if [[ $(readlink "/proc/$child/exe") == */$1* ]]; then
			echo "$child"
		fi
	done
}

# boot_and_signal SIGNAL - send SIGNAL to a host-run whose host is up; set $code to its status
boot_and_signal()
{
	echo 'sleep 1000' >"$P/run"
	# Without job control a background process would ignore SIGINT.
	env --default-signal=INT "$TOP/scripts/lab/host-run" --host qemu --kernel 6.1 \
		--payload "$P" --out "$OUT" 2>"$LOG" 3>&- &
	pid=$!
	for _ in $(seq 300); do
		grep -q 'init after' "$LOG" && break
		sleep 0.2
	done
	emulator=$(child_named qemu-system "$pid")
	[ -n "$emulator" ]
	kill -"$1" "$pid"
	code=0
	wait "$pid" || code=$?
}

# is_gone PID - does it end within some seconds? A killed process has memory to free first
is_gone()
{
	local i

	for ((i = 0; i < 50; i++)); do
		kill -0 "$1" 2>/dev/null || return 0
		sleep 0.2
	done
	return 1
}

@test "log-scan: panics, oopses and warnings are found, advice is not" {
	cat >"$LOG" <<-'END'
	[    0.000001] Spectre V2 : WARNING: Unprivileged eBPF is enabled with eIBRS on
	[    1.000000] WARNING: CPU: 1 PID: 77 at arch/x86/kvm/x86.c:10000 vcpu_enter_guest+0x1/0x2 [kvm]
	[    2.000000][   T12] WARNING: arch/x86/kvm/x86.c:10000 at vcpu_enter_guest+0x1/0x2, CPU#0: a/1
	[    3.000000] INFO: task kworker/0:1:9 blocked for more than 120 seconds.
	[    4.000000] BUG: kernel NULL pointer dereference, address: 0000000000000008
	[    4.000001] Oops: 0002 [#1] PREEMPT SMP NOPTI
	[    5.000000] general protection fault, probably for non-canonical address 0x1: 0000 [#2] SMP
	[    6.000000] watchdog: BUG: soft lockup - CPU#1 stuck for 26s! [a:1]
	[    7.000000] Kernel panic - not syncing: Fatal exception
	END
	run -1 log-scan "$LOG"
	[ "$(cut -f 1,2 <<<"$output" | tr '\t\n' ': ')" = \
		"panic:9 oops:6 oops:7 warning:2 warning:3 warning:4 warning:8 " ]
}

@test "log-scan: the reports of debug kernels" {
	cat >"$LOG" <<-'END'
	[    1.000000] BUG: KASAN: use-after-free in here+0x1/0x2 [kvm]
	[    2.000000] BUG: KCSAN: data-race in here [kvm] / there [kvm]
	[    3.000000] WARNING: possible circular locking dependency detected
	[    4.000000] INFO: trying to register non-static key.
	[    5.000000] BUG: MAX_LOCKDEP_CHAINS too low!
	[    6.000000] BUG: sleeping function called from invalid context at mm/slab.h:1
	[    7.000000] BUG: spinlock bad magic on CPU#0, a/1
	[    8.000000] BUG kmalloc-64 (Not tainted): Redzone overwritten
	END
	run -1 log-scan "$LOG"
	[ "$(cut -f 2 <<<"$output" | tr "\n" " ")" = "1 2 3 4 5 6 7 8 " ]
}

@test "log-scan: nothing found, and an exception" {
	echo '[    1.000000] WARNING: CPU: 0 PID: 1 at here' >"$LOG"
	{ cat "$TOP/selftests/lib/log-deny"; printf 'allow\tat here$\twhy\tuntil\n'; } >"$OUT"
	run -0 log-scan --deny "$OUT" "$LOG"
	[ -z "$output" ]
	run -1 log-scan "$LOG"
	run -2 log-scan "$LOG.missing"
	[[ $output == *"$LOG.missing"* ]]
}

@test "log-deny: each exception has a reason and a condition for its removal" {
	run awk -F'\t' '/^allow\t/ && (NF != 4 || !$3 || !$4)' "$TOP/selftests/lib/log-deny"
	[ -z "$output" ]
}

@test "host-run: wrong arguments are named" {
	boot vmware 6.1 true
	[ "$status" -eq 2 ]
	[[ $output == *"qemu, bochs or kvm"*vmware* ]]
	boot qemu 4.99 true
	[ "$status" -eq 2 ]
	[[ $output == *"scripts/kernel-get 4.99"* ]]
	boot qemu 6.1 true --timeout soon
	[ "$status" -eq 2 ]
	[[ $output == *soon* ]]
	boot qemu 6.1 true --smp 0
	[ "$status" -eq 2 ]
	rm "$P/run"
	run -2 host-run --host qemu --kernel 6.1 --payload "$P" --out "$OUT"
	[[ $output == *"$P/run"* ]]
	[ ! -e "$OUT" ]
	run -2 host-run --payload "$P"
	[[ $output == *usage:* ]]
}

@test "host-run: a file that is no kernel image is refused" {
	mkdir -p "$BATS_TEST_TMPDIR/kernel"
	head -c 100000 /dev/zero >"$BATS_TEST_TMPDIR/kernel/vmlinuz"
	echo 1.2.3 >"$BATS_TEST_TMPDIR/kernel/release"
	ln -s "$BUILD/kernels/6.1/modules" "$BATS_TEST_TMPDIR/kernel/modules"
	boot qemu "$BATS_TEST_TMPDIR/kernel" true
	[ "$status" -eq 2 ]
	[[ $output == *"kernel/vmlinuz is not an x86 bzImage"* ]]
	run ls "$BUILD"/host/kernel-1.2.3-*
	[ "$status" -ne 0 ]
}

@test "qemu, 6.1: kvm_amd with nested paging, loaded and unloaded twice" {
	boot qemu 6.1 '. /lib/host.sh
		for i in 1 2; do
			kvm_load stock kvm_amd nested=$((i - 1)) kvm_intel nested=0 || exit 1
			cat /sys/module/kvm_amd/parameters/nested /sys/module/kvm_amd/parameters/npt
			ls /dev/kvm
			kvm_load stock && exit 1
			kvm_unload || exit 1
		done
		kvm_load none && exit 1
		nproc'
	[ "$status" -eq 0 ]
	[ "$(grep -v host.sh: "$OUT/output.log" | tr '\n' ' ')" = "0 Y /dev/kvm 1 Y /dev/kvm 2 " ]
	grep -q "no modules 'none'" "$OUT/output.log"
	[ "$(result end) $(result exit) $(result warnings) $(result oopses)" = "clean 0 0 0" ]
	grep -q 'Linux version 6\.1' "$OUT/dmesg.log"
}

@test "bochs and qemu at once: kvm_intel with APICv; init in time" {
	mkdir "$P.qemu"
	echo 'uname -r' >"$P.qemu/run"
	host-run --host qemu --kernel 6.1 --payload "$P.qemu" --out "$OUT.qemu" 3>&- &
	pid=$!
	boot bochs 6.1 '. /lib/host.sh
		kvm_load stock || exit 1
		cd /sys/module/kvm_intel/parameters
		cat enable_apicv nested ept
		echo -n no newline'
	[ "$status" -eq 0 ]
	[ "$(tr '\n' ' ' <"$OUT/output.log")" = "Y Y Y no newline " ]
	wait "$pid"
	[ "$(cat "$OUT.qemu/output.log")" = "$(cat "$BUILD/kernels/6.1/release")" ]
	[ "$(result boot_seconds | cut -d . -f 1)" -lt 60 ]
	[ "$(sed -n 's/^boot_seconds=\([0-9]*\).*/\1/p' "$OUT.qemu/result")" -lt 10 ]
	[ "$(result warnings) $(result oopses)" = "0 0" ]
}

@test "qemu: the payload's status, and a warning and an oops in the log" {
	boot qemu 6.1 'echo "<4>WARNING: CPU: 0 PID: 1 at x.c:1" >/dev/kmsg
		echo "<1>Oops: 0002 [#1] SMP" >/dev/kmsg
		exit 7'
	[ "$status" -eq 1 ]
	[ "$(result end) $(result exit) $(result warnings) $(result oopses)" = "clean 7 1 1" ]
}

@test "qemu: a panic" {
	boot qemu 6.1 'echo before; echo c >/proc/sysrq-trigger; sleep 1000'
	[ "$status" -eq 3 ]
	[ "$(result end)" = panic ]
	[[ $output == *"sysrq triggered crash"* ]]
	[ "$(cat "$OUT/output.log")" = before ]
	grep -q 'Kernel panic' "$OUT/dmesg.log"
}

@test "bochs: a panic" {
	boot bochs 6.1 'echo before; echo c >/proc/sysrq-trigger; sleep 1000'
	[ "$status" -eq 3 ]
	[ "$(result end)" = panic ]
	[ "$(cat "$OUT/output.log")" = before ]
}

@test "bochs: a payload that sleeps for ever costs no time, and is named" {
	boot bochs 6.1 'echo before; sleep 100000' --timeout 1800
	[ "$status" -eq 3 ]
	[ "$(result end)" = hang ]
	[ "$(cat "$OUT/output.log")" = before ]
	[[ $output == *"sleep 100000"* ]]
	[ "$(result seconds | cut -d . -f 1)" -lt 150 ]
}

@test "qemu: a payload that loops is a hang, after an oops an oops" {
	boot qemu 6.1 'echo "<1>Oops: 0002 [#1] SMP" >/dev/kmsg; while :; do :; done' --timeout 3
	[ "$status" -eq 3 ]
	[ "$(result end) $(result oopses)" = "oops 1" ]
	grep -q 'host: task .*sh ./run' "$OUT/dmesg.log"
}

@test "qemu: one CPU is a failure of the set-up, unless asked for" {
	boot qemu 6.1 true --append nr_cpus=1
	[ "$status" -eq 3 ]
	[ "$(result end)" = no-boot ]
	[[ $output == *"1 CPU(s) and 2 are needed"* ]]
	boot qemu 6.1 true --smp 1
	[ "$status" -eq 0 ]
}

@test "qemu: a host whose clock counts instructions has one CPU, and no time to wait" {
	boot qemu 6.1 'nproc; awk "/^MemTotal/ { print \$2 }" /proc/meminfo; sleep 1000; cat /proc/uptime' \
		--icount --memory 768 --timeout 2000
	[ "$status" -eq 0 ]
	[ "$(sed -n 1p "$OUT/output.log")" -eq 1 ]
	[ "$(sed -n 2p "$OUT/output.log")" -gt 600000 ]
	[ "$(sed -n 2p "$OUT/output.log")" -lt $((768 * 1024)) ]
	[ "$(sed -n '3s/\..*//p' "$OUT/output.log")" -ge 1000 ]
	[ "$(result seconds | cut -d . -f 1)" -lt 500 ]
}

@test "qemu: a kernel that panics while it boots, and one that stands still" {
	boot qemu 6.1 true --append mem=16M
	[ "$status" -eq 3 ]
	[ "$(result end)" = no-boot ]
	[[ $output == *"no-boot: kernel panic"*"console.log"* ]]
	boot qemu 6.1 true --append 'rdinit=/bin/sh' --boot-timeout 8
	[ "$status" -eq 3 ]
	[ "$(result end)" = no-boot ]
	[[ $output == *"init was not reached in 8 s"* ]]
}

@test "qemu: a reset ends the host" {
	boot qemu 6.1 'reboot -f; sleep 1000'
	[ "$status" -eq 3 ]
	[ "$(result end)" = killed ]
}

@test "host-run: SIGINT leaves no emulator and no scratch, and a report" {
	boot_and_signal INT
	[ "$code" -eq 130 ]
	[ "$(result end)" = killed ]
	is_gone "$emulator"
	[ ! -e "$BUILD/host/run.$pid" ]
}

@test "host-run: not even kill -9 leaves an emulator; the next run cleans up" {
	boot_and_signal KILL
	is_gone "$emulator"
	[ -e "$BUILD/host/run.$pid" ]
	boot qemu 6.1 true
	[ "$status" -eq 0 ]
	[ ! -e "$BUILD/host/run.$pid" ]
}
