// SPDX-License-Identifier: GPL-2.0-only
/*
 * Arming and disarming gates.
 */
#include <linux/jiffies.h>
#include <linux/kallsyms.h>
#include <linux/kobject.h>
#include <linux/module.h>
#include <linux/rculist.h>
#include <linux/security.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "internal.h"

#if !IS_ENABLED(CONFIG_KPROBES_ON_FTRACE)
#error "racegate needs a kernel with CONFIG_KPROBES and CONFIG_FUNCTION_TRACER"
#endif

/* The longest wait for released threads to get the CPU and leave our code. */
#define RG_LEAVE_JIFFIES	(5 * HZ)

static DEFINE_MUTEX(rg_probe_mutex);
static LIST_HEAD(rg_probes);

/*
 * A probe with a post_handler is never optimized into a jump, and its ftrace_ops
 * has FTRACE_OPS_FL_IPMODIFY: the pre_handler may change regs->ip.
 */
static void rg_post_handler(struct kprobe *kp, struct pt_regs *regs,
			    unsigned long flags)
{
}

/*
 * Returns the module of that name, with a reference, or an error.
 *
 * find_module() is not exported to modules any more; the kset of sysfs leads to
 * the module as well.
 */
static struct module *rg_module_get(const char *name)
{
	struct kobject *kobj = kset_find_obj(THIS_MODULE->mkobj.kobj.kset, name);
	struct module *mod;

	if (!kobj)
		return ERR_PTR(-ENOENT);
	mod = container_of(kobj, struct module_kobject, kobj)->mod;
	/* A module that is still starting is no target: its init code is freed later. */
	if (!mod || mod->state != MODULE_STATE_LIVE || !try_module_get(mod))
		mod = ERR_PTR(-ENOENT);
	kobject_put(kobj);
	return mod;
}

/*
 * Takes a reference on the module that the probe's function is in.  Without it
 * the function could go away under an armed probe, and kernels as young as 6.1
 * then leave its address in ftrace's filter: the next module that is loaded
 * there makes ftrace give up for good.
 */
static int rg_probe_get_module(struct rg_probe *probe)
{
	char where[KSYM_SYMBOL_LEN], *name;
	struct module *mod;

	if (probe->mod)
		return 0;
	/* "function+offset/size [module]" */
	sprint_symbol(where, (unsigned long)probe->kp.addr);
	name = strchr(where, '[');
	if (!name)
		return 0;
	name++;
	name[strcspn(name, " ]")] = '\0';

	mod = rg_module_get(name);
	if (IS_ERR(mod))
		return PTR_ERR(mod);
	probe->mod = mod;
	/* The module may have been unloaded, and loaded again, in between. */
	return kprobe_gone(&probe->kp) ? -ENOENT : 0;
}

/*
 * Returns the address of a function of a module that is in use, or NULL.  kallsyms
 * finds it, too, but searches the symbols of the whole kernel first, which older
 * kernels do one by one: on 5.10 in Bochs, a test of apicv-vcpu-creation took 12.1 s
 * with kallsyms and takes 6.4 s with this.  On 6.1.192 there is no difference.
 */
static void *rg_module_function(struct module *mod, const char *function)
{
	const struct mod_kallsyms *table = &mod->core_kallsyms;
	unsigned int i;

	for (i = 0; i < table->num_symtab; i++)
		if (table->symtab[i].st_shndx != SHN_UNDEF &&
		    !strcmp(table->strtab + table->symtab[i].st_name, function))
			return (void *)table->symtab[i].st_value;
	return NULL;
}

/*
 * Sets the place of the probe: "FUNCTION", which kallsyms looks up when the probe is
 * registered, or "MODULE:FUNCTION"; the probe then holds a reference on the module.
 */
static int rg_probe_locate(struct rg_probe *probe)
{
	char *function = strchr(probe->symbol, ':'), name[MODULE_NAME_LEN];
	struct module *mod;

	if (!function) {
		probe->kp.symbol_name = probe->symbol;
		return 0;
	}
	if (function - probe->symbol >= sizeof(name))
		return -ENOENT;
	strscpy(name, probe->symbol, function - probe->symbol + 1);
	mod = rg_module_get(name);
	if (IS_ERR(mod))
		return PTR_ERR(mod);
	probe->kp.addr = rg_module_function(mod, function + 1);
	if (!probe->kp.addr) {
		module_put(mod);
		return -ENOENT;
	}
	probe->mod = mod;
	return 0;
}

