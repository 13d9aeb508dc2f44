// SPDX-License-Identifier: GPL-2.0-only
/*
 * Test that a vCPU restored as halted in L2 wakes up for L2's interrupts:
 * KVM_RUN must map vmcs12's pages before it checks whether the vCPU can run.
 *
 * L1 gives L2 virtual-interrupt delivery and, in some cases, posted interrupts.
 * L2 halts; the VMM saves the vCPU, creates a new VM (or keeps this one), restores
 * the vCPU, and runs it.  An interrupt is pending at the restore, or arrives
 * before or after it.  No thread has to be held: the order of the VMM's own calls
 * is the interleaving.  If racegate is loaded, a case passes only if the record has
 * that order.
 *
 * Oracle: L2's interrupt handler ran, L2 slept where nothing was pending, and
 * the kernel neither warned nor oopsed.
 */
#include <errno.h>
#include <unistd.h>

#include "kvm_util.h"
#include "nested_migration.h"
#include "nested_vmm.h"
#include "nested_watch.h"
#include "processor.h"
#include "racefix.h"
#include "racegate_client.h"

/* How often migration_loop migrates. */
#define MIGRATIONS	20

/* A priority class above that of L2_VECTOR. */
#define HIGH_PRIORITY	0x60
/* Below L2_VECTOR, but of its class: that masks L2_VECTOR as well. */
#define SAME_PRIORITY	(L2_VECTOR & 0xf0)
/* A class above that of L2_LOW_VECTOR, and below that of L2_VECTOR. */
#define BETWEEN		0x40

/* L2's timer, from VM-entry on: longer than L2 takes to halt, even in Bochs. */
#define TIMER_MS	500

#define READS_NULL \
	"KVM_RUN reads address 0xa0 and oopses (before 6.10; in 6.1 up to 6.1.176)"

static void arm_watch(void)
{
	if (!hostfacts_need_nested_vid() && !racefix_is_named("stress"))
		nested_watch_arm();
}

/*
 * Checks the outcome of vmm_run(), and that the record has the steps, a list of enum
 * nested_step.  A last STEP_BLOCKS is the expected sleep, which the VMM does not force: if
 * the outcome is another one, the record need not have it, and the case fails.
 */
#define EXPECT_OUTCOME(wanted, vmm, ...) \
	EXPECT_OUTCOME_IS(wanted, vmm_run(vmm, WAKE_MS), __VA_ARGS__)

/* The same for a vCPU that was saved and restored first. */
#define EXPECT_RESTORED(wanted, vmm, ...) \
	EXPECT_OUTCOME(wanted, vmm, STEP_SAVES, STEP_RESTORES, \
		       STEP_SETS_MP_STATE, __VA_ARGS__)

#define EXPECT_OUTCOME_IS(wanted, run, ...) \
	do { \
		static const enum nested_step __steps[] = { __VA_ARGS__ }; \
		enum outcome __is = run; \
		unsigned int __n = ARRAY_SIZE(__steps) - \
			(__is != (wanted) && \
			 __steps[ARRAY_SIZE(__steps) - 1] == STEP_BLOCKS); \
		const char *__lacks = nested_watch_lacks(__steps, __n); \
		nested_watch_print(outcome_name(__is)); \
		if (__lacks) \
			SKIP(return, "not forced: %s is not in the record, or not in its place", \
			     __lacks); \
		EXPECT_EQ(wanted, __is) { \
			TH_LOG("of L2: %s", outcome_name(__is)); \
		} \
		ksft_print_msg("forced: %s (%s); %s\n", _metadata->name, \
			       nested_watch_says(__steps, ARRAY_SIZE(__steps)), \
			       outcome_name(__is)); \
	} while (0)

/* Runs a new VM until L2 is halted; vmm_save() is to follow. */
#define BEGIN(vmm, posted_intr) \
	do { \
		RACEFIX_REQUIRE(hostfacts_need_nested_vid()); \
		RACEFIX_LOG_MARK(); \
		vmm_create(vmm, l1_halts_l2, posted_intr); \
		vmm_run_to_sync(vmm, SYNC_L2_HALTS); \
		vmm_run_to_halt(vmm); \
		nested_watch_begin(); \
	} while (0)

#define BEGIN_SAVED(vmm, posted_intr) \
	do { \
		BEGIN(vmm, posted_intr); \
		vmm_save(vmm); \
	} while (0)

TEST(rvi_pending)
{
	struct vmm vmm;

	BEGIN_SAVED(&vmm, false);
	vmm_pend_in_rvi(&vmm, L2_VECTOR);
	vmm_restore_new_vm(&vmm);
	EXPECT_RESTORED(WOKE, &vmm, STEP_RUNS);
	RACEFIX_LOG_CLEAN();
}

