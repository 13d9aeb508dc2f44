// SPDX-License-Identifier: GPL-2.0-only
// Race: nested-vmcs12-pages
// Functions: vcpu_run vcpu_block vcpu_enter_guest kvm_vcpu_running nested_get_vmcs12_pages
// Users: KVM_REQ_GET_VMCS12_PAGES KVM_REQ_GET_NESTED_STATE_PAGES nested_get_pages_pending
// Absent: KVM_REQ_GET_VMCS12_PAGES KVM_REQ_GET_NESTED_STATE_PAGES nested_get_pages_pending: vmcs12's pages are not left to KVM_RUN to map
// Closed-by: first: vmcs12's pages are mapped before KVM_RUN checks whether the vCPU can run, and again if that fails

// KVM maps the pages if that was deferred, and leaves KVM_RUN if that fails, with a reason
// and with the request made again: in place ...
@again@
identifier req = { KVM_REQ_GET_VMCS12_PAGES, KVM_REQ_GET_NESTED_STATE_PAGES };
identifier get = { get_nested_state_pages, get_vmcs12_pages };
identifier L;
expression A, B, V;
position c;
@@
(
if (kvm_check_request@c(req, V) && unlikely(!\(A->get(V)\|B.get(V)\|kvm_nested_call(get)(V)\))) {
	...
	V->run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
	...
	kvm_make_request(req, V);
	...
	\(return 0;\|break;\|goto L;\)
}
|
if (kvm_check_request@c(req, V)) {
	if (unlikely(!\(A->get(V)\|B.get(V)\|kvm_nested_call(get)(V)\))) {
		...
		V->run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
		...
		kvm_make_request(req, V);
		...
		\(return 0;\|break;\|goto L;\)
	}
}
)

// ... with a flag in place of the request, which stays until they are mapped ...
@by_flag@
identifier pending = nested_get_pages_pending;
identifier get = get_nested_state_pages;
expression A, B, V;
position c;
@@
if (unlikely(V->arch.pending@c)) {
	if (\(!A->get(V)\|!B.get(V)\|!kvm_nested_call(get)(V)\)) {
		... when != V->arch.pending = false
		\(return 0;\|break;\)
	}
	V->arch.pending = false;
}

// ... which before 5.4 could not fail ...
@never_fails@
identifier get = nested_get_vmcs12_pages;
@@
void get(...) { ... }

// ... or in a function that returns true, or 1, if the vCPU may go on.
@helper@
identifier h, V;
identifier req = { KVM_REQ_GET_VMCS12_PAGES, KVM_REQ_GET_NESTED_STATE_PAGES };
identifier get = { get_nested_state_pages, get_vmcs12_pages };
expression A, B;
@@
h(struct kvm_vcpu *V)
{
(
	if (!kvm_check_request(req, V))
		return \(1\|true\);
	if (unlikely(!\(A->get(V)\|B.get(V)\|kvm_nested_call(get)(V)\))) {
		...
		kvm_make_request(req, V);
		...
		return \(0\|false\);
	}
	return \(1\|true\);
|
	if (!kvm_check_request(req, V))
		return \(1\|true\);
	if (likely(\(A->get(V)\|B.get(V)\|kvm_nested_call(get)(V)\)))
		return \(1\|true\);
	...
	kvm_make_request(req, V);
	...
	return \(0\|false\);
|
	if (kvm_check_request(req, V)) {
		if (unlikely(!\(A->get(V)\|B.get(V)\|kvm_nested_call(get)(V)\))) {
			...
			kvm_make_request(req, V);
			...
			return \(0\|false\);
		}
	}
	return \(1\|true\);
)
}

// ... or in one with the same result that is called if the request was made.
@taken@
identifier h, V;
identifier req = { KVM_REQ_GET_VMCS12_PAGES, KVM_REQ_GET_NESTED_STATE_PAGES };
identifier get = { get_nested_state_pages, get_vmcs12_pages };
expression A, B;
@@
h(struct kvm_vcpu *V)
{
	if (likely(\(A->get(V)\|B.get(V)\|kvm_nested_call(get)(V)\)))
		return \(1\|true\);
	...
	V->run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
	...
	kvm_make_request(req, V);
	...
	return \(0\|false\);
}

