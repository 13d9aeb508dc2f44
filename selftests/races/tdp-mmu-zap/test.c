// SPDX-License-Identifier: GPL-2.0-only
/*
 * Test that no vCPU zaps shadow pages with mmu_lock held for read only.  Page faults of
 * the TDP MMU take it for read, several vCPUs at the same time.
 *
 * An L2 makes KVM build shadow pages for L1's nested page tables, and
 * KVM_SET_NR_MMU_PAGES then limits them to their current number.  A fault that makes
 * room has to zap now.  Two other vCPUs, which run only L1, touch new pages: the first
 * is held in its fault, with mmu_lock held as the fault takes it, and the second goes
 * as far as it can.
 *
 * Oracle of the harmless cases: while one thread is in
 * kvm_mmu_zap_oldest_mmu_pages() no other is in it, or in kvm_tdp_mmu_map().
 * The first is held before it looks at any shadow page, or after it has made room, so
 * that a second one that does get in does no damage.  In the case two_zappers_collide
 * both work on the same pages, which takes the kernel down.
 *
 * A fault looks its page up before it takes mmu_lock, and must check for invalidations
 * once it has the lock: the cases *_page_replaced hold it in between, and replace the page.
 *
 * Faults that have to zap, of L2 or with the TDP MMU disabled, are held in the same
 * way: there the lock must keep all others out.
 */
#include <pthread.h>
#include <semaphore.h>
#include <sys/mman.h>

#include "kvm_util.h"
#include "memfd_pages.h"
#include "nested_tdp.h"
#include "racefix.h"
#include "racegate_client.h"
#include "replaced.h"
#include "room.h"
#include "vm_stat.h"
#include "zap_hold.h"
#include "zap_vm.h"

static void print_excluded(const struct outcome *outcome)
{
	ksft_print_msg("forced: a page fault waited %lu us for the other\n",
		       outcome->tried_us);
}

static void race_tdp_faults(struct __test_metadata *_metadata, enum place place)
{
	struct outcome outcome;
	struct race race;

	RACEFIX_LOG_MARK();
	RACEFIX_REQUIRE(force(&race, true, place, FIRST, SECOND, HOLD_US, &outcome));
	EXPECT_EQ(false, outcome.zapped) {
		TH_LOG("two vCPUs zap shadow pages at the same time");
	}
	if (outcome.first_zaps) {
		EXPECT_EQ(false, outcome.mapped) {
			TH_LOG("a vCPU zaps shadow pages while another one maps pages");
		}
		if (!outcome.zapped && !outcome.mapped)
			print_excluded(&outcome);
	} else if (!outcome.zapped) {
		/* Pass only if there was a reason to zap. */
		ASSERT_EQ(0, vm_stat(race.vm, "mmu_shadow_zapped"));
		run_vcpu(race.vcpu[NESTED]);
		if (!vm_stat(race.vm, "mmu_shadow_zapped"))
			SKIP(return, "a page fault of L2 found room for another shadow page");
		ksft_print_msg("forced: two TDP faults at once, and no room for shadow pages\n");
		ksft_print_msg("neither zapped; the next fault of L2 did\n");
	}
	RACEFIX_LOG_CLEAN();
}

TEST(two_tdp_faults)
{
	race_tdp_faults(_metadata, ZAPS);
}

/* KVM makes room while a few shadow pages are still left. */
TEST(two_tdp_faults_early)
{
	race_tdp_faults(_metadata, ZAPS_EARLY);
}

/* Serialising the zaps is not enough: no vCPU may map pages during a zap, either. */
TEST(zap_while_mapping)
{
	struct outcome outcome;
	struct race race;

	RACEFIX_LOG_MARK();
	RACEFIX_REQUIRE(force(&race, true, MAPS, FIRST, SECOND, HOLD_US, &outcome));
	EXPECT_EQ(false, outcome.zapped) {
		TH_LOG("a vCPU zaps shadow pages while another one maps pages");
	}
	if (!outcome.zapped && !outcome.mapped)
		print_excluded(&outcome);
	ksft_print_msg("forced: a TDP fault while another one maps, and room is short\n");
	RACEFIX_LOG_CLEAN();
}

/* Checks that there are no more shadow pages than userspace allows. */
static void expect_limit(struct __test_metadata *_metadata, struct race *race)
{
	uint64_t used = vm_stat(race->vm, "mmu_cache_miss") -
			vm_stat(race->vm, "mmu_shadow_zapped");

	EXPECT_LE(used, race->limit) {
		TH_LOG("%lu shadow pages are used, and %lu are allowed", used, race->limit);
	}
}

