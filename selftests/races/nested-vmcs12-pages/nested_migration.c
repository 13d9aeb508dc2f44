// SPDX-License-Identifier: GPL-2.0-only
/*
 * A VM migrated in a loop under posted interrupts; see nested_migration.h.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "apic.h"
#include "kselftest.h"
#include "kvm_util.h"
#include "processor.h"
#include "nested_migration.h"
#include "pi_desc.h"
#include "test_util.h"
#include "vcpu_state.h"
#include "vmx.h"

#define L2_VECTOR	0x55
#define PI_NV		0xe3
#define L2_STACK_SIZE	512

/* Interrupts that L2 must have taken before it is migrated again. */
#define BATCH		3

/* How many more L1 may post until the VMM stops the vCPUs. */
#define MORE		1000

/*
 * Host time: the limit for L2 to take a batch, the interval of polling, and the
 * limit for L1 to post an interrupt and to send its notification.
 */
#define WAKE_MS		400
#define LOOK_US		500
#define POST_US		50000

/* In guest memory, which is migrated as well. */
struct shared {
	struct pi_desc pi_desc;
	uint64_t allowed;	/* set by the VMM: how many may have been posted */
	uint64_t posted;	/* set by L1's second vCPU */
	uint64_t l2_runs;	/* set by L2 */
	uint64_t arrived;	/* set by L2 */
};

/* For the guests; an interrupt handler has no argument of its own. */
static volatile struct shared *guest_shared;
static uint64_t l2_stack[L2_STACK_SIZE];

static void l2_irq_handler(struct ex_regs *regs)
{
	guest_shared->arrived++;
	/* The EOI goes to the virtual APIC: L1 does not intercept it. */
	x2apic_write_reg(APIC_EOI, 0);
}

static void l2_guest_code(void)
{
	guest_shared->l2_runs = 1;
	for (;;)
		asm volatile("sti; hlt; cli" ::: "memory");
}

static void l1_runs_l2(struct vmx_pages *vmx, volatile struct shared *shared,
		       uint64_t vapic_gpa, uint64_t pi_desc_gpa)
{
	uint32_t control;

	guest_shared = shared;
	x2apic_enable();
	GUEST_ASSERT(prepare_for_vmx_operation(vmx));
	GUEST_ASSERT(load_vmcs(vmx));
	prepare_vmcs(vmx, l2_guest_code, &l2_stack[L2_STACK_SIZE]);

	control = vmreadz(PIN_BASED_VM_EXEC_CONTROL);
	control |= PIN_BASED_EXT_INTR_MASK | PIN_BASED_POSTED_INTR;
	GUEST_ASSERT(!vmwrite(PIN_BASED_VM_EXEC_CONTROL, control));

	control = vmreadz(CPU_BASED_VM_EXEC_CONTROL);
	control |= CPU_BASED_TPR_SHADOW | CPU_BASED_USE_MSR_BITMAPS |
		   CPU_BASED_ACTIVATE_SECONDARY_CONTROLS;
	GUEST_ASSERT(!vmwrite(CPU_BASED_VM_EXEC_CONTROL, control));

	control = vmreadz(SECONDARY_VM_EXEC_CONTROL);
	control |= SECONDARY_EXEC_VIRTUAL_INTR_DELIVERY |
		   SECONDARY_EXEC_VIRTUALIZE_X2APIC_MODE;
	GUEST_ASSERT(!vmwrite(SECONDARY_VM_EXEC_CONTROL, control));

	control = vmreadz(VM_EXIT_CONTROLS) | VM_EXIT_ACK_INTR_ON_EXIT;
	GUEST_ASSERT(!vmwrite(VM_EXIT_CONTROLS, control));

	GUEST_ASSERT(!vmwrite(VIRTUAL_APIC_PAGE_ADDR, vapic_gpa));
	GUEST_ASSERT(!vmwrite(POSTED_INTR_NV, PI_NV));
	GUEST_ASSERT(!vmwrite(POSTED_INTR_DESC_ADDR, pi_desc_gpa));

	GUEST_ASSERT(!vmlaunch());
	/* L2 does nothing that causes an exit to L1. */
	GUEST_ASSERT_1(false, vmreadz(VM_EXIT_REASON));
}