// The check whether a vCPU is running may already look for L2's interrupts.
@looks@
expression V;
@@
kvm_vcpu_running(...)
{
	<+...
	\(kvm_check_nested_events(V)\|kvm_x86_ops.nested_ops->check_events(V)\|kvm_x86_ops.check_nested_events(V)\|kvm_x86_ops->check_nested_events(V, ...)\)
	...+>
}

@in_loop@
expression V;
position again.c;
@@
for (;;) {
	... when != kvm_vcpu_running(V)
	if (<+... kvm_check_request@c(...) ...+>) {
+		/* racefix closed first: the pages are mapped at the top of the run loop */
		...
	}
	if (kvm_vcpu_running(V)) { ... } else { ... }
	... when any
}

@in_loop_by_flag@
expression V, E;
identifier by_flag.pending;
position by_flag.c;
@@
for (;;) {
	... when != kvm_vcpu_running(V)
	if (unlikely(E->arch.pending@c)) {
+		/* racefix closed first: the pages are mapped at the top of the run loop */
		...
	}
	if (kvm_vcpu_running(V)) { ... } else { ... }
	... when any
}

@in_loop_void depends on never_fails@
identifier req = { KVM_REQ_GET_VMCS12_PAGES, KVM_REQ_GET_NESTED_STATE_PAGES };
expression A, V;
@@
for (;;) {
	... when != kvm_vcpu_running(V)
	if (kvm_check_request(req, V))
+		/* racefix closed first: the pages are mapped at the top of the run loop */
		A->get_vmcs12_pages(V);
	if (kvm_vcpu_running(V)) { ... } else { ... }
	... when any
}

@in_loop_by_helper@
identifier helper.h;
expression V, r;
@@
for (;;) {
	... when != kvm_vcpu_running(V)
	if (unlikely(!h(V))) {
+		/* racefix closed first: the pages are mapped at the top of the run loop */
		r = 0;
		break;
	}
	if (kvm_vcpu_running(V)) { ... } else { ... }
	... when any
}

@in_block depends on !looks@
expression V;
position again.c;
@@
vcpu_block(...)
{
	... when != kvm_arch_vcpu_runnable(V)
	if (<+... kvm_check_request@c(...) ...+>) {
+		/* racefix closed first: the pages are mapped before a vCPU blocks */
		...
	}
	... when any
}

@in_block_by_helper depends on !looks@
identifier helper.h;
expression V;
@@
vcpu_block(...)
{
	... when != kvm_arch_vcpu_runnable(V)
	if (unlikely(!h(V)))
+		/* racefix closed first: the pages are mapped before a vCPU blocks */
		return 0;
	... when any
}

@in_loop_by_taken@
identifier taken.req, taken.h;
expression V, r;
@@
for (;;) {
	... when != kvm_vcpu_running(V)
	if (kvm_check_request(req, V) && !h(V)) {
+		/* racefix closed first: the pages are mapped at the top of the run loop */
		r = 0;
		break;
	}
	if (kvm_vcpu_running(V)) { ... } else { ... }
	... when any
}

// Up to 6.0 kvm_vcpu_running() looks for the events of L2, and the pages are mapped before that;
// if that fails, vcpu_block() and vcpu_enter_guest(), which check the request again, report it.
@enters exists@
identifier req = { KVM_REQ_GET_VMCS12_PAGES, KVM_REQ_GET_NESTED_STATE_PAGES };
identifier taken.h;
expression V;
@@
vcpu_enter_guest(...)
{
	... when any
	if (kvm_check_request(req, V) && !h(V)) { ... }
	... when any
}

@blocks depends on enters@
identifier taken.req, taken.h;
expression V;
@@
vcpu_block(...)
{
	... when != kvm_arch_vcpu_runnable(V)
	if (kvm_check_request(req, V) && !h(V))
		return 0;
	... when any
}

