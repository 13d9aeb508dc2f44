/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A memslot of one page, which maps one of several pages of a memfd.  All of them stay
 * visible through a second mapping.
 */
#ifndef SLOT_H
#define SLOT_H

#include <stdbool.h>
#include <stdint.h>

#include "kvm_util.h"
#include "sweep.h"

#define SLOT_PAGE	4096
#define SLOT_PAGES	3
/* The offset of a page's number in the page; KVM and the guest write to its beginning. */
#define SLOT_PAGE_NR	(SLOT_PAGE - sizeof(uint64_t))

/* The times at which the pages are hashed. */
enum { SUM_BEFORE, SUM_OPERATIONS, SUM_AFTERWARDS, NR_SUMS };

struct slot {
	struct kvm_vm *vm;
	uint32_t id;
	uint64_t gpa;
	uint32_t flags;		/* KVM's current flags of the memslot */
	int memfd;
	char *guest;		/* the memslot's memory */
	char *pages;		/* a mapping of all pages of the memfd */
	int mapped, next;
	int before;		/* the page that was mapped before the schedule */
	bool touched;		/* the memslot was changed */
	bool remap;		/* the mapping was changed */
	char copy[SLOT_PAGE];	/* the copy of the page that a migration has made */
	uint64_t sum[NR_SUMS][SLOT_PAGES];
};

/* slot_create - create a memslot in @vm, with its first page mapped */
void slot_create(struct slot *slot, struct kvm_vm *vm, uint32_t id, uint64_t gpa);

/* slot_destroy - call it after the VM is freed; returns 1 if a page still has a reference */
unsigned int slot_destroy(struct slot *slot);

/* slot_set - set the memslot's flags, address and size; 0 or an error.  A size of 0 deletes it */
int slot_set(struct slot *slot, uint32_t flags, uint64_t gpa, size_t size);

/* slot_replace - replace the page that is mapped by the next one, with mmap() */
void slot_replace(struct slot *slot);

/* slot_restore - restore memslot and mapping, with any of the pages */
void slot_restore(struct slot *slot);

/* slot_begin - begin a schedule: the next page is the one after the page that is mapped */
void slot_begin(struct slot *slot);

/* slot_sum_up - hash the pages; @when is one of SUM_... */
void slot_sum_up(struct slot *slot, int when);

/* slot_observe - add to the outcome which page is mapped, and which were written */
void slot_observe(struct slot *slot, struct outcome *outcome);

/* slot_copy - copy the page; slot_copy_dirty - copy it if the dirty log has it */
void slot_copy(struct slot *slot);
void slot_copy_dirty(struct slot *slot, bool clear);

/* slot_copy_is_right - does the copy equal the page? */
bool slot_copy_is_right(const struct slot *slot);

#endif /* SLOT_H */
