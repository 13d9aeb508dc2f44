// SPDX-License-Identifier: GPL-2.0-only
/*
 * A VM whose vCPUs report how they take their interrupts; see apicv_vm.h.
 */
#define _GNU_SOURCE /* for program_invocation_name */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "apic.h"
#include "apic_page.h"
#include "apicv_vm.h"
#include "autoeoi.h"
#include "leave_nested.h"
#include "processor.h"
#include "vm_stat.h"
#include "vmx.h"

/*
 * Vectors of different priority classes: of those in service only UPPER_VECTOR and HELD_VECTOR are
 * to block others.
 */
#define UPPER_VECTOR	0x95
#define HELD_VECTOR	0x85
#define L2_VECTOR	0x75
#define IPI_VECTOR	0x65
#define AUTOEOI_VECTOR	0x55

/* The in-service register, which the library lacks; 32 vectors in each 16 bytes. */
#define APIC_ISR	0x100

/* Far more pages than vm_create() gives a VM of these vCPUs; as many pins as KVM's I/O APIC. */
#define SPLIT_VM_PAGES	1024
#define IOAPIC_PINS	24
/* A pin that the PIC does not have. */
#define PIN		20

/* Far longer than a vCPU takes to wake up, even on a busy machine. */
#define WAKE_SECONDS	5

/* How long a guest spins for an interrupt that it sent to itself. */
#define IRQ_SPINS	20000

/* The first argument of a guest's UCALL_SYNC. */
enum { SYNC_DONE, SYNC_L2 };

#define GUEST_SEND_IPIS		1
#define GUEST_SEND_AUTOEOI	2
#define GUEST_HOLD		3
#define GUEST_EOI		4
#define GUEST_COUNT		5
#define GUEST_ENABLE		6
#define GUEST_DISABLE		7
#define GUEST_HOLD_UPPER	8

static volatile uint64_t guest_irqs[NR_VCPUS];
static uint64_t guest_command;

static volatile uint64_t l2_irqs;
#define L2_STACK_SIZE	512
static uint64_t l2_stack[L2_STACK_SIZE];

static bool guest_in_x2apic(void)
{
	return rdmsr(MSR_IA32_APICBASE) & MSR_IA32_APICBASE_EXTD;
}

static void guest_apic_write(unsigned int reg, uint32_t value)
{
	if (guest_in_x2apic())
		x2apic_write_reg(reg, value);
	else
		xapic_write_reg(reg, value);
}

static uint32_t guest_apic_read(unsigned int reg)
{
	return guest_in_x2apic() ? x2apic_read_reg(reg) : xapic_read_reg(reg);
}

static void guest_count_irq(void)
{
	guest_irqs[guest_in_x2apic() ? x2apic_read_reg(APIC_ID) :
		   xapic_read_reg(APIC_ID) >> 24]++;
}

static void guest_ipi_handler(struct ex_regs *regs)
{
	guest_count_irq();
	guest_apic_write(APIC_EOI, 0);
}

/* For AutoEOI interrupts, and for HELD_VECTOR and UPPER_VECTOR, which are to stay in service. */
static void guest_handler_without_eoi(struct ex_regs *regs)
{
	guest_count_irq();
}

static void l2_irq_handler(struct ex_regs *regs)
{
	l2_irqs++;
}

/* Sends itself @nr interrupts, one after the other; returns how many arrived. */
static uint64_t guest_send(uint64_t id, uint8_t vector, unsigned int nr)
{
	uint64_t before = guest_irqs[id];
	unsigned int i, spins;

	for (i = 0; i < nr; i++) {
		guest_apic_write(APIC_ICR, APIC_DEST_SELF | APIC_INT_ASSERT |
				 APIC_DM_FIXED | vector);
		for (spins = 0; spins < IRQ_SPINS; spins++) {
			if (guest_irqs[id] > before + i)
				break;
			asm volatile("pause");
		}
	}
	return guest_irqs[id] - before;
}

/* Is HELD_VECTOR in service? */
static uint64_t guest_holds(void)
{
	return !!(guest_apic_read(APIC_ISR + HELD_VECTOR / 32 * 0x10) &
		  BIT(HELD_VECTOR % 32));
}