@in_loop_of_l2 depends on blocks@
identifier taken.req, taken.h;
expression V;
@@
for (;;) {
	... when != kvm_vcpu_running(V)
	if (is_guest_mode(V) && kvm_check_request(req, V))
+		/* racefix closed first: the pages are mapped at the top of the run loop, if the vCPU is in L2 */
		h(V);
	if (kvm_vcpu_running(V)) { ... } else { ... }
	... when any
}

@in_block_by_taken depends on !looks@
identifier taken.req, taken.h;
expression V;
@@
vcpu_block(...)
{
	... when != kvm_arch_vcpu_runnable(V)
	if (kvm_check_request(req, V) && !h(V))
+		/* racefix closed first: the pages are mapped before a vCPU blocks */
		return 0;
	... when any
}

// If the request is not made again, the next KVM_RUN does not map the pages.
@drops@
identifier req = { KVM_REQ_GET_VMCS12_PAGES, KVM_REQ_GET_NESTED_STATE_PAGES };
identifier get = { get_nested_state_pages, get_vmcs12_pages };
identifier L;
expression A, B, V;
position c != again.c;
@@
(
if (kvm_check_request@c(req, V) && unlikely(!\(A->get(V)\|B.get(V)\|kvm_nested_call(get)(V)\))) {
	... when != kvm_make_request(req, V)
	\(return 0;\|break;\|goto L;\)
}
|
if (kvm_check_request@c(req, V)) {
	if (unlikely(!\(A->get(V)\|B.get(V)\|kvm_nested_call(get)(V)\))) {
		... when != kvm_make_request(req, V)
		\(return 0;\|break;\|goto L;\)
	}
}
|
if (kvm_check_request@c(req, V)) {
	if (unlikely(!\(A->get(V)\|B.get(V)\|kvm_nested_call(get)(V)\)))
		return 0;
}
)

@silent@
identifier req = { KVM_REQ_GET_VMCS12_PAGES, KVM_REQ_GET_NESTED_STATE_PAGES };
identifier get = { get_nested_state_pages, get_vmcs12_pages };
expression A, B, V;
@@
(
if (kvm_check_request(req, V) && unlikely(!\(A->get(V)\|B.get(V)\|kvm_nested_call(get)(V)\))) {
+	/* racefix unsure: the request is made again, but KVM_RUN ends without an exit reason */
	... when != V->run->exit_reason = KVM_EXIT_INTERNAL_ERROR
	kvm_make_request(req, V);
	... when any
	\(return 0;\|break;\)
}
|
if (kvm_check_request(req, V)) {
	if (unlikely(!\(A->get(V)\|B.get(V)\|kvm_nested_call(get)(V)\))) {
+		/* racefix unsure: the request is made again, but KVM_RUN ends without an exit reason */
		... when != V->run->exit_reason = KVM_EXIT_INTERNAL_ERROR
		kvm_make_request(req, V);
		... when any
		\(return 0;\|break;\)
	}
}
)

@dropped@
position drops.c;
@@
+ /* racefix vulnerable: the request is dropped if mapping fails, so that the next KVM_RUN goes on without the pages */
kvm_check_request@c(...)

@drops_in_helper@
identifier h, V;
identifier req = { KVM_REQ_GET_VMCS12_PAGES, KVM_REQ_GET_NESTED_STATE_PAGES };
identifier get = { get_nested_state_pages, get_vmcs12_pages };
expression A, B;
@@
h(struct kvm_vcpu *V)
{
	if (!kvm_check_request(req, V))
		return \(1\|true\);
(
+	/* racefix vulnerable: the request is dropped if mapping fails, so that the next KVM_RUN goes on without the pages */
	return \(A->get(V)\|B.get(V)\|kvm_nested_call(get)(V)\);
|
+	/* racefix vulnerable: the request is dropped if mapping fails, so that the next KVM_RUN goes on without the pages */
	if (unlikely(!\(A->get(V)\|B.get(V)\|kvm_nested_call(get)(V)\))) {
		... when != kvm_make_request(req, V)
		return \(0\|false\);
	}
	return \(1\|true\);
|
+	/* racefix vulnerable: the request is dropped if mapping fails, so that the next KVM_RUN goes on without the pages */
	if (likely(\(A->get(V)\|B.get(V)\|kvm_nested_call(get)(V)\)))
		return \(1\|true\);
	... when != kvm_make_request(req, V)
	return \(0\|false\);
)
}

