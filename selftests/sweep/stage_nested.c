// SPDX-License-Identifier: GPL-2.0-only
/*
 * A vCPU that is halted in L2, with posted interrupts; its nested state is saved and
 * restored, and an interrupt is posted to L2 meanwhile.
 *
 * Saving and restoring must make no difference: the reference are runs in which the vCPU
 * is only run.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "apic.h"
#include "hostfacts.h"
#include "leave_nested.h"
#include "nested-vmcs12-pages/nested_guest.h"
#include "nested-vmcs12-pages/vcpu_state.h"
#include "pages.h"
#include "processor.h"
#include "sweep.h"

/* The operations' numbers. */
enum { VCPU, POSTER };

struct nested {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpu;
	struct l2_config *config;
	uint8_t *vapic;
	struct pi_desc *pi_desc;
	struct pages mapped;	/* pages that KVM maps, as long as the VM exists */
	/* The guest as it was before its first KVM_RUN */
	struct vcpu_state *vcpu_before;
	char *memory_before;
	bool awake;		/* L2 has gone on */
	uint64_t irqs;		/* how many interrupts L2 has taken */
	/* At least the size that KVM_CHECK_EXTENSION(KVM_CAP_NESTED_STATE) returns. */
	union {
		struct kvm_nested_state state;
		char room[16384];
	};
};

/* All memory of the guest is one memslot. */
#define MEMSLOT	0

static void kick_handler(int signum)
{
}

static const char *missing(void)
{
	struct sigaction action = { .sa_handler = kick_handler };

	sigaction(SIGUSR1, &action, NULL);
	return hostfacts_need_nested_vid();
}

/* Ends the KVM_RUN of a halted vCPU, which stays there until it gets an interrupt. */
static void stop(struct sweep *sweep, struct worker *worker)
{
	struct nested *nested = sweep->stage;

	if (worker != &sweep->worker[VCPU] || !nested)
		return;
	nested->vcpu->run->immediate_exit = 1;
	syscall(SYS_tgkill, getpid(), worker->tid, SIGUSR1);
}

/*
 * KVM_RUN up to L2's next sync.  Returns false if stop() ended it, or an internal error: with the
 * race, 6.12 and later have one if a notification is pending when the vCPU is back in L2.
 */
static bool run_to_sync(struct nested *nested, uint64_t sync)
{
	struct kvm_vcpu *vcpu = nested->vcpu;
	struct ucall uc;
	int ret;

	vcpu->run->immediate_exit = 0;
	ret = __vcpu_run(vcpu);
	if ((ret && errno == EINTR) ||
	    (!ret && vcpu->run->exit_reason == KVM_EXIT_INTERNAL_ERROR))
		return false;
	TEST_ASSERT(!ret && get_ucall(vcpu, &uc) == UCALL_SYNC && uc.args[1] == sync,
		    "L2: KVM_RUN %d, exit reason %u (%s), not sync %lu", ret,
		    vcpu->run->exit_reason, exit_reason_str(vcpu->run->exit_reason), sync);
	nested->irqs = uc.args[2];
	return true;
}

static void run_l2(struct nested *nested)
{
	if (!nested->awake)
		nested->awake = run_to_sync(nested, SYNC_L2_AWAKE);
}

/* Saves and restores the vCPU, but only the state that L1 and L2 do not share. */
static void migrate(struct nested *nested)
{
	struct kvm_vcpu *vcpu = nested->vcpu;
	struct kvm_mp_state mp_state;
	struct kvm_vcpu_events events;
	struct kvm_sregs sregs;
	struct kvm_regs regs;

	nested->state.size = sizeof(nested->room);
	nested->state.flags = 0;
	vcpu_events_get(vcpu, &events);
	vcpu_mp_state_get(vcpu, &mp_state);
	vcpu_regs_get(vcpu, &regs);
	vcpu_sregs_get(vcpu, &sregs);
	vcpu_nested_state_get(vcpu, &nested->state);

	leave_nested(vcpu);

	vcpu_sregs_set(vcpu, &sregs);
	vcpu_regs_set(vcpu, &regs);
	vcpu_events_set(vcpu, &events);
	vcpu_nested_state_set(vcpu, &nested->state);
	vcpu_mp_state_set(vcpu, &mp_state);
}

static void migrate_and_run(struct sweep *sweep)
{
	struct nested *nested = sweep->stage;

	if (!sweep->plain)
		migrate(nested);
	run_l2(nested);
}

/* Posts an interrupt, as an IOMMU does, or L1 with an IPI. */
static void post(struct sweep *sweep)
{
	struct nested *nested = sweep->stage;
	struct kvm_msi msi = {
		.address_lo = APIC_DEFAULT_GPA,		/* to APIC ID 0 */
		.data = PI_NV,
	};

	pi_post(nested->pi_desc, L2_VECTOR);
	TEST_ASSERT(__vm_ioctl(nested->vm, KVM_SIGNAL_MSI, &msi) == 1,
		    "the notification was not accepted");
}

static void run_to_halt(struct sweep *sweep)
{
	struct nested *nested = sweep->stage;
	struct kvm_mp_state mp_state;

	TEST_ASSERT(run_to_sync(nested, SYNC_L2_HALTS), "L2 was stopped");
	TEST_ASSERT(!run_to_sync(nested, SYNC_L2_AWAKE), "L2 does not halt");
	vcpu_mp_state_get(nested->vcpu, &mp_state);
	TEST_ASSERT(mp_state.mp_state == KVM_MP_STATE_HALTED, "L2 is not halted");
}

