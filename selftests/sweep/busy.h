/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A VM in which much can be done: two vCPUs, a worker's each, memslots of one page, an
 * interrupt controller in the kernel, and operations on all of them.  Of two operations
 * each works on the vCPU of the thread that it runs in, so that any two can be a pair.
 *
 * stage_busy.c: the VM.  busy_guest.c: what its guest does.  ops_*.c: the operations.
 */
#ifndef BUSY_H
#define BUSY_H

#include "processor.h"
#include "slot.h"
#include "sweep.h"

#define BUSY_VCPUS	2

/* Memslots: the guest's data, what KVM writes for the guest, and what L1 gives to KVM. */
enum { DATA, PV, NESTED, BUSY_SLOTS };

#define BUSY_SLOT(nr)	(10 + (nr))
/* Below 2 GiB, all that L2 has. */
#define BUSY_GPA(nr)	(0x70000000ull + (nr) * 0x200000ull)
/* Where a memslot is moved to. */
#define BUSY_ELSEWHERE	0x7e000000ull

/* What the guest does in a KVM_RUN. */
enum busy_command {
	DO_NOTHING,
	DO_TOUCH,		/* write to DATA */
	DO_OUT,			/* to an I/O port */
	DO_IPI,			/* to the other vCPU */
	DO_RDMSR,		/* of an MSR that is filtered, or not */
	DO_VMCALL,		/* of L2: L1 gets it, and enters L2 again */
};

#define BUSY_PORT	0x500
#define BUSY_MSR	0x1a0	/* MSR_IA32_MISC_ENABLE */

/* Vectors, from VECTOR_FIRST. */
#define VECTOR_FIRST	0x61
enum { IRQ_MSI, IRQ_ROUTED, IRQ_ROUTED_NEW, IRQ_IPI, IRQ_PIN, IRQ_PIN_NEW, IRQ_PROBE, NR_IRQS };

/* Beyond the pins of the I/O APIC. */
#define BUSY_GSI	24
#define BUSY_PIN	5

/* What guest and host share. */
struct busy_words {
	uint64_t command[BUSY_VCPUS];
	uint64_t irqs[NR_IRQS];
	uint64_t masked[NR_IRQS];	/* of these, with interrupts off */
};

struct busy {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpu[BUSY_VCPUS];
	struct slot slot[BUSY_SLOTS];
	struct busy_words *words;
	bool l2;			/* vCPU 0 runs an L2 */
	vm_vaddr_t l2_area;
	int eventfd;			/* of an irqfd or an ioeventfd */
	bool signals;			/* it is used afterwards */
	/* Of each vCPU, while the operations ran, and afterwards. */
	struct {
		unsigned int exits;	/* to userspace, but for those of ucall() */
		int error;		/* errno, or 1000 and the exit reason */
	} seen[2][BUSY_VCPUS];
	int result[BUSY_VCPUS];		/* of each operation: 0 or errno */
	/* Of each vCPU, KVM_GET_STATS_FD, and where it counts what it injects; see repeats(). */
	struct {
		int fd;
		off_t offset;
	} injections[BUSY_VCPUS];
	uint64_t injected;		/* when the operations began */
	struct busy_words before;	/* what was taken while they ran */
	struct kvm_lapic_state lapic[BUSY_VCPUS];
	struct kvm_irqchip ioapic;
	int stage;			/* of seen[]: 0, and 1 afterwards */
};

/* busy_of - of the calling thread, a worker: its number, and that of its vCPU */
int busy_self(struct sweep *sweep);

/* busy_vcpu - the vCPU of the calling worker */
struct kvm_vcpu *busy_vcpu(struct sweep *sweep);

/* busy_slot - the memslot that the operation of the calling worker is about */
struct slot *busy_slot(struct sweep *sweep);

/* busy_done - note what came of the operation: 0 or an error */
void busy_done(struct sweep *sweep, int error);

/* busy_ioctl - of the VM; busy_vcpu_ioctl: of its vCPU; and note what came of it */
void busy_ioctl(struct sweep *sweep, unsigned long cmd, void *arg);
void busy_vcpu_ioctl(struct sweep *sweep, unsigned long cmd, void *arg);

/* busy_set_msr - in the calling worker's vCPU; returns 0, or EINVAL if KVM takes it not */
int busy_set_msr(struct sweep *sweep, uint32_t msr, uint64_t value);

/* busy_run - one KVM_RUN, or some, until the guest has done @command, or cannot */
void busy_run(struct sweep *sweep, enum busy_command command);

/* busy_touch - have the guest write to DATA; busy_take_page: so that this is a page fault */
void busy_touch(struct sweep *sweep);
void busy_take_page(struct sweep *sweep);

/* busy_msi - a message for @vector of that vCPU; returns what the ioctl does */
int busy_msi(struct busy *busy, int vcpu, unsigned int irq);

/* busy_route - BUSY_GSI becomes a message for that vector of vCPU 0 */
int busy_route(struct busy *busy, unsigned int irq);

/* busy_guest_init - in a new VM; busy_guest_code: of a vCPU, with its number */
void busy_guest_init(struct busy *busy);
void busy_guest_code(uint64_t nr, vm_vaddr_t l2_area);

extern const struct op busy_memory_ops[], busy_memslot_ops[], busy_irq_ops[];
extern const struct op busy_vcpu_ops[], busy_run_ops[], busy_vm_ops[], busy_l2_ops[];

#endif /* BUSY_H */
