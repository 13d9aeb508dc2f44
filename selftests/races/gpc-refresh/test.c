// SPDX-License-Identifier: GPL-2.0-only
/*
 * Test that a gfn_to_pfn_cache never stands for a page that userspace has taken
 * away: its refresh against mmu_notifiers and other users.
 *
 * The memory behind a guest page is a page of a memfd.  One thread maps another
 * page of it over the first, as a VMM does that replaces guest memory; the old
 * page stays visible through a second mapping.  Another thread makes KVM write to
 * the guest page through its cache:
 *
 *	clock	the vCPU's kvmclock (5.18 and later)
 *	xen	the event channels of Xen's shared_info (needs CONFIG_KVM_XEN)
 *	xen_hva	the same, known to KVM by its host address alone, where there is no
 *		memslot (6.9 and later)
 *
 *	before_count	the refresh gets its chance when the notifier has cleared
 *			the cache and not yet counted itself
 *	before_publish	a whole invalidation passes when the refresh has found the
 *			page and looked at the count, and not yet published it
 *	before_end	the refresh finds the page while an invalidation of it runs, and
 *			asks when that has ended
 *	before_seq	the same, and it asks when that is about to end
 *	after_lookup	a whole invalidation passes when the refresh has found the page
 *	second_user	one thread is inside a refresh, another looks at the cache
 *	inactive	the cache has been taken out of use, and is used
 *	lock_made_anew	it is put to use again while somebody looks at it
 *	memslot_moved	the memslot has other memory by now, and nothing was invalidated
 *	memslot_gone	there is no memory for a while
 *	moved		the guest has what KVM writes moved, in the page and to another
 *	in_device_memory	the page has no struct page
 *
 * Oracle: the old page must not change after mmap() has returned, and what KVM
 * writes then must be in the new one; nobody may refer to a page in the end, which a
 * seal of the memfd tells; and the kernel must not warn or oops.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/mman.h>

#include "kvm_util.h"
#include "processor.h"
#include "gpc_facts.h"
#include "memfd_pages.h"
#include "racefix.h"
#include "racegate_client.h"
#include "vcpu_run.h"

#define NR_PAGES	3
#define XEN_PORTS	16

/* A lost release must not last; far above what a step takes in Bochs. */
#define HOLD_US		(10 * 1000 * 1000)
#define LOOK_US		5000
/* So long a CPU may keep interrupts off; what a case does meanwhile takes 0.1 s. */
#define SPIN_US		RG_SPIN_MAX_US
#define NAP_US		1000

/* Below 4 GiB there is room for devices that firmware has not cached (MTRRs). */
#define UNCACHED_HOLE	0xfe000000

/* A refresh that looks the page up that often waits for the invalidation. */
#define LOOKUPS		5

/* What 6.9 has, and the headers of the library lack. */
#define XEN_SHARED_INFO_HVA		0x6	/* KVM_XEN_ATTR_TYPE_SHARED_INFO_HVA */
#define XEN_CONFIG_SHARED_INFO_HVA	0x100	/* KVM_XEN_HVM_CONFIG_... */

/* The functions of the cache, under the names that this kernel has for them. */
struct names {
	const char *refresh, *check, *activate;
};

static const struct names new_names = {
	"kvm:kvm_gpc_refresh", "kvm:kvm_gpc_check", "kvm:kvm_gpc_activate",
};

/* 6.1 calls the last one as later kernels do. */
static const struct names names_6_1 = {
	"kvm:kvm_gfn_to_pfn_cache_refresh", "kvm:kvm_gfn_to_pfn_cache_check",
	"kvm:kvm_gpc_activate",
};

static const struct names old_names = {
	"kvm:kvm_gfn_to_pfn_cache_refresh", "kvm:kvm_gfn_to_pfn_cache_check",
	"kvm:kvm_gfn_to_pfn_cache_init",
};

static const struct names *names = &new_names;

struct race;

/* A thread that does one thing whenever it is told to. */
struct worker {
	void (*work)(struct race *race);
	struct race *race;
	pthread_t thread;
	pid_t tid;
	sem_t go, done;
	bool busy;
};

/* A way to have KVM write through a cache, and to see what it wrote. */
struct user {
	const char *name;
	void (*setup)(struct race *race);
	void (*stop)(struct race *race);
	void (*write)(struct race *race);
	size_t offset;		/* of a word in the page that each write changes */
	bool by_hva;		/* the page is in no memslot */
};

struct race {
	const struct user *user;
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpu;
	int memfd;
	char *guest;		/* the slot's memory, as KVM knows it */
	char *pages;		/* all pages of the memfd */
	int next_page;		/* what mapper puts there */
	int next_port;
	bool no_memslot;
	struct worker mapper, writer, reader;
	struct rg *rg;
};

static void guest_code(void)
{
	for (;;)
		GUEST_SYNC(0);
}

static uint64_t word(struct race *race, int page)
{
	return *(volatile uint64_t *)(race->pages + page * PAGE +
				      race->user->offset);
}

static void map_next_page(struct race *race)
{
	void *at;

	at = mmap(race->guest, PAGE, PROT_READ | PROT_WRITE,
		  MAP_SHARED | MAP_FIXED | MAP_POPULATE, race->memfd,
		  race->next_page * PAGE);
	TEST_ASSERT(at == race->guest, "mmap: %s", strerror(errno));
}

static void write_once(struct race *race)
{
	race->user->write(race);
}

static void clock_setup(struct race *race)
{
	vcpu_set_msr(race->vcpu, KVMCLOCK_MSR, GPA | 1);
}

static void clock_stop(struct race *race)
{
	vcpu_set_msr(race->vcpu, KVMCLOCK_MSR, 0);
}