@drops_if_taken@
identifier h, V;
identifier req = { KVM_REQ_GET_VMCS12_PAGES, KVM_REQ_GET_NESTED_STATE_PAGES };
identifier get = { get_nested_state_pages, get_vmcs12_pages };
expression A, B;
@@
h(struct kvm_vcpu *V)
{
+	/* racefix vulnerable: the request is dropped if mapping fails, so that the next KVM_RUN goes on without the pages */
	if (likely(\(A->get(V)\|B.get(V)\|kvm_nested_call(get)(V)\)))
		return \(1\|true\);
	... when != kvm_make_request(req, V)
	return \(0\|false\);
}

@silent_if_taken@
identifier h, V;
identifier req = { KVM_REQ_GET_VMCS12_PAGES, KVM_REQ_GET_NESTED_STATE_PAGES };
identifier get = { get_nested_state_pages, get_vmcs12_pages };
expression A, B;
@@
h(struct kvm_vcpu *V)
{
+	/* racefix unsure: the request is made again, but KVM_RUN ends without an exit reason */
	if (likely(\(A->get(V)\|B.get(V)\|kvm_nested_call(get)(V)\)))
		return \(1\|true\);
	... when != V->run->exit_reason = KVM_EXIT_INTERNAL_ERROR
	kvm_make_request(req, V);
	... when any
	return \(0\|false\);
}

@has_flag@
identifier pending = nested_get_pages_pending;
expression V;
@@
V->arch.pending

@drops_flag depends on has_flag@
identifier pending = nested_get_pages_pending;
identifier get = get_nested_state_pages;
identifier f;
expression A, B, V, W;
@@
f(...)
{
	... when any
	V->arch.pending = false;
	...
(
+	/* racefix vulnerable: the request is dropped if mapping fails, so that the next KVM_RUN goes on without the pages */
	return A->get(W);
|
+	/* racefix vulnerable: the request is dropped if mapping fails, so that the next KVM_RUN goes on without the pages */
	return B.get(W);
|
+	/* racefix vulnerable: the request is dropped if mapping fails, so that the next KVM_RUN goes on without the pages */
	return kvm_nested_call(get)(W);
)
}

// A vCPU that is not running does not get to vcpu_enter_guest().
@elsewhere@
identifier f = { vcpu_run, vcpu_block, kvm_vcpu_running };
identifier req = { KVM_REQ_GET_VMCS12_PAGES, KVM_REQ_GET_NESTED_STATE_PAGES };
expression V;
@@
f(...)
{
	<+...
	kvm_check_request(req, V)
	...+>
}

@any_helper@
identifier h, V;
identifier req = { KVM_REQ_GET_VMCS12_PAGES, KVM_REQ_GET_NESTED_STATE_PAGES };
identifier get = { get_nested_state_pages, get_vmcs12_pages };
expression A, B;
@@
h(struct kvm_vcpu *V)
{
(
	if (!kvm_check_request(req, V))
		return \(1\|true\);
	<+...
	\(A->get(V)\|B.get(V)\|kvm_nested_call(get)(V)\)
	...+>
|
	if (kvm_check_request(req, V)) {
		<+...
		\(A->get(V)\|B.get(V)\|kvm_nested_call(get)(V)\)
		...+>
	}
	return \(1\|true\);
)
}

@by_helper@
identifier f = { vcpu_run, vcpu_block, kvm_vcpu_running };
identifier any_helper.h;
@@
f(...)
{
	<+...
	h(...)
	...+>
}

@guest@
identifier req = { KVM_REQ_GET_VMCS12_PAGES, KVM_REQ_GET_NESTED_STATE_PAGES };
identifier get = { get_nested_state_pages, get_vmcs12_pages };
expression A, B, V;
position p;
@@
if (kvm_check_request@p(req, V)) {
	if (unlikely(!\(A->get(V)\|B.get(V)\|kvm_nested_call(get)(V)\))) { ... }
}

