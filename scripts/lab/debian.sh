# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# A Debian on a disk, in the AMD host: QEMU as in qemu.sh, but with the distribution's initramfs
# and a root file system that is written to. Sourced by scripts/host-run --host debian, which
# scripts/debian-host calls; host-run explains the variables.

# shellcheck source=scripts/lab/qemu.sh
. "$TOP/scripts/lab/qemu.sh"

# In addition to the small host, udev and a full initramfs run.
# shellcheck disable=SC2034 # for host-run
BOOT_TIMEOUT=400
HOST_ARGS+=" root=/dev/vda rootfstype=ext4 rw init=/lib/host/init"

# The payload is the second disk; a tar archive needs no file system.
# shellcheck disable=SC2154 # payload and disk are host-run's
debian_prepare()
{
	qemu_prepare
	tar -C "$payload" --owner=0 --group=0 -cf "$SCRATCH/payload.tar" . ||
		die "$EX_USAGE" "cannot write $SCRATCH/payload.tar (is the disk full?)"
	# The size of a disk is a multiple of its sectors.
	truncate -s %1M "$SCRATCH/payload.tar"
}

# shellcheck disable=SC2154
# debian_exec KERNEL INITRAMFS ARGUMENTS - become the emulator
debian_exec()
{
	QEMU_DISKS=(-drive "file=$disk,if=virtio,format=raw"
		-drive "file=$SCRATCH/payload.tar,if=virtio,format=raw,readonly=on")
	qemu_exec "$@"
}
