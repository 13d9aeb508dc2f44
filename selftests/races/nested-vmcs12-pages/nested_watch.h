/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The steps of the VMM and the kernel between a save and L2's wake-up, as recorded
 * by racegate: a ladder for the reader, and a check that their order was the one
 * that a case needs.
 *
 * No thread is held: without racegate a test does the same, but has no record.
 * There is one watch per process.
 */
#ifndef NESTED_WATCH_H
#define NESTED_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* The steps in the record; each but STEP_POSTS is the entry of a function. */
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
 * nested_watch_arm - arm the gates
 *
 * To be called once, before the harness forks: arming takes a good part of a second per
 * function on an emulated CPU.  Prints the reason if there will be no record.
 */
void nested_watch_arm(void);

/* nested_watch_begin - begin a new record, of the calling thread */
void nested_watch_begin(void);

/* nested_watch_thread - record the calling thread, too, by that name */
void nested_watch_thread(const char *name);

/* nested_watch_post - record that the caller posts an interrupt to L2 now */
void nested_watch_post(void);

/*
 * nested_watch_lacks - NULL if the record has all @steps in that order, or the name of
 * the first step that it lacks
 *
 * A step whose function this kernel lacks is skipped.  Returns NULL as well if there is
 * no complete record.
 */
const char *nested_watch_lacks(const enum nested_step *steps, size_t nr);

/*
 * nested_watch_says - the steps as a list of names, for the line "forced: ...";
 * valid until the next call
 */
const char *nested_watch_says(const enum nested_step *steps, size_t nr);

/* nested_watch_print - print the ladder, with @text at its end, and begin a new record */
void nested_watch_print(const char *text);

#endif /* NESTED_WATCH_H */
