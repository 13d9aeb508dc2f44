// SPDX-License-Identifier: GPL-2.0-only
/*
 * One run of both operations: one after the other, or the second one (B) while the first
 * (A) is held at a point.
 *
 * The held thread may own mmap_lock.  Until it is released, this code must neither take a
 * page fault nor allocate memory from the C library.
 */
#define _GNU_SOURCE /* sched_setaffinity() */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "klog.h"
#include "sweep.h"

/* Bounds a hold whose release is lost; far longer than B may take. */
#define HOLD_SLEEP_US	4000000
#define HOLD_SPIN_US	RG_SPIN_MAX_US
/* The limit from the start of A to its gate. */
#define REACH_US	5000000
/* The limit for both to end after the release, or the host hangs. */
#define END_US		20000000
/* A thread that sleeps for so long sleeps for ever; see stop() of struct stage. */
#define STOP_US		20000
/* The interval of checks whether the kernel has killed a worker. */
#define DEAD_US		20000
/* The limit for the other worker then, unless it waits for a lock of the killed one. */
#define LAST_US		100000

/* The interval of looks at B, and how many must find it asleep before it counts as waiting. */
#define LOOK_US		300
#define LOOKS_ASLEEP	3
/*
 * A wait for a grace period of RCU ends by itself unless A delays it.  One of SRCU ends soon,
 * as its readers are KVM's.
 */
#define RCU_US		300000
#define SRCU_US		25000
/* B spins if it has not ended so long after it took the slow path of a lock. */
#define LOCK_US		1500
/*
 * B polls, like a KVM loop that retries until an invalidation is over, if it has called a
 * lock operation so often.  A loop without lock operations is recognised by time: B has
 * neither ended nor slept nor taken the slow path of a lock for so long, and for so many
 * times its usual time, and on so many looks.  The looks are needed because an emulated CPU
 * may get no time of the machine for longer.
 */
#define MANY_PASSES(usual)	(4 * (usual) + 16)
#define POLL_US		20000
#define POLL_LOOKS	20
#define MANY_TIMES(usual)	(4 * (usual))

unsigned long long sweep_now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000ULL + now.tv_nsec / 1000;
}

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	TEST_ASSERT(!sched_setaffinity(0, sizeof(set), &set),
		    "cannot stay on CPU %d: %s", cpu, strerror(errno));
}

static int open_proc(pid_t tid, const char *file)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/task/%d/%s", tid, file);
	return open(path, O_RDONLY | O_CLOEXEC);
}

static void *worker_thread(void *arg)
{
	struct worker *worker = arg;
	int gate;

	pin(worker->cpu);
	worker->tid = rg_gettid();
	for (;;) {
		sem_post(&worker->done);
		while (sem_wait(&worker->go))
			;
		gate = -1;
		if (worker->gate) {
			gate = rg_arm(worker->sweep->rg, worker->gate);
			worker->gate_id = gate;
			sem_post(&worker->armed);
		}
		worker->work(worker->sweep);
		/* A thread that waits for the gate then gets an error: it will not be reached. */
		if (gate >= 0)
			rg_disarm(worker->sweep->rg, gate);
	}
	return NULL;
}

static void start(struct worker *worker, void (*work)(struct sweep *sweep))
{
	worker->work = work;
	worker->busy = true;
	sem_post(&worker->go);
}

/* Waits at most @us for the worker; is it done? */
static bool is_done(struct worker *worker, unsigned long long us)
{
	struct timespec until;

	if (!worker->busy)
		return true;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += us / 1000000;
	until.tv_nsec += us % 1000000 * 1000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	while (sem_timedwait(&worker->done, &until))
		if (errno != EINTR)
			return false;
	worker->busy = false;
	return true;
}

