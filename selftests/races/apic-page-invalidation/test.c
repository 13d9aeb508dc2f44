// SPDX-License-Identifier: GPL-2.0-only
/*
 * Test that a vCPU does not keep the APIC access page in its VMCS when that page
 * is taken away: KVM_REQ_APIC_PAGE_RELOAD against the unmapping in the host.
 *
 * The page is shared memory that KVM maps into this process for a memslot of
 * its own.  A thread takes it away and is held between the mmu_notifier's
 * invalidate_range_start and the unmapping.  The vCPU, which reads its xAPIC all
 * the time, comes by on its way into the guest a few times meanwhile and does
 * what it was requested to do; then the unmapping goes on.
 *
 * A vCPU that reloaded the page while it was held got the page that is about to
 * go.  The CPU tells an access to the APIC by the page in the VMCS, so that from
 * then on it takes the guest's accesses, for which the EPT get the new page, for
 * accesses to plain memory.
 *
 * Oracle: the version and the ID that the guest reads from its xAPIC must be
 * what they were before.  Plain memory has 0 there.
 */
#define _GNU_SOURCE /* for vmsplice() */

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <linux/mempolicy.h>
#include <linux/mman.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "apic.h"
#include "apic_page.h"
#include "kvm_util.h"
#include "pages.h"
#include "processor.h"
#include "racefix.h"
#include "racegate_client.h"

/* Not 0: the ID has to differ from what plain memory has in its place. */
#define VCPU_ID		1

/* Far above what it takes in Bochs; a lost release must not last. */
#define HOLD_US		(10 * 1000 * 1000)

/*
 * How often the vCPU must come by on its way into the guest: the first time it
 * may have looked at its requests before the other thread was held, the second
 * time it has not.
 */
#define PASSES		3

/* How often the invalidator is held while it takes the page once. */
#define MAX_HOLDS	16

/* How often the guest reads both registers after all is over. */
#define ROUNDS_AFTER	100

/* In a stress loop: up to this long the vCPU is left alone. */
#define STRESS_DELAY_US	200

/* In the guest's memory; the host looks at its own view of them. */
static uint32_t guest_version, guest_id;
static uint32_t guest_wrong_version, guest_wrong_id;
static uint64_t guest_rounds, guest_wrong_rounds;
static uint64_t guest_over;

static void guest_code(void)
{
	uint32_t version, id;
	unsigned int after = 0;

	xapic_enable();
	/* As guests run; with interrupts off Bochs keeps the host's out, too. */
	asm volatile("sti");
	guest_version = xapic_read_reg(APIC_LVR);
	guest_id = xapic_read_reg(APIC_ID);

	while (after < ROUNDS_AFTER) {
		if (READ_ONCE(guest_over))
			after++;
		version = xapic_read_reg(APIC_LVR);
		id = xapic_read_reg(APIC_ID);
		if (version != guest_version || id != guest_id) {
			guest_wrong_version = version;
			guest_wrong_id = id;
			/* While the host looks on, too. */
			WRITE_ONCE(guest_wrong_rounds, guest_wrong_rounds + 1);
		}
		WRITE_ONCE(guest_rounds, guest_rounds + 1);
	}
	GUEST_DONE();
}

struct race {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpu;
	void *page;		/* where KVM mapped the APIC access page */
	const struct cause *cause;
	bool taken;		/* the attempt is over */
	const char *why;	/* it failed, or NULL */
	pthread_t runner, invalidator;
	pid_t runner_tid, invalidator_tid;
	sem_t runner_ready, invalidator_ready, invalidator_go, invalidator_end;
	struct rg *rg;
};

/* One way for userspace to take the page away; returns 0 or -1 with errno. */
struct cause {
	const char *name;
	int (*take)(void *page);
};

/* As a VMM's host does under memory pressure: nothing is left of the page. */
static int take_by_hole(void *page)
{
	struct iovec iov = { .iov_base = page, .iov_len = PAGE_BYTES };
	static int last_fd[2] = { -1, -1 };
	int pipe_fd[2], ret;

	/*
	 * A reference of our own keeps the page out of the allocator's hands,
	 * or the next page that is taken from there might well be the same.
	 */
	if (pipe(pipe_fd))
		return -1;
	ret = vmsplice(pipe_fd[1], &iov, 1, 0) == PAGE_BYTES ? 0 : -1;
	if (!ret)
		ret = madvise(page, PAGE_BYTES, MADV_REMOVE);
	/* The pipe stays open until the next one: it has the reference. */
	close(last_fd[0]);
	close(last_fd[1]);
	memcpy(last_fd, pipe_fd, sizeof(last_fd));
	return ret;
}