/*
 * Disables the APIC with an interrupt pending, and enables it again; returns how many interrupts
 * came while it was disabled.
 */
static uint64_t guest_disable(uint64_t id)
{
	uint64_t base = rdmsr(MSR_IA32_APICBASE), before = guest_irqs[id], came;

	asm volatile("cli");
	guest_apic_write(APIC_ICR, APIC_DEST_SELF | APIC_INT_ASSERT | APIC_DM_FIXED | IPI_VECTOR);
	wrmsr(MSR_IA32_APICBASE, base & ~MSR_IA32_APICBASE_ENABLE);
	asm volatile("sti; nop; nop; cli");
	came = guest_irqs[id] - before;
	wrmsr(MSR_IA32_APICBASE, base);
	asm volatile("sti");
	return came;
}

static void guest_do_commands(uint64_t id)
{
	uint64_t result = 0;

	asm volatile("sti");

	for (;;) {
		switch (guest_command) {
		case GUEST_SEND_IPIS:
			result = guest_send(id, IPI_VECTOR, APICV_NR_IPIS);
			break;
		case GUEST_SEND_AUTOEOI:
			result = guest_send(id, AUTOEOI_VECTOR, APICV_NR_AUTOEOI);
			break;
		case GUEST_HOLD:
			guest_send(id, HELD_VECTOR, 1);
			result = guest_holds();
			break;
		case GUEST_HOLD_UPPER:
			guest_send(id, UPPER_VECTOR, 1);
			result = guest_holds();
			break;
		case GUEST_EOI:
			guest_apic_write(APIC_EOI, 0);
			result = guest_holds();
			break;
		case GUEST_COUNT:
			result = guest_irqs[id];
			break;
		case GUEST_ENABLE:
			xapic_enable();
			asm volatile("sti");
			break;
		case GUEST_DISABLE:
			result = guest_disable(id);
			break;
		}
		GUEST_SYNC_ARGS(SYNC_DONE, result, 0, 0, 0);
	}
}

static void guest_code(uint64_t id)
{
	xapic_enable();
	guest_do_commands(id);
}

/* Sends an interrupt to L1, which ends L2; L1 leaves it in service. */
static void l2_interrupts_l1(void)
{
	xapic_write_reg(APIC_ICR, APIC_DEST_SELF | APIC_INT_ASSERT | APIC_DM_FIXED | HELD_VECTOR);
	asm volatile("sti; nop; nop; cli");
	asm volatile("vmcall");
}

/* Ends L1's interrupt: L1 leaves its APIC to L2. */
static void l2_ends_irq(void)
{
	GUEST_SYNC_ARGS(SYNC_L2, l2_irqs, 0, 0, 0);
	xapic_write_reg(APIC_EOI, 0);
	GUEST_SYNC_ARGS(SYNC_L2, l2_irqs, 0, 0, 0);
	asm volatile("vmcall");
}

static void l2_guest_code(void)
{
	GUEST_SYNC_ARGS(SYNC_L2, l2_irqs, 0, 0, 0);
	asm volatile("sti; nop; cli");
	GUEST_SYNC_ARGS(SYNC_L2, l2_irqs, 0, 0, 0);
	asm volatile("vmcall");
}

/* Gives L2 virtual-interrupt delivery, with an interrupt pending. */
static void l1_give_vid(uint8_t *vapic, uint64_t vapic_gpa)
{
	uint32_t control;

	control = vmreadz(PIN_BASED_VM_EXEC_CONTROL) | PIN_BASED_EXT_INTR_MASK;
	GUEST_ASSERT(!vmwrite(PIN_BASED_VM_EXEC_CONTROL, control));
	control = vmreadz(CPU_BASED_VM_EXEC_CONTROL);
	control |= CPU_BASED_TPR_SHADOW | CPU_BASED_ACTIVATE_SECONDARY_CONTROLS;
	GUEST_ASSERT(!vmwrite(CPU_BASED_VM_EXEC_CONTROL, control));
	control = vmreadz(SECONDARY_VM_EXEC_CONTROL);
	control |= SECONDARY_EXEC_VIRTUAL_INTR_DELIVERY;
	GUEST_ASSERT(!vmwrite(SECONDARY_VM_EXEC_CONTROL, control));

	GUEST_ASSERT(!vmwrite(VIRTUAL_APIC_PAGE_ADDR, vapic_gpa));
	vapic[APIC_IRR + (L2_VECTOR / 32) * 0x10 + (L2_VECTOR % 32) / 8] |=
		1 << (L2_VECTOR % 8);
	GUEST_ASSERT(!vmwrite(GUEST_INTR_STATUS, L2_VECTOR));
}

