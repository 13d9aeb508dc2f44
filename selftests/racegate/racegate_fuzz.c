// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hostile calls of /dev/racegate: threads make random ioctls, reads, polls, opens
 * and closes, with good, bad and unmapped buffers and extreme numbers, while
 * victims check that the system calls they make in the meantime return as ever.
 *
 *	racegate_fuzz [-c CALLS] [-s SEED]
 *		-c	how many calls, over all threads (default 100000)
 *		-s	of the random numbers (default 1); printed
 *
 * RACEGATE_KO in the environment names the module; default: beside this program.
 * As root.  KTAP on stdout; exits with 0 if no victim got a wrong answer, the
 * kernel logged nothing on the deny list and the module can be removed afterwards,
 * with 1 if not, with 4 if the module cannot be loaded.
 */
#define _GNU_SOURCE
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "kselftest.h"
#include "klog.h"
#include "module.h"
#include "racegate.h"

#define THREADS		4
#define VICTIMS		2
#define SESSIONS	6
/* A hold is short: hostile threads hold each other. */
#define HOLD_MAX_US	2000

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

static atomic_long calls_left, answers[256];
static atomic_int victims_wrong, stop;
static atomic_int sessions[SESSIONS];
static unsigned char *unmapped, *readonly;

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

static long fuzz_arm(int fd, unsigned int *seed)
{
	struct rg_arm arm = {
		.where = rnd(seed) % 2, .action = rnd(seed) % 3,
		.tid = syscall(SYS_gettid), .max_hits = rnd(seed) % 8,
	};

	strcpy(arm.symbol, symbols[rnd(seed) % ARRAY_SIZE(symbols)]);
	if (arm.action != RG_RECORD)
		arm.timeout_us = 1 + rnd(seed) % HOLD_MAX_US;
	switch (rnd(seed) % 10) {
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
		arm.reserved[rnd(seed) % 3] = rnd_number(seed);
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
	}
	/* A gate for every thread would hold the whole machine. */
	if (!arm.tid && !arm.tgid)
		arm.action = RG_RECORD;
	return ioctl(fd, RG_ARM, rnd_buffer(seed, &arm));
}

static long fuzz_wait(int fd, unsigned int *seed)
{
	struct rg_wait wait = {
		.gate = rnd_number(seed), .nth = rnd_number(seed),
		.timeout_us = rnd(seed) % 300,
	};

	if (rnd(seed) % 10 == 0)
		wait.timeout_us = RG_SLEEP_MAX_US + rnd_number(seed) + 1ULL;
	return ioctl(fd, RG_WAIT, rnd_buffer(seed, &wait));
}

/* Of the commands that take a gate and little else; they are of one shape. */
static long fuzz_small(int fd, unsigned int *seed)
{
	static const unsigned long commands[] = {
		RG_RELEASE, RG_STATUS, RG_DISARM, RG_DISARM, RG_MARK, 0, 0xe900,
	};
	unsigned int buffer[64] = { rnd_number(seed), rnd(seed) % 3 };

	if (rnd(seed) % 8 == 0)
		buffer[2] = rnd_number(seed);
	return ioctl(fd, commands[rnd(seed) % ARRAY_SIZE(commands)],
		     rnd_buffer(seed, buffer));
}

static long fuzz_read(int fd, unsigned int *seed)
{
	static const size_t sizes[] = {
		0, 1, sizeof(struct rg_event) - 1, sizeof(struct rg_event),
		3 * sizeof(struct rg_event) + 5, 4096,
	};
	char buffer[4096];

	return read(fd, rnd_buffer(seed, buffer),
		    sizes[rnd(seed) % ARRAY_SIZE(sizes)]);
}

static long fuzz_session(unsigned int *seed)
{
	int old, fd = open("/dev/racegate", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return -1;
	old = atomic_exchange(&sessions[rnd(seed) % SESSIONS], fd);
	return close(old);
}

static long fuzz_once(unsigned int *seed)
{
	int fd = sessions[rnd(seed) % SESSIONS];
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };

	switch (rnd(seed) % 16) {
	case 0: return fuzz_session(seed);
	case 1: return poll(&poll_fd, 1, 0);
	case 2 ... 4: return fuzz_read(fd, seed);
	case 5 ... 9: return fuzz_arm(fd, seed);
	case 10 ... 11: return fuzz_wait(fd, seed);
	case 12: return syscall(SYS_getppid) < 0;
	default: return fuzz_small(fd, seed);
	}
}

static void *fuzz_thread(void *arg)
{
	unsigned int seed = (unsigned long)arg;

	while (atomic_fetch_sub(&calls_left, 1) > 0) {
		errno = 0;
		answers[fuzz_once(&seed) < 0 ? errno & 255 : 0]++;
	}
	return NULL;
}

static void *victim_thread(void *arg)
{
	long pid = getpid(), parent = getppid();
	char byte;
	int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);

	while (!stop) {
		byte = 1;
		if (syscall(SYS_getpid) != pid || syscall(SYS_getppid) != parent ||
		    read(fd, &byte, 1) != 1 || byte)
			victims_wrong++;
		usleep(200);
	}
	close(fd);
	return NULL;
}

static void run(unsigned int seed)
{
	pthread_t threads[THREADS + VICTIMS];
	unsigned long i;

	for (i = 0; i < SESSIONS; i++)
		sessions[i] = open("/dev/racegate", O_RDWR | O_NONBLOCK | O_CLOEXEC);
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
}

static void print_answers(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(answers); i++)
		if (answers[i])
			ksft_print_msg("%8ld %s\n", answers[i],
				       i ? strerror(i) : "done");
}

int main(int argc, char **argv)
{
	unsigned int seed = 1;
	long calls = 100000;
	int opt, ret, denied;

	while ((opt = getopt(argc, argv, "c:s:")) != -1) {
		if (opt == 'c')
			calls = atol(optarg);
		else if (opt == 's')
			seed = atol(optarg);
		else
			return 2;
	}
	if (calls < 1 || optind < argc) {
		fprintf(stderr, "usage: %s [-c CALLS] [-s SEED]\n", argv[0]);
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
	unmapped = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	readonly = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	calls_left = calls;
	run(seed);
	print_answers();
	denied = klog_report();
	ret = module_unload("racegate");
	ksft_test_result(!victims_wrong && !denied && !ret,
			 "%ld calls, seed %u: %d wrong answers, %d denied log lines, unloading: %s\n",
			 calls, seed, victims_wrong, denied,
			 ret ? strerror(-ret) : "done");
	ksft_finished();
}
