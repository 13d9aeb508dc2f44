// SPDX-License-Identifier: GPL-2.0-only
/*
 * Keeps gates for the next sweeps in the same boot: arming the first gate on a function
 * patches the kernel's code, which takes most of the time that a short path takes on an
 * emulated CPU.
 *
 * A process that does nothing else stays behind with a session of racegate, in which gates
 * for NOBODY are armed.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sweep.h"

/* The file descriptor of that process's session. */
#define KEPT_FD		3

void keep_forever(void)
{
	for (;;)
		pause();
}

/* Is @symbol a line of @kept, the functions at which a process keeps a gate? */
static bool is_kept(const char *kept, const char *symbol)
{
	size_t len = strlen(symbol);
	const char *at;

	for (at = strstr(kept, symbol); at; at = strstr(at + len, symbol))
		if ((at == kept || at[-1] == '\n') && at[len] == '\n')
			return true;
	return false;
}

static void stay_behind(int fd)
{
	int null = open("/dev/null", O_RDWR), other;

	setsid();
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	dup2(null, STDERR_FILENO);
	/* Close all other files: the end of a pipe, or of a VM, depends on it. */
	if (dup2(fd, KEPT_FD) == KEPT_FD) {
		for (other = KEPT_FD + 1; other < sysconf(_SC_OPEN_MAX); other++)
			close(other);
		execl("/proc/self/exe", "sweep", "-K", NULL);
	}
	_exit(1);
}

void keep_gates(struct sweep *sweep, const char *file)
{
	struct path *path = &sweep->path;
	char *kept = read_file(file) ?: strdup("");
	FILE *list = fopen(file, "ae");
	struct rg_point nobody = { .tid = NOBODY, .max_hits = 1 };
	struct rg *rg;
	unsigned int i;

	TEST_ASSERT(kept && list, "cannot keep gates by %s: %s", file, strerror(errno));
	TEST_ASSERT(rg_open(&rg) >= 0, "%s", rg_strerror());
	for (i = 0; i < path->nr_functions; i++) {
		if (is_kept(kept, path->functions[i].symbol) ||
		    path->functions[i].nobody <= 0)
			continue;
		nobody.symbol = path->functions[i].symbol;
		if (rg_arm(rg, &nobody) >= 0)
			fprintf(list, "%s\n", path->functions[i].symbol);
	}
	fclose(list);
	free(kept);
	if (!fork())
		stay_behind(rg_fd(rg));
	rg_close(rg);
}
