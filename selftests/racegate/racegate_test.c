// SPDX-License-Identifier: GPL-2.0-only
/*
 * racegate: does it hold, release and record as src/racegate/racegate.h documents?
 *
 * It loads and unloads the module itself.  In the environment:
 *	RACEGATE_KO	the module; default: racegate.ko beside this program
 *	RACEGATE_PATCH	set: the emulator can be trusted with code that changes
 *
 * Run it as root.  It puts gates on functions of system calls, but for its own threads
 * only, so that it can run on a machine in use.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "harness.h"
#include "worker.h"

TEST_F(racegate, hold_and_release)
{
	int gate, i, held = 0, after = 0;
	ssize_t nr;

	ARM(gate, .symbol = GETPPID, .action = RG_HOLD_SLEEP,
	    .tid = self->a.tid, .label = "getppid() entered");
	worker_go(&self->a);
	ASSERT_OK(rg_wait(self->rg, gate, 1, PATIENCE_US));

	/* Thread a makes no progress. */
	usleep(MOMENT_US);
	ASSERT_EQ(0, self->a.done);
	ASSERT_OK(rg_status(self->rg, gate, &self->st));
	EXPECT_EQ(1, self->st.held);
	EXPECT_EQ(1, self->st.arrivals);
	EXPECT_EQ(1, self->st.hits);

	ASSERT_OK(rg_mark(self->rg, "about to release"));
	ASSERT_OK(rg_release(self->rg, gate));
	ASSERT_TRUE(worker_wait(&self->a, 1));
	EXPECT_EQ(getppid(), self->a.result);

	/* The gate stays open, and still records. */
	worker_go(&self->a);
	ASSERT_TRUE(worker_wait(&self->a, 2));
	ASSERT_OK(rg_wait(self->rg, gate, 2, 0));

	nr = rg_events(self->rg, &self->ev);
	ASSERT_EQ(4, nr);
	for (i = 0; i < nr; i++) {
		EXPECT_EQ(i + 1, self->ev[i].seq);
		if (i)
			EXPECT_GE(self->ev[i].ns, self->ev[i - 1].ns);
		if (self->ev[i].kind == RG_EV_HELD)
			held = i;
		if (self->ev[i].kind == RG_EV_RELEASE)
			after = i;
		if (self->ev[i].kind != RG_EV_MARK) {
			EXPECT_EQ(self->a.tid, self->ev[i].tid);
			EXPECT_EQ(getpid(), self->ev[i].tgid);
			EXPECT_EQ(gate, self->ev[i].gate);
		}
	}
	EXPECT_EQ(0, held);
	EXPECT_EQ(RG_EV_MARK, self->ev[1].kind);
	EXPECT_EQ(rg_gettid(), self->ev[1].tid);
	EXPECT_EQ(2, after);
	EXPECT_EQ(RG_EV_ARRIVE, self->ev[3].kind);
}

TEST_F(racegate, step)
{
	int gate, i;

	ARM(gate, .symbol = GETPPID, .action = RG_HOLD_SLEEP,
	    .tid = self->a.tid);
	for (i = 1; i <= 5; i++) {
		worker_go(&self->a);
		ASSERT_OK(rg_wait(self->rg, gate, i, PATIENCE_US));
		EXPECT_EQ(i - 1, self->a.done);
		ASSERT_OK(rg_step(self->rg, gate));
		ASSERT_TRUE(worker_wait(&self->a, i));
	}
	ASSERT_OK(rg_wait_left(self->rg, gate, PATIENCE_US));
	ASSERT_OK(rg_status(self->rg, gate, &self->st));
	EXPECT_EQ(5, self->st.arrivals);
	EXPECT_EQ(0, self->st.timeouts);
}

TEST_F(racegate, sleeping_hold_gives_the_cpu_away)
{
	int gate, other, cpu = sched_getcpu();

	pin(self->a.tid, cpu);
	pin(self->b.tid, cpu);
	ARM(gate, .symbol = GETPPID, .action = RG_HOLD_SLEEP,
	    .tid = self->a.tid);
	worker_go(&self->a);
	ASSERT_OK(rg_wait(self->rg, gate, 1, PATIENCE_US));

	/* Another thread runs there. */
	worker_go(&self->b);
	ASSERT_TRUE(worker_wait(&self->b, 1));
	/* That CPU answers interrupts as well: arming patches code, which needs all CPUs. */
	ARM(other, .symbol = READ, .tid = self->b.tid);
	EXPECT_EQ(0, self->a.done);
	ASSERT_OK(rg_release(self->rg, gate));
	ASSERT_TRUE(worker_wait(&self->a, 1));
}

