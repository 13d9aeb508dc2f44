/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The loop of a "stress" case: a race that is waited for, not forced, for so many
 * seconds, and how often it showed.  It uses nothing of racegate.
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
	/* Of the host's clock. */
	unsigned long long begin_us, end_us, say_us;
};

/* stress_begin - for @seconds of the host's time from now, after klog_mark() */
void stress_begin(struct stress *stress, unsigned int seconds);

/*
 * stress_goes_on - is there time left?  Says now and then how it goes, in a line
 * like the last: the host may die of the next try.
 */
bool stress_goes_on(struct stress *stress);

/* stress_count - one more try is over */
void stress_count(struct stress *stress, bool shown);

/*
 * stress_end - print "# stress: N of M tries in S s showed it".  Where no try did
 * and the kernel warned or oopsed nonetheless, one of them has.
 */
void stress_end(struct stress *stress);

/* stress_delay - keep this CPU busy for a random time below @max_us */
void stress_delay(unsigned long long max_us);

unsigned long long stress_now_us(void);

#endif /* STRESS_H */