/* The host hangs: no further verdict is possible in this boot. */
void sweep_give_up(struct sweep *sweep)
{
	int fd;

	klog_poll();
	printf("@sweep@\thung\n");
	fflush(stdout);
	fsync(STDOUT_FILENO);
	sleep(1);
	if (sweep->reboots) {
		fd = open("/proc/sysrq-trigger", O_WRONLY);
		if (fd < 0 || write(fd, "b", 1) != 1)
			printf("# the host cannot be ended by sysrq\n");
	}
	_exit(3);
}

/* The thread's state, R, S, D and so on, or ? if it is gone. */
static char state_of(const struct worker *worker)
{
	char text[128], *end;
	ssize_t n = pread(worker->stat, text, sizeof(text) - 1, 0);

	if (n <= 0)
		return '?';
	text[n] = '\0';
	end = strrchr(text, ')');
	return end && end[1] ? end[2] : '?';
}

static bool is_dead(const struct worker *worker)
{
	return worker->stat >= 0 && strchr("?XZ", state_of(worker));
}

static void finish(struct worker *worker)
{
	unsigned long long begin = sweep_now_us(), now, asleep_since = 0;
	struct sweep *sweep = worker->sweep;
	const struct stage *stage = sweep->pair->stage;

	while (!is_done(worker, stage->stop ? LOOK_US : DEAD_US)) {
		if (is_dead(&sweep->worker[0]) || is_dead(&sweep->worker[1])) {
			/* Let the other one end, so that it does not disturb the next process. */
			is_done(&sweep->worker[0], LAST_US);
			is_done(&sweep->worker[1], LAST_US);
			survive_lost(sweep);
		}
		now = sweep_now_us();
		if (now - begin > END_US)
			sweep_give_up(sweep);
		if (!stage->stop || state_of(worker) != 'S')
			asleep_since = 0;
		else if (!asleep_since)
			asleep_since = now;
		else if (now - asleep_since > STOP_US)
			stage->stop(sweep, worker);
	}
}

void worker_call(struct worker *worker, void (*work)(struct sweep *sweep))
{
	start(worker, work);
	finish(worker);
}

static const char *start_worker(struct sweep *sweep, int i)
{
	struct worker *worker = &sweep->worker[i];

	worker->sweep = sweep;
	worker->cpu = 1 + i;
	worker->busy = true;
	sem_init(&worker->go, 0, 0);
	sem_init(&worker->done, 0, 0);
	sem_init(&worker->armed, 0, 0);
	TEST_ASSERT(!pthread_create(&worker->thread, NULL, worker_thread, worker),
		    "pthread_create");
	finish(worker);
	worker->stat = open_proc(worker->tid, "stat");
	worker->wchan = open_proc(worker->tid, "wchan");
	if (worker->stat < 0)
		return "cannot read /proc/self/task";
	rg_name_thread(sweep->rg, worker->tid, sweep->pair->op[i]->what);
	return NULL;
}

const char *sweep_start(struct sweep *sweep)
{
	const char *why;
	int i;

	if (sysconf(_SC_NPROCESSORS_ONLN) < 3)
		return "three CPUs are needed: one for each operation and one to steer";
	pin(0);
	if (rg_open(&sweep->rg) < 0)
		return rg_strerror();
	rg_name_thread(sweep->rg, rg_gettid(), "steers");
	for (i = 0; i < 2; i++)
		sweep->worker[i].stat = -1;
	for (i = 0; i < 2; i++) {
		why = start_worker(sweep, i);
		if (why)
			return why;
	}
	return NULL;
}

static struct worker *held_worker(struct sweep *sweep)
{
	return &sweep->worker[sweep->first];
}

static struct worker *other_worker(struct sweep *sweep)
{
	return &sweep->worker[!sweep->first];
}

/* Runs an operation, with marks in the record for the ladder of a finding. */
static void run_op(struct sweep *sweep, const struct op *op)
{
	char text[64];

	snprintf(text, sizeof(text), "%s begins", op->name);
	rg_mark(sweep->rg, text);
	op->run(sweep);
	snprintf(text, sizeof(text), "%s is at its end", op->name);
	rg_mark(sweep->rg, text);
}