/* L1 has interrupts end L2, and has the exit acknowledge them. */
static void l1_take_interrupts(void)
{
	uint32_t control;

	control = vmreadz(PIN_BASED_VM_EXEC_CONTROL) | PIN_BASED_EXT_INTR_MASK;
	GUEST_ASSERT(!vmwrite(PIN_BASED_VM_EXEC_CONTROL, control));
	control = vmreadz(VM_EXIT_CONTROLS) | VM_EXIT_ACK_INTR_ON_EXIT;
	GUEST_ASSERT(!vmwrite(VM_EXIT_CONTROLS, control));
}

/* The L2 for these flags of apicv_vm_add_nested_vcpu() */
static void *l2_for(uint64_t flags)
{
	if (flags & APICV_L2_INTERRUPTS)
		return l2_interrupts_l1;
	return flags & APICV_L2_ENDS ? l2_ends_irq : l2_guest_code;
}

static void l1_guest_code(uint64_t id, uint64_t flags, struct vmx_pages *vmx,
			  uint8_t *vapic, uint64_t vapic_gpa)
{
	if (flags & APICV_L1_X2APIC)
		x2apic_enable();
	else
		xapic_enable();
	if (flags & APICV_L1_HOLDS) {
		asm volatile("sti");
		guest_send(id, HELD_VECTOR, 1);
		asm volatile("cli");
		GUEST_ASSERT(guest_holds());
	}

	GUEST_ASSERT(prepare_for_vmx_operation(vmx));
	GUEST_ASSERT(load_vmcs(vmx));
	prepare_vmcs(vmx, l2_for(flags), &l2_stack[L2_STACK_SIZE]);
	if (flags & APICV_L2_INTERRUPTS)
		l1_take_interrupts();
	if (flags & APICV_L2_VID)
		l1_give_vid(vapic, vapic_gpa);
	GUEST_ASSERT(!vmlaunch());
	GUEST_ASSERT_1(vmreadz(VM_EXIT_REASON) == (flags & APICV_L2_INTERRUPTS ?
						   EXIT_REASON_EXTERNAL_INTERRUPT :
						   EXIT_REASON_VMCALL),
		       vmreadz(VM_EXIT_REASON));
	guest_do_commands(id);
}

static void prepare_vcpu(struct apicv_vm *vm, int id)
{
	vcpu_init_descriptor_tables(vm->vcpu[id]);
	vcpu_args_set(vm->vcpu[id], 1, (uint64_t)id);
}

void apicv_vm_add_vcpu(struct apicv_vm *vm, int id)
{
	vm->vcpu[id] = vm_vcpu_add(vm->vm, id, guest_code);
	prepare_vcpu(vm, id);
}

void apicv_vm_add_nested_vcpu(struct apicv_vm *vm, int id,
			      unsigned int flags)
{
	vm_vaddr_t vmx, vapic = 0;
	vm_paddr_t vapic_gpa = 0;

	vm->vcpu[id] = vm_vcpu_add(vm->vm, id, l1_guest_code);
	vcpu_init_descriptor_tables(vm->vcpu[id]);
	vcpu_alloc_vmx(vm->vm, &vmx);
	if (flags & APICV_L2_VID) {
		vapic = vm_vaddr_alloc_page(vm->vm);
		vapic_gpa = addr_gva2gpa(vm->vm, vapic);
	}
	vcpu_args_set(vm->vcpu[id], 5, (uint64_t)id, (uint64_t)flags, vmx, vapic,
		      vapic_gpa);
}