/* As memory hot-unplug and compaction do; the old page is never used again. */
static int take_by_migration(void *page)
{
	int node = 0, status, ret, tries = 3;

	do {
		/*
		 * Per-CPU lists may refer to the page, and one that is in use
		 * is not migrated.  This moves nothing; it empties them.
		 */
		syscall(SYS_move_pages, 0, 1, &page, &node, &status,
			MPOL_MF_MOVE);
		ret = madvise(page, PAGE_BYTES, MADV_SOFT_OFFLINE);
	} while (ret && errno == EBUSY && --tries);
	return ret;
}

static const struct cause hole = { "MADV_REMOVE", take_by_hole };
static const struct cause migration = { "MADV_SOFT_OFFLINE", take_by_migration };

/* The guest's variable, as it is now. */
#define GUEST(race, var) \
	READ_ONCE(*(typeof(var) *)addr_gva2hva((race)->vm, (vm_vaddr_t)&(var)))

static void create_vm(struct race *race, const struct cause *cause)
{
	memset(race, 0, sizeof(*race));
	race->cause = cause;
	race->vm = vm_create(1);
	virt_pg_map(race->vm, APIC_DEFAULT_GPA, APIC_DEFAULT_GPA);
	race->page = apic_page_add_vcpu(race->vm, VCPU_ID, guest_code,
					&race->vcpu);
}

static void *runner_thread(void *arg)
{
	struct race *race = arg;
	struct ucall uc;

	race->runner_tid = syscall(SYS_gettid);
	sem_post(&race->runner_ready);
	vcpu_run(race->vcpu);
	TEST_ASSERT(get_ucall(race->vcpu, &uc) == UCALL_DONE,
		    "exit reason %u (%s)", race->vcpu->run->exit_reason,
		    exit_reason_str(race->vcpu->run->exit_reason));
	return NULL;
}

static void *invalidator_thread(void *arg)
{
	struct race *race = arg;

	race->invalidator_tid = syscall(SYS_gettid);
	sem_post(&race->invalidator_ready);
	sem_wait(&race->invalidator_go);
	rg_mark(race->rg, race->cause->name);
	if (race->cause->take(race->page))
		race->why = strerror(errno);
	rg_mark(race->rg, race->why ? race->why : "done: the page is gone");
	WRITE_ONCE(race->taken, true);
	/* The end of a thread is an invalidation, too, and no part of the race. */
	sem_wait(&race->invalidator_end);
	return NULL;
}

/* Waits until the guest has read its APIC @nr times more. */
static void wait_for_rounds(struct race *race, unsigned int nr, unsigned int us)
{
	uint64_t goal = GUEST(race, guest_rounds) + nr;

	while (GUEST(race, guest_rounds) < goal)
		usleep(us);
}

static void start_runner(struct race *race)
{
	sem_init(&race->runner_ready, 0, 0);
	TEST_ASSERT(!pthread_create(&race->runner, NULL, runner_thread, race),
		    "pthread_create");
	sem_wait(&race->runner_ready);
}

/* The guest runs, and has read its APIC often enough for the EPT to have it. */
static void start(struct race *race)
{
	start_runner(race);
	sem_init(&race->invalidator_ready, 0, 0);
	sem_init(&race->invalidator_go, 0, 0);
	sem_init(&race->invalidator_end, 0, 0);
	TEST_ASSERT(!pthread_create(&race->invalidator, NULL,
				    invalidator_thread, race),
		    "pthread_create");
	sem_wait(&race->invalidator_ready);
	wait_for_rounds(race, 10, 1000);

	/*
	 * Copying a page that is shared since the harness forked is an invalidation,
	 * too: that must be over before a thread is held in one.  A hole cannot be
	 * punched into what is locked.
	 */
	TEST_ASSERT(!mlockall(MCL_CURRENT) && !munlock(race->page, PAGE_BYTES),
		    "mlockall: %s", strerror(errno));
}

