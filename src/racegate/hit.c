// SPDX-License-Identifier: GPL-2.0-only
/*
 * A call of a function that has gates.
 *
 * The probe's handler runs with preemption off and must not sleep: a thread that was
 * held there would block its CPU, and each CPU that sends it an IPI and waits, as KVM
 * does to kick vCPUs.  So the handler only redirects the call to a stub, which runs in
 * the context of the function itself.
 */
#include <linux/ftrace.h>
#include <linux/hrtimer.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/sched/signal.h>
#include <linux/timekeeping.h>

#include "internal.h"

/* Callers are in an RCU read-side critical section. */
static bool rg_process_matches(const struct rg_arm *arm)
{
	if (!arm->tgid || arm->tgid == current->tgid)
		return true;
	return arm->flags & RG_ARM_CHILDREN &&
	       rcu_dereference(current->real_parent)->tgid == arm->tgid;
}

static bool rg_gate_matches(const struct rg_gate *gate, unsigned long caller)
{
	const struct rg_arm *arm = &gate->arm;

	if (READ_ONCE(gate->dead) ||
	    (gate->from && !within_module(caller, gate->from)))
		return false;
	if (!arm->tid && !arm->tgid)
		return true;
	return in_task() && (!arm->tid || arm->tid == current->pid) &&
	       rg_process_matches(arm);
}

/* Counts the hit.  Returns true if the gate is to act on it. */
static bool rg_gate_count(struct rg_gate *gate)
{
	const struct rg_arm *arm = &gate->arm;
	u64 hit = atomic64_inc_return(&gate->hits);

	return hit > arm->skip &&
	       (!arm->max_hits || hit - arm->skip <= arm->max_hits);
}

static bool rg_gate_is_open(const struct rg_gate *gate, unsigned int round)
{
	return READ_ONCE(gate->open) || READ_ONCE(gate->dead) ||
	       READ_ONCE(gate->round) != round;
}

static void rg_record(struct rg_gate *gate, u32 kind, u32 reason,
		      const u64 *args)
{
	struct rg_event event = {
		.kind = kind,
		.gate = gate->arm.gate,
		.where = gate->arm.where,
		.reason = reason,
	};

	if (args)
		memcpy(event.args, args, sizeof(event.args));
	rg_event_add(gate->session, &event);
}

/* Waiters find the record and the count when they wake up. */
static void rg_arrive(struct rg_gate *gate, u32 kind, const u64 *args)
{
	rg_record(gate, kind, RG_MISS_NONE, args);
	WRITE_ONCE(gate->last_tid, current->pid);
	atomic_inc(&gate->arrivals);
	irq_work_queue(&gate->session->wake);
}

static void rg_pass(struct rg_gate *gate, const u64 *args)
{
	rg_arrive(gate, gate->arm.where == RG_ENTRY ? RG_EV_ARRIVE : RG_EV_RETURN,
		  args);
}

static void rg_miss(struct rg_gate *gate, u32 reason, const u64 *args)
{
	rg_record(gate, RG_EV_MISSED, reason, args);
	atomic_inc(&gate->missed);
	irq_work_queue(&gate->session->wake);
}

/* May the task sleep here?  Right only as far as this kernel counts preemption. */
static bool rg_may_sleep(void)
{
	return !preempt_count() && !irqs_disabled() && !rcu_preempt_depth() &&
	       !is_idle_task(current);
}

/*
 * The timeout is not in jiffies: they stand still while the CPU that counts them has
 * interrupts off, and jump afterwards.  A task that was about to sleep goes on as if
 * it had been woken; every sleeper has to cope with that.
 */
static u32 rg_sleep(struct rg_gate *gate, unsigned int round)
{
	ktime_t end = ktime_add_us(ktime_get(), gate->arm.timeout_us);
	DEFINE_WAIT(wait);
	u32 ret;

	for (;;) {
		prepare_to_wait(&gate->wq, &wait, TASK_KILLABLE);
		ret = RG_EV_RELEASE;
		if (rg_gate_is_open(gate, round))
			break;
		ret = RG_EV_KILLED;
		if (fatal_signal_pending(current))
			break;
		ret = RG_EV_TIMEOUT;
		if (ktime_compare(ktime_get(), end) >= 0)
			break;
		schedule_hrtimeout(&end, HRTIMER_MODE_ABS);
	}
	finish_wait(&gate->wq, &wait);
	return ret;
}

static u32 rg_spin(struct rg_gate *gate, unsigned int round)
{
	/* A clock that may be read anywhere, also inside of timekeeping. */
	u64 end = ktime_get_mono_fast_ns() + gate->arm.timeout_us * NSEC_PER_USEC;

	while (!rg_gate_is_open(gate, round)) {
		if (ktime_get_mono_fast_ns() >= end)
			return RG_EV_TIMEOUT;
		if (in_task() && fatal_signal_pending(current))
			return RG_EV_KILLED;
		cpu_relax();
	}
	return RG_EV_RELEASE;
}