/* Has the vCPU's clock written anew. */
static void clock_write(struct race *race)
{
	vcpu_ioctl(race->vcpu, KVM_KVMCLOCK_CTRL, NULL);
	vcpu_run_until(race->vcpu, UCALL_SYNC);
}

/* The word holds the clock's version, which grows with each write. */
static const struct user kvmclock = {
	"kvmclock", clock_setup, clock_stop, clock_write, 0,
};

/* Tells KVM where shared_info is, or that there is none. */
static void set_shared_info(struct race *race, bool on)
{
	struct kvm_xen_hvm_attr shinfo = {
		.type = KVM_XEN_ATTR_TYPE_SHARED_INFO,
		.u.shared_info.gfn = on ? GPA / PAGE : ~0ull,
	};

	if (race->user->by_hva) {
		/* The host address lies where the frame's number does. */
		shinfo.type = XEN_SHARED_INFO_HVA;
		shinfo.u.shared_info.gfn = on ? (uint64_t)race->guest : 0;
	}
	vm_ioctl(race->vm, KVM_XEN_HVM_SET_ATTR, &shinfo);
}

static void xen_setup(struct race *race)
{
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry entries[XEN_PORTS];
	} routing = { .head.nr = XEN_PORTS };
	struct kvm_xen_vcpu_attr vcpu_info = {
		.type = KVM_XEN_VCPU_ATTR_TYPE_VCPU_INFO,
		.u.gpa = VCPU_INFO_GPA,
	};
	int i;

	/* Masked, an event is only written down: no vCPU is kicked for it. */
	for (i = 0; i < NR_PAGES; i++) {
		memset(race->pages + i * PAGE + XEN_MASK_32, 0xff, 8);
		memset(race->pages + i * PAGE + XEN_MASK_64, 0xff, 8);
	}

	set_shared_info(race, true);
	vcpu_ioctl(race->vcpu, KVM_XEN_VCPU_SET_ATTR, &vcpu_info);
	for (i = 0; i < XEN_PORTS; i++)
		routing.entries[i] = (struct kvm_irq_routing_entry) {
			.gsi = XEN_GSI + i,
			.type = KVM_IRQ_ROUTING_XEN_EVTCHN,
			.u.xen_evtchn.port = i,
			.u.xen_evtchn.vcpu = race->vcpu->id,
			.u.xen_evtchn.priority =
				KVM_IRQ_ROUTING_XEN_EVTCHN_PRIO_2LEVEL,
		};
	vm_ioctl(race->vm, KVM_SET_GSI_ROUTING, &routing.head);
}

static void xen_stop(struct race *race)
{
	set_shared_info(race, false);
}

/* Sends an event that was not sent before: the word gets another bit. */
static void xen_write(struct race *race)
{
	struct kvm_irq_level line = { .level = 1 };

	line.irq = XEN_GSI + __atomic_fetch_add(&race->next_port, 1,
						__ATOMIC_RELAXED);
	vm_ioctl(race->vm, KVM_IRQ_LINE, &line);
}

static const struct user xen = {
	"Xen's shared_info", xen_setup, xen_stop, xen_write, XEN_PENDING,
};

static const struct user xen_hva = {
	"Xen's shared_info by host address", xen_setup, xen_stop, xen_write, XEN_PENDING,
	.by_hva = true,
};

static const char *need_xen(const struct user *user)
{
	int config = kvm_check_cap(KVM_CAP_XEN_HVM);

	if (!(config & KVM_XEN_HVM_CONFIG_EVTCHN_2LEVEL))
		return "no event channels in this kvm.ko, so no CONFIG_KVM_XEN";
	if (user->by_hva && !(config & XEN_CONFIG_SHARED_INFO_HVA))
		return "no shared_info by host address, which came with Linux 6.9";
	return NULL;
}

/* Is @symbol, "MODULE:FUNCTION", in this kernel?  /proc/kallsyms takes a second to read in QEMU. */
static bool has_symbol(struct rg *rg, const char *symbol)
{
	/* A gate that lets everybody pass, for a thread that never comes. */
	int gate = rg_arm(rg, &(struct rg_point){ .symbol = symbol, .tid = 1 });

	if (gate >= 0)
		rg_disarm(rg, gate);
	return gate >= 0;
}

static void find_names(struct rg *rg)
{
	if (has_symbol(rg, new_names.refresh))
		names = &new_names;
	else if (has_symbol(rg, names_6_1.activate))
		names = &names_6_1;
	else
		names = &old_names;
}

static void *worker_thread(void *arg)
{
	struct worker *worker = arg;

	worker->tid = rg_gettid();
	for (;;) {
		sem_post(&worker->done);
		sem_wait(&worker->go);
		worker->work(worker->race);
	}
	return NULL;
}

static void start(struct worker *worker)
{
	worker->busy = true;
	sem_post(&worker->go);
}

static void finish(struct worker *worker)
{
	while (worker->busy)
		worker->busy = sem_wait(&worker->done);
}

/*
 * Waits a while for it; is it done?  Asks no clock: that could take the page
 * fault that create() speaks of.
 */
static bool is_done(struct worker *worker, unsigned long us)
{
	for (; worker->busy; us -= NAP_US) {
		worker->busy = sem_trywait(&worker->done);
		if (us < NAP_US)
			break;
		usleep(NAP_US);
	}
	return !worker->busy;
}

static void run(struct worker *worker)
{
	start(worker);
	finish(worker);
}

