# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# A Debian on a disk, in the AMD host: QEMU as in qemu.sh, but the kernel's own
# initramfs and a root that is written to. For scripts/host-run, which
# scripts/debian-host calls; the variables are host-run's.

# shellcheck source=scripts/lab/qemu.sh
. "$TOP/scripts/lab/qemu.sh"

# udev and a real initramfs come on top of what the small host does.
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
	# A disk is made of sectors.
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
