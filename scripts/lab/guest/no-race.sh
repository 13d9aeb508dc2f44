# shellcheck shell=sh
# SPDX-License-Identifier: GPL-2.0-only
#
# The results that a race test may have on modules without a race, on a host that lacks something.
# Shared by the cases of load and of skips, which busybox's sh runs.

# wrong_end TEST STATUS LOG REASON - print a line for each error in its end: it must pass, or skip
# with a reason; "not ok" would read as "vulnerable". REASON is a regular expression that its log
# must match; if it is empty, the test may run
wrong_end()
{
	case $2 in 0|4) ;; *) echo "$1 ended with $2" ;; esac
	! grep -q '^not ok' "$3" || echo "$1 prints 'not ok'"
	! grep -qE '# SKIP *$' "$3" || echo "$1 skips without a reason"
	[ -z "$4" ] || grep -qE -- "$4" "$3" || echo "$1 does not print: $4"
}

# lacking_files TRY - run TRY NAME REASON env, first without /dev/kmsg, then without debugfs
lacking_files()
{
	mv /dev/kmsg /dev/kmsg.away
	"$1" "no /dev/kmsg" "/dev/kmsg cannot be read" env
	mv /dev/kmsg.away /dev/kmsg
	umount /sys/kernel/debug
	"$1" "no debugfs" "" env
	mount -t debugfs debug /sys/kernel/debug
}
