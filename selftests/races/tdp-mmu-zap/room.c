// SPDX-License-Identifier: GPL-2.0-only
/* Takes the room for shadow pages away from a page fault; see room.h. */
#include <stdio.h>

#include "kvm_util.h"
#include "room.h"
#include "vm_stat.h"
#include "zap_hold.h"

/* Bounds a hold whose release is lost; far longer than a hold takes in Bochs. */
#define HOLD_ROOM_US	(10 * 1000 * 1000)
#define POLL_US		10000

/* A vCPU touches fewer pages of a chunk, one at a time. */
#define NR_TOUCHED	8

/* More than the VM can use. */
#define MANY_SHADOW_PAGES	10000ul

static void *faulting_thread(void *arg)
{
	struct runner *runner = arg;

	wait_for_go(runner);
	run_vcpu(runner->vcpu);
	sem_post(&runner->race->ready);
	return NULL;
}

static uint64_t shadow_pages(struct kvm_vm *vm)
{
	return vm_stat(vm, "mmu_cache_miss") - vm_stat(vm, "mmu_shadow_zapped");
}

static int arm_hold(struct race *race, const char *symbol, unsigned int where, const char *from,
		    const char *label)
{
	return rg_arm(race->rg, &(struct rg_point){
		.symbol = symbol, .where = where, .from = from, .label = label,
		.action = RG_HOLD_SLEEP, .timeout_us = HOLD_ROOM_US, .tid = race->first.tid,
		.max_hits = 1 });
}

/* Waits until the thread is held at the gate, or has left KVM_RUN. */
static void wait_for_next_fault(struct race *race, int gate)
{
	unsigned int waited_us = 0;

	while (waited_us < HOLD_ROOM_US && rg_wait(race->rg, gate, 1, POLL_US) &&
	       sem_trywait(&race->ready))
		waited_us += POLL_US;
}

/* Has the gate held the thread until it was released? */
static bool held(struct race *race, int gate)
{
	struct rg_status status;

	return !rg_status(race->rg, gate, &status) && !status.timeouts;
}

/*
 * The page fault is held as it has looked the page up, so that the next lock that it gives up is
 * mmu_lock, and as it has given that up; the vCPU then at its next page fault, before that makes
 * room.
 */
static const char *force_once(struct race *race, struct room *room)
{
	int found, given_up = -1, next = -1;
	const char *why = NULL;

	found = arm_hold(race, "kvm:hva_to_pfn", RG_RETURN, NULL, "hva_to_pfn() has the page");
	if (found < 0)
		why = rg_strerror();
	sem_post(&race->first.go);
	if (!why && rg_wait(race->rg, found, 1, HOLD_ROOM_US / 2))
		why = "the page fault does not look the page up by hva_to_pfn()";
	if (!why) {
		given_up = arm_hold(race, "_raw_write_unlock", RG_RETURN, "kvm",
				    "has given up mmu_lock");
		if (given_up < 0)
			why = rg_strerror();
	}
	if (found >= 0)
		rg_release(race->rg, found);
	if (!why && rg_wait(race->rg, given_up, 1, HOLD_ROOM_US / 2))
		why = "the page fault does not hold mmu_lock for write";
	if (!why) {
		next = arm_hold(race, FAULT, RG_ENTRY, NULL, "the next page fault");
		if (next < 0)
			why = rg_strerror();
	}
	if (!why) {
		vm_ioctl(race->vm, KVM_SET_NR_MMU_PAGES, (void *)MIN_SHADOW_PAGES);
		room->allowed = shadow_pages(race->vm);
		rg_mark(race->rg, "the limit is lowered");
		rg_release(race->rg, given_up);
		wait_for_next_fault(race, next);
		room->used = shadow_pages(race->vm);
		if (!held(race, given_up) || !held(race, next))
			why = "the page fault went on before it was let go";
	} else if (given_up >= 0) {
		rg_release(race->rg, given_up);
	}
	vm_ioctl(race->vm, KVM_SET_NR_MMU_PAGES, (void *)MANY_SHADOW_PAGES);
	if (next >= 0)
		rg_release(race->rg, next);
	pthread_join(race->first.thread, NULL);
	return why;
}

/*
 * Has the host map all pages that the vCPUs may touch next: a page fault in the host may invalidate
 * pages, and KVM then gives up mmu_lock once more. A vCPU that has faulted before would have mapped
 * neighbours, too, if they were there.
 */
static void populate(struct kvm_vm *vm)
{
	uint64_t chunk, page;

	for (chunk = 0; chunk < NR_CHUNKS; chunk++)
		for (page = 0; page < NR_TOUCHED; page++)
			*(volatile char *)addr_gpa2hva(vm, MEM_GPA + chunk * CHUNK +
						       page * PAGE_SIZE) = 0;
}

const char *force_room_taken(struct race *race, bool tdp_mmu, int vcpu, struct room *room)
{
	const char *why = create_vm(race, tdp_mmu);

	if (why)
		return why;
	if (rg_open(&race->rg) < 0)
		return rg_strerror();
	sem_init(&race->ready, 0, 0);
	start_runner(race, &race->first, vcpu, faulting_thread,
		     vcpu == NESTED ? "vCPU of L2" : "vCPU 1");
	populate(race->vm);
	if (shadow_pages(race->vm) <= MIN_SHADOW_PAGES)
		why = "the VM has fewer shadow pages than the lowest limit allows";
	if (why) {
		sem_post(&race->first.go);
		pthread_join(race->first.thread, NULL);
	} else {
		why = force_once(race, room);
	}
	if (!why)
		rg_ladder(race->rg, stdout);
	rg_close(race->rg);
	return why;
}