TEST(posted_before_run)
{
	struct vmm vmm;

	BEGIN_SAVED(&vmm, true);
	vmm_restore_new_vm(&vmm);
	vmm_post_interrupt(&vmm);
	EXPECT_RESTORED(WOKE, &vmm, STEP_POSTS, STEP_RUNS);
	EXPECT_FALSE(pi_take(vmm.pi_desc, L2_VECTOR)) {
		TH_LOG("the interrupt is still posted, and would come again");
	}
	RACEFIX_LOG_CLEAN();
}

TEST(posted_while_blocked)
{
	enum outcome is;
	struct vmm vmm;
	bool blocked;

	BEGIN_SAVED(&vmm, true);
	vmm_restore_new_vm(&vmm);
	is = vmm_run_and_post(&vmm, WAKE_MS, &blocked);
	if (!blocked)
		SKIP(return, "not forced: the vCPU's thread was not seen asleep in kvm_vcpu_block()");
	EXPECT_OUTCOME_IS(WOKE, is, STEP_SAVES, STEP_RESTORES, STEP_SETS_MP_STATE,
			  STEP_RUNS, STEP_BLOCKS, STEP_POSTS);
	RACEFIX_LOG_CLEAN();
}

/*
 * The notification is sent once, to a vCPU that is not in KVM_RUN, before the vCPU
 * is saved.  KVM does not save it, but ON and the PIR are in memory.
 */
TEST(posted_before_save)
{
	struct vmm vmm;

	BEGIN(&vmm, true);
	vmm_post_interrupt(&vmm);
	vmm_save(&vmm);
	vmm_restore_new_vm(&vmm);
	EXPECT_OUTCOME(WOKE, &vmm, STEP_POSTS, STEP_SAVES, STEP_RESTORES,
		       STEP_SETS_MP_STATE, STEP_RUNS);
	RACEFIX_LOG_CLEAN();
}

/* The same, with an L2 that is restored as running, after its HLT. */
TEST(posted_before_save_runnable)
{
	struct vmm vmm;

	BEGIN(&vmm, true);
	vmm_post_interrupt(&vmm);
	vmm_save(&vmm);
	vmm.state->mp_state.mp_state = KVM_MP_STATE_RUNNABLE;
	vmm_restore_new_vm(&vmm);
	EXPECT_OUTCOME(WOKE, &vmm, STEP_POSTS, STEP_SAVES, STEP_RESTORES,
		       STEP_SETS_MP_STATE, STEP_RUNS);
	RACEFIX_LOG_CLEAN();
}

TEST(notification_pending)
{
	struct vmm vmm;

	BEGIN_SAVED(&vmm, true);
	vmm_pend_notification(&vmm);
	vmm_restore_new_vm(&vmm);
	EXPECT_RESTORED(WOKE, &vmm, STEP_RUNS);
	RACEFIX_LOG_CLEAN();
}

TEST(nothing_pending)
{
	struct vmm vmm;

	BEGIN_SAVED(&vmm, true);
	vmm_restore_new_vm(&vmm);
	EXPECT_RESTORED(ASLEEP, &vmm, STEP_RUNS, STEP_BLOCKS);
	/* L2 still wakes up for an interrupt. */
	vmm_post_interrupt(&vmm);
	EXPECT_OUTCOME(WOKE, &vmm, STEP_POSTS, STEP_RUNS);
	RACEFIX_LOG_CLEAN();
}

/*
 * Once the pages are mapped, KVM processes the PIR only after a notification, as in a VM that was
 * not restored.
 */
TEST(posted_unnotified)
{
	struct vmm vmm;

	BEGIN_SAVED(&vmm, true);
	vmm_restore_new_vm(&vmm);
	EXPECT_RESTORED(ASLEEP, &vmm, STEP_RUNS, STEP_BLOCKS);
	pi_post(vmm.pi_desc, L2_VECTOR);
	EXPECT_OUTCOME(ASLEEP, &vmm, STEP_RUNS, STEP_BLOCKS);
	vmm_notify(&vmm);
	EXPECT_OUTCOME(WOKE, &vmm, STEP_RUNS);
	RACEFIX_LOG_CLEAN();
}

/* Control: the notification vector alone is no interrupt to wake up for. */
TEST(notified_of_nothing)
{
	struct vmm vmm;

	BEGIN_SAVED(&vmm, true);
	vmm_restore_new_vm(&vmm);
	vmm_notify(&vmm);
	EXPECT_RESTORED(ASLEEP, &vmm, STEP_RUNS, STEP_BLOCKS);
	vmm_post_interrupt(&vmm);
	EXPECT_OUTCOME(WOKE, &vmm, STEP_POSTS, STEP_RUNS);
	RACEFIX_LOG_CLEAN();
}

