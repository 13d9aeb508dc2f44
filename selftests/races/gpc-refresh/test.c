// SPDX-License-Identifier: GPL-2.0-only
/*
 * Test that a gfn_to_pfn_cache never maps a page that userspace has replaced: its
 * refresh against mmu_notifiers and other users.
 *
 * The memory behind a guest page is a page of a memfd.  One thread maps another
 * page of it over the first, as a VMM does that replaces guest memory; the old
 * page stays visible through a second mapping.  Another thread makes KVM write to
 * the guest page through its cache:
 *
 *	clock	the vCPU's kvmclock (5.18 and later)
 *	xen	the event channels of Xen's shared_info (needs CONFIG_KVM_XEN)
 *	xen_hva	the same, given to KVM by its host address, outside of all memslots
 *		(6.9 and later)
 *
 *	before_count	the refresh runs after the notifier has invalidated the cache
 *			and before it raises mn_active_invalidate_count
 *	before_publish	a whole invalidation passes after the refresh has found the
 *			page and checked the count, and before it publishes the page
 *	before_end	the refresh finds the page during an invalidation of it, and
 *			checks after that has ended
 *	before_seq	the same, but it checks when the invalidation is about to end
 *	begun_before_publish	the invalidation begins after the refresh has found the page, and
 *			it checks before the end
 *	begun_among_others	the same, while other memory is being invalidated
 *	after_lookup	a whole invalidation passes after the refresh has found the page
 *	retry_unlocked	as before_publish; the refresh puts the page, and tries again
 *	second_user	one thread is inside a refresh, another uses the cache
 *	inactive	the cache is used after its deactivation
 *	lock_made_anew	the cache is activated again while another thread reads it
 *	activated_meanwhile	the page is replaced when the activation has refreshed the cache
 *	memslot_moved	the memslot gets other memory without an invalidation
 *	memslot_gone	there is no memory for a while
 *	invalidated	the page is invalidated, and stays mapped
 *	moved		the guest moves its clock, within the page and to another page
 *	in_device_memory	the page has no struct page
 *
 * Oracle: the old page must not change after mmap() has returned, and later writes
 * of KVM must be in the new one; no reference to a page may be left at the end, or
 * the memfd cannot be sealed; and the kernel must not warn or oops.
 */
#include <errno.h>
#include <semaphore.h>
#include <sys/mman.h>

#include "kvm_util.h"
#include "processor.h"
#include "gpc_device.h"
#include "gpc_facts.h"
#include "gpc_hold.h"
#include "gpc_vm.h"
#include "memfd_pages.h"
#include "racefix.h"
#include "racegate_client.h"

/* A hold with interrupts disabled; the steps of a case during it take 0.1 s. */
#define SPIN_US		RG_SPIN_MAX_US

/* Below 4 GiB, where the MTRRs that firmware sets make device memory uncached. */
#define UNCACHED_HOLE	0xfe000000

/* To be called last: up to 5.19 a cache holds a reference to its page while it is active. */
static void expect_released(struct __test_metadata *_metadata, struct race *race)
{
	int err;

	race->user->stop(race);
	munmap(race->guest, 2 * PAGE);
	munmap(race->pages, NR_PAGES * PAGE);
	err = memfd_pages_in_use(race->memfd);
	EXPECT_EQ(0, err) {
		TH_LOG("%s: there still is a reference to a page of the guest (%s)",
		       race->user->name, strerror(err));
	}
}

/* Checks that KVM writes to page @new, which has replaced @old, whose word was @old_word then. */
static void expect_new_page(struct __test_metadata *_metadata,
			    struct race *race, int old, int new,
			    uint64_t old_word)
{
	uint64_t new_word = race_word(race, new);

	rg_mark(race->rg, "KVM writes again");
	worker_run(&race->writer);
	rg_ladder(race->rg, stdout);
	EXPECT_EQ(old_word, race_word(race, old)) {
		TH_LOG("%s: KVM wrote to a page that mmap() had replaced",
		       race->user->name);
	}
	EXPECT_NE(new_word, race_word(race, new)) {
		TH_LOG("%s: KVM's write is not in the guest's memory",
		       race->user->name);
	}
	RACEFIX_LOG_CLEAN();
	expect_released(_metadata, race);
}

static void before_count(struct __test_metadata *_metadata,
			 const struct user *user)
{
	struct race race;

	RACEFIX_REQUIRE(race_create(&race, user));
	RACEFIX_LOG_MARK();
	RACEFIX_REQUIRE(gpc_force_before_count(&race));
	expect_new_page(_metadata, &race, 0, 1, race_word(&race, 0));
}

static void before_publish(struct __test_metadata *_metadata,
			   const struct user *user)
{
	struct race race;
	uint64_t old_word;
	const char *why;
	int gate;

	RACEFIX_REQUIRE(race_create(&race, user));
	RACEFIX_LOG_MARK();

	/* Invalidate the cache without a race, so that the next write refreshes it. */
	RACEFIX_REQUIRE(gpc_replace(&race, 1));
	gpc_record_invalidation(&race);
	gpc_record_lookups(&race, 0);
	gpc_record_refreshed(&race);
	RACEFIX_REQUIRE(gpc_hold_before_publish(&race, &gate));

	why = gpc_replace(&race, 2);
	rg_mark(race.rg, "mmap() has returned");
	old_word = race_word(&race, 1);
	rg_release(race.rg, gate);
	worker_finish(&race.writer);
	worker_finish(&race.mapper);
	RACEFIX_REQUIRE(why ?: gpc_was_held(&race, gate));
	expect_new_page(_metadata, &race, 1, 2, old_word);
}

