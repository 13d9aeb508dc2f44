#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# scripts/tree/mutants, plan/mutants and the view: the mutants that are made of a small file and
# its patches, their plan, and the view of their results. Nothing is built.

bats_require_minimum_version 1.5.0

setup()
{
	# shellcheck source=selftests/scripts/stubs.sh
	. "$BATS_TEST_DIRNAME/stubs.sh"
	COPY=$BATS_TEST_TMPDIR/copy
	TREE=$BATS_TEST_TMPDIR/tree
	OUT=$BATS_TEST_TMPDIR/out
	export O=$COPY/build
	mkdir -p "$COPY/patches/6.1" "$COPY/selftests/races/one" "$TREE/virt/kvm"
	cp -r "$TOP/scripts" "$COPY/"
	cat >"$COPY/scripts/tree/races.sh" <<-'END'
	race_ids() { printf '%s\n' one two; }
	race_hosts() { case $1 in one) echo qemu ;; two) echo bochs ;; esac | grep -x -- "${2:-.*}"; }
	patches_for() { compgen -G "$TOP/selftests/races/$2/$1/6.1/*.patch"; }
	END
}

# source_has - make the file from stdin, with its declarations in front
source_has()
{
	cat >"$TREE/virt/kvm/a.c"
}

# fix_adds PART LINE... - make a patch of race one that adds the lines
fix_adds()
{
	local part=$1

	shift
	{
		printf 'Subject: x\n\nRace: one\n\ndiff --git a/virt/kvm/a.c b/virt/kvm/a.c\n--- a/virt/kvm/a.c\n+++ b/virt/kvm/a.c\n@@ -1,0 +1,%d @@ int f(void)\n' $#
		printf '+%s\n' "$@"
	} >"$COPY/patches/6.1/$part.patch"
}

# generate - generate mutants into OUT
generate()
{
	rm -rf "$OUT"
	"$COPY/scripts/tree/mutants" --line 6.1 "$TREE" "$OUT"
}

# mutants - print FUNCTION LINE RULE of the generated mutants
mutants()
{
	generate && cut -f 5-7 "$OUT/list" | tr '\t' ' '
}

# body NAME - print the function of that mutant, without comments and tabs
body()
{
	(cd "$TREE" && patch -p1 -F0 -s -o - <"$OUT/$1.patch") | sed -n '/^{/,/^}/{s/^\t*//;p}'
}

a_function()
{
	source_has <<'END'
#include <a.h>

/* not (this; */
int f(struct a *a)
{
	int r = 0;

	before(a);
	/*
	 * A comment; with } in it.
	 */
	if (a->x <= 1 && check(a, "}")) {
		r = first(a);
		second(a);
		return true;
	}

	after(a);
	other(a);
	return r;
}

int g(struct a *a)
{
	before(a);
	only_here(a);
	return other(a);
}
END
}

@test "mutants: added lines of a fix are changed by each rule, lines beside them are swapped with them" {
	a_function
	fix_adds one-part "	if (a->x <= 1 && check(a, \"}\")) {" "		return true;" "	}"
	diff - <(mutants) <<-'END'
	f 8 swap
	f 12 delete
	f 12 always
	f 12 negate
	f 12 drop
	f 12 drop
	f 12 bound
	f 12 swap
	f 13 delete
	f 13 before
	f 13 swap
	f 14 delete
	f 15 delete
	f 15 flip
	END
	# The names contain the patch, and two mutants of a kind have different names.
	diff - <(cut -f 1-4 "$OUT/list" | sed -n '5,7p' | tr '\t' ' ') <<-'END'
	one-part-f-7-drop one one-part virt/kvm/a.c
	one-part-f-7-drop-2 one one-part virt/kvm/a.c
	one-part-f-7-bound one one-part virt/kvm/a.c
	END
	[ "$(body one-part-f-7-drop | sed -n 8p)" = 'if ( check(a, "}")) {' ]
	[ "$(body one-part-f-7-drop-2 | sed -n 8p)" = 'if (a->x <= 1 ) {' ]
	[ "$(body one-part-f-7-bound | sed -n 8p)" = 'if (a->x < 1 && check(a, "}")) {' ]
	[ "$(body one-part-f-7-negate | sed -n 8p)" = 'if (!(a->x <= 1 && check(a, "}"))) {' ]
	[ "$(body one-part-f-7-always | sed -n 8p)" = 'if ((a->x <= 1 && check(a, "}")) || 1) {' ]
	[ "$(body one-part-f-10-flip | sed -n 11p)" = 'return false;' ]
	[ "$(body one-part-f-8-swap | sed -n 9,10p | tr '\n' ' ')" = 'second(a); r = first(a); ' ]
	[ "$(body one-part-f-8-before | sed -n 8,9p | tr '\n' ' ')" = 'r = first(a); if (a->x <= 1 && check(a, "}")) { ; ' ]
	[ "$(body one-part-f-3-swap | sed -n 4p)" = 'if (a->x <= 1 && check(a, "}")) {' ]
}

