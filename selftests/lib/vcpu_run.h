/* SPDX-License-Identifier: GPL-2.0-only */
/* KVM_RUN for tests that know how it has to end. */
#ifndef VCPU_RUN_H
#define VCPU_RUN_H

#include "kvm_util.h"

/*
 * vcpu_run_until - one KVM_RUN, which has to end with that ucall, UCALL_SYNC or UCALL_DONE
 *
 * To be called by the thread that the vCPU belongs to.  Returns the ucall; where KVM_RUN
 * ends otherwise the test ends, with the guest's failed assertion if that is why.
 */
static inline struct ucall vcpu_run_until(struct kvm_vcpu *vcpu, uint64_t cmd)
{
	struct ucall uc;

	vcpu_run(vcpu);
	if (get_ucall(vcpu, &uc) == UCALL_ABORT)
		REPORT_GUEST_ASSERT(uc);
	TEST_ASSERT(uc.cmd == cmd, "vCPU %u: exit reason %u (%s), ucall %lu", vcpu->id,
		    vcpu->run->exit_reason, exit_reason_str(vcpu->run->exit_reason),
		    uc.cmd);
	return uc;
}

#endif /* VCPU_RUN_H */
