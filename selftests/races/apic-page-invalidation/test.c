// SPDX-License-Identifier: GPL-2.0-only
/*
 * Test that a vCPU does not keep the APIC access page in its VMCS when that page
 * is unmapped: KVM_REQ_APIC_PAGE_RELOAD against the unmapping in the host.
 *
 * The page is shared memory that KVM maps into this process for a memslot of
 * its own.  A thread takes it away and is held between the mmu_notifier's
 * invalidate_range_start and the unmapping.  The vCPU, which keeps reading its
 * xAPIC, enters the guest a few times meanwhile and serves its requests; then the
 * unmapping goes on.
 *
 * A vCPU that reloads the page during the hold gets the page that is about to be
 * unmapped.  The CPU recognises an APIC access by the page in the VMCS, but the EPT
 * then map the new page, so that it treats the guest's accesses as accesses to
 * plain memory.
 *
 * Every vCPU must get the new page; one that is in L2 at that time, when it is back in L1.
 * And KVM must not keep a reference to the page, or the host could not migrate it.
 *
 * Oracle: the version and the ID that the guest reads from its xAPIC must not change.
 * Plain memory has 0 there.
 */

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <linux/mempolicy.h>
#include <linux/mman.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "apic.h"
#include "apic_page.h"
#include "autoeoi.h"
#include "hostfacts.h"
#include "kvm_util.h"
#include "leave_nested.h"
#include "pages.h"
#include "processor.h"
#include "racefix.h"
#include "racegate_client.h"
#include "vcpu_run.h"
#include "vmx.h"

/* Not 0, which the guest would read as the ID from plain memory. */
#define VCPU_ID		1
#define MAX_VCPUS	2

/* Bounds a hold whose release is lost; far longer than a hold takes in Bochs. */
#define HOLD_US		(10 * 1000 * 1000)

/*
 * How often the vCPU must enter the guest during a hold: before the first entry it
 * may have checked its requests before the other thread was held, but not before
 * the second.
 */
#define PASSES		3

/* Tries of leaves_guest: the vCPU may happen to be out of the guest in one. */
#define EXIT_TRIES	5

/* How often the invalidator is held at most while it takes the page away once. */
#define MAX_HOLDS	16

/* The longest time that a child keeps a page. */
#define CHILD_SECONDS	60

/* How often the guest reads both registers after guest_over is set. */
#define ROUNDS_AFTER	100

/* No interrupt is sent with it. */
#define AUTOEOI_VECTOR	0x80

/* The longest delay between two tries of "stress". */
#define STRESS_DELAY_US	200

/* The registers as a vCPU has read them, in guest memory, where the host reads them too. */
struct seen {
	uint32_t version, id;
	uint32_t wrong_version, wrong_id;
	uint64_t rounds, wrong_rounds;
};

static struct seen guest_seen[MAX_VCPUS];
static uint64_t guest_over;
/* Userspace is to take the vCPU out of L2; otherwise L2 exits to L1. */
static uint64_t l2_is_left;
static uint64_t l2_stack[512];

/* L1 virtualizes an APIC for L2; the CPU takes the TPR from the virtual-APIC page. */
#define L2_TPR		0x20

static uint8_t *l2_apic;

static void look(struct seen *seen)
{
	uint32_t version = xapic_read_reg(APIC_LVR);
	uint32_t id = xapic_read_reg(APIC_ID);

	if (version != seen->version || id != seen->id) {
		seen->wrong_version = version;
		seen->wrong_id = id;
		/* The host reads it at the same time. */
		WRITE_ONCE(seen->wrong_rounds, seen->wrong_rounds + 1);
	}
	WRITE_ONCE(seen->rounds, seen->rounds + 1);
}

static void first_look(struct seen *seen)
{
	xapic_enable();
	/* With the guest's interrupts disabled, Bochs keeps out the host's, too. */
	asm volatile("sti");
	seen->version = xapic_read_reg(APIC_LVR);
	seen->id = xapic_read_reg(APIC_ID);
}

static void guest_code(uint64_t index)
{
	struct seen *seen = &guest_seen[index];
	unsigned int after = 0;

	first_look(seen);
	while (after < ROUNDS_AFTER) {
		if (READ_ONCE(guest_over))
			after++;
		look(seen);
	}
	GUEST_DONE();
}