static void run_held(struct sweep *sweep)
{
	run_op(sweep, sweep->pair->op[sweep->first]);
}

static void run_other(struct sweep *sweep)
{
	run_op(sweep, sweep->pair->op[!sweep->first]);
}

static uint64_t passes(struct sweep *sweep, unsigned int i)
{
	struct rg_status status;

	if (rg_status(sweep->rg, sweep->passes[i].gate, &status))
		return 0;
	return status.hits;
}

void sweep_count_passes(struct sweep *sweep)
{
	struct path *path = &sweep->path;
	const struct function *function;
	unsigned int i;
	int gate;

	for (i = 0; i < path->nr_points; i++) {
		function = path->points[i].function;
		if (!function->from || path->points[i].where != RG_ENTRY ||
		    path->points[i].visit > 1 || sweep->nr_passes == MAX_PASSES)
			continue;
		/* This gate counts hits, but records no events. */
		gate = rg_arm(sweep->rg, &(struct rg_point){
			.symbol = function->symbol, .from = function->from,
			.tid = sweep->worker[!sweep->first].tid, .skip = ~0u });
		if (gate >= 0)
			sweep->passes[sweep->nr_passes++].gate = gate;
	}
}

static void passes_begin(struct sweep *sweep)
{
	unsigned int i;

	for (i = 0; i < sweep->nr_passes; i++)
		sweep->passes[i].before = passes(sweep, i);
}

static void learn_passes(struct sweep *sweep)
{
	unsigned int i;
	uint64_t nr;

	for (i = 0; i < sweep->nr_passes; i++) {
		nr = passes(sweep, i) - sweep->passes[i].before;
		if (nr > sweep->passes[i].usual)
			sweep->passes[i].usual = nr;
	}
}

static bool passes_often(struct sweep *sweep)
{
	unsigned int i;

	for (i = 0; i < sweep->nr_passes; i++)
		if (passes(sweep, i) - sweep->passes[i].before >
		    MANY_PASSES(sweep->passes[i].usual))
			return true;
	return false;
}

/* B's usual time, in the order in which it takes longer. */
static unsigned long long usual_us(const struct sweep *sweep)
{
	const unsigned long long *usual = sweep->usual_us;

	return usual[0] > usual[1] ? usual[0] : usual[1];
}

/* Has the worker of operation @i call @work, unless that is NULL. */
static void op_call(struct sweep *sweep, int i, void (*work)(struct sweep *sweep))
{
	if (work)
		worker_call(&sweep->worker[i], work);
}

void sweep_fresh(struct sweep *sweep)
{
	const struct stage *stage = sweep->pair->stage;
	int i;

	for (i = 0; i < 2; i++)
		op_call(sweep, i, sweep->pair->op[i]->undo);
	stage->fresh(sweep);
	for (i = 0; i < 2; i++)
		op_call(sweep, i, sweep->pair->op[i]->prepare);
	if (stage->begin)
		stage->begin(sweep);
}

static void ops_observe(struct sweep *sweep)
{
	int i;

	for (i = 0; i < 2; i++)
		op_call(sweep, i, sweep->pair->op[i]->observe);
}

/* Sets sweep->outcome after a run. */
static void look(struct sweep *sweep)
{
	unsigned long long begin = sweep_now_us();

	sweep->outcome.nr = 0;
	ops_observe(sweep);
	sweep->pair->stage->probe(sweep);
	ops_observe(sweep);
	sweep->pair->stage->observe(sweep);
	sweep->log = klog_poll();
	sweep->schedules++;
	sweep->us.look += sweep_now_us() - begin;
}

