/* SPDX-License-Identifier: GPL-2.0-only */
/* KVM_RUN for tests that expect one certain exit. */
#ifndef VCPU_RUN_H
#define VCPU_RUN_H

#include "kvm_util.h"

/*
 * vcpu_run_until - one KVM_RUN, which must end with the ucall @cmd, UCALL_SYNC or UCALL_DONE
 *
 * To be called by the vCPU's own thread.  Returns the ucall.  If KVM_RUN ends otherwise, the
 * test fails, and prints the guest's failed assertion if there is one.
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