/* The first fault only maps, but the second one must wait for it before it zaps. */
TEST(nested_fault_zaps_while_mapping)
{
	struct outcome outcome;
	struct race race;

	RACEFIX_LOG_MARK();
	RACEFIX_REQUIRE(force(&race, true, ZAPS, FIRST, NESTED, HOLD_LOCKED_US,
			      &outcome));
	EXPECT_EQ(false, outcome.zapped) {
		TH_LOG("a vCPU zaps shadow pages while another one maps pages");
	}
	if (outcome.first_zaps)
		SKIP(return, "the first vCPU's page fault zapped");
	expect_limit(_metadata, &race);
	if (!outcome.zapped)
		print_excluded(&outcome);
	RACEFIX_LOG_CLEAN();
}

/* The first fault zaps, and so must keep all others out. */
static void race_excluded(struct __test_metadata *_metadata, int first,
			  bool tdp_mmu)
{
	struct outcome outcome;
	struct race race;

	RACEFIX_LOG_MARK();
	RACEFIX_REQUIRE(force(&race, tdp_mmu, ZAPS, first, SECOND, HOLD_LOCKED_US,
			      &outcome));
	EXPECT_EQ(false, outcome.zapped);
	EXPECT_EQ(false, outcome.mapped);
	expect_limit(_metadata, &race);
	if (!outcome.first_zaps)
		SKIP(return, "the first vCPU's page fault did not zap");
	if (!outcome.zapped && !outcome.mapped)
		print_excluded(&outcome);
	RACEFIX_LOG_CLEAN();
}

/*
 * The limit is far below the number of shadow pages in use: KVM zaps all that it can, and lowers
 * the limit to the roots that remain.  A fault that needs a shadow page then finds no room.
 */
static void no_room(struct __test_metadata *_metadata, int vcpu, bool tdp_mmu)
{
	struct race race;
	uint64_t used;
	int allowed, err;

	RACEFIX_LOG_MARK();
	RACEFIX_REQUIRE(create_vm(&race, tdp_mmu));
	vm_ioctl(race.vm, KVM_SET_NR_MMU_PAGES, (void *)MIN_SHADOW_PAGES);
	allowed = __vm_ioctl(race.vm, KVM_GET_NR_MMU_PAGES, NULL);
	if (allowed < 0)
		SKIP(return, "this kernel has no KVM_GET_NR_MMU_PAGES");
	if (allowed >= MIN_FREE_PAGES)
		SKIP(return, "this kernel zaps no more pages than it must, and the limit stays high");

	err = __vcpu_run(race.vcpu[vcpu]) ? errno : 0;
	used = vm_stat(race.vm, "mmu_cache_miss") - vm_stat(race.vm, "mmu_shadow_zapped");
	ksft_print_msg("%d shadow pages are allowed, and used; then KVM_RUN: %s, and %lu are used\n",
		       allowed, err ? strerror(err) : "goes on", used);
	EXPECT_EQ(ENOSPC, err) {
		TH_LOG("a page fault ignores that no shadow page is left");
	}
	EXPECT_GE(allowed, used) {
		TH_LOG("%lu shadow pages are used, and %d are allowed", used, allowed);
	}
	RACEFIX_LOG_CLEAN();
}

TEST(nested_fault_finds_no_room)
{
	no_room(_metadata, NESTED, true);
}

TEST(legacy_fault_finds_no_room)
{
	no_room(_metadata, FIRST, false);
}

static void touch_chunks(void)
{
	uint64_t chunk;

	for (chunk = 0; chunk < NR_CHUNKS; chunk++)
		touch(chunk, 0);
	GUEST_SYNC(chunk);
}

