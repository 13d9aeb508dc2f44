// SPDX-License-Identifier: GPL-2.0-only
// Race: apic-page-invalidation
// Functions: kvm_mmu_notifier_ops kvm_mmu_notifier_invalidate_range kvm_mmu_notifier_invalidate_range_start kvm_unmap_gfn_range kvm_vcpu_reload_apic_access_page vmx_set_apic_access_page_addr
// Users: KVM_REQ_APIC_PAGE_RELOAD kvm_arch_mmu_notifier_invalidate_range
// Absent: KVM_REQ_APIC_PAGE_RELOAD: the APIC access page is not reloaded when it is unmapped
// Needs: CONFIG_KVM_INTEL
// Closed-by: when: the reload is requested when the page is unmapped, or is repeated if it is not unmapped yet
// Closed-by: asked: the reload is requested whenever the page is in the range
// Closed-by: served: the vCPU serves the request before it runs
// Closed-by: written: the vCPU writes the address to the VMCS

// Up to 6.4 .invalidate_range is called when the page tables have changed ...
@ops@
identifier o = kvm_mmu_notifier_ops;
identifier hook;
@@
struct mmu_notifier_ops o = {
	.invalidate_range = hook,
};

@late@
identifier ops.hook, N, K, i, start, end;
@@
hook(struct mmu_notifier *N, struct mm_struct *mm, unsigned long start, unsigned long end)
{
	struct kvm *K = mmu_notifier_to_kvm(N);
	int i;
	i = srcu_read_lock(&K->srcu);
+	/* racefix closed when: the reload is requested when the page is out of the page tables */
	kvm_arch_mmu_notifier_invalidate_range(K, start, end);
	srcu_read_unlock(&K->srcu, i);
}

// ... but old kernels make the request before that.
@early@
identifier f = kvm_mmu_notifier_invalidate_range_start;
identifier request = { kvm_arch_mmu_notifier_invalidate_range, kvm_mmu_notifier_invalidate_range };
position p;
@@
f(...)
{
	<+...
	request@p(...)
	...+>
}

// An early request is right if the reload is repeated while a notifier is under way.
@retried depends on early@
identifier f = kvm_vcpu_reload_apic_access_page;
identifier V, K, page, seq;
expression A, E;
@@
f(struct kvm_vcpu *V)
{
	... when any
	seq = K->mmu_notifier_seq;
	smp_rmb();
	... when != seq = E
	page = gfn_to_page(K, APIC_DEFAULT_PHYS_BASE >> PAGE_SHIFT);
	if (is_error_page(page))
		return;
	A->set_apic_access_page_addr(V, page_to_phys(page));
	... when != seq = E
	smp_rmb();
	if (mmu_notifier_retry(K, seq))
+		/* racefix closed when: the reload is repeated while the page is being unmapped */
		kvm_make_request(KVM_REQ_APIC_PAGE_RELOAD, V);
	... when any
}

@depends on !ops && !retried@
identifier request;
position early.p;
@@
+ /* racefix vulnerable: the reload is requested before the page is out of the page tables */
request@p(...)

@in_range@
identifier f = kvm_arch_mmu_notifier_invalidate_range;
identifier K, start, end, page;
type T;
@@
T f(struct kvm *K, unsigned long start, unsigned long end, ...)
{
	...
	page = gfn_to_hva(K, APIC_DEFAULT_PHYS_BASE >> PAGE_SHIFT);
	if (start <= page && page < end)
+		/* racefix closed asked: the reload is requested from all vCPUs */
		kvm_make_all_cpus_request(K, KVM_REQ_APIC_PAGE_RELOAD);
	...
}

// Since 6.5 the request comes with the unmapping of the guest's pages, and the
// reload is repeated while a notifier is under way.
@gfn@
identifier f = kvm_unmap_gfn_range;
identifier K, range;
@@
f(struct kvm *K, struct kvm_gfn_range *range)
{
	... when != return ...;
	if (kvm_x86_ops.set_apic_access_page_addr && range->slot->id == APIC_ACCESS_PAGE_PRIVATE_MEMSLOT)
+		/* racefix closed asked: the reload is requested from all vCPUs */
		kvm_make_all_cpus_request(K, KVM_REQ_APIC_PAGE_RELOAD);
	...
}

// The arch code has the request, but no code calls it.
@depends on !gfn && !ops && !early@
identifier f = kvm_arch_mmu_notifier_invalidate_range;
identifier K;
type T;
@@
T f(struct kvm *K, ...)
{
	<+...
+	/* racefix vulnerable: nothing calls this function, so that the reload is never requested */
	kvm_make_all_cpus_request(K, KVM_REQ_APIC_PAGE_RELOAD);
	...+>
}

