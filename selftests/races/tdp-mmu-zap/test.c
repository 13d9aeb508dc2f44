// SPDX-License-Identifier: GPL-2.0-only
/*
 * Test that no vCPU zaps shadow pages while mmu_lock is held for read only: a TDP
 * page fault of the TDP MMU takes it so, and several vCPUs do at once.
 *
 * An L2 makes KVM build shadow pages for L1's nested page tables, and
 * KVM_SET_NR_MMU_PAGES then says that there may be no more than there are.
 * A fault that looks for room has to zap now.  Two vCPUs of L1, which take no part in
 * that, touch new pages: the first is held on its way, with mmu_lock held as it
 * holds it there, and the second goes as far as it can.
 *
 * Oracle of the harmless cases: while one thread is in
 * kvm_mmu_zap_oldest_mmu_pages() no other is in it, or in kvm_tdp_mmu_map().
 * The first is held before it looks at anything, or when it is through with it,
 * so that a second one that does get in does no damage.  What two of them do to
 * each other otherwise is the case two_zappers_collide; it takes the kernel down.
 *
 * A fault looks its page up before it takes the lock, and has to look at that again when it has
 * it: cases *_page_replaced hold it in between, and put another page there.
 *
 * Faults that have to zap, of L2 or where the TDP MMU is off, are held in the same
 * way: the lock has to keep all others out there.
 */
#define _GNU_SOURCE /* sched_setaffinity() */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <sys/mman.h>

#include "kvm_util.h"
#include "memfd_pages.h"
#include "nested_tdp.h"
#include "processor.h"
#include "racefix.h"
#include "racegate_client.h"
#include "vcpu_run.h"
#include "vm_stat.h"

#define TDP_MMU_PARAM	"/sys/module/kvm/parameters/tdp_mmu"

#define FAULT	"kvm:kvm_mmu_page_fault"
#define ZAP	"kvm:kvm_mmu_zap_oldest_mmu_pages"
#define ZAP_ONE	"kvm:__kvm_mmu_prepare_zap_page"
#define MAP	"kvm:kvm_tdp_mmu_map"
#define UNLIST	"kvm:pte_list_remove"

/* vCPUs: one has the L2, the others only take TDP faults. */
enum { NESTED, FIRST, SECOND, NR_VCPUS };

/*
 * Memory of which L2 touches a page in every 2 MiB: each takes a shadow page.
 * More of them than the lowest limit that KVM_SET_NR_MMU_PAGES takes.
 */
#define MEM_SLOT	1
#define MEM_GPA		0x40000000ull
#define NR_SHADOWED	80
#define MIN_SHADOW_PAGES	64ul
#define NR_CHUNKS	(NR_SHADOWED + 8)
#define CHUNK		PG_SIZE_2M
#define CHUNK_PAGES	(CHUNK / PAGE_SIZE)
#define MEM_SIZE	(NR_CHUNKS * CHUNK)

/* With fewer left than this KVM makes room. */
#define MIN_FREE_PAGES	5

/* Where L1 touches pages: far from each other and from what L2 touches. */
#define L1_CHUNK(vcpu)	(NR_SHADOWED + 4 + (vcpu))

/* The second goes ahead as soon as the first is held, and lets it go itself. */
#define HOLD_US		RG_SPIN_MAX_US
/*
 * The same where the second is to wait for the lock: it spins, as the first
 * does, so that on two CPUs no thread is left that could let the first one go.
 */
#define HOLD_LOCKED_US	500000
/* What the second must have had of it for "it did not get in" to mean something. */
#define TRY_US		50000
/* A host that is emulated on a busy machine may not give it that much at once. */
#define TRIES		3

/* A page that is replaced by another one of a memfd, where L2 can get to it as well. */
#define REPLACED_SLOT	2
#define REPLACED_GPA	0x60000000ull
/*
 * Of that memslot.  Shadow paging maps up to 8 pages that are aligned to as much ahead
 * (PTE_PREFETCH_NUM in mmu.c): the last page is none of those of the first.
 */