static void rg_hold(struct rg_gate *gate, unsigned int round, const u64 *args)
{
	bool sleep = gate->arm.action == RG_HOLD_SLEEP;
	u32 end;

	if (sleep && !rg_may_sleep()) {
		rg_miss(gate, RG_MISS_ATOMIC, args);
		return;
	}

	atomic_inc(&gate->held);
	rg_arrive(gate, RG_EV_HELD, args);
	end = sleep ? rg_sleep(gate, round) : rg_spin(gate, round);
	if (end == RG_EV_TIMEOUT)
		atomic_inc(&gate->timeouts);
	if (end == RG_EV_KILLED)
		atomic_inc(&gate->killed);
	rg_record(gate, end, RG_MISS_NONE, NULL);
	atomic_dec(&gate->held);
	irq_work_queue(&gate->session->wake);
}

static void rg_visit_act(struct rg_visit *visit, const u64 *args)
{
	struct rg_gate *gate;
	unsigned int i;

	for (i = 0; i < visit->nr_gates; i++) {
		gate = visit->gates[i];
		if (READ_ONCE(gate->dead))
			continue;
		if (gate->arm.action == RG_RECORD ||
		    rg_gate_is_open(gate, visit->rounds[i]))
			rg_pass(gate, args);
		else
			rg_hold(gate, visit->rounds[i], args);
	}
}

/* Without its visit the call's resume address is lost, and no caller can get an error. */
static struct rg_visit *rg_visit_of_call(enum rg_visit_kind kind,
					 unsigned long sp)
{
	struct rg_visit *visit = rg_visit_find(kind, sp);

	if (!visit)
		panic("racegate: a call of task %d came back unknown",
		      current->pid);
	return visit;
}

/* Called by rg_entry_stub, at the function's entry. */
asmlinkage void rg_entry_hit(struct rg_frame *frame)
{
	u64 args[4] = { frame->di, frame->si, frame->dx, frame->cx };
	struct rg_visit *visit;

	visit = rg_visit_of_call(RG_VISIT_ENTRY,
				 (unsigned long)(&frame->resume + 1));
	/* Set before anything sleeps: a stack dump reads it. */
	frame->resume = visit->resume;
	rg_visit_act(visit, args);
	rg_visit_end(visit);
}

/* Called by rg_return_stub, to which the function returned in place of its caller. */
asmlinkage void rg_return_hit(struct rg_frame *frame)
{
	u64 args[4] = { frame->ax };
	struct rg_visit *visit;

	visit = rg_visit_of_call(RG_VISIT_RETURN,
				 (unsigned long)&frame->resume);
	frame->resume = visit->resume;
	rg_visit_enter(visit);
	rg_visit_act(visit, args);
	rg_visit_end(visit);
}

/* Adds the gate to *visit, which is created if it is NULL. */
static void rg_admit(struct rg_gate *gate, struct rg_visit **visit,
		     enum rg_visit_kind kind, struct pt_regs *regs,
		     unsigned long resume, const u64 *args)
{
	if (!*visit)
		*visit = rg_visit_new(kind, regs->sp, resume);
	if (!*visit || !rg_visit_add(*visit, gate))
		rg_miss(gate, RG_MISS_BUSY, args);
}

/*
 * Returns the address that the call came from.  A function that tail-calls this one
 * leaves its own return address on the stack, which rg_return_stub may have replaced.
 */
static unsigned long rg_caller(const struct pt_regs *regs)
{
	unsigned long caller = *(unsigned long *)regs->sp;
	struct rg_visit *visit;

	if (caller == (unsigned long)rg_return_stub) {
		visit = rg_visit_find(RG_VISIT_RETURN, regs->sp);
		if (visit)
			caller = visit->resume;
	}
	return caller;
}

int rg_pre_handler(struct kprobe *kp, struct pt_regs *regs)
{
	struct rg_probe *probe = container_of(kp, struct rg_probe, kp);
	u64 args[4] = { regs->di, regs->si, regs->dx, regs->cx };
	struct rg_visit *entry = NULL, *ret = NULL;
	/* At the entry the stack pointer points to the return address. */
	unsigned long *return_address = (unsigned long *)regs->sp;
	unsigned long caller = rg_caller(regs);
	struct rg_gate *gate;

	rcu_read_lock();
	list_for_each_entry_rcu(gate, &probe->gates, probe_link) {
		if (!rg_gate_matches(gate, caller) || rg_visit_nested())
			continue;
		if (in_nmi()) {
			/* ring_lock may not be taken in an NMI: no record, only a count. */
			atomic_inc(&gate->missed);
			continue;
		}
		if (!rg_gate_count(gate))
			continue;
		if (gate->arm.where == RG_RETURN)
			rg_admit(gate, &ret, RG_VISIT_RETURN, regs,
				 *return_address, args);
		else if (gate->arm.action == RG_RECORD || READ_ONCE(gate->open))
			rg_pass(gate, args);
		else
			rg_admit(gate, &entry, RG_VISIT_ENTRY, regs,
				 (unsigned long)kp->addr + MCOUNT_INSN_SIZE,
				 args);
	}
	rcu_read_unlock();

	if (ret)
		*return_address = (unsigned long)rg_return_stub;
	if (!entry)
		return 0;
	rg_visit_enter(entry);
	regs->ip = (unsigned long)rg_entry_stub;
	return 1;
}

NOKPROBE_SYMBOL(rg_pre_handler);