static void create_worker(struct race *race, struct worker *worker,
			  const char *name, void (*work)(struct race *))
{
	worker->work = work;
	worker->race = race;
	worker->busy = true;
	sem_init(&worker->go, 0, 0);
	sem_init(&worker->done, 0, 0);
	TEST_ASSERT(!pthread_create(&worker->thread, NULL, worker_thread, worker),
		    "pthread_create");
	finish(worker);
	if (race->rg)
		rg_name_thread(race->rg, worker->tid, name);
}

static const char *missing(const struct user *user)
{
	const char *why = hostfacts_need_kvm();

	if (!why && user != &kvmclock)
		why = need_xen(user);
	return why;
}

/* A VM whose cache is in use, over page 0 of the memfd. */
static void create_vm(struct race *race)
{
	const struct user *user = race->user;
	uint64_t before;

	race->vm = vm_create_with_one_vcpu(&race->vcpu, guest_code);
	race->memfd = memfd_pages(NR_PAGES * PAGE);
	race->pages = mmap(NULL, NR_PAGES * PAGE, PROT_READ | PROT_WRITE,
			   MAP_SHARED, race->memfd, 0);
	race->guest = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	TEST_ASSERT(race->pages != MAP_FAILED && race->guest != MAP_FAILED,
		    "mmap: %s", strerror(errno));
	map_next_page(race);
	if (user->by_hva)
		vm_set_user_memory_region(race->vm, SLOT, 0, VCPU_INFO_GPA, PAGE,
					  race->guest + PAGE);
	else
		vm_set_user_memory_region(race->vm, SLOT, 0, GPA, 2 * PAGE,
					  race->guest);

	create_worker(race, &race->mapper, "replaces the page", map_next_page);
	create_worker(race, &race->writer, "refreshes the cache", write_once);
	create_worker(race, &race->reader, "uses the cache", write_once);

	user->setup(race);
	before = word(race, 0);
	run(&race->writer);
	TEST_ASSERT(word(race, 0) != before, "%s: KVM writes nothing",
		    user->name);

	/*
	 * mmap() will be stopped with mmap_lock held for writing: nobody can take
	 * a page fault then.
	 */
	TEST_ASSERT(!mlockall(MCL_CURRENT), "mlockall: %s", strerror(errno));
}

/* The same, to be raced with.  Returns NULL, or why this host has no such thing. */
static const char *create(struct race *race, const struct user *user)
{
	const char *why = missing(user);

	if (why)
		return why;
	memset(race, 0, sizeof(*race));
	race->user = user;
	if (rg_open(&race->rg) < 0)
		return rg_strerror();
	rg_name_thread(race->rg, rg_gettid(), "steers");
	create_vm(race);
	return NULL;
}

/* "FUNCTION() TEXT" of @symbol, "MODULE:FUNCTION", as a label; good until the next call */
static const char *at(const char *symbol, const char *text)
{
	const char *colon = strchr(symbol, ':');
	static char label[128];

	snprintf(label, sizeof(label), "%s()%s%s", colon ? colon + 1 : symbol,
		 *text ? " " : "", text);
	return label;
}

/* A landmark for the ladder, and a thing to wait for. */
static int record(struct race *race, struct worker *worker, const char *symbol,
		  unsigned int where, const char *label, unsigned int max_hits)
{
	return rg_arm(race->rg, &(struct rg_point){
		.symbol = symbol, .where = where, .label = at(symbol, label),
		.tid = worker->tid, .max_hits = max_hits });
}

static int record_invalidation(struct race *race)
{
	return record(race, &race->mapper,
		      "kvm:gfn_to_pfn_cache_invalidate_start", RG_ENTRY,
		      "for mmap()", 0);
}

static int record_lookups(struct race *race, unsigned int max_hits)
{
	return record(race, &race->writer, "kvm:hva_to_pfn", RG_RETURN,
		      "", max_hits);
}

static int record_refreshed(struct race *race)
{
	return record(race, &race->writer, names->refresh, RG_RETURN,
		      "", 0);
}

/* Has the writer write; NULL when it is at the gate, or why it does not come. */
static const char *arrives(struct race *race, int gate)
{
	int i;

	if (gate < 0)
		return rg_strerror();
	start(&race->writer);
	for (i = 0; i < HOLD_US / 2 / LOOK_US; i++) {
		if (!rg_wait(race->rg, gate, 1, 0))
			return NULL;
		if (is_done(&race->writer, LOOK_US))
			return "KVM wrote without a refresh: no gfn_to_pfn_cache is in use there";
	}
	finish(&race->writer);
	return rg_strerror();
}

/* Was the thread held there until it was let go?  NULL, or why not. */
static const char *was_held(struct race *race, int gate)
{
	struct rg_status status;

	if (rg_status(race->rg, gate, &status))
		return rg_strerror();
	if (!status.timeouts)
		return NULL;
	rg_ladder(race->rg, stdout);
	return "a thread went on before it was let go";
}

/* Puts @page there in the mapper's thread; NULL, or why that took no end. */
static const char *replace(struct race *race, int page)
{
	race->next_page = page;
	start(&race->mapper);
	if (is_done(&race->mapper, HOLD_US / 2))
		return NULL;
	return "mmap() waits for the refresh: no invalidation can pass it";
}

/* When all is over.  Up to 5.19 a cache refers to its page for as long as it is in use. */
static void expect_released(struct __test_metadata *_metadata, struct race *race)
{
	int err;

	race->user->stop(race);
	munmap(race->guest, 2 * PAGE);
	munmap(race->pages, NR_PAGES * PAGE);
	err = memfd_pages_in_use(race->memfd);
	EXPECT_EQ(0, err) {
		TH_LOG("%s: somebody still refers to a page of the guest's (%s)",
		       race->user->name, strerror(err));
	}
}

