#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# scripts/lab/run: the modules that it builds, the hosts that it boots, and its further steps.
# Kernels, modules, tests and hosts are stubs here.

bats_require_minimum_version 1.5.0

setup()
{
	# shellcheck source=selftests/scripts/stubs.sh
	. "$BATS_TEST_DIRNAME/stubs.sh"
	lab_copy
	OUT=$BATS_TEST_TMPDIR/out
	PLAN=$BATS_TEST_TMPDIR/plan.tsv
	mkdir -p "$O/kernels"/{6.1,5.10} "$O/selftests" "$O/sets/racegate"
	cp -r "$TOP/selftests/races" "$COPY/selftests/"
	echo 6.1.0-x >"$O/kernels/6.1/release"
	echo 5.10.0-x >"$O/kernels/5.10/release"
	touch "$O/selftests"/{tdp_mmu_zap,gpc_refresh}_test "$O/sets/racegate/racegate.ko"
	stub scripts/modules/kernel-get 'echo "kernel $*" >>"$O/did"'
	stub scripts/lab/bochs-build 'echo bochs >>"$O/did"'
	# The arguments are --kernel KERNEL --variant SET.
	stub scripts/modules/modules-build 'echo "set $2 $4" >>"$O/did"; mkdir -p "$O/sets/$4"; echo "$O/sets/$4"'
	stub bin/make 'exit 0'
	# Every step does as says/BOOT has it for its row, or passes.
	stub_boot '
		boot=${out##*/}
		echo "boot $boot:$append: $(cut -d " " -f 1 "$out/payload/plan" | tr "\n" " ")" >>"$O/did"
		end=clean rc=0
		while read -r row _ set cases seconds; do
			echo "@lab@ begin $row"
			says=$(cat "$O/says/$boot-$row" 2>/dev/null || echo "ok 1 global.one")
			echo "#  RUN           global.one ..."
			case $says in
			dies|hang|killed) end=$says rc=3; [ "$says" != dies ] || end=panic; break ;;
			wait) echo $$ >"$O/waits"; exec sleep 100 ;;
			esac
			echo "$says"
			status=0
			case $says in *"not ok"*) status=1 ;; esac
			echo "@lab@ end $row $status 10"
		done <"$out/payload/plan" >"$out/output.log"
		echo "RIP: somewhere" >"$out/console.log"
		printf "end=%s\nreason=why\nseconds=3.0\n" "$end" >"$out/result"
		exit $rc'
	mkdir "$O/says"
	# shellcheck source=scripts/lab/lab.sh
	. "$TOP/scripts/lab/lab.sh"
	{
		plan_row a 6.1 qemu stock tdp-mmu-zap default 1 before fail 100 -
		plan_row a 6.1 qemu patched tdp-mmu-zap every 1 closed pass 100 -
		plan_row a 6.1 qemu stock tdp-mmu-zap default 1 after fail 100 -
		plan_row b 6.1 bochs patched gpc-refresh default 1 closed pass 100 oops=panic
		plan_row c 5.10 qemu patched gpc-refresh default 1 closed pass 100 -
	} >"$PLAN"
}

# says BOOT-ROW TEXT - set the test's output there; dies, hang, or wait forever
says()
{
	printf '%s\n' "$2" >"$O/says/$1"
}

# lab_run STATUS OPTION...
lab_run()
{
	run "-$1" "$COPY/scripts/lab/run" "${@:2}" "$PLAN" "$OUT"
	echo "$output"
}

# steps - print STAGE and RESULT of each step in the results
steps()
{
	awk -F '\t' '$8 == "*" { print $1, $3, $6, $10 }' "$OUT/results.tsv"
}

@test "run: each kernel and set once, each boot with its rows" {
	lab_run 0 --jobs 1
	diff - <(sort "$O/did") <<-'END'
	bochs
	boot a:: 1 2 3 
	boot b:oops=panic: 4 
	boot c:: 5 
	kernel 5.10
	kernel 6.1
	set 5.10 patched
	set 5.10 racegate
	set 6.1 patched
	set 6.1 racegate
	END
	diff - <(steps) <<-'END'
	6.1 qemu before pass
	6.1 qemu closed pass
	6.1 qemu after pass
	6.1 bochs closed pass
	5.10 qemu closed pass
	END
	# The payload has the files that the boot needs, and no others.
	[ "$(ls "$OUT/a/payload/modules" "$OUT/a/payload/tests" | tr '\n' ' ')" = "$OUT/a/payload/modules: patched  $OUT/a/payload/tests: tdp_mmu_zap_test " ]
	diff "$OUT/a/payload/plan" - <<-'END'
	1 tdp-mmu-zap stock default 100
	2 tdp-mmu-zap patched every 100
	3 tdp-mmu-zap stock default 100
	END
}

