// SPDX-License-Identifier: GPL-2.0-only
/*
 * racegate: do it and the kernel survive gates that are armed and disarmed while threads run
 * into them?
 *
 * It loads and unloads the module itself, as root.  In the environment:
 *	RACEGATE_KO	the module; default: racegate.ko beside this program
 *	RACEGATE_PATCH	set: the emulator can be trusted with code that changes
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>

#include "harness.h"
#include "worker.h"

/* Arms a gate for itself, makes the call, and disarms the gate. */
static long call_own_gate(struct worker *worker)
{
	struct rg *rg = (struct rg *)worker->arg;
	long result;
	int gate;

	gate = rg_arm(rg, &(struct rg_point){
		.symbol = GETPPID, .where = worker->done & 1,
		.action = RG_HOLD_SLEEP, .tid = worker->tid, .max_hits = 1 });
	if (gate < 0)
		return gate;
	worker->own_gate = gate;
	sem_post(&worker->born);
	result = syscall(SYS_getppid);
	rg_disarm(rg, gate);
	return result;
}

static void *hammer_main(void *arg)
{
	while (!*(atomic_bool *)arg)
		syscall(SYS_getppid);
	return NULL;
}

/*
 * While one gate stays armed at a function, others come and go there without patching
 * code, also for the thread that arms them, and while other threads call the function.
 */
TEST_F_TIMEOUT(racegate, beside_a_gate_that_stays, 120)
{
	unsigned long long begin, us;
	atomic_bool stop = false;
	pthread_t hammer;
	int i, stays, rounds;
	pid_t parent = getppid();

	ARM(stays, .symbol = GETPPID, .tid = rg_gettid());
	ASSERT_EQ(0, pthread_create(&hammer, NULL, hammer_main, &stop));
	self->a.arg = (long)self->rg;
	begin = now_us();
	for (rounds = 0; rounds < 200; rounds++) {
		self->a.call = call_own_gate;
		worker_go(&self->a);
		while (sem_wait(&self->a.born))
			;
		ASSERT_OK(rg_wait(self->rg, self->a.own_gate, 1, PATIENCE_US));
		ASSERT_EQ(rounds, self->a.done);
		ASSERT_OK(rg_release(self->rg, self->a.own_gate));
		ASSERT_TRUE(worker_wait(&self->a, rounds + 1));
		ASSERT_EQ(parent, self->a.result);
		ASSERT_EQ(-ENOENT, rg_disarm(self->rg, self->a.own_gate));
	}
	us = now_us() - begin;
	stop = true;
	pthread_join(hammer, NULL);
	TH_LOG("%d gates in %llu ms", rounds, us / 1000);

	/* The gate that stayed armed has had no hit, and still works. */
	ASSERT_OK(rg_status(self->rg, stays, &self->st));
	EXPECT_EQ(0, self->st.hits);
	syscall(SYS_getppid);
	ASSERT_OK(rg_wait(self->rg, stays, 1, 0));
	/* Each held thread was released: no hold timed out. */
	rounds = rg_events(self->rg, &self->ev);
	for (i = 0; i < rounds; i++)
		EXPECT_NE(RG_EV_TIMEOUT, self->ev[i].kind);
}

TEST_F_TIMEOUT(racegate, many_cycles, 600)
{
	/*
	 * An emulator may take a good part of a second to look up a symbol. In QEMU ten seconds are
	 * some hundred cycles.
	 */
	unsigned long long end = now_us() + 10000000;
	int gate, i;

	for (i = 0; i < 100 || (i < 1000 && now_us() < end); i++) {
		gate = rg_arm(self->rg, &(struct rg_point){
			.symbol = GETPPID, .where = i & 1,
			.tid = rg_gettid() });
		ASSERT_EQ(i + 1, gate);
		syscall(SYS_getppid);
		ASSERT_OK(rg_wait(self->rg, gate, 1, 0));
		ASSERT_OK(rg_disarm(self->rg, gate));
	}
	/* Disarmed gates have no hits. */
	syscall(SYS_getppid);
	EXPECT_EQ(i, rg_events(self->rg, &self->ev));
	TH_LOG("%d cycles", i);
}

static atomic_bool stress_stop;

static void *stress_main(void *arg)
{
	char buf[8];
	int zero = (long)arg;

	while (!stress_stop) {
		if (syscall(SYS_getppid) != getppid() ||
		    read(zero, buf, sizeof(buf)) != sizeof(buf))
			return (void *)1;
	}
	return NULL;
}

