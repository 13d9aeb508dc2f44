# shellcheck shell=bash
# shellcheck disable=SC2154 # those who source this set them
# SPDX-License-Identifier: GPL-2.0-only
#
# The boots of a sweep: all that is to be held, one after the other, in as many boots of an
# emulated host as it takes, as it may die of it. Sourced after lab.sh by those who set
#	kernel host visits	as host-run and the program sweep take them
#	release			what `uname -r` says there
#	ways			names of what is done: one operation of a pair held
#	what[WAY]		"HELD<TAB>OPERATIONS": first or second, and the arguments of the
#				program that name the pair
# In a directory there are then, for each WAY:
#	rows-WAY	what the program said; the lines are those of selftests/sweep/sweep.c,
#			"exit STATUS" if it ended, and of a point at which the host died "dies"
#	done-WAY	points that are not tried again
#	deaths-WAY	of the host: POINT, N of the boot, where
#	boot-N		what host-run left of each boot

# Of a host, in seconds of wall clock or of its own time, on a busy machine.
BOOT_SECONDS=400
SWEEP_SECONDS=${SWEEP_SECONDS:-1800}
# One CPU for each operation, and one to steer.
CPUS=3
# How often more a host has to die at a point.
CONFIRM=2
SET_SECONDS=${SET_SECONDS:-600}
declare -A what=()

# set_dir SET - where it was built for that kernel
set_dir()
{
	printf '%s\n' "$BUILD/modules/$(cat "$(kernel_dir "$kernel")/release")/$1"
}

# build_sets SET... - those that are not the kernel's own, and racegate
build_sets()
{
	local set

	for set in racegate "$@"; do
		[ "$set" = stock ] || build_set "$kernel" "$set" >/dev/null || exit
	done
}

# path_of ROWS - the path there, each point once: every boot that takes it from there says it again
path_of()
{
	awk -F '\t' '$2 == "path" && !seen[$3, $4, $5]++' "$1"
}

# boot DIR SET N WAY... - sweep what is not done there
boot()
{
	local dir=$1 set=$2 n=$3 payload=$1/payload way append=${APPEND-}

	shift 3
	# KASAN reports once unless it is asked to go on.
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

# death DIR N - where the host was when it died in that boot, in words
death()
{
	local where

	where=$(tr -d '\r' <"$1/boot-$2/console.log" |
		sed -n 's/.*RIP: [0-9]*:\([a-z0-9_.]*\)+.*/\1()/p' | head -n 1)
	printf '%s\n' "${where:-$(sed -n 's/^reason=//p' "$1/boot-$2/result")}"
}

# add_rows DIR N - take in what that boot said; a host that dies at a point as often as it
# has to is a finding there
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
			# Before its first point: the next boot would not get further, either.
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

# left DIR - the operations that are not held to the end of their paths yet
left()
{
	local way

	for way in "${ways[@]}"; do
		grep -q $'^@sweep@\texit\t' "$1/rows-$way" || printf '%s\n' "$way"
	done
}

# seen DIR - what a boot is to add to, or the next one would not get further, either
seen()
{
	{
		cat "$1"/done-* "$1"/deaths-*
		grep -h $'^@sweep@\texit\t' "$1"/rows-*
	} | wc -l
}

# reports DIR - what the kernels reported while they were swept, counted, and whether the lock
# validator, where there is one, went off, after which it reports no more
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

# sweep DIR SET - to the ends of the paths, or as long as a set may take
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