/* A posted interrupt of a class that L2's priority masks must not wake it, either. */
static void posted_held_back(struct __test_metadata *_metadata, uint32_t priority)
{
	struct vmm vmm;

	BEGIN_SAVED(&vmm, true);
	vmm_set_priority(&vmm, priority);
	vmm_restore_new_vm(&vmm);
	vmm_post_interrupt(&vmm);
	EXPECT_RESTORED(ASLEEP, &vmm, STEP_POSTS, STEP_RUNS,
			STEP_BLOCKS);
	vmm_set_priority(&vmm, 0);
	EXPECT_OUTCOME(WOKE, &vmm, STEP_RUNS);
	RACEFIX_LOG_CLEAN();
}

TEST(posted_below_priority)
{
	posted_held_back(_metadata, HIGH_PRIORITY);
}

TEST(posted_at_priority)
{
	posted_held_back(_metadata, SAME_PRIORITY);
}

/* An interrupt in service masks others as well: then VPPR is above VTPR. */
TEST(posted_below_service)
{
	struct vmm vmm;

	BEGIN_SAVED(&vmm, true);
	vmm_set_service(&vmm, HIGH_PRIORITY);
	vmm_restore_new_vm(&vmm);
	vmm_post_interrupt(&vmm);
	EXPECT_RESTORED(ASLEEP, &vmm, STEP_POSTS, STEP_RUNS, STEP_BLOCKS);
	vmm_set_service(&vmm, 0);
	EXPECT_OUTCOME(WOKE, &vmm, STEP_RUNS);
	RACEFIX_LOG_CLEAN();
}

/*
 * The same for an L2 that is restored as running, and SVI, which the CPU takes into account.  KVM
 * must leave it alone when it moves the posted interrupt to RVI.
 */
TEST(posted_below_service_runnable)
{
	uint16_t intr_status = HIGH_PRIORITY << 8;
	struct vmm vmm;

	BEGIN_SAVED(&vmm, true);
	vmm_set_vmcs12(&vmm, VMCS12_GUEST_INTR_STATUS, &intr_status, sizeof(intr_status));
	vmm_set_service(&vmm, HIGH_PRIORITY);
	vmm.state->mp_state.mp_state = KVM_MP_STATE_RUNNABLE;
	vmm_restore_new_vm(&vmm);
	vmm_post_interrupt(&vmm);
	EXPECT_RESTORED(WOKE_NO_IRQ, &vmm, STEP_POSTS, STEP_RUNS);
	RACEFIX_LOG_CLEAN();
}

/* The same for a vector in RVI. */
static void rvi_held_back(struct __test_metadata *_metadata, uint32_t priority)
{
	struct vmm vmm;

	BEGIN_SAVED(&vmm, false);
	vmm_set_priority(&vmm, priority);
	vmm_pend_in_rvi(&vmm, L2_VECTOR);
	vmm_restore_new_vm(&vmm);
	EXPECT_RESTORED(ASLEEP, &vmm, STEP_RUNS, STEP_BLOCKS);
	vmm_set_priority(&vmm, 0);
	EXPECT_OUTCOME(WOKE, &vmm, STEP_RUNS);
	RACEFIX_LOG_CLEAN();
}

TEST(rvi_below_priority)
{
	rvi_held_back(_metadata, HIGH_PRIORITY);
}

TEST(rvi_at_priority)
{
	rvi_held_back(_metadata, SAME_PRIORITY);
}

/* The higher one of the vector in RVI and a posted one counts, here that in RVI. */
TEST(rvi_above_posted)
{
	struct vmm vmm;

	BEGIN_SAVED(&vmm, true);
	vmm_set_priority(&vmm, BETWEEN);
	vmm_pend_in_rvi(&vmm, L2_VECTOR);
	vmm_restore_new_vm(&vmm);
	vmm_post_vector(&vmm, L2_LOW_VECTOR);
	EXPECT_RESTORED(WOKE, &vmm, STEP_POSTS, STEP_RUNS);
	RACEFIX_LOG_CLEAN();
}

/* Here the posted vector is higher, and must replace that in RVI. */
TEST(posted_above_rvi)
{
	struct vmm vmm;

	BEGIN_SAVED(&vmm, true);
	vmm_pend_in_rvi(&vmm, L2_LOW_VECTOR);
	vmm_restore_new_vm(&vmm);
	vmm_post_interrupt(&vmm);
	EXPECT_RESTORED(WOKE, &vmm, STEP_POSTS, STEP_RUNS);
	RACEFIX_LOG_CLEAN();
}

