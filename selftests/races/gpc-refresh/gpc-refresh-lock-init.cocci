// SPDX-License-Identifier: GPL-2.0-only
// Race: gpc-refresh
// Functions: kvm_gfn_to_pfn_cache_init kvm_gpc_init kvm_gpc_activate __kvm_gpc_activate
// Uses: shinfo_cache
// Users-only: CONFIG_KVM_XEN arch/x86/kvm/xen.c: shared_info's cache, the only one that threads other than the vCPU's own read
// Absent: hva_to_pfn_retry kvm_gfn_to_pfn_cache_refresh kvm_gpc_refresh: there is no gfn-to-pfn cache
// Closed-by: once: the lock of a cache is initialized by a function that activates no cache

@activates@
identifier f = { kvm_gfn_to_pfn_cache_init, kvm_gpc_activate, __kvm_gpc_activate };
expression E, K;
@@
f(...)
{
	<+...
	list_add(&E->list, &K->gpc_list)
	...+>
}

@again@
identifier activates.f;
expression E;
position p;
@@
f(...)
{
	<+...
	rwlock_init@p(&E->lock)
	...+>
}

@@
expression E;
position again.p;
@@
+ /* racefix vulnerable: the lock is initialized again when the cache is activated again, though it may be held */
rwlock_init@p(E);

@depends on activates@
expression E;
position p != again.p;
@@
+ /* racefix closed once: the lock is initialized apart from any activation */
rwlock_init@p(&E->lock);
