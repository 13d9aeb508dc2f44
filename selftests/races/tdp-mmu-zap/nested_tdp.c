// SPDX-License-Identifier: GPL-2.0-only
/*
 * An L2 with nested paging; see nested_tdp.h.
 */
#include <stddef.h>

#include "hostfacts.h"
#include "nested_tdp.h"
#include "processor.h"
#include "svm_util.h"
#include "vmx.h"

/* Of nested_ctl in the VMCB; see AMD's APM, volume 2, appendix B. */
#define NESTED_CTL_NP_ENABLE	0x1ull

#define TDP_TABLE		0x7ull		/* all access */
#define TDP_LARGE		(0x7ull | 1ull << 7)

const char *nested_tdp_missing(void)
{
	const char *why = hostfacts_need_kvm() ?: hostfacts_need_stats();

	if (why)
		return why;
	if (kvm_cpu_has(X86_FEATURE_VMX))
		return hostfacts_param("kvm_intel", "ept") ? NULL :
		       "no EPT: kvm_intel's parameter ept is N";
	if (kvm_cpu_has(X86_FEATURE_SVM))
		return hostfacts_param("kvm_amd", "npt") ? NULL :
		       "no NPT: kvm_amd's parameter npt is N";
	return "no VMX or SVM for guests: load kvm_intel or kvm_amd with nested=1";
}

/* Maps NESTED_TDP_SIZE one to one, by pages of 2 MiB; returns the root. */
static vm_paddr_t nested_tdp_tables(struct kvm_vm *vm)
{
	vm_paddr_t root = vm_alloc_page_table(vm);
	vm_paddr_t upper = vm_alloc_page_table(vm);
	uint64_t *upper_entry, *entry;
	uint64_t gpa = 0;
	vm_paddr_t table;

	*(uint64_t *)addr_gpa2hva(vm, root) = upper | TDP_TABLE;
	upper_entry = addr_gpa2hva(vm, upper);
	while (gpa < NESTED_TDP_SIZE) {
		table = vm_alloc_page_table(vm);
		*upper_entry++ = table | TDP_TABLE;
		entry = addr_gpa2hva(vm, table);
		do {
			*entry++ = gpa | TDP_LARGE;
			gpa += PG_SIZE_2M;
		} while (gpa % PG_SIZE_1G);
	}
	return root;
}

vm_vaddr_t nested_tdp_init(struct kvm_vm *vm)
{
	vm_vaddr_t gva = vm_vaddr_alloc_page(vm);
	struct nested_tdp *tdp = addr_gva2hva(vm, gva);

	tdp->root = nested_tdp_tables(vm);
	if (kvm_cpu_has(X86_FEATURE_VMX))
		vcpu_alloc_vmx(vm, &tdp->vendor_area);
	else
		vcpu_alloc_svm(vm, &tdp->vendor_area);
	return gva;
}

void nested_tdp_prepare(vm_vaddr_t area, void *l2, void *stack)
{
	struct nested_tdp *tdp = (void *)area;
	struct svm_test_data *svm = (void *)tdp->vendor_area;
	struct vmx_pages *vmx = (void *)tdp->vendor_area;

	if (this_cpu_has(X86_FEATURE_VMX)) {
		GUEST_ASSERT(prepare_for_vmx_operation(vmx));
		GUEST_ASSERT(load_vmcs(vmx));
		vmx->eptp_gpa = tdp->root;
		prepare_vmcs(vmx, l2, stack);
	} else {
		generic_svm_setup(svm, l2, stack);
		svm->vmcb->control.nested_ctl |= NESTED_CTL_NP_ENABLE;
		svm->vmcb->control.nested_cr3 = tdp->root;
	}
}

void nested_tdp_enter_l2(vm_vaddr_t area, void *l2, void *stack)
{
	struct nested_tdp *tdp = (void *)area;
	struct svm_test_data *svm = (void *)tdp->vendor_area;

	nested_tdp_prepare(area, l2, stack);
	if (this_cpu_has(X86_FEATURE_VMX)) {
		GUEST_ASSERT(!vmlaunch());
		GUEST_ASSERT_1(false, vmreadz(VM_EXIT_REASON));
	} else {
		run_guest(svm->vmcb, svm->vmcb_gpa);
		GUEST_ASSERT_1(false, svm->vmcb->control.exit_code);
	}
}
