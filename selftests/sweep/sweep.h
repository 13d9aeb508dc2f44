/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The sweep: every single preemption of one KVM operation by another.
 *
 * Each of the two operations has a thread with a CPU of its own.  The path of the first
 * (A) through kvm and the vendor module is recorded once: entries and returns of
 * functions, and the lock operations that they call.  Then, for each of these points
 * and with fresh state, A is held there, the second operation (B) runs to its end or
 * until it evidently waits, and A goes on.  The outcome must be that of one operation
 * after the other, in either order.
 *
 * stage_*.c: the kinds of VM, and the operations in them.  pair.c: the pairs.
 * path.c: the points.  schedule.c: one run.  outcome.c: outcomes, and their comparison.
 * survive.c: going on after the kernel has killed a thread.  sweep.c: the program.
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

/* outcome.c: numbers that describe the outcome of two operations */
#define OUTCOME_WORDS	96

struct outcome {
	unsigned int nr;
	struct {
		const char *name;	/* a constant, as only the pointer is kept */
		unsigned int index;	/* among those of that name */
		uint64_t value;
	} word[OUTCOME_WORDS];
};

/* outcome_add - add a word; every run must add the same ones, in the same order */
void outcome_add(struct outcome *outcome, const char *name, unsigned int index,
		 uint64_t value);

/* outcome_add_vcpu - add the state that userspace can read; call it in the vCPU's own thread */
void outcome_add_vcpu(struct outcome *outcome, struct kvm_vcpu *vcpu);

/* outcome_add_system - the same without the general registers */
void outcome_add_system(struct outcome *outcome, struct kvm_vcpu *vcpu);

/* outcome_sum - a hash of the memory */
uint64_t outcome_sum(const void *data, size_t size);

/* The outcomes of runs without an overlap, and the words that vary among them. */
struct reference {
	struct outcome order[2];	/* A then B; B then A */
	bool noise[OUTCOME_WORDS];
};

/* reference_add - add a run in that order: a word that differs from the first run is noise */
void reference_add(struct reference *reference, int order,
		   const struct outcome *outcome, bool first);

/* reference_is - is @outcome that of this order? */
bool reference_is(const struct reference *reference, int order,
		  const struct outcome *outcome);

/* reference_is_mixed - is each word of @outcome that of either order? */
bool reference_is_mixed(const struct reference *reference,
			const struct outcome *outcome);

/* reference_print_difference - print the words that are of no order; returns their number */
unsigned int reference_print_difference(const struct reference *reference,
					const struct outcome *outcome);

/* reference_print_noise - print the words that are not compared */
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

/* worker_call - have the worker call @work, and wait for its end */
void worker_call(struct worker *worker, void (*work)(struct sweep *sweep));

/* A vCPU belongs to one thread for its whole life, and so do the operations on it. */
enum op_thread { ANY_THREAD, THREAD_0, THREAD_1 };

/* The operation's worker calls all of these functions. */
struct op {
	const char *name;		/* one word */
	const char *what;		/* for the map, such as "replaces the page" */
	void (*run)(struct sweep *sweep);
	/* NULL, or prepare @run, after the stage's fresh() */
	void (*prepare)(struct sweep *sweep);
	/*
	 * NULL, or add to sweep->outcome; called twice, when both operations have ended, and
	 * after the stage's probe()
	 */
	void (*observe)(struct sweep *sweep);
	/* NULL, or undo @run, before the stage's fresh(); also called if it has not run */
	void (*undo)(struct sweep *sweep);
	unsigned int arg;		/* for the stage's use */
	/*
	 * KVM may repeat the operation in a run, as it writes steal time whenever the vCPU is
	 * scheduled in: then some words of the outcome may be of one order, and some of the
	 * other
	 */
	bool repeats;
	enum op_thread thread;		/* the worker that must run it */
};

/*
 * A kind of VM.  The steering thread, which has a CPU of its own, calls these functions.
 */
