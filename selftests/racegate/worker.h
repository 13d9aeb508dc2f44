/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The fixture of racegate's tests: a session, and two threads that make a system call each time
 * that they are let go.  Include it after harness.h.
 */
#ifndef RACEGATE_WORKER_H
#define RACEGATE_WORKER_H

#include <cpuid.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define GETPPID	"__x64_sys_getppid"
#define READ	"ksys_read"

/* Far longer than anything here takes, even in a slow emulator. */
#define PATIENCE_US	15000000ULL
/* Long enough to see a thread go on that is not held. */
#define MOMENT_US	20000

static inline unsigned long long now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000ULL + now.tv_nsec / 1000;
}

/* A thread that makes a system call each time that it is let go, and counts them. */
struct worker {
	pthread_t thread;
	pid_t tid;
	sem_t born, go;
	long (*call)(struct worker *worker);
	long arg, result;
	int own_gate;
	atomic_int done;
	atomic_bool stop;
};

static inline long call_getppid(struct worker *worker)
{
	return syscall(SYS_getppid);
}

static inline long call_read(struct worker *worker)
{
	char buf[64];

	return read(worker->arg, buf, sizeof(buf));
}

static inline void *worker_main(void *arg)
{
	struct worker *worker = arg;

	worker->tid = rg_gettid();
	sem_post(&worker->born);
	for (;;) {
		while (sem_wait(&worker->go))
			;
		if (worker->stop)
			return NULL;
		worker->result = worker->call(worker);
		worker->done++;
	}
}

static inline void worker_start(struct worker *worker, long (*call)(struct worker *))
{
	memset(worker, 0, sizeof(*worker));
	worker->call = call;
	sem_init(&worker->born, 0, 0);
	sem_init(&worker->go, 0, 0);
	if (pthread_create(&worker->thread, NULL, worker_main, worker))
		ksft_exit_fail_msg("pthread_create: %s\n", strerror(errno));
	while (sem_wait(&worker->born))
		;
}

static inline void worker_go(struct worker *worker)
{
	sem_post(&worker->go);
}

static inline bool worker_wait(struct worker *worker, int done)
{
	unsigned long long end = now_us() + PATIENCE_US;

	while (worker->done < done) {
		if (now_us() > end)
			return false;
		usleep(500);
	}
	return true;
}

static inline void worker_stop(struct worker *worker)
{
	worker->stop = true;
	sem_post(&worker->go);
	pthread_join(worker->thread, NULL);
}

static inline void pin(pid_t tid, int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(tid, sizeof(set), &set))
		ksft_exit_fail_msg("sched_setaffinity: %s\n", strerror(errno));
}

/*
 * Before version 8.1 (deba78709ae8, "accel/tcg: Always lock pages before
 * translation") QEMU, with a thread per CPU, may translate a breakpoint that is
 * being removed from a function that is called meanwhile, and keep executing it.
 * The kernel's own kprobe events, switched on and off, crash a guest then.
 */
static inline const char *need_patching(void)
{
	unsigned int eax, name[4] = {};

	__cpuid(0x40000000, eax, name[0], name[1], name[2]);
	if (!memcmp(name, "TCGTCGTCGTCG", 12) && !getenv("RACEGATE_PATCH"))
		return "QEMU's TCG mishandles code that changes; RACEGATE_PATCH=1 runs this";
	return NULL;
}

static inline unsigned int count(const struct rg_event *events, ssize_t nr,
				 unsigned int kind)
{
	unsigned int found = 0;

	while (nr-- > 0)
		found += events[nr].kind == kind;
	return found;
}

/* ARM - arm @gate in the case's session, at the point with these fields; must succeed */
#define ARM(gate, ...)							\
	do {								\
		(gate) = rg_arm(self->rg, &(struct rg_point){ __VA_ARGS__ }); \
		ASSERT_OK(gate);					\
	} while (0)

FIXTURE(racegate) {
	struct rg *rg;
	struct worker a, b;
	const struct rg_event *ev;
	struct rg_status st;
};

FIXTURE_SETUP(racegate)
{
	if (!module_loaded("racegate"))
		ASSERT_EQ(0, module_load(module_path));
	ASSERT_OK(rg_open(&self->rg));
	worker_start(&self->a, call_getppid);
	worker_start(&self->b, call_getppid);
	rg_name_thread(self->rg, rg_gettid(), "test");
	rg_name_thread(self->rg, self->a.tid, "thread a");
	rg_name_thread(self->rg, self->b.tid, "thread b");
}

FIXTURE_TEARDOWN(racegate)
{
	rg_close(self->rg);
	worker_stop(&self->a);
	worker_stop(&self->b);
	/* Unloading fails if the case left anything behind. */
	EXPECT_EQ(0, module_unload("racegate"));
}

#endif /* RACEGATE_WORKER_H */
