// SPDX-License-Identifier: GPL-2.0-only
// Race: apicv-vcpu-creation
// Functions: kvm_vcpu_update_apicv __kvm_vcpu_update_apicv kvm_apic_update_apicv apic_find_highest_isr kvm_apic_update_hwapic_isr vmx_hwapic_isr_update nested_vmx_vmexit __nested_vmx_vmexit kvm_hv_activate_synic vmx_check_apicv_inhibit_reasons
// Absent: kvm_apicv_activated: APICv is turned off for a vCPU and never on again
// Needs: CONFIG_KVM_INTEL
// Closed-by: taken: a vCPU whose APICv is activated gets a new SVI
// Closed-by: from: SVI is the highest vector in its ISR
// Closed-by: vmcs01: SVI is not written to vmcs02 if L2 is active
// Closed-by: redo: the change reaches vmcs01, at the latest when L2 exits

// Up to 5.14 SynIC as such inhibits APICv, which is never dropped; VMX has no other
// inhibit that changes.
@for_good@
expression K;
@@
kvm_hv_activate_synic(...)
{
	<+...
	kvm_request_apicv_update(K, false, APICV_INHIBIT_REASON_HYPERV)
	...+>
}

@depends on for_good@
identifier S;
@@
vmx_check_apicv_inhibit_reasons(...)
{
+	/* racefix not-affected: only SynIC inhibits APICv on VMX, and nothing lifts that inhibit */
	ulong S = BIT(APICV_INHIBIT_REASON_DISABLE) | BIT(APICV_INHIBIT_REASON_HYPERV);
	...
}

@sets@
identifier f = { kvm_vcpu_update_apicv, __kvm_vcpu_update_apicv };
expression A, E;
position p;
@@
f(...)
{
	<+...
	\(A->apicv_active\|A.apicv_active\) =@p E;
	...+>
}

@taken@
identifier f = { kvm_vcpu_update_apicv, __kvm_vcpu_update_apicv };
identifier V;
expression A, E;
statement S;
@@
f(struct kvm_vcpu *V)
{
	... when any
	\(A->apicv_active\|A.apicv_active\) = E;
	... when any
(
	if (\(!A->apicv_active\|!A.apicv_active\))
		S
	else
+		/* racefix closed taken: SVI is written when APICv is activated */
		kvm_apic_update_hwapic_isr(V);
|
	if (\(A->apicv_active\|A.apicv_active\))
+		/* racefix closed taken: SVI is written when APICv is activated */
		kvm_apic_update_hwapic_isr(V);
)
	... when any
}

@from@
identifier V, L;
expression A, F;
@@
kvm_apic_update_hwapic_isr(struct kvm_vcpu *V)
{
	struct kvm_lapic *L = V->arch.apic;
	if (\(WARN_ON_ONCE(!lapic_in_kernel(V)) || !A->apicv_active\|WARN_ON_ONCE(!lapic_in_kernel(V)) || !A.apicv_active\))
		return;
+	/* racefix closed from: SVI is the highest vector in the ISR */
	F(V, apic_find_highest_isr(L));
}

// Newer kernels update SVI together with KVM's own state of the ISR.
@along@
identifier V, L;
expression F;
statement S;
@@
kvm_apic_update_apicv(struct kvm_vcpu *V)
{
	struct kvm_lapic *L = V->arch.apic;
	...
	if (L->apicv_active) {
		...
+		/* racefix closed from: SVI is the highest vector in the ISR */
		F(V, apic_find_highest_isr(L));
	} else
		S
	...
}

@depends on along@
identifier f = { kvm_vcpu_update_apicv, __kvm_vcpu_update_apicv };
identifier V;
expression A, E;
@@
f(struct kvm_vcpu *V)
{
	... when any
	\(A->apicv_active\|A.apicv_active\) = E;
	...
+	/* racefix closed taken: SVI is written when APICv is activated */
	kvm_apic_update_apicv(V);
	... when any
}

@depends on !along && !for_good@
identifier f = { kvm_vcpu_update_apicv, __kvm_vcpu_update_apicv };
expression A, E;
position sets.p;
@@
f(...)
{
	... when != kvm_apic_update_hwapic_isr(...)
	    when any
(
+	/* racefix vulnerable: SVI keeps the value that it had before APICv was inhibited */
	A->apicv_active =@p E;
|
+	/* racefix vulnerable: SVI keeps the value that it had before APICv was inhibited */
	A.apicv_active =@p E;
)
	... when != kvm_apic_update_hwapic_isr(...)
	    when any
}

@vmcs01@
identifier V, later;
@@
vmx_hwapic_isr_update(struct kvm_vcpu *V, ...)
{
	...
+	/* racefix closed vmcs01: the write of SVI is deferred while L2 is active */
	if (is_guest_mode(V)) {
		...
		to_vmx(V)->nested.later = true;
		return;
	}
	...
}

@in_vmcs01@
identifier V, S;
@@
vmx_hwapic_isr_update(struct kvm_vcpu *V, ...)
{
	...
	guard(vmx_vmcs01)(V);
	...
+	/* racefix closed vmcs01: vmcs01 is loaded for the write of SVI */
+	/* racefix closed redo: vmcs01 is loaded for the change */
	S = vmcs_read16(GUEST_INTR_STATUS);
	...
}

@straight depends on !for_good exists@
position p;
@@
vmx_hwapic_isr_update(...)
{
	... when != is_guest_mode(...)
	    when != guard(vmx_vmcs01)(...)
	vmcs_write16@p(GUEST_INTR_STATUS, ...)
	... when any
}

@@
position straight.p;
@@
+ /* racefix vulnerable: SVI is written to the VMCS that is loaded, which is vmcs02 if L2 is active */
vmcs_write16@p(...);

@redo@
identifier f = { nested_vmx_vmexit, __nested_vmx_vmexit };
identifier X, vmcs01.later;
expression V;
@@
f(...)
{
	...
	vmx_switch_vmcs(V, &X->vmcs01);
	... when any
	    when != vmx_switch_vmcs(...)
	if (X->nested.later) {
+		/* racefix closed redo: the change is made when vmcs01 is loaded again */
		X->nested.later = false;
		kvm_apic_update_hwapic_isr(V);
	}
	... when any
}

// The change is deferred, but never made.
@taken_up depends on vmcs01@
identifier f = { nested_vmx_vmexit, __nested_vmx_vmexit };
identifier X, vmcs01.later;
@@
f(...)
{
	<+...
	X->nested.later
	...+>
}

@depends on vmcs01 && !taken_up@
identifier V, vmcs01.later;
@@
vmx_hwapic_isr_update(struct kvm_vcpu *V, ...)
{
	<+...
+	/* racefix vulnerable: the change is deferred and never made when L2 exits */
	to_vmx(V)->nested.later = true;
	...+>
}

// apic_find_highest_isr() may use a cache, which KVM does not update while APICv is
// active: an activation must reset it, or the next one takes SVI from it.
@cached@
expression A;
@@
apic_find_highest_isr(...)
{
	<+...
	A->highest_isr_cache
	...+>
}

@forgotten@
expression A;
@@
kvm_apic_update_apicv(...)
{
	<+...
	A->highest_isr_cache = -1;
	...+>
}

@depends on cached && !forgotten && !for_good@
@@
kvm_apic_update_apicv(...)
{
+	/* racefix vulnerable: the cache of the highest vector in the ISR is kept, and SVI is taken from it */
	...
}
