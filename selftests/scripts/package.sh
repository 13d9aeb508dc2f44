# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Shared by chroot-package.bats and host-package.bats. Sourced after lib.sh.

# package_setup DIR DEBS - fill DIR/setup for debian-image: scripts/lab/guest/package/setup,
# old.deb, which is this package, with its source in DEBS, and new.deb, the next version
package_setup()
{
	local dir=$1 debs=$2 version

	mkdir -p "$dir/setup"
	"$TOP/scripts/host/deb" --out "$debs"
	cp "$debs"/kvm-racefix_*_all.deb "$dir/setup/old.deb"
	# Take the last commit.
	git clone -q "$TOP" "$dir/next"
	version=$(<"$TOP/VERSION")+next
	echo "$version" >"$dir/next/VERSION"
	sed -i "1s/(.*)/($version)/" "$dir/next/debian/changelog"
	cp "$("$dir/next/scripts/host/deb" --out "$dir/debs")" "$dir/setup/new.deb"
	cp "$TOP/scripts/lab/guest/package/setup" "$dir/setup/run"
	cp "$TOP/scripts/lab/guest/package/snapshot" "$dir/setup/"
}
