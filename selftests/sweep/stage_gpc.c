// SPDX-License-Identifier: GPL-2.0-only
/*
 * A VM with a guest page that KVM writes to through a gfn_to_pfn_cache, the vCPU's
 * kvmclock, and that userspace replaces by another page of the same memfd.  All pages
 * stay visible through a second mapping.
 */
#define _GNU_SOURCE /* memfd_create() */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hostfacts.h"
#include "processor.h"
#include "sweep.h"
#include "vcpu_run.h"

#define PAGE		4096
#define NR_PAGES	3
#define SLOT		10
#define GPA		0x100000000ull
#define KVMCLOCK_MSR	0x4b564d01	/* MSR_KVM_SYSTEM_TIME_NEW */
/* Where each page says which one it is; KVM writes to its beginning. */
#define PAGE_NR		(PAGE - sizeof(uint64_t))

/* Whose thread has the vCPU. */
#define VCPU_WORKER	1
#define VCPU_THREAD	THREAD_1

struct gpc {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpu;
	int memfd;
	char *guest;		/* as KVM knows it */
	char *pages;		/* all pages of the memfd */
	int mapped, next;
	uint32_t slot_flags;
	int before;		/* the page that is mapped before a schedule */
	uint64_t sum[3][NR_PAGES];	/* before, after the operations, after the probe */
};

static void guest_code(void)
{
	for (;;)
		GUEST_SYNC(0);
}

static const char *missing(void)
{
	return hostfacts_need_kvm();
}

static void replace(struct sweep *sweep)
{
	struct gpc *gpc = sweep->stage;
	void *at;

	at = mmap(gpc->guest, PAGE, PROT_READ | PROT_WRITE,
		  MAP_SHARED | MAP_FIXED | MAP_POPULATE, gpc->memfd,
		  (off_t)gpc->next * PAGE);
	TEST_ASSERT(at == gpc->guest, "mmap: %s", strerror(errno));
	gpc->mapped = gpc->next;
}

/* The memfd keeps the page: it comes back with the next access. */
static void discard(struct sweep *sweep)
{
	struct gpc *gpc = sweep->stage;

	TEST_ASSERT(!madvise(gpc->guest, PAGE, MADV_DONTNEED), "madvise: %s",
		    strerror(errno));
}

static void switch_dirty_log(struct sweep *sweep)
{
	struct gpc *gpc = sweep->stage;

	gpc->slot_flags ^= KVM_MEM_LOG_DIRTY_PAGES;
	vm_set_user_memory_region(gpc->vm, SLOT, gpc->slot_flags, GPA, PAGE,
				  gpc->guest);
}

/* Has the vCPU's clock written anew. */
static void write_clock(struct sweep *sweep)
{
	struct gpc *gpc = sweep->stage;

	vcpu_ioctl(gpc->vcpu, KVM_KVMCLOCK_CTRL, NULL);
	vcpu_run_until(gpc->vcpu, UCALL_SYNC);
}

static void start_clock(struct sweep *sweep)
{
	struct gpc *gpc = sweep->stage;

	vcpu_set_msr(gpc->vcpu, KVMCLOCK_MSR, GPA | 1);
	write_clock(sweep);
}