#define REPLACED_SIZE	(9 * PAGE_SIZE)
#define REPLACED_VALUE	0x5eed

/* A lost release must not last; far above what it takes in Bochs. */
#define HOLD_REPLACE_US	(10 * 1000 * 1000)

static uint64_t l2_stack[512];

static void touch(uint64_t chunk, uint64_t page)
{
	*(volatile uint64_t *)(MEM_GPA + chunk * CHUNK + page * PAGE_SIZE) = 1;
}

static void l2_code(void)
{
	uint64_t chunk;

	for (chunk = 0; ; chunk++) {
		if (chunk >= NR_SHADOWED)
			GUEST_SYNC(chunk);
		touch(chunk % NR_CHUNKS, 0);
	}
}

static void nested_code(vm_vaddr_t area)
{
	nested_tdp_enter_l2(area, l2_code, &l2_stack[ARRAY_SIZE(l2_stack)]);
}

/* A page at a time, so that the code on the way is mapped when it counts. */
static void l1_code(uint64_t vcpu)
{
	uint64_t page;

	for (page = 0; ; page++) {
		touch(L1_CHUNK(vcpu), page % CHUNK_PAGES);
		GUEST_SYNC(page);
	}
}

/* Where the first is held: the second must not get to zap or map meanwhile. */
enum place {
	ZAPS,		/* before it looks for something to zap */
	ZAPS_EARLY,	/* the same, with room for a few pages left */
	ZAPS_PAGE,	/* with a shadow page in hand that the second will free */
	ZAPS_CHILD,	/* the same, of a page below another one */
	UNLISTS,	/* with an entry of such a page in hand, which is still in its list */
	MAPS,		/* when it has made room; here the second may map, too */
};

/* Where that is, if it zaps. */
static const struct {
	const char *symbol;
	unsigned int skip;
	unsigned int room;	/* for that many shadow pages */
} held_at[] = {
	[ZAPS] = { ZAP },
	[ZAPS_EARLY] = { ZAP, .room = MIN_FREE_PAGES / 2 },
	[ZAPS_PAGE] = { ZAP_ONE },
	[ZAPS_CHILD] = { ZAP_ONE, .skip = 1 },
	[UNLISTS] = { UNLIST },
	[MAPS] = { ZAP },
};

/* There the second finds nothing that the first has in hand. */
static bool is_harmless(enum place place)
{
	return place == ZAPS || place == ZAPS_EARLY || place == MAPS;
}

struct race;

/* A thread that runs a vCPU until it has touched the next page. */
struct runner {
	struct race *race;
	struct kvm_vcpu *vcpu;
	pthread_t thread;
	pid_t tid;
	int cpu;
	sem_t go;
};

struct race {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpu[NR_VCPUS];
	struct runner first, second;
	sem_t ready;
	enum place place;
	uint64_t limit;		/* of shadow pages, if limit_shadow_pages() set it */
	struct rg *rg;
	/* Gates: where the first is held; what the second passes. */
	int first_zap, first_map;
	int second_fault, second_zap, second_map;
};

/* Newer kernels let the parameter be set only when kvm is loaded. */
static const char *set_tdp_mmu(char value, char *old)
{
	int fd = open(TDP_MMU_PARAM, O_RDONLY);
	ssize_t n;

	if (fd < 0)
		return "this kernel has no TDP MMU";
	n = read(fd, old, 1);
	close(fd);
	if (n != 1)
		return "cannot read " TDP_MMU_PARAM;
	if (*old == value)
		return NULL;
	fd = open(TDP_MMU_PARAM, O_WRONLY);
	n = write(fd, &value, 1);
	close(fd);
	return n == 1 ? NULL : "cannot change " TDP_MMU_PARAM;
}

static void run_vcpu(struct kvm_vcpu *vcpu)
{
	vcpu_run_until(vcpu, UCALL_SYNC);
}

/*
 * A VM with NR_SHADOWED and a few shadow pages.
 * Returns NULL, or why this host cannot have it.
 */