/* The refresh finds the old page, and checks after the invalidation has ended. */
static void before_end(struct __test_metadata *_metadata,
		       const struct user *user)
{
	int notifier, gate = -1;
	struct race race;
	const char *why;
	uint64_t old_word;

	RACEFIX_REQUIRE(race_create(&race, user));
	RACEFIX_LOG_MARK();

	/* Invalidate the cache without a race, so that the next write refreshes it. */
	RACEFIX_REQUIRE(gpc_replace(&race, 1));
	gpc_record_invalidation(&race);
	gpc_record_lookups(&race, 0);
	gpc_record_refreshed(&race);
	notifier = rg_arm(race.rg, &(struct rg_point){
		.symbol = "kvm:gfn_to_pfn_cache_invalidate_start",
		.label = gpc_label("gfn_to_pfn_cache_invalidate_start",
			    "returns, mn_active_invalidate_count is raised"),
		.where = RG_RETURN, .action = RG_HOLD_SLEEP,
		.timeout_us = HOLD_US, .tid = race.mapper.tid, .max_hits = 1 });
	RACEFIX_REQUIRE(notifier < 0 ? rg_strerror() : NULL);

	race.next_page = 2;
	worker_start(&race.mapper);
	why = rg_wait(race.rg, notifier, 1, HOLD_US / 2) ? rg_strerror() :
		gpc_hold_before_publish(&race, &gate);
	rg_release(race.rg, notifier);
	if (!worker_is_done(&race.mapper, HOLD_US / 2) && !why)
		why = "mmap() waits for the refresh: it cannot end before that";
	rg_mark(race.rg, "mmap() has returned");
	old_word = race_word(&race, 1);
	if (gate >= 0)
		rg_release(race.rg, gate);
	worker_finish(&race.writer);
	worker_finish(&race.mapper);
	if (!why)
		why = gpc_was_held(&race, notifier) ?: gpc_was_held(&race, gate);
	RACEFIX_REQUIRE(why);
	expect_new_page(_metadata, &race, 1, 2, old_word);
}

TEST(clock_before_count)
{
	before_count(_metadata, &user_kvmclock);
}

TEST(clock_before_publish)
{
	before_publish(_metadata, &user_kvmclock);
}

TEST(clock_before_end)
{
	before_end(_metadata, &user_kvmclock);
}

/* The notifier takes mmu_lock at the start and at the end of the invalidation. */
static int hold_before_end(struct race *race)
{
	return rg_arm(race->rg, &(struct rg_point){
		.symbol = "_raw_write_lock", .from = "kvm", .skip = 1,
		.label = gpc_label("_raw_write_lock",
				   "for the end, mmu_invalidate_seq is to be raised"),
		.action = RG_HOLD_SLEEP, .timeout_us = HOLD_US,
		.tid = race->mapper.tid, .max_hits = 1 });
}

/*
 * The refresh has the old page, and checks when the notifier is about to end, which must lower
 * mn_active_invalidate_count last.
 */
TEST(clock_before_seq)
{
	int notifier, ends, gate = -1;
	struct race race;
	const char *why;
	uint64_t old_word;

	RACEFIX_REQUIRE(race_create(&race, &user_kvmclock));
	RACEFIX_LOG_MARK();

	RACEFIX_REQUIRE(gpc_replace(&race, 1));
	gpc_record_refreshed(&race);
	notifier = rg_arm(race.rg, &(struct rg_point){
		.symbol = "kvm:gfn_to_pfn_cache_invalidate_start",
		.label = gpc_label("gfn_to_pfn_cache_invalidate_start", "returns"),
		.where = RG_RETURN, .action = RG_HOLD_SLEEP,
		.timeout_us = HOLD_US, .tid = race.mapper.tid, .max_hits = 1 });
	ends = hold_before_end(&race);
	RACEFIX_REQUIRE(notifier < 0 || ends < 0 ? rg_strerror() : NULL);

	race.next_page = 2;
	worker_start(&race.mapper);
	why = rg_wait(race.rg, notifier, 1, HOLD_US / 2) ? rg_strerror() :
		gpc_hold_before_publish(&race, &gate);
	rg_release(race.rg, notifier);
	if (!why && rg_wait(race.rg, ends, 1, HOLD_US / 2))
		why = rg_strerror();
	if (gate >= 0)
		rg_release(race.rg, gate);
	/* The writer has published the page by then, or waits. */
	worker_is_done(&race.writer, 20 * LOOK_US);
	if (!why)
		why = gpc_was_held(&race, ends);
	rg_release(race.rg, ends);
	worker_finish(&race.mapper);
	worker_finish(&race.writer);
	RACEFIX_REQUIRE(why ?: gpc_was_held(&race, notifier) ?: gpc_was_held(&race, gate));
	old_word = race_word(&race, 1);
	expect_new_page(_metadata, &race, 1, 2, old_word);
}

