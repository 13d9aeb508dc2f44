// SPDX-License-Identifier: GPL-2.0-only
/*
 * Test that an APICv inhibit which changes while a vCPU is being created reaches
 * that vCPU: kvm_arch_vcpu_create() against kvm_make_all_cpus_request().
 *
 * The creating thread is held when kvm_arch_vcpu_create() is about to return:
 * it has judged the inhibits, and the vCPU is not online.  This thread then
 * raises or drops an inhibit through another vCPU, and lets the creator go on.
 *
 * Oracle: the new vCPU must take its interrupts in the same way as a witness
 * that existed all along.  KVM counts the ones that it injects by software
 * (irq_injections in debugfs), which is all of them where APICv is inhibited and
 * none where the CPU delivers them.  What a guest suffers is looked at too: an
 * AutoEOI SINT, which KVM must complete by software, has to be delivered more
 * than once.  And the kernel must not warn, as vcpu_enter_guest() of 5.17 and
 * later does.
 */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/syscall.h>

#include "apic.h"
#include "hyperv.h"
#include "kvm_util.h"
#include "processor.h"
#include "racefix.h"
#include "racegate_client.h"
#include "vm_stat.h"

/* The vCPU whose ioctls toggle the inhibit, the witness, and the raced one. */
enum { TOGGLER, WITNESS, RACED, NR_VCPUS };

/* Vectors of different priority classes: a stuck one must not block the other. */
#define IPI_VECTOR	0x65
#define AUTOEOI_VECTOR	0x55

/* Enough to tell "all" from "none"; a stray timer interrupt changes nothing. */
#define NR_IPIS		20

/* How long a guest spins for an interrupt that it sent to itself. */
#define IRQ_SPINS	20000

/* Far above what toggling takes in Bochs; a lost release must not last. */
#define HOLD_US		(10 * 1000 * 1000)

/* Bits of HV_X64_MSR_SINTx, from the Hyper-V TLFS. */
#define HV_SINT_MASKED		BIT_ULL(16)
#define HV_SINT_AUTO_EOI	BIT_ULL(17)

#define GUEST_SEND_IPIS		1
#define GUEST_SEND_AUTOEOI	2

static volatile uint64_t guest_irqs[NR_VCPUS];
static uint64_t guest_command;

static void guest_ipi_handler(struct ex_regs *regs)
{
	guest_irqs[xapic_read_reg(APIC_ID) >> 24]++;
	xapic_write_reg(APIC_EOI, 0);
}

static void guest_autoeoi_handler(struct ex_regs *regs)
{
	guest_irqs[xapic_read_reg(APIC_ID) >> 24]++;
}

/* Sends itself @nr interrupts, one after the other; how many came? */
static uint64_t guest_send(uint64_t id, uint8_t vector, unsigned int nr)
{
	uint64_t before = guest_irqs[id];
	unsigned int i, spins;

	for (i = 0; i < nr; i++) {
		xapic_write_reg(APIC_ICR, APIC_DEST_SELF | APIC_INT_ASSERT |
				APIC_DM_FIXED | vector);
		for (spins = 0; spins < IRQ_SPINS; spins++) {
			if (guest_irqs[id] > before + i)
				break;
			asm volatile("pause");
		}
	}
	return guest_irqs[id] - before;
}

static void guest_code(uint64_t id)
{
	uint64_t came = 0;

	xapic_enable();
	asm volatile("sti");

	for (;;) {
		if (guest_command == GUEST_SEND_IPIS)
			came = guest_send(id, IPI_VECTOR, NR_IPIS);
		else if (guest_command == GUEST_SEND_AUTOEOI)
			came = guest_send(id, AUTOEOI_VECTOR, 2);
		GUEST_SYNC_ARGS(guest_command, came, 0, 0, 0);
	}
}

struct race {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpu[NR_VCPUS];
	pthread_t creator;
	pid_t creator_tid;
	sem_t creator_ready, creator_go;
	struct rg *rg;
};

static uint64_t run_command(struct race *race, int id, uint64_t command)
{
	struct kvm_vcpu *vcpu = race->vcpu[id];
	struct ucall uc;

	guest_command = command;
	sync_global_to_guest(race->vm, guest_command);
	vcpu_run(vcpu);
	TEST_ASSERT(get_ucall(vcpu, &uc) == UCALL_SYNC,
		    "vCPU %d: exit reason %u (%s)", id, vcpu->run->exit_reason,
		    exit_reason_str(vcpu->run->exit_reason));
	return uc.args[2];
}

/* How many of NR_IPIS interrupts KVM injected by software on this vCPU. */
static uint64_t irqs_injected(struct race *race, int id)
{
	uint64_t before = vm_stat(race->vm, "irq_injections");
	uint64_t came = run_command(race, id, GUEST_SEND_IPIS);

	TEST_ASSERT(came == NR_IPIS, "vCPU %d: %lu of %d IPIs came", id, came,
		    NR_IPIS);
	return vm_stat(race->vm, "irq_injections") - before;
}