void sweep_order(struct sweep *sweep, bool first_goes_first)
{
	struct worker *held = held_worker(sweep), *other = other_worker(sweep);
	unsigned long long begin, took, *usual = &sweep->usual_us[first_goes_first];

	sweep_fresh(sweep);
	if (first_goes_first)
		worker_call(held, run_held);
	passes_begin(sweep);
	begin = sweep_now_us();
	worker_call(other, run_other);
	took = sweep_now_us() - begin;
	if (!*usual || took < *usual)
		*usual = took;
	learn_passes(sweep);
	if (!first_goes_first)
		worker_call(held, run_held);
	look(sweep);
	rg_forget(sweep->rg);
}

/* The longest wait for the grace period that the worker waits for, or 0 if it waits for none. */
static unsigned long long rcu_us(const struct worker *worker)
{
	char text[64];
	ssize_t n = pread(worker->wchan, text, sizeof(text) - 1, 0);

	if (n <= 0)
		return 0;
	text[n] = '\0';
	if (strstr(text, "srcu"))
		return SRCU_US;
	return strstr(text, "rcu") ? RCU_US : 0;
}

/* How often B has taken the slow path of a lock. */
static unsigned int slowpaths(struct sweep *sweep)
{
	struct rg_status status;
	unsigned int i, nr = 0;

	for (i = 0; i < sweep->nr_slowpaths; i++)
		if (!rg_status(sweep->rg, sweep->slowpath[i], &status))
			nr += status.arrivals;
	return nr;
}

/*
 * Is B waiting for another CPU to acknowledge its IPI, such as for a TLB flush?  A's CPU
 * does not while A is held with interrupts disabled.
 */
static bool waits_for_ipi(struct sweep *sweep)
{
	struct rg_status asked, answered;

	return !rg_status(sweep->rg, sweep->ipi[RG_ENTRY], &asked) &&
	       !rg_status(sweep->rg, sweep->ipi[RG_RETURN], &answered) &&
	       asked.arrivals != answered.arrivals;
}

static void arm_slowpaths(struct sweep *sweep)
{
	static const char * const names[] = {
		"native_queued_spin_lock_slowpath", "queued_spin_lock_slowpath",
		"queued_read_lock_slowpath", "queued_write_lock_slowpath",
	};
	unsigned int i;
	int gate;

	if (sweep->nr_slowpaths)
		return;
	for (i = RG_ENTRY; i <= RG_RETURN; i++)
		sweep->ipi[i] = rg_arm(sweep->rg, &(struct rg_point){
			.symbol = "smp_call_function_many_cond", .where = i,
			.tid = other_worker(sweep)->tid,
			.label = i == RG_ENTRY ? "interrupts other CPUs" :
				 "has their answer" });
	for (i = 0; i < ARRAY_SIZE(names); i++) {
		gate = rg_arm(sweep->rg, &(struct rg_point){
			.symbol = names[i], .tid = other_worker(sweep)->tid,
			.label = "waits for a lock" });
		if (gate >= 0)
			sweep->slowpath[sweep->nr_slowpaths++] = gate;
	}
}

/* Whether a thread is asleep or not, since when, and on how many looks. */
struct watched {
	bool asleep;
	unsigned long long since;
	unsigned int looks;
};

static void look_at(struct watched *watched, const struct worker *worker,
		    unsigned long long now)
{
	char state = state_of(worker);
	bool asleep = state == 'S' || state == 'D';

	if (watched->asleep != asleep) {
		watched->asleep = asleep;
		watched->since = now;
		watched->looks = 0;
	}
	watched->looks++;
}

static bool sleeps(const struct watched *watched, unsigned long long now,
		   unsigned long long us)
{
	return watched->asleep && watched->looks >= LOOKS_ASLEEP &&
	       now - watched->since > us;
}

/* Has the thread run for much longer than the operation takes without an overlap, @usual? */
static bool is_busy(const struct watched *watched, unsigned long long now,
		    unsigned long long usual)
{
	return !watched->asleep && watched->looks > POLL_LOOKS &&
	       now - watched->since > POLL_US + MANY_TIMES(usual);
}

