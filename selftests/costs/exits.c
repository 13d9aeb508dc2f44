// SPDX-License-Identifier: GPL-2.0-only
/*
 * VM-exits, the life of a vCPU, and its sleep; see costs.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "apic.h"
#include "costs.h"
#include "vcpu_run.h"

#define PORT		0x80
#define VECTOR		0x55

/* Fewer rounds for the first KVM_RUN of a vCPU, each of which needs a new VM. */
#define NEW_ROUNDS	128

struct sample guest_sample;

static volatile uint64_t guest_irqs;

void vm_sample(struct kvm_vm *vm, struct kvm_vcpu *vcpu, struct sample *sample)
{
	vcpu_run_until(vcpu, UCALL_DONE);
	memcpy(sample, addr_gva2hva(vm, (vm_vaddr_t)&guest_sample), sizeof(*sample));
}

void run_to_io(struct kvm_vcpu *vcpu)
{
	TEST_ASSERT(!ioctl(vcpu->fd, KVM_RUN, NULL) &&
		    vcpu->run->exit_reason == KVM_EXIT_IO,
		    "exit reason %u (%s)", vcpu->run->exit_reason,
		    exit_reason_str(vcpu->run->exit_reason));
}

void guest_exits_to_user(void)
{
	for (;;)
		asm volatile("outb %%al, %0" :: "i"(PORT));
}

const char *measure_nothing(struct sample *sample)
{
	int i;

	for (i = 0; i < ROUNDS; i++)
		sample_add(sample, rdtsc());
	return NULL;
}

void guest_rdmsr_samples(void)
{
	uint64_t begin;
	int i;

	for (i = 0; i < ROUNDS; i++) {
		begin = rdtsc();
		rdmsr(MSR_PLATFORM_INFO);
		sample_add(&guest_sample, begin);
	}
}

static void guest_exits(void)
{
	guest_rdmsr_samples();
	GUEST_DONE();
}

const char *measure_exit(struct sample *sample)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm;

	vm = vm_create_with_one_vcpu(&vcpu, guest_exits);
	vm_sample(vm, vcpu, sample);
	return NULL;
}

/* One round is a whole KVM_RUN. */
const char *measure_exit_to_user(struct sample *sample)
{
	struct kvm_vcpu *vcpu;
	uint64_t begin;
	int i;

	vm_create_with_one_vcpu(&vcpu, guest_exits_to_user);
	for (i = 0; i < ROUNDS; i++) {
		begin = rdtsc();
		ioctl(vcpu->fd, KVM_RUN, NULL);
		sample_add(sample, begin);
		TEST_ASSERT(vcpu->run->exit_reason == KVM_EXIT_IO, "exit reason %u",
			    vcpu->run->exit_reason);
	}
	return NULL;
}

static void guest_irq_handler(struct ex_regs *regs)
{
	guest_irqs++;
	x2apic_write_reg(APIC_EOI, 0);
}

static void guest_halts(void)
{
	x2apic_enable();
	for (;;)
		asm volatile("sti; hlt; cli");
}

static void *run_for_ever(void *arg)
{
	struct kvm_vcpu *vcpu = arg;

	ioctl(vcpu->fd, KVM_RUN, NULL);
	/* _exit() ends the other thread, too. */
	fprintf(stderr, "KVM_RUN ends: exit reason %u\n", vcpu->run->exit_reason);
	_exit(1);
}

/*
 * On one CPU, the vCPU's thread has priority over this one: it runs as soon as it is woken,
 * until it blocks again.  One round is KVM_SIGNAL_MSI with the wake-up, the interrupt, the HLT
 * and two context switches.
 */
const char *measure_block_and_wake(struct sample *sample)
{
	struct sched_param first = { .sched_priority = 2 }, second = { .sched_priority = 1 };
	struct kvm_msi msi = { .address_lo = 0xfee00000, .data = VECTOR };
	volatile uint64_t *irqs;
	struct kvm_vcpu *vcpu;
	pthread_attr_t attr;
	pthread_t thread;
	struct kvm_vm *vm;
	uint64_t begin;
	int i, n;

	if (sysconf(_SC_NPROCESSORS_ONLN) != 1)
		return "needs a host with one CPU, to know which thread runs when";
	if (sched_setscheduler(0, SCHED_FIFO, &second))
		return "needs SCHED_FIFO: be root";
	vm = vm_create_with_one_vcpu(&vcpu, guest_halts);
	vm_init_descriptor_tables(vm);
	vcpu_init_descriptor_tables(vcpu);
	vm_install_exception_handler(vm, VECTOR, guest_irq_handler);
	irqs = addr_gva2hva(vm, (vm_vaddr_t)&guest_irqs);

	pthread_attr_init(&attr);
	pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED);
	pthread_attr_setschedpolicy(&attr, SCHED_FIFO);
	pthread_attr_setschedparam(&attr, &first);
	TEST_ASSERT(!pthread_create(&thread, &attr, run_for_ever, vcpu), "pthread_create");
	for (i = 0; i < ROUNDS; i++) {
		begin = rdtsc();
		n = ioctl(vm->fd, KVM_SIGNAL_MSI, &msi);
		sample_add(sample, begin);
		TEST_ASSERT(n > 0 && *irqs == i + 1,
			    "KVM_SIGNAL_MSI: %d; %lu interrupts of %d came", n, *irqs, i + 1);
	}
	return NULL;
}

/*
 * Each round creates the second vCPU of a new VM: the cost may depend on the number of vCPUs,
 * and for the first one KVM changes memslots, on Intel for the APIC access page, and waits for
 * SRCU, which takes time but is no work of the path.
 *
 * The VMs are kept.  vmalloc(), which allocates the vCPU's FPU state, takes the first hole that
 * fits, and loading the modules leaves different holes in each host: if VMs were freed, each
 * round would get the same hole, and the result would depend on the host.
 */
const char *measure_create_vcpu(struct sample *sample)
{
	int kvm, vm, first, vcpu, i;
	uint64_t begin;

	kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	for (i = 0; i < ROUNDS; i++) {
		vm = ioctl(kvm, KVM_CREATE_VM, 0);
		TEST_ASSERT(vm >= 0 && !ioctl(vm, KVM_CREATE_IRQCHIP, 0), "VM: %s",
			    strerror(errno));
		first = ioctl(vm, KVM_CREATE_VCPU, 0);
		begin = rdtsc();
		vcpu = ioctl(vm, KVM_CREATE_VCPU, 1);
		sample_add(sample, begin);
		TEST_ASSERT(first >= 0 && vcpu >= 0, "KVM_CREATE_VCPU: %s", strerror(errno));
	}
	return NULL;
}

const char *measure_first_run(struct sample *sample)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm;
	uint64_t begin;
	int i;

	for (i = 0; i < NEW_ROUNDS; i++) {
		vm = vm_create_with_one_vcpu(&vcpu, guest_exits_to_user);
		begin = rdtsc();
		ioctl(vcpu->fd, KVM_RUN, NULL);
		sample_add(sample, begin);
		TEST_ASSERT(vcpu->run->exit_reason == KVM_EXIT_IO, "exit reason %u",
			    vcpu->run->exit_reason);
		kvm_vm_free(vm);
	}
	return NULL;
}
