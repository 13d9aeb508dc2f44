/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A VM for many operations: two vCPUs, one of each worker, memslots of one page, an
 * interrupt controller in the kernel, and operations on all of them.  Each operation works
 * on the vCPU of the thread that it runs in, so that any two can be a pair.
 *
 * stage_busy.c: the VM.  busy_guest.c: its guest.  ops_*.c: the operations.
 */
#ifndef BUSY_H
#define BUSY_H

#include "processor.h"
#include "slot.h"
#include "sweep.h"

#define BUSY_VCPUS	2

/* Memslots: the guest's data, areas that KVM writes for the guest, a page of L1 that KVM maps. */
enum { DATA, PV, NESTED, BUSY_SLOTS };

#define BUSY_SLOT(nr)	(10 + (nr))
/* Below NESTED_TDP_SIZE, 2 GiB, which is all memory of L2. */
#define BUSY_GPA(nr)	(0x70000000ull + (nr) * 0x200000ull)
/* The address that a memslot is moved to. */
#define BUSY_ELSEWHERE	0x7e000000ull

/* The guest's action in a KVM_RUN. */
enum busy_command {
	DO_NOTHING,
	DO_TOUCH,		/* write to DATA */
	DO_OUT,			/* write to an I/O port */
	DO_IPI,			/* send an IPI to the other vCPU */
	DO_RDMSR,		/* read an MSR that may be filtered */
	DO_VMCALL,		/* L2 exits to L1, which enters L2 again */
};

#define BUSY_PORT	0x500
#define BUSY_MSR	0x1a0	/* MSR_IA32_MISC_ENABLE */

/* Vectors, from VECTOR_FIRST. */
#define VECTOR_FIRST	0x61
enum { IRQ_MSI, IRQ_ROUTED, IRQ_ROUTED_NEW, IRQ_IPI, IRQ_PIN, IRQ_PIN_NEW, IRQ_PROBE, NR_IRQS };

/* A GSI beyond the pins of the I/O APIC, and one of its pins. */
#define BUSY_GSI	24
#define BUSY_PIN	5

/* The words that guest and host share. */
struct busy_words {
	uint64_t command[BUSY_VCPUS];
	uint64_t irqs[NR_IRQS];
	uint64_t masked[NR_IRQS];	/* those taken with interrupts disabled */
};

struct busy {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpu[BUSY_VCPUS];
	struct slot slot[BUSY_SLOTS];
	struct busy_words *words;
	bool l2;			/* vCPU 0 runs an L2 */
	vm_vaddr_t l2_area;
	int eventfd;			/* for an irqfd or an ioeventfd */
	bool signals;			/* the probe writes to it */
	/* For each vCPU, while the operations ran, and afterwards. */
	struct {
		unsigned int exits;	/* exits to userspace without those of ucall() */
		int error;		/* errno, or 1000 and the exit reason */
	} seen[2][BUSY_VCPUS];
	int result[BUSY_VCPUS];		/* results of the operations: 0 or errno */
	int watch;			/* emulator_watch() */
	struct busy_words before;	/* a copy of @words after the operations */
	struct kvm_lapic_state lapic[BUSY_VCPUS];
	struct kvm_irqchip ioapic;
	int stage;			/* index into seen[] */
};

/* busy_self - the number of the calling worker, and of its vCPU */
int busy_self(struct sweep *sweep);

/* busy_vcpu - the vCPU of the calling worker */
struct kvm_vcpu *busy_vcpu(struct sweep *sweep);

/* busy_slot - the memslot that the calling worker's operation works on */
struct slot *busy_slot(struct sweep *sweep);

/* busy_done - note the result of the operation, 0 or an errno */
void busy_done(struct sweep *sweep, int error);

/* busy_ioctl - make an ioctl of the VM; busy_vcpu_ioctl - of the vCPU; both note the result */
void busy_ioctl(struct sweep *sweep, unsigned long cmd, void *arg);
void busy_vcpu_ioctl(struct sweep *sweep, unsigned long cmd, void *arg);

/* busy_set_msr - set an MSR of the calling worker's vCPU; 0, or EINVAL if KVM refuses */
int busy_set_msr(struct sweep *sweep, uint32_t msr, uint64_t value);

/* busy_run - KVM_RUN, as often as needed, until the guest has done @command, or fails */
void busy_run(struct sweep *sweep, enum busy_command command);

/* busy_touch - have the guest write to DATA; busy_take_page - make that a page fault */
void busy_touch(struct sweep *sweep);
void busy_take_page(struct sweep *sweep);

/* busy_msi - send an MSI with the vector of @irq to that vCPU; returns the ioctl's result */
int busy_msi(struct busy *busy, int vcpu, unsigned int irq);

/* emulator_watch - returns a file that notes interrupts which QEMU delivers twice, or -1 */
int emulator_watch(void);

/* emulator_repeated - returns how many interrupts QEMU repeated since the last call */
unsigned int emulator_repeated(int watch);

/* busy_route - route BUSY_GSI to an MSI with the vector of @irq for vCPU 0 */
int busy_route(struct busy *busy, unsigned int irq);

/* busy_guest_init - set up the guest in a new VM; busy_guest_code - the code of vCPU @nr */
void busy_guest_init(struct busy *busy);
void busy_guest_code(uint64_t nr, vm_vaddr_t l2_area);

extern const struct op busy_memory_ops[], busy_memslot_ops[], busy_irq_ops[];
extern const struct op busy_vcpu_ops[], busy_run_ops[], busy_vm_ops[], busy_l2_ops[];

#endif /* BUSY_H */
