#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# Root builds in the checkout of another user, who must be able to continue. The tests need root.

bats_require_minimum_version 1.5.0

setup()
{
	# shellcheck source=scripts/lib.sh
	. "$BATS_TEST_DIRNAME/../../scripts/lib.sh"
	unset O
	DIR=$(mktemp -d)
	chmod 755 "$DIR"
	cp -r "$TOP/scripts" "$TOP/VERSION" "$TOP/Makefile" "$DIR/"
	chown -R 65534:65534 "$DIR"
}

teardown()
{
	rm -rf "$DIR"
}

@test "owner: files that root leaves in build/ become theirs, and nothing else does" {
	mkdir -p "$DIR/build/work/x"
	touch "$DIR/build/work/x/file" "$DIR/outside"
	ln -s "$DIR/outside" "$DIR/build/link"
	bash -c '. "$1/scripts/lib.sh"; give_back' - "$DIR"
	[ -z "$(find "$DIR/build" -uid 0)" ]
	[ "$(stat -c %u "$DIR/outside")" -eq 0 ]
}

@test "owner: so after a make target that fails" {
	mkdir -p "$DIR/build"
	run make -C "$DIR" load DRY_RUN=1
	[ "$status" -ne 0 ]
	[ -z "$(find "$DIR/build" -uid 0)" ]
}

# The commands that each target starts, and their places in scripts/.
@test "owner: so after each target that writes there, and after the selftests" {
	local target script

	while read -r target script; do
		rm -rf "$DIR/build" "$DIR/scripts/$script"
		mkdir "$DIR/build"
		# shellcheck disable=SC2016 # for that shell
		printf '#!/bin/sh\nmkdir -p "$O/work" && touch "$O/work/file"\nexit 2\n' >"$DIR/scripts/$script"
		chmod +x "$DIR/scripts/$script"
		run make -C "$DIR" "$target"
		echo "$target: $output"
		[ "$status" -ne 0 ]
		[ -e "$DIR/build/work/file" ]
		[ -z "$(find "$DIR/build" -uid 0)" ]
	done <<-END
	demo lab/demo
	sweep lab/sweep
	costs lab/costs
	report lab/page
	modules modules/modules-build
	load host/load
	status-host host/status-host
	sign host/sign
	deb host/deb
	check check
	check-quick check
	END
	rm -rf "$DIR/build"
	mkdir -p "$DIR/build" "$DIR/tree/tools/testing/selftests/kvm/lib"
	touch "$DIR/tree/tools/testing/selftests/kvm/lib/kvm_util.c"
	cp -r "$TOP/selftests" "$DIR/"
	run make -C "$DIR/selftests" KSRC_TOOLS="$DIR/tree" CC=false
	echo "$output"
	[ "$status" -ne 0 ]
	[ -n "$(find "$DIR/build/selftests" -type d)" ]
	[ -z "$(find "$DIR/build" -uid 0)" ]
}

@test "owner: a build in a directory of root's is refused in one sentence" {
	mkdir -p "$DIR/build/work"
	run -2 setpriv --reuid 65534 --regid 65534 --clear-groups "$DIR/scripts/modules/modules-build" --kver 9.9.9
	echo "$output"
	[[ $output == *"$DIR/build belongs to root: sudo chown -R "* ]]
	[ "${#lines[@]}" -eq 1 ]
}