static bool apicv_in_use(struct race *race, int id)
{
	uint64_t injected = irqs_injected(race, id);

	ksft_print_msg("vCPU %d: KVM injected %lu of %d interrupts\n", id,
		       injected, NR_IPIS);
	return injected < NR_IPIS / 2;
}

static void add_vcpu(struct race *race, int id)
{
	race->vcpu[id] = vm_vcpu_add(race->vm, id, guest_code);
	vcpu_init_descriptor_tables(race->vcpu[id]);
	vcpu_args_set(race->vcpu[id], 1, (uint64_t)id);
}

static void create_vm(struct race *race)
{
	memset(race, 0, sizeof(*race));
	race->vm = vm_create(NR_VCPUS);
	vm_init_descriptor_tables(race->vm);
	vm_install_exception_handler(race->vm, IPI_VECTOR, guest_ipi_handler);
	vm_install_exception_handler(race->vm, AUTOEOI_VECTOR,
				     guest_autoeoi_handler);
	virt_pg_map(race->vm, APIC_DEFAULT_GPA, APIC_DEFAULT_GPA);
	add_vcpu(race, TOGGLER);
	add_vcpu(race, WITNESS);
}

static void *creator_thread(void *arg)
{
	struct race *race = arg;

	race->creator_tid = syscall(SYS_gettid);
	sem_post(&race->creator_ready);
	sem_wait(&race->creator_go);
	add_vcpu(race, RACED);
	return NULL;
}

/* SynIC with an AutoEOI SINT; 5.10 inhibits APICv for the first already. */
static void set_autoeoi_sint(struct kvm_vcpu *vcpu, bool on)
{
	vcpu_enable_cap(vcpu, KVM_CAP_HYPERV_SYNIC2, 0);
	vcpu_set_msr(vcpu, HV_X64_MSR_SINT0, on ?
		     HV_SINT_AUTO_EOI | AUTOEOI_VECTOR :
		     HV_SINT_MASKED | AUTOEOI_VECTOR);
}

static bool blockirq_supported(void)
{
	return kvm_check_cap(KVM_CAP_SET_GUEST_DEBUG2) & KVM_GUESTDBG_BLOCKIRQ;
}

static void set_blockirq(struct kvm_vcpu *vcpu, bool on)
{
	struct kvm_guest_debug debug = {
		.control = on ? KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_BLOCKIRQ : 0,
	};

	vcpu_guest_debug_set(vcpu, &debug);
}

/* One way for userspace to toggle an inhibit of the whole VM. */
struct inhibit {
	const char *name;
	void (*set)(struct kvm_vcpu *vcpu, bool on);
};

static const struct inhibit autoeoi = { "AutoEOI SINT", set_autoeoi_sint };
static const struct inhibit blockirq = { "KVM_GUESTDBG_BLOCKIRQ", set_blockirq };

/* A landmark for the ladder; not every kernel has all of them. */
static void record(struct rg *rg, const char *symbol, const char *label)
{
	struct rg_point point = {
		.symbol = symbol,
		.label = label,
		.tgid = getpid(),
	};

	rg_arm(rg, &point);
}

/*
 * Forces the race: the inhibit is @on only after the creator judged it to be
 * !@on.  Returns NULL, or why that could not be forced.
 */
static const char *force(struct race *race, const struct inhibit *inhibit,
			 bool on)
{
	const char *why = NULL;
	struct rg_status status;
	struct rg *rg;
	int gate;

	if (rg_open(&race->rg) < 0)
		return rg_strerror();
	rg = race->rg;

	sem_init(&race->creator_ready, 0, 0);
	sem_init(&race->creator_go, 0, 0);
	TEST_ASSERT(!pthread_create(&race->creator, NULL, creator_thread, race),
		    "pthread_create");
	sem_wait(&race->creator_ready);
	rg_name_thread(rg, race->creator_tid, "creates vCPU 2");
	rg_name_thread(rg, rg_gettid(), "toggles it, then runs vCPU 2");

	record(rg, "kvm:kvm_arch_vcpu_create", NULL);
	record(rg, "kvm:kvm_arch_vcpu_postcreate", "online: kvm_arch_vcpu_postcreate()");
	record(rg, "kvm:kvm_request_apicv_update", NULL);
	record(rg, "kvm:__kvm_set_or_clear_apicv_inhibit", NULL);
	record(rg, "kvm:kvm_make_all_cpus_request", NULL);
	record(rg, "kvm:kvm_vcpu_update_apicv", NULL);

	gate = rg_arm(rg, &(struct rg_point){
		.symbol = "kvm:kvm_arch_vcpu_create", .where = RG_RETURN,
		.label = "inhibits judged, vCPU not online",
		.action = RG_HOLD_SLEEP, .timeout_us = HOLD_US,
		.tid = race->creator_tid, .max_hits = 1 });
	if (gate < 0)
		why = rg_strerror();
	sem_post(&race->creator_go);

	if (!why && rg_wait(rg, gate, 1, HOLD_US))
		why = rg_strerror();
	if (!why) {
		rg_mark(rg, on ? "raises the inhibit" : "drops the inhibit");
		inhibit->set(race->vcpu[TOGGLER], on);
		rg_mark(rg, "done: online vCPUs are told");
		rg_release(rg, gate);
	}
	pthread_join(race->creator, NULL);

	if (!why && (rg_status(rg, gate, &status) || status.timeouts))
		why = "the creating thread went on before it was let go";
	return why;
}

