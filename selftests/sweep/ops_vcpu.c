// SPDX-License-Identifier: GPL-2.0-only
/*
 * Operations on the state of a vCPU, by its own thread.
 */
#include <errno.h>
#include <string.h>

#include "apic.h"
#include "busy.h"

#define MSR_TSC		0x10
#define MSR_KVMCLOCK	0x4b564d01	/* MSR_KVM_SYSTEM_TIME_NEW */
#define MSR_ASYNC_PF	0x4b564d02
#define MSR_STEAL_TIME	0x4b564d03
#define MSR_ENABLED	1
#define ASYNC_PF_BY_INT	8

/* Offsets of KVM's areas in the memslot PV, in each of which a vCPU has a line. */
#define PV_CLOCK	0x000
#define PV_STEAL	0x100
#define PV_ASYNC_PF	0x200
#define PV_LINE		0x40

static uint64_t pv_gpa(struct sweep *sweep, unsigned int what)
{
	return BUSY_GPA(PV) + what + busy_self(sweep) * PV_LINE;
}

static void set_msr(struct sweep *sweep, uint32_t msr, uint64_t value)
{
	busy_done(sweep, busy_set_msr(sweep, msr, value));
}

static struct kvm_lapic_state *saved_lapic(struct sweep *sweep)
{
	struct busy *busy = sweep->stage;

	return &busy->lapic[busy_self(sweep)];
}

static void set_lapic(struct sweep *sweep)
{
	busy_vcpu_ioctl(sweep, KVM_SET_LAPIC, saved_lapic(sweep));
}

static void set_apic_base(struct sweep *sweep, uint64_t mode)
{
	uint64_t base = APIC_DEFAULT_GPA | mode |
		(busy_self(sweep) ? 0 : MSR_IA32_APICBASE_BSP);

	set_msr(sweep, MSR_IA32_APICBASE, base);
}

static void disable_apic(struct sweep *sweep)
{
	set_apic_base(sweep, 0);
}

static void enable_apic(struct sweep *sweep)
{
	set_apic_base(sweep, MSR_IA32_APICBASE_ENABLE | MSR_IA32_APICBASE_EXTD);
	set_lapic(sweep);
}

static void set_debug(struct sweep *sweep, uint32_t control)
{
	struct kvm_guest_debug debug = { .control = control };

	busy_vcpu_ioctl(sweep, KVM_SET_GUEST_DEBUG, &debug);
}

static void block_irqs(struct sweep *sweep)
{
	set_debug(sweep, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_BLOCKIRQ);
}

static void debug_off(struct sweep *sweep)
{
	set_debug(sweep, 0);
}

/* Sets the vCPU's current CPUID, as KVM accepts no other after the first KVM_RUN. */
static void set_cpuid(struct sweep *sweep)
{
	busy_vcpu_ioctl(sweep, KVM_SET_CPUID2, busy_vcpu(sweep)->cpuid);
}

static void set_sregs(struct sweep *sweep)
{
	struct kvm_sregs sregs;

	vcpu_sregs_get(busy_vcpu(sweep), &sregs);
	busy_vcpu_ioctl(sweep, KVM_SET_SREGS, &sregs);
}

static void set_events(struct sweep *sweep)
{
	struct kvm_vcpu_events events;

	vcpu_events_get(busy_vcpu(sweep), &events);
	busy_vcpu_ioctl(sweep, KVM_SET_VCPU_EVENTS, &events);
}

static void set_mp_state(struct sweep *sweep)
{
	struct kvm_mp_state state = { .mp_state = KVM_MP_STATE_RUNNABLE };

	busy_vcpu_ioctl(sweep, KVM_SET_MP_STATE, &state);
}

static void set_tsc(struct sweep *sweep)
{
	set_msr(sweep, MSR_TSC, 0);
}

static void clock_on(struct sweep *sweep)
{
	set_msr(sweep, MSR_KVMCLOCK, pv_gpa(sweep, PV_CLOCK) | MSR_ENABLED);
}

static void clock_off(struct sweep *sweep)
{
	busy_set_msr(sweep, MSR_KVMCLOCK, 0);
}

static void start_clock(struct sweep *sweep)
{
	clock_on(sweep);
	busy_run(sweep, DO_NOTHING);
}

static void write_clock(struct sweep *sweep)
{
	busy_vcpu_ioctl(sweep, KVM_KVMCLOCK_CTRL, NULL);
	busy_run(sweep, DO_NOTHING);
}

static void steal_on(struct sweep *sweep)
{
	set_msr(sweep, MSR_STEAL_TIME, pv_gpa(sweep, PV_STEAL) | MSR_ENABLED);
}

static void steal_off(struct sweep *sweep)
{
	busy_set_msr(sweep, MSR_STEAL_TIME, 0);
}

static void steal_on_and_run(struct sweep *sweep)
{
	steal_on(sweep);
	busy_run(sweep, DO_NOTHING);
}

static void async_pf_on(struct sweep *sweep)
{
	set_msr(sweep, MSR_ASYNC_PF, pv_gpa(sweep, PV_ASYNC_PF) | ASYNC_PF_BY_INT |
		MSR_ENABLED);
}

static void async_pf_off(struct sweep *sweep)
{
	busy_set_msr(sweep, MSR_ASYNC_PF, 0);
}

static void run(struct sweep *sweep)
{
	busy_run(sweep, DO_NOTHING);
}

const struct op busy_vcpu_ops[] = {
	{ .name = "set-lapic", .what = "sets its local APIC", .run = set_lapic,
	  .undo = set_lapic },
	{ .name = "apic-base", .what = "switches its local APIC off",
	  .run = disable_apic, .undo = enable_apic },
	{ .name = "apic-on", .what = "switches its local APIC on",
	  .prepare = disable_apic, .run = enable_apic, .undo = enable_apic },
	{ .name = "guest-debug", .what = "blocks interrupts for debugging",
	  .run = block_irqs, .undo = debug_off },
	{ .name = "set-cpuid", .what = "sets its CPUID", .run = set_cpuid },
	{ .name = "set-sregs", .what = "sets its system registers", .run = set_sregs },
	{ .name = "vcpu-events", .what = "gets and sets its events", .run = set_events },
	{ .name = "mp-state", .what = "sets its mp_state", .run = set_mp_state },
	{ .name = "set-tsc", .what = "sets its TSC", .run = set_tsc },
	{ .name = "clock-msr", .what = "switches its kvmclock on", .run = clock_on,
	  .undo = clock_off },
	{ .name = "kvmclock", .what = "has its kvmclock written",
	  .prepare = start_clock, .run = write_clock, .undo = clock_off,
	  .repeats = true },
	{ .name = "steal-msr", .what = "switches its steal time on",
	  .run = steal_on_and_run, .undo = steal_off, .repeats = true },
	{ .name = "steal-time", .what = "has its steal time written",
	  .prepare = steal_on_and_run, .run = run, .undo = steal_off,
	  .repeats = true },
	{ .name = "async-pf-msr", .what = "switches asynchronous page faults on",
	  .run = async_pf_on, .undo = async_pf_off },
	{}
};