/*
 * The notifier begins after the refresh has found the page, skips the cache, and has not ended
 * when the page is to be published: the refresh must read mn_active_invalidate_count with the
 * cache's lock held.
 */
TEST(clock_begun_before_publish)
{
	struct race race;
	uint64_t old_word;
	const char *why;
	int gate, ends;

	RACEFIX_REQUIRE(race_create(&race, &user_kvmclock));
	RACEFIX_LOG_MARK();

	RACEFIX_REQUIRE(gpc_replace(&race, 1));
	gpc_record_invalidation(&race);
	gpc_record_refreshed(&race);
	RACEFIX_REQUIRE(gpc_hold_before_publish(&race, &gate));
	ends = hold_before_end(&race);
	why = ends < 0 ? rg_strerror() : NULL;
	race.next_page = 2;
	worker_start(&race.mapper);
	if (!why && rg_wait(race.rg, ends, 1, HOLD_US / 2))
		why = rg_strerror();
	rg_release(race.rg, gate);
	/* The writer has published the page by then, or tries again until the notifier ends. */
	worker_is_done(&race.writer, 20 * LOOK_US);
	if (!why)
		why = gpc_was_held(&race, ends);
	if (ends >= 0)
		rg_release(race.rg, ends);
	worker_finish(&race.mapper);
	worker_finish(&race.writer);
	RACEFIX_REQUIRE(why ?: gpc_was_held(&race, gate));
	old_word = race_word(&race, 1);
	expect_new_page(_metadata, &race, 1, 2, old_word);
}

/* Memory that is no guest's, and that can be invalidated without mmap_lock. */
static char *other_memory;

static void invalidate_other_memory(struct race *race)
{
	madvise(other_memory, PAGE, MADV_REMOVE);
}

/*
 * As clock_begun_before_publish, but another invalidation is under way as well, of other memory, so
 * that mn_active_invalidate_count is 2.
 */
TEST(clock_begun_among_others)
{
	int gate, ends, begins = -1;
	struct worker other;
	struct race race;
	uint64_t old_word;
	const char *why;

	RACEFIX_REQUIRE(race_create(&race, &user_kvmclock));
	other_memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, other_memory);
	*other_memory = 1;
	worker_create(&race, &other, "replaces other memory", invalidate_other_memory);
	RACEFIX_LOG_MARK();

	RACEFIX_REQUIRE(gpc_replace(&race, 1));
	gpc_record_invalidation(&race);
	gpc_record_refreshed(&race);
	RACEFIX_REQUIRE(gpc_hold_before_publish(&race, &gate));
	ends = hold_before_end(&race);
	if (ends >= 0)
		begins = rg_arm(race.rg, &(struct rg_point){
			.symbol = "kvm:gfn_to_pfn_cache_invalidate_start",
			.label = gpc_label("gfn_to_pfn_cache_invalidate_start",
					   "returns, for other memory"),
			.where = RG_RETURN, .action = RG_HOLD_SLEEP,
			.timeout_us = HOLD_US, .tid = other.tid, .max_hits = 1 });
	why = begins < 0 ? rg_strerror() : NULL;
	worker_start(&other);
	if (!why && rg_wait(race.rg, begins, 1, HOLD_US / 2))
		why = rg_strerror();
	race.next_page = 2;
	worker_start(&race.mapper);
	if (!why && rg_wait(race.rg, ends, 1, HOLD_US / 2))
		why = rg_strerror();
	rg_release(race.rg, gate);
	/* The writer has published the page by then, or tries again until both end. */
	worker_is_done(&race.writer, 20 * LOOK_US);
	if (!why)
		why = gpc_was_held(&race, ends) ?: gpc_was_held(&race, begins);
	if (ends >= 0)
		rg_release(race.rg, ends);
	worker_finish(&race.mapper);
	if (begins >= 0)
		rg_release(race.rg, begins);
	worker_finish(&other);
	worker_finish(&race.writer);
	RACEFIX_REQUIRE(why ?: gpc_was_held(&race, gate));
	old_word = race_word(&race, 1);
	expect_new_page(_metadata, &race, 1, 2, old_word);
}

/* The refresh must read the sequence before it looks the page up. */
TEST(clock_after_lookup)
{
	struct race race;
	uint64_t old_word;
	const char *why;
	int gate;

	RACEFIX_REQUIRE(race_create(&race, &user_kvmclock));
	RACEFIX_LOG_MARK();

	RACEFIX_REQUIRE(gpc_replace(&race, 1));
	gpc_record_invalidation(&race);
	gpc_record_refreshed(&race);
	gate = rg_arm(race.rg, &(struct rg_point){
		.symbol = "kvm:hva_to_pfn", .where = RG_RETURN,
		.label = gpc_label("hva_to_pfn", "has the page"), .action = RG_HOLD_SLEEP,
		.timeout_us = HOLD_US, .tid = race.writer.tid, .max_hits = 1 });
	RACEFIX_REQUIRE(gpc_arrives(&race, gate));
	why = gpc_replace(&race, 2);
	rg_mark(race.rg, "mmap() has returned");
	old_word = race_word(&race, 1);
	rg_release(race.rg, gate);
	worker_finish(&race.writer);
	worker_finish(&race.mapper);
	RACEFIX_REQUIRE(why ?: gpc_was_held(&race, gate));
	expect_new_page(_metadata, &race, 1, 2, old_word);
}

