// SPDX-License-Identifier: GPL-2.0-only
/*
 * /dev/racegate: sessions and their system calls.
 */
#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/ktime.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/workqueue.h>

#include "internal.h"

/*
 * A held thread that spins with interrupts off delays the irq_work that wakes
 * waiters; they check for its arrival this often.
 */
#define RG_LOOK_NS	(20 * NSEC_PER_MSEC)

/* How often closed sessions are looked at while any is left. */
#define RG_SWEEP_JIFFIES	(HZ / 10)

static void rg_orphans_work_fn(struct work_struct *work);

/* Closed sessions, each until its last call has returned. */
static DEFINE_MUTEX(rg_orphans_mutex);
static LIST_HEAD(rg_orphans);
static DECLARE_DELAYED_WORK(rg_orphans_work, rg_orphans_work_fn);

static void rg_session_wake(struct irq_work *work)
{
	struct rg_session *session = container_of(work, struct rg_session, wake);
	struct rg_visit *self = rg_visit_new(RG_VISIT_SELF, 0, 0);

	/* Waking may call a gated function, which would wake again: be a visit. */
	if (!self)
		return;
	rg_visit_enter(self);
	wake_up_all(&session->wq);
	rg_visit_end(self);
}

static void rg_session_free(struct rg_session *session)
{
	irq_work_sync(&session->wake);
	rg_ring_free(session);
	kfree(session);
}

/*
 * Frees the orphans whose last call has returned.  Those that are left are looked at again
 * later: a task that dies in its call ends no visit, and nobody may open a session any more.
 */
static void rg_orphans_sweep(void)
{
	struct rg_session *session, *next;

	mutex_lock(&rg_orphans_mutex);
	rg_visit_reap();
	list_for_each_entry_safe(session, next, &rg_orphans, orphan) {
		if (rg_gate_sweep(session))
			continue;
		list_del(&session->orphan);
		rg_session_free(session);
	}
	if (!list_empty(&rg_orphans))
		schedule_delayed_work(&rg_orphans_work, RG_SWEEP_JIFFIES);
	mutex_unlock(&rg_orphans_mutex);
}

static void rg_orphans_work_fn(struct work_struct *work)
{
	rg_orphans_sweep();
}

static int rg_open(struct inode *inode, struct file *file)
{
	struct rg_session *session;
	int ret;

	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	rg_orphans_sweep();

	session = kzalloc(sizeof(*session), GFP_KERNEL);
	if (!session)
		return -ENOMEM;
	mutex_init(&session->mutex);
	mutex_init(&session->read_mutex);
	INIT_LIST_HEAD(&session->gates);
	init_waitqueue_head(&session->wq);
	init_irq_work(&session->wake, rg_session_wake);
	ret = rg_ring_init(session);
	if (ret) {
		kfree(session);
		return ret;
	}
	file->private_data = session;
	return stream_open(inode, file);
}

static int rg_release(struct inode *inode, struct file *file)
{
	struct rg_session *session = file->private_data;
	struct rg_visit *self = rg_visit_new(RG_VISIT_SELF, 0, 0);

	if (self)
		rg_visit_enter(self);
	rg_gate_disarm_all(session);
	mutex_lock(&rg_orphans_mutex);
	list_add(&session->orphan, &rg_orphans);
	mutex_unlock(&rg_orphans_mutex);
	rg_orphans_sweep();
	if (self)
		rg_visit_end(self);
	return 0;
}

/*
 * Waits until @done returns true, @us have passed, or a signal arrives.  The timeout
 * is not in jiffies: the CPU that counts them may have interrupts off.
 */
static int rg_wait_until(struct rg_session *session, u64 us,
			 bool (*done)(const void *arg), const void *arg)
{
	u64 now = ktime_get_mono_fast_ns(), end = now + us * NSEC_PER_USEC;
	ktime_t slice;
	int ret;

	for (; !done(arg); now = ktime_get_mono_fast_ns()) {
		if (now >= end)
			return -ETIMEDOUT;
		slice = ns_to_ktime(min_t(u64, end - now, RG_LOOK_NS));
		ret = wait_event_interruptible_hrtimeout(session->wq, done(arg),
							 slice);
		if (ret && ret != -ETIME)
			return -EINTR;
	}
	return 0;
}

