// SPDX-License-Identifier: GPL-2.0-only
/*
 * A VM without memory that is being set up: operations that must precede the first vCPU,
 * and the creation of vCPUs.  Each schedule has a new VM.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "apic.h"
#include "hostfacts.h"
#include "processor.h"
#include "sweep.h"

/* vCPUs: one for each operation, and one that the probe creates. */
enum { AFTERWARDS = 2, NR_NEWBORN };

/* The argument of an operation: whether the VM has an interrupt controller before it. */
enum { WITH_IRQCHIP, WITHOUT_IRQCHIP };

#define VECTOR		0x61
#define MAX_ID		16
#define PAGE_ADDRESS	0xfeffc000ull
#define TSC_KHZ		1000000ul

struct newborn {
	int vm;
	int vcpu[NR_NEWBORN];		/* less than 0: not created */
	int old;			/* a vCPU that prepare() created, or less than 0 */
	int result[NR_NEWBORN];
};

static int kvm = -1;

static const char *missing(void)
{
	const char *why = hostfacts_need_kvm();

	if (!why && kvm < 0)
		kvm = open_kvm_dev_path_or_exit();
	return why;
}

static int self(struct sweep *sweep)
{
	return pthread_equal(pthread_self(), sweep->worker[1].thread) ? 1 : 0;
}

static void call(struct sweep *sweep, unsigned long cmd, void *arg)
{
	struct newborn *newborn = sweep->stage;

	newborn->result[self(sweep)] = ioctl(newborn->vm, cmd, arg) < 0 ? errno : 0;
}

static void create(struct sweep *sweep)
{
	struct newborn *newborn = calloc(1, sizeof(*newborn));
	int i;

	TEST_ASSERT(newborn, "no memory");
	newborn->vm = ioctl(kvm, KVM_CREATE_VM, 0);
	TEST_ASSERT(newborn->vm >= 0, "KVM_CREATE_VM: %s", strerror(errno));
	newborn->old = -1;
	for (i = 0; i < NR_NEWBORN; i++)
		newborn->vcpu[i] = -1;
	sweep->stage = newborn;
	for (i = 0; i < 2; i++)
		if (sweep->pair->op[i]->arg == WITHOUT_IRQCHIP)
			return;
	TEST_ASSERT(!ioctl(newborn->vm, KVM_CREATE_IRQCHIP, 0), "KVM_CREATE_IRQCHIP: %s",
		    strerror(errno));
}

