// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hostile calls of /dev/racegate: threads make random ioctls, reads, polls, opens
 * and closes, with good, bad and unmapped buffers and extreme numbers, other threads
 * die in functions with gates, and victims check that the system calls they make in
 * the meantime return correct values.  The answers of racegate are checked, too: no call
 * succeeds with a buffer that cannot be used, or with the number of a command and another
 * size, no call writes beyond its argument, and the records of one read(2) have
 * consecutive numbers.
 *
 * Putting the first gate on a function, taking the last one off, and closing a session
 * take milliseconds and more: the kernel patches code, and waits for all CPUs.  Nearly
 * all calls avoid that: a keeper has gates on some functions, on which the other threads
 * arm theirs, and moves them to other functions from time to time.
 *
 *	racegate_fuzz [-c CALLS] [-s SEED] [-t SECONDS]
 *		-c	the number of calls, over all threads (default 100000)
 *		-s	the seed of the random numbers (default 1), which is printed
 *		-t	end after SECONDS, even if fewer calls were made
 *
 * RACEGATE_KO in the environment names the module; default: beside this program.
 * Run it as root.  It prints KTAP, and exits with 0 if no value was wrong, the kernel
 * logged nothing on the deny list, and afterwards the module can be removed and its
 * memory is free again, with 1 if not, with 4 if the module cannot be loaded.
 */
#define _GNU_SOURCE
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#include "kselftest.h"
#include "klog.h"
#include "module.h"
#include "racegate.h"

#define THREADS		4
#define VICTIMS		2
#define SESSIONS	6
/* How many functions have one of the keeper's gates at a time. */
#define KEPT		10
/* A hold is short: hostile threads hold each other. */
#define HOLD_MAX_US	500
/* What a buffer is full of where a call has nothing to write. */
#define FILL		0x5a
/*
 * How much memory may be missing at the end, in kB: 20000 calls come to 4348 on 6.1, and to
 * 17904 if the rings of sessions that were closed are not freed.
 */
#define LOST_KB(calls)	(8192 + (calls) / 4)

static const char * const symbols[] = {
	"__x64_sys_getppid", "__x64_sys_getpid", "ksys_read", "vfs_read",
	"__x64_sys_ioctl", "__x64_sys_close", "__x64_sys_openat", "do_exit",
	"kernel_clone", "schedule", "__schedule", "try_to_wake_up",
	"hrtimer_interrupt", "handle_mm_fault", "do_user_addr_fault",
	"mutex_lock", "mutex_unlock", "_raw_spin_lock", "_raw_spin_unlock",
	"copy_user_generic_string", "kmem_cache_alloc", "kfree",
	"racegate:rg_ioctl", "rg_pre_handler", "kprobe_ftrace_handler",
	"jiffies_64", "no_such_function", "", "kvm:no_such_function",
	"__switch_to", "poll_freewait", "do_sys_poll", "exc_page_fault",
};

#define DO_EXIT		7

/*
 * Functions that are also called with a spinlock held.  Without preemption counting
 * racegate cannot detect that, and racegate.h forbids holds that sleep there: all CPUs
 * may end up spinning for the lock, with none left to run the sleeper.
 */
static const char * const under_spinlocks[] = {
	"try_to_wake_up", "_raw_spin_lock", "_raw_spin_unlock",
	"copy_user_generic_string", "kmem_cache_alloc", "kfree", "do_user_addr_fault",
};

static bool counts_preemption;

static atomic_long calls_left, answers[256];
static atomic_int victims_wrong, answers_wrong, stop;
/* A progress line is printed every @progress calls; @deadline_us is the time to end, or 0. */
static long progress, deadline_us;
/* The kinds of calls, of which kind_calls[] and kind_us[] sum up the number and the time. */
enum kind { SESSION, MOVE, DEATH, POLL, READ, ARM, WAIT, SYSCALL, FLOOD, SMALL, KINDS };