@depends on gfn@
identifier f = vmx_set_apic_access_page_addr;
identifier V, seq, pfn, K, l;
identifier s = { mmu_notifier_seq, mmu_invalidate_seq };
expression L, E;
@@
f(struct kvm_vcpu *V)
{
	... when any
	seq = K->s;
	smp_rmb();
	... when != seq = E
	pfn = \(gfn_to_pfn_memslot(...)\|__kvm_faultin_pfn(...)\|gfn_to_pfn(...)\);
	... when != seq = E
	read_lock(&L->mmu_lock);
	if (\(mmu_invalidate_retry_gfn(K, seq, ...)\|mmu_invalidate_retry_hva(K, seq, ...)\)) {
+		/* racefix closed when: the reload is repeated while the page is being unmapped */
		kvm_make_request(KVM_REQ_APIC_PAGE_RELOAD, V);
		read_unlock(&L->mmu_lock);
		goto l;
	}
+	/* racefix closed written: the address is written to the VMCS with mmu_lock held */
	vmcs_write64(APIC_ACCESS_ADDR, pfn_to_hpa(pfn));
	... when any
}

@depends on gfn@
identifier f = vmx_set_apic_access_page_addr;
identifier V, seq, pfn, K;
identifier s = { mmu_notifier_seq, mmu_invalidate_seq };
expression L, E;
@@
f(struct kvm_vcpu *V)
{
	... when any
	seq = K->s;
	smp_rmb();
	... when != seq = E
	pfn = \(gfn_to_pfn_memslot(...)\|__kvm_faultin_pfn(...)\|gfn_to_pfn(...)\);
	... when != seq = E
	read_lock(&L->mmu_lock);
	if (\(mmu_invalidate_retry_gfn(K, seq, ...)\|mmu_invalidate_retry_hva(K, seq, ...)\))
+		/* racefix closed when: the reload is repeated while the page is being unmapped */
		kvm_make_request(KVM_REQ_APIC_PAGE_RELOAD, V);
	else
+		/* racefix closed written: the address is written to the VMCS with mmu_lock held */
		vmcs_write64(APIC_ACCESS_ADDR, pfn_to_hpa(pfn));
	... when any
}

@@
expression V;
@@
if (kvm_check_request(KVM_REQ_APIC_PAGE_RELOAD, V))
+	/* racefix closed served: the vCPU serves the request before it runs */
	kvm_vcpu_reload_apic_access_page(V);

@depends on in_range@
identifier f = vmx_set_apic_access_page_addr;
identifier V, page;
@@
f(struct kvm_vcpu *V)
{
	... when any
	page = gfn_to_page(V->kvm, APIC_DEFAULT_PHYS_BASE >> PAGE_SHIFT);
	if (is_error_page(page))
		return;
+	/* racefix closed written: the address is written to the VMCS whatever it held before */
	vmcs_write64(APIC_ACCESS_ADDR, page_to_phys(page));
	... when any
}

// Before 5.8 common code looked the page up.
@lookup depends on in_range@
identifier f = kvm_vcpu_reload_apic_access_page;
identifier V, page;
expression A, B;
@@
f(struct kvm_vcpu *V)
{
	... when any
	page = gfn_to_page(V->kvm, APIC_DEFAULT_PHYS_BASE >> PAGE_SHIFT);
	if (is_error_page(page))
		return;
	\(A->set_apic_access_page_addr(V, page_to_phys(page))\|B.set_apic_access_page_addr(V, page_to_phys(page))\);
	... when any
}

@depends on lookup || retried@
identifier f = vmx_set_apic_access_page_addr;
identifier V, hpa;
@@
f(struct kvm_vcpu *V, hpa_t hpa)
{
	if (!is_guest_mode(V)) {
+		/* racefix closed written: the address is written to the VMCS whatever it held before */
		vmcs_write64(APIC_ACCESS_ADDR, hpa);
		...
	}
}

// Up to 4.17 an L2 that shares the page of L1 has it in vmcs02; vmcs01 is written when L2
// exits, which makes the request again.
@depends on lookup || retried@
identifier f = vmx_set_apic_access_page_addr;
identifier V, hpa;
expression E;
@@
f(struct kvm_vcpu *V, hpa_t hpa)
{
	...
	if (!is_guest_mode(V) || !nested_cpu_has2(E, SECONDARY_EXEC_VIRTUALIZE_APIC_ACCESSES)) {
+		/* racefix closed written: the address is written to the VMCS whatever it held before */
		vmcs_write64(APIC_ACCESS_ADDR, hpa);
		...
	}
}