static void l1_posts(volatile struct shared *shared)
{
	struct pi_desc *desc = (struct pi_desc *)&shared->pi_desc;

	x2apic_enable();
	/* Before L2 runs, notifications would reach L1, whose APIC may still be off. */
	while (!shared->l2_runs)
		cpu_relax();

	for (;;) {
		while (shared->posted >= shared->allowed)
			cpu_relax();

		shared->posted++;
		pi_post(desc, L2_VECTOR);
		/* Send the notification once, to APIC ID 0. */
		x2apic_write_reg(APIC_ICR, APIC_DM_FIXED | APIC_INT_ASSERT | PI_NV);

		/* Post one at a time: two of the same vector may merge into one. */
		while (shared->arrived < shared->posted)
			cpu_relax();
	}
}

enum { RUNS_L2, POSTS, NR_VCPUS };

struct vm {
	struct kvm_vm *vm;
	volatile struct shared *shared;
	struct kvm_vcpu *vcpu[NR_VCPUS];
	pthread_t thread[NR_VCPUS];
	bool running[NR_VCPUS];
};

static void kick_handler(int signum)
{
}

/* KVM_RUN until a signal ends it; the guests never exit to userspace themselves. */
static void *vcpu_thread(void *arg)
{
	struct kvm_vcpu *vcpu = arg;
	struct kvm_run *run = vcpu->run;
	struct ucall uc = {};
	int ret;

	do {
		ret = __vcpu_run(vcpu) ? -errno : 0;
	} while (ret == -EINTR && !run->immediate_exit);
	if (ret == -EINTR)
		return NULL;

	if (!ret)
		get_ucall(vcpu, &uc);
	TEST_FAIL("vCPU %u: KVM_RUN: %d, exit reason %u (%s), ucall %lu, 0x%lx, line %lu",
		  vcpu->id, ret, run->exit_reason, exit_reason_str(run->exit_reason),
		  uc.cmd, uc.args[0], uc.args[2]);
	return NULL;
}

static void vcpu_start(struct vm *vm, int which)
{
	int ret = pthread_create(&vm->thread[which], NULL, vcpu_thread,
				 vm->vcpu[which]);

	TEST_ASSERT(!ret, "pthread_create: %s", strerror(ret));
	vm->running[which] = true;
}

static void vcpu_stop(struct vm *vm, int which)
{
	if (!vm->running[which])
		return;
	/* Set immediate_exit first, which also ends a KVM_RUN that is about to start. */
	vm->vcpu[which]->run->immediate_exit = 1;
	pthread_kill(vm->thread[which], SIGUSR1);
	pthread_join(vm->thread[which], NULL);
	vm->vcpu[which]->run->immediate_exit = 0;
	vm->running[which] = false;
}

static bool vcpu_is_halted(struct vm *vm, int which)
{
	struct kvm_mp_state state;

	vcpu_mp_state_get(vm->vcpu[which], &state);
	return state.mp_state == KVM_MP_STATE_HALTED;
}

static void vm_start(struct vm *vm)
{
	vm_vaddr_t vmx_gva, vapic_gva, shared_gva;
	struct sigaction action = { .sa_handler = kick_handler };

	sigaction(SIGUSR1, &action, NULL);

	vm->vm = vm_create(NR_VCPUS);
	vm->vcpu[RUNS_L2] = vm_vcpu_add(vm->vm, RUNS_L2, l1_runs_l2);
	vm->vcpu[POSTS] = vm_vcpu_add(vm->vm, POSTS, l1_posts);
	vm_init_descriptor_tables(vm->vm);
	vcpu_init_descriptor_tables(vm->vcpu[RUNS_L2]);
	vm_install_exception_handler(vm->vm, L2_VECTOR, l2_irq_handler);

	vcpu_alloc_vmx(vm->vm, &vmx_gva);
	vapic_gva = vm_vaddr_alloc_page(vm->vm);
	shared_gva = vm_vaddr_alloc_page(vm->vm);
	vm->shared = addr_gva2hva(vm->vm, shared_gva);
	vcpu_args_set(vm->vcpu[RUNS_L2], 4, vmx_gva, shared_gva,
		      addr_gva2gpa(vm->vm, vapic_gva),
		      addr_gva2gpa(vm->vm, shared_gva) +
		      offsetof(struct shared, pi_desc));
	vcpu_args_set(vm->vcpu[POSTS], 1, shared_gva);
}