/* Does not access its APIC before guest_over is set: only other threads make it exit. */
static void spinning_code(void)
{
	struct seen *seen = &guest_seen[0];
	unsigned int after;

	first_look(seen);
	while (!READ_ONCE(guest_over))
		WRITE_ONCE(seen->rounds, seen->rounds + 1);
	for (after = 0; after < ROUNDS_AFTER; after++)
		look(seen);
	GUEST_DONE();
}

/* Does not read its APIC again after the first time. */
static void quiet_code(uint64_t x2apic)
{
	struct seen *seen = &guest_seen[0];

	if (x2apic)
		x2apic_enable();
	else
		first_look(seen);
	asm volatile("sti");
	while (!READ_ONCE(guest_over))
		WRITE_ONCE(seen->rounds, seen->rounds + 1);
	GUEST_DONE();
}

/* Leaves the guest between the two times that it reads its APIC. */
static void pausing_code(void)
{
	unsigned int after;

	first_look(&guest_seen[0]);
	GUEST_SYNC(0);
	for (after = 0; after < ROUNDS_AFTER; after++)
		look(&guest_seen[0]);
	GUEST_DONE();
}

/* L2 reads its TPR; the results are in the place of a second vCPU's. */
static void l2_apic_code(void)
{
	struct seen *seen = &guest_seen[1];

	asm volatile("sti");
	while (!READ_ONCE(guest_over)) {
		seen->id = READ_ONCE(*(uint32_t *)(l2_apic + APIC_TASKPRI));
		if (seen->id != L2_TPR)
			seen->wrong_rounds++;
		WRITE_ONCE(guest_seen[0].rounds, guest_seen[0].rounds + 1);
	}
	vmcall();
}

/* L1 gives L2 the APIC-access page at @access_gpa; its registers are in @vapic. */
static void l1_virtualize_apic(uint64_t access_gpa, uint8_t *vapic, uint64_t vapic_gpa)
{
	uint32_t control;

	control = vmreadz(CPU_BASED_VM_EXEC_CONTROL);
	control |= CPU_BASED_TPR_SHADOW | CPU_BASED_ACTIVATE_SECONDARY_CONTROLS;
	GUEST_ASSERT(!vmwrite(CPU_BASED_VM_EXEC_CONTROL, control));
	control = vmreadz(SECONDARY_VM_EXEC_CONTROL) | SECONDARY_EXEC_VIRTUALIZE_APIC_ACCESSES;
	GUEST_ASSERT(!vmwrite(SECONDARY_VM_EXEC_CONTROL, control));
	GUEST_ASSERT(!vmwrite(APIC_ACCESS_ADDR, access_gpa));
	GUEST_ASSERT(!vmwrite(VIRTUAL_APIC_PAGE_ADDR, vapic_gpa));
	GUEST_ASSERT(!vmwrite(TPR_THRESHOLD, 0));
	*(uint32_t *)(vapic + APIC_TASKPRI) = L2_TPR;
}

/* Counts rounds until guest_over is set; nested_code() then reads L1's APIC. */
static void l2_code(void)
{
	asm volatile("sti");
	while (!READ_ONCE(guest_over))
		WRITE_ONCE(guest_seen[0].rounds, guest_seen[0].rounds + 1);
	if (READ_ONCE(l2_is_left))
		GUEST_SYNC(0);
	vmcall();
}

static void nested_code(struct vmx_pages *vmx, uint8_t *access, uint64_t access_gpa,
			uint8_t *vapic, uint64_t vapic_gpa)
{
	struct seen *seen = &guest_seen[0];
	unsigned int after;

	first_look(seen);
	GUEST_ASSERT(prepare_for_vmx_operation(vmx));
	GUEST_ASSERT(load_vmcs(vmx));
	prepare_vmcs(vmx, access ? l2_apic_code : l2_code, &l2_stack[ARRAY_SIZE(l2_stack)]);
	if (access) {
		l2_apic = access;
		l1_virtualize_apic(access_gpa, vapic, vapic_gpa);
	}
	GUEST_ASSERT(!vmlaunch());
	GUEST_ASSERT_1(vmreadz(VM_EXIT_REASON) == EXIT_REASON_VMCALL,
		       vmreadz(VM_EXIT_REASON));
	for (after = 0; after < ROUNDS_AFTER; after++)
		look(seen);
	GUEST_DONE();
}