/* The highest posted vector counts, here the one that L2's priority does not mask. */
TEST(posted_above_posted)
{
	struct vmm vmm;

	BEGIN_SAVED(&vmm, true);
	vmm_set_priority(&vmm, BETWEEN);
	vmm_restore_new_vm(&vmm);
	pi_post(vmm.pi_desc, L2_LOW_VECTOR);
	vmm_post_interrupt(&vmm);
	EXPECT_RESTORED(WOKE, &vmm, STEP_POSTS, STEP_RUNS);
	RACEFIX_LOG_CLEAN();
}

/* The last vector of the PIR is one like the others. */
TEST(posted_last_vector)
{
	struct vmm vmm;

	BEGIN_SAVED(&vmm, true);
	vmm_restore_new_vm(&vmm);
	vmm_post_vector(&vmm, L2_LAST_VECTOR);
	EXPECT_RESTORED(WOKE, &vmm, STEP_POSTS, STEP_RUNS);
	RACEFIX_LOG_CLEAN();
}

/*
 * An NMI wakes L2, whether the pages are mapped or not.  KVM processes the posted interrupt on the
 * way, for which it needs the descriptor.
 */
TEST(posted_with_nmi)
{
	struct vmm vmm;

	BEGIN_SAVED(&vmm, true);
	vmm_restore_new_vm(&vmm);
	vmm_post_interrupt(&vmm);
	vmm_nmi(&vmm);
	EXPECT_RESTORED(WOKE, &vmm, STEP_POSTS, STEP_RUNS);
	RACEFIX_LOG_CLEAN();
}

/* With ON set and an empty PIR there is nothing to wake up for. */
TEST(nothing_posted)
{
	struct vmm vmm;

	BEGIN_SAVED(&vmm, true);
	vmm.pi_desc->on = 1;
	vmm_restore_new_vm(&vmm);
	EXPECT_RESTORED(ASLEEP, &vmm, STEP_RUNS, STEP_BLOCKS);
	vmm_post_interrupt(&vmm);
	EXPECT_OUTCOME(WOKE, &vmm, STEP_POSTS, STEP_RUNS);
	RACEFIX_LOG_CLEAN();
}

/* With ON set and an empty PIR a running L2 takes no interrupt. */
TEST(nothing_posted_runnable)
{
	struct vmm vmm;

	BEGIN_SAVED(&vmm, true);
	vmm.pi_desc->on = 1;
	vmm.state->mp_state.mp_state = KVM_MP_STATE_RUNNABLE;
	vmm_restore_new_vm(&vmm);
	EXPECT_RESTORED(WOKE_NO_IRQ, &vmm, STEP_RUNS);
	RACEFIX_LOG_CLEAN();
}

/* Is vmx_has_nested_events() in /proc/kallsyms?  Reading it takes seconds on an emulated CPU. */
static bool is_in_kallsyms(void)
{
	FILE *symbols = fopen("/proc/kallsyms", "r");
	char line[512];
	bool is = false;

	if (!symbols)
		return false;
	while (!is && fgets(line, sizeof(line), symbols))
		is = strstr(line, " vmx_has_nested_events\t");
	fclose(symbols);
	return is;
}

/* Does KVM check for all events that wake L2?  6.1.176 and 6.12 have the function, 5.10 has not. */
static bool asks_for_events(void)
{
	struct rg *rg;
	int gate;

	if (rg_open(&rg) < 0)
		return is_in_kallsyms();
	/* A gate that only records, for a thread that never calls it. */
	gate = rg_arm(rg, &(struct rg_point){
		.symbol = "kvm_intel:vmx_has_nested_events", .tid = 1 });
	rg_close(rg);
	return gate >= 0 || (gate != -ENOENT && is_in_kallsyms());
}

/*
 * If KVM does not check for such events, an interrupt that L2 has masked wakes it up,
 * restored or not.  That is not this race.
 */
static bool masked_one_wakes(void)
{
	struct kvm_regs regs;
	struct vmm vmm;
	bool wakes;

	vmm_create(&vmm, l1_halts_l2, true);
	vmm_run_to_sync(&vmm, SYNC_L2_HALTS);
	vmm_run_to_halt(&vmm);
	vcpu_regs_get(vmm.vcpu, &regs);
	regs.rflags &= ~X86_EFLAGS_IF;
	vcpu_regs_set(vmm.vcpu, &regs);
	vmm_post_interrupt(&vmm);
	wakes = vmm_run(&vmm, WAKE_MS) != ASLEEP;
	kvm_vm_free(vmm.vm);
	return wakes;
}

