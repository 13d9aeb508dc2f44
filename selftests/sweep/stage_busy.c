// SPDX-License-Identifier: GPL-2.0-only
/*
 * A VM for many operations; see busy.h.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "apic.h"
#include "busy.h"
#include "hostfacts.h"
#include "tdp-mmu-zap/nested_tdp.h"

/* An operation with more exits is in a loop. */
#define MAX_EXITS	16
/* The offset of exit reasons among errors. */
#define EXIT_REASONS	1000

int busy_self(struct sweep *sweep)
{
	return pthread_equal(pthread_self(), sweep->worker[1].thread) ? 1 : 0;
}

struct kvm_vcpu *busy_vcpu(struct sweep *sweep)
{
	struct busy *busy = sweep->stage;

	return busy->vcpu[busy_self(sweep)];
}

struct slot *busy_slot(struct sweep *sweep)
{
	struct busy *busy = sweep->stage;

	return &busy->slot[sweep->pair->op[busy_self(sweep)]->arg];
}

void busy_done(struct sweep *sweep, int error)
{
	struct busy *busy = sweep->stage;

	busy->result[busy_self(sweep)] = error;
}

void busy_ioctl(struct sweep *sweep, unsigned long cmd, void *arg)
{
	struct busy *busy = sweep->stage;

	busy_done(sweep, ioctl(busy->vm->fd, cmd, arg) < 0 ? errno : 0);
}

void busy_vcpu_ioctl(struct sweep *sweep, unsigned long cmd, void *arg)
{
	busy_done(sweep, ioctl(busy_vcpu(sweep)->fd, cmd, arg) < 0 ? errno : 0);
}

int busy_set_msr(struct sweep *sweep, uint32_t msr, uint64_t value)
{
	return _vcpu_set_msr(busy_vcpu(sweep), msr, value) == 1 ? 0 : EINVAL;
}

static bool is_at_sync(struct kvm_vcpu *vcpu)
{
	struct ucall uc;

	if (get_ucall(vcpu, &uc) == UCALL_ABORT)
		REPORT_GUEST_ASSERT(uc);
	return uc.cmd == UCALL_SYNC;
}

/* Reads from where no device is return 0. */
void busy_run(struct sweep *sweep, enum busy_command command)
{
	struct busy *busy = sweep->stage;
	int self = busy_self(sweep), exits;
	struct kvm_vcpu *vcpu = busy->vcpu[self];
	struct kvm_run *run = vcpu->run;
	int *error = &busy->seen[busy->stage][self].error;

	busy->words->command[self] = command;
	*error = 0;
	for (exits = 0; exits < MAX_EXITS; exits++) {
		if (__vcpu_run(vcpu)) {
			*error = errno;
			return;
		}
		switch (run->exit_reason) {
		case KVM_EXIT_IO:
			if (is_at_sync(vcpu))
				return;
			break;
		case KVM_EXIT_MMIO:
			memset(run->mmio.data, 0, sizeof(run->mmio.data));
			break;
		case KVM_EXIT_X86_RDMSR:
			run->msr.data = 0;
			run->msr.error = 0;
			break;
		default:
			*error = EXIT_REASONS + run->exit_reason;
			return;
		}
		busy->seen[busy->stage][self].exits++;
	}
	*error = EXIT_REASONS;
}

int busy_msi(struct busy *busy, int vcpu, unsigned int irq)
{
	struct kvm_msi msi = {
		.address_lo = APIC_DEFAULT_GPA | vcpu << 12,
		.data = VECTOR_FIRST + irq,
	};

	return __vm_ioctl(busy->vm, KVM_SIGNAL_MSI, &msi);
}

int busy_route(struct busy *busy, unsigned int irq)
{
	struct kvm_irq_routing *routing = kvm_gsi_routing_create();
	struct kvm_irq_routing_entry *entry;
	unsigned int pin;

	for (pin = 0; pin < BUSY_GSI; pin++) {
		kvm_gsi_routing_irqchip_add(routing, pin, pin);
		routing->entries[pin].u.irqchip.irqchip = KVM_IRQCHIP_IOAPIC;
	}
	entry = &routing->entries[routing->nr++];
	entry->gsi = BUSY_GSI;
	entry->type = KVM_IRQ_ROUTING_MSI;
	entry->u.msi.address_lo = APIC_DEFAULT_GPA;
	entry->u.msi.data = VECTOR_FIRST + irq;
	return _kvm_gsi_routing_write(busy->vm, routing);
}

static void settle(struct sweep *sweep)
{
	busy_run(sweep, DO_TOUCH);
}

