#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# scripts/tree-host and scripts/mutations with bad input, and with stubs for hosts. scripts/check
# runs the mutations themselves; tree-host is run by hand.

bats_require_minimum_version 1.5.0

setup()
{
	# shellcheck source=selftests/scripts/stubs.sh
	. "$BATS_TEST_DIRNAME/stubs.sh"
	COPY=$BATS_TEST_TMPDIR/copy
	export O=$BATS_TEST_TMPDIR/build
}

tree_host()
{
	"$TOP/scripts/lab/tree-host" "$@"
}

mutations()
{
	"$TOP/scripts/lab/mutations" "$@"
}

# a_tree - make a directory that looks like a kernel tree at first sight
a_tree()
{
	mkdir -p "$BATS_TEST_TMPDIR/tree"/{arch/x86/kvm,virt/kvm,scripts/kconfig}
	printf 'VERSION = 4\nPATCHLEVEL = 99\nSUBLEVEL = 0\nEXTRAVERSION =\n' \
		>"$BATS_TEST_TMPDIR/tree/Makefile"
	echo "$BATS_TEST_TMPDIR/tree"
}

@test "tree-host: no tree, two trees, or an unknown option get the usage" {
	for args in '' 'a b' '--no-such-option a' '--name'; do
		# shellcheck disable=SC2086 # the splitting is intended
		run -2 tree_host $args
		[[ $output == *usage:* ]]
	done
}

@test "tree-host: a directory that is no kernel tree is named" {
	run -2 tree_host "$BATS_TEST_TMPDIR"
	[[ $output == *"$BATS_TEST_TMPDIR has no arch/x86/kvm"* ]]
}

@test "tree-host: bad names, races and numbers are refused" {
	tree=$(a_tree)
	run -2 tree_host --name ../x "$tree"
	[[ $output == *../x* ]]
	run -2 tree_host --race no-such-race "$tree"
	[[ $output == *no-such-race* ]]
	run -2 tree_host --runs 0 "$tree"
	[[ $output == *"--runs 0"* ]]
	run -2 tree_host --host mars "$tree"
	[[ $output == *mars* ]]
	run -2 tree_host --debug kasan "$tree"
	[[ $output == *--build-only* ]]
	run -2 tree_host --build-only --debug none "$tree"
	[[ $output == *none* ]]
	run -2 tree_host --host qemu --race nested-vmcs12-pages "$tree"
	[[ $output == *"none of these races"*nested-vmcs12-pages* ]]
}

@test "tree-host: a tree that does not build is reported, with its log" {
	tree=$(a_tree)
	echo 'tinyconfig: ; @echo "*** this tree is broken"; false' >>"$tree/Makefile"
	run -2 tree_host "$tree"
	[[ $output == *"this tree is broken"*build.log* ]]
	[ -z "$(find "$tree" -newer "$tree/Makefile" -type f)" ]
}

@test "tree-host: a table of nothing is refused, and doc/results/trees.md is left alone" {
	before=$(cat "$TOP/doc/results/trees.md" 2>/dev/null || :)
	run -2 tree_host --table
	[[ $output == *results.tsv* ]]
	[ "$(cat "$TOP/doc/results/trees.md" 2>/dev/null || :)" = "$before" ]
}

# a_checkout - copy the scripts to a place where doc/results/trees.md may be written to
a_checkout()
{
	mkdir -p "$BATS_TEST_TMPDIR/top/selftests" "$O/trees"
	cp -r "$TOP/scripts" "$BATS_TEST_TMPDIR/top/"
	cp -r "$TOP/selftests/races" "$BATS_TEST_TMPDIR/top/selftests/"
	echo "$BATS_TEST_TMPDIR/top"
}

# row KERNEL RACE HOST UNPATCHED PATCHED - print a result
row()
{
	(IFS=$'\t'; printf '%s\n' "$*")
}

@test "tree-host: a table keeps rows for which this machine has no result" {
	top=$(a_checkout)
	row 9.9.0 some-race qemu "shows 2/2" "closed 2/2" >"$O/trees/results.tsv"
	run -0 "$top/scripts/lab/tree-host" --table
	printf '\nA note.\n\nAnother one | with a bar.\n\n| another | table |\n| --- | --- |\n| 1 | 2 |\n' >>"$top/doc/results/trees.md"

	# On another machine, or with a new build/: one row is new, two are of another tree.
	{
		row 9.9.0 some-race qemu "does not show 0/1" "no patch"
		row 9.9.0 "some-race: a_case" qemu "host dies 1/1" "as above"
		row 9.10.0 some-race qemu "shows 1/1" "closed 1/1"
		row 9.2.1 other-race bochs "not tried: why" "not tried"
	} >"$O/trees/results.tsv"
	run -0 "$top/scripts/lab/tree-host" --table
	[[ $output == *"4 rows"* ]]
	row 9.9.0 some-race bochs "shows 3/3" "closed 3/3" >"$O/trees/results.tsv"
	run -0 "$top/scripts/lab/tree-host" --table

	cat "$top/doc/results/trees.md"
	diff - <(sed '1,/^| --- /d' "$top/doc/results/trees.md") <<-'END'
	| 9.2.1 | other-race | bochs | not tried: why | not tried |
	| 9.9.0 | some-race | bochs | shows 3/3 | closed 3/3 |
	| 9.9.0 | some-race | qemu | does not show 0/1 | no patch |
	| 9.9.0 | some-race: a_case | qemu | host dies 1/1 | as above |
	| 9.10.0 | some-race | qemu | shows 1/1 | closed 1/1 |

	A note.

	Another one | with a bar.

	| another | table |
	| --- | --- |
	| 1 | 2 |
	END
}

