# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# What selftests/races and selftests/destructive say, for scripts that run the
# race tests. Sourced after lib.sh.

# race_ids - all of them
race_ids()
{
	awk -F '\t' '!/^#/ && NF { print $1 }' "$TOP/selftests/races"
}

# race_hosts ID [HOST] - the emulated hosts that can show it, one a line, the one to
# prefer first, or only HOST if it is one of them; nothing for an unknown race
race_hosts()
{
	awk -F '\t' -v id="$1" -v only="${2-}" '!/^#/ && $1 == id {
		n = split($2, host, ",")
		for (i = 1; i <= n; i++)
			if (only == "" || host[i] == only)
				print host[i]
	}' "$TOP/selftests/races"
}

# race_shows_in ID HOST - can that host show it?
race_shows_in()
{
	grep -qxF -- "$2" < <(race_hosts "$1")
}

# race_test ID - its built test
race_test()
{
	printf '%s\n' "$BUILD/selftests/${1//-/_}_test"
}

# destructive_cases ID LINE - its cases that bring that kernel down as shipped
destructive_cases()
{
	awk -F '\t' -v race="$1" -v line="$2" '
		!/^#/ && $1 == race && index("," $3 ",", "," line ",") { print $2 }' \
		"$TOP/selftests/destructive"
}

# died_of ID CASE DIR - did the host whose results are in DIR die, and of that case?
died_of()
{
	local regex

	regex=$(awk -F '\t' -v race="$1" -v name="$2" \
		'!/^#/ && $1 == race && $2 == name { print $4 }' "$TOP/selftests/destructive")
	[ -n "$regex" ] && grep -qx end=panic "$3/result" 2>/dev/null &&
		grep -aqE -- "$regex" "$3/console.log"
}

# race_in_line ID LINE - does that kernel line have it, as shipped or reopened?
race_in_line()
{
	awk -F '\t' -v id="$1" -v line="$2" '
		!/^#/ && $1 == id && index("," $3 ",", "," line ",") { yes = 1 }
		END { exit !yes }' "$TOP/selftests/races"
}

# closes DIR ID - do the modules there say that they close that race? Which patches a
# tree gets, and from which lines, only the building of it tells.
closes()
{
	grep -qxF -- "$2" < <(modinfo -F version "$1/kvm.ko" | sed 's/^[^(]*(//; s/)$//; s/, /\n/g')
}
