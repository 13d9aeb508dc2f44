// SPDX-License-Identifier: GPL-2.0-only
/*
 * Test that a change of APICv inhibits reaches a vCPU that is being created, or is
 * in L2.
 *
 * While a vCPU is being created, kvm_arch_vcpu_create() races with
 * kvm_make_all_cpus_request().  The creating thread is held when the former is
 * about to return: it has evaluated the inhibits, and the vCPU is not online yet.
 * This thread then raises or drops an inhibit through another vCPU, and releases
 * the creator.
 *
 * While a vCPU is in L2, its next KVM_RUN services KVM_REQ_APICV_UPDATE with
 * vmcs02 loaded.  No thread has to be held: L2 exits to userspace, this thread
 * toggles the inhibit, and L2 runs on before it exits to L1.
 *
 * While APICv is inhibited KVM does not update SVI, the CPU's copy of the highest
 * vector in service; when APICv is activated again SVI must match the ISR.  No
 * thread is held there, either: an interrupt is in service only before or only
 * after the change.
 *
 * Oracle: the vCPU must take all of its interrupts, and in the same way as a
 * witness that existed all along, that is, injected by KVM if APICv is inhibited.
 * The test also checks effects on a guest: an AutoEOI SINT, whose interrupt KVM
 * must complete in software, has to be delivered more than once, and L2 must keep
 * the virtual-interrupt delivery that L1 configured.  And the kernel must not warn,
 * as vcpu_enter_guest() of 5.17 and later does.
 */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/syscall.h>

#include "apic_page.h"
#include "apicv_vm.h"
#include "kvm_util.h"
#include "processor.h"
#include "racefix.h"
#include "racegate_client.h"

/* Bounds a hold whose release is lost; far longer than toggling takes in Bochs. */
#define HOLD_US		(10 * 1000 * 1000)
#define LOOK_US		20000
/* The hold during a second creation, which since 7.3 waits for kvm->lock of the held one. */
#define CREATE_US	(HOLD_US / 10)

struct race {
	struct apicv_vm vm;
	bool toggler_last;	/* create TOGGLER while the creation of RACED is held */
	pthread_t creator;
	pid_t creator_tid;
	sem_t creator_ready, creator_go, raised, witness_done;
};

static void *creator_thread(void *arg)
{
	struct race *race = arg;

	race->creator_tid = syscall(SYS_gettid);
	sem_post(&race->creator_ready);
	sem_wait(&race->creator_go);
	apicv_vm_add_vcpu(&race->vm, RACED);
	return NULL;
}

/* The functions in the ladders; not every kernel has all of them. */
static const struct rg_point landmarks[] = {
	{ .symbol = "kvm:kvm_arch_vcpu_create" },
	{ .symbol = "kvm:kvm_arch_vcpu_postcreate",
	  .label = "online: kvm_arch_vcpu_postcreate()" },
	{ .symbol = "kvm:kvm_request_apicv_update" },
	{ .symbol = "kvm:__kvm_set_or_clear_apicv_inhibit" },
	{ .symbol = "kvm:kvm_make_all_cpus_request" },
	{ .symbol = "kvm:kvm_vcpu_update_apicv" },
	{ .symbol = "kvm:kvm_arch_vcpu_ioctl_run", .label = "kvm_arch_vcpu_ioctl_run()" },
	{ .symbol = "kvm_intel:vmx_refresh_apicv_exec_ctrl" },
	{ .symbol = "kvm_intel:vmx_hwapic_isr_update", .label = "vmx_hwapic_isr_update(): SVI" },
	{ .symbol = "kvm_intel:nested_vmx_vmexit", .label = "nested_vmx_vmexit() to L1" },
};

static struct rg *rg;

/* On failure rg stays NULL, and force() returns the error in rg_strerror(). */
static void arm_landmarks(void)
{
	if (!hostfacts_need_apicv() && !racefix_is_named("stress"))
		rg_open_armed(&rg, landmarks, ARRAY_SIZE(landmarks));
}

/*
 * Forces the race: sets the inhibit to @on after the creator has seen it as !@on.
 * Returns NULL, or the reason why that could not be forced.
 */
static const char *force(struct race *race, const struct apicv_inhibit *inhibit,
			 bool on)
{
	const char *why = NULL;
	struct rg_status status;
	int gate;

	if (!rg)
		return rg_strerror();

	sem_init(&race->creator_ready, 0, 0);
	sem_init(&race->creator_go, 0, 0);
	TEST_ASSERT(!pthread_create(&race->creator, NULL, creator_thread, race),
		    "pthread_create");
	sem_wait(&race->creator_ready);
	rg_name_thread(rg, race->creator_tid, "creates vCPU 2");
	rg_name_thread(rg, rg_gettid(), "toggles it, then runs vCPU 2");

	gate = rg_arm(rg, &(struct rg_point){
		.symbol = "kvm:kvm_arch_vcpu_create", .where = RG_RETURN,
		.label = "kvm_arch_vcpu_create(): not in online_vcpus yet",
		.action = RG_HOLD_SLEEP,
		.timeout_us = race->toggler_last ? CREATE_US : HOLD_US,
		.tid = race->creator_tid, .max_hits = 1 });
	if (gate < 0)
		why = rg_strerror();
	rg_forget(rg);
	sem_post(&race->creator_go);

	if (!why && rg_wait(rg, gate, 1, HOLD_US))
		why = rg_strerror();
	if (!why && race->toggler_last) {
		apicv_vm_add_vcpu(&race->vm, TOGGLER);
		rg_mark(rg, "vCPU 0 is created");
	}
	if (!why) {
		rg_mark(rg, on ? "raises the inhibit" : "drops the inhibit");
		inhibit->set(race->vm.vcpu[TOGGLER], on);
		rg_mark(rg, "done: all of online_vcpus have it");
		rg_release(rg, gate);
	}
	pthread_join(race->creator, NULL);

	if (!why && (rg_status(rg, gate, &status) || status.timeouts))
		why = race->toggler_last ? "this kernel creates one vCPU at a time" :
			"the creating thread went on before it was let go";
	if (gate >= 0)
		rg_disarm(rg, gate);
	return why;
}

