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

# kernel_arguments [KERNEL|DIR]... - set kernels: those that a person named, or without any the
# lines that the README goes by. A kernel that scripts/tree-host made is a directory's whole path
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

# kernel_dir KERNEL - where such a kernel is
kernel_dir()
{
	case $1 in
	*/*) printf '%s\n' "$1" ;;
	*) printf '%s\n' "$BUILD/kernels/$1" ;;
	esac
}

# build_set KERNEL SET - build it for such a kernel, and print where it is
build_set()
{
	local where=(--kernel "$1")

	case $1 in */*) where=(--kbuild "$1/kbuild" --ksrc "$1/source") ;; esac
	"$TOP/scripts/modules/modules-build" "${where[@]}" --variant "$2"
}
