// SPDX-License-Identifier: GPL-2.0-only
/*
 * Test that a vCPU restored as halted in L2 wakes up for L2's interrupts:
 * KVM_RUN must map vmcs12's pages before it asks whether the vCPU can run.
 *
 * L1 gives L2 virtual-interrupt delivery and, in some cases, posted interrupts.
 * L2 halts; the VMM saves the vCPU, makes a new VM (or keeps this one), restores
 * the vCPU, and runs it.  An interrupt is pending at the restore, or arrives
 * after it.  Nothing has to be raced for: the order of the VMM's own calls is
 * the interleaving, and each case says in its pass which one it went through.
 *
 * Oracle: L2's interrupt handler ran, L2 slept where nothing was pending, and
 * the kernel neither warned nor oopsed.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>

#include "apic.h"
#include "kvm_util.h"
#include "nested_migration.h"
#include "pi_desc.h"
#include "processor.h"
#include "racefix.h"
#include "racegate_client.h"
#include "vcpu_state.h"
#include "vmx.h"

/* L2's interrupt, and the notification vector that L1 chose; any would do. */
#define L2_VECTOR	0x55
#define PI_NV		0xe3

/* In KVM's vmcs12, whose layout is ABI (VMCS12_REVISION 0x11e57ed0). */
#define VMCS12_VIRTUAL_APIC_PAGE_ADDR	96
#define VMCS12_APIC_ACCESS_ADDR		104
#define VMCS12_SECONDARY_EXEC_CONTROL	804
#define VMCS12_GUEST_INTR_STATUS	980

/* A guest-physical page that no memslot backs. */
#define UNBACKED_GPA	0xc0000000ull

/* Guest time that a vCPU gets to wake up, and a notification to be noticed. */
#define WAKE_MS		200
#define SETTLE_MS	20

#define SYNC_L2_HALTS	1
#define SYNC_L2_AWAKE	2

/* How often migration_loop migrates. */
#define MIGRATIONS	20

/* How L2 is to be set up; the guest reads it. */
struct l2_config {
	uint64_t posted_intr;
	uint64_t vapic_gpa;
	uint64_t pi_desc_gpa;
	uint8_t *vapic;
	struct pi_desc *pi_desc;
};

static volatile uint64_t l2_irqs;
#define L2_STACK_SIZE	512
static uint64_t l2_stack[L2_STACK_SIZE];

static void l2_irq_handler(struct ex_regs *regs)
{
	l2_irqs++;
}

static void l2_guest_code(void)
{
	GUEST_SYNC(SYNC_L2_HALTS);
	/* L1's VMRESUME leaves L2 none of its registers. */
	asm volatile("sti; hlt; cli" ::: "rax", "rbx", "rcx", "rdx", "rsi", "rdi",
		     "rbp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
		     "memory");
	GUEST_SYNC_ARGS(SYNC_L2_AWAKE, l2_irqs, 0, 0, 0);
	GUEST_DONE();
}

static void pend_in_vapic(uint8_t *vapic)
{
	vapic[APIC_IRR + (L2_VECTOR / 32) * 0x10 + (L2_VECTOR % 32) / 8] |=
		1 << (L2_VECTOR % 8);
}

/*
 * Up to 6.11, a notification that was pending before L2 ran goes to L1, whose
 * part it then is to give L2 what was posted.
 */
static void l1_handle_notification(struct l2_config *config)
{
	GUEST_ASSERT_1(vmreadz(VM_EXIT_REASON) == EXIT_REASON_EXTERNAL_INTERRUPT,
		       vmreadz(VM_EXIT_REASON));
	GUEST_ASSERT_1((vmreadz(VM_EXIT_INTR_INFO) & 0xff) == PI_NV,
		       vmreadz(VM_EXIT_INTR_INFO));
	x2apic_write_reg(APIC_EOI, 0);
	GUEST_ASSERT(pi_take(config->pi_desc, L2_VECTOR));
	pend_in_vapic(config->vapic);
	GUEST_ASSERT(!vmwrite(GUEST_INTR_STATUS, L2_VECTOR));
}