/* An L2 that halted with interrupts disabled sleeps until they are enabled. */
static void l2_masked(struct __test_metadata *_metadata, bool posted)
{
	struct vmm vmm;

	RACEFIX_REQUIRE(hostfacts_need_nested_vid());
	if (!asks_for_events() && masked_one_wakes())
		SKIP(return, "this KVM wakes L2 for a masked interrupt, restored or not");
	BEGIN_SAVED(&vmm, posted);
	if (!posted)
		vmm_pend_in_rvi(&vmm, L2_VECTOR);
	vmm_restore_new_vm(&vmm);
	/* KVM_SET_NESTED_STATE takes RFLAGS from vmcs12. */
	vmm.state->regs.rflags &= ~X86_EFLAGS_IF;
	vcpu_regs_set(vmm.vcpu, &vmm.state->regs);
	if (posted) {
		vmm_post_interrupt(&vmm);
		EXPECT_RESTORED(ASLEEP, &vmm, STEP_POSTS, STEP_RUNS, STEP_BLOCKS);
	} else {
		EXPECT_RESTORED(ASLEEP, &vmm, STEP_RUNS, STEP_BLOCKS);
	}
	vmm.state->regs.rflags |= X86_EFLAGS_IF;
	vcpu_regs_set(vmm.vcpu, &vmm.state->regs);
	EXPECT_OUTCOME(WOKE, &vmm, STEP_RUNS);
	RACEFIX_LOG_CLEAN();
}

TEST(posted_while_masked)
{
	l2_masked(_metadata, true);
}

TEST(rvi_while_masked)
{
	l2_masked(_metadata, false);
}

/*
 * One VMCS serves all L2s of a vCPU.  RVI that one has left in it must not wake another one,
 * which has no virtual-interrupt delivery.
 */
TEST(rvi_without_vid)
{
	struct vmm vmm;

	RACEFIX_REQUIRE(hostfacts_need_nested_vid());
	RACEFIX_LOG_MARK();
	vmm_create(&vmm, l1_takes_vid, false);
	vmm_run_to_sync(&vmm, SYNC_L2_HALTS);
	nested_watch_begin();
	EXPECT_OUTCOME(ASLEEP, &vmm, STEP_RUNS, STEP_BLOCKS);
	vmm_notify(&vmm);
	EXPECT_OUTCOME(L1_RUNS, &vmm, STEP_RUNS);
	RACEFIX_LOG_CLEAN();
}

/*
 * An L2 that was saved after STI, or after MOV to SS, executes one more instruction before it takes
 * an interrupt, here CLI, so that it takes none.
 */
static void in_shadow(struct __test_metadata *_metadata, uint8_t shadow)
{
	struct vmm vmm;

	RACEFIX_REQUIRE(hostfacts_need_nested_vid());
	RACEFIX_LOG_MARK();
	vmm_create(&vmm, l1_leaves_interrupts, false);
	vmm_run_to_sync(&vmm, SYNC_L2_HALTS);
	vmm_run_to_halt(&vmm);
	nested_watch_begin();
	vmm_save(&vmm);
	vmm.state->mp_state.mp_state = KVM_MP_STATE_RUNNABLE;
	vmm_restore_new_vm(&vmm);
	/* KVM_SET_NESTED_STATE does not take it from vmcs12. */
	vmm.state->events.interrupt.shadow = shadow;
	vcpu_events_set(vmm.vcpu, &vmm.state->events);
	vmm_interrupt(&vmm, L2_VECTOR);
	EXPECT_RESTORED(WOKE_NO_IRQ, &vmm, STEP_RUNS);
	RACEFIX_LOG_CLEAN();
}

TEST(in_shadow_of_sti)
{
	in_shadow(_metadata, KVM_X86_SHADOW_INT_STI);
}

TEST(in_shadow_of_mov_ss)
{
	in_shadow(_metadata, KVM_X86_SHADOW_INT_MOV_SS);
}

/*
 * L1 posts an interrupt before VM-entry; L2 must get it with the notification, not before.
 * Nothing is migrated: this case also fails on kernels that lose any interrupt that is
 * posted to a halted L2.
 */
TEST(posted_without_notification)
{
	struct vmm vmm;

	RACEFIX_REQUIRE(hostfacts_need_nested_vid());
	RACEFIX_LOG_MARK();
	vmm_create(&vmm, l1_halts_l2, true);
	vmm.config->post_first = true;
	vmm_run_to_sync(&vmm, SYNC_L2_HALTS);
	nested_watch_begin();
	EXPECT_OUTCOME(ASLEEP, &vmm, STEP_RUNS, STEP_BLOCKS);
	vmm_notify(&vmm);
	EXPECT_OUTCOME(WOKE, &vmm, STEP_RUNS);
	RACEFIX_LOG_CLEAN();
}