TEST_F(racegate, spinning_hold)
{
	int gate, cpu = sysconf(_SC_NPROCESSORS_ONLN) - 1;

	if (!cpu)
		SKIP(return, "one CPU: no thread could release one that spins there");
	pin(self->a.tid, cpu);
	pin(0, 0);
	ARM(gate, .symbol = GETPPID, .action = RG_HOLD_SPIN,
	    .tid = self->a.tid);
	worker_go(&self->a);
	ASSERT_OK(rg_wait(self->rg, gate, 1, PATIENCE_US));
	usleep(MOMENT_US);
	EXPECT_EQ(0, self->a.done);
	ASSERT_OK(rg_release(self->rg, gate));
	ASSERT_TRUE(worker_wait(&self->a, 1));
	EXPECT_EQ(getppid(), self->a.result);
	ASSERT_OK(rg_status(self->rg, gate, &self->st));
	EXPECT_EQ(0, self->st.timeouts);
}

TEST_F(racegate, timeout_ends_a_hold)
{
	static const struct {
		unsigned int action;
		unsigned long long us;
	} holds[] = { { RG_HOLD_SLEEP, 50000 }, { RG_HOLD_SPIN, 50000 } };
	unsigned long long took;
	unsigned int i;
	int gate;

	for (i = 0; i < ARRAY_SIZE(holds); i++) {
		ASSERT_OK(rg_forget(self->rg));
		ARM(gate, .symbol = GETPPID, .action = holds[i].action,
		    .tid = self->a.tid, .timeout_us = holds[i].us);
		worker_go(&self->a);
		ASSERT_TRUE(worker_wait(&self->a, i + 1));
		ASSERT_OK(rg_status(self->rg, gate, &self->st));
		EXPECT_EQ(1, self->st.timeouts);
		ASSERT_EQ(2, rg_events(self->rg, &self->ev));
		EXPECT_EQ(RG_EV_HELD, self->ev[0].kind);
		EXPECT_EQ(RG_EV_TIMEOUT, self->ev[1].kind);
		took = (self->ev[1].ns - self->ev[0].ns) / 1000;
		EXPECT_LE(holds[i].us, took);
		ASSERT_OK(rg_disarm(self->rg, gate));
	}
}

TEST_F(racegate, waiting_times_out)
{
	unsigned long long start = now_us();
	int gate;

	ARM(gate, .symbol = GETPPID, .tid = self->a.tid);
	EXPECT_EQ(-ETIMEDOUT, rg_wait(self->rg, gate, 1, 30000));
	EXPECT_LE(30000, now_us() - start);
	EXPECT_NE(NULL, strstr(rg_strerror(), GETPPID));
	EXPECT_EQ(-ETIMEDOUT, rg_wait(self->rg, gate, 1, 0));
	worker_go(&self->a);
	ASSERT_OK(rg_wait(self->rg, gate, 1, PATIENCE_US));
	EXPECT_EQ(-ETIMEDOUT, rg_wait(self->rg, gate, 2, 0));
}

TEST_F(racegate, wrong_symbols)
{
	static const struct {
		const char *symbol;
		int error, or_error;
	} wrong[] = {
		{ "no_such_function_here", ENOENT },
		{ "racegate:no_such_function_here", ENOENT },
		{ "no_such_module:vfs_read", ENOENT },
		/* On the kernel's own list of functions that must not be probed. */
		{ "kprobe_ftrace_handler", EINVAL },
		{ "rg_pre_handler", EINVAL },
		/* Compiled without an entry for ftrace. */
		{ "racegate:rg_event_add", EOPNOTSUPP },
		/* A variable. */
		{ "jiffies_64", EINVAL, EOPNOTSUPP },
	};
	unsigned int i;
	int ret;

	for (i = 0; i < ARRAY_SIZE(wrong); i++) {
		ret = rg_arm(self->rg, &(struct rg_point){
			.symbol = wrong[i].symbol });
		if (wrong[i].or_error && ret == -wrong[i].or_error)
			continue;
		EXPECT_EQ(-wrong[i].error, ret) {
			TH_LOG("%s: %s", wrong[i].symbol, rg_strerror());
		}
		EXPECT_NE(NULL, strstr(rg_strerror(), wrong[i].symbol));
	}
	EXPECT_EQ(-EINVAL, rg_arm(self->rg, &(struct rg_point){ .symbol = NULL }));
}

