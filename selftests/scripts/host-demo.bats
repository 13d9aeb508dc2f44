#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# The demo on the machine that it runs on, a Debian in an emulated host:
# scripts/lab/guest/demo/cases runs there, in one boot.

setup()
{
	# shellcheck source=selftests/scripts/in-debian.sh
	. "$BATS_TEST_DIRNAME/in-debian.sh"
}

setup_file()
{
	local dir modules gate

	# shellcheck source=scripts/lib.sh
	. "$BATS_TEST_DIRNAME/../../scripts/lib.sh"
	dir=$BUILD/host-demo
	export OUT=$dir/out
	rm -rf "$dir"
	mkdir -p "$dir/payload"/{racefix/selftests,tests}

	"$TOP/scripts/modules/kernel-get" 6.1
	modules=$("$TOP/scripts/modules/modules-build" --kernel 6.1)
	cp -r "$modules" "$dir/payload/modules"
	modules=$("$TOP/scripts/modules/modules-build" --kernel 6.1 --variant reopen-tdp-mmu-zap)
	cp -r "$modules" "$dir/payload/reopened"
	gate=$("$TOP/scripts/modules/modules-build" --kernel 6.1 --variant racegate)
	make -s -C "$TOP/selftests" O="$BUILD"
	cp "$BUILD"/selftests/*_test "$gate/racegate.ko" "$dir/payload/tests/"
	gcc -O2 -Wall -Werror -static -o "$dir/payload/modules/tinyvm" "$TOP/src/tinyvm/tinyvm.c"
	cp "$TOP"/scripts/lab/guest/{demo/run,demo/cases,cases.sh,verdict.sh} "$dir/payload/"
	cp -r "$TOP/scripts" "$dir/payload/racefix/"
	cp -r "$TOP/selftests/races" "$dir/payload/racefix/selftests/"
	"$TOP/scripts/lab/debian-host" --payload "$dir/payload" --out "$OUT" --timeout 1500 || :
}

@test "demo: on this machine, nothing shows as shipped, and all is as before" {
	passed "nothing shows as shipped"
}

@test "demo: on this machine, a race shows" {
	passed "a race shows"
}

@test "demo: on this machine, interrupted, or the modules do not load" {
	passed "interrupted" "the modules do not load"
}

@test "demo: on this machine, the host comes through" {
	grep -qx 'end=clean' "$OUT/result"
	grep -qx 'oopses=0' "$OUT/result"
}
