#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# scripts/kvm-selftests: what it makes of what tests say. Its kernel, modules and host
# are stubs here; scripts/check boots real ones.

setup()
{
	# shellcheck source=selftests/scripts/stubs.sh
	. "$BATS_TEST_DIRNAME/stubs.sh"
	lab_copy
	mkdir -p "$COPY/selftests/upstream" "$O/kernels/6.1" "$O/modules"
	echo 'PINNED := 6.1' >"$COPY/selftests/Makefile"
	printf 'left_out\tbochs,qemu\tslow\nnot_in_bochs\tbochs\tslow\n' >"$COPY/selftests/upstream/except"
	src=$O/kernels/6.1/source/tools/testing/selftests/kvm
	mkdir -p "$src"
	echo "TEST_GEN_PROGS_x86_64 = x86_64/good" >"$src/Makefile"
	printf 'TEST_GEN_PROGS_x86_64 += %s\n' x86_64/bad left_out not_in_bochs >>"$src/Makefile"
	echo 6.1.0-1 >"$O/kernels/6.1/version"
	stub scripts/modules/kernel-get '[ "$1" != --name ] || { echo "$3" >&2; exit 2; }'
	stub scripts/modules/modules-build 'echo "$O/modules"'
	# make OUTPUT=... TARGET...: programs, any
	stub bin/make 'for arg; do case $arg in /*_64/*|/*/not_in_bochs) mkdir -p "${arg%/*}"; cp /bin/true "$arg" ;; esac; done'
	# host-run: what the tests are to say
	stub scripts/lab/host-run 'while [ "$1" != --out ]; do shift; done; cp "$O/says" "$2/output.log"; exit "${HOST_RC:-0}"'
}

# says TEST STOCK OURS - add statuses to what the host is to say
says()
{
	printf '@kvm@ %s stock %s\n@kvm@ %s ours %s\n' "$1" "$2" "$1" "$3" >>"$O/says"
}

run_it()
{
	run "$COPY/scripts/lab/kvm-selftests" --kernel 6.1 "$@"
}

@test "kvm-selftests: a version is a kernel, too; a tree may have its number" {
	says x86_64:good 0 0
	says x86_64:bad 0 0
	stub scripts/modules/kernel-get '[ "$1" != --name ] || echo 6.1.176-1'
	run "$COPY/scripts/lab/kvm-selftests" --kernel 6.1.176 --host bochs
	[ "$status" -eq 0 ]
	[[ $output == *"kernel 6.1.176-1, bochs: 2 tests"* ]]
	mkdir -p "$O/trees/6.1.176"
	touch "$O/trees/6.1.176"/{release,vmlinuz,modules,kbuild,source}
	run "$COPY/scripts/lab/kvm-selftests" --kernel "$O/trees/6.1.176" --host bochs
	[ "$status" -eq 0 ]
}

@test "kvm-selftests: the same with both is fine, whatever it is" {
	says x86_64:good 0 0
	says x86_64:bad 254 254
	run_it --host bochs
	[ "$status" -eq 0 ]
	[[ $output == *"2 tests: pass 1, skip 0, fail 1, time out 0 with both; differ: none"* ]]
}

@test "kvm-selftests: what passes with the distro's modules only is told, and fails" {
	says x86_64:good 0 254
	says x86_64:bad 254 254
	run_it --host bochs
	[ "$status" -eq 1 ]
	[[ $output == *"differ: x86_64/good: pass, fail"* ]]
	# One that hangs or skips with ours, too.
	for code in 4 124; do
		rm "$O/says"
		says x86_64:good 0 "$code"
		says x86_64:bad 254 254
		run_it --host bochs
		[ "$status" -eq 1 ]
	done
}

@test "kvm-selftests: one that passes with ours when it is tried again is flaky, not broken" {
	says x86_64:good 0 254
	says x86_64:good 0 0
	says x86_64:bad 254 0
	run_it --host bochs
	[ "$status" -eq 0 ]
	[[ $output == *"pass 1, "*"differ: x86_64/bad: fail, pass"* ]]
}

@test "kvm-selftests: a test that was not run, or a host that died, is an error" {
	says x86_64:good 0 0
	run_it --host bochs
	[ "$status" -eq 3 ]
	[[ $output == *"not all tests were run"* ]]
	HOST_RC=3 run_it --host bochs
	[ "$status" -eq 3 ]
	[[ $output == *"the host died"* ]]
}

