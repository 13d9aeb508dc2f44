// SPDX-License-Identifier: GPL-2.0-only
/*
 * racegate beside other users of the kernel: kprobes of tracefs on the same function,
 * tasks that die in a gate while sessions come and go, readers with bad buffers, ftrace
 * switched off, a kernel that is locked down.  The kernel must not warn, and must be
 * able to unload each module afterwards.
 *
 * It loads and unloads the module itself.  In the environment:
 *	RACEGATE_KO		the module; default: racegate.ko beside this program
 *	RACEGATE_OTHER, RACEGATE_OTHER_SYMBOL	another module, not in use, and a
 *				function of it, to unload after a refused gate
 *	RACEGATE_LOCKDOWN	set: lock the kernel down, which only a reboot undoes
 *
 * Run it as root, on a machine where nothing else traces: it uses tracefs' kprobe_events,
 * and switches ftrace off for a moment.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "harness.h"
#include "klog.h"

#define GETPPID		"__x64_sys_getppid"
#define TRACEFS		"/sys/kernel/tracing/"
#define EVENT		"racefix_neighbour"
#define FTRACE_ENABLED	"/proc/sys/kernel/ftrace_enabled"
#define LOCKDOWN	"/sys/kernel/security/lockdown"

/* How long tasks die while sessions come and go; two reapers met within 2 s. */
#define REAP_SECONDS	6
/* Tasks die in batches of REAP_TASKS, after each of which all reapers start at once. */
#define REAP_TASKS	16
#define REAPERS		3
/* More threads than a ladder has columns. */
#define CROWD		20

static int write_file(const char *path, int flags, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC | flags), ret = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		ret = -errno;
	close(fd);
	return ret;
}

static bool have_tracefs(void)
{
	if (access(TRACEFS "kprobe_events", W_OK))
		mount("none", TRACEFS, "tracefs", 0, NULL);
	return !access(TRACEFS "kprobe_events", W_OK);
}

/* A kprobe event at the function, switched on. */
static int event_add(const char *function)
{
	char line[256];
	int ret;

	snprintf(line, sizeof(line), "p:" EVENT " %s\n", function);
	ret = write_file(TRACEFS "kprobe_events", O_APPEND, line);
	return ret ?: write_file(TRACEFS "events/kprobes/" EVENT "/enable", 0, "1");
}

static int event_remove(void)
{
	int ret = write_file(TRACEFS "events/kprobes/" EVENT "/enable", 0, "0");

	return ret ?: write_file(TRACEFS "kprobe_events", O_APPEND, "-:" EVENT "\n");
}

/* How often the event has been hit, or -1. */
static long event_hits(void)
{
	char line[256], name[128];
	long hits = -1, missed;
	FILE *file = fopen(TRACEFS "kprobe_profile", "re");

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "%127s %ld %ld", name, &hits, &missed) == 3 &&
		    !strcmp(name, EVENT))
			break;
	if (file)
		fclose(file);
	return hits;
}

static int arm(struct rg *rg, const char *symbol, unsigned int where)
{
	return rg_arm(rg, &(struct rg_point){ .symbol = symbol, .where = where,
					      .tid = rg_gettid() });
}

FIXTURE(neighbours) {
	struct rg *rg;
};

FIXTURE_SETUP(neighbours)
{
	if (!module_loaded("racegate"))
		ASSERT_EQ(0, module_load(module_path));
	ASSERT_EQ(0, klog_mark());
	ASSERT_OK(rg_open(&self->rg));
}

FIXTURE_TEARDOWN(neighbours)
{
	rg_close(self->rg);
	EXPECT_EQ(0, module_unload("racegate"));
	EXPECT_EQ(0, klog_report());
}

TEST_F(neighbours, a_kprobe_was_there_first)
{
	if (!have_tracefs())
		SKIP(return, "no " TRACEFS "kprobe_events (CONFIG_KPROBE_EVENTS)");
	ASSERT_EQ(0, event_add(GETPPID));
	EXPECT_EQ(-EBUSY, arm(self->rg, GETPPID, RG_ENTRY));
	EXPECT_NE(NULL, strstr(rg_strerror(), "kprobe"));
	EXPECT_EQ(-EBUSY, arm(self->rg, GETPPID, RG_RETURN));
	/* The kprobe still has hits, and can be removed. */
	syscall(SYS_getppid);
	EXPECT_LE(1, event_hits());
	ASSERT_EQ(0, event_remove());
	ASSERT_OK(arm(self->rg, GETPPID, RG_ENTRY));
}

