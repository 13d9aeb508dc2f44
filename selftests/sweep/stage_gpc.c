// SPDX-License-Identifier: GPL-2.0-only
/*
 * A VM with a page that KVM writes to through a gfn_to_pfn_cache, and that userspace
 * replaces by another page of the same memfd.  It is a guest page, with the vCPU's
 * kvmclock in it; or it is in no memslot, KVM has its host address, and it is Xen's
 * shared_info, in which an event that is sent sets a bit.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "gpc_facts.h"
#include "hostfacts.h"
#include "processor.h"
#include "slot.h"
#include "sweep.h"
#include "vcpu_run.h"
#include "xen_evtchn.h"

/* A schedule sends at most three events, each of which has to set a bit of its own. */

/* The worker that has the vCPU. */
#define VCPU_WORKER	1

struct gpc {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpu;
	struct slot slot;
	unsigned int next_port;
};

static void guest_code(void)
{
	for (;;)
		GUEST_SYNC(0);
}

static const char *missing(void)
{
	return hostfacts_need_kvm();
}

static const char *missing_hva(void)
{
	const char *why = missing();

	if (!why && !(kvm_check_cap(KVM_CAP_XEN_HVM) & XEN_CONFIG_SHARED_INFO_HVA))
		why = "no shared_info by host address, which came with Linux 6.9";
	return why;
}

static void replace(struct sweep *sweep)
{
	struct gpc *gpc = sweep->stage;

	slot_replace(&gpc->slot);
}

/* Makes KVM write the vCPU's clock. */
static void write_clock(struct sweep *sweep)
{
	struct gpc *gpc = sweep->stage;

	vcpu_ioctl(gpc->vcpu, KVM_KVMCLOCK_CTRL, NULL);
	vcpu_run_until(gpc->vcpu, UCALL_SYNC);
}

static void send_event(struct sweep *sweep)
{
	struct kvm_irq_level line = { .level = 1 };
	struct gpc *gpc = sweep->stage;

	line.irq = XEN_GSI + gpc->next_port++ % XEN_PORTS;
	vm_ioctl(gpc->vm, KVM_IRQ_LINE, &line);
}

/* Refreshes the cache, called by the steering thread. */
static void refresh(struct sweep *sweep)
{
	worker_call(&sweep->worker[VCPU_WORKER], sweep->pair->op[VCPU_WORKER]->run);
}

static void start_clock(struct sweep *sweep)
{
	struct gpc *gpc = sweep->stage;

	vcpu_set_msr(gpc->vcpu, KVMCLOCK_MSR, GPA | 1);
	write_clock(sweep);
}

static void start_events(struct sweep *sweep)
{
	struct kvm_xen_vcpu_attr vcpu_info = { .type = KVM_XEN_VCPU_ATTR_TYPE_VCPU_INFO };
	struct kvm_xen_hvm_attr shinfo = { .type = XEN_SHARED_INFO_HVA };
	struct gpc *gpc = sweep->stage;

	/* The host address shares a union with the gfn. */
	shinfo.u.shared_info.gfn = (uint64_t)gpc->slot.guest;
	vm_ioctl(gpc->vm, KVM_XEN_HVM_SET_ATTR, &shinfo);
	vcpu_info.u.gpa = addr_gva2gpa(gpc->vm, vm_vaddr_alloc_page(gpc->vm));
	vcpu_ioctl(gpc->vcpu, KVM_XEN_VCPU_SET_ATTR, &vcpu_info);
	xen_evtchn_route(gpc->vm, gpc->vcpu, 0, XEN_PORTS);
}

static struct gpc *create_vm(struct sweep *sweep)
{
	struct gpc *gpc = calloc(1, sizeof(*gpc));

	TEST_ASSERT(gpc, "no memory");
	sweep->stage = gpc;
	gpc->vm = vm_create_with_one_vcpu(&gpc->vcpu, guest_code);
	slot_create(&gpc->slot, gpc->vm, SLOT, GPA);
	return gpc;
}

