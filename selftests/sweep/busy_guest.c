// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest of a busy VM: it executes one command after the other, with a GUEST_SYNC() after
 * each.  It runs in L1, or in an L2 that shares L1's memory and interrupts.
 */
#include "apic.h"
#include "busy.h"
#include "svm_util.h"
#include "tdp-mmu-zap/nested_tdp.h"
#include "vmx.h"

#define INSTRUCTION_BYTES	3	/* the length of vmcall and of vmmcall */
#define X86_EFLAGS_IF		0x200

static struct busy_words words;
static uint64_t l2_stack[1024];
/* Values to write: incrementing the memory itself would read it first, a second access. */
static uint64_t touches[BUSY_VCPUS];
/* Set in L1: on VMX, CPUID in L2 exits to L1. */
static bool is_vmx;

static void irq_handler(struct ex_regs *regs)
{
	unsigned int irq = regs->vector - VECTOR_FIRST;

	__atomic_fetch_add(&words.irqs[irq], 1, __ATOMIC_RELAXED);
	if (!(regs->rflags & X86_EFLAGS_IF))
		__atomic_fetch_add(&words.masked[irq], 1, __ATOMIC_RELAXED);
	x2apic_write_reg(APIC_EOI, 0);
}

static void do_once(uint64_t nr)
{
	volatile uint64_t *data = (void *)BUSY_GPA(DATA);

	switch (*(volatile uint64_t *)&words.command[nr]) {
	case DO_TOUCH:
		data[nr] = ++touches[nr];
		break;
	case DO_OUT:
		asm volatile("outb %%al, %%dx" : : "a"(0), "d"(BUSY_PORT));
		break;
	case DO_IPI:
		x2apic_write_reg(APIC_ICR, ((uint64_t)!nr << 32) | APIC_INT_ASSERT |
				 APIC_DM_FIXED | (VECTOR_FIRST + IRQ_IPI));
		break;
	case DO_RDMSR:
		rdmsr(BUSY_MSR);
		break;
	case DO_VMCALL:
		if (is_vmx)
			vmcall();
		else
			asm volatile("push %%rbp; vmmcall; pop %%rbp" : : :
				     "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "r8",
				     "r9", "r10", "r11", "r12", "r13", "r14", "r15");
		break;
	}
}

static void loop(uint64_t nr)
{
	asm volatile("sti");
	for (;;) {
		do_once(nr);
		GUEST_SYNC(0);
	}
}

static void l2_code(void)
{
	loop(0);
}

/* Runs L2, whose only exits to L1 are calls. */
static void run_l2(vm_vaddr_t area)
{
	struct nested_tdp *tdp = (void *)area;
	struct svm_test_data *svm = (void *)tdp->vendor_area;
	bool launched = false;

	is_vmx = this_cpu_has(X86_FEATURE_VMX);
	nested_tdp_prepare(area, l2_code, &l2_stack[ARRAY_SIZE(l2_stack)]);
	if (is_vmx)
		vmwrite(CPU_BASED_VM_EXEC_CONTROL,
			vmreadz(CPU_BASED_VM_EXEC_CONTROL) |
			CPU_BASED_USE_MSR_BITMAPS);
	for (;;) {
		if (is_vmx) {
			GUEST_ASSERT(!(launched ? vmresume() : vmlaunch()));
			GUEST_ASSERT_1(vmreadz(VM_EXIT_REASON) == EXIT_REASON_VMCALL,
				       vmreadz(VM_EXIT_REASON));
			vmwrite(GUEST_RIP, vmreadz(GUEST_RIP) + INSTRUCTION_BYTES);
			launched = true;
		} else {
			run_guest(svm->vmcb, svm->vmcb_gpa);
			GUEST_ASSERT_1(svm->vmcb->control.exit_code ==
				       SVM_EXIT_VMMCALL,
				       svm->vmcb->control.exit_code);
			svm->vmcb->save.rip += INSTRUCTION_BYTES;
		}
	}
}

void busy_guest_code(uint64_t nr, vm_vaddr_t l2_area)
{
	x2apic_enable();
	if (l2_area)
		run_l2(l2_area);
	loop(nr);
}

/* Puts L1's VMCB, or on VMX its MSR bitmap, into the memslot NESTED: KVM maps both. */
static void place_vmcb(struct busy *busy)
{
	struct nested_tdp *tdp = addr_gva2hva(busy->vm, busy->l2_area);
	struct svm_test_data *svm = addr_gva2hva(busy->vm, tdp->vendor_area);
	struct vmx_pages *vmx = (void *)svm;
	void *page = (void *)BUSY_GPA(NESTED);

	if (kvm_cpu_has(X86_FEATURE_VMX)) {
		vmx->msr = page;
		vmx->msr_gpa = BUSY_GPA(NESTED);
	} else {
		svm->vmcb = page;
		svm->vmcb_gpa = BUSY_GPA(NESTED);
	}
}

void busy_guest_init(struct busy *busy)
{
	unsigned int i;

	vm_init_descriptor_tables(busy->vm);
	for (i = 0; i < NR_IRQS; i++)
		vm_install_exception_handler(busy->vm, VECTOR_FIRST + i, irq_handler);
	for (i = 0; i < BUSY_SLOTS; i++)
		virt_pg_map(busy->vm, BUSY_GPA(i), BUSY_GPA(i));
	busy->words = addr_gva2hva(busy->vm, (vm_vaddr_t)&words);
	if (busy->l2) {
		busy->l2_area = nested_tdp_init(busy->vm);
		place_vmcb(busy);
	}
}