static void save_lapic(struct sweep *sweep)
{
	struct busy *busy = sweep->stage;

	settle(sweep);
	vcpu_ioctl(busy_vcpu(sweep), KVM_GET_LAPIC, &busy->lapic[busy_self(sweep)]);
}

static void each_worker(struct sweep *sweep, void (*work)(struct sweep *sweep))
{
	int i;

	for (i = 0; i < BUSY_VCPUS; i++)
		worker_call(&sweep->worker[i], work);
}

static void create_ioapic(struct busy *busy)
{
	busy->ioapic.chip_id = KVM_IRQCHIP_IOAPIC;
	vm_ioctl(busy->vm, KVM_GET_IRQCHIP, &busy->ioapic);
	memset(&busy->ioapic.chip.ioapic.redirtbl[BUSY_PIN], 0,
	       sizeof(busy->ioapic.chip.ioapic.redirtbl[BUSY_PIN]));
	busy->ioapic.chip.ioapic.redirtbl[BUSY_PIN].fields.vector =
		VECTOR_FIRST + IRQ_PIN;
	vm_ioctl(busy->vm, KVM_SET_IRQCHIP, &busy->ioapic);
}

static void create_vm(struct sweep *sweep, bool l2)
{
	struct busy *busy = calloc(1, sizeof(*busy));
	int i;

	TEST_ASSERT(busy, "no memory");
	sweep->stage = busy;
	busy->l2 = l2;
	busy->vm = vm_create(BUSY_VCPUS);
	busy_guest_init(busy);
	for (i = 0; i < BUSY_SLOTS; i++)
		slot_create(&busy->slot[i], busy->vm, BUSY_SLOT(i), BUSY_GPA(i));
	for (i = 0; i < BUSY_VCPUS; i++) {
		busy->vcpu[i] = vm_vcpu_add(busy->vm, i, busy_guest_code);
		vcpu_init_descriptor_tables(busy->vcpu[i]);
		vcpu_args_set(busy->vcpu[i], 2, (uint64_t)i,
			      i ? 0 : (uint64_t)busy->l2_area);
	}
	create_ioapic(busy);
	busy_route(busy, IRQ_ROUTED);
	busy->watch = emulator_watch();
	busy->eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	TEST_ASSERT(busy->eventfd >= 0, "eventfd: %s", strerror(errno));
	each_worker(sweep, save_lapic);
	for (i = 0; i < BUSY_VCPUS; i++)
		TEST_ASSERT(!busy->seen[0][i].error, "vCPU %d does not run: %d", i,
			    busy->seen[0][i].error);
	/* A thread that is held in mmap() owns mmap_lock, so that no page fault may occur then. */
	TEST_ASSERT(!mlockall(MCL_CURRENT), "mlockall: %s", strerror(errno));
	/* The slots' pages are unlocked, as locked pages cannot be discarded. */
	for (i = 0; i < BUSY_SLOTS; i++)
		munlock(busy->slot[i].guest, SLOT_PAGE);
}

static void create(struct sweep *sweep)
{
	create_vm(sweep, false);
}

static void create_l2(struct sweep *sweep)
{
	create_vm(sweep, true);
}

static unsigned int destroy(struct sweep *sweep)
{
	struct busy *busy = sweep->stage;
	unsigned int leaked = 0;
	int i;

	munlockall();
	close(busy->watch);
	kvm_vm_free(busy->vm);
	close(busy->eventfd);
	for (i = 0; i < BUSY_SLOTS; i++)
		leaked += slot_destroy(&busy->slot[i]);
	free(busy);
	sweep->stage = NULL;
	return leaked;
}

static void fresh(struct sweep *sweep)
{
	struct busy *busy = sweep->stage;
	uint64_t count;
	int i;

	for (i = 0; i < BUSY_SLOTS; i++)
		slot_restore(&busy->slot[i]);
	busy->stage = 0;
	busy->signals = false;
	/* Let the guest take interrupts that are left from the last schedule. */
	each_worker(sweep, settle);
	while (read(busy->eventfd, &count, sizeof(count)) > 0)
		;
}

static void begin(struct sweep *sweep)
{
	struct busy *busy = sweep->stage;
	int i;

	memset(busy->seen, 0, sizeof(busy->seen));
	memset(busy->result, 0, sizeof(busy->result));
	memset(busy->words->irqs, 0, sizeof(busy->words->irqs));
	memset(busy->words->masked, 0, sizeof(busy->words->masked));
	emulator_repeated(busy->watch);
	for (i = 0; i < BUSY_SLOTS; i++)
		slot_begin(&busy->slot[i]);
}