/* Checks that APICv is in use on the raced vCPU if @apicv, as on the witness. */
static void expect_agreement(struct __test_metadata *_metadata,
			     struct race *race, bool apicv)
{
	/* So far the witness has run. */
	rg_mark(rg, "now vCPU 2:");
	EXPECT_EQ(apicv, apicv_vm_in_use(&race->vm, RACED)) {
		TH_LOG("APICv is %s for the VM, but the new vCPU missed that",
		       apicv ? "active" : "inhibited");
	}
	/* Print the ladder after the new vCPU's first run, so that it includes that. */
	rg_ladder(rg, stdout);
}

/* Checks the effects on the raced vCPU's guest while the inhibit is raised. */
static void expect_no_harm(struct __test_metadata *_metadata,
			   struct apicv_vm *vm,
			   const struct apicv_inhibit *inhibit)
{
	uint64_t came;

	inhibit->set(vm->vcpu[RACED], true);
	if (inhibit == &apicv_autoeoi) {
		came = apicv_vm_send_autoeoi(vm, RACED);
		ksft_print_msg("guest: %lu of %d AutoEOI interrupts came\n",
			       came, APICV_NR_AUTOEOI);
		EXPECT_EQ(APICV_NR_AUTOEOI, came) {
			TH_LOG("the guest's AutoEOI interrupt is in service for ever");
		}
	} else {
		came = apicv_vm_send_ipis(vm, RACED).came;
		EXPECT_EQ(0, came) {
			TH_LOG("the guest takes interrupts while they are blocked");
		}
	}
}

/* Without inhibits APICv must be in use; if it is not, most cases have nothing to test. */
TEST(in_use)
{
	struct apicv_vm vm;

	RACEFIX_REQUIRE(hostfacts_need_apicv());
	if (!hostfacts_param("kvm_intel", "enable_apicv"))
		SKIP(return, "AVIC is inhibited where a guest may use x2APIC or SVM");
	RACEFIX_LOG_MARK();
	apicv_vm_create(&vm);
	EXPECT_EQ(true, apicv_vm_in_use(&vm, WITNESS)) {
		TH_LOG("APICv is off though nothing inhibits it");
	}
	RACEFIX_LOG_CLEAN();
}

/* The vCPU whose thread changes the inhibit must follow as well. */
TEST(autoeoi_of_its_own)
{
	struct apicv_vm vm;
	bool witness;

	RACEFIX_REQUIRE(hostfacts_need_apicv());
	apicv_vm_create(&vm);
	RACEFIX_REQUIRE(apicv_vm_unused(&vm));
	RACEFIX_LOG_MARK();
	apicv_autoeoi.set(vm.vcpu[TOGGLER], true);
	witness = apicv_vm_in_use(&vm, WITNESS);
	if (witness && hostfacts_need_line("6.1"))
		SKIP(return, "this kernel does not inhibit APICv for %s", apicv_autoeoi.name);
	/* The other cases would skip. */
	EXPECT_EQ(false, witness) {
		TH_LOG("APICv is in use, and 6.1 inhibits it for %s", apicv_autoeoi.name);
	}
	EXPECT_EQ(false, apicv_vm_in_use(&vm, TOGGLER)) {
		TH_LOG("APICv is inhibited for the VM, but not on the vCPU that did it");
	}
	apicv_autoeoi.set(vm.vcpu[TOGGLER], false);
	EXPECT_EQ(apicv_vm_in_use(&vm, WITNESS), apicv_vm_in_use(&vm, TOGGLER)) {
		TH_LOG("the vCPU that dropped the inhibit missed that");
	}
	RACEFIX_LOG_CLEAN();
}

/*
 * A vCPU is created after the inhibit was raised, and is the boot CPU, which is the first one in
 * most VMs.  No thread is held.
 */
TEST(autoeoi_raised_before_boot_cpu)
{
	struct apicv_vm vm;

	RACEFIX_REQUIRE(hostfacts_need_apicv());
	apicv_vm_create_split_empty(&vm);
	apicv_vm_add_vcpu(&vm, WITNESS);
	RACEFIX_REQUIRE(apicv_vm_unused(&vm));
	RACEFIX_LOG_MARK();
	apicv_autoeoi.set(vm.vcpu[WITNESS], true);
	if (apicv_vm_in_use(&vm, WITNESS))
		SKIP(return, "this kernel does not inhibit APICv for %s", apicv_autoeoi.name);
	apicv_vm_add_vcpu(&vm, TOGGLER);
	EXPECT_EQ(false, apicv_vm_in_use(&vm, TOGGLER)) {
		TH_LOG("APICv is inhibited for the VM, but not on its boot CPU");
	}
	RACEFIX_LOG_CLEAN();
}

static void race_raised(struct __test_metadata *_metadata,
			const struct apicv_inhibit *inhibit)
{
	struct race race = {};

	RACEFIX_REQUIRE(hostfacts_need_apicv());
	apicv_vm_create(&race.vm);
	RACEFIX_REQUIRE(apicv_vm_unused(&race.vm));
	RACEFIX_LOG_MARK();

	RACEFIX_REQUIRE(force(&race, inhibit, true));
	if (apicv_vm_in_use(&race.vm, WITNESS))
		SKIP(return, "this kernel does not inhibit APICv for %s",
		     inhibit->name);
	expect_agreement(_metadata, &race, false);

	expect_no_harm(_metadata, &race.vm, inhibit);
	RACEFIX_LOG_CLEAN();
}

TEST(autoeoi_raised)
{
	race_raised(_metadata, &apicv_autoeoi);
}

/*
 * The new vCPU was created with APICv active, so that an interrupt sent to it before
 * its first run is posted.  Its first KVM_RUN deactivates APICv, and must take the
 * vector from the PIR, which KVM reads no more afterwards.  With an I/O APIC in KVM
 * vcpu_scan_ioapic() would sync the PIR before, hence the split irqchip.
 */
