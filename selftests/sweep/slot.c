// SPDX-License-Identifier: GPL-2.0-only
/*
 * A memslot of one page of a memfd; see slot.h.
 */
#define _GNU_SOURCE /* memfd_create() */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "slot.h"

static char *page_of(const struct slot *slot, int page)
{
	return slot->pages + page * SLOT_PAGE;
}

static void map_page(struct slot *slot, int page)
{
	void *at;

	at = mmap(slot->guest, SLOT_PAGE, PROT_READ | PROT_WRITE,
		  MAP_SHARED | MAP_FIXED | MAP_POPULATE, slot->memfd,
		  (off_t)page * SLOT_PAGE);
	TEST_ASSERT(at == slot->guest, "mmap: %s", strerror(errno));
	slot->mapped = page;
}

void slot_replace(struct slot *slot)
{
	map_page(slot, slot->next);
}

int slot_set(struct slot *slot, uint32_t flags, uint64_t gpa, size_t size)
{
	slot->touched = true;
	slot->flags = flags;
	return __vm_set_user_memory_region(slot->vm, slot->id, flags, gpa, size,
					   slot->guest) ? errno : 0;
}

static void say_numbers(struct slot *slot)
{
	int page;

	for (page = 0; page < SLOT_PAGES; page++)
		*(uint64_t *)(page_of(slot, page) + SLOT_PAGE_NR) = page;
}

void slot_create(struct slot *slot, struct kvm_vm *vm, uint32_t id, uint64_t gpa)
{
	int ret;

	slot->vm = vm;
	slot->id = id;
	slot->gpa = gpa;
	slot->memfd = memfd_create("sweep", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	TEST_ASSERT(slot->memfd >= 0 &&
		    !ftruncate(slot->memfd, SLOT_PAGES * SLOT_PAGE), "memfd: %s",
		    strerror(errno));
	slot->pages = mmap(NULL, SLOT_PAGES * SLOT_PAGE, PROT_READ | PROT_WRITE,
			   MAP_SHARED, slot->memfd, 0);
	slot->guest = mmap(NULL, SLOT_PAGE, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	TEST_ASSERT(slot->pages != MAP_FAILED && slot->guest != MAP_FAILED, "mmap: %s",
		    strerror(errno));
	say_numbers(slot);
	map_page(slot, 0);
	ret = slot_set(slot, 0, gpa, SLOT_PAGE);
	TEST_ASSERT(!ret, "memslot %u: %s", id, strerror(ret));
	slot->touched = false;
}

/* F_SEAL_WRITE fails if there are references to pages of the memfd besides its own. */
unsigned int slot_destroy(struct slot *slot)
{
	unsigned int leaked;

	munmap(slot->pages, SLOT_PAGES * SLOT_PAGE);
	munmap(slot->guest, SLOT_PAGE);
	leaked = fcntl(slot->memfd, F_ADD_SEALS, F_SEAL_WRITE) ? 1 : 0;
	if (leaked)
		printf("# pages of the memfd are still referred to: %s\n",
		       strerror(errno));
	close(slot->memfd);
	return leaked;
}

void slot_restore(struct slot *slot)
{
	int ret;

	if (slot->remap)
		map_page(slot, slot->mapped);
	slot->remap = false;
	say_numbers(slot);
	if (!slot->touched)
		return;
	/* This fails if an operation has deleted the memslot. */
	slot_set(slot, 0, slot->gpa, 0);
	ret = slot_set(slot, 0, slot->gpa, SLOT_PAGE);
	TEST_ASSERT(!ret, "memslot %u: %s", slot->id, strerror(ret));
	slot->touched = false;
}

void slot_begin(struct slot *slot)
{
	slot->before = slot->mapped;
	slot->next = (slot->mapped + 1) % SLOT_PAGES;
	slot_sum_up(slot, SUM_BEFORE);
}

void slot_sum_up(struct slot *slot, int when)
{
	int page;

	for (page = 0; page < SLOT_PAGES; page++)
		slot->sum[when][page] = outcome_sum(page_of(slot, page), SLOT_PAGE);
}

void slot_copy(struct slot *slot)
{
	memcpy(slot->copy, page_of(slot, slot->mapped), SLOT_PAGE);
}

/* @clear: KVM_GET_DIRTY_LOG does not clear the log, so that KVM_CLEAR_DIRTY_LOG must. */
void slot_copy_dirty(struct slot *slot, bool clear)
{
	uint64_t log = 0;
	struct kvm_dirty_log args = { .slot = slot->id, .dirty_bitmap = &log };
	struct kvm_clear_dirty_log clear_args = {
		.slot = slot->id, .num_pages = 1, .dirty_bitmap = &log,
	};

	if (__vm_ioctl(slot->vm, KVM_GET_DIRTY_LOG, &args) || !log)
		return;
	if (clear)
		vm_ioctl(slot->vm, KVM_CLEAR_DIRTY_LOG, &clear_args);
	slot_copy(slot);
}

/* A page may hold a clock, so that only the fact of a change counts, not the content. */
void slot_observe(struct slot *slot, struct outcome *outcome)
{
	int i, page;

	/* 0 is the page from before the schedule, 1 the one that replaces it. */
	page = *(uint64_t *)(page_of(slot, slot->mapped) + SLOT_PAGE_NR);
	outcome_add(outcome, "the guest sees page", slot->id,
		    (page + SLOT_PAGES - slot->before) % SLOT_PAGES);
	for (i = 0; i < SLOT_PAGES; i++) {
		page = (slot->before + i) % SLOT_PAGES;
		outcome_add(outcome, "page was written by the operations",
			    slot->id * SLOT_PAGES + i,
			    slot->sum[SUM_OPERATIONS][page] !=
			    slot->sum[SUM_BEFORE][page]);
		outcome_add(outcome, "page was written afterwards",
			    slot->id * SLOT_PAGES + i,
			    slot->sum[SUM_AFTERWARDS][page] !=
			    slot->sum[SUM_OPERATIONS][page]);
	}
}

bool slot_copy_is_right(const struct slot *slot)
{
	return !memcmp(slot->copy, page_of(slot, slot->mapped), SLOT_PAGE);
}