static const struct rg_point stress_points[] = {
	{ .symbol = GETPPID },
	{ .symbol = GETPPID, .where = RG_RETURN },
	{ .symbol = GETPPID, .action = RG_HOLD_SLEEP, .timeout_us = 2000 },
	{ .symbol = READ, .where = RG_RETURN, .action = RG_HOLD_SLEEP,
	  .timeout_us = 2000 },
	{ .symbol = GETPPID, .action = RG_HOLD_SPIN, .timeout_us = 100 },
	{ .symbol = "vfs_read", .where = RG_RETURN, .action = RG_HOLD_SPIN,
	  .timeout_us = 100 },
};

/* A session whose gates come and go while threads run into them. */
static int stress_round(unsigned int *seed)
{
	int gate[ARRAY_SIZE(stress_points)], ret = 0;
	struct rg_point point;
	unsigned int i;
	struct rg *rg;

	if (rg_open(&rg))
		return -1;
	for (i = 0; i < ARRAY_SIZE(gate) && ret >= 0; i++) {
		point = stress_points[i];
		point.tgid = getpid();
		gate[i] = rg_arm(rg, &point);
		ret = gate[i];
	}
	usleep(rand_r(seed) % 5000);
	for (i = 0; i < ARRAY_SIZE(gate) && ret >= 0; i++) {
		switch (rand_r(seed) % 4) {
		case 0:
			ret = rg_disarm(rg, gate[i]);
			break;
		case 1:
			ret = rg_release(rg, gate[i]);
			break;
		case 2:
			ret = rg_step(rg, gate[i]);
			break;
		}
	}
	/* Closing the session disarms the other gates, even those that hold a thread. */
	rg_close(rg);
	return ret;
}

FIXTURE(stress) {
	pthread_t threads[4];
	int zero;
	struct rg *rg;
	unsigned long long start;
	unsigned int rounds, seed;
};

FIXTURE_SETUP(stress)
{
	unsigned int i;
	int ret;

	if (!module_loaded("racegate")) {
		ret = module_load(module_path);
		if (ret)
			SKIP(return, "cannot load %.900s: %s", module_path,
			     strerror(-ret));
	}
	self->zero = open("/dev/zero", O_RDONLY);
	ASSERT_LE(0, self->zero);
	self->start = now_us();
	ASSERT_OK(rg_open(&self->rg));
	/* Gates for no thread of this test: with them armed, others need no patching of code. */
	for (i = 0; i < ARRAY_SIZE(stress_points); i++)
		ASSERT_OK(rg_arm(self->rg, &(struct rg_point){
			.symbol = stress_points[i].symbol, .tgid = 1 }));
	for (i = 0; i < ARRAY_SIZE(self->threads); i++)
		ASSERT_EQ(0, pthread_create(&self->threads[i], NULL, stress_main,
					    (void *)(long)self->zero));
}

/* Goes on for a few seconds; in a slow emulator for several rounds. */
static bool stress_goes_on(unsigned long long start, unsigned int rounds)
{
	unsigned long long took = now_us() - start;

	return took < 5000000 || (rounds < 8 && took < 60000000);
}

FIXTURE_TEARDOWN(stress)
{
	unsigned int i;
	void *wrong;

	TH_LOG("%u rounds", self->rounds);
	stress_stop = true;
	for (i = 0; i < ARRAY_SIZE(self->threads); i++) {
		pthread_join(self->threads[i], &wrong);
		EXPECT_EQ(NULL, wrong) {
			TH_LOG("a system call returned an unexpected value");
		}
	}
	rg_close(self->rg);
	close(self->zero);
	EXPECT_EQ(0, module_unload("racegate"));
}

TEST_F_TIMEOUT(stress, gates_come_and_go, 300)
{
	for (; stress_goes_on(self->start, self->rounds); self->rounds++)
		ASSERT_OK(stress_round(&self->seed));
}

/* As gates_come_and_go, but code is patched for each round, and the module reloaded. */
TEST_F_TIMEOUT(stress, code_and_module_come_and_go, 300)
{
	if (need_patching())
		SKIP(return, "%s", need_patching());
	for (; stress_goes_on(self->start, self->rounds); self->rounds++) {
		rg_close(self->rg);
		self->rg = NULL;
		ASSERT_OK(stress_round(&self->seed));
		ASSERT_EQ(0, module_unload("racegate"));
		ASSERT_EQ(0, module_load(module_path));
	}
}

RACEGATE_MAIN()
