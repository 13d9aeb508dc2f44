#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# scripts/apply on copies of Debian's 5.10 and 6.1: each kind of tree, and possible errors. The
# results of status for a tree are kept in build/status, so that only new contents take time.
#
# shellcheck disable=SC2016,SC2030,SC2031 # programs in quotes; each test is a process

bats_require_minimum_version 1.5.0

setup_file()
{
	# shellcheck source=scripts/lib.sh
	. "$BATS_TEST_DIRNAME/../../scripts/lib.sh"
	# shellcheck source=scripts/tree/series/tree.sh
	. "$TOP/scripts/tree/series/tree.sh"
	need_packages git quilt patch coccinelle
	# Some day the mirror will drop 5.10.
	for line in 5.10 6.1; do
		"$TOP/scripts/modules/kernel-get" --want source $line || { [ $? -eq "$EX_GONE" ] && return; }
		mkdir -p "$BATS_FILE_TMPDIR/$line"
		copy_kvm "$BUILD/kernels/$line/source" "$BATS_FILE_TMPDIR/$line"
	done
	# The expected result, for comparison.
	cp -a "$BATS_FILE_TMPDIR/5.10" "$BATS_FILE_TMPDIR/patched"
	"$TOP/scripts/tree/apply" --list "$BATS_FILE_TMPDIR/patched" >"$BATS_FILE_TMPDIR/list"
	"$TOP/scripts/tree/apply" "$BATS_FILE_TMPDIR/patched"
}

setup()
{
	# shellcheck source=scripts/lib.sh
	. "$BATS_TEST_DIRNAME/../../scripts/lib.sh"
	[ -e "$BATS_FILE_TMPDIR/list" ] || skip "the archive has no 5.10 any more"
	APPLY=$TOP/scripts/tree/apply
	ORIG=$BATS_FILE_TMPDIR/5.10
	PATCHED=$BATS_FILE_TMPDIR/patched
	COUNT=$(wc -l <"$BATS_FILE_TMPDIR/list")
	TREE=$BATS_TEST_TMPDIR/tree
	export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.com
	export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
}

# new_tree [LINE] - make TREE a fresh copy
new_tree()
{
	cp -a "$BATS_FILE_TMPDIR/${1:-5.10}" "$TREE"
}

# files DIR - print all that it holds: names, modes, times, contents
files()
{
	(
		cd "$1" && find . ! -type d -printf '%P %m %T@ %s\n' | sort &&
			find . -type f -print0 | sort -z | xargs -0 sha256sum
	)
}

# new_git - make TREE a git tree, whose user has a name
new_git()
{
	new_tree
	git -C "$TREE" init -q
	git -C "$TREE" config user.name "Jo Doe"
	git -C "$TREE" config user.email jo@example.com
	git -C "$TREE" add -A
	git -C "$TREE" commit -q -m base
}

# new_debian - make TREE a source package with a patch that is not applied
new_debian()
{
	new_tree
	mkdir -p "$TREE/debian/source" "$TREE/debian/patches/bugfix"
	echo "3.0 (quilt)" >"$TREE/debian/source/format"
	printf '# theirs\nbugfix/one.patch' >"$TREE/debian/patches/series"
	diff -u --label a/arch/x86/kvm/x86.c --label b/arch/x86/kvm/x86.c \
		"$TREE/arch/x86/kvm/x86.c" <(sed '1i/* theirs */' "$TREE/arch/x86/kvm/x86.c") \
		>"$TREE/debian/patches/bugfix/one.patch" || :
}

# copy_project - copy the files of the project that apply needs to COPY, to change them
copy_project()
{
	COPY=$BATS_TEST_TMPDIR/project
	mkdir "$COPY" "$COPY/selftests"
	cp -a "$TOP/scripts" "$TOP/patches" "$COPY/"
	cp -r "$TOP/selftests/races" "$COPY/selftests/"
}

# header PATCH - set run's output and lines to the part before its diff
header()
{
	run -0 sed '/^diff /,$d' "$1"
}

# quilt_in DIR COMMAND... - run the user's own quilt
quilt_in()
{
	(cd "$1" && shift && quilt --quiltrc - "$@")
}

