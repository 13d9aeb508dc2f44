# shellcheck shell=bash
# shellcheck disable=SC2034 # what this sets, its users read
# SPDX-License-Identifier: GPL-2.0-only
#
# Shared by the scripts that the package kvm-racefix runs, below /usr/share, from its
# maintainer scripts and from hooks. The modules are built in STATE and installed by
# scripts/host/install: nothing here, and no other package manager, touches the distro's.

# shellcheck source=scripts/lib.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../../lib.sh"
# shellcheck source=scripts/host/installed.sh
. "$TOP/scripts/host/installed.sh"
set -u -o pipefail
export LC_ALL=C
umask 022
PROG=kvm-racefix

# Seconds that a hook of the package manager waits for another install or uninstall.
HOOK_SECONDS=60
# What is kept: source/VERSION, KVM's source of each kernel, for a build when
# linux-source has gone on to the next version; modules/KVER and work/KVER, what was built;
# built/KVER, what from: "VERSION-OF-PACKAGE VERSION-OF-HEADERS", and there only while
# the modules that are installed for KVER are the package's.
STATE=$PACKAGE_STATE
read -r VERSION <"$TOP/VERSION"
export O=$STATE

# package_version NAME... - the version of the first of these packages that is unpacked
package_version()
{
	local name version

	for name; do
		version=$(dpkg-query -W -f '${Version}' "$name" 2>/dev/null)
		[ -z "$version" ] || { printf '%s\n' "$version"; return; }
	done
	return 1
}
