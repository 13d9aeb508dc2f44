#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# upstream-check without a build, on a copy of the scripts with a series of its own, for a tree of
# one file.

bats_require_minimum_version 1.5.0

setup()
{
	# shellcheck source=scripts/lib.sh
	. "$BATS_TEST_DIRNAME/../../scripts/lib.sh"
	"$TOP/scripts/modules/kernel-get" --want source 6.1
	COPY=$BATS_TEST_TMPDIR/copy
	TREE=$BATS_TEST_TMPDIR/tree
	mkdir -p "$COPY/upstream" "$TREE/virt/kvm" "$TREE/scripts"
	cp -r "$TOP/scripts" "$COPY/"
	ln -s "$BUILD/kernels/6.1/source/scripts/checkpatch.pl" "$TREE/scripts/"
	printf 'int first;\nint second;\nint third;\n' >"$TREE/virt/kvm/file.c"
	echo "no patch" >"$COPY/upstream/0000-cover-letter.patch"
}

# series BEFORE LINE - make a patch that adds LINE after "int BEFORE;"
series()
{
	cat <<-END
	From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001
	From: A <a@localhost>
	Date: Wed, 25 Nov 2026 18:00:00 +0000
	Subject: [PATCH 1/1] KVM: Add a line

	Add a line, so that there is one more.

	Signed-off-by: A <a@localhost>
	---
	diff --git a/virt/kvm/file.c b/virt/kvm/file.c
	--- a/virt/kvm/file.c
	+++ b/virt/kvm/file.c
	@@ -1,3 +1,4 @@
	 int first;
	 int $1;
	+$2
	 int third;
	END
}

check()
{
	O=$BATS_TEST_TMPDIR/build run "$COPY/scripts/modules/upstream-check" "$@"
}

@test "upstream-check: a series that fits and is in style" {
	series second "int more;" >"$COPY/upstream/0001-add.patch"
	check "$TREE"
	[ "$status" -eq 0 ]
	[ -z "$output" ]
	grep -q more "$BATS_TEST_TMPDIR/build/upstream/tree/virt/kvm/file.c"
	run ! grep -q more "$TREE/virt/kvm/file.c"
}

@test "upstream-check: a patch that does not apply is named" {
	series another "int more;" >"$COPY/upstream/0001-add.patch"
	check "$TREE"
	[ "$status" -eq 1 ]
	[[ $output == *"0001-add.patch: git am does not take it"* ]]
}

@test "upstream-check: the output of checkpatch is printed" {
	series second "int more = 0 ;" >"$COPY/upstream/0001-add.patch"
	check "$TREE"
	[ "$status" -eq 1 ]
	[[ $output == *"0001-add.patch:"*"semicolon"* ]]
}

@test "upstream-check: a tree that lacks something, and none" {
	series second "int more;" >"$COPY/upstream/0001-add.patch"
	rm "$TREE/virt/kvm/file.c"
	check "$TREE"
	[ "$status" -eq 2 ]
	[[ $output == *"has no virt/kvm/file.c"* ]]
	check
	[ "$status" -eq 2 ]
}
