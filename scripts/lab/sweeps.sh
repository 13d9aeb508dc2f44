# shellcheck shell=bash
# shellcheck disable=SC2154 # scripts that source this set them
# SPDX-License-Identifier: GPL-2.0-only
#
# The boots of a sweep: hold all given operations, one after the other, in as many boots of an
# emulated host as necessary, as the host may die. Sourced after lab.sh by scripts that set
#	kernel host visits	arguments of host-run and of the program sweep
#	release			the output of `uname -r` there
#	ways			names of the sweeps: one operation of a pair held
#	what[WAY]		"HELD<TAB>OPERATIONS": first or second, and the arguments of the
#				program that name the pair
# For each WAY the directory then has:
#	rows-WAY	the program's output, as selftests/sweep/sweep.c explains it, "exit STATUS"
#			if it ended, and for a point at which the host died "dies"
#	done-WAY	points that are not tried again
#	deaths-WAY	deaths of the host: POINT, N of the boot, place
#	boot-N		host-run's output of each boot

# Time limits of a host, in seconds of wall clock or of its own time, on a busy machine.
BOOT_SECONDS=400
SWEEP_SECONDS=${SWEEP_SECONDS:-1800}
# One CPU for each operation, and one for the program that controls them.
CPUS=3
# The number of further deaths that make a point a finding.
CONFIRM=2
SET_SECONDS=${SET_SECONDS:-600}
declare -A what=()

# set_dir SET - print the directory in which it was built for that kernel
set_dir()
{
	printf '%s\n' "$BUILD/modules/$(cat "$(kernel_dir "$kernel")/release")/$1"
}

# build_sets SET... - build the sets that are not the kernel's own, and racegate
build_sets()
{
	local set

	for set in racegate "$@"; do
		[ "$set" = stock ] || build_set "$kernel" "$set" >/dev/null || exit
	done
}

# path_of ROWS - print the path in ROWS, each point once: every boot that continues it prints it
# again
path_of()
{
	awk -F '\t' '$2 == "path" && !seen[$3, $4, $5]++' "$1"
}

# boot DIR SET N WAY... - boot a host and sweep the points that are not done yet
boot()
{
	local dir=$1 set=$2 n=$3 payload=$1/payload way append=${APPEND-}

	shift 3
	# Without this parameter KASAN reports only once.
	[[ $release != *-kasan ]] || append+=" kasan_multi_shot"
	rm -rf "$payload"
	mkdir -p "$payload/modules"
	cp "$TOP/scripts/lab/guest/sweep" "$payload/run"
	cp "$BUILD/selftests/sweep" "$(set_dir racegate)/racegate.ko" "$payload/"
	[ "$set" = stock ] || cp -r "$(set_dir "$set")" "$payload/modules/$set"
	{
		printf '%s\n' "$set" "$visits"
		for way; do
			printf '%s\t%s\n' "$way" "${what[$way]}"
		done
	} >"$payload/plan"
	cp "$dir"/done-* "$payload/"
	for way; do
		path_of "$dir/rows-$way" >"$payload/path-$way"
	done
	in_group "$TOP/scripts/lab/host-run" --host "$host" --kernel "$kernel" --payload "$payload" \
		--out "$dir/boot-$n" --smp $CPUS --boot-timeout $BOOT_SECONDS \
		--timeout "$SWEEP_SECONDS" ${append:+--append "$append"} 2>"$dir/host-run.log"
	rm -rf "$payload"
}

# death DIR N - print the place at which the host died in that boot, in words
death()
{
	local where

	where=$(tr -d '\r' <"$1/boot-$2/console.log" |
		sed -n -e 's/.*BUG: \(KASAN: [a-z-]* in [a-z0-9_.]*\)+.*/\1()/p' \
			-e 's/.*RIP: [0-9]*:\([a-z0-9_.]*\)+.*/\1()/p' | head -n 1)
	printf '%s\n' "${where:-$(sed -n 's/^reason=//p' "$1/boot-$2/result")}"
}

