// SPDX-License-Identifier: GPL-2.0-only
/*
 * An L1 and an L2 that halts; see nested_guest.h.
 */
#include "apic.h"
#include "kvm_util.h"
#include "nested_guest.h"
#include "processor.h"
#include "svm_util.h"

/* vmcs12's activity state "HLT" */
#define ACTIVITY_HLT	1

#define L2_STACK_SIZE	512

static volatile uint64_t l2_irqs;
static uint64_t l2_stack[L2_STACK_SIZE];

void l2_irq_handler(struct ex_regs *regs)
{
	l2_irqs++;
}

/* For L2_LOW_VECTOR, #UD and NMIs */
static void l2_uncounted_handler(struct ex_regs *regs)
{
}

struct l2_config *l2_config_add(struct kvm_vm *vm, struct kvm_vcpu *vcpu,
				bool posted_intr)
{
	vm_vaddr_t vmx_gva, vapic_gva, pi_gva, config_gva;
	struct l2_config *config;

	vm_init_descriptor_tables(vm);
	vcpu_init_descriptor_tables(vcpu);
	vm_install_exception_handler(vm, L2_VECTOR, l2_irq_handler);
	vm_install_exception_handler(vm, L2_LAST_VECTOR, l2_irq_handler);
	vm_install_exception_handler(vm, L2_LOW_VECTOR, l2_uncounted_handler);
	vm_install_exception_handler(vm, UD_VECTOR, l2_uncounted_handler);
	vm_install_exception_handler(vm, NMI_VECTOR, l2_uncounted_handler);

	vcpu_alloc_vmx(vm, &vmx_gva);
	vapic_gva = vm_vaddr_alloc_page(vm);
	pi_gva = vm_vaddr_alloc_page(vm);
	config_gva = vm_vaddr_alloc_page(vm);
	config = addr_gva2hva(vm, config_gva);
	config->posted_intr = posted_intr;
	config->vapic_gpa = addr_gva2gpa(vm, vapic_gva);
	config->pi_desc_gpa = addr_gva2gpa(vm, pi_gva);
	config->vapic = (void *)vapic_gva;
	config->pi_desc = (void *)pi_gva;
	vcpu_args_set(vcpu, 2, vmx_gva, config_gva);
	return config;
}

void pend_in_vapic(uint8_t *vapic, uint8_t vector)
{
	vapic[APIC_IRR + vector / 32 * 0x10 + vector % 32 / 8] |= 1 << (vector % 8);
}

static void l2_halts(void)
{
	GUEST_SYNC(SYNC_L2_HALTS);
	/* After L1's VMRESUME the registers have L1's values. */
	asm volatile("sti; hlt; cli" ::: "rax", "rbx", "rcx", "rdx", "rsi", "rdi",
		     "rbp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
		     "memory");
	GUEST_SYNC_ARGS(SYNC_L2_AWAKE, l2_irqs, 0, 0, 0);
	GUEST_DONE();
}

void l1_halts(void)
{
	x2apic_enable();
	GUEST_SYNC(SYNC_L1_HALTS);
	asm volatile("cli; hlt; cli" ::: "memory");
	GUEST_SYNC_ARGS(SYNC_L2_AWAKE, l2_irqs, 0, 0, 0);
	GUEST_DONE();
}

void l1_halts_l2_on_svm(struct svm_test_data *svm)
{
	x2apic_enable();
	generic_svm_setup(svm, l2_halts, &l2_stack[L2_STACK_SIZE]);
	svm->vmcb->control.intercept |= BIT_ULL(INTERCEPT_INTR);
	/* Without V_INTR_MASKING, so that L2's RFLAGS.IF counts. */
	svm->vmcb->control.int_ctl = 0;
	run_guest(svm->vmcb, svm->vmcb_gpa);
	GUEST_ASSERT_1(svm->vmcb->control.exit_code == SVM_EXIT_INTR,
		       svm->vmcb->control.exit_code);
	GUEST_SYNC(SYNC_L1_GOES_ON);
	GUEST_DONE();
}

static void l2_exits(void)
{
	for (;;)
		vmcall();
}

/* In assembly, so that HLT is the function's first instruction. */
void l2_halts_at_once(void);
asm(".pushsection .text; l2_halts_at_once: hlt; ud2; .popsection");

/*
 * Takes an exception, so that KVM maps all that the CPU needs to deliver one.  A VM-exit from the
 * delivery of the next one would have KVM look for events.
 */
