/* SPDX-License-Identifier: GPL-2.0-only */
/* VMX only: userspace takes a vCPU out of L2, which is an exit that L1 does not see. */
#ifndef LEAVE_NESTED_H
#define LEAVE_NESTED_H

#include "kvm_util.h"
#include "processor.h"

/*
 * leave_nested - take a vCPU out of L2 and of VMX operation, as a VMM must before it
 * restores an older state
 */
static inline void leave_nested(struct kvm_vcpu *vcpu)
{
	struct kvm_nested_state none = {
		.format = KVM_STATE_NESTED_FORMAT_VMX,
		.size = sizeof(none),
		.hdr.vmx.vmxon_pa = -1ull,
		.hdr.vmx.vmcs12_pa = -1ull,
	};

	vcpu_nested_state_set(vcpu, &none);
}

/*
 * leave_nested_for - the same, with L2 in a ucall; L1 then runs @code with the argument @arg, on
 * the stack that it had when it entered L2
 */
static inline void leave_nested_for(struct kvm_vcpu *vcpu, void *code, uint64_t arg)
{
	struct kvm_regs regs;

	vcpu_run_complete_io(vcpu);
	leave_nested(vcpu);
	vcpu_regs_get(vcpu, &regs);
	regs.rip = (unsigned long)code;
	regs.rdi = arg;
	/* Below the red zone, and aligned as after a call. */
	regs.rsp = ((regs.rsp - 128) & ~0xfull) - 8;
	vcpu_regs_set(vcpu, &regs);
}

#endif /* LEAVE_NESTED_H */