struct stage {
	const char *name;
	/* returns NULL, or the reason why this host cannot have such a VM */
	const char *(*missing)(void);
	/* create a VM; @destroy returns the number of pages that still are referenced */
	void (*create)(struct sweep *sweep);
	unsigned int (*destroy)(struct sweep *sweep);
	/* restore the same state, before each schedule */
	void (*fresh)(struct sweep *sweep);
	/* NULL, or note the state, after the operations' prepare() */
	void (*begin)(struct sweep *sweep);
	/* after the operations: use everything that they may have broken */
	void (*probe)(struct sweep *sweep);
	/* add to sweep->outcome, which starts empty */
	void (*observe)(struct sweep *sweep);
	/*
	 * NULL, or interrupt a worker that would sleep for ever, such as in a KVM_RUN of a
	 * halted vCPU; called when it has slept for a while and nothing else is left to do
	 */
	void (*stop)(struct sweep *sweep, struct worker *worker);
	/*
	 * The operations include a step that must make no difference, such as a migration,
	 * and leave it out if sweep->plain is true.  Outcomes are compared with those
	 * without that step.
	 */
	bool has_plain;
	/* @fresh creates a new VM each time */
	bool fresh_is_new;
	/*
	 * NULL, or a NULL-terminated list of arrays of all operations there; each array ends
	 * with an operation without a name
	 */
	const struct op * const *ops;
};

struct pair {
	const char *race;		/* NULL if the pair was named by its operations */
	const struct stage *stage;
	const struct op *op[2];
	bool alike;			/* holding the second instead makes no difference */
};

extern const struct pair apic_page_pairs[], apicv_pairs[], gpc_pairs[], nested_pairs[];
extern const struct pair tdp_pairs[];
extern const struct stage stage_busy, stage_busy_l2, stage_newborn;

/* pair.c */

/*
 * pair_of_race - the race's first pair that this host can run, or else its last; or NULL
 * pair_list - print the pairs of races, "RACE A B alike", one per line
 */
const struct pair *pair_of_race(const char *race);
void pair_list(void);

/*
 * pair_make - set @pair to the operations of those names, of a stage that has both
 * @swapped: set if @a is the pair's second operation, because of its thread
 *
 * Returns NULL, or the reason why there is no such pair.
 */
const char *pair_make(const char *a, const char *b, struct pair *pair, bool *swapped);

/* pair_list_ops - print the operations, "NAME WHAT STAGE", one per line */
void pair_list_ops(void);

/* path.c */
enum verdict {
	NOT_TRIED,		/* no verdict: see the point's @why */
	NOT_REACHED,		/* A ended without passing the point */
	RAN_THROUGH,		/* B ran to its end while A was held */
	WAITED,			/* B waited, in some way, for A to go on */
	SHOWS,			/* the outcome is of no order: a finding */
	DIES,			/* the kernel dies, or kills a thread */
	NR_VERDICTS,
};

/* The progress of B while A was held. */
enum progress {
	RAN,
	SLEEPS,
	SPINS,
	POLLS,			/* neither, but does not end */
	HELD,			/* at its own gate */
	ASKS,			/* waits for A's CPU to acknowledge an IPI */
};

struct function {
	char symbol[RG_SYMBOL_LEN];
	const char *from;		/* NULL, or, for a lock operation, the calling module */
	int nobody;			/* the gate that stays; 0: not armed yet */
	int gate[2];			/* gates while the path is recorded */
};

struct point {
	struct function *function;
	unsigned int where;		/* RG_ENTRY, RG_RETURN */
	unsigned int visit;		/* from 1 */
	unsigned int depth;		/* depth of calls on the path, from 0 */
	bool atomic;			/* the kernel must not sleep there */
	enum verdict verdict;
	enum progress progress;
	const char *why;		/* NULL, or the reason for the verdict */
};

struct path {
	struct function *functions;
	unsigned int nr_functions, nr_no_gate;
	struct point *points;
	unsigned int nr_points, nr_missed;
};

/* A tid that no thread has: while a gate for it is armed, others patch no code. */
#define NOBODY	0x7fffffff

/* path_alloc - allocate an empty path, which all processes of survive() share */
void path_alloc(struct path *path);

/*
 * path_trace - find the functions of kvm and the vendor module that @worker passes in
 * @run, and arm a gate for NOBODY at each, and at each lock operation
 *
 * Returns NULL, or the reason why there is no path.
 */
const char *path_trace(struct sweep *sweep, struct worker *worker,
		       void (*run)(struct sweep *sweep));

/*
 * path_record - record the points of the path, up to @visits of each; functions without a
 * point stay in the path.  Returns NULL, or the reason why there are no points.
 */
const char *path_record(struct sweep *sweep, struct worker *worker,
			void (*run)(struct sweep *sweep), unsigned int visits);

/* path_name_point - write function, where and visit into @text, separated by tabs */
void path_name_point(const struct point *point, char *text, size_t size);

/* path_print - print the path on lines that path_read() can read */
void path_print(const struct path *path);

/*
 * path_read - read a path that was printed in another boot of the same modules; this traces
 * nothing, and arms no gate
 */
const char *path_read(struct path *path, const char *text);

