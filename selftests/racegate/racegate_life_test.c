// SPDX-License-Identifier: GPL-2.0-only
/*
 * racegate: gates, held threads and modules, when a session is closed, its owner or a held
 * thread dies, or a module is unloaded.
 *
 * It loads and unloads the module itself, as root.  In the environment:
 *	RACEGATE_KO	the module; default: racegate.ko beside this program
 *	RACEGATE_OTHER	another module, not in use, with a function
 *			RACEGATE_OTHER_SYMBOL, to unload under an armed gate
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "harness.h"
#include "worker.h"

static void *read_blocking(void *arg)
{
	struct rg_event event;
	int fd = (long)arg;

	return (void *)read(fd, &event, sizeof(event));
}

TEST_F(racegate, blocking_read)
{
	int fd = open("/dev/racegate", O_RDWR);
	struct rg_mark mark = { .id = 7 };
	pthread_t reader;
	void *ret;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, pthread_create(&reader, NULL, read_blocking,
				    (void *)(long)fd));
	usleep(MOMENT_US);
	ASSERT_EQ(0, ioctl(fd, RG_MARK, &mark));
	ASSERT_EQ(0, pthread_join(reader, &ret));
	EXPECT_EQ(sizeof(struct rg_event), (long)ret);
	close(fd);
}

static void *disarm_soon(void *arg)
{
	struct rg_disarm disarm = { .gate = 1 };

	usleep(MOMENT_US);
	ioctl((long)arg, RG_DISARM, &disarm);
	return NULL;
}

TEST_F(racegate, disarm_ends_waiting)
{
	pthread_t other;
	int gate;

	gate = rg_arm(self->rg, &(struct rg_point){
		.symbol = GETPPID, .tid = self->a.tid });
	ASSERT_EQ(1, gate);
	ASSERT_EQ(0, pthread_create(&other, NULL, disarm_soon,
				    (void *)(long)rg_fd(self->rg)));
	EXPECT_EQ(-ECANCELED, rg_wait(self->rg, gate, 1, PATIENCE_US));
	pthread_join(other, NULL);
}

TEST_F(racegate, killing_the_owner_lets_go)
{
	int pipefd[2], status;
	pid_t owner;
	char c;

	ASSERT_EQ(0, pipe(pipefd));
	owner = fork();
	if (!owner) {
		struct rg *rg;
		int gate, at_return;

		close(rg_fd(self->rg));
		if (rg_open(&rg))
			_exit(1);
		gate = rg_arm(rg, &(struct rg_point){
			.symbol = GETPPID, .action = RG_HOLD_SLEEP,
			.tid = self->a.tid, .timeout_us = RG_SLEEP_MAX_US });
		at_return = rg_arm(rg, &(struct rg_point){
			.symbol = GETPPID, .action = RG_HOLD_SLEEP,
			.where = RG_RETURN, .tid = self->b.tid,
			.timeout_us = RG_SLEEP_MAX_US });
		if (gate < 0 || at_return < 0 || write(pipefd[1], "a", 1) != 1 ||
		    rg_wait(rg, gate, 1, PATIENCE_US) ||
		    rg_wait(rg, at_return, 1, PATIENCE_US) ||
		    write(pipefd[1], "h", 1) != 1)
			_exit(2);
		for (;;)
			pause();
	}
	close(pipefd[1]);
	ASSERT_EQ(1, read(pipefd[0], &c, 1));
	worker_go(&self->a);
	worker_go(&self->b);
	ASSERT_EQ(1, read(pipefd[0], &c, 1));
	usleep(MOMENT_US);
	EXPECT_EQ(0, self->a.done);
	EXPECT_EQ(0, self->b.done);
	kill(owner, SIGKILL);
	ASSERT_EQ(owner, waitpid(owner, &status, 0));
	ASSERT_TRUE(worker_wait(&self->a, 1));
	ASSERT_TRUE(worker_wait(&self->b, 1));
	EXPECT_EQ(getppid(), self->a.result);
	EXPECT_EQ(getppid(), self->b.result);
	close(pipefd[0]);
}

TEST_F(racegate, a_held_thread_can_be_killed)
{
	static const unsigned int actions[] = { RG_HOLD_SLEEP, RG_HOLD_SPIN };
	int pipefd[2], status, gate;
	unsigned int i;
	pid_t child;

	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		SKIP(return, "one CPU: no thread could kill one that spins there");
	for (i = 0; i < ARRAY_SIZE(actions); i++) {
		ASSERT_OK(rg_forget(self->rg));
		ASSERT_EQ(0, pipe(pipefd));
		child = fork();
		if (!child) {
			char c;

			close(pipefd[1]);
			/* read() returns 0 if the test has died. */
			if (read(pipefd[0], &c, 1) == 1)
				syscall(SYS_getppid);
			_exit(0);
		}
		close(pipefd[0]);
		ARM(gate, .symbol = GETPPID, .action = actions[i],
		    .tid = child);
		ASSERT_EQ(1, write(pipefd[1], "x", 1));
		ASSERT_OK(rg_wait(self->rg, gate, 1, PATIENCE_US));
		kill(child, SIGKILL);
		ASSERT_EQ(child, waitpid(child, &status, 0));
		EXPECT_TRUE(WIFSIGNALED(status));
		ASSERT_OK(rg_status(self->rg, gate, &self->st));
		EXPECT_EQ(1, self->st.killed);
		EXPECT_EQ(0, self->st.held);
		ASSERT_EQ(2, rg_events(self->rg, &self->ev));
		EXPECT_EQ(RG_EV_KILLED, self->ev[1].kind);
		close(pipefd[1]);
	}
}