TEST(autoeoi_raised_posted)
{
	struct race race = {};

	RACEFIX_REQUIRE(hostfacts_need_apicv());
	apicv_vm_create_split(&race.vm);
	RACEFIX_REQUIRE(apicv_vm_unused(&race.vm));
	RACEFIX_LOG_MARK();

	RACEFIX_REQUIRE(force(&race, &apicv_autoeoi, true));
	if (apicv_vm_in_use(&race.vm, WITNESS))
		SKIP(return, "this kernel does not inhibit APICv for %s",
		     apicv_autoeoi.name);
	rg_mark(rg, "an interrupt is sent to vCPU 2, which has not run yet");
	apicv_vm_signal_new(&race.vm, RACED);
	EXPECT_EQ(1, apicv_vm_nr_taken(&race.vm, RACED)) {
		TH_LOG("the interrupt that was sent to the new vCPU before it ran is lost");
	}
	rg_ladder(rg, stdout);
	RACEFIX_LOG_CLEAN();
}

/*
 * Raises an inhibit, for a test that drops it.  Returns NULL, or the reason why there
 * is nothing to test, such as an inhibit that this kernel never drops.
 */
static const char *raise_droppable(struct apicv_vm *vm,
				   const struct apicv_inhibit *inhibit)
{
	const char *lacks = NULL;
	static char why[128];

	inhibit->set(vm->vcpu[TOGGLER], true);
	if (apicv_vm_in_use(vm, WITNESS))
		lacks = "does not inhibit APICv";
	inhibit->set(vm->vcpu[TOGGLER], false);
	if (!apicv_vm_in_use(vm, WITNESS))
		lacks = "never drops the inhibit";
	inhibit->set(vm->vcpu[TOGGLER], true);
	if (!lacks)
		return NULL;
	snprintf(why, sizeof(why), "this kernel %s for %s", lacks,
		 inhibit->name);
	return why;
}

static void race_dropped(struct __test_metadata *_metadata,
			 const struct apicv_inhibit *inhibit)
{
	struct race race = {};

	RACEFIX_REQUIRE(hostfacts_need_apicv());
	apicv_vm_create(&race.vm);
	RACEFIX_REQUIRE(apicv_vm_unused(&race.vm));
	RACEFIX_REQUIRE(raise_droppable(&race.vm, inhibit));
	RACEFIX_LOG_MARK();

	RACEFIX_REQUIRE(force(&race, inhibit, false));
	ASSERT_EQ(true, apicv_vm_in_use(&race.vm, WITNESS));
	expect_agreement(_metadata, &race, true);
	RACEFIX_LOG_CLEAN();
}

static void *toggling_thread(void *arg)
{
	struct race *race = arg;

	race->creator_tid = syscall(SYS_gettid);
	sem_post(&race->creator_ready);
	sem_wait(&race->creator_go);
	apicv_autoeoi.set(race->vm.vcpu[TOGGLER], true);
	sem_post(&race->raised);
	return NULL;
}

/* Waits for the thread that raises the inhibit; returns NULL, or why it does not arrive. */
static const char *arrives(struct race *race, int gate)
{
	unsigned int us;

	for (us = 0; us < HOLD_US; us += LOOK_US) {
		if (!rg_wait(rg, gate, 1, LOOK_US))
			return NULL;
		if (!sem_trywait(&race->raised))
			return "this kernel raises the inhibit without kvm_make_all_cpus_request()";
	}
	return "the thread that raises the inhibit does not come";
}

static void *witness_thread(void *arg)
{
	struct race *race = arg;

	/*
	 * apicv_vm_in_use() would read the counters of all vCPUs, and block on that of the
	 * vCPU that is in an ioctl.
	 */
	apicv_vm_nr_taken(&race->vm, WITNESS);
	sem_post(&race->witness_done);
	return NULL;
}

/* Holds the thread that raises the inhibit at @where of its request, and runs the witness. */
static void race_half_way(struct __test_metadata *_metadata, unsigned int where)
{
	struct timespec end;
	struct race race = {};
	struct rg_status status;
	const char *why = NULL;
	pthread_t witness;
	int gate, update;

	RACEFIX_REQUIRE(hostfacts_need_apicv());
	apicv_vm_create(&race.vm);
	RACEFIX_REQUIRE(apicv_vm_unused(&race.vm));
	RACEFIX_LOG_MARK();
	RACEFIX_REQUIRE(rg ? NULL : rg_strerror());

	sem_init(&race.creator_ready, 0, 0);
	sem_init(&race.creator_go, 0, 0);
	sem_init(&race.raised, 0, 0);
	sem_init(&race.witness_done, 0, 0);
	ASSERT_EQ(0, pthread_create(&race.creator, NULL, toggling_thread, &race));
	sem_wait(&race.creator_ready);
	rg_name_thread(rg, race.creator_tid, "raises the inhibit");
	gate = rg_arm(rg, &(struct rg_point){
		.symbol = "kvm:kvm_make_all_cpus_request", .where = where,
		.label = where == RG_RETURN ? "all of online_vcpus have the request" :
			 "all of online_vcpus are to get the request",
		.action = RG_HOLD_SLEEP, .timeout_us = HOLD_US,
		.tid = race.creator_tid, .max_hits = 1 });
	/* If the compiler has inlined the first, the second takes apicv_update_lock. */
	update = rg_arm(rg, &(struct rg_point){
		.symbol = "kvm:kvm_vcpu_update_apicv", .label = "kvm_vcpu_update_apicv()" });
	if (update == -ENOENT)
		update = rg_arm(rg, &(struct rg_point){
			.symbol = "kvm:__kvm_vcpu_update_apicv",
			.label = "__kvm_vcpu_update_apicv()" });
	if (gate < 0 || update < 0)
		why = rg_strerror();
	rg_forget(rg);
	sem_post(&race.creator_go);
	if (!why)
		why = arrives(&race, gate);
	ASSERT_EQ(0, pthread_create(&witness, NULL, witness_thread, &race));
	if (!why && where == RG_RETURN && rg_wait(rg, update, 1, HOLD_US / 2))
		why = rg_strerror();
	if (!why && where == RG_ENTRY) {
		clock_gettime(CLOCK_REALTIME, &end);
		end.tv_sec += HOLD_US / 2 / 1000000;
		if (sem_timedwait(&race.witness_done, &end))
			why = "the witness waits before it has a request";
	}
	/* The witness has served the request by now, or waits for the lock. */
	usleep(20000);
	rg_mark(rg, "lets it go on");
	if (gate >= 0)
		rg_release(rg, gate);
	pthread_join(race.creator, NULL);
	pthread_join(witness, NULL);
	if (!why && (rg_status(rg, gate, &status) || status.timeouts))
		why = "the thread that raises the inhibit went on before it was let go";
	RACEFIX_REQUIRE(why);
	rg_ladder(rg, stdout);
	rg_disarm(rg, gate);
	rg_disarm(rg, update);

	EXPECT_EQ(false, apicv_vm_in_use(&race.vm, WITNESS)) {
		TH_LOG("APICv is inhibited for the VM, but the vCPU answered the request by the old state");
	}
	RACEFIX_LOG_CLEAN();
}