/* What is written when @old, which held @old_word then, is replaced by @new. */
static void expect_new_page(struct __test_metadata *_metadata,
			    struct race *race, int old, int new,
			    uint64_t old_word)
{
	uint64_t new_word = word(race, new);

	rg_mark(race->rg, "KVM writes again");
	run(&race->writer);
	rg_ladder(race->rg, stdout);
	EXPECT_EQ(old_word, word(race, old)) {
		TH_LOG("%s: KVM wrote to a page that mmap() had replaced",
		       race->user->name);
	}
	EXPECT_NE(new_word, word(race, new)) {
		TH_LOG("%s: what KVM wrote is not in the guest's memory",
		       race->user->name);
	}
	RACEFIX_LOG_CLEAN();
	expect_released(_metadata, race);
}

/*
 * Forces a refresh between the notifier's look at the cache and its count, or
 * as far as the kernel lets it.  Returns NULL, or why it was not forced.
 */
static const char *force_before_count(struct race *race)
{
	int notifier, lookup, refreshed, i;
	struct rg *rg = race->rg;
	const char *why = NULL;

	record_invalidation(race);
	record(race, &race->writer, names->refresh, RG_ENTRY,
	       "", 0);
	notifier = rg_arm(rg, &(struct rg_point){
		.symbol = "kvm:gfn_to_pfn_cache_invalidate_start",
		.label = at("gfn_to_pfn_cache_invalidate_start",
			    "returns, mn_active_invalidate_count not raised yet"),
		.where = RG_RETURN, .action = RG_HOLD_SLEEP,
		.timeout_us = HOLD_US, .tid = race->mapper.tid, .max_hits = 1 });
	if (notifier < 0)
		return rg_strerror();
	lookup = record_lookups(race, LOOKUPS);
	refreshed = record_refreshed(race);
	if (lookup < 0 || refreshed < 0)
		return rg_strerror();

	race->next_page = 1;
	start(&race->mapper);
	if (rg_wait(rg, notifier, 1, HOLD_US))
		why = rg_strerror();
	if (!why) {
		start(&race->writer);
		for (i = 0; i < HOLD_US / 2 / LOOK_US; i++)
			if (!rg_wait(rg, refreshed, 1, 0) ||
			    !rg_wait(rg, lookup, LOOKUPS, 0) ||
			    is_done(&race->writer, LOOK_US))
				break;
		if (rg_wait(rg, lookup, 1, 0))
			why = "no page was looked up: no cache is used there, or it waits earlier";
		rg_mark(rg, "lets the invalidation go on");
	}
	rg_release(rg, notifier);
	finish(&race->mapper);
	rg_mark(rg, "mmap() has returned");
	finish(&race->writer);
	return why ?: was_held(race, notifier);
}

static void before_count(struct __test_metadata *_metadata,
			 const struct user *user)
{
	struct race race;

	RACEFIX_REQUIRE(create(&race, user));
	RACEFIX_LOG_MARK();
	RACEFIX_REQUIRE(force_before_count(&race));
	expect_new_page(_metadata, &race, 0, 1, word(&race, 0));
}

/*
 * Stops the writer inside a refresh, when it is about to take gpc->lock for the
 * second time: it has found the page, and everything that the kernel judges
 * without the lock is judged.  Returns NULL and the @gate, or why not.
 */
static const char *hold_before_publish(struct race *race, int *gate)
{
	struct rg *rg = race->rg;
	const char *why;
	int entry;

	entry = rg_arm(rg, &(struct rg_point){
		.symbol = names->refresh, .action = RG_HOLD_SLEEP,
		.label = at(names->refresh, ""),
		.timeout_us = HOLD_US, .tid = race->writer.tid, .max_hits = 1 });
	why = arrives(race, entry);
	if (why)
		return why;
	*gate = rg_arm(rg, &(struct rg_point){
		.symbol = "_raw_write_lock_irq",
		.label = at("_raw_write_lock_irq", "to publish the page"),
		.action = RG_HOLD_SLEEP, .timeout_us = HOLD_US,
		.tid = race->writer.tid, .skip = 1, .max_hits = 1 });
	if (*gate < 0)
		why = rg_strerror();
	rg_release(rg, entry);
	if (!why && rg_wait(rg, *gate, 1, HOLD_US / 2))
		why = rg_strerror();
	if (why)
		finish(&race->writer);
	return why;
}

static void before_publish(struct __test_metadata *_metadata,
			   const struct user *user)
{
	struct race race;
	uint64_t old_word;
	const char *why;
	int gate;

	RACEFIX_REQUIRE(create(&race, user));
	RACEFIX_LOG_MARK();

	/* Without a race, for the cache to be in need of a refresh. */
	RACEFIX_REQUIRE(replace(&race, 1));
	record_invalidation(&race);
	record_lookups(&race, 0);
	record_refreshed(&race);
	RACEFIX_REQUIRE(hold_before_publish(&race, &gate));

	why = replace(&race, 2);
	rg_mark(race.rg, "mmap() has returned");
	old_word = word(&race, 1);
	rg_release(race.rg, gate);
	finish(&race.writer);
	finish(&race.mapper);
	RACEFIX_REQUIRE(why ?: was_held(&race, gate));
	expect_new_page(_metadata, &race, 1, 2, old_word);
}