/* A record that could not be copied out stays the oldest one. */
static ssize_t rg_read_events(struct rg_session *session, char __user *buf,
			      size_t size)
{
	struct rg_event event;
	size_t done = 0;
	int ret = 0;

	if (mutex_lock_killable(&session->read_mutex))
		return -EINTR;
	while (size - done >= sizeof(event) && rg_event_peek(session, &event)) {
		if (copy_to_user(buf + done, &event, sizeof(event))) {
			ret = -EFAULT;
			break;
		}
		rg_event_drop(session);
		done += sizeof(event);
	}
	mutex_unlock(&session->read_mutex);
	return done ?: ret;
}

static bool rg_readable(const void *session)
{
	return rg_event_pending(session);
}

static ssize_t rg_read(struct file *file, char __user *buf, size_t size,
		       loff_t *pos)
{
	struct rg_session *session = file->private_data;
	struct rg_visit *self;
	ssize_t ret;

	if (size < sizeof(struct rg_event))
		return -EINVAL;
	self = rg_visit_new(RG_VISIT_SELF, 0, 0);
	if (!self)
		return -EBUSY;
	rg_visit_enter(self);
	do {
		ret = rg_read_events(session, buf, size);
		if (ret)
			break;
		if (file->f_flags & O_NONBLOCK)
			ret = -EAGAIN;
		else
			ret = rg_wait_until(session, USEC_PER_SEC,
					    rg_readable, session);
	} while (!ret || ret == -ETIMEDOUT);
	rg_visit_end(self);
	return ret;
}

static __poll_t rg_poll(struct file *file, poll_table *wait)
{
	struct rg_session *session = file->private_data;

	poll_wait(file, &session->wq, wait);
	return rg_event_pending(session) ? EPOLLIN | EPOLLRDNORM : 0;
}

static int rg_do_arm(struct rg_session *session, struct rg_arm __user *user)
{
	struct rg_arm arm;
	int ret;

	if (copy_from_user(&arm, user, sizeof(arm)))
		return -EFAULT;
	ret = rg_gate_arm(session, &arm);
	if (ret)
		return ret;
	if (put_user(arm.gate, &user->gate)) {
		rg_gate_disarm(session, arm.gate);
		return -EFAULT;
	}
	return 0;
}

struct rg_waiter {
	const struct rg_gate *gate;
	int nth;
};

static bool rg_arrived(const void *arg)
{
	const struct rg_waiter *waiter = arg;

	return READ_ONCE(waiter->gate->dead) ||
	       atomic_read(&waiter->gate->arrivals) >= waiter->nth;
}

static int rg_do_wait(struct rg_session *session, struct rg_wait __user *user)
{
	struct rg_wait arg;
	struct rg_waiter waiter;
	struct rg_gate *gate;
	int ret;

	if (copy_from_user(&arg, user, sizeof(arg)))
		return -EFAULT;
	if (!arg.nth || arg.nth > INT_MAX || arg.timeout_us > RG_SLEEP_MAX_US ||
	    memchr_inv(arg.reserved, 0, sizeof(arg.reserved)))
		return -EINVAL;

	mutex_lock(&session->mutex);
	gate = rg_gate_find(session, arg.gate);
	if (gate)
		atomic_inc(&gate->users);
	mutex_unlock(&session->mutex);
	if (!gate)
		return -ENOENT;

	waiter.gate = gate;
	waiter.nth = arg.nth;
	ret = rg_wait_until(session, arg.timeout_us, rg_arrived, &waiter);
	arg.arrivals = atomic_read(&gate->arrivals);
	arg.held = atomic_read(&gate->held);
	arg.missed = atomic_read(&gate->missed);
	arg.tid = READ_ONCE(gate->last_tid);
	if (!ret && arg.arrivals < arg.nth)
		ret = -ECANCELED;
	/* A gate without users may be freed at once. */
	atomic_dec_return_release(&gate->users);

	if (copy_to_user(user, &arg, sizeof(arg)))
		return -EFAULT;
	return ret;
}

static int rg_do_release(struct rg_session *session,
			 struct rg_release __user *user)
{
	struct rg_release arg;
	struct rg_gate *gate;

	if (copy_from_user(&arg, user, sizeof(arg)))
		return -EFAULT;
	if (arg.flags & ~RG_RELEASE_STAY_CLOSED ||
	    memchr_inv(arg.reserved, 0, sizeof(arg.reserved)))
		return -EINVAL;