# trap_at SIGNAL COMMAND N - print a PATH with which apply gets SIGNAL when it runs COMMAND for the
# Nth time
trap_at()
{
	mkdir -p "$BATS_TEST_TMPDIR/bin"
	rm -f "$BATS_TEST_TMPDIR/bin"/*
	cat >"$BATS_TEST_TMPDIR/bin/$2" <<-END
	#!/bin/sh
	n=\$((\$(cat "$BATS_TEST_TMPDIR/count") + 1))
	echo \$n >"$BATS_TEST_TMPDIR/count"
	[ \$n -ne $3 ] || kill -$1 \$PPID
	PATH=$PATH exec $2 "\$@"
	END
	chmod +x "$BATS_TEST_TMPDIR/bin/$2"
	echo 0 >"$BATS_TEST_TMPDIR/count"
}

# hit N - did COMMAND run at least N times?
hit()
{
	[ "$(cat "$BATS_TEST_TMPDIR/count")" -ge "$1" ]
}

need_root()
{
	[ "$(id -u)" -eq 0 ] || skip "only root can mount"
	unshare -m true 2>/dev/null || skip "there are no mount namespaces here"
}

# old_notifier - make TREE request the APIC page's reload as Linux 4.15 to 4.18 and RHEL 8.0 to
# 8.2 do
old_notifier()
{
	perl -0pi -e '
		s/static void kvm_mmu_notifier_invalidate_range\(.*?\n\}\n\n//s;
		s/\t\.invalidate_range\t=.*\n//;
		s/static int (kvm_mmu_notifier_invalidate_range_start\(struct mmu_notifier \*mn,).*?\n\{/static void $1
						    struct mm_struct *mm,
						    unsigned long start,
						    unsigned long end)
{/s;
		s/\t(spin_unlock.*)\n\tkvm_arch_guest_memory_reclaimed.*\n(.*)\n\n\treturn 0;/\t$1

	kvm_arch_mmu_notifier_invalidate_range(kvm, start, end);

$2/;
	' "$TREE/virt/kvm/kvm_main.c"
}

# rhel_84 - make TREE take mmu_lock for a page fault as RHEL 8.4 does
rhel_84()
{
	local root='is_tdp_mmu_root(vcpu->kvm, vcpu->arch.mmu->root_hpa)'

	find "$TREE/arch/x86/kvm/mmu" -name '*.[ch]' -exec sed -i 's/\<spin_\(un\)\?lock(\(.*mmu_lock\))/write_\1lock(\2)/' {} +
	sed -i "/^static int direct_page_fault(/,/^}/s/\(\t*\)write\(_.*lock\)(\(.*\));/\1if ($root)\n\1\tread\2(\3);\n\1else\n\1\twrite\2(\3);\n/" \
		"$TREE/arch/x86/kvm/mmu/mmu.c"
}

@test "apply: closes what is open, and a second run finds nothing to do" {
	new_tree
	run -0 "$APPLY" "$TREE"
	[[ $output == *patches/5.10.*/nested-vmcs12-pages.patch*"patch"*" applied"* ]]
	[ ! -e "$TREE/.racefix-apply" ]
	run -0 "$TOP/scripts/tree/status" --tsv "$TREE"
	before=$(files "$TREE")
	run -0 "$APPLY" "$TREE"
	[[ $output == *"nothing to do"* ]]
	[ "$(files "$TREE")" = "$before" ]
}

@test "apply: the result is what patch makes of the series" {
	new_tree
	while read -r file; do
		patch -d "$TREE" -p1 -F0 -s --no-backup-if-mismatch <"$file"
	done <"$BATS_FILE_TMPDIR/list"
	diff -r "$TREE" "$PATCHED"
}

@test "apply: races that upstream has fixed are left alone" {
	new_tree 6.1
	run -0 "$APPLY" "$TREE"
	[[ $output == *"tdp-mmu-zap "*fixed* ]]
	diff -r "$TREE/arch/x86/kvm/mmu" "$BATS_FILE_TMPDIR/6.1/arch/x86/kvm/mmu"
	run ! diff -rq "$TREE" "$BATS_FILE_TMPDIR/6.1"
}

@test "apply: shapes that only RHEL 8 and Linux before 5.0 have" {
	new_tree
	old_notifier
	rhel_84
	run -0 "$APPLY" --race apic-page-invalidation --race tdp-mmu-zap "$TREE"
	[[ $output == *"patches/4.15/apic-page-invalidation.patch"* ]]
	[[ $output == *"patches/5.12/tdp-mmu-zap.patch"* ]]
	[[ $output == *"2 patches applied"* ]]
	run "$TOP/scripts/tree/status" --tsv "$TREE"
	[ "$(grep -cE '^(apic-page-invalidation|tdp-mmu-zap)	fixed' <<<"$output")" -eq 2 ]
}

@test "apply: one race only" {
	new_tree
	run -0 "$APPLY" --race apicv-vcpu-creation "$TREE"
	[[ $output != *nested-vmcs12* ]]
	run -0 "$APPLY" --race nested-vmcs12-pages --race apicv-vcpu-creation "$TREE"
	diff -r "$TREE" "$PATCHED"
	run -2 "$APPLY" --race no-such-race "$TREE"
	[[ $output == *no-such-race*nested-vmcs12-pages* ]]
}

@test "apply --dry-run: names the patches and their places, and changes nothing" {
	new_tree
	before=$(files "$TREE")
	run -0 "$APPLY" --dry-run "$TREE"
	[[ $output == *patches/5.10.*/nested-vmcs12-pages.patch*"would be applied"* ]]
	[ "$(files "$TREE")" = "$before" ]
}

@test "apply: a name with spaces, a relative path" {
	mkdir "$BATS_TEST_TMPDIR/a b"
	TREE="$BATS_TEST_TMPDIR/a b/c d"
	new_tree
	cd "$BATS_TEST_TMPDIR/a b"
	run -0 "$APPLY" "c d"
	diff -r "$TREE" "$PATCHED"
}

