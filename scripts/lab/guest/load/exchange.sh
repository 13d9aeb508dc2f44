# shellcheck shell=bash
# shellcheck disable=SC2034,SC2086 # shared variables are set, and used, in cases.sh and verdict.sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Cases in which modules are exchanged or refused, and the state of the host that stays as it was.
# guest/load/cases sources this.

load_and_unload()
{
	run $LOAD --dry-run
	expect 2 "a dry run builds none"
	run $LOAD --dry-run --modules $SET
	expect 0 'would unload: kvm_amd kvm' 'would load:'
	distros || fail "a dry run has loaded modules"
	run $LOAD --modules $SET
	expect 0 'before:' 'now:' "races closed by them: $(closed_by_set)"
	ours || fail "not loaded"
	run $LOAD --modules $SET
	expect 0 'nothing to do'
	run $UNLOAD --modules $SET
	expect 0 "the distro's own"
	distros || fail "not unloaded"
	: >$LOG
	run $UNLOAD --modules $SET
	expect 0 'nothing to do'
}

vm_running()
{
	$SET/tinyvm --hold &
	wait_for has_vcpu $!
	run $LOAD --modules $SET
	expect 2 "tinyvm (process $!) runs a VM" 'nothing was touched'
	kill $!
	wait $! 2>/dev/null
	# And the same for unload.
	run $LOAD --modules $SET
	expect 0
	$SET/tinyvm --hold &
	wait_for has_vcpu $!
	: >$LOG
	run $UNLOAD --modules $SET
	expect 2 "tinyvm (process $!) runs a VM" 'nothing was touched'
	ours || fail "unloaded under a VM"
	kill $!
	wait $! 2>/dev/null
	run $UNLOAD --modules $SET
	expect 0
}

kvm_open()
{
	sleep 1000 3</dev/kvm &
	run $LOAD --modules $SET
	expect 2 "sleep (process $!) has /dev/kvm open" 'nothing was touched'
	kill $!
	wait $! 2>/dev/null
}

another_module()
{
	insmod ./kvm_user.ko || fail "kvm_user.ko does not load"
	run $LOAD --modules $SET
	expect 2 'the module kvm_user uses kvm' 'modprobe -r kvm_user' 'nothing was touched'
	rmmod kvm_user
}

wrong_vermagic()
{
	run $LOAD --modules /payload/other
	expect 2 "is for kernel '$(modinfo -F vermagic other/kvm.ko)'" 'nothing was touched'
}

crc_mismatch()
{
	a_copy
	break_crc kvm mmu_notifier_register
	run $LOAD --modules /tmp/set
	expect 2 'kvm: mmu_notifier_register has another type' 'nothing was touched'
}

corrupt()
{
	a_copy
	truncate -s -5000 /tmp/set/kvm-amd.ko
	run $LOAD --modules /tmp/set
	expect 2 'kvm-amd.ko is damaged' 'nothing was touched'
	: >$LOG
	a_copy
	rm /tmp/set/kvm-intel.ko
	run $LOAD --modules /tmp/set
	expect 2 'kvm-intel.ko is missing' 'nothing was touched'
}

# Only the kernel finds this error, no check of files does.
vendor_fails()
{
	a_copy
	break_crc kvm-amd kvm_init
	run $LOAD --modules /tmp/set
	expect 1 'kvm-amd.ko' 'disagrees about version of symbol' 'those from before are'
}

# no_vm WHAT - make the set's own proof fail
no_vm()
{
	a_copy
	printf '#!/bin/sh\n%s\n' "grep -qs racefix /sys/module/kvm/version || exec $SET/tinyvm; echo no luck; exit 1" >/tmp/set/tinyvm
	run $LOAD --modules /tmp/set
	expect 1 'a small VM does not run: no luck' 'those from before are'
}

parameters()
{
	rmmod $VENDOR
	insmod "/lib/modules/$(uname -r)/kernel/arch/x86/kvm/kvm-amd.ko" nested=0
	echo 12345 >/sys/module/kvm/parameters/halt_poll_ns
	run $LOAD --modules $SET
	expect 0
	[ "$(cat /sys/module/$VENDOR/parameters/nested)" = 0 ] || fail "nested is not 0 any more"
	[ "$(cat /sys/module/kvm/parameters/halt_poll_ns)" = 12345 ] || fail "halt_poll_ns is not kept"
	# Another set of parameters for the same modules.
	run $LOAD --modules $SET kvm_amd.nested=1 kvm.halt_poll_ns=7
	expect 0
	[ "$(cat /sys/module/$VENDOR/parameters/nested /sys/module/kvm/parameters/halt_poll_ns | paste -sd ' ')" = "1 7" ] ||
		fail "the parameters that were asked for are not set"
	run $UNLOAD --modules $SET
	expect 0
	[ "$(cat /sys/module/$VENDOR/parameters/nested)" = 0 ] || fail "nested is not 0 after going back"
	[ "$(cat /sys/module/kvm/parameters/halt_poll_ns)" = 12345 ] || fail "halt_poll_ns is not kept on the way back"
	: >$LOG
	run $LOAD --modules $SET kvm_amd.nestd=1
	expect 2 "has no parameter 'nestd'"
	run $LOAD --modules $SET kvm_intel.ept=0
	expect 2 "this machine needs kvm_amd"
	rmmod $VENDOR kvm
	modprobe $VENDOR
}

