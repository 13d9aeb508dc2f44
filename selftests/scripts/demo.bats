#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# scripts/demo with wrong arguments, and interrupted. scripts/check runs the demo itself, which
# shows races and closes them.

bats_require_minimum_version 1.5.0

setup()
{
	# shellcheck source=selftests/scripts/stubs.sh
	. "$BATS_TEST_DIRNAME/stubs.sh"
	DEMO=$TOP/scripts/lab/demo
	COPY=$BATS_TEST_TMPDIR
	unset RACE KERNEL HOST RUNS WITHOUT
}

# emulators SESSION - print the pids of the emulators that run in it
emulators()
{
	# ps is missing on a bare Debian. A process may end meanwhile.
	awk -v session="$1" '$6 == session && $3 != "Z" && $2 ~ /bochs|qemu/ { print $1 }' /proc/[0-9]*/stat 2>/dev/null
}

@test "demo: an unknown race is refused, and the known ones named" {
	RACE=no-such-race run -2 "$DEMO"
	[[ $output == *no-such-race*apicv-vcpu-creation*nested-vmcs12-pages* ]]
}

@test "demo: an unknown kernel is refused, and the known ones named" {
	KERNEL=4.99 run -2 "$DEMO"
	[[ $output == *4.99*5.10*6.1* ]]
	# One wrong kernel of several is enough.
	KERNEL="6.1 6.1.x" run "$DEMO"
	[ "$status" -eq 2 ]
	[[ $output == *"unknown kernel '6.1.x'"* ]]
}

@test "demo: a line that has patches, and no kernel in Debian, is refused with what can be done" {
	for line in 6.6 6.18; do
		KERNEL=$line RACE=nested-vmcs12-pages run -2 "$DEMO"
		[[ $output == *"patches for $line, but Debian has no kernel"*tree-host* ]]
	done
}

@test "demo: a version that is not in the archive is refused with those that are" {
	KERNEL=6.1.1-1 run -2 "$DEMO"
	[[ $output == *"no kernel 6.1.1-1; of 6.1 it has: "*6.1.*"KSRC="* ]]
}

# stub_copy - make a copy of the project that fetches nothing
stub_copy()
{
	cp -r "$TOP/scripts" "$TOP/selftests" "$BATS_TEST_TMPDIR/"
	for cmd in modules/kernel-get modules/modules-build lab/bochs-build; do
		printf '#!/bin/sh\n[ "$1" != --name ] || echo "$3"\n' >"$BATS_TEST_TMPDIR/scripts/$cmd"
	done
}

@test "demo: a race that cannot be opened in a version is left out, and named" {
	local o=$BATS_TEST_TMPDIR/build

	mkdir -p "$o/kernels/6.1.20-1/source"
	printf '6.1.0-7-amd64\n' >"$o/kernels/6.1.20-1/release"
	stub_copy
	O=$o KERNEL=6.1.20-1 RACE=tdp-mmu-zap run -2 "$BATS_TEST_TMPDIR/scripts/lab/demo"
	[[ $output == *"6.1.20-1: tdp-mmu-zap is left out: "*"does not apply to this version"*"cannot show: tdp-mmu-zap"* ]]
}

@test "demo: a line and the version that it is are refused as one kernel" {
	local o=$BATS_TEST_TMPDIR/build kernel

	for kernel in 6.1 6.1.192-2; do
		mkdir -p "$o/kernels/$kernel"
		printf '6.1.0-56-amd64\n' >"$o/kernels/$kernel/release"
	done
	stub_copy
	O=$o KERNEL="6.1 6.1.192-2" RACE=nested-vmcs12-pages run "$BATS_TEST_TMPDIR/scripts/lab/demo"
	[ "$status" -eq 2 ]
	[[ $output == *"6.1 and 6.1.192-2 are the same kernel, 6.1.0-56-amd64"* ]]
}

@test "demo: an unknown host is refused; so is one that shows none of the races" {
	HOST=mars run -2 "$DEMO"
	[[ $output == *mars* ]]
	RACE=nested-vmcs12-pages HOST=qemu run -2 "$DEMO"
	[[ $output == *nested-vmcs12-pages* ]]
}

@test "demo: a bad number of runs is refused" {
	for runs in 0 -1 many 3.5 99999; do
		RUNS=$runs run -2 "$DEMO"
		[[ $output == *"RUNS=$runs"* ]]
	done
}

