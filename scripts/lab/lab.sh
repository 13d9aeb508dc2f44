# shellcheck shell=bash
# shellcheck disable=SC2034 # scripts that source this use them
# SPDX-License-Identifier: GPL-2.0-only
#
# The tables of the laboratory, and functions to handle their columns. Sourced after lib.sh.
#
# A plan is a table of steps, printed by scripts/lab/plan/*: one line each, separated by tabs:
#	BOOT	name of the boot; steps of one boot run in one host, in this order
#	KERNEL	a name in build/kernels, or the directory of a tree that lab/kernel built
#	HOST	bochs, qemu or kvm
#	SET	the modules: stock (the kernel's own), or a variant of modules-build
#	RACE	the race whose test runs; kvm-selftests: the kernel's own tests, each a case
#	CASES	default (all but fatal ones and stress), every (all but stress), until-fail
#		(the same, and none after the first that fails), the names of cases, separated by
#		commas, or stress:SECONDS
#	RUN	a number, or the name of a mutation
#	STAGE	before, closed, after: a triple; once: a fatal case; others are named by
#		their plan
#	EXPECT	pass (every case that can be forced), fail or fail:CASE,... (at least one, or
#		at least these), dies (the host, of this case), caught (a case does not end
#		well, or the host dies), harm (the same, or the host or the modules hang), any
#	SECONDS	time limit of the test, in the host's time
#	ARGS	additions to the kernel's command line, or -
#
# Results, made by scripts/lab/collect: a line for every case, and one for each step, whose
# CASE is *:
#	KERNEL RELEASE HOST SET RACE STAGE RUN CASE EXPECT RESULT SECONDS WALL REASON WHERE
# SECONDS are in the host's time, of a case from its begin to that of the next. WALL is in this
# machine's time, for steps only. WHERE is LOG:LINE.
# RESULT of a case:
#	pass, fail, skip
#	unnamed		left out because it was not named with -t
#	timeout, crash	the harness ended it, or a signal did
#	unfinished	the test ended before this case
#	dies, panic	the host died, as the list of fatal cases of the race says, or otherwise
#	lost		the case did not run
# RESULT of a step: pass, skip; fail: a case failed; timeout, crash: no case failed, but the
# harness or a signal had to end one; dies, panic, lost as above; and
#	unfinished	the test was ended after SECONDS
#	error		the test ended otherwise, without the result of a case: crash, bad usage
#	setup		the modules did not load or unload
#	oops, hang, killed, no-boot	the end of the host as host-run reports it

# shellcheck source=scripts/modules/kernel-name.sh
. "$TOP/scripts/modules/kernel-name.sh"
# shellcheck source=scripts/tree/races.sh
. "$TOP/scripts/tree/races.sh"
# shellcheck source=scripts/lab/nested.sh
. "$TOP/scripts/lab/nested.sh"
# shellcheck source=scripts/lab/table.sh
. "$TOP/scripts/lab/table.sh"

# Tables are sorted, and sort(1) and awk(1) have to use the same order.
export LC_ALL=C

# plan_row VALUE... - print a line of a plan
plan_row()
{
	local IFS=$'\t'

	printf '%s\n' "$*"
}

# fatal_rows BOOT KERNEL HOST SET RACE RELEASE EXPECT SECONDS [yes] - print rows for each case of
# the race that crashes an unfixed host of that release: each has a boot of its own, BOOT-CASE,
# which the first oops ends; with yes, also for each case that ends the host in another way
fatal_rows()
{
	local case

	for case in $(destructive_cases "$5" "$6"; [ -z "${9-}" ] || other_ends "$5" "$6"); do
		plan_row "$1-$case" "$2" "$3" "$4" "$5" "$case" "$case" once "$7" "$8" oops=panic
	done
}

# field FILE KEY - print the value of KEY in a file of KEY=VALUE, such as host-run's result
field()
{
	sed -n "s/^$2=//p" "$1" 2>/dev/null
}

# in_group COMMAND... - run COMMAND in a process group of its own, and end the group when a
# signal ends this shell: Ctrl-C then reaches only this shell, and through it the group
in_group()
{
	local rc=0 group

	set -m
	"$@" </dev/null 8>&- &
	set +m
	group=$!
	trap 'kill -TERM -- "-$group" 2>/dev/null; wait; exit 130' INT
	trap 'kill -TERM -- "-$group" 2>/dev/null; wait; exit 143' TERM
	trap 'kill -TERM -- "-$group" 2>/dev/null; wait; exit 129' HUP
	wait $group || rc=$?
	trap - INT TERM HUP
	return $rc
}

# only_one NAME - take the lock NAME in build/ (fd 8) until this process ends
only_one()
{
	mkdir -p "$BUILD" || die "$EX_USAGE" "cannot create $BUILD"
	exec 8>"$BUILD/$1.lock"
	flock -n 8 || die "$EX_USAGE" \
		"another $1 runs in $BUILD; wait for it, or set O= to another directory for this one"
}

# report_all VIEW OUT - print the view of OUT/results.tsv, write it to OUT/table and, for programs,
# to OUT/results.ktap and OUT/junit.xml; return report's exit code
report_all()
{
	local code=0

	"$TOP/scripts/lab/report" "$1" "$2/results.tsv" >"$2/table" || code=$?
	cat "$2/table"
	"$TOP/scripts/lab/report" --ktap "$1" "$2/results.tsv" >"$2/results.ktap" || :
	"$TOP/scripts/lab/report" --junit "$1" "$2/results.tsv" >"$2/junit.xml" || :
	return $code
}

