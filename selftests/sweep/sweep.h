/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The sweep: every single preemption of one KVM operation by another.
 *
 * Two operations, each in a thread with a CPU of its own.  The path of the first
 * through kvm and the vendor module is found out once: entries and returns of
 * functions, and the lock operations that they call.  Then, for each of these points
 * and with fresh state, the first is held there, the second runs to its end or until
 * it plainly waits, and the first goes on.  What comes of it has to be what comes of
 * one after the other, in one order or the other.
 *
 * stage_*.c for each kind of VM: what it is made of, and the operations in it.
 * path.c: the points.  schedule.c: one run.  outcome.c: what came of it.
 * survive.c: to go on when the kernel kills a thread.  sweep.c: the program.
 */
#ifndef SWEEP_H
#define SWEEP_H

#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "kvm_util.h"
#include "racegate_client.h"

struct sweep;

/* outcome.c: numbers that say what came of two operations */
#define OUTCOME_WORDS	96

struct outcome {
	unsigned int nr;
	struct {
		const char *name;	/* a constant: kept by reference */
		unsigned int index;	/* of several of that name */
		uint64_t value;
	} word[OUTCOME_WORDS];
};

/* outcome_add - one more; every run has to add the same ones, in the same order */
void outcome_add(struct outcome *outcome, const char *name, unsigned int index,
		 uint64_t value);

/* outcome_add_vcpu - the state that userspace can read; in the vCPU's own thread */
void outcome_add_vcpu(struct outcome *outcome, struct kvm_vcpu *vcpu);

/* outcome_add_system - the same without the general registers */
void outcome_add_system(struct outcome *outcome, struct kvm_vcpu *vcpu);

/* outcome_sum - a number that tells one content of memory from another */
uint64_t outcome_sum(const void *data, size_t size);

/* Runs that nothing disturbed, and which of their words mean nothing. */
struct reference {
	struct outcome order[2];	/* A then B; B then A */
	bool noise[OUTCOME_WORDS];
};

/* reference_add - one more run in that order: a word that differs is noise */
void reference_add(struct reference *reference, int order,
		   const struct outcome *outcome, bool first);

/* reference_is - is it the outcome of that order? */
bool reference_is(const struct reference *reference, int order,
		  const struct outcome *outcome);

/* reference_is_mixed - is each word of it that of an order? */
bool reference_is_mixed(const struct reference *reference,
			const struct outcome *outcome);

/* reference_print_difference - as diagnostics, in words; returns how many differ */
unsigned int reference_print_difference(const struct reference *reference,
					const struct outcome *outcome);

/* reference_print_noise - which words are not looked at */
void reference_print_noise(const struct reference *reference);

/* A thread on a CPU of its own, that runs one function each time that it is started. */
struct worker {
	struct sweep *sweep;
	void (*work)(struct sweep *sweep);
	pthread_t thread;
	pid_t tid;
	int cpu;
	int stat;		/* an open /proc/.../stat */
	int wchan;
	sem_t go, done;
	bool busy;
	/* A gate to arm for itself before it works, and its id or an error. */
	const struct rg_point *gate;
	int gate_id;
	sem_t armed;
};

/* worker_call - have it done there, and wait for it */
void worker_call(struct worker *worker, void (*work)(struct sweep *sweep));

/* A vCPU belongs to one thread for life: so do the operations on it. */
enum op_thread { ANY_THREAD, THREAD_0, THREAD_1 };

/* All of it is called by the operation's worker. */
struct op {
	const char *name;		/* of one word */
	const char *what;		/* for the map: "replaces the page" */
	void (*run)(struct sweep *sweep);
	/* NULL, or what it needs to be there, after the stage's fresh() */
	void (*prepare)(struct sweep *sweep);
	/*
	 * NULL, or add to sweep->outcome: twice, when both operations are at their ends, and
	 * again after the stage's probe()
	 */
	void (*observe)(struct sweep *sweep);
	/* NULL, or take it back, before the stage's fresh(); also where it has not run */
	void (*undo)(struct sweep *sweep);
	unsigned int arg;		/* the stage's */
	/*
	 * KVM may do it more than once in a run, as it writes steal time whenever the vCPU
	 * is scheduled in: then a part of the outcome may be of one order, and a part of
	 * the other
	 */
	bool repeats;
	enum op_thread thread;		/* which worker's it has to be */
};

/*
 * A kind of VM.  All but @run of an operation and @observe is called by the thread
 * that steers, which is on a CPU of its own.
 */
