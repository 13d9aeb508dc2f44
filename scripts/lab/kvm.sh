# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# A host of this machine's CPU, Intel's or AMD's: QEMU with KVM, and VMX or SVM for its guest.
# What the tests do to that host's kernel, they do not to this machine's. For
# scripts/host-run, see there for the variables.

# shellcheck source=scripts/lab/nested.sh
. "$TOP/scripts/lab/nested.sh"
# shellcheck source=scripts/lab/qemu.sh
. "$TOP/scripts/lab/qemu.sh"

# shellcheck disable=SC2034 # for host-run
HOST_ARGS=''
# shellcheck disable=SC2034 # for qemu_exec
QEMU_CPU=(-machine q35 -accel kvm -cpu host)

kvm_prepare()
{
	# host-run sets it.
	[ -z "$ICOUNT" ] || die "$EX_USAGE" "--icount is of an emulated CPU, and HOST=kvm has this machine's"
	need_nested
	qemu_prepare
}

# kvm_exec KERNEL INITRAMFS ARGUMENTS - become QEMU
kvm_exec()
{
	qemu_exec "$@"
}
