// SPDX-License-Identifier: GPL-2.0-only
// Race: tdp-mmu-zap
// Users: make_mmu_pages_available kvm_mmu_zap_oldest_mmu_pages
// Absent: kvm_tdp_mmu_map: there is no TDP MMU, faults hold mmu_lock alone
// Needs: CONFIG_X86_64
// Closed-by: write: faults zap shadow pages with mmu_lock held for write

// make_mmu_pages_available() zaps shadow pages; its callers must hold mmu_lock for
// write, on every path that leads there.

// One fault handler for both kinds of MMU: one flag decides the lock and the call.
@flag exists@
expression V, E;
identifier C;
statement S;
position p;
@@
if (C) read_lock(&V->kvm->mmu_lock); else write_lock(&V->kvm->mmu_lock);
... when != C = E
    when != read_unlock(&V->kvm->mmu_lock)
    when != write_unlock(&V->kvm->mmu_lock)
(
if (!C) { <+... make_mmu_pages_available@p(V) ...+> }
|
if (C) S else { <+... make_mmu_pages_available@p(V) ...+> }
)

// The same before 5.14, where is_tdp_mmu_root() decides.
@root exists@
expression V, K, R;
statement S;
position p;
@@
if (is_tdp_mmu_root(K, R)) read_lock(&V->kvm->mmu_lock); else write_lock(&V->kvm->mmu_lock);
... when != read_unlock(&V->kvm->mmu_lock)
    when != write_unlock(&V->kvm->mmu_lock)
(
if (!is_tdp_mmu_root(K, R)) { <+... make_mmu_pages_available@p(V) ...+> }
|
if (is_tdp_mmu_root(K, R)) S else { <+... make_mmu_pages_available@p(V) ...+> }
)

@spin exists@
expression V;
position p;
@@
spin_lock(&V->kvm->mmu_lock);
...
make_mmu_pages_available@p(V)

@rwlock@
expression L;
@@
(
read_lock(&L->mmu_lock)
|
write_lock(&L->mmu_lock)
)

// A call that is reached without taking the lock for write ...
@bare exists@
identifier f != make_mmu_pages_available;
identifier callee = { make_mmu_pages_available, kvm_mmu_zap_oldest_mmu_pages };
expression V;
position p != { flag.p, root.p, spin.p };
@@
f(...) {
... when != write_lock(&V->mmu_lock)
callee@p(...)
... when any
}

// ... or after giving it up.
@given_up exists@
identifier callee = { make_mmu_pages_available, kvm_mmu_zap_oldest_mmu_pages };
expression V;
position p;
@@
write_unlock(&V->mmu_lock);
... when != write_lock(&V->mmu_lock)
callee@p(...)

@not_locked depends on rwlock@
position bare.p;
@@
+ /* racefix vulnerable: this fault zaps shadow pages without mmu_lock held for write */
make_mmu_pages_available@p(...)

@depends on rwlock@
position bare.p;
@@
+ /* racefix unsure: this code zaps shadow pages in a function that is not recognised */
kvm_mmu_zap_oldest_mmu_pages@p(...)

@lock_lost depends on rwlock@
identifier callee;
position given_up.p;
@@
+ /* racefix vulnerable: this fault zaps shadow pages after it has released mmu_lock */
callee@p(...)

@held depends on rwlock exists@
expression V;
position p != { bare.p, given_up.p };
@@
+ /* racefix closed write: this fault zaps shadow pages with mmu_lock held for write */
make_mmu_pages_available@p(V)

@exclusive depends on spin && !rwlock@
expression V;
position spin.p;
@@
+ /* racefix not-affected: mmu_lock is a spinlock, so that no two faults zap at once */
make_mmu_pages_available@p(V)
