# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The AMD host: QEMU's TCG implements SVM in software. Sourced by scripts/host-run, which
# explains the variables.

# Seconds; 20 times what an idle machine needs.
# shellcheck disable=SC2034 # for host-run
BOOT_TIMEOUT=100
# no_timer_check: timers run by wall clock, and on a busy machine the CPU that waits for ten
#	ticks at boot may not have been scheduled when it expects them.
# norandmaps: QEMU 7.2 caches translated code by address. With addresses that differ in every
#	process it translates all of a program again each time that the program starts: 70 ms
#	for /bin/true instead of 23.
HOST_ARGS="no_timer_check norandmaps"
# tsc_early_khz: the TSC is this machine's. A kernel calibrates it against emulated devices, which
#	respond late: it finds too low a frequency, on a busy machine a tenth, and its clock
#	runs too fast by the same factor. /proc/cpuinfo has the frequency: BogoMIPS are 2 for
#	each MHz where the kernel takes them from the TSC.
#	With --icount an instruction takes 1 ns, and the TSC counts these.
if [ -n "$ICOUNT" ]; then
	HOST_ARGS+=" tsc_early_khz=1000000"
else
	HOST_ARGS+=$(awk -F: '/^bogomips/ && $2 > 0 { printf " tsc_early_khz=%d", $2 * 500; exit }' /proc/cpuinfo)
fi

# Further disks; debian.sh adds them.
QEMU_DISKS=()
# shift=0: 2^0 ns for each instruction. sleep=off: no time passes on this machine while the host
# is idle. The other options fix values that the host would take from this machine: the date,
# from which it sets its clock, and the random numbers of RDRAND, which determine the kernel's
# address.
QEMU_CLOCK=()
[ -z "$ICOUNT" ] || QEMU_CLOCK=(-icount "shift=0,sleep=off" -rtc "base=2026-01-01,clock=vm" -seed 1)
# The CPUs take turns in one thread. With a thread for each, QEMU 7.2 may go on executing an
# instruction that another CPU has just replaced, because it translates before it watches the
# page: a CPU then hits the int3 of a jump label forever, once in some hundred VMs.
#
# No PIT: a kernel too old for tsc_early_khz calibrates the TSC with it, and polls its output in
# a loop; if the emulator is not scheduled then, the result is 75 MHz instead of 2300.
#
# No erms: with it kernels clear and copy memory by bytes, which takes an emulator eight times
# as many steps as by words.
# shellcheck disable=SC2054 # the commas are QEMU's
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