/* The refresh looks at the old page, and everything else is over when it asks. */
static void before_end(struct __test_metadata *_metadata,
		       const struct user *user)
{
	int notifier, gate = -1;
	struct race race;
	const char *why;
	uint64_t old_word;

	RACEFIX_REQUIRE(create(&race, user));
	RACEFIX_LOG_MARK();

	/* Without a race, for the cache to be in need of a refresh. */
	RACEFIX_REQUIRE(replace(&race, 1));
	record_invalidation(&race);
	record_lookups(&race, 0);
	record_refreshed(&race);
	notifier = rg_arm(race.rg, &(struct rg_point){
		.symbol = "kvm:gfn_to_pfn_cache_invalidate_start",
		.label = at("gfn_to_pfn_cache_invalidate_start",
			    "returns, mn_active_invalidate_count is raised"),
		.where = RG_RETURN, .action = RG_HOLD_SLEEP,
		.timeout_us = HOLD_US, .tid = race.mapper.tid, .max_hits = 1 });
	RACEFIX_REQUIRE(notifier < 0 ? rg_strerror() : NULL);

	race.next_page = 2;
	start(&race.mapper);
	why = rg_wait(race.rg, notifier, 1, HOLD_US / 2) ? rg_strerror() :
		hold_before_publish(&race, &gate);
	rg_release(race.rg, notifier);
	if (!is_done(&race.mapper, HOLD_US / 2) && !why)
		why = "mmap() waits for the refresh: it cannot end before that";
	rg_mark(race.rg, "mmap() has returned");
	old_word = word(&race, 1);
	if (gate >= 0)
		rg_release(race.rg, gate);
	finish(&race.writer);
	finish(&race.mapper);
	if (!why)
		why = was_held(&race, notifier) ?: was_held(&race, gate);
	RACEFIX_REQUIRE(why);
	expect_new_page(_metadata, &race, 1, 2, old_word);
}

TEST(clock_before_count)
{
	before_count(_metadata, &kvmclock);
}

TEST(clock_before_publish)
{
	before_publish(_metadata, &kvmclock);
}

TEST(clock_before_end)
{
	before_end(_metadata, &kvmclock);
}

/*
 * The refresh has the old page, and asks when the notifier is about to end: the count is the last
 * thing that it gives back.
 */
TEST(clock_before_seq)
{
	int notifier, ends, gate = -1;
	struct race race;
	const char *why;
	uint64_t old_word;

	RACEFIX_REQUIRE(create(&race, &kvmclock));
	RACEFIX_LOG_MARK();

	RACEFIX_REQUIRE(replace(&race, 1));
	record_refreshed(&race);
	notifier = rg_arm(race.rg, &(struct rg_point){
		.symbol = "kvm:gfn_to_pfn_cache_invalidate_start",
		.label = at("gfn_to_pfn_cache_invalidate_start", "returns"),
		.where = RG_RETURN, .action = RG_HOLD_SLEEP,
		.timeout_us = HOLD_US, .tid = race.mapper.tid, .max_hits = 1 });
	/* It takes mmu_lock when it begins, and when it ends. */
	ends = rg_arm(race.rg, &(struct rg_point){
		.symbol = "_raw_write_lock", .from = "kvm", .skip = 1,
		.label = at("_raw_write_lock", "for the end, mmu_invalidate_seq is to be raised"),
		.action = RG_HOLD_SLEEP, .timeout_us = HOLD_US,
		.tid = race.mapper.tid, .max_hits = 1 });
	RACEFIX_REQUIRE(notifier < 0 || ends < 0 ? rg_strerror() : NULL);

	race.next_page = 2;
	start(&race.mapper);
	why = rg_wait(race.rg, notifier, 1, HOLD_US / 2) ? rg_strerror() :
		hold_before_publish(&race, &gate);
	rg_release(race.rg, notifier);
	if (!why && rg_wait(race.rg, ends, 1, HOLD_US / 2))
		why = rg_strerror();
	if (gate >= 0)
		rg_release(race.rg, gate);
	/* It has published the page by then, or waits. */
	is_done(&race.writer, 20 * LOOK_US);
	if (!why)
		why = was_held(&race, ends);
	rg_release(race.rg, ends);
	finish(&race.mapper);
	finish(&race.writer);
	RACEFIX_REQUIRE(why ?: was_held(&race, notifier) ?: was_held(&race, gate));
	old_word = word(&race, 1);
	expect_new_page(_metadata, &race, 1, 2, old_word);
}

/* The number that the count is compared with must be older than the page. */
TEST(clock_after_lookup)
{
	struct race race;
	uint64_t old_word;
	const char *why;
	int gate;

	RACEFIX_REQUIRE(create(&race, &kvmclock));
	RACEFIX_LOG_MARK();

	RACEFIX_REQUIRE(replace(&race, 1));
	record_invalidation(&race);
	record_refreshed(&race);
	gate = rg_arm(race.rg, &(struct rg_point){
		.symbol = "kvm:hva_to_pfn", .where = RG_RETURN,
		.label = at("hva_to_pfn", "has the page"), .action = RG_HOLD_SLEEP,
		.timeout_us = HOLD_US, .tid = race.writer.tid, .max_hits = 1 });
	RACEFIX_REQUIRE(arrives(&race, gate));
	why = replace(&race, 2);
	rg_mark(race.rg, "mmap() has returned");
	old_word = word(&race, 1);
	rg_release(race.rg, gate);
	finish(&race.writer);
	finish(&race.mapper);
	RACEFIX_REQUIRE(why ?: was_held(&race, gate));
	expect_new_page(_metadata, &race, 1, 2, old_word);
}

TEST(xen_before_count)
{
	before_count(_metadata, &xen);
}

TEST(xen_before_publish)
{
	before_publish(_metadata, &xen);
}

TEST(xen_before_end)
{
	before_end(_metadata, &xen);
}

TEST(xen_hva_before_count)
{
	before_count(_metadata, &xen_hva);
}

TEST(xen_hva_before_publish)
{
	before_publish(_metadata, &xen_hva);
}