@test "mutants: none changes the number of lines, and each is the same in a second run" {
	local patch

	a_function
	fix_adds one "	if (a->x <= 1 && check(a, \"}\")) {" "	after(a);"
	generate
	cp -r "$OUT" "$OUT.first"
	for patch in "$OUT"/*.patch; do
		[ "$(body "$(basename "$patch" .patch)" | wc -l)" -eq "$(sed -n '/^{/,/^}/p' "$TREE/virt/kvm/a.c" | wc -l)" ]
	done
	generate
	diff -r "$OUT" "$OUT.first"
}

@test "mutants: a line that is found in two functions marks neither, one that is found once does" {
	a_function
	fix_adds one "	before(a);"
	run -2 generate
	[[ $output == *"nothing of the fixes of one two is found"* ]]
	# This includes lines that are too short to identify a place.
	fix_adds one "	}" "	r++;"
	run -2 generate
	fix_adds one "	only_here(a);"
	[ "$(mutants | cut -d ' ' -f 1 | sort -u)" = g ]
}

@test "mutants: locks are left out in pairs, taken for reading, narrowed" {
	source_has <<'END'
int f(struct a *a)
{
	write_lock_irq(&a->lock);
	a->valid = false;
	write_unlock_irq(&a->lock);
	sleep_a_little(a);
	write_lock_irq(&a->lock);
	a->valid = true;
	a->count = 1;
	write_unlock_irq(&a->lock);
	mutex_unlock(&a->other);
}
END
	fix_adds one "	write_lock_irq(&a->lock);"
	printf 'function\tvirt/kvm/a.c\tf\n' >"$COPY/selftests/races/one/mutants"
	generate
	[ "$(body one-f-1-unlocked | tr -d '\n')" = '{;a->valid = false;;sleep_a_little(a);;a->valid = true;a->count = 1;;mutex_unlock(&a->other);}' ]
	[ "$(body one-f-1-shared | tr -d '\n')" = "$(sed -n '/^{/,/^}/{s/^\t*//;s/write_/read_/;p}' "$TREE/virt/kvm/a.c" | tr -d '\n')" ]
	[ "$(body one-f-1-swap | sed -n 2,3p | tr '\n' ' ')" = 'a->valid = false; write_lock_irq(&a->lock); ' ]
	[ ! -e "$OUT/one-f-6-swap.patch" ]
	# One half of a pair is never left in alone.
	[ "$(grep -c 'delete.*lock' "$OUT/list" || :)" -eq 0 ]
}

