/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Guest memory of a memfd, which tells whether anybody still refers to one of its pages:
 * the kernel takes no seal against writing then.  KVM may map a page, and is told when it
 * goes; a reference that it keeps is one that it has lost.
 */
#ifndef MEMFD_PAGES_H
#define MEMFD_PAGES_H

#include <stddef.h>

/* memfd_pages - a memfd of @size bytes; fails the case if there can be none */
int memfd_pages(size_t size);

/*
 * memfd_pages_in_use - does anybody refer to a page of @fd, none of which may be mapped?
 *
 * The kernel looks for half a second, and drains its own lists of pages before.
 *
 * Returns 0, or an error: EBUSY if so.
 */
int memfd_pages_in_use(int fd);

#endif /* MEMFD_PAGES_H */
