// SPDX-License-Identifier: GPL-2.0-only
// Race: gpc-refresh
// Functions: kvm_gfn_to_pfn_cache_check kvm_gpc_check kvm_gfn_to_pfn_cache_refresh __kvm_gpc_refresh kvm_gfn_to_pfn_cache_destroy kvm_gpc_deactivate
// Uses: shinfo_cache
// Users-only: CONFIG_KVM_XEN arch/x86/kvm/xen.c: shared_info's cache, the only one that threads other than the vCPU's own read
// Absent: hva_to_pfn_retry kvm_gfn_to_pfn_cache_refresh kvm_gpc_refresh: there is no gfn-to-pfn cache
// Closed-by: use: a cache that is not active is not valid for its users
// Closed-by: refresh: a cache that is not active is not refreshed, which is checked with its lock held

@use exists@
identifier f = { kvm_gfn_to_pfn_cache_check, kvm_gpc_check };
expression E;
@@
f(...)
{
	... when != return true;
+	/* racefix closed use: a cache that is not active is never valid */
	if (!E->active)
		return false;
	... when any
}

// An inactive cache is never valid either if KVM refuses to refresh it, and deactivation
// unmaps it before it leaves the list on which mmu_notifiers find it.
@by_order@
identifier f = { kvm_gfn_to_pfn_cache_destroy, kvm_gpc_deactivate };
identifier unmap = { kvm_gfn_to_pfn_cache_unmap, gpc_unmap };
expression E, K;
@@
f(...)
{
	...
	if (E->active) {
+		/* racefix closed use: a cache that is not active is unmapped before it leaves the list */
		write_lock_irq(&E->lock);
		E->active = false;
		write_unlock_irq(&E->lock);
		unmap(K, E);
		spin_lock(&K->gpc_lock);
		list_del(&E->list);
		spin_unlock(&K->gpc_lock);
	}
	...
}

@depends on !use && !by_order exists@
identifier f = { kvm_gfn_to_pfn_cache_check, kvm_gpc_check };
expression E;
@@
f(...)
{
	... when != E->active
+	/* racefix vulnerable: a cache can be valid whether it is active or not */
	return true;
}

@refresh exists@
identifier f = { kvm_gfn_to_pfn_cache_refresh, __kvm_gpc_refresh };
expression E;
@@
f(...)
{
	... when != \(hva_to_pfn\|hva_to_pfn_retry\)(...)
	\(write_lock_irq(&E->lock);\|gpc_begin_refresh(E);\)
	... when != \(hva_to_pfn\|hva_to_pfn_retry\)(...)
	    when != write_unlock_irq(&E->lock)
+	/* racefix closed refresh: a cache that is not active is not refreshed */
	if (!E->active) {
		...
	}
	... when any
}

@depends on !refresh exists@
identifier f = { kvm_gfn_to_pfn_cache_refresh, __kvm_gpc_refresh };
expression E;
position p;
@@
f(...)
{
	... when != E->active
+	/* racefix vulnerable: a cache is refreshed whether it is active or not */
	write_lock_irq(&E->lock);
	... when any
}
