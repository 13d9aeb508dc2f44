/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A VM that is migrated again and again while its L2 receives posted interrupts.
 *
 * L1 has two vCPUs.  The first runs an L2 that halts, takes an interrupt, and
 * halts again; the second posts those interrupts, one at a time: a bit in the
 * descriptor's PIR, ON, and the notification vector by IPI.  The VMM stops both,
 * saves them, makes a new VM, restores them and goes on.
 *
 * In turn the VMM stops the vCPUs
 *  - when the posting has ended and L2 is halted, so that the next interrupt is
 *    posted to an L2 that was restored halted;
 *  - when L2 is halted, the first one first: the second posts an interrupt that
 *    nobody takes up before the save, and notifies a vCPU that is not in KVM_RUN;
 *  - wherever they are.
 *
 * Each notification is sent once.  KVM does not save that it got one which it has
 * not acted on yet; whether L2 gets the interrupt is what this is about.
 */
#ifndef NESTED_MIGRATION_H
#define NESTED_MIGRATION_H

#include <stdbool.h>

/* What came of it. */
struct nested_migration {
	unsigned int rounds;	/* migrations that were done */
	unsigned int halted;	/* of these, with L2 halted at the time */
	unsigned int under_way;	/* of these, with ON set: posted, and not taken up */
	unsigned int both;	/* of these, with both */
	unsigned long posted;	/* interrupts, by L1 */
	unsigned long arrived;	/* in L2 */
	bool asleep;		/* it ended because L2 did not wake up */
};

/* nested_migration_run - @rounds times, or until L2 does not wake up */
void nested_migration_run(struct nested_migration *result, unsigned int rounds);

/* nested_migration_add - what came of several runs; all but ->asleep is a sum */
void nested_migration_add(struct nested_migration *sum,
			  const struct nested_migration *one);

/* nested_migration_print - a line of diagnostics */
void nested_migration_print(const char *prefix, const struct nested_migration *is);

#endif /* NESTED_MIGRATION_H */
