// SPDX-License-Identifier: GPL-2.0-only
/*
 * A VM with APICv in use, to which vCPUs are added, and an inhibit of APICv that
 * userspace raises through one of its vCPUs: by KVM_GUESTDBG_BLOCKIRQ, or, on kernels
 * that do not know that, up to 5.14, with Hyper-V's SynIC, for good.  A vCPU that missed the
 * latter takes an interrupt with AutoEOI once, as it stays in service.
 */
#include <stdlib.h>
#include <string.h>

#include "apic.h"
#include "autoeoi.h"
#include "hostfacts.h"
#include "processor.h"
#include "sweep.h"
#include "vcpu_run.h"

/* The operations' numbers. */
enum { CREATOR, RAISER };

/* The vCPUs of every VM: one whose ioctl raises the inhibit, and one that never runs. */
enum { RAISING, TEMPLATE, FIRST_NEW };

/* Create a new VM after so many vCPUs: each one slows down loops over all of them. */
#define MAX_VCPUS	100

#define VECTOR		0x65
#define NR_IPIS		4
#define IRQ_SPINS	20000

struct apicv {
	struct kvm_vm *vm;
	struct kvm_vcpu *raising, *new;
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	unsigned int next;
	uint64_t came;
};

static volatile uint64_t irqs;
/* The new vCPU has AutoEOI for VECTOR, so that the guest does not write EOI. */
static bool autoeoi;

static void irq_handler(struct ex_regs *regs)
{
	irqs++;
	if (!autoeoi)
		xapic_write_reg(APIC_EOI, 0);
}

static void guest_code(void)
{
	unsigned int i, spins;
	uint64_t before;

	xapic_enable();
	asm volatile("sti");
	for (;;) {
		before = irqs;
		for (i = 0; i < NR_IPIS; i++) {
			xapic_write_reg(APIC_ICR, APIC_DEST_SELF | APIC_INT_ASSERT |
					APIC_DM_FIXED | VECTOR);
			for (spins = 0; spins < IRQ_SPINS; spins++) {
				if (irqs > before + i)
					break;
				asm volatile("pause");
			}
		}
		GUEST_SYNC_ARGS(0, irqs - before, 0, 0, 0);
	}
}

static const char *missing(void)
{
	const char *why = hostfacts_need_apicv();

	if (!why && !(kvm_check_cap(KVM_CAP_SET_GUEST_DEBUG2) &
		      KVM_GUESTDBG_BLOCKIRQ))
		why = "this kernel has no KVM_GUESTDBG_BLOCKIRQ";
	return why;
}

static const char *missing_synic(void)
{
	const char *why = hostfacts_need_apicv();

	if (!why && !kvm_check_cap(KVM_CAP_HYPERV_SYNIC2))
		why = "this kernel has no KVM_CAP_HYPERV_SYNIC2";
	return why;
}

static void set_inhibit(struct apicv *apicv, bool on)
{
	struct kvm_guest_debug debug = {
		.control = on ? KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_BLOCKIRQ : 0,
	};

	vcpu_guest_debug_set(apicv->raising, &debug);
}

static void raise_inhibit(struct sweep *sweep)
{
	set_inhibit(sweep->stage, true);
}

static void activate_synic(struct sweep *sweep)
{
	struct apicv *apicv = sweep->stage;

	vcpu_enable_cap(apicv->raising, KVM_CAP_HYPERV_SYNIC2, 0);
}

static void drop_inhibit(struct sweep *sweep)
{
	set_inhibit(sweep->stage, false);
}

static void create_vcpu(struct sweep *sweep)
{
	struct apicv *apicv = sweep->stage;

	apicv->new = __vm_vcpu_add(apicv->vm, apicv->next++);
}