/*
 * A refresh that tries again must drop the cache's lock before it puts its page, which may take
 * long or sleep.
 */
TEST(clock_retry_unlocked)
{
	struct rg_status lookups, put = {};
	int gate, looked_up, puts, i;
	struct race race;
	const char *why;

	RACEFIX_REQUIRE(race_create(&race, &user_kvmclock));
	RACEFIX_LOG_MARK();

	RACEFIX_REQUIRE(gpc_replace(&race, 1));
	gpc_record_refreshed(&race);
	looked_up = gpc_record_lookups(&race, 0);
	RACEFIX_REQUIRE(gpc_hold_before_publish(&race, &gate));
	puts = rg_arm(race.rg, &(struct rg_point){
		.symbol = "kvm:kvm_release_pfn_clean", .action = RG_HOLD_SLEEP,
		.label = gpc_label("kvm_release_pfn_clean", "of the first try"),
		.timeout_us = HOLD_US, .tid = race.writer.tid, .max_hits = 1 });
	why = puts < 0 ? rg_strerror() : gpc_replace(&race, 2);
	rg_mark(race.rg, "mmap() has returned");
	rg_release(race.rg, gate);
	for (i = 0; !why && i < HOLD_US / 2 / LOOK_US; i++)
		if (!rg_wait(race.rg, puts, 1, 0) || worker_is_done(&race.writer, LOOK_US))
			break;
	if (!why && rg_status(race.rg, puts, &put))
		why = rg_strerror();
	if (puts >= 0)
		rg_release(race.rg, puts);
	worker_finish(&race.writer);
	worker_finish(&race.mapper);
	RACEFIX_REQUIRE(why ?: gpc_was_held(&race, gate));
	rg_ladder(race.rg, stdout);
	if (!put.missed && !put.arrivals)
		SKIP(return, "this kernel does not put the page of a try that failed");
	if (rg_status(race.rg, looked_up, &lookups) || lookups.arrivals < 2)
		SKIP(return, "this kernel does not look the page up again");
	EXPECT_EQ(0, put.missed) {
		TH_LOG("a page is put, with the cache's lock held and interrupts off");
	}
	RACEFIX_LOG_CLEAN();
	expect_released(_metadata, &race);
}

TEST(xen_before_count)
{
	before_count(_metadata, &user_xen);
}

TEST(xen_before_publish)
{
	before_publish(_metadata, &user_xen);
}

TEST(xen_before_end)
{
	before_end(_metadata, &user_xen);
}

TEST(xen_hva_before_count)
{
	before_count(_metadata, &user_xen_hva);
}

TEST(xen_hva_before_publish)
{
	before_publish(_metadata, &user_xen_hva);
}

TEST(xen_hva_before_end)
{
	before_end(_metadata, &user_xen_hva);
}

TEST(xen_second_user)
{
	uint64_t old_word, new_word;
	struct race race;
	bool waits;
	int gate;

	RACEFIX_DESTRUCTIVE("a user of the cache goes through NULL: oops, with the cache's lock held");
	RACEFIX_REQUIRE(race_create(&race, &user_xen));
	RACEFIX_LOG_MARK();

	RACEFIX_REQUIRE(gpc_replace(&race, 1));
	old_word = race_word(&race, 0);
	new_word = race_word(&race, 1);
	gate = rg_arm(race.rg, &(struct rg_point){
		.symbol = "kvm:hva_to_pfn", .action = RG_HOLD_SLEEP,
		.label = gpc_label("hva_to_pfn", ""),
		.timeout_us = HOLD_US, .tid = race.writer.tid, .max_hits = 1 });
	RACEFIX_REQUIRE(gpc_arrives(&race, gate));
	gpc_record(&race, &race.reader, gpc_names->check, RG_RETURN, "", 0);

	/*
	 * The second refresh waits for kvm->lock (6.9 and later: xen_lock), which the
	 * first holds over its refresh, and not for the refresh's own mutex: no two
	 * of KVM's threads can get there with the same cache.  Control
	 * modules of 5.17 and 5.19 do not take kvm->lock: there it waits for the refresh.
	 */
	worker_start(&race.reader);
	waits = !worker_is_done(&race.reader, 20 * LOOK_US);
	rg_mark(race.rg, waits ? "it waits until the refresh is done" :
				 "it has used it");
	rg_release(race.rg, gate);
	worker_finish(&race.writer);
	worker_finish(&race.reader);
	RACEFIX_REQUIRE(gpc_was_held(&race, gate));
	rg_ladder(race.rg, stdout);

	EXPECT_EQ(true, waits);
	EXPECT_EQ(old_word, race_word(&race, 0)) {
		TH_LOG("an event went to a page that mmap() had replaced");
	}
	EXPECT_EQ(2, __builtin_popcountll(race_word(&race, 1) & ~new_word)) {
		TH_LOG("an event is not in the guest's memory");
	}
	RACEFIX_LOG_CLEAN();
}