TEST(xen_hva_before_end)
{
	before_end(_metadata, &xen_hva);
}

TEST(xen_second_user)
{
	uint64_t old_word, new_word;
	struct race race;
	bool waits;
	int gate;

	RACEFIX_DESTRUCTIVE("a user of the cache goes through NULL: oops, with the cache's lock held");
	RACEFIX_REQUIRE(create(&race, &xen));
	RACEFIX_LOG_MARK();

	RACEFIX_REQUIRE(replace(&race, 1));
	old_word = word(&race, 0);
	new_word = word(&race, 1);
	gate = rg_arm(race.rg, &(struct rg_point){
		.symbol = "kvm:hva_to_pfn", .action = RG_HOLD_SLEEP,
		.label = at("hva_to_pfn", ""),
		.timeout_us = HOLD_US, .tid = race.writer.tid, .max_hits = 1 });
	RACEFIX_REQUIRE(arrives(&race, gate));
	record(&race, &race.reader, names->check, RG_RETURN,
	       "", 0);

	/*
	 * The second refresh waits for kvm->lock (6.9 and later: xen_lock), which the
	 * first holds over its refresh, and not for the refresh's own mutex: no two
	 * of KVM's threads can get there with the same cache.
	 */
	start(&race.reader);
	waits = !is_done(&race.reader, 20 * LOOK_US);
	rg_mark(race.rg, waits ? "it waits until the refresh is done" :
				 "it has used it");
	rg_release(race.rg, gate);
	finish(&race.writer);
	finish(&race.reader);
	RACEFIX_REQUIRE(was_held(&race, gate));
	rg_ladder(race.rg, stdout);

	EXPECT_EQ(true, waits);
	EXPECT_EQ(old_word, word(&race, 0)) {
		TH_LOG("an event went to a page that mmap() had replaced");
	}
	EXPECT_EQ(2, __builtin_popcountll(word(&race, 1) & ~new_word)) {
		TH_LOG("an event is not in the guest's memory");
	}
	RACEFIX_LOG_CLEAN();
}

/* The cache is out of use: nothing is written to its page, now or later. */
TEST(xen_inactive)
{
	struct race race;
	uint64_t old_word;

	RACEFIX_REQUIRE(create(&race, &xen));
	RACEFIX_LOG_MARK();
	record(&race, &race.writer, names->refresh, RG_RETURN,
	       "", 0);
	record_invalidation(&race);

	set_shared_info(&race, false);
	rg_mark(race.rg, "there is no shared_info any more");
	old_word = word(&race, 0);
	run(&race.writer);
	rg_mark(race.rg, "an event was sent");
	RACEFIX_REQUIRE(replace(&race, 1));
	rg_mark(race.rg, "mmap() has returned");
	run(&race.writer);
	rg_mark(race.rg, "another event was sent");
	rg_ladder(race.rg, stdout);

	EXPECT_EQ(old_word, word(&race, 0)) {
		TH_LOG("an event went to a page that had been taken from KVM");
	}
	RACEFIX_LOG_CLEAN();
}

static void take_away_shared_info(struct race *race)
{
	set_shared_info(race, false);
}

static void give_shared_info(struct race *race)
{
	set_shared_info(race, true);
}

/*
 * The reader holds the cache's lock, for reading and with interrupts off; does
 * the cache get a mapping meanwhile, which takes the same lock for writing?  If
 * so the lock has been made anew, and the reader is going to give up one that it
 * does not hold: what takes the lock for writing after that waits for ever.  Hence
 * the reader goes on only while another thread is about to make it once more.
 */
TEST(xen_lock_made_anew)
{
	int reads, activates;
	struct rg_status status;
	const char *why = NULL;
	struct worker giver;
	struct race race;
	bool anew;

	RACEFIX_REQUIRE(create(&race, &xen));
	RACEFIX_LOG_MARK();
	create_worker(&race, &giver, "activates the cache", give_shared_info);
	record(&race, &giver, names->refresh, RG_RETURN, "", 0);
	reads = rg_arm(race.rg, &(struct rg_point){
		.symbol = names->check, .where = RG_RETURN,
		.label = at(names->check, "returns, gpc->lock is held"),
		.action = RG_HOLD_SPIN, .timeout_us = SPIN_US,
		.tid = race.reader.tid, .max_hits = 1 });
	activates = rg_arm(race.rg, &(struct rg_point){
		.symbol = names->activate, .action = RG_HOLD_SLEEP,
		.label = at(names->activate, "again"), .timeout_us = HOLD_US,
		.tid = giver.tid, .skip = 1, .max_hits = 1 });
	if (reads < 0 || activates < 0)
		RACEFIX_REQUIRE(rg_strerror());

	take_away_shared_info(&race);
	start(&race.reader);
	if (rg_wait(race.rg, reads, 1, HOLD_US))
		why = rg_strerror();
	start(&giver);
	finish(&giver);
	anew = !rg_status(race.rg, reads, &status) && status.held;
	rg_mark(race.rg, anew ? "mapped with the reader still there" :
				"the reader was waited for");
	if (anew) {
		take_away_shared_info(&race);
		start(&giver);
		if (rg_wait(race.rg, activates, 1, HOLD_US))
			why = rg_strerror();
		rg_release(race.rg, reads);
		rg_wait_left(race.rg, reads, HOLD_US);
		usleep(LOOK_US);
		rg_release(race.rg, activates);
		finish(&giver);
	}
	finish(&race.reader);
	RACEFIX_REQUIRE(why);
	rg_ladder(race.rg, stdout);

	EXPECT_EQ(false, anew) {
		TH_LOG("the cache's lock was made anew while a reader held it");
	}
	RACEFIX_LOG_CLEAN();
}