static const char *create_vm(struct race *race, bool tdp_mmu)
{
	const char *why = nested_tdp_missing();
	struct kvm_vm *vm;
	char old;
	int i;

	memset(race, 0, sizeof(*race));
	/* A VM keeps for life what the parameter says when it is created. */
	if (!why)
		why = set_tdp_mmu(tdp_mmu ? 'Y' : 'N', &old);
	if (why)
		return why;
	vm = vm_create(NR_VCPUS);
	race->vm = vm;
	set_tdp_mmu(old, &old);

	vm_userspace_mem_region_add(vm, VM_MEM_SRC_ANONYMOUS, MEM_GPA, MEM_SLOT,
				    MEM_SIZE / PAGE_SIZE, 0);
	virt_map_level(vm, MEM_GPA, MEM_GPA, MEM_SIZE, PG_LEVEL_2M);
	for (i = 0; i < NR_VCPUS; i++)
		race->vcpu[i] = vm_vcpu_add(vm, i, i == NESTED ? (void *)nested_code :
					    (void *)l1_code);
	vcpu_args_set(race->vcpu[NESTED], 1, nested_tdp_init(vm));
	for (i = FIRST; i < NR_VCPUS; i++)
		vcpu_args_set(race->vcpu[i], 1, (uint64_t)i);
	for (i = 0; i < NR_VCPUS; i++)
		run_vcpu(race->vcpu[i]);

	return NULL;
}

/* No more shadow pages than there are now, and @room more; how many? */
static uint64_t limit_shadow_pages(struct kvm_vm *vm, unsigned int room)
{
	/* In a new VM what was made and not zapped is what is used. */
	uint64_t used = vm_stat(vm, "mmu_cache_miss");

	TEST_ASSERT(used >= NR_SHADOWED && !vm_stat(vm, "mmu_shadow_zapped"),
		    "%lu shadow pages made, %lu zapped", used,
		    vm_stat(vm, "mmu_shadow_zapped"));
	vm_ioctl(vm, KVM_SET_NR_MMU_PAGES, (void *)(used + room));
	TEST_ASSERT(!vm_stat(vm, "mmu_shadow_zapped"),
		    "the limit of %lu zapped shadow pages at once", used + room);
	ksft_print_msg("%lu shadow pages, and %lu are allowed\n", used, used + room);
	return used + room;
}

/*
 * A limit so low that every fault looks for room, and yet never without finding
 * some.  KVM lowers it to what is left when it has zapped what is too much: a
 * root that is in use.  Then the vCPU with the L2 lets go of its root.
 */
static const char *starve_of_shadow_pages(struct race *race)
{
	struct kvm_vcpu *vcpu = race->vcpu[NESTED];
	struct kvm_sregs sregs;
	int allowed;

	vm_ioctl(race->vm, KVM_SET_NR_MMU_PAGES, (void *)MIN_SHADOW_PAGES);
	allowed = __vm_ioctl(race->vm, KVM_GET_NR_MMU_PAGES, NULL);
	if (allowed < 0)
		return "this kernel has no KVM_GET_NR_MMU_PAGES";
	ksft_print_msg("%d shadow pages are allowed\n", allowed);
	if (allowed >= MIN_FREE_PAGES)
		return "this kernel zaps no more than it must, and the limit stays high";
	vcpu_sregs_get(vcpu, &sregs);
	sregs.cr4 ^= X86_CR4_PGE;
	vcpu_sregs_set(vcpu, &sregs);
	return NULL;
}

static void start_runner(struct race *race, struct runner *runner, int vcpu,
			 void *(*code)(void *), const char *name)
{
	runner->race = race;
	runner->vcpu = race->vcpu[vcpu];
	sem_init(&runner->go, 0, 0);
	TEST_ASSERT(!pthread_create(&runner->thread, NULL, code, runner),
		    "pthread_create");
	sem_wait(&race->ready);
	if (race->rg)
		rg_name_thread(race->rg, runner->tid, name);
}