/* After its deactivation KVM must not write through the cache, now or later. */
TEST(xen_inactive)
{
	struct race race;
	uint64_t old_word;

	RACEFIX_REQUIRE(race_create(&race, &user_xen));
	RACEFIX_LOG_MARK();
	gpc_record(&race, &race.writer, gpc_names->refresh, RG_RETURN, "", 0);
	gpc_record_invalidation(&race);

	race_set_shared_info(&race, false);
	rg_mark(race.rg, "there is no shared_info any more");
	old_word = race_word(&race, 0);
	worker_run(&race.writer);
	rg_mark(race.rg, "an event was sent");
	RACEFIX_REQUIRE(gpc_replace(&race, 1));
	rg_mark(race.rg, "mmap() has returned");
	worker_run(&race.writer);
	rg_mark(race.rg, "another event was sent");
	rg_ladder(race.rg, stdout);

	EXPECT_EQ(old_word, race_word(&race, 0)) {
		TH_LOG("an event went to a page that had been taken from KVM");
	}
	RACEFIX_LOG_CLEAN();
}

static void take_away_shared_info(struct race *race)
{
	race_set_shared_info(race, false);
}

static void give_shared_info(struct race *race)
{
	race_set_shared_info(race, true);
}

/*
 * The page is replaced when the cache has been refreshed for its activation, which has not ended:
 * the notifier must find the cache by then.
 */
TEST(xen_activated_meanwhile)
{
	struct worker giver;
	struct race race;
	uint64_t old_word;
	const char *why;
	int gate;

	RACEFIX_REQUIRE(race_create(&race, &user_xen));
	worker_create(&race, &giver, "activates the cache", give_shared_info);
	RACEFIX_LOG_MARK();
	gpc_record_invalidation(&race);
	gate = rg_arm(race.rg, &(struct rg_point){
		.symbol = "kvm:__kvm_gpc_refresh", .where = RG_RETURN,
		.label = "__kvm_gpc_refresh()", .action = RG_HOLD_SLEEP,
		.timeout_us = HOLD_US, .tid = giver.tid, .max_hits = 1 });
	if (gate < 0)
		gate = rg_arm(race.rg, &(struct rg_point){
			.symbol = gpc_names->refresh, .where = RG_RETURN,
			.label = gpc_label(gpc_names->refresh, ""), .action = RG_HOLD_SLEEP,
			.timeout_us = HOLD_US, .tid = giver.tid, .max_hits = 1 });
	RACEFIX_REQUIRE(gate < 0 ? rg_strerror() : NULL);

	take_away_shared_info(&race);
	worker_start(&giver);
	why = rg_wait(race.rg, gate, 1, HOLD_US / 2) ? rg_strerror() : gpc_replace(&race, 1);
	rg_mark(race.rg, "mmap() has returned");
	old_word = race_word(&race, 0);
	rg_release(race.rg, gate);
	worker_finish(&giver);
	worker_finish(&race.mapper);
	RACEFIX_REQUIRE(why ?: gpc_was_held(&race, gate));
	expect_new_page(_metadata, &race, 0, 1, old_word);
}

/*
 * The reader holds the cache's lock for read, with interrupts disabled.  If another
 * thread can give the cache a mapping meanwhile, for which it takes that lock for
 * write, the lock was initialised again, and the reader will release a lock that it
 * does not hold: a later writer would wait for ever.  Hence the reader is released
 * only when another thread is about to initialise the lock once more.
 */
TEST(xen_lock_made_anew)
{
	int reads, activates;
	struct rg_status status;
	const char *why = NULL;
	struct worker giver;
	struct race race;
	bool anew;

	RACEFIX_REQUIRE(race_create(&race, &user_xen));
	RACEFIX_LOG_MARK();
	worker_create(&race, &giver, "activates the cache", give_shared_info);
	gpc_record(&race, &giver, gpc_names->refresh, RG_RETURN, "", 0);
	reads = rg_arm(race.rg, &(struct rg_point){
		.symbol = gpc_names->check, .where = RG_RETURN,
		.label = gpc_label(gpc_names->check, "returns, gpc->lock is held"),
		.action = RG_HOLD_SPIN, .timeout_us = SPIN_US,
		.tid = race.reader.tid, .max_hits = 1 });
	activates = rg_arm(race.rg, &(struct rg_point){
		.symbol = gpc_names->activate, .action = RG_HOLD_SLEEP,
		.label = gpc_label(gpc_names->activate, "again"), .timeout_us = HOLD_US,
		.tid = giver.tid, .skip = 1, .max_hits = 1 });
	if (reads < 0 || activates < 0)
		RACEFIX_REQUIRE(rg_strerror());

	take_away_shared_info(&race);
	worker_start(&race.reader);
	if (rg_wait(race.rg, reads, 1, HOLD_US))
		why = rg_strerror();
	worker_start(&giver);
	worker_finish(&giver);
	anew = !rg_status(race.rg, reads, &status) && status.held;
	rg_mark(race.rg, anew ? "mapped with the reader still there" :
				"the reader was waited for");
	if (anew) {
		take_away_shared_info(&race);
		worker_start(&giver);
		if (rg_wait(race.rg, activates, 1, HOLD_US))
			why = rg_strerror();
		rg_release(race.rg, reads);
		rg_wait_left(race.rg, reads, HOLD_US);
		usleep(LOOK_US);
		rg_release(race.rg, activates);
		worker_finish(&giver);
	}
	worker_finish(&race.reader);
	RACEFIX_REQUIRE(why);
	rg_ladder(race.rg, stdout);

	EXPECT_EQ(false, anew) {
		TH_LOG("the cache's lock was initialised again while a reader held it");
	}
	RACEFIX_LOG_CLEAN();
}

