/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A VM whose vCPUs tell how they take their interrupts, and the inhibits of APICv
 * that userspace can toggle through one of them.
 *
 * KVM counts the interrupts that it injects by software (irq_injections), which is all
 * of them where APICv is inhibited and none where the CPU delivers them.
 */
#ifndef APICV_VM_H
#define APICV_VM_H

#include "kvm_util.h"

/* The vCPU whose ioctls toggle the inhibit, a witness, and the one in question. */
enum { TOGGLER, WITNESS, RACED, NR_VCPUS };

/* Enough to tell "all" from "none"; a stray timer interrupt changes nothing. */
#define APICV_NR_IPIS		20
#define APICV_NR_AUTOEOI	2

struct apicv_vm {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpu[NR_VCPUS];
};

/* Makes the VM, with all vCPUs but RACED. */
void apicv_vm_create(struct apicv_vm *vm);

/*
 * The same with the I/O APIC and the PIC in userspace, as some VMMs have them: KVM does
 * not sync the PIR then when a vCPU looks at what it has to exit for.
 */
void apicv_vm_create_split(struct apicv_vm *vm);

/* The same without a vCPU. */
void apicv_vm_create_split_empty(struct apicv_vm *vm);

void apicv_vm_add_vcpu(struct apicv_vm *vm, int id);

/* L1 is in x2APIC mode, not xAPIC. */
#define APICV_L1_X2APIC		BIT(0)
/*
 * L1 uses virtual-interrupt delivery, and has one interrupt pending for L2, which
 * L2 does not take before its first sync.
 */
#define APICV_L2_VID		BIT(1)
/* L1 has an interrupt in service, as apicv_vm_hold() makes it. */
#define APICV_L1_HOLDS		BIT(2)

/*
 * The same, but the vCPU starts in L2: apicv_vm_run_l2() runs it up to L2's next
 * sync, of which there are two, and says how many interrupts of L1's giving L2 has
 * had.  After these L2 exits to L1, which does as other vCPUs do.
 */
void apicv_vm_add_nested_vcpu(struct apicv_vm *vm, int id, unsigned int flags);

#define APICV_L2_DIED		UINT64_MAX	/* and stdout says of what */

uint64_t apicv_vm_run_l2(struct apicv_vm *vm, int id);

/* What became of APICV_NR_IPIS interrupts that the vCPU sent to itself. */
struct apicv_irqs {
	uint64_t came;
	uint64_t injected;	/* by KVM, in software */
};

struct apicv_irqs apicv_vm_send_ipis(struct apicv_vm *vm, int id);

/* Does the CPU deliver them?  Fails the case if one of them did not come. */
bool apicv_vm_in_use(struct apicv_vm *vm, int id);

/*
 * NULL if the CPU delivers interrupts in a VM as it was created, or why not: AVIC does
 * not where the guest may use x2APIC or SVM, whatever kvm_amd's parameter says.
 */
const char *apicv_vm_unused(struct apicv_vm *vm);

/* How many of APICV_NR_AUTOEOI interrupts came, for which the guest does no EOI. */
uint64_t apicv_vm_send_autoeoi(struct apicv_vm *vm, int id);

/*
 * An interrupt above all others, whose handler does not end it: the vCPU sends it
 * to itself, or userspace says so in the APIC's state.
 *
 * apicv_vm_hold() and apicv_vm_eoi(), which makes the guest end what is in service,
 * return whether that interrupt is in service then, by the ISR as the guest reads it.
 */
bool apicv_vm_hold(struct apicv_vm *vm, int id);
void apicv_vm_set_held(struct apicv_vm *vm, int id);
bool apicv_vm_eoi(struct apicv_vm *vm, int id);

/*
 * An interrupt from userspace, to a vCPU that has not run yet: its APIC is enabled
 * first, which is the guest's part otherwise.
 */
void apicv_vm_signal_new(struct apicv_vm *vm, int id);

/* How many interrupts has the vCPU taken, ever?  It runs for that. */
uint64_t apicv_vm_nr_taken(struct apicv_vm *vm, int id);

/* One way for userspace to toggle an inhibit of the whole VM. */
struct apicv_inhibit {
	const char *name;
	void (*set)(struct kvm_vcpu *vcpu, bool on);
};

/* SynIC with an AutoEOI SINT; 5.10 inhibits APICv for the first already. */
extern const struct apicv_inhibit apicv_autoeoi;

/* Needs apicv_blockirq_missing() to return NULL; otherwise it says why. */
extern const struct apicv_inhibit apicv_blockirq;
const char *apicv_blockirq_missing(void);

#endif /* APICV_VM_H */
