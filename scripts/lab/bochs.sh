# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The Intel host: Bochs implements VMX in software. Sourced by scripts/host-run, which explains
# the variables.

# Seconds; 20 times what an idle machine needs.
# shellcheck disable=SC2034 # for host-run
BOOT_TIMEOUT=150

# Ticks per second of the host's time; the CPUs execute a few instructions for each. A higher
# rate makes a second of waiting more expensive, a lower one makes the CPUs look slow: with this
# rate, two seconds of work pass as one, and an hour asleep as seconds.
TICKS=100000000
# The date that the host starts at with --icount, 2026-01-01; without, it is this machine's.
BOCHS_DATE=1767225600

# tsc_early_khz: the TSC counts ticks, but CPUID reports 3.5 GHz, and timers set by that fire
#	far too early, again and again.
# idle=halt: with MWAIT an idle CPU wakes up all the time.
# shellcheck disable=SC2034 # for host-run
HOST_ARGS="tsc_early_khz=$((TICKS / 1000)) idle=halt"

bochs_prepare()
{
	need_packages isolinux syslinux-common xorriso
	"$TOP/scripts/lab/bochs-build" || exit
}

# bochs_exec KERNEL INITRAMFS ARGUMENTS - become the emulator
bochs_exec()
{
	local cd=$SCRATCH/cd

	# Bochs cannot load a kernel directly, so boot from a disk.
	mkdir -p "$cd" &&
	cp /usr/lib/ISOLINUX/isolinux.bin /usr/lib/syslinux/modules/bios/ldlinux.c32 "$cd" &&
	cp "$1" "$cd/vmlinuz" && mv "$2" "$cd/initrd" || exit "$EX_USAGE"
	cat >"$cd/isolinux.cfg" <<-END
	DEFAULT host
	PROMPT 0
	LABEL host
	KERNEL vmlinuz
	INITRD initrd
	APPEND $3
	END
	xorriso -as mkisofs -quiet -o "$SCRATCH/cd.iso" -b isolinux.bin -c boot.cat \
		-no-emul-boot -boot-load-size 4 -boot-info-table "$cd" || exit "$EX_USAGE"
	rm -rf "$cd"
	# A triple fault or a reset ends the emulator: the host never reboots.
	cat >"$SCRATCH/bochsrc" <<-END
	display_library: nogui
	romimage: file="$BUILD/bochs/BIOS-bochs-latest"
	vgaromimage: file="$BUILD/bochs/VGABIOS-lgpl-latest"
	cpu: model=corei7_skylake_x, count=$SMP, ips=$TICKS, reset_on_triple_fault=0, ignore_bad_msrs=1
	memory: guest=$MEMORY, host=$MEMORY
	clock: sync=none${ICOUNT:+, time0=$BOCHS_DATE}
	ata0-master: type=cdrom, path="$SCRATCH/cd.iso", status=inserted
	boot: cdrom
	com1: enabled=1, mode=file, dev="$OUT/console.log"
	com2: enabled=1, mode=file, dev="$OUT/output.log"
	log: "$OUT/emulator.log"
	panic: action=fatal
	error: action=ignore
	info: action=ignore
	debug: action=ignore
	END
	exec $DIES_WITH_US "$BUILD/bochs/bochs" -q -f "$SCRATCH/bochsrc"
}
