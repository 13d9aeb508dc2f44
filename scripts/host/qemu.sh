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
HOST_ARGS="no_timer_check"

# More of them: what debian.sh adds.
QEMU_DISKS=()

qemu_prepare()
{
	need_package qemu-system-x86_64 qemu-system-x86
}

# qemu_exec KERNEL INITRAMFS ARGUMENTS - become the emulator
qemu_exec()
{
	local rest=(-nodefaults -no-user-config -display none -no-reboot)

	# Its CPUs take turns. With a thread for each, QEMU 7.2 may go on executing
	# an instruction that another CPU has just replaced (it translates before
	# it watches the page): a CPU then meets the int3 of a jump label for
	# ever, at a rate of one in some hundred VMs.
	#
	# No PIT: a kernel measures the TSC by it, and waits for its output in a loop; an
	# emulator that is kept waiting just then makes that 75 MHz instead of 2300, and
	# the host's clock runs 30 times too fast. By the HPET it is some 20% at worst.
	#
	# Serial ports in order: ttyS0 and ttyS1.
	exec $DIES_WITH_US qemu-system-x86_64 -machine q35,pit=off \
		-accel tcg,thread=single -cpu max -smp "$SMP" -m "$MEMORY" \
		-kernel "$1" -initrd "$2" -append "$3" "${rest[@]}" "${QEMU_DISKS[@]}" \
		-serial "file:$OUT/console.log" -serial "file:$OUT/output.log"
}
