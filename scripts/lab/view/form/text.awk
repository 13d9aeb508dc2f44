# SPDX-License-Identifier: GPL-2.0-only
#
# The table of a view as text, after judge.awk and the view.

END {
	code = exit_code()
	for (i = 1; i <= lines; i++)
		print line[i]
	exit code
}