static void create(struct sweep *sweep)
{
	struct gpc *gpc = calloc(1, sizeof(*gpc));
	int page;

	TEST_ASSERT(gpc, "no memory");
	sweep->stage = gpc;
	gpc->vm = vm_create_with_one_vcpu(&gpc->vcpu, guest_code);
	gpc->memfd = memfd_create("sweep", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	TEST_ASSERT(gpc->memfd >= 0 && !ftruncate(gpc->memfd, NR_PAGES * PAGE),
		    "memfd: %s", strerror(errno));
	gpc->pages = mmap(NULL, NR_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED,
			  gpc->memfd, 0);
	gpc->guest = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	TEST_ASSERT(gpc->pages != MAP_FAILED && gpc->guest != MAP_FAILED, "mmap: %s",
		    strerror(errno));
	for (page = 0; page < NR_PAGES; page++)
		*(uint64_t *)(gpc->pages + page * PAGE + PAGE_NR) = page;
	replace(sweep);
	vm_set_user_memory_region(gpc->vm, SLOT, 0, GPA, PAGE, gpc->guest);
	worker_call(&sweep->worker[VCPU_WORKER], start_clock);
	/* Whoever is held in mmap() holds mmap_lock: no page fault may come then. */
	TEST_ASSERT(!mlockall(MCL_CURRENT), "mlockall: %s", strerror(errno));
	/* Nor can a locked page be discarded. */
	munlock(gpc->guest, PAGE);
}

/* To seal a memfd fails if there are references to its pages besides its own. */
static unsigned int destroy(struct sweep *sweep)
{
	struct gpc *gpc = sweep->stage;
	unsigned int leaked;

	munlockall();
	kvm_vm_free(gpc->vm);
	munmap(gpc->pages, NR_PAGES * PAGE);
	munmap(gpc->guest, PAGE);
	leaked = fcntl(gpc->memfd, F_ADD_SEALS, F_SEAL_WRITE) ? 1 : 0;
	if (leaked)
		printf("# pages of the memfd are still referred to: %s\n",
		       strerror(errno));
	close(gpc->memfd);
	free(gpc);
	sweep->stage = NULL;
	return leaked;
}

static void sum_up(struct gpc *gpc, int when)
{
	int page;

	for (page = 0; page < NR_PAGES; page++)
		gpc->sum[when][page] = outcome_sum(gpc->pages + page * PAGE, PAGE);
}

static void fresh(struct sweep *sweep)
{
	struct gpc *gpc = sweep->stage;

	if (gpc->slot_flags)
		switch_dirty_log(sweep);
	worker_call(&sweep->worker[VCPU_WORKER], write_clock);
	/* With the clock held the cache is stale, or no refresh is on its path. */
	if (sweep->first == VCPU_WORKER) {
		gpc->next = (gpc->mapped + 1) % NR_PAGES;
		replace(sweep);
	}
	gpc->before = gpc->mapped;
	gpc->next = (gpc->mapped + 1) % NR_PAGES;
	sum_up(gpc, 0);
}

static void probe(struct sweep *sweep)
{
	struct gpc *gpc = sweep->stage;

	sum_up(gpc, 1);
	worker_call(&sweep->worker[VCPU_WORKER], write_clock);
	sum_up(gpc, 2);
}

static void observe_vcpu(struct sweep *sweep)
{
	struct gpc *gpc = sweep->stage;

	outcome_add(&sweep->outcome, "exit reason of vCPU", gpc->vcpu->id,
		    gpc->vcpu->run->exit_reason);
	outcome_add_vcpu(&sweep->outcome, gpc->vcpu);
}

/* A page holds a clock: that it changed means something, the content does not. */
static void observe(struct sweep *sweep)
{
	struct gpc *gpc = sweep->stage;
	int i, page;

	/* The page before is 0, the one that replaces it 1. */
	page = *(uint64_t *)(gpc->guest + PAGE_NR);
	outcome_add(&sweep->outcome, "the guest sees page", 0,
		    (page + NR_PAGES - gpc->before) % NR_PAGES);
	for (i = 0; i < NR_PAGES; i++) {
		page = (gpc->before + i) % NR_PAGES;
		outcome_add(&sweep->outcome, "page was written by the operations", i,
			    gpc->sum[1][page] != gpc->sum[0][page]);
		outcome_add(&sweep->outcome, "page was written afterwards", i,
			    gpc->sum[2][page] != gpc->sum[1][page]);
	}
	worker_call(&sweep->worker[VCPU_WORKER], observe_vcpu);
}

static const struct op op_replace = {
	.name = "mmap", .what = "replaces the page", .run = replace,
};

static const struct op op_discard = {
	.name = "madvise", .what = "takes the page away", .run = discard,
};

static const struct op op_dirty_log = {
	.name = "dirty-log", .what = "switches dirty logging", .run = switch_dirty_log,
};

static const struct op op_clock = {
	.name = "kvmclock", .what = "refreshes the cache", .run = write_clock,
	.thread = VCPU_THREAD,
};

static const struct op * const ops[] = {
	&op_replace, &op_discard, &op_dirty_log, &op_clock, NULL
};

static const struct stage stage_gpc = {
	.name = "a page behind a gfn_to_pfn_cache",
	.missing = missing, .create = create, .destroy = destroy,
	.fresh = fresh, .probe = probe, .observe = observe, .ops = ops,
};

const struct pair gpc_pairs[] = {
	{ "gpc-refresh", &stage_gpc, { &op_replace, &op_clock } },
	{}
};