# A parameter that does not take effect must be noticed, and everything undone.
parameter_refused()
{
	run $LOAD --modules $SET kvm.halt_poll_ns=1e9
	expect 1 "kvm.ko" 'those from before are'
}

blacklisted()
{
	printf 'blacklist kvm_amd\n' >/etc/modprobe.d/case.conf
	run $LOAD --modules $SET
	expect 0
	run $UNLOAD --modules $SET
	expect 0
	rmmod $VENDOR kvm
	: >$LOG
	run $LOAD --modules $SET
	expect 2 'forbids kvm_amd (/etc/modprobe.d/case.conf)' 'nothing was touched'
	printf 'install kvm /bin/false\n' >/etc/modprobe.d/case.conf
	: >$LOG
	run $LOAD --modules $SET
	expect 2 'forbids kvm (/etc/modprobe.d/case.conf)' 'nothing was touched'
	[ ! -e /sys/module/kvm ] || fail "kvm was loaded"
	rm /etc/modprobe.d/case.conf
	modprobe $VENDOR
}

nothing_loaded()
{
	rmmod $VENDOR kvm
	run $LOAD --modules $SET
	expect 0 'no kvm module is loaded'
	ours || fail "not loaded"
	run $UNLOAD --modules $SET
	expect 0
	[ ! -e /sys/module/kvm ] || fail "kvm is loaded, and was not before"
	modprobe $VENDOR
}

access()
{
	chmod 666 /dev/kvm
	chgrp daemon /dev/kvm
	run $LOAD --modules $SET
	expect 0
	[ "$(stat -c '%a %G' /dev/kvm)" = "666 daemon" ] || fail "after load /dev/kvm is $(stat -c '%a %G' /dev/kvm)"
	chmod 640 /dev/kvm
	run $UNLOAD --modules $SET
	expect 0
	[ "$(stat -c '%a %G' /dev/kvm)" = "640 daemon" ] || fail "after unload /dev/kvm is $(stat -c '%a %G' /dev/kvm)"
	chmod 660 /dev/kvm
	chgrp root /dev/kvm
}

# tracing_is WHEN - is it as the case has set it?
tracing_is()
{
	local now

	now=$(cat "$events"/{kvm_entry/enable,kvm_exit/enable,kvm_entry/filter} | paste -sd ' ')
	[ "$now" = "1 0 vcpu_id == 7" ] || fail "$1 tracing is $now"
	grep -q '^kvm_arch_vcpu_create ' /sys/kernel/tracing/set_ftrace_filter || fail "$1 the function is not picked"
}

tracing()
{
	local events=/sys/kernel/tracing/events/kvm

	echo 'vcpu_id == 7' >$events/kvm_entry/filter
	echo 1 >$events/kvm_entry/enable
	echo kvm_arch_vcpu_create >/sys/kernel/tracing/set_ftrace_filter
	tracing_is "before load"
	run $LOAD --modules $SET
	expect 0
	tracing_is "after load"
	run $UNLOAD --modules $SET
	expect 0
	tracing_is "after unload"
	echo 0 >$events/kvm_entry/enable
	echo 0 >$events/kvm_entry/filter
	echo >/sys/kernel/tracing/set_ftrace_filter
}

# Files that any user can write to are ignored.
others_lock()
{
	mkdir -p /run/lock
	echo precious >/srv/precious
	rm -f /run/lock/kvm-racefix.lock
	ln -s /srv/precious /run/lock/kvm-racefix.lock
	flock /srv/precious sleep 1000 &
	run timeout 100 $LOAD --modules $SET
	expect 0
	run timeout 100 $UNLOAD --modules $SET
	expect 0
	pkill -P $!
	[ "$(cat /srv/precious)" = precious ] || fail "a file was changed by way of a link"
	[ "$(stat -c '%A %U' /run/kvm-racefix)" = "drwxr-xr-x root" ] || fail "/run/kvm-racefix is $(stat -c '%A %U' /run/kvm-racefix)"
	rm /run/lock/kvm-racefix.lock
}