static const char * const kind_names[] = {
	"open and close", "the keeper's move", "a thread's death", "poll", "read",
	"RG_ARM", "RG_WAIT", "getppid", "a flood of records", "other ioctls",
};

static atomic_long kind_calls[KINDS], kind_us[KINDS];
static atomic_int sessions[SESSIONS];
/* The newest gate of each session; it may be out of date, as sessions come and go. */
static atomic_uint youngest[SESSIONS];
static int keeper;
static pthread_mutex_t keeper_mutex = PTHREAD_MUTEX_INITIALIZER;
static atomic_uint kept[KEPT];	/* indices into symbols[] */
static unsigned int kept_gates[KEPT];
static unsigned char *unmapped, *readonly;
static int zeroes;

static unsigned int rnd(unsigned int *seed)
{
	return (unsigned int)rand_r(seed) << 16 ^ rand_r(seed);
}

static unsigned int rnd_number(unsigned int *seed)
{
	static const unsigned int extreme[] = {
		0, 1, 2, 3, 64, 65, INT_MAX, INT_MIN, UINT_MAX, UINT_MAX - 1,
	};

	return rnd(seed) % 2 ? rnd(seed) % 80 :
	       extreme[rnd(seed) % ARRAY_SIZE(extreme)];
}

static void *rnd_buffer(unsigned int *seed, void *good)
{
	switch (rnd(seed) % 12) {
	case 0: return NULL;
	case 1: return unmapped;
	case 2: return readonly;
	case 3: return (void *)ULONG_MAX;
	default: return good;
	}
}

static void complain(const char *call, const char *why)
{
	if (answers_wrong++ < 10)
		ksft_print_msg("wrong: %s %s\n", call, why);
}

/* A call got @given, which is @buffer or something else; @size bytes of @buffer are its. */
static void check_buffer(const char *call, bool done, const void *given,
			 const void *buffer, size_t size, size_t all)
{
	const unsigned char *bytes = buffer;

	if (done && given != buffer && given != readonly)
		complain(call, "is done without a buffer that can be used");
	for (; size < all; size++) {
		if (bytes[size] == FILL)
			continue;
		complain(call, "writes beyond its argument");
		return;
	}
}

static const char *rnd_symbol(unsigned int *seed)
{
	if (rnd(seed) % 64)
		return symbols[kept[rnd(seed) % KEPT]];
	return symbols[rnd(seed) % ARRAY_SIZE(symbols)];
}

static unsigned int rnd_gate(unsigned int session, unsigned int *seed)
{
	if (rnd(seed) % 4)
		return youngest[session] - rnd(seed) % 40;
	return rnd_number(seed);
}

static void spin_where_needed(struct rg_arm *arm)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(under_spinlocks); i++)
		if (!counts_preemption && arm->action == RG_HOLD_SLEEP &&
		    !strcmp(arm->symbol, under_spinlocks[i]))
			arm->action = RG_HOLD_SPIN;
}

static long fuzz_arm(unsigned int session, unsigned int *seed)
{
	struct rg_arm arm = {
		.where = rnd(seed) % 2, .action = rnd(seed) % 3,
		.tid = syscall(SYS_gettid), .max_hits = rnd(seed) % 8,
	};
	void *given = rnd_buffer(seed, &arm);
	long ret;

	strcpy(arm.symbol, rnd_symbol(seed));
	if (arm.action != RG_RECORD)
		arm.timeout_us = 1 + rnd(seed) % HOLD_MAX_US;
	switch (rnd(seed) % 14) {
	case 0:
		arm.where = rnd_number(seed);
		break;
	case 1:
		arm.action = rnd_number(seed);
		break;
	case 2:
		arm.tid = rnd_number(seed);
		break;
	case 3:
		arm.tgid = rnd_number(seed);
		break;
	case 4:
		arm.reserved[rnd(seed) % 2] = rnd_number(seed);
		break;
	case 5:
		memset(arm.symbol, 'x', sizeof(arm.symbol));
		break;
	case 6:
		arm.timeout_us = (__u64)rnd_number(seed) << 32;
		break;
	case 7:
		arm.skip = rnd_number(seed);
		break;
	case 8:
		strcpy(arm.from, rnd(seed) % 2 ? "racegate" : "no_such_module");
		break;
	case 10:
		arm.tgid = getpid();
		arm.flags = rnd(seed) % 3;
		break;
	case 9:
		memset(arm.from, 'x', sizeof(arm.from));
		break;
	}
	/* A gate for every thread would hold the whole machine. */
	if (!arm.tid && !arm.tgid)
		arm.action = RG_RECORD;
	spin_where_needed(&arm);
	ret = ioctl(sessions[session], RG_ARM, given);
	check_buffer("RG_ARM", !ret, given, &arm, sizeof(arm), sizeof(arm));
	if (!ret)
		youngest[session] = arm.gate;
	return ret;
}