/* Watches B until it ends, or evidently waits, or is held at @gate. */
static enum progress watch(struct sweep *sweep, unsigned int slowpaths_before,
			   int gate)
{
	unsigned long long now, spins_since = 0;
	struct watched watched = { .since = sweep_now_us() };
	struct worker *other = other_worker(sweep);
	unsigned int looks = 0;

	for (; !is_done(other, LOOK_US); looks++) {
		now = sweep_now_us();
		if (gate >= 0 && !rg_wait(sweep->rg, gate, 1, 0))
			return HELD;
		look_at(&watched, other, now);
		if (sleeps(&watched, now, rcu_us(other)))
			return is_done(other, 0) ? RAN : SLEEPS;
		if (!spins_since && slowpaths(sweep) != slowpaths_before)
			spins_since = now;
		if (spins_since && now - spins_since > LOCK_US)
			return SPINS;
		if (!spins_since && !watched.asleep && looks && passes_often(sweep))
			return POLLS;
		if (!spins_since && is_busy(&watched, now, usual_us(sweep)))
			return waits_for_ipi(sweep) ? ASKS : POLLS;
	}
	return RAN;
}

/* Watches A, which goes on while B is held, until it ends or waits for B in some way. */
static enum progress watch_held(struct sweep *sweep)
{
	struct worker *held = held_worker(sweep);
	struct watched watched = { .since = sweep_now_us() };
	unsigned long long now;

	while (!is_done(held, LOOK_US)) {
		now = sweep_now_us();
		look_at(&watched, held, now);
		if (sleeps(&watched, now, RCU_US))
			return SLEEPS;
		if (is_busy(&watched, now, 0))
			return POLLS;
	}
	return RAN;
}

/* The events of a gate in the record. */
struct record {
	bool held, timed_out, atomic, missed, holes;
};

static void read_record(struct sweep *sweep, int gate, struct record *record)
{
	const struct rg_event *events;
	ssize_t nr = rg_events(sweep->rg, &events), i;

	memset(record, 0, sizeof(*record));
	for (i = 0; i < nr; i++) {
		record->holes |= events[i].kind == RG_EV_LOST;
		if (events[i].gate != (unsigned int)gate)
			continue;
		record->held |= events[i].kind == RG_EV_HELD;
		record->timed_out |= events[i].kind == RG_EV_TIMEOUT ||
				     events[i].kind == RG_EV_KILLED;
		record->missed |= events[i].kind == RG_EV_MISSED;
		record->atomic |= events[i].kind == RG_EV_MISSED &&
				  events[i].reason == RG_MISS_ATOMIC;
	}
}

static void conclude(struct schedule *result, const struct record *record)
{
	result->why = NULL;
	if (record->holes) {
		result->verdict = NOT_TRIED;
		result->why = "not all of it could be recorded";
	} else if (record->atomic || record->missed) {
		result->verdict = NOT_TRIED;
		result->why = record->atomic ? "it must not sleep there" :
			      "racegate had no slot for the call";
	} else if (!record->held) {
		result->verdict = NOT_REACHED;
	} else if (record->timed_out) {
		result->verdict = NOT_TRIED;
		result->why = "the hold ran out";
	} else {
		result->verdict = result->progress == RAN ? RAN_THROUGH : WAITED;
	}
}

/* Starts the worker with a gate at @point; returns the gate's id, or an error. */
static int start_gated(struct worker *worker, void (*work)(struct sweep *sweep),
		       const struct point *point)
{
	struct rg_point gate = {
		.symbol = point->function->symbol, .where = point->where,
		.from = point->function->from, .tid = worker->tid,
		.action = point->atomic ? RG_HOLD_SPIN : RG_HOLD_SLEEP,
		.timeout_us = point->atomic ? HOLD_SPIN_US : HOLD_SLEEP_US,
		.skip = point->visit - 1, .max_hits = 1,
	};

	worker->gate = &gate;
	start(worker, work);
	while (sem_wait(&worker->armed))
		;
	worker->gate = NULL;
	return worker->gate_id;
}