TEST_F(racegate, bad_input)
{
	static const struct rg_arm good = {
		.symbol = GETPPID, .action = RG_HOLD_SLEEP, .tid = 1,
		.timeout_us = 1000,
	};
	int fd = rg_fd(self->rg), i;
	struct rg_release release = {};
	struct rg_disarm disarm = {};
	struct rg_status status = {};
	struct rg_wait wait = {};
	struct rg_mark mark = {};
	struct rg_event event;
	struct rg_arm arm;
	char small[sizeof(event) - 1];

#define REFUSED(change)						\
	do {							\
		arm = good;					\
		change;						\
		EXPECT_EQ(-1, ioctl(fd, RG_ARM, &arm)) {	\
			TH_LOG("%s is taken", #change);		\
		}						\
		EXPECT_EQ(EINVAL, errno);			\
	} while (0)
	REFUSED(arm.symbol[0] = 0);
	REFUSED(memset(arm.symbol, 'a', sizeof(arm.symbol)));
	REFUSED(arm.where = 2);
	REFUSED(arm.action = 3);
	REFUSED(arm.tid = -1);
	REFUSED(arm.tgid = -1);
	REFUSED(arm.timeout_us = 0);
	REFUSED(arm.timeout_us = RG_SLEEP_MAX_US + 1);
	REFUSED(arm.action = RG_HOLD_SPIN; arm.timeout_us = RG_SPIN_MAX_US + 1);
	REFUSED(arm.action = RG_RECORD);
	REFUSED(arm.gate = 1);
	REFUSED(arm.reserved[0] = 1);
	REFUSED(arm.reserved[1] = 1);
	REFUSED(arm.flags = RG_ARM_CHILDREN);
	REFUSED(arm.tgid = getpid(); arm.flags = RG_ARM_CHILDREN << 1);
	REFUSED(memset(arm.from, 'x', sizeof(arm.from)));

	arm = good;
	ASSERT_EQ(0, ioctl(fd, RG_ARM, &arm));
	wait.gate = arm.gate;
	EXPECT_EQ(-1, ioctl(fd, RG_WAIT, &wait));
	EXPECT_EQ(EINVAL, errno);
	wait.nth = 1;
	wait.timeout_us = RG_SLEEP_MAX_US + 1;
	EXPECT_EQ(-1, ioctl(fd, RG_WAIT, &wait));
	EXPECT_EQ(EINVAL, errno);
	release.gate = arm.gate;
	release.flags = 2;
	EXPECT_EQ(-1, ioctl(fd, RG_RELEASE, &release));
	EXPECT_EQ(EINVAL, errno);
	status.gate = arm.gate;
	status.reserved[1] = 1;
	EXPECT_EQ(-1, ioctl(fd, RG_STATUS, &status));
	EXPECT_EQ(EINVAL, errno);
	disarm.gate = arm.gate;
	disarm.reserved[1] = 1;
	EXPECT_EQ(-1, ioctl(fd, RG_DISARM, &disarm));
	EXPECT_EQ(EINVAL, errno);
	mark.reserved[1] = 1;
	EXPECT_EQ(-1, ioctl(fd, RG_MARK, &mark));
	EXPECT_EQ(EINVAL, errno);

	for (i = 0; i <= 7; i++) {
		EXPECT_EQ(-1, ioctl(fd, _IO(RG_IOC, i), 0));
		EXPECT_EQ(ENOTTY, errno);
	}
	EXPECT_EQ(-1, ioctl(fd, RG_ARM, NULL));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(-1, read(fd, small, sizeof(small)));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, read(fd, &event, sizeof(event)));
	EXPECT_EQ(EAGAIN, errno);

	EXPECT_EQ(-ENOENT, rg_wait(self->rg, arm.gate + 1, 1, 0));
	EXPECT_EQ(-ENOENT, rg_release(self->rg, arm.gate + 1));
	EXPECT_EQ(-ENOENT, rg_status(self->rg, 0, &self->st));
	EXPECT_EQ(-ENOENT, rg_disarm(self->rg, arm.gate + 1));
	EXPECT_EQ(0, rg_disarm(self->rg, arm.gate));
	EXPECT_EQ(-ENOENT, rg_disarm(self->rg, arm.gate));
}

TEST_F(racegate, no_more_than_the_limit)
{
	int gate[RG_MAX_GATES], i;

	for (i = 0; i < RG_MAX_GATES; i++)
		ARM(gate[i], .symbol = GETPPID, .tid = self->a.tid);
	EXPECT_EQ(-ENOSPC, rg_arm(self->rg, &(struct rg_point){
		.symbol = GETPPID }));
	ASSERT_OK(rg_disarm(self->rg, gate[3]));
	ARM(gate[3], .symbol = GETPPID, .tid = self->a.tid);
	/* All gates see the same call. */
	worker_go(&self->a);
	for (i = 0; i < RG_MAX_GATES; i++)
		ASSERT_OK(rg_wait(self->rg, gate[i], 1, PATIENCE_US));
}

