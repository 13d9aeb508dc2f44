# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The AMD host: QEMU's TCG has SVM in software. For scripts/host-run, see there
# for the variables.

# Seconds; 20 times what an idle machine needs.
# shellcheck disable=SC2034 # for host-run
BOOT_TIMEOUT=100
# Timers go by wall clock: on a busy machine the CPU that waits for ten ticks at
# boot may not have had one when it thinks that it should.
#
# norandmaps: QEMU 7.2 keeps what it has translated by address. With addresses that
#	differ in every process it translates all of a program again each time that
#	it starts: 70 ms for /bin/true instead of 23.
HOST_ARGS="no_timer_check norandmaps"
# tsc_early_khz: the TSC is this machine's. A kernel that measures it does so by devices
#	that are emulated, and kept waiting: it finds too little, on a busy machine a
#	tenth, and its clock runs as much too fast. /proc/cpuinfo has the frequency:
#	BogoMIPS are 2 for each MHz where a kernel counts them by the TSC.
#	With --icount an instruction takes 1 ns, and the TSC counts those.
if [ -n "$ICOUNT" ]; then
	HOST_ARGS+=" tsc_early_khz=1000000"
else
	HOST_ARGS+=$(awk -F: '/^bogomips/ && $2 > 0 { printf " tsc_early_khz=%d", $2 * 500; exit }' /proc/cpuinfo)
fi

# More of them: what debian.sh adds.
QEMU_DISKS=()
# shift=0: 2^0 ns for each instruction. sleep=off: no time passes on this machine while the host
# is idle. The rest, which the host would have from this machine, is the same each time: its date,
# by which it starts its clock, and what RDRAND returns, which is where its kernel lies.
QEMU_CLOCK=()
[ -z "$ICOUNT" ] || QEMU_CLOCK=(-icount "shift=0,sleep=off" -rtc "base=2026-01-01,clock=vm" -seed 1)
# Its CPUs take turns. With a thread for each, QEMU 7.2 may go on executing
# an instruction that another CPU has just replaced (it translates before
# it watches the page): a CPU then meets the int3 of a jump label for
# ever, at a rate of one in some hundred VMs.
#
# No PIT: a kernel too old for tsc_early_khz measures the TSC by it, and waits for
# its output in a loop; an emulator that is kept waiting just then makes that
# 75 MHz instead of 2300.
#
# No erms: with it kernels clear and copy memory by bytes, eight times as many
# steps for an emulator as by words.
# shellcheck disable=SC2054 # they are QEMU's commas
QEMU_CPU=(-machine q35,pit=off -accel tcg,thread=single -cpu max,-erms,-fsrm)

qemu_prepare()
{
	need_package qemu-system-x86_64 qemu-system-x86
}

# qemu_exec KERNEL INITRAMFS ARGUMENTS - become the emulator
qemu_exec()
{
	local rest=(-nodefaults -no-user-config -display none -no-reboot)

	# Serial ports in order: ttyS0 and ttyS1.
	exec $DIES_WITH_US qemu-system-x86_64 "${QEMU_CPU[@]}" -smp "$SMP" -m "$MEMORY" "${QEMU_CLOCK[@]}" \
		-kernel "$1" -initrd "$2" -append "$3" "${rest[@]}" "${QEMU_DISKS[@]}" \
		-serial "file:$OUT/console.log" -serial "file:$OUT/output.log"
}
