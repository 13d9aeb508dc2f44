#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# HOST=kvm: what a machine is told that cannot give it, and a race shown on one that can, an
# emulated Debian with nested SVM.

bats_require_minimum_version 1.5.0

setup()
{
	# shellcheck source=scripts/lib.sh
	. "$BATS_TEST_DIRNAME/../../scripts/lib.sh"
	# shellcheck source=scripts/lab/nested.sh
	. "$TOP/scripts/lab/nested.sh"
	KVM_DEVICE=$BATS_TEST_TMPDIR/kvm
	KVM_MODULES=$BATS_TEST_TMPDIR/module
	mkdir "$KVM_MODULES"
}

# loaded MODULE [NESTED] - as /sys/module has it
loaded()
{
	mkdir -p "$KVM_MODULES/$1/parameters"
	[ $# -lt 2 ] || echo "$2" >"$KVM_MODULES/$1/parameters/nested"
}

@test "HOST=kvm: each thing that a machine may lack has a sentence" {
	[[ $(nested_problem) == *"has no $KVM_DEVICE"*"cloud VM"* ]]
	touch "$KVM_DEVICE"
	loaded kvm_pvm
	[[ $(nested_problem) == *"is kvm_pvm, not kvm_intel or kvm_amd"* ]]
	loaded kvm_amd 0
	[[ $(nested_problem) == *"modprobe kvm_amd nested=1"* ]]
	loaded kvm_amd 1
	[ -z "$(nested_problem)" ]
	rm -r "$KVM_MODULES/kvm_amd"
	loaded kvm_intel N
	[[ $(nested_problem) == *"modprobe kvm_intel nested=1"* ]]
	loaded kvm_intel Y
	[ -z "$(nested_problem)" ]
	rm "$KVM_DEVICE"
	[[ $(nested_problem) == *"you may not use $KVM_DEVICE"* ]]
	run -2 need_nested
	[[ $output == *"HOST=kvm: you may not use"*"HOST=bochs and HOST=qemu"* ]]
}

@test "HOST=kvm: a race shows on unfixed modules, and not on fixed ones" {
	plan=$BATS_TEST_TMPDIR/plan.tsv
	# The machine in the Debian has AMD's CPU, whatever this one is.
	"$TOP/scripts/lab/plan/demo" --kernel 6.1 --host qemu --race tdp-mmu-zap --runs 1 |
		awk -F '\t' -v OFS='\t' '$8 != "once" { $1 = "6.1-kvm"; $3 = "kvm"; print }' >"$plan"
	"$TOP/scripts/lab/run" --by "$BATS_TEST_DIRNAME/kvm-in-debian" "$plan" "$BUILD/host-kvm"
	grep -x 'host=kvm' "$BUILD/host-kvm/6.1-kvm/result"
	grep -x 1 "$BUILD/host-kvm/6.1-kvm/debian/output.log"
	run -0 "$TOP/scripts/lab/report" demo "$BUILD/host-kvm/results.tsv"
	[[ $output == *"tdp-mmu-zap "*" kvm "*"shows 1/1 (reopened)"*"closed 1/1"* ]]
}
