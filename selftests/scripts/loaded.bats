#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# What load, unload and status-host know modules by, where no host is needed to try it.

setup()
{
	# shellcheck source=scripts/lib.sh
	. "$BATS_TEST_DIRNAME/../../scripts/lib.sh"
	# shellcheck source=scripts/host/loaded.sh
	. "$TOP/scripts/host/loaded.sh"
	FILE=$BATS_TEST_TMPDIR/kvm.ko
}

# module_with ID - FILE, with these bytes in it
module_with()
{
	{
		printf 'ELF\n\0text\n'
		# shellcheck disable=SC2001,SC2059 # every two digits; a format is what this is
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

@test "loaded: what a set was built from is what is built from again; the environment comes first" {
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
