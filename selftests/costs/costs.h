/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The program costs measures the cost of paths through KVM, in ticks of the TSC.  On a host
 * whose TSC counts instructions (scripts/lab/host-run --icount) a tick is an instruction.
 */
#ifndef COSTS_H
#define COSTS_H

#include <stdint.h>

#include "kvm_util.h"
#include "processor.h"

/* How often a path is run. */
#define ROUNDS		256

/* struct sample - the ticks of each round */
struct sample {
	uint64_t ticks[ROUNDS];
	unsigned int nr;
};

/* sample_add - add a round that began at @begin and is over now */
static inline void sample_add(struct sample *sample, uint64_t begin)
{
	uint64_t end = rdtsc();

	if (sample->nr < ROUNDS)
		sample->ticks[sample->nr++] = end - begin;
}

/*
 * struct path - a path that is measured
 * @name: its name in the output
 * @measure: fills the sample; returns NULL, or the reason why this host has no such path.
 *	It runs in a process of its own, and need not free its VM.
 */
struct path {
	const char *name;
	const char *(*measure)(struct sample *sample);
};

/* The sample that guest code fills; see vm_sample(). */
extern struct sample guest_sample;

/* vm_sample - run the VM's only vCPU until GUEST_DONE(), and copy the guest's sample */
void vm_sample(struct kvm_vm *vm, struct kvm_vcpu *vcpu, struct sample *sample);

/* run_to_io - KVM_RUN, which must end with an access to a port */
void run_to_io(struct kvm_vcpu *vcpu);

/* guest_rdmsr_samples - a guest that takes samples of an MSR that KVM reads for it */
void guest_rdmsr_samples(void);

/* guest_exits_to_user - a guest that does nothing else but exit to user space, for ever */
void guest_exits_to_user(void);

/* exits.c: VM-exits, vCPUs, sleep */
const char *measure_nothing(struct sample *sample);
const char *measure_exit(struct sample *sample);
const char *measure_exit_to_user(struct sample *sample);
const char *measure_block_and_wake(struct sample *sample);
const char *measure_create_vcpu(struct sample *sample);
const char *measure_first_run(struct sample *sample);

/* memory.c: page faults, mmu_notifiers, gfn_to_pfn_caches */
const char *measure_page_fault(struct sample *sample);
const char *measure_invalidation(struct sample *sample);
const char *measure_invalidation_elsewhere(struct sample *sample);
const char *measure_clock_refresh(struct sample *sample);
const char *measure_clock_invalidation(struct sample *sample);
const char *measure_event(struct sample *sample);
const char *measure_event_refresh(struct sample *sample);
const char *measure_event_refresh_hva(struct sample *sample);

/* nested.c: an L1 and its L2 */
const char *measure_nested_exit_to_l1(struct sample *sample);
const char *measure_nested_exit_to_l0(struct sample *sample);

#endif /* COSTS_H */
