#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# The ways in which load, unload and status-host recognise modules, as far as no host is needed.

setup()
{
	# shellcheck source=scripts/lib.sh
	. "$BATS_TEST_DIRNAME/../../scripts/lib.sh"
	# shellcheck source=scripts/host/loaded.sh
	. "$TOP/scripts/host/loaded.sh"
	FILE=$BATS_TEST_TMPDIR/kvm.ko
}

# module_with ID - make FILE with these bytes in it
module_with()
{
	{
		printf 'ELF\n\0text\n'
		# shellcheck disable=SC2001,SC2059 # every two digits; a format is intended
		printf "$(sed 's,..,\\x&,g' <<<"$1")"
		printf '\n\0more\n'
	} >"$FILE"
}

@test "loaded: a module is known by its build id, whatever bytes that has" {
	for id in 0102030405060708090b0c0d0e0f101112131415 \
		  7a357a9fb936d11e48d41aecb35984c9eb920a68 \
		  0a00ff0a5c2e2a0a00245b5d28297c3f2b5e800a \
		  0000000000000000000000000000000000000000; do
		module_with "$id"
		holds_id "$FILE" "$id" || { echo "not found: $id"; return 1; }
		xz -kf "$FILE"
		holds_id "$FILE.xz" "$id" || { echo "not found by xz: $id"; return 1; }
	done
}

@test "loaded: another build id, or none, is not taken for it" {
	module_with 7a357a9fb936d11e48d41aecb35984c9eb920a68
	for id in 7a357a9fb936d11e48d41aecb35984c9eb920a69 \
		  8a357a9fb936d11e48d41aecb35984c9eb920a68 7a357a9fb936 ""; do
		! holds_id "$FILE" "$id" || { echo "found: $id"; return 1; }
	done
}

@test "loaded: a set is built again from its own sources; the environment comes first" {
	# shellcheck source=scripts/modules/module-set.sh
	. "$TOP/scripts/modules/module-set.sh"
	BUILD=$BATS_TEST_TMPDIR/build
	mkdir -p "$BUILD/modules/6.1.0-1/patched"
	unset KSRC KBUILD
	build_options 6.1.0-1
	[ "${OPTIONS[*]}" = "--kver 6.1.0-1" ]
	printf 'ksrc %s\nkbuild /a build\n' "$BATS_TEST_TMPDIR" >"$BUILD/modules/6.1.0-1/patched/.from"
	build_options 6.1.0-1
	[ "${#OPTIONS[@]}" -eq 6 ]
	[ "${OPTIONS[*]}" = "--kver 6.1.0-1 --ksrc $BATS_TEST_TMPDIR --kbuild /a build" ]
	KSRC=/other build_options 6.1.0-1
	[ "${OPTIONS[*]}" = "--kver 6.1.0-1 --ksrc /other --kbuild /a build" ]
}

# host_with PARAMETER=VALUE... - make $SYS_MODULE look like a machine whose modules in use have
# those parameters, named MODULE.NAME
host_with()
{
	local one

	export SYS_MODULE=$BATS_TEST_TMPDIR/sys
	rm -rf "$SYS_MODULE"
	for one; do
		mkdir -p "$SYS_MODULE/${one%%.*}/parameters"
		one=${one/./\/parameters\/}
		echo "${one#*=}" >"$SYS_MODULE/${one%%=*}"
	done
}

