#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# scripts/debug-host: the results that it makes of the output of kernels and tests. Its kernel,
# modules, tests and host are stubs here; real runs are started by hand.

bats_require_minimum_version 1.5.0

setup()
{
	# shellcheck source=selftests/scripts/stubs.sh
	. "$BATS_TEST_DIRNAME/stubs.sh"
	lab_copy
	mkdir -p "$COPY/selftests/races" "$O"/{modules,selftests}
	mkdir "$COPY/selftests/lib" && cp "$TOP/selftests/lib/log-deny" "$COPY/selftests/lib/"
	for race in "a qemu" "b qemu" "c bochs"; do
		mkdir -p "$COPY/selftests/races/${race%% *}-race"
		printf 'summary = a race\nhosts = %s\nlines = 6.1\n' "${race#* }" >"$COPY/selftests/races/${race%% *}-race/race"
	done
	printf '[ends_it]\nkills = 9.9\nconsole = RIP: .*here\n' >>"$COPY/selftests/races/a-race/race"
	touch "$O/selftests"/{a,b,c}_race_test "$O/modules/racegate.ko"
	echo a-race >"$O/closed"
	for kind in kasan kcsan; do
		mkdir -p "$O/trees/9.9.0-$kind/kbuild"
		echo "CONFIG_${kind^^}=y" >"$O/trees/9.9.0-$kind/kbuild/.config"
		echo "9.9.0-racefix-$kind" >"$O/trees/9.9.0-$kind/release"
		echo "9.9.0-$kind" >"$O/trees/9.9.0-$kind/version"
		touch "$O/trees/9.9.0-$kind/vmlinuz"
	done
	# The arguments are --debug KIND TREE.
	stub scripts/lab/kernel 'echo "$O/trees/9.9.0-$2"'
	stub scripts/modules/modules-build 'echo "$O/modules"'
	stub bin/make 'exit 0'
	# The arguments are -F version FILE.
	stub bin/modinfo 'echo "kvm-racefix 1.0 ($(cat "$O/closed"))"'
	# The host's output is in says/WHAT, or it ends properly; the arguments go to booted.
	stub_boot '
		what=${out##*-qemu-}
		echo "$what: $append: $(cut -d " " -f 2-4 "$out/payload/plan" | tr "\n" ",")" >>"$O/booted"
		while read -r row _; do
			printf "@lab@ begin $row\n#  RUN           global.one ...\nok 1 global.one\n"
			printf "#  RUN           global.two ...\nok 2 # SKIP why\n@lab@ end $row 0 10\n"
		done <"$out/payload/plan" >"$out/output.log"
		echo "@lab@ lockdep 1" >>"$out/output.log"
		echo "[    1.000000] host: init reached" >"$out/console.log"
		echo end=clean >"$out/result"
		[ ! -d "$O/says/$what" ] || cp "$O/says/$what"/* "$out/"'
}

# says WHAT FILE - write stdin to FILE of that boot's host
says()
{
	mkdir -p "$O/says/$1"
	cat >"$O/says/$1/$2"
}

# debug_host STATUS ARGUMENT...
debug_host()
{
	run "-$1" "$COPY/scripts/lab/debug-host" "${@:2}"
}

@test "debug-host: patched modules come first, and unfixed ones one by one" {
	debug_host 0 tree
	diff - <(LC_ALL=C sort "$O/booted") <<-'END'
	ends_it: oops=panic kasan_multi_shot: a-race stock ends_it,
	patched: oops=panic kasan_multi_shot: a-race patched every,
	stock: oops=panic kasan_multi_shot: a-race stock default,b-race stock default,
	END
	diff - "$O/trees/debug.tsv" <<-'END'
	9.9.0	kasan	qemu	patched	1 passed, 0 failed, 1 skipped	none
	9.9.0	kasan	qemu	stock	2 passed, 0 failed, 2 skipped	none
	9.9.0	kasan	qemu	stock: ends_it	1 passed, 0 failed, 1 skipped	none
	END
}

@test "debug-host: a report on patched modules is 1, on unfixed ones it is shown" {
	says stock console.log <<-'END'
	[    0.500000] WARNING: CPU: 0 PID: 1 at here
	[    1.000000] host: init reached
	[    2.000000][   T77] BUG: KASAN: use-after-free in zap+0x1e0/0x210 [kvm]
	[    3.000000][   T78] BUG: KASAN: use-after-free in zap+0x1e0/0x210 [kvm]
	[    4.000000] WARNING: CPU: 1 PID: 78 at lib/list_debug.c:49 __list_del_entry_valid+0x1/0x2
	[    5.000000] general protection fault, probably for non-canonical address 0xdffffc0000000001: 0000 [#1] SMP KASAN
	[    5.000001] RIP: 0010:commit_zap_page+0x1/0x2 [kvm]
	END
	debug_host 0 tree
	echo "$output"
	[ "$(grep -P '\tstock\t' "$O/trees/debug.tsv" | cut -f 6)" = "BUG: KASAN: use-after-free in zap [kvm] (2 times); WARNING: at lib/list_debug.c:49 __list_del_entry_valid; at boot: WARNING: at here; general protection fault, probably for non-canonical address in commit_zap_page" ]

	mv "$O/says/stock" "$O/says/patched"
	debug_host 1 tree
	# The modules are not to blame for reports that precede them.
	says patched console.log <<-'END'
	[    0.500000] WARNING: CPU: 0 PID: 1 at here
	[    1.000000] host: init reached
	END
	debug_host 0 tree
	[[ $output == *"at boot: WARNING: at here"* ]]
}

@test "debug-host: on patched modules a failed case, or none, or no lock validator, is 1" {
	says patched output.log <<-'END'
	@lab@ begin 1
	#  RUN           global.one ...
	ok 1 global.one
	#  RUN           global.two ...
	not ok 2 global.two
	@lab@ end 1 1 10
	@lab@ lockdep 1
	END
	debug_host 1 tree
	[[ $output == *"1 passed, 1 failed, 0 skipped"* ]]
	says patched output.log <<-'END'
	@lab@ begin 1
	#  RUN           global.one ...
	ok 1 # SKIP why
	@lab@ end 1 4 10
	@lab@ lockdep 1
	END
	debug_host 1 tree
	[[ $output == *"no case passed"* ]]
	says patched output.log <<-'END'
	@lab@ begin 1
	#  RUN           global.one ...
	ok 1 global.one
	@lab@ end 1 0 10
	@lab@ lockdep 0
	END
	debug_host 1 tree
	[[ $output == *"lock validator was off"* ]]
	# The test does not end, or the modules do not load.
	says patched output.log <<-'END'
	@lab@ begin 1
	#  RUN           global.one ...
	ok 1 global.one
	@lab@ end 1 setup 10
	@lab@ lockdep 1
	END
	debug_host 1 tree
	[[ $output == *"1 passed, 1 failed"* ]]
}

@test "debug-host: a host that dies is 3 with patched modules only" {
	says stock result <<<end=panic
	debug_host 0 tree
	[[ $output == *"the host dies"* ]]
	mv "$O/says/stock" "$O/says/patched"
	debug_host 3 tree
	says patched result <<<end=no-boot
	debug_host 3 tree
}

@test "debug-host --kind kcsan: races outside of modules are only counted" {
	says patched console.log <<-'END'
	[    1.000000] host: init reached
	[    2.000000] BUG: KCSAN: data-race in one / other
	[    3.000000] BUG: KCSAN: data-race in one / third
	END
	debug_host 0 --kind kcsan tree
	[[ $output == *"2 data races outside of modules"* ]]
	run -1 grep kasan_multi_shot "$O/booted"
	echo '[    4.000000] BUG: KCSAN: data-race in one [kvm] / other' >>"$O/says/patched/console.log"
	debug_host 1 --kind kcsan tree
	[[ $output == *"data-race in one [kvm] / other"* ]]
}

@test "debug-host --stress: on patched modules, and on unfixed ones race by race" {
	debug_host 0 --stress 60 --race a-race tree
	diff - <(LC_ALL=C sort "$O/booted") <<-'END'
	ends_it: oops=panic kasan_multi_shot: a-race stock ends_it,
	patched: oops=panic kasan_multi_shot: a-race patched every,
	stock-stress-a-race: oops=panic kasan_multi_shot: a-race stock stress:60,
	stock: oops=panic kasan_multi_shot: a-race stock default,
	stress: oops=panic kasan_multi_shot: a-race patched stress:60,
	END
	# Each boot has the modules that its plan names.
	[ -d "$O/trees/9.9.0-kasan/debug-qemu/9.9.0-kasan-qemu-stress/payload/modules/patched" ]
	[ ! -e "$O/trees/9.9.0-kasan/debug-qemu/9.9.0-kasan-qemu-stock-stress-a-race/payload/modules/patched" ]
	grep -q "	patched: stress	" "$O/trees/debug.tsv"
	grep -q "	stock: stress a-race	" "$O/trees/debug.tsv"
	# A report on patched modules counts as in the forced cases.
	says stress console.log <<<"BUG: KASAN: use-after-free in zap [kvm]"
	debug_host 1 --stress 60 tree
	debug_host 2 --stress soon tree
	[[ $output == *"give seconds"* ]]
}

@test "debug-host --kvm-selftests: the kernel's reports count, failures in an emulator do not" {
	cp -r "$TOP/selftests/upstream" "$COPY/selftests/"
	echo 'PINNED := 6.1' >"$COPY/selftests/Makefile"
	touch "$O/selftests/kvm_selftests_test"
	mkdir -p "$O/kernels/6.1/source/tools/testing/selftests/kvm"
	printf 'TEST_GEN_PROGS_x86_64 += x86_64/%s\n' a b c >"$O/kernels/6.1/source/tools/testing/selftests/kvm/Makefile"
	says selftests output.log <<-'END'
	@lab@ begin 5
	#  RUN           kvm.x86_64/a ...
	ok 1 kvm.x86_64/a
	#  RUN           kvm.x86_64/b ...
	not ok 2 kvm.x86_64/b
	#  RUN           kvm.x86_64/c ...
	# x86_64/c: Test terminated by timeout
	not ok 3 kvm.x86_64/c
	@lab@ end 5 1 10
	@lab@ lockdep 0
	END
	debug_host 0 --kvm-selftests tree
	grep -qP "\tpatched: kernel's selftests\t1 passed, 1 failed, 0 skipped, 1 timed out\tnone$" "$O/trees/debug.tsv"
	printf '%s\n' 'host: init reached' 'BUG: KASAN: use-after-free in zap [kvm]' | says selftests console.log
	debug_host 1 --kvm-selftests tree
	# Patched modules of races that this host does not show can break them as well.
	rm "$O/says/selftests/output.log"
	echo another >"$O/closed"
	debug_host 1 --kvm-selftests tree
	# Some of them did not run.
	rm "$O/says/selftests/console.log"
	says selftests output.log </dev/null
	debug_host 3 --kvm-selftests tree
	echo 'no race closed' >"$O/closed"
	debug_host 0 --kvm-selftests tree
	[[ $output == *"no patched modules for the kernel's selftests"* ]]
}

@test "debug-host --table: rows of other kernels stay, and what is below" {
	debug_host 0 tree
	"$COPY/scripts/lab/debug-host" --table
	printf '\nA note.\n' >>"$COPY/doc/results/debug.md"
	sed -i 's/^9\.9\.0	/9.10.0	/; 1d' "$O/trees/debug.tsv"
	sed -i 's/none$/something/' "$O/trees/debug.tsv"
	"$COPY/scripts/lab/debug-host" --table
	"$COPY/scripts/lab/debug-host" --table
	cat "$COPY/doc/results/debug.md"
	diff - <(sed '1,/^| --- /d' "$COPY/doc/results/debug.md") <<-'END'
	| 9.9.0 | kasan | qemu | patched | 1 passed, 0 failed, 1 skipped | none |
	| 9.9.0 | kasan | qemu | stock | 2 passed, 0 failed, 2 skipped | none |
	| 9.9.0 | kasan | qemu | stock: ends_it | 1 passed, 0 failed, 1 skipped | none |
	| 9.10.0 | kasan | qemu | stock | 2 passed, 0 failed, 2 skipped | something |
	| 9.10.0 | kasan | qemu | stock: ends_it | 1 passed, 0 failed, 1 skipped | something |

	A note.
	END
}

@test "debug-host: bad input is refused" {
	for args in '' 'a b' '--no-such-option a' '--kind'; do
		# shellcheck disable=SC2086 # the splitting is intended
		debug_host 2 $args
		[[ $output == *usage:* ]]
	done
	debug_host 2 --kind kmsan tree
	[[ $output == *kmsan* ]]
	debug_host 2 --host mars tree
	[[ $output == *mars* ]]
	debug_host 2 --race no-such-race tree
	[[ $output == *no-such-race* ]]
	debug_host 2 --race c-race tree
	[[ $output == *"none of these races"*c-race* ]]
	debug_host 2 --table
	[[ $output == *"no results"* ]]
	: >"$O/trees/9.9.0-kcsan/kbuild/.config"
	debug_host 2 --kind kcsan tree
	[[ $output == *CONFIG_KCSAN* ]]
	[ ! -e "$O/booted" ]
}