/* Lets the guest have a last look at its APIC, and waits for its end. */
static void finish(struct race *race)
{
	char text[96];

	guest_over = 1;
	sync_global_to_guest(race->vm, guest_over);
	pthread_join(race->runner, NULL);

	sync_global_from_guest(race->vm, guest_version);
	sync_global_from_guest(race->vm, guest_id);
	sync_global_from_guest(race->vm, guest_wrong_version);
	sync_global_from_guest(race->vm, guest_wrong_id);
	sync_global_from_guest(race->vm, guest_rounds);
	sync_global_from_guest(race->vm, guest_wrong_rounds);
	snprintf(text, sizeof(text), "guest reads version %#x, ID %#x",
		 guest_wrong_rounds ? guest_wrong_version : guest_version,
		 guest_wrong_rounds ? guest_wrong_id : guest_id);
	if (race->rg)
		rg_mark(race->rg, text);
}

static unsigned int arrivals(struct rg *rg, int gate)
{
	struct rg_status status;

	return rg_status(rg, gate, &status) ? 0 : status.arrivals;
}

/* Waits until the vCPU has come by often enough; returns NULL, or why not. */
static const char *let_vcpu_pass(struct rg *rg, int pass)
{
	struct rg_status status;
	unsigned long long goal, waited_us;

	if (rg_status(rg, pass, &status))
		return rg_strerror();
	goal = status.hits + PASSES;
	for (waited_us = 0; status.hits < goal; waited_us += 1000) {
		if (waited_us >= HOLD_US / 2)
			return "the vCPU did not come by while the other thread was held";
		usleep(1000);
		if (rg_status(rg, pass, &status))
			return rg_strerror();
	}
	return NULL;
}

/* Waits for the @nth hold; false if the page was taken without one. */
static bool wait_for_hold(struct race *race, int gate, unsigned int nth)
{
	while (rg_wait(race->rg, gate, nth, 10 * 1000))
		if (READ_ONCE(race->taken))
			return !rg_wait(race->rg, gate, nth, 0);
	return true;
}

/*
 * Lets the invalidator go, and holds it before the unmapping until the vCPU has
 * come by.  It may unmap the page more than once: the kernel tries to migrate
 * again while others use the page, and punching a hole unmaps what was mapped
 * meanwhile.  Returns NULL, or why that could not be forced.
 */
static const char *force(struct race *race)
{
	struct rg *rg = race->rg;
	struct rg_status status;
	const char *why = NULL;
	int gate, pass, reload, fault;
	unsigned int holds;

	rg_name_thread(rg, race->invalidator_tid, "takes the page away");
	rg_name_thread(rg, race->runner_tid, "vCPU");
	rg_name_thread(rg, rg_gettid(), "test");

	/* Landmarks for the ladder; not every kernel has all of them. */
	rg_arm(rg, &(struct rg_point){
		.symbol = "kvm:kvm_mmu_notifier_invalidate_range_start",
		.label = "invalidate_range_start()",
		.tid = race->invalidator_tid, .max_hits = MAX_HOLDS });
	rg_arm(rg, &(struct rg_point){
		.symbol = "kvm:kvm_make_all_cpus_request",
		.label = "KVM_REQ_APIC_PAGE_RELOAD",
		.tid = race->invalidator_tid, .max_hits = 2 * MAX_HOLDS });
	rg_arm(rg, &(struct rg_point){
		.symbol = "kvm:kvm_mmu_notifier_invalidate_range_end",
		.label = "invalidate_range_end()",
		.tid = race->invalidator_tid, .max_hits = MAX_HOLDS });

	/* What says that the page is out of the EPT, or its reload requested. */
	reload = rg_arm(rg, &(struct rg_point){
		.symbol = "kvm_intel:vmx_set_apic_access_page_addr",
		.label = "vmx_set_apic_access_page_addr()",
		.tid = race->runner_tid, .max_hits = 2 * MAX_HOLDS });
	fault = rg_arm(rg, &(struct rg_point){
		.symbol = "kvm:kvm_mmu_page_fault",
		.label = "kvm_mmu_page_fault()",
		.tid = race->runner_tid, .max_hits = 2 });
	/* Only to count: the ladder would be full of them. */
	pass = rg_arm(rg, &(struct rg_point){
		.symbol = "kvm_intel:vmx_prepare_switch_to_guest",
		.tid = race->runner_tid, .skip = UINT32_MAX });
	gate = rg_arm(rg, &(struct rg_point){
		.symbol = "kvm:kvm_mmu_notifier_invalidate_range_start",
		.where = RG_RETURN, .label = "invalidate_range_start() is done, the page still mapped",
		.action = RG_HOLD_SLEEP, .timeout_us = HOLD_US,
		.tid = race->invalidator_tid, .max_hits = MAX_HOLDS });
	if (reload < 0 || fault < 0 || pass < 0 || gate < 0)
		return rg_strerror();

	sem_post(&race->invalidator_go);
	for (holds = 0; !why && wait_for_hold(race, gate, holds + 1); holds++) {
		why = let_vcpu_pass(rg, pass);
		if (!why && (rg_status(rg, gate, &status) || !status.held))
			why = "the invalidating thread went on before it was let go";
		rg_mark(rg, "the vCPU came by");
		rg_step(rg, gate);
	}
	rg_release(rg, gate);

	if (race->why)
		return race->why;
	if (!why && !holds)
		return "nothing that is mapped into the VM was invalidated";
	if (!why && !arrivals(rg, reload) && !arrivals(rg, fault))
		return "what was invalidated is not the APIC access page";
	return why;
}

