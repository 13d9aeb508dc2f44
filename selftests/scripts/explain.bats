#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# scripts/explain: its verdict on each log in selftests/logs, on the forms that a log can have,
# and on files that are no log.

bats_require_minimum_version 1.5.0

setup()
{
	TOP=$(dirname "$(dirname "$(dirname "$(readlink -f "$BATS_TEST_FILENAME")")")")
	EXPLAIN=$TOP/scripts/explain
	LOGS=$TOP/selftests/logs
}

# findings - read explain's text and print "RACE:VERDICT:SIGNATURE" of each finding, or none
findings()
{
	local line verdict all=''

	while IFS= read -r line; do
		case $line in
		"  not "*": "*) verdict=other ;;
		"  "*" (sure): "*) verdict=sure ;;
		"  "*" (likely): "*) verdict=likely ;;
		"  "*" (possible): "*) verdict=possible ;;
		"  signature: "*)
			line=${line#  signature: }
			line=${line%%, from *}
			all+=${all:+ }${line#* of }:$verdict:${line%% of *}
			;;
		esac
	done
	printf "%s\n" "${all:-none}"
}

# told LOG - print the findings of LOG
told()
{
	"$EXPLAIN" "$@" | findings
}

# all_right PREFIX - are the findings for all logs of this part as the list has them?
all_right()
{
	local name want got rc wrong=0 expected

	while IFS=$'\t' read -r name want; do
		rc=0
		"$EXPLAIN" "$LOGS/$name.log" >"$BATS_TEST_TMPDIR/text" || rc=$?
		got=$(findings <"$BATS_TEST_TMPDIR/text")
		expected=1
		case $want in *:sure:*|*:likely:*|*:possible:*) expected=0 ;; esac
		if [ "$got" != "$want" ] || [ $rc -ne $expected ]; then
			echo "$name: wants $want ($expected), is told $got ($rc)"
			wrong=$((wrong + 1))
		fi
	done < <(grep -E "^$1" "$LOGS/expected")
	[ $wrong -eq 0 ]
}

@test "explain: each log of nested-vmcs12-pages and its look-alikes" { all_right nested-; }
@test "explain: each log of tdp-mmu-zap and its look-alikes" { all_right tdp-; }
@test "explain: each log of gpc-refresh and its look-alikes" { all_right gpc-; }
@test "explain: each log of apicv-vcpu-creation and its look-alikes" { all_right apicv-; }
@test "explain: each log of apic-page-invalidation and its look-alikes" { all_right apic-; }
@test "explain: logs of other defects name no race" { all_right other-; }

@test "explain: the prefixes of journalctl and dmesg" {
	local before wrong=0

	while IFS= read -r before; do
		sed "s|^\[[^]]*\] |$before|" "$LOGS/nested-sles-dmesg-T.log" >"$BATS_TEST_TMPDIR/log"
		[ "$(told "$BATS_TEST_TMPDIR/log")" = nested-vmcs12-pages:sure:null-read ] || {
			echo "not understood: '$before'"
			wrong=1
		}
	done <<-'END'

		Mar 05 10:11:12 hv12 kernel: 
		Mar 05 10:11:12.123456 hv12 kernel: 
		Tue 2024-03-05 10:11:12 CET hv12 kernel: 
		Tue 2024-03-05 10:11:12 +03 hv12 kernel[0]: 
		2024-03-05T10:11:12+0100 hv12 kernel: 
		[ 1234.567890] hv12 kernel: 
		[ 1234.567890 <    0.000011 >] hv12 kernel: 
		1709633472.123456 hv12 kernel: 
		[  912.123456] 
		[Tue Mar  5 10:11:12 2024] 
		[Mar 5 10:11] 
		[  +0.000012] 
		2024-03-05T10:11:12,123456+01:00 
		kern  :alert : [  912.123456] 
		<1>[  912.123456][ T4242] 
		1,4242,912123456,-,caller=T4242;
	END
	[ $wrong -eq 0 ]
}