/*
 * path_put_gate - arm a gate for NOBODY, unless there is one; from then on arming others
 * there patches no code.  Returns whether there is a gate.
 */
bool path_put_gate(struct sweep *sweep, struct function *function);

/* path_drop_unused - disarm the gates of lock operations that are not on the path */
void path_drop_unused(struct sweep *sweep);

struct options;

/* schedule.c */
struct times {
	unsigned long long vm, fresh, hold, second, end, look;
};

/* A lock operation on A's path: the number of B's calls shows whether B is in a loop. */
#define MAX_PASSES	16

struct passes {
	int gate;
	uint64_t before;	/* calls before B began */
	uint64_t usual;		/* the most calls of B without an overlap */
};

struct sweep {
	const struct pair *pair;
	int first;			/* the operation that is held: 0 or 1 */
	bool plain;			/* see struct stage */
	struct worker *worker;		/* this process's 2 workers, one per operation */
	struct rg *rg;
	int slowpath[4];		/* gates that record B waiting for a lock */
	unsigned int nr_slowpaths;
	int ipi[2];			/* gates around B's IPIs to other CPUs */
	struct passes passes[MAX_PASSES];
	unsigned int nr_passes;
	unsigned long long usual_us[2];	/* the shortest time of B before A, and after A */
	struct path path, path_of_other;
	struct reference reference;
	unsigned int orders_wrong;	/* findings without an overlap; see struct stage */
	unsigned int complaints;	/* of the kernel, in runs without an overlap */
	struct outcome outcome;
	int log;			/* new lines of the kernel's log on the deny list */
	void *stage;			/* the stage's own data */
	unsigned int schedules, vms, leaked;
	unsigned int repeated;		/* interrupts, by the emulator; see emulator.c */
	/* The point that is tried, its tries, and how many of them have killed a thread. */
	unsigned int at, tries, deaths;
	unsigned int verdicts[NR_VERDICTS];
	unsigned long long begin_us;
	char oops[80];			/* the function of the last oops */
	int lost_fd, kmsg;		/* for survive.c */
	const struct options *options;
	struct times us;
	bool reboots;			/* reboot a host that hangs */
};

/* survive.c */

/*
 * survive - call @run in a process of its own, and again in another one whenever the kernel
 * has killed a thread; returns its exit status
 */
int survive(struct sweep *sweep, int (*run)(struct sweep *sweep));

/* survive_alloc - allocate zeroed memory that all these processes share; it is never freed */
void *survive_alloc(size_t size);

/* survive_lost - go on in another process, as a thread was killed; does not return */
void survive_lost(struct sweep *sweep);

/* counters.c */

/*
 * counters_print - repeat the schedule of a finding, and print which of KVM's counters differ
 * from both orders
 */
void counters_print(struct sweep *sweep, struct point *point, struct point *second);

/* counter_find - the offset of a counter in KVM_GET_STATS_FD, or 0 if there is none */
off_t counter_find(int stats, const char *name);

/* keep.c */

/*
 * keep_gates - leave a process behind that keeps gates for NOBODY at all functions of the path
 * @file: the functions at which such gates are kept already; the new ones are added to it
 */
void keep_gates(struct sweep *sweep, const char *file);

/* keep_forever - the main function of that process; does not return */
void keep_forever(void);

/* read_file - returns the content of a file, to be freed, or NULL */
char *read_file(const char *path);

struct schedule {
	enum verdict verdict;
	enum progress progress;
	const char *why;
};

/* sweep_start - start the workers; returns NULL, or the reason why that failed */
const char *sweep_start(struct sweep *sweep);

/* sweep_count_passes - count B's calls of the lock operations on the path from now on */
void sweep_count_passes(struct sweep *sweep);

/* sweep_fresh - restore the stage's state, and prepare the operations */
void sweep_fresh(struct sweep *sweep);

/* sweep_order - run one after the other, A first or B first; sets sweep->outcome */
void sweep_order(struct sweep *sweep, bool first_goes_first);

/*
 * sweep_hold - run one schedule; with @alone B runs only after the end of A
 *
 * With @second, a point of B's path, B is held there while A is held at @point; then A
 * goes on to its end, or until it waits, and B after it.
 */
void sweep_hold(struct sweep *sweep, struct point *point, struct point *second,
		bool alone, struct schedule *result);

/* sweep_give_up - end the sweep, as the host hangs or is broken; does not return */
void sweep_give_up(struct sweep *sweep);

unsigned long long sweep_now_us(void);

#endif /* SWEEP_H */