	mutex_lock(&session->mutex);
	gate = rg_gate_find(session, arg.gate);
	if (gate)
		rg_gate_release(gate, arg.flags & RG_RELEASE_STAY_CLOSED);
	mutex_unlock(&session->mutex);
	return gate ? 0 : -ENOENT;
}

static int rg_do_status(struct rg_session *session,
			struct rg_status __user *user)
{
	struct rg_status arg;
	struct rg_gate *gate;

	if (copy_from_user(&arg, user, sizeof(arg)))
		return -EFAULT;
	if (memchr_inv(arg.reserved, 0, sizeof(arg.reserved)))
		return -EINVAL;

	mutex_lock(&session->mutex);
	gate = rg_gate_find(session, arg.gate);
	if (gate) {
		arg.hits = atomic64_read(&gate->hits);
		arg.arrivals = atomic_read(&gate->arrivals);
		arg.held = atomic_read(&gate->held);
		arg.timeouts = atomic_read(&gate->timeouts);
		arg.killed = atomic_read(&gate->killed);
		arg.missed = atomic_read(&gate->missed);
	}
	mutex_unlock(&session->mutex);
	if (!gate)
		return -ENOENT;
	return copy_to_user(user, &arg, sizeof(arg)) ? -EFAULT : 0;
}

static int rg_do_disarm(struct rg_session *session,
			struct rg_disarm __user *user)
{
	struct rg_disarm arg;

	if (copy_from_user(&arg, user, sizeof(arg)))
		return -EFAULT;
	if (memchr_inv(arg.reserved, 0, sizeof(arg.reserved)))
		return -EINVAL;
	return rg_gate_disarm(session, arg.gate);
}

static int rg_do_mark(struct rg_session *session, struct rg_mark __user *user)
{
	struct rg_event event = { .kind = RG_EV_MARK };
	struct rg_mark arg;

	if (copy_from_user(&arg, user, sizeof(arg)))
		return -EFAULT;
	if (memchr_inv(arg.reserved, 0, sizeof(arg.reserved)))
		return -EINVAL;
	event.gate = arg.id;
	rg_event_add(session, &event);
	wake_up_all(&session->wq);
	return 0;
}

static long rg_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct rg_session *session = file->private_data;
	void __user *user = (void __user *)arg;
	struct rg_visit *self;
	long ret;

	/* Functions called from here, some under locks, may have gates: this visit skips them. */
	self = rg_visit_new(RG_VISIT_SELF, 0, 0);
	if (!self)
		return -EBUSY;
	rg_visit_enter(self);
	switch (cmd) {
	case RG_ARM:
		ret = rg_do_arm(session, user);
		break;
	case RG_WAIT:
		ret = rg_do_wait(session, user);
		break;
	case RG_RELEASE:
		ret = rg_do_release(session, user);
		break;
	case RG_STATUS:
		ret = rg_do_status(session, user);
		break;
	case RG_DISARM:
		ret = rg_do_disarm(session, user);
		break;
	case RG_MARK:
		ret = rg_do_mark(session, user);
		break;
	default:
		ret = -ENOTTY;
	}
	rg_visit_end(self);
	return ret;
}

static const struct file_operations rg_fops = {
	.owner = THIS_MODULE,
	.open = rg_open,
	.release = rg_release,
	.read = rg_read,
	.poll = rg_poll,
	.unlocked_ioctl = rg_ioctl,
};

static struct miscdevice rg_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "racegate",
	.fops = &rg_fops,
	.mode = 0600,
};

static int __init rg_init(void)
{
	return misc_register(&rg_device);
}

/*
 * No session is open and no visit exists, as both hold a reference on the module.  But
 * the thread that ended the last visit may still run a few instructions of the module,
 * and so may the work.
 */
static void __exit rg_exit(void)
{
	misc_deregister(&rg_device);
	synchronize_rcu_tasks();
	synchronize_rcu();
	rg_orphans_sweep();
	WARN_ON(!list_empty(&rg_orphans));
	cancel_delayed_work_sync(&rg_orphans_work);
}

module_init(rg_init);
module_exit(rg_exit);

MODULE_DESCRIPTION("Hold and record threads at chosen points of the kernel");
MODULE_LICENSE("GPL");