/*
 * The vCPU has the request, but the inhibit is not set yet: serving the request must wait
 * for apicv_update_lock, or the vCPU evaluates the old inhibits.
 */
TEST(autoeoi_raised_half_way)
{
	race_half_way(_metadata, RG_RETURN);
}

/* The inhibit must not be set before the request is sent: a vCPU that runs then would warn. */
TEST(autoeoi_raised_unsent)
{
	race_half_way(_metadata, RG_ENTRY);
}

TEST(autoeoi_dropped)
{
	race_dropped(_metadata, &apicv_autoeoi);
}

TEST(blockirq_raised)
{
	RACEFIX_REQUIRE(hostfacts_need_apicv());
	RACEFIX_REQUIRE(apicv_blockirq_missing());
	race_raised(_metadata, &apicv_blockirq);
}

/*
 * The race as reported upstream: a split irqchip, two creations at once, KVM_SET_GUEST_DEBUG
 * on the vCPU that is created first, and KVM_RUN of the other.
 */
TEST(blockirq_raised_two_creations)
{
	struct race race = { .toggler_last = true };

	RACEFIX_REQUIRE(hostfacts_need_apicv());
	RACEFIX_REQUIRE(apicv_blockirq_missing());
	apicv_vm_create_split_empty(&race.vm);
	RACEFIX_LOG_MARK();

	RACEFIX_REQUIRE(force(&race, &apicv_blockirq, true));
	apicv_vm_add_vcpu(&race.vm, WITNESS);
	if (apicv_vm_in_use(&race.vm, WITNESS))
		SKIP(return, "APICv is not used, or this kernel does not inhibit it for %s",
		     apicv_blockirq.name);
	expect_agreement(_metadata, &race, false);
	RACEFIX_LOG_CLEAN();
}

TEST(blockirq_dropped)
{
	RACEFIX_REQUIRE(hostfacts_need_kvm());
	RACEFIX_REQUIRE(apicv_blockirq_missing());
	race_dropped(_metadata, &apicv_blockirq);
}

static void mark(const char *text)
{
	if (rg)
		rg_mark(rg, text);
}

/* Begins the ladder of a case in which this thread makes all calls. */
static void begin_ladder(const char *name)
{
	if (!rg) {
		ksft_print_msg("no ladder: %s\n", rg_strerror());
		return;
	}
	rg_name_thread(rg, rg_gettid(), name);
	rg_forget(rg);
}

/*
 * Toggles the inhibit while the raced vCPU is in L2, and lets L2 run on. With APICV_PAGE_TAKEN the
 * APIC access page goes, too, so that KVM defers both to the exit of L2.
 */
static void race_in_l2(struct __test_metadata *_metadata,
		       const struct apicv_inhibit *inhibit, bool on,
		       unsigned int flags)
{
	struct apicv_irqs irqs;
	bool held = false;
	void *page = NULL;
	struct apicv_vm vm;
	uint64_t l2_irqs;

	RACEFIX_REQUIRE(hostfacts_need_apicv());
	RACEFIX_REQUIRE(hostfacts_need_nested_vid());
	if (flags & APICV_PAGE_TAKEN) {
		RACEFIX_REQUIRE(apic_page_missing());
		page = apicv_vm_create_with_page(&vm);
		if (!page)
			SKIP(return, "the APIC access page is not in /proc/self/maps");
	} else {
		apicv_vm_create(&vm);
	}
	RACEFIX_REQUIRE(apicv_vm_unused(&vm));
	if (!on)
		RACEFIX_REQUIRE(raise_droppable(&vm, inhibit));
	apicv_vm_add_nested_vcpu(&vm, RACED, flags);
	RACEFIX_LOG_MARK();
	ASSERT_EQ(0, apicv_vm_run_l2(&vm, RACED));

	begin_ladder("VMM");
	mark("vCPU 2 is in L2, and in userspace");
	mark(on ? "raises the inhibit" : "drops the inhibit");
	inhibit->set(vm.vcpu[TOGGLER], on);
	if (flags & APICV_PAGE_TAKEN) {
		mark("takes the APIC access page away");
		ASSERT_EQ(0, apic_page_punch(page));
	}
	mark("done: vCPU 2 is to look when it runs");
	l2_irqs = apicv_vm_run_l2(&vm, RACED);
	if (l2_irqs != APICV_L2_DIED) {
		mark("L2 has run on");
		if (flags & APICV_L2_LEFT) {
			apicv_vm_leave_l2(&vm, RACED);
			mark("KVM_SET_NESTED_STATE: vCPU 2 is out of L2");
		}
		if (flags & APICV_L1_HOLDS)
			held = apicv_vm_eoi(&vm, RACED);
		irqs = apicv_vm_send_ipis(&vm, RACED);
		mark("L1 has sent itself interrupts");
	}
	if (rg)
		rg_ladder(rg, stdout);

	if (apicv_vm_in_use(&vm, WITNESS) == on)
		SKIP(return, "this kernel does not inhibit APICv for %s",
		     inhibit->name);
	ksft_print_msg("forced: %s %s while vCPU 2 was in L2\n", inhibit->name,
		       on ? "inhibited APICv" : "let go of APICv");
	EXPECT_EQ(flags & APICV_L2_VID ? 1 : 0, l2_irqs) {
		TH_LOG("KVM has changed the controls that L1 gave L2");
	}
	EXPECT_EQ(false, held) {
		TH_LOG("back in L1, the vCPU's EOI ends nothing");
	}
	if (l2_irqs != APICV_L2_DIED) {
		EXPECT_EQ(APICV_NR_IPIS, irqs.came) {
			TH_LOG("back in L1, the vCPU loses interrupts");
		}
		EXPECT_EQ(!on, irqs.injected < APICV_NR_IPIS / 2) {
			TH_LOG("APICv is %s for the VM, but not on the vCPU that was in L2",
			       on ? "inhibited" : "active");
		}
		if (on)
			expect_no_harm(_metadata, &vm, inhibit);
	}
	RACEFIX_LOG_CLEAN();
}

