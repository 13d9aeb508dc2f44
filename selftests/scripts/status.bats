#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# scripts/status, on the KVM of the kernels that were fetched for the demo: unmodified, patched,
# reopened, wrongly fixed and laid out in another way.

bats_require_minimum_version 1.5.0

setup_file()
{
	# shellcheck source=scripts/lib.sh
	. "$BATS_TEST_DIRNAME/../../scripts/lib.sh"
	# Some day the mirror will drop it.
	"$TOP/scripts/modules/kernel-get" --want source 5.10 || [ $? -eq "$EX_GONE" ]
	"$TOP/scripts/modules/kernel-get" --want source 6.1
	"$TOP/scripts/modules/kernel-get" --want source 6.1.176-1
}

setup()
{
	# shellcheck source=scripts/lib.sh
	. "$BATS_TEST_DIRNAME/../../scripts/lib.sh"
	PATH=$TOP/scripts/tree:$PATH
	tree=$BATS_TEST_TMPDIR/tree
}

# take LINE - make $tree a copy of the KVM of LINE's kernel
take()
{
	[ -d "$BUILD/kernels/$1/source" ] || skip "the archive has no $1 any more"
	mkdir -p "$tree"
	(cd "$BUILD/kernels/$1/source" &&
	 tar -c Makefile arch/x86/kvm virt/kvm include/linux/kvm_host.h include/linux/kvm_types.h arch/x86/include/asm/kvm*) | tar -x -C "$tree"
}

# patch_in PATCH... - apply them to $tree
patch_in()
{
	local p

	for p in "$@"; do
		patch -s -d "$tree" -p1 -F0 <"$p"
	done
}

# row ID - print its status in the last output of --tsv
row()
{
	awk -F'\t' -v id="$1" '$1 == id { print $2 }' <<<"$output"
}

# parts - print the parts of nested-vmcs12-pages in $tree: " NAME=STATUS ..."
parts()
{
	run status --tsv --parts --race nested-vmcs12-pages "$tree"
	nested=$(awk -F'\t' '$1 ~ /^nested-/ {
		sub(/^nested-vmcs12-pages-?/, "", $1)
		printf " %s=%s", $1 == "" ? "first" : $1, $2
	}' <<<"$output")
	echo "$nested"
}

# chosen LINE - print the patches of nested-vmcs12-pages that apply chooses for LINE's kernel
chosen()
{
	apply --list --race nested-vmcs12-pages "$BUILD/kernels/$1/source"
}

@test "status: unmodified 5.10, and every row names its evidence" {
	take 5.10
	run -1 status --tsv --parts "$tree"
	[ "$(row apic-page-invalidation)" = fixed ]
	[ "$(row nested-vmcs12-pages)" = vulnerable ]
	[ "$(row nested-vmcs12-pages-unmapped-vapic)" = vulnerable ]
	[ "$(row apicv-vcpu-creation)" = vulnerable ]
	[ "$(row apicv-vcpu-creation-defer-in-l2)" = vulnerable ]
	# Only SynIC inhibits APICv there, and the inhibit is never cleared.
	[ "$(row apicv-vcpu-creation-svi)" = not-affected ]
	[ "$(row gpc-refresh)" = not-affected ]
	[ "$(row tdp-mmu-zap)" = not-affected ]
	# The evidence names the line of the code.
	at=$(sed -n 's/^apicv-vcpu-creation\tvulnerable\t\([^ ]*\) .*/\1/p' <<<"$output")
	[[ $(sed -n "${at##*:}p" "$tree/${at%:*}") == *apicv_active* ]]
	[ "$(awk -F'\t' 'NF != 3 || $3 == ""' <<<"$output")" = "" ]
}

@test "status: a tree with blanks in its name, by a relative path, that is not written to" {
	take 6.1
	mkdir "$BATS_TEST_TMPDIR/a b"
	mv "$tree" "$BATS_TEST_TMPDIR/a b/c d"
	cd "$BATS_TEST_TMPDIR/a b"
	chmod -R a-w "c d"
	find . -printf '%p %T@ %C@ %s\n' | sort >"$BATS_TEST_TMPDIR/before"
	run status --tsv "c d"
	find . -printf '%p %T@ %C@ %s\n' | sort >"$BATS_TEST_TMPDIR/after"
	chmod -R u+w "c d"
	cmp "$BATS_TEST_TMPDIR/before" "$BATS_TEST_TMPDIR/after"
	[ "$status" -eq 1 ]
	[ "$(row nested-vmcs12-pages)" = vulnerable ]
	# As shipped, SVI is not updated when APICv is activated again.
	[ "$(row apicv-vcpu-creation)" = vulnerable ]
	for id in apic-page-invalidation gpc-refresh tdp-mmu-zap; do
		[ "$(row "$id")" = fixed ]
	done
	[ "$(wc -l <<<"$output")" -eq "$(find "$TOP/selftests/races" -mindepth 1 -maxdepth 1 -type d | wc -l)" ]
}

