#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# The output of status, status-host and explain for programs is valid by its schema, by the
# validator of Debian's python3-jsonschema, and the schemas refuse invalid output.

bats_require_minimum_version 1.5.0

setup()
{
	TOP=$(dirname "$(dirname "$(dirname "$(readlink -f "$BATS_TEST_FILENAME")")")")
	SCHEMA=$TOP/doc/schema
	# Use the package's own validator, not another one that is first in the path.
	VALIDATOR=/usr/bin/jsonschema
	[ -x $VALIDATOR ] || skip "there is no $VALIDATOR; apt-get install python3-jsonschema"
}

# valid SCHEMA FILE
valid()
{
	$VALIDATOR -i "$2" "$SCHEMA/$1.json"
}

# refuses SCHEMA FILTER FILE - is FILE, changed by jq's FILTER, refused?
refuses()
{
	jq "$2" "$3" >"$BATS_TEST_TMPDIR/changed"
	! cmp -s "$BATS_TEST_TMPDIR/changed" <(jq . "$3") && ! valid "$1" "$BATS_TEST_TMPDIR/changed" >/dev/null 2>&1
}

@test "json: explain of every fifth log, of a CVE and of none" {
	local log nr=0
	for log in "$TOP"/selftests/logs/*.log; do
		nr=$((nr + 1))
		[ $((nr % 5)) -eq 0 ] || continue
		"$TOP/scripts/explain" --json "$log" >"$BATS_TEST_TMPDIR/out" || [ $? -eq 1 ]
		valid explain "$BATS_TEST_TMPDIR/out" || { echo "$log"; false; }
	done
	"$TOP/scripts/explain" --json CVE-2022-45869 >"$BATS_TEST_TMPDIR/out"
	valid explain "$BATS_TEST_TMPDIR/out"
	refuses explain 'del(.findings[0].source)' "$BATS_TEST_TMPDIR/out"
	refuses explain '.findings[0].verdict = "perhaps"' "$BATS_TEST_TMPDIR/out"
	refuses explain '.findings[0].deciding = []' "$BATS_TEST_TMPDIR/out"
}

@test "json: explain of a log with quotes, backslashes and bytes that are no UTF-8" {
	printf 'a "quoted" \\ path\377\nWARNING\377 in vmx_guest_apic_has_interrupt "x\\y"\t\001\n' >"$BATS_TEST_TMPDIR/log"
	"$TOP/scripts/explain" --json "$BATS_TEST_TMPDIR/log" >"$BATS_TEST_TMPDIR/out"
	valid explain "$BATS_TEST_TMPDIR/out"
}

@test "json: status-host on this machine, and its OpenVEX" {
	"$TOP/scripts/host/status-host" --json >"$BATS_TEST_TMPDIR/out" || [ $? -le 2 ]
	valid status-host "$BATS_TEST_TMPDIR/out"
	refuses status-host '.races[0].state = "fine"' "$BATS_TEST_TMPDIR/out"
	refuses status-host '.races[0].reachable = false | del(.races[0].configured)' "$BATS_TEST_TMPDIR/out"
	"$TOP/scripts/host/status-host" --vex >"$BATS_TEST_TMPDIR/out" || [ $? -le 2 ]
	valid openvex "$BATS_TEST_TMPDIR/out"
	refuses openvex '.statements[0].status = "affected" | del(.statements[0].action_statement)' "$BATS_TEST_TMPDIR/out"
	refuses openvex '.statements[0].status = "not_affected" | del(.statements[0].justification, .statements[0].impact_statement)' \
		"$BATS_TEST_TMPDIR/out"
	[ "$(jq -r '.statements[].vulnerability.name' "$BATS_TEST_TMPDIR/out" | sort)" = \
		"$(bash -c ". $TOP/scripts/lib.sh; . $TOP/scripts/tree/races.sh; cve_parts" | cut -f 1 | sort)" ]
}

@test "json: status of a kernel tree" {
	local tree
	command -v spatch >/dev/null || skip "there is no spatch"
	for tree in "${O:-$TOP/build}"/kernels/*/source; do
		[ -d "$tree/virt/kvm" ] || continue
		"$TOP/scripts/status" --json "$tree" >"$BATS_TEST_TMPDIR/out" || [ $? -le 2 ]
		valid status "$BATS_TEST_TMPDIR/out"
		refuses status '.races[0].parts = []' "$BATS_TEST_TMPDIR/out"
		return
	done
	skip "no kernel's source is at hand"
}

@test "json: the reasons why a race cannot be reached, by parameters and by vendor" {
	local sys=$BATS_TEST_TMPDIR/sys
	mkdir -p "$sys/kvm/parameters" "$sys/kvm_intel/parameters"
	echo Y >"$sys/kvm/parameters/tdp_mmu"
	echo 1 >"$sys/kvm_intel/parameters/nested"
	echo Y >"$sys/kvm_intel/parameters/enable_apicv"
	echo Y >"$sys/kvm_intel/parameters/flexpriority"
	# kept RACE
	kept()
	{
		bash -c 'KVER=x; . "$1/scripts/lib.sh"; . "$1/scripts/tree/races.sh"; . "$1/scripts/host/loaded.sh"
			SYS_MODULE=$2 unreachable "$3"' - "$TOP" "$sys" "$1"
	}
	for race in nested-vmcs12-pages tdp-mmu-zap apicv-vcpu-creation apic-page-invalidation gpc-refresh; do
		run -1 kept $race
		[ -z "$output" ]
	done
	echo N >"$sys/kvm/parameters/tdp_mmu"
	[ "$(kept tdp-mmu-zap)" = kvm.tdp_mmu=N ]
	echo Y >"$sys/kvm/parameters/tdp_mmu"
	echo 0 >"$sys/kvm_intel/parameters/nested"
	[ "$(kept tdp-mmu-zap)" = kvm_intel.nested=0 ]
	[ "$(kept nested-vmcs12-pages)" = kvm_intel.nested=0 ]
	echo N >"$sys/kvm_intel/parameters/enable_apicv"
	[ "$(kept apicv-vcpu-creation)" = kvm_intel.enable_apicv=N ]
	run -1 kept gpc-refresh
	rm -r "$sys/kvm_intel"
	mkdir -p "$sys/kvm_amd/parameters"
	[[ "$(kept nested-vmcs12-pages)" == "kvm_amd is in use"* ]]
	[[ "$(kept apic-page-invalidation)" == "kvm_amd is in use"* ]]
	run -1 kept tdp-mmu-zap
}