@test "mutants: retries, requests, all vCPUs, releases on an early return, calls out of a block" {
	source_has <<'END'
int f(struct vcpu *vcpu, struct kvm *kvm)
{
	do {
		look(vcpu);
		if (failed(vcpu)) {
			release_page(vcpu);
			return -EFAULT;
		}
	} while (retry(vcpu));

	if (kvm_check_request(KVM_REQ_A, vcpu))
		kvm_make_all_cpus_request(kvm, KVM_REQ_B);
	kvm_for_each_vcpu(i, vcpu, kvm)
		kick(vcpu);
	return 0;
}
END
	printf 'function\tvirt/kvm/a.c\tf\n' >"$COPY/selftests/races/one/mutants"
	generate
	[ "$(body one-f-1-once | sed -n 8p)" = '} while ((retry(vcpu)) && 0);' ]
	[ "$(body one-f-4-delete | sed -n 5p)" = ';' ]
	[ "$(body one-f-2-before | sed -n 2,3p | tr '\n' ' ')" = 'look(vcpu); do { ; ' ]
	[ "$(body one-f-9-test | sed -n 10p)" = 'if (kvm_test_request(KVM_REQ_A, vcpu))' ]
	[[ $(body one-f-10-first) == *"kvm_make_request( KVM_REQ_B, mutant_first);"* ]]
	[ "$(body one-f-10-after | sed -n 11p)" = '; kvm_make_all_cpus_request(kvm, KVM_REQ_B);' ]
	[ "$(body one-f-11-first | sed -n 13p)" = '{ kick(vcpu); break; }' ]
}

@test "mutants: an operation of a table that a reopening takes away" {
	source_has <<'END'
static const struct ops ops = {
	.invalidate	= a_invalidate,
	.other		= a_other,
};
END
	mkdir -p "$COPY/selftests/races/one/reopen/6.1"
	fix_adds x "	.invalidate	= a_invalidate,"
	sed 's/^+\t/-\t/; s/^Race: one/&\nPart: one-ops/' "$COPY/patches/6.1/x.patch" >"$COPY/selftests/races/one/reopen/6.1/one.patch"
	rm "$COPY/patches/6.1/x.patch"
	generate
	[ "$(cut -f 1,8 "$OUT/list")" = $'one-ops-operations-0-delete\twithout .invalidate = a_invalidate,' ]
}

@test "mutants: a statement to a developer is no fix, nor is the order of two assignments" {
	source_has <<'END'
int f(struct a *a)
{
	WARN_ON_ONCE(a->bad);
	a->x = 1;
	a->y = 2;
	if (WARN_ON(a->worse) || a->full)
		return 1;
	return 0;
}
END
	printf 'function\tvirt/kvm/a.c\tf\n' >"$COPY/selftests/races/one/mutants"
	diff - <(mutants | cut -d ' ' -f 2-) <<-'END'
	4 delete
	5 delete
	5 swap
	6 delete
	6 always
	6 negate
	6 drop
	END
}

@test "mutants: bad input is refused" {
	a_function
	run -2 "$COPY/scripts/tree/mutants" "$TREE" "$OUT"
	run -2 "$COPY/scripts/tree/mutants" --line 6.1 "$TREE" "$OUT" no-race
	[[ $output == *"'no-race' is not a race; there are: one two"* ]]
	mkdir "$OUT"
	run -2 "$COPY/scripts/tree/mutants" --line 6.1 "$TREE" "$OUT"
	[[ $output == *"exists"* ]]
	[ -z "$(ls -A "$OUT")" ]
}

# listed NAME RACE [CHANGE] - print a row of the list of built mutants
listed()
{
	printf '%s\t%s\t%s\tx.c\tf\t1\tdelete\t%s\n' "$1" "$2" "$2" "${3-without x;}" >>"$BATS_TEST_TMPDIR/list"
}