/* Page faults with the TDP MMU disabled, each of which needs another shadow page. */
TEST(legacy_faults_make_room)
{
	struct race race = { .limit = MIN_SHADOW_PAGES };
	const char *why = hostfacts_need_kvm();
	struct kvm_vcpu *vcpu;
	char old;

	if (!why)
		why = hostfacts_need_stats();
	if (!why)
		why = set_tdp_mmu('N', &old);
	RACEFIX_REQUIRE(why);
	RACEFIX_LOG_MARK();
	race.vm = vm_create(1);
	set_tdp_mmu(old, &old);
	vm_userspace_mem_region_add(race.vm, VM_MEM_SRC_ANONYMOUS, MEM_GPA, MEM_SLOT,
				    MEM_SIZE / PAGE_SIZE, 0);
	virt_map_level(race.vm, MEM_GPA, MEM_GPA, MEM_SIZE, PG_LEVEL_2M);
	/* A huge page would need no shadow page. */
	ASSERT_EQ(0, madvise(addr_gpa2hva(race.vm, MEM_GPA), MEM_SIZE, MADV_NOHUGEPAGE));
	vcpu = vm_vcpu_add(race.vm, 0, touch_chunks);
	vm_ioctl(race.vm, KVM_SET_NR_MMU_PAGES, (void *)race.limit);
	run_vcpu(vcpu);
	ksft_print_msg("%lu shadow pages were made, %lu zapped, and %lu are allowed\n",
		       vm_stat(race.vm, "mmu_cache_miss"), vm_stat(race.vm, "mmu_shadow_zapped"),
		       race.limit);
	if (vm_stat(race.vm, "mmu_cache_miss") <= race.limit)
		SKIP(return, "the guest's memory takes too few shadow pages");
	expect_limit(_metadata, &race);
	RACEFIX_LOG_CLEAN();
}

/* The limit drops while a page fault may have made room, and does not hold mmu_lock. */
static void room_taken(struct __test_metadata *_metadata, int vcpu, bool tdp_mmu)
{
	struct race race;
	struct room room;

	RACEFIX_LOG_MARK();
	RACEFIX_REQUIRE(force_room_taken(&race, tdp_mmu, vcpu, &room));
	ksft_print_msg("forced: %lu shadow pages are allowed, and %lu are used after a page fault\n",
		       room.allowed, room.used);
	EXPECT_GE(room.allowed, room.used) {
		TH_LOG("a page fault uses room that it made before it gave up mmu_lock");
	}
	RACEFIX_LOG_CLEAN();
}

TEST(nested_room_taken)
{
	room_taken(_metadata, NESTED, true);
}

TEST(legacy_room_taken)
{
	room_taken(_metadata, FIRST, false);
}

TEST(nested_fault_zaps)
{
	race_excluded(_metadata, NESTED, true);
}

TEST(legacy_fault_zaps)
{
	race_excluded(_metadata, FIRST, false);
}

/* A vCPU that needs a root makes room for that, too, and must keep all others out. */
TEST(tdp_root_zaps)
{
	struct outcome outcome;
	struct race race;

	RACEFIX_LOG_MARK();
	RACEFIX_REQUIRE(force(&race, true, ZAPS_FOR_ROOT, FIRST, SECOND, HOLD_LOCKED_US,
			      &outcome));
	EXPECT_EQ(false, outcome.zapped);
	EXPECT_EQ(false, outcome.mapped) {
		TH_LOG("a vCPU zaps shadow pages while another one maps pages");
	}
	if (!outcome.first_zaps)
		SKIP(return, "the first vCPU made no room for its root");
	if (!outcome.zapped && !outcome.mapped)
		print_excluded(&outcome);
	RACEFIX_LOG_CLEAN();
}

TEST(two_zappers_collide)
{
	RACEFIX_DESTRUCTIVE("two vCPUs free the same shadow pages");
	race_tdp_faults(_metadata, ZAPS_PAGE);
}

/*
 * Another reported end of the race, a fault in kvm_mmu_commit_zap_page(): the first is held with
 * a child of the page that it zaps, and frees both pages only when it is done.
 */
TEST(two_zappers_free)
{
	RACEFIX_DESTRUCTIVE("two vCPUs free the same shadow pages when they are done");
	race_tdp_faults(_metadata, ZAPS_CHILD);
}

/*
 * Another reported end, the BUG of pte_list_remove().  A third, __list_add_valid() below
 * kvm_tdp_mmu_map(), needs two CPUs within a few instructions of each other, between which no
 * gate can hold a thread.
 */
TEST(two_zappers_unlist)
{
	RACEFIX_DESTRUCTIVE("two vCPUs take the same entry out of its list");
	race_tdp_faults(_metadata, UNLISTS);
}

