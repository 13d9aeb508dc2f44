# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# A host with this machine's CPU, Intel or AMD: QEMU with KVM, and nested VMX or SVM. The tests
# act on the kernel of that host, not on this machine's. Sourced by scripts/host-run, which
# explains the variables.

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
	# host-run sets ICOUNT.
	[ -z "$ICOUNT" ] || die "$EX_USAGE" "--icount is of an emulated CPU, and HOST=kvm has this machine's"
	need_nested
	qemu_prepare
}

# kvm_exec KERNEL INITRAMFS ARGUMENTS - become QEMU
kvm_exec()
{
	qemu_exec "$@"
}