static void rg_probe_free(struct rg_probe *probe)
{
	unregister_kprobe(&probe->kp);
	module_put(probe->mod);
	kfree(probe);
}

/* Returns the probe of that name, or NULL.  It saves the slow lookup of the symbol. */
static struct rg_probe *rg_probe_find(const char *symbol)
{
	struct rg_probe *probe;

	list_for_each_entry(probe, &rg_probes, link)
		if (!strcmp(probe->symbol, symbol))
			return probe;
	return NULL;
}

/*
 * Does the kernel keep kretprobes off this function?  Its kretprobe_blacklist is not
 * exported; on x86 it has one entry: __switch_to() returns on another task's stack.
 */
static bool rg_probe_never_returns(const struct rg_probe *probe)
{
	char where[KSYM_SYMBOL_LEN];

	sprint_symbol_no_offset(where, (unsigned long)probe->kp.addr);
	return !strcmp(where, "__switch_to");
}

/*
 * Registers the probe, disabled, and refuses a function on which another user
 * has a kprobe.  The kernel chooses the ftrace_ops of a kprobe by whether it has a
 * post_handler: if ours joined an armed kprobe that has none, the kernel would look
 * for it in the wrong ftrace_ops, leave it armed for ever, and loop in kill_kprobe()
 * when the module is unloaded.  So the post_handler is set only after register_kprobe(),
 * and before the list of other kprobes is read; kprobes that join later see it.
 */
static int rg_probe_register(struct rg_probe *probe)
{
	struct rg_probe *other;
	int ret;

	probe->kp.pre_handler = rg_pre_handler;
	probe->kp.flags = KPROBE_FLAG_DISABLED;
	ret = register_kprobe(&probe->kp);
	if (ret)
		return ret;
	/* A call can be redirected to the stub only by ftrace, at the function's entry. */
	ret = -EOPNOTSUPP;
	if (!kprobe_ftrace(&probe->kp))
		goto unregister;
	probe->kp.post_handler = rg_post_handler;
	/* Pairs with a concurrent register_kprobe(): one of the two sees the other. */
	smp_mb();
	if (list_empty(&probe->kp.list))
		return 0;
	list_for_each_entry(other, &rg_probes, link)
		if (other->kp.addr == probe->kp.addr)
			return 0;
	ret = -EBUSY;
unregister:
	unregister_kprobe(&probe->kp);
	return ret;
}

/* Returns the probe at the symbol's address: an existing one, or a new, disabled one. */
static struct rg_probe *rg_probe_get(const char *symbol)
{
	struct rg_probe *probe, *other;
	int ret;

	probe = rg_probe_find(symbol);
	if (probe)
		return probe;
	probe = kzalloc(sizeof(*probe), GFP_KERNEL);
	if (!probe)
		return ERR_PTR(-ENOMEM);
	strscpy(probe->symbol, symbol, sizeof(probe->symbol));
	INIT_LIST_HEAD(&probe->gates);

	ret = rg_probe_locate(probe);
	if (!ret)
		ret = rg_probe_register(probe);
	if (ret)
		goto free;
	ret = rg_probe_get_module(probe);
	if (ret)
		goto unregister;
	list_for_each_entry(other, &rg_probes, link) {
		if (other->kp.addr != probe->kp.addr)
			continue;
		rg_probe_free(probe);
		return other;
	}
	list_add(&probe->link, &rg_probes);
	return probe;

unregister:
	rg_probe_free(probe);
	return ERR_PTR(ret);
free:
	module_put(probe->mod);
	kfree(probe);
	return ERR_PTR(ret);
}

/*
 * Called after a gate was taken off the probe.  If it was the last one, frees the probe,
 * which waits for all handlers, and returns true.  Otherwise returns false: a handler
 * may still see the gate.
 */
