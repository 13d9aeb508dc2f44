/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * racegate for a test program: see src/racegate/racegate.h for what a gate does.
 *
 * Unless said otherwise a function returns 0 or more, or -errno, and then
 * rg_strerror() says what went wrong in words that name the symbol or the file.
 * A session may be used by several threads.
 *
 * Arm before the threads run into the function, where that can be chosen: a gate
 * changes the function's code, and QEMU's TCG before version 8.1 may crash the
 * host if another CPU calls it right then.
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

/* How long a gate holds a thread unless rg_point says otherwise. */
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

/* Opens a session; rg_close() ends it and frees @rg.  NULL is fine to close. */
int rg_open(struct rg **rg);
void rg_close(struct rg *rg);

/*
 * Like rg_open(), and arms @points.  For points that are only recorded: one that
 * this kernel lacks is left out, and the ladder is printed without it.
 * Only what this process and its children do counts: other VMs may run on the host.
 *
 * Call it once, before the harness forks a process for each case: to arm and
 * disarm takes a good part of a second per point on an emulated CPU.
 */
int rg_open_armed(struct rg **rg, const struct rg_point *points, size_t nr);

/*
 * Has gates of these functions, "module:function", that no thread runs into, as long as the
 * process lives: others are armed there in microseconds.  One that this kernel lacks is left out.
 * To be called before the harness forks, as well.
 */
void rg_keep(const char * const *symbols, size_t nr);

/* The session's file descriptor, for poll(2). */
int rg_fd(struct rg *rg);

/* Returns the gate's id. */
int rg_arm(struct rg *rg, const struct rg_point *point);

/* The same; at a point without tid and tgid, for this process and its children. */
int rg_arm_ours(struct rg *rg, const struct rg_point *point);

int rg_wait(struct rg *rg, int gate, unsigned int nth,
	    unsigned long long timeout_us);

/* Waits until the gate holds no thread: each that was held has left it. */
int rg_wait_left(struct rg *rg, int gate, unsigned long long timeout_us);

/* Releases the threads that are held; later arrivals pass, or with rg_step() are held. */
int rg_release(struct rg *rg, int gate);
int rg_step(struct rg *rg, int gate);

int rg_status(struct rg *rg, int gate, struct rg_status *status);
int rg_disarm(struct rg *rg, int gate);

/* Puts @text into the record, as said by the calling thread now. */
int rg_mark(struct rg *rg, const char *text);

/*
 * Moves what the kernel has recorded into the session's log, and points @events
 * at the whole log, which stays valid until the next call for this session.
 * Returns how many there are.
 */
ssize_t rg_events(struct rg *rg, const struct rg_event **events);

/* Drops the log so far: what comes is another ladder. */
int rg_forget(struct rg *rg);

/* The header of a thread's column.  Columns stand in the order of naming. */
int rg_name_thread(struct rg *rg, pid_t tid, const char *name);

/*
 * Prints the log as a ladder: a column per thread, time going down in
 * microseconds since the first event.  Lines begin with "# ": KTAP diagnostics.
 */
int rg_ladder(struct rg *rg, FILE *out);

/* The same for events from elsewhere; names and labels are the session's. */
int rg_ladder_events(struct rg *rg, FILE *out, const struct rg_event *events,
		     size_t nr);

/* What the calling thread's last failed call failed on. */
const char *rg_strerror(void);

/* gettid(2), which older C libraries lack. */
pid_t rg_gettid(void);

#endif /* RACEGATE_CLIENT_H */
