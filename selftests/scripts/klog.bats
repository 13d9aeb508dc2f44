#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# selftests/lib/klog.c, which matches the kernel's log against a deny list: which lines
# klog_poll() counts, and over which ones it passes after klog_know(). klog-feed.c takes the
# place of the kernel's log. KLOG=FILE tests another klog.c.

bats_require_minimum_version 1.5.0

setup_file()
{
	local lib=$BATS_TEST_DIRNAME/../lib

	cd "$BATS_FILE_TMPDIR" || return
	printf 'KLOG_DENY("WARNING: ")\nKLOG_DENY("BUG: KASAN")\nKLOG_ALLOW("WARNING: of no use")\n' >log-deny.inc
	# What klog.c takes of the kernel's header, which is there only once a kernel was fetched.
	cat >kselftest.h <<-'END'
		#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))
		#define ksft_exit_fail_msg(...) exit(1)
	END
	gcc -Wall -std=gnu99 -U_FORTIFY_SOURCE -I. -I"$lib" -Wl,--wrap=open,--wrap=lseek,--wrap=read \
		-o feed "$BATS_TEST_DIRNAME/klog-feed.c" "${KLOG:-$lib/klog.c}"
}

# polls COMMAND... - print the results of klog_poll(), in one line; the commands are those of
# klog-feed.c
polls()
{
	printf '%s\n' "$@" | "$BATS_FILE_TMPDIR/feed" | grep -v '^#' | xargs
}

@test "poll: only new lines count, and only those of the deny list that are not allowed" {
	[ "$(polls 'log WARNING: before' poll poll)" = "0 0" ]
	[ "$(polls poll 'log WARNING: a' 'log all is well' 'log BUG: KASAN: b' poll poll)" = "0 2 0" ]
	[ "$(polls poll 'log WARNING: of no use' poll)" = "0 0" ]
	[ "$(polls poll 'log WARNING: a' lost poll)" = "0 1" ]
	printf 'poll\nlog WARNING: CPU: 1\npoll\n' | "$BATS_FILE_TMPDIR/feed" >"$BATS_TEST_TMPDIR/out"
	grep -qx '# kernel: WARNING: CPU: 1' "$BATS_TEST_TMPDIR/out"
}

@test "poll: without klog_know() the same line counts each time" {
	[ "$(polls poll 'log WARNING: CPU: 0 PID: 17 at f+0x1' poll 'log WARNING: CPU: 0 PID: 17 at f+0x1' poll)" = "0 1 1" ]
}

@test "know: lines that were printed before do not count again, whatever their numbers" {
	[ "$(polls poll 'log WARNING: CPU: 0 PID: 17 at f+0x1' poll know \
		'log WARNING: CPU: 1 PID: 234 at f+0x1' poll)" = "0 1 0" ]
	# It is known to the next calls as well, and a second klog_know() forgets none.
	[ "$(polls poll 'log WARNING: a' poll know poll know 'log WARNING: a' poll 'log WARNING: a' poll)" = "0 1 0 0 0" ]
}

@test "know: other lines still count, each time, until they are made known" {
	[ "$(polls poll 'log WARNING: at f' poll know 'log WARNING: at g' poll 'log WARNING: at g' poll)" = "0 1 1 1" ]
	[ "$(polls poll 'log WARNING: at f' poll know 'log WARNING: at g' poll know 'log WARNING: at g' \
		'log WARNING: at f' poll)" = "0 1 1 0" ]
	# Of two lines in one poll only the one that is not known counts.
	[ "$(polls poll 'log WARNING: at f' poll know 'log WARNING: at f' 'log BUG: KASAN: in g' poll)" = "0 1 1" ]
	# A line that came before it, but was not read by then, is not known.
	[ "$(polls poll 'log WARNING: at f' know poll)" = "0 1" ]
}

@test "know: what does not fit counts each time" {
	local -a all=() other=() last
	local i letters=abcdefghijklmnopqrstuvwxyz

	# One more than it keeps.
	for i in {0..16}; do all+=("log WARNING: at ${letters:i:1}"); done
	last=("${all[16]}" poll)
	[ "$(polls poll "${all[@]}" poll know "${all[@]:0:16}" poll "${last[@]}" "${last[@]}")" = "0 17 0 1 1" ]
	# Lines that are not counted take no place.
	for i in {0..16}; do other+=("log ${letters:i:1} is well"); done
	[ "$(polls poll "${other[@]}" poll know 'log WARNING: a' poll know 'log WARNING: a' poll)" = "0 0 1 0" ]
}

@test "know: lines are told apart by their first 127 characters that are no digits" {
	local long

	long=$(printf 'x%.0s' {1..140})
	[ "$(polls poll "log WARNING: ${long}a" poll know "log WARNING: ${long}b" poll)" = "0 1 0" ]
	[ "$(polls poll "log WARNING: ${long:0:117}a" poll know "log WARNING: ${long:0:117}b" poll)" = "0 1 1" ]
}
