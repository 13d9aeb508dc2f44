/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a VMM and the kernel did on the way from a save to L2's wake-up, as
 * racegate recorded it: a ladder for the reader, and whether it was in the order
 * that a case is about.
 *
 * Nothing is held: a test does the same without racegate, and then has no record.
 * One watch per process.
 */
#ifndef NESTED_WATCH_H
#define NESTED_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* What may be in the record; each but STEP_POSTS is the entry of a function. */
enum nested_step {
	STEP_SAVES,		/* vmx_get_nested_state() */
	STEP_RESTORES,		/* vmx_set_nested_state() */
	STEP_SETS_MP_STATE,	/* kvm_arch_vcpu_ioctl_set_mpstate() */
	STEP_RUNS,		/* kvm_arch_vcpu_ioctl_run() */
	STEP_MAPS,		/* vmx_get_nested_state_pages() */
	STEP_BLOCKS,		/* kvm_vcpu_block() */
	STEP_POSTS,		/* nested_watch_post() was called */
	NR_STEPS,
};

/*
 * nested_watch_arm - once, before the harness forks: to arm takes a good part of a
 * second per function on an emulated CPU.  Says so if there will be no record.
 */
void nested_watch_arm(void);

/* nested_watch_begin - a new record, of the calling thread */
void nested_watch_begin(void);

/* nested_watch_thread - of the calling thread, too */
void nested_watch_thread(const char *name);

/* nested_watch_post - the caller posts an interrupt to L2 now */
void nested_watch_post(void);

/*
 * nested_watch_lacks - NULL, or the first of @steps that the record does not
 * have, in that order
 *
 * A step of a function that this kernel does not have under that name is passed
 * over, and without a complete record there is nothing that it lacks.
 */
const char *nested_watch_lacks(const enum nested_step *steps, size_t nr);

/*
 * nested_watch_says - the steps, as a list of names, to go behind "forced:";
 * valid until the next call
 */
const char *nested_watch_says(const enum nested_step *steps, size_t nr);

/* nested_watch_print - the ladder, ending with @text; and a new record begins */
void nested_watch_print(const char *text);

#endif /* NESTED_WATCH_H */
