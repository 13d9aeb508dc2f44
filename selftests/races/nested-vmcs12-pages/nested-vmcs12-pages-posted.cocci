// SPDX-License-Identifier: GPL-2.0-only
// Race: nested-vmcs12-pages
// Functions: kvm_vcpu_running vmx_has_nested_events
// Absent: pi_pending: L2 has no posted interrupts
// Closed-by: posted: a halted L2 that was notified of a posted interrupt is woken

// The check whether a vCPU is running may already process L2's posted interrupts.
@looks@
expression V;
@@
kvm_vcpu_running(...)
{
	<+...
(
+	/* racefix not-affected: every check whether the vCPU can run processes its posted interrupts */
	kvm_check_nested_events(V);
|
+	/* racefix not-affected: every check whether the vCPU can run processes its posted interrupts */
	kvm_x86_ops.nested_ops->check_events(V);
|
+	/* racefix not-affected: every check whether the vCPU can run processes its posted interrupts */
	kvm_x86_ops.check_nested_events(V);
|
+	/* racefix not-affected: every check whether the vCPU can run processes its posted interrupts */
	kvm_x86_ops->check_nested_events(V, ...);
)
	...+>
}

// A notification is pending, ON is set, and the highest vector in the PIR is above L2's priority.
@posted@
identifier f = vmx_has_nested_events;
expression X, I, P;
@@
f(...)
{
	<+...
	if (X->nested.pi_pending && X->nested.pi_desc && pi_test_on(X->nested.pi_desc)) {
+		/* racefix closed posted: a pending posted interrupt is a wake event */
		I = pi_find_highest_vector(X->nested.pi_desc);
		if (I > 0 && (I & 0xf0) > (P & 0xf0))
			return true;
	}
	...+>
}

@seen@
identifier f = vmx_has_nested_events;
expression X;
@@
f(...)
{
	<+...
	X->nested.pi_pending
	...+>
}

@depends on !seen@
identifier f = vmx_has_nested_events;
@@
f(...)
{
+	/* racefix vulnerable: a pending posted interrupt is no wake event, so that a halted L2 sleeps on */
	...
}

// An interrupt that RFLAGS.IF or an STI shadow blocks must not wake L2.
@exists@
identifier f = vmx_has_nested_events;
expression P;
@@
f(...)
{
	... when != \(__vmx_interrupt_blocked(...)\|vmx_interrupt_blocked(...)\)
+	/* racefix unsure: a virtual interrupt is a wake event even if L2 has interrupts off */
	P + APIC_PROCPRI
	... when any
}