TEST_F(racegate, two_functions_two_threads)
{
	int zero = open("/dev/zero", O_RDONLY);
	int at_getppid, at_read;

	ASSERT_LE(0, zero);
	self->b.call = call_read;
	self->b.arg = zero;
	ARM(at_getppid, .symbol = GETPPID, .action = RG_HOLD_SLEEP,
	    .tid = self->a.tid);
	ARM(at_read, .symbol = READ, .action = RG_HOLD_SLEEP,
	    .tid = self->b.tid);
	worker_go(&self->a);
	worker_go(&self->b);
	ASSERT_OK(rg_wait(self->rg, at_getppid, 1, PATIENCE_US));
	ASSERT_OK(rg_wait(self->rg, at_read, 1, PATIENCE_US));
	usleep(MOMENT_US);
	EXPECT_EQ(0, self->a.done);
	EXPECT_EQ(0, self->b.done);

	ASSERT_OK(rg_release(self->rg, at_read));
	ASSERT_TRUE(worker_wait(&self->b, 1));
	EXPECT_EQ(64, self->b.result);
	EXPECT_EQ(0, self->a.done);
	ASSERT_OK(rg_release(self->rg, at_getppid));
	ASSERT_TRUE(worker_wait(&self->a, 1));
	close(zero);
}

TEST_F(racegate, one_function_two_threads)
{
	int gate[2], both;

	ARM(gate[0], .symbol = GETPPID, .action = RG_HOLD_SLEEP,
	    .tid = self->a.tid);
	ARM(gate[1], .symbol = GETPPID, .action = RG_HOLD_SLEEP,
	    .tid = self->b.tid);
	ARM(both, .symbol = GETPPID, .tgid = getpid());
	worker_go(&self->a);
	worker_go(&self->b);
	ASSERT_OK(rg_wait(self->rg, gate[0], 1, PATIENCE_US));
	ASSERT_OK(rg_wait(self->rg, gate[1], 1, PATIENCE_US));
	ASSERT_OK(rg_wait(self->rg, both, 2, PATIENCE_US));

	ASSERT_OK(rg_release(self->rg, gate[0]));
	ASSERT_TRUE(worker_wait(&self->a, 1));
	usleep(MOMENT_US);
	EXPECT_EQ(0, self->b.done);
	/* Disarming a gate releases its threads, too, and leaves the other gates alone. */
	ASSERT_OK(rg_disarm(self->rg, gate[1]));
	ASSERT_TRUE(worker_wait(&self->b, 1));
	worker_go(&self->a);
	ASSERT_OK(rg_wait(self->rg, both, 3, PATIENCE_US));
	ASSERT_OK(rg_status(self->rg, gate[0], &self->st));
	EXPECT_EQ(2, self->st.hits);
}

TEST_F(racegate, two_gates_hold_one_thread_in_turn)
{
	int first, second;

	ARM(first, .symbol = GETPPID, .action = RG_HOLD_SLEEP,
	    .tid = self->a.tid);
	ARM(second, .symbol = GETPPID, .action = RG_HOLD_SLEEP,
	    .tid = self->a.tid);
	worker_go(&self->a);
	ASSERT_OK(rg_wait(self->rg, first, 1, PATIENCE_US));
	EXPECT_EQ(-ETIMEDOUT, rg_wait(self->rg, second, 1, MOMENT_US));
	ASSERT_OK(rg_release(self->rg, first));
	ASSERT_OK(rg_wait(self->rg, second, 1, PATIENCE_US));
	usleep(MOMENT_US);
	EXPECT_EQ(0, self->a.done);
	ASSERT_OK(rg_release(self->rg, second));
	ASSERT_TRUE(worker_wait(&self->a, 1));
}

TEST_F(racegate, arguments_and_return_value)
{
	int zero = open("/dev/zero", O_RDONLY), entry, ret;
	char buf[77];
	ssize_t nr;

	ASSERT_LE(0, zero);
	ARM(entry, .symbol = READ, .tid = rg_gettid());
	ARM(ret, .symbol = READ, .where = RG_RETURN, .tid = rg_gettid());
	ASSERT_EQ(sizeof(buf), read(zero, buf, sizeof(buf)));
	ASSERT_EQ(-1, read(-1, buf, 1));
	ASSERT_EQ(EBADF, errno);
	ASSERT_OK(rg_disarm(self->rg, entry));
	ASSERT_OK(rg_disarm(self->rg, ret));
	nr = rg_events(self->rg, &self->ev);
	ASSERT_EQ(4, nr);
	EXPECT_EQ(RG_EV_ARRIVE, self->ev[0].kind);
	EXPECT_EQ(zero, (int)self->ev[0].args[0]);
	EXPECT_EQ((unsigned long)buf, self->ev[0].args[1]);
	EXPECT_EQ(sizeof(buf), self->ev[0].args[2]);
	EXPECT_EQ(RG_EV_RETURN, self->ev[1].kind);
	EXPECT_EQ(sizeof(buf), self->ev[1].args[0]);
	EXPECT_EQ(RG_EV_RETURN, self->ev[3].kind);
	EXPECT_EQ(-EBADF, (long)self->ev[3].args[0]);
	close(zero);
}