/* What was forced, down to how the new vCPU fared when it first ran. */
static void print_ladder(struct race *race)
{
	rg_ladder(race->rg, stdout);
	rg_close(race->rg);
}

/* The raced vCPU against the VM's inhibits, by its own and a witness's word. */
static void expect_agreement(struct __test_metadata *_metadata,
			     struct race *race, bool apicv)
{
	rg_mark(race->rg, "KVM_RUN");
	EXPECT_EQ(apicv, apicv_in_use(race, RACED)) {
		TH_LOG("APICv is %s for the VM, and the new vCPU missed that",
		       apicv ? "active" : "inhibited");
	}
	print_ladder(race);
}

TEST(autoeoi_raised)
{
	uint64_t came;
	struct race race;

	RACEFIX_REQUIRE(hostfacts_need_apicv());
	create_vm(&race);
	ASSERT_EQ(true, apicv_in_use(&race, WITNESS));
	ASSERT_EQ(0, klog_mark());

	RACEFIX_REQUIRE(force(&race, &autoeoi, true));
	ASSERT_EQ(false, apicv_in_use(&race, WITNESS));
	expect_agreement(_metadata, &race, false);

	/* What the guest on that vCPU is in for. */
	set_autoeoi_sint(race.vcpu[RACED], true);
	came = run_command(&race, RACED, GUEST_SEND_AUTOEOI);
	ksft_print_msg("guest: %lu of 2 AutoEOI interrupts came\n", came);
	EXPECT_EQ(2, came) {
		TH_LOG("the guest's AutoEOI interrupt is in service for ever");
	}
	RACEFIX_LOG_CLEAN();
}

/* Raises it, races its being dropped; what can only be raised is no race. */
static void race_dropped(struct __test_metadata *_metadata,
			 const struct inhibit *inhibit)
{
	struct race race;

	RACEFIX_REQUIRE(hostfacts_need_apicv());
	create_vm(&race);
	ASSERT_EQ(true, apicv_in_use(&race, WITNESS));
	inhibit->set(race.vcpu[TOGGLER], true);
	if (apicv_in_use(&race, WITNESS))
		SKIP(return, "this kernel does not inhibit APICv for %s",
		     inhibit->name);
	inhibit->set(race.vcpu[TOGGLER], false);
	if (!apicv_in_use(&race, WITNESS))
		SKIP(return, "this kernel never drops the inhibit for %s",
		     inhibit->name);
	inhibit->set(race.vcpu[TOGGLER], true);
	ASSERT_EQ(0, klog_mark());

	RACEFIX_REQUIRE(force(&race, inhibit, false));
	ASSERT_EQ(true, apicv_in_use(&race, WITNESS));
	expect_agreement(_metadata, &race, true);
	RACEFIX_LOG_CLEAN();
}

TEST(autoeoi_dropped)
{
	race_dropped(_metadata, &autoeoi);
}

TEST(blockirq_raised)
{
	struct race race;

	RACEFIX_REQUIRE(hostfacts_need_apicv());
	if (!blockirq_supported())
		SKIP(return, "this kernel has no KVM_GUESTDBG_BLOCKIRQ");
	create_vm(&race);
	ASSERT_EQ(true, apicv_in_use(&race, WITNESS));
	ASSERT_EQ(0, klog_mark());

	RACEFIX_REQUIRE(force(&race, &blockirq, true));
	if (apicv_in_use(&race, WITNESS))
		SKIP(return, "this kernel does not inhibit APICv for %s",
		     blockirq.name);
	expect_agreement(_metadata, &race, false);
	RACEFIX_LOG_CLEAN();
}

TEST(blockirq_dropped)
{
	RACEFIX_REQUIRE(hostfacts_need_kvm());
	if (!blockirq_supported())
		SKIP(return, "this kernel has no KVM_GUESTDBG_BLOCKIRQ");
	race_dropped(_metadata, &blockirq);
}

RACEFIX_MAIN()
