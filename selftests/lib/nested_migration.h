/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A VM that is migrated again and again while its L2 receives posted interrupts.
 *
 * L1 has two vCPUs.  The first runs an L2 that halts, takes an interrupt, and
 * halts again; the second posts those interrupts, one at a time: a bit in the
 * descriptor's PIR, ON, and the notification vector by IPI.  The VMM stops both,
 * saves them, makes a new VM, restores them and goes on.
 *
 * Every other time the VMM first has the posting stop and waits for L2 to halt,
 * so that the next interrupt is posted to an L2 that was restored halted; in
 * between it stops the vCPUs wherever they are.
 *
 * KVM does not save that it got a notification which it has not acted on yet:
 * it is lost on the way, in every kernel, and KVM_GET_NESTED_STATE has no room
 * for it.  So that this does not pass for a vCPU that does not wake up, a
 * notification that was under way is sent once more after a migration, as it
 * may be: the descriptor still says that it is outstanding.
 */
#ifndef NESTED_MIGRATION_H
#define NESTED_MIGRATION_H

#include <stdbool.h>

/* What came of it. */
struct nested_migration {
	unsigned int rounds;	/* migrations that were done */
	unsigned int halted;	/* of these, with L2 halted at the time */
	unsigned int posting;	/* of these, with an interrupt posted and not taken up */
	unsigned long posted;	/* interrupts, by L1 */
	unsigned long arrived;	/* in L2 */
	unsigned long resent;	/* notifications */
	bool asleep;		/* it ended because L2 did not wake up */
};

/* nested_migration_run - @rounds times, or until L2 does not wake up */
void nested_migration_run(struct nested_migration *result, unsigned int rounds);

#endif /* NESTED_MIGRATION_H */