/* L1 goes on here if userspace takes it out of L2. */
static void left_code(void)
{
	unsigned int after;

	for (after = 0; after < ROUNDS_AFTER; after++)
		look(&guest_seen[0]);
	GUEST_DONE();
}

struct race {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpu;
	void *page;		/* where KVM mapped the APIC access page */
	const struct cause *cause;
	bool taken;		/* cause->take() has returned */
	const char *why;	/* the reason why it failed, or NULL */
	pthread_t runner, invalidator;
	pid_t runner_tid, invalidator_tid;
	sem_t runner_ready, invalidator_ready, invalidator_go, invalidator_end;
	struct rg *rg;
};

/* One way for userspace to take the page away; take() returns 0, or -1 with errno. */
struct cause {
	const char *name;
	int (*take)(void *page);
};

/* Migrates the page, as compaction does; the kernel never uses the old one again. */
static int take_by_migration(void *page)
{
	int node = 0, status, ret, tries = 3;

	do {
		/*
		 * The kernel does not migrate a page with extra references, which
		 * per-CPU lists may hold.  move_pages() drains them; it moves nothing.
		 */
		syscall(SYS_move_pages, 0, 1, &page, &node, &status,
			MPOL_MF_MOVE);
		ret = madvise(page, PAGE_BYTES, MADV_SOFT_OFFLINE);
	} while (ret && errno == EBUSY && --tries);
	return ret;
}

static const struct cause hole = { "MADV_REMOVE", apic_page_punch };
static const struct cause migration = { "MADV_SOFT_OFFLINE", take_by_migration };

/* The host's view of that vCPU's struct seen. */
static volatile struct seen *seen_by(struct race *race, unsigned int index)
{
	return addr_gva2hva(race->vm, (vm_vaddr_t)&guest_seen[index]);
}

static void create_vm_of(struct race *race, const struct cause *cause, void *code)
{
	memset(race, 0, sizeof(*race));
	race->cause = cause;
	race->vm = vm_create(MAX_VCPUS);
	virt_pg_map(race->vm, APIC_DEFAULT_GPA, APIC_DEFAULT_GPA);
	race->page = apic_page_add_vcpu(race->vm, VCPU_ID, code,
					&race->vcpu);
}

static void create_vm(struct race *race, const struct cause *cause)
{
	create_vm_of(race, cause, guest_code);
	vcpu_args_set(race->vcpu, 1, 0ul);
}

static void run_to_the_end(struct kvm_vcpu *vcpu)
{
	vcpu_run_until(vcpu, UCALL_DONE);
}

static void *runner_thread(void *arg)
{
	struct race *race = arg;

	race->runner_tid = syscall(SYS_gettid);
	sem_post(&race->runner_ready);
	run_to_the_end(race->vcpu);
	return NULL;
}

/* The same for a vCPU in L2 that is taken out of it when L2 ends. */
static void *leaving_thread(void *arg)
{
	struct race *race = arg;

	race->runner_tid = syscall(SYS_gettid);
	sem_post(&race->runner_ready);
	vcpu_run_until(race->vcpu, UCALL_SYNC);
	leave_nested_for(race->vcpu, left_code, 0);
	run_to_the_end(race->vcpu);
	return NULL;
}

static void *vcpu_thread(void *arg)
{
	run_to_the_end(arg);
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
	/* An exiting thread causes an invalidation as well, which is not part of the race. */
	sem_wait(&race->invalidator_end);
	return NULL;
}

/* Waits until that vCPU has done @nr more rounds; polls every @us microseconds. */
static void wait_for_rounds_of(struct race *race, unsigned int index, unsigned int nr,
			       unsigned int us)
{
	uint64_t goal = seen_by(race, index)->rounds + nr;

	while (seen_by(race, index)->rounds < goal)
		usleep(us);
}

static void wait_for_rounds(struct race *race, unsigned int nr, unsigned int us)
{
	wait_for_rounds_of(race, 0, nr, us);
}