@test "plan mutants: every case, boots of some, and fixed modules at the end of each" {
	listed one-a one
	listed two-a two
	listed one-b one
	listed one-c-f-9-delete one
	listed one-c-f-9-delete-2 one
	listed two-b two
	mkdir -p "$COPY/selftests/races/two/control/6.1"
	touch "$COPY/selftests/races/two/control/6.1/x.patch"
	# Only that exact change is equivalent, and of several in one line only that one.
	printf 'elsewhere\tone-b\twithout x;\twhy\nequivalent\tone-c-f-7-delete\twithout x;\twhy\nequivalent\tone-a\twithout y;\twhy\n' >"$COPY/selftests/races/one/mutants"
	printf "host\ttwo-b\twithout x;\tqemu\twhy\n" >"$COPY/selftests/races/two/mutants"
	diff - <("$COPY/scripts/lab/plan/mutants" --each 2 "$BATS_TEST_TMPDIR/list" | cut -f 1,4-9 | tr '\t' ' ') <<-'END'
	6.1-qemu-one-1 mutant-one-a one until-fail one-a mutant harm
	6.1-qemu-one-1 mutant-one-b one until-fail one-b elsewhere pass
	6.1-qemu-one-1 patched one every 6.1-qemu-one-1 fixed pass
	6.1-qemu-one-2 mutant-one-c-f-9-delete one until-fail one-c-f-9-delete equivalent pass
	6.1-qemu-one-2 mutant-one-c-f-9-delete-2 one until-fail one-c-f-9-delete-2 mutant harm
	6.1-qemu-one-2 patched one every 6.1-qemu-one-2 fixed pass
	6.1-bochs-two-1 mutant-two-a two until-fail two-a mutant harm
	6.1-qemu-two-1 mutant-two-b two until-fail two-b mutant harm
	6.1-bochs-two-1 control-two two every 6.1-bochs-two-1 fixed pass
	6.1-qemu-two-1 control-two two every 6.1-qemu-two-1 fixed pass
	END
	run -2 "$COPY/scripts/lab/plan/mutants" --host kvm "$BATS_TEST_TMPDIR/list"
}

# result NAME STAGE EXPECT RESULT [REASON] - add the result of a step
result()
{
	printf '6.1\t6.1.0-1-amd64\tqemu\tset\tgpc-refresh\t%s\t%s\t*\t%s\t%s\t1\t2\t%s\t/l/output.log:7\n' "$2" "$1" "$3" "$4" "${5-}" \
		>>"$BATS_TEST_TMPDIR/results"
}

# view_says STATUS TEXT... - does the view exit with STATUS, and end its lines with these texts?
view_says()
{
	local text

	run "$TOP/scripts/lab/report" mutants "$BATS_TEST_TMPDIR/results"
	[ "$status" -eq "$1" ]
	shift
	for text; do
		[[ $output == *"$text"* ]]
	done
}

@test "report mutants: caught, by any harm; survivors; the score" {
	result a mutant harm fail "forced xen"
	result b mutant harm panic "in xen: Fatal exception"
	result c mutant harm hang
	result d mutant harm setup
	result e equivalent pass pass
	result gpc-refresh fixed pass pass
	view_says 0 "caught: forced xen" "caught: the host dies of xen" "caught: the host hangs" "caught: the modules do not load or unload" \
		"equivalent" "4 caught, 0 survive, 1 equivalent, 0 not tried: score 100 %"
	result f mutant harm pass
	view_says 1 "SURVIVES" "4 caught, 1 survive, 1 equivalent, 0 not tried: score 80 %"
	result g elsewhere pass pass
	view_says 1 "passes: worse elsewhere only" "4 caught, 1 survive, 1 equivalent, 1 worse elsewhere only, 0 not tried: score 80 %"
}

@test "report mutants: a skip is not tried, a failing equivalent is none, failing fixed modules are named" {
	result a mutant harm skip "no such thing"
	view_says 1 "NOT TRIED: skip (no such thing)" "score none"
	rm "$BATS_TEST_TMPDIR/results"
	result a mutant harm unfinished "exit status 143"
	view_says 1 "NOT TRIED: unfinished (exit status 143)"
	rm "$BATS_TEST_TMPDIR/results"
	result a equivalent pass fail forced
	view_says 1 "is listed as EQUIVALENT, and caught: forced" "0 caught, 1 survive"
	rm "$BATS_TEST_TMPDIR/results"
	result a mutant harm fail forced
	result gpc-refresh fixed pass fail forced
	view_says 1 "after gpc-refresh, set modules: fail (forced); the results before it in that boot are in doubt: /l/output.log:7"
}