@test "run: after a dead host the remaining steps have another boot" {
	says a-1 dies
	says a@2-2 killed
	lab_run 0
	grep -qx 'boot a@2:: 2 3 ' "$O/did"
	grep -qx 'boot a@3:: 3 ' "$O/did"
	diff - <(steps | head -n 3) <<-'END'
	6.1 qemu before panic
	6.1 qemu closed killed
	6.1 qemu after pass
	END
	# The last boot ends well.
	[[ $output == *"a@3: tdp-mmu-zap, run 1, after: does not show"* ]]
}

@test "run: a host that does not boot is not tried forever" {
	stub scripts/lab/host-run '
		while [ "$1" != --out ]; do shift; done
		echo "boot $2" >>"$O/did"
		printf "end=no-boot\nreason=why\n" >"$2/result"
		exit 3'
	lab_run 0
	[ "$(grep -c ^boot "$O/did")" -eq 3 ]
	[ "$(steps | cut -d ' ' -f 4 | tr '\n' ' ')" = "no-boot lost lost no-boot no-boot " ]
}

@test "run --shard: every boot is in one part, whole" {
	for k in 1 2; do
		rm -f "$O/did"
		lab_run 0 --shard $k/2
		grep ^boot "$O/did" >>"$BATS_TEST_TMPDIR/boots"
		cp "$OUT/results.tsv" "$BATS_TEST_TMPDIR/results-$k"
	done
	diff - <(sort "$BATS_TEST_TMPDIR/boots") <<-'END'
	boot a:: 1 2 3 
	boot b:oops=panic: 4 
	boot c:: 5 
	END
	[ "$(cat "$BATS_TEST_TMPDIR"/results-* | grep -c -P '\t\*\t')" -eq 5 ]
	lab_run 2 --shard 4/4
	[[ $output == *"no boot for --shard 4/4"* ]]
	for shard in 0/2 3/2 1 a/b; do
		lab_run 2 --shard $shard
	done
}

@test "run --ladders: the first of each race, as it is" {
	ladder=$(printf '#         us  vCPU 1\n#             ------\n#        0.0  kvm_mmu_page_fault\n# it shows')
	says a-1 "$ladder"$'\nnot ok 1 global.one'
	says a-3 "$ladder"$'\nnot ok 1 global.one'
	lab_run 0 --ladders
	[ "$(grep -c '#        0.0  kvm_mmu_page_fault' <<<"$output")" -eq 1 ]
	[[ $output == *"a: tdp-mmu-zap, run 1, before: shows"*"# it shows"*"a: tdp-mmu-zap, run 1, after: shows"* ]]
	# Print the last ladder of a race.
	run -0 "$COPY/scripts/lab/ladder" --results "$OUT/results.tsv" tdp-mmu-zap
	diff - <(echo "$output") <<-END
	# tdp-mmu-zap, one: 6.1.0-x, qemu, as shipped
	$ladder
	END
	run -2 "$COPY/scripts/lab/ladder" --results "$OUT/results.tsv" gpc-refresh
	[[ $output == *"no ladder of gpc-refresh"* ]]
	run -2 "$COPY/scripts/lab/ladder" --results /nonexistent gpc-refresh
	[[ $output == *"make demo RACE=gpc-refresh first"* ]]
}

@test "run: a failed build ends it, and names the log" {
	stub scripts/modules/modules-build 'echo "no such thing" >&2; exit 1'
	lab_run 2
	[[ $output == *"no such thing"*"building failed"*"$OUT"* ]]
	run grep ^boot "$O/did"
	[ "$status" -ne 0 ]
}

@test "run: a signal makes it end the processes that it has started" {
	for signal in INT TERM; do
		rm -f "$O/waits"
		says a-1 wait
		# bats makes background processes ignore SIGINT.
		env --default-signal=INT "$COPY/scripts/lab/run" "$PLAN" "$OUT" 3>&- &
		local pid=$! rc=0 i
		for ((i = 0; i < 100; i++)); do
			[ ! -s "$O/waits" ] || break
			sleep 0.1
		done
		kill -0 "$(cat "$O/waits")"
		kill -s $signal $pid
		wait $pid || rc=$?
		[ $rc -eq $([ $signal = INT ] && echo 130 || echo 143) ]
		run kill -0 "$(cat "$O/waits")"
		[ "$status" -ne 0 ]
	done
}

@test "run: bad input is refused" {
	run -2 "$COPY/scripts/lab/run" "$PLAN"
	[[ $output == *usage:* ]]
	lab_run 2 --jobs 0
	echo "no plan" >"$PLAN"
	lab_run 2
	[[ $output == *"is no plan"* ]]
	PLAN=/nonexistent lab_run 2
}

@test "run: a boot that could not be made is no result, and names what is missing" {
	stub scripts/lab/host-run 'echo "host-run: error: packages are missing; as root: apt-get install cpio" >&2; exit 2'
	lab_run 2
	[[ $output == *"the boot could not be made: packages are missing; as root: apt-get install cpio"* ]]
	[ ! -e "$OUT/results.tsv" ]
}
