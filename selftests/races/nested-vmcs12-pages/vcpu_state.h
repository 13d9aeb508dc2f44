/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A vCPU's whole state, saved and restored as a VMM does that migrates a VM.
 *
 * The selftest library has vcpu_save_state(), but it insists on every MSR that
 * KVM lists (5.10 lists some that it will not read) and leaves out the local
 * APIC, without which no interrupt reaches the vCPU again.
 */
#ifndef VCPU_STATE_H
#define VCPU_STATE_H

#include "kvm_util.h"
#include "processor.h"

struct vcpu_state {
	struct kvm_vcpu_events events;
	struct kvm_mp_state mp_state;
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_xsave xsave;
	struct kvm_xcrs xcrs;
	struct kvm_debugregs debugregs;
	struct kvm_lapic_state lapic;
	struct kvm_msrs *msrs;
	/* Room for what KVM_CHECK_EXTENSION(KVM_CAP_NESTED_STATE) allows. */
	union {
		struct kvm_nested_state nested;
		char nested_room[16384];
	};
};

/* vcpu_state_save - the vCPU must not be in KVM_RUN; free with vcpu_state_free() */
struct vcpu_state *vcpu_state_save(struct kvm_vcpu *vcpu);

/*
 * vcpu_state_leave_nested - take a vCPU out of L2 and of VMX operation, as a VMM
 * does (QEMU resets the VM) before it loads a snapshot over one that has run
 */
void vcpu_state_leave_nested(struct kvm_vcpu *vcpu);

/*
 * vcpu_state_load - into a new vCPU, or one that left nested operation
 *
 * The vCPU is put in the saved mp_state last, after its nested state.
 */
void vcpu_state_load(struct kvm_vcpu *vcpu, const struct vcpu_state *state);

void vcpu_state_free(struct vcpu_state *state);

#endif /* VCPU_STATE_H */
