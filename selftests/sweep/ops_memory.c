// SPDX-License-Identifier: GPL-2.0-only
/*
 * Operations on the memory of userspace that is a guest's: what mmu_notifiers tell KVM of.
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

/* The memfd keeps the page: it comes back with the next access. */
static void discard(struct sweep *sweep)
{
	advise(sweep, MADV_DONTNEED);
}

/* The memfd does not: with the next access comes another one, of zeros. */
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
