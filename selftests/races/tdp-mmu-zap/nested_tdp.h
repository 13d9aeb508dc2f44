/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An L2 with nested paging, on either vendor: L2's addresses are L1's, and KVM
 * has to shadow the tables that say so.
 *
 * The selftest library can set up nested EPT, and nothing of the kind for SVM.
 * The tables here serve both: bits 0 to 2 are present/readable, writable and
 * user/executable in turn, and bit 7 makes a large page.
 */
#ifndef NESTED_TDP_H
#define NESTED_TDP_H

#include "kvm_util.h"

/* How much of L1's memory L2 gets, from 0: enough for code and a test's memslot. */
#define NESTED_TDP_SIZE		(2ull << 30)

/* What L1 finds at the address it is given. */
struct nested_tdp {
	vm_vaddr_t vendor_area;		/* struct vmx_pages or svm_test_data */
	vm_paddr_t root;
};

/* NULL, or why this host has no nested paging to offer to L1 */
const char *nested_tdp_missing(void);

/*
 * nested_tdp_init - what nested_tdp_enter_l2() needs, for one vCPU
 *
 * Returns the address to give to L1.
 */
vm_vaddr_t nested_tdp_init(struct kvm_vm *vm);

/* nested_tdp_prepare - called by L1: all that nested_tdp_enter_l2() does before it enters */
void nested_tdp_prepare(vm_vaddr_t area, void *l2, void *stack);

/*
 * nested_tdp_enter_l2 - called by L1: run @l2 on the stack that ends at @stack
 *
 * Fails the test if L2 ever comes back.
 */
void nested_tdp_enter_l2(vm_vaddr_t area, void *l2, void *stack);

#endif /* NESTED_TDP_H */