/* The memslot's memory is @to now, or none if that is NULL; nothing of the old is unmapped. */
static void move_memslot(struct race *race, char *to)
{
	if (!race->no_memslot)
		vm_set_user_memory_region(race->vm, SLOT, 0, GPA, 0, NULL);
	race->no_memslot = !to;
	if (to)
		vm_set_user_memory_region(race->vm, SLOT, 0, GPA, 2 * PAGE, to);
	rg_mark(race->rg, to ? "the memslot has other memory" : "there is no memslot");
}

/* Does the word of @page, of the memfd, change by the next write, and no other? */
static void expect_write_to(struct __test_metadata *_metadata, struct race *race,
			    int page)
{
	uint64_t before[NR_PAGES];
	int i;

	for (i = 0; i < NR_PAGES; i++)
		before[i] = word(race, i);
	run(&race->writer);
	for (i = 0; i < NR_PAGES; i++)
		EXPECT_EQ(i == page, word(race, i) != before[i]) {
			TH_LOG("%s: KVM %s to page %d, and the guest's is %d",
			       race->user->name, i == page ? "does not write" : "writes",
			       i, page);
		}
}

/*
 * A cache that is valid, and of a page that is not invalidated: only the memslots tell
 * that it is another one's now.
 */
static void memslot_moved(struct __test_metadata *_metadata, const struct user *user)
{
	struct race race;

	RACEFIX_REQUIRE(create(&race, user));
	RACEFIX_LOG_MARK();
	record_lookups(&race, 0);
	record_refreshed(&race);

	move_memslot(&race, race.pages + PAGE);
	expect_write_to(_metadata, &race, 1);
	/* To the same memory: the mapping stays, and is used on. */
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
	memslot_moved(_metadata, &kvmclock);
}

TEST(xen_memslot_moved)
{
	memslot_moved(_metadata, &xen);
}

/*
 * A refresh that fails leaves nothing behind, neither where there is no memslot nor where
 * there is nothing mapped; when there is memory again, KVM writes to it.
 */
TEST(clock_memslot_gone)
{
	struct race race;

	RACEFIX_REQUIRE(create(&race, &kvmclock));
	RACEFIX_LOG_MARK();
	record_lookups(&race, 0);
	record_refreshed(&race);

	move_memslot(&race, NULL);
	expect_write_to(_metadata, &race, -1);
	move_memslot(&race, race.guest);
	expect_write_to(_metadata, &race, 0);

	munmap(race.guest, PAGE);
	rg_mark(race.rg, "nothing is mapped");
	expect_write_to(_metadata, &race, -1);
	RACEFIX_REQUIRE(replace(&race, 1));
	expect_write_to(_metadata, &race, 1);
	rg_ladder(race.rg, stdout);
	RACEFIX_LOG_CLEAN();
	expect_released(_metadata, &race);
}

/* What the guest asks for while its cache is valid. */
TEST(clock_moved)
{
	volatile uint64_t *in_page, *other;
	uint64_t before;
	struct race race;

	RACEFIX_REQUIRE(create(&race, &kvmclock));
	RACEFIX_LOG_MARK();
	record_lookups(&race, 0);
	record_refreshed(&race);
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
	/* Across two pages there is no clock, and nothing is left behind. */
	vcpu_set_msr(race.vcpu, KVMCLOCK_MSR, (GPA + PAGE - 4) | 1);
	vcpu_set_msr(race.vcpu, KVMCLOCK_MSR, GPA | 1);
	expect_write_to(_metadata, &race, 0);
	rg_ladder(race.rg, stdout);
	RACEFIX_LOG_CLEAN();
	expect_released(_metadata, &race);
}

/* Where nothing is: no RAM, no device. */
static off_t find_hole(void)
{
	uint64_t start, end, hole = 1ull << 32;
	const uint64_t size = 1ull << 30;
	char line[256];
	FILE *file;

	file = fopen("/proc/iomem", "re");
	TEST_ASSERT(file, "/proc/iomem: %s", strerror(errno));
	/* What is in others is indented. */
	while (fgets(line, sizeof(line), file)) {
		if (*line == ' ' || sscanf(line, "%lx-%lx", &start, &end) != 2)
			continue;
		if (start >= hole + 2 * size)
			break;
		if (end >= hole)
			hole = (end | (size - 1)) + 1;
	}
	fclose(file);
	return hole + size;
}

/* CPUID.1:ECX[31], which no CPU sets. */
static bool is_emulated(void)
{
	uint32_t eax, ebx, ecx, edx;

	cpuid(1, &eax, &ebx, &ecx, &edx);
	return ecx & BIT(31);
}

/* One page of physical memory at @address; NULL, with errno, if that cannot be had. */
static void *map_physical(off_t address)
{
	int fd = open("/dev/mem", O_RDWR);
	void *at = MAP_FAILED;

	if (fd >= 0)
		at = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, address);
	close(fd);
	return at == MAP_FAILED ? NULL : at;
}

/* How often has the kernel mapped that page? */
static unsigned int nr_mapped(off_t address)
{
	char line[512], phys[32];
	unsigned int nr = 0;
	FILE *file;

	snprintf(phys, sizeof(phys), " phys=0x%016llx ", (unsigned long long)address);
	file = fopen("/proc/vmallocinfo", "re");
	TEST_ASSERT(file, "/proc/vmallocinfo: %s", strerror(errno));
	while (fgets(line, sizeof(line), file))
		nr += !!strstr(line, phys);
	fclose(file);
	return nr;
}

