// SPDX-License-Identifier: GPL-2.0-only
/*
 * A VM that has used up its limit of shadow pages, which KVM builds for L1's nested page
 * tables when an L2 runs, and two vCPUs that only take TDP page faults.
 *
 * The limit has to be low, as KVM zaps all of L2's shadow pages at once and L2 has to
 * use up the limit again before each schedule, but KVM_SET_NR_MMU_PAGES accepts none
 * below 64.  So another, older L2 (FILLER) brings the VM one page above 64.  KVM then
 * zaps its oldest page, the upper page table of that L2, with all tables below it, and
 * lowers the limit to the pages that are left.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tdp-mmu-zap/nested_tdp.h"
#include "processor.h"
#include "sweep.h"
#include "vcpu_run.h"
#include "vm_stat.h"

/* The steering thread runs both L2s, and the operations' workers run the other vCPUs. */
enum { FIRST, SECOND, NESTED, FILLER, NR_VCPUS };

/* An L2 touches one page in each chunk of 2 MiB, which takes a shadow page each. */
#define MEM_SLOT	1
#define MEM_GPA		0x40000000ull
#define CHUNK		PG_SIZE_2M
#define CHUNK_PAGES	(CHUNK / PAGE_SIZE)
/* The lowest limit that KVM_SET_NR_MMU_PAGES accepts. */
#define MIN_SHADOW_PAGES	64
#define NR_FILLED	MIN_SHADOW_PAGES
/*
 * The number of pages that the L2 on NESTED has touched when the limit is set.  It must
 * leave enough room: the L2 needs about 8 shadow pages for its code, stack and page tables,
 * and with fewer than MIN_FREE_PAGES left each of its faults may zap all.
 */
#define NR_NESTED	12
/* Where KVM zaps that page alone, and the limit stays high, the L2 has to touch more. */
#define MAX_NESTED	60
/* The L2 runs so often at most to use up the limit again. */
#define MAX_RUNS	(4 * MAX_NESTED)
#define MIN_FREE_PAGES	5

/* The chunk in which a vCPU of L1 touches pages; no other vCPU uses it. */
#define L1_CHUNK(vcpu)	(NR_FILLED + MAX_NESTED + (vcpu))
#define NR_CHUNKS	L1_CHUNK(2)
#define MEM_SIZE	(NR_CHUNKS * CHUNK)

/* A vCPU touches two new pages in a schedule; after so many schedules its chunk is discarded. */
#define SCHEDULES	128

struct counts {
	uint64_t zapped, made;
};

struct tdp {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpu[NR_VCPUS];
	uint64_t limit;
	int stats;		/* KVM_GET_STATS_FD, or less than 0 */
	off_t offset[2];	/* offsets of the counters of pages zapped, and made */
	unsigned int schedules;
	struct counts counts[3];	/* before and after the operations, and after the probe */
};

static uint64_t l2_stack[2][512];
/* How many chunks the L2 on NESTED touches. */
static uint64_t nr_nested = NR_NESTED;

static void touch(uint64_t chunk, uint64_t page)
{
	*(volatile uint64_t *)(MEM_GPA + chunk * CHUNK + page * PAGE_SIZE) = 1;
}

static void l2_filler(void)
{
	uint64_t chunk;

	for (chunk = 0; chunk < NR_FILLED; chunk++) {
		touch(chunk, 0);
		GUEST_SYNC(chunk);
	}
}

static void l2_code(void)
{
	uint64_t n;

	for (n = 0; ; n++) {
		touch(NR_FILLED + n % *(volatile uint64_t *)&nr_nested, 0);
		GUEST_SYNC(n);
	}
}

static void filler_code(vm_vaddr_t area)
{
	nested_tdp_enter_l2(area, l2_filler, &l2_stack[0][ARRAY_SIZE(l2_stack[0])]);
}

static void nested_code(vm_vaddr_t area)
{
	nested_tdp_enter_l2(area, l2_code, &l2_stack[1][ARRAY_SIZE(l2_stack[1])]);
}