static void l1_guest_code(struct vmx_pages *vmx, struct l2_config *config)
{
	uint32_t control;

	x2apic_enable();
	GUEST_ASSERT(prepare_for_vmx_operation(vmx));
	GUEST_ASSERT(load_vmcs(vmx));
	prepare_vmcs(vmx, l2_guest_code, &l2_stack[L2_STACK_SIZE]);

	control = vmreadz(PIN_BASED_VM_EXEC_CONTROL) | PIN_BASED_EXT_INTR_MASK;
	if (config->posted_intr)
		control |= PIN_BASED_POSTED_INTR;
	GUEST_ASSERT(!vmwrite(PIN_BASED_VM_EXEC_CONTROL, control));

	control = vmreadz(CPU_BASED_VM_EXEC_CONTROL);
	control |= CPU_BASED_TPR_SHADOW | CPU_BASED_ACTIVATE_SECONDARY_CONTROLS;
	GUEST_ASSERT(!vmwrite(CPU_BASED_VM_EXEC_CONTROL, control));

	control = vmreadz(SECONDARY_VM_EXEC_CONTROL);
	control |= SECONDARY_EXEC_VIRTUAL_INTR_DELIVERY;
	GUEST_ASSERT(!vmwrite(SECONDARY_VM_EXEC_CONTROL, control));

	control = vmreadz(VM_EXIT_CONTROLS) | VM_EXIT_ACK_INTR_ON_EXIT;
	GUEST_ASSERT(!vmwrite(VM_EXIT_CONTROLS, control));

	GUEST_ASSERT(!vmwrite(VIRTUAL_APIC_PAGE_ADDR, config->vapic_gpa));
	if (config->posted_intr) {
		GUEST_ASSERT(!vmwrite(POSTED_INTR_NV, PI_NV));
		GUEST_ASSERT(!vmwrite(POSTED_INTR_DESC_ADDR,
				      config->pi_desc_gpa));
	}

	GUEST_ASSERT(!vmlaunch());
	l1_handle_notification(config);
	GUEST_ASSERT(!vmresume());
	/* Only an exit that the test does not cause brings L1 back again. */
	GUEST_ASSERT_1(false, vmreadz(VM_EXIT_REASON));
}

struct vmm {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpu;
	struct vcpu_state *state;
	uint8_t *vapic;
	struct pi_desc *pi_desc;
	struct rg *rg;	/* NULL: no racegate, hence no ladder */
};

/* What a bounded KVM_RUN came to. */
enum outcome {
	ASLEEP,		/* still halted when the time was up */
	WOKE,		/* L2 runs, and its handler ran once */
	WOKE_NO_IRQ,	/* L2 runs, but took no interrupt */
	REFUSED,	/* userspace is told that the state cannot be run */
	OTHER,		/* anything else; printed */
};

static const char * const outcome_name[] = {
	[ASLEEP] = "it is still asleep",
	[WOKE] = "it woke up and took the interrupt",
	[WOKE_NO_IRQ] = "it woke up without an interrupt",
	[REFUSED] = "KVM_RUN ended with an internal error",
	[OTHER] = "something else happened",
};

static struct kvm_run *kicked_run;

static void kick_handler(int signum)
{
	/* Also ends a KVM_RUN that is only about to start. */
	kicked_run->immediate_exit = 1;
}

/* KVM_RUN for at most @ms milliseconds of the host's time; 0 or -errno. */
static int run_bounded(struct kvm_vcpu *vcpu, unsigned int ms)
{
	struct itimerspec when = {
		.it_value.tv_sec = ms / 1000,
		.it_value.tv_nsec = ms % 1000 * 1000000,
	};
	struct sigevent event = {
		.sigev_notify = SIGEV_SIGNAL,
		.sigev_signo = SIGUSR1,
	};
	struct sigaction action = { .sa_handler = kick_handler };
	timer_t timer;
	int ret;

	kicked_run = vcpu->run;
	sigaction(SIGUSR1, &action, NULL);
	TEST_ASSERT(!timer_create(CLOCK_MONOTONIC, &event, &timer),
		    "timer_create: %s", strerror(errno));
	TEST_ASSERT(!timer_settime(timer, 0, &when, NULL),
		    "timer_settime: %s", strerror(errno));
	ret = __vcpu_run(vcpu) ? -errno : 0;
	timer_delete(timer);
	vcpu->run->immediate_exit = 0;
	return ret;
}

