// SPDX-License-Identifier: GPL-2.0-only
/*
 * An L2 that exits to L1, or to KVM alone; see costs.h.
 */
#include "costs.h"
#include "svm_util.h"
#include "vmx.h"

#define STACK		512

/* The length of VMCALL, which L1 has to skip. */
#define VMCALL_BYTES	3

static uint64_t l2_stack[STACK];

static void l2_svm_exits(void)
{
	for (;;)
		asm volatile("vmmcall");
}

static void l2_vmx_exits(void)
{
	for (;;)
		asm volatile("vmcall");
}

/* L1 does not ask for exits of this MSR: L0 handles them. */
static void l2_svm_samples(void)
{
	guest_rdmsr_samples();
	l2_svm_exits();
}

static void l2_vmx_samples(void)
{
	guest_rdmsr_samples();
	l2_vmx_exits();
}

static void l1_svm(struct svm_test_data *svm, void *l2, int rounds)
{
	uint64_t begin;
	int i;

	generic_svm_setup(svm, l2, &l2_stack[STACK]);
	for (i = 0; i < rounds; i++) {
		begin = rdtsc();
		run_guest(svm->vmcb, svm->vmcb_gpa);
		if (l2 == l2_svm_exits)
			sample_add(&guest_sample, begin);
		GUEST_ASSERT(svm->vmcb->control.exit_code == SVM_EXIT_VMMCALL);
		svm->vmcb->save.rip += VMCALL_BYTES;
	}
	GUEST_DONE();
}

static void l1_vmx(struct vmx_pages *vmx, void *l2, int rounds)
{
	uint64_t begin;
	int i;

	GUEST_ASSERT(prepare_for_vmx_operation(vmx));
	GUEST_ASSERT(load_vmcs(vmx));
	prepare_vmcs(vmx, l2, &l2_stack[STACK]);
	/* Without an MSR bitmap every access to an MSR exits to L1. */
	GUEST_ASSERT(!vmwrite(CPU_BASED_VM_EXEC_CONTROL,
			      vmreadz(CPU_BASED_VM_EXEC_CONTROL) | CPU_BASED_USE_MSR_BITMAPS));
	GUEST_ASSERT(!vmlaunch());
	for (i = 0; i < rounds; i++) {
		GUEST_ASSERT(vmreadz(VM_EXIT_REASON) == EXIT_REASON_VMCALL);
		GUEST_ASSERT(!vmwrite(GUEST_RIP, vmreadz(GUEST_RIP) + VMCALL_BYTES));
		begin = rdtsc();
		vmresume();
		if (l2 == l2_vmx_exits)
			sample_add(&guest_sample, begin);
	}
	GUEST_DONE();
}

static const char *measure_nested(struct sample *sample, void *svm_l2, void *vmx_l2, int rounds)
{
	bool svm = kvm_cpu_has(X86_FEATURE_SVM);
	vm_vaddr_t pages;
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm;

	if (!svm && !kvm_cpu_has(X86_FEATURE_VMX))
		return "no nested virtualization on these modules";
	vm = vm_create_with_one_vcpu(&vcpu, svm ? (void *)l1_svm : (void *)l1_vmx);
	if (svm)
		vcpu_alloc_svm(vm, &pages);
	else
		vcpu_alloc_vmx(vm, &pages);
	vcpu_args_set(vcpu, 3, pages, svm ? svm_l2 : vmx_l2, rounds);
	vm_sample(vm, vcpu, sample);
	return NULL;
}

const char *measure_nested_exit_to_l1(struct sample *sample)
{
	return measure_nested(sample, l2_svm_exits, l2_vmx_exits, ROUNDS);
}

const char *measure_nested_exit_to_l0(struct sample *sample)
{
	return measure_nested(sample, l2_svm_samples, l2_vmx_samples, 1);
}
