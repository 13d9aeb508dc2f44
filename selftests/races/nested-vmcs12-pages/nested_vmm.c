// SPDX-License-Identifier: GPL-2.0-only
/*
 * The VMM of nested_vmcs12_pages_test; see nested_vmm.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "apic.h"
#include "kselftest.h"
#include "leave_nested.h"
#include "nested_vmm.h"
#include "nested_watch.h"
#include "processor.h"
#include "racegate_client.h"
#include "svm_util.h"

/* A memslot that the selftest library does not use. */
#define SLOT		10

/*
 * The limit for a vCPU to block, which takes longer if the kernel warns on the way,
 * and the interval of polling.
 */
#define BLOCK_MS	1000
#define LOOK_US		200

static const char * const outcome_names[] = {
	[ASLEEP] = "it is still asleep",
	[WOKE] = "it woke up and took the interrupt",
	[WOKE_NO_IRQ] = "it woke up without an interrupt",
	[REFUSED] = "KVM_RUN ended with an internal error",
	[L1_RUNS] = "L1 goes on",
	[OTHER] = "something else happened",
};

const char *outcome_name(enum outcome outcome)
{
	return outcome_names[outcome];
}

/* Ends the KVM_RUN of kicked_run. */
static timer_t kick_timer;
static struct kvm_run *kicked_run;

static void kick_handler(int signum)
{
	/* This also ends a KVM_RUN that is about to start. */
	kicked_run->immediate_exit = 1;
}

/* Starts or restarts the kick timer; returns 0 or -1. */
static int kick_in(unsigned int ms)
{
	struct itimerspec when = {
		.it_value.tv_sec = ms / 1000,
		.it_value.tv_nsec = ms % 1000 * 1000000,
	};

	return timer_settime(kick_timer, 0, &when, NULL);
}

/* KVM_RUN for at most @ms milliseconds of the host's time; returns 0 or -errno. */
static int run_bounded(struct kvm_vcpu *vcpu, unsigned int ms)
{
	struct sigevent event = {
		.sigev_notify = SIGEV_SIGNAL,
		.sigev_signo = SIGUSR1,
	};
	struct sigaction action = { .sa_handler = kick_handler };
	int ret;

	kicked_run = vcpu->run;
	sigaction(SIGUSR1, &action, NULL);
	TEST_ASSERT(!timer_create(CLOCK_MONOTONIC, &event, &kick_timer),
		    "timer_create: %s", strerror(errno));
	TEST_ASSERT(!kick_in(ms), "timer_settime: %s", strerror(errno));
	ret = __vcpu_run(vcpu) ? -errno : 0;
	timer_delete(kick_timer);
	vcpu->run->immediate_exit = 0;
	return ret;
}

static uint32_t mp_state(struct kvm_vcpu *vcpu)
{
	struct kvm_mp_state state;

	vcpu_mp_state_get(vcpu, &state);
	return state.mp_state;
}

void vmm_create(struct vmm *vmm, void *l1, bool posted_intr)
{
	vmm->vm = vm_create_with_one_vcpu(&vmm->vcpu, l1);
	vmm->config = l2_config_add(vmm->vm, vmm->vcpu, posted_intr);
	vmm->vapic = addr_gva2hva(vmm->vm, (vm_vaddr_t)vmm->config->vapic);
	vmm->pi_desc = addr_gva2hva(vmm->vm, (vm_vaddr_t)vmm->config->pi_desc);
}

void vmm_create_on_svm(struct vmm *vmm)
{
	vm_vaddr_t svm_gva;

	vmm->vm = vm_create_with_one_vcpu(&vmm->vcpu, l1_halts_l2_on_svm);
	vcpu_alloc_svm(vmm->vm, &svm_gva);
	vcpu_args_set(vmm->vcpu, 1, svm_gva);
}

void vmm_create_without_l2(struct vmm *vmm)
{
	vmm->vm = vm_create_with_one_vcpu(&vmm->vcpu, l1_halts);
	vm_init_descriptor_tables(vmm->vm);
	vcpu_init_descriptor_tables(vmm->vcpu);
	vm_install_exception_handler(vmm->vm, PI_NV, l2_irq_handler);
}

void vmm_run_to_sync(struct vmm *vmm, uint64_t sync)
{
	struct ucall uc;

	vcpu_run(vmm->vcpu);
	switch (get_ucall(vmm->vcpu, &uc)) {
	case UCALL_SYNC:
		TEST_ASSERT(uc.args[1] == sync, "sync %lu, %lu was to come",
			    uc.args[1], sync);
		break;
	case UCALL_ABORT:
		REPORT_GUEST_ASSERT(uc);
	default:
		TEST_FAIL("the guest did not start: exit reason %u (%s)",
			  vmm->vcpu->run->exit_reason,
			  exit_reason_str(vmm->vcpu->run->exit_reason));
	}
}

