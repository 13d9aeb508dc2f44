// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM_RUN, in which the guest executes one command.
 */
#include <sys/mman.h>

#include "busy.h"

/* Unmaps the page, also in KVM. */
void busy_take_page(struct sweep *sweep)
{
	struct busy *busy = sweep->stage;

	madvise(busy->slot[DATA].guest, SLOT_PAGE, MADV_DONTNEED);
}

void busy_touch(struct sweep *sweep)
{
	busy_run(sweep, DO_TOUCH);
}

static void out(struct sweep *sweep)
{
	busy_run(sweep, DO_OUT);
}

static void send_ipi(struct sweep *sweep)
{
	busy_run(sweep, DO_IPI);
}

static void read_msr(struct sweep *sweep)
{
	busy_run(sweep, DO_RDMSR);
}

const struct op busy_run_ops[] = {
	{ .name = "run", .what = "writes to the memslot in KVM_RUN",
	  .prepare = busy_take_page, .run = busy_touch },
	/* The page is mapped, and may be read-only. */
	{ .name = "run-mapped", .what = "writes to a mapped page in KVM_RUN",
	  .run = busy_touch },
	{ .name = "run-out", .what = "writes to a port in KVM_RUN", .run = out },
	{ .name = "run-ipi", .what = "sends an IPI in KVM_RUN", .run = send_ipi },
	{ .name = "run-rdmsr", .what = "reads an MSR in KVM_RUN", .run = read_msr },
	{}
};