static size_t memory_size(const struct nested *nested)
{
	return memslot2region(nested->vm, MEMSLOT)->region.memory_size;
}

static char *memory(const struct nested *nested)
{
	return memslot2region(nested->vm, MEMSLOT)->host_mem;
}

static void save(struct sweep *sweep)
{
	struct nested *nested = sweep->stage;

	nested->vcpu_before = vcpu_state_save(nested->vcpu);
	nested->memory_before = malloc(memory_size(nested));
	TEST_ASSERT(nested->memory_before, "no memory");
	memcpy(nested->memory_before, memory(nested), memory_size(nested));
}

static void create(struct sweep *sweep)
{
	struct nested *nested = calloc(1, sizeof(*nested));

	TEST_ASSERT(nested, "no memory");
	nested->vm = vm_create_with_one_vcpu(&nested->vcpu, l1_halts_l2);
	nested->config = l2_config_add(nested->vm, nested->vcpu, true);
	nested->vapic = addr_gva2hva(nested->vm, (vm_vaddr_t)nested->config->vapic);
	nested->pi_desc = addr_gva2hva(nested->vm, (vm_vaddr_t)nested->config->pi_desc);
	pages_note(&nested->mapped, nested->vapic);
	pages_note(&nested->mapped, nested->pi_desc);
	sweep->stage = nested;
	worker_call(&sweep->worker[VCPU], save);
}

static unsigned int destroy(struct sweep *sweep)
{
	struct nested *nested = sweep->stage;
	unsigned int referred;

	kvm_vm_free(nested->vm);
	referred = pages_referred(&nested->mapped);
	if (referred)
		printf("# %u pages of vmcs12 are still referred to\n", referred);
	vcpu_state_free(nested->vcpu_before);
	free(nested->memory_before);
	free(nested);
	sweep->stage = NULL;
	return referred;
}

/* Word by word: the library's memcmp(), byte by byte, takes 0.2 s on an emulated CPU. */
static bool is_same_page(const uint64_t *a, const uint64_t *b)
{
	unsigned int i;

	for (i = 0; i < PAGE_BYTES / sizeof(*a); i++)
		if (a[i] != b[i])
			return false;
	return true;
}

/* Writes only the pages that differ, as writing would populate all memory. */
static void restore_memory(struct nested *nested)
{
	char *now = memory(nested), *before = nested->memory_before;
	size_t at;

	for (at = 0; at < memory_size(nested); at += PAGE_BYTES)
		if (!is_same_page((void *)(now + at), (void *)(before + at)))
			memcpy(now + at, before + at, PAGE_BYTES);
}

/* Has the guest begin anew, as the progress of L2 cannot be undone, and run until L2 halts. */
static void begin_anew(struct sweep *sweep)
{
	struct nested *nested = sweep->stage;

	vcpu_run_complete_io(nested->vcpu);
	leave_nested(nested->vcpu);
	vcpu_state_load(nested->vcpu, nested->vcpu_before);
	restore_memory(nested);
	nested->awake = false;
	nested->irqs = 0;
	run_to_halt(sweep);
}

static void fresh(struct sweep *sweep)
{
	worker_call(&sweep->worker[VCPU], begin_anew);
}

static void run_again(struct sweep *sweep)
{
	run_l2(sweep->stage);
}

static void probe(struct sweep *sweep)
{
	worker_call(&sweep->worker[VCPU], run_again);
}

/*
 * Adds only those of L2's registers that show its position: up to 6.11 L1 injects the
 * interrupt if the notification came before L2 ran, and enters L2 with other registers.
 */
static void observe_vcpu(struct sweep *sweep)
{
	struct nested *nested = sweep->stage;
	struct outcome *outcome = &sweep->outcome;
	struct kvm_regs regs;

	vcpu_regs_get(nested->vcpu, &regs);
	outcome_add(outcome, "exit reason of vCPU", 0, nested->vcpu->run->exit_reason);
	outcome_add(outcome, "RIP of vCPU", 0, regs.rip);
	outcome_add(outcome, "RSP of vCPU", 0, regs.rsp);
	outcome_add(outcome, "RFLAGS of vCPU", 0, regs.rflags);
	outcome_add_system(outcome, nested->vcpu);
}

static void observe(struct sweep *sweep)
{
	struct nested *nested = sweep->stage;
	struct outcome *outcome = &sweep->outcome;

	outcome_add(outcome, "L2 goes on", 0, nested->awake);
	outcome_add(outcome, "interrupts that L2 took", 0, nested->irqs);
	outcome_add(outcome, "interrupt outstanding", 0, pi_outstanding(nested->pi_desc));
	outcome_add(outcome, "interrupt posted", 0,
		    outcome_sum(nested->pi_desc, sizeof(nested->pi_desc->pir)));
	outcome_add(outcome, "virtual APIC of L2", 0, outcome_sum(nested->vapic, 4096));
	worker_call(&sweep->worker[VCPU], observe_vcpu);
}

static const struct stage stage_nested = {
	.name = "a vCPU halted in L2", .missing = missing, .has_plain = true,
	.stop = stop,
	.create = create, .destroy = destroy,
	.fresh = fresh, .probe = probe, .observe = observe,
};

static const struct op op_migrate = {
	.name = "KVM_SET_NESTED_STATE", .what = "saves, restores and runs the vCPU",
	.run = migrate_and_run,
};

static const struct op op_post = {
	.name = "KVM_SIGNAL_MSI", .what = "posts an interrupt to L2", .run = post,
};

const struct pair nested_pairs[] = {
	{ "nested-vmcs12-pages", &stage_nested, { &op_migrate, &op_post } },
	{}
};