@test "demo: WITHOUT= an unknown race is refused" {
	WITHOUT=nothing run -2 "$DEMO"
	[[ $output == *nothing* ]]
}

# local_demo [NAME=VALUE...] - run a demo on this machine, in which it cannot touch a module
local_demo()
{
	local cmd

	mkdir -p "$BATS_TEST_TMPDIR/bin"
	for cmd in insmod rmmod modprobe; do
		printf '#!/bin/sh\ntouch %s/called\nexit 1\n' "$BATS_TEST_TMPDIR" >"$BATS_TEST_TMPDIR/bin/$cmd"
		chmod +x "$BATS_TEST_TMPDIR/bin/$cmd"
	done
	run env HOST=local O="$BATS_TEST_TMPDIR/build" PATH="$BATS_TEST_TMPDIR/bin:$PATH" "$@" "$DEMO"
	[ ! -e "$BATS_TEST_TMPDIR/called" ]
}

@test "demo: on this machine, errors are named, and nothing is built or loaded" {
	local_demo RACE=no-such-race
	[ "$status" -eq 2 ]
	[[ $output == *no-such-race*nested-vmcs12-pages* ]]
	local_demo RUNS=many
	[ "$status" -eq 2 ]
	[[ $output == *RUNS=many* ]]
	local_demo WITHOUT=nothing
	[ "$status" -eq 2 ]
	[[ $output == *WITHOUT=nothing* ]]
	local_demo KERNEL=4.99
	[ "$status" -eq 2 ]
	[[ $output == *KERNEL=4.99*"$(uname -r)"* ]]
	[ ! -e "$BATS_TEST_TMPDIR/build" ]
}

@test "demo: on this machine it needs root, and a CPU with VMX or SVM" {
	mkdir -p "$BATS_TEST_TMPDIR/bin"
	printf '#!/bin/sh\necho 1000\n' >"$BATS_TEST_TMPDIR/bin/id"
	chmod +x "$BATS_TEST_TMPDIR/bin/id"
	local_demo
	[ "$status" -eq 2 ]
	[[ $output == *"needs root: sudo make demo HOST=local"* ]]
	printf '#!/bin/sh\necho 0\n' >"$BATS_TEST_TMPDIR/bin/id"
	local built_in=''
	[ ! -d /sys/module/kvm ] || [ -e /sys/module/kvm/initstate ] || built_in=yes
	[ -n "$built_in" ] || ! grep -qwE 'vmx|svm' /proc/cpuinfo || skip "this CPU has VMX or SVM"
	local_demo
	[ "$status" -eq 2 ]
	if [ -n "$built_in" ]; then
		[[ $output == *"kvm is built into this kernel"* ]]
	else
		[[ $output == *"neither VMX nor SVM"* ]]
	fi
}

@test "demo: too little disk space is reported before anything is fetched" {
	mkdir -p "$BATS_TEST_TMPDIR/bin"
	printf '#!/bin/sh\nprintf "h\\n/dev/x 9 9 17 99%%%% /\\n"\n' >"$BATS_TEST_TMPDIR/bin/df"
	chmod +x "$BATS_TEST_TMPDIR/bin/df"
	O=$BATS_TEST_TMPDIR/build PATH=$BATS_TEST_TMPDIR/bin:$PATH run -2 "$DEMO"
	[[ $output == *"17 MiB free"* ]]
	[ ! -d "$BATS_TEST_TMPDIR/build/apt" ]
}

@test "demo: a second one in the same directory is refused" {
	mkdir -p "$BUILD"
	flock -o "$BUILD/demo.lock" sleep 5 &
	local locker=$!
	sleep 0.5
	run "$DEMO"
	kill $locker
	[ "$status" -eq 2 ]
	[[ $output == *"another demo"* ]]
}