/*
 * What the ladder is made of.  Nothing is held: these are only recorded, and the
 * test does the same without racegate.  Not every kernel has all of them.
 */
static const struct rg_point landmarks[] = {
	{ .symbol = "kvm_intel:vmx_set_nested_state",
	  .label = "KVM_SET_NESTED_STATE" },
	{ .symbol = "kvm:kvm_arch_vcpu_ioctl_set_mpstate",
	  .label = "KVM_SET_MP_STATE" },
	{ .symbol = "kvm:kvm_arch_vcpu_ioctl_run", .label = "KVM_RUN" },
	{ .symbol = "kvm_intel:vmx_get_nested_state_pages",
	  .label = "maps vmcs12's pages" },
	{ .symbol = "kvm:kvm_arch_vcpu_runnable", .where = RG_RETURN,
	  .label = "can it run?" },
	{ .symbol = "kvm:kvm_vcpu_block", .label = "blocks" },
};

static struct rg *landmarks_rg;

static void arm_landmarks(void)
{
	if (hostfacts_need_nested_vid() || racefix_is_named("stress"))
		return;
	if (rg_open_armed(&landmarks_rg, landmarks, ARRAY_SIZE(landmarks)) < 0)
		ksft_print_msg("no ladder: %s\n", rg_strerror());
}

/* Begins the ladder of what the VMM does from here on. */
static void watch(struct vmm *vmm)
{
	vmm->rg = landmarks_rg;
	if (!vmm->rg)
		return;
	rg_name_thread(vmm->rg, rg_gettid(), "VMM, runs the vCPU");
	rg_forget(vmm->rg);
}

static void mark(struct vmm *vmm, const char *text)
{
	if (vmm->rg)
		rg_mark(vmm->rg, text);
}

/* Prints it, and begins another one. */
static void print_ladder(struct vmm *vmm)
{
	if (!vmm->rg)
		return;
	rg_ladder(vmm->rg, stdout);
	rg_forget(vmm->rg);
}

static uint32_t mp_state(struct kvm_vcpu *vcpu)
{
	struct kvm_mp_state state;

	vcpu_mp_state_get(vcpu, &state);
	return state.mp_state;
}

/* Makes a VM and runs it up to where L2 sleeps in HLT. */
static void vmm_run_to_halt(struct vmm *vmm, bool posted_intr)
{
	vm_vaddr_t vmx_gva, vapic_gva, pi_gva, config_gva;
	struct l2_config *config;
	struct ucall uc;

	vmm->vm = vm_create_with_one_vcpu(&vmm->vcpu, l1_guest_code);
	vm_init_descriptor_tables(vmm->vm);
	vcpu_init_descriptor_tables(vmm->vcpu);
	vm_install_exception_handler(vmm->vm, L2_VECTOR, l2_irq_handler);

	vcpu_alloc_vmx(vmm->vm, &vmx_gva);
	vapic_gva = vm_vaddr_alloc_page(vmm->vm);
	pi_gva = vm_vaddr_alloc_page(vmm->vm);
	config_gva = vm_vaddr_alloc_page(vmm->vm);
	vmm->vapic = addr_gva2hva(vmm->vm, vapic_gva);
	vmm->pi_desc = addr_gva2hva(vmm->vm, pi_gva);
	config = addr_gva2hva(vmm->vm, config_gva);
	config->posted_intr = posted_intr;
	config->vapic_gpa = addr_gva2gpa(vmm->vm, vapic_gva);
	config->pi_desc_gpa = addr_gva2gpa(vmm->vm, pi_gva);
	config->vapic = (void *)vapic_gva;
	config->pi_desc = (void *)pi_gva;
	vcpu_args_set(vmm->vcpu, 2, vmx_gva, config_gva);

	vcpu_run(vmm->vcpu);
	switch (get_ucall(vmm->vcpu, &uc)) {
	case UCALL_SYNC:
		TEST_ASSERT(uc.args[1] == SYNC_L2_HALTS,
			    "sync %lu, L2 was to halt", uc.args[1]);
		break;
	case UCALL_ABORT:
		REPORT_GUEST_ASSERT(uc);
	default:
		TEST_FAIL("L2 did not start: exit reason %u (%s)",
			  vmm->vcpu->run->exit_reason,
			  exit_reason_str(vmm->vcpu->run->exit_reason));
	}

	do {
		int ret = run_bounded(vmm->vcpu, SETTLE_MS);

		TEST_ASSERT(ret == -EINTR, "L2 was to halt, KVM_RUN: %d", ret);
	} while (mp_state(vmm->vcpu) != KVM_MP_STATE_HALTED);
}

