# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Part of bats files that put commands of their own before the machine's in PATH.

# shellcheck source=scripts/lib.sh
. "$BATS_TEST_DIRNAME/../../scripts/lib.sh"

# stub COMMAND SCRIPT - make SCRIPT the command, in BATS_TEST_TMPDIR/bin
stub()
{
	mkdir -p "$BATS_TEST_TMPDIR/bin"
	printf '#!/bin/bash\n%s\n' "$2" >"$BATS_TEST_TMPDIR/bin/$1"
	chmod +x "$BATS_TEST_TMPDIR/bin/$1"
	PATH=$BATS_TEST_TMPDIR/bin:$PATH
}
