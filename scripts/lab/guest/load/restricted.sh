# shellcheck shell=bash
# shellcheck disable=SC2034,SC2086 # shared variables are set, and used, in cases.sh and verdict.sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Cases in which the kernel or a user's rights forbid something, to load or to the race tests.
# guest/load/cases sources this.

unsigned()
{
	echo 1 >/sys/module/module/parameters/sig_enforce
	run $LOAD --modules $SET
	expect 2 'takes signed modules only (module.sig_enforce)' 'is not signed' 'nothing was touched'
}

lockdown()
{
	echo integrity >/sys/kernel/security/lockdown
	run $LOAD --modules $SET
	expect 2 'takes signed modules only' 'nothing was touched'
}

# no_false_alarm HOW REASON COMMAND... - check that each race test, run with COMMAND, passes or
# skips with a reason on these modules, which have no race; tdp-mmu-zap skips for REASON, unless it
# is empty
no_false_alarm()
{
	local how=$1 reason=$2 test rc expected text

	shift 2
	for test in /payload/tests/*_test; do
		case ${test##*/} in racegate_*) continue ;; esac
		rc=0
		echo "== $how: ${test##*/}" >>$LOG
		timeout 300 "$@" "$test" >/tmp/test.log 2>&1 </dev/null || rc=$?
		cat /tmp/test.log >>$LOG
		expected=''
		[ "${test##*/}" != tdp_mmu_zap_test ] || expected=$reason
		while IFS= read -r text; do
			fail "$how: $text"
		done < <(wrong_end "${test##*/}" $rc /tmp/test.log "$expected")
	done
}

# If the host lacks something that a test needs, a failure would be read as "vulnerable".
tests_lack_something()
{
	chgrp daemon /dev/kvm
	chmod 660 /dev/kvm
	no_false_alarm "without racegate" "/dev/racegate is not there" env
	insmod /payload/tests/racegate.ko || fail "racegate does not load"
	no_false_alarm "as nobody" "/dev/kmsg cannot be read" setpriv --reuid 65534 --regid 65534 --clear-groups
	no_false_alarm "in the group of /dev/kvm" "/dev/kmsg cannot be read" setpriv --reuid 65534 --regid 65534 --groups daemon
	no_false_alarm "on one CPU" "one CPU in this process's affinity mask" taskset -c 0
	lacking_files no_false_alarm
	rmmod racegate
	chgrp root /dev/kvm
}

# lockdown=integrity closes debugfs; racegate was loaded before, as a signed module could be.
tests_under_lockdown()
{
	no_false_alarm "under lockdown" "" env
}

# This is irreversible until a reboot.
modules_disabled()
{
	echo 1 >/proc/sys/kernel/modules_disabled
	run $LOAD --dry-run --modules $SET
	expect 2 'kernel.modules_disabled=1' 'nothing was touched'
}