/* Runs B while A is held, then releases A; returns B's gate, or less than 0. */
static int run_second(struct sweep *sweep, struct point *second, int held_gate,
		      unsigned int slowpaths_before, struct schedule *result)
{
	struct worker *other = other_worker(sweep);
	int gate = -1;

	if (second)
		gate = start_gated(other, run_other, second);
	else
		start(other, run_other);
	result->progress = watch(sweep, slowpaths_before, gate);
	rg_release(sweep->rg, held_gate);
	if (result->progress != HELD)
		return gate;
	result->progress = watch_held(sweep);
	rg_release(sweep->rg, gate);
	return gate;
}

/* Waits for A at the gate.  If A sleeps for ever before, stop() it; it may pass the gate then. */
static bool reaches(struct sweep *sweep, int gate)
{
	const struct stage *stage = sweep->pair->stage;
	struct worker *held = held_worker(sweep);
	unsigned long long begin = sweep_now_us();
	bool asleep = false;
	int ret;

	if (!stage->stop)
		return !rg_wait(sweep->rg, gate, 1, REACH_US);
	for (;;) {
		ret = rg_wait(sweep->rg, gate, 1, STOP_US);
		if (ret != -ETIMEDOUT || sweep_now_us() - begin > REACH_US)
			return !ret;
		if (state_of(held) == 'S' && asleep)
			stage->stop(sweep, held);
		asleep = state_of(held) == 'S';
	}
}

static void hold_once(struct sweep *sweep, struct point *point,
		      struct point *second, bool alone, struct schedule *result)
{
	unsigned long long t[5];
	struct record record;
	unsigned int before;
	int gate, second_gate = -1;
	bool ran = false;

	arm_slowpaths(sweep);
	path_put_gate(sweep, point->function);
	if (second)
		path_put_gate(sweep, second->function);
	t[0] = sweep_now_us();
	sweep_fresh(sweep);
	rg_forget(sweep->rg);
	before = slowpaths(sweep);
	passes_begin(sweep);
	t[1] = sweep_now_us();
	gate = start_gated(held_worker(sweep), run_held, point);
	result->progress = RAN;
	if (gate >= 0 && reaches(sweep, gate)) {
		t[2] = sweep_now_us();
		if (alone) {
			usleep(LOOK_US);
			rg_release(sweep->rg, gate);
		} else {
			second_gate = run_second(sweep, second, gate, before, result);
			ran = true;
		}
		t[3] = sweep_now_us();
		sweep->us.second += t[3] - t[2];
	} else {
		t[3] = sweep_now_us();
		t[2] = t[3];
	}
	finish(held_worker(sweep));
	if (!ran)
		start(other_worker(sweep), run_other);
	finish(other_worker(sweep));
	t[4] = sweep_now_us();
	sweep->us.fresh += t[1] - t[0];
	sweep->us.hold += t[2] - t[1];
	sweep->us.end += t[4] - t[3];
	if (gate < 0) {
		result->verdict = NOT_TRIED;
		result->why = "no gate";
	} else {
		read_record(sweep, gate, &record);
		conclude(result, &record);
		point->atomic |= record.atomic;
	}
	if (second && (result->verdict == RAN_THROUGH || result->verdict == WAITED)) {
		read_record(sweep, second_gate, &record);
		conclude(result, &record);
		second->atomic |= record.atomic;
	}
	look(sweep);
}

void sweep_hold(struct sweep *sweep, struct point *point, struct point *second,
		bool alone, struct schedule *result)
{
	bool was_atomic = point->atomic;
	bool second_was = second && second->atomic;

	hold_once(sweep, point, second, alone, result);
	/* Try again with a hold that spins if a thread turned out to be atomic there. */
	if (point->atomic != was_atomic || (second && second->atomic != second_was))
		hold_once(sweep, point, second, alone, result);
}