@test "apply: a directory that is no kernel tree, or a tree without KVM, is refused" {
	mkdir "$BATS_TEST_TMPDIR/empty"
	run -2 "$APPLY" "$BATS_TEST_TMPDIR/empty"
	[[ $output == *"is not a kernel tree"* ]]
	run -2 "$APPLY" "$BATS_TEST_TMPDIR/missing"
	[[ $output == *"no such directory"* ]]
	run -2 "$APPLY" "$ORIG/Makefile"
	[[ $output == *"not a directory"* ]]
	run -2 "$APPLY" "$ORIG/arch/x86"
	[[ $output == *"name its top"*"$ORIG"* ]]
	new_tree
	rm -r "$TREE/arch/x86/kvm"
	run -2 "$APPLY" "$TREE"
	[[ $output == *"without x86 KVM"* ]]
	run -2 "$APPLY"
	run -2 "$APPLY" --no-such-option "$TREE"
}

@test "apply: changes in the same lines: the patch, the hunk and the difference; nothing is changed" {
	new_tree
	sed -i 's/^\tvcpu->arch.l1tf_flush_l1d = true;/&\n\tmine();/
		s/^\t\tvcpu->arch.at_instruction_boundary = false;/&\n\t\tmine();/' "$TREE/arch/x86/kvm/x86.c"
	before=$(files "$TREE")
	run -1 "$APPLY" "$TREE"
	[[ $output == *patches/5.10*/nested-vmcs12-pages.patch* ]]
	[[ $output == *"rejected, of arch/x86/kvm/x86.c"*"+"*KVM_REQ_GET_NESTED_STATE_PAGES* ]]
	[[ $output == *"differ from them"*"+		mine();"* ]]
	[[ $output == *"nothing was changed"* ]]
	[ "$(files "$TREE")" = "$before" ]

	# The last line applies the other patches, with the printed command.
	run -1 "$APPLY" --signoff "Jo Doe <jo@example.com>" "$TREE"
	[[ ${lines[-2]} == *"does not take patches/5.10"*"/nested-vmcs12-pages.patch; nothing was changed"* ]]
	[[ ${lines[-1]} == *" --race apicv-vcpu-creation $TREE" ]]
	run -0 bash -c "${lines[-1]}"
	[[ $output == *"apicv-vcpu-creation "*" patch"*" applied"* ]]
}

@test "apply: a hunk that is in already is said to be" {
	new_tree
	(cd "$TREE" && git apply --include=arch/x86/kvm/vmx/vmx.h "$TOP/patches/5.10/apicv-vcpu-creation-defer-in-l2.patch")
	run -1 "$APPLY" --race apicv-vcpu-creation "$TREE"
	[[ $output == *"this hunk is in already, in arch/x86/kvm/vmx/vmx.h:"*"+	bool "* ]]
	[[ $output != *"  rejected"* ]]
	# The form of another line applies beside it.
	[[ $output == *"patches/5.8/apicv-vcpu-creation-defer-in-l2.patch applies, but declares "*" twice in arch/x86/kvm/vmx/vmx.h"* ]]
	# No other race was asked for.
	[[ ${lines[-1]} == *"nothing was changed" ]]
}