static long fuzz_wait(unsigned int session, unsigned int *seed)
{
	struct rg_wait wait = {
		.gate = rnd_gate(session, seed),
		.nth = rnd(seed) % 4 ? rnd(seed) % 4 : rnd_number(seed),
		.timeout_us = rnd(seed) % 300,
	};
	void *given = rnd_buffer(seed, &wait);
	long ret;

	if (rnd(seed) % 10 == 0)
		wait.timeout_us = RG_SLEEP_MAX_US + rnd_number(seed) + 1ULL;
	ret = ioctl(sessions[session], RG_WAIT, given);
	check_buffer("RG_WAIT", !ret, given, &wait, sizeof(wait), sizeof(wait));
	return ret;
}

/* One of the ioctls whose arguments are a gate and little else. */
static long fuzz_small(unsigned int session, unsigned int *seed)
{
	static const unsigned long commands[] = {
		RG_RELEASE, RG_STATUS, RG_DISARM, RG_DISARM, RG_MARK, 0, 0xe900,
	};
	unsigned long command = commands[rnd(seed) % ARRAY_SIZE(commands)];
	size_t size = _IOC_SIZE(command);
	unsigned int buffer[64];
	void *given = rnd_buffer(seed, buffer);
	bool other = rnd(seed) % 16 == 0;
	long ret;

	memset(buffer, FILL, sizeof(buffer));
	memset(buffer, 0, size);
	buffer[0] = rnd_gate(session, seed);
	buffer[1] = rnd(seed) % 3;
	if (rnd(seed) % 8 == 0)
		buffer[2] = rnd_number(seed);
	if (size < 3 * sizeof(*buffer))
		size = 3 * sizeof(*buffer);
	/* The number of a command, and the size of none. */
	if (other)
		command ^= (1 + rnd(seed) % _IOC_SIZEMASK) << _IOC_SIZESHIFT;
	ret = ioctl(sessions[session], command, given);
	if (!ret && other)
		complain("an ioctl", "is done with another size");
	check_buffer("an ioctl", !ret, given, buffer, size, sizeof(buffer));
	return ret;
}

static long fuzz_poll(unsigned int session)
{
	struct pollfd fd = { .fd = sessions[session], .events = POLLIN };

	return poll(&fd, 1, 0);
}

static long fuzz_read(unsigned int session, unsigned int *seed)
{
	static const size_t sizes[] = {
		0, 1, sizeof(struct rg_event) - 1, sizeof(struct rg_event),
		3 * sizeof(struct rg_event) + 5, 65536,
	};
	size_t size = sizes[rnd(seed) % ARRAY_SIZE(sizes)];
	/* Only so many records take long enough for two threads to read at once. */
	char buffer[65536 + 64];
	void *given = rnd_buffer(seed, buffer);
	struct rg_event event;
	__u64 last = 0;
	ssize_t ret;
	size_t done, at;

	memset(buffer, FILL, size + 64);
	ret = read(sessions[session], given, size);
	done = ret > 0 ? ret : 0;
	check_buffer("read", done, given, buffer, done, size + 64);
	if (done % sizeof(event))
		complain("read", "returns a part of a record");
	for (at = 0; given == buffer && at + sizeof(event) <= done; at += sizeof(event)) {
		memcpy(&event, buffer + at, sizeof(event));
		if (!event.kind || event.kind > RG_EV_LOST ||
		    (last && event.seq != last + 1))
			complain("read", "returns records that do not follow each other");
		last = event.seq;
	}
	return ret;
}