# stub_builds - make a copy whose fixes are in TREE, and that builds and boots nothing: for a
# mutant, builds/NAME has the result of its build (default: built), and says/NAME the output of the
# test
stub_builds()
{
	cp "$TOP/scripts/tree/races.sh" "$COPY/scripts/tree/"
	cp -r "$TOP/selftests/races" "$COPY/selftests/"
	rm -f "$COPY"/selftests/races/*/mutants "$COPY"/selftests/races/*/reopen/*/*
	mkdir -p "$COPY/bin" "$O"/{builds,says,sets,selftests,kernels/6.1} "$COPY/doc/results"
	echo 6.1.0-x >"$O/kernels/6.1/release"
	touch "$O/sets/racegate.ko" "$O/selftests/tdp_mmu_zap_test"
	a_function
	fix_adds tdp-mmu-zap "	only_here(a);"
	sed -i 's/^Race: one/Race: tdp-mmu-zap/' "$COPY/patches/6.1/tdp-mmu-zap.patch"
	stub bin/make 'exit 0'
	stub bin/objcopy 'cp "${@: -2:1}" "${@: -1}"'
	stub scripts/modules/kernel-get 'exit 0'
	stub scripts/lab/bochs-build 'exit 0'
	stub scripts/modules/modules-build '
		case "$*" in *--prepare-only*) echo "'"$TREE"'"; exit ;; esac
		set=${*: -1} dir=$O/sets
		case $set in
		mutant-*)
			dir=$O/modules/6.1.0-x/$set
			mkdir -p "$dir"
			touch "$dir/.sums"
			says=$(cat "$O/builds/${set#mutant-}" 2>/dev/null || echo built)
			[ "$says" != refused ] || exit 1
			[ "$says" = same ] || echo "$set" >"$dir/kvm.ko"
			[ "$says" != same ] || echo patched >"$dir/kvm.ko"
			;;
		patched) dir=$O/modules/6.1.0-x/patched; mkdir -p "$dir"; echo patched >"$dir/kvm.ko" ;;
		esac
		echo "$dir"'
	stub_boot '
		while read -r row _ set _; do
			says=$(cat "$O/says/${set#mutant-}" 2>/dev/null || echo ok)
			printf "@lab@ begin %s\n#  RUN           global.forced ...\n" "$row"
			printf "%s 1 global.forced\n@lab@ end %s %d 10\n" "$says" "$row" "$([ "$says" = ok ]; echo $?)"
		done <"$out/payload/plan" >"$out/output.log"
		printf "end=clean\nreason=\nseconds=3.0\n" >"$out/result"'
	export PATH=$COPY/bin:$PATH
}

@test "mutations --generate: mutants that are equal or do not compile are not run, others are in the table" {
	stub_builds
	run "$COPY/scripts/lab/mutations" --generate --list tdp-mmu-zap
	diff - <(printf '%s\n' "$output" | cut -f 1 | sort) <<-'END'
	tdp-mmu-zap-g-1-swap
	tdp-mmu-zap-g-2-delete
	END
	echo "not ok" >"$O/says/tdp-mmu-zap-g-1-swap"
	echo same >"$O/builds/tdp-mmu-zap-g-2-delete"
	run -0 "$COPY/scripts/lab/mutations" --generate tdp-mmu-zap
	[[ $output == *"1 caught, 0 survive, 0 equivalent, 0 not tried: score 100 %"* ]]
	[[ $output == *"2 generated here: 0 do not compile, 1 have the code of the fix, 0 that of another mutant, 1 were run"* ]]
	[[ $output != *"g-2-delete "*"qemu"* ]]
	# The page keeps earlier results, and is written again.
	echo refused >"$O/builds/tdp-mmu-zap-g-2-delete"
	run -4 "$COPY/scripts/lab/mutations" --generate tdp-mmu-zap-g-2-delete
	"$COPY/scripts/lab/mutations" --generate --table
	grep -qF '| tdp-mmu-zap-g-1-swap | tdp-mmu-zap | before(a); after only_here(a); | caught: forced |' "$COPY/doc/results/mutants.md"
	grep -qF '| tdp-mmu-zap-g-2-delete | tdp-mmu-zap | without only_here(a); | does not compile |' "$COPY/doc/results/mutants.md"
	grep -qF 'of the other 1, 1 are caught: **100 %**' "$COPY/doc/results/mutants.md"
}

@test "mutations --generate: a sample is the same for a seed, and has that of a smaller number" {
	stub_builds
	fix_adds tdp-mmu-zap "	if (a->x <= 1 && check(a, \"}\")) {"
	sed -i 's/^Race: one/Race: tdp-mmu-zap/' "$COPY/patches/6.1/tdp-mmu-zap.patch"
	list() { "$COPY/scripts/lab/mutations" --generate --list "$@" tdp-mmu-zap | cut -f 1; }
	[ "$(list --sample 5 | wc -l)" -eq 5 ]
	[ "$(list --sample 5)" = "$(list --sample 5)" ]
	[ "$(list --sample 5 | head -n 3)" = "$(list --sample 3)" ]
	[ "$(list --sample 5)" != "$(list --sample 5 --seed 2)" ]
	[ "$(list --sample 50 | sort)" = "$(list | sort)" ]
	run -2 "$COPY/scripts/lab/mutations" --generate --sample none
	run -2 "$COPY/scripts/lab/mutations" --generate no-such-race
	[[ $output == *"no race and no mutant of 6.1 is called no-such-race"* ]]
}

# kbuild_left - make a tree of a fix as kbuild leaves it, with recorded commands and its module
kbuild_left()
{
	local work=$O/work/6.1.0-x/patched dir=$O/modules/6.1.0-x/patched

	mkdir -p "$work/virt/kvm" "$work/arch/x86/kvm" "$dir" "$O/mutants/6.1" "$O/kernels/6.1"
	cp "$TOP/VERSION" "$COPY/"
	work=$(readlink -f "$work")
	echo "$BATS_TEST_TMPDIR" >"$work/.base"
	printf 'int other(void), another(void);\nint f(int x)\n{\n\treturn x ? other() : 2;\n}\n' >"$work/virt/kvm/a.c"
	printf 'int other(void)\n{\n\treturn 3;\n}\n' >"$work/virt/kvm/b.c"
	printf 'MODULE_VERSION("x");\n' >"$work/arch/x86/kvm/racefix-kvm.c"
	# It is compiled without the kernel's headers. After gcc the recorded command runs objtool.
	for file in virt/kvm/a virt/kvm/b; do
		echo "cmd_x := cc -c -g0 -o $work/$file.o $work/$file.c ; test -e $work/$file.o" >"$work/${file%/*}/.${file##*/}.o.cmd"
	done
	echo "cmd_x := cc -c -g0 -DMODULE_VERSION=asm -x c -o $work/arch/x86/kvm/racefix-kvm.o /dev/null" >"$work/arch/x86/kvm/.racefix-kvm.o.cmd"
	printf '%s\n' "$work"/arch/x86/kvm/{../../../virt/kvm/{a,b},racefix-kvm}.o >"$work/arch/x86/kvm/kvm.mod"
	echo "cmd_x := ld -r -o $work/arch/x86/kvm/kvm.o @$work/arch/x86/kvm/kvm.mod" >"$work/arch/x86/kvm/.kvm.o.cmd"
	echo "cmd_x := ld -r -o $work/arch/x86/kvm/kvm.ko $work/arch/x86/kvm/kvm.o" >"$work/arch/x86/kvm/.kvm.ko.cmd"
	for file in virt/kvm/.a.o virt/kvm/.b.o arch/x86/kvm/.{racefix-kvm.o,kvm.o,kvm.ko}; do
		eval "$(sed 's/^cmd_x := //' "$work/$file.cmd")"
	done
	objcopy --strip-debug "$work/arch/x86/kvm/kvm.ko" "$dir/kvm.ko"
	stub scripts/modules/modules-build '
		echo "$@" >>"$O/kbuild"
		case $* in *mutant-*) mkdir -p "$O/modules/6.1.0-x/${*: -1}"; cp "$O/modules/6.1.0-x/patched/kvm.ko" "$O/modules/6.1.0-x/${*: -1}/"; esac
		echo "$O/modules/6.1.0-x/${*: -1}"'
}