static void create(struct sweep *sweep)
{
	struct apicv *apicv = calloc(1, sizeof(*apicv));
	struct kvm_vcpu *template;

	TEST_ASSERT(apicv, "no memory");
	sweep->stage = apicv;
	apicv->vm = vm_create(FIRST_NEW);
	sync_global_to_guest(apicv->vm, autoeoi);
	vm_init_descriptor_tables(apicv->vm);
	vm_install_exception_handler(apicv->vm, VECTOR, irq_handler);
	virt_pg_map(apicv->vm, APIC_DEFAULT_GPA, APIC_DEFAULT_GPA);
	apicv->raising = vm_vcpu_add(apicv->vm, RAISING, guest_code);
	vcpu_init_descriptor_tables(apicv->raising);
	template = vm_vcpu_add(apicv->vm, TEMPLATE, guest_code);
	vcpu_init_descriptor_tables(template);
	vcpu_regs_get(template, &apicv->regs);
	vcpu_sregs_get(template, &apicv->sregs);
	apicv->next = FIRST_NEW;
}

static unsigned int destroy(struct sweep *sweep)
{
	struct apicv *apicv = sweep->stage;

	kvm_vm_free(apicv->vm);
	free(apicv);
	sweep->stage = NULL;
	return 0;
}

static void fresh(struct sweep *sweep)
{
	struct apicv *apicv = sweep->stage;

	if (apicv->next >= MAX_VCPUS) {
		destroy(sweep);
		create(sweep);
		apicv = sweep->stage;
	}
	worker_call(&sweep->worker[RAISER], drop_inhibit);
	apicv->new = NULL;
}

static void create_synic(struct sweep *sweep)
{
	autoeoi = true;
	create(sweep);
}

static void fresh_synic(struct sweep *sweep)
{
	destroy(sweep);
	create_synic(sweep);
	sweep->vms++;
}

/* Runs the new vCPU, which takes interrupts. */
static void run_new(struct sweep *sweep)
{
	struct apicv *apicv = sweep->stage;
	struct kvm_vcpu *vcpu = apicv->new;
	struct kvm_mp_state mp_state = { .mp_state = KVM_MP_STATE_RUNNABLE };

	vcpu_init_cpuid(vcpu, kvm_get_supported_cpuid());
	vcpu_sregs_set(vcpu, &apicv->sregs);
	vcpu_regs_set(vcpu, &apicv->regs);
	vcpu_mp_state_set(vcpu, &mp_state);
	if (autoeoi)
		autoeoi_set(vcpu, VECTOR, true);
	apicv->came = vcpu_run_until(vcpu, UCALL_SYNC).args[2];
}

static void probe(struct sweep *sweep)
{
	worker_call(&sweep->worker[CREATOR], run_new);
}

static void observe_new(struct sweep *sweep)
{
	struct apicv *apicv = sweep->stage;

	outcome_add(&sweep->outcome, "interrupts that the new vCPU took", 0,
		    apicv->came);
	outcome_add_vcpu(&sweep->outcome, apicv->new);
}

static void observe_raising(struct sweep *sweep)
{
	struct apicv *apicv = sweep->stage;

	outcome_add_vcpu(&sweep->outcome, apicv->raising);
}

static void observe(struct sweep *sweep)
{
	worker_call(&sweep->worker[CREATOR], observe_new);
	worker_call(&sweep->worker[RAISER], observe_raising);
}

static const struct stage stage_apicv = {
	.name = "a VM that gets vCPUs, with APICv", .missing = missing,
	.create = create, .destroy = destroy,
	.fresh = fresh, .probe = probe, .observe = observe,
};

static const struct stage stage_apicv_synic = {
	.name = "a VM that gets vCPUs, with APICv, until there is a SynIC",
	.missing = missing_synic, .fresh_is_new = true,
	.create = create_synic, .destroy = destroy,
	.fresh = fresh_synic, .probe = probe, .observe = observe,
};

static const struct op op_create = {
	.name = "KVM_CREATE_VCPU", .what = "creates a vCPU", .run = create_vcpu,
};

static const struct op op_raise = {
	.name = "KVM_SET_GUEST_DEBUG", .what = "raises an inhibit of APICv",
	.run = raise_inhibit,
};

static const struct op op_synic = {
	.name = "KVM_CAP_HYPERV_SYNIC2", .what = "raises an inhibit of APICv",
	.run = activate_synic,
};

const struct pair apicv_pairs[] = {
	{ "apicv-vcpu-creation", &stage_apicv, { &op_create, &op_raise } },
	{ "apicv-vcpu-creation", &stage_apicv_synic, { &op_create, &op_synic } },
	{}
};