static void l1_code(uint64_t vcpu)
{
	uint64_t page;

	for (page = 0; ; page++) {
		touch(L1_CHUNK(vcpu), page % CHUNK_PAGES);
		GUEST_SYNC(0);
	}
}

static void run_vcpu(struct sweep *sweep, int nr)
{
	struct tdp *tdp = sweep->stage;

	vcpu_run_until(tdp->vcpu[nr], UCALL_SYNC);
}

static void first_fault(struct sweep *sweep)
{
	run_vcpu(sweep, FIRST);
}

static void second_fault(struct sweep *sweep)
{
	run_vcpu(sweep, SECOND);
}

static void both_fault(struct sweep *sweep)
{
	worker_call(&sweep->worker[FIRST], first_fault);
	worker_call(&sweep->worker[SECOND], second_fault);
}

/* Finds the two counters once: looking them up takes longer than a schedule. */
static void find_counters(struct tdp *tdp)
{
	static const char * const names[] = { "mmu_shadow_zapped", "mmu_cache_miss" };
	unsigned int i;

	tdp->stats = ioctl(tdp->vm->fd, KVM_GET_STATS_FD, NULL);
	if (tdp->stats < 0)
		return;
	for (i = 0; i < ARRAY_SIZE(names); i++)
		tdp->offset[i] = counter_find(tdp->stats, names[i]);
	TEST_ASSERT(tdp->offset[0] && tdp->offset[1], "KVM does not count shadow pages");
}

static void count(struct tdp *tdp, int when)
{
	struct counts *counts = &tdp->counts[when];

	if (tdp->stats < 0) {
		counts->zapped = vm_stat(tdp->vm, "mmu_shadow_zapped");
		counts->made = vm_stat(tdp->vm, "mmu_cache_miss");
		return;
	}
	TEST_ASSERT(pread(tdp->stats, &counts->zapped, 8, tdp->offset[0]) == 8 &&
		    pread(tdp->stats, &counts->made, 8, tdp->offset[1]) == 8, "pread");
}

/* The number of shadow pages in use: those that were made and not zapped. */
static int64_t used(const struct tdp *tdp, int when)
{
	return tdp->counts[when].made - tdp->counts[when].zapped;
}

static int64_t room(const struct tdp *tdp, int when)
{
	return tdp->limit - used(tdp, when);
}

static void create(struct sweep *sweep)
{
	static void * const code[] = {
		[FIRST] = l1_code, [SECOND] = l1_code,
		[NESTED] = nested_code, [FILLER] = filler_code,
	};
	struct tdp *tdp = calloc(1, sizeof(*tdp));
	struct kvm_vm *vm;
	int i;

	TEST_ASSERT(tdp, "no memory");
	sweep->stage = tdp;
	vm = vm_create(NR_VCPUS);
	tdp->vm = vm;
	vm_userspace_mem_region_add(vm, VM_MEM_SRC_ANONYMOUS, MEM_GPA, MEM_SLOT,
				    MEM_SIZE / PAGE_SIZE, 0);
	virt_map_level(vm, MEM_GPA, MEM_GPA, MEM_SIZE, PG_LEVEL_2M);
	for (i = 0; i < NR_VCPUS; i++) {
		tdp->vcpu[i] = vm_vcpu_add(vm, i, code[i]);
		vcpu_args_set(tdp->vcpu[i], 1, i >= NESTED ? nested_tdp_init(vm) :
			      (uint64_t)i);
	}
	find_counters(tdp);
	run_vcpu(sweep, FILLER);
	for (i = 0; i < NR_NESTED; i++)
		run_vcpu(sweep, NESTED);
	both_fault(sweep);
	for (count(tdp, 0); used(tdp, 0) <= MIN_SHADOW_PAGES; count(tdp, 0))
		run_vcpu(sweep, FILLER);

	vm_ioctl(vm, KVM_SET_NR_MMU_PAGES, (void *)(uint64_t)MIN_SHADOW_PAGES);
	count(tdp, 0);
	/* All are in use: KVM has lowered the limit, or zapped no more than it had to. */
	tdp->limit = used(tdp, 0);
	if (tdp->limit >= MIN_SHADOW_PAGES) {
		nr_nested = MAX_NESTED;
		sync_global_to_guest(vm, nr_nested);
	}
	printf("# %ld shadow pages are allowed\n", tdp->limit);
}