static void l2_takes_exceptions(void)
{
	asm volatile("int %0" :: "i"(UD_VECTOR) : "memory");
	GUEST_SYNC(SYNC_L2_TIMED);
	GUEST_SYNC_ARGS(SYNC_L2_AWAKE, l2_irqs, 0, 0, 0);
	GUEST_DONE();
}

static void set_controls(uint32_t field, uint32_t bits)
{
	GUEST_ASSERT(!vmwrite(field, vmreadz(field) | bits));
}

/* Sets up an L2 with virtual-interrupt delivery, ready for VMLAUNCH. */
static void l1_prepare(struct vmx_pages *vmx, struct l2_config *config, void *l2)
{
	x2apic_enable();
	GUEST_ASSERT(prepare_for_vmx_operation(vmx));
	GUEST_ASSERT(load_vmcs(vmx));
	prepare_vmcs(vmx, l2, &l2_stack[L2_STACK_SIZE]);

	set_controls(PIN_BASED_VM_EXEC_CONTROL, PIN_BASED_EXT_INTR_MASK);
	set_controls(CPU_BASED_VM_EXEC_CONTROL,
		     CPU_BASED_TPR_SHADOW | CPU_BASED_ACTIVATE_SECONDARY_CONTROLS);
	set_controls(SECONDARY_VM_EXEC_CONTROL,
		     SECONDARY_EXEC_VIRTUAL_INTR_DELIVERY);
	set_controls(VM_EXIT_CONTROLS, VM_EXIT_ACK_INTR_ON_EXIT);
	GUEST_ASSERT(!vmwrite(VIRTUAL_APIC_PAGE_ADDR, config->vapic_gpa));
	if (config->posted_intr) {
		set_controls(PIN_BASED_VM_EXEC_CONTROL, PIN_BASED_POSTED_INTR);
		GUEST_ASSERT(!vmwrite(POSTED_INTR_NV, PI_NV));
		GUEST_ASSERT(!vmwrite(POSTED_INTR_DESC_ADDR,
				      config->pi_desc_gpa));
	}
}

/*
 * Up to 6.11, KVM delivers a notification that was pending before L2 ran to L1,
 * which then has to inject the posted interrupt into L2.
 */
static void l1_handle_notification(struct l2_config *config)
{
	GUEST_ASSERT_1(vmreadz(VM_EXIT_REASON) == EXIT_REASON_EXTERNAL_INTERRUPT,
		       vmreadz(VM_EXIT_REASON));
	GUEST_ASSERT_1((vmreadz(VM_EXIT_INTR_INFO) & 0xff) == PI_NV,
		       vmreadz(VM_EXIT_INTR_INFO));
	x2apic_write_reg(APIC_EOI, 0);
	GUEST_ASSERT(pi_take(config->pi_desc, L2_VECTOR));
	pend_in_vapic(config->vapic, L2_VECTOR);
	GUEST_ASSERT(!vmwrite(GUEST_INTR_STATUS, L2_VECTOR));
}

void l1_halts_l2(struct vmx_pages *vmx, struct l2_config *config)
{
	l1_prepare(vmx, config, l2_halts);
	if (config->post_first)
		pi_post(config->pi_desc, L2_VECTOR);
	GUEST_ASSERT(!vmlaunch());
	l1_handle_notification(config);
	GUEST_ASSERT(!vmresume());
	/* Only an unexpected exit gets here. */
	GUEST_ASSERT_1(false, vmreadz(VM_EXIT_REASON));
}

/* Checks that L2 exited for @reason. */
static void l1_goes_on(uint32_t reason)
{
	GUEST_ASSERT_1(vmreadz(VM_EXIT_REASON) == reason, vmreadz(VM_EXIT_REASON));
	GUEST_SYNC(SYNC_L1_GOES_ON);
	GUEST_DONE();
}

void l1_takes_vid(struct vmx_pages *vmx, struct l2_config *config)
{
	uint32_t control;

	l1_prepare(vmx, config, l2_exits);
	/* Its RFLAGS.IF is clear. */
	pend_in_vapic(config->vapic, L2_VECTOR);
	GUEST_ASSERT(!vmwrite(GUEST_INTR_STATUS, L2_VECTOR));
	GUEST_ASSERT(!vmlaunch());
	GUEST_ASSERT_1(vmreadz(VM_EXIT_REASON) == EXIT_REASON_VMCALL,
		       vmreadz(VM_EXIT_REASON));
	GUEST_ASSERT_1(vmreadz(GUEST_INTR_STATUS) == L2_VECTOR, vmreadz(GUEST_INTR_STATUS));

	control = vmreadz(SECONDARY_VM_EXEC_CONTROL) & ~SECONDARY_EXEC_VIRTUAL_INTR_DELIVERY;
	GUEST_ASSERT(!vmwrite(SECONDARY_VM_EXEC_CONTROL, control));
	GUEST_ASSERT(!vmwrite(GUEST_RIP, (uint64_t)l2_halts));
	GUEST_ASSERT(!vmwrite(GUEST_RSP, (uint64_t)&l2_stack[L2_STACK_SIZE]));
	GUEST_ASSERT(!vmresume());
	l1_goes_on(EXIT_REASON_EXTERNAL_INTERRUPT);
}

