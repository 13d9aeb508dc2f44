/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * KVM's counters of one VM: by KVM_GET_STATS_FD, which 5.14 and later have, and which
 * needs no root, or else from debugfs, where kernels from 5.4 to 7.2 have them.
 * hostfacts_need_stats() says whether one of them can be had.
 */
#ifndef VM_STAT_H
#define VM_STAT_H

#include "kvm_util.h"

/*
 * vm_stat - a counter such as "mmu_cache_miss", or the sum of all its vCPUs, such as
 * "irq_injections"; fails the case if there is none
 */
uint64_t vm_stat(struct kvm_vm *vm, const char *name);

#endif /* VM_STAT_H */
