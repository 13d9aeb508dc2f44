/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Guests of nested_vmcs12_pages_test: an L1 with an L2 that has virtual-interrupt
 * delivery and halts.
 */
#ifndef NESTED_GUEST_H
#define NESTED_GUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "pi_desc.h"
#include "vmx.h"

/* L2's interrupt, and L1's notification vector; any vectors would do. */
#define L2_VECTOR	0x55
#define PI_NV		0xe3
/* Another vector of L2, of a lower class, whose handler counts nothing. */
#define L2_LOW_VECTOR	0x35
/* The last one there is, with the handler of L2_VECTOR. */
#define L2_LAST_VECTOR	0xff

#define X86_EFLAGS_IF	0x200

/* A guest-physical page that no memslot backs. */
#define UNBACKED_GPA	0xc0000000ull

/* The arguments of GUEST_SYNC() */
enum {
	SYNC_L2_HALTS = 1,	/* L2 is about to execute HLT */
	SYNC_L2_AWAKE,		/* L2 went on; args[2]: how often its handler ran */
	SYNC_L1_UNBACKS,	/* L1 is about to enter L2 without a virtual-APIC page */
	SYNC_L1_GOES_ON,	/* L2 exited for an external interrupt, or as L1 asked for */
	SYNC_L1_TRAPS,		/* L1 is about to enter an L2 that halts, with a monitor trap */
	SYNC_L1_HALTS,		/* L1 is about to execute HLT */
	SYNC_L2_TIMED,		/* L2 runs, with its timer on */
};

/* How L1 sets up L2.  L1 reads it, so that the addresses are guest addresses. */
struct l2_config {
	uint64_t posted_intr;	/* L2 has posted interrupts */
	uint64_t post_first;	/* L1 posts one before VM-entry, without a notification */
	uint64_t timer;		/* start value of the VMX-preemption timer, in L1s that use it */
	uint64_t vapic_gpa;
	uint64_t pi_desc_gpa;
	uint8_t *vapic;
	struct pi_desc *pi_desc;
};

/*
 * l2_config_add - put L2's configuration into the memory of a VM whose vCPU is to run one
 * of the guests below; returns its address on the host
 */
struct kvm_vm;
struct kvm_vcpu;
struct l2_config *l2_config_add(struct kvm_vm *vm, struct kvm_vcpu *vcpu,
				bool posted_intr);

/* pend_in_vapic - set @vector in VIRR of the page at @vapic */
void pend_in_vapic(uint8_t *vapic, uint8_t vector);

/* l2_irq_handler - L2's handler of L2_VECTOR */
struct ex_regs;
void l2_irq_handler(struct ex_regs *regs);

/* l1_halts_l2 - L2 executes STI, HLT, and goes on when it gets an interrupt */
void l1_halts_l2(struct vmx_pages *vmx, struct l2_config *config);

/*
 * l1_takes_vid - have L2 exit with an interrupt in RVI, which it has masked, and enter it again
 * without virtual-interrupt delivery; it executes STI, HLT then
 */
void l1_takes_vid(struct vmx_pages *vmx, struct l2_config *config);

/* l1_leaves_interrupts - as l1_halts_l2, but L2 takes L1's interrupts, and has none of its own */
void l1_leaves_interrupts(struct vmx_pages *vmx, struct l2_config *config);

/*
 * l1_unbacks_vapic - enter L2 with a virtual-APIC page, have it exit, and enter
 * it as halted with an address for that page that no memslot backs
 *
 * CR8-load and CR8-store exiting are on, as KVM fails such a VM-entry otherwise.
 */
void l1_unbacks_vapic(struct vmx_pages *vmx, struct l2_config *config);

/* l1_times_l2 - as l1_halts_l2, but the VMX-preemption timer is to end L2 */
void l1_times_l2(struct vmx_pages *vmx, struct l2_config *config);

/* l1_times_masked_l2 - the same with an L2 that masks interrupts, which L1 does not intercept */
void l1_times_masked_l2(struct vmx_pages *vmx, struct l2_config *config);

/*
 * l1_times_running_l2 - as l1_times_l2, but L2 has taken an exception, and runs on; it can take
 * another one, of #UD, without an exit
 */
void l1_times_running_l2(struct vmx_pages *vmx, struct l2_config *config);

/* l1_traps_l2 - enter an L2 whose first instruction is HLT, after which a monitor trap ends it */
void l1_traps_l2(struct vmx_pages *vmx, struct l2_config *config);

/* l1_halts - a guest without an L2 halts with interrupts masked; l2_irq_handler() counts them */
void l1_halts(void);

/* l1_halts_l2_on_svm - the same on SVM; L1's interrupts end L2, which has none of its own */
struct svm_test_data;
void l1_halts_l2_on_svm(struct svm_test_data *svm);

#endif /* NESTED_GUEST_H */
