// SPDX-License-Identifier: GPL-2.0-only
// Race: nested-vmcs12-pages
// Functions: vcpu_run vcpu_block kvm_vcpu_running nested_get_vmcs12_pages
// Users: KVM_REQ_GET_VMCS12_PAGES KVM_REQ_GET_NESTED_STATE_PAGES
// Absent: KVM_REQ_GET_VMCS12_PAGES KVM_REQ_GET_NESTED_STATE_PAGES: vmcs12's pages are not left to KVM_RUN to map
// Closed-by: first: vmcs12's pages are mapped before KVM_RUN asks whether the vCPU can run

// Map them if that was put off, and leave KVM_RUN if that fails: in place ...
@direct@
identifier req = { KVM_REQ_GET_VMCS12_PAGES, KVM_REQ_GET_NESTED_STATE_PAGES };
identifier get = { get_nested_state_pages, get_vmcs12_pages };
expression A, B, V;
position c;
@@
(
if (kvm_check_request@c(req, V) && unlikely(!\(A->get(V)\|B.get(V)\|kvm_nested_call(get)(V)\))) {
	...
	\(return 0;\|break;\)
}
|
if (kvm_check_request@c(req, V)) {
	if (unlikely(!\(A->get(V)\|B.get(V)\|kvm_nested_call(get)(V)\))) {
		...
		\(return 0;\|break;\)
	}
}
)

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
	return \(A->get(V)\|B.get(V)\|kvm_nested_call(get)(V)\);
|
	if (!kvm_check_request(req, V))
		return \(1\|true\);
	if (unlikely(!\(A->get(V)\|B.get(V)\|kvm_nested_call(get)(V)\))) {
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
	return \(0\|false\);
|
	if (kvm_check_request(req, V)) {
		if (unlikely(!\(A->get(V)\|B.get(V)\|kvm_nested_call(get)(V)\))) {
			...
			return \(0\|false\);
		}
	}
	return \(1\|true\);
)
}

// To ask whether a vCPU is running may be to look for L2's interrupts already.
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
position direct.c;
@@
for (;;) {
	... when != kvm_vcpu_running(V)
	if (<+... kvm_check_request@c(...) ...+>) {
+		/* racefix closed first: mapped at the top of the run loop */
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
+		/* racefix closed first: mapped at the top of the run loop */
		A->get_vmcs12_pages(V);
	if (kvm_vcpu_running(V)) { ... } else { ... }
	... when any
}

@in_loop_by_helper@
expression V, r;
identifier helper.h;
@@
for (;;) {
	... when != kvm_vcpu_running(V)
	if (unlikely(!h(V))) {
+		/* racefix closed first: mapped at the top of the run loop */
		r = 0;
		break;
	}
	if (kvm_vcpu_running(V)) { ... } else { ... }
	... when any
}

@in_block depends on !looks@
expression V;
position direct.c;
@@
vcpu_block(...)
{
	... when != kvm_arch_vcpu_runnable(V)
	if (<+... kvm_check_request@c(...) ...+>) {
+		/* racefix closed first: mapped before a vCPU blocks */
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
+		/* racefix closed first: mapped before a vCPU blocks */
		return 0;
	... when any
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

@by_helper@
identifier f = { vcpu_run, vcpu_block, kvm_vcpu_running };
identifier helper.h;
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

@depends on !elsewhere && !by_helper@
position guest.p;
@@
+ /* racefix vulnerable: mapped only when the vCPU runs, a halted one is not asked */
kvm_check_request@p(...)

@depends on never_fails && !elsewhere && !by_helper@
identifier req = { KVM_REQ_GET_VMCS12_PAGES, KVM_REQ_GET_NESTED_STATE_PAGES };
expression A, V;
@@
if (kvm_check_request(req, V))
+	/* racefix vulnerable: mapped only when the vCPU runs, a halted one is not asked */
	A->get_vmcs12_pages(V);

@depends on !by_helper@
identifier helper.h;
expression V;
@@
if (unlikely(!h(V))) {
+	/* racefix vulnerable: mapped only when the vCPU runs, a halted one is not asked */
	...
}

@depends on looks && !in_loop && !in_loop_by_helper@
position direct.c;
@@
vcpu_block(...)
{
	... when any
	if (<+... kvm_check_request@c(...) ...+>) {
+		/* racefix vulnerable: mapped after kvm_vcpu_running() has looked for L2's interrupts */
		...
	}
	... when any
}
