#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# scripts/kvm-unit-tests: the choice of tests, and the judgement of their results. The source,
# the kernel, modules and host are stubs here.

bats_require_minimum_version 1.5.0

setup()
{
	# shellcheck source=selftests/scripts/stubs.sh
	. "$BATS_TEST_DIRNAME/stubs.sh"
	lab_copy
	stub_sources
	SOURCE=$COPY/source
	mkdir -p "$COPY/selftests/upstream" "$COPY/doc/results" "$SOURCE/x86"
	cp "$TOP/selftests/upstream/except-unit" "$COPY/selftests/upstream/"
	stub scripts/lab/qemu-payload 'mkdir -p "$1"; touch "$1/qemu"'
	# Each test ends, on each set, with the next line of O/says-TEST-SET, or with pass.
	stub_host '
		cut -f 1 "$payload/tests" | paste -sd " " >>"$O/slices"
		for set in stock patched; do
			while IFS="	" read -r test _; do
				says=$O/says-$test-$set
				echo "@unit@ $test $set $(head -n 1 "$says" 2>/dev/null || echo pass)"
				[ ! -e "$says" ] || sed -i 1d "$says"
			done <"$payload/tests"
		done'
	stub source/configure 'echo "all:" >Makefile'
	touch "$SOURCE"/x86/{one,two}.flat
	cat >"$SOURCE/x86/unittests.cfg" <<-'END'
	# comment
	[first]
	file = one.flat
	smp = 2
	test_args = "7 `date +%s`"
	qemu_params = """-cpu max \
	    -device \
	    edu"""
	groups = svm
	[second]
	file = two.flat
	extra_params = -cpu max -append 'a b'
	check = /sys/x=Y
	[emulator]
	file = two.flat
	[of_intel]
	file = two.flat
	groups = vmx other
	[by_hand]
	file = two.flat
	groups = nodefault
	[old]
	file = two.flat
	arch = i386
	END
}

# says TEST SET RESULT... - set its result in the first round, in the next, ...
says()
{
	printf '%s\n' "${@:3}" >"$O/says-$1-$2"
}

# unit_tests STATUS ARGUMENT...
unit_tests()
{
	run "-$1" "$COPY/scripts/lab/kvm-unit-tests" --kernel 6.1 "$SOURCE" "${@:2}"
}

@test "kvm-unit-tests: the needs of a test are read from unittests.cfg; some are left out" {
	unit_tests 0
	[[ $output == *"6.1.192-3: 2 tests: pass 2, skip 0, fail 0, time out 0 with both; differ: none"* ]]
	sed 's/  */ /g' "$O/kvm-unit-tests/tests" >"$O/tests"
	[ "$(head -n 1 "$O/tests")" = $'first\tone.flat\t2\t-\t"7 `date +%s`"\t-cpu max -device edu' ]
	[ "$(tail -n 1 "$O/tests")" = $'second\ttwo.flat\t1\t/sys/x=Y\t-\t-cpu max -append \'a b\'' ]
	[ "$(wc -l <"$O/tests")" -eq 2 ]
}

@test "kvm-unit-tests: an equal result on both is fine, any result" {
	says first stock fail
	says first patched fail
	unit_tests 0
	[[ $output == *"pass 1, skip 0, fail 1, time out 0 with both; differ: none"* ]]
	[ "$(wc -l <"$O/booted")" -eq 1 ]
}

@test "kvm-unit-tests: a difference counts if it is there in the best of three rounds" {
	says first stock pass timeout pass
	says first patched timeout fail timeout
	unit_tests 1
	[[ $output == *"differ: first: pass, fail"* ]]
	[ "$(wc -l <"$O/booted")" -eq 3 ]
	[ "$(tail -n 1 "$O/slices")" = first ]
	says first stock pass
	says first patched timeout pass
	unit_tests 0
	# Here only ours is better.
	says first stock fail fail fail
	says first patched pass pass pass
	unit_tests 0
	[[ $output == *"differ: first: fail, pass"* ]]
}

@test "kvm-unit-tests: a boot for each slice; a host that dies is named" {
	unit_tests 0 --slice 1
	[ "$(cat "$O/slices")" = $'first\nsecond' ]
	HOST_RC=3 unit_tests 3
	[[ $output == *"the host died"* ]]
}

@test "kvm-unit-tests: only those that are named; their results are not kept" {
	unit_tests 0 second
	[ "$(cat "$O/slices")" = second ]
	[ ! -e "$O/kvm-unit-tests/results.tsv" ]
	unit_tests 2 emulator
}

@test "kvm-unit-tests: the page has a row for each kernel" {
	unit_tests 0
	run -0 "$COPY/scripts/lab/kvm-unit-tests" --table
	grep -qF '| 6.1.192-3 | 2 | 2 | 0 | 0 | 0 | none |' "$COPY/doc/results/kvm-unit-tests.md"
}

@test "kvm-unit-tests: a wrong use is named" {
	for args in "" "/nowhere" "--seconds 0 $SOURCE" "--slice x $SOURCE" "--kernel /nowhere/ $SOURCE"; do
		# shellcheck disable=SC2086 # the splitting is intended
		run -2 "$COPY/scripts/lab/kvm-unit-tests" $args
		[ -n "$output" ]
	done
}
