/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A memslot of one page, behind which there is one of several pages of a memfd.  All of
 * them stay visible through a second mapping.
 */
#ifndef SLOT_H
#define SLOT_H

#include <stdbool.h>
#include <stdint.h>

#include "kvm_util.h"
#include "sweep.h"

#define SLOT_PAGE	4096
#define SLOT_PAGES	3
/* Where each page says which one it is; KVM and the guest write to its beginning. */
#define SLOT_PAGE_NR	(SLOT_PAGE - sizeof(uint64_t))

/* When the pages are summed up. */
enum { SUM_BEFORE, SUM_OPERATIONS, SUM_AFTERWARDS, NR_SUMS };

struct slot {
	struct kvm_vm *vm;
	uint32_t id;
	uint64_t gpa;
	uint32_t flags;		/* as KVM has them */
	int memfd;
	char *guest;		/* as KVM knows it */
	char *pages;		/* all pages of the memfd */
	int mapped, next;
	int before;		/* the page that is mapped before a schedule */
	bool touched;		/* the memslot is not what it was */
	bool remap;		/* nor is the mapping */
	char copy[SLOT_PAGE];	/* what a migration has of the page */
	uint64_t sum[NR_SUMS][SLOT_PAGES];
};

/* slot_create - in @vm, with its first page mapped */
void slot_create(struct slot *slot, struct kvm_vm *vm, uint32_t id, uint64_t gpa);

/* slot_destroy - when the VM is gone; returns 1 if there still is a reference to a page */
unsigned int slot_destroy(struct slot *slot);

/* slot_set - the ioctl; returns 0 or an error.  A size of 0 deletes it */
int slot_set(struct slot *slot, uint32_t flags, uint64_t gpa, size_t size);

/* slot_replace - have mmap() put the next page in the place of that which is mapped */
void slot_replace(struct slot *slot);

/* slot_restore - memslot and mapping as they were created, with whichever page */
void slot_restore(struct slot *slot);

/* slot_begin - a schedule: the next page is the one after that which is mapped */
void slot_begin(struct slot *slot);

/* slot_sum_up - SUM_...: what the pages have in them then */
void slot_sum_up(struct slot *slot, int when);

/* slot_observe - which page there is, and which were written */
void slot_observe(struct slot *slot, struct outcome *outcome);

/* slot_copy - copy the page as it is; slot_copy_dirty: if the log says that it is dirty */
void slot_copy(struct slot *slot);
void slot_copy_dirty(struct slot *slot, bool clear);

/* slot_copy_is_right - is it what the page has in it? */
bool slot_copy_is_right(const struct slot *slot);

#endif /* SLOT_H */
