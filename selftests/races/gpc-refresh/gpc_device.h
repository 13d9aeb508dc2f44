/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Physical memory without a struct page, like that of a device, for gpc_refresh_test.
 */
#ifndef GPC_DEVICE_H
#define GPC_DEVICE_H

#include <stdbool.h>
#include <sys/types.h>

/* device_find_hole - a physical address at which there is neither RAM nor a device */
off_t device_find_hole(void);

/* device_is_harmless - is this an emulated CPU (CPUID.1:ECX[31], which no real CPU sets)? */
bool device_is_harmless(void);

/* device_map - map the page of physical memory at @address; returns NULL, with errno, on error */
void *device_map(off_t address);

/* device_nr_mapped - how often has the kernel mapped that page, not as RAM? */
unsigned int device_nr_mapped(off_t address);

/* device_invalidate - cause an invalidation of the page, which stays mapped */
void device_invalidate(void *page);

#endif
