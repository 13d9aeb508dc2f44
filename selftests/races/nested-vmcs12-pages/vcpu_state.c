// SPDX-License-Identifier: GPL-2.0-only
/*
 * A vCPU's whole state, saved and restored as for migration; see vcpu_state.h.
 */
#include <stdlib.h>

#include "test_util.h"
#include "vcpu_state.h"

/* One MSR per call: KVM_GET_MSRS and KVM_SET_MSRS stop at the first that fails. */
struct one_msr {
	struct kvm_msrs header;
	struct kvm_msr_entry entry;
};

static void save_msrs(struct kvm_vcpu *vcpu, struct vcpu_state *state)
{
	const struct kvm_msr_list *list = kvm_get_msr_index_list();
	struct one_msr one = { .header.nmsrs = 1 };
	unsigned int i;

	state->msrs = calloc(1, sizeof(*state->msrs) +
			     list->nmsrs * sizeof(state->msrs->entries[0]));
	TEST_ASSERT(state->msrs, "out of memory");

	for (i = 0; i < list->nmsrs; i++) {
		one.entry.index = list->indices[i];
		if (__vcpu_ioctl(vcpu, KVM_GET_MSRS, &one.header) == 1)
			state->msrs->entries[state->msrs->nmsrs++] = one.entry;
	}
}

static void load_msrs(struct kvm_vcpu *vcpu, const struct vcpu_state *state)
{
	struct one_msr one = { .header.nmsrs = 1 };
	unsigned int i;

	/* Ignore errors: an MSR that is read-only (a capability) has this value anyway. */
	for (i = 0; i < state->msrs->nmsrs; i++) {
		one.entry = state->msrs->entries[i];
		__vcpu_ioctl(vcpu, KVM_SET_MSRS, &one.header);
	}
}

struct vcpu_state *vcpu_state_save(struct kvm_vcpu *vcpu)
{
	struct vcpu_state *state = calloc(1, sizeof(*state));

	TEST_ASSERT(state, "out of memory");
	TEST_ASSERT(kvm_check_cap(KVM_CAP_NESTED_STATE) <=
		    (int)sizeof(state->nested_room),
		    "nested state needs more than %zu bytes",
		    sizeof(state->nested_room));

	vcpu_events_get(vcpu, &state->events);
	vcpu_mp_state_get(vcpu, &state->mp_state);
	vcpu_regs_get(vcpu, &state->regs);
	vcpu_sregs_get(vcpu, &state->sregs);
	vcpu_ioctl(vcpu, KVM_GET_XSAVE, &state->xsave);
	if (kvm_has_cap(KVM_CAP_XCRS))
		vcpu_xcrs_get(vcpu, &state->xcrs);
	vcpu_debugregs_get(vcpu, &state->debugregs);
	vcpu_ioctl(vcpu, KVM_GET_LAPIC, &state->lapic);
	save_msrs(vcpu, state);
	state->nested.size = sizeof(state->nested_room);
	vcpu_nested_state_get(vcpu, &state->nested);
	return state;
}

void vcpu_state_load(struct kvm_vcpu *vcpu, const struct vcpu_state *state)
{
	struct vcpu_state copy = *state;

	vcpu_sregs_set(vcpu, &copy.sregs);
	load_msrs(vcpu, state);
	if (kvm_has_cap(KVM_CAP_XCRS))
		vcpu_xcrs_set(vcpu, &copy.xcrs);
	vcpu_ioctl(vcpu, KVM_SET_XSAVE, &copy.xsave);
	vcpu_ioctl(vcpu, KVM_SET_LAPIC, &copy.lapic);
	vcpu_debugregs_set(vcpu, &copy.debugregs);
	vcpu_regs_set(vcpu, &copy.regs);
	vcpu_events_set(vcpu, &copy.events);
	vcpu_nested_state_set(vcpu, &copy.nested);
	vcpu_mp_state_set(vcpu, &copy.mp_state);
}

void vcpu_state_free(struct vcpu_state *state)
{
	free(state->msrs);
	free(state);
}
