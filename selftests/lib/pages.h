/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The pages behind memory of this process, and whether anybody refers to them when they
 * should be free.  Root only: the kernel hides page frame numbers from others.
 */
#ifndef PAGES_H
#define PAGES_H

#include <stdint.h>

#define PAGE_BYTES	4096

/* page_frame - the number of the page that is mapped there, which is touched first */
uint64_t page_frame(const void *page);

#define PAGES_MAX	512

struct pages {
	unsigned int nr;
	uint64_t frame[PAGES_MAX];
};

/* pages_note - the page that is mapped there now, once; beyond PAGES_MAX none is added */
void pages_note(struct pages *pages, const void *page);

/*
 * pages_referred - how many of them are on a list of pages with content, as anonymous
 * and shared memory is, and mapped by nobody
 *
 * To be called when they should have been given back: then it is a reference that keeps
 * them.  A page that was given to the page cache of a tmpfs since is counted, too.
 */
unsigned int pages_referred(const struct pages *pages);

#endif /* PAGES_H */
