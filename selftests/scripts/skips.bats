#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# Race tests on a host that lacks something: each case skips, with the reason, and none fails, as a
# failure would be read as "vulnerable". They run on this machine, of any kind, and no test gets
# as far as a race. scripts/lab/guest/load/cases has the lacks that need a host with kvm modules.

setup_file()
{
	# shellcheck source=scripts/lib.sh
	. "$BATS_TEST_DIRNAME/../../scripts/lib.sh"
	make -s -C "$TOP/selftests" O="$BUILD"
	# Put the tests where every user may run them.
	BINS=$(mktemp -d)
	export BINS
	chmod 755 "$BINS"
	cp "$BUILD"/selftests/*_test "$BINS/"
	rm -f "$BINS"/racegate_*
}

teardown_file()
{
	rm -rf "$BINS"
}

# all_skip COMMAND... - does every test, run by COMMAND, skip all of its cases with a reason?
all_skip()
{
	local test rc

	for test in "$BINS"/*_test; do
		rc=0
		"$@" "$test" >"$BATS_TEST_TMPDIR/log" 2>&1 </dev/null || rc=$?
		echo "== ${test##*/}"
		cat "$BATS_TEST_TMPDIR/log"
		[ $rc -eq 4 ]
		! grep '^not ok' "$BATS_TEST_TMPDIR/log" || return 1
		! grep -E '# SKIP *$' "$BATS_TEST_TMPDIR/log" || return 1
	done
}

@test "race tests: as nobody" {
	all_skip setpriv --reuid 65534 --regid 65534 --clear-groups
}

@test "race tests: on one CPU" {
	all_skip taskset -c 0
}

@test "race tests: as an ordinary user in the group of /dev/kvm" {
	[ -c /dev/kvm ] || skip "no /dev/kvm, which they would miss first"
	all_skip setpriv --reuid 65534 --regid 65534 --groups "$(stat -c %g /dev/kvm)"
}

@test "race tests: without /dev/kmsg" {
	[ -c /dev/kvm ] || skip "no /dev/kvm, which they would miss first"
	# shellcheck disable=SC2016 # for the shell in the namespace
	all_skip unshare -m --propagation private sh -c 'mount -t tmpfs dev /mnt && cp -a /dev/kvm /dev/null /dev/zero /mnt/ &&
		mount --move /mnt /dev && exec "$0"'
}