static bool rg_probe_put(struct rg_probe *probe)
{
	if (!list_empty(&probe->gates))
		return false;
	list_del(&probe->link);
	rg_probe_free(probe);
	return true;
}

static int rg_arm_check(const struct rg_arm *arm)
{
	size_t len = strnlen(arm->symbol, sizeof(arm->symbol));
	u64 max = 0;

	switch (arm->action) {
	case RG_RECORD:
		break;
	case RG_HOLD_SLEEP:
		max = RG_SLEEP_MAX_US;
		break;
	case RG_HOLD_SPIN:
		max = RG_SPIN_MAX_US;
		break;
	default:
		return -EINVAL;
	}
	if (!len || len == sizeof(arm->symbol) || arm->where > RG_RETURN ||
	    strnlen(arm->from, sizeof(arm->from)) == sizeof(arm->from) ||
	    arm->tid < 0 || arm->tgid < 0 || arm->gate ||
	    arm->flags & ~RG_ARM_CHILDREN || (arm->flags && !arm->tgid) ||
	    arm->timeout_us > max || (max && !arm->timeout_us) ||
	    memchr_inv(arm->reserved, 0, sizeof(arm->reserved)))
		return -EINVAL;
	return 0;
}

static int rg_gate_attach(struct rg_gate *gate)
{
	struct rg_probe *probe;
	int ret = 0;

	mutex_lock(&rg_probe_mutex);
	rg_visit_reap();
	probe = rg_probe_get(gate->arm.symbol);
	if (IS_ERR(probe)) {
		ret = PTR_ERR(probe);
		goto unlock;
	}
	if (gate->arm.where == RG_RETURN && rg_probe_never_returns(probe)) {
		ret = -EINVAL;
		goto put;
	}
	gate->probe = probe;
	/* First the gate, then the probe: every call that hits the probe finds the gate. */
	list_add_tail_rcu(&gate->probe_link, &probe->gates);
	if (kprobe_disabled(&probe->kp))
		ret = enable_kprobe(&probe->kp);
	if (!ret)
		goto unlock;
	list_del_rcu(&gate->probe_link);
put:
	if (!rg_probe_put(probe))
		synchronize_rcu();
unlock:
	mutex_unlock(&rg_probe_mutex);
	return ret;
}

/* Callers hold the session's mutex, for as long as they use the gate. */
struct rg_gate *rg_gate_find(struct rg_session *session, u32 id)
{
	struct rg_gate *gate;

	list_for_each_entry(gate, &session->gates, session_link)
		if (gate->arm.gate == id && !gate->dead)
			return gate;
	return NULL;
}

static void rg_gate_free(struct rg_gate *gate)
{
	if (gate->from)
		module_put(gate->from);
	kfree(gate);
}

/* Frees gates that are disarmed and not in use.  Returns true if others are left. */
bool rg_gate_sweep(struct rg_session *session)
{
	struct rg_gate *gate, *next;
	bool left;

	mutex_lock(&session->mutex);
	list_for_each_entry_safe(gate, next, &session->gates, session_link) {
		/* In this order: a handler that sees the gate may become a user. */
		if (smp_load_acquire(&gate->probe) ||
		    atomic_read_acquire(&gate->users))
			continue;
		list_del(&gate->session_link);
		rg_gate_free(gate);
	}
	left = !list_empty(&session->gates);
	mutex_unlock(&session->mutex);
	return left;
}

