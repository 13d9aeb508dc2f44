# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Results as rows of fields separated by tabs, and pages that show them as a table, with text
# below it that is written by hand. The first KEYS fields of a row identify it: a new row
# replaces an old one with the same fields. Sourced after lib.sh.

# table_others KEYS NEW OLD - print the rows of file OLD whose keys are not in file NEW, which
# has at least one row
table_others()
{
	awk -F '\t' -v keys="$1" '
		{
			key = ""
			for (i = 1; i <= keys; i++)
				key = key FS $i
		}
		NR == FNR { new[key]; next }
		!(key in new)' "$2" "$3"
}

# table_keep KEYS FILE - put the rows of stdin into FILE; several processes may call it at once
table_keep()
{
	local new

	new=$(cat)
	[ -n "$new" ] || return 0
	(
		flock 9
		touch "$2"
		{
			table_others "$1" <(printf '%s\n' "$new") "$2"
			printf '%s\n' "$new"
		} | sort >"$2.new" && mv "$2.new" "$2"
	) 9>>"$2.lock" || die "$EX_USAGE" "cannot write $2"
}

# table_rows - print the rows of the first table of the page on stdin
table_rows()
{
	sed -n '/^| --- /,$!d; /^$/q; /^| --- /d; /^|/{s/^| //;s/ |$//;s/ | /\t/g;p}'
}

# table_write KEYS FILE PAGE [SORT-ARGUMENT]... - write PAGE again: stdin, which ends in the
# table's head; the rows of FILE, and those of the old page with other keys; the text below the
# old table
table_write()
{
	local keys=$1 file=$2 page=$3 old=$3

	[ -s "$file" ] || die "$EX_USAGE" "there are no results in $file: run $PROG first"
	shift 3
	mkdir -p "$(dirname "$page")" || die "$EX_USAGE" "cannot create $(dirname "$page")"
	[ -e "$old" ] || old=/dev/null
	{
		cat
		table_others "$keys" "$file" <(table_rows <"$old") | cat - "$file" | sort -t $'\t' "$@" |
			sed 's/\t/ | /g; s/^/| /; s/$/ |/'
		awk 'below; /^[|] --- / { table = 1 } table && /^$/ && !below { print; below = 1 }' "$old"
	} >"$page.new" || die "$EX_USAGE" "cannot write $page.new"
	mv "$page.new" "$page" || exit "$EX_USAGE"
	say "${page##*/} has $(table_rows <"$page" | wc -l) rows"
}