/* On a CPU of its own: the other one's is kept busy in the kernel. */
static void wait_for_go(struct runner *runner)
{
	cpu_set_t online, mine;
	int cpu, nth = 0;

	sched_getaffinity(0, sizeof(online), &online);
	CPU_ZERO(&mine);
	for (cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &online) && nth++ == runner->cpu)
			CPU_SET(cpu, &mine);
	TEST_ASSERT(!sched_setaffinity(0, sizeof(mine), &mine),
		    "sched_setaffinity");
	/* KVM waits for RCU, and so for all CPUs, when another thread takes a vCPU. */
	run_vcpu(runner->vcpu);
	runner->tid = rg_gettid();
	sem_post(&runner->race->ready);
	sem_wait(&runner->go);
}

static void *first_thread(void *arg)
{
	struct runner *runner = arg;

	wait_for_go(runner);
	run_vcpu(runner->vcpu);
	return NULL;
}

static void *second_thread(void *arg)
{
	struct runner *runner = arg;
	struct race *race = runner->race;
	int tries;

	wait_for_go(runner);
	for (tries = 0; tries < 500; tries++) {
		if (!rg_wait(race->rg, race->first_map, 1, 10000))
			break;
		if (race->place != MAPS &&
		    !rg_wait(race->rg, race->first_zap, 1, 0))
			break;
	}
	run_vcpu(runner->vcpu);
	if (!is_harmless(race->place)) {
		/* The kernel may not live to see more of it. */
		rg_mark(race->rg, "lets the other go on");
		rg_ladder(race->rg, stdout);
	}
	rg_release(race->rg, race->first_zap);
	rg_release(race->rg, race->first_map);
	return NULL;
}

/* What came of it. */
struct outcome {
	bool first_zaps;	/* the first was held about to zap, not to map */
	bool zapped;		/* the second zapped meanwhile */
	bool mapped;		/* the second mapped meanwhile */
	uint64_t tried_us;	/* how long the second had been trying then */
};

static const char *judge(struct race *race, struct outcome *outcome)
{
	const struct rg_event *event, *held = NULL;
	uint64_t tried_ns = 0;
	ssize_t nr, i;

	memset(outcome, 0, sizeof(*outcome));
	nr = rg_events(race->rg, &event);
	for (i = 0; i < nr; i++, event++) {
		if (event->kind == RG_EV_HELD && !held) {
			held = event;
			outcome->first_zaps = event->gate == race->first_zap;
		} else if (held && event->gate == held->gate) {
			/* Released, or out of patience: the overlap ends. */
			break;
		} else if (held && event->kind == RG_EV_ARRIVE) {
			if (event->gate == race->second_fault)
				tried_ns = event->ns;
			else if (event->gate == race->second_zap)
				outcome->zapped = true;
			else if (event->gate == race->second_map)
				outcome->mapped = true;
		}
	}
	if (!held)
		return "the first vCPU's page fault was not caught";
	if (i == nr || !tried_ns)
		return "the second vCPU came too late with its page fault";
	outcome->tried_us = (event->ns - tried_ns) / 1000;
	if (!outcome->zapped && !outcome->mapped && outcome->tried_us < TRY_US)
		return "the second vCPU came too late with its page fault";
	return NULL;
}

/* A gate at the entry of a function, that holds a thread if @hold_us is not 0. */
static int arm(struct race *race, struct runner *runner, const char *symbol,
	       unsigned int hold_us)
{
	return rg_arm(race->rg, &(struct rg_point){
		.symbol = symbol, .label = strchr(symbol, ':') + 1,
		.tid = runner->tid,
		.action = hold_us ? RG_HOLD_SPIN : RG_RECORD,
		/* A fault that has to wait may be taken again and again. */
		.max_hits = hold_us ? 1 : 4, .timeout_us = hold_us });
}

/* Where the first is held if it zaps. */
static int arm_first_zap(struct race *race, unsigned int hold_us)
{
	const char *symbol = held_at[race->place].symbol;
	bool hold = race->place != MAPS;

	return rg_arm(race->rg, &(struct rg_point){
		.symbol = symbol, .label = strchr(symbol, ':') + 1,
		.skip = held_at[race->place].skip,
		.tid = race->first.tid, .action = hold ? RG_HOLD_SPIN : RG_RECORD,
		.max_hits = hold ? 1 : 4, .timeout_us = hold ? hold_us : 0 });
}