@test "explain: the logs are at least 40, each in the list, with each race" {
	[ "$(find "$LOGS" -name '*.log' | wc -l)" -ge 40 ]
	diff <(find "$LOGS" -name '*.log' -printf '%f\n' | sed 's/\.log$//' | sort) \
		<(grep -v '^#' "$LOGS/expected" | cut -f 1 | sort)
	for race in "$TOP"/selftests/races/*/race; do
		race=$(basename "${race%/race}")
		grep -qE "	$race:(sure|likely):" "$LOGS/expected"
		grep -q "	$race:other:" "$LOGS/expected"
	done
}

@test "explain: every signature is met by a log, or by words below" {
	local seen missing
	seen=$(grep -v '^#' "$LOGS/expected" | sed 's/.*://' | sort -u)
	missing=$(sed -n 's/^Signature: //p' "$TOP"/selftests/races/*/signatures | sort -u |
		comm -23 - <(printf '%s\n' "$seen" words number bug-line gpf-line | sort -u))
	[ -z "$missing" ] || { echo "without a log: $missing"; false; }
}

@test "explain: words of reports lead somewhere" {
	while IFS=$'\t' read -r race words; do
		run told - <<<"$words"
		[[ $output == "$race":* ]] || { echo "$words: $output, not $race"; false; }
	done <<-'END'
	tdp-mmu-zap	pte_list_remove many->many
	tdp-mmu-zap	kernel BUG at arch/x86/kvm/mmu/mmu.c:963!
	tdp-mmu-zap	0xdead000000000122 in kvm_mmu_commit_zap_page
	tdp-mmu-zap	general protection fault, probably for non-canonical address 0xdead000000000122: 0000 [#1]
	tdp-mmu-zap	__list_add_valid under kvm_tdp_mmu_map
	tdp-mmu-zap	handle_removed_tdp_mmu_page
	nested-vmcs12-pages	WARNING in vmx_guest_apic_has_interrupt
	nested-vmcs12-pages	NULL dereference at 0xa0 in vmx_guest_apic_has_interrupt
	nested-vmcs12-pages	KVM internal error after a restore
	nested-vmcs12-pages	guest hangs after live migration
	apicv-vcpu-creation	kvm_apicv_activated
	apicv-vcpu-creation	kvm_vcpu_apicv_active
	gpc-refresh	kvm_xen_set_evtchn_fast
	gpc-refresh	kvm_setup_guest_pvclock
	apic-page-invalidation	CRITICAL_STRUCTURE_CORRUPTION
	apic-page-invalidation	0x109
	END
}

@test "explain: a CVE leads to its race and its part" {
	[ "$(told CVE-2022-45869)" = tdp-mmu-zap:sure:CVE-2022-45869 ]
	run -0 "$EXPLAIN" CVE-2022-49884
	[[ $output == *gpc-refresh-lock-init* ]]
	run -1 "$EXPLAIN" CVE-2022-0001
	run -2 "$EXPLAIN" CVE-2022
}

@test "explain: it names the evidence, the next steps, what avoids the race, and look-alikes" {
	run -0 "$EXPLAIN" "$LOGS/gpc-evtchn.log"
	[[ $output == *"gpc-refresh (likely)"* ]]
	[[ $output == *"RIP: 0010:kvm_xen_set_evtchn_fast"* ]]
	[[ $output == *"CVE-2022-49882"* ]]
	[[ $output == *"patches/5.19/gpc-refresh.patch"* ]]
	[[ $output == *"meanwhile: "* ]]
	[[ $output == *"signature: evtchn-null "* ]]
}

@test "explain: compressed, UTF-16, on the standard input, and in several files" {
	gzip -c "$LOGS/tdp-many-many.log" >"$BATS_TEST_TMPDIR/log.gz"
	[ "$(told "$BATS_TEST_TMPDIR/log.gz")" = tdp-mmu-zap:sure:zap-oldest ]
	iconv -f UTF-8 -t UTF-16 "$LOGS/apic-windbg-17.log" >"$BATS_TEST_TMPDIR/utf16"
	[ "$(told "$BATS_TEST_TMPDIR/utf16")" = apic-page-invalidation:likely:bugcheck-109-apic ]
	[ "$(told <"$LOGS/tdp-many-many.log")" = tdp-mmu-zap:sure:zap-oldest ]
	run told "$LOGS/other-zfs.log" "$LOGS/gpc-evtchn.log"
	[ "$output" = gpc-refresh:likely:evtchn-null ]
}

@test "explain: the same by mawk as by gawk" {
	command -v mawk >/dev/null || skip "there is no mawk"
	command -v gawk >/dev/null || skip "there is no gawk"
	mkdir "$BATS_TEST_TMPDIR/m" "$BATS_TEST_TMPDIR/g"
	ln -s "$(command -v mawk)" "$BATS_TEST_TMPDIR/m/awk"
	ln -s "$(command -v gawk)" "$BATS_TEST_TMPDIR/g/awk"
	for log in "$LOGS"/*-{wrapped-bare,pstore,crash,kasan,again}*.log; do
		[ -e "$log" ] || continue
		diff <(PATH=$BATS_TEST_TMPDIR/m:$PATH "$EXPLAIN" "$log") <(PATH=$BATS_TEST_TMPDIR/g:$PATH "$EXPLAIN" "$log")
	done
}

@test "explain: a file that is no log gets a message" {
	run -2 "$EXPLAIN" /nowhere
	[[ $output == *"does not exist"* ]]
	run -2 "$EXPLAIN" "$BATS_TEST_TMPDIR"
	[[ $output == *"is a directory"* ]]
	run -2 "$EXPLAIN" </dev/null
	[[ $output == *"empty"* ]]
	head -c 4096 /dev/urandom >"$BATS_TEST_TMPDIR/noise"
	run -2 "$EXPLAIN" "$BATS_TEST_TMPDIR/noise"
	[[ $output == *"not text"* ]]
	{ printf 'KDUMP   '; head -c 4096 /dev/zero; } >"$BATS_TEST_TMPDIR/vmcore"
	run -2 "$EXPLAIN" "$BATS_TEST_TMPDIR/vmcore"
	[[ $output == *"makedumpfile"* ]]
	{ printf 'LPKSHHRH'; head -c 4096 /dev/zero; } >"$BATS_TEST_TMPDIR/journal"
	run -2 "$EXPLAIN" "$BATS_TEST_TMPDIR/journal"
	[[ $output == *"journalctl"* ]]
	printf '{"MESSAGE":"a"}\n{"MESSAGE":\n' >"$BATS_TEST_TMPDIR/half.json"
	run -2 "$EXPLAIN" "$BATS_TEST_TMPDIR/half.json"
	run -2 "$EXPLAIN" --wrong
}

@test "explain: a file of signatures that is wrong is not taken for an answer" {
	cp -r "$TOP/scripts" "$BATS_TEST_TMPDIR/"
	mkdir -p "$BATS_TEST_TMPDIR/selftests/races/a" "$BATS_TEST_TMPDIR/patches/6.1"
	cp "$TOP/patches/upstream.tsv" "$BATS_TEST_TMPDIR/patches/"
	cp "$TOP"/patches/6.1/*.patch "$BATS_TEST_TMPDIR/patches/6.1/"
	for text in 'Race: a
Signature: b
Verdict: sure
Unknown: field' 'Race: a
Signature: b
Verdict: maybe
Is: c
Source: d' 'Race: a
no field'; do
		printf '%s\n' "$text" >"$BATS_TEST_TMPDIR/selftests/races/a/signatures"
		run -2 "$BATS_TEST_TMPDIR/scripts/host/explain" "$LOGS/other-panic.log"
	done
}
