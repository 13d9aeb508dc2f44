/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The page frames behind memory of this process, and whether references keep them when
 * they should be free.  For root: the kernel hides page frame numbers from other users.
 */
#ifndef PAGES_H
#define PAGES_H

#include <stdint.h>

#define PAGE_BYTES	4096

/* page_frame - touch the page at @page, and return the number of its frame */
uint64_t page_frame(const void *page);

#define PAGES_MAX	512

struct pages {
	unsigned int nr;
	uint64_t frame[PAGES_MAX];
};

/* pages_note - add the frame that is mapped at @page now, unless it is there; at most PAGES_MAX */
void pages_note(struct pages *pages, const void *page);

/*
 * pages_referred - how many of them are on an LRU list and backed by swap, as anonymous and
 * shared memory is, and mapped nowhere
 *
 * To be called when all should have been freed: then only a reference can keep such a page.
 * A page that has gone to the page cache of a tmpfs since is counted, too.
 */
unsigned int pages_referred(const struct pages *pages);

#endif /* PAGES_H */