static void start_runner(struct race *race)
{
	sem_init(&race->runner_ready, 0, 0);
	TEST_ASSERT(!pthread_create(&race->runner, NULL,
				    l2_is_left ? leaving_thread : runner_thread, race),
		    "pthread_create");
	sem_wait(&race->runner_ready);
}

/* Starts the threads; the guest reads its APIC until the EPT surely map the page. */
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
	 * Copy-on-write after the harness's fork() causes invalidations, too; mlockall()
	 * gets that over with before a thread is held in one.  The APIC access page is
	 * unlocked, as MADV_REMOVE refuses locked memory.
	 */
	TEST_ASSERT(!mlockall(MCL_CURRENT) && !munlock(race->page, PAGE_BYTES),
		    "mlockall: %s", strerror(errno));
}

/* Has the guest read its APIC a last time, and waits for its end. */
static void finish(struct race *race)
{
	struct seen seen;
	char text[96];

	guest_over = 1;
	sync_global_to_guest(race->vm, guest_over);
	pthread_join(race->runner, NULL);

	seen = *seen_by(race, 0);
	snprintf(text, sizeof(text), "guest reads version %#x, ID %#x",
		 seen.wrong_rounds ? seen.wrong_version : seen.version,
		 seen.wrong_rounds ? seen.wrong_id : seen.id);
	if (race->rg)
		rg_mark(race->rg, text);
}

static unsigned int arrivals(struct rg *rg, int gate)
{
	struct rg_status status;

	return rg_status(rg, gate, &status) ? 0 : status.arrivals;
}

/* Waits for PASSES guest entries of the vCPU; returns NULL, or the reason why that failed. */
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

/* Waits for the @nth hold; false if the page was taken away without it. */
static bool wait_for_hold(struct race *race, int gate, unsigned int nth)
{
	while (rg_wait(race->rg, gate, nth, 10 * 1000))
		if (READ_ONCE(race->taken))
			return !rg_wait(race->rg, gate, nth, 0);
	return true;
}

/*
 * Starts the invalidator, and holds it before the unmapping until the vCPU has
 * entered the guest.  There may be several unmappings: the kernel retries a
 * migration while the page is in use, and punching a hole unmaps again a page that
 * was mapped meanwhile.  Returns NULL, or the reason why this could not be forced.
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

	/* Events that show that the page was zapped from the EPT, or its reload requested. */
	reload = rg_arm(rg, &(struct rg_point){
		.symbol = "kvm_intel:vmx_set_apic_access_page_addr",
		.label = "vmx_set_apic_access_page_addr()",
		.tid = race->runner_tid, .max_hits = 2 * MAX_HOLDS });
	fault = rg_arm(rg, &(struct rg_point){
		.symbol = "kvm:kvm_mmu_page_fault",
		.label = "kvm_mmu_page_fault()",
		.tid = race->runner_tid, .max_hits = 2 });
	/* Only counts hits: as events they would fill the ladder. */
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
		return "the page that was invalidated is not the APIC access page";
	return why;
}