/* For the ladder only. */
static void arm_zapped(struct race *race, struct runner *runner)
{
	rg_arm(race->rg, &(struct rg_point){
		.symbol = ZAP, .where = RG_RETURN,
		.label = "kvm_mmu_zap_oldest_mmu_pages()",
		.tid = runner->tid });
}

/*
 * Forces the overlap: the second faults while the first is held where it zaps, or,
 * if it does not, where it maps.  Returns NULL, or why not.
 */
static const char *force_once(struct race *race, int first, int second,
			      unsigned int hold_us, struct outcome *outcome)
{
	const char *why = NULL;
	struct rg *rg;

	if (rg_open(&race->rg) < 0)
		return rg_strerror();
	rg = race->rg;
	sem_init(&race->ready, 0, 0);
	race->first.cpu = 0;
	race->second.cpu = 1;
	start_runner(race, &race->first, first, first_thread,
		     first == NESTED ? "vCPU of L2" : "vCPU 1");
	start_runner(race, &race->second, second, second_thread,
		     second == NESTED ? "vCPU of L2" : "vCPU 2");
	if (race->place == MAPS)
		why = starve_of_shadow_pages(race);
	else
		race->limit = limit_shadow_pages(race->vm, held_at[race->place].room);

	arm(race, &race->first, FAULT, 0);
	race->second_fault = arm(race, &race->second, FAULT, 0);
	race->first_zap = arm_first_zap(race, hold_us);
	race->second_zap = arm(race, &race->second, ZAP, 0);
	if (race->second_fault < 0 || race->first_zap < 0 ||
	    race->second_zap < 0)
		why = rg_strerror();
	race->first_map = arm(race, &race->first, MAP, hold_us);
	race->second_map = arm(race, &race->second, MAP, 0);
	if (race->first_map < 0 || race->second_map < 0)
		why = rg_strerror();
	if (is_harmless(race->place))
		arm_zapped(race, &race->first);
	arm_zapped(race, &race->second);

	/* The first may take this CPU: it has to be the last to start. */
	sem_post(&race->second.go);
	sem_post(&race->first.go);
	pthread_join(race->first.thread, NULL);
	pthread_join(race->second.thread, NULL);
	if (!why)
		why = judge(race, outcome);
	if (is_harmless(race->place))
		rg_ladder(rg, stdout);
	rg_close(rg);
	return why;
}

/* In a VM of its own, which is left as it is then. */
static const char *force(struct race *race, bool tdp_mmu, enum place place,
			 int first, int second, unsigned int hold_us,
			 struct outcome *outcome)
{
	const char *why;
	int tries = 0;

	do {
		why = create_vm(race, tdp_mmu);
		if (why)
			return why;
		race->place = place;
		why = force_once(race, first, second, hold_us, outcome);
	} while (why && ++tries < TRIES);
	return why;
}

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
		/* It is only worth a pass if there was a reason to zap. */
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

/* Room is made before there is none. */
TEST(two_tdp_faults_early)
{
	race_tdp_faults(_metadata, ZAPS_EARLY);
}

/* Zapping one at a time is not enough: no vCPU may map pages then, either. */
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

/* There are no more shadow pages than userspace allows. */
static void expect_limit(struct __test_metadata *_metadata, struct race *race)
{
	uint64_t used = vm_stat(race->vm, "mmu_cache_miss") -
			vm_stat(race->vm, "mmu_shadow_zapped");

	EXPECT_LE(used, race->limit) {
		TH_LOG("%lu shadow pages are used, and %lu are allowed", used, race->limit);
	}
}

/* A fault that maps is only in the way of one that zaps. */
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

