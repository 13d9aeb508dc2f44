# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Check whether this machine's KVM can give VMX or SVM to a guest, for HOST=kvm. Sourced after
# lib.sh.

# Tests set other paths.
KVM_DEVICE=/dev/kvm
KVM_MODULES=/sys/module

# nested_problem - print the reason, as a sentence, if it cannot; nothing if it can
nested_problem()
{
	local module nested

	for module in kvm_intel kvm_amd; do
		[ -d "$KVM_MODULES/$module" ] || continue
		nested=$(cat "$KVM_MODULES/$module/parameters/nested" 2>/dev/null)
		case $nested in
		Y|1) ;;
		*)
			echo "$module is loaded without nested virtualization: modprobe -r $module && modprobe $module nested=1"
			return
			;;
		esac
		if ! [ -r "$KVM_DEVICE" ] || ! [ -w "$KVM_DEVICE" ]; then
			echo "you may not use $KVM_DEVICE: become a member of its group, $(stat -c %G "$KVM_DEVICE" 2>/dev/null)"
		fi
		return
	done
	if [ -e "$KVM_DEVICE" ]; then
		echo "the KVM of this machine is $(cd "$KVM_MODULES" && compgen -G 'kvm_*' | paste -sd ' ' | grep . ||
			echo unknown), not kvm_intel or kvm_amd, and has no VMX or SVM for a guest"
	else
		echo "this machine has no $KVM_DEVICE: its CPU has no VMX or SVM (a cloud VM often has none)," \
			"or kvm_intel or kvm_amd is not loaded"
	fi
}

# need_nested - exit if it cannot
need_nested()
{
	local problem

	problem=$(nested_problem)
	[ -z "$problem" ] ||
		die "$EX_USAGE" "HOST=kvm: $problem; HOST=bochs and HOST=qemu are emulated in software"
}
