# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck disable=SC2016 # the stubs expand these
#
# Part of bats files about scripts/lab: a copy of scripts/ in which some scripts are stubs, so
# that nothing is fetched, built or booted.

# shellcheck source=scripts/lib.sh
. "$BATS_TEST_DIRNAME/../../scripts/lib.sh"

# lab_copy - make the copy COPY, with its own build directory O, and COPY/bin for programs that
# replace the machine's
lab_copy()
{
	COPY=$BATS_TEST_TMPDIR/copy
	export O=$COPY/build PATH=$COPY/bin:$PATH
	mkdir -p "$O" "$COPY"/{bin,selftests}
	cp -r "$TOP/scripts" "$COPY/"
}

# stub FILE TEXT - make FILE of the copy a script of TEXT
stub()
{
	# FILE may be a link to another script.
	rm -f "$COPY/$1"
	printf '#!/bin/bash\n%s\n' "$2" >"$COPY/$1"
	chmod +x "$COPY/$1"
}

# stub_sources - make a kernel, 6.1, and a modules-build that makes modules and appends its
# arguments to O/built
stub_sources()
{
	mkdir -p "$O"/{kernels/6.1,modules/set}
	echo 6.1.192-3 >"$O/kernels/6.1/version"
	stub scripts/modules/kernel-get '[ "$1" != --name ] || echo "$2"'
	stub scripts/modules/modules-build 'echo "$*" >>"$O/built"; echo "$O/modules/set"'
}

# stub_boot TEXT - make TEXT host-run, with out, append, payload and timeout set from its arguments
stub_boot()
{
	stub scripts/lab/host-run '
		all=$*
		while [ $# -gt 0 ]; do
			case $1 in --out) out=$2 ;; --append) append=$2 ;; --payload) payload=$2 ;; --timeout) timeout=$2 ;; esac
			shift
		done
'"$1"
}

# stub_host TEXT - make TEXT host-run, with out and payload set from its arguments, which go to
# O/booted; its output is the host's. It exits with HOST_RC
stub_host()
{
	stub_boot '
		echo "$all" >>"$O/booted"
		{
		'"$1"'
		} >"$out/output.log"
		exit "${HOST_RC:-0}"'
}
