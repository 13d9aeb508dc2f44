#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# HOST=kvm: a message on a machine that does not support it, and a race shown on one that does, an
# emulated Debian with nested SVM.

bats_require_minimum_version 1.5.0

setup()
{
	# shellcheck source=scripts/lib.sh
	. "$BATS_TEST_DIRNAME/../../scripts/lib.sh"
	# shellcheck source=scripts/lab/lab.sh
	. "$TOP/scripts/lab/lab.sh"
	KVM_DEVICE=$BATS_TEST_TMPDIR/kvm
	KVM_MODULES=$BATS_TEST_TMPDIR/module
	mkdir "$KVM_MODULES"
}

# loaded MODULE [NESTED] - make /sys/module look as if it were loaded
loaded()
{
	mkdir -p "$KVM_MODULES/$1/parameters"
	[ $# -lt 2 ] || echo "$2" >"$KVM_MODULES/$1/parameters/nested"
}

@test "HOST=kvm: each missing requirement has a message" {
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

# The Debian's KVM is kvm_amd on an emulated CPU, so this tests the code of HOST=kvm, and not a
# silicon CPU. Debian's own kernel does not come up there with two CPUs.
@test "HOST=kvm: a race shows on unfixed modules, and not on fixed ones" {
	local kernel=${KVM_HOST_KERNEL:-$BUILD/trees/5.19.0} plan=$BATS_TEST_TMPDIR/plan.tsv

	[ -e "$kernel/vmlinuz" ] ||
		skip "KVM_HOST_KERNEL= names no kernel that scripts/lab/kernel has built from a tree with gpc-refresh, such as 5.19"
	for stage in before:stock:fail closed:patched:pass after:stock:fail; do
		IFS=: read -r stage set expect <<<"$stage"
		plan_row kvm "$kernel" kvm "$set" gpc-refresh clock_before_count 1 "$stage" "$expect" 180 -
	done >"$plan"
	"$TOP/scripts/lab/run" --by "$BATS_TEST_DIRNAME/kvm-in-debian" "$plan" "$BUILD/host-kvm"
	# Print the boots that died before the last one, if any.
	cat "$BUILD/host-kvm/kvm/tries"
	grep -x 'host=kvm' "$BUILD/host-kvm/kvm/result"
	grep -x 1 "$BUILD/host-kvm/kvm/debian/output.log"
	run -0 "$TOP/scripts/lab/report" demo "$BUILD/host-kvm/results.tsv"
	[[ $output == *"gpc-refresh "*" kvm "*"shows 1/1 (vulnerable)"*"closed 1/1"* ]]
}