void vmm_run_to_halt(struct vmm *vmm)
{
	do {
		int ret = run_bounded(vmm->vcpu, SETTLE_MS);

		TEST_ASSERT(ret == -EINTR, "L2 was to halt, KVM_RUN: %d", ret);
	} while (mp_state(vmm->vcpu) != KVM_MP_STATE_HALTED);
}

/* Prints the exit reason behind OTHER or REFUSED. */
static void print_exit(struct kvm_run *run, struct ucall *uc)
{
	ksft_print_msg("exit reason %u (%s), suberror %u, ucall %lu\n",
		       run->exit_reason, exit_reason_str(run->exit_reason),
		       run->internal.suberror, uc->cmd);
	if (uc->cmd == UCALL_UNHANDLED)
		ksft_print_msg("guest: unhandled vector 0x%lx\n", uc->args[0]);
	if (uc->cmd == UCALL_ABORT)
		ksft_print_msg("%s at %s:%lu, %lx\n", (char *)uc->args[0],
			       (char *)uc->args[1], uc->args[2], uc->args[3]);
}

enum outcome vmm_run(struct vmm *vmm, unsigned int ms)
{
	struct kvm_run *run = vmm->vcpu->run;
	struct ucall uc;
	int ret;

	/* Poison the fields, to see whether KVM_RUN sets them. */
	run->internal.suberror = UINT32_MAX;
	run->internal.ndata = UINT32_MAX;
	ret = run_bounded(vmm->vcpu, ms);
	if (ret == -EINTR && mp_state(vmm->vcpu) == KVM_MP_STATE_HALTED)
		return ASLEEP;
	if (ret) {
		ksft_print_msg("KVM_RUN: %s, mp_state %u\n", strerror(-ret),
			       mp_state(vmm->vcpu));
		return OTHER;
	}
	if (get_ucall(vmm->vcpu, &uc) == UCALL_SYNC) {
		if (uc.args[1] == SYNC_L2_AWAKE)
			return uc.args[2] == 1 ? WOKE : WOKE_NO_IRQ;
		if (uc.args[1] == SYNC_L1_GOES_ON)
			return L1_RUNS;
	}
	print_exit(run, &uc);
	return run->exit_reason == KVM_EXIT_INTERNAL_ERROR &&
	       run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION &&
	       run->internal.ndata != UINT32_MAX ? REFUSED : OTHER;
}

void vmm_save(struct vmm *vmm)
{
	vmm->state = vcpu_state_save(vmm->vcpu);
	TEST_ASSERT(vmm->state->nested.flags & KVM_STATE_NESTED_GUEST_MODE,
		    "the vCPU was saved outside L2");
	TEST_ASSERT(vmm->state->mp_state.mp_state == KVM_MP_STATE_HALTED,
		    "the vCPU was saved awake");
}

void vmm_restore_new_vm(struct vmm *vmm)
{
	kvm_vm_release(vmm->vm);
	vmm->vcpu = vm_recreate_with_one_vcpu(vmm->vm);
	vcpu_state_load(vmm->vcpu, vmm->state);
}

void vmm_restore_same_vm(struct vmm *vmm)
{
	leave_nested(vmm->vcpu);
	vcpu_state_load(vmm->vcpu, vmm->state);
}

void vmm_set_vmcs12(struct vmm *vmm, unsigned int offset, const void *value,
		    size_t size)
{
	memcpy(vmm->state->nested.data.vmx[0].vmcs12 + offset, value, size);
}

void vmm_unback_apic_access(struct vmm *vmm)
{
	uint32_t control = SECONDARY_EXEC_VIRTUAL_INTR_DELIVERY |
			   SECONDARY_EXEC_VIRTUALIZE_APIC_ACCESSES;
	uint64_t gpa = UNBACKED_GPA;

	vmm_set_vmcs12(vmm, VMCS12_SECONDARY_EXEC_CONTROL, &control, sizeof(control));
	vmm_set_vmcs12(vmm, VMCS12_APIC_ACCESS_ADDR, &gpa, sizeof(gpa));
}

int vmm_restore_without_pdptes(struct vmm *vmm)
{
	uint64_t cr3 = UNBACKED_GPA;
	uint32_t control;

	memcpy(&control, vmm->state->nested.data.vmx[0].vmcs12 + VMCS12_VM_ENTRY_CONTROLS,
	       sizeof(control));
	control &= ~VM_ENTRY_IA32E_MODE;
	vmm_set_vmcs12(vmm, VMCS12_VM_ENTRY_CONTROLS, &control, sizeof(control));
	vmm_set_vmcs12(vmm, VMCS12_GUEST_CR3, &cr3, sizeof(cr3));
	if (__vcpu_ioctl(vmm->vcpu, KVM_SET_NESTED_STATE, &vmm->state->nested))
		return errno;
	vcpu_mp_state_set(vmm->vcpu, &vmm->state->mp_state);
	return 0;
}

void vmm_pend_in_rvi(struct vmm *vmm, uint8_t vector)
{
	uint16_t intr_status = vector;

	vmm_set_vmcs12(vmm, VMCS12_GUEST_INTR_STATUS, &intr_status,
		       sizeof(intr_status));
	pend_in_vapic(vmm->vapic, vector);
}

