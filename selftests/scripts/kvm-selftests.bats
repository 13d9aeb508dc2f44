#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# scripts/kvm-selftests: the results that it makes of the output of tests. Its kernel, modules,
# host and the kernel's tests are stubs here, but not the program that runs the tests.
# scripts/check boots real ones.

bats_require_minimum_version 1.5.0

setup()
{
	# shellcheck source=selftests/scripts/stubs.sh
	. "$BATS_TEST_DIRNAME/stubs.sh"
	lab_copy
	export TMPDIR=$BATS_TEST_TMPDIR
	mkdir -p "$O/kernels/6.1" "$O/modules"
	cp -r "$TOP/selftests/upstream" "$COPY/selftests/"
	echo 'PINNED := 6.1' >"$COPY/selftests/Makefile"
	printf 'left_out\tbochs,qemu\tslow\nnot_in_bochs\tbochs\tslow\n' >"$COPY/selftests/upstream/except"
	src=$O/kernels/6.1/source/tools/testing/selftests/kvm
	mkdir -p "$src"
	echo "TEST_GEN_PROGS_x86_64 = x86_64/good" >"$src/Makefile"
	printf 'TEST_GEN_PROGS_x86_64 += %s\n' x86_64/bad left_out not_in_bochs >>"$src/Makefile"
	echo 6.1.0-1 >"$O/kernels/6.1/version"
	echo 6.1.0-1-amd64 >"$O/kernels/6.1/release"
	touch "$O/modules/racegate.ko"
	stub scripts/modules/kernel-get '[ "$1" != --name ] || { echo "$3" >&2; exit 2; }'
	stub scripts/lab/bochs-build :
	stub scripts/modules/modules-build 'echo "$@" >>"$O/built"; echo "$O/modules"'
	# A test ends with the next of its statuses on this set; the last one is repeated.
	stub bin/a-test '
		says=$O/says/${0##*/}.$SET
		[ ! -e "$says" ] || read -r status <"$says"
		[ "$(wc -l <"$says")" -le 1 ] || sed -i 1d "$says"
		echo "the last words"
		exit "${status:-0}"'
	stub bin/make '
		programs=$O/selftests/kvm_selftests_test.d
		mkdir -p "$programs/x86_64" "$O/says"
		cp "${0%/*}/../selftests/upstream/kvm_selftests_test" "$O/selftests/"
		for test in x86_64/good x86_64/bad not_in_bochs; do cp "${0%/*}/a-test" "$programs/$test"; done'
	# host-run: act like guest/steps, without modules
	stub scripts/lab/host-run '
		echo "$@" >>"$O/booted"
		while [ "$1" != --out ]; do shift; done
		out=$2
		while read -r row _ set tests _; do
			echo "@lab@ begin $row"
			SET=$set sh "$out/payload/tests/kvm_selftests_test" $(echo "$tests" | sed "s/^/-t /; s/,/ -t /g")
			echo "@lab@ end $row $? 10"
		done <"$out/payload/plan" >"$out/output.log"
		echo end=clean >"$out/result"'
}

# says TEST STOCK OURS - add statuses with which the test ends
says()
{
	mkdir -p "$O/says"
	echo "$2" >>"$O/says/$1.stock"
	echo "$3" >>"$O/says/$1.patched"
}

run_it()
{
	run "-$1" "$COPY/scripts/lab/kvm-selftests" --kernel 6.1 "${@:2}"
	echo "$output"
}

# results CASE - print "STAGE RUN RESULT" of that test in the last run
results()
{
	awk -F '\t' -v name="$1" '$8 == name { printf "%s%s %s %s", sep, $6, $7, $10; sep = ", " }' "$O/kvm-selftests/run/results.tsv"
}

@test "kvm-selftests: a version is a kernel, too; a tree may have its number" {
	stub scripts/modules/kernel-get '[ "$1" != --name ] || echo 6.1.176-1'
	mkdir -p "$O/kernels/6.1.176-1"
	echo 6.1.0-2-amd64 >"$O/kernels/6.1.176-1/release"
	run -0 "$COPY/scripts/lab/kvm-selftests" --kernel 6.1.176 --host bochs
	[[ $output == *"6.1.176-1 "*" bochs  2 tests: pass 2"* ]]
	mkdir -p "$O/trees/6.1.176"
	touch "$O/trees/6.1.176"/{release,version,vmlinuz,modules,kbuild,source}
	run -0 "$COPY/scripts/lab/kvm-selftests" --kernel "$O/trees/6.1.176" --host bochs
	[[ $output == *"6.1.176 "*" bochs  2 tests: pass 2"* ]]
}

@test "kvm-selftests: an equal result with both is fine, any result" {
	says bad 254 254
	run_it 0 --host bochs
	[[ $output == *"2 tests: pass 1, skip 0, fail 1, time out 0 with both; differ: none"* ]]
	[ "$(results x86_64/bad)" = "stock 1 fail, ours 1 fail" ]
	# No test was run again, and the status of a failure does not matter.
	says bad 1 254
	run_it 0 --host bochs
	[ "$(wc -l <"$O/booted")" -eq 2 ]
}

@test "kvm-selftests: a test that passes with the distro's modules only is named, and is an error" {
	says good 0 254
	says bad 254 254
	run_it 1 --host bochs
	[[ $output == *"differ: x86_64/good: pass, fail"*"x86_64/good: pass on the kernel's own modules, fail on ours: "*/output.log:[0-9]* ]]
	[ "$(results x86_64/good)" = "stock 1 pass, ours 1 fail, stock 2 pass, ours 2 fail, stock 3 pass, ours 3 fail" ]
	[ "$(results x86_64/bad)" = "stock 1 fail, ours 1 fail" ]
	grep -q '^ *not ok .* x86_64/good' "$O/kvm-selftests/run/results.ktap"
	# A test that hangs or skips with ours is named, too.
	for pair in "4 skip" "124 timeout" "137 timeout" "134 fail"; do
		rm -r "$O/says"
		says good 0 "${pair% *}"
		run_it 1 --host bochs
		[[ $output == *"differ: x86_64/good: pass, ${pair#* }"* ]]
	done
}

@test "kvm-selftests: one that passes with ours when it is tried again is flaky, not broken" {
	says good 0 254
	says good 0 0
	says bad 254 0
	run_it 0 --host bochs
	[[ $output == *"pass 1, "*"differ: x86_64/bad: fail, pass"* ]]
	[ "$(results x86_64/good)" = "stock 1 pass, ours 1 fail, stock 2 pass, ours 2 pass, stock 3 pass, ours 3 pass" ]
}

@test "kvm-selftests: a test that was not run, or a host that died, is an error" {
	stub scripts/lab/host-run '
		while [ "$1" != --out ]; do shift; done
		out=$2
		if [ ! -e "$O/once" ]; then
			touch "$O/once"
			printf "@lab@ begin 1\n#  RUN           kvm.x86_64/bad ...\n" >"$out/output.log"
			printf "end=%s\nreason=it did\n" "$END" >"$out/result"
			exit 3
		fi
		printf "@lab@ begin $ROW\n#  RUN           kvm.x86_64/bad ...\nok 1 kvm.x86_64/bad\n@lab@ end $ROW %s 10\n" "$STATUS" >"$out/output.log"
		echo end=clean >"$out/result"'
	for end in panic hang killed; do
		ROW=2 END=$end STATUS=0 run_it 3 --host bochs
		[[ $output == *"stock, run 1: not all tests were run: $end (in x86_64/bad: it did): "*"6.1 bochs: not all tests were run"* ]]
		rm "$O/once"
	done
	# The watchdog ends the step, or the modules do not load.
	for step in 143 setup; do
		touch "$O/once"
		ROW=1 STATUS=$step run_it 3 --host bochs --ours
		[[ $output == *"not all tests were run"* ]]
	done
	[ ! -e "$O/kvm-selftests/rows.tsv" ]
}

@test "kvm-selftests: a test that is left out is left out there only" {
	run_it 0 --host qemu
	[[ $output == *"3 tests: pass 3"* ]]
	run_it 2 --host bochs not_in_bochs
	run_it 2 --host qemu left_out
	[[ $output == *left_out* ]]
}

@test "kvm-selftests: a test's last line is the reason why it skips" {
	says good 4 4
	run_it 0 --host bochs
	[[ $output == *"pass 1, skip 1, "* ]]
	awk -F '\t' '$8 == "x86_64/good" && $10 == "skip" && $13 == "the last words" { n++ } END { exit n != 2 }' \
		"$O/kvm-selftests/run/results.tsv"
}

@test "kvm-selftests: the columns have room for a long release" {
	mkdir -p "$O/trees/6.12.118+deb13-amd64"
	touch "$O/trees/6.12.118+deb13-amd64"/{release,version,vmlinuz,modules,kbuild,source}
	run -0 "$COPY/scripts/lab/kvm-selftests" --kernel 6.1 --kernel "$O/trees/6.12.118+deb13-amd64" --host bochs
	[ "$(grep -c '^.\{22\} bochs  2 tests: ' <<<"$output")" -eq 2 ]
}

@test "kvm-selftests --table: rows of other kernels stay" {
	says bad 254 254
	run_it 0 --host bochs
	"$COPY/scripts/lab/kvm-selftests" --table
	grep -qF '| 6.1 | bochs | 2 | 1 | 0 | 1 | 0 | none |' "$COPY/doc/results/kvm-selftests.md"
	printf '\nA note.\n' >>"$COPY/doc/results/kvm-selftests.md"
	sed -i 's/6\.1/5.10/' "$O/kvm-selftests/rows.tsv"
	"$COPY/scripts/lab/kvm-selftests" --table
	grep -qF '| 6.1 | bochs | 2 |' "$COPY/doc/results/kvm-selftests.md"
	grep -qF '| 5.10 | bochs | 2 |' "$COPY/doc/results/kvm-selftests.md"
	[ "$(tail -n 1 "$COPY/doc/results/kvm-selftests.md")" = 'A note.' ]
}

@test "kvm-selftests: bad input is refused" {
	run_it 2 --host mars
	run -2 "$COPY/scripts/lab/kvm-selftests" --kernel 9.9
	[[ $output == *9.9* ]]
	run -2 "$COPY/scripts/lab/kvm-selftests" --table
	[[ $output == *"no results"* ]]
}

# a_tree NAME - make the files that tree-host leaves of a kernel
a_tree()
{
	mkdir -p "$O/trees/$1"/{modules,kbuild,source}
	touch "$O/trees/$1"/{version,vmlinuz}
	echo "${1/-/-racefix-}" >"$O/trees/$1/release"
	echo "$O/trees/$1"
}

@test "kvm-selftests --kernel DIR: a tree's kernel, and more time for a debug kernel" {
	tree=$(a_tree 9.9.0)
	run -0 "$COPY/scripts/lab/kvm-selftests" --kernel "$tree" --host bochs
	[[ $output == *"9.9.0 "*" bochs "*"2 tests: pass 2"* ]]
	grep -qxF -- "--kbuild $tree/kbuild --ksrc $tree/source --variant patched" "$O/built"
	normal=$(grep -o -- '--timeout [0-9]*' "$O/booted")
	rm "$O/booted"
	tree=$(a_tree 9.9.0-kasan)
	run -0 "$COPY/scripts/lab/kvm-selftests" --kernel "$tree" --host bochs
	grep -q kasan_multi_shot "$O/booted"
	[ "$(grep -o -- '--timeout [0-9]*' "$O/booted" | cut -d ' ' -f 2)" -gt "${normal#* }" ]
	[ "$(cut -f 1 "$O/kvm-selftests/rows.tsv" | sort -u | tr '\n' ' ')" = "9.9.0 9.9.0-kasan " ]
	# A tree whose name is a line of the distro's, or a directory that is no tree.
	tree=$(a_tree 6.1)
	run -2 "$COPY/scripts/lab/kvm-selftests" --kernel "$tree"
	rm "$tree/vmlinuz"
	run -2 "$COPY/scripts/lab/kvm-selftests" --kernel "$tree"
	[[ $output == *vmlinuz* ]]
}

@test "kvm-selftests: with --ours, another variant or named tests nothing is kept" {
	says bad 254 254
	run_it 0 --host bochs --ours
	[[ $output == *"2 tests: pass 1, skip 0, fail 1, time out 0 with ours"* ]]
	[ "$(results x86_64/bad)" = "ours 1 fail" ]
	run_it 0 --host bochs --variant other
	grep -q -- '--variant other' "$O/built"
	run_it 0 --host bochs x86_64/good
	[[ $output == *" bochs  1 tests: pass 1"* ]]
	[ ! -e "$O/kvm-selftests/rows.tsv" ]
}
