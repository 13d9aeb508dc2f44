/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * KVM's counters of one VM, read with KVM_GET_STATS_FD, which 5.14 and later have and
 * which does not need root, or else from debugfs, where kernels from 5.4 to 7.2 have
 * them.  hostfacts_need_stats() tests whether either is available.
 */
#ifndef VM_STAT_H
#define VM_STAT_H

#include "kvm_util.h"

/*
 * vm_stat - a counter of the VM, such as "mmu_cache_miss", or the sum of a counter of its
 * vCPUs, such as "irq_injections"; fails the case if there is none of that name
 */
uint64_t vm_stat(struct kvm_vm *vm, const char *name);

#endif /* VM_STAT_H */