@test "apply: every part that is stuck is explained by its own patch" {
	new_tree
	sed -i 's/^\t\tvcpu->arch.at_instruction_boundary = false;/&\n\t\tmine();/' "$TREE/arch/x86/kvm/x86.c"
	mv "$TREE/arch/x86/kvm/vmx/nested.c" "$TREE/arch/x86/kvm/vmx/mine.c"
	run -1 "$APPLY" "$TREE"
	[[ $output == *"the nearest is "*/patches/5.10*/nested-vmcs12-pages.patch* ]]
	output=${output#*apicv-vcpu-creation-defer-in-l2: no patch}
	[[ $output == *"there is no arch/x86/kvm/vmx/nested.c in this tree"* ]]
	[[ $output != *"rejected, of arch/x86/kvm/x86.c"* ]]
}

@test "apply: a patch that would include a missing header is not taken" {
	new_tree 6.1
	# As in 6.3 to 6.9.
	sed -i 's/^#include "x86.h"$/&\n#include "smm.h"/
		/^\tif (vmx->nested.update_vmcs01_apicv_status) {/,/^\t}/s/vmx_refresh_apicv_exec_ctrl(vcpu);/kvm_make_request(KVM_REQ_APICV_UPDATE, vcpu);/' \
		"$TREE/arch/x86/kvm/vmx/nested.c"
	before=$(files "$TREE")
	run -1 "$APPLY" --race apicv-vcpu-creation "$TREE"
	[[ $output == *"/apicv-vcpu-creation-defer-in-l2.patch applies, but includes x86_ops.h, which is not there"* ]]
	[ "$(files "$TREE")" = "$before" ]
	touch "$TREE/arch/x86/kvm/vmx/x86_ops.h"
	run -0 "$APPLY" --race apicv-vcpu-creation "$TREE"
	[[ $output == *" patch"*" applied"* ]]
}

@test "apply: a race that status does not know is named, and not patched" {
	new_tree
	sed -i 's/make_mmu_pages_available/make_room/;s/kvm_check_request(KVM_REQ_GET_NESTED_STATE_PAGES, vcpu)/racefix_unknown(vcpu)/' \
		"$TREE"/arch/x86/kvm/*.c "$TREE"/arch/x86/kvm/mmu/*.[ch]
	run -2 "$APPLY" "$TREE"
	[[ $output == *"nested-vmcs12-pages: status does not recognise"* ]]
	[[ $output == *" patch"*" applied"* ]]
	run -0 cmp "$TREE/arch/x86/kvm/vmx/vmx.h" "$PATCHED/arch/x86/kvm/vmx/vmx.h"
}

@test "apply --export: a series that quilt and git am take; the tree is not touched" {
	new_tree
	before=$(files "$TREE")
	run -0 "$APPLY" --export "$BATS_TEST_TMPDIR/out" "$TREE"
	[ "$(files "$TREE")" = "$before" ]
	[ "$(stat -c %a "$BATS_TEST_TMPDIR/out")" = "$(stat -c %a "$BATS_TEST_TMPDIR")" ] ||
		[ "$(stat -c %a "$BATS_TEST_TMPDIR/out")" = 755 ]
	(cd "$TREE" && QUILT_PATCHES=$BATS_TEST_TMPDIR/out quilt --quiltrc - push -a -q --fuzz=0)
	diff -r -x .pc "$TREE" "$PATCHED"
	run -2 "$APPLY" --export "$BATS_TEST_TMPDIR/out" "$TREE"
	[[ $output == *"out exists"* ]]
	run -2 "$APPLY" --export "$BATS_TEST_TMPDIR/none/out" "$TREE"
	# A tree that lacks nothing gives an empty series.
	run -0 "$APPLY" --export "$BATS_TEST_TMPDIR/empty" "$PATCHED"
	[ "$(grep -vc '^#' "$BATS_TEST_TMPDIR/empty/series")" -eq 0 ]
	run -0 find "$BATS_TEST_TMPDIR" -maxdepth 1 -name '.out*' -o -maxdepth 1 -name '.empty*'
	[ -z "$output" ]
}

@test "apply: a read-only tree: said; --dry-run and --export work" {
	need_root
	new_tree
	run -0 unshare -m sh -c '
		mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" || exit 9
		"$2" "$1" 2>&1
		echo "status $?"
		"$2" --dry-run "$1" && "$2" --export "$3" "$1"' \
		- "$TREE" "$APPLY" "$BATS_TEST_TMPDIR/out"
	[[ $output == *"cannot write to"*"nothing was changed"*"status 2"* ]]
	[ -e "$BATS_TEST_TMPDIR/out/series" ]
	diff -r "$TREE" "$ORIG"
}

@test "apply: a full disk: said, and nothing is changed" {
	need_root
	mkdir "$TREE"
	# There is room for the journal but not for the files; then for some of the files.
	for room in 0 64 600; do
		run -0 unshare -m sh -c '
			mount -t tmpfs -o size=64m none "$1" && cp -a "$2/." "$1" || exit 9
			(cd "$1" && find . -type f -printf "%P %m %T@\n" -exec sha256sum {} \;) | sort >"$4.before"
			dd if=/dev/zero of="$1/fill" bs=4k 2>/dev/null
			dd if=/dev/zero of="$1/fill" bs=1k conv=notrunc \
				seek=$(($(stat -c %s "$1/fill") / 1024 - $5)) count=0 2>/dev/null
			truncate -s -"$5"k "$1/fill"
			"$3" "$1" 2>&1
			echo "status $?"
			rm "$1/fill"
			(cd "$1" && find . -type f -printf "%P %m %T@\n" -exec sha256sum {} \;) | sort >"$4.after"
			ls -A "$1"' \
			- "$TREE" "$ORIG" "$APPLY" "$BATS_TEST_TMPDIR/list" "$room"
		[[ $output == *"nothing was changed"* || $output == *"restored"* ]]
		[[ $output == *"status "[12]* ]]
		[[ $output != *.racefix-apply* ]]
		cmp "$BATS_TEST_TMPDIR/list.before" "$BATS_TEST_TMPDIR/list.after"
	done
}

@test "apply: killed at any step, --recover puts everything back" {
	local others="ln:1 ln:3 sync:1 mv:2 mv:4 rm:4"

	# With CHECK_ALL=1, as check --all sets it, try all of them.
	for step in mkdir:1 cp:6 sync:2 mv:1 mv:3 mv:5 rm:5 ${CHECK_ALL:+$others}; do
		rm -rf "$TREE"
		new_tree
		before=$(files "$TREE")
		trap_at KILL "${step%:*}" "${step#*:}"
		PATH=$BATS_TEST_TMPDIR/bin:$PATH run "$APPLY" "$TREE"
		[ "$status" -ne 0 ] || ! hit "${step#*:}"
		[ -d "$TREE/.racefix-apply" ] || continue
		run -2 "$APPLY" --dry-run "$TREE"
		[[ $output == *--recover* ]]
		run -0 "$APPLY" --recover "$TREE"
		[[ $output == *"its changes are undone"* ]]
		# Killed after the last step, it is complete, not half-done.
		[ "$(files "$TREE")" = "$before" ] || diff -r "$TREE" "$PATCHED"
		[ ! -e "$TREE/.racefix-apply" ]
	done
}

@test "apply: killed half-way, the next run does all of it; so if the recovery is killed" {
	new_tree
	trap_at KILL mv 3
	PATH=$BATS_TEST_TMPDIR/bin:$PATH run -137 "$APPLY" "$TREE"
	run ! diff -rq "$TREE" "$ORIG"
	trap_at KILL mv 2
	PATH=$BATS_TEST_TMPDIR/bin:$PATH run -137 "$APPLY" --recover "$TREE"
	run -0 "$APPLY" "$TREE"
	diff -r "$TREE" "$PATCHED"
}

@test "apply: TERM and INT half-way leave the tree as it was" {
	# A shell that runs this in the background makes it ignore INT.
	for signal in TERM INT; do
		rm -rf "$TREE"
		new_tree
		before=$(files "$TREE")
		trap_at $signal mv 3
		PATH=$BATS_TEST_TMPDIR/bin:$PATH run env --default-signal=INT "$APPLY" "$TREE"
		[ "$status" -gt 128 ]
		[ "$(files "$TREE")" = "$before" ]
		[ ! -e "$TREE/.racefix-apply" ]
	done
}

@test "apply: a second one on the same tree is refused" {
	new_tree
	exec 8<"$TREE"
	flock 8
	run -2 "$APPLY" "$TREE" 8<&-
	[[ $output == *"another apply"* ]]
}

@test "apply: in a git tree they are commits, by its user, with their messages" {
	new_git
	echo notes >"$TREE/notes"
	sed -i '1i/* staged, elsewhere */' "$TREE/arch/x86/kvm/i8254.c"
	git -C "$TREE" add arch/x86/kvm/i8254.c
	run -0 "$APPLY" "$TREE"
	[ "$(git -C "$TREE" rev-list --count HEAD)" -eq $((COUNT + 1)) ]
	[ "$(git -C "$TREE" log -1 --format='%cn %ce')" = "Jo Doe jo@example.com" ]
	[ "$(git -C "$TREE" log "-$COUNT" --format=%B | grep -c '^Race: ')" -eq "$COUNT" ]
	[ "$(git -C "$TREE" status --short)" = $'M  arch/x86/kvm/i8254.c\n?? notes' ]
	git -C "$TREE" fsck --strict
	git -C "$TREE" reset -q --hard
	diff -r -x .git -x notes "$TREE" "$PATCHED"
	run -0 "$APPLY" "$TREE"
	[[ $output == *"nothing to do"* ]]
}

@test "apply: commits say which line's patch they are, and who signs" {
	new_git
	copy_project
	sed -i 's/^Tested-on: .*/Tested-on: 5.10.1 (applies), 5.10.262-1 (Debian), Bochs; 5.10.2 (compiled; not run)/' \
		"$COPY/patches/5.10"/apicv-*.patch
	APPLY=$COPY/scripts/tree/apply
	run -0 "$APPLY" --race apicv-vcpu-creation --signoff "Jö Doe <jo@example.com>" "$TREE"
	git -C "$TREE" log -1 --format=%B >"$BATS_TEST_TMPDIR/log"
	grep -A 1 '^\[ kvm-racefix: from patches/5.10 \]$' "$BATS_TEST_TMPDIR/log" | grep -c '^Signed-off-by: '
	[ "$(sed '/^$/d' "$BATS_TEST_TMPDIR/log" | tail -n 1)" = "Signed-off-by: Jö Doe <jo@example.com>" ]
	git -C "$TREE" interpret-trailers --parse "$BATS_TEST_TMPDIR/log" | grep -c '^Race: apicv-vcpu-creation$'

	# A release that its Tested-on does not name, and a tree of RHEL.
	rm -rf "$TREE"
	new_git
	sed -i 's/^SUBLEVEL = .*/SUBLEVEL = 1/' "$TREE/Makefile"
	git -C "$TREE" commit -q -a -m older
	run -0 "$APPLY" --race apicv-vcpu-creation "$TREE"
	[[ $output == *"patches/5.10/apicv-vcpu-creation.patch, not run on this tree"* ]]
	[ "$(git -C "$TREE" log -2 --format=%B | grep -cxF '[ kvm-racefix: from patches/5.10, not run on this tree ]')" -eq 2 ]
	git -C "$TREE" reset -q --hard HEAD~3
	echo "RHEL_MAJOR = 9" >"$TREE/Makefile.rhelver"
	run -0 "$APPLY" --dry-run --race apicv-vcpu-creation "$TREE"
	[[ $output == *"patches/5.10/apicv-vcpu-creation.patch, not run on this tree"* ]]
}

@test "apply --signoff: a signer that is no name and address is refused" {
	for who in Jo "Jo <jo>" "<jo@example.com>" "Jo <jo@example.com> x" $'Jo\n <jo@example.com>' ""; do
		run -2 "$APPLY" --signoff "$who" "$ORIG"
		[[ $output == *'NAME <MAIL>'* ]]
	done
}

@test "apply --export --stable: upstream's commit first, its author, no trailers of ours" {
	run -2 "$APPLY" --stable --signoff "Jo Doe <jo@example.com>" "$ORIG"
	[[ $output == *"--export"* ]]
	run -2 "$APPLY" --stable --export "$BATS_TEST_TMPDIR/out" "$ORIG"
	[[ $output == *"--signoff"* ]]
	copy_project
	sed -i 's/^Upstream: \([0-9a-f]\{12\}\) .*/Upstream: \1 ("one"), 123456789abc ("two")\nOriginally-by: Ann Other <ann@example.com>/' \
		"$COPY/patches/5.10/apicv-vcpu-creation.patch"
	sed -i 's/^Upstream: .*/Upstream: none (posted (twice), not merged)/' "$COPY"/patches/5.10*/nested-vmcs12-pages.patch
	run -0 "$COPY/scripts/tree/apply" --stable --signoff "Jo Doe <jo@example.com>" --export "$BATS_TEST_TMPDIR/out" "$ORIG"
	[[ $output == *"stable wants full hashes: complete 123456789abc"* ]]
	header "$BATS_TEST_TMPDIR/out/apicv-vcpu-creation.patch"
	[[ ${lines[1]} == "From: Ann Other <ann@example.com>" ]]
	[ "$(grep -n '^commit ' <<<"$output" | cut -d : -f 2-)" = $'commit 423ecfea77dd upstream.\ncommit 123456789abc upstream.' ]
	[ "$(grep '^Subject: ' <<<"$output")" = "$(grep '^Subject: ' "$TOP/patches/5.10/apicv-vcpu-creation.patch")" ]
	run ! grep -E '^(Race|Tested-on|Layout|Upstream|Originally-by): ' "$BATS_TEST_TMPDIR"/out/*.patch
	header "$BATS_TEST_TMPDIR/out/nested-vmcs12-pages.patch"
	[[ ${lines[1]} == "From: Jo Doe <jo@example.com>" ]]
	[[ $output == *$'\n\n[ no upstream commit: posted (twice), not merged ]\n\n'* ]]
	[[ $output == *$'\nSigned-off-by: Jo Doe <jo@example.com>' ]]
	new_git
	git -C "$TREE" am -q "$BATS_TEST_TMPDIR"/out/apicv*.patch
	[ "$(git -C "$TREE" log --format=%an --grep 423ecfea77dd)" = "Ann Other" ]
}

@test "apply: patches that are links to one file" {
	copy_project
	mv "$COPY/patches/5.10/apicv-vcpu-creation.patch" "$COPY/patches/5.8/"
	ln -s ../5.8/apicv-vcpu-creation.patch "$COPY/patches/5.10/"
	run -0 "$COPY/scripts/tree/apply" --race apicv-vcpu-creation --export "$BATS_TEST_TMPDIR/out" "$ORIG"
	[[ $output == *"patches/5.10/apicv-vcpu-creation.patch"* ]]
	[ ! -L "$BATS_TEST_TMPDIR/out/apicv-vcpu-creation.patch" ]
	new_tree
	(cd "$TREE" && QUILT_PATCHES=$BATS_TEST_TMPDIR/out quilt --quiltrc - push -a -q --fuzz=0)
	rm "$COPY/patches/5.10/apicv-vcpu-creation.patch"
	run -0 "$COPY/scripts/tree/apply" --dry-run --race apicv-vcpu-creation "$ORIG"
	[[ $output == *"patches/5.8/apicv-vcpu-creation.patch, not run on this tree"*"of another kernel line"* ]]
}

@test "apply: the order in which lines are tried" {
	copy_project
	rm -r "$COPY"/patches/*/
	for line in 4.18 5.19 6.0 6.1 6.1.170 6.1.177 6.2; do
		mkdir "$COPY/patches/$line"
		: >"$COPY/patches/$line/series"
	done
	near()
	{
		bash -c '. "$1/scripts/lib.sh"; . "$1/scripts/tree/series/tree.sh"; lines_near "$2" | paste -sd " "' - "$COPY" "$1"
	}
	[ "$(near 6.1.20)" = "6.1 6.1.170 6.1.177 6.0 6.2 5.19 4.18" ]
	[ "$(near 6.1.176)" = "6.1.170 6.1 6.1.177 6.0 6.2 5.19 4.18" ]
	[ "$(near 6.1.192)" = "6.1.177 6.1.170 6.1 6.0 6.2 5.19 4.18" ]
	[ "$(near 4.18.0)" = "4.18 5.19 6.0 6.1 6.1.170 6.1.177 6.2" ]
}

@test "apply: a patch that applies only on top of another one comes after it, regardless of the series" {
	copy_project
	rm -r "$COPY"/patches/*/
	mkdir -p "$COPY/patches/6.1" "$COPY/patches/6.1.170" "$BATS_TEST_TMPDIR/before"
	printf "one\n" >"$BATS_TEST_TMPDIR/before/file"
	for step in "first one two 6.1" "then two three 6.1.170" "late three four 6.1"; do
		read -r slug from to line <<<"$step"
		printf "Race: race\n\n--- a/file\n+++ b/file\n@@ -1 +1 @@\n-%s\n+%s\n" "$from" "$to" >"$COPY/patches/$line/$slug.patch"
	done
	printf "%s.patch\n" late first >"$COPY/patches/6.1/series"
	echo then.patch >"$COPY/patches/6.1.170/series"
	run -0 bash -c '
		. "$1/scripts/lib.sh"
		for part in tree choose kinds; do . "$1/scripts/tree/series/$part.sh"; done
		is_asked() { :; }
		SCRATCH=$2
		declare -A BEFORE=([first]=vulnerable [then]=vulnerable [late]=vulnerable) BANNED=() CANDIDATES=()
		find_wanted 6.1.176
		find_candidates 6.1.176
		try_all
		printf "%s;" "${CHOSEN[@]##*/}"
		echo "stuck: ${STUCK[*]}"' - "$COPY" "$BATS_TEST_TMPDIR"
	[ "$output" = "first.patch;then.patch;late.patch;stuck: " ]
	[ "$(cat "$BATS_TEST_TMPDIR/after/file")" = four ]
}