# a_mutant NAME FROM TO - make a mutant of virt/kvm/a.c, in which FROM becomes TO
a_mutant()
{
	local old=$O/work/6.1.0-x/patched/virt/kvm/a.c new=$BATS_TEST_TMPDIR/new

	printf '%s\tone\tone\tvirt/kvm/a.c\tf\t1\tdelete\twithout x;\n' "$1" >>"$O/mutants/6.1/list"
	sed "s/$2/$3/" "$old" >"$new"
	diff -u --label a/virt/kvm/a.c --label b/virt/kvm/a.c "$old" "$new" >"$O/mutants/6.1/$1.patch" || :
}

@test "mutants-build: only objects that differ are compiled, and compared with the fix and other mutants" {
	local out

	kbuild_left
	a_mutant one-three ' 2' ' 3'
	a_mutant one-three-too ' 2' ' 1 + 2'
	a_mutant one-two ' 2' ' 1 + 1'
	a_mutant one-wrong ' 2' ' +'
	# Its symbol would need a version, which kbuild looks up.
	a_mutant one-another 'other()' 'another()'
	out=$("$COPY/scripts/modules/mutants-build" 6.1 2>"$BATS_TEST_TMPDIR/err")
	diff - <(cut -f 1,2 <<<"$out") <<-'END'
	one-three	built
	one-three-too	twin:one-three
	one-two	same
	one-wrong	refused
	one-another	same
	END
	[ "$(grep -c mutant- "$O/kbuild")" -eq 1 ]
	grep -q 'variant mutant-one-another' "$O/kbuild"
	(cd "$O/modules/6.1.0-x/mutant-one-three" && sha256sum -c --quiet .sums)
	run -1 cmp -s "$O/modules/6.1.0-x/mutant-one-three/kvm.ko" "$O/modules/6.1.0-x/patched/kvm.ko"
	# No mutant is compiled twice, and the tree is unchanged.
	mkdir "$COPY/bin"
	stub bin/cc 'echo "$@" >>"$O/compiled"; exec gcc "$@"'
	out=$(PATH=$COPY/bin:$PATH "$COPY/scripts/modules/mutants-build" 6.1 one-three one-two one-wrong)
	[ "$(cut -f 2 <<<"$out" | paste -sd ' ')" = "built same refused" ]
	run -1 grep 'virt/kvm/a' "$O/compiled"
}

