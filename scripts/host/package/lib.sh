# shellcheck shell=bash
# shellcheck disable=SC2034 # scripts that source this use the variables
# SPDX-License-Identifier: GPL-2.0-only
#
# Shared by the scripts that the package kvm-racefix runs, in /usr/share, from its
# maintainer scripts and from hooks. They build modules in STATE and install them with
# scripts/host/install, and never touch the distro's modules.

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
# The package's state: source/VERSION, KVM's source for each kernel, for builds after
# linux-source has gone on to the next version; modules/KVER and work/KVER, as in build/;
# built/KVER, "VERSION-OF-PACKAGE VERSION-OF-HEADERS" of the build, which exists only while
# the modules that are installed for KVER are the package's.
STATE=$PACKAGE_STATE
read -r VERSION <"$TOP/VERSION"
export O=$STATE

# package_version NAME... - print the version of the first of these packages that is unpacked
package_version()
{
	local name version

	for name; do
		version=$(dpkg-query -W -f '${Version}' "$name" 2>/dev/null)
		[ -z "$version" ] || { printf '%s\n' "$version"; return; }
	done
	return 1
}
