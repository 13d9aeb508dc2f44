// SPDX-License-Identifier: GPL-2.0-only
/*
 * The outcome of two operations, as numbers, and its comparison with the outcomes of one
 * operation after the other.
 */
#include <string.h>

#include "processor.h"
#include "sweep.h"

void outcome_add(struct outcome *outcome, const char *name, unsigned int index,
		 uint64_t value)
{
	TEST_ASSERT(outcome->nr < OUTCOME_WORDS, "an outcome has at most %d words",
		    OUTCOME_WORDS);
	outcome->word[outcome->nr].name = name;
	outcome->word[outcome->nr].index = index;
	outcome->word[outcome->nr++].value = value;
}

/* FNV-1a on words of 8 bytes: a page takes an emulated CPU some microseconds. */
uint64_t outcome_sum(const void *data, size_t size)
{
	const unsigned char *bytes = data;
	uint64_t sum = 0xcbf29ce484222325ull, word;

	while (size) {
		size_t n = size < sizeof(word) ? size : sizeof(word);

		word = 0;
		memcpy(&word, bytes, n);
		sum = (sum ^ word) * 0x100000001b3ull;
		sum ^= sum >> 32;
		bytes += n;
		size -= n;
	}
	return sum;
}

/* Offsets of local APIC registers. */
#define APIC_ID		0x20
#define APIC_TMCCT	0x390

void outcome_add_system(struct outcome *outcome, struct kvm_vcpu *vcpu)
{
	struct kvm_vcpu_events events = {};
	struct kvm_lapic_state lapic = {};
	struct kvm_mp_state mp_state = {};
	struct kvm_sregs sregs = {};

	vcpu_sregs_get(vcpu, &sregs);
	vcpu_events_get(vcpu, &events);
	vcpu_mp_state_get(vcpu, &mp_state);
	outcome_add(outcome, "system registers of vCPU", vcpu->id,
		    outcome_sum(&sregs, sizeof(sregs)));
	outcome_add(outcome, "events of vCPU", vcpu->id,
		    outcome_sum(&events, sizeof(events)));
	outcome_add(outcome, "mp_state of vCPU", vcpu->id, mp_state.mp_state);
	if (!__vcpu_ioctl(vcpu, KVM_GET_LAPIC, &lapic)) {
		/* The timer's count is a clock, and the ID may be any number. */
		memset(lapic.regs + APIC_TMCCT, 0, 4);
		memset(lapic.regs + APIC_ID, 0, 4);
	}
	outcome_add(outcome, "local APIC of vCPU", vcpu->id,
		    outcome_sum(&lapic, sizeof(lapic)));
}

void outcome_add_vcpu(struct outcome *outcome, struct kvm_vcpu *vcpu)
{
	struct kvm_regs regs = {};

	vcpu_regs_get(vcpu, &regs);
	outcome_add(outcome, "registers of vCPU", vcpu->id,
		    outcome_sum(&regs, sizeof(regs)));
	outcome_add_system(outcome, vcpu);
}

void reference_add(struct reference *reference, int order,
		   const struct outcome *outcome, bool first)
{
	struct outcome *known = &reference->order[order];
	unsigned int i;

	if (first) {
		*known = *outcome;
		return;
	}
	TEST_ASSERT(outcome->nr == known->nr, "%u words and %u", outcome->nr,
		    known->nr);
	for (i = 0; i < outcome->nr; i++)
		if (outcome->word[i].value != known->word[i].value)
			reference->noise[i] = true;
}

static bool differs(const struct reference *reference, int order,
		    const struct outcome *outcome, unsigned int i)
{
	return !reference->noise[i] &&
	       outcome->word[i].value != reference->order[order].word[i].value;
}

bool reference_is(const struct reference *reference, int order,
		  const struct outcome *outcome)
{
	unsigned int i;

	for (i = 0; i < outcome->nr; i++)
		if (differs(reference, order, outcome, i))
			return false;
	return true;
}

bool reference_is_mixed(const struct reference *reference,
			const struct outcome *outcome)
{
	unsigned int i;

	for (i = 0; i < outcome->nr; i++)
		if (differs(reference, 0, outcome, i) &&
		    differs(reference, 1, outcome, i))
			return false;
	return true;
}

unsigned int reference_print_difference(const struct reference *reference,
					const struct outcome *outcome)
{
	unsigned int i, nr = 0;

	for (i = 0; i < outcome->nr; i++) {
		if (!differs(reference, 0, outcome, i) &&
		    !differs(reference, 1, outcome, i))
			continue;
		printf("#   %s %u: %#lx; one after the other: %#lx, %#lx\n",
		       outcome->word[i].name, outcome->word[i].index,
		       outcome->word[i].value,
		       reference->order[0].word[i].value,
		       reference->order[1].word[i].value);
		nr++;
	}
	return nr;
}

void reference_print_noise(const struct reference *reference)
{
	const struct outcome *outcome = &reference->order[0];
	unsigned int i;

	printf("# %u words make an outcome\n", outcome->nr);
	for (i = 0; i < outcome->nr; i++)
		if (reference->noise[i])
			printf("# not looked at, as it differs without a race: %s %u\n",
			       outcome->word[i].name, outcome->word[i].index);
}
