#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# scripts/lab/sweep: wrong arguments, and the map that is made of the program's output. No host is
# booted.

bats_require_minimum_version 1.5.0

setup()
{
	# shellcheck source=scripts/lib.sh
	. "$BATS_TEST_DIRNAME/../../scripts/lib.sh"
	MAP=$TOP/scripts/lab/sweep.awk
	cd "$BATS_TEST_TMPDIR" || return
	: >unfixed
	: >fixed
}

# path FILE FUNCTION WHERE DEPTH... - write the path that a host found
path()
{
	local file=$1

	shift
	printf '@sweep@\tpair\trace\treplaces the page\trefreshes the cache\n' >>"$file"
	while [ $# -ge 3 ]; do
		printf '@sweep@\tpath\t%s\t%s\t1\t%s\n' "$1" "$2" "$3" >>"$file"
		shift 3
	done
}

# point FILE FUNCTION WHERE VERDICT [WHY] - write the verdict of a point
point()
{
	printf '@sweep@\tpoint\t%s\t%s\t1\t0\t%s\tran\t%s\n' "$2" "$3" "$4" "${5-}" >>"$1"
}

# map - print it as text, or with "svg" as a drawing
map()
{
	awk -F '\t' -v race=gpc-refresh -v kernel=6.1.0 -v host=qemu \
		-v unfixed=reopen-gpc-refresh -f "$MAP" unfixed fixed >text
	if [ "${1-}" = svg ]; then
		"$TOP/scripts/tree/window-svg" <text
	else
		cat text
	fi
}

# two_paths - write two paths of three points; that of the fixed modules has one more function
two_paths()
{
	path unfixed kvm:f entry 0 "_raw_spin_lock<kvm" entry 1 kvm:f return 0
	path fixed kvm:f entry 0 kvm:g entry 1 "_raw_spin_lock<kvm" entry 1 kvm:f return 0
	point unfixed kvm:f entry "ran through"
	point unfixed "_raw_spin_lock<kvm" entry shows
	point unfixed kvm:f return "not tried" "no gate"
	point fixed kvm:f entry "ran through"
	point fixed kvm:g entry "not reached"
	point fixed "_raw_spin_lock<kvm" entry waited
	point fixed kvm:f return waited
}

@test "both paths stand side by side, a function that only one has in its place" {
	two_paths
	run -0 map
	[[ $output == *"A replaces the page, B refreshes the cache; unfixed: reopen-gpc-refresh"* ]]
	[[ $output == *$'\n   |      |   f() {\n          .     g() {\n   S      w     _raw_spin_lock() {\n   ?      w   } f'* ]]
}

# words_of COUNT - print the words with which the program itself prints it
words_of()
{
	sed -n "s/.*print_count(\"\([^\"]*\)\", sweep->$1);.*/\1/p" "$BATS_TEST_DIRNAME/../sweep/sweep.c" | grep .
}

@test "the counts are those of the recorded points" {
	two_paths
	printf "@sweep@\tcount\t%s\t2\n" "$(words_of leaked)" >>fixed
	printf '@sweep@\tcount\tschedules\t30\n@sweep@\tcount\tmilliseconds\t600\n' >>unfixed
	run map
	[[ $output == *"unfixed: 1 of 3 points show; 1 ran through, 0 waited, 0 not reached, 1 not tried; 30 schedules, 50.0/s"* ]]
	[[ $output == *"fixed:   0 of 4 points show; 1 ran through, 2 waited, 1 not reached, 0 not tried"* ]]
	[[ $output == *"not tried, unfixed, 1: no gate"* ]]
	[[ $output == *"; 2 VMs left references to pages"* ]]
}

@test "a host that dies is a finding, and the points that were not tried after it are counted" {
	path unfixed kvm:f entry 0 kvm:g entry 0 kvm:g return 0
	path fixed kvm:f entry 0
	point unfixed kvm:f entry "ran through"
	point unfixed kvm:g entry dies "Fatal exception"
	run map
	[[ $output == *"unfixed: 1 of 3 points show (the host dies at 1); 1 ran through, 0 waited, 0 not reached, 1 not tried"* ]]
	[[ $output == *"dies, unfixed, 1: Fatal exception"* ]]
	[[ $output == *$'\n   X          g() {'* ]]
}

@test "a path that a second boot finds again is not a second path" {
	path unfixed kvm:f entry 0 kvm:f return 0
	path unfixed kvm:f entry 0 kvm:f return 0
	path fixed kvm:f entry 0 kvm:f return 0
	point unfixed kvm:f entry shows
	point fixed kvm:f entry waited
	run map
	[ "$(grep -c 'f() {' <<<"$output")" -eq 1 ]
}

@test "the same as SVG" {
	two_paths
	run -0 map svg
	[[ ${lines[0]} == "<svg "* ]]
	[[ $output == *"_raw_spin_lock() {</text>"* ]]
	# In the third row: a point that shows on unfixed modules, and waits on fixed ones.
	[[ $output == *'<path d="M8 '*'" fill="#d64545"'*'<text x="36" y="'*'>S</text>'* ]]
	[[ $output == *'<text x="98 98" y="'*'>ww</text>'* ]]
	[[ $output == *"_raw_spin_lock() {</text>"* ]]
	[[ ${lines[-1]} == "</svg>" ]]
	command -v xmllint >/dev/null || skip "there is no xmllint; apt-get install libxml2-utils"
	xmllint --noout - <<<"$output"
}

@test "a function that is called from elsewhere is at another place" {
	path unfixed kvm:f entry 0 kvm:g entry 1
	path fixed kvm:f entry 0 kvm:g entry 2
	point unfixed kvm:g entry shows
	point fixed kvm:g entry waited
	run map
	[[ $output == *$'\n   S            g() {\n          w       g() {'* ]]
}

@test "two holds are told apart from one" {
	two_paths
	printf '@sweep@\ttwo\tkvm:f\tentry\t1\t_raw_spin_lock<kvm\treturn\t2\n' >>unfixed
	printf '@sweep@\tcount\ttwo holds: shows\t1\n@sweep@\tcount\ttwo holds: waited\t4\n' >>unfixed
	run map
	[[ $output == *"unfixed: 1 of 3 points show"* ]]
	[[ $output == *"two holds, unfixed: 1 show, 0 ran through, 4 waited, 0 not reached, 0 not tried"* ]]
	[[ $output == *"  A held at f() {, B at } _raw_spin_lock #2"* ]]
	[[ $output == *"two holds, fixed:"* ]]
	run map svg
	[[ $output == *">two holds, unfixed: 1 show"* ]]
}

@test "without a race it prints its usage" {
	run -2 env -u RACE -u O "$TOP/scripts/lab/sweep"
	[[ $output == *"give RACE=ID, or A=OPERATION B=OPERATION"* ]]
	run -2 env -u RACE -u O A=mmap "$TOP/scripts/lab/sweep"
	run -2 env -u O RACE=gpc-refresh A=mmap B=kvmclock "$TOP/scripts/lab/sweep"
	run -2 "$TOP/scripts/lab/sweep" --bogus
}

# verdict STATUS [OPTION...] - does sweep-verdict.awk exit with STATUS for the rows? Print its
# output
verdict()
{
	run "-$1" awk -F '\t' "${@:2}" -f "$TOP/scripts/lab/sweep-verdict.awk" set=unfixed unfixed set=fixed fixed
}

# ends FILE STATUS - write the program's end
ends()
{
	printf '@sweep@\texit\t%s\n' "$2" >>"$1"
}

@test "verdict: it shows on unfixed modules, and nothing on fixed ones, which were swept to the end" {
	point unfixed kvm:f entry shows
	for _ in $(seq 20); do point fixed kvm:f entry waited; done
	point fixed kvm:g entry "not tried" "no gate"
	verdict 3
	[[ $output == *"were not swept to the end: fixed"* ]]
	ends fixed 0
	verdict 0
	[ -z "$output" ]
	point fixed kvm:g return "not tried" "no gate"
	verdict 1
	[[ $output == *"2 of 22 points were not tried on the fixed modules"* ]]
}

@test "verdict: points that show on fixed modules with two holds only, or by pages; races that show nowhere" {
	point unfixed kvm:f entry shows
	: >fixed
	verdict 3
	point fixed kvm:f entry waited
	ends fixed 1
	verdict 1
	[[ $output == *"two holds show"* ]]
	point fixed kvm:g entry dies "Fatal exception"
	verdict 1
	[[ $output == *"1 points show on the fixed modules"* ]]
	: >unfixed
	: >fixed
	point unfixed kvm:f entry waited
	point fixed kvm:f entry waited
	ends unfixed 0
	ends fixed 0
	verdict 1
	[[ $output == *"no point shows on the unfixed modules"* ]]
	verdict 0 -v pair=1
}

# row FILE WAY - print the row of the table of pairs
row()
{
	run awk -F '\t' -v kernel=6.1 -v host=qemu -v modules=stock -v way="$2" \
		-f "$TOP/scripts/lab/sweep-pairs.awk" "$1"
}

@test "pairs: a row has the held operation, the verdicts of the points, and the speed" {
	path unfixed kvm:f entry 0 kvm:g entry 1 kvm:g return 1
	point unfixed kvm:f entry "ran through"
	point unfixed kvm:g entry waited
	printf '@sweep@\tcount\tschedules\t30\n@sweep@\tcount\tmilliseconds\t600\n' >>unfixed
	row unfixed slot-move-pv+kvmclock-second
	[ "$status" -eq 1 ]
	[ "$output" = $'6.1\tqemu\tstock\tslot-move-pv, kvmclock\tkvmclock\t3\t0\t1\t1\t0\t1\t30\t0.6\t50\tnot swept to the end' ]
	point unfixed kvm:g return "not tried" "no gate"
	ends unfixed 0
	row unfixed slot-move-pv+kvmclock-first
	[ "$status" -eq 0 ]
	[ "$output" = $'6.1\tqemu\tstock\tslot-move-pv, kvmclock\tslot-move-pv\t3\t0\t1\t1\t0\t1\t30\t0.6\t50\tnothing (no gate)' ]
}

@test "pairs: findings, references that are left, and operations that the host lacks" {
	path unfixed kvm:f entry 0
	point unfixed kvm:f entry dies "g()"
	ends unfixed 1
	row unfixed a+b-first
	[ "$status" -eq 1 ]
	[[ $output == *$'\tshows (g())' ]]
	path fixed kvm:f entry 0
	point fixed kvm:f entry waited
	printf '@sweep@\tcount\t%s\t2\n' "$(words_of leaked)" >>fixed
	ends fixed 1
	row fixed a+b-first
	[ "$status" -eq 1 ]
	[[ $output == *$'\t2 VMs left references to pages' ]]
	ends none 4
	row none a+b-first
	[ "$status" -eq 0 ]
	[[ $output == *$'\tnot here' ]]
	ends died 3
	row died a+b-first
	[ "$status" -eq 1 ]
	[[ $output == *$'\tcould not be swept (3)' ]]
}

@test "pairs: existing operations, and the state that they share" {
	run env -u O "$TOP/scripts/lab/sweep-pairs"
	[ "$status" -eq 2 ]
	[[ $output == *"give PAIRS=all"* ]]
	run env -u O PAIRS=a+b HOST=kvm "$TOP/scripts/lab/sweep-pairs"
	[ "$status" -eq 2 ]
	run env -u O PAIRS=a+b MODULES=none "$TOP/scripts/lab/sweep-pairs"
	[ "$status" -eq 2 ]
	# Each pair names the shared state; the program refuses operations that do not exist.
	while IFS=$'\t' read -r _ b hosts shared rest; do
		[[ $hosts =~ ^(qemu|bochs|qemu,bochs)$ ]]
		[ -n "$b" ] && [ -n "$shared" ]
		[ -z "$rest" ]
	done < <(grep -v '^#\|^$' "$TOP/selftests/sweep/pairs")
}

@test "reports: all reports of the kernels after their boot, and a lock validator that went off" {
	# shellcheck source=scripts/lab/sweeps.sh
	. "$TOP/scripts/lab/sweeps.sh"
	mkdir boot-1 boot-2
	printf '[    1.0] WARNING: CPU: 0 PID: 1 at early.c:1 early+0x1/0x2\n[    2.0] host: init reached\n' |
		tee boot-1/dmesg.log >boot-2/dmesg.log
	printf '@sweep@\tlockdep\t1\n' >rows-a
	printf '@sweep@\tlockdep\t1\n' >rows-b
	[ -z "$(reports .)" ]
	printf '[    3.0] BUG: KASAN: use-after-free in f+0x1/0x2 [kvm]\n' >>boot-1/dmesg.log
	printf '[    4.0] BUG: KASAN: use-after-free in f+0x8/0x9 [kvm]\n' >>boot-2/dmesg.log
	[ "$(reports .)" = "BUG: KASAN: use-after-free in f [kvm] (2)" ]
	printf '[    5.0] WARNING: possible circular locking dependency detected\n' >>boot-2/dmesg.log
	printf '@sweep@\tlockdep\t0\n' >rows-a
	[[ $(reports .) == *"circular locking dependency detected (1)"*"the lock validator went off"* ]]
}

@test "the path that the third boot is given is that of the first" {
	# shellcheck source=scripts/lab/sweeps.sh
	. "$TOP/scripts/lab/sweeps.sh"
	path unfixed kvm:f entry 0 kvm:f return 0
	path_of unfixed >path
	point unfixed kvm:f entry dies "f()"
	cat path >>unfixed
	diff path <(path_of unfixed)
}

# dying_host ... --payload DIR --out DIR ... - replace host-run by a host that sweeps three points
# and dies at the second one, as often as it is tried
dying_host()
{
	local payload out name

	while [ $# -gt 0 ]; do
		case $1 in
		--payload) payload=$2 ;;
		--out) out=$2 ;;
		esac
		shift
	done
	mkdir -p "$out"
	cp "$payload/path-first" "$out/path-first"
	printf '[    9.0] RIP: 0010:kvm_dies_here+0x1/0x2 [kvm]\n' >"$out/console.log"
	printf 'end=panic\nreason=Fatal exception\n' >"$out/result"
	{
		printf '@sweep@\theld\tfirst\n'
		if [ -s "$payload/path-first" ]; then
			cat "$payload/path-first"
		else
			printf '@sweep@\tpath\tkvm:%s\tentry\t1\t0\t0\n' f g h
		fi
		for name in f g h; do
			! grep -qx "kvm:$name"$'\tentry\t1' "$payload/done-first" || continue
			printf '@sweep@\tat\tkvm:%s\tentry\t1\n' "$name"
			[ "$name" != g ] || return 3
			printf '@sweep@\tpoint\tkvm:%s\tentry\t1\t0\tran through\tran\t\n' "$name"
		done
		printf '@sweep@\texit\t1\n'
	} >"$out/output.log"
}