TEST_F(racegate, return_holds_before_the_caller)
{
	int pipefd[2], outer, inner, i;
	static const unsigned int actions[] = { RG_HOLD_SLEEP, RG_HOLD_SPIN };

	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		SKIP(return, "one CPU: no thread could release one that spins there");
	ASSERT_EQ(0, pipe(pipefd));
	self->a.call = call_read;
	self->a.arg = pipefd[0];
	for (i = 0; i < (int)ARRAY_SIZE(actions); i++) {
		ASSERT_OK(rg_forget(self->rg));
		ARM(inner, .symbol = "vfs_read", .where = RG_RETURN,
		    .action = actions[i], .tid = self->a.tid);
		ARM(outer, .symbol = READ, .where = RG_RETURN,
		    .action = actions[i], .tid = self->a.tid);
		worker_go(&self->a);
		EXPECT_EQ(-ETIMEDOUT, rg_wait(self->rg, inner, 1, MOMENT_US));
		ASSERT_EQ(5, write(pipefd[1], "hello", 5));

		/* The return value is known, but the caller has not gone on. */
		ASSERT_OK(rg_wait(self->rg, inner, 1, PATIENCE_US));
		EXPECT_EQ(-ETIMEDOUT, rg_wait(self->rg, outer, 1, MOMENT_US));
		ASSERT_OK(rg_release(self->rg, inner));
		ASSERT_OK(rg_wait(self->rg, outer, 1, PATIENCE_US));
		usleep(MOMENT_US);
		EXPECT_EQ(i, self->a.done);
		ASSERT_OK(rg_release(self->rg, outer));
		ASSERT_TRUE(worker_wait(&self->a, i + 1));
		EXPECT_EQ(5, self->a.result);

		ASSERT_EQ(4, rg_events(self->rg, &self->ev));
		EXPECT_EQ(RG_EV_HELD, self->ev[0].kind);
		EXPECT_EQ(inner, self->ev[0].gate);
		EXPECT_EQ(RG_RETURN, self->ev[0].where);
		EXPECT_EQ(5, self->ev[0].args[0]);
		EXPECT_EQ(RG_EV_HELD, self->ev[2].kind);
		EXPECT_EQ(outer, self->ev[2].gate);
		EXPECT_EQ(5, self->ev[2].args[0]);
		ASSERT_OK(rg_disarm(self->rg, inner));
		ASSERT_OK(rg_disarm(self->rg, outer));
	}
	close(pipefd[0]);
	close(pipefd[1]);
}

/* A write to the pipe wakes the inner epoll, which wakes the outer one. */
struct nested_epoll {
	int pipefd[2], inner, outer;
};

static bool nested_epoll_open(struct nested_epoll *ep)
{
	struct epoll_event in = { .events = EPOLLIN };

	ep->inner = epoll_create1(0);
	ep->outer = epoll_create1(0);
	return !pipe(ep->pipefd) && ep->inner >= 0 && ep->outer >= 0 &&
	       !epoll_ctl(ep->inner, EPOLL_CTL_ADD, ep->pipefd[0], &in) &&
	       !epoll_ctl(ep->outer, EPOLL_CTL_ADD, ep->inner, &in);
}

static void nested_epoll_close(struct nested_epoll *ep)
{
	close(ep->outer);
	close(ep->inner);
	close(ep->pipefd[0]);
	close(ep->pipefd[1]);
}

TEST_F(racegate, recursion)
{
	struct nested_epoll ep;
	ssize_t nr;

	ASSERT_TRUE(nested_epoll_open(&ep));
	ASSERT_OK(rg_arm(self->rg, &(struct rg_point){
		.symbol = "ep_poll_callback", .tid = rg_gettid() }));
	ASSERT_OK(rg_arm(self->rg, &(struct rg_point){
		.symbol = "ep_poll_callback", .where = RG_RETURN,
		.tid = rg_gettid() }));
	ASSERT_EQ(1, write(ep.pipefd[1], "x", 1));
	nr = rg_events(self->rg, &self->ev);
	ASSERT_EQ(4, nr);
	EXPECT_EQ(RG_EV_ARRIVE, self->ev[0].kind);
	EXPECT_EQ(RG_EV_ARRIVE, self->ev[1].kind);
	EXPECT_EQ(RG_EV_RETURN, self->ev[2].kind);
	EXPECT_EQ(RG_EV_RETURN, self->ev[3].kind);
	nested_epoll_close(&ep);
}