/* Gives the memslot the memory at @to, or none if that is NULL; no old memory is unmapped. */
static void move_memslot(struct race *race, char *to)
{
	if (!race->no_memslot)
		vm_set_user_memory_region(race->vm, SLOT, 0, GPA, 0, NULL);
	race->no_memslot = !to;
	if (to)
		vm_set_user_memory_region(race->vm, SLOT, 0, GPA, 2 * PAGE, to);
	rg_mark(race->rg, to ? "the memslot has other memory" : "there is no memslot");
}

/* Checks that the next write changes the word in @page of the memfd, and in no other page. */
static void expect_write_to(struct __test_metadata *_metadata, struct race *race,
			    int page)
{
	uint64_t before[NR_PAGES];
	int i;

	for (i = 0; i < NR_PAGES; i++)
		before[i] = race_word(race, i);
	worker_run(&race->writer);
	for (i = 0; i < NR_PAGES; i++)
		EXPECT_EQ(i == page, race_word(race, i) != before[i]) {
			TH_LOG("%s: KVM %s to page %d, and the guest's is %d",
			       race->user->name, i == page ? "does not write" : "writes",
			       i, page);
		}
}

/*
 * The cache is valid, and its page is not invalidated: only the memslots' generation shows
 * that the guest has another page now.
 */
static void memslot_moved(struct __test_metadata *_metadata, const struct user *user)
{
	struct race race;

	RACEFIX_REQUIRE(race_create(&race, user));
	RACEFIX_LOG_MARK();
	gpc_record_lookups(&race, 0);
	gpc_record_refreshed(&race);

	move_memslot(&race, race.pages + PAGE);
	expect_write_to(_metadata, &race, 1);
	/* Moved to the same memory, KVM keeps the mapping and goes on using it. */
	move_memslot(&race, race.pages + PAGE);
	expect_write_to(_metadata, &race, 1);
	move_memslot(&race, race.guest);
	expect_write_to(_metadata, &race, 0);
	rg_ladder(race.rg, stdout);
	RACEFIX_LOG_CLEAN();
	expect_released(_metadata, &race);
}

TEST(clock_memslot_moved)
{
	memslot_moved(_metadata, &user_kvmclock);
}

TEST(xen_memslot_moved)
{
	memslot_moved(_metadata, &user_xen);
}

/*
 * A refresh that fails, for want of a memslot or of mapped memory, must leave nothing
 * behind; when there is memory again, KVM writes to it.
 */
TEST(clock_memslot_gone)
{
	unsigned int mapped;
	struct race race;

	RACEFIX_REQUIRE(race_create(&race, &user_kvmclock));
	RACEFIX_LOG_MARK();
	gpc_record_lookups(&race, 0);
	gpc_record_refreshed(&race);

	move_memslot(&race, NULL);
	expect_write_to(_metadata, &race, -1);
	move_memslot(&race, race.guest);
	expect_write_to(_metadata, &race, 0);

	mapped = device_nr_mapped(0);
	munmap(race.guest, PAGE);
	rg_mark(race.rg, "nothing is mapped");
	expect_write_to(_metadata, &race, -1);
	EXPECT_EQ(mapped, device_nr_mapped(0)) {
		TH_LOG("KVM maps the page whose number is that of an error");
	}
	RACEFIX_REQUIRE(gpc_replace(&race, 1));
	expect_write_to(_metadata, &race, 1);
	rg_ladder(race.rg, stdout);
	RACEFIX_LOG_CLEAN();
	expect_released(_metadata, &race);
}

/* The page is invalidated, and is the same one when KVM looks it up again. */
TEST(clock_invalidated)
{
	struct race race;

	RACEFIX_REQUIRE(race_create(&race, &user_kvmclock));
	RACEFIX_LOG_MARK();
	gpc_record_lookups(&race, 0);
	gpc_record_refreshed(&race);

	device_invalidate(race.guest);
	rg_mark(race.rg, "the page is invalidated, and stays mapped");
	expect_write_to(_metadata, &race, 0);
	rg_ladder(race.rg, stdout);
	RACEFIX_LOG_CLEAN();
	expect_released(_metadata, &race);
}

