// SPDX-License-Identifier: GPL-2.0-only
// Race: gpc-refresh
// Functions: hva_to_pfn_retry __kvm_gpc_refresh kvm_gfn_to_pfn_cache_refresh kvm_mmu_notifier_invalidate_range_start kvm_mmu_notifier_invalidate_range_end
// Users: gfn_to_pfn_cache_invalidate_start mn_active_invalidate_count refresh_lock hva_to_pfn_retry __kvm_gpc_refresh refreshing
// Uses: kvm_gfn_to_pfn_cache_init kvm_gpc_init kvm_gpc_activate kvm_gpc_activate_hva
// Users-only: CONFIG_KVM_XEN arch/x86/kvm/xen.c: these caches
// Absent: hva_to_pfn_retry kvm_gfn_to_pfn_cache_refresh kvm_gpc_refresh: there is no gfn-to-pfn cache
// Closed-by: stale: a refresh checks by mn_active_invalidate_count and the sequence whether its result is stale
// Closed-by: again: a stale result leads back to the lookup
// Closed-by: seq: the sequence is read before the lookup
// Closed-by: hidden: the cache is not valid during the lookup
// Closed-by: publish: the cache is made valid only with a result that is not stale
// Closed-by: one: a cache is refreshed by one thread at a time
// Closed-by: count: a notifier raises the count before it invalidates caches
// Closed-by: drop: a notifier lowers the count after the sequence has advanced
// Closed-by: invalid: a notifier invalidates the caches of its range

@stale@
type T;
identifier h, K, old;
identifier s = { mmu_notifier_seq, mmu_invalidate_seq, gpc_invalidate_seq };
@@
h(struct kvm *K, T old)
{
	if (\(K->mn_active_invalidate_count\|READ_ONCE(K->mn_active_invalidate_count)\))
		return true;
	smp_rmb();
+	/* racefix closed stale: a refresh goes by mn_active_invalidate_count, then by the sequence */
	return \(K->s\|READ_ONCE(K->s)\) != old;
}

// These counts are raised after the caches were invalidated.
@late@
identifier f = { hva_to_pfn_retry, kvm_gfn_to_pfn_cache_refresh, __kvm_gpc_refresh, mmu_notifier_retry_cache };
expression K;
position p;
@@
f(...)
{
	<+...
(
	mmu_notifier_retry_hva@p(...)
|
	mmu_invalidate_retry_hva@p(...)
|
	mmu_notifier_retry@p(...)
|
	mmu_invalidate_retry@p(...)
|
	K->mmu_notifier_count@p
|
	K->mmu_invalidate_in_progress@p
)
	...+>
}

@@
expression E;
position late.p;
@@
+ /* racefix vulnerable: a refresh goes by a count that is raised after caches were invalidated */
E@p

@again exists@
identifier stale.h, stale.s;
expression K, E;
identifier old;
position p;
@@
h@p(K, old)
... when != E->valid = true
old = \(K->s\|READ_ONCE(K->s)\);

@@
identifier stale.h;
position again.p;
@@
+ /* racefix closed again: a stale result leads back to the lookup */
h@p(...)

@@
identifier stale.h;
@@
+ /* racefix vulnerable: a refresh repeats the lookup only if the result is not stale */
!h(...)

@@
identifier stale.h;
expression E;
@@
(
+ /* racefix unsure: the lookup is repeated on another condition as well */
h(...) && E
|
+ /* racefix unsure: the lookup is repeated on another condition as well */
E && h(...)
|
+ /* racefix unsure: the result of the check is stored, and its use is not recognised */
E = h(...)
)

@seq@
identifier stale.s;
identifier old;
expression K;
@@
old = \(K->s\|READ_ONCE(K->s)\);
+ /* racefix closed seq: the sequence is read before the lookup */
smp_rmb();
... when != old = \(K->s\|READ_ONCE(K->s)\)
    when any
hva_to_pfn(...)

@seq_late exists@
identifier stale.s;
identifier old;
expression K, E;
@@
hva_to_pfn(...)
... when != write_lock_irq(&E->lock)
+ /* racefix vulnerable: the sequence is read after the lookup */
old = \(K->s\|READ_ONCE(K->s)\);

@unlocked exists@
identifier stale.h;
expression K, E;
identifier old;
@@
write_unlock_irq(&E->lock);
... when != write_lock_irq(&E->lock)
+ /* racefix vulnerable: the check is made before the cache's lock is taken */
h(K, old)

@shown exists@
expression E;
position p;
@@
E->valid =@p true;
... when != E->valid = false
\(hva_to_pfn\|hva_to_pfn_retry\)(...)

@@
expression E;
position shown.p;
@@
+ /* racefix vulnerable: the cache is made valid before it is mapped */
E->valid =@p true;

@bare exists@
identifier f = { hva_to_pfn_retry, kvm_gfn_to_pfn_cache_refresh };
expression E;
position p;
@@
f(...)
{
	... when != E->valid = false
	hva_to_pfn@p(...)
	... when any
}

@depends on stale && !shown@
position bare.p;
@@
+ /* racefix vulnerable: the cache may be valid during the lookup */
hva_to_pfn@p(...)

@depends on stale@
expression E;
position p != { bare.p, shown.p };
@@
+ /* racefix closed hidden: the cache is not valid from here on */
E->valid = false;
... when any
write_unlock_irq(&E->lock);
... when any
hva_to_pfn@p(...)

@early depends on stale exists@
identifier stale.h;
expression E;
@@
write_unlock_irq(&E->lock);
... when != h(...)
+ /* racefix vulnerable: the cache is made valid without the check */
E->valid = true;

