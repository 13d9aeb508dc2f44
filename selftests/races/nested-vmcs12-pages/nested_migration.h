/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A VM that is migrated again and again while its L2 receives posted interrupts.
 *
 * L1 has two vCPUs.  The first runs an L2 that halts, takes an interrupt, and
 * halts again; the second posts those interrupts, one at a time: it sets a bit in
 * the descriptor's PIR and ON, and sends the notification vector by IPI.  The VMM
 * stops both, saves them, creates a new VM, restores them and lets them run on.
 *
 * In turn the VMM stops the vCPUs
 *  - after the posting has ended and L2 is halted, so that the next interrupt is
 *    posted to an L2 that was restored halted;
 *  - when L2 is halted, the first vCPU first: the second posts an interrupt that
 *    no vCPU takes before the save, and notifies a vCPU that is not in KVM_RUN;
 *  - at a random time.
 *
 * Each notification is sent once.  KVM does not save a notification that it has
 * received but not processed yet; L2 must get the interrupt nevertheless.
 */
#ifndef NESTED_MIGRATION_H
#define NESTED_MIGRATION_H

#include <stdbool.h>

/* The outcome of some migrations. */
struct nested_migration {
	unsigned int rounds;	/* migrations */
	unsigned int halted;	/* migrations with L2 halted */
	unsigned int under_way;	/* migrations with ON set: posted, and not taken */
	unsigned int both;	/* migrations with both */
	unsigned long posted;	/* interrupts that L1 posted */
	unsigned long arrived;	/* interrupts that L2 took */
	bool asleep;		/* L2 did not wake up, which ended the run */
};

/* nested_migration_run - migrate @rounds times, or until L2 does not wake up */
void nested_migration_run(struct nested_migration *result, unsigned int rounds);

/* nested_migration_add - add up the outcomes of several runs; ->asleep is ORed */
void nested_migration_add(struct nested_migration *sum,
			  const struct nested_migration *one);

/* nested_migration_print - print a line of diagnostics, which begins with @prefix */
void nested_migration_print(const char *prefix, const struct nested_migration *is);

#endif /* NESTED_MIGRATION_H */