TEST_F(racegate, where_it_must_not_sleep)
{
	struct nested_epoll ep;
	int sleeping, spinning;

	ASSERT_TRUE(nested_epoll_open(&ep));
	/* ep_poll_callback() is called with a spinlock held and interrupts disabled. */
	ARM(sleeping, .symbol = "ep_poll_callback", .action = RG_HOLD_SLEEP,
	    .tid = rg_gettid());
	ASSERT_EQ(1, write(ep.pipefd[1], "x", 1));
	ASSERT_OK(rg_status(self->rg, sleeping, &self->st));
	EXPECT_EQ(2, self->st.missed);
	EXPECT_EQ(0, self->st.arrivals);
	ASSERT_EQ(2, rg_events(self->rg, &self->ev));
	EXPECT_EQ(RG_EV_MISSED, self->ev[0].kind);
	EXPECT_EQ(RG_MISS_ATOMIC, self->ev[0].reason);
	EXPECT_EQ(-ETIMEDOUT, rg_wait(self->rg, sleeping, 1, 1000));
	EXPECT_NE(NULL, strstr(rg_strerror(), "could not be held"));
	ASSERT_OK(rg_disarm(self->rg, sleeping));

	ARM(spinning, .symbol = "ep_poll_callback", .action = RG_HOLD_SPIN,
	    .tid = rg_gettid(), .timeout_us = 3000);
	ASSERT_EQ(1, write(ep.pipefd[1], "x", 1));
	ASSERT_OK(rg_status(self->rg, spinning, &self->st));
	EXPECT_EQ(0, self->st.missed);
	EXPECT_EQ(2, self->st.timeouts);
	nested_epoll_close(&ep);
}

static long call_write(struct worker *worker)
{
	return write(worker->arg, "x", 1);
}

/*
 * The thread spins with interrupts disabled, so that no IPI can report its arrival.
 * Kernel work that waits for an IPI to that CPU, such as freeing the init sections of
 * a module just loaded, may also block this thread's CPU: not every attempt can succeed.
 */
TEST_F(racegate, spinning_with_interrupts_off)
{
	struct nested_epoll ep;
	int gate, i;

	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		SKIP(return, "one CPU: no thread could release one that spins there");
	ASSERT_TRUE(nested_epoll_open(&ep));
	self->a.call = call_write;
	self->a.arg = ep.pipefd[1];
	pin(0, 0);
	pin(self->a.tid, 1);
	/* A page fault here would wait for that CPU to flush its TLB. */
	ASSERT_EQ(0, mlockall(MCL_CURRENT));
	for (i = 1; i <= 5; i++) {
		ARM(gate, .symbol = "ep_poll_callback", .action = RG_HOLD_SPIN,
		    .tid = self->a.tid, .max_hits = 1);
		worker_go(&self->a);
		ASSERT_OK(rg_wait(self->rg, gate, 1, PATIENCE_US));
		ASSERT_OK(rg_release(self->rg, gate));
		ASSERT_TRUE(worker_wait(&self->a, i));
		ASSERT_OK(rg_status(self->rg, gate, &self->st));
		ASSERT_OK(rg_disarm(self->rg, gate));
		if (!self->st.timeouts)
			break;
	}
	EXPECT_GE(5, i);
	nested_epoll_close(&ep);
}

/*
 * Functions that racegate itself calls: a thread that is held in one of them would be held
 * again while it goes to sleep, and so might the thread that releases it.
 */
TEST_F(racegate, gates_on_what_it_uses_itself)
{
	static const char * const symbols[] = {
		"schedule", "__wake_up", "mutex_lock", "mutex_unlock",
		"schedule_timeout", "irq_work_queue", "try_to_wake_up",
		"_raw_spin_unlock_irqrestore", "copy_to_user", "kfree",
	};
	unsigned int i, armed = 0;
	int gate;

	if (need_patching())
		SKIP(return, "%s", need_patching());
	for (i = 0; i < ARRAY_SIZE(symbols); i++) {
		gate = rg_arm(self->rg, &(struct rg_point){
			.symbol = symbols[i], .tgid = getpid() });
		if (gate < 0)
			continue;
		armed++;
		ASSERT_OK(rg_arm(self->rg, &(struct rg_point){
			.symbol = symbols[i], .where = RG_RETURN,
			.tgid = getpid() }));
	}
	ASSERT_LE(4, armed);
	ARM(gate, .symbol = "schedule", .action = RG_HOLD_SLEEP,
	    .tid = self->a.tid, .max_hits = 1);
	worker_go(&self->a);
	ASSERT_OK(rg_wait(self->rg, gate, 1, PATIENCE_US));
	ASSERT_OK(rg_release(self->rg, gate));
	ASSERT_TRUE(worker_wait(&self->a, 1));
	for (i = 0; i < 20; i++) {
		worker_go(&self->a);
		worker_go(&self->b);
		ASSERT_TRUE(worker_wait(&self->a, i + 2));
		ASSERT_TRUE(worker_wait(&self->b, i + 1));
	}
	ASSERT_LT(0, rg_events(self->rg, &self->ev));
}