@test "a host that dies at a point is booted again, dies twice more, and goes on after it" {
	# shellcheck source=scripts/lab/lab.sh
	. "$TOP/scripts/lab/lab.sh"
	# shellcheck source=scripts/lab/sweeps.sh
	. "$TOP/scripts/lab/sweeps.sh"
	# shellcheck disable=SC2034 # for sweeps.sh
	BUILD=$PWD kernel=6.1 host=qemu visits=1 release=6.1.0
	mkdir selftests modules
	touch selftests/sweep modules/racegate.ko
	set_dir() { echo "$PWD/modules"; }
	in_group() { shift; dying_host "$@"; }
	# shellcheck disable=SC2034 # for sweeps.sh
	ways=(first) what[first]=$'first\ta b'
	run sweep swept stock
	[ "$(grep -c . swept/deaths-first)" -eq 3 ]
	[ -e swept/boot-4/output.log ] && [ ! -e swept/boot-5 ]
	[ "$(grep -c . swept/boot-4/path-first)" -eq 3 ]
	row swept/rows-first a+b-first
	[[ $output == *"shows (kvm_dies_here())" ]]
	[[ $output == *$'\ta\t3\t1\t2\t0\t0\t0\t'* ]]
	# A report of KASAN tells more than the place where the host was in the end.
	sed -i "1i BUG: KASAN: use-after-free in kvm_frees_here+0x1/0x2 [kvm]" swept/boot-1/console.log
	run -0 death swept 1
	[ "$output" = "KASAN: use-after-free in kvm_frees_here()" ]
}