struct stage {
	const char *name;
	/* NULL, or why this host has no such thing */
	const char *(*missing)(void);
	/* a new VM; @destroy returns the number of pages that still are referenced */
	void (*create)(struct sweep *sweep);
	unsigned int (*destroy)(struct sweep *sweep);
	/* the same state again, before each schedule */
	void (*fresh)(struct sweep *sweep);
	/* NULL, or note how it is, when the operations have what they need */
	void (*begin)(struct sweep *sweep);
	/* after the operations: use everything that they may have broken */
	void (*probe)(struct sweep *sweep);
	/* add to sweep->outcome, which starts empty */
	void (*observe)(struct sweep *sweep);
	/*
	 * NULL, or end what a thread does that would sleep for ever, such as a KVM_RUN of
	 * a halted vCPU: called when it has slept for a while and all else is done
	 */
	void (*stop)(struct sweep *sweep, struct worker *worker);
	/*
	 * The operations have something in them that must make no difference, such as a
	 * migration, which is left out where sweep->plain is true.  What comes of the two
	 * is compared with that.
	 */
	bool has_plain;
	/* @fresh makes a new VM each time */
	bool fresh_is_new;
	/*
	 * NULL, or arrays, up to a NULL, of all that can be done there; each ends with an
	 * operation without a name
	 */
	const struct op * const *ops;
};

struct pair {
	const char *race;		/* or NULL: of a pair that was named by its operations */
	const struct stage *stage;
	const struct op *op[2];
	bool alike;			/* it does not matter which one is held */
};

extern const struct pair apic_page_pairs[], apicv_pairs[], gpc_pairs[], nested_pairs[];
extern const struct pair tdp_pairs[];
extern const struct stage stage_busy, stage_busy_l2, stage_newborn;

/* pair.c */

/*
 * pair_of_race - of several, the first one that this host has; or NULL
 * pair_list: "RACE A B alike", a line each
 */
const struct pair *pair_of_race(const char *race);
void pair_list(void);

/*
 * pair_make - the pair of those names, of a stage that has both, A being the one that is
 * held unless -r says otherwise, and whether that is swapped; NULL, or why there is none
 */
const char *pair_make(const char *a, const char *b, struct pair *pair, bool *swapped);

/* pair_list_ops - "NAME WHAT STAGE", a line each */
void pair_list_ops(void);

/* path.c */
enum verdict {
	NOT_TRIED,		/* no verdict: see the point's @why */
	NOT_REACHED,		/* A came to its end without passing there */
	RAN_THROUGH,		/* B ran to its end while A was held */
	WAITED,			/* B waited, in whatever way, for A to go on */
	SHOWS,			/* and the outcome is of no order: a finding */
	DIES,			/* the kernel dies of it, or kills a thread */
	NR_VERDICTS,
};

/* How B came along while A was held. */
enum progress {
	RAN,
	SLEEPS,
	SPINS,
	POLLS,			/* neither, and does not get to its end */
	HELD,			/* where it is to be held itself */
	ASKS,			/* for an interrupt to be answered, by A's CPU */
};

struct function {
	char symbol[RG_SYMBOL_LEN];
	const char *from;		/* NULL, or whose calls count: a lock */
	int nobody;			/* the gate that stays; 0: not there yet */
	int gate[2];			/* while the path is recorded */
};

struct point {
	struct function *function;
	unsigned int where;		/* RG_ENTRY, RG_RETURN */
	unsigned int visit;		/* from 1 */
	unsigned int depth;		/* of calls on the path, from 0 */
	bool atomic;			/* the kernel must not sleep there */
	enum verdict verdict;
	enum progress progress;
	const char *why;		/* NULL, or more about the verdict */
};

struct path {
	struct function *functions;
	unsigned int nr_functions, nr_no_gate;
	struct point *points;
	unsigned int nr_points, nr_missed;
};

/* A tid that no thread has: a gate for it changes the code once and for all. */
#define NOBODY	0x7fffffff

/* path_alloc - an empty path, which all processes of survive() have */
void path_alloc(struct path *path);

/*
 * path_trace - which functions of kvm and the vendor module @worker passes while
 * @run runs, and a gate for no thread at each, and at each lock operation
 *
 * Returns NULL, or why there is no path.
 */
const char *path_trace(struct sweep *sweep, struct worker *worker,
		       void (*run)(struct sweep *sweep));

/* path_record - its points, up to @visits of each; functions without one stay */
const char *path_record(struct sweep *sweep, struct worker *worker,
			void (*run)(struct sweep *sweep), unsigned int visits);

/* path_name_point - in words, with tabs between them */
void path_name_point(const struct point *point, char *text, size_t size);

