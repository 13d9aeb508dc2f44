# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Shared by install, uninstall and the package: find the modules that modprobe takes for
# a kernel, and change them so that at every instant, also after a power cut, it finds a
# complete set: the distro's or ours, never a mixture.
#
# modprobe goes by modules.dep, which depmod rebuilds and renames into place. While
# files in updates/ change, an override in /run makes depmod choose the distro's
# modules. A power cut removes the override, but modules.dep still names them.

# shellcheck source=scripts/modules/module-set.sh
. "$TOP/scripts/modules/module-set.sh"
# shellcheck source=scripts/host/initramfs.sh
. "$TOP/scripts/host/initramfs.sh"

# place_of KVER - print the directory into which install puts the modules
place_of()
{
	printf '/lib/modules/%s/updates/kvm-racefix\n' "$1"
}

# override_of KVER - print the path of the override, a file in /run that exists during a change
override_of()
{
	printf '/run/depmod.d/kvm-racefix-%s.conf\n' "$1"
}

# taken KVER NAME - print the file that modprobe takes
taken()
{
	modinfo -k "$1" -n "$2" 2>/dev/null
}

# depmod_for KVER - rebuild modules.dep and the other files of depmod; print an error if that fails
depmod_for()
{
	local out

	if ! out=$(depmod "$1" 2>&1 9>&-) || grep -q '^depmod: ERROR' <<<"$out"; then
		say "error: depmod failed for /lib/modules/$1: $(grep . <<<"$out" | tail -n 1) (is the disk full?)"
		return 1
	fi
	sync -f /lib/modules
}

# distro_sums KVER - print checksums of the modules in the kernel's package
distro_sums()
{
	local name

	for name in $(set_names "$1"); do
		distro_module "$1" "$name"
	done | xargs -r sha256sum
}

# all_taken_from KVER DIR - does modprobe take the whole set from DIR?
all_taken_from()
{
	local name names

	names=$(set_names "$1") || return
	for name in $names; do
		case $(taken "$1" "$name") in "$2"/*) ;; *) return 1 ;; esac
	done
}

# prefer_distro KVER - let modprobe take the distro's modules, regardless of updates/
prefer_distro()
{
	local file names release=${1//./[.]}

	file=$(override_of "$1")
	mkdir -p /run/depmod.d || return
	# depmod reads the release as a regular expression.
	release=${release//+/[+]}
	names=$(set_names "$1") || return
	# shellcheck disable=SC2001 # every line
	sed "s|.*|override & ^$release\$ kernel/arch/x86/kvm|" <<<"$names" >"$file" &&
		depmod_for "$1" || return
	all_taken_from "$1" "/lib/modules/$1/kernel" && return
	say "error: modprobe takes $(taken "$1" kvm) for kernel $1, and not the distro's modules though" \
		"$file asks for them; look for another 'override' in /etc/depmod.d"
	return 1
}

# prefer_default KVER - return to the usual order: updates/ before the distro's modules
prefer_default()
{
	rm -f "$(override_of "$1")"
	depmod_for "$1"
}

INSTALL_LOCK=$RUN/install.lock
# The directory of the package's state; scripts/host/package/lib.sh describes it.
# shellcheck disable=SC2034 # for scripts that source this
PACKAGE_STATE=/var/lib/kvm-racefix
# Seconds to wait for another install, which may build an initramfs.
# shellcheck disable=SC2034
INSTALL_SECONDS=600

# lock_modules SECONDS - take the lock of the installed modules, and wait so long if another run
# has it. A caller that has the lock passes it on as descriptor 9.
lock_modules()
{
	make_run || return
	[ ! /proc/self/fd/9 -ef "$INSTALL_LOCK" ] || return 0
	exec 9>>"$INSTALL_LOCK" || return
	flock -n 9 && return
	say "another install, uninstall or package run is at work; waiting for it, $1 s at most"
	flock -w "$1" 9 && return
	exec 9>&-
	say "error: it is still at work; nothing was changed. To see the process that holds $INSTALL_LOCK: fuser -v $INSTALL_LOCK"
	return 1
}

# The hooks that Debian's kernel packages, or kernel-install, run when a kernel is installed,
# changed or removed
HOOKS=(/etc/kernel/postinst.d/aa-kvm-racefix /etc/kernel/postrm.d/aa-kvm-racefix)
OTHER_HOOKS=(/etc/kernel/install.d/10-kvm-racefix.install)
if ! command -v dpkg >/dev/null; then
	HOOKS=()
	! command -v kernel-install >/dev/null || HOOKS=("${OTHER_HOOKS[@]}")
fi

# set_hooks - install the hooks for changes of a kernel. Their name sorts before initramfs-tools and
# dracut, so that they run first
set_hooks()
{
	local file

	[ ${#HOOKS[@]} -gt 0 ] ||
		warn "no hook runs on this system when a kernel is replaced by another build of the same release: make uninstall before that"
	for file in "${HOOKS[@]}"; do
		mkdir -p "${file%/*}" && install "$TOP/scripts/host/kernel-hook" "$file.new" &&
			mv "$file.new" "$file" || return
	done
}

# drop_hooks - remove the hooks, unless a kernel still has modules of ours
drop_hooks()
{
	compgen -G '/lib/modules/*/updates/kvm-racefix' >/dev/null ||
		rm -f "${HOOKS[@]}" "${OTHER_HOOKS[@]}"
}
