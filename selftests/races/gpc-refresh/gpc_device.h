/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Physical memory that has no struct page, as a device's, for gpc_refresh_test
 */
#ifndef GPC_DEVICE_H
#define GPC_DEVICE_H

#include <stdbool.h>
#include <sys/types.h>

/* device_find_hole - a physical address at which there is neither RAM nor a device */
off_t device_find_hole(void);

/* device_is_harmless - is this an emulated CPU (CPUID.1:ECX[31], which no CPU sets)? */
bool device_is_harmless(void);

/* device_map - one page of physical memory at @address; NULL, with errno, if that cannot be had */
void *device_map(off_t address);

/* device_nr_mapped - how often has the kernel mapped that page? */
unsigned int device_nr_mapped(off_t address);

/* device_invalidate - invalidate the page for KVM; it stays mapped where it is */
void device_invalidate(void *page);

#endif
