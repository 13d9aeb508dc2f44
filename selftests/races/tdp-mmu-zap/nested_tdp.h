/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An L2 with nested paging, on either vendor: L1's nested page tables map L2's
 * addresses one to one, and KVM has to shadow them.
 *
 * The selftest library can set up nested EPT, but nothing of the kind for SVM.
 * The tables here serve both: bits 0, 1 and 2 mean present/readable, writable and
 * user/executable, and bit 7 a large page.
 */
#ifndef NESTED_TDP_H
#define NESTED_TDP_H

#include "kvm_util.h"

/* How much of L1's memory L2 gets, from address 0: enough for code and a test's memslots. */
#define NESTED_TDP_SIZE		(2ull << 30)

/* L1's data, at the address that nested_tdp_init() returns. */
struct nested_tdp {
	vm_vaddr_t vendor_area;		/* struct vmx_pages or svm_test_data */
	vm_paddr_t root;
};

/* nested_tdp_missing - NULL, or the reason why this host cannot offer nested paging to L1 */
const char *nested_tdp_missing(void);

/*
 * nested_tdp_init - set up the data that nested_tdp_enter_l2() needs, for one vCPU
 *
 * Returns the data's address, which L1 needs as an argument.
 */
vm_vaddr_t nested_tdp_init(struct kvm_vm *vm);

/* nested_tdp_prepare - called by L1: all that nested_tdp_enter_l2() does before it enters L2 */
void nested_tdp_prepare(vm_vaddr_t area, void *l2, void *stack);

/*
 * nested_tdp_enter_l2 - called by L1: run @l2 on the stack that ends at @stack
 *
 * Fails the test if L2 ever exits to L1.
 */
void nested_tdp_enter_l2(vm_vaddr_t area, void *l2, void *stack);

#endif /* NESTED_TDP_H */