static void run_race(struct __test_metadata *_metadata, const struct cause *cause)
{
	const char *why;
	uint64_t before;
	struct race race;

	RACEFIX_REQUIRE(apic_page_missing());
	if (cause == &migration)
		ksft_print_msg("this takes a page of memory out of use, until the host is booted again\n");
	create_vm(&race, cause);
	if (!race.page)
		SKIP(return, "the APIC access page is not in /proc/self/maps");
	RACEFIX_LOG_MARK();
	before = page_frame(race.page);
	if (rg_open(&race.rg) < 0)
		SKIP(return, "%s", rg_strerror());

	start(&race);
	why = force(&race);
	sem_post(&race.invalidator_go);
	finish(&race);

	RACEFIX_REQUIRE(why);
	if (page_frame(race.page) == before)
		SKIP(return, "%s: the page is still the same", cause->name);

	rg_ladder(race.rg, stdout);
	rg_close(race.rg);
	sem_post(&race.invalidator_end);
	pthread_join(race.invalidator, NULL);
	ksft_print_msg("guest: version %#x, ID %#x; %lu of %lu looks at them were wrong\n",
		       guest_version, guest_id, guest_wrong_rounds,
		       guest_rounds);
	EXPECT_EQ(VCPU_ID, GET_APIC_ID_FIELD(guest_id));
	EXPECT_EQ(0, guest_wrong_rounds) {
		TH_LOG("the guest reads version %#x and ID %#x: its xAPIC is plain memory",
		       guest_wrong_version, guest_wrong_id);
	}
	RACEFIX_LOG_CLEAN();
}

TEST(hole_punched)
{
	run_race(_metadata, &hole);
}

TEST(migrated)
{
	run_race(_metadata, &migration);
}

/* Takes the page away while the vCPU runs; does the guest read another one since? */
static bool stress_once(struct race *race)
{
	uint64_t wrong;

	stress_delay(STRESS_DELAY_US);
	TEST_ASSERT(!take_by_hole(race->page), "%s: %s", hole.name,
		    strerror(errno));
	/* Not what the guest has had of the try before, nor a look under way. */
	wait_for_rounds(race, 3, 50);
	wrong = GUEST(race, guest_wrong_rounds);
	wait_for_rounds(race, 3, 50);
	return GUEST(race, guest_wrong_rounds) != wrong;
}

TEST(stress)
{
	struct stress stress;
	struct race race;

	RACEFIX_STRESS(apic_page_missing());
	create_vm(&race, &hole);
	if (!race.page)
		SKIP(return, "the APIC access page is not in /proc/self/maps");
	start_runner(&race);
	wait_for_rounds(&race, 10, 1000);
	stress_begin(&stress, racefix_seconds);
	while (stress_goes_on(&stress))
		stress_count(&stress, stress_once(&race));
	finish(&race);
	RACEFIX_STRESS_END(&stress);
}

RACEFIX_MAIN()