/* The guest moves its clock while the cache is valid. */
TEST(clock_moved)
{
	volatile uint64_t *in_page, *other;
	uint64_t before;
	struct race race;

	RACEFIX_REQUIRE(race_create(&race, &user_kvmclock));
	RACEFIX_LOG_MARK();
	gpc_record_lookups(&race, 0);
	gpc_record_refreshed(&race);
	in_page = (void *)(race.pages + PAGE / 2);
	other = (void *)(race.guest + PAGE);

	vcpu_set_msr(race.vcpu, KVMCLOCK_MSR, (GPA + PAGE / 2) | 1);
	rg_mark(race.rg, "the clock is in the middle of the page");
	before = *in_page;
	expect_write_to(_metadata, &race, -1);
	EXPECT_NE(before, *in_page) {
		TH_LOG("KVM does not write to the middle of the page");
	}
	vcpu_set_msr(race.vcpu, KVMCLOCK_MSR, (GPA + PAGE) | 1);
	rg_mark(race.rg, "the clock is in another page");
	before = *other;
	expect_write_to(_metadata, &race, -1);
	EXPECT_NE(before, *other) {
		TH_LOG("KVM does not write to the other page");
	}
	/* KVM refuses a clock across two pages, and must leave nothing behind. */
	vcpu_set_msr(race.vcpu, KVMCLOCK_MSR, (GPA + PAGE - 4) | 1);
	vcpu_set_msr(race.vcpu, KVMCLOCK_MSR, GPA | 1);
	expect_write_to(_metadata, &race, 0);

	/* The page is looked up again, and is the same, but the place in it is another one. */
	device_invalidate(race.guest);
	vcpu_set_msr(race.vcpu, KVMCLOCK_MSR, (GPA + PAGE / 2) | 1);
	rg_mark(race.rg, "the page is invalidated, and the clock is in its middle");
	before = *in_page;
	expect_write_to(_metadata, &race, -1);
	EXPECT_NE(before, *in_page) {
		TH_LOG("KVM does not write to the middle of the page");
	}
	/* The page is the second one of those that are invalidated. */
	vcpu_set_msr(race.vcpu, KVMCLOCK_MSR, (GPA + PAGE) | 1);
	ASSERT_EQ(race.guest, mmap(race.guest, 2 * PAGE, PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_FIXED, race.memfd, PAGE));
	rg_mark(race.rg, "both pages are replaced");
	expect_write_to(_metadata, &race, 2);
	rg_ladder(race.rg, stdout);
	RACEFIX_LOG_CLEAN();
	expect_released(_metadata, &race);
}

#define DEVICE_GPA	(GPA + 2 * PAGE)

static void move_clock_to_device(struct race *race)
{
	vcpu_set_msr(race->vcpu, KVMCLOCK_MSR, DEVICE_GPA | 1);
}

/* Holds that worker before it publishes the page, and invalidates the page then. */
static const char *invalidate_before_publish(struct race *race, struct worker *worker,
					     unsigned int skip, void *page)
{
	const char *why = NULL;
	int gate;

	gate = rg_arm(race->rg, &(struct rg_point){
		.symbol = "_raw_write_lock_irq", .from = "kvm", .skip = skip,
		.label = gpc_label("_raw_write_lock_irq", "to publish the page"),
		.action = RG_HOLD_SLEEP, .timeout_us = HOLD_US,
		.tid = worker->tid, .max_hits = 1 });
	if (gate < 0)
		return rg_strerror();
	worker_start(worker);
	if (rg_wait(race->rg, gate, 1, HOLD_US / 2))
		why = rg_strerror();
	device_invalidate(page);
	rg_mark(race->rg, "the page is invalidated");
	rg_release(race->rg, gate);
	worker_finish(worker);
	return why ?: gpc_was_held(race, gate);
}

/* Has this process's threads sleep a moment in that function, if they may. */
static int arm_sleep(struct race *race, const char *symbol)
{
	return rg_arm_ours(race->rg, &(struct rg_point){
		.symbol = symbol, .action = RG_HOLD_SLEEP, .timeout_us = 1 });
}

static void expect_sleep(struct __test_metadata *_metadata, struct race *race, int gate,
			 const char *verb)
{
	struct rg_status status;

	ASSERT_EQ(0, rg_status(race->rg, gate, &status));
	EXPECT_LT(0, status.arrivals);
	EXPECT_EQ(0, status.missed) {
		TH_LOG("a page is %s with the cache's lock held and interrupts off", verb);
	}
}

/*
 * KVM cannot kmap() memory without a struct page, such as that of a device; it uses memremap(),
 * whose mapping must be unmapped again.  No device answers at the addresses that are used here,
 * so that writes to them are harmless in an emulator.
 */
