# shellcheck shell=dash
# SPDX-License-Identifier: GPL-2.0-only
#
# For /payload/run in an emulated host:  . /lib/host.sh
#
#	kvm_vendor		print kvm_intel or kvm_amd, whichever this CPU is for
#	kvm_load SET [MODULE "PARAMETERS"]...
#				load kvm.ko and the vendor module of SET: a directory
#				below /payload/modules or /modules ("stock": the
#				kernel's own); MODULE is kvm, kvm_intel or kvm_amd
#	kvm_unload		unload both
#
# They return 0, or 1 after a line on stderr that describes the error.

kvm_vendor()
{
	case $(sed -n 's/^vendor_id[^:]*: *//p' /proc/cpuinfo | head -n 1) in
	GenuineIntel) echo kvm_intel ;;
	AuthenticAMD) echo kvm_amd ;;
	*)	echo "host.sh: this CPU is neither Intel's nor AMD's" >&2
		return 1
		;;
	esac
}

# host_insmod FILE [PARAMETER]... - load a module unless it is there
host_insmod()
{
	local file="$1" name out

	shift
	name=$(basename "$file" .ko | tr - _)
	[ -d "/sys/module/$name" ] && return 0
	if ! out=$(insmod "$file" "$@" 2>&1); then
		echo "host.sh: $out" >&2
		dmesg | tail -n 2 >&2
		return 1
	fi
}

kvm_load()
{
	local set="$1" dir vendor file kvm_args="" vendor_args=""

	shift
	vendor=$(kvm_vendor) || return 1
	if [ -d "/payload/modules/$set" ]; then
		dir=/payload/modules/$set
	elif [ -d "/modules/$set" ]; then
		dir=/modules/$set
	else
		echo "host.sh: no modules '$set' in /payload/modules or /modules" >&2
		return 1
	fi
	if [ -d /sys/module/kvm ]; then
		echo "host.sh: kvm is loaded; kvm_unload first" >&2
		return 1
	fi
	while [ $# -ge 2 ]; do
		case $1 in
		kvm)		kvm_args=$2 ;;
		"$vendor")	vendor_args=$2 ;;
		kvm_intel|kvm_amd) ;;	# the other vendor's: one call serves both hosts
		*)	echo "host.sh: no module '$1' to give parameters to" >&2
			return 1
			;;
		esac
		shift 2
	done
	# Load the modules that they depend on, in order.
	while read -r file; do
		host_insmod "/modules/stock/$file" || return 1
	done <"/modules/stock/needed.$vendor"
	# Parameters are words: the splitting is intended.
	# shellcheck disable=SC2086
	host_insmod "$dir/kvm.ko" $kvm_args || return 1
	# shellcheck disable=SC2086
	if ! host_insmod "$dir/$(echo "$vendor" | tr _ -).ko" $vendor_args; then
		rmmod kvm
		return 1
	fi
}

kvm_unload()
{
	local module

	for module in kvm_intel kvm_amd kvm; do
		[ -d "/sys/module/$module" ] || continue
		if ! rmmod "$module"; then
			echo "host.sh: cannot unload $module, in use by:" \
				"$(sed -n "s/^$module [0-9]* \([0-9]*\) \([^ ]*\) .*/\1 users \2/p" /proc/modules)" >&2
			return 1
		fi
	done
}