# stub_hosts - do as stub_copy, and build nothing; the hosts are quick: a race shows on all modules
# but patched ones, and on these if the file without has its name
stub_hosts()
{
	stub_copy
	mkdir -p "$O/kernels/6.1/source" "$O/selftests" "$O/sets" "$BATS_TEST_TMPDIR/bin"
	echo 6.1.0-x >"$O/kernels/6.1/release"
	echo 6.1.192-1 >"$O/kernels/6.1/version"
	touch "$O/selftests/tdp_mmu_zap_test" "$O/sets/racegate.ko"
	stub bin/make 'exit 0'
	stub scripts/modules/modules-build 'echo "$O/sets"'
	stub_boot '
		printf "end=clean\nseconds=3.0\n" >"$out/result"
		while read -r row race set cases _; do
			name=two_tdp_faults status=0 ok=ok
			[ "$cases" != two_zappers_collide ] || name=$cases
			case $set,$cases in
			*,two_zappers_collide) ok="" ;;
			patched,every) ;;
			*) status=1 ok="not ok" ;;
			esac
			printf "@lab@ begin %s\n#  RUN           global.%s ...\n#         us  vCPU 1\n#        0.0  a landmark\n" "$row" "$name"
			if [ -z "$ok" ]; then
				printf "end=panic\nreason=Fatal exception\nseconds=3.0\n" >"$out/result"
				break
			fi
			echo "$ok 1 global.$name"
			[ "$cases" != every ] || printf "#  RUN           global.two_zappers_collide ...\nok 2 global.two_zappers_collide\n"
			echo "@lab@ end $row $status 10"
		done <"$out/payload/plan" >"$out/output.log"
		echo "RIP: 0010:kvm_mmu_zap_oldest_mmu_pages+0x1" >"$out/console.log"
		! grep -q panic "$out/result" || exit 3'
	export PATH=$BATS_TEST_TMPDIR/bin:$PATH
}

@test "demo: from the plan to the table, with the first ladder, and the exit code" {
	export O=$BATS_TEST_TMPDIR/build
	stub_hosts
	# The source accepts every reopening patch.
	sed -i 's/^fit()$/fit() { return 0; }\nunused()/' "$BATS_TEST_TMPDIR/scripts/tree/races.sh"
	RACE=tdp-mmu-zap HOST=qemu KERNEL=6.1 RUNS=2 run -0 "$BATS_TEST_TMPDIR/scripts/lab/demo"
	diff - <(cut -c 1-108 "$O/demo/table" | sed 's/ *$//') <<-'END'
	race                                 kernel                 host   unpatched                  patched
	tdp-mmu-zap                          6.1.0-x                qemu   shows 2/2 (reopened)       closed 2/2
	  two_zappers_collide                6.1.0-x                qemu   host dies 1/1 (reopened)   as above
	END
	[ "$(grep -c "a landmark" <<<"$output")" -eq 1 ]
	[ "$(grep -c "booting" <<<"$output")" -eq 3 ]
	run env RACE=tdp-mmu-zap /usr/bin/make -s -C "$TOP" -f "$TOP/Makefile" ladder O="$O"
	[[ $output == *"# tdp-mmu-zap, two_tdp_faults: 6.1.0-x, qemu, reopen-tdp-mmu-zap"*"a landmark"* ]]
	# Without its patches the race shows on all modules.
	RACE=tdp-mmu-zap HOST=qemu KERNEL=6.1 RUNS=1 WITHOUT=tdp-mmu-zap run -1 "$BATS_TEST_TMPDIR/scripts/lab/demo"
	grep -E '^tdp-mmu-zap .*SHOWS 0/1' "$O/demo/table"
	grep -E '^    run 1, fixed: two_tdp_faults: fail, not pass: .*/output.log:[0-9]+$' "$O/demo/table"
}

@test "make demo: Ctrl-C during a boot ends it, and no emulator is left" {
	local session log=$BATS_TEST_TMPDIR/log i rc=0

	# Use a session of its own with SIGINT not ignored, as a terminal has it. Ctrl-C sends
	# SIGINT to all processes of the foreground's process group.
	cat >"$BATS_TEST_TMPDIR/start" <<-'END'
		echo $$ >"$1"
		exec make -C "$2" demo
	END
	env --default-signal=INT RACE=apicv-vcpu-creation KERNEL=6.1 RUNS=1 O="$BUILD" \
		setsid bash "$BATS_TEST_TMPDIR/start" "$BATS_TEST_TMPDIR/pid" "$TOP" \
		>"$log" 2>&1 3>&- &
	for ((i = 0; i < 240; i++)); do
		session=$(cat "$BATS_TEST_TMPDIR/pid" 2>/dev/null) &&
			[ -n "$(emulators "$session")" ] && break
		kill -0 $! || break
		sleep 1
	done
	cat "$log"
	[ -n "$(emulators "$session")" ]
	kill -INT -- "-$session"
	wait $! || rc=$?
	[ $rc -ne 0 ]
	sleep 1
	[ -z "$(emulators "$session")" ]
	# Another demo may start.
	flock -n "$BUILD/demo.lock" true
}
