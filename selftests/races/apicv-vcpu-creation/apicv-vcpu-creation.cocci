// SPDX-License-Identifier: GPL-2.0-only
// Race: apicv-vcpu-creation
// Functions: kvm_arch_vcpu_create kvm_create_lapic vcpu_enter_guest kvm_vcpu_update_apicv __kvm_vcpu_update_apicv kvm_request_apicv_update __kvm_request_apicv_update __kvm_set_or_clear_apicv_inhibit
// Absent: kvm_apicv_activated: APICv is not inhibited for a whole VM, so that a new vCPU can miss nothing
// Closed-by: asks: a new vCPU requests an evaluation of the inhibits before it first runs
// Closed-by: serves: that request leads to kvm_vcpu_update_apicv()
// Closed-by: looks: kvm_vcpu_update_apicv() evaluates the inhibits
// Closed-by: sends: a change of the inhibits makes the request of all vCPUs

// A new vCPU is not online yet: its state may be out of date by the time that it is,
// so it has to make the request, with or without inhibits at its creation.
@asks@
expression V;
identifier r, l;
statement S;
@@
if (irqchip_in_kernel(V->kvm)) {
	r = kvm_create_lapic(V, ...);
	if (r < 0)
		goto l;
	if (enable_apicv) {
		\(V->arch.apicv_active\|V->arch.apic->apicv_active\) = true;
+		/* racefix closed asks: the request is made for every new vCPU that can have APICv */
		kvm_make_request(KVM_REQ_APICV_UPDATE, V);
	}
} else
	S

@asks_always@
expression V;
identifier r, l;
statement S;
@@
if (irqchip_in_kernel(V->kvm)) {
	r = kvm_create_lapic(V, ...);
	if (r < 0)
		goto l;
	if (kvm_apicv_activated(V->kvm))
		\(V->arch.apicv_active\|V->arch.apic->apicv_active\) = true;
+	/* racefix closed asks: the request is made for every new vCPU */
	kvm_make_request(KVM_REQ_APICV_UPDATE, V);
} else
	S

@asks_unless_disabled@
expression V;
identifier r, l;
statement S;
@@
if (irqchip_in_kernel(V->kvm)) {
	r = kvm_create_lapic(V, ...);
	if (r < 0)
		goto l;
	if (kvm_apicv_activated(V->kvm))
		\(V->arch.apicv_active\|V->arch.apic->apicv_active\) = true;
	if (!test_bit(APICV_INHIBIT_REASON_DISABLE, &V->kvm->arch.apicv_inhibit_reasons))
+		/* racefix closed asks: the request is made for every new vCPU that can have APICv */
		kvm_make_request(KVM_REQ_APICV_UPDATE, V);
} else
	S

@asks_in_lapic@
identifier V, A;
@@
kvm_create_lapic(struct kvm_vcpu *V, ...)
{
	...
	kvm_iodevice_init(&A->dev, &apic_mmio_ops);
	if (enable_apicv) {
		\(A->apicv_active\|A.apicv_active\) = true;
+		/* racefix closed asks: the request is made for every new vCPU that can have APICv */
		kvm_make_request(KVM_REQ_APICV_UPDATE, V);
	}
	return 0;
	...
}

// No request is made.
@silent depends on !asks_unless_disabled exists@
identifier f = { kvm_arch_vcpu_create, kvm_create_lapic };
expression A;
position p;
@@
f(...)
{
	...
	\(A->apicv_active\|A.apicv_active\) =@p true;
	... when != kvm_make_request(KVM_REQ_APICV_UPDATE, ...)
	return ...;
}

@@
expression A;
position silent.p;
@@
+ /* racefix vulnerable: a new vCPU does not evaluate the inhibits again */
A =@p true;

// The request is made only with inhibits, or only without.
@@
identifier f = { kvm_arch_vcpu_create, kvm_create_lapic };
expression K, V;
@@
f(...)
{
	<+...
+	/* racefix vulnerable: a new vCPU evaluates the inhibits again only if they say so at its creation */
	if (\(kvm_apicv_activated(K)\|!kvm_apicv_activated(K)\)) {
		...
		kvm_make_request(KVM_REQ_APICV_UPDATE, V);
		...
	}
	...+>
}

@@
expression V;
@@
if (kvm_check_request(KVM_REQ_APICV_UPDATE, V))
+	/* racefix closed serves: the vCPU serves the request before it runs */
	kvm_vcpu_update_apicv(V);

@sets@
identifier f = { kvm_vcpu_update_apicv, __kvm_vcpu_update_apicv };
expression A, R;
position p;
@@
f(...)
{
	<+...
	\(A->apicv_active\|A.apicv_active\) =@p R;
	...+>
}

@@
expression A, K;
position sets.p;
@@
+ /* racefix closed looks: the vCPU goes by the inhibits as they are then */
A =@p kvm_apicv_activated(K);

@@
identifier f = { kvm_vcpu_update_apicv, __kvm_vcpu_update_apicv };
expression A, K, R;
identifier on;
position sets.p;
@@
f(...)
{
	... when != A =@p R
+	/* racefix closed looks: the vCPU goes by the inhibits as they are then */
	on = \(kvm_apicv_activated(K)\|kvm_vcpu_apicv_activated(K)\|kvm_vcpu_apicv_activated(K) && (kvm_get_apic_mode(K) != LAPIC_MODE_DISABLED)\);
	... when != on = R
	    when any
	A =@p on;
	... when any
}

// The request must go out by one of these functions: an open-coded loop may miss a vCPU.
@@
identifier f = { kvm_request_apicv_update, __kvm_request_apicv_update, __kvm_set_or_clear_apicv_inhibit };
expression K;
@@
f(...)
{
	<+...
(
+	/* racefix closed sends: all vCPUs that are online get the request */
	kvm_make_all_cpus_request(K, KVM_REQ_APICV_UPDATE);
|
+	/* racefix closed sends: all vCPUs that are online get the request, or go by the inhibits at once */
	kvm_make_all_cpus_request_except(K, KVM_REQ_APICV_UPDATE, ...);
)
	...+>
}