/* The page is invalidated, and stays where it is. */
static void invalidate(void *page)
{
	TEST_ASSERT(!mprotect(page, PAGE, PROT_READ) &&
		    !mprotect(page, PAGE, PROT_READ | PROT_WRITE), "mprotect: %s", strerror(errno));
}

#define DEVICE_GPA	(GPA + 2 * PAGE)

static void move_clock_to_device(struct race *race)
{
	vcpu_set_msr(race->vcpu, KVMCLOCK_MSR, DEVICE_GPA | 1);
}

/* Holds that worker before it publishes the page, which is invalidated then. */
static const char *invalidate_before_publish(struct race *race, struct worker *worker,
					     unsigned int skip, void *page)
{
	const char *why = NULL;
	int gate;

	gate = rg_arm(race->rg, &(struct rg_point){
		.symbol = "_raw_write_lock_irq", .from = "kvm", .skip = skip,
		.label = at("_raw_write_lock_irq", "to publish the page"),
		.action = RG_HOLD_SLEEP, .timeout_us = HOLD_US,
		.tid = worker->tid, .max_hits = 1 });
	if (gate < 0)
		return rg_strerror();
	start(worker);
	if (rg_wait(race->rg, gate, 1, HOLD_US / 2))
		why = rg_strerror();
	invalidate(page);
	rg_mark(race->rg, "the page is invalidated");
	rg_release(race->rg, gate);
	finish(worker);
	return why ?: was_held(race, gate);
}

/*
 * Memory that has no struct page, such as that of a device, cannot be mapped by kmap(), and what
 * the kernel maps it by does not go away by itself.  Here nobody answers, which is harmless
 * where an emulator makes it so.
 */
TEST(clock_in_device_memory)
{
	struct worker mover;
	struct race race;
	void *device, *other;
	off_t hole;

	RACEFIX_ONLY_NAMED("maps memory by /dev/mem; name it with -t to run it");
	RACEFIX_REQUIRE(is_emulated() ? NULL :
			"a real machine may not bear a write to where nothing is");
	RACEFIX_REQUIRE(create(&race, &kvmclock));
	hole = find_hole();
	device = map_physical(hole);
	other = map_physical(UNCACHED_HOLE);
	if (!device || !other)
		SKIP(return, "/dev/mem: %s", strerror(errno));
	create_worker(&race, &mover, "moves the clock", move_clock_to_device);
	vm_set_user_memory_region(race.vm, SLOT + 1, 0, DEVICE_GPA, PAGE, device);
	vm_set_user_memory_region(race.vm, SLOT + 2, 0, DEVICE_GPA + PAGE, PAGE, other);
	RACEFIX_LOG_MARK();

	run(&mover);
	run(&race.writer);
	EXPECT_EQ(1, nr_mapped(hole)) {
		TH_LOG("KVM does not map memory of a device as such");
	}
	/* The mapping that is there is used again, at the second try, too. */
	invalidate(device);
	RACEFIX_REQUIRE(invalidate_before_publish(&race, &race.writer, 1, device));
	run(&race.writer);
	EXPECT_EQ(1, nr_mapped(hole));
	vcpu_set_msr(race.vcpu, KVMCLOCK_MSR, GPA | 1);
	expect_write_to(_metadata, &race, 0);
	EXPECT_EQ(0, nr_mapped(hole)) {
		TH_LOG("KVM keeps a mapping that it has no use for");
	}
	/* At each try of a new page there is another mapping. */
	RACEFIX_REQUIRE(invalidate_before_publish(&race, &mover, 1, device));
	EXPECT_EQ(1, nr_mapped(hole)) {
		TH_LOG("KVM keeps a mapping that it has no use for");
	}
	/* What the kernel cannot map as memory is nothing to write to. */
	vcpu_set_msr(race.vcpu, KVMCLOCK_MSR, (DEVICE_GPA + PAGE) | 1);
	run(&race.writer);
	EXPECT_EQ(0, nr_mapped(hole));
	vcpu_set_msr(race.vcpu, KVMCLOCK_MSR, GPA | 1);
	expect_write_to(_metadata, &race, 0);
	rg_ladder(race.rg, stdout);
	RACEFIX_LOG_CLEAN();
	expect_released(_metadata, &race);
}

/*
 * Has KVM write all the time while mmap() replaces page @old; did the cache outlive
 * that page?
 */
static bool stress_once(struct race *race, int old, int new)
{
	uint64_t old_word, new_word;

	race->next_page = new;
	start(&race->mapper);
	while (race->mapper.busy) {
		write_once(race);
		race->mapper.busy = sem_trywait(&race->mapper.done);
	}

	old_word = word(race, old);
	new_word = word(race, new);
	write_once(race);
	return word(race, old) != old_word || word(race, new) == new_word;
}

TEST(stress)
{
	struct race race = { .user = &kvmclock };
	struct stress stress;
	int page = 0;

	RACEFIX_STRESS(missing(&kvmclock));
	create_vm(&race);
	stress_begin(&stress, racefix_seconds);
	while (stress_goes_on(&stress)) {
		stress_count(&stress, stress_once(&race, page, !page));
		page = !page;
	}
	RACEFIX_STRESS_END(&stress);
}

/*
 * To arm the first gate of a function takes up to a second on an emulated CPU, and a case has six:
 * all are armed once.
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
	find_names(rg);
	rg_close(rg);
	rg_keep((const char * const[]){
		names->refresh, names->check, names->activate, "kvm:hva_to_pfn",
		"kvm:gfn_to_pfn_cache_invalidate_start", "_raw_write_lock",
		"_raw_write_lock_irq" }, 7);
}

RACEFIX_MAIN_AFTER(keep_gates)