/* Moves the memory and the saved state to a new VM, as to another host. */
static void vm_migrate(struct vm *vm)
{
	struct vcpu_state *state[NR_VCPUS];
	int i;

	for (i = 0; i < NR_VCPUS; i++)
		state[i] = vcpu_state_save(vm->vcpu[i]);
	TEST_ASSERT(state[RUNS_L2]->nested.flags & KVM_STATE_NESTED_GUEST_MODE,
		    "the vCPU was saved outside L2");

	kvm_vm_release(vm->vm);
	kvm_vm_restart(vm->vm);
	for (i = 0; i < NR_VCPUS; i++)
		vm->vcpu[i] = vm_vcpu_recreate(vm->vm, i);
	for (i = 0; i < NR_VCPUS; i++) {
		vcpu_state_load(vm->vcpu[i], state[i]);
		vcpu_state_free(state[i]);
	}
}

static bool wait_for_arrival(struct vm *vm, uint64_t nr)
{
	unsigned int us;

	for (us = 0; us < WAKE_MS * 1000; us += LOOK_US) {
		if (vm->shared->arrived >= nr)
			return true;
		usleep(LOOK_US);
	}
	return vm->shared->arrived >= nr;
}

/* Waits for L2's next HLT, now that nothing is posted. */
static void wait_for_halt(struct vm *vm)
{
	for (;;) {
		vcpu_stop(vm, RUNS_L2);
		if (vcpu_is_halted(vm, RUNS_L2))
			return;
		vcpu_start(vm, RUNS_L2);
		usleep(LOOK_US);
	}
}

static bool is_under_way(struct vm *vm)
{
	return pi_outstanding((struct pi_desc *)&vm->shared->pi_desc);
}

/* Lets L1 post one more, which no vCPU takes: that of L2 is not in KVM_RUN. */
static void let_post(struct vm *vm)
{
	unsigned int us;

	vm->shared->allowed += MORE;
	for (us = 0; us < POST_US && !is_under_way(vm); us += LOOK_US)
		usleep(LOOK_US);
	/* Wait for the notification, which follows at once. */
	usleep(LOOK_US);
}

/* How the VMM stops the vCPUs, in turn; see nested_migration.h. */
enum stop { QUIET, POSTED, AS_THEY_COME, NR_STOPS };

static void vm_stop(struct vm *vm, enum stop stop)
{
	if (stop != AS_THEY_COME)
		wait_for_halt(vm);
	if (stop == POSTED)
		let_post(vm);
	vcpu_stop(vm, RUNS_L2);
	vcpu_stop(vm, POSTS);
}

static void count(struct nested_migration *result, struct vm *vm)
{
	bool halted = vcpu_is_halted(vm, RUNS_L2), under_way = is_under_way(vm);

	result->halted += halted;
	result->under_way += under_way;
	result->both += halted && under_way;
}

void nested_migration_run(struct nested_migration *result, unsigned int rounds)
{
	struct vm vm = {};
	uint64_t target;
	enum stop stop;

	memset(result, 0, sizeof(*result));
	vm_start(&vm);
	for (;;) {
		stop = result->rounds == rounds ? QUIET : result->rounds % NR_STOPS;
		target = vm.shared->arrived + BATCH;
		vm.shared->allowed = target + (stop == AS_THEY_COME ? MORE : 0);
		vcpu_start(&vm, RUNS_L2);
		vcpu_start(&vm, POSTS);
		result->asleep = !wait_for_arrival(&vm, target);
		if (result->asleep || result->rounds == rounds)
			break;

		vm_stop(&vm, stop);
		count(result, &vm);
		vm_migrate(&vm);
		result->rounds++;
	}

	vm_stop(&vm, AS_THEY_COME);
	result->posted = vm.shared->posted;
	result->arrived = vm.shared->arrived;
	kvm_vm_free(vm.vm);
}

void nested_migration_add(struct nested_migration *sum,
			  const struct nested_migration *one)
{
	sum->rounds += one->rounds;
	sum->halted += one->halted;
	sum->under_way += one->under_way;
	sum->both += one->both;
	sum->posted += one->posted;
	sum->arrived += one->arrived;
	sum->asleep |= one->asleep;
}

void nested_migration_print(const char *prefix, const struct nested_migration *is)
{
	ksft_print_msg("%s%u migrations, %u with L2 halted, %u with a notification under way, %u with both; %lu of %lu interrupts arrived\n",
		       prefix, is->rounds, is->halted, is->under_way, is->both,
		       is->arrived, is->posted);
}
