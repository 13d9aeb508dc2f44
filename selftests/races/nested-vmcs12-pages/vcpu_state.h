/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A vCPU's whole state, saved and restored as a VMM does when it migrates a VM.
 *
 * The selftest library has vcpu_save_state(), but it fails if an MSR that KVM
 * lists cannot be read (5.10 has such ones), and it leaves out the local APIC,
 * without which no interrupt reaches the vCPU again.
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
	/* At least the size that KVM_CHECK_EXTENSION(KVM_CAP_NESTED_STATE) returns. */
	union {
		struct kvm_nested_state nested;
		char nested_room[16384];
	};
};

/* vcpu_state_save - save a vCPU that is not in KVM_RUN; free with vcpu_state_free() */
struct vcpu_state *vcpu_state_save(struct kvm_vcpu *vcpu);

/*
 * vcpu_state_load - load a state into a new vCPU, or one that left nested operation
 *
 * The saved mp_state is set last, after the nested state.
 */
void vcpu_state_load(struct kvm_vcpu *vcpu, const struct vcpu_state *state);

void vcpu_state_free(struct vcpu_state *state);

#endif /* VCPU_STATE_H */