static void create_timed(struct vmm *vmm, void *l1)
{
	vmm_create(vmm, l1, false);
	/* The timer counts the TSC by 32: VMX_MISC_EMULATED_PREEMPTION_TIMER_RATE is 5. */
	vmm->config->timer = __vcpu_ioctl(vmm->vcpu, KVM_GET_TSC_KHZ, NULL) * TIMER_MS / 32;
}

/*
 * Controls: events other than interrupts must end a sleeping L2, here VM-exits that L1 asked for.
 * Nothing is migrated.
 */
static void timer_ends_l2(struct __test_metadata *_metadata, void *l1)
{
	struct vmm vmm;

	RACEFIX_REQUIRE(hostfacts_need_nested_vid());
	RACEFIX_LOG_MARK();
	create_timed(&vmm, l1);
	vmm_run_to_sync(&vmm, SYNC_L2_HALTS);
	nested_watch_begin();
	EXPECT_OUTCOME_IS(L1_RUNS, vmm_run(&vmm, 2 * TIMER_MS), STEP_RUNS, STEP_BLOCKS);
	RACEFIX_LOG_CLEAN();
}

TEST(timer_expires)
{
	timer_ends_l2(_metadata, l1_times_l2);
}

/* It must, although no interrupt could be delivered, to L2 or by an exit to L1. */
TEST(timer_expires_masked)
{
	timer_ends_l2(_metadata, l1_times_masked_l2);
}

/*
 * An exception is pending for L2, too, and comes first.  L2 must still exit for the timer before it
 * goes on.
 */
TEST(timer_expired_with_exception)
{
	struct vmm vmm;

	RACEFIX_REQUIRE(hostfacts_need_nested_vid());
	RACEFIX_LOG_MARK();
	create_timed(&vmm, l1_times_running_l2);
	vmm_run_to_sync(&vmm, SYNC_L2_TIMED);
	/* It expires while the vCPU does not run. */
	usleep(2 * TIMER_MS * 1000);
	vmm_raise_exception(&vmm);
	nested_watch_begin();
	EXPECT_OUTCOME(L1_RUNS, &vmm, STEP_RUNS);
	RACEFIX_LOG_CLEAN();
}

TEST(trapped)
{
	struct vmm vmm;

	RACEFIX_REQUIRE(hostfacts_need_nested_vid());
	if (!asks_for_events())
		SKIP(return, "this KVM does not wake L2 for a monitor trap, before Linux 6.1");
	RACEFIX_LOG_MARK();
	vmm_create(&vmm, l1_traps_l2, false);
	vmm_run_to_sync(&vmm, SYNC_L1_TRAPS);
	nested_watch_begin();
	EXPECT_OUTCOME(L1_RUNS, &vmm, STEP_RUNS);
	RACEFIX_LOG_CLEAN();
}

TEST(runnable)
{
	struct vmm vmm;

	BEGIN_SAVED(&vmm, false);
	vmm_pend_in_rvi(&vmm, L2_VECTOR);
	vmm.state->mp_state.mp_state = KVM_MP_STATE_RUNNABLE;
	vmm_restore_new_vm(&vmm);
	EXPECT_RESTORED(WOKE, &vmm, STEP_RUNS);
	RACEFIX_LOG_CLEAN();
}

TEST(unbacked_apic_access)
{
	struct vmm vmm;

	BEGIN_SAVED(&vmm, false);
	vmm_unback_apic_access(&vmm);
	vmm_restore_new_vm(&vmm);
	/* KVM cannot go on without that page, and must report that instead of sleeping. */
	EXPECT_RESTORED(REFUSED, &vmm, STEP_RUNS);
	RACEFIX_LOG_CLEAN();
}

/* The same for a vCPU that does not sleep. */
TEST(unbacked_runnable)
{
	struct vmm vmm;

	BEGIN_SAVED(&vmm, false);
	vmm_unback_apic_access(&vmm);
	vmm.state->mp_state.mp_state = KVM_MP_STATE_RUNNABLE;
	vmm_restore_new_vm(&vmm);
	EXPECT_RESTORED(REFUSED, &vmm, STEP_RUNS);
	EXPECT_OUTCOME(REFUSED, &vmm, STEP_RUNS);
	RACEFIX_LOG_CLEAN();
}