@test "mutants-build: if the objects do not make the modules of the fix, kbuild builds all mutants" {
	kbuild_left
	a_mutant one-three ' 2' ' 3'
	printf 'int other(void)\n{\n\treturn 4;\n}\n' >"$O/work/6.1.0-x/patched/virt/kvm/b.c"
	(cd "$O/work/6.1.0-x/patched/virt/kvm" && cc -c -g0 -o b.o b.c)
	"$COPY/scripts/modules/mutants-build" 6.1 2>"$BATS_TEST_TMPDIR/err"
	grep -q 'built by kbuild alone' "$BATS_TEST_TMPDIR/err"
	grep -q 'variant mutant-one-three' "$O/kbuild"
}

@test "mutations --generate: a mutant with the code of another one has its result" {
	stub_builds
	stub scripts/modules/mutants-build '
		"$(dirname "$0")/modules-build" mutant-tdp-mmu-zap-g-1-swap >/dev/null
		printf "tdp-mmu-zap-g-1-swap\tbuilt\t1\ntdp-mmu-zap-g-2-delete\ttwin:tdp-mmu-zap-g-1-swap\t1\n"'
	echo "not ok" >"$O/says/tdp-mmu-zap-g-1-swap"
	run -0 "$COPY/scripts/lab/mutations" --generate tdp-mmu-zap
	[[ $output == *"2 generated here: 0 do not compile, 0 have the code of the fix, 1 that of another mutant, 1 were run"* ]]
	"$COPY/scripts/lab/mutations" --generate --table
	grep -qF '| caught: forced (it has the code of tdp-mmu-zap-g-1-swap) |' "$COPY/doc/results/mutants.md"
	grep -qF 'of the other 2, 2 are caught: **100 %**' "$COPY/doc/results/mutants.md"
}
