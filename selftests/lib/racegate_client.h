/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The client of racegate for test programs; src/racegate/racegate.h describes gates.
 *
 * Unless noted otherwise a function returns 0 or more, or -errno, and then
 * rg_strerror() returns a message that names the symbol or the file.
 * Several threads may use a session.
 *
 * Where possible, arm a gate before a thread calls the function: arming patches the
 * function's code, and QEMU's TCG before version 8.1 may crash the host if another
 * CPU calls it at that moment.
 *
 *	struct rg *rg;
 *	int gate;
 *
 *	if (rg_open(&rg) < 0)
 *		SKIP(return, "%s", rg_strerror());
 *	rg_name_thread(rg, tid, "vCPU 1");
 *	gate = rg_arm(rg, &(struct rg_point){
 *		.symbol = "kvm:kvm_arch_vcpu_create", .where = RG_RETURN,
 *		.action = RG_HOLD_SLEEP, .tid = tid,
 *		.label = "kvm_arch_vcpu_create() is done" });
 *	...
 *	rg_wait(rg, gate, 1, 5000000);
 *	rg_mark(rg, "inhibit raised");
 *	rg_release(rg, gate);
 *	rg_ladder(rg, stdout);
 *	rg_close(rg);
 */
#ifndef RACEGATE_CLIENT_H
#define RACEGATE_CLIENT_H

#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

#include "racegate.h"

struct rg;

/* How long a gate holds a thread if @timeout_us of its rg_point is 0. */
#define RG_DEFAULT_SLEEP_US	30000000ULL
#define RG_DEFAULT_SPIN_US	RG_SPIN_MAX_US

struct rg_point {
	const char *symbol;	/* "function" or "module:function" */
	const char *label;	/* in the ladder; NULL: symbol and where */
	unsigned int where;	/* RG_ENTRY (default), RG_RETURN */
	unsigned int action;	/* RG_RECORD (default), RG_HOLD_SLEEP, RG_HOLD_SPIN */
	pid_t tid;		/* 0: any thread */
	pid_t tgid;		/* 0: any process */
	bool children;		/* those of @tgid, too */
	unsigned int skip;
	unsigned int max_hits;
	unsigned long long timeout_us;	/* 0: the default of the action */
	const char *from;	/* only calls out of this module; NULL: any caller */
};

/* Opens a session; rg_close() ends it and frees @rg, and ignores NULL. */
int rg_open(struct rg **rg);
void rg_close(struct rg *rg);

/*
 * Opens a session and arms @points, which must be points that are only recorded: a
 * point that this kernel lacks is left out, and the ladder is printed without it.
 * Only calls of this process and its children are recorded, as other VMs may run on
 * the host.
 *
 * Call it once, before the harness forks a process for each case: arming and
 * disarming take a good part of a second per point on an emulated CPU.
 */
int rg_open_armed(struct rg **rg, const struct rg_point *points, size_t nr);

/*
 * Keeps a gate at each of these functions, "module:function", which no thread hits, for the
 * life of the process: further gates are then armed there in microseconds.  A function that
 * this kernel lacks is left out.  To be called before the harness forks, as well.
 */
void rg_keep(const char * const *symbols, size_t nr);

/* The session's file descriptor, for poll(2). */
int rg_fd(struct rg *rg);

/* Returns the gate's id. */
int rg_arm(struct rg *rg, const struct rg_point *point);

/* rg_arm(), but a point without tid and tgid is for this process and its children. */
int rg_arm_ours(struct rg *rg, const struct rg_point *point);

/* Waits for the @nth arrival at the gate; -ETIMEDOUT after @timeout_us. */
int rg_wait(struct rg *rg, int gate, unsigned int nth,
	    unsigned long long timeout_us);

/* Waits until the gate holds no thread, that is, until each held thread has left it. */
int rg_wait_left(struct rg *rg, int gate, unsigned long long timeout_us);

/* Both release the held threads; later arrivals pass, or, after rg_step(), are held. */
int rg_release(struct rg *rg, int gate);
int rg_step(struct rg *rg, int gate);

int rg_status(struct rg *rg, int gate, struct rg_status *status);
int rg_disarm(struct rg *rg, int gate);

/* Puts @text into the record, as an event of the calling thread. */
int rg_mark(struct rg *rg, const char *text);

/*
 * Moves the events that the kernel has recorded into the session's log, and points
 * @events at the whole log, which stays valid until the next call for this session.
 * Returns the number of events.
 */
ssize_t rg_events(struct rg *rg, const struct rg_event **events);

/* Drops the log so far: later events make a new ladder. */
int rg_forget(struct rg *rg);

/* Sets the header of a thread's column.  Columns stand in the order of naming. */
int rg_name_thread(struct rg *rg, pid_t tid, const char *name);

/*
 * Prints the log as a ladder: a column per thread, time going down in
 * microseconds since the first event.  Lines begin with "# ": KTAP diagnostics.
 */
int rg_ladder(struct rg *rg, FILE *out);

/* Prints @events as a ladder, with the session's names and labels. */
int rg_ladder_events(struct rg *rg, FILE *out, const struct rg_event *events,
		     size_t nr);

/* The message of the calling thread's last failed call. */
const char *rg_strerror(void);

/* gettid(2), which older C libraries lack. */
pid_t rg_gettid(void);

#endif /* RACEGATE_CLIENT_H */