/* Replaces a page while a vCPU is in a page fault of it. */
static void page_replaced(struct __test_metadata *_metadata, bool tdp_mmu, bool nested)
{
	struct replaced replaced;
	int err;

	RACEFIX_LOG_MARK();
	RACEFIX_REQUIRE(create_replaced(&replaced, tdp_mmu, nested));
	if (rg_open(&replaced.rg) < 0)
		SKIP(return, "%s", rg_strerror());
	sem_init(&replaced.ready, 0, 0);
	sem_init(&replaced.go, 0, 0);
	ASSERT_EQ(0, pthread_create(&replaced.thread, NULL, replaced_thread, &replaced));
	sem_wait(&replaced.ready);
	rg_name_thread(replaced.rg, replaced.tid, nested ? "vCPU of L2" : "vCPU");
	RACEFIX_REQUIRE(force_replaced(&replaced, tdp_mmu && !nested ? "_raw_read_lock" :
				       "_raw_write_lock"));
	rg_ladder(replaced.rg, stdout);
	rg_close(replaced.rg);

	EXPECT_EQ(0, replaced.pages[0]) {
		TH_LOG("the guest wrote to a page that mmap() had replaced");
	}
	EXPECT_EQ(REPLACED_VALUE, replaced.pages[PAGE_SIZE / sizeof(uint64_t)]) {
		TH_LOG("the guest's write is not in its memory");
	}
	munmap(replaced.guest, REPLACED_SIZE);
	munmap(replaced.pages, 2 * PAGE_SIZE);
	err = memfd_pages_in_use(replaced.memfd);
	EXPECT_EQ(0, err) {
		TH_LOG("there still is a reference to a page of the guest (%s)", strerror(err));
	}
	RACEFIX_LOG_CLEAN();
}

TEST(tdp_page_replaced)
{
	page_replaced(_metadata, true, false);
}

TEST(nested_page_replaced)
{
	page_replaced(_metadata, true, true);
}

TEST(legacy_page_replaced)
{
	page_replaced(_metadata, false, false);
}

static void *stress_thread(void *arg)
{
	struct runner *runner = arg;

	wait_for_go(runner);
	for (;;) {
		run_vcpu(runner->vcpu);
		sem_post(&runner->race->ready);
		sem_wait(&runner->go);
	}
	return NULL;
}

static int64_t room_for_shadow_pages(struct kvm_vm *vm, uint64_t limit)
{
	return limit + vm_stat(vm, "mmu_shadow_zapped") - vm_stat(vm, "mmu_cache_miss");
}

/*
 * L2 uses up shadow pages until a fault that makes room would have to zap; then the two
 * other vCPUs fault at once.  Returns whether a fault has zapped, as proof that there was a
 * reason to: on a fixed kernel only L2's next fault does.
 */
static bool stress_once(struct race *race, uint64_t limit)
{
	uint64_t zapped;

	while (room_for_shadow_pages(race->vm, limit) >= MIN_FREE_PAGES)
		run_vcpu(race->vcpu[NESTED]);
	zapped = vm_stat(race->vm, "mmu_shadow_zapped");
	sem_post(&race->second.go);
	sem_post(&race->first.go);
	sem_wait(&race->ready);
	sem_wait(&race->ready);
	run_vcpu(race->vcpu[NESTED]);
	return vm_stat(race->vm, "mmu_shadow_zapped") > zapped;
}

/*
 * Only the host shows that both zapped at the same time: it dies, hangs or warns.  So
 * this case shows the race once at most.
 */
TEST(stress)
{
	unsigned int vcpu, touched = 0;
	struct stress stress;
	struct race race;
	uint64_t limit;

	RACEFIX_STRESS(nested_tdp_missing());
	RACEFIX_REQUIRE(create_vm(&race, true));
	sem_init(&race.ready, 0, 0);
	race.second.cpu = 1;
	start_runner(&race, &race.first, FIRST, stress_thread, "vCPU 1");
	start_runner(&race, &race.second, SECOND, stress_thread, "vCPU 2");
	limit = limit_shadow_pages(race.vm, 0);
	stress_begin(&stress, racefix_seconds);
	while (stress_goes_on(&stress)) {
		if (stress_once(&race, limit))
			stress_count(&stress, false);
		if (++touched % (CHUNK_PAGES / 2))
			continue;
		/* Discard the pages, so that touching them faults again. */
		for (vcpu = FIRST; vcpu < NR_VCPUS; vcpu++)
			madvise(addr_gpa2hva(race.vm, MEM_GPA + L1_CHUNK(vcpu) * CHUNK),
				CHUNK, MADV_DONTNEED);
	}
	RACEFIX_STRESS_END(&stress);
}

/* Arming the first gate at a function takes long, so one gate is kept at each. */
static void keep_gates(void)
{
	if (!nested_tdp_missing() && !racefix_is_named("stress"))
		rg_keep((const char * const[]){ FAULT, ZAP, ZAP_ONE, MAP, "kvm:hva_to_pfn" }, 5);
}

RACEFIX_MAIN_AFTER(keep_gates)
