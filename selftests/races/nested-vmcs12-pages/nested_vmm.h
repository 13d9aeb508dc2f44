/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A VMM for nested_vmcs12_pages_test: it runs a VM of one vCPU until L2 sleeps in
 * HLT, saves it, restores it, interrupts L2, and returns the outcome.
 */
#ifndef NESTED_VMM_H
#define NESTED_VMM_H

#include <stdbool.h>
#include <stdint.h>

#include "kvm_util.h"
#include "nested_guest.h"
#include "pi_desc.h"
#include "vcpu_state.h"

/* Host time: the limits for a vCPU to wake up, and to go to sleep. */
#define WAKE_MS		200
#define SETTLE_MS	20

/* Offsets in KVM's vmcs12, whose layout is ABI (VMCS12_REVISION 0x11e57ed0). */
#define VMCS12_VIRTUAL_APIC_PAGE_ADDR	96
#define VMCS12_APIC_ACCESS_ADDR		104
#define VMCS12_POSTED_INTR_DESC_ADDR	112
#define VMCS12_GUEST_CR3		432
#define VMCS12_VM_ENTRY_CONTROLS	780
#define VMCS12_SECONDARY_EXEC_CONTROL	804
#define VMCS12_GUEST_INTR_STATUS	980

struct vmm {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpu;
	struct vcpu_state *state;
	/* In the VM's memory, which is migrated as well. */
	struct l2_config *config;
	uint8_t *vapic;
	struct pi_desc *pi_desc;
};

/* The outcome of a bounded KVM_RUN. */
enum outcome {
	ASLEEP,		/* still halted when the time was up */
	WOKE,		/* L2 runs, and its handler ran once */
	WOKE_NO_IRQ,	/* L2 runs, but took no interrupt */
	REFUSED,	/* KVM_RUN reports that the state cannot be run */
	L1_RUNS,	/* L2 exited, and L1 goes on */
	OTHER,		/* anything else; printed */
};

/* outcome_name - the outcome in words */
const char *outcome_name(enum outcome outcome);

/* vmm_create - create a VM whose vCPU is to run @l1, of nested_guest.h */
void vmm_create(struct vmm *vmm, void *l1, bool posted_intr);

/* vmm_create_on_svm - create a VM whose vCPU is to run l1_halts_l2_on_svm(); it cannot be saved */
void vmm_create_on_svm(struct vmm *vmm);

/* vmm_create_without_l2 - create a VM whose vCPU is to run l1_halts(), and gets no VMX or SVM */
void vmm_create_without_l2(struct vmm *vmm);

/* vmm_run_to_sync - KVM_RUN up to that GUEST_SYNC(); fails the test otherwise */
void vmm_run_to_sync(struct vmm *vmm, uint64_t sync);

/* vmm_run_to_halt - KVM_RUN until L2 is halted, then leave KVM_RUN */
void vmm_run_to_halt(struct vmm *vmm);

/* vmm_run - KVM_RUN for at most @ms milliseconds; returns the outcome */
enum outcome vmm_run(struct vmm *vmm, unsigned int ms);

/* vmm_save - save the vCPU, which must be halted in L2, in vmm->state */
void vmm_save(struct vmm *vmm);

/* vmm_restore_new_vm - restore into a new VM with the same memory, as on a destination host */
void vmm_restore_new_vm(struct vmm *vmm);

/* vmm_restore_same_vm - restore into the vCPU that has run L2, as for a snapshot */
void vmm_restore_same_vm(struct vmm *vmm);

/* vmm_set_vmcs12 - write @size bytes of @value at @offset of the saved vmcs12 */
void vmm_set_vmcs12(struct vmm *vmm, unsigned int offset, const void *value,
		    size_t size);

/* vmm_unback_apic_access - give the saved vmcs12 an APIC-access page at UNBACKED_GPA */
void vmm_unback_apic_access(struct vmm *vmm);

/*
 * vmm_restore_without_pdptes - restore the vCPU once more, with PAE paging and CR3 at
 * UNBACKED_GPA; returns 0, or the errno if KVM_SET_NESTED_STATE refuses that
 */
int vmm_restore_without_pdptes(struct vmm *vmm);

/* vmm_pend_in_rvi - make @vector pending in RVI and VIRR of the saved L2 */
void vmm_pend_in_rvi(struct vmm *vmm, uint8_t vector);

/*
 * vmm_pend_notification - post an interrupt, and put its notification into the IRR
 * of L1's saved APIC
 */
void vmm_pend_notification(struct vmm *vmm);

/* vmm_set_priority - set L2's priority, VTPR and VPPR of its virtual APIC */
void vmm_set_priority(struct vmm *vmm, uint32_t priority);

/* vmm_set_service - set VPPR alone, as if L2 had an interrupt in service; 0: none */
void vmm_set_service(struct vmm *vmm, uint32_t priority);

/* vmm_raise_exception - KVM_SET_VCPU_EVENTS: #UD is pending, and is to be injected */
void vmm_raise_exception(struct vmm *vmm);

/* vmm_interrupt - send @vector to L1's APIC */
void vmm_interrupt(struct vmm *vmm, uint8_t vector);

/* vmm_nmi - send an NMI */
void vmm_nmi(struct vmm *vmm);

/* vmm_notify - send the notification vector, as an IOMMU or an IPI of L1 does */
void vmm_notify(struct vmm *vmm);

/* vmm_post_interrupt - post L2_VECTOR, and notify; vmm_post_vector - post @vector */
void vmm_post_interrupt(struct vmm *vmm);
void vmm_post_vector(struct vmm *vmm, uint8_t vector);

/* vmm_back_page - give UNBACKED_GPA a memslot, with zeroed memory */
void vmm_back_page(struct vmm *vmm);

/*
 * vmm_run_and_post - KVM_RUN, post an interrupt once the vCPU's thread is seen
 * asleep there, and let it run for @ms milliseconds from then on
 * @blocked: set to whether it was seen asleep; if not, nothing is posted
 */
enum outcome vmm_run_and_post(struct vmm *vmm, unsigned int ms, bool *blocked);

#endif /* NESTED_VMM_H */