static unsigned int destroy(struct sweep *sweep)
{
	struct tdp *tdp = sweep->stage;

	if (tdp->stats >= 0)
		close(tdp->stats);
	kvm_vm_free(tdp->vm);
	free(tdp);
	sweep->stage = NULL;
	return 0;
}

static void fresh(struct sweep *sweep)
{
	struct tdp *tdp = sweep->stage;
	int i, runs = 0;

	if (++tdp->schedules % SCHEDULES == 0)
		for (i = FIRST; i <= SECOND; i++)
			madvise(addr_gpa2hva(tdp->vm, MEM_GPA + L1_CHUNK(i) * CHUNK),
				CHUNK, MADV_DONTNEED);
	/* Use up shadow pages until a fault that makes room has to zap. */
	for (count(tdp, 0); room(tdp, 0) >= MIN_FREE_PAGES; count(tdp, 0)) {
		TEST_ASSERT(runs++ < MAX_RUNS, "L2 does not use up the limit of %ld",
			    tdp->limit);
		run_vcpu(sweep, NESTED);
	}
}

/* Runs L2, whose next fault needs a shadow page. */
static void probe(struct sweep *sweep)
{
	struct tdp *tdp = sweep->stage;

	count(tdp, 1);
	run_vcpu(sweep, NESTED);
	both_fault(sweep);
	count(tdp, 2);
}

static void observe_first(struct sweep *sweep)
{
	struct tdp *tdp = sweep->stage;

	outcome_add_vcpu(&sweep->outcome, tdp->vcpu[FIRST]);
}

static void observe_second(struct sweep *sweep)
{
	struct tdp *tdp = sweep->stage;

	outcome_add_vcpu(&sweep->outcome, tdp->vcpu[SECOND]);
}

static void observe(struct sweep *sweep)
{
	struct tdp *tdp = sweep->stage;
	struct outcome *outcome = &sweep->outcome;
	const struct counts *counts = tdp->counts;

	outcome_add(outcome, "the operations zapped", 0,
		    counts[1].zapped > counts[0].zapped);
	outcome_add(outcome, "the operations made shadow pages", 0,
		    counts[1].made - counts[0].made);
	outcome_add(outcome, "zapped afterwards", 0,
		    counts[2].zapped > counts[1].zapped);
	outcome_add(outcome, "the limit of shadow pages is kept", 0,
		    room(tdp, 1) >= 0 && room(tdp, 2) >= 0);
	outcome_add(outcome, "exit reason of L2", 0,
		    tdp->vcpu[NESTED]->run->exit_reason);
	worker_call(&sweep->worker[FIRST], observe_first);
	worker_call(&sweep->worker[SECOND], observe_second);
}

static const struct op tdp_ops[] = {
	{ .name = "fault", .what = "takes a page fault", .run = first_fault,
	  .thread = THREAD_0 },
	{ .name = "fault-2", .what = "takes another one", .run = second_fault,
	  .thread = THREAD_1 },
	{}
};

static const struct op * const ops[] = { tdp_ops, NULL };

static const struct stage stage_tdp = {
	.name = "shadow pages up to the limit", .missing = nested_tdp_missing,
	.create = create, .destroy = destroy,
	.fresh = fresh, .probe = probe, .observe = observe, .ops = ops,
};

const struct pair tdp_pairs[] = {
	{ "tdp-mmu-zap", &stage_tdp, { &tdp_ops[0], &tdp_ops[1] }, .alike = true },
	{}
};