TEST(autoeoi_raised_in_l2)
{
	race_in_l2(_metadata, &apicv_autoeoi, true, 0);
}

TEST(autoeoi_raised_in_l2_with_vid)
{
	race_in_l2(_metadata, &apicv_autoeoi, true, APICV_L2_VID);
}

TEST(autoeoi_raised_in_l2_x2apic)
{
	race_in_l2(_metadata, &apicv_autoeoi, true, APICV_L1_X2APIC);
}

TEST(autoeoi_dropped_in_l2)
{
	race_in_l2(_metadata, &apicv_autoeoi, false, 0);
}

/* Two changes to vmcs01 are deferred. */
TEST(autoeoi_dropped_in_l2_page_taken)
{
	race_in_l2(_metadata, &apicv_autoeoi, false, APICV_PAGE_TAKEN);
}

TEST(blockirq_raised_in_l2)
{
	RACEFIX_REQUIRE(hostfacts_need_kvm());
	RACEFIX_REQUIRE(apicv_blockirq_missing());
	race_in_l2(_metadata, &apicv_blockirq, true, 0);
}

TEST(blockirq_dropped_in_l2)
{
	RACEFIX_REQUIRE(hostfacts_need_kvm());
	RACEFIX_REQUIRE(apicv_blockirq_missing());
	race_in_l2(_metadata, &apicv_blockirq, false, 0);
}

TEST(autoeoi_dropped_in_l2_in_service)
{
	race_in_l2(_metadata, &apicv_autoeoi, false, APICV_L2_VID | APICV_L1_HOLDS);
}

/* L2 ends without a VM-exit that L1 sees, and has no SVI of its own. */
TEST(autoeoi_dropped_in_l2_left)
{
	race_in_l2(_metadata, &apicv_autoeoi, false, APICV_L1_HOLDS | APICV_L2_LEFT);
}

/*
 * With APICv active, an interrupt in the IRR of a vCPU announces no event to KVM.  When APICv is
 * inhibited KVM must look for events, or it does not inject the interrupt.
 */
TEST(autoeoi_raised_signalled)
{
	struct apicv_vm vm;
	uint64_t taken;

	RACEFIX_REQUIRE(hostfacts_need_apicv());
	apicv_vm_create(&vm);
	RACEFIX_REQUIRE(apicv_vm_unused(&vm));
	apicv_vm_add_vcpu(&vm, RACED);
	RACEFIX_LOG_MARK();
	begin_ladder("VMM, runs vCPU 2");
	taken = apicv_vm_nr_taken(&vm, RACED);
	mark("interrupts vCPU 2, which does not run");
	apicv_vm_signal(&vm, RACED);
	mark("raises the inhibit");
	apicv_autoeoi.set(vm.vcpu[TOGGLER], true);
	EXPECT_EQ(taken + 1, apicv_vm_nr_taken(&vm, RACED)) {
		TH_LOG("the vCPU runs without its interrupt");
	}
	if (rg)
		rg_ladder(rg, stdout);
	RACEFIX_LOG_CLEAN();
}

/*
 * Without APICv, KVM counts the interrupts in service, which it does not with APICv.  When APICv is
 * inhibited KVM must count them all, or an EOI finds none.
 */
TEST(autoeoi_raised_in_service)
{
	struct apicv_irqs irqs;
	struct apicv_vm vm;

	RACEFIX_REQUIRE(hostfacts_need_apicv());
	apicv_vm_create(&vm);
	RACEFIX_REQUIRE(apicv_vm_unused(&vm));
	apicv_vm_add_vcpu(&vm, RACED);
	RACEFIX_LOG_MARK();
	begin_ladder("VMM, runs vCPU 2");
	mark("vCPU 2 takes two interrupts, one inside the other, and ends neither");
	ASSERT_EQ(true, apicv_vm_hold(&vm, RACED));
	ASSERT_EQ(true, apicv_vm_hold_upper(&vm, RACED));
	mark("raises the inhibit");
	apicv_autoeoi.set(vm.vcpu[TOGGLER], true);
	if (apicv_vm_in_use(&vm, WITNESS))
		SKIP(return, "this kernel does not inhibit APICv for %s", apicv_autoeoi.name);
	mark("vCPU 2 ends both");
	EXPECT_EQ(true, apicv_vm_eoi(&vm, RACED)) {
		TH_LOG("the first EOI ends the interrupt of lower priority");
	}
	EXPECT_EQ(false, apicv_vm_eoi(&vm, RACED)) {
		TH_LOG("the second EOI ends nothing");
	}
	if (rg)
		rg_ladder(rg, stdout);
	ksft_print_msg("forced: APICv was inhibited with two interrupts in service\n");
	irqs = apicv_vm_send_ipis(&vm, RACED);
	EXPECT_EQ(APICV_NR_IPIS, irqs.came) {
		TH_LOG("an interrupt that is not in service any more blocks the guest's interrupts");
	}
	EXPECT_LE(APICV_NR_IPIS, irqs.injected) {
		TH_LOG("APICv is inhibited for the VM, but not on the vCPU");
	}
	RACEFIX_LOG_CLEAN();
}