static bool stack_of(pid_t tid, char *text, size_t size)
{
	char path[64];
	ssize_t len;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stack", tid);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		return false;
	len = read(fd, text, size - 1);
	close(fd);
	text[len > 0 ? len : 0] = '\0';
	return len > 0;
}

/* Is there a function of that name in the kernel? */
static bool kernel_has(const char *function)
{
	FILE *file = fopen("/proc/kallsyms", "re");
	char line[512], name[256];
	bool found = false;

	while (!found && file && fgets(line, sizeof(line), file))
		found = sscanf(line, "%*s %*s %255s", name) == 1 && !strcmp(name, function);
	if (file)
		fclose(file);
	return found;
}

TEST_F(racegate, the_stack_of_a_held_thread_can_be_dumped)
{
	int entry, ret;
	char text[4096];

	ARM(entry, .symbol = GETPPID, .action = RG_HOLD_SLEEP,
	    .tid = self->a.tid);
	worker_go(&self->a);
	ASSERT_OK(rg_wait(self->rg, entry, 1, PATIENCE_US));
	usleep(MOMENT_US);
	if (!stack_of(self->a.tid, text, sizeof(text)))
		SKIP(return, "/proc/self/task/TID/stack cannot be read here");
	/* The stub appears as called by the function, with the function's callers below it. */
	EXPECT_NE(NULL, strstr(text, "rg_entry_stub"));
	/* Only ORC shows a function that has not set up its frame; frame pointers miss it. */
	if (kernel_has("unwind_module_init"))
		EXPECT_NE(NULL, strstr(text, "_sys_getppid"));
	EXPECT_NE(NULL, strstr(text, "do_syscall_64")) {
		TH_LOG("%s", text);
	}
	ASSERT_OK(rg_release(self->rg, entry));
	ASSERT_TRUE(worker_wait(&self->a, 1));

	ARM(ret, .symbol = GETPPID, .where = RG_RETURN, .action = RG_HOLD_SLEEP,
	    .tid = self->a.tid);
	worker_go(&self->a);
	ASSERT_OK(rg_wait(self->rg, ret, 1, PATIENCE_US));
	usleep(MOMENT_US);
	ASSERT_TRUE(stack_of(self->a.tid, text, sizeof(text)));
	EXPECT_NE(NULL, strstr(text, "rg_return_stub"));
	EXPECT_NE(NULL, strstr(text, "do_syscall_64")) {
		TH_LOG("%s", text);
	}
}

TEST_F(racegate, skip_and_max_hits)
{
	int gate, ret, i;

	ARM(gate, .symbol = GETPPID, .tid = rg_gettid(), .skip = 2,
	    .max_hits = 3);
	ARM(ret, .symbol = GETPPID, .tid = rg_gettid(), .where = RG_RETURN,
	    .skip = 9);
	for (i = 0; i < 10; i++) {
		ASSERT_OK(rg_status(self->rg, gate, &self->st));
		EXPECT_EQ(i < 2 ? 0 : i > 5 ? 3 : i - 2, self->st.arrivals);
		syscall(SYS_getppid);
	}
	ASSERT_OK(rg_status(self->rg, gate, &self->st));
	EXPECT_EQ(10, self->st.hits);
	EXPECT_EQ(3, self->st.arrivals);
	ASSERT_OK(rg_status(self->rg, ret, &self->st));
	EXPECT_EQ(1, self->st.arrivals);
	EXPECT_EQ(4, rg_events(self->rg, &self->ev));
}

TEST_F(racegate, other_threads_pass)
{
	int gate, status;
	pid_t child;

	ARM(gate, .symbol = GETPPID, .action = RG_HOLD_SLEEP, .tgid = getpid(),
	    .tid = self->a.tid);
	worker_go(&self->b);
	ASSERT_TRUE(worker_wait(&self->b, 1));
	child = fork();
	if (!child) {
		syscall(SYS_getppid);
		_exit(0);
	}
	ASSERT_EQ(child, waitpid(child, &status, 0));
	ASSERT_OK(rg_status(self->rg, gate, &self->st));
	EXPECT_EQ(0, self->st.hits);
}