/* Runs the restored vCPU, and says what became of L2. */
static enum outcome vmm_run(struct vmm *vmm, unsigned int ms)
{
	struct kvm_run *run = vmm->vcpu->run;
	struct ucall uc;
	int ret;

	ret = run_bounded(vmm->vcpu, ms);
	if (ret == -EINTR && mp_state(vmm->vcpu) == KVM_MP_STATE_HALTED)
		return ASLEEP;
	if (ret) {
		ksft_print_msg("KVM_RUN: %s, mp_state %u\n", strerror(-ret),
			       mp_state(vmm->vcpu));
		return OTHER;
	}
	if (get_ucall(vmm->vcpu, &uc) == UCALL_SYNC &&
	    uc.args[1] == SYNC_L2_AWAKE)
		return uc.args[2] == 1 ? WOKE : WOKE_NO_IRQ;

	ksft_print_msg("exit reason %u (%s), suberror %u, ucall %lu\n",
		       run->exit_reason, exit_reason_str(run->exit_reason),
		       run->internal.suberror, uc.cmd);
	if (uc.cmd == UCALL_UNHANDLED)
		ksft_print_msg("guest: unhandled vector 0x%lx\n", uc.args[0]);
	if (uc.cmd == UCALL_ABORT)
		ksft_print_msg("%s at %s:%lu, %lx\n", (char *)uc.args[0],
			       (char *)uc.args[1], uc.args[2], uc.args[3]);
	return run->exit_reason == KVM_EXIT_INTERNAL_ERROR ? REFUSED : OTHER;
}

static void vmm_save(struct vmm *vmm)
{
	vmm->state = vcpu_state_save(vmm->vcpu);
	TEST_ASSERT(vmm->state->nested.flags & KVM_STATE_NESTED_GUEST_MODE,
		    "the vCPU was saved outside L2");
	TEST_ASSERT(vmm->state->mp_state.mp_state == KVM_MP_STATE_HALTED,
		    "the vCPU was saved awake");
}

/* The VM's memory, and a new VM and vCPU around it: the destination host's. */
static void vmm_restore_new_vm(struct vmm *vmm)
{
	kvm_vm_release(vmm->vm);
	vmm->vcpu = vm_recreate_with_one_vcpu(vmm->vm);
	vcpu_state_load(vmm->vcpu, vmm->state);
}

/* The same VM and vCPU, which have run L2: a snapshot is reverted. */
static void vmm_restore_same_vm(struct vmm *vmm)
{
	vcpu_state_leave_nested(vmm->vcpu);
	vcpu_state_load(vmm->vcpu, vmm->state);
}

static uint8_t *saved_vmcs12(struct vmm *vmm)
{
	return vmm->state->nested.data.vmx[0].vmcs12;
}

/* What a CPU leaves that recognised L2_VECTOR just when the VM was stopped. */
static void vmm_pend_in_rvi(struct vmm *vmm)
{
	uint16_t intr_status = L2_VECTOR;

	memcpy(saved_vmcs12(vmm) + VMCS12_GUEST_INTR_STATUS, &intr_status,
	       sizeof(intr_status));
	pend_in_vapic(vmm->vapic);
}

