// SPDX-License-Identifier: GPL-2.0-only
// Race: nested-vmcs12-pages
// Functions: nested_get_vmcs12_pages
// Users: get_nested_state_pages get_vmcs12_pages nested_get_vmcs12_pages
// Absent: KVM_REQ_GET_VMCS12_PAGES KVM_REQ_GET_NESTED_STATE_PAGES nested_get_pages_pending: L2's posted interrupts cannot be restored
// Closed-by: on: a posted interrupt that was pending when the state was saved is found when it is restored

// Which function maps the pages of a state that was set?
@op@
identifier g;
identifier get = { get_nested_state_pages, get_vmcs12_pages };
expression A;
identifier I;
@@
(
struct kvm_x86_nested_ops I = { ..., .get = g, ..., };
|
struct kvm_x86_ops I = { ..., .get = g, ..., };
|
A->get = g
|
A.get = g
)

// ON in the descriptor shows a pending notification; it is not checked at VM-entries.
@taken@
identifier op.g;
expression N, V;
@@
g(...)
{
	<+...
	nested_get_vmcs12_pages(V)
	...+>
(
	if (is_guest_mode(V)) {
		...
		if (N->pi_desc && pi_test_on(N->pi_desc)) {
+			/* racefix closed on: ON is taken for a notification when the pages are mapped after a restore */
			N->pi_pending = true;
			kvm_make_request(KVM_REQ_EVENT, V);
		}
	}
|
	if (is_guest_mode(V) && N->nested.pi_desc && pi_test_on(N->nested.pi_desc)) {
+		/* racefix closed on: ON is taken for a notification when the pages are mapped after a restore */
		N->nested.pi_pending = true;
		kvm_make_request(KVM_REQ_EVENT, V);
	}
|
	if (N->nested.pi_desc && pi_test_on(N->nested.pi_desc)) {
+		/* racefix closed on: ON is taken for a notification when the pages are mapped after a restore */
		N->nested.pi_pending = true;
		kvm_make_request(KVM_REQ_EVENT, V);
	}
)
	...
}

@sets@
identifier op.g;
expression N;
@@
g(...)
{
	<+...
	\(N->pi_pending\|N->nested.pi_pending\)
	...+>
}

@maps@
identifier op.g;
expression V;
@@
g(...)
{
	<+...
	nested_get_vmcs12_pages(V)
	...+>
}

@depends on maps && !sets@
identifier op.g;
expression V;
@@
g(...)
{
	<...
+	/* racefix vulnerable: a notification that was pending when the state was saved is not looked for */
	nested_get_vmcs12_pages(V)
	...>
}

// KVM_RUN and VM-entries use the same function.
@one@
identifier op.g = nested_get_vmcs12_pages;
@@
g(...) { ... }

@depends on one && !sets@
identifier f = nested_get_vmcs12_pages;
@@
f(...)
{
+	/* racefix vulnerable: a notification that was pending when the state was saved is not looked for */
	...
}
