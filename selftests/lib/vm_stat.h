/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * KVM's counters of one VM, from debugfs, where kernels from 5.4 to 7.2 have
 * them.
 */
#ifndef VM_STAT_H
#define VM_STAT_H

#include "kvm_util.h"

/* vm_stat - a counter such as "mmu_cache_miss"; fails the case if there is none */
uint64_t vm_stat(struct kvm_vm *vm, const char *name);

#endif /* VM_STAT_H */