@any_taken@
identifier h, V;
identifier get = { get_nested_state_pages, get_vmcs12_pages };
expression A, B;
@@
h(struct kvm_vcpu *V)
{
	if (likely(\(A->get(V)\|B.get(V)\|kvm_nested_call(get)(V)\)))
		return \(1\|true\);
	...
	return \(0\|false\);
}

@depends on !elsewhere@
identifier req = { KVM_REQ_GET_VMCS12_PAGES, KVM_REQ_GET_NESTED_STATE_PAGES };
identifier any_taken.h;
expression V;
@@
+ /* racefix vulnerable: the pages are mapped only when the vCPU runs, not for a halted one */
if (kvm_check_request(req, V) && !h(V)) {
	...
}

@depends on !elsewhere && !by_helper@
position guest.p;
@@
+ /* racefix vulnerable: the pages are mapped only when the vCPU runs, not for a halted one */
kvm_check_request@p(...)

@depends on never_fails && !elsewhere && !by_helper@
identifier req = { KVM_REQ_GET_VMCS12_PAGES, KVM_REQ_GET_NESTED_STATE_PAGES };
expression A, V;
@@
if (kvm_check_request(req, V))
+	/* racefix vulnerable: the pages are mapped only when the vCPU runs, not for a halted one */
	A->get_vmcs12_pages(V);

@depends on !by_helper@
identifier any_helper.h;
expression V;
@@
if (unlikely(!h(V))) {
+	/* racefix vulnerable: the pages are mapped only when the vCPU runs, not for a halted one */
	...
}

@depends on !in_loop_by_flag@
identifier by_flag.pending;
expression V;
position by_flag.c;
@@
vcpu_enter_guest(...)
{
	... when any
	if (unlikely(V->arch.pending@c)) {
+		/* racefix vulnerable: the pages are mapped only when the vCPU runs, not for a halted one */
		...
	}
	... when any
}

@depends on looks && !in_loop && !in_loop_by_helper@
position again.c;
@@
vcpu_block(...)
{
	... when any
	if (<+... kvm_check_request@c(...) ...+>) {
+		/* racefix vulnerable: the pages are mapped after kvm_vcpu_running() has looked for L2's interrupts */
		...
	}
	... when any
}

@in_vcpu_block@
identifier req = { KVM_REQ_GET_VMCS12_PAGES, KVM_REQ_GET_NESTED_STATE_PAGES };
expression V;
@@
vcpu_block(...)
{
	<+...
	kvm_check_request(req, V)
	...+>
}

// This rule is without "exists", with which coccinelle 1.3 misses calls below <+...
@by_guest depends on in_vcpu_block && !in_loop && !in_loop_by_taken && !in_loop_of_l2@
identifier req = { KVM_REQ_GET_VMCS12_PAGES, KVM_REQ_GET_NESTED_STATE_PAGES };
expression V;
@@
vcpu_enter_guest(...)
{
	<+...
	kvm_check_request(req, V)
	...+>
}

@depends on in_vcpu_block && !in_loop && !in_loop_by_taken && !in_loop_of_l2 && !by_guest@
identifier req = { KVM_REQ_GET_VMCS12_PAGES, KVM_REQ_GET_NESTED_STATE_PAGES };
expression V;
statement S;
@@
vcpu_block(...)
{
	... when any
+	/* racefix vulnerable: the pages are mapped only for a halted vCPU, not for one that runs */
	if (<+... kvm_check_request(req, V) ...+>) S
	... when any
}

@depends on looks && !in_loop && !in_loop_by_helper && !in_loop_by_taken && !in_loop_of_l2@
identifier taken.req, taken.h;
expression V;
@@
vcpu_block(...)
{
	... when any
	if (kvm_check_request(req, V) && !h(V))
+		/* racefix vulnerable: the pages are mapped after kvm_vcpu_running() has looked for L2's interrupts */
		return 0;
	... when any
}