@test "apply: a tree beyond the lines that there are patches for" {
	new_tree 6.1
	sed -i 's/^VERSION = .*/VERSION = 9/' "$TREE/Makefile"
	run -0 "$APPLY" --dry-run "$TREE"
	[[ $output == *"patches are for Linux "*" to "*"; in other trees only"* ]]
	known=$("$APPLY" --dry-run "$ORIG" 2>&1)
	[[ $known != *"patches are for Linux"* ]]
}

@test "apply: a git tree with changes in the same files, or within an am, is refused" {
	new_git
	sed -i '1i/* mine */' "$TREE/arch/x86/kvm/x86.c"
	before=$(files "$TREE")
	run -2 "$APPLY" "$TREE"
	[[ $output == *"not committed"*arch/x86/kvm/x86.c* ]]
	[ "$(files "$TREE")" = "$before" ]
	git -C "$TREE" checkout -q arch/x86/kvm/x86.c
	run ! git -C "$TREE" am -q "$TOP/patches/6.1/nested-vmcs12-pages.patch"
	before=$(files "$TREE")
	run -2 "$APPLY" "$TREE"
	[[ $output == *"in progress"* ]]
	[ "$(files "$TREE")" = "$before" ]
	git -C "$TREE" am --abort
	: >"$TREE/.git/index.lock"
	run -2 "$APPLY" "$TREE"
	[[ $output == *"another git"* ]]
	[ -e "$TREE/.git/index.lock" ]
}

