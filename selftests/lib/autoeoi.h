/* SPDX-License-Identifier: GPL-2.0-only */
/* An inhibit of APICv that userspace sets for the whole VM; early kernels never drop it. */
#ifndef AUTOEOI_H
#define AUTOEOI_H

#include "hyperv.h"
#include "kvm_util.h"
#include "processor.h"

/* Bits of HV_X64_MSR_SINTx, from the Hyper-V TLFS. */
#define HV_SINT_MASKED		BIT_ULL(16)
#define HV_SINT_AUTO_EOI	BIT_ULL(17)

/* autoeoi_set - give the vCPU a SynIC whose SINT 0 is @vector, with AutoEOI, or mask it */
static inline void autoeoi_set(struct kvm_vcpu *vcpu, uint8_t vector, bool on)
{
	vcpu_enable_cap(vcpu, KVM_CAP_HYPERV_SYNIC2, 0);
	vcpu_set_msr(vcpu, HV_X64_MSR_SINT0,
		     (on ? HV_SINT_AUTO_EOI : HV_SINT_MASKED) | vector);
}

#endif /* AUTOEOI_H */
