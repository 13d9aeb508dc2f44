#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# load, unload and status-host on a Debian in an emulated host, also if something is wrong:
# scripts/lab/guest/load/cases runs there, in one run of two boots.
#
# LOAD_LINE in the environment: the kernel line, 6.1 or 5.10 (default 6.1).
# CHECK_ALL in the environment: also the cases that are similar to another one.

setup()
{
	# shellcheck source=selftests/scripts/in-debian.sh
	. "$BATS_TEST_DIRNAME/in-debian.sh"
}

setup_file()
{
	local dir kver line=${LOAD_LINE:-6.1}

	# shellcheck source=scripts/lib.sh
	. "$BATS_TEST_DIRNAME/../../scripts/lib.sh"
	dir=$BUILD/host-load
	export OUT=$dir/out
	rm -rf "$dir"
	mkdir -p "$dir/payload/racefix" "$dir/user"

	"$TOP/scripts/modules/kernel-get" "$line"
	cp -r "$("$TOP/scripts/modules/modules-build" --kernel "$line")" "$dir/payload/modules"
	kver=$(<"$BUILD/kernels/$line/release")
	# Make a set for another kernel: the release with all digits but its first changed.
	cp -r "$dir/payload/modules" "$dir/payload/other"
	sed -i "s/vermagic=$kver/vermagic=${kver:0:1}$(tr 0-9 1-90 <<<"${kver:1}")/" "$dir/payload/other/"*.ko
	(cd "$dir/payload/other" && sha256sum -- *.ko >.sums)
	gcc -O2 -Wall -Werror -static -o "$dir/payload/modules/tinyvm" "$TOP/src/tinyvm/tinyvm.c"
	cp "$TOP/scripts/lab/guest/load/kvm_user.c" "$dir/user/"
	echo 'obj-m := kvm_user.o' >"$dir/user/Kbuild"
	env -u O make -C "$BUILD/kernels/$line/kbuild" M="$dir/user"
	cp "$dir/user/kvm_user.ko" "$TOP"/scripts/lab/guest/{load/{run,cases,*.sh},cases.sh,verdict.sh,no-race.sh} \
		"$dir/payload/"
	[ -z "${CHECK_ALL-}" ] || touch "$dir/payload/all"
	cp -r "$TOP/scripts" "$dir/payload/racefix/"
	make -s -C "$TOP/selftests" O="$BUILD"
	mkdir "$dir/payload/tests"
	cp "$BUILD"/selftests/*_test "$("$TOP/scripts/modules/modules-build" --kernel "$line" --variant racegate)/racegate.ko" \
		"$dir/payload/tests/"
	mkdir "$dir/payload/racefix/selftests"
	cp -r "$TOP/selftests/races" "$dir/payload/racefix/selftests/"
	"$TOP/scripts/lab/debian-host" --kernel "$line" --payload "$dir/payload" --out "$OUT" --timeout 2000 || :
}

@test "load: the modules, and back, twice; parameters" {
	passed "load and unload, twice" "parameters are kept, set and brought back"
}

@test "load: the users of kvm are named" {
	passed "a VM is running" "/dev/kvm is held open" "another module uses kvm"
}

@test "load: modules that are not fit are refused, nothing is touched" {
	passed "modules for another kernel" "a symbol has another CRC" \
		"a damaged module, and one that is missing"
}

@test "load: modules that turn out not to work are taken back" {
	passed "kvm.ko loads, the vendor module does not" "no VM runs on the new modules"
}

@test "load: modules that the machine's configuration forbids" {
	passed "kvm is blacklisted" "signatures are enforced" "lockdown" "the kernel loads no modules any more"
}

@test "load: two at once" {
	passed "a second load at the same time"
}

@test "load: interrupted, killed, the host dies" {
	passed SIGINT "killed, then load" "the host dies during load"
}

@test "load: the way back is there before anything is touched" {
	passed "the distro's modules are moved away" "the distro's are missing, and ours were loaded at boot" \
		"modules of a developer's own" "no VM runs even before"
}

@test "load: errors on the way back, each with its exit code" {
	passed "a VM starts during the proof" "a second load fails" "neither set can be loaded"
}

@test "load: the lock of another user" {
	passed "a lock and a link of somebody else"
}

@test "load: cases that are similar to another one" {
	[ -n "${CHECK_ALL-}" ] || skip "only with CHECK_ALL=1, as check --all sets it"
	passed "no kvm was loaded before" "a parameter that the kernel refuses" \
		"another program loads kvm in between" "another program takes kvm into use in between" \
		SIGTERM "SIGINT, and nobody reads any more" "killed, then unload" "no VM to prove it with" \
		"mode and owner of /dev/kvm" "tracing of kvm"
}

@test "race tests: skip, and never fail, if the host lacks something" {
	passed "race tests where something is missing" "race tests under lockdown"
}

@test "status-host: the modules in use, in words and as JSON, and with tests" {
	passed status-host
	sed -n "s/^@json@ //p" "$OUT/output.log" >"$BATS_TEST_TMPDIR/json"
	[ ! -x /usr/bin/jsonschema ] || /usr/bin/jsonschema -i "$BATS_TEST_TMPDIR/json" "$TOP/doc/schema/status-host.json"
	perl -MJSON::PP -e '
		my $it = decode_json(<STDIN>);
		exit !(@{$it->{modules}} == 2 && @{$it->{races}} >= 5);' <"$BATS_TEST_TMPDIR/json"
}

@test "load: the kernel reports nothing" {
	local boot

	grep -qx 'end=clean' "$OUT/result"
	for boot in "$OUT"/[12]; do
		grep -qx 'warnings=0' "$boot/result"
		grep -qx 'oopses=0' "$boot/result"
	done
}