/* path_print - on lines that path_read() can read */
void path_print(const struct path *path);

/*
 * path_read - a path as it was printed in another boot of the same modules; nothing is
 * traced, and no gate is there yet
 */
const char *path_read(struct path *path, const char *text);

/*
 * path_put_gate - a gate for no thread, unless it is there; from then on others there cost
 * no change of code
 */
bool path_put_gate(struct sweep *sweep, struct function *function);

/* path_drop_unused - give up the gates of lock operations that are not on the path */
void path_drop_unused(struct sweep *sweep);

struct options;

/* schedule.c */
struct times {
	unsigned long long vm, fresh, hold, second, end, look;
};

/* A lock operation on A's path: how often B comes there, to see it go round in a loop. */
#define MAX_PASSES	16

struct passes {
	int gate;
	uint64_t before;	/* when B began */
	uint64_t usual;		/* at most, of B that nothing disturbed */
};

struct sweep {
	const struct pair *pair;
	int first;			/* which operation is held: 0 or 1 */
	bool plain;			/* see struct stage */
	struct worker *worker;		/* 2, of the pair's operations; this process's */
	struct rg *rg;
	int slowpath[4];		/* gates that see B wait for a lock */
	unsigned int nr_slowpaths;
	int ipi[2];			/* when it interrupts other CPUs, and has done */
	struct passes passes[MAX_PASSES];
	unsigned int nr_passes;
	unsigned long long usual_us[2];	/* at least, of B as the first one, and after A */
	struct path path, path_of_other;
	struct reference reference;
	unsigned int orders_wrong;	/* without an overlap; see struct stage */
	struct outcome outcome;
	int log;			/* lines that the kernel should not have said */
	void *stage;			/* what the stage keeps */
	unsigned int schedules, vms, leaked;
	unsigned int repeated;		/* interrupts, by the emulator; see stage_busy.c */
	/* The point that is tried, and how often it was, and was the end of a thread. */
	unsigned int at, tries, deaths;
	unsigned int verdicts[NR_VERDICTS];
	unsigned long long begin_us;
	char oops[80];			/* where it was, the last time */
	int lost_fd, kmsg;		/* survive.c's */
	const struct options *options;
	struct times us;
	bool reboots;			/* a host that hangs is to be ended */
};

/* survive.c */

/*
 * survive - have @run run in a process of its own, and once more in another if the kernel
 * has killed a thread; returns its exit status
 */
int survive(struct sweep *sweep, int (*run)(struct sweep *sweep));

/* survive_alloc - memory that all of them have, full of 0; for as long as they live */
void *survive_alloc(size_t size);

/* survive_lost - a thread was killed: leave this process alone; does not return */
void survive_lost(struct sweep *sweep);

/* counters.c */

/*
 * counters_print - which of KVM's counters differ, in a run like that of a finding, from both
 * orders; another such run, in which nothing is judged
 */
void counters_print(struct sweep *sweep, struct point *point, struct point *second);

/* counter_find - where pread() finds a counter in KVM_GET_STATS_FD; 0 if there is no such one */
off_t counter_find(int stats, const char *name);

/* keep.c */

/*
 * keep_gates - leave a process behind that keeps gates for no thread at all functions of the
 * path, but for those that @file names, which has those that are kept already
 */
void keep_gates(struct sweep *sweep, const char *file);

/* keep_forever - that process; does not return */
void keep_forever(void);

/* read_file - the whole of a file, to be freed, or NULL */
char *read_file(const char *path);

struct schedule {
	enum verdict verdict;
	enum progress progress;
	const char *why;
};

/* sweep_start - the threads, for the pair's operations; NULL, or why not */
const char *sweep_start(struct sweep *sweep);

/* sweep_count_passes - from now on, of lock operations that are on the path */
void sweep_count_passes(struct sweep *sweep);

/* sweep_fresh - the same state again: the stage's, and what the operations need */
void sweep_fresh(struct sweep *sweep);

/* sweep_order - one after the other, the held one first or second; see outcome */
void sweep_order(struct sweep *sweep, bool first_goes_first);

/*
 * sweep_hold - one schedule; with @alone B runs only when A has come to its end
 *
 * With @second, a point of B's path, B is held there while A is held at @point; then A
 * goes on to its end, or until it waits, and B after it.
 */
void sweep_hold(struct sweep *sweep, struct point *point, struct point *second,
		bool alone, struct schedule *result);

/* sweep_give_up - the host is no good any more; does not return */
void sweep_give_up(struct sweep *sweep);

unsigned long long sweep_now_us(void);

#endif /* SWEEP_H */