/* Checks that this vCPU has always read its own APIC. */
static void expect_apic(struct __test_metadata *_metadata, struct race *race,
			unsigned int index)
{
	struct seen seen = *seen_by(race, index);

	ksft_print_msg("vCPU %u: version %#x, ID %#x; %lu of %lu looks at them were wrong\n",
		       VCPU_ID + index, seen.version, seen.id, seen.wrong_rounds, seen.rounds);
	EXPECT_EQ(VCPU_ID + index, GET_APIC_ID_FIELD(seen.id));
	EXPECT_EQ(0, seen.wrong_rounds) {
		TH_LOG("vCPU %u reads version %#x and ID %#x: its xAPIC is plain memory",
		       VCPU_ID + index, seen.wrong_version, seen.wrong_id);
	}
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
	expect_apic(_metadata, &race, 0);
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

/* No thread is held here: a vCPU that gets no request keeps the old page. */
TEST(both_vcpus)
{
	struct kvm_vcpu *other;
	pthread_t thread;
	struct race race;

	RACEFIX_REQUIRE(apic_page_missing());
	create_vm(&race, &hole);
	if (!race.page)
		SKIP(return, "the APIC access page is not in /proc/self/maps");
	RACEFIX_LOG_MARK();
	other = vm_vcpu_add(race.vm, VCPU_ID + 1, guest_code);
	vcpu_args_set(other, 1, 1ul);
	start_runner(&race);
	ASSERT_EQ(0, pthread_create(&thread, NULL, vcpu_thread, other));
	wait_for_rounds_of(&race, 0, 10, 1000);
	wait_for_rounds_of(&race, 1, 10, 1000);

	ASSERT_EQ(0, apic_page_punch(race.page));
	wait_for_rounds_of(&race, 0, 10, 1000);
	wait_for_rounds_of(&race, 1, 10, 1000);
	finish(&race);
	pthread_join(thread, NULL);
	ksft_print_msg("forced: the page was taken away while two vCPUs ran\n");
	expect_apic(_metadata, &race, 0);
	expect_apic(_metadata, &race, 1);
	RACEFIX_LOG_CLEAN();
}

/* Has the vCPU left the guest between the two events of the first request in the record? */
static bool exits_for_request(struct rg *rg, int request, int exits)
{
	const struct rg_event *event;
	bool requested = false;
	ssize_t nr, i;

	nr = rg_events(rg, &event);
	for (i = 0; i < nr; i++, event++) {
		if (event->gate == request)
			requested = true;
		else if (requested && event->gate == exits)
			return true;
		else if (requested)
			return false;
	}
	return false;
}

/*
 * A vCPU may use the page as long as it is in the guest, so it must exit before the page is
 * freed.  Other exits, for a timer tick, are rare.
 */
TEST(leaves_guest)
{
	int request, made, exits, i;
	bool left = false;
	struct race race;
	struct rg *rg;

	RACEFIX_REQUIRE(apic_page_missing());
	create_vm_of(&race, &hole, spinning_code);
	if (!race.page)
		SKIP(return, "the APIC access page is not in /proc/self/maps");
	RACEFIX_LOG_MARK();
	if (rg_open(&race.rg) < 0)
		SKIP(return, "%s", rg_strerror());
	rg = race.rg;
	start_runner(&race);
	rg_name_thread(rg, race.runner_tid, "vCPU");
	rg_name_thread(rg, rg_gettid(), "takes the page away");
	request = rg_arm(rg, &(struct rg_point){
		.symbol = "kvm:kvm_arch_mmu_notifier_invalidate_range",
		.label = "the page's reload is to be requested", .tid = rg_gettid() });
	made = rg_arm(rg, &(struct rg_point){
		.symbol = "kvm:kvm_arch_mmu_notifier_invalidate_range", .where = RG_RETURN,
		.label = "the request is made", .tid = rg_gettid() });
	exits = rg_arm(rg, &(struct rg_point){
		.symbol = "kvm_intel:vmx_handle_exit_irqoff", .label = "leaves the guest",
		.tid = race.runner_tid });
	if (request < 0 || made < 0 || exits < 0)
		RACEFIX_REQUIRE(rg_strerror());

	for (i = 0; i < EXIT_TRIES && !left; i++) {
		wait_for_rounds(&race, 10, 1000);
		rg_forget(rg);
		ASSERT_EQ(0, apic_page_punch(race.page));
		left = exits_for_request(rg, request, exits);
	}
	rg_ladder(rg, stdout);
	finish(&race);
	EXPECT_EQ(true, left) {
		TH_LOG("the page is freed with a vCPU in the guest that uses it");
	}
	expect_apic(_metadata, &race, 0);
	RACEFIX_LOG_CLEAN();
}

/*
 * The page is taken away while L2 runs: L1 must have the new one when L2 ends, by an exit or, if
 * @left is set, as userspace takes the vCPU out of it. If @virtualized is set, L1 has given L2 an
 * APIC-access page, and L2 must keep that.
 */
static void take_in_l2(struct __test_metadata *_metadata, bool virtualized, bool left)
{
	vm_vaddr_t vmx_gva, access = 0, vapic = 0;
	struct race race;

	RACEFIX_REQUIRE(apic_page_missing());
	if (!kvm_cpu_has(X86_FEATURE_VMX))
		SKIP(return, "no VMX for guests: load kvm_intel with nested=1");
	create_vm_of(&race, &hole, nested_code);
	if (!race.page)
		SKIP(return, "the APIC access page is not in /proc/self/maps");
	RACEFIX_LOG_MARK();
	vcpu_alloc_vmx(race.vm, &vmx_gva);
	if (virtualized) {
		access = vm_vaddr_alloc_page(race.vm);
		vapic = vm_vaddr_alloc_page(race.vm);
	}
	vcpu_args_set(race.vcpu, 5, vmx_gva, access, access ? addr_gva2gpa(race.vm, access) : 0ul,
		      vapic, vapic ? addr_gva2gpa(race.vm, vapic) : 0ul);
	l2_is_left = left;
	sync_global_to_guest(race.vm, l2_is_left);
	start_runner(&race);
	/* Until guest_over is set only L2 counts rounds. */
	wait_for_rounds(&race, 10, 1000);
	ASSERT_EQ(0, apic_page_punch(race.page));
	wait_for_rounds(&race, 10, 1000);
	finish(&race);
	ksft_print_msg("forced: the page was taken away while L2 ran\n");
	expect_apic(_metadata, &race, 0);
	EXPECT_EQ(0, seen_by(&race, 1)->wrong_rounds) {
		TH_LOG("L2 reads %#x as its TPR: the page that L1 gave it is plain memory",
		       seen_by(&race, 1)->id);
	}
	RACEFIX_LOG_CLEAN();
}

TEST(taken_in_l2)
{
	take_in_l2(_metadata, false, false);
}

TEST(taken_in_l2_with_apic)
{
	take_in_l2(_metadata, true, false);
}

TEST(taken_in_l2_left)
{
	take_in_l2(_metadata, false, true);
}

/*
 * While APICv is inhibited the CPU does not use the page, and KVM emulates the APIC. But when the
 * inhibit is gone the VMCS must have the new page's address.
 */
TEST(taken_while_inhibited)
{
	struct kvm_vcpu *other;
	struct race race;

	RACEFIX_REQUIRE(apic_page_missing());
	RACEFIX_REQUIRE(hostfacts_need_apicv());
	create_vm(&race, &hole);
	if (!race.page)
		SKIP(return, "the APIC access page is not in /proc/self/maps");
	RACEFIX_LOG_MARK();
	other = vm_vcpu_add(race.vm, VCPU_ID + 1, guest_code);
	start_runner(&race);
	wait_for_rounds(&race, 10, 1000);
	autoeoi_set(other, AUTOEOI_VECTOR, true);
	wait_for_rounds(&race, 10, 1000);
	ASSERT_EQ(0, apic_page_punch(race.page));
	wait_for_rounds(&race, 10, 1000);
	autoeoi_set(other, AUTOEOI_VECTOR, false);
	wait_for_rounds(&race, 10, 1000);
	finish(&race);
	ksft_print_msg("forced: the page was taken away with AutoEOI set, which inhibits APICv\n");
	expect_apic(_metadata, &race, 0);
	RACEFIX_LOG_CLEAN();
}

/*
 * Another process may take the page away: reclaim of memory runs anywhere.  Here a child has the
 * same mapping.
 */
TEST(taken_by_another_process)
{
	int err, pipe_fd[2];
	struct race race;
	pid_t pid;

	RACEFIX_REQUIRE(apic_page_missing());
	create_vm(&race, &hole);
	if (!race.page)
		SKIP(return, "the APIC access page is not in /proc/self/maps");
	RACEFIX_LOG_MARK();
	start_runner(&race);
	wait_for_rounds(&race, 10, 1000);
	ASSERT_EQ(0, pipe(pipe_fd));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		err = apic_page_punch(race.page) ? errno : 0;
		err = write(pipe_fd[1], &err, sizeof(err));
		/* It has the old page until it ends. */
		alarm(CHILD_SECONDS);
		pause();
		_exit(0);
	}
	/* Only the child writes: its death ends the read. */
	close(pipe_fd[1]);
	ASSERT_EQ(sizeof(err), read(pipe_fd[0], &err, sizeof(err)));
	ASSERT_EQ(0, err);
	wait_for_rounds(&race, 10, 1000);
	finish(&race);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	ksft_print_msg("forced: another process took the page away\n");
	expect_apic(_metadata, &race, 0);
	RACEFIX_LOG_CLEAN();
}

