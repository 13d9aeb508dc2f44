// SPDX-License-Identifier: GPL-2.0-only
/* Holds the first of two page faults, and judges how far the second got; see zap_hold.h. */
#define _GNU_SOURCE /* sched_setaffinity() */
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "kvm_util.h"
#include "zap_hold.h"

/* The second must have tried for this long before "it did not get in" counts. */
#define TRY_US		50000
/* On a busy machine an emulated CPU may not run that long in one try. */
#define TRIES		3

/* The function at whose entry the first is held if it zaps, after @skip calls of it. */
static const struct {
	const char *symbol;
	unsigned int skip;
	unsigned int room;	/* shadow pages left below the limit */
} held_at[] = {
	[ZAPS] = { ZAP },
	[ZAPS_EARLY] = { ZAP, .room = MIN_FREE_PAGES / 2 },
	[ZAPS_PAGE] = { ZAP_ONE },
	[ZAPS_CHILD] = { ZAP_ONE, .skip = 1 },
	[UNLISTS] = { UNLIST },
	[MAPS] = { ZAP },
	[ZAPS_FOR_ROOT] = { ZAP },
};

/* In these places the first has no shadow page in hand that the second could free. */
static bool is_harmless(enum place place)
{
	return place == ZAPS || place == ZAPS_EARLY || place == MAPS ||
	       place == ZAPS_FOR_ROOT;
}

void start_runner(struct race *race, struct runner *runner, int vcpu,
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

/* Moves the thread to a CPU of its own: the other thread may spin in the kernel on its CPU. */
void wait_for_go(struct runner *runner)
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
	/* The first KVM_RUN of a thread waits for RCU, which a held thread would stall. */
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
		/* The kernel may die as soon as the first thread goes on. */
		rg_mark(race->rg, "lets the other go on");
		rg_ladder(race->rg, stdout);
	}
	rg_release(race->rg, race->first_zap);
	rg_release(race->rg, race->first_map);
	return NULL;
}

/* Sets @outcome from the record; returns NULL, or the reason why there was no overlap. */
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
			/* The first was released or timed out: the overlap ends. */
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

/* Arms a gate at the entry of a function, which holds the thread if @hold_us is not 0. */
static int arm(struct race *race, struct runner *runner, const char *symbol,
	       unsigned int hold_us)
{
	return rg_arm(race->rg, &(struct rg_point){
		.symbol = symbol, .label = strchr(symbol, ':') + 1,
		.tid = runner->tid,
		.action = hold_us ? RG_HOLD_SPIN : RG_RECORD,
		/* A fault that has to wait may be retried many times. */
		.max_hits = hold_us ? 1 : 4, .timeout_us = hold_us });
}

/* Arms the gate that holds the first if it zaps; in MAPS it only records that. */
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

/* Records for the ladder that a thread has zapped. */
static void arm_zapped(struct race *race, struct runner *runner)
{
	rg_arm(race->rg, &(struct rg_point){
		.symbol = ZAP, .where = RG_RETURN,
		.label = "kvm_mmu_zap_oldest_mmu_pages()",
		.tid = runner->tid });
}

/*
 * Forces the overlap: the second faults while the first is held where it zaps, or,
 * if it does not zap, where it maps.  Returns NULL, or the reason why that failed.
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
	if (race->place == MAPS || race->place == ZAPS_FOR_ROOT)
		why = starve_of_shadow_pages(race);
	else
		race->limit = limit_shadow_pages(race->vm, held_at[race->place].room);
	if (race->place == ZAPS_FOR_ROOT)
		drop_roots(race->vcpu[first]);

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

	/* Start the first last: it may spin on this thread's CPU. */
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

const char *force(struct race *race, bool tdp_mmu, enum place place,
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