@test "loaded: each setting that keeps a race from being reached is known, and no other" {
	local race setting state

	# shellcheck source=scripts/tree/races.sh
	. "$TOP/scripts/tree/races.sh"
	while read -r state setting race; do
		# shellcheck disable=SC2086 # the splitting is intended
		host_with ${setting//,/ }
		run unreachable "$race"
		[ "$state $status" = "off 0" ] || [ "$state $status" = "on 1" ] ||
			{ echo "$race with $setting: $status, $output"; return 1; }
	done <<-'END'
	off kvm_intel.nested=N nested-vmcs12-pages
	off kvm_intel.nested=0 nested-vmcs12-pages
	on kvm_intel.nested=Y nested-vmcs12-pages
	on kvm_intel.nested=1 nested-vmcs12-pages
	off kvm_amd.nested=1 nested-vmcs12-pages
	off kvm_intel.enable_apicv=N apicv-vcpu-creation
	on kvm_intel.enable_apicv=Y apicv-vcpu-creation
	off kvm_amd.avic=N apicv-vcpu-creation
	on kvm_amd.avic=Y apicv-vcpu-creation
	off kvm_intel.flexpriority=N apic-page-invalidation
	off kvm_amd.avic=Y apic-page-invalidation
	on kvm_intel.flexpriority=Y apic-page-invalidation
	off kvm.tdp_mmu=N,kvm_intel.nested=Y tdp-mmu-zap
	off kvm.tdp_mmu=Y,kvm_intel.nested=N tdp-mmu-zap
	off kvm.tdp_mmu=Y,kvm_amd.nested=0 tdp-mmu-zap
	off kvm.tdp_mmu=Y,kvm_intel.ept=N tdp-mmu-zap
	on kvm.tdp_mmu=Y,kvm_intel.nested=Y tdp-mmu-zap
	on kvm.tdp_mmu=Y,kvm_amd.nested=1,kvm_amd.npt=1 tdp-mmu-zap
	on kvm.tdp_mmu=N,kvm_intel.nested=N gpc-refresh
	END
}

# status_host STATUS OPTION... - run a copy in which status reports that a tree has all of the
# races, or VERDICT for each
status_host()
{
	local want=$1

	shift
	if [ ! -d "$BATS_TEST_TMPDIR/copy" ]; then
		mkdir -p "$BATS_TEST_TMPDIR/copy/selftests"
		cp -r "$TOP/scripts" "$TOP/patches" "$BATS_TEST_TMPDIR/copy/"
		cp -r "$TOP/selftests/races" "$BATS_TEST_TMPDIR/copy/selftests/"
		printf '%s\n' '#!/bin/sh' '. "$(dirname "$0")/../lib.sh"; . "$TOP/scripts/tree/races.sh"' \
			'for race in $(race_ids); do printf "%s\t%s\tits code\n" $race "${VERDICT:-vulnerable}"; done' |
			sed '1s/sh/bash/' >"$BATS_TEST_TMPDIR/copy/scripts/tree/status"
	fi
	run "$BATS_TEST_TMPDIR/copy/scripts/host/status-host" "$@" --tree "$BATS_TEST_TMPDIR"
	[ "$status" -eq "$want" ] || { echo "$status: $output"; return 1; }
}

@test "status-host: has the race, cannot be reached as configured" {
	local off="kvm.tdp_mmu=N kvm_intel.nested=N kvm_intel.enable_apicv=N kvm_intel.flexpriority=N"

	# shellcheck disable=SC2086 # the splitting is intended
	host_with $off
	# gpc-refresh has no such setting, so the status is 1.
	status_host 1
	for race in "tdp-mmu-zap kvm.tdp_mmu" "nested-vmcs12-pages kvm_intel.nested" \
		"apicv-vcpu-creation kvm_intel.enable_apicv" "apic-page-invalidation kvm_intel.flexpriority"; do
		[[ $output == *"${race% *} "*" vulnerable "*" has the race, cannot be reached as configured (${race#* }=N)"* ]]
	done
	[ "$(grep -c "cannot be reached" <<<"$output")" -eq 4 ]
	# shellcheck disable=SC2086 # the splitting is intended
	host_with ${off//=N/=Y}
	status_host 1
	[[ $output != *"cannot be reached"* ]]
}

@test "status-host: OpenVEX has not_affected for races that cannot be reached, and affected with an action" {
	command -v jq >/dev/null || skip "there is no jq"
	host_with kvm.tdp_mmu=N kvm_intel.nested=Y
	status_host 1 --vex
	[ "$(jq -r '.statements[] | select(.vulnerability.name == "CVE-2022-45869") | .status + " " + .justification' <<<"$output")" = \
		"not_affected vulnerable_code_not_in_execute_path" ]
	[ "$(jq -r '.statements[] | select(.vulnerability.name == "CVE-2022-49882") | .status' <<<"$output")" = affected ]
	valid_vex
}

# valid_vex - is $output valid by this project's schema and, if OPENVEX_SCHEMA names it, by
# OpenVEX's own (openvex_json_schema.json of its repository)?
valid_vex()
{
	local schema

	[ -x /usr/bin/jsonschema ] || return 0
	echo "$output" >"$BATS_TEST_TMPDIR/vex"
	for schema in "$TOP/doc/schema/openvex.json" ${OPENVEX_SCHEMA:+"$OPENVEX_SCHEMA"}; do
		/usr/bin/jsonschema -i "$BATS_TEST_TMPDIR/vex" "$schema" || return 1
	done
}

@test "status-host: OpenVEX is valid with each verdict of status" {
	local verdict

	command -v jq >/dev/null || skip "there is no jq"
	host_with kvm.tdp_mmu=Y kvm_intel.nested=Y
	# If no module is loaded, the status is 2.
	for verdict in "fixed 2 fixed" "not-affected 2 not_affected" "vulnerable 1 affected" "unknown 2 under_investigation"; do
		read -r VERDICT want says <<<"$verdict"
		export VERDICT
		status_host "$want" --vex
		[ "$(jq -r '.statements[].status' <<<"$output" | sort -u)" = "$says" ]
		[ "$(jq -r '.statements[].vulnerability.name' <<<"$output" | sort | paste -sd ' ')" = \
			"CVE-2022-45869 CVE-2022-49882 CVE-2022-49884" ]
		[[ $(jq -r '.statements[].products[]["@id"]' <<<"$output" | sort -u) =~ ^pkg:generic/linux-kvm@[A-Za-z0-9.%_-]+(\?build_id=[0-9a-f]+)?$ ]]
		valid_vex
	done
}
