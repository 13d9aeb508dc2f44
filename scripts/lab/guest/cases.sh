# shellcheck shell=bash
# shellcheck disable=SC2034 # for scripts that source this
# SPDX-License-Identifier: GPL-2.0-only
#
# Shared by the cases of load and demo, in the emulated host of scripts/debian-host. /payload has
# racefix/ with scripts/ and the files that these need, and modules/ with the set to load and
# tinyvm.

# shellcheck source=scripts/lab/guest/verdict.sh
. ./verdict.sh

RACEFIX=/payload/racefix
LOAD=$RACEFIX/scripts/host/load
UNLOAD=$RACEFIX/scripts/host/unload
SET=/payload/modules
VENDOR=kvm_amd
failed=''

# ours, distros - are our modules, or the distro's, in use?
ours()
{
	grep -qs '^kvm-racefix ' /sys/module/kvm/version /sys/module/$VENDOR/version
}

distros()
{
	[ -e /sys/module/kvm ] && [ -e /sys/module/$VENDOR ] && ! ours
}

# a_case NAME FUNCTION - run it and check the state that it leaves behind
a_case()
{
	local begin=$SECONDS

	problems=''
	: >$LOG
	reset_host
	"$2"
	distros || fail "the distro's modules are not in use after it"
	$SET/tinyvm >>$LOG 2>&1 || fail "no VM runs after it"
	[ ! -e /run/kvm-racefix/swapping ] || fail "a change of modules is left half-way"
	judged "$1" $begin || failed=1
}

# reset_host - put the distro's modules into use, as at boot
reset_host()
{
	[ -e /sys/module/kvm ] && distros && [ ! -e /run/kvm-racefix/before ] && return
	rm -rf /run/kvm-racefix /etc/modprobe.d/case.conf
	rmmod $VENDOR kvm 2>/dev/null
	modprobe $VENDOR
}

# break_crc MODULE SYMBOL - change the CRC that the copy's module has for SYMBOL
break_crc()
{
	local file=/tmp/set/$1.ko at

	# Make the copy look as if it had been built so.
	rm -f /tmp/set/.sums
	objcopy -O binary -j __versions "$file" /tmp/versions || fail "no __versions in $file"
	# An entry has 64 bytes: the CRC, 8 bytes, and the name.
	at=$(grep -aboP "$2\x00" /tmp/versions | awk -F : '$1 % 64 == 8 { print $1 }')
	[ -n "$at" ] || fail "$file does not use $2"
	printf '\xde\xad' | dd of=/tmp/versions bs=1 seek=$((at - 8)) conv=notrunc status=none
	objcopy --update-section __versions=/tmp/versions "$file" || fail "cannot change $file"
}

# wait_for COMMAND... - wait until it succeeds, at most a minute
wait_for()
{
	local i

	for ((i = 0; i < 300; i++)); do
		"$@" && return
		sleep 0.2
	done
	fail "has not come: $*"
}
