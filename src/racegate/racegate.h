/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * racegate: stop chosen threads at chosen points of the kernel, for a bounded
 * time, and record the threads that pass there.
 *
 * An open file of /dev/racegate is a session.  A session has gates; a gate
 * stands at the entry or at the return of one function.  Closing the session,
 * also by the death of its owner, disarms its gates and lets go of everything
 * that they hold.
 *
 * read(2) takes whole struct rg_event records, oldest first, and poll(2) reports
 * POLLIN when there are any.  A record that could not be copied out is read again
 * the next time.  Records that did not fit into the session's ring are counted in
 * an RG_EV_LOST record, which stands in their place.
 *
 * read(2) and every ioctl fail with EBUSY if the calling thread, and the few that
 * share its slots, are in more gated calls at once than there are slots.
 *
 * A task that dies inside of a function with a gate at its return keeps the module in use for
 * some tenths of a second after its stack is gone: rmmod(8) fails with EAGAIN until then.
 */
#ifndef RACEGATE_H
#define RACEGATE_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define RG_SYMBOL_LEN		128
#define RG_MODULE_LEN		56
#define RG_MAX_GATES		1024	/* per session */
#define RG_RING_EVENTS		2048	/* per session */

/* Below the thresholds of the hung-task and the soft-lockup detectors. */
#define RG_SLEEP_MAX_US		60000000ULL
#define RG_SPIN_MAX_US		2000000ULL

/* rg_arm.where */
enum {
	RG_ENTRY,		/* before the first instruction of the function */
	RG_RETURN,		/* after its return, before the caller goes on */
};

/* rg_arm.action */
enum {
	RG_RECORD,		/* record the passing thread */
	RG_HOLD_SLEEP,		/* let it sleep; other threads use the CPU */
	RG_HOLD_SPIN,		/* let it spin, in the context that it is in */
};

/*
 * RG_ARM: a new gate.
 *
 * A hit is a call of the function by a matching thread while the gate is
 * armed; a gate at a return counts the call, too, and acts when it returns.
 * Calls that racegate makes itself while it works for a thread are no hits, nor is
 * a call in interrupt context if @tid or @tgid is given.
 * Hits 1 to @skip do nothing, nor do those after @max_hits more.  With @from only
 * calls made directly by the code of that module are hits: a lock that KVM takes, and
 * not the same lock taken by a function that KVM calls.
 *
 * RG_ARM_CHILDREN includes the processes that are children of @tgid when they call.
 *
 * RG_HOLD_SLEEP is for places where the kernel may sleep.  A thread that is seen to be
 * in atomic context (interrupts off, preemption off, an RCU read-side critical section)
 * is not held, and an RG_EV_MISSED is recorded.  A kernel that does not count preemption
 * cannot tell that a spinlock is held: use RG_HOLD_SPIN under one.  A thread that is
 * about to sleep (its state is not TASK_RUNNING any more) leaves RG_HOLD_SLEEP as if it
 * had been woken.
 *
 * Spinning with interrupts disabled stalls every CPU that waits for this one to
 * acknowledge an IPI, e.g. for a TLB shootdown.  Up to four gates may hold one call
 * in turn, each until its own timeout.
 *
 * A gate keeps the module of its function from being unloaded, and livepatch from
 * replacing the function; a livepatched function takes no gate.  From the call of a
 * function with an RG_RETURN gate until its return, the stack of the thread cannot be
 * unwound past the function.
 *
 * If another user (tracefs, perf, bpftrace) already has a kprobe on the function,
 * RG_ARM fails: kprobes with and without a post_handler on one function break the
 * kernel's record of them.  A kprobe that is set after the gate works, and the two may
 * be removed in any order.
 *
 * The first gate on a function patches the kernel's code, which takes milliseconds (in
 * an emulator, up to a second).  While it stays, others are armed and disarmed there in
 * microseconds, without patching; a thread may arm one for itself right before it makes
 * the call.
 *
 * Errors: ENOENT no such function, or no module @from; EOPNOTSUPP the compiler put no
 * call to ftrace into the function; EINVAL a field is invalid, or the symbol is on the
 * blacklist of kprobes or, for RG_RETURN, of kretprobes; EBUSY another kprobe or a
 * livepatch is on the function, or kernel.ftrace_enabled is 0; EPERM the kernel is
 * locked down to confidentiality; ENOSPC RG_MAX_GATES are armed.
 */
#define RG_ARM_CHILDREN		(1U << 0)

