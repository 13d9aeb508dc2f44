/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A VM whose vCPUs report how they take their interrupts, and the APICv inhibits
 * that userspace can toggle through one of them.
 *
 * KVM counts the interrupts that it injects in software (irq_injections): all of them
 * if APICv is inhibited, none if the CPU delivers them.
 */
#ifndef APICV_VM_H
#define APICV_VM_H

#include "kvm_util.h"

/* The vCPU whose ioctls toggle the inhibit, a witness, and the vCPU under test. */
enum { TOGGLER, WITNESS, RACED, NR_VCPUS };

/* Enough to tell "all" from "none"; a stray timer interrupt changes nothing. */
#define APICV_NR_IPIS		20
#define APICV_NR_AUTOEOI	2

struct apicv_vm {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpu[NR_VCPUS];
};

/* Creates the VM, with all vCPUs but RACED. */
void apicv_vm_create(struct apicv_vm *vm);

/*
 * The same with the I/O APIC and the PIC in userspace, as some VMMs have them: KVM then
 * does not sync the PIR when it computes a vCPU's EOI exit bitmap.
 */
void apicv_vm_create_split(struct apicv_vm *vm);

/*
 * The same as apicv_vm_create(); returns the address of the APIC access page, or NULL if it is not
 * in /proc/self/maps.
 */
void *apicv_vm_create_with_page(struct apicv_vm *vm);

/* The split one without a vCPU. */
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
 * L2 only sends L1 an interrupt. The exit acknowledges it, so that L1 has it in service, as with
 * APICV_L1_HOLDS. There is no sync in L2.
 */
#define APICV_L2_INTERRUPTS	BIT(3)
/* L2 ends the interrupt that L1 has in service, between its syncs. */
#define APICV_L2_ENDS		BIT(6)

/* For the test: userspace takes the vCPU out of L2 by apicv_vm_leave_l2(). */
#define APICV_L2_LEFT		BIT(4)
/* For the test: the host frees the APIC access page meanwhile. */
#define APICV_PAGE_TAKEN	BIT(5)

/*
 * The same, but the vCPU starts in L2: apicv_vm_run_l2() runs it up to L2's next
 * sync, of which there are two, and returns the number of interrupts that L1 has
 * injected into L2.  After its syncs L2 exits to L1, which then takes commands like
 * the other vCPUs.
 */
void apicv_vm_add_nested_vcpu(struct apicv_vm *vm, int id, unsigned int flags);

#define APICV_L2_DIED		UINT64_MAX	/* KVM_RUN failed; the reason is on stdout */

uint64_t apicv_vm_run_l2(struct apicv_vm *vm, int id);

/* Takes the vCPU out of L2 at one of its syncs; L1 then takes commands. */
void apicv_vm_leave_l2(struct apicv_vm *vm, int id);

/* The outcome of APICV_NR_IPIS interrupts that the vCPU sent to itself. */
struct apicv_irqs {
	uint64_t came;		/* the guest took them */
	uint64_t injected;	/* KVM injected them in software */
};

struct apicv_irqs apicv_vm_send_ipis(struct apicv_vm *vm, int id);

/* Does the CPU deliver interrupts?  Sends some, and fails the case if one does not arrive. */
bool apicv_vm_in_use(struct apicv_vm *vm, int id);

/*
 * NULL if the CPU delivers interrupts in a new VM, or the reason why not: AVIC does not
 * if the guest may use x2APIC or SVM, even with the parameter avic of kvm_amd set.
 */
const char *apicv_vm_unused(struct apicv_vm *vm);

/* How many of APICV_NR_AUTOEOI interrupts arrived, for which the guest sends no EOI. */
uint64_t apicv_vm_send_autoeoi(struct apicv_vm *vm, int id);

/*
 * An interrupt of the highest priority, whose handler sends no EOI: with apicv_vm_hold()
 * the vCPU sends it to itself, and with apicv_vm_set_held() userspace puts it in service
 * by KVM_SET_LAPIC.  apicv_vm_eoi() makes the guest send an EOI.
 *
 * apicv_vm_hold() and apicv_vm_eoi() return whether the interrupt is in service then, by
 * the ISR as the guest reads it.
 */
bool apicv_vm_hold(struct apicv_vm *vm, int id);
/* The same for a second interrupt, of a higher class; returns whether the first is in service. */
bool apicv_vm_hold_upper(struct apicv_vm *vm, int id);
void apicv_vm_set_held(struct apicv_vm *vm, int id);
/* Userspace takes it out of service by KVM_SET_LAPIC. */
void apicv_vm_clear_held(struct apicv_vm *vm, int id);
bool apicv_vm_eoi(struct apicv_vm *vm, int id);

/*
 * Sends an interrupt from userspace to a vCPU that has not run yet, and first enables its
 * APIC, which the guest does otherwise.
 */
void apicv_vm_signal_new(struct apicv_vm *vm, int id);

/*
 * Restores the APIC of a vCPU that has not run yet, as enabled, and the I/O APIC, with a
 * level-triggered pin to that vCPU.  apicv_vm_pulse_pin() raises and lowers the pin.
 */
void apicv_vm_restore_pin(struct apicv_vm *vm, int id);
void apicv_vm_pulse_pin(struct apicv_vm *vm);

/* Sends INIT to the vCPU, then restores its registers; the guest enables its APIC again. */
void apicv_vm_init(struct apicv_vm *vm, int id);

/*
 * The guest disables its APIC with an interrupt pending, and enables it again; returns how many
 * interrupts came while it was disabled.
 */
uint64_t apicv_vm_disable(struct apicv_vm *vm, int id);

/* Sends an interrupt from userspace, and has KVM take it from the PIR, by KVM_GET_LAPIC. */
void apicv_vm_signal(struct apicv_vm *vm, int id);

/* The same; then runs the vCPU as halted: does the interrupt wake it? */
bool apicv_vm_wakes(struct apicv_vm *vm, int id);

/* Runs the vCPU; returns how many interrupts it has taken since its creation. */
uint64_t apicv_vm_nr_taken(struct apicv_vm *vm, int id);

/* One way for userspace to toggle an inhibit of the whole VM. */
struct apicv_inhibit {
	const char *name;
	void (*set)(struct kvm_vcpu *vcpu, bool on);
};

/* SynIC with an AutoEOI SINT; 5.10 inhibits APICv for SynIC as such. */
extern const struct apicv_inhibit apicv_autoeoi;

/* KVM_GUESTDBG_BLOCKIRQ, if apicv_blockirq_missing() returns NULL and not a reason. */
extern const struct apicv_inhibit apicv_blockirq;
const char *apicv_blockirq_missing(void);

#endif /* APICV_VM_H */