/* Sessions come and go before their rings are full. */
static long fuzz_flood(unsigned int session)
{
	struct rg_mark mark = {};
	long ret = 0;

	while (!ret && mark.id++ < 2 * RG_RING_EVENTS)
		ret = ioctl(sessions[session], RG_MARK, &mark);
	return ret;
}

static int open_session(void)
{
	return open("/dev/racegate", O_RDWR | O_NONBLOCK | O_CLOEXEC);
}

static long fuzz_session(unsigned int *seed)
{
	unsigned int session = rnd(seed) % SESSIONS;
	int fd = open_session();

	if (fd < 0)
		return -1;
	youngest[session] = 0;
	return close(atomic_exchange(&sessions[session], fd));
}

/*
 * Puts the keeper's gate on a function, if one can be armed there.  The gate is for a
 * thread that does not exist.
 */
static long keep(unsigned int slot, unsigned int symbol)
{
	struct rg_arm arm = { .tid = INT_MAX };
	long ret;

	strcpy(arm.symbol, symbols[symbol]);
	ret = ioctl(keeper, RG_ARM, &arm);
	kept[slot] = ret ? DO_EXIT : symbol;
	kept_gates[slot] = ret ? 0 : arm.gate;
	return ret;
}

/* Moves a gate of the keeper.  The first one is only re-armed at do_exit(), where threads die. */
static long fuzz_move(unsigned int *seed)
{
	unsigned int slot = rnd(seed) % KEPT;
	struct rg_disarm disarm;
	long ret;

	if (pthread_mutex_trylock(&keeper_mutex))
		return 0;
	disarm = (struct rg_disarm){ .gate = kept_gates[slot] };
	ioctl(keeper, RG_DISARM, &disarm);
	ret = keep(slot, slot ? rnd(seed) % ARRAY_SIZE(symbols) : DO_EXIT);
	pthread_mutex_unlock(&keeper_mutex);
	return ret;
}

struct mortal {
	unsigned int session, seed;
};

/* A thread that dies in a function with a gate at its return. */
static void *mortal_thread(void *arg)
{
	struct mortal *mortal = arg;
	struct rg_arm arm = {
		.where = RG_RETURN, .action = rnd(&mortal->seed) % 3,
		.tid = syscall(SYS_gettid),
	};

	strcpy(arm.symbol, rnd(&mortal->seed) % 4 ? symbols[DO_EXIT] :
	       rnd_symbol(&mortal->seed));
	if (arm.action != RG_RECORD)
		arm.timeout_us = HOLD_MAX_US;
	spin_where_needed(&arm);
	ioctl(sessions[mortal->session], RG_ARM, &arm);
	fuzz_arm(mortal->session, &mortal->seed);
	return NULL;
}

/* Kills a process while a gate holds it; as a child it has all sessions open, too. */
static long fuzz_kill(struct mortal *mortal)
{
	struct rg_arm arm = {
		.action = RG_HOLD_SLEEP, .timeout_us = 40 * HOLD_MAX_US,
		.where = rnd(&mortal->seed) % 2,
	};
	pid_t pid = fork();

	if (!pid) {
		arm.tid = syscall(SYS_getpid);
		strcpy(arm.symbol, rnd_symbol(&mortal->seed));
		spin_where_needed(&arm);
		ioctl(sessions[mortal->session], RG_ARM, &arm);
		for (;;)
			syscall(SYS_getppid);
	}
	if (pid < 0)
		return -1;
	usleep(rnd(&mortal->seed) % 2000);
	kill(pid, SIGKILL);
	return waitpid(pid, NULL, 0);
}