# run_and_report VIEW OUT [RUN-OPTION]... - run OUT/plan.tsv, and report_all
run_and_report()
{
	in_group "$TOP/scripts/lab/run" "${@:3}" "$2/plan.tsv" "$2" || return
	report_all "$1" "$2"
}

# check_host HOST - exit if there is no such host; an empty HOST stands for any
check_host()
{
	case $1 in
	''|bochs|qemu) ;;
	kvm) need_nested ;;
	*) die "$EX_USAGE" "--host is bochs, qemu or kvm, not '$1'" ;;
	esac
}

# check_races HOST - exit if one of only_races does not exist or, with a HOST, if none of them shows
# there. Adds --race RACE to plan_args for each of only_races, or sets only_races to all races if
# it is empty.
check_races()
{
	local race

	for race in "${only_races[@]}"; do
		[ -n "$(race_hosts "$race")" ] ||
			die "$EX_USAGE" "--race $race: no such race in selftests/races; there are: $(race_ids | paste -sd ' ')"
		plan_args+=(--race "$race")
	done
	[ ${#only_races[@]} -gt 0 ] || mapfile -t only_races < <(race_ids)
	[ -n "$(for race in "${only_races[@]}"; do race_hosts "$race" "$1"; done)" ] ||
		die "$EX_USAGE" "--host $1: none of these races shows there: ${only_races[*]}"
}

# built_kernel DIR - set dir, name, release and patched, the directory of patched modules, which are
# built, for a kernel that lab/kernel built; exit if DIR has none
# shellcheck disable=SC2034 # for the plans
built_kernel()
{
	[ -e "$1/kbuild" ] || die "$EX_USAGE" "'$1' is no kernel that scripts/lab/kernel built"
	dir=$(readlink -f "$1")
	name=$(basename "$dir")
	read -r release <"$dir/release"
	patched=$(build_set "$dir" patched) ||
		exit "$EX_USAGE"
}

# to_file FILE COMMAND... - run COMMAND with its output in FILE, for in_group
to_file()
{
	local file=$1

	shift
	"$@" >"$file"
}

# tree_lab NAME KERNEL-ARGUMENT... - build a tree's kernel with lab/kernel; set DIR to its place,
# and OUT to DIR/NAME, which is emptied and locked until this process ends (fd 8)
tree_lab()
{
	local name=$1 where

	shift
	mkdir -p "$BUILD" || die "$EX_USAGE" "cannot create $BUILD"
	where=$(mktemp -p "$BUILD") || exit "$EX_USAGE"
	in_group to_file "$where" "$TOP/scripts/lab/kernel" "$@" || { rm -f "$where"; exit "$EX_USAGE"; }
	DIR=$(<"$where")
	OUT=$DIR/$name
	rm -f "$where"
	exec 8>"$DIR/.$name.lock"
	flock -n 8 || die "$EX_USAGE" "another $PROG is at work in $DIR; wait for it, or give this one a --name"
	rm -rf "$OUT"
	mkdir -p "$OUT" || die "$EX_USAGE" "cannot create $OUT"
}

# The demo's output, from emulated hosts or from this machine.
DEMO=$BUILD/demo

# is_one_of WORD LIST... - is WORD in LIST?
is_one_of()
{
	local word=$1 one

	shift
	for one; do
		[ "$one" = "$word" ] && return
	done
	return 1
}

# demo_request - check RUNS, RACE and WITHOUT, and set runs, races and closed_set
demo_request()
{
	local all one

	runs=${RUNS:-3}
	[[ $runs =~ ^[1-9][0-9]{0,3}$ ]] ||
		die "$EX_USAGE" "RUNS=$runs: give a number from 1 to 9999"
	mapfile -t all < <(race_ids)
	races=("${all[@]}")
	if [ -n "${RACE-}" ]; then
		mapfile -t races < <(awk -v RS="[ \t\n]+" "NF && !seen[\$0]++" <<<"$RACE")
		[ ${#races[@]} -gt 0 ] || die "$EX_USAGE" "RACE= names no race"
		for one in "${races[@]}"; do
			is_one_of "$one" "${all[@]}" ||
				die "$EX_USAGE" "RACE=$one: no such race; there are: ${all[*]}"
		done
	fi
	closed_set=patched
	if [ -n "${WITHOUT-}" ]; then
		is_one_of "$WITHOUT" "${all[@]}" ||
			die "$EX_USAGE" "WITHOUT=$WITHOUT: no such race; there are: ${all[*]}"
		closed_set=without-$WITHOUT
	fi
}

# step_text RACE RESULT REASON - print the result of a step in words
step_text()
{
	case $2,$1 in
	*,kvm-selftests) echo "$2${3:+ ($3)}" ;;
	pass,*) echo "does not show" ;;
	fail,*) echo "shows" ;;
	skip,*) echo "could not be tried" ;;
	*) echo "$2${3:+ ($3)}" ;;
	esac
}

declare -A has_ladder=()

# show_ladder DIR RACE - print the ladder of the first case of the race that failed in the boot in
# DIR, unless a ladder of this race was already printed
show_ladder()
{
	local where

	[ -z "${has_ladder[$2]-}" ] || return 0
	while IFS= read -r where; do
		"$TOP/scripts/lab/ladder" --at "$where" >&2 || continue
		has_ladder[$2]=yes
		return
	done < <("$TOP/scripts/lab/collect" "$1" | awk -F '\t' -v race="$2" '$5 == race && $8 != "*" && $10 == "fail" { print $14 }')
}