static void prepare(struct apicv_vm *vm)
{
	vm_init_descriptor_tables(vm->vm);
	vm_install_exception_handler(vm->vm, IPI_VECTOR, guest_ipi_handler);
	vm_install_exception_handler(vm->vm, AUTOEOI_VECTOR,
				     guest_handler_without_eoi);
	vm_install_exception_handler(vm->vm, HELD_VECTOR,
				     guest_handler_without_eoi);
	vm_install_exception_handler(vm->vm, UPPER_VECTOR,
				     guest_handler_without_eoi);
	vm_install_exception_handler(vm->vm, L2_VECTOR, l2_irq_handler);
	virt_pg_map(vm->vm, APIC_DEFAULT_GPA, APIC_DEFAULT_GPA);
}

static void populate(struct apicv_vm *vm)
{
	apicv_vm_add_vcpu(vm, TOGGLER);
	apicv_vm_add_vcpu(vm, WITNESS);
}

void apicv_vm_create(struct apicv_vm *vm)
{
	vm->vm = vm_create(NR_VCPUS);
	prepare(vm);
	populate(vm);
}

void *apicv_vm_create_with_page(struct apicv_vm *vm)
{
	void *page;

	vm->vm = vm_create(NR_VCPUS);
	prepare(vm);
	page = apic_page_add_vcpu(vm->vm, TOGGLER, guest_code, &vm->vcpu[TOGGLER]);
	prepare_vcpu(vm, TOGGLER);
	apicv_vm_add_vcpu(vm, WITNESS);
	return page;
}

void apicv_vm_create_split_empty(struct apicv_vm *vm)
{
	memset(vm, 0, sizeof(*vm));
	vm->vm = ____vm_create(VM_MODE_DEFAULT, SPLIT_VM_PAGES);
	kvm_vm_elf_load(vm->vm, program_invocation_name);
	vm_enable_cap(vm->vm, KVM_CAP_SPLIT_IRQCHIP, IOAPIC_PINS);
	prepare(vm);
}

void apicv_vm_create_split(struct apicv_vm *vm)
{
	apicv_vm_create_split_empty(vm);
	populate(vm);
}

/* Prints why KVM_RUN ended without a sync. */
static void print_exit(int id, struct kvm_vcpu *vcpu, const struct ucall *uc)
{
	struct kvm_run *run = vcpu->run;

	ksft_print_msg("vCPU %d: exit reason %u (%s)\n", id, run->exit_reason,
		       exit_reason_str(run->exit_reason));
	if (run->exit_reason == KVM_EXIT_FAIL_ENTRY)
		ksft_print_msg("VM-entry failed, hardware reason 0x%llx\n",
			       run->fail_entry.hardware_entry_failure_reason);
	if (uc->cmd == UCALL_ABORT)
		ksft_print_msg("%s at %s:%lu, %lx\n", (char *)uc->args[0],
			       (char *)uc->args[1], uc->args[2], uc->args[3]);
}

uint64_t apicv_vm_run_l2(struct apicv_vm *vm, int id)
{
	struct kvm_vcpu *vcpu = vm->vcpu[id];
	struct ucall uc;

	vcpu_run(vcpu);
	if (get_ucall(vcpu, &uc) == UCALL_SYNC && uc.args[1] == SYNC_L2)
		return uc.args[2];
	print_exit(id, vcpu, &uc);
	return APICV_L2_DIED;
}

void apicv_vm_leave_l2(struct apicv_vm *vm, int id)
{
	leave_nested_for(vm->vcpu[id], guest_do_commands, id);
}

static uint64_t run_command(struct apicv_vm *vm, int id, uint64_t command)
{
	struct kvm_vcpu *vcpu = vm->vcpu[id];
	struct ucall uc;

	guest_command = command;
	sync_global_to_guest(vm->vm, guest_command);
	vcpu_run(vcpu);
	if (get_ucall(vcpu, &uc) != UCALL_SYNC || uc.args[1] != SYNC_DONE) {
		print_exit(id, vcpu, &uc);
		TEST_FAIL("vCPU %d did not do its work", id);
	}
	return uc.args[2];
}

struct apicv_irqs apicv_vm_send_ipis(struct apicv_vm *vm, int id)
{
	uint64_t before = vm_stat(vm->vm, "irq_injections");
	struct apicv_irqs irqs;