@test "apply: a git tree of nobody is refused" {
	new_git
	git -C "$TREE" config --unset user.name
	git -C "$TREE" config --unset user.email
	git -C "$TREE" config user.useConfigOnly true
	before=$(files "$TREE")
	run -2 env -u GIT_AUTHOR_NAME -u GIT_AUTHOR_EMAIL -u EMAIL "$APPLY" "$TREE"
	[[ $output == *"git has no name and address for the committer"* ]]
	[ "$(files "$TREE")" = "$before" ]
}

@test "apply: a git tree: killed, HEAD, index and files are back" {
	local others="mv:1 mv:30 git:40"

	for step in mv:9 git:12 rm:4 ${CHECK_ALL:+$others}; do
		rm -rf "$TREE"
		new_git
		before=$(files "$TREE")
		trap_at KILL "${step%:*}" "${step#*:}"
		PATH=$BATS_TEST_TMPDIR/bin:$PATH run "$APPLY" "$TREE"
		run -0 "$APPLY" --recover "$TREE"
		if [ "$(git -C "$TREE" rev-list --count HEAD)" -eq 1 ]; then
			[ "$(files "$TREE")" = "$before" ]
		else
			diff -r -x .git "$TREE" "$PATCHED"
		fi
		[ -z "$(git -C "$TREE" status --short)" ]
		[ ! -e "$TREE/.racefix-apply" ]
		[ ! -e "$TREE/.git/index.lock" ]
	done
}