static long fuzz_death(unsigned int session, unsigned int *seed)
{
	struct mortal mortal = { session, rnd(seed) };
	pthread_t thread;
	int ret;

	if (rnd(seed) % 4 == 0)
		return fuzz_kill(&mortal);
	ret = pthread_create(&thread, NULL, mortal_thread, &mortal);
	if (!ret)
		return pthread_join(thread, NULL);
	errno = ret;
	return -1;
}

static long fuzz_once(unsigned int *seed, enum kind *kind)
{
	/* The first one has several threads at once. */
	unsigned int session = rnd(seed) % 2 ? 0 : rnd(seed) % SESSIONS;

	switch (rnd(seed) % 512) {
	case 0 ... 1:
		*kind = SESSION;
		return fuzz_session(seed);
	case 2 ... 4:
		*kind = MOVE;
		return fuzz_move(seed);
	case 5 ... 6:
		*kind = DEATH;
		return fuzz_death(session, seed);
	case 7 ... 40:
		*kind = POLL;
		return fuzz_poll(session);
	case 41 ... 130:
		*kind = READ;
		return fuzz_read(session, seed);
	case 131 ... 280:
		*kind = ARM;
		return fuzz_arm(session, seed);
	case 281 ... 340:
		*kind = WAIT;
		return fuzz_wait(session, seed);
	case 341 ... 370:
		*kind = SYSCALL;
		return syscall(SYS_getppid) < 0;
	case 371:
		*kind = FLOOD;
		return fuzz_flood(session);
	default:
		*kind = SMALL;
		return fuzz_small(session, seed);
	}
}

static long now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000L + now.tv_nsec / 1000;
}

static void *fuzz_thread(void *arg)
{
	unsigned int seed = (unsigned long)arg;
	enum kind kind;
	long start, ret, left;

	while ((left = atomic_fetch_sub(&calls_left, 1)) > 0) {
		if (left % progress == 0)
			ksft_print_msg("%ld calls are left\n", left);
		errno = 0;
		start = now_us();
		ret = fuzz_once(&seed, &kind);
		answers[ret < 0 ? errno & 255 : 0]++;
		kind_calls[kind]++;
		kind_us[kind] += now_us() - start;
		if (deadline_us && now_us() >= deadline_us)
			calls_left = 0;
	}
	return NULL;
}

static void *victim_thread(void *arg)
{
	long pid = getpid(), parent = getppid();
	char byte;

	while (!stop) {
		byte = 1;
		if (syscall(SYS_getpid) != pid || syscall(SYS_getppid) != parent ||
		    read(zeroes, &byte, 1) != 1 || byte)
			victims_wrong++;
		usleep(200);
	}
	return NULL;
}

/* Makes so many calls, or those of so many us if @us is not 0. */
static void run(unsigned int seed, long calls, long us)
{
	pthread_t threads[THREADS + VICTIMS];
	unsigned long i;

	calls_left = calls;
	deadline_us = us ? now_us() + us : 0;
	stop = 0;
	/* Its number stays its own; those of the sessions come and go. */
	zeroes = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	for (i = 0; i < SESSIONS; i++)
		sessions[i] = open_session();
	keeper = open_session();
	for (i = 0; i < KEPT; i++)
		keep(i, i ? i : DO_EXIT);
	for (i = 0; i < THREADS + VICTIMS; i++)
		if (pthread_create(&threads[i], NULL,
				   i < THREADS ? fuzz_thread : victim_thread,
				   (void *)(seed * 100UL + i)))
			ksft_exit_fail_msg("pthread_create failed\n");
	for (i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	stop = 1;
	for (; i < THREADS + VICTIMS; i++)
		pthread_join(threads[i], NULL);
	for (i = 0; i < SESSIONS; i++)
		close(sessions[i]);
	close(keeper);
	close(zeroes);
}

/* How much memory is free, with what the kernel can give back; in kB. */
static long free_kb(void)
{
	FILE *file = fopen("/proc/sys/vm/drop_caches", "w");
	char line[128];
	long kb = 0;

	if (file) {
		fputs("3\n", file);
		fclose(file);
	}
	file = fopen("/proc/meminfo", "r");
	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "MemFree: %ld", &kb) == 1)
			break;
	if (file)
		fclose(file);
	return kb;
}