void l1_leaves_interrupts(struct vmx_pages *vmx, struct l2_config *config)
{
	x2apic_enable();
	GUEST_ASSERT(prepare_for_vmx_operation(vmx));
	GUEST_ASSERT(load_vmcs(vmx));
	prepare_vmcs(vmx, l2_halts, &l2_stack[L2_STACK_SIZE]);
	GUEST_ASSERT(!vmlaunch());
	/* Only an unexpected exit gets here. */
	GUEST_ASSERT_1(false, vmreadz(VM_EXIT_REASON));
}

void l1_unbacks_vapic(struct vmx_pages *vmx, struct l2_config *config)
{
	l1_prepare(vmx, config, l2_exits);
	GUEST_ASSERT(!vmlaunch());
	GUEST_ASSERT_1(vmreadz(VM_EXIT_REASON) == EXIT_REASON_VMCALL,
		       vmreadz(VM_EXIT_REASON));

	set_controls(CPU_BASED_VM_EXEC_CONTROL,
		     CPU_BASED_CR8_LOAD_EXITING | CPU_BASED_CR8_STORE_EXITING);
	GUEST_ASSERT(!vmwrite(VIRTUAL_APIC_PAGE_ADDR, UNBACKED_GPA));
	GUEST_ASSERT(!vmwrite(GUEST_ACTIVITY_STATE, ACTIVITY_HLT));
	/* Early kernels require it even if L1 intercepts interrupts. */
	GUEST_ASSERT(!vmwrite(GUEST_RFLAGS, X86_EFLAGS_FIXED | X86_EFLAGS_IF));
	GUEST_SYNC(SYNC_L1_UNBACKS);
	GUEST_ASSERT(!vmresume());
	l1_goes_on(EXIT_REASON_EXTERNAL_INTERRUPT);
}

/* Runs @l2, which the VMX-preemption timer is to end. */
static void l1_times(struct vmx_pages *vmx, struct l2_config *config, void *l2)
{
	l1_prepare(vmx, config, l2);
	set_controls(PIN_BASED_VM_EXEC_CONTROL, PIN_BASED_VMX_PREEMPTION_TIMER);
	GUEST_ASSERT(!vmwrite(VMX_PREEMPTION_TIMER_VALUE, config->timer));
	GUEST_ASSERT(!vmlaunch());
	l1_goes_on(EXIT_REASON_PREEMPTION_TIMER);
}

void l1_times_l2(struct vmx_pages *vmx, struct l2_config *config)
{
	l1_times(vmx, config, l2_halts);
}

void l1_times_running_l2(struct vmx_pages *vmx, struct l2_config *config)
{
	l1_times(vmx, config, l2_takes_exceptions);
}

void l1_times_masked_l2(struct vmx_pages *vmx, struct l2_config *config)
{
	GUEST_ASSERT(prepare_for_vmx_operation(vmx));
	GUEST_ASSERT(load_vmcs(vmx));
	/* Its RFLAGS.IF is clear. */
	prepare_vmcs(vmx, l2_halts_at_once, &l2_stack[L2_STACK_SIZE]);
	set_controls(PIN_BASED_VM_EXEC_CONTROL, PIN_BASED_VMX_PREEMPTION_TIMER);
	GUEST_ASSERT(!vmwrite(VMX_PREEMPTION_TIMER_VALUE, config->timer));
	GUEST_SYNC(SYNC_L2_HALTS);
	GUEST_ASSERT(!vmlaunch());
	l1_goes_on(EXIT_REASON_PREEMPTION_TIMER);
}

void l1_traps_l2(struct vmx_pages *vmx, struct l2_config *config)
{
	l1_prepare(vmx, config, l2_halts_at_once);
	set_controls(CPU_BASED_VM_EXEC_CONTROL, CPU_BASED_MONITOR_TRAP);
	GUEST_SYNC(SYNC_L1_TRAPS);
	GUEST_ASSERT(!vmlaunch());
	l1_goes_on(EXIT_REASON_MONITOR_TRAP_FLAG);
}
