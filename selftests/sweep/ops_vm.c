// SPDX-License-Identifier: GPL-2.0-only
/*
 * Operations on a VM with vCPUs, without those on memory and interrupts.
 */
#include <errno.h>

#include "busy.h"

/* The lowest limit that KVM_SET_NR_MMU_PAGES accepts, and one that is never reached. */
#define FEW_MMU_PAGES	64
#define MANY_MMU_PAGES	4096

static void set_clock(struct sweep *sweep)
{
	struct kvm_clock_data clock = { .clock = 1000000000 };

	busy_ioctl(sweep, KVM_SET_CLOCK, &clock);
}

static void set_mmu_pages(struct sweep *sweep, uint64_t nr)
{
	busy_ioctl(sweep, KVM_SET_NR_MMU_PAGES, (void *)nr);
}

static void few_mmu_pages(struct sweep *sweep)
{
	set_mmu_pages(sweep, FEW_MMU_PAGES);
}

static void many_mmu_pages(struct sweep *sweep)
{
	set_mmu_pages(sweep, MANY_MMU_PAGES);
}

/* Sends all reads of the MSR to userspace if @on, or else none. */
static void filter_msr(struct sweep *sweep, bool on)
{
	uint64_t bits = 0;
	struct kvm_msr_filter filter = {};

	if (on)
		filter.ranges[0] = (struct kvm_msr_filter_range){
			.flags = KVM_MSR_FILTER_READ, .nmsrs = 1, .base = BUSY_MSR,
			.bitmap = (void *)&bits };
	busy_ioctl(sweep, KVM_X86_SET_MSR_FILTER, &filter);
}

static void prepare_filter(struct sweep *sweep)
{
	struct busy *busy = sweep->stage;

	vm_enable_cap(busy->vm, KVM_CAP_X86_USER_SPACE_MSR, KVM_MSR_EXIT_REASON_FILTER);
}

static void filter_on(struct sweep *sweep)
{
	filter_msr(sweep, true);
}

static void filter_off(struct sweep *sweep)
{
	filter_msr(sweep, false);
}

static void set_cap(struct sweep *sweep, uint32_t cap, uint64_t arg)
{
	struct kvm_enable_cap args = { .cap = cap, .args = { arg } };

	busy_ioctl(sweep, KVM_ENABLE_CAP, &args);
}

static void use_x2apic_api(struct sweep *sweep)
{
	set_cap(sweep, KVM_CAP_X2APIC_API, KVM_X2APIC_API_USE_32BIT_IDS);
}

static void exit_on_hypercall(struct sweep *sweep)
{
	set_cap(sweep, KVM_CAP_EXIT_HYPERCALL, 0);
}

static void set_tss_addr(struct sweep *sweep)
{
	busy_ioctl(sweep, KVM_SET_TSS_ADDR, (void *)0xfffbd000ul);
}

const struct op busy_vm_ops[] = {
	{ .name = "set-clock", .what = "sets the VM's clock", .run = set_clock },
	{ .name = "mmu-pages", .what = "limits shadow pages", .run = few_mmu_pages,
	  .undo = many_mmu_pages },
	{ .name = "msr-filter", .what = "filters an MSR", .prepare = prepare_filter,
	  .run = filter_on, .undo = filter_off },
	{ .name = "x2apic-api", .what = "asks for 32-bit APIC IDs",
	  .run = use_x2apic_api },
	{ .name = "exit-hypercall", .what = "sets a capability",
	  .run = exit_on_hypercall },
	{ .name = "set-tss-addr", .what = "places KVM's own page", .run = set_tss_addr },
	{}
};