/* The same; then the VMM adds the missing memslot, and runs the vCPU again. */
TEST(mended_apic_access)
{
	struct vmm vmm;

	BEGIN_SAVED(&vmm, false);
	vmm_unback_apic_access(&vmm);
	vmm_pend_in_rvi(&vmm, L2_VECTOR);
	vmm_restore_new_vm(&vmm);
	EXPECT_RESTORED(REFUSED, &vmm, STEP_RUNS);
	vmm_back_page(&vmm);
	EXPECT_OUTCOME(WOKE, &vmm, STEP_RUNS);
	RACEFIX_LOG_CLEAN();
}

/* KVM cannot go on without L2's PDPTEs, with PAE paging, either. */
TEST(unbacked_pdptes)
{
	struct vmm vmm;

	BEGIN_SAVED(&vmm, false);
	vmm_restore_new_vm(&vmm);
	if (vmm_restore_without_pdptes(&vmm))
		SKIP(return, "this KVM reads the PDPTEs in KVM_SET_NESTED_STATE, which fails already");
	EXPECT_RESTORED(REFUSED, &vmm, STEP_RUNS);
	/* The page still is missing. */
	EXPECT_OUTCOME(REFUSED, &vmm, STEP_RUNS);
	RACEFIX_LOG_CLEAN();
}

/* A notification while ON is clear announces nothing, whatever the PIR has. */
TEST(notified_without_on)
{
	struct vmm vmm;

	RACEFIX_REQUIRE(hostfacts_need_line("6.1"));
	BEGIN_SAVED(&vmm, true);
	vmm_restore_new_vm(&vmm);
	pi_post(vmm.pi_desc, L2_VECTOR);
	vmm.pi_desc->on = 0;
	vmm_notify(&vmm);
	EXPECT_RESTORED(ASLEEP, &vmm, STEP_RUNS, STEP_BLOCKS);
	vmm_post_interrupt(&vmm);
	EXPECT_OUTCOME(WOKE, &vmm, STEP_POSTS, STEP_RUNS);
	RACEFIX_LOG_CLEAN();
}

/* A notification must not wake an L2 whose posted-interrupt descriptor no memslot backs. */
TEST(unbacked_pi_desc)
{
	uint64_t gpa = UNBACKED_GPA;
	struct vmm vmm;

	RACEFIX_REQUIRE(hostfacts_need_line("6.1"));
	BEGIN_SAVED(&vmm, true);
	vmm_set_vmcs12(&vmm, VMCS12_POSTED_INTR_DESC_ADDR, &gpa, sizeof(gpa));
	vmm_restore_new_vm(&vmm);
	EXPECT_RESTORED(ASLEEP, &vmm, STEP_RUNS, STEP_BLOCKS);
	vmm_notify(&vmm);
	EXPECT_OUTCOME(ASLEEP, &vmm, STEP_RUNS, STEP_BLOCKS);
	RACEFIX_LOG_CLEAN();
}

/*
 * What waits for L2's events is code of both vendors, and kvm-amd has no function that checks for
 * such events.  L2 must sleep in HLT there as well, and L1's interrupt end it.
 */
TEST(halts_on_svm)
{
	struct vmm vmm;

	RACEFIX_ONLY_NAMED("does not test the race; name it with -t to run it on SVM");
	RACEFIX_REQUIRE(hostfacts_need_kvm());
	if (!kvm_cpu_has(X86_FEATURE_SVM))
		SKIP(return, "no SVM for guests: this case is for kvm_amd with the parameter nested=1");
	RACEFIX_LOG_MARK();
	vmm_create_on_svm(&vmm);
	vmm_run_to_sync(&vmm, SYNC_L2_HALTS);
	EXPECT_OUTCOME(ASLEEP, &vmm, STEP_RUNS, STEP_BLOCKS);
	vmm_notify(&vmm);
	EXPECT_OUTCOME(L1_RUNS, &vmm, STEP_RUNS);
	RACEFIX_LOG_CLEAN();
}

/*
 * Control: a guest that has never used VMX sleeps in HLT, also with an interrupt pending that it
 * masks, and wakes up when it no longer does.
 */
TEST(halts_without_l2)
{
	struct kvm_regs regs;
	struct vmm vmm;

	RACEFIX_REQUIRE(hostfacts_need_nested_vid());
	RACEFIX_LOG_MARK();
	vmm_create_without_l2(&vmm);
	vmm_run_to_sync(&vmm, SYNC_L1_HALTS);
	nested_watch_begin();
	EXPECT_OUTCOME(ASLEEP, &vmm, STEP_RUNS, STEP_BLOCKS);
	vmm_notify(&vmm);
	EXPECT_OUTCOME(ASLEEP, &vmm, STEP_RUNS, STEP_BLOCKS);
	vcpu_regs_get(vmm.vcpu, &regs);
	regs.rflags |= X86_EFLAGS_IF;
	vcpu_regs_set(vmm.vcpu, &regs);
	EXPECT_OUTCOME(WOKE, &vmm, STEP_RUNS);
	RACEFIX_LOG_CLEAN();
}