	irqs.came = run_command(vm, id, GUEST_SEND_IPIS);
	irqs.injected = vm_stat(vm->vm, "irq_injections") - before;
	ksft_print_msg("vCPU %d: %lu of %d interrupts came, KVM injected %lu\n",
		       id, irqs.came, APICV_NR_IPIS, irqs.injected);
	return irqs;
}

bool apicv_vm_in_use(struct apicv_vm *vm, int id)
{
	struct apicv_irqs irqs = apicv_vm_send_ipis(vm, id);

	TEST_ASSERT(irqs.came == APICV_NR_IPIS, "vCPU %d: %lu of %d IPIs came",
		    id, irqs.came, APICV_NR_IPIS);
	return irqs.injected < APICV_NR_IPIS / 2;
}

const char *apicv_vm_unused(struct apicv_vm *vm)
{
	return apicv_vm_in_use(vm, WITNESS) ? NULL :
	       "APICv is inhibited from the start: AVIC is, where a guest may use x2APIC or SVM";
}

uint64_t apicv_vm_send_autoeoi(struct apicv_vm *vm, int id)
{
	return run_command(vm, id, GUEST_SEND_AUTOEOI);
}

/* Sets or clears the interrupt's bit in the ISR by KVM_SET_LAPIC. */
static void set_held(struct apicv_vm *vm, int id, bool held)
{
	unsigned int at = APIC_ISR + HELD_VECTOR / 32 * 0x10 + HELD_VECTOR % 32 / 8;
	struct kvm_lapic_state lapic;

	vcpu_ioctl(vm->vcpu[id], KVM_GET_LAPIC, &lapic);
	if (held)
		lapic.regs[at] |= 1 << (HELD_VECTOR % 8);
	else
		lapic.regs[at] &= ~(1 << (HELD_VECTOR % 8));
	vcpu_ioctl(vm->vcpu[id], KVM_SET_LAPIC, &lapic);
}

void apicv_vm_set_held(struct apicv_vm *vm, int id)
{
	set_held(vm, id, true);
}

void apicv_vm_clear_held(struct apicv_vm *vm, int id)
{
	set_held(vm, id, false);
}

void apicv_vm_init(struct apicv_vm *vm, int id)
{
	struct kvm_vcpu *vcpu = vm->vcpu[id];
	struct kvm_msi msi = {
		.address_lo = APIC_DEFAULT_GPA | (id << 12),
		.data = APIC_DM_INIT | APIC_INT_ASSERT,
	};
	struct kvm_mp_state mp_state;
	struct kvm_sregs sregs;
	struct kvm_regs regs;

	vcpu_run_complete_io(vcpu);
	vcpu_regs_get(vcpu, &regs);
	vcpu_sregs_get(vcpu, &sregs);
	TEST_ASSERT(__vm_ioctl(vm->vm, KVM_SIGNAL_MSI, &msi) == 1,
		    "vCPU %d did not accept INIT", id);
	/* KVM_GET_MP_STATE processes a pending INIT. */
	vcpu_mp_state_get(vcpu, &mp_state);
	TEST_ASSERT(mp_state.mp_state == KVM_MP_STATE_INIT_RECEIVED,
		    "vCPU %d is in state %u after INIT", id, mp_state.mp_state);
	vcpu_sregs_set(vcpu, &sregs);
	vcpu_regs_set(vcpu, &regs);
	mp_state.mp_state = KVM_MP_STATE_RUNNABLE;
	vcpu_mp_state_set(vcpu, &mp_state);
	run_command(vm, id, GUEST_ENABLE);
}

uint64_t apicv_vm_disable(struct apicv_vm *vm, int id)
{
	return run_command(vm, id, GUEST_DISABLE);
}

static void signal_vcpu(struct apicv_vm *vm, int id)
{
	struct kvm_msi msi = {
		.address_lo = APIC_DEFAULT_GPA | (id << 12),
		.data = IPI_VECTOR,
	};

	TEST_ASSERT(__vm_ioctl(vm->vm, KVM_SIGNAL_MSI, &msi) == 1,
		    "vCPU %d did not accept the interrupt", id);
}

