// SPDX-License-Identifier: GPL-2.0-only
/*
 * Visits: a fixed table, as no memory can be allocated where a probe may hit.
 *
 * A task finds its visits by its own task_struct and, as calls nest, by the
 * place of the return address on its stack.  A slot is claimed without a lock;
 * from then on only the task that claimed it reads or writes its other fields.
 */
#include <linux/hash.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/sched/task.h>

#include "internal.h"

#define RG_BUCKET_BITS	6
#define RG_BUCKET_SLOTS	32	/* how deep the gated calls of a task can nest */

static struct rg_visit rg_visits[1 << RG_BUCKET_BITS][RG_BUCKET_SLOTS];
static atomic64_t rg_visit_order;
static DEFINE_MUTEX(rg_reap_mutex);

/* The slots that the current task shares with the other tasks of its hash bucket. */
static struct rg_visit *rg_bucket(void)
{
	return rg_visits[hash_ptr(current, RG_BUCKET_BITS)];
}

/* An interrupt in the middle of a visit is not part of it. */
static u8 rg_context(void)
{
	if (hardirq_count())
		return 2;
	return in_serving_softirq() ? 1 : 0;
}

/* A visit holds a reference on the module: the visitor comes back to its code. */
struct rg_visit *rg_visit_new(enum rg_visit_kind kind, unsigned long sp,
			      unsigned long resume)
{
	struct rg_visit *bucket = rg_bucket(), *visit;

	for (visit = bucket; visit < bucket + RG_BUCKET_SLOTS; visit++) {
		if (READ_ONCE(visit->task) ||
		    cmpxchg(&visit->task, NULL, current))
			continue;
		__module_get(THIS_MODULE);
		/* A task that never returns is found by rg_visit_reap(). */
		if (kind == RG_VISIT_RETURN)
			get_task_struct(current);
		visit->kind = kind;
		visit->resume = resume;
		visit->order = atomic64_inc_return(&rg_visit_order);
		visit->nr_gates = 0;
		/* The last field: an interrupt of this task may look for the visit. */
		WRITE_ONCE(visit->sp, sp);
		return visit;
	}
	return NULL;
}

struct rg_visit *rg_visit_find(enum rg_visit_kind kind, unsigned long sp)
{
	struct rg_visit *bucket = rg_bucket(), *visit, *found = NULL;

	for (visit = bucket; visit < bucket + RG_BUCKET_SLOTS; visit++) {
		if (READ_ONCE(visit->task) != current || visit->sp != sp ||
		    visit->kind != kind)
			continue;
		/* A tail call has its caller's place on the stack. */
		if (!found || visit->order > found->order)
			found = visit;
	}
	return found;
}

bool rg_visit_add(struct rg_visit *visit, struct rg_gate *gate)
{
	if (visit->nr_gates == RG_VISIT_GATES)
		return false;
	atomic_inc(&gate->users);
	visit->rounds[visit->nr_gates] = READ_ONCE(gate->round);
	visit->gates[visit->nr_gates++] = gate;
	return true;
}

/* From here on the visitor is in our code; a thread that disarms waits for it. */
void rg_visit_enter(struct rg_visit *visit)
{
	unsigned int i;

	for (i = 0; i < visit->nr_gates; i++)
		atomic_inc(&visit->gates[i]->busy);
	/* Pairs with rg_gate_bury(): either it sees our count or we see a dead gate. */
	smp_mb__after_atomic();
	visit->context = rg_context();
	WRITE_ONCE(visit->inside, true);
}

void rg_visit_end(struct rg_visit *visit)
{
	struct task_struct *task = visit->task;
	bool inside = visit->inside;
	unsigned int i;

	/*
	 * Done first, so that the module can be removed as soon as no thread is busy.
	 * rg_exit() waits for the end of this function.
	 */
	module_put(THIS_MODULE);
	for (i = 0; i < visit->nr_gates; i++) {
		if (inside)
			atomic_dec_return_release(&visit->gates[i]->busy);
		/* A gate without users may be freed at once. */
		atomic_dec_return_release(&visit->gates[i]->users);
	}
	WRITE_ONCE(visit->inside, false);
	WRITE_ONCE(visit->sp, 0);
	if (visit->kind == RG_VISIT_RETURN)
		put_task_struct(task);
	/* Pairs with the cmpxchg() of the next owner, which finds the slot cleared. */
	smp_store_release(&visit->task, NULL);
}

/* Is this a call that racegate itself makes for the current task? */
bool rg_visit_nested(void)
{
	struct rg_visit *bucket = rg_bucket(), *visit;
	u8 context = rg_context();

	for (visit = bucket; visit < bucket + RG_BUCKET_SLOTS; visit++) {
		if (READ_ONCE(visit->task) == current &&
		    READ_ONCE(visit->inside) && visit->context == context)
			return true;
	}
	return false;
}

/*
 * Ends the visits of tasks that died inside a gated function, which never returns
 * then.  Such a task has freed its stack.  rg_reap_mutex keeps two reapers from ending
 * the same visit.
 */
void rg_visit_reap(void)
{
	struct rg_visit *visit;
	struct task_struct *task;

	mutex_lock(&rg_reap_mutex);
	/* A task whose visit is seen here may end it, but RCU delays the task's free. */
	rcu_read_lock();
	for (visit = rg_visits[0];
	     visit < rg_visits[ARRAY_SIZE(rg_visits)]; visit++) {
		task = READ_ONCE(visit->task);
		if (!task || refcount_read(&task->stack_refcount))
			continue;
		/*
		 * The task may have ended its visit and died since it was read,
		 * and another one may have claimed the slot.  The slot of a task
		 * that is dead does not change hands any more.
		 */
		if (READ_ONCE(visit->task) == task)
			rg_visit_end(visit);
	}
	rcu_read_unlock();
	mutex_unlock(&rg_reap_mutex);
}
