// SPDX-License-Identifier: GPL-2.0-only
/* Replaces the page of a page fault between its look-up and mmu_lock; see replaced.h. */
#include <string.h>
#include <sys/mman.h>

#include "memfd_pages.h"
#include "nested_tdp.h"
#include "replaced.h"
#include "vcpu_run.h"
#include "zap_vm.h"

/* Bounds a hold whose release is lost; far longer than a hold takes in Bochs. */
#define HOLD_REPLACE_US	(10 * 1000 * 1000)

static uint64_t l2_stack[512];

/* Writing to the last page first fills the page tables: the next fault is for the page alone. */
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

void *replaced_thread(void *arg)
{
	struct replaced *replaced = arg;

	run_vcpu(replaced->vcpu);
	replaced->tid = rg_gettid();
	sem_post(&replaced->ready);
	sem_wait(&replaced->go);
	run_vcpu(replaced->vcpu);
	return NULL;
}

const char *create_replaced(struct replaced *replaced, bool tdp_mmu, bool nested)
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

const char *force_replaced(struct replaced *replaced, const char *lock)
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