void vmm_pend_notification(struct vmm *vmm)
{
	pi_post(vmm->pi_desc, L2_VECTOR);
	vmm->state->lapic.regs[APIC_IRR + (PI_NV / 32) * 0x10 + (PI_NV % 32) / 8] |=
		1 << (PI_NV % 8);
}

void vmm_set_priority(struct vmm *vmm, uint32_t priority)
{
	memcpy(vmm->vapic + APIC_TASKPRI, &priority, sizeof(priority));
	memcpy(vmm->vapic + APIC_PROCPRI, &priority, sizeof(priority));
}

void vmm_set_service(struct vmm *vmm, uint32_t priority)
{
	memcpy(vmm->vapic + APIC_PROCPRI, &priority, sizeof(priority));
}

void vmm_raise_exception(struct vmm *vmm)
{
	struct kvm_vcpu_events events;

	/* The vCPU may be in a ucall. */
	vcpu_run_complete_io(vmm->vcpu);
	/* Without it, an exception counts as injected before, and is injected again. */
	vm_enable_cap(vmm->vm, KVM_CAP_EXCEPTION_PAYLOAD, 1);
	vcpu_events_get(vmm->vcpu, &events);
	events.flags |= KVM_VCPUEVENT_VALID_PAYLOAD;
	events.exception.pending = 1;
	events.exception.nr = UD_VECTOR;
	vcpu_events_set(vmm->vcpu, &events);
}

void vmm_interrupt(struct vmm *vmm, uint8_t vector)
{
	struct kvm_msi msi = {
		.address_lo = 0xfee00000,	/* to APIC ID 0 */
		.data = vector,
	};

	TEST_ASSERT(__vm_ioctl(vmm->vm, KVM_SIGNAL_MSI, &msi) == 1,
		    "vector 0x%x was not accepted", vector);
}

void vmm_nmi(struct vmm *vmm)
{
	vcpu_ioctl(vmm->vcpu, KVM_NMI, NULL);
}

void vmm_notify(struct vmm *vmm)
{
	vmm_interrupt(vmm, PI_NV);
}

void vmm_post_vector(struct vmm *vmm, uint8_t vector)
{
	nested_watch_post();
	pi_post(vmm->pi_desc, vector);
	vmm_notify(vmm);
}

void vmm_post_interrupt(struct vmm *vmm)
{
	vmm_post_vector(vmm, L2_VECTOR);
}

void vmm_back_page(struct vmm *vmm)
{
	vm_userspace_mem_region_add(vmm->vm, VM_MEM_SRC_ANONYMOUS, UNBACKED_GPA,
				    SLOT, 1, 0);
}

/* A vCPU's thread, and the data of the thread that waits until it sleeps. */
struct sleeper {
	struct vmm *vmm;
	pid_t tid;
	unsigned int ms;
	bool blocked;
};

/* Reads /proc/self/task/@tid/@name; returns an empty text on error. */
static const char *read_task(pid_t tid, const char *name, char *text, size_t size)
{
	ssize_t n = -1;
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/task/%d/%s", tid, name);
	fd = open(path, O_RDONLY);
	if (fd >= 0) {
		n = read(fd, text, size - 1);
		close(fd);
	}
	text[n > 0 ? n : 0] = '\0';
	return text;
}

/*
 * Does the thread sleep in kvm_vcpu_block()?  The stack is reliable only if the thread
 * does not run.  wchan would not need that check, but works on x86 only from 5.16 on.
 */
static bool is_blocked(pid_t tid)
{
	char text[4096];

	return strstr(read_task(tid, "stat", text, sizeof(text)), ") S ") &&
	       strstr(read_task(tid, "stack", text, sizeof(text)), "kvm_vcpu_block+");
}

static void *post_to_sleeper(void *arg)
{
	struct sleeper *sleeper = arg;
	unsigned int us;

	nested_watch_thread("a device of L1's");
	for (us = 0; us < BLOCK_MS * 1000 && !sleeper->blocked; us += LOOK_US) {
		sleeper->blocked = is_blocked(sleeper->tid);
		if (!sleeper->blocked) {
			usleep(LOOK_US);
			continue;
		}
		/* Set the timer first: after the post KVM_RUN may end, and then deletes it. */
		kick_in(sleeper->ms);
		vmm_post_interrupt(sleeper->vmm);
	}
	return NULL;
}

enum outcome vmm_run_and_post(struct vmm *vmm, unsigned int ms, bool *blocked)
{
	struct sleeper sleeper = {
		.vmm = vmm,
		.tid = rg_gettid(),
		.ms = ms,
	};
	enum outcome outcome;
	pthread_t thread;
	int ret;

	ret = pthread_create(&thread, NULL, post_to_sleeper, &sleeper);
	TEST_ASSERT(!ret, "pthread_create: %s", strerror(ret));
	outcome = vmm_run(vmm, BLOCK_MS);
	pthread_join(thread, NULL);
	*blocked = sleeper.blocked;
	return outcome;
}
