# shellcheck shell=bash
# shellcheck disable=SC2034 # what this sets, its users read
# SPDX-License-Identifier: GPL-2.0-only
#
# Shared by the scripts that the package kvm-racefix-dkms runs: in /usr/src, in
# DKMS's copy of that, and from hooks.

# shellcheck source=scripts/lib.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../../lib.sh"
# shellcheck source=scripts/modules/module-set.sh
. "$TOP/scripts/modules/module-set.sh"
# shellcheck source=scripts/host/installed.sh
. "$TOP/scripts/host/installed.sh"
set -u -o pipefail
export LC_ALL=C
umask 022
PROG=kvm-racefix-dkms

# What is kept: the source of KVM of each kernel, for a build when linux-source has
# gone on to the next version; and what the modules of a kernel were built from.
STATE=/var/lib/kvm-racefix
read -r VERSION <"$TOP/VERSION"

# headers_version KVER - the version of the package that the kernel's headers are from
headers_version()
{
	dpkg-query -W -f '${Version}\n' "linux-headers-$1" 2>/dev/null | grep .
}

# dkms_place KVER - where DKMS puts modules on Debian
dkms_place()
{
	printf '/lib/modules/%s/updates/dkms\n' "$1"
}

# dkms_has KVER built|installed - is it, by DKMS's own account?
dkms_has()
{
	grep -qE ": ?$2" < <(dkms status -m kvm-racefix -v "$VERSION" -k "$1" 2>/dev/null)
}

# set_is_whole KVER - is the set that DKMS has installed readable and of one build?
set_is_whole()
{
	local name file version first=''

	for name in $(set_names "$1"); do
		file=$(compgen -G "$(dkms_place "$1")/$name.ko*") || return
		version=$(modinfo -F version "$file" 2>/dev/null)
		first=${first:-$version}
		[[ $version = "kvm-racefix "* ]] && [ "$version" = "$first" ] &&
			[ -n "$(modinfo -F vermagic "$file" 2>/dev/null)" ] || return
	done
}