/* Enables the APIC of a vCPU that has not run yet. */
static void enable_new(struct apicv_vm *vm, int id)
{
	struct kvm_lapic_state lapic;
	uint32_t spiv;

	vcpu_ioctl(vm->vcpu[id], KVM_GET_LAPIC, &lapic);
	memcpy(&spiv, lapic.regs + APIC_SPIV, sizeof(spiv));
	spiv |= APIC_SPIV_APIC_ENABLED;
	memcpy(lapic.regs + APIC_SPIV, &spiv, sizeof(spiv));
	vcpu_ioctl(vm->vcpu[id], KVM_SET_LAPIC, &lapic);
}

void apicv_vm_signal_new(struct apicv_vm *vm, int id)
{
	enable_new(vm, id);
	signal_vcpu(vm, id);
}

void apicv_vm_restore_pin(struct apicv_vm *vm, int id)
{
	struct kvm_irqchip irqchip = { .chip_id = KVM_IRQCHIP_IOAPIC };
	struct kvm_ioapic_state *ioapic = &irqchip.chip.ioapic;

	enable_new(vm, id);
	vm_ioctl(vm->vm, KVM_GET_IRQCHIP, &irqchip);
	ioapic->redirtbl[PIN].bits = 0;
	ioapic->redirtbl[PIN].fields.vector = IPI_VECTOR;
	ioapic->redirtbl[PIN].fields.trig_mode = 1;	/* by level */
	ioapic->redirtbl[PIN].fields.dest_id = id;
	vm_ioctl(vm->vm, KVM_SET_IRQCHIP, &irqchip);
}

void apicv_vm_pulse_pin(struct apicv_vm *vm)
{
	kvm_irq_line(vm->vm, PIN, 1);
	kvm_irq_line(vm->vm, PIN, 0);
}

void apicv_vm_signal(struct apicv_vm *vm, int id)
{
	struct kvm_lapic_state lapic;

	signal_vcpu(vm, id);
	vcpu_ioctl(vm->vcpu[id], KVM_GET_LAPIC, &lapic);
}

static void wake_handler(int signum)
{
}

bool apicv_vm_wakes(struct apicv_vm *vm, int id)
{
	struct kvm_mp_state halted = { .mp_state = KVM_MP_STATE_HALTED };
	struct sigaction action = { .sa_handler = wake_handler };
	struct kvm_vcpu *vcpu = vm->vcpu[id];
	int ret;

	vcpu_run_complete_io(vcpu);
	apicv_vm_signal(vm, id);
	vcpu_mp_state_set(vcpu, &halted);
	guest_command = GUEST_COUNT;
	sync_global_to_guest(vm->vm, guest_command);
	sigaction(SIGALRM, &action, NULL);
	alarm(WAKE_SECONDS);
	ret = __vcpu_run(vcpu);
	alarm(0);
	return !ret;
}

uint64_t apicv_vm_nr_taken(struct apicv_vm *vm, int id)
{
	return run_command(vm, id, GUEST_COUNT);
}

bool apicv_vm_hold(struct apicv_vm *vm, int id)
{
	return run_command(vm, id, GUEST_HOLD);
}

bool apicv_vm_hold_upper(struct apicv_vm *vm, int id)
{
	return run_command(vm, id, GUEST_HOLD_UPPER);
}

bool apicv_vm_eoi(struct apicv_vm *vm, int id)
{
	return run_command(vm, id, GUEST_EOI);
}

static void set_autoeoi_sint(struct kvm_vcpu *vcpu, bool on)
{
	autoeoi_set(vcpu, AUTOEOI_VECTOR, on);
}

static void set_blockirq(struct kvm_vcpu *vcpu, bool on)
{
	struct kvm_guest_debug debug = {
		.control = on ? KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_BLOCKIRQ : 0,
	};

	vcpu_guest_debug_set(vcpu, &debug);
}

const struct apicv_inhibit apicv_autoeoi = { "AutoEOI SINT", set_autoeoi_sint };
const struct apicv_inhibit apicv_blockirq = { "KVM_GUESTDBG_BLOCKIRQ",
					      set_blockirq };

const char *apicv_blockirq_missing(void)
{
	return kvm_check_cap(KVM_CAP_SET_GUEST_DEBUG2) & KVM_GUESTDBG_BLOCKIRQ ?
	       NULL : "this kernel has no KVM_GUESTDBG_BLOCKIRQ";
}