TEST(migration_loop)
{
	struct nested_migration is;

	RACEFIX_REQUIRE(hostfacts_need_nested_vid());
	RACEFIX_LOG_MARK();
	nested_migration_run(&is, MIGRATIONS);
	EXPECT_FALSE(is.asleep) {
		TH_LOG("L2 sleeps after migration %u", is.rounds);
	}
	EXPECT_EQ(is.posted, is.arrived) {
		TH_LOG("L1 posted %lu interrupts, L2 took %lu", is.posted, is.arrived);
	}
	if (!is.asleep && !is.both)
		SKIP(return, "not forced: %u migrations, none of a halted L2 with a notification under way",
		     is.rounds);
	nested_migration_print("forced: ", &is);
	RACEFIX_LOG_CLEAN();
}

/* A migration shows the race if L2 stays asleep after it. */
TEST(stress)
{
	struct nested_migration is, all = {};
	struct stress stress;
	unsigned int i;

	RACEFIX_STRESS(hostfacts_need_nested_vid());
	stress_begin(&stress, racefix_seconds);
	while (stress_goes_on(&stress)) {
		nested_migration_run(&is, MIGRATIONS);
		nested_migration_add(&all, &is);
		for (i = 0; i < is.rounds; i++)
			stress_count(&stress, is.asleep && i + 1 == is.rounds);
	}
	nested_migration_print("in all: ", &all);
	RACEFIX_STRESS_END(&stress);
}

TEST(snapshot_revert)
{
	struct vmm vmm;

	RACEFIX_DESTRUCTIVE(READS_NULL);
	BEGIN_SAVED(&vmm, false);
	vmm_pend_in_rvi(&vmm, L2_VECTOR);
	vmm_restore_same_vm(&vmm);
	EXPECT_RESTORED(WOKE, &vmm, STEP_RUNS);
	RACEFIX_LOG_CLEAN();
}

TEST(unbacked_vapic)
{
	uint64_t gpa = UNBACKED_GPA;
	struct vmm vmm;

	RACEFIX_DESTRUCTIVE(READS_NULL);
	BEGIN_SAVED(&vmm, false);
	vmm_set_vmcs12(&vmm, VMCS12_VIRTUAL_APIC_PAGE_ADDR, &gpa, sizeof(gpa));
	vmm_restore_same_vm(&vmm);
	/* Without that page KVM finds no interrupt, and must not oops. */
	EXPECT_RESTORED(ASLEEP, &vmm, STEP_RUNS);
	RACEFIX_LOG_CLEAN();
}

/* An interrupt is posted to a running L2 whose virtual-APIC page no memslot backs. */
TEST(unbacked_vapic_posted)
{
	uint64_t gpa = UNBACKED_GPA;
	struct vmm vmm;

	RACEFIX_ONLY_NAMED("a wrong fix writes to NULL; name it with -t to run it");
	RACEFIX_REQUIRE(hostfacts_need_line("6.1"));
	BEGIN_SAVED(&vmm, true);
	vmm_set_vmcs12(&vmm, VMCS12_VIRTUAL_APIC_PAGE_ADDR, &gpa, sizeof(gpa));
	vmm.state->mp_state.mp_state = KVM_MP_STATE_RUNNABLE;
	vmm_restore_new_vm(&vmm);
	vmm_post_interrupt(&vmm);
	EXPECT_RESTORED(REFUSED, &vmm, STEP_POSTS, STEP_RUNS);
	RACEFIX_LOG_CLEAN();
}

/* The guest alone causes it: nothing is saved or restored. */
TEST(unbacked_vapic_by_guest)
{
	struct vmm vmm;

	RACEFIX_DESTRUCTIVE(READS_NULL);
	RACEFIX_REQUIRE(hostfacts_need_nested_vid());
	RACEFIX_LOG_MARK();
	vmm_create(&vmm, l1_unbacks_vapic, false);
	vmm_run_to_sync(&vmm, SYNC_L1_UNBACKS);
	nested_watch_begin();
	EXPECT_OUTCOME(ASLEEP, &vmm, STEP_RUNS, STEP_BLOCKS);
	/* L2 has no posted interrupts here, so that the vector goes to L1. */
	vmm_notify(&vmm);
	EXPECT_OUTCOME(L1_RUNS, &vmm, STEP_RUNS);
	RACEFIX_LOG_CLEAN();
}

RACEFIX_MAIN_AFTER(arm_watch)