@test "apply: a kernel below a git tree's top, and one that git does not track" {
	mkdir "$BATS_TEST_TMPDIR/top"
	TREE=$BATS_TEST_TMPDIR/top/linux
	new_tree
	git -C "$BATS_TEST_TMPDIR/top" init -q
	git -C "$BATS_TEST_TMPDIR/top" config user.name j
	git -C "$BATS_TEST_TMPDIR/top" config user.email j@example.com
	run -0 "$APPLY" --dry-run "$TREE"
	[[ $output == *"a plain tree"* ]]
	git -C "$BATS_TEST_TMPDIR/top" add -A
	git -C "$BATS_TEST_TMPDIR/top" commit -q -m base
	run -0 "$APPLY" "$TREE"
	[ "$(git -C "$BATS_TEST_TMPDIR/top" rev-list --count HEAD)" -eq $((COUNT + 1)) ]
	[ -z "$(git -C "$BATS_TEST_TMPDIR/top" status --short)" ]
	diff -r "$TREE" "$PATCHED"
}

@test "apply: quilt: on top of applied patches, below others" {
	new_tree
	export QUILT_PATCHES=patches
	mkdir "$TREE/patches"
	for name in one two; do
		quilt_in "$TREE" new $name.patch
		quilt_in "$TREE" add virt/kvm/eventfd.c
		echo "/* $name */" >>"$TREE/virt/kvm/eventfd.c"
		quilt_in "$TREE" refresh
	done
	quilt_in "$TREE" pop
	run -0 "$APPLY" "$TREE"
	[[ $output == *"a quilt tree"* ]]
	[[ $(quilt_in "$TREE" applied) =~ ^(patches/)?one\.patch ]]
	[ "$(quilt_in "$TREE" applied | wc -l)" -eq $((COUNT + 1)) ]
	[ "$(quilt_in "$TREE" unapplied | wc -l)" -eq 1 ]
	quilt_in "$TREE" push -a
	quilt_in "$TREE" pop -a
	diff -r -x patches -x .pc "$TREE" "$ORIG"
	quilt_in "$TREE" push -a
	before=$(files "$TREE")
	run -0 "$APPLY" "$TREE"
	[[ $output == *"nothing to do"* ]]
	[ "$(files "$TREE")" = "$before" ]
}