/* A thread that is held in mmap() owns mmap_lock, so that no page fault may occur then. */
static void lock_memory(void)
{
	TEST_ASSERT(!mlockall(MCL_CURRENT), "mlockall: %s", strerror(errno));
}

static void create(struct sweep *sweep)
{
	create_vm(sweep);
	worker_call(&sweep->worker[VCPU_WORKER], start_clock);
	lock_memory();
}

static void create_hva(struct sweep *sweep)
{
	struct gpc *gpc = create_vm(sweep);
	int ret;

	ret = slot_set(&gpc->slot, 0, GPA, 0);
	TEST_ASSERT(!ret, "the memslot stays: %s", strerror(ret));
	worker_call(&sweep->worker[VCPU_WORKER], start_events);
	lock_memory();
}

static unsigned int destroy(struct sweep *sweep)
{
	struct gpc *gpc = sweep->stage;
	unsigned int leaked;

	munlockall();
	kvm_vm_free(gpc->vm);
	leaked = slot_destroy(&gpc->slot);
	free(gpc);
	sweep->stage = NULL;
	return leaked;
}

static void fresh(struct sweep *sweep)
{
	struct gpc *gpc = sweep->stage;

	refresh(sweep);
	/* If the refresh is held, the cache must be stale, or its path has no refresh. */
	if (sweep->first == VCPU_WORKER) {
		slot_begin(&gpc->slot);
		slot_replace(&gpc->slot);
	}
	slot_begin(&gpc->slot);
}

/* Clears all events, and masks them: KVM then only sets the pending bit. */
static void fresh_hva(struct sweep *sweep)
{
	struct gpc *gpc = sweep->stage;
	int i;

	for (i = 0; i < SLOT_PAGES; i++) {
		memset(gpc->slot.pages + i * SLOT_PAGE + XEN_PENDING, 0, 8);
		memset(gpc->slot.pages + i * SLOT_PAGE + XEN_MASK_32, 0xff, 8);
	}
	fresh(sweep);
}

static void probe(struct sweep *sweep)
{
	struct gpc *gpc = sweep->stage;

	slot_sum_up(&gpc->slot, SUM_OPERATIONS);
	refresh(sweep);
	slot_sum_up(&gpc->slot, SUM_AFTERWARDS);
}

static void observe_vcpu(struct sweep *sweep)
{
	struct gpc *gpc = sweep->stage;

	outcome_add(&sweep->outcome, "exit reason of vCPU", gpc->vcpu->id,
		    gpc->vcpu->run->exit_reason);
	outcome_add_vcpu(&sweep->outcome, gpc->vcpu);
}

static void observe(struct sweep *sweep)
{
	struct gpc *gpc = sweep->stage;

	slot_observe(&gpc->slot, &sweep->outcome);
	worker_call(&sweep->worker[VCPU_WORKER], observe_vcpu);
}

static const struct stage stage_gpc = {
	.name = "a page behind a gfn_to_pfn_cache",
	.missing = missing, .create = create, .destroy = destroy,
	.fresh = fresh, .probe = probe, .observe = observe,
};

static const struct stage stage_gpc_hva = {
	.name = "a page behind a gfn_to_pfn_cache, by host address",
	.missing = missing_hva, .create = create_hva, .destroy = destroy,
	.fresh = fresh_hva, .probe = probe, .observe = observe,
};

static const struct op op_replace = {
	.name = "mmap", .what = "replaces the page", .run = replace,
};

static const struct op op_clock = {
	.name = "kvmclock", .what = "refreshes the cache", .run = write_clock,
};

static const struct op op_event = {
	.name = "xen-event", .what = "refreshes the cache", .run = send_event,
};

/* Kernels that have caches by host address have the race only in those. */
const struct pair gpc_pairs[] = {
	{ "gpc-refresh", &stage_gpc_hva, { &op_replace, &op_event } },
	{ "gpc-refresh", &stage_gpc, { &op_replace, &op_clock } },
	{}
};
