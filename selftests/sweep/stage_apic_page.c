// SPDX-License-Identifier: GPL-2.0-only
/*
 * A VM whose guest uses its xAPIC, and the APIC access page, which userspace takes away
 * as the host does under memory pressure.
 */
#define _GNU_SOURCE /* vmsplice() */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "apic.h"
#include "apic_page.h"
#include "pages.h"
#include "processor.h"
#include "sweep.h"
#include "vcpu_run.h"

/* The operations' numbers. */
enum { TAKER, VCPU };

/* Not 0, which the guest would read as the ID from plain memory. */
#define VCPU_ID		1

#define VECTOR		0x65
/* How long the guest spins for an interrupt that it sent to itself. */
#define IRQ_SPINS	20000

struct apic_page {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpu;
	void *page;		/* KVM's mapping of the page */
	int kept[2];		/* a pipe with a reference to the page that will be taken away */
	struct pages taken;	/* the pages taken away, which ought to be free */
	struct ucall seen;	/* the guest's last ucall */
};

enum { SYNC_NOTHING, SYNC_LOOKED };

static volatile uint64_t guest_irqs;

static void irq_handler(struct ex_regs *regs)
{
	guest_irqs++;
	xapic_write_reg(APIC_EOI, 0);
}

/*
 * Exits twice per round: at first without an access to its APIC, which would make the vCPU
 * wait if the page is being taken away, then with the values of its APIC.
 */
static void guest_code(void)
{
	unsigned int spins;
	uint64_t before;

	xapic_enable();
	asm volatile("sti");
	for (;;) {
		GUEST_SYNC(SYNC_NOTHING);
		before = guest_irqs;
		xapic_write_reg(APIC_ICR, APIC_DEST_SELF | APIC_INT_ASSERT |
				APIC_DM_FIXED | VECTOR);
		for (spins = 0; spins < IRQ_SPINS && guest_irqs == before; spins++)
			asm volatile("pause");
		GUEST_SYNC_ARGS(SYNC_LOOKED, xapic_read_reg(APIC_LVR),
				xapic_read_reg(APIC_ID), guest_irqs - before, 0);
	}
}

static void drop_kept(struct apic_page *stage)
{
	close(stage->kept[0]);
	close(stage->kept[1]);
	stage->kept[0] = -1;
	stage->kept[1] = -1;
}

/*
 * A reference keeps the old page allocated, or else the new page might well be the same
 * one.
 */
static void keep(struct apic_page *stage)
{
	struct iovec iov = { .iov_base = stage->page, .iov_len = PAGE_BYTES };

	drop_kept(stage);
	TEST_ASSERT(!pipe(stage->kept), "pipe: %s", strerror(errno));
	TEST_ASSERT(vmsplice(stage->kept[1], &iov, 1, 0) == PAGE_BYTES, "vmsplice: %s",
		    strerror(errno));
	pages_note(&stage->taken, stage->page);
}

static void take(struct sweep *sweep)
{
	struct apic_page *stage = sweep->stage;

	TEST_ASSERT(!madvise(stage->page, PAGE_BYTES, MADV_REMOVE), "MADV_REMOVE: %s",
		    strerror(errno));
}

static void run_to(struct apic_page *stage, uint64_t sync)
{
	stage->seen = vcpu_run_until(stage->vcpu, UCALL_SYNC);
	TEST_ASSERT(stage->seen.args[1] == sync, "the guest is elsewhere: sync %lu",
		    stage->seen.args[1]);
}

static void enter(struct sweep *sweep)
{
	run_to(sweep->stage, SYNC_NOTHING);
}

static void look(struct sweep *sweep)
{
	run_to(sweep->stage, SYNC_LOOKED);
}

static void create(struct sweep *sweep)
{
	struct apic_page *stage = calloc(1, sizeof(*stage));

	TEST_ASSERT(stage, "no memory");
	sweep->stage = stage;
	stage->kept[0] = -1;
	stage->kept[1] = -1;
	stage->vm = vm_create(1);
	vm_init_descriptor_tables(stage->vm);
	vm_install_exception_handler(stage->vm, VECTOR, irq_handler);
	virt_pg_map(stage->vm, APIC_DEFAULT_GPA, APIC_DEFAULT_GPA);
	stage->page = apic_page_add_vcpu(stage->vm, VCPU_ID, guest_code, &stage->vcpu);
	TEST_ASSERT(stage->page, "the APIC access page is not in /proc/self/maps");
	vcpu_init_descriptor_tables(stage->vcpu);
}

static unsigned int destroy(struct sweep *sweep)
{
	struct apic_page *stage = sweep->stage;
	unsigned int referred;

	drop_kept(stage);
	kvm_vm_free(stage->vm);
	referred = pages_referred(&stage->taken);
	if (referred)
		printf("# %u of %u pages that were taken away are still referred to\n",
		       referred, stage->taken.nr);
	free(stage);
	sweep->stage = NULL;
	return referred;
}

/* Has the guest access the page, so that it is mapped; its next exit is SYNC_NOTHING. */
static void use_page(struct sweep *sweep)
{
	struct apic_page *stage = sweep->stage;

	if (stage->seen.cmd != UCALL_SYNC || stage->seen.args[1] != SYNC_NOTHING)
		enter(sweep);
	look(sweep);
}

/* If the vCPU is held, the page is taken away before, so that the vCPU looks it up. */
static void fresh(struct sweep *sweep)
{
	struct apic_page *stage = sweep->stage;

	worker_call(&sweep->worker[VCPU], use_page);
	keep(stage);
	if (sweep->first == VCPU)
		take(sweep);
}

static void probe(struct sweep *sweep)
{
	worker_call(&sweep->worker[VCPU], look);
}

static void observe_vcpu(struct sweep *sweep)
{
	struct apic_page *stage = sweep->stage;

	outcome_add_vcpu(&sweep->outcome, stage->vcpu);
}

static void observe(struct sweep *sweep)
{
	struct apic_page *stage = sweep->stage;

	outcome_add(&sweep->outcome, "version of the APIC", 0, stage->seen.args[2]);
	outcome_add(&sweep->outcome, "ID of the APIC", 0, stage->seen.args[3]);
	outcome_add(&sweep->outcome, "interrupts that came", 0, stage->seen.args[4]);
	/* The guest's accesses must not reach the page itself. */
	outcome_add(&sweep->outcome, "content of the page", 0,
		    outcome_sum(stage->page, PAGE_BYTES));
	worker_call(&sweep->worker[VCPU], observe_vcpu);
}

static const struct stage stage_apic_page = {
	.name = "a guest that uses its xAPIC", .missing = apic_page_missing,
	.create = create, .destroy = destroy,
	.fresh = fresh, .probe = probe, .observe = observe,
};

static const struct op op_take = {
	.name = "MADV_REMOVE", .what = "takes the page away", .run = take,
};

static const struct op op_run = {
	.name = "KVM_RUN", .what = "enters the guest", .run = enter,
};

const struct pair apic_page_pairs[] = {
	{ "apic-page-invalidation", &stage_apic_page, { &op_take, &op_run } },
	{}
};