/*
 * Without APICv, KVM notes whether the IRR has an interrupt at all.  With APICv it must always look
 * at the IRR, as the CPU changes that, too.
 */
TEST(autoeoi_dropped_halted)
{
	struct apicv_vm vm;

	RACEFIX_REQUIRE(hostfacts_need_apicv());
	apicv_vm_create(&vm);
	RACEFIX_REQUIRE(apicv_vm_unused(&vm));
	RACEFIX_REQUIRE(raise_droppable(&vm, &apicv_autoeoi));
	apicv_vm_add_vcpu(&vm, RACED);
	RACEFIX_LOG_MARK();
	begin_ladder("VMM, runs vCPU 2");
	mark("vCPU 2 takes interrupts, after which its IRR is empty");
	apicv_vm_send_ipis(&vm, RACED);
	mark("drops the inhibit");
	apicv_autoeoi.set(vm.vcpu[TOGGLER], false);
	apicv_vm_nr_taken(&vm, RACED);
	mark("interrupts vCPU 2, and runs it as halted");
	EXPECT_EQ(true, apicv_vm_wakes(&vm, RACED)) {
		TH_LOG("the vCPU sleeps although an interrupt is pending");
	}
	RACEFIX_LOG_CLEAN();
}

/* With APICv active and nothing in service the raced vCPU must take its interrupts. */
static void expect_irqs(struct __test_metadata *_metadata, struct apicv_vm *vm)
{
	struct apicv_irqs irqs = apicv_vm_send_ipis(vm, RACED);

	mark("vCPU 2 has sent itself interrupts");
	if (rg)
		rg_ladder(rg, stdout);
	EXPECT_EQ(APICV_NR_IPIS, irqs.came) {
		TH_LOG("an interrupt that is not in service any more blocks the guest's interrupts");
	}
	EXPECT_GT(APICV_NR_IPIS / 2, irqs.injected) {
		TH_LOG("APICv is active for the VM, but not on the vCPU");
	}
}

/* Userspace sets SVI, and the guest ends that interrupt while APICv is inhibited. */
TEST(autoeoi_dropped_after_eoi)
{
	struct apicv_irqs irqs;
	struct apicv_vm vm;

	RACEFIX_REQUIRE(hostfacts_need_apicv());
	apicv_vm_create(&vm);
	RACEFIX_REQUIRE(apicv_vm_unused(&vm));
	RACEFIX_REQUIRE(raise_droppable(&vm, &apicv_autoeoi));
	apicv_autoeoi.set(vm.vcpu[TOGGLER], false);
	apicv_vm_add_vcpu(&vm, RACED);
	RACEFIX_LOG_MARK();

	begin_ladder("VMM, runs vCPU 2");
	mark("KVM_SET_LAPIC: an interrupt is in service");
	apicv_vm_set_held(&vm, RACED);
	mark("raises the inhibit");
	apicv_autoeoi.set(vm.vcpu[TOGGLER], true);
	mark("vCPU 2 ends the interrupt");
	ASSERT_EQ(false, apicv_vm_eoi(&vm, RACED));
	irqs = apicv_vm_send_ipis(&vm, RACED);
	ASSERT_EQ(APICV_NR_IPIS, irqs.came);
	ASSERT_LE(APICV_NR_IPIS, irqs.injected);
	mark("drops the inhibit");
	apicv_autoeoi.set(vm.vcpu[TOGGLER], false);
	ksft_print_msg("forced: APICv came back after an EOI that it did not see\n");
	expect_irqs(_metadata, &vm);
	RACEFIX_LOG_CLEAN();
}

/* An interrupt is delivered while APICv is inhibited, and the guest ends it afterwards. */
TEST(autoeoi_dropped_in_service)
{
	struct apicv_vm vm;

	RACEFIX_REQUIRE(hostfacts_need_apicv());
	apicv_vm_create(&vm);
	RACEFIX_REQUIRE(apicv_vm_unused(&vm));
	RACEFIX_REQUIRE(raise_droppable(&vm, &apicv_autoeoi));
	apicv_vm_add_vcpu(&vm, RACED);
	RACEFIX_LOG_MARK();

	begin_ladder("VMM, runs vCPU 2");
	mark("vCPU 2 takes an interrupt, and does not end it");
	ASSERT_EQ(true, apicv_vm_hold(&vm, RACED));
	mark("drops the inhibit");
	apicv_autoeoi.set(vm.vcpu[TOGGLER], false);
	mark("vCPU 2 ends the interrupt");
	EXPECT_EQ(false, apicv_vm_eoi(&vm, RACED)) {
		TH_LOG("the guest's EOI ends nothing");
	}
	ksft_print_msg("forced: APICv came back with an interrupt in service\n");
	expect_irqs(_metadata, &vm);
	RACEFIX_LOG_CLEAN();
}

/* Adds the raced vCPU, with APICv active, and with an interrupt in service. */
static void add_with_held(struct __test_metadata *_metadata, struct apicv_vm *vm)
{
	apicv_vm_add_vcpu(vm, RACED);
	begin_ladder("VMM, runs vCPU 2");
	mark("vCPU 2 takes an interrupt, and does not end it");
	ASSERT_EQ(true, apicv_vm_hold(vm, RACED));
}

