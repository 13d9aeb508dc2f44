# shellcheck shell=bash
# shellcheck disable=SC2034,SC2086 # shared variables are set, and used, in cases.sh and verdict.sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Cases in which another program, a signal or a power cut comes in between. guest/load/cases sources
# this.

# A program opens /dev/kvm in the middle of load, and the kernel loads the distro's modules.
overtaken()
{
	rm -f /tmp/once
	stub insmod <<-END
	#!/bin/sh
	[ -e /tmp/once ] || { touch /tmp/once; modprobe kvm; }
	exec /sbin/insmod "\$@"
	END
	load_with_stubs --modules $SET
	expect 0 'another program had kvm loaded in between'
	ours || fail "not loaded"
	run $UNLOAD --modules $SET
	expect 0
}

# After the checks a program opens /dev/kvm: nothing can be unloaded.
taken_into_use()
{
	rm -f /tmp/holder
	stub rmmod <<-'END'
	#!/bin/sh
	[ -e /tmp/holder ] || { sleep 1000 3</dev/kvm >/dev/null 2>&1 & echo $! >/tmp/holder; sleep 0.5; }
	exec /sbin/rmmod "$@"
	END
	load_with_stubs --modules $SET
	kill "$(cat /tmp/holder)"
	expect 1 'cannot unload kvm_amd' 'those from before are'
}

two_at_once()
{
	a_copy
	printf '#!/bin/sh\ngrep -qs racefix /sys/module/kvm/version || exec %s\ntouch /tmp/at-proof\nwhile [ -e /tmp/at-proof ]; do sleep 0.1; done\nexec %s\n' $SET/tinyvm $SET/tinyvm >/tmp/set/tinyvm
	$LOAD --modules /tmp/set >/tmp/first.log 2>&1 &
	wait_for test -e /tmp/at-proof
	run $LOAD --modules $SET
	expect 2 'another load, unload or demo is at work'
	run $UNLOAD --modules $SET
	expect 2
	rm /tmp/at-proof
	wait $! || fail "the first of two loads failed: $(cat /tmp/first.log)"
	ours || fail "not loaded"
	run $UNLOAD --modules $SET
	expect 0
}

# slow_proof - make a set whose proof takes long, and reports its begin
slow_proof()
{
	a_copy
	printf '#!/bin/sh\ngrep -qs racefix /sys/module/kvm/version || exec %s\ntouch /tmp/at-proof\nsleep 3\nexec %s\n' $SET/tinyvm $SET/tinyvm >/tmp/set/tinyvm
}

# interrupt SIGNAL STATUS - send the signal while the proof runs
interrupt()
{
	slow_proof
	env --default-signal=INT $LOAD --modules /tmp/set >>$LOG 2>&1 &
	wait_for test -e /tmp/at-proof
	rm /tmp/at-proof
	kill -"$1" $!
	status=0
	wait $! || status=$?
	expect "$2" interrupted 'in use again:'
}

sigint()
{
	interrupt INT 130
}

sigterm()
{
	interrupt TERM 143
}

# Ctrl-C also ends the tee that reads the output.
reader_gone()
{
	local reader

	slow_proof
	mkfifo /tmp/pipe
	cat /tmp/pipe >/dev/null &
	reader=$!
	env --default-signal=INT,PIPE $LOAD --modules /tmp/set >/tmp/pipe 2>&1 &
	wait_for test -e /tmp/at-proof
	rm /tmp/at-proof /tmp/pipe
	kill $reader
	wait $reader 2>/dev/null
	kill -INT $!
	status=0
	wait $! || status=$?
	expect 130
}

# stall_at_insmod - start a load that stops when no module is loaded
stall_at_insmod()
{
	rm -f /tmp/at-insmod
	stub insmod <<-'END'
	#!/bin/sh
	echo $$ >/tmp/at-insmod
	exec sleep 1000
	END
	PATH=/tmp/stubs:$PATH $LOAD --modules $SET >>$LOG 2>&1 &
	wait_for test -s /tmp/at-insmod
}

# killed_at_insmod COMMAND... - kill load with -9 when no module is loaded, then run COMMAND
killed_at_insmod()
{
	local pid

	stall_at_insmod
	pid=$!
	kill -9 $pid
	wait $pid 2>/dev/null
	kill "$(cat /tmp/at-insmod)"
	[ ! -e /sys/module/kvm ] || fail "kvm is still loaded: this case tests nothing"
	: >$LOG
	run "$@" --modules $SET
	expect 0 'an earlier load did not finish'
}

killed_then_load()
{
	killed_at_insmod $LOAD
	ours || fail "not loaded"
	run $UNLOAD --modules $SET
	expect 0
}

killed_then_unload()
{
	killed_at_insmod $UNLOAD
}

after_power_cut()
{
	distros || fail "not the distro's modules after a reboot"
	run $LOAD --modules $SET
	expect 0
	run $UNLOAD --modules $SET
	expect 0
}
