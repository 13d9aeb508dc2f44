/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The APIC access page: memory that KVM maps into the process for a memslot of its own,
 * and whose address no ioctl returns.
 */
#ifndef APIC_PAGE_H
#define APIC_PAGE_H

#include <stdint.h>

#include "kvm_util.h"

/* apic_page_missing - NULL, or the reason why this host has no such page */
const char *apic_page_missing(void);

/*
 * apic_page_add_vcpu - add the VM's first vCPU, and find the page that KVM maps for it
 * @vcpu: set to the new vCPU
 *
 * Returns the page's address, or NULL if it is not in /proc/self/maps.
 */
void *apic_page_add_vcpu(struct kvm_vm *vm, uint32_t id, void *guest_code,
			 struct kvm_vcpu **vcpu);

/*
 * apic_page_punch - free the page, as the host does under memory pressure
 *
 * The old page stays allocated until the next call, so that another one takes its place.
 * Returns 0, or -1 with errno.
 */
int apic_page_punch(void *page);

#endif /* APIC_PAGE_H */
