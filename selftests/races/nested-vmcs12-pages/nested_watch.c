// SPDX-License-Identifier: GPL-2.0-only
/*
 * The record of a nested vCPU's migration; see nested_watch.h.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kselftest.h"
#include "kvm_util.h"
#include "nested_watch.h"
#include "racegate_client.h"

/* The posting thread marks STEP_POSTS; the last point is for the ladder only. */
static const struct rg_point landmarks[] = {
	[STEP_SAVES] = { .symbol = "kvm_intel:vmx_get_nested_state",
			 .label = "vmx_get_nested_state()" },
	[STEP_RESTORES] = { .symbol = "kvm_intel:vmx_set_nested_state",
			    .label = "vmx_set_nested_state()" },
	[STEP_SETS_MP_STATE] = { .symbol = "kvm:kvm_arch_vcpu_ioctl_set_mpstate",
				 .label = "kvm_arch_vcpu_ioctl_set_mpstate()" },
	[STEP_RUNS] = { .symbol = "kvm:kvm_arch_vcpu_ioctl_run",
			.label = "kvm_arch_vcpu_ioctl_run()" },
	[STEP_MAPS] = { .symbol = "kvm_intel:vmx_get_nested_state_pages",
			.label = "vmx_get_nested_state_pages()" },
	[STEP_BLOCKS] = { .symbol = "kvm:kvm_vcpu_block",
			  .label = "kvm_vcpu_block()" },
	[NR_STEPS] = { .symbol = "kvm:kvm_arch_vcpu_runnable",
		       .where = RG_RETURN,
		       .label = "kvm_arch_vcpu_runnable()" },
};

/* The most threads in a record: the VMM's, and one that posts. */
#define MAX_THREADS	2

static struct rg *watch;
static int gates[ARRAY_SIZE(landmarks)];
static pid_t threads[MAX_THREADS];
static unsigned int nr_threads;

/* The events of this process's threads: other VMs may run on the host. */
static struct rg_event *events;
static size_t nr_events;
static bool complete;

void nested_watch_arm(void)
{
	size_t i;

	if (rg_open(&watch) < 0) {
		ksft_print_msg("no ladder: %s\n", rg_strerror());
		return;
	}
	for (i = 0; i < ARRAY_SIZE(landmarks); i++)
		if (landmarks[i].symbol)
			gates[i] = rg_arm_ours(watch, &landmarks[i]);
}

void nested_watch_thread(const char *name)
{
	if (!watch || nr_threads == MAX_THREADS)
		return;
	rg_name_thread(watch, rg_gettid(), name);
	threads[nr_threads++] = rg_gettid();
}

void nested_watch_begin(void)
{
	if (!watch)
		return;
	nr_threads = 0;
	nested_watch_thread("VMM, runs the vCPU");
	rg_forget(watch);
}

void nested_watch_post(void)
{
	if (watch)
		rg_mark(watch, "posts an interrupt to L2");
}

static bool is_ours(pid_t tid)
{
	unsigned int i;

	for (i = 0; i < nr_threads; i++)
		if (threads[i] == tid)
			return true;
	return false;
}

/* Sets events, nr_events and complete. */
static void fetch(void)
{
	const struct rg_event *all;
	ssize_t nr = rg_events(watch, &all), i;

	free(events);
	events = NULL;
	nr_events = 0;
	complete = nr >= 0;
	if (nr <= 0)
		return;
	events = calloc(nr, sizeof(*events));
	TEST_ASSERT(events, "out of memory");
	for (i = 0; i < nr; i++) {
		if (all[i].kind == RG_EV_LOST || all[i].kind == RG_EV_MISSED)
			complete = false;
		if (all[i].kind == RG_EV_LOST || is_ours(all[i].tid))
			events[nr_events++] = all[i];
	}
}

static const char *step_name(enum nested_step step)
{
	return landmarks[step].label ?: "a post";
}

/* Was a gate armed for the step?  A post needs none. */
static bool is_seen(enum nested_step step)
{
	return step == STEP_POSTS || gates[step] >= 0;
}

/* Until nested_watch_print() adds one, each mark in the record is a post. */
static bool is_step(const struct rg_event *event, enum nested_step step)
{
	if (step == STEP_POSTS)
		return event->kind == RG_EV_MARK;
	return event->kind == RG_EV_ARRIVE && (int)event->gate == gates[step];
}

const char *nested_watch_lacks(const enum nested_step *steps, size_t nr)
{
	size_t e = 0, i;

	if (!watch)
		return NULL;
	fetch();
	for (i = 0; complete && i < nr; i++) {
		if (!is_seen(steps[i]))
			continue;
		while (e < nr_events && !is_step(&events[e], steps[i]))
			e++;
		if (e == nr_events)
			return step_name(steps[i]);
		e++;
	}
	return NULL;
}

const char *nested_watch_says(const enum nested_step *steps, size_t nr)
{
	static char text[256];
	size_t i, len = 0;

	if (!watch || !complete)
		return "not recorded";
	text[0] = '\0';
	for (i = 0; i < nr && len < sizeof(text); i++)
		if (is_seen(steps[i]))
			len += snprintf(text + len, sizeof(text) - len, "%s%s",
					len ? ", " : "recorded: ",
					step_name(steps[i]));
	return text;
}

void nested_watch_print(const char *text)
{
	if (!watch)
		return;
	rg_mark(watch, text);
	fetch();
	rg_ladder_events(watch, stdout, events, nr_events);
	rg_forget(watch);
}