/* A vCPU that is halted, and not in KVM_RUN, must have the new page when it runs again. */
TEST(taken_while_halted)
{
	struct kvm_mp_state state = { .mp_state = KVM_MP_STATE_HALTED };
	struct race race;

	RACEFIX_REQUIRE(apic_page_missing());
	create_vm_of(&race, &hole, pausing_code);
	if (!race.page)
		SKIP(return, "the APIC access page is not in /proc/self/maps");
	RACEFIX_LOG_MARK();
	vcpu_run_until(race.vcpu, UCALL_SYNC);
	vcpu_mp_state_set(race.vcpu, &state);
	ASSERT_EQ(0, apic_page_punch(race.page));
	state.mp_state = KVM_MP_STATE_RUNNABLE;
	vcpu_mp_state_set(race.vcpu, &state);
	run_to_the_end(race.vcpu);
	ksft_print_msg("forced: the page was taken away while the vCPU was halted\n");
	expect_apic(_metadata, &race, 0);
	RACEFIX_LOG_CLEAN();
}

/* Userspace may unmap the page for good; a guest that does not use it must still run. */
TEST(unmapped)
{
	struct race race;

	RACEFIX_REQUIRE(apic_page_missing());
	create_vm_of(&race, &hole, quiet_code);
	if (!race.page)
		SKIP(return, "the APIC access page is not in /proc/self/maps");
	vcpu_args_set(race.vcpu, 1, 0ul);
	RACEFIX_LOG_MARK();
	start_runner(&race);
	wait_for_rounds(&race, 10, 1000);
	ASSERT_EQ(0, munmap(race.page, PAGE_BYTES));
	wait_for_rounds(&race, 10, 1000);
	finish(&race);
	RACEFIX_LOG_CLEAN();
}