int rg_gate_arm(struct rg_session *session, struct rg_arm *arm)
{
	struct rg_gate *gate;
	int ret;

	ret = rg_arm_check(arm);
	if (ret)
		return ret;
	/* As kprobes of tracefs do: a record holds arguments of kernel functions. */
	ret = security_locked_down(LOCKDOWN_KPROBES);
	if (ret)
		return ret;
	rg_gate_sweep(session);

	gate = kzalloc(sizeof(*gate), GFP_KERNEL);
	if (!gate)
		return -ENOMEM;
	gate->session = session;
	init_waitqueue_head(&gate->wq);
	if (*arm->from) {
		gate->from = rg_module_get(arm->from);
		if (IS_ERR(gate->from)) {
			ret = PTR_ERR(gate->from);
			kfree(gate);
			return ret;
		}
	}

	mutex_lock(&session->mutex);
	if (session->nr_gates == RG_MAX_GATES) {
		ret = -ENOSPC;
	} else {
		session->nr_gates++;
		arm->gate = ++session->last_id;
		gate->arm = *arm;
	}
	mutex_unlock(&session->mutex);
	if (ret)
		goto free;

	ret = rg_gate_attach(gate);
	mutex_lock(&session->mutex);
	if (ret)
		session->nr_gates--;
	else
		list_add(&gate->session_link, &session->gates);
	mutex_unlock(&session->mutex);
	if (!ret)
		return 0;
free:
	rg_gate_free(gate);
	return ret;
}

void rg_gate_release(struct rg_gate *gate, bool stay_closed)
{
	spin_lock_irq(&gate->wq.lock);
	if (!stay_closed)
		WRITE_ONCE(gate->open, true);
	WRITE_ONCE(gate->round, gate->round + 1);
	wake_up_all_locked(&gate->wq);
	spin_unlock_irq(&gate->wq.lock);
}

/* The first half of disarming, which never waits. */
static void rg_gate_kill(struct rg_gate *gate)
{
	lockdep_assert_held(&gate->session->mutex);
	WRITE_ONCE(gate->dead, true);
	gate->session->nr_gates--;
	wake_up_all(&gate->wq);
	wake_up_all(&gate->session->wq);
}

/* No handler sees the gate any more: rg_gate_sweep() may free it. */
static void rg_gate_unseen(struct rcu_head *rcu)
{
	struct rg_gate *gate = container_of(rcu, struct rg_gate, rcu);

	/* Pairs with rg_gate_sweep(): orders all accesses of handlers before the free. */
	smp_store_release(&gate->probe, NULL);
}

/*
 * The second half of disarming: no further thread enters the gate, and those inside
 * leave.  A handler that may still look at the gate delays the free of its memory, but
 * not the caller: while the probe has another gate, disarming is as quick as arming.
 */
static void rg_gate_bury(struct rg_gate *gate)
{
	unsigned long end = jiffies + RG_LEAVE_JIFFIES;

	/* Keeps another thread of the session from freeing the gate. */
	atomic_inc(&gate->users);
	mutex_lock(&rg_probe_mutex);
	gate->buried = true;
	list_del_rcu(&gate->probe_link);
	if (rg_probe_put(gate->probe)) {
		rg_gate_unseen(&gate->rcu);
	} else {
		gate->session->deferred = true;
		call_rcu(&gate->rcu, rg_gate_unseen);
	}
	mutex_unlock(&rg_probe_mutex);

	/* Pairs with rg_visit_enter(): either it sees a dead gate or we see its count. */
	smp_mb();
	while (atomic_read_acquire(&gate->busy) && time_before(jiffies, end))
		schedule_timeout_uninterruptible(1);
	atomic_dec_return_release(&gate->users);
}

int rg_gate_disarm(struct rg_session *session, u32 id)
{
	struct rg_gate *gate;

	mutex_lock(&session->mutex);
	gate = rg_gate_find(session, id);
	if (gate)
		rg_gate_kill(gate);
	mutex_unlock(&session->mutex);
	if (!gate)
		return -ENOENT;
	rg_gate_bury(gate);
	rg_gate_sweep(session);
	return 0;
}

/* For a session without other users.  Afterwards rg_gate_sweep() may free its gates. */
void rg_gate_disarm_all(struct rg_session *session)
{
	struct rg_gate *gate;

	/* Release all threads before waiting for any one of them. */
	mutex_lock(&session->mutex);
	list_for_each_entry(gate, &session->gates, session_link)
		if (!gate->dead)
			rg_gate_kill(gate);
	mutex_unlock(&session->mutex);

	list_for_each_entry(gate, &session->gates, session_link)
		if (!gate->buried)
			rg_gate_bury(gate);
	/* rcu_barrier() serializes all its callers: call it only if call_rcu() was used. */
	if (session->deferred)
		rcu_barrier();
}