static void close_it(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static unsigned int destroy(struct sweep *sweep)
{
	struct newborn *newborn = sweep->stage;
	int i;

	for (i = 0; i < NR_NEWBORN; i++)
		close_it(&newborn->vcpu[i]);
	close_it(&newborn->old);
	close(newborn->vm);
	free(newborn);
	sweep->stage = NULL;
	return 0;
}

static void fresh(struct sweep *sweep)
{
	destroy(sweep);
	create(sweep);
	sweep->vms++;
}

static void create_nr(struct newborn *newborn, int nr, int id)
{
	newborn->vcpu[nr] = ioctl(newborn->vm, KVM_CREATE_VCPU, id);
	newborn->result[nr] = newborn->vcpu[nr] < 0 ? errno : 0;
}

static void create_vcpu(struct sweep *sweep)
{
	create_nr(sweep->stage, self(sweep), self(sweep));
}

/* Creates a vCPU with an ID that only one of two operations can get. */
static void create_same_vcpu(struct sweep *sweep)
{
	create_nr(sweep->stage, self(sweep), 0);
}

static void create_old_vcpu(struct sweep *sweep)
{
	struct newborn *newborn = sweep->stage;

	newborn->old = ioctl(newborn->vm, KVM_CREATE_VCPU, MAX_ID - 1);
	TEST_ASSERT(newborn->old >= 0, "KVM_CREATE_VCPU: %s", strerror(errno));
}

static void close_vcpu(struct sweep *sweep)
{
	struct newborn *newborn = sweep->stage;

	close_it(&newborn->old);
}

static void create_irqchip(struct sweep *sweep)
{
	call(sweep, KVM_CREATE_IRQCHIP, NULL);
}

static void create_pit(struct sweep *sweep)
{
	struct kvm_pit_config config = {};

	call(sweep, KVM_CREATE_PIT2, &config);
}

static void enable(struct sweep *sweep, uint32_t cap, uint64_t arg)
{
	struct kvm_enable_cap args = { .cap = cap, .args = { arg } };

	call(sweep, KVM_ENABLE_CAP, &args);
}

static void split_irqchip(struct sweep *sweep)
{
	enable(sweep, KVM_CAP_SPLIT_IRQCHIP, 24);
}

static void disable_exits(struct sweep *sweep)
{
	enable(sweep, KVM_CAP_X86_DISABLE_EXITS,
	       KVM_X86_DISABLE_EXITS_HLT | KVM_X86_DISABLE_EXITS_PAUSE);
}

static void limit_ids(struct sweep *sweep)
{
	enable(sweep, KVM_CAP_MAX_VCPU_ID, MAX_ID);
}

static void use_x2apic_api(struct sweep *sweep)
{
	enable(sweep, KVM_CAP_X2APIC_API, KVM_X2APIC_API_USE_32BIT_IDS);
}

static void set_tsc_khz(struct sweep *sweep)
{
	call(sweep, KVM_SET_TSC_KHZ, (void *)TSC_KHZ);
}

static void place_identity_map(struct sweep *sweep)
{
	uint64_t address = PAGE_ADDRESS;

	call(sweep, KVM_SET_IDENTITY_MAP_ADDR, &address);
}

static void place_tss(struct sweep *sweep)
{
	call(sweep, KVM_SET_TSS_ADDR, (void *)PAGE_ADDRESS);
}

/* Broadcasts an MSI to all vCPUs. */
static void send_msi(struct sweep *sweep)
{
	struct kvm_msi msi = {
		.address_lo = APIC_DEFAULT_GPA | 0xff << 12, .data = VECTOR,
	};

	call(sweep, KVM_SIGNAL_MSI, &msi);
}

static void create_afterwards(struct sweep *sweep)
{
	create_nr(sweep->stage, AFTERWARDS, AFTERWARDS);
}

static void probe(struct sweep *sweep)
{
	worker_call(&sweep->worker[0], create_afterwards);
}

static void observe_fd(struct outcome *outcome, int fd, unsigned int nr)
{
	struct kvm_lapic_state lapic = {};
	struct kvm_mp_state mp_state = {};
	struct kvm_sregs sregs = {};
	int has_lapic = ioctl(fd, KVM_GET_LAPIC, &lapic);

	ioctl(fd, KVM_GET_MP_STATE, &mp_state);
	ioctl(fd, KVM_GET_SREGS, &sregs);
	outcome_add(outcome, "vCPU", nr, fd >= 0);
	outcome_add(outcome, "local APIC of vCPU", nr,
		    has_lapic ? 0 : outcome_sum(&lapic, sizeof(lapic)));
	outcome_add(outcome, "mp_state of vCPU", nr, mp_state.mp_state);
	outcome_add(outcome, "system registers of vCPU", nr,
		    outcome_sum(&sregs, sizeof(sregs)));
	outcome_add(outcome, "frequency of vCPU", nr, ioctl(fd, KVM_GET_TSC_KHZ, 0));
}

static void observe_own(struct sweep *sweep)
{
	struct newborn *newborn = sweep->stage;
	int nr = self(sweep);

	outcome_add(&sweep->outcome, "result of operation", nr, newborn->result[nr]);
	observe_fd(&sweep->outcome, newborn->vcpu[nr], nr);
	if (!nr)
		observe_fd(&sweep->outcome, newborn->vcpu[AFTERWARDS], AFTERWARDS);
}

static void observe(struct sweep *sweep)
{
	struct newborn *newborn = sweep->stage;
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_IOAPIC };

	worker_call(&sweep->worker[0], observe_own);
	worker_call(&sweep->worker[1], observe_own);
	outcome_add(&sweep->outcome, "interrupt controller", 0,
		    ioctl(newborn->vm, KVM_GET_IRQCHIP, &chip) ? errno : 0);
	outcome_add(&sweep->outcome, "result afterwards", 0,
		    newborn->result[AFTERWARDS]);
}

static const struct op newborn_ops[] = {
	{ .name = "create-vcpu", .what = "creates a vCPU", .run = create_vcpu },
	{ .name = "create-same-vcpu", .what = "creates a vCPU of an ID that is taken",
	  .run = create_same_vcpu },
	{ .name = "close-vcpu", .what = "closes a vCPU", .prepare = create_old_vcpu,
	  .run = close_vcpu },
	{ .name = "create-irqchip", .what = "creates an interrupt controller",
	  .run = create_irqchip, .arg = WITHOUT_IRQCHIP },
	{ .name = "split-irqchip", .what = "asks for a split interrupt controller",
	  .run = split_irqchip, .arg = WITHOUT_IRQCHIP },
	{ .name = "create-pit", .what = "creates a timer", .run = create_pit },
	{ .name = "disable-exits", .what = "disables exits", .run = disable_exits },
	{ .name = "max-vcpu-id", .what = "limits IDs of vCPUs", .run = limit_ids },
	{ .name = "x2apic-ids", .what = "asks for 32-bit APIC IDs",
	  .run = use_x2apic_api },
	{ .name = "tsc-khz", .what = "sets the frequency of vCPUs to come",
	  .run = set_tsc_khz },
	{ .name = "identity-map", .what = "places the identity map",
	  .run = place_identity_map },
	{ .name = "tss-addr", .what = "places KVM's own page", .run = place_tss },
	{ .name = "msi-to-all", .what = "sends an MSI to all vCPUs", .run = send_msi },
	{}
};

static const struct op * const ops[] = { newborn_ops, NULL };

const struct stage stage_newborn = {
	.name = "a VM that is being set up", .missing = missing, .fresh_is_new = true,
	.create = create, .destroy = destroy,
	.fresh = fresh, .probe = probe, .observe = observe, .ops = ops,
};