@test "kvm-selftests: what is left out is left out there only" {
	says x86_64:good 0 0
	says x86_64:bad 0 0
	says not_in_bochs 0 0
	run_it --host qemu
	[ "$status" -eq 0 ]
	[[ $output == *"3 tests: pass 3"* ]]
	run_it --host bochs not_in_bochs
	[ "$status" -eq 2 ]
	run_it --host qemu left_out
	[ "$status" -eq 2 ]
	[[ $output == *left_out* ]]
}

@test "kvm-selftests --table: rows of other kernels stay" {
	says x86_64:good 0 0
	says x86_64:bad 254 254
	run_it --host bochs
	[ "$status" -eq 0 ]
	"$COPY/scripts/lab/kvm-selftests" --table
	grep -qF '| 6.1 | bochs | 2 | 1 | 0 | 1 | 0 | none |' "$COPY/doc/results/kvm-selftests.md"
	printf '\nA note.\n' >>"$COPY/doc/results/kvm-selftests.md"
	sed -i 's/6\.1/5.10/' "$O/kvm-selftests/results.tsv"
	"$COPY/scripts/lab/kvm-selftests" --table
	grep -qF '| 6.1 | bochs | 2 |' "$COPY/doc/results/kvm-selftests.md"
	grep -qF '| 5.10 | bochs | 2 |' "$COPY/doc/results/kvm-selftests.md"
	[ "$(tail -n 1 "$COPY/doc/results/kvm-selftests.md")" = 'A note.' ]
}

@test "kvm-selftests: bad input is refused" {
	run_it --host mars
	[ "$status" -eq 2 ]
	run "$COPY/scripts/lab/kvm-selftests" --kernel 9.9
	[ "$status" -eq 2 ]
	[[ $output == *9.9* ]]
	run "$COPY/scripts/lab/kvm-selftests" --table
	[ "$status" -eq 2 ]
	[[ $output == *"no results"* ]]
}

# a_tree NAME - what tree-host leaves of a kernel, with the lines of its .config on stdin
a_tree()
{
	mkdir -p "$O/trees/$1"/{modules,kbuild,source}
	touch "$O/trees/$1"/{release,vmlinuz}
	cat >"$O/trees/$1/kbuild/.config"
	echo "$O/trees/$1"
}

@test "kvm-selftests --kernel DIR: a tree's kernel, and more time for a debug kernel" {
	stub scripts/modules/modules-build 'echo "$@" >>"$O/built"; echo "$O/modules"'
	stub scripts/lab/host-run 'echo "$@" >"$O/booted"; while [ "$1" != --out ]; do shift; done; cp "$O/says" "$2/output.log"'
	says x86_64:good 0 0
	says x86_64:bad 254 254
	tree=$(a_tree 9.9.0 <<<CONFIG_KVM=m)
	run "$COPY/scripts/lab/kvm-selftests" --kernel "$tree" --host bochs
	[ "$status" -eq 0 ]
	[[ $output == *"9.9.0 bochs"*"2 tests: pass 1"* ]]
	grep -qxF -- "--kbuild $tree/kbuild --ksrc $tree/source --variant patched" "$O/built"
	normal=$(grep -o -- '--timeout [0-9]*' "$O/booted")
	tree=$(a_tree 9.9.0-kasan <<<CONFIG_KASAN=y)
	run "$COPY/scripts/lab/kvm-selftests" --kernel "$tree" --host bochs
	[ "$status" -eq 0 ]
	grep -q kasan_multi_shot "$O/booted"
	[ "$(grep -o -- '--timeout [0-9]*' "$O/booted" | cut -d ' ' -f 2)" -gt "${normal#* }" ]
	[ "$(cut -f 1 "$O/kvm-selftests/results.tsv" | sort -u | tr '\n' ' ')" = "9.9.0 9.9.0-kasan " ]
	# One that is called as a line of the distro's, or is none.
	tree=$(a_tree 6.1 <<<CONFIG_KVM=m)
	run "$COPY/scripts/lab/kvm-selftests" --kernel "$tree"
	[ "$status" -eq 2 ]
	rm "$tree/vmlinuz"
	run "$COPY/scripts/lab/kvm-selftests" --kernel "$tree"
	[ "$status" -eq 2 ]
	[[ $output == *vmlinuz* ]]
}

@test "kvm-selftests --ours: nothing is compared, and nothing kept" {
	printf '@kvm@ x86_64:good ours 0\n@kvm@ x86_64:bad ours 254\n' >"$O/says"
	run_it --host bochs --ours
	[ "$status" -eq 0 ]
	[[ $output == *"2 tests: pass 1, skip 0, fail 1, time out 0 with ours"* ]]
	[ ! -e "$O/kvm-selftests/results.tsv" ]
	grep -qx 'SETS="ours"' "$O/kvm-selftests/6.1-bochs/payload/settings"
}
