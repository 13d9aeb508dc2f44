# shellcheck shell=bash
# shellcheck disable=SC2034 # the caller uses the variables that these functions set
# SPDX-License-Identifier: GPL-2.0-only
#
# Part of modules-build: the place where the kernel's build runs. That is this machine if its
# tools will do, else a root of the kernel's own Debian release, made by scripts/build-root.

# A kernel builds with compilers that are up to so many major versions newer than its own.
GCC_NEWER=4

# runs_here - can this machine build with the headers package KBUILD?
runs_here()
{
	local prog cc major

	# Programs of a newer release need symbols that our C library lacks.
	for prog in scripts/basic/fixdep scripts/mod/modpost tools/objtool/objtool; do
		grep -q 'not found' < <(ldd "$KBUILD/$prog" 2>&1) && return 1
	done
	cc=$(grep -oE 'gcc-[0-9]+' "$KBUILD/.kernelvariables" | head -n 1)
	if [ -z "$cc" ] || command -v "$cc" >/dev/null; then
		return 0
	fi
	# A compiler may be somewhat newer than the kernel's: 5.10, made by gcc 10, builds with gcc
	# 12 and 14 and not with 16. An older one lacks options that the kernel's build uses.
	major=$(gcc -dumpversion)
	[ "${major%%.*}" -ge "${cc#gcc-}" ] && [ "${major%%.*}" -le $((${cc#gcc-} + GCC_NEWER)) ]
}

# find_root - set ROOT to the root directory that the build runs in; empty for this machine
find_root()
{
	local dir

	ROOT=
	for dir in "$BUILD"/kernels/*/; do
		[ "$(readlink -f "$dir/kbuild")" = "$KBUILD" ] || continue
		runs_here && return
		"$TOP/scripts/modules/build-root" "$(basename "$dir")" || exit
		ROOT=$(readlink -f "$dir/root")
		try_root
		return
	done
}

# try_root - check that ROOT can be entered
try_root()
{
	local out

	need_package mount mount
	out=$(in_root true 2>&1) ||
		die "$EX_USAGE" "cannot enter $ROOT, where modules for $KVER have to be built: ${out##*$'\n'}" \
			"(be root, or allow user namespaces; a container needs CAP_SYS_ADMIN)"
}

# in_root COMMAND... - run COMMAND in ROOT, or on this machine if there is none, with nothing of
# the caller's environment but PATH and HOME
#
# In ROOT it has a mount namespace of its own, so that nothing stays mounted however it ends.
in_root()
{
	local user=()

	if [ -z "$ROOT" ]; then
		env -i PATH="$PATH" HOME="${HOME:-/}" LC_ALL=C "$@"
		return
	fi
	[ "$(id -u)" -eq 0 ] || user=(--map-root-user)
	# shellcheck disable=SC2016 # that shell expands them
	unshare --mount --propagation unchanged "${user[@]}" sh -e -c '
		# In a chroot / is no mount point: enter the mount namespace, whose / is one.
		mount --make-rprivate / 2>/dev/null ||
			nsenter --mount=/proc/self/ns/mnt mount --make-rprivate /
		root=$1 headers=$2 work=$3
		shift 3
		for dir in "$headers" "$work"; do
			mkdir -p "$root$dir"
			mount --bind "$dir" "$root$dir"
		done
		for dir in /dev /proc; do
			mount --rbind "$dir" "$root$dir"
		done
		exec chroot "$root" /usr/bin/env -i PATH=/usr/bin LC_ALL=C "$@"
	' sh "$ROOT" "${ROOT%/root}/headers" "$BUILD/work" "$@"
}
