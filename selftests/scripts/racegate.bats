#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# scripts/lab/racegate --mutants: which mutants are booted, and what counts as noticed. Nothing is
# built or booted.
#
# shellcheck disable=SC2016 # the stubs expand it

bats_require_minimum_version 1.5.0

setup()
{
	# shellcheck source=selftests/scripts/stubs.sh
	. "$BATS_TEST_DIRNAME/stubs.sh"
	lab_copy
	cp -r "$TOP/src" "$TOP/VERSION" "$COPY/"
	mkdir -p "$COPY/selftests/racegate/mutants" "$O/selftests" "$O/kernels/6.1"
	touch "$O/selftests/racegate_fuzz"
	stub scripts/modules/kernel-get '[ "$1" != --name ] || echo "$3"'
	stub scripts/modules/modules-build 'mkdir -p "$O/modules" && touch "$O/modules/racegate.ko"
		grep -h "^#define RG_LEAVE_JIFFIES" "$(dirname "$0")/../../src/racegate/gate.c" >"$O/modules/racegate.ko"; echo "$O/modules"'
	stub bin/make 'exit 0'
	stub bin/dpkg-query 'echo installed'
	mutant one ''
}

# mutant NAME NEEDS - one that changes a number
mutant()
{
	{
		printf '%s is wrong.\n\n' "$1"
		[ -z "$2" ] || printf 'Needs: %s\n\n' "$2"
		cd "$TOP/src/racegate" || return
		sed 's/(5 \* HZ)/(55 * HZ)/' gate.c | diff -u --label a/src/racegate/gate.c --label b/src/racegate/gate.c gate.c -
	} >"$COPY/selftests/racegate/mutants/$1.patch" || :
}

# host TEXT - the host that boots is this
host()
{
	stub_boot 'grep -q "55 \* HZ" "$payload/racegate.ko" || exit 9
	: >"$out/console.log"
	'"$1"
}

@test "racegate: a mutant is noticed by what the fuzzer says, or the kernel, or where the host ends" {
	host 'echo end=clean >"$out/result"; echo "# wrong: read returns a part" >"$out/output.log"; exit 1'
	run -0 "$COPY/scripts/lab/racegate" --mutants
	[[ $output == *"one: read returns a part" ]]
	host 'echo end=clean >"$out/result"; echo "not ok 1 9 calls, unloading: Resource temporarily unavailable" >"$out/output.log"; exit 1'
	run -0 "$COPY/scripts/lab/racegate" --mutants
	[[ $output == *"one: the module cannot be unloaded: Resource temporarily unavailable" ]]
	host 'echo end=panic >"$out/result"; echo "[ 1] BUG: kernel NULL pointer dereference" >"$out/console.log"; : >"$out/output.log"; exit 3'
	run -0 "$COPY/scripts/lab/racegate" --mutants
	[[ $output == *"one: BUG: kernel NULL pointer dereference" ]]
	host 'echo end=hang >"$out/result"; : >"$out/output.log"; exit 3'
	run -0 "$COPY/scripts/lab/racegate" --mutants
	[[ $output == *"one: the host does not go on (hang)" ]]
	run -0 "$COPY/scripts/lab/racegate" --table
	[[ $output == *"| one | one is wrong. | 6.1 | 20000 | the host does not go on (hang) |" ]]
}

@test "racegate: a mutant that nothing notices is a failure, and so is a host that does not boot" {
	host 'echo end=clean >"$out/result"; echo "ok 1 9 calls, unloading: done" >"$out/output.log"'
	run -1 "$COPY/scripts/lab/racegate" --mutants one
	[[ $output == *"one: not noticed" ]]
	host 'echo end=no-boot >"$out/result"; : >"$out/output.log"; exit 3'
	run -3 "$COPY/scripts/lab/racegate" --mutants one
	[[ $output == *"the host did not boot"* ]]
}

@test "racegate: a mutant that takes a kernel with KASAN is left out on others, unless it is named" {
	mutant two KASAN
	host 'echo end=clean >"$out/result"; echo "# wrong: it" >"$out/output.log"; exit 1'
	run -0 "$COPY/scripts/lab/racegate" --mutants
	[[ $output == *"one: it"* && $output != *"two: "* ]]
	run -0 "$COPY/scripts/lab/racegate" --mutants two
	[[ $output == *"two: it"* ]]
	run -2 "$COPY/scripts/lab/racegate" --mutants three
	[[ $output == *"there is no "*three.patch* ]]
}

@test "racegate: each mutant that is kept applies, and says what is wrong" {
	local file

	for file in "$TOP"/selftests/racegate/mutants/*.patch; do
		echo "$file"
		head -n 1 "$file" | grep '[.]$'
		patch -s --dry-run -F 0 -p1 -d "$TOP" <"$file"
	done
}

@test "racegate: a fuzzer that ends for another reason has noticed no mutant" {
	host 'echo end=clean >"$out/result"; echo "# insmod: cannot insert" >"$out/output.log"; exit 1'
	run -2 "$COPY/scripts/lab/racegate" --mutants
	[[ $output == *"the fuzzer ended with 1 and names no mistake"* ]]
	[[ $output != *"one: "* ]]
}
