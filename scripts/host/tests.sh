# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Shared by status-host and demo-local: run the race tests on this machine. Sourced after
# lib.sh; KVER is set.

# shellcheck source=scripts/modules/kbuild/linked.sh
. "$TOP/scripts/modules/kbuild/linked.sh"
# shellcheck source=scripts/tree/races.sh
. "$TOP/scripts/tree/races.sh"

# The timeout of one race's test, in seconds.
# shellcheck disable=SC2034 # for scripts that source this
TEST_SECONDS=600

# need_tests DIR RACE... - exit unless DIR has the tests of these races
need_tests()
{
	local dir=$1 race

	shift
	for race; do
		[ -x "$dir/${race//-/_}_test" ] ||
			die "$EX_USAGE" "$dir/${race//-/_}_test is missing: make selftests"
	done
}

# racegate_file DIR - set GATE to DIR/racegate.ko; without it, build racegate for this kernel
racegate_file()
{
	GATE=$1/racegate.ko
	[ ! -e "$GATE" ] || return 0
	GATE=$BUILD/modules/$KVER/racegate/racegate.ko
	build_options "$KVER"
	run_killable "$TOP/scripts/modules/modules-build" "${OPTIONS[@]}" --variant racegate >/dev/null || exit "$EX_USAGE"
}

# load_racegate - load racegate, unless it is loaded; set GATED if the caller has to unload it
# shellcheck disable=SC2034
load_racegate()
{
	local out why

	GATED=''
	[ ! -e /sys/module/racegate ] || return 0
	why=$(enforced_by)
	[ -z "$why" ] || check_signature "$(dirname "$GATE")" "$GATE" "$why" || exit "$EX_USAGE"
	# Set before insmod, so that an interrupt from here on unloads it.
	GATED=yes
	out=$(insmod "$GATE" 2>&1) && return
	GATED=''
	die "$EX_USAGE" "$GATE does not load (${out#insmod: ERROR: }); see dmesg"
}

# source_dir [DIR] - print the source of this kernel, if it is at hand: DIR, or Debian's of exactly
# that version, or the tree that replacement modules were built from, or the one that the
# kernel's build directory leads to
source_dir()
{
	local version dir

	if [ -n "${1-}" ]; then
		printf '%s\n' "$1"
		return
	fi
	version=$(uname -v | sed -n 's/.* Debian \([^ ]*\) .*/\1/p')
	for dir in "$BUILD"/kernels/*/; do
		if [ -n "$version" ] && [ "$(cat "$dir/version" 2>/dev/null)" = "$version" ] && [ -d "$dir/source/virt/kvm" ]; then
			echo "${dir}source"
			return
		fi
	done
	if [ -n "$version" ] && [ -d "$BUILD/sources/$version/virt/kvm" ]; then
		echo "$BUILD/sources/$version"
		return
	fi
	dir=$(sed -n 's/^ksrc //p' "$(built_set "$KVER")/.from" 2>/dev/null)
	if [ -d "$dir/virt/kvm" ]; then
		printf '%s\n' "$dir"
	else
		linked_source "/lib/modules/$KVER/build" || :
	fi
}

# not_tried - print why a test skipped, by its output on stdin. Cases that only run if they are
# named do not count
not_tried()
{
	sed -n '/name it with -t/d; s/.*# SKIP *//p' | head -n 1
}