TEST_F(neighbours, a_kprobe_comes_later)
{
	int gate, i;

	if (!have_tracefs())
		SKIP(return, "no " TRACEFS "kprobe_events (CONFIG_KPROBE_EVENTS)");
	/* Either may be removed first. */
	for (i = 0; i < 2; i++) {
		gate = arm(self->rg, GETPPID, RG_ENTRY);
		ASSERT_OK(gate);
		ASSERT_EQ(0, event_add(GETPPID));
		syscall(SYS_getppid);
		EXPECT_LE(1, event_hits());
		ASSERT_OK(rg_wait(self->rg, gate, 1, 0));
		if (i) {
			ASSERT_EQ(0, event_remove());
			syscall(SYS_getppid);
			ASSERT_OK(rg_wait(self->rg, gate, 2, 0));
			ASSERT_OK(rg_disarm(self->rg, gate));
		} else {
			ASSERT_OK(rg_disarm(self->rg, gate));
			syscall(SYS_getppid);
			EXPECT_LE(2, event_hits());
			ASSERT_EQ(0, event_remove());
		}
	}
}

/* Without the check for other kprobes, unloading the module never returned. */
TEST_F(neighbours, a_refused_gate_leaves_the_module_alone)
{
	const char *path = getenv("RACEGATE_OTHER");
	const char *symbol = getenv("RACEGATE_OTHER_SYMBOL");
	char name[64];
	int i;

	if (!path || !symbol)
		SKIP(return, "RACEGATE_OTHER and RACEGATE_OTHER_SYMBOL name no module to unload");
	if (!have_tracefs())
		SKIP(return, "no " TRACEFS "kprobe_events (CONFIG_KPROBE_EVENTS)");
	snprintf(name, sizeof(name), "%s", strrchr(path, '/') + 1);
	name[strcspn(name, ".")] = '\0';
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, module_load(path));
		ASSERT_EQ(0, event_add(symbol));
		EXPECT_EQ(-EBUSY, arm(self->rg, symbol, RG_ENTRY));
		ASSERT_EQ(0, event_remove());
		ASSERT_EQ(0, module_unload(name));
	}
}

/* All reapers start at once, on the visits of the same dead tasks. */
static pthread_barrier_t reap_begin, reap_end;
static atomic_bool reap_stop;

static void *reap_opens(void *arg)
{
	struct rg *rg;

	for (;;) {
		pthread_barrier_wait(&reap_begin);
		if (reap_stop)
			return NULL;
		if (!rg_open(&rg))
			rg_close(rg);
		pthread_barrier_wait(&reap_end);
	}
}

static void *reap_arms(void *arg)
{
	struct rg *rg = arg;
	int gate;

	for (;;) {
		pthread_barrier_wait(&reap_begin);
		if (reap_stop)
			return NULL;
		gate = arm(rg, GETPPID, RG_ENTRY);
		if (gate >= 0)
			rg_disarm(rg, gate);
		pthread_barrier_wait(&reap_end);
	}
}

/* Opening a session and arming a gate both end the visits of dead tasks. */
TEST_F(neighbours, tasks_die_while_sessions_come_and_go)
{
	struct timespec now, begin;
	pthread_t threads[REAPERS];
	unsigned int dead = 0, i;
	int gate, status;
	pid_t child;

	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		SKIP(return, "one CPU: two reapers cannot meet");
	gate = rg_arm(self->rg, &(struct rg_point){
		.symbol = "do_exit", .where = RG_RETURN,
		.action = RG_HOLD_SLEEP });
	ASSERT_OK(gate);
	reap_stop = false;
	pthread_barrier_init(&reap_begin, NULL, REAPERS + 1);
	pthread_barrier_init(&reap_end, NULL, REAPERS + 1);
	for (i = 0; i < REAPERS; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, i ? reap_opens : reap_arms,
					    self->rg));
	clock_gettime(CLOCK_MONOTONIC, &begin);
	do {
		for (i = 0; i < REAP_TASKS; i++, dead++) {
			child = fork();
			if (!child)
				_exit(3);
			ASSERT_EQ(child, waitpid(child, &status, 0));
		}
		pthread_barrier_wait(&reap_begin);
		pthread_barrier_wait(&reap_end);
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (now.tv_sec - begin.tv_sec < REAP_SECONDS);
	/* Disarm it before the reapers end, which go through do_exit() as well. */
	ASSERT_OK(rg_disarm(self->rg, gate));
	reap_stop = true;
	pthread_barrier_wait(&reap_begin);
	for (i = 0; i < REAPERS; i++)
		pthread_join(threads[i], NULL);
	ksft_print_msg("%u tasks died in the gate\n", dead);
	/* The module could be unloaded here if its reference count had gone too low. */
	EXPECT_EQ(-EAGAIN, module_unload("racegate"));
	rg_close(self->rg);
	usleep(20000);
	ASSERT_OK(rg_open(&self->rg));
}

