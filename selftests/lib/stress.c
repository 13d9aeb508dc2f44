// SPDX-License-Identifier: GPL-2.0-only
/*
 * The loop of a "stress" case; see stress.h.
 */
#include <stdlib.h>
#include <time.h>

#include "klog.h"
#include "kselftest.h"
#include "stress.h"

/* scripts/stress relies on this interval to say how long a host lived. */
#define SAY_US	(500 * 1000)

unsigned long long stress_now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000ull + now.tv_nsec / 1000;
}

static void say(const struct stress *stress)
{
	unsigned long long tenths = (stress_now_us() - stress->begin_us) / 100000;

	ksft_print_msg("stress: %lu of %lu tries in %llu.%llu s showed it\n",
		       stress->shown, stress->tries, tenths / 10, tenths % 10);
}

void stress_begin(struct stress *stress, unsigned int seconds)
{
	stress->tries = 0;
	stress->shown = 0;
	stress->begin_us = stress_now_us();
	stress->end_us = stress->begin_us + seconds * 1000000ull;
	stress->say_us = stress->begin_us + SAY_US;
	srandom(stress->begin_us);
}

bool stress_goes_on(struct stress *stress)
{
	unsigned long long now = stress_now_us();

	if (now >= stress->end_us)
		return false;
	if (now >= stress->say_us) {
		stress->say_us = now + SAY_US;
		say(stress);
	}
	return true;
}

void stress_count(struct stress *stress, bool shown)
{
	stress->tries++;
	stress->shown += shown;
}

void stress_end(struct stress *stress)
{
	if (klog_report() > 0 && !stress->shown)
		stress->shown = 1;
	say(stress);
}

void stress_delay(unsigned long long max_us)
{
	unsigned long long until;

	if (!max_us)
		return;
	until = stress_now_us() + random() % max_us;
	while (stress_now_us() < until)
		;
}