TEST_F(racegate, unloading_while_armed_and_held)
{
	int gate, i;

	ARM(gate, .symbol = GETPPID, .action = RG_HOLD_SLEEP,
	    .tid = self->a.tid);
	EXPECT_EQ(-EAGAIN, module_unload("racegate"));
	worker_go(&self->a);
	ASSERT_OK(rg_wait(self->rg, gate, 1, PATIENCE_US));
	EXPECT_EQ(-EAGAIN, module_unload("racegate"));

	/* The gate still holds its thread; closing the session releases it. */
	EXPECT_EQ(0, self->a.done);
	rg_close(self->rg);
	self->rg = NULL;
	ASSERT_EQ(0, module_unload("racegate"));
	ASSERT_TRUE(worker_wait(&self->a, 1));

	/* It can be unloaded at once, even if a thread was held a moment ago. */
	for (i = 0; i < 10; i++) {
		ASSERT_EQ(0, module_load(module_path));
		ASSERT_OK(rg_open(&self->rg));
		ARM(gate, .symbol = GETPPID, .action = RG_HOLD_SLEEP,
		    .tid = self->a.tid, .where = i & 1);
		worker_go(&self->a);
		ASSERT_OK(rg_wait(self->rg, gate, 1, PATIENCE_US));
		rg_close(self->rg);
		self->rg = NULL;
		ASSERT_EQ(0, module_unload("racegate"));
		ASSERT_TRUE(worker_wait(&self->a, i + 2));
	}
	ASSERT_EQ(0, module_load(module_path));
}

TEST_F(racegate, a_call_that_has_yet_to_return_keeps_the_module)
{
	int pipefd[2], gate;

	ASSERT_EQ(0, pipe(pipefd));
	self->a.call = call_read;
	self->a.arg = pipefd[0];
	ARM(gate, .symbol = READ, .tid = self->a.tid, .where = RG_RETURN);
	worker_go(&self->a);
	do {
		ASSERT_OK(rg_status(self->rg, gate, &self->st));
	} while (!self->st.hits);
	rg_close(self->rg);
	self->rg = NULL;
	EXPECT_EQ(-EAGAIN, module_unload("racegate"));
	ASSERT_EQ(3, write(pipefd[1], "abc", 3));
	ASSERT_TRUE(worker_wait(&self->a, 1));
	EXPECT_EQ(3, self->a.result);
	close(pipefd[0]);
	close(pipefd[1]);
	ASSERT_EQ(0, module_unload("racegate"));
	ASSERT_EQ(0, module_load(module_path));
}

TEST_F(racegate, a_function_that_never_returns)
{
	int gate, status, i;
	pid_t child;

	ARM(gate, .symbol = "do_exit", .where = RG_RETURN, .tgid = 0,
	    .action = RG_HOLD_SLEEP, .max_hits = 50);
	for (i = 0; i < 50; i++) {
		child = fork();
		if (!child)
			_exit(3);
		ASSERT_EQ(child, waitpid(child, &status, 0));
		ASSERT_EQ(3, WEXITSTATUS(status));
	}
	ASSERT_OK(rg_status(self->rg, gate, &self->st));
	EXPECT_LE(50, self->st.hits);
	EXPECT_EQ(0, self->st.arrivals);
	/* Opening a session drops the visits of dead threads: teardown does not wait for that. */
	rg_close(self->rg);
	usleep(MOMENT_US);
	ASSERT_OK(rg_open(&self->rg));
}

