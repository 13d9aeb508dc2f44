// SPDX-License-Identifier: GPL-2.0-only
/*
 * Operations on a vCPU that is in L2, the vCPU of the first worker.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "busy.h"

/* L2 calls L1, which enters it again. */
static void call(struct sweep *sweep)
{
	busy_run(sweep, DO_VMCALL);
}

/* Has KVM unmap L1's page. */
static void prepare_call(struct sweep *sweep)
{
	struct busy *busy = sweep->stage;

	madvise(busy->slot[NESTED].guest, SLOT_PAGE, MADV_DONTNEED);
}

/* Gets and sets the nested state, and lets L2 run on. */
static void restore(struct sweep *sweep)
{
	/* At least the size that KVM_CHECK_EXTENSION(KVM_CAP_NESTED_STATE) returns. */
	static union {
		struct kvm_nested_state state;
		char room[16384];
	} nested;

	memset(&nested.state, 0, sizeof(nested.state));
	nested.state.size = sizeof(nested);
	vcpu_nested_state_get(busy_vcpu(sweep), &nested.state);
	busy_vcpu_ioctl(sweep, KVM_SET_NESTED_STATE, &nested.state);
	busy_run(sweep, DO_NOTHING);
}

const struct op busy_l2_ops[] = {
	{ .name = "run-l2", .what = "L2 writes to the memslot in KVM_RUN",
	  .prepare = busy_take_page, .run = busy_touch, .thread = THREAD_0 },
	{ .name = "vmcall", .what = "L2 calls L1 in KVM_RUN",
	  .prepare = prepare_call, .run = call, .thread = THREAD_0 },
	{ .name = "nested-state", .what = "gets and sets nested state, and runs",
	  .prepare = prepare_call, .run = restore, .thread = THREAD_0 },
	{}
};