TEST_F(racegate, events_that_do_not_fit_are_counted)
{
	const unsigned int more = 500;
	struct pollfd pfd = { .fd = rg_fd(self->rg), .events = POLLIN };
	unsigned int i;
	ssize_t nr;

	ASSERT_OK(rg_arm(self->rg, &(struct rg_point){
		.symbol = GETPPID, .tid = rg_gettid() }));
	EXPECT_EQ(0, poll(&pfd, 1, 0));
	for (i = 0; i < RG_RING_EVENTS + more; i++)
		syscall(SYS_getppid);
	EXPECT_EQ(1, poll(&pfd, 1, 0));
	nr = rg_events(self->rg, &self->ev);
	ASSERT_EQ(RG_RING_EVENTS + 1, nr);
	EXPECT_EQ(RG_RING_EVENTS, count(self->ev, nr, RG_EV_ARRIVE));
	EXPECT_EQ(RG_EV_LOST, self->ev[nr - 1].kind);
	EXPECT_EQ(more, self->ev[nr - 1].args[0]);
	EXPECT_EQ(0, poll(&pfd, 1, 0));

	syscall(SYS_getppid);
	EXPECT_EQ(1, poll(&pfd, 1, 0));
	ASSERT_EQ(nr + 1, rg_events(self->rg, &self->ev));
	EXPECT_EQ(RG_EV_ARRIVE, self->ev[nr].kind);
	EXPECT_EQ(RG_RING_EVENTS + 2, self->ev[nr].seq);
}

TEST_F(racegate, two_names_of_one_function)
{
	int gate[2];

	ASSERT_OK(rg_arm(self->rg, &(struct rg_point){
		.symbol = "vfs_read", .tid = rg_gettid() }));
	gate[0] = rg_arm(self->rg, &(struct rg_point){
		.symbol = "__do_sys_getppid", .tid = rg_gettid() });
	ARM(gate[1], .symbol = GETPPID, .tid = rg_gettid());
	syscall(SYS_getppid);
	ASSERT_OK(rg_wait(self->rg, gate[1], 1, 0));
	if (gate[0] >= 0)
		ASSERT_OK(rg_wait(self->rg, gate[0], 1, 0));
}

TEST_F(racegate, ladder)
{
	char *text = NULL, *line;
	unsigned int lines = 0;
	int gate, at_return;
	size_t size;
	FILE *mem;

	ARM(gate, .symbol = GETPPID, .action = RG_HOLD_SLEEP,
	    .tid = self->a.tid, .label = "getppid() entered");
	ARM(at_return, .symbol = GETPPID, .where = RG_RETURN,
	    .tid = self->b.tid);
	worker_go(&self->a);
	ASSERT_OK(rg_wait(self->rg, gate, 1, PATIENCE_US));
	worker_go(&self->b);
	ASSERT_TRUE(worker_wait(&self->b, 1));
	ASSERT_OK(rg_mark(self->rg, "thread b has its answer, thread a waits for it"));
	ASSERT_OK(rg_release(self->rg, gate));
	ASSERT_TRUE(worker_wait(&self->a, 1));

	mem = open_memstream(&text, &size);
	ASSERT_NE(NULL, mem);
	ASSERT_OK(rg_ladder(self->rg, mem));
	fclose(mem);
	EXPECT_NE(NULL, strstr(text, "thread a"));
	EXPECT_NE(NULL, strstr(text, "getppid() entered [held]"));
	EXPECT_NE(NULL, strstr(text, "goes on after"));
	EXPECT_NE(NULL, strstr(text, GETPPID "() returns = "));
	for (line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		EXPECT_EQ(0, strncmp(line, "# ", 2));
		lines++;
		printf("%s\n", line);
	}
	EXPECT_LE(6, lines);
	free(text);
}

/* The fixture would load the module; without it, rg_open() must fail. */
TEST(without_the_module)
{
	struct rg *rg;

	if (module_loaded("racegate"))
		SKIP(return, "another program has loaded racegate");
	EXPECT_EQ(-ENOENT, rg_open(&rg));
	EXPECT_NE(NULL, strstr(rg_strerror(), "insmod"));
}

TEST(only_for_root)
{
	struct rg *rg;
	bool ours = false;

	if (!module_loaded("racegate")) {
		if (module_load(module_path))
			SKIP(return, "cannot load %.900s", module_path);
		ours = true;
	}
	if (!fork()) {
		if (setuid(65534))
			_exit(1);
		_exit(rg_open(&rg) == -EACCES ? 0 : 2);
	}
	int status;

	ASSERT_LT(0, wait(&status));
	EXPECT_EQ(0, status);
	if (ours)
		EXPECT_EQ(0, module_unload("racegate"));
}

RACEGATE_MAIN()
