# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Find kernels by the names of command lines and variables. Sourced after lib.sh.

# kernel_name KERNEL - print the name of the kernel's directory in build/kernels: a line, or a
# full version, which may take a look into the archive; see kernel-get
kernel_name()
{
	case " $KERNEL_LINES $MORE_LINES " in
	*" $1 "*) printf '%s\n' "$1" ;;
	*) "$TOP/scripts/modules/kernel-get" --name -- "$1" ;;
	esac
}

# kernel_arguments [KERNEL|DIR]... - set the array kernels to the names of these kernels, without
# arguments to KERNEL_LINES. A kernel that scripts/tree-host made becomes its directory's full path.
kernel_arguments()
{
	local kernel file lines

	read -ra lines <<<"$KERNEL_LINES"
	[ $# -gt 0 ] || set -- "${lines[@]}"
	kernels=()
	for kernel; do
		case $kernel in
		*/*)
			for file in release version vmlinuz modules kbuild source; do
				[ -e "$kernel/$file" ] || die "$EX_USAGE" \
					"$kernel/$file does not exist: name a directory like those that scripts/tree-host makes"
			done
			kernel=$(readlink -f "$kernel")
			;;
		*)	kernel=$(kernel_name "$kernel") || exit "$EX_USAGE" ;;
		esac
		kernels+=("$kernel")
	done
}

# kernel_dir KERNEL - print the directory of an element of kernels
kernel_dir()
{
	case $1 in
	*/*) printf '%s\n' "$1" ;;
	*) printf '%s\n' "$BUILD/kernels/$1" ;;
	esac
}

# build_set KERNEL SET - build the set (modules-build's variant) for an element of kernels, and
# print its directory
build_set()
{
	local where=(--kernel "$1")

	case $1 in */*) where=(--kbuild "$1/kbuild" --ksrc "$1/source") ;; esac
	"$TOP/scripts/modules/modules-build" "${where[@]}" --variant "$2"
}
