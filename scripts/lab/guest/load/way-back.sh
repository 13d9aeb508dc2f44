# shellcheck shell=bash
# shellcheck disable=SC2034,SC2086 # shared variables are set, and used, in cases.sh and verdict.sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Cases about the modules that load and unload go back to. guest/load/cases sources this.

# note_of FILE - write its build id, as a note, to /tmp/note
note_of()
{
	objcopy -O binary -j .note.gnu.build-id "$1" /tmp/note || fail "$1 has no build id"
}

# in_use_from DIR - check that the set in use is the one of that directory
in_use_from()
{
	local name

	for name in kvm kvm-amd; do
		note_of "$1/$name.ko"
		cmp -s /tmp/note "/sys/module/${name/-/_}/notes/.note.gnu.build-id" || fail "the $name in use is not of $1"
	done
}

# The kernel's package is removed, or DKMS moves its modules, while ours are in use.
distros_moved_away()
{
	local dir

	dir=/lib/modules/$(uname -r)/kernel/arch/x86/kvm
	run $LOAD --modules $SET
	expect 0
	mv "$dir" /srv/moved
	run $UNLOAD --dry-run
	expect 0
	run $UNLOAD
	expect 0 "of no file below /lib/modules/"
	: >$LOG
	run $LOAD --modules $SET
	expect 2 "the distro's own kvm.ko is missing" 'apt-get install --reinstall' 'nothing was touched'
	mv /srv/moved "$dir"
}

# Ours were loaded at boot, so the modules to go back to are not known.
distros_missing_at_boot()
{
	local file

	file=/lib/modules/$(uname -r)/kernel/arch/x86/kvm/kvm-amd.ko
	rmmod $VENDOR kvm
	insmod $SET/kvm.ko
	insmod $SET/kvm-amd.ko
	mv "$file" /srv/moved
	run $UNLOAD --modules $SET
	expect 2 "the distro's own kvm-amd.ko is missing" 'nothing was touched'
	ours || fail "they are not in use any more"
	mv /srv/moved "$file"
	run $UNLOAD --modules $SET
	expect 0
}

# A developer's own modules, from a directory that no script knows.
developers_own()
{
	local name

	mkdir -p /tmp/own
	cp /lib/modules/"$(uname -r)"/kernel/arch/x86/kvm/kvm{,-amd}.ko /tmp/own/
	for name in kvm kvm-amd; do
		note_of /tmp/own/$name.ko
		printf own | dd of=/tmp/note bs=1 seek=20 conv=notrunc status=none
		objcopy --update-section .note.gnu.build-id=/tmp/note /tmp/own/$name.ko
	done
	rmmod $VENDOR kvm
	insmod /tmp/own/kvm.ko
	insmod /tmp/own/kvm-amd.ko nested=0 || fail "their modules do not load"
	run $LOAD --dry-run --modules $SET
	expect 2 'is from no file that is known' '--before DIR'
	: >$LOG
	run $LOAD --modules $SET
	expect 2 'is from no file that is known' '--before DIR' 'nothing was touched'
	in_use_from /tmp/own
	run $LOAD --modules $SET --before /tmp/own
	expect 0
	ours || fail "not loaded"
	rm -r /tmp/own.moved 2>/dev/null
	mv /tmp/own /tmp/own.moved
	run $UNLOAD --modules $SET
	expect 0 "of no file below /lib/modules/"
	in_use_from /tmp/own.moved
	[ "$(cat /sys/module/$VENDOR/parameters/nested)" = 0 ] || fail "nested is not 0 any more"
	rmmod $VENDOR kvm
	modprobe $VENDOR
}

# On a machine where another hypervisor uses SVM no VM runs, which proves nothing.
no_vm_even_before()
{
	a_copy
	printf '#!/bin/sh\necho somebody has it; exit 1\n' >/tmp/set/tinyvm
	run $LOAD --modules /tmp/set
	expect 2 'no small VM runs here even now' 'somebody has it' 'nothing was touched'
	distros || fail "modules were exchanged"
}

# A user starts a VM on the new modules, which then are to be unloaded.
taken_at_proof()
{
	a_copy
	cat >/tmp/set/tinyvm <<-END
	#!/bin/sh
	grep -qs racefix /sys/module/kvm/version || exec $SET/tinyvm
	setsid $SET/tinyvm --hold >/dev/null 2>&1 </dev/null &
	echo \$! >/tmp/holder
	sleep 2
	echo no luck
	exit 1
	END
	run $LOAD --modules /tmp/set
	expect 6 "(process $(cat /tmp/holder)) runs a VM" 'the new modules are still in use'
	ours || fail "the new modules are gone"
	: >$LOG
	run $UNLOAD
	expect 2 'runs a VM' 'nothing was touched'
	kill "$(cat /tmp/holder)"
	sleep 1
	run $UNLOAD --modules $SET
	expect 0
}

second_load_fails()
{
	run $LOAD --modules $SET kvm.halt_poll_ns=4242
	expect 0
	a_copy
	break_crc kvm-amd kvm_init
	run $LOAD --modules /tmp/set kvm.halt_poll_ns=1
	expect 1 'those from before are'
	in_use_from $SET
	[ "$(cat /sys/module/kvm/parameters/halt_poll_ns)" = 4242 ] || fail "halt_poll_ns is not kept"
	: >$LOG
	run $UNLOAD
	expect 0 "the distro's own"
}

# The modules to go back to exist, but the kernel does not accept them.
neither_loads()
{
	run $LOAD --modules $SET
	expect 0
	stub insmod <<-'END'
	#!/bin/sh
	case $* in */kernel/arch/*|*before/*) echo "insmod: ERROR: not today" >&2; exit 1 ;; esac
	exec /sbin/insmod "$@"
	END
	PATH=/tmp/stubs:$PATH run $UNLOAD
	expect 1 'not today' 'the replacement modules are in use again'
	in_use_from $SET
	printf '#!/bin/sh\necho "insmod: ERROR: never again" >&2; exit 1\n' >/tmp/stubs/insmod
	: >$LOG
	PATH=/tmp/stubs:$PATH run $UNLOAD
	expect 4 'never again' 'no kvm works now' '/run/kvm-racefix/before'
	rm -rf /run/kvm-racefix
	modprobe $VENDOR
}

# The program for the proof is missing on the way back.
unproven()
{
	rmmod $VENDOR kvm
	insmod $SET/kvm.ko
	insmod $SET/kvm-amd.ko
	run $UNLOAD
	expect 5 'the small VM for the proof is missing' 'no VM proves that they work'
}
