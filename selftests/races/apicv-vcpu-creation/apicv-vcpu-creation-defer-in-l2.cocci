// SPDX-License-Identifier: GPL-2.0-only
// Race: apicv-vcpu-creation
// Functions: vmx_refresh_apicv_exec_ctrl nested_vmx_vmexit __nested_vmx_vmexit kvm_vcpu_update_apicv __kvm_vcpu_update_apicv
// Absent: vmx_refresh_apicv_exec_ctrl: APICv is not turned on or off in a VMCS that is in use
// Needs: CONFIG_KVM_INTEL
// Closed-by: defer: a change of APICv while L2 is active leaves vmcs02 alone
// Closed-by: redo: the change reaches vmcs01, at the latest when L2 exits

// The controls of APICv are L1's, in vmcs01; while L2 is active vmcs02 is loaded.
@defer@
identifier V, X, later;
@@
vmx_refresh_apicv_exec_ctrl(struct kvm_vcpu *V)
{
	struct vcpu_vmx *X = to_vmx(V);
+	/* racefix closed defer: the change is deferred while L2 is active */
	if (is_guest_mode(V)) {
		X->nested.later = true;
		return;
	}
	...
}

// Newer kernels load vmcs01 for the change.
@in_vmcs01@
identifier V, X;
@@
vmx_refresh_apicv_exec_ctrl(struct kvm_vcpu *V)
{
	struct vcpu_vmx *X = to_vmx(V);
+	/* racefix closed defer: vmcs01 is loaded for the change */
+	/* racefix closed redo: vmcs01 is loaded for the change */
	guard(vmx_vmcs01)(V);
	...
}

@straight exists@
position p;
@@
vmx_refresh_apicv_exec_ctrl(...)
{
	... when != is_guest_mode(...)
	    when != guard(vmx_vmcs01)(...)
(
	pin_controls_set@p(...)
|
	vmcs_write32@p(PIN_BASED_VM_EXEC_CONTROL, ...)
)
	... when any
}

@@
position straight.p;
@@
(
+ /* racefix vulnerable: the change goes to the VMCS that is loaded, which is vmcs02 if L2 is active */
pin_controls_set@p(...);
|
+ /* racefix vulnerable: the change goes to the VMCS that is loaded, which is vmcs02 if L2 is active */
vmcs_write32@p(...);
)

// kvm_vcpu_update_apicv() does nothing for a vCPU that already has the wanted state, which
// is set before vmx_refresh_apicv_exec_ctrl() is called: a second request has no effect.
@early_out@
identifier f = { kvm_vcpu_update_apicv, __kvm_vcpu_update_apicv };
expression A;
identifier on;
position p;
@@
f(...)
{
	<+...
	if (\(A->apicv_active@p\|A.apicv_active@p\) == on) { ... }
	...+>
}

@updates@
identifier f = { kvm_vcpu_update_apicv, __kvm_vcpu_update_apicv };
expression A, E;
@@
f(...)
{
	<+...
	\(A->apicv_active\|A.apicv_active\) = E;
	...+>
}

@redo@
identifier f = { nested_vmx_vmexit, __nested_vmx_vmexit };
identifier X, defer.later;
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
		vmx_refresh_apicv_exec_ctrl(V);
	}
	... when any
}

@redo_by_request depends on updates && !early_out@
identifier f = { nested_vmx_vmexit, __nested_vmx_vmexit };
identifier X, defer.later;
expression V;
@@
f(...)
{
	...
	vmx_switch_vmcs(V, &X->vmcs01);
	... when any
	    when != vmx_switch_vmcs(...)
	if (X->nested.later) {
+		/* racefix closed redo: the change is requested again when vmcs01 is loaded again */
		X->nested.later = false;
		kvm_make_request(KVM_REQ_APICV_UPDATE, V);
	}
	... when any
}

@depends on early_out@
identifier X, defer.later;
expression V;
@@
if (X->nested.later) {
+	/* racefix vulnerable: the change is requested again, but kvm_vcpu_update_apicv() does nothing if the state is the wanted one */
	X->nested.later = false;
	kvm_make_request(KVM_REQ_APICV_UPDATE, V);
}

// The change is deferred, but never made.
@taken depends on defer@
identifier f = { nested_vmx_vmexit, __nested_vmx_vmexit };
identifier X, defer.later;
@@
f(...)
{
	<+...
	X->nested.later
	...+>
}

@depends on defer && !taken@
identifier X, defer.later;
expression V;
@@
if (is_guest_mode(V)) {
+	/* racefix vulnerable: the change is deferred and never made when L2 exits */
	X->nested.later = true;
	return;
}
