# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# What a test said in one step of scripts/lab/demo-local, from its output.log.

# section LOG RACE STAGE - the output of the last such step
section()
{
	awk -v race="$2" -v stage="$3" '
		/^@demo@ step / {
			if ($3 == race && $5 == stage)
				last = text
			text = ""
			next
		}
		{ text = text $0 "\n" }
		END { printf "%s", last }' "$1"
}

# case_passed LOG RACE STAGE CASE - did it run there, and pass?
case_passed()
{
	grep -qE "^ok [0-9]+ [a-z_]+\.$4\$" < <(section "$1" "$2" "$3")
}

# skipped_cases LOG RACE STAGE - "N of M cases skipped: REASON; REASON", or nothing; without
# "stress", which is known by its reason
skipped_cases()
{
	section "$1" "$2" "$3" | awk '
		/ # SKIP waits for the race instead of forcing it;/ { next }
		/^(not )?ok / { all++ }
		/^ok .*# SKIP / {
			skipped++
			sub(/.*# SKIP /, "")
			if (!seen[$0]++)
				why = why (why ? "; " : "") $0
		}
		END {
			if (skipped)
				printf "%d of %d cases skipped: %s\n", skipped, all, why
		}'
}
