/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Declarations that the parts of racegate share: session.c (the device), gate.c
 * (arming and disarming), hit.c (a call of a gated function), visit.c (calls that
 * are on their way through a stub), event.c (the record), stub.S (the code that a
 * redirected call continues in).
 *
 * Locks: rg_probe_mutex, outermost, protects the probes and their lists of gates;
 * rg_reap_mutex, below it, makes sure that a visit is ended once; session->mutex
 * protects the session's list of gates; session->read_mutex, which nests with none
 * but ring_lock, serializes readers; session->ring_lock and gate->wq.lock are
 * innermost.  The release of threads never takes rg_probe_mutex: a held thread may
 * own a lock, such as text_mutex, that the arming thread waits for.
 */
#ifndef RACEGATE_INTERNAL_H
#define RACEGATE_INTERNAL_H

#include <linux/atomic.h>
#include <linux/irq_work.h>
#include <linux/kprobes.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/sched.h>
#include <linux/spinlock.h>
#include <linux/wait.h>

#include "racegate.h"

/* A probe on one address: all gates there share it. */
struct rg_probe {
	struct kprobe kp;
	struct module *mod;		/* the function's module; NULL: vmlinux */
	char symbol[RG_SYMBOL_LEN];
	struct list_head gates;		/* RCU */
	struct list_head link;
};

struct rg_session {
	struct mutex mutex;		/* for the three below */
	struct list_head gates;		/* with the dead ones, until rg_gate_sweep() */
	unsigned int nr_gates;		/* the armed ones */
	u32 last_id;
	bool deferred;			/* a gate was left to RCU; rg_probe_mutex */

	struct mutex read_mutex;	/* one reader at a time */
	raw_spinlock_t ring_lock;
	struct rg_event *ring;
	unsigned int head, tail;	/* free running; head is written next */
	u64 lost;			/* records since the last one that fitted */
	u64 seq;

	wait_queue_head_t wq;		/* for readers and for RG_WAIT */
	struct irq_work wake;		/* for contexts that cannot wake a task */
	struct list_head orphan;	/* in the list of closed sessions */
};

struct rg_gate {
	struct rg_session *session;
	struct rg_probe *probe;		/* NULL: rg_gate_sweep() may free the gate */
	struct list_head probe_link;	/* RCU */
	struct list_head session_link;
	struct rg_arm arm;
	struct module *from;		/* only calls from it are hits; NULL: all are */
	struct rcu_head rcu;

	bool dead;			/* disarmed */
	bool buried;			/* taken off its probe */
	bool open;			/* released */
	unsigned int round;		/* +1 at every release */
	wait_queue_head_t wq;		/* threads held here */

	atomic64_t hits;
	atomic_t arrivals, held, timeouts, killed, missed;
	pid_t last_tid;

	atomic_t users;			/* visits, and callers of RG_WAIT */
	atomic_t busy;			/* visits that are in our code now */
};

/* The highest number of gates that can hold one call. */
#define RG_VISIT_GATES	4

enum rg_visit_kind {
	RG_VISIT_ENTRY,
	RG_VISIT_RETURN,
	RG_VISIT_SELF,			/* racegate's own work for a thread */
};

/* A call on its way through a stub, or one whose return is awaited. */
struct rg_visit {
	struct task_struct *task;	/* the owner, which alone uses the other fields */
	enum rg_visit_kind kind;
	bool inside;			/* in our code, not in the function */
	u8 context;			/* while inside: see visit.c */
	unsigned long sp;		/* the place of the return address */
	unsigned long resume;		/* the address to jump to after the stub */
	u64 order;			/* of two visits with one sp, the later has more */
	unsigned int nr_gates;
	struct rg_gate *gates[RG_VISIT_GATES];
	unsigned int rounds[RG_VISIT_GATES];
};

/* The registers that the stubs push, lowest address first. */
struct rg_frame {
	unsigned long r11, r10, r9, r8, ax, cx, dx, si, di;
	unsigned long resume;
};

/* event.c */
int rg_ring_init(struct rg_session *session);
void rg_ring_free(struct rg_session *session);
void rg_event_add(struct rg_session *session, const struct rg_event *event);
bool rg_event_peek(struct rg_session *session, struct rg_event *event);
void rg_event_drop(struct rg_session *session);
bool rg_event_pending(const struct rg_session *session);

/* visit.c */
struct rg_visit *rg_visit_new(enum rg_visit_kind kind, unsigned long sp,
			      unsigned long resume);
struct rg_visit *rg_visit_find(enum rg_visit_kind kind, unsigned long sp);
bool rg_visit_add(struct rg_visit *visit, struct rg_gate *gate);
void rg_visit_enter(struct rg_visit *visit);
void rg_visit_end(struct rg_visit *visit);
bool rg_visit_nested(void);
void rg_visit_reap(void);

/* gate.c */
int rg_gate_arm(struct rg_session *session, struct rg_arm *arm);
struct rg_gate *rg_gate_find(struct rg_session *session, u32 id);
void rg_gate_release(struct rg_gate *gate, bool stay_closed);
int rg_gate_disarm(struct rg_session *session, u32 id);
void rg_gate_disarm_all(struct rg_session *session);
bool rg_gate_sweep(struct rg_session *session);

/* hit.c */
int rg_pre_handler(struct kprobe *kp, struct pt_regs *regs);
asmlinkage void rg_entry_hit(struct rg_frame *frame);
asmlinkage void rg_return_hit(struct rg_frame *frame);

/* stub.S */
void rg_entry_stub(void);
void rg_return_stub(void);

#endif /* RACEGATE_INTERNAL_H */