@publish exists@
identifier stale.h;
expression E;
@@
h(...)
... when != write_unlock_irq(&E->lock)
+ /* racefix closed publish: the cache is made valid with its lock still held */
E->valid = true;

// Refreshes are serialized by a mutex ...
@mutex@
identifier f = { __kvm_gpc_refresh, kvm_gfn_to_pfn_cache_refresh };
expression E;
@@
f(...)
{
	...
+	/* racefix closed one: refresh_lock serializes refreshes */
	mutex_lock(&E->refresh_lock);
	... when any
}

// ... which the callers may have taken ...
@by_callers depends on !mutex@
identifier f = { __kvm_gpc_refresh, kvm_gfn_to_pfn_cache_refresh };
expression E;
@@
f(...)
{
	<+...
+	/* racefix closed one: the callers hold refresh_lock */
	lockdep_assert_held(&E->refresh_lock);
	...+>
}

@depends on by_callers exists@
identifier f;
@@
f(...)
{
	... when != mutex_lock(...)
	    when != guard(mutex)(...)
+	/* racefix vulnerable: two threads can refresh a cache at the same time */
	__kvm_gpc_refresh(...)
	... when any
}

// ... or by a flag under the cache's lock.
@flag@
identifier f, G, m;
@@
f(struct gfn_to_pfn_cache *G)
{
	write_lock_irq(&G->lock);
	while (G->m) {
		write_unlock_irq(&G->lock);
		wait_var_event(&G->m, ...);
		write_lock_irq(&G->lock);
	}
	WRITE_ONCE(G->m, true);
}

// The flag may also show that another refresh is queued, and waits to be woken.
@waits@
identifier w, G, m, W;
expression Q;
@@
w(struct gfn_to_pfn_cache *G)
{
	...
	while (G->m) {
		G->m = GPC_WAITED_FOR;
		prepare_to_wait_event(Q, &W.wq_entry, TASK_UNINTERRUPTIBLE);
		write_unlock_irq(&G->lock);
		schedule();
		write_lock_irq(&G->lock);
	}
	finish_wait(Q, &W.wq_entry);
}

@wakes@
identifier waits.m, e, G, b;
@@
e(struct gfn_to_pfn_cache *G)
{
	bool b = G->m == GPC_WAITED_FOR;

	G->m = GPC_IDLE;
	write_unlock_irq(&G->lock);
	if (unlikely(b))
		wake_up_var(&G->m);
}

@marked@
identifier waits.w, waits.m, f, G;
@@
f(struct gfn_to_pfn_cache *G)
{
	write_lock_irq(&G->lock);
	if (unlikely(G->m))
		w(G);
	G->m = GPC_REFRESHING;
}

@by_marked@
identifier marked.f, wakes.e;
identifier r = { __kvm_gpc_refresh, kvm_gfn_to_pfn_cache_refresh };
expression E;
@@
r(...)
{
	...
+	/* racefix closed one: a second refresh waits for the first, which wakes it */
	f(E);
	... when any
	e(E);
	... when any
}

@by_flag@
identifier flag.f;
identifier r = { __kvm_gpc_refresh, kvm_gfn_to_pfn_cache_refresh };
expression E;
@@
r(...)
{
	...
+	/* racefix closed one: a second refresh waits for the first */
	f(E);
	... when any
}

@uncounted exists@
expression K;
@@
kvm_mmu_notifier_invalidate_range_start(...)
{
	... when != K->mn_active_invalidate_count++
+	/* racefix vulnerable: caches are invalidated before the count is raised */
	gfn_to_pfn_cache_invalidate_start(...)
	... when any
}

@@
expression K;
@@
kvm_mmu_notifier_invalidate_range_start(...)
{
	... when any
	K->mn_active_invalidate_count++;
	... when any
+	/* racefix closed count: the count is raised before caches are invalidated */
	gfn_to_pfn_cache_invalidate_start(...);
	... when any
}

@dropped_early exists@
identifier handle = { __kvm_handle_hva_range, kvm_handle_hva_range };
expression K;
position p;
@@
kvm_mmu_notifier_invalidate_range_end(...)
{
	... when != handle(...)
	K->mn_active_invalidate_count@p
	... when any
}

@@
expression E;
position dropped_early.p;
@@
+ /* racefix vulnerable: the count is lowered before the sequence advances */
E->mn_active_invalidate_count@p

@dropped exists@
identifier handle = { __kvm_handle_hva_range, kvm_handle_hva_range };
expression K;
position p;
@@
kvm_mmu_notifier_invalidate_range_end(...)
{
	... when any
	handle(...);
	... when any
	K->mn_active_invalidate_count@p
	... when any
}

@@
expression E;
position dropped.p;
@@
+ /* racefix closed drop: the count is lowered after the sequence has advanced */
E->mn_active_invalidate_count@p

@invalid@
identifier K, start, end;
expression E;
position p;
@@
gfn_to_pfn_cache_invalidate_start(struct kvm *K, unsigned long start, unsigned long end, ...)
{
	<+...
(
	if (E->valid && !is_error_noslot_pfn(E->pfn) && E->uhva >= start && E->uhva < end) {
		...
		E->valid =@p false;
		...
	}
|
	if (E->valid && !is_error_noslot_pfn(E->pfn) && E->uhva >= start && E->uhva < end)
		E->valid =@p false;
)
	...+>
}

@@
expression E;
position invalid.p;
@@
+ /* racefix closed invalid: the notifier invalidates caches */
E->valid =@p false;
