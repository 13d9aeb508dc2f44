// SPDX-License-Identifier: GPL-2.0-only
// Race: gpc-refresh
// Functions: hva_to_pfn_retry __kvm_gpc_refresh mmu_notifier_retry_cache kvm_mmu_notifier_invalidate_range_end
// Users: mn_active_invalidate_count
// Uses: kvm_gpc_activate_hva
// Users-only: CONFIG_KVM_XEN arch/x86/kvm/xen.c: caches by host address
// Absent: kvm_gpc_activate_hva: no cache is set by a host address, which may lie outside of memslots
// Closed-by: own: a refresh goes by a sequence that is not the MMU's
// Closed-by: counted: each invalidation advances that sequence before it lowers the count

@own@
type T;
identifier h, K, old, q;
position p;
@@
h(struct kvm *K, T old)
{
	if (\(K->mn_active_invalidate_count\|READ_ONCE(K->mn_active_invalidate_count)\))
		return true;
	smp_rmb();
	return \(K->q@p\|READ_ONCE(K->q@p)\) != old;
}

@mmu@
identifier own.h, K;
expression E;
identifier s = { mmu_notifier_seq, mmu_invalidate_seq };
@@
h(struct kvm *K, ...)
{
	...
+	/* racefix vulnerable: a refresh goes by the MMU's sequence, which only ranges with a memslot advance */
	return \(K->s\|READ_ONCE(K->s)\) != E;
}

@depends on !mmu@
identifier own.h, own.q, K;
expression E;
@@
h(struct kvm *K, ...)
{
	...
+	/* racefix closed own: a refresh goes by a sequence of its own */
	return \(K->q\|READ_ONCE(K->q)\) != E;
}

@early depends on !mmu exists@
identifier own.q;
expression K;
position p;
@@
kvm_mmu_notifier_invalidate_range_end(...)
{
	... when != \(K->q++\|++K->q\|K->q += 1\)
	K->mn_active_invalidate_count@p
	... when any
}

@@
expression E;
position early.p;
@@
+ /* racefix vulnerable: the count is lowered, and that sequence has not advanced */
E->mn_active_invalidate_count@p

@depends on !mmu && !early@
identifier own.q;
expression K;
@@
kvm_mmu_notifier_invalidate_range_end(...)
{
	... when any
(
+	/* racefix closed counted: each invalidation advances the sequence */
	K->q++;
|
+	/* racefix closed counted: each invalidation advances the sequence */
	++K->q;
|
+	/* racefix closed counted: each invalidation advances the sequence */
	K->q += 1;
)
	... when any
}
