# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Kernels by the names that people give them. Sourced after lib.sh.

# kernel_name KERNEL - the directory in build/kernels of a kernel that a person names: the
# line, or the whole version, for which the archive may have to be asked; see kernel-get
kernel_name()
{
	case " $KERNEL_LINES $MORE_LINES " in
	*" $1 "*) printf '%s\n' "$1" ;;
	*) "$TOP/scripts/modules/kernel-get" --name -- "$1" ;;
	esac
}
