#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# Race tests in emulated hosts that lack something, on modules without a race: none prints
# "not ok". The modules are patched ones, or the kernel's own. Of a race that the latter have by
# scripts/status, a case may print it, but only if it also does so where nothing is lacking, or by
# chance: then it passes at a further try.
# scripts/lab/guest/skips/run runs there, in one boot for each kernel, kind of host and set of modules.
#
# SKIPS_STOCK in the environment: the kernel whose own modules are tried (default 6.1).

# in_host HOST LINE PROBE [SET] - run all lacks there; SET is patched or stock
in_host()
{
	local dir set=${4:-patched} race state

	# shellcheck source=scripts/lib.sh
	. "$BATS_TEST_DIRNAME/../../scripts/lib.sh"
	dir=$BUILD/host-skips/$1-$2-$set
	OUT=$dir/out
	rm -rf "$dir"
	mkdir -p "$dir/payload"/{modules,tests,shows}
	# shellcheck source=scripts/tree/races.sh
	. "$TOP/scripts/tree/races.sh"
	cp "$("$TOP/scripts/modules/modules-build" --kernel "$2" --variant racegate)/racegate.ko" "$dir/payload/"
	make -s -C "$TOP/selftests" O="$BUILD"
	if [ "$set" = stock ]; then
		"$TOP/scripts/modules/kernel-get" --want image,source "$2"
		while IFS=$'\t' read -r race state _; do
			case $state in
			fixed|not-affected) cp "$(race_test "$race")" "$dir/payload/tests/" ;;
			vulnerable) cp "$(race_test "$race")" "$dir/payload/shows/" ;;
			*) echo "$race: $state"; return 1 ;;
			esac
		done < <("$TOP/scripts/tree/status" --tsv "$BUILD/kernels/$2/source")
		ls "$dir/payload"/{tests,shows}
		[ -e "$dir/payload/tests/$3" ] || [ "$3" = none ]
	else
		cp -r "$("$TOP/scripts/modules/modules-build" --kernel "$2")" "$dir/payload/modules/patched"
		for race in $(race_ids); do
			cp "$(race_test "$race")" "$dir/payload/tests/"
		done
	fi
	echo "$set" >"$dir/payload/set"
	gcc -O2 -Wall -Werror -static -o "$dir/payload/as" "$TOP/scripts/lab/guest/skips/as.c"
	cp "$TOP"/scripts/lab/guest/{skips/run,no-race.sh} "$dir/payload/"
	echo "$3" >"$dir/payload/probe"
	"$TOP/scripts/lab/host-run" --host "$1" --kernel "$2" --payload "$dir/payload" --out "$OUT" --timeout 5000
	cat "$OUT/output.log"
	for name in "no racegate" "as nobody" "in the group of /dev/kvm" "as root in a container" "one CPU in the affinity mask" \
		"one CPU online" "no /dev/kmsg" "no debugfs" "lockdown=integrity" \
		"$([ "$1" = bochs ] && echo "Intel without APICv" || echo "AMD with avic=1 that no VM uses")"; do
		grep -qxF "ok - $name" "$OUT/output.log" || { echo "not ok: $name"; return 1; }
	done
	if grep '^not ok' "$OUT/output.log"; then return 1; fi
	[ "$1-$set" != bochs-patched ] ||
		grep -qxF "ok - a vCPU is created where APICv is off for good" "$OUT/output.log"
	grep -qx 'warnings=0' "$OUT/result"
	grep -qx 'oopses=0' "$OUT/result"
}

@test "skips: AMD, 6.1" {
	in_host qemu 6.1 tdp_mmu_zap_test
}

@test "skips: AMD, 5.10" {
	# Each test skips for another reason first: no race of that line shows on AMD.
	in_host qemu 5.10 none
}

@test "skips: Intel, 6.1" {
	in_host bochs 6.1 apicv_vcpu_creation_test
}

@test "skips: Intel, 5.10" {
	in_host bochs 5.10 apicv_vcpu_creation_test
}

@test "skips: AMD, the kernel's own modules" {
	local probe=tdp_mmu_zap_test

	# As above.
	case ${SKIPS_STOCK-} in 5.10*) probe=none ;; esac
	in_host qemu "${SKIPS_STOCK:-6.1}" $probe stock
}

@test "skips: Intel, the kernel's own modules" {
	in_host bochs "${SKIPS_STOCK:-6.1}" apic_page_invalidation_test stock
}