/*
 * A task that died in a function may not have given back its stack when the last session was
 * closed.  racegate ends its visit soon, without which the module cannot be unloaded.
 */
static int unload(void)
{
	unsigned int tries;
	int ret = 0;

	for (tries = 0; tries < 20; tries++) {
		ret = module_unload("racegate");
		if (ret != -EAGAIN)
			break;
		usleep(100000);
	}
	return ret;
}

/* KASAN keeps what was freed, for a while. */
static bool has_kasan(void)
{
	FILE *file = fopen("/proc/kallsyms", "r");
	char line[512];
	bool found = false;

	while (file && !found && fgets(line, sizeof(line), file))
		found = strstr(line, " __asan_load8\n");
	if (file)
		fclose(file);
	return found;
}

/* Prints the answers and the kinds of calls with their numbers; returns the number of calls. */
static long print_answers(void)
{
	unsigned int i;
	long made = 0;

	for (i = 0; i < ARRAY_SIZE(answers); i++)
		if (answers[i])
			ksft_print_msg("%8ld %s\n", answers[i],
				       i ? strerror(i) : "done");
	for (i = 0; i < KINDS; i++) {
		ksft_print_msg("%8ld %s: %ld us each\n", kind_calls[i], kind_names[i],
			       kind_us[i] / (kind_calls[i] ?: 1));
		made += kind_calls[i];
	}
	return made;
}

int main(int argc, char **argv)
{
	unsigned int seed = 1;
	long calls = 100000, seconds = 0, first, lost_kb;
	struct utsname kernel;
	int opt, ret, denied;
	bool lost;

	while ((opt = getopt(argc, argv, "c:s:t:")) != -1) {
		if (opt == 'c')
			calls = atol(optarg);
		else if (opt == 's')
			seed = atol(optarg);
		else if (opt == 't')
			seconds = atol(optarg);
		else
			return 2;
	}
	if (calls < 1 || seconds < 0 || optind < argc) {
		fprintf(stderr, "usage: %s [-c CALLS] [-s SEED] [-t SECONDS]\n", argv[0]);
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	ksft_print_header();
	ksft_set_plan(1);
	module_require();
	ret = module_loaded("racegate") ? 0 : module_load(module_path);
	if (ret)
		ksft_exit_fail_msg("cannot load %s: %s\n", module_path, strerror(-ret));
	if (klog_mark())
		ksft_exit_skip("cannot read /dev/kmsg: be root\n");
	counts_preemption = !uname(&kernel) && strstr(kernel.version, "PREEMPT");
	unmapped = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	readonly = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	progress = calls < 10 ? 1 : calls / 10;
	/* After the first quarter the kernel's own caches have what they need. */
	first = calls / 4;
	run(seed, first, seconds * 250000);
	lost_kb = free_kb();
	run(seed + 1, calls - first, seconds * 750000);
	lost_kb -= free_kb();
	calls = print_answers();
	ksft_print_msg("%ld kB less are free than after a quarter of the calls\n", lost_kb);
	lost = lost_kb > LOST_KB(calls) && !has_kasan();
	if (lost)
		ksft_print_msg("wrong: memory is lost\n");
	denied = klog_report();
	ret = unload();
	ksft_test_result(!victims_wrong && !answers_wrong && !lost && !denied && !ret,
			 "%ld calls, seed %u: %d wrong answers, %d of victims, %d denied log lines, unloading: %s\n",
			 calls, seed, answers_wrong, victims_wrong, denied,
			 ret ? strerror(-ret) : "done");
	ksft_finished();
}