/* An interrupt was posted, and its notification is still pending in L1's APIC. */
static void vmm_pend_notification(struct vmm *vmm)
{
	pi_post(vmm->pi_desc, L2_VECTOR);
	vmm->state->lapic.regs[APIC_IRR + (PI_NV / 32) * 0x10 + (PI_NV % 32) / 8] |=
		1 << (PI_NV % 8);
}

/* What an IOMMU, or another of L1's vCPUs, does to interrupt L2. */
static void vmm_post_interrupt(struct vmm *vmm)
{
	struct kvm_msi msi = {
		.address_lo = 0xfee00000,	/* to APIC ID 0 */
		.data = PI_NV,
	};

	mark(vmm, "posts an interrupt to L2");
	pi_post(vmm->pi_desc, L2_VECTOR);
	TEST_ASSERT(__vm_ioctl(vmm->vm, KVM_SIGNAL_MSI, &msi) == 1,
		    "the notification was not accepted");
}

static void *post_interrupt_thread(void *arg)
{
	struct vmm *vmm = arg;
	struct timespec settle = { .tv_nsec = SETTLE_MS * 1000000 };

	/* Late is what matters: the vCPU is to be blocked by then. */
	nanosleep(&settle, NULL);
	if (vmm->rg)
		rg_name_thread(vmm->rg, rg_gettid(), "a device of L1's");
	vmm_post_interrupt(vmm);
	return NULL;
}

#define EXPECT_OUTCOME(wanted, vmm) \
	do { \
		enum outcome __is = vmm_run(vmm, WAKE_MS); \
		mark(vmm, outcome_name[__is]); \
		print_ladder(vmm); \
		EXPECT_EQ(wanted, __is) { \
			TH_LOG("L2 was restored halted; %s", outcome_name[__is]); \
		} \
		ksft_print_msg("forced: %s; %s\n", _metadata->name, \
			       outcome_name[__is]); \
	} while (0)

#define BEGIN(vmm, posted_intr) \
	do { \
		RACEFIX_REQUIRE(hostfacts_need_nested_vid()); \
		ASSERT_EQ(0, klog_mark()); \
		vmm_run_to_halt(vmm, posted_intr); \
		vmm_save(vmm); \
		watch(vmm); \
	} while (0)

TEST(rvi_pending)
{
	struct vmm vmm;

	BEGIN(&vmm, false);
	vmm_pend_in_rvi(&vmm);
	vmm_restore_new_vm(&vmm);
	EXPECT_OUTCOME(WOKE, &vmm);
	RACEFIX_LOG_CLEAN();
}

TEST(posted_before_run)
{
	struct vmm vmm;

	BEGIN(&vmm, true);
	vmm_restore_new_vm(&vmm);
	vmm_post_interrupt(&vmm);
	EXPECT_OUTCOME(WOKE, &vmm);
	RACEFIX_LOG_CLEAN();
}

TEST(posted_while_blocked)
{
	pthread_t thread;
	struct vmm vmm;

	BEGIN(&vmm, true);
	vmm_restore_new_vm(&vmm);
	ASSERT_EQ(0, pthread_create(&thread, NULL, post_interrupt_thread, &vmm));
	EXPECT_OUTCOME(WOKE, &vmm);
	pthread_join(thread, NULL);
	RACEFIX_LOG_CLEAN();
}

TEST(notification_pending)
{
	struct vmm vmm;

	BEGIN(&vmm, true);
	vmm_pend_notification(&vmm);
	vmm_restore_new_vm(&vmm);
	EXPECT_OUTCOME(WOKE, &vmm);
	RACEFIX_LOG_CLEAN();
}

TEST(nothing_pending)
{
	struct vmm vmm;

	BEGIN(&vmm, true);
	vmm_restore_new_vm(&vmm);
	EXPECT_OUTCOME(ASLEEP, &vmm);
	/* It was asleep, not dead. */
	vmm_post_interrupt(&vmm);
	EXPECT_OUTCOME(WOKE, &vmm);
	RACEFIX_LOG_CLEAN();
}

