/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Guest memory in a memfd, which can be asked whether one of its pages still has an extra
 * reference: the kernel refuses F_SEAL_WRITE then.  KVM may map a page, and an mmu_notifier
 * tells it when the page goes; a reference that KVM still holds then is leaked.
 */
#ifndef MEMFD_PAGES_H
#define MEMFD_PAGES_H

#include <stddef.h>

/* memfd_pages - create a memfd of @size bytes; fails the case if that fails */
int memfd_pages(size_t size);

/*
 * memfd_pages_in_use - does any page of @fd have an extra reference?  No page of it may be
 * mapped.
 *
 * The kernel drains its per-CPU lists of pages, and waits up to half a second for such a
 * reference to go.
 *
 * Returns 0 if there is none, EBUSY if there is one, or another error.
 */
int memfd_pages_in_use(int fd);

#endif /* MEMFD_PAGES_H */