static void use(struct sweep *sweep)
{
	/* Have KVM write the kvmclock, if the vCPU has one. */
	__vcpu_ioctl(busy_vcpu(sweep), KVM_KVMCLOCK_CTRL, NULL);
	busy_run(sweep, DO_TOUCH);
}

/* Lets the guest take pending interrupts before the probe sends others. */
static void take(struct sweep *sweep)
{
	busy_run(sweep, DO_NOTHING);
}

static void probe(struct sweep *sweep)
{
	struct busy *busy = sweep->stage;
	uint64_t one = 1;
	int i;

	for (i = 0; i < BUSY_SLOTS; i++)
		slot_sum_up(&busy->slot[i], SUM_OPERATIONS);
	busy->before = *busy->words;
	busy->stage = 1;
	each_worker(sweep, take);
	for (i = 0; i < BUSY_VCPUS; i++)
		busy_msi(busy, i, IRQ_PROBE);
	if (busy->signals && write(busy->eventfd, &one, sizeof(one)) != sizeof(one))
		TEST_FAIL("eventfd: %s", strerror(errno));
	each_worker(sweep, use);
	for (i = 0; i < BUSY_SLOTS; i++)
		slot_sum_up(&busy->slot[i], SUM_AFTERWARDS);
}

static void observe_vcpu(struct sweep *sweep)
{
	outcome_add_system(&sweep->outcome, busy_vcpu(sweep));
}

/*
 * Were all interrupts that the guest took with interrupts off repeated by the emulator?  It
 * repeats them in the handler.  KVM could inject one there, too, and that is then no
 * repetition of the emulator's.
 */
static bool repeats(struct busy *busy)
{
	unsigned int repeated, masked = 0;
	int i;

	for (i = 0; i < NR_IRQS; i++)
		masked += busy->words->masked[i];
	if (!masked)
		return false;
	repeated = emulator_repeated(busy->watch);
	if (repeated != masked)
		printf("# of %u interrupts taken with interrupts off, the emulator repeated %u\n",
		       masked, repeated);
	return repeated == masked;
}

static uint64_t irqs_in(const struct busy_words *words, int i, bool repeats)
{
	return words->irqs[i] - (repeats ? words->masked[i] : 0);
}

static void observe_irqs(struct sweep *sweep)
{
	struct busy *busy = sweep->stage;
	bool some_are_repeated = repeats(busy);
	uint64_t before, after;
	int i;

	for (i = 0; i < NR_IRQS; i++) {
		before = irqs_in(&busy->before, i, some_are_repeated);
		after = irqs_in(busy->words, i, some_are_repeated);
		outcome_add(&sweep->outcome, "interrupts while the operations ran", i, before);
		outcome_add(&sweep->outcome, "interrupts afterwards", i, after - before);
		if (some_are_repeated)
			sweep->repeated += busy->words->masked[i];
	}
}

static void observe(struct sweep *sweep)
{
	struct busy *busy = sweep->stage;
	struct outcome *outcome = &sweep->outcome;
	int i, stage;

	for (i = 0; i < BUSY_VCPUS; i++) {
		outcome_add(outcome, "result of operation", i, busy->result[i]);
		for (stage = 0; stage < 2; stage++) {
			outcome_add(outcome, stage ? "exits afterwards of vCPU" :
				    "exits of vCPU", i, busy->seen[stage][i].exits);
			outcome_add(outcome, stage ? "error afterwards of vCPU" :
				    "error of vCPU", i, busy->seen[stage][i].error);
		}
	}
	observe_irqs(sweep);
	for (i = 0; i < BUSY_SLOTS; i++)
		slot_observe(&busy->slot[i], outcome);
	each_worker(sweep, observe_vcpu);
}

static const struct op * const ops[] = {
	busy_memory_ops, busy_memslot_ops, busy_irq_ops, busy_vcpu_ops, busy_run_ops,
	busy_vm_ops, NULL
};

static const struct op * const ops_with_l2[] = {
	busy_memory_ops, busy_memslot_ops, busy_irq_ops, busy_vcpu_ops, busy_run_ops,
	busy_vm_ops, busy_l2_ops, NULL
};

const struct stage stage_busy = {
	.name = "a VM in which much can be done", .missing = hostfacts_need_kvm,
	.create = create, .destroy = destroy,
	.fresh = fresh, .begin = begin, .probe = probe, .observe = observe,
	.ops = ops,
};

const struct stage stage_busy_l2 = {
	.name = "the same with an L2", .missing = nested_tdp_missing,
	.create = create_l2, .destroy = destroy,
	.fresh = fresh, .begin = begin, .probe = probe, .observe = observe,
	.ops = ops_with_l2,
};