/* Userspace changes the ISR by KVM_SET_LAPIC, and SVI must follow. */
TEST(lapic_set)
{
	struct apicv_vm vm;

	RACEFIX_REQUIRE(hostfacts_need_apicv());
	apicv_vm_create(&vm);
	RACEFIX_REQUIRE(apicv_vm_unused(&vm));
	RACEFIX_LOG_MARK();
	add_with_held(_metadata, &vm);
	mark("KVM_SET_LAPIC: nothing is in service");
	apicv_vm_clear_held(&vm, RACED);
	expect_irqs(_metadata, &vm);
	mark("KVM_SET_LAPIC: an interrupt is in service");
	apicv_vm_set_held(&vm, RACED);
	mark("vCPU 2 ends the interrupt");
	EXPECT_EQ(false, apicv_vm_eoi(&vm, RACED)) {
		TH_LOG("the guest's EOI ends nothing");
	}
	expect_irqs(_metadata, &vm);
	RACEFIX_LOG_CLEAN();
}

/*
 * With APICv active, an interrupt of L1 is in service, and @end ends it while L2 is active: SVI
 * must follow when L1 runs again.  Kernels that never drop an inhibit have nothing of this.
 */
static void ends_in_l2(struct __test_metadata *_metadata, unsigned int flags,
		       void (*end)(struct apicv_vm *vm, int id), const char *how)
{
	struct apicv_vm vm;

	RACEFIX_REQUIRE(hostfacts_need_apicv());
	RACEFIX_REQUIRE(hostfacts_need_nested_vid());
	apicv_vm_create(&vm);
	RACEFIX_REQUIRE(apicv_vm_unused(&vm));
	RACEFIX_REQUIRE(raise_droppable(&vm, &apicv_autoeoi));
	apicv_autoeoi.set(vm.vcpu[TOGGLER], false);
	apicv_vm_add_nested_vcpu(&vm, RACED, APICV_L1_HOLDS | flags);
	RACEFIX_LOG_MARK();
	begin_ladder("VMM, runs vCPU 2");
	mark("L1 takes an interrupt, does not end it, and enters L2");
	ASSERT_EQ(0, apicv_vm_run_l2(&vm, RACED));
	mark(how);
	if (end)
		end(&vm, RACED);
	ASSERT_EQ(0, apicv_vm_run_l2(&vm, RACED));
	mark("L2 exits to L1");
	expect_irqs(_metadata, &vm);
	RACEFIX_LOG_CLEAN();
}

/* L2 has L1's APIC, and sends the EOI. */
TEST(ended_by_l2)
{
	ends_in_l2(_metadata, APICV_L2_ENDS, NULL, "L2 ends the interrupt");
}

TEST(lapic_set_in_l2)
{
	ends_in_l2(_metadata, 0, apicv_vm_clear_held, "KVM_SET_LAPIC: nothing is in service");
}

/* INIT clears the ISR, and SVI must follow. */
TEST(initialized)
{
	struct apicv_vm vm;

	RACEFIX_REQUIRE(hostfacts_need_apicv());
	apicv_vm_create(&vm);
	RACEFIX_REQUIRE(apicv_vm_unused(&vm));
	RACEFIX_LOG_MARK();
	add_with_held(_metadata, &vm);
	mark("INIT");
	apicv_vm_init(&vm, RACED);
	expect_irqs(_metadata, &vm);
	RACEFIX_LOG_CLEAN();
}

/* A CPU with its APIC disabled takes no interrupt from it; with APICv active it would. */
TEST(disabled)
{
	struct apicv_vm vm;

	RACEFIX_ONLY_NAMED("older kernels keep APICv active then; name it with -t to run it");
	RACEFIX_REQUIRE(hostfacts_need_line("6.1"));
	RACEFIX_REQUIRE(hostfacts_need_apicv());
	apicv_vm_create(&vm);
	RACEFIX_REQUIRE(apicv_vm_unused(&vm));
	RACEFIX_LOG_MARK();
	EXPECT_EQ(0, apicv_vm_disable(&vm, WITNESS)) {
		TH_LOG("the guest takes an interrupt while its APIC is disabled");
	}
	EXPECT_EQ(true, apicv_vm_in_use(&vm, WITNESS)) {
		TH_LOG("APICv does not come back with the APIC");
	}
	RACEFIX_LOG_CLEAN();
}

/* An interrupt that a VM-exit acknowledges is in service in L1, and SVI must say so. */
TEST(acknowledged_by_exit)
{
	struct apicv_vm vm;

	RACEFIX_REQUIRE(hostfacts_need_apicv());
	RACEFIX_REQUIRE(hostfacts_need_nested_vid());
	apicv_vm_create(&vm);
	RACEFIX_REQUIRE(apicv_vm_unused(&vm));
	apicv_vm_add_nested_vcpu(&vm, RACED, APICV_L2_INTERRUPTS);
	RACEFIX_LOG_MARK();
	begin_ladder("VMM, runs vCPU 2");
	mark("L2 interrupts L1, which ends the interrupt");
	EXPECT_EQ(false, apicv_vm_eoi(&vm, RACED)) {
		TH_LOG("L1's EOI ends nothing");
	}
	expect_irqs(_metadata, &vm);
	RACEFIX_LOG_CLEAN();
}

/*
 * The first KVM_RUN loads the EOI-exit bitmap before it evaluates the inhibits, and only if APICv
 * is active.  Without its bit there, an EOI of a level-triggered interrupt does not get to the I/O
 * APIC, which then sends no other one.  A guest that enables its APIC has KVM load the bitmap
 * again; one that was restored has not.
 */
TEST(level_triggered)
{
	struct apicv_vm vm;

	RACEFIX_REQUIRE(hostfacts_need_apicv());
	apicv_vm_create(&vm);
	RACEFIX_REQUIRE(apicv_vm_unused(&vm));
	apicv_vm_add_vcpu(&vm, RACED);
	RACEFIX_LOG_MARK();
	begin_ladder("VMM, runs vCPU 2");
	mark("restores the APIC of vCPU 2, and the I/O APIC");
	apicv_vm_restore_pin(&vm, RACED);
	ASSERT_EQ(0, apicv_vm_nr_taken(&vm, RACED));
	mark("interrupts vCPU 2 by a pin of the I/O APIC");
	apicv_vm_pulse_pin(&vm);
	ASSERT_EQ(1, apicv_vm_nr_taken(&vm, RACED));
	mark("again");
	apicv_vm_pulse_pin(&vm);
	EXPECT_EQ(2, apicv_vm_nr_taken(&vm, RACED)) {
		TH_LOG("the guest's EOI has not got to the I/O APIC");
	}
	if (rg)
		rg_ladder(rg, stdout);
	RACEFIX_LOG_CLEAN();
}