@test "status: 5.10 with our patches has no race, and the evidence is named" {
	take 5.10
	mapfile -t patches < <(apply --list "$BUILD/kernels/5.10/source")
	patch_in "${patches[@]}"
	run -0 status "$tree"
	[[ $output == *"nested-vmcs12-pages "*fixed*"arch/x86/kvm/x86.c:"* ]]
}

@test "status: 6.1 with our patch, whatever its version and layout" {
	take 6.1
	apply "$tree"
	sed -i 's/^\(VERSION\|PATCHLEVEL\) = .*/\1 = 2/' "$tree/Makefile"
	find "$tree" -name '*.[ch]' -exec sed -i -E 's/\t/  /g; s/([^\\ ].*) \{$/\1\n{/; s/&& (\w)/\&\&\n\1/' {} +
	run -0 status --tsv "$tree"
	[ "$(cut -f 2 <<<"$output" | sort -u)" = fixed ]
}

@test "status: a race that is opened again is vulnerable, the others are not" {
	take 6.1
	for race in apic-page-invalidation apicv-vcpu-creation gpc-refresh tdp-mmu-zap; do
		patch_in "$TOP/selftests/races/$race/reopen/6.1/$race.patch"
	done
	run -1 status --tsv "$tree"
	[ "$(cut -f 2 <<<"$output" | sort -u)" = vulnerable ]
	apply --race nested-vmcs12-pages "$tree"
	patch -s -R -d "$tree" -p1 <"$TOP/selftests/races/gpc-refresh/reopen/6.1/gpc-refresh.patch"
	run -1 status --tsv "$tree"
	[ "$(row nested-vmcs12-pages)" = fixed ]
	[ "$(row gpc-refresh)" = fixed ]
	[ "$(row tdp-mmu-zap)" = vulnerable ]
}

