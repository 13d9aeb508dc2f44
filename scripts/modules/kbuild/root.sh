# shellcheck shell=bash
# shellcheck disable=SC2034 # what these functions set, their caller uses
# SPDX-License-Identifier: GPL-2.0-only
#
# Part of modules-build: where the kernel's build runs. On this machine if it can;
# else in a root of the kernel's own Debian release, made by scripts/build-root.

# How many major versions newer than a kernel's own compiler one may be that builds for it
GCC_NEWER=4

# runs_here - can this machine build what goes with the headers package KBUILD?
runs_here()
{
	local prog cc major

	# Programs of a newer release ask for symbols that our C library lacks.
	for prog in scripts/basic/fixdep scripts/mod/modpost tools/objtool/objtool; do
		grep -q 'not found' < <(ldd "$KBUILD/$prog" 2>&1) && return 1
	done
	cc=$(grep -oE 'gcc-[0-9]+' "$KBUILD/.kernelvariables" | head -n 1)
	if [ -z "$cc" ] || command -v "$cc" >/dev/null; then
		return 0
	fi
	# A newer compiler than the kernel's does, up to a point: 5.10, made by gcc 10, builds with
	# gcc 12 and 14 and not with 16. An older one lacks options of the kernel's.
	major=$(gcc -dumpversion)
	[ "${major%%.*}" -ge "${cc#gcc-}" ] && [ "${major%%.*}" -le $((${cc#gcc-} + GCC_NEWER)) ]
}

# find_root - set ROOT to where the build runs: empty for this machine
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

# try_root - can we enter it at all?
try_root()
{
	local out

	need_package mount mount
	out=$(in_root true 2>&1) ||
		die "$EX_USAGE" "cannot enter $ROOT, where modules for $KVER have to be built: ${out##*$'\n'}" \
			"(be root, or allow user namespaces; a container needs CAP_SYS_ADMIN)"
}

# in_root COMMAND... - run it where the build runs, with nothing of the environment of the
# caller but the path
#
# Its view of the files is its own: nothing stays mounted, whatever ends it.
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
		# In a chroot it takes the way to the true root to say so.
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