/* A vCPU must not have an APIC in a VM without an irqchip. */
TEST(no_lapic)
{
	struct kvm_lapic_state lapic;
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm;

	/* Elsewhere a pass would be taken for a verdict on the race. */
	RACEFIX_REQUIRE(hostfacts_need_apicv());
	RACEFIX_LOG_MARK();
	vm = ____vm_create(VM_MODE_DEFAULT, 0);
	vcpu = __vm_vcpu_add(vm, 0);
	EXPECT_EQ(-1, __vcpu_ioctl(vcpu, KVM_GET_LAPIC, &lapic)) {
		TH_LOG("a vCPU has an APIC in a VM without an irqchip");
	}
	kvm_vm_free(vm);
	RACEFIX_LOG_CLEAN();
}

/* Checks that all interrupts arrive, and that KVM injects them. */
static void expect_injected(struct __test_metadata *_metadata, struct apicv_vm *vm)
{
	struct apicv_irqs irqs = apicv_vm_send_ipis(vm, WITNESS);

	EXPECT_EQ(APICV_NR_IPIS, irqs.came) {
		TH_LOG("the guest loses interrupts");
	}
	EXPECT_LE(APICV_NR_IPIS, irqs.injected) {
		TH_LOG("the module has APICv off, and a vCPU uses it");
	}
}

/*
 * A module parameter that disables APICv inhibits it for good: dropping another inhibit must not
 * activate it, and that of KVM_GUESTDBG_BLOCKIRQ is not even set.  Such a host cannot have the
 * race, so a pass must not count as "does not show".
 */
TEST(off)
{
	struct rg_status status;
	struct apicv_vm vm;
	int sets;

	RACEFIX_ONLY_NAMED("does not test the race; name it with -t to run it where APICv is off for good");
	RACEFIX_REQUIRE(hostfacts_need_kvm());
	RACEFIX_REQUIRE(hostfacts_need_stats());
	if (!hostfacts_need_apicv())
		SKIP(return, "APICv is on, and this case is for modules that have it off");
	RACEFIX_LOG_MARK();
	apicv_vm_create(&vm);
	expect_injected(_metadata, &vm);
	apicv_autoeoi.set(vm.vcpu[TOGGLER], true);
	expect_injected(_metadata, &vm);
	apicv_autoeoi.set(vm.vcpu[TOGGLER], false);
	expect_injected(_metadata, &vm);

	if (!apicv_blockirq_missing() && rg_open(&rg) >= 0) {
		sets = rg_arm(rg, &(struct rg_point){
			.symbol = "kvm:__kvm_set_or_clear_apicv_inhibit",
			.tid = rg_gettid() });
		if (sets < 0)
			ksft_print_msg("calls that set the inhibit of BLOCKIRQ are not counted: %s\n",
				       rg_strerror());
		apicv_blockirq.set(vm.vcpu[TOGGLER], true);
		apicv_blockirq.set(vm.vcpu[TOGGLER], false);
		if (sets >= 0) {
			ASSERT_EQ(0, rg_status(rg, sets, &status));
			EXPECT_EQ(0, status.hits) {
				TH_LOG("KVM_SET_GUEST_DEBUG raises an inhibit of APICv, which is off for good");
			}
		}
		expect_injected(_metadata, &vm);
	}
	RACEFIX_LOG_CLEAN();
}

struct stress_creator {
	struct apicv_vm vm;
	sem_t ready, go;
	unsigned long long took_us;
};

static void *stress_creator_thread(void *arg)
{
	struct stress_creator *creator = arg;
	unsigned long long begin_us;

	sem_post(&creator->ready);
	sem_wait(&creator->go);
	begin_us = stress_now_us();
	apicv_vm_add_vcpu(&creator->vm, RACED);
	creator->took_us = stress_now_us() - begin_us;
	return NULL;
}

/*
 * Raises the inhibit at a random time below @max_us after the creation has begun; returns
 * whether the new vCPU misses it.  Each try needs a new VM: 5.10 never drops that inhibit.
 */
static bool stress_once(struct stress_creator *creator, unsigned long long max_us)
{
	struct apicv_vm *vm = &creator->vm;
	pthread_t thread;
	bool missed;

	apicv_vm_create(vm);
	sem_init(&creator->ready, 0, 0);
	sem_init(&creator->go, 0, 0);
	TEST_ASSERT(!pthread_create(&thread, NULL, stress_creator_thread, creator),
		    "pthread_create");
	sem_wait(&creator->ready);
	sem_post(&creator->go);
	stress_delay(max_us);
	apicv_autoeoi.set(vm->vcpu[TOGGLER], true);
	pthread_join(thread, NULL);

	apicv_autoeoi.set(vm->vcpu[RACED], true);
	missed = apicv_vm_send_autoeoi(vm, RACED) != APICV_NR_AUTOEOI;
	kvm_vm_free(vm->vm);
	return missed;
}

TEST(stress)
{
	struct stress_creator creator = {};
	unsigned long long max_us = 0;
	struct stress stress;

	RACEFIX_STRESS(hostfacts_need_apicv());
	stress_begin(&stress, racefix_seconds);
	while (stress_goes_on(&stress)) {
		stress_count(&stress, stress_once(&creator, max_us));
		/* Most creations take about as long as the fastest one. */
		if (!max_us || creator.took_us < max_us)
			max_us = creator.took_us;
	}
	RACEFIX_STRESS_END(&stress);
}

RACEFIX_MAIN_AFTER(arm_landmarks)
