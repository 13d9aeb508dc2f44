# shellcheck shell=bash
# shellcheck disable=SC2034 # what these functions set, their caller uses
# SPDX-License-Identifier: GPL-2.0-only
#
# Shared by demo and demo-local: what was asked for, and the rows of the table.
# Sourced after lib.sh and races.sh.

DEMO=$BUILD/demo

# is_one_of WORD LIST... - is it?
is_one_of()
{
	local word=$1 one

	shift
	for one in "$@"; do
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

# row RACE KERNEL HOST UNPATCHED PATCHED TIME - a line of the table
row()
{
	printf '%-36s %-22s %-6s %-26s %-14s %s\n' "$@" | sed 's/ *$//'
}

# count_triples LOG RACE - of the steps of that race in LOG, "SHOWS CLOSED OPEN SHOWED QUIET":
# runs that show it before and after; that do not, or do, on patched modules; unpatched
# steps that show it; runs that show it neither before nor after
count_triples()
{
	awk -v race="$2" '
		/^@demo@ step / && $3 == race {
			got[$4 " " $5] = $6
			if ($5 != "closed" && $6 == "1") showed++
		}
		END {
			for (run in got) {
				split(run, key, " ")
				if (key[2] != "closed") continue
				both = got[key[1] " before"] " " got[key[1] " after"]
				if (both == "1 1") shows++
				if (both == "0 0") quiet++
				if (got[run] == "0") closed++
				if (got[run] == "1") open++
			}
			print shows + 0, closed + 0, open + 0, showed + 0, quiet + 0
		}' "$1"
}

# patched_result CLOSED OPEN - what the table says of so many of the runs
patched_result()
{
	if [ "$2" -gt 0 ]; then
		echo "SHOWS $1/$runs"
	elif [ "$1" -eq "$runs" ]; then
		echo "closed $1/$runs"
	else
		# A test that skipped or hung on patched modules has not shown the race there.
		echo "unclear $1/$runs"
	fi
}
