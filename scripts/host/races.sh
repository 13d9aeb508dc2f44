# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# What selftests/races says, for scripts that run the race tests. Sourced after lib.sh.

# race_ids - all of them
race_ids()
{
	awk -F '\t' '!/^#/ && NF { print $1 }' "$TOP/selftests/races"
}

# race_host ID - the emulated host that can show it, or nothing for an unknown race
race_host()
{
	awk -F '\t' -v id="$1" '!/^#/ && $1 == id { print $2 }' "$TOP/selftests/races"
}

# race_test ID - its built test
race_test()
{
	printf '%s\n' "$BUILD/selftests/${1//-/_}_test"
}