/* Faults that do zap, and so have to keep all others out. */
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
 * The limit is far below what the vCPUs have taken: KVM zaps all that it can, and what is
 * left, and allowed from then on, are roots.  A fault that needs a shadow page then finds no room.
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
		SKIP(return, "this kernel zaps no more than it must, and the limit stays high");

	err = __vcpu_run(race.vcpu[vcpu]) ? errno : 0;
	used = vm_stat(race.vm, "mmu_cache_miss") - vm_stat(race.vm, "mmu_shadow_zapped");
	ksft_print_msg("%d shadow pages are allowed, and used; then KVM_RUN: %s, and %lu are used\n",
		       allowed, err ? strerror(err) : "goes on", used);
	EXPECT_EQ(ENOSPC, err) {
		TH_LOG("a page fault takes no notice of there being no room");
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

/* Faults without nested paging, each of which needs another shadow page. */
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
	/* A huge page would take no shadow page. */
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

TEST(nested_fault_zaps)
{
	race_excluded(_metadata, NESTED, true);
}

TEST(legacy_fault_zaps)
{
	race_excluded(_metadata, FIRST, false);
}

TEST(two_zappers_collide)
{
	RACEFIX_DESTRUCTIVE("two vCPUs free the same shadow pages");
	race_tdp_faults(_metadata, ZAPS_PAGE);
}

/*
 * The other ends that were reported.  The fault in kvm_mmu_commit_zap_page(): below another page,
 * which the first frees when it is through with it.
 */
TEST(two_zappers_free)
{
	RACEFIX_DESTRUCTIVE("two vCPUs free the same shadow pages when they are done");
	race_tdp_faults(_metadata, ZAPS_CHILD);
}

/*
 * The BUG of pte_list_remove().  The third end, __list_add_valid() below kvm_tdp_mmu_map(), takes
 * two CPUs within a few instructions, between which no thread can be held.
 */
TEST(two_zappers_unlist)
{
	RACEFIX_DESTRUCTIVE("two vCPUs take the same entry out of its list");
	race_tdp_faults(_metadata, UNLISTS);
}

/* A vCPU that takes one page fault of a page that is replaced meanwhile. */
struct replaced {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpu;
	int memfd;
	char *guest;		/* what the memslot has: that page first */
	uint64_t *pages;	/* both pages of the memfd */
	pthread_t thread;
	pid_t tid;
	sem_t ready, go;
	struct rg *rg;
};

/* The last page first: the next fault is to be of the page itself, and not of page tables. */
static void write_replaced(void)
{
	for (;;) {
		*(volatile uint64_t *)(REPLACED_GPA + REPLACED_SIZE - PAGE_SIZE) = REPLACED_VALUE;
		GUEST_SYNC(0);
		*(volatile uint64_t *)REPLACED_GPA = REPLACED_VALUE;
	}
}

static void write_replaced_in_l2(vm_vaddr_t area)
{
	nested_tdp_enter_l2(area, write_replaced, &l2_stack[ARRAY_SIZE(l2_stack)]);
}

static void map_replaced(struct replaced *replaced, int page)
{
	void *at;

	at = mmap(replaced->guest, PAGE_SIZE, PROT_READ | PROT_WRITE,
		  MAP_SHARED | MAP_FIXED | MAP_POPULATE, replaced->memfd, page * PAGE_SIZE);
	TEST_ASSERT(at == (void *)replaced->guest, "mmap: %s", strerror(errno));
}

static void *replaced_thread(void *arg)
{
	struct replaced *replaced = arg;

	run_vcpu(replaced->vcpu);
	replaced->tid = rg_gettid();
	sem_post(&replaced->ready);
	sem_wait(&replaced->go);
	run_vcpu(replaced->vcpu);
	return NULL;
}

/* Returns NULL, or why this host cannot have it. */
static const char *create_replaced(struct replaced *replaced, bool tdp_mmu, bool nested)
{
	const char *why = nested_tdp_missing();
	char old;

	memset(replaced, 0, sizeof(*replaced));
	if (!why)
		why = set_tdp_mmu(tdp_mmu ? 'Y' : 'N', &old);
	if (why)
		return why;
	replaced->vm = vm_create(1);
	set_tdp_mmu(old, &old);

	replaced->memfd = memfd_pages(2 * PAGE_SIZE);
	replaced->pages = mmap(NULL, 2 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
			       replaced->memfd, 0);
	replaced->guest = mmap(NULL, REPLACED_SIZE, PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	TEST_ASSERT(replaced->pages != MAP_FAILED && (void *)replaced->guest != MAP_FAILED,
		    "mmap: %s", strerror(errno));
	map_replaced(replaced, 0);
	vm_set_user_memory_region(replaced->vm, REPLACED_SLOT, 0, REPLACED_GPA, REPLACED_SIZE,
				  replaced->guest);
	virt_map(replaced->vm, REPLACED_GPA, REPLACED_GPA, REPLACED_SIZE / PAGE_SIZE);
	replaced->vcpu = vm_vcpu_add(replaced->vm, 0, nested ? (void *)write_replaced_in_l2 :
				     (void *)write_replaced);
	if (nested)
		vcpu_args_set(replaced->vcpu, 1, nested_tdp_init(replaced->vm));
	return NULL;
}

/* Holds it when it has the page and goes for the lock, and replaces the page. */
static const char *force_replaced(struct replaced *replaced, const char *lock)
{
	struct rg *rg = replaced->rg;
	struct rg_status status;
	const char *why = NULL;
	int found, locks = -1;

	found = rg_arm(rg, &(struct rg_point){
		.symbol = "kvm:hva_to_pfn", .where = RG_RETURN,
		.label = "hva_to_pfn() has the page", .action = RG_HOLD_SLEEP,
		.timeout_us = HOLD_REPLACE_US, .tid = replaced->tid, .max_hits = 1 });
	if (found < 0)
		why = rg_strerror();
	sem_post(&replaced->go);
	if (!why && rg_wait(rg, found, 1, HOLD_REPLACE_US / 2))
		why = "the page fault does not look the page up by hva_to_pfn()";
	if (!why) {
		locks = rg_arm(rg, &(struct rg_point){
			.symbol = lock, .label = "takes mmu_lock", .action = RG_HOLD_SLEEP,
			.timeout_us = HOLD_REPLACE_US, .tid = replaced->tid, .max_hits = 1 });
		if (locks < 0)
			why = rg_strerror();
	}
	if (found >= 0)
		rg_release(rg, found);
	if (!why && rg_wait(rg, locks, 1, HOLD_REPLACE_US / 2))
		why = "the page fault does not take mmu_lock in this way";
	if (!why) {
		map_replaced(replaced, 1);
		rg_mark(rg, "another page is there");
	}
	if (locks >= 0)
		rg_release(rg, locks);
	pthread_join(replaced->thread, NULL);
	if (!why && (rg_status(rg, locks, &status) || status.timeouts))
		why = "the page fault went on before it was let go";
	return why;
}

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
		TH_LOG("what the guest wrote is not in its memory");
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
 * L2 takes shadow pages until the next fault, of any vCPU, has to make room if it
 * looks for it; that is of two vCPUs at once then.  Was there none?  On a fixed kernel
 * they need none and do not look: then L2's next fault finds out.
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
 * Nothing but the host says that both zapped at the same time: it dies, or hangs, or
 * complains.  So this shows it once at most.
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
		/* For the pages to be touched for the first time again. */
		for (vcpu = FIRST; vcpu < NR_VCPUS; vcpu++)
			madvise(addr_gpa2hva(race.vm, MEM_GPA + L1_CHUNK(vcpu) * CHUNK),
				CHUNK, MADV_DONTNEED);
	}
	RACEFIX_STRESS_END(&stress);
}

/* Arming the first gate of a function takes long: all are armed once. */
static void keep_gates(void)
{
	if (!nested_tdp_missing() && !racefix_is_named("stress"))
		rg_keep((const char * const[]){ FAULT, ZAP, ZAP_ONE, MAP, "kvm:hva_to_pfn" }, 5);
}

RACEFIX_MAIN_AFTER(keep_gates)
