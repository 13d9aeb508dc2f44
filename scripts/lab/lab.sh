# shellcheck shell=bash
# shellcheck disable=SC2034 # those who source this use them
# SPDX-License-Identifier: GPL-2.0-only
#
# The tables of the laboratory, and names for their columns. Sourced after lib.sh.
#
# A plan is a table of steps, made by scripts/lab/plan/*; one line each, separated by tabs:
#	BOOT	name of the boot; steps of one boot run in one host, in this order
#	KERNEL	a name in build/kernels, or the directory of a tree that lab/kernel built
#	HOST	bochs or qemu
#	SET	the modules: stock (the kernel's own), or a variant of modules-build
#	RACE	whose test runs
#	CASES	default (all but fatal ones and stress), every (all but stress), the names
#		of cases, separated by commas, or stress:SECONDS
#	RUN	a number, or the name of a mutation
#	STAGE	before, closed, after: a triple; others are named by their plan
#	EXPECT	pass (every case that can be forced), fail or fail:CASE,... (at least one, or
#		at least these), dies (the host, of this case), caught (fail, or the host
#		dies), any
#	SECONDS	of the host's time, after which the test is ended
#	ARGS	what the boot adds to the kernel's command line, or -
#
# Results, made by scripts/lab/collect: a line for every case, and one for each step, whose
# CASE is *:
#	KERNEL RELEASE HOST SET RACE STAGE RUN CASE EXPECT RESULT SECONDS WALL REASON WHERE
# SECONDS are the host's and WALL this machine's, both of steps only; WHERE is LOG:LINE.
# RESULT of a case:
#	pass, fail, skip
#	unnamed		left out because it was not named with -t
#	timeout, crash	the harness ended it, or it ended by a signal
#	unfinished	the test ended before it
#	dies, panic	the host did, of what the race's list of fatal cases says, or otherwise
#	lost		it did not run
# RESULT of a step: pass, fail, skip, timeout, crash, dies, panic, lost as above, and
#	setup		the modules did not load or unload
#	oops, hang, killed, no-boot	as host-run says of the host

# plan_row VALUE... - a line of a plan
plan_row()
{
	local IFS=$'\t'

	printf '%s\n' "$*"
}

# field FILE KEY - from a file of KEY=VALUE, such as host-run's result
field()
{
	sed -n "s/^$2=//p" "$1" 2>/dev/null
}
