# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Part of bats files whose cases ran in an emulated Debian, in setup_file(); its output is in
# OUT/output.log.

# passed NAME... - did these cases pass? If not, print the output of the first that did not
passed()
{
	local name

	for name; do
		grep -qxF "ok - $name" "$OUT/output.log" && continue
		awk -v head="not ok - $name" '
			$0 == head { on = 1; print; next }
			/^(not )?ok - / { on = 0 }
			on' "$OUT/output.log"
		grep -qxF "not ok - $name" "$OUT/output.log" ||
			{ echo "$name: was not run; the host said last:"; tail -n 5 "$OUT/output.log"; }
		return 1
	done
}