@test "apply: quilt: patches that are elsewhere are refused" {
	new_tree
	mkdir "$BATS_TEST_TMPDIR/elsewhere"
	: >"$BATS_TEST_TMPDIR/elsewhere/series"
	ln -s ../elsewhere "$TREE/patches"
	run -2 "$APPLY" "$TREE"
	[[ $output == *"symbolic link"*--export* ]]
	diff -r -x patches "$TREE" "$ORIG"
}

@test "apply: a Debian package, patches not applied: they are added, not applied" {
	new_debian
	run -0 "$APPLY" "$TREE"
	diff -r -x debian "$TREE" "$ORIG"
	[ "$(sed -n 2p "$TREE/debian/patches/series")" = bugfix/one.patch ]
	[ "$(wc -l <"$TREE/debian/patches/series")" -eq $((COUNT + 2)) ]
	for file in "$TREE"/debian/patches/kvm-racefix/*.patch; do
		sed '/^$/,$d' "$file" >"$BATS_TEST_TMPDIR/header"
		grep -q '^From: ' "$BATS_TEST_TMPDIR/header"
		grep -q '^Subject: ' "$BATS_TEST_TMPDIR/header"
		grep -q '^Origin: \(backport, https\|vendor\)' "$BATS_TEST_TMPDIR/header"
		grep -q '^Last-Update: 20..-..-..$' "$BATS_TEST_TMPDIR/header"
	done
	run -0 "$APPLY" "$TREE"
	[[ $output == *"nothing to do"* ]]
	(cd "$TREE" && QUILT_PATCHES=debian/patches quilt --quiltrc - push -a -q --fuzz=0)
	# except for the one line of the package's own patch
	[ "$(diff -r -x debian -x .pc "$TREE" "$PATCHED" | grep -c "^[<>]")" -eq 1 ]
}

@test "apply: a Debian package, patches applied: they are added and applied" {
	new_debian
	(cd "$TREE" && QUILT_PATCHES=debian/patches quilt --quiltrc - push -a -q)
	run -0 "$APPLY" "$TREE"
	[[ $output == *"patch"*" applied"* ]]
	[ "$(wc -l <"$TREE/.pc/applied-patches")" -eq $((COUNT + 1)) ]
	run -0 "$APPLY" "$TREE"
	[[ $output == *"nothing to do"* ]]
	(cd "$TREE" && QUILT_PATCHES=debian/patches quilt --quiltrc - pop -a -q)
	diff -r -x debian -x .pc "$TREE" "$ORIG"
}

@test "apply: a Debian package, some of its patches applied: refused" {
	new_debian
	printf '\nbugfix/two.patch\n' >>"$TREE/debian/patches/series"
	diff -u --label a/virt/kvm/eventfd.c --label b/virt/kvm/eventfd.c \
		"$TREE/virt/kvm/eventfd.c" <(sed '1i/* theirs */' "$TREE/virt/kvm/eventfd.c") \
		>"$TREE/debian/patches/bugfix/two.patch" || :
	(cd "$TREE" && QUILT_PATCHES=debian/patches quilt --quiltrc - push -q)
	before=$(files "$TREE")
	run -2 "$APPLY" "$TREE"
	[[ $output == *"some of debian/patches are applied"* ]]
	[ "$(files "$TREE")" = "$before" ]
}
