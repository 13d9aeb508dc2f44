/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A VMM for nested_vmcs12_pages_test: it runs a VM of one vCPU up to where L2
 * sleeps in HLT, saves it, restores it, interrupts L2, and says what became of it.
 */
#ifndef NESTED_VMM_H
#define NESTED_VMM_H

#include <stdbool.h>
#include <stdint.h>

#include "kvm_util.h"
#include "nested_guest.h"
#include "pi_desc.h"
#include "vcpu_state.h"

/* Of the host's time: what a vCPU gets to wake up, and to go to sleep. */
#define WAKE_MS		200
#define SETTLE_MS	20

/* In KVM's vmcs12, whose layout is ABI (VMCS12_REVISION 0x11e57ed0). */
#define VMCS12_VIRTUAL_APIC_PAGE_ADDR	96
#define VMCS12_APIC_ACCESS_ADDR		104
#define VMCS12_GUEST_CR3		432
#define VMCS12_VM_ENTRY_CONTROLS	780
#define VMCS12_SECONDARY_EXEC_CONTROL	804
#define VMCS12_GUEST_INTR_STATUS	980

struct vmm {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpu;
	struct vcpu_state *state;
	/* In the VM's memory, which goes along. */
	struct l2_config *config;
	uint8_t *vapic;
	struct pi_desc *pi_desc;
};

/* What a bounded KVM_RUN came to. */
enum outcome {
	ASLEEP,		/* still halted when the time was up */
	WOKE,		/* L2 runs, and its handler ran once */
	WOKE_NO_IRQ,	/* L2 runs, but took no interrupt */
	REFUSED,	/* userspace is told that the state cannot be run */
	L1_RUNS,	/* L2 ended, and L1 goes on */
	OTHER,		/* anything else; printed */
};

/* outcome_name - in words */
const char *outcome_name(enum outcome outcome);

/* vmm_create - a VM whose vCPU is to run @l1, of nested_guest.h */
void vmm_create(struct vmm *vmm, void *l1, bool posted_intr);

/* vmm_run_to_sync - KVM_RUN up to that GUEST_SYNC(); fails the test otherwise */
void vmm_run_to_sync(struct vmm *vmm, uint64_t sync);

/* vmm_run_to_halt - KVM_RUN until L2 is halted, and leave it */
void vmm_run_to_halt(struct vmm *vmm);

/* vmm_run - KVM_RUN for at most @ms milliseconds; what became of L2? */
enum outcome vmm_run(struct vmm *vmm, unsigned int ms);

/* vmm_save - the vCPU, which is halted in L2, to vmm->state */
void vmm_save(struct vmm *vmm);

/* vmm_restore_new_vm - the memory, and a new VM around it: the destination host's */
void vmm_restore_new_vm(struct vmm *vmm);

/* vmm_restore_same_vm - the vCPU that has run L2: a snapshot is reverted */
void vmm_restore_same_vm(struct vmm *vmm);

/* vmm_set_vmcs12 - change the saved vmcs12, @size bytes at @offset */
void vmm_set_vmcs12(struct vmm *vmm, unsigned int offset, const void *value,
		    size_t size);

/* vmm_unback_apic_access - let it have an APIC-access page, at UNBACKED_GPA */
void vmm_unback_apic_access(struct vmm *vmm);

/*
 * vmm_restore_without_pdptes - restore it once more, with PAE paging from
 * UNBACKED_GPA; the errno if KVM_SET_NESTED_STATE will not have that, or 0
 */
int vmm_restore_without_pdptes(struct vmm *vmm);

/* vmm_pend_in_rvi - as a CPU leaves it that recognised @vector at the save */
void vmm_pend_in_rvi(struct vmm *vmm, uint8_t vector);

/*
 * vmm_pend_notification - an interrupt was posted, and its notification waits in
 * the IRR of L1's saved APIC
 */
void vmm_pend_notification(struct vmm *vmm);

/* vmm_set_priority - of L2, as its virtual APIC has it: VTPR and VPPR */
void vmm_set_priority(struct vmm *vmm, uint32_t priority);

/* vmm_set_service - what L2 has in service, by VPPR alone; 0: nothing */
void vmm_set_service(struct vmm *vmm, uint32_t priority);

/* vmm_notify - send the notification vector, as an IOMMU or an IPI of L1's does */
void vmm_notify(struct vmm *vmm);

/* vmm_post_interrupt - post L2_VECTOR, and notify; vmm_post_vector - another one */
void vmm_post_interrupt(struct vmm *vmm);
void vmm_post_vector(struct vmm *vmm, uint8_t vector);

/* vmm_back_page - give UNBACKED_GPA a memslot, with zeroed memory */
void vmm_back_page(struct vmm *vmm);

/*
 * vmm_run_and_post - KVM_RUN, post an interrupt once the vCPU's thread is seen
 * asleep there, and give it @ms milliseconds from then on
 * @blocked: whether it was; there is no post if not
 */
enum outcome vmm_run_and_post(struct vmm *vmm, unsigned int ms, bool *blocked);

#endif /* NESTED_VMM_H */