/* The VMCS has the page's address, but KVM must not keep a reference to the page. */
static void expect_not_referred_to(struct __test_metadata *_metadata, struct race *race)
{
	int err = 0;

	ksft_print_msg("this takes a page of memory out of use, until the host is booted again\n");
	if (!race->page)
		SKIP(return, "the APIC access page is not in /proc/self/maps");
	RACEFIX_LOG_MARK();
	start_runner(race);
	wait_for_rounds(race, 10, 1000);
	/* Every reload gets the page again, and must put it. */
	ASSERT_EQ(0, apic_page_punch(race->page));
	wait_for_rounds(race, 10, 1000);
	finish(race);
	if (take_by_migration(race->page))
		err = errno;
	if (err && err != EBUSY)
		SKIP(return, "%s: %s", migration.name, strerror(err));
	EXPECT_EQ(0, err) {
		TH_LOG("the APIC access page cannot be migrated: KVM holds a reference to it");
	}
	RACEFIX_LOG_CLEAN();
}

TEST(not_referred_to)
{
	struct race race;

	RACEFIX_REQUIRE(apic_page_missing());
	create_vm(&race, &migration);
	expect_not_referred_to(_metadata, &race);
}

/* The same for a guest in x2APIC mode, which does not use the page. */
TEST(not_referred_to_x2apic)
{
	struct race race;

	RACEFIX_REQUIRE(apic_page_missing());
	create_vm_of(&race, &migration, quiet_code);
	vcpu_args_set(race.vcpu, 1, 1ul);
	expect_not_referred_to(_metadata, &race);
}

/* Takes the page away while the vCPU runs; returns whether the guest reads plain memory since. */
static bool stress_once(struct race *race)
{
	uint64_t wrong;

	stress_delay(STRESS_DELAY_US);
	TEST_ASSERT(!apic_page_punch(race->page), "%s: %s", hole.name,
		    strerror(errno));
	/* Leave out wrong reads of the try before, and a round that is under way. */
	wait_for_rounds(race, 3, 50);
	wrong = seen_by(race, 0)->wrong_rounds;
	wait_for_rounds(race, 3, 50);
	return seen_by(race, 0)->wrong_rounds != wrong;
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