TEST(runnable)
{
	struct vmm vmm;

	BEGIN(&vmm, false);
	vmm_pend_in_rvi(&vmm);
	vmm.state->mp_state.mp_state = KVM_MP_STATE_RUNNABLE;
	vmm_restore_new_vm(&vmm);
	EXPECT_OUTCOME(WOKE, &vmm);
	RACEFIX_LOG_CLEAN();
}

TEST(unbacked_apic_access)
{
	uint32_t control = SECONDARY_EXEC_VIRTUAL_INTR_DELIVERY |
			   SECONDARY_EXEC_VIRTUALIZE_APIC_ACCESSES;
	uint64_t gpa = UNBACKED_GPA;
	struct vmm vmm;

	BEGIN(&vmm, false);
	memcpy(saved_vmcs12(&vmm) + VMCS12_SECONDARY_EXEC_CONTROL, &control,
	       sizeof(control));
	memcpy(saved_vmcs12(&vmm) + VMCS12_APIC_ACCESS_ADDR, &gpa, sizeof(gpa));
	vmm_restore_new_vm(&vmm);
	/* KVM cannot go on without that page, and must say so; not sleep. */
	EXPECT_OUTCOME(REFUSED, &vmm);
	RACEFIX_LOG_CLEAN();
}

TEST(migration_loop)
{
	struct nested_migration is;

	RACEFIX_REQUIRE(hostfacts_need_nested_vid());
	ASSERT_EQ(0, klog_mark());
	nested_migration_run(&is, MIGRATIONS);
	EXPECT_FALSE(is.asleep) {
		TH_LOG("L2 sleeps after migration %u", is.rounds);
	}
	EXPECT_EQ(is.posted, is.arrived) {
		TH_LOG("L1 posted %lu interrupts, L2 took %lu", is.posted, is.arrived);
	}
	ksft_print_msg("forced: %u migrations, %u with L2 halted, %u with an interrupt under way; "
		       "%lu of %lu interrupts arrived, %lu notifications were sent again\n",
		       is.rounds, is.halted, is.posting, is.arrived, is.posted, is.resent);
	RACEFIX_LOG_CLEAN();
}

/* Half of the migrations are of an idle L2, the others come as they may. */
TEST(stress)
{
	struct nested_migration is;
	struct stress stress;
	unsigned int i;

	RACEFIX_STRESS(hostfacts_need_nested_vid());
	stress_begin(&stress, racefix_seconds);
	while (stress_goes_on(&stress)) {
		nested_migration_run(&is, MIGRATIONS);
		for (i = 0; i < is.rounds; i++)
			stress_count(&stress, is.asleep && i + 1 == is.rounds);
	}
	RACEFIX_STRESS_END(&stress);
}

TEST(snapshot_revert)
{
	struct vmm vmm;

	RACEFIX_DESTRUCTIVE("up to 6.0, KVM_RUN reads address 0xa0 and oopses");
	BEGIN(&vmm, false);
	vmm_pend_in_rvi(&vmm);
	vmm_restore_same_vm(&vmm);
	EXPECT_OUTCOME(WOKE, &vmm);
	RACEFIX_LOG_CLEAN();
}

TEST(unbacked_vapic)
{
	uint64_t gpa = UNBACKED_GPA;
	struct vmm vmm;

	RACEFIX_DESTRUCTIVE("up to 6.0, KVM_RUN reads address 0xa0 and oopses");
	BEGIN(&vmm, false);
	memcpy(saved_vmcs12(&vmm) + VMCS12_VIRTUAL_APIC_PAGE_ADDR, &gpa,
	       sizeof(gpa));
	vmm_restore_same_vm(&vmm);
	/* There is no interrupt to be found, and nothing to trip over. */
	EXPECT_OUTCOME(ASLEEP, &vmm);
	RACEFIX_LOG_CLEAN();
}

RACEFIX_MAIN_AFTER(arm_landmarks)