# add_rows DIR N - add the output of that boot to the rows; if the host has died at a point often
# enough, this is a finding there
add_rows()
{
	local dir=$1 n=$2 way

	tr -d '\r' <"$dir/boot-$n/output.log" | awk -F '\t' -v OFS='\t' -v dir="$dir" \
		-v n="$n" -v where="$(death "$dir" "$n")" -v confirm=$CONFIRM '
		function count_deaths(file,  line, field) {
			while ((getline line <file) > 0) {
				split(line, field, "\t")
				deaths[field[1] OFS field[2] OFS field[3]]++
			}
			close(file)
		}
		$1 != "@sweep@" { next }
		$2 == "held" {
			rows = dir "/rows-" $3
			file = dir "/deaths-" $3
			split("", deaths)
			count_deaths(file)
			ended = 0
			tried = 0
			at = ""
		}
		rows == "" { next }
		$2 == "point" && deaths[$3 OFS $4 OFS $5] {
			$7 = "not tried"
			$9 = "the host died of it, and not as often again"
		}
		{ print >>rows }
		$2 == "at" { at = $3 OFS $4 OFS $5; tried = 1 }
		$2 == "point" { at = "" }
		$2 == "exit" { ended = 1 }
		END {
			# It ended before its first point: the next boot would not get further,
			# either.
			if (rows != "" && !ended && !tried)
				print "@sweep@", "exit", 3 >>rows
			if (ended || at == "")
				exit
			print at, n, where >>file
			if (++deaths[at] > confirm)
				print "@sweep@", "point", at, "", "dies", "", where >>rows
		}'
	for way in "${ways[@]}"; do
		awk -F '\t' -v OFS='\t' '$2 == "point" { print $3, $4, $5 }' \
			"$dir/rows-$way" >"$dir/done-$way"
	done
}

# left DIR - print the operations that are not held to the end of their paths yet
left()
{
	local way

	for way in "${ways[@]}"; do
		grep -q $'^@sweep@\texit\t' "$1/rows-$way" || printf '%s\n' "$way"
	done
}

# seen DIR - print the number of results; if a boot does not add to it, the next one would not,
# either
seen()
{
	{
		cat "$1"/done-* "$1"/deaths-*
		grep -h $'^@sweep@\texit\t' "$1"/rows-*
	} | wc -l
}

# reports DIR - print the kernels' reports during the sweep, with counts, and whether the lock
# validator, if there is one, switched itself off, after which it reports no more
reports()
{
	local log

	for log in "$1"/boot-*/dmesg.log; do
		[ ! -e "$log" ] || "$TOP/scripts/lab/log-scan" --short "$log"
	done |
		awk -F '\t' '$3 !~ /^at boot: / { nr[$3]++ } END { for (text in nr) print text " (" nr[text] ")" }' | sort
	cat "$1"/rows-* |
		awk -F '\t' '$2 == "lockdep" && $3 == 0 { off = 1 } END { if (off) print "the lock validator went off" }'
}

# sweep DIR SET - boot hosts until the paths are swept to the end or the time of the set is over
sweep()
{
	local dir=$1 n before todo way begin=$SECONDS

	mkdir -p "$dir"
	for way in "${ways[@]}"; do
		: >"$dir/done-$way"
		: >"$dir/rows-$way"
		: >"$dir/deaths-$way"
	done
	for ((n = 1; SECONDS - begin < SET_SECONDS; n++)); do
		mapfile -t todo < <(left "$dir")
		[ ${#todo[@]} -gt 0 ] || break
		before=$(seen "$dir")
		boot "$dir" "$2" "$n" "${todo[@]}"
		add_rows "$dir" "$n"
		[ "$(seen "$dir")" -gt "$before" ] || break
	done
	say "$dir: $((n - 1)) boots, $(cat "$dir"/deaths-* | wc -l) deaths, $((SECONDS - begin)) s"
}
