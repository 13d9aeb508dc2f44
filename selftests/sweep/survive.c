// SPDX-License-Identifier: GPL-2.0-only
/*
 * Goes on after the kernel has killed a thread in an oops.
 *
 * Locks that the thread held stay locked: its VM can neither be used nor be destroyed, and
 * the process cannot exit.  So it stays, and another process goes on, with a new VM.  Both
 * share the memory with the state of the sweep.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "klog.h"
#include "sweep.h"

void *survive_alloc(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	TEST_ASSERT(memory != MAP_FAILED, "no memory");
	return memory;
}

int survive(struct sweep *sweep, int (*run)(struct sweep *sweep))
{
	int fd[2], status;
	ssize_t nr;
	pid_t pid;
	char lost;

	do {
		fflush(stdout);
		TEST_ASSERT(!pipe(fd), "pipe: %s", strerror(errno));
		pid = fork();
		TEST_ASSERT(pid >= 0, "fork: %s", strerror(errno));
		if (!pid) {
			close(fd[0]);
			sweep->lost_fd = fd[1];
			sweep->kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK);
			lseek(sweep->kmsg, 0, SEEK_END);
			exit(run(sweep));
		}
		close(fd[1]);
		/* The process ends, or has lost a thread and writes a byte. */
		nr = read(fd[0], &lost, 1);
		close(fd[0]);
	} while (nr == 1);
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return 254;
	return WEXITSTATUS(status);
}

/* "4,1234,5678,-;RIP: 0010:function+0x12/0x34 [kvm]" */
static void read_oops(struct sweep *sweep)
{
	char line[1024], function[64];
	const char *at;
	ssize_t nr;

	strcpy(sweep->oops, "a thread was killed");
	while ((nr = read(sweep->kmsg, line, sizeof(line) - 1)) > 0 ||
	       (nr < 0 && errno == EPIPE)) {
		line[nr > 0 ? nr : 0] = '\0';
		at = strstr(line, "RIP: ");
		if (!at || sscanf(at, "RIP: %*x:%63[^+]", function) != 1)
			continue;
		snprintf(sweep->oops, sizeof(sweep->oops), "%s()", function);
		return;
	}
}

void survive_lost(struct sweep *sweep)
{
	char lost = 1;

	sweep->deaths++;
	read_oops(sweep);
	klog_poll();
	printf("# a thread was killed by the kernel: %s\n", sweep->oops);
	rg_ladder(sweep->rg, stdout);
	fflush(stdout);
	tcdrain(STDOUT_FILENO);
	/* The next process can go on only if this was a schedule with one hold. */
	if (!sweep->begin_us || sweep->at == sweep->path.nr_points ||
	    write(sweep->lost_fd, &lost, 1) != 1)
		sweep_give_up(sweep);
	for (;;)
		pause();
}
