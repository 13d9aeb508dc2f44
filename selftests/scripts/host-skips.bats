#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# Race tests in emulated hosts that lack something, on modules without a race: none says
# "not ok". scripts/lab/guest/skips/run is what runs there, in one boot for each kernel
# and kind of host.

# in_host HOST LINE PROBE - all lacks there
in_host()
{
	local dir

	# shellcheck source=scripts/lib.sh
	. "$BATS_TEST_DIRNAME/../../scripts/lib.sh"
	dir=$BUILD/host-skips/$1-$2
	OUT=$dir/out
	rm -rf "$dir"
	mkdir -p "$dir/payload"/{modules,tests}
	cp -r "$("$TOP/scripts/modules/modules-build" --kernel "$2")" "$dir/payload/modules/patched"
	cp "$("$TOP/scripts/modules/modules-build" --kernel "$2" --variant racegate)/racegate.ko" "$dir/payload/"
	make -s -C "$TOP/selftests" O="$BUILD"
	cp "$BUILD"/selftests/*_test "$dir/payload/tests/"
	rm "$dir/payload/tests"/racegate_*
	gcc -O2 -Wall -Werror -static -o "$dir/payload/as" "$TOP/scripts/lab/guest/skips/as.c"
	cp "$TOP/scripts/lab/guest/skips/run" "$dir/payload/"
	echo "$3" >"$dir/payload/probe"
	"$TOP/scripts/lab/host-run" --host "$1" --kernel "$2" --payload "$dir/payload" --out "$OUT" --timeout 5000
	cat "$OUT/output.log"
	for name in "no racegate" "as nobody" "in the group of /dev/kvm" "one CPU in the affinity mask" \
		"one CPU online" "no /dev/kmsg" "no debugfs" "lockdown=integrity" \
		"$([ "$1" = bochs ] && echo "Intel without APICv" || echo "AMD with avic=1 that no VM uses")"; do
		grep -qxF "ok - $name" "$OUT/output.log" || { echo "not ok: $name"; return 1; }
	done
	if grep '^not ok' "$OUT/output.log"; then return 1; fi
	grep -qx 'warnings=0' "$OUT/result"
	grep -qx 'oopses=0' "$OUT/result"
}

@test "skips: AMD, 6.1" {
	in_host qemu 6.1 tdp_mmu_zap_test
}

@test "skips: AMD, 5.10" {
	# Each skips for something else first: no race of that line shows on AMD.
	in_host qemu 5.10 none
}

@test "skips: Intel, 6.1" {
	in_host bochs 6.1 apicv_vcpu_creation_test
}