TEST_F(neighbours, a_bad_buffer_loses_no_event)
{
	struct rg_event event;
	int fd = rg_fd(self->rg);
	void *bad = mmap(NULL, sizeof(event), PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, bad);
	ASSERT_OK(rg_mark(self->rg, "first"));
	ASSERT_OK(rg_mark(self->rg, "second"));
	EXPECT_EQ(-1, read(fd, bad, sizeof(event)));
	EXPECT_EQ(EFAULT, errno);
	ASSERT_EQ(sizeof(event), read(fd, &event, sizeof(event)));
	EXPECT_EQ(1, event.seq);
	ASSERT_EQ(sizeof(event), read(fd, &event, sizeof(event)));
	EXPECT_EQ(2, event.seq);
}

TEST_F(neighbours, ftrace_is_off)
{
	int ret;

	if (write_file(FTRACE_ENABLED, 0, "0"))
		SKIP(return, "no " FTRACE_ENABLED);
	ret = arm(self->rg, GETPPID, RG_ENTRY);
	EXPECT_EQ(0, write_file(FTRACE_ENABLED, 0, "1"));
	/* Newer kernels arm kprobes although ftrace is switched off. */
	if (ret >= 0)
		SKIP(return, "this kernel arms kprobes with ftrace off");
	EXPECT_EQ(-EBUSY, ret);
	ASSERT_OK(arm(self->rg, GETPPID, RG_ENTRY));
}

/* __switch_to() is called by one task and returns in another. */
TEST_F(neighbours, no_gate_at_the_return_of_switch_to)
{
	int ret = arm(self->rg, "__switch_to", RG_RETURN);

	EXPECT_TRUE(ret == -EINVAL || ret == -EOPNOTSUPP) {
		TH_LOG("%d: %s", ret, rg_strerror());
	}
}

static void *crowd_member(void *arg)
{
	syscall(SYS_getppid);
	return NULL;
}

TEST_F(neighbours, a_ladder_has_room_for_a_crowd)
{
	pthread_t threads[CROWD];
	char *text = NULL, *head;
	size_t size;
	FILE *mem;
	int gate, i;

	gate = rg_arm(self->rg, &(struct rg_point){
		.symbol = GETPPID, .tgid = getpid() });
	ASSERT_OK(gate);
	for (i = 0; i < CROWD; i++) {
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, crowd_member, NULL));
		pthread_join(threads[i], NULL);
	}
	mem = open_memstream(&text, &size);
	ASSERT_NE(NULL, mem);
	ASSERT_EQ(0, rg_ladder(self->rg, mem));
	fclose(mem);
	/* 16 threads have columns of their own; lines of the other threads name the thread. */
	head = strchr(text, '\n');
	ASSERT_NE(NULL, head);
	EXPECT_NE(NULL, memmem(text, head - text, "other threads", 13));
	for (i = 0; (head = strstr(head, ": " GETPPID)); i++)
		head++;
	EXPECT_EQ(CROWD - 16, i);
	free(text);
}

/* Returns the number of records after a call in a child and one in a grandchild. */
static int records_of_family(struct rg *rg)
{
	const struct rg_event *events;
	pid_t child = fork();

	if (!child) {
		syscall(SYS_getppid);
		if (!fork()) {
			syscall(SYS_getppid);
			_exit(0);
		}
		wait(NULL);
		_exit(0);
	}
	waitpid(child, NULL, 0);
	return rg_events(rg, &events);
}

/* The harness forks a process for each case, after tests have armed their landmarks. */
TEST_F(neighbours, landmarks_are_of_this_test_alone)
{
	const struct rg_point landmark = { .symbol = GETPPID };
	struct rg *rg;

	ASSERT_OK(rg_open_armed(&rg, &landmark, 1));
	EXPECT_EQ(1, records_of_family(rg));
	rg_close(rg);
}

/* This case must be the last: only a reboot lifts a lockdown. */
TEST_F(neighbours, locked_down)
{
	const char *wanted = getenv("RACEGATE_LOCKDOWN");

	if (!wanted || !*wanted)
		SKIP(return, "RACEGATE_LOCKDOWN is not set: only a reboot would undo it");
	mount("none", "/sys/kernel/security", "securityfs", 0, NULL);
	if (write_file(LOCKDOWN, 0, "confidentiality"))
		SKIP(return, "cannot write " LOCKDOWN " (CONFIG_SECURITY_LOCKDOWN_LSM, lsm=)");
	EXPECT_EQ(-EPERM, arm(self->rg, GETPPID, RG_ENTRY));
	EXPECT_NE(NULL, strstr(rg_strerror(), "locked down"));
}

RACEGATE_MAIN()
