// SPDX-License-Identifier: GPL-2.0-only
/*
 * A VM with a guest page that KVM writes to through a gfn_to_pfn_cache, the vCPU's
 * kvmclock, and that userspace replaces by another page of the same memfd.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "hostfacts.h"
#include "processor.h"
#include "slot.h"
#include "sweep.h"
#include "vcpu_run.h"

#define SLOT		10
#define GPA		0x100000000ull
#define KVMCLOCK_MSR	0x4b564d01	/* MSR_KVM_SYSTEM_TIME_NEW */

/* Whose thread has the vCPU. */
#define VCPU_WORKER	1

struct gpc {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpu;
	struct slot slot;
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

static void replace(struct sweep *sweep)
{
	struct gpc *gpc = sweep->stage;

	slot_replace(&gpc->slot);
}

/* Has the vCPU's clock written anew. */
static void write_clock(struct sweep *sweep)
{
	struct gpc *gpc = sweep->stage;

	vcpu_ioctl(gpc->vcpu, KVM_KVMCLOCK_CTRL, NULL);
	vcpu_run_until(gpc->vcpu, UCALL_SYNC);
}

static void start_clock(struct sweep *sweep)
{
	struct gpc *gpc = sweep->stage;

	vcpu_set_msr(gpc->vcpu, KVMCLOCK_MSR, GPA | 1);
	write_clock(sweep);
}

static void create(struct sweep *sweep)
{
	struct gpc *gpc = calloc(1, sizeof(*gpc));

	TEST_ASSERT(gpc, "no memory");
	sweep->stage = gpc;
	gpc->vm = vm_create_with_one_vcpu(&gpc->vcpu, guest_code);
	slot_create(&gpc->slot, gpc->vm, SLOT, GPA);
	worker_call(&sweep->worker[VCPU_WORKER], start_clock);
	/* A thread that is held in mmap() holds mmap_lock: no page fault may come then. */
	TEST_ASSERT(!mlockall(MCL_CURRENT), "mlockall: %s", strerror(errno));
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

	worker_call(&sweep->worker[VCPU_WORKER], write_clock);
	/* With the clock held the cache is stale, or no refresh is on its path. */
	if (sweep->first == VCPU_WORKER) {
		slot_begin(&gpc->slot);
		slot_replace(&gpc->slot);
	}
	slot_begin(&gpc->slot);
}

static void probe(struct sweep *sweep)
{
	struct gpc *gpc = sweep->stage;

	slot_sum_up(&gpc->slot, SUM_OPERATIONS);
	worker_call(&sweep->worker[VCPU_WORKER], write_clock);
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

static const struct op op_replace = {
	.name = "mmap", .what = "replaces the page", .run = replace,
};

static const struct op op_clock = {
	.name = "kvmclock", .what = "refreshes the cache", .run = write_clock,
};

const struct pair gpc_pairs[] = {
	{ "gpc-refresh", &stage_gpc, { &op_replace, &op_clock } },
	{}
};