# wrong_fixes OPTION WANT MAX - apply the nth wrong fix of every race to one tree, up to the MAXth:
# is its status WANT? OPTION of grep: -L selects those that status detects, -l those that it does
# not
wrong_fixes()
{
	local race p n applied

	for ((n = 1; n <= $3; n++)); do
		rm -rf "$tree"
		applied=()
		for race in $(cd "$TOP/selftests/races" && echo *); do
			p=$(grep "$1" "^Status: fixed$" "$TOP/selftests/races/$race/mutations/6.1/$race"-*.patch | sort | sed -n "${n}p")
			[ -n "$p" ] || continue
			[ -d "$tree" ] || take 6.1
			patch_in "$p"
			applied+=("$race")
		done
		[ ${#applied[@]} -gt 0 ] || break
		if [ "$1" = -L ]; then
			run ! status --tsv "$tree"
		else
			run status --tsv "$tree"
		fi
		for race in "${applied[@]}"; do
			echo "$n $race: $(row "$race")"
			# shellcheck disable=SC2053 # a pattern
			[[ $(row "$race") == $2 ]]
		done
	done
	[ "$n" -gt 3 ]
}

@test "status: no wrong fix is taken for one" {
	# With CHECK_ALL=1, as check --all sets it, try all of them.
	wrong_fixes -L "@(vulnerable|unknown)" "${CHECK_ALL:+9}5"
}

@test "status: wrong fixes whose error is in code that it does not check are marked" {
	[ -n "${CHECK_ALL-}" ] || skip "with CHECK_ALL=1 only"
	wrong_fixes -l fixed 99
}

@test "status: before 5.4, when mapping vmcs12's pages could not fail" {
	local x86=$tree/arch/x86/kvm/x86.c served='\
		if (kvm_check_request(KVM_REQ_GET_VMCS12_PAGES, vcpu))\
			kvm_x86_ops->get_vmcs12_pages(vcpu);'
	take 5.10
	sed -i "/if (kvm_check_request(KVM_REQ_GET_NESTED_STATE_PAGES, vcpu)) {/,/^\t\t}/c$served" "$x86"
	cp "$x86" "$x86.before"
	sed -i 's/^static bool nested_get_vmcs12_pages(/static void nested_get_vmcs12_pages(/' \
		"$tree/arch/x86/kvm/vmx/nested.c"
	run status --tsv --parts --race nested-vmcs12-pages "$tree"
	[ "$(row nested-vmcs12-pages)" = vulnerable ]

	sed -i "/if (kvm_check_request(KVM_REQ_GET_VMCS12_PAGES, vcpu))/,+1d
		/^static int vcpu_run(/,/kvm_vcpu_running/s/.*at_instruction_boundary = false;/&\n$served/" "$x86"
	run status --tsv --parts --race nested-vmcs12-pages "$tree"
	[ "$(row nested-vmcs12-pages)" = fixed ]

	# If mapping can fail, a failure must not be ignored.
	sed -i 's/^static void nested_get_vmcs12_pages(/static bool nested_get_vmcs12_pages(/' \
		"$tree/arch/x86/kvm/vmx/nested.c"
	run status --tsv --parts --race nested-vmcs12-pages "$tree"
	[ "$(row nested-vmcs12-pages)" = unknown ]
}

@test "status: up to 4.17, when L2 could share the APIC access page of L1" {
	local form want

	for form in '|| !nested_cpu_has2(vmcs12, SECONDARY_EXEC_VIRTUALIZE_APIC_ACCESSES):fixed' ':fixed' \
		'|| nested_cpu_has2(vmcs12, SECONDARY_EXEC_VIRTUALIZE_APIC_ACCESSES):unknown' \
		'\&\& vmcs12:unknown'; do
		rm -rf "$tree"
		take 5.10
		want=${form##*:}
		sed -i '/^static void vmx_set_apic_access_page_addr(/,/^}/c\
			static void vmx_set_apic_access_page_addr(struct kvm_vcpu *vcpu, hpa_t hpa)\
			{\
				if (!is_guest_mode(vcpu) '"${form%:*}"') {\
					vmcs_write64(APIC_ACCESS_ADDR, hpa);\
					vmx_flush_tlb(vcpu, true);\
				}\
			}' "$tree/arch/x86/kvm/vmx/vmx.c"
		sed -i '/^void kvm_vcpu_reload_apic_access_page(/,/^}/c\
			void kvm_vcpu_reload_apic_access_page(struct kvm_vcpu *vcpu)\
			{\
				struct page *page;\
				page = gfn_to_page(vcpu->kvm, APIC_DEFAULT_PHYS_BASE >> PAGE_SHIFT);\
				if (is_error_page(page))\
					return;\
				kvm_x86_ops->set_apic_access_page_addr(vcpu, page_to_phys(page));\
			}' "$tree/arch/x86/kvm/x86.c"
		run status --tsv --parts --race apic-page-invalidation "$tree"
		echo "$form: $(row apic-page-invalidation)"
		[ "$(row apic-page-invalidation)" = "$want" ]
	done
}

@test "status: before 5.14, when a function determined the kind of a page fault" {
	local form want

	for form in 'if (!is_tdp_mmu_root(vcpu->kvm, root)):fixed' ':vulnerable' \
		'if (is_tdp_mmu_root(vcpu->kvm, root)):vulnerable'; do
		rm -rf "$tree"
		take 6.1
		want=${form##*:}
		sed -i '/^static int direct_page_fault(/,/^}/d' "$tree/arch/x86/kvm/mmu/mmu.c"
		cat >>"$tree/arch/x86/kvm/mmu/mmu.c" <<-END
		static int direct_page_fault(struct kvm_vcpu *vcpu, hpa_t root)
		{
			int r = 0;

			if (is_tdp_mmu_root(vcpu->kvm, root))
				read_lock(&vcpu->kvm->mmu_lock);
			else
				write_lock(&vcpu->kvm->mmu_lock);
			${form%:*}
				r = make_mmu_pages_available(vcpu);
			if (is_tdp_mmu_root(vcpu->kvm, root))
				read_unlock(&vcpu->kvm->mmu_lock);
			else
				write_unlock(&vcpu->kvm->mmu_lock);
			return r;
		}
		END
		run status --tsv --parts --race tdp-mmu-zap "$tree"
		echo "$form: $(row tdp-mmu-zap)"
		[ "$(row tdp-mmu-zap)" = "$want" ]
	done
}

@test "status: SVI, when APICv is activated again" {
	local x86=$tree/arch/x86/kvm/x86.c vmx=$tree/arch/x86/kvm/vmx/vmx.c
	svi() { run status --tsv --parts --race apicv-vcpu-creation-svi "$tree"; row apicv-vcpu-creation-svi; }

	take 6.1
	[ "$(svi)" = vulnerable ]
	patch_in "$TOP/patches/6.1.149/apicv-vcpu-creation-svi.patch"
	[ "$(svi)" = fixed ]

	# SVI is taken from a cache, unless activation invalidates it.
	cp "$tree/arch/x86/kvm/lapic.c" "$tree/kept"
	sed -i '/^void kvm_apic_update_apicv(/,/^}/{/highest_isr_cache = -1/d}' "$tree/arch/x86/kvm/lapic.c"
	! cmp -s "$tree/arch/x86/kvm/lapic.c" "$tree/kept" || return 1
	[ "$(svi)" = vulnerable ]
	mv "$tree/kept" "$tree/arch/x86/kvm/lapic.c"

	# Early releases lack the function that it calls, but the patch applies to them.
	cp "$tree/arch/x86/kvm/lapic.c" "$tree/kept"
	sed -i '/^void kvm_apic_update_hwapic_isr(/,/^}/d' "$tree/arch/x86/kvm/lapic.c"
	[ "$(svi)" = unknown ]
	mv "$tree/kept" "$tree/arch/x86/kvm/lapic.c"

	# While L2 is active, SVI must be written to vmcs01.
	sed -i '/^static void vmx_hwapic_isr_update(/,/^}/s/if (is_guest_mode(vcpu))/if (0)/' "$vmx"
	[ "$(svi)" = vulnerable ]

	# 7.2 writes vmcs01 at once, and does so where KVM sets its cache of the ISR.
	sed -i '/^static void vmx_hwapic_isr_update(/,/^}/s/^\tif (0) {/\tguard(vmx_vmcs01)(vcpu);\n&/' "$vmx"
	sed -i '/^static void vmx_hwapic_isr_update(/,/^}/{/if (0) {/,/^\t}/d}' "$vmx"
	sed -i '/^void kvm_vcpu_update_apicv(/,/^}/{/^\telse$/,+1d}' "$x86"
	[ "$(svi)" = vulnerable ]
	sed -i '/^void kvm_apic_update_apicv(/,/^}/{
		s/if (apic->apicv_active)/& {/
		s/isr_count = 1;/&\n\t\tstatic_call(kvm_x86_hwapic_isr_update)(vcpu, apic_find_highest_isr(apic));/
		s/^\telse/\t} else/
	}' "$tree/arch/x86/kvm/lapic.c"
	[ "$(svi)" = fixed ]
}

@test "status: a shape that is not known is unknown, and the patterns that were tried are named" {
	take 6.1
	apply "$tree"
	sed -i 's/\<make_mmu_pages_available\>/make_room/g' "$tree"/arch/x86/kvm/mmu/*.[ch]
	run -2 status --tsv --race tdp-mmu-zap "$tree"
	[ "$(row tdp-mmu-zap)" = unknown ]
	[[ $output == *"in a function that is not recognised"* ]]
}

@test "status: 6.1.176 does not wake a halted L2 for a posted interrupt, 5.10 and 6.1.192 do" {
	take 6.1.176-1
	parts
	[[ $nested == *" posted=vulnerable"* ]]
	[[ $nested == *" unmapped-vapic=vulnerable"* ]]
	[[ $nested == *" lost-notification=vulnerable"* ]]
	[[ $nested == *" first=vulnerable"* ]]
	[[ $output == *"a pending posted interrupt is no wake event, so that a halted L2 sleeps on"* ]]
	# With the pages mapped first, and all other patches, it is still vulnerable.
	mapfile -t list < <(chosen 6.1.176-1)
	for p in "${list[@]}"; do
		[[ $p == *-posted.patch || $p == *-unmapped-vapic.patch ]] || patch_in "$p"
	done
	parts
	[[ $nested == *" posted=vulnerable"*" first=fixed"* ]]
	run status --tsv --race nested-vmcs12-pages "$tree"
	[ "$(row nested-vmcs12-pages)" = vulnerable ]

	# The patch for posted interrupts alone leaves the unguarded read of the page.
	rm -rf "$tree"
	take 6.1.176-1
	for p in "${list[@]}"; do
		[[ $p != *-posted.patch ]] || patch_in "$p"
	done
	parts
	[[ $nested == *" posted=fixed unmapped-vapic=vulnerable"* ]]
	for p in "${list[@]}"; do
		[[ $p == *-posted.patch ]] || patch_in "$p"
	done
	parts
	[ "$nested" = " lost-notification=fixed posted=fixed unmapped-vapic=fixed first=fixed" ]

	rm -rf "$tree"
	take 6.1
	parts
	[ "$nested" = " lost-notification=vulnerable posted=fixed unmapped-vapic=fixed first=vulnerable" ]
	rm -rf "$tree"
	take 5.10
	parts
	[[ $nested == *" posted=not-affected unmapped-vapic=vulnerable"* ]]
}

@test "status: vmcs12's pages, in the forms that were posted" {
	local x86=$tree/arch/x86/kvm/x86.c get='kvm_x86_ops.nested_ops->get_nested_state_pages(vcpu)'
	local req=KVM_REQ_GET_NESTED_STATE_PAGES
	local in_block='/^static inline int vcpu_block(/,/^}/s/^\tbool hv_timer;$/&\n\n'
	local in_guest="/kvm_check_request($req, vcpu)/,/^\t\t}/d"

	# 2020-05-05: in vcpu_block(); a failed mapping is not tried again.
	take 6.1
	cp "$x86" "$BATS_TEST_TMPDIR/x86.c"
	sed -i "$in_block\tif (kvm_check_request($req, vcpu)) {\n\t\tif (unlikely(!$get))\n\t\t\treturn 0;\n\t}/" "$x86"
	parts
	[[ $nested == *" first=vulnerable" ]]
	[[ $output == *"the request is dropped if mapping fails"* ]]

	# 2022-08-02: the request is made again there, and still dropped in vcpu_enter_guest().
	local again="\tif (kvm_check_request($req, vcpu)) {\n\t\tif (unlikely(!$get)) {\n\t\t\tkvm_make_request($req, vcpu);\n\t\t\treturn 0;\n\t\t}\n\t}"
	cp "$BATS_TEST_TMPDIR/x86.c" "$x86"
	sed -i "$in_block$again/" "$x86"
	parts
	[[ $nested == *" first=vulnerable" ]]
	# Nor does it set the exit reason of KVM_RUN.
	sed -i "/^static int vcpu_enter_guest(/,/^}/{$in_guest}" "$x86"
	sed -i "/^static int vcpu_enter_guest(/,/^}/s/^\t\tif (kvm_check_request(KVM_REQ_MMU_FREE_OBSOLETE_ROOTS, vcpu))/\t\tif (kvm_check_request($req, vcpu) \&\& unlikely(!$get)) {\n\t\t\tvcpu->run->exit_reason = KVM_EXIT_INTERNAL_ERROR;\n\t\t\tkvm_make_request($req, vcpu);\n\t\t\tr = 0;\n\t\t\tgoto out;\n\t\t}\n&/" "$x86"
	parts
	[[ $nested == *" first=unknown" ]]
	[[ $output == *"KVM_RUN ends without an exit reason"* ]]
	sed -i "/^static inline int vcpu_block(/,/^}/s/kvm_make_request($req, vcpu);/vcpu->run->exit_reason = KVM_EXIT_INTERNAL_ERROR;\n&/" "$x86"
	parts
	[[ $nested == *" first=fixed" ]]
	sed -i "/^static int vcpu_enter_guest(/,/^}/{$in_guest}" "$x86"
	parts
	[[ $nested == *" first=vulnerable" ]]
	[[ $output == *"only for a halted vCPU"* ]]

	# 2022-08-28: at the top of the loop, in a function; a failed mapping is not tried again.
	cp "$BATS_TEST_TMPDIR/x86.c" "$x86"
	sed -i "/^static int vcpu_enter_guest(/,/^}/{$in_guest}" "$x86"
	sed -i "/^static int vcpu_run(/i static int common_requests(struct kvm_vcpu *vcpu)\n{\n\tif (kvm_request_pending(vcpu)) {\n\t\tif (kvm_check_request($req, vcpu)) {\n\t\t\tif (unlikely(!$get))\n\t\t\t\treturn 0;\n\t\t}\n\t}\n\n\treturn 1;\n}\n" "$x86"
	sed -i '/^static int vcpu_run(/,/^}/s/^.*at_instruction_boundary = false;$/&\n\t\tr = common_requests(vcpu);\n\t\tif (r <= 0)\n\t\t\tbreak;/' "$x86"
	parts
	[[ $nested == *" first=vulnerable" ]]
	[[ $output == *"the request is dropped if mapping fails"* ]]
}

@test "status: vmcs12's pages, mapped in a function for which the caller has taken the request" {
	local x86=$tree/arch/x86/kvm/x86.c saved=$BATS_TEST_TMPDIR/x86.c
	local in_helper='/^static noinline bool kvm_get_nested_state_pages(/,/^}/'

	take 6.1
	patch_in "$TOP/patches/6.1/nested-vmcs12-pages.patch"
	cp "$x86" "$saved"
	parts
	[[ $nested == *" first=fixed" ]]

	# Here it is not done before the wake events are checked.
	sed -i '/^static inline int vcpu_block(/,/^}/{/kvm_check_request/,/return 0;/d}' "$x86"
	parts
	[[ $nested == *" first=vulnerable" && $output == *"not for a halted one"* ]]
	# Here it is not done for a vCPU that runs.
	cp "$saved" "$x86"
	sed -i '/^static int vcpu_enter_guest(/,/^}/{/KVM_REQ_GET_NESTED_STATE_PAGES/,/^\t\t}/d}' "$x86"
	parts
	[[ $nested == *" first=vulnerable" && $output == *"only for a halted vCPU"* ]]
	# Here it is done only once; without an exit reason.
	cp "$saved" "$x86"
	sed -i "$in_helper{/kvm_make_request/d}" "$x86"
	parts
	[[ $nested == *" first="@(unknown|vulnerable) ]]
	cp "$saved" "$x86"
	sed -i "$in_helper{/exit_reason/d}" "$x86"
	parts
	[[ $nested == *" first=unknown" && $output == *"without an exit reason"* ]]
	# Here it is done after kvm_vcpu_running() has processed L2's events, as it did up to 6.0.
	cp "$saved" "$x86"
	sed -i '/^static inline bool kvm_vcpu_running(/,/^}/s/^{$/&\n\tif (is_guest_mode(vcpu))\n\t\tkvm_check_nested_events(vcpu);\n/' "$x86"
	parts
	[[ $nested == *" first=vulnerable" && $output == *"has looked for L2's interrupts"* ]]
}

@test "status: vmcs12's pages, with a flag instead of the request" {
	local x86=$tree/arch/x86/kvm/x86.c nested_c=$tree/arch/x86/kvm/vmx/nested.c flag=vcpu-\>arch.nested_get_pages_pending

	take 6.1
	sed -i "s/kvm_make_request(KVM_REQ_GET_NESTED_STATE_PAGES, vcpu)/$flag = true/
		s/kvm_clear_request(KVM_REQ_GET_NESTED_STATE_PAGES, vcpu)/$flag = false/
		s/kvm_check_request(KVM_REQ_GET_NESTED_STATE_PAGES, vcpu)/$flag/" "$nested_c" "$tree/arch/x86/kvm/svm/nested.c"
	sed -i "/^static int vcpu_enter_guest(/,/^}/{/kvm_check_request(KVM_REQ_GET_NESTED_STATE_PAGES, vcpu)/,/^\t\t}/d}" "$x86"
	sed -i "/^static int vcpu_run(/,/^}/{/at_instruction_boundary = false;\$/a\\
		if (unlikely($flag)) {\\
			if (!kvm_x86_ops.nested_ops->get_nested_state_pages(vcpu)) {\\
				vcpu->run->exit_reason = KVM_EXIT_INTERNAL_ERROR;\\
				r = 0;\\
				break;\\
			}\\
			$flag = false;\\
		}
	}" "$x86"
	parts
	[[ $nested == *" first=fixed" ]]
	# If the flag is cleared first, a failure is forgotten.
	sed -i "/if (unlikely($flag)) {/a $flag = false;" "$x86"
	parts
	[[ $nested == *" first="@(unknown|vulnerable) ]]
}

@test "status: a notification that was pending is looked for after a restore, not at VM-entry" {
	local nested_c=$tree/arch/x86/kvm/vmx/nested.c

	take 6.1
	patch_in "$TOP/patches/6.1/nested-vmcs12-pages-lost-notification.patch"
	parts
	[[ $nested == " lost-notification=fixed"* ]]
	cp "$nested_c" "$BATS_TEST_TMPDIR/nested.c"
	for wrong in '/nested->pi_pending = true;/d' '/pi_test_on(nested->pi_desc)/s/if (.*/if (nested->pi_desc) {/' \
		'/nested->pi_pending = true;/,+1{/KVM_REQ_EVENT/d}'; do
		cp "$BATS_TEST_TMPDIR/nested.c" "$nested_c"
		sed -i "$wrong" "$nested_c"
		! cmp -s "$BATS_TEST_TMPDIR/nested.c" "$nested_c" || return 1
		parts
		[[ $nested == " lost-notification="@(unknown|vulnerable)* ]]
	done
}

@test "status: up to 4.18, a state of L2 cannot be restored, nor a notification be lost with it" {
	take 6.1
	grep -rlZ KVM_REQ_GET_NESTED_STATE_PAGES "$tree/arch/x86" | xargs -0 sed -i s/KVM_REQ_GET_NESTED_STATE_PAGES/KVM_REQ_OTHER/
	parts
	[[ $nested == *" lost-notification=not-affected"* && $nested == *" first=not-affected"* ]]
}

@test "status: CVEs, with the status of each, in both forms and within three columns" {
	take 6.1
	run status --tsv --race tdp-mmu-zap "$tree"
	[[ $(grep '^tdp-mmu-zap' <<<"$output") == *"; CVE-2022-45869: fixed" ]]
	patch_in "$TOP/selftests/races/tdp-mmu-zap/reopen/6.1/tdp-mmu-zap.patch"
	run status --tsv "$tree"
	[ "$(awk -F'\t' 'NF != 3' <<<"$output")" = "" ]
	[[ $(grep '^tdp-mmu-zap' <<<"$output") == *"; CVE-2022-45869: vulnerable" ]]
	[ "$(grep -c CVE-2022-45869 <<<"$output")" -eq 1 ]
	run status --tsv --parts --race tdp-mmu-zap "$tree"
	[[ $(grep '^tdp-mmu-zap' <<<"$output") == *"; CVE-2022-45869: vulnerable" ]]
	run status --race tdp-mmu-zap "$tree"
	grep -qx ' *CVE-2022-45869: vulnerable' <<<"$output"
}

@test "status: code that only one option uses, and code that a configuration disables" {
	take 6.1
	patch_in "$TOP/selftests/races/gpc-refresh/reopen/6.1/gpc-refresh.patch"
	run status --tsv --race gpc-refresh "$tree"
	[ "$(row gpc-refresh)" = vulnerable ]
	[[ $output != *CONFIG_KVM_XEN* ]]

	# As in 5.17, x86.c has no cache of its own.
	sed -i 's/\<kvm_gpc_\(init\|activate\)\>/my_&/' "$tree/arch/x86/kvm/x86.c"
	run status --tsv --race gpc-refresh "$tree"
	[ "$(row gpc-refresh)" = vulnerable ]
	[[ $output == *"only arch/x86/kvm/xen.c uses these caches, with CONFIG_KVM_XEN"* ]]
	printf 'CONFIG_KVM=m\n# CONFIG_KVM_XEN is not set\n# CONFIG_KVM_INTEL is not set\n' >"$BATS_TEST_TMPDIR/config"
	run status --tsv --race gpc-refresh --config "$BATS_TEST_TMPDIR/config" "$tree"
	[ "$(row gpc-refresh)" = vulnerable ]
	[[ $output == *"; CONFIG_KVM_XEN is not set in $BATS_TEST_TMPDIR/config: nothing uses these caches"* ]]
	[ "$(awk -F'\t' 'NF != 3' <<<"$output")" = "" ]

	# The tree's own configuration, and parts that are specific to KVM-Intel.
	rm -rf "$tree"
	take 5.10
	cp "$BATS_TEST_TMPDIR/config" "$tree/.config"
	run status --tsv --parts --race apicv-vcpu-creation-defer-in-l2 "$tree"
	[ "$(row apicv-vcpu-creation-defer-in-l2)" = vulnerable ]
	[[ $(grep ^apicv-vcpu-creation-defer-in-l2 <<<"$output") == *"; CONFIG_KVM_INTEL is not set in $tree/.config: none of it is built" ]]

	run -2 status --config "$BATS_TEST_TMPDIR/none" "$tree"
	[[ $output == *"not a file"* ]]
	run -2 status --config "$tree/Makefile" "$tree"
	[[ $output == *"not a kernel's configuration"* ]]
	run -2 status --config
}

@test "status --help: the kernels that are known, from the project's files" {
	run -0 status --help
	oldest=$(cd "$TOP/patches" && printf '%s\n' */series | sort -V | sed -n 1p)
	[[ $output == *"from Linux $(cut -d . -f 1,2 <<<"${oldest%/series}") to "* ]]
}

@test "status: a directory that is not a kernel tree with KVM is refused" {
	run -2 status
	[[ $output == *usage:* ]]
	run -2 status "$BATS_TEST_TMPDIR/none"
	[[ $output == *"does not exist"* ]]
	mkdir "$tree"
	run -2 status "$tree"
	[[ $output == *"not a kernel source tree"* ]]
	run -2 status "$tree/../"

	take 6.1
	run -2 status "$tree/arch/x86/kvm"
	[[ $output == *"the tree is "*"/tree"* ]]
	run -2 status "$BATS_TEST_TMPDIR"
	[[ $output == *"one is in it: "*"/tree"* ]]
	run -2 status "$tree/Makefile"
	[[ $output == *"not a directory"* ]]

	rm "$tree/arch/x86/kvm/x86.c"
	run -2 status "$tree"
	[[ $output == *"no KVM for x86 (arch/x86/kvm/x86.c"* ]]
}

@test "status --race: one race, or one part; the exit code is for it alone" {
	take 6.1
	run -1 status --tsv --parts --race nested-vmcs12-pages "$tree"
	[ "$(cut -f 1 <<<"$output" | grep -vc '^nested-vmcs12-pages')" -eq 0 ]
	[ "$(row nested-vmcs12-pages-posted)" = fixed ]
	run -0 status --tsv --race tdp-mmu-zap "$tree"
	[ "$(wc -l <<<"$output")" -eq 1 ]
	run -0 status --tsv --parts --race nested-vmcs12-pages-posted "$tree"
	[ "$(cut -f 1 <<<"$output")" = nested-vmcs12-pages-posted ]
	run -2 status --race "" "$tree"
	run -2 status --race no-such-race "$tree"
	[[ $output == *no-such-race*tdp-mmu-zap* ]]
}

@test "status: vmcs12's pages, mapped at the top of the run loop for a vCPU in L2" {
	local x86=$tree/arch/x86/kvm/x86.c saved=$BATS_TEST_TMPDIR/x86.c look=$BATS_TEST_TMPDIR/look wrong

	take 6.1
	patch_in "$TOP/patches/6.1/nested-vmcs12-pages.patch"
	# Up to 6.0 kvm_vcpu_running() processes L2's events.
	sed -i '/^static inline bool kvm_vcpu_running(/,/^}/s/^{$/&\n\tif (is_guest_mode(vcpu))\n\t\tkvm_check_nested_events(vcpu);\n/' "$x86"
	sed -n '/^+\t\tif (is_guest_mode(vcpu) &&/,/^+$/s/^+//p' "$TOP/patches/5.19/nested-vmcs12-pages.patch" >"$look"
	[ -s "$look" ]
	parts
	[[ $nested == *" first=vulnerable" ]]
	cp "$x86" "$BATS_TEST_TMPDIR/before.c"
	sed -i "/^static int vcpu_run(/,/^}/{/at_instruction_boundary = false;\$/r $look
		}" "$x86"
	cp "$x86" "$saved"
	parts
	[[ $nested == *" first=fixed" && $output == *"if the vCPU is in L2"* ]]

	# In L1 only; and with a failure ignored, a halted vCPU sleeps, or a running one enters L2.
	for wrong in '/^static int vcpu_run(/,/^}/s/if (is_guest_mode(vcpu) &&/if (!is_guest_mode(vcpu) \&\&/' \
		'/^static inline int vcpu_block(/,/^}/{/kvm_check_request/,/return 0;/d}' \
		'/^static int vcpu_enter_guest(/,/^}/{/KVM_REQ_GET_NESTED_STATE_PAGES/,/^\t\t}/d}'; do
		sed "$wrong" "$saved" >"$x86"
		run cmp -s "$saved" "$x86"
		[ "$status" -eq 1 ]
		parts
		[[ $nested != *" first=fixed" ]]
	done
	# Here it is done too late.
	sed "/^static int vcpu_run(/,/^}/{/r = vcpu_block(vcpu);/r $look
		}" "$BATS_TEST_TMPDIR/before.c" >"$x86"
	run cmp -s "$BATS_TEST_TMPDIR/before.c" "$x86"
	[ "$status" -eq 1 ]
	parts
	[[ $nested != *" first=fixed" ]]
}

@test "status: a cache that is refreshed by one thread at a time, as the modules of 5.19 do it" {
	local pfncache=$tree/virt/kvm/pfncache.c saved=$BATS_TEST_TMPDIR/pfncache.c

	take 6.1
	# Put the patch's functions in place of 6.1's mutex.
	awk '/^\+\/\* In gpc->refreshing/ { on = 1 }
		/Can what was looked up/ { exit }
		on && !/^-/ { print substr($0, 2) }' "$TOP/patches/5.19/modules/gpc-refresh.patch" |
		sed '$d' >"$BATS_TEST_TMPDIR/functions"
	sed -i -z -e 's/\n\tlockdep_assert_held(&gpc->refresh_lock);\n//' \
		-e 's/mutex_lock(&gpc->refresh_lock);\n\n*\twrite_lock_irq(&gpc->lock);/gpc_begin_refresh(gpc);/g' \
		-e 's/write_unlock_irq(&gpc->lock);\n\n*\tmutex_unlock(&gpc->refresh_lock);/gpc_end_refresh(gpc);/g' "$pfncache"
	sed -i "/^static kvm_pfn_t hva_to_pfn_retry(/{
		e cat '$BATS_TEST_TMPDIR/functions'
	}" "$pfncache"
	cp "$pfncache" "$saved"
	run status --tsv --parts "$tree"
	[ "$(row gpc-refresh)" = fixed ]
	[[ $output == *"waits for the first, which wakes it"* ]]

	# It does not wait; it is not woken; it is woken although it has not queued up.
	for wrong in '/gpc_wait_for_refresh(gpc);/d' '/wake_up_var(/d' '/prepare_to_wait_event(/d' \
		's/refreshing = GPC_WAITED_FOR;/refreshing = GPC_REFRESHING;/'; do
		sed "$wrong" "$saved" >"$pfncache"
		run status --tsv --parts "$tree"
		[ "$(row gpc-refresh)" != fixed ]
	done
}

@test "status: a cache that is not active is not valid, by the order of its destruction" {
	local pfncache=$tree/virt/kvm/pfncache.c saved=$BATS_TEST_TMPDIR/pfncache.c

	take 6.1
	# Apply 5.19's patch, as far as 6.1 has it in another form.
	sed -i '/^bool kvm_gfn_to_pfn_cache_check(/,/^}/{/if (!gpc->active)/,/^$/d}' "$pfncache"
	run status --tsv --parts "$tree"
	[ "$(row gpc-refresh-inactive)" = vulnerable ]
	sed -i -z 's/\n\t\tspin_lock(&kvm->gpc_lock);\n\t\tlist_del(&gpc->list);\n\t\tspin_unlock(&kvm->gpc_lock);\n\(\n\t\t[a-z_]*unmap([^;]*;\n\)/\1\n\t\tspin_lock(\&kvm->gpc_lock);\n\t\tlist_del(\&gpc->list);\n\t\tspin_unlock(\&kvm->gpc_lock);\n/' "$pfncache"
	run status --tsv --parts "$tree"
	[ "$(row gpc-refresh-inactive)" = fixed ]
}
