/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The loop of a "stress" case, which waits for a race for so many seconds instead of
 * forcing it, and counts how often it showed.  It does not use racegate.
 *
 *	stress_begin(&stress, seconds);
 *	while (stress_goes_on(&stress)) {
 *		...
 *		stress_count(&stress, it_showed);
 *	}
 *	stress_end(&stress);
 */
#ifndef STRESS_H
#define STRESS_H

#include <stdbool.h>

struct stress {
	unsigned long tries, shown;
	/* CLOCK_MONOTONIC of the host */
	unsigned long long begin_us, end_us, say_us;
};

/* stress_begin - start a loop of @seconds of the host's time; call klog_mark() before */
void stress_begin(struct stress *stress, unsigned int seconds);

/*
 * stress_goes_on - is there time left?  Prints a line like stress_end()'s twice a
 * second, since the host may die of the next try.
 */
bool stress_goes_on(struct stress *stress);

/* stress_count - count one more try */
void stress_count(struct stress *stress, bool shown);

/*
 * stress_end - print "# stress: N of M tries in S s showed it".  If no try was counted
 * as showing the race, but the kernel warned or oopsed, N is 1.
 */
void stress_end(struct stress *stress);

/* stress_delay - keep this CPU busy for a random time below @max_us */
void stress_delay(unsigned long long max_us);

unsigned long long stress_now_us(void);

#endif /* STRESS_H */