TEST_F(racegate, a_task_dies_after_the_session_is_closed)
{
	int gate, status, ret, i;
	pid_t child = fork();

	if (!child) {
		close(rg_fd(self->rg));
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		_exit(3);
	}
	ASSERT_EQ(child, waitpid(child, &status, 0));
	ASSERT_EQ(0, ptrace(PTRACE_SETOPTIONS, child, NULL, PTRACE_O_TRACEEXIT));
	ARM(gate, .symbol = "do_exit", .where = RG_RETURN, .tid = child);
	ASSERT_EQ(0, ptrace(PTRACE_CONT, child, NULL, NULL));
	ASSERT_EQ(child, waitpid(child, &status, 0));
	ASSERT_EQ(SIGTRAP | PTRACE_EVENT_EXIT << 8, status >> 8);
	/* It stands in do_exit(). */
	ASSERT_OK(rg_status(self->rg, gate, &self->st));
	ASSERT_EQ(1, self->st.hits);
	rg_close(self->rg);
	self->rg = NULL;
	/* racegate looks for dead tasks meanwhile; this one is alive. */
	usleep(15 * MOMENT_US);
	EXPECT_EQ(-EAGAIN, module_unload("racegate"));

	ASSERT_EQ(0, ptrace(PTRACE_CONT, child, NULL, NULL));
	ASSERT_EQ(child, waitpid(child, &status, 0));
	ASSERT_EQ(3, WEXITSTATUS(status));
	for (i = 0; i < 50; i++) {
		ret = module_unload("racegate");
		if (ret != -EAGAIN)
			break;
		usleep(100000);
	}
	ASSERT_EQ(0, ret);
	ASSERT_EQ(0, module_load(module_path));
}

TEST_F(racegate, a_gate_keeps_the_function_s_module)
{
	const char *path = getenv("RACEGATE_OTHER");
	const char *symbol = getenv("RACEGATE_OTHER_SYMBOL");
	char qualified[RG_SYMBOL_LEN], name[64], *end;
	int gate;

	if (!path || !symbol)
		SKIP(return, "RACEGATE_OTHER and RACEGATE_OTHER_SYMBOL name no module to unload");
	snprintf(name, sizeof(name), "%s", strrchr(path, '/') + 1);
	end = strchr(name, '.');
	ASSERT_NE(NULL, end);
	*end = '\0';
	snprintf(qualified, sizeof(qualified), "%s:%s", name, symbol);

	EXPECT_EQ(-ENOENT, rg_arm(self->rg, &(struct rg_point){
		.symbol = qualified }));
	ASSERT_EQ(0, module_load(path));
	ARM(gate, .symbol = qualified, .action = RG_HOLD_SLEEP);
	EXPECT_EQ(-EAGAIN, module_unload(name));
	/* A second gate at the same function, by its unqualified name. */
	ASSERT_OK(rg_arm(self->rg, &(struct rg_point){ .symbol = symbol }));
	ASSERT_OK(rg_disarm(self->rg, gate));
	EXPECT_EQ(-EAGAIN, module_unload(name));
	rg_close(self->rg);
	self->rg = NULL;

	/* Without gates the module can be unloaded, and gates armed in it once it is back. */
	ASSERT_EQ(0, module_unload(name));
	ASSERT_EQ(0, module_load(path));
	ASSERT_OK(rg_open(&self->rg));
	ASSERT_OK(rg_arm(self->rg, &(struct rg_point){ .symbol = symbol }));
	rg_close(self->rg);
	self->rg = NULL;
	ASSERT_EQ(0, module_unload(name));
}

TEST_F(racegate, only_calls_out_of_a_module)
{
	const char *path = getenv("RACEGATE_OTHER");
	char name[64], *end;
	int gate;

	EXPECT_EQ(-ENOENT, rg_arm(self->rg, &(struct rg_point){
		.symbol = GETPPID, .from = "no_such_module" }));
	EXPECT_NE(NULL, strstr(rg_strerror(), "no such module"));
	EXPECT_EQ(-EINVAL, rg_arm(self->rg, &(struct rg_point){
		.symbol = GETPPID,
		.from = "a name that is far longer than that of any module can ever be" }));
	if (!path)
		SKIP(return, "RACEGATE_OTHER names no module");
	snprintf(name, sizeof(name), "%s", strrchr(path, '/') + 1);
	end = strchr(name, '.');
	ASSERT_NE(NULL, end);
	*end = '\0';
	ASSERT_EQ(0, module_load(path));
	ARM(gate, .symbol = GETPPID, .from = name, .tid = rg_gettid());
	/* The kernel calls the function, not the module, so that the gate has no hit. */
	syscall(SYS_getppid);
	ASSERT_OK(rg_status(self->rg, gate, &self->st));
	EXPECT_EQ(0, self->st.hits);
	/* The gate pins the module, though its function is not in it. */
	EXPECT_EQ(-EAGAIN, module_unload(name));
	rg_close(self->rg);
	self->rg = NULL;
	ASSERT_EQ(0, module_unload(name));
}

TEST_F(racegate, sessions_do_not_meddle)
{
	struct rg *other;
	int gate[2];

	ASSERT_OK(rg_open(&other));
	gate[0] = rg_arm(self->rg, &(struct rg_point){
		.symbol = GETPPID, .tid = rg_gettid() });
	gate[1] = rg_arm(other, &(struct rg_point){
		.symbol = GETPPID, .tid = rg_gettid() });
	ASSERT_OK(gate[0]);
	ASSERT_OK(gate[1]);
	syscall(SYS_getppid);
	rg_close(other);
	syscall(SYS_getppid);
	ASSERT_OK(rg_wait(self->rg, gate[0], 2, 0));
	EXPECT_EQ(2, rg_events(self->rg, &self->ev));
}

RACEGATE_MAIN()