struct rg_arm {
	char symbol[RG_SYMBOL_LEN];	/* "function" or "module:function" */
	__u32 where;
	__u32 action;
	__s32 tid;		/* in the initial pid namespace; 0: any */
	__s32 tgid;		/* the same for a process; 0: any */
	__u32 skip;
	__u32 max_hits;		/* 0: no limit */
	__u64 timeout_us;	/* how long one thread is held; 0 for RG_RECORD */
	__u32 gate;		/* out: its id, from 1, never used again */
	__u32 flags;		/* RG_ARM_CHILDREN, with @tgid */
	__u32 reserved[2];	/* 0 */
	char from[RG_MODULE_LEN];	/* a module such as "kvm_amd"; "": any caller */
};

/*
 * RG_WAIT: wait until the gate has seen @nth arrivals.  A thread arrives when the gate
 * holds it, or passes it because it has RG_RECORD or was released.
 *
 * Errors: ETIMEDOUT; ENOENT no such gate; ECANCELED it was disarmed meanwhile;
 * EINTR.  The out fields are also valid after ETIMEDOUT.
 */
struct rg_wait {
	__u32 gate;
	__u32 nth;		/* from 1 */
	__u64 timeout_us;	/* at most RG_SLEEP_MAX_US; 0: do not wait */
	__u32 arrivals;		/* out */
	__u32 held;		/* out: threads held now */
	__u32 missed;		/* out: see struct rg_status */
	__s32 tid;		/* out: of the latest arrival */
	__u32 reserved[2];
};

/* RG_RELEASE: release the held threads.  Later ones pass, and are recorded. */
#define RG_RELEASE_STAY_CLOSED	(1U << 0)	/* later ones are held again */

struct rg_release {
	__u32 gate;
	__u32 flags;
	__u32 reserved[2];
};

/* RG_STATUS */
struct rg_status {
	__u32 gate;
	__u32 held;		/* out: threads held now */
	__u64 hits;		/* out */
	__u32 arrivals;		/* out */
	__u32 timeouts;		/* out: holds that ended by their timeout */
	__u32 killed;		/* out: holds that ended by a fatal signal */
	__u32 missed;		/* out: hits on which the gate could not act */
	__u32 reserved[4];
};

/*
 * RG_DISARM: release the held threads, and remove the gate.  On return it holds no
 * thread any more; a call that was under way may still be recorded.
 */
struct rg_disarm {
	__u32 gate;
	__u32 reserved[3];
};

/* RG_MARK: add a record of the caller's own to the ring. */
struct rg_mark {
	__u32 id;		/* returned in rg_event.gate */
	__u32 reserved[3];
};

#define RG_IOC		0xe9
#define RG_ARM		_IOWR(RG_IOC, 1, struct rg_arm)
#define RG_WAIT		_IOWR(RG_IOC, 2, struct rg_wait)
#define RG_RELEASE	_IOW(RG_IOC, 3, struct rg_release)
#define RG_STATUS	_IOWR(RG_IOC, 4, struct rg_status)
#define RG_DISARM	_IOW(RG_IOC, 5, struct rg_disarm)
#define RG_MARK		_IOW(RG_IOC, 6, struct rg_mark)

/* rg_event.kind */
enum {
	RG_EV_ARRIVE = 1,	/* passed at the entry */
	RG_EV_RETURN,		/* passed at the return */
	RG_EV_HELD,		/* held from here on, at rg_event.where */
	RG_EV_RELEASE,		/* goes on: released, disarmed, or session closed */
	RG_EV_TIMEOUT,		/* goes on: it was not released in time */
	RG_EV_KILLED,		/* goes on: a fatal signal is pending */
	RG_EV_MISSED,		/* should have been held or recorded; see reason */
	RG_EV_MARK,		/* RG_MARK */
	RG_EV_LOST,		/* args[0] records are missing here: the ring was full */
};

/* rg_event.reason, of RG_EV_MISSED */
enum {
	RG_MISS_NONE,
	RG_MISS_ATOMIC,		/* the thread must not sleep there */
	RG_MISS_BUSY,		/* no slot was free for the call */
};

struct rg_event {
	__u64 ns;		/* CLOCK_MONOTONIC */
	__u64 seq;		/* from 1, without a gap */
	__u32 kind;
	__u32 gate;
	__u32 where;
	__u32 reason;
	__s32 tid;
	__s32 tgid;
	__u32 cpu;
	__u32 reserved;
	__u64 args[4];		/* entry: rdi, rsi, rdx, rcx; return: rax */
};

#endif /* RACEGATE_H */
