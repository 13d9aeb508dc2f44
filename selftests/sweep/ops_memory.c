// SPDX-License-Identifier: GPL-2.0-only
/*
 * Operations on a guest's memory in userspace, of which mmu_notifiers inform KVM.
 */
#include <errno.h>
#include <sys/mman.h>

#include "busy.h"

static void replace(struct sweep *sweep)
{
	slot_replace(busy_slot(sweep));
}

static void advise(struct sweep *sweep, int advice)
{
	busy_done(sweep, madvise(busy_slot(sweep)->guest, SLOT_PAGE, advice) ? errno : 0);
}

/* Unmaps the page; the memfd keeps it, and the next access maps it again. */
static void discard(struct sweep *sweep)
{
	advise(sweep, MADV_DONTNEED);
}

/* Frees the page; the next access maps another one, full of zeros. */
static void punch(struct sweep *sweep)
{
	advise(sweep, MADV_REMOVE);
}

static void protect(struct sweep *sweep)
{
	struct slot *slot = busy_slot(sweep);

	slot->remap = true;
	busy_done(sweep, mprotect(slot->guest, SLOT_PAGE, PROT_READ) ? errno : 0);
}

static void unmap(struct sweep *sweep)
{
	struct slot *slot = busy_slot(sweep);

	slot->remap = true;
	busy_done(sweep, munmap(slot->guest, SLOT_PAGE) ? errno : 0);
}

const struct op busy_memory_ops[] = {
	{ .name = "mmap", .what = "replaces the page", .run = replace },
	{ .name = "madvise", .what = "takes the page away", .run = discard },
	{ .name = "punch", .what = "makes a hole in the file", .run = punch },
	{ .name = "mprotect", .what = "makes the page read-only", .run = protect },
	{ .name = "munmap", .what = "unmaps the page", .run = unmap },
	{ .name = "mmap-pv", .what = "replaces the page", .run = replace, .arg = PV },
	{ .name = "madvise-pv", .what = "takes the page away", .run = discard, .arg = PV },
	{ .name = "madvise-l1", .what = "takes L1's page away", .run = discard,
	  .arg = NESTED },
	{}
};