TEST(clock_in_device_memory)
{
	void *device, *other;
	struct worker mover;
	unsigned int mapped;
	struct race race;
	int maps, unmaps;
	off_t hole;

	RACEFIX_ONLY_NAMED("maps memory by /dev/mem; name it with -t to run it");
	RACEFIX_REQUIRE(device_is_harmless() ? NULL :
			"a real machine may crash at a write to an address without a device");
	RACEFIX_REQUIRE(race_create(&race, &user_kvmclock));
	hole = device_find_hole();
	device = device_map(hole);
	other = device_map(UNCACHED_HOLE);
	if (!device || !other)
		SKIP(return, "/dev/mem: %s", strerror(errno));
	worker_create(&race, &mover, "moves the clock", move_clock_to_device);
	vm_set_user_memory_region(race.vm, SLOT + 1, 0, DEVICE_GPA, PAGE, device);
	vm_set_user_memory_region(race.vm, SLOT + 2, 0, DEVICE_GPA + PAGE, PAGE, other);
	/* Modules that were loaded before may have left mappings behind. */
	mapped = device_nr_mapped(hole);
	RACEFIX_LOG_MARK();

	maps = arm_sleep(&race, "memremap");
	unmaps = arm_sleep(&race, "memunmap");
	RACEFIX_REQUIRE(maps < 0 || unmaps < 0 ? rg_strerror() : NULL);
	worker_run(&mover);
	worker_run(&race.writer);
	EXPECT_EQ(mapped + 1, device_nr_mapped(hole)) {
		TH_LOG("KVM does not map memory of a device as such");
	}
	/* The existing mapping is used again, on a second try as well. */
	device_invalidate(device);
	RACEFIX_REQUIRE(invalidate_before_publish(&race, &race.writer, 1, device));
	worker_run(&race.writer);
	EXPECT_EQ(mapped + 1, device_nr_mapped(hole));
	vcpu_set_msr(race.vcpu, KVMCLOCK_MSR, GPA | 1);
	expect_write_to(_metadata, &race, 0);
	EXPECT_EQ(mapped, device_nr_mapped(hole)) {
		TH_LOG("KVM keeps a mapping that it has no use for");
	}
	/* Each try with a new page makes another mapping, and must unmap that of the try before. */
	RACEFIX_REQUIRE(invalidate_before_publish(&race, &mover, 1, device));
	EXPECT_EQ(mapped + 1, device_nr_mapped(hole)) {
		TH_LOG("KVM keeps a mapping that it has no use for");
	}
	/* memremap() refuses uncached memory, so that KVM has nothing to write to. */
	vcpu_set_msr(race.vcpu, KVMCLOCK_MSR, (DEVICE_GPA + PAGE) | 1);
	worker_run(&race.writer);
	EXPECT_EQ(mapped, device_nr_mapped(hole));
	vcpu_set_msr(race.vcpu, KVMCLOCK_MSR, GPA | 1);
	expect_write_to(_metadata, &race, 0);
	/* A page that userspace unmaps must not stay mapped. */
	vcpu_set_msr(race.vcpu, KVMCLOCK_MSR, DEVICE_GPA | 1);
	worker_run(&race.writer);
	EXPECT_EQ(mapped + 1, device_nr_mapped(hole));
	munmap(device, PAGE);
	worker_run(&race.writer);
	EXPECT_EQ(mapped, device_nr_mapped(hole)) {
		TH_LOG("KVM keeps a mapping of what userspace has unmapped");
	}
	vcpu_set_msr(race.vcpu, KVMCLOCK_MSR, GPA | 1);
	expect_write_to(_metadata, &race, 0);
	expect_sleep(_metadata, &race, maps, "mapped");
	expect_sleep(_metadata, &race, unmaps, "unmapped");
	rg_ladder(race.rg, stdout);
	RACEFIX_LOG_CLEAN();
	expect_released(_metadata, &race);
}

/*
 * Has KVM write all the time while mmap() replaces page @old; returns whether the cache
 * still maps that page afterwards.
 */
static bool stress_once(struct race *race, int old, int new)
{
	uint64_t old_word, new_word;

	race->next_page = new;
	worker_start(&race->mapper);
	while (race->mapper.busy) {
		race_write(race);
		race->mapper.busy = sem_trywait(&race->mapper.done);
	}

	old_word = race_word(race, old);
	new_word = race_word(race, new);
	race_write(race);
	return race_word(race, old) != old_word || race_word(race, new) == new_word;
}

TEST(stress)
{
	struct race race = { .user = &user_kvmclock };
	struct stress stress;
	int page = 0;

	RACEFIX_STRESS(user_missing(&user_kvmclock));
	race_create_vm(&race);
	stress_begin(&stress, racefix_seconds);
	while (stress_goes_on(&stress)) {
		stress_count(&stress, stress_once(&race, page, !page));
		page = !page;
	}
	RACEFIX_STRESS_END(&stress);
}

/*
 * Arming the first gate at a function takes up to a second on an emulated CPU, and a case arms six:
 * so one gate is kept at each function.
 */
static void keep_gates(void)
{
	struct __fixture_metadata *f;
	struct __test_metadata *t;
	struct rg *rg;

	for (f = __fixture_list; f; f = f->next)
		for (t = f->tests; t; t = t->next)
			t->timeout += 60;
	if (hostfacts_need_kvm() || racefix_is_named("stress"))
		return;
	if (rg_open(&rg) < 0)
		return;
	gpc_find_names(rg);
	rg_close(rg);
	rg_keep((const char * const[]){
		gpc_names->refresh, gpc_names->check, gpc_names->activate, "kvm:hva_to_pfn",
		"kvm:gfn_to_pfn_cache_invalidate_start", "_raw_write_lock",
		"_raw_write_lock_irq", "kvm:kvm_release_pfn_clean" }, 8);
}

RACEFIX_MAIN_AFTER(keep_gates)
