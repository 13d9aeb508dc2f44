// SPDX-License-Identifier: GPL-2.0-only
/*
 * Count the cost of paths through KVM on the modules that are loaded; see costs.h, and
 * scripts/lab/costs, which compares two sets of modules.
 *
 * usage: costs
 *
 * Prints a line for each path:
 *	cost PATH MINIMUM MEDIAN ROUNDS
 *	cost PATH - REASON		this host has no such path
 * MINIMUM is the smallest number of TSC ticks that at least SAME rounds took, or the
 * smallest of all if there is none; MEDIAN is the median.  The cost of reading the TSC is
 * subtracted from both.
 *
 * Exit status: 0, or 1 if a path could not be measured.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "costs.h"

static const struct path paths[] = {
	{ "exit", measure_exit },
	{ "exit to user space", measure_exit_to_user },
	{ "page fault", measure_page_fault },
	{ "invalidation", measure_invalidation },
	{ "invalidation elsewhere", measure_invalidation_elsewhere },
	{ "block and wake-up", measure_block_and_wake },
	{ "vCPU creation", measure_create_vcpu },
	{ "first KVM_RUN", measure_first_run },
	{ "clock: refresh", measure_clock_refresh },
	{ "clock: invalidation", measure_clock_invalidation },
	{ "Xen event", measure_event },
	{ "Xen event: refresh", measure_event_refresh },
	{ "Xen event: refresh by hva", measure_event_refresh_hva },
	{ "nested: L2 to L1 and back", measure_nested_exit_to_l1 },
	{ "nested: L2 to L0 and back", measure_nested_exit_to_l0 },
};

/* The result of the process that measures a path. */
struct outcome {
	struct sample sample;
	char why[160];
};

/* So many rounds with the same number of ticks are no coincidence. */
#define SAME		5

static int by_ticks(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* MINIMUM; the rounds must be sorted. */
static uint64_t fewest(const struct sample *sample)
{
	unsigned int i;

	for (i = 0; i + SAME <= sample->nr; i++)
		if (sample->ticks[i] == sample->ticks[i + SAME - 1])
			return sample->ticks[i];
	return sample->ticks[0];
}

/* Measures one path, and sorts its rounds; false if the process failed. */
static bool measure(const struct path *path, struct outcome *outcome)
{
	const char *why;
	int status;
	pid_t pid;

	memset(outcome, 0, sizeof(*outcome));
	fflush(stdout);
	pid = fork();
	if (!pid) {
		why = path->measure(&outcome->sample);
		if (why)
			snprintf(outcome->why, sizeof(outcome->why), "%s", why);
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
		return false;
	qsort(outcome->sample.ticks, outcome->sample.nr, sizeof(uint64_t), by_ticks);
	return outcome->why[0] || outcome->sample.nr;
}

int main(void)
{
	static const struct path nothing = { "nothing", measure_nothing };
	struct outcome *outcome;
	uint64_t overhead;
	unsigned int i;
	int rc = 0;

	outcome = mmap(NULL, sizeof(*outcome), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (outcome == MAP_FAILED || !measure(&nothing, outcome)) {
		printf("# nothing could be measured\n");
		return 1;
	}
	overhead = fewest(&outcome->sample);
	for (i = 0; i < ARRAY_SIZE(paths); i++) {
		struct sample *sample = &outcome->sample;

		if (!measure(&paths[i], outcome)) {
			printf("# %s: could not be measured\n", paths[i].name);
			rc = 1;
		} else if (outcome->why[0]) {
			printf("cost\t%s\t-\t%s\n", paths[i].name, outcome->why);
		} else {
			printf("cost\t%s\t%lu\t%lu\t%u\n", paths[i].name,
			       fewest(sample) - overhead,
			       sample->ticks[sample->nr / 2] - overhead, sample->nr);
		}
	}
	return rc;
}