@test "mutations: an unknown line, host or mutation is named" {
	run -2 mutations --kernel 4.99
	[[ $output == *"unknown kernel '4.99'"* ]]
	run -2 mutations --host vmware
	[[ $output == *vmware* ]]
	run -2 mutations no-such-mutation
	[[ $output == *no-such-mutation* ]]
}

# stub_hosts - make a copy of the project that builds and fetches nothing; says/SET has the result
# of a case on the modules SET: not ok, dies, or otherwise ok
stub_hosts()
{
	mkdir -p "$COPY/bin" "$O"/{says,sets,selftests} "$O/kernels/6.1"
	cp -r "$TOP/scripts" "$TOP/selftests" "$COPY/"
	echo 6.1.0-x >"$O/kernels/6.1/release"
	touch "$O/sets/racegate.ko" "$O/selftests"/{tdp_mmu_zap,gpc_refresh}_test
	stub bin/make 'exit 0'
	stub bin/modinfo 'echo "kvm-racefix 1.0 ($(cat "$O/closed"))"'
	stub scripts/modules/kernel-get 'exit 0'
	stub scripts/lab/bochs-build 'exit 0'
	stub scripts/modules/modules-build 'echo "$O/sets"'
	stub_boot '
		end=clean
		while read -r row _ set cases _; do
			says=$(cat "$O/says/$set" 2>/dev/null || echo ok)
			case $cases in default|every) cases=forced ;; *) says=dies ;; esac
			printf "@lab@ begin %s\n#  RUN           global.%s ...\n" "$row" "$cases"
			[ "$says" != dies ] || { end=panic; break; }
			printf "%s 1 global.%s\n@lab@ end %s %d 10\n" "$says" "$cases" "$row" "$([ "$says" = ok ]; echo $?)"
		done <"$out/payload/plan" >"$out/output.log"
		echo "RIP: 0010:kvm_mmu_zap_oldest_mmu_pages+0x1" >"$out/console.log"
		printf "end=%s\nreason=Fatal exception\nseconds=3.0\n" "$end" >"$out/result"
		[ $end = clean ] || exit 3'
	export PATH=$COPY/bin:$PATH
}

@test "mutations: from the plan to the table" {
	stub_hosts
	mutations=$(basename -s .patch "$TOP"/selftests/races/tdp-mmu-zap/mutations/6.1/*.patch)
	for mutation in $mutations; do
		echo "not ok" >"$O/says/mutation-$mutation"
	done
	echo dies >"$O/says/mutation-tdp-mmu-zap-unlocked"
	run -0 "$COPY/scripts/lab/mutations" tdp-mmu-zap
	{
		echo "mutation race host result"
		echo "patched tdp-mmu-zap qemu passes, as it should"
		for mutation in $mutations; do
			case $mutation in
			*-unlocked) echo "$mutation tdp-mmu-zap qemu caught: the host dies of forced" ;;
			*) echo "$mutation tdp-mmu-zap qemu caught: forced" ;;
			esac
		done
	} | diff - <(tr -s ' ' <"$O/mutations/table")
	rm "$O/says/mutation-tdp-mmu-zap-unlocked"
	run -1 "$COPY/scripts/lab/mutations" tdp-mmu-zap-unlocked
	grep -E '^tdp-mmu-zap-unlocked .* SURVIVES$' "$O/mutations/table"
}

@test "tree-host: from the plan to rows of the table" {
	stub_hosts
	tree=$O/trees/6.1.7
	mkdir -p "$tree/kbuild" "$tree/source"
	touch "$tree/vmlinuz"
	echo 6.1.7-racefix >"$tree/release"
	printf 'VERSION = 6\nPATCHLEVEL = 1\nSUBLEVEL = 7\n' >"$tree/source/Makefile"
	stub scripts/lab/kernel 'echo "$O/trees/6.1.7"'
	echo tdp-mmu-zap >"$O/closed"
	echo "not ok" >"$O/says/stock"
	run -0 "$COPY/scripts/lab/tree-host" --host qemu --race tdp-mmu-zap a-tree
	diff - "$O/trees/results.tsv" <<-'END'
	6.1.7	tdp-mmu-zap	qemu	shows 2/2	closed 1/1
	6.1.7	tdp-mmu-zap: two_zappers_collide	qemu	host dies 1/1	as above
	END
	# Another race is tried later: the rows of the first stay.
	run -1 "$COPY/scripts/lab/tree-host" --host qemu --race gpc-refresh a-tree
	[[ $output == *"gpc-refresh "*"shows 1/1 "*"no patch"* ]]
	[ "$(wc -l <"$O/trees/results.tsv")" -ge 3 ]
	run -0 "$COPY/scripts/lab/tree-host" --build-only --debug kasan a-tree
	[ "$output" = "$tree" ]
}
