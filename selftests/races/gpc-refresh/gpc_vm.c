// SPDX-License-Identifier: GPL-2.0-only
/* The VM of gpc_refresh_test; see gpc_vm.h. */
#include <pthread.h>
#include <semaphore.h>
#include <sys/mman.h>

#include "kvm_util.h"
#include "processor.h"
#include "gpc_facts.h"
#include "gpc_vm.h"
#include "hostfacts.h"
#include "memfd_pages.h"
#include "racegate_client.h"
#include "vcpu_run.h"
#include "xen_evtchn.h"

#define NAP_US		1000

static const struct gpc_names new_names = {
	"kvm:kvm_gpc_refresh", "kvm:kvm_gpc_check", "kvm:kvm_gpc_activate",
};

/* In 6.1 only the last one has the name of later kernels. */
static const struct gpc_names names_6_1 = {
	"kvm:kvm_gfn_to_pfn_cache_refresh", "kvm:kvm_gfn_to_pfn_cache_check",
	"kvm:kvm_gpc_activate",
};

static const struct gpc_names old_names = {
	"kvm:kvm_gfn_to_pfn_cache_refresh", "kvm:kvm_gfn_to_pfn_cache_check",
	"kvm:kvm_gfn_to_pfn_cache_init",
};

const struct gpc_names *gpc_names = &new_names;

static void guest_code(void)
{
	for (;;)
		GUEST_SYNC(0);
}

uint64_t race_word(struct race *race, int page)
{
	return *(volatile uint64_t *)(race->pages + page * PAGE +
				      race->user->offset);
}

static void map_next_page(struct race *race)
{
	void *at;

	at = mmap(race->guest, PAGE, PROT_READ | PROT_WRITE,
		  MAP_SHARED | MAP_FIXED | MAP_POPULATE, race->memfd,
		  race->next_page * PAGE);
	TEST_ASSERT(at == race->guest, "mmap: %s", strerror(errno));
}

void race_write(struct race *race)
{
	race->user->write(race);
}

static void clock_setup(struct race *race)
{
	vcpu_set_msr(race->vcpu, KVMCLOCK_MSR, GPA | 1);
}

static void clock_stop(struct race *race)
{
	vcpu_set_msr(race->vcpu, KVMCLOCK_MSR, 0);
}

/* Makes KVM write the vCPU's clock. */
static void clock_write(struct race *race)
{
	vcpu_ioctl(race->vcpu, KVM_KVMCLOCK_CTRL, NULL);
	vcpu_run_until(race->vcpu, UCALL_SYNC);
}

/* The word holds the clock's version, which grows with each write. */
const struct user user_kvmclock = {
	"kvmclock", clock_setup, clock_stop, clock_write, 0,
};

void race_set_shared_info(struct race *race, bool on)
{
	struct kvm_xen_hvm_attr shinfo = {
		.type = KVM_XEN_ATTR_TYPE_SHARED_INFO,
		.u.shared_info.gfn = on ? GPA / PAGE : ~0ull,
	};

	if (race->user->by_hva) {
		/* The host address shares a union with the gfn. */
		shinfo.type = XEN_SHARED_INFO_HVA;
		shinfo.u.shared_info.gfn = on ? (uint64_t)race->guest : 0;
	}
	vm_ioctl(race->vm, KVM_XEN_HVM_SET_ATTR, &shinfo);
}

static void xen_setup(struct race *race)
{
	struct kvm_xen_vcpu_attr vcpu_info = {
		.type = KVM_XEN_VCPU_ATTR_TYPE_VCPU_INFO,
		.u.gpa = VCPU_INFO_GPA,
	};
	int i;

	/* With events masked, KVM only sets the pending bit, and kicks no vCPU. */
	for (i = 0; i < NR_PAGES; i++) {
		memset(race->pages + i * PAGE + XEN_MASK_32, 0xff, 8);
		memset(race->pages + i * PAGE + XEN_MASK_64, 0xff, 8);
	}

	race_set_shared_info(race, true);
	vcpu_ioctl(race->vcpu, KVM_XEN_VCPU_SET_ATTR, &vcpu_info);
	xen_evtchn_route(race->vm, race->vcpu, 0, XEN_PORTS);
}

static void xen_stop(struct race *race)
{
	race_set_shared_info(race, false);
}

/* Sends an event on a new port, which sets another bit of the word. */
static void xen_write(struct race *race)
{
	struct kvm_irq_level line = { .level = 1 };

	line.irq = XEN_GSI + __atomic_fetch_add(&race->next_port, 1,
						__ATOMIC_RELAXED);
	vm_ioctl(race->vm, KVM_IRQ_LINE, &line);
}

const struct user user_xen = {
	"Xen's shared_info", xen_setup, xen_stop, xen_write, XEN_PENDING,
};

const struct user user_xen_hva = {
	"Xen's shared_info by host address", xen_setup, xen_stop, xen_write, XEN_PENDING,
	.by_hva = true,
};

static const char *need_xen(const struct user *user)
{
	int config = kvm_check_cap(KVM_CAP_XEN_HVM);

	if (!(config & KVM_XEN_HVM_CONFIG_EVTCHN_2LEVEL))
		return "no event channels in this kvm.ko, so no CONFIG_KVM_XEN";
	if (user->by_hva && !(config & XEN_CONFIG_SHARED_INFO_HVA))
		return "no shared_info by host address, which came with Linux 6.9";
	return NULL;
}

/* Is @symbol, "MODULE:FUNCTION", in this kernel?  Reading /proc/kallsyms takes a second in QEMU. */
static bool has_symbol(struct rg *rg, const char *symbol)
{
	/* A gate that only records, for a thread that never calls it. */
	int gate = rg_arm(rg, &(struct rg_point){ .symbol = symbol, .tid = 1 });

	if (gate >= 0)
		rg_disarm(rg, gate);
	return gate >= 0;
}

void gpc_find_names(struct rg *rg)
{
	if (has_symbol(rg, new_names.refresh))
		gpc_names = &new_names;
	else if (has_symbol(rg, names_6_1.activate))
		gpc_names = &names_6_1;
	else
		gpc_names = &old_names;
}

static void *worker_thread(void *arg)
{
	struct worker *worker = arg;

	worker->tid = rg_gettid();
	for (;;) {
		sem_post(&worker->done);
		sem_wait(&worker->go);
		worker->work(worker->race);
	}
	return NULL;
}

void worker_start(struct worker *worker)
{
	worker->busy = true;
	sem_post(&worker->go);
}

void worker_finish(struct worker *worker)
{
	while (worker->busy)
		worker->busy = sem_wait(&worker->done);
}

bool worker_is_done(struct worker *worker, unsigned long us)
{
	for (; worker->busy; us -= NAP_US) {
		worker->busy = sem_trywait(&worker->done);
		if (us < NAP_US)
			break;
		usleep(NAP_US);
	}
	return !worker->busy;
}

void worker_run(struct worker *worker)
{
	worker_start(worker);
	worker_finish(worker);
}

void worker_create(struct race *race, struct worker *worker,
		   const char *name, void (*work)(struct race *))
{
	worker->work = work;
	worker->race = race;
	worker->busy = true;
	sem_init(&worker->go, 0, 0);
	sem_init(&worker->done, 0, 0);
	TEST_ASSERT(!pthread_create(&worker->thread, NULL, worker_thread, worker),
		    "pthread_create");
	worker_finish(worker);
	if (race->rg)
		rg_name_thread(race->rg, worker->tid, name);
}

const char *user_missing(const struct user *user)
{
	const char *why = hostfacts_need_kvm();

	if (!why && user != &user_kvmclock)
		why = need_xen(user);
	return why;
}

void race_create_vm(struct race *race)
{
	const struct user *user = race->user;
	uint64_t before;

	race->vm = vm_create_with_one_vcpu(&race->vcpu, guest_code);
	race->memfd = memfd_pages(NR_PAGES * PAGE);
	race->pages = mmap(NULL, NR_PAGES * PAGE, PROT_READ | PROT_WRITE,
			   MAP_SHARED, race->memfd, 0);
	race->guest = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	TEST_ASSERT(race->pages != MAP_FAILED && race->guest != MAP_FAILED,
		    "mmap: %s", strerror(errno));
	map_next_page(race);
	if (user->by_hva)
		vm_set_user_memory_region(race->vm, SLOT, 0, VCPU_INFO_GPA, PAGE,
					  race->guest + PAGE);
	else
		vm_set_user_memory_region(race->vm, SLOT, 0, GPA, 2 * PAGE,
					  race->guest);

	worker_create(race, &race->mapper, "replaces the page", map_next_page);
	worker_create(race, &race->writer, "refreshes the cache", race_write);
	worker_create(race, &race->reader, "uses the cache", race_write);

	user->setup(race);
	before = race_word(race, 0);
	worker_run(&race->writer);
	TEST_ASSERT(race_word(race, 0) != before, "%s: KVM writes nothing",
		    user->name);

	/*
	 * The cases hold mmap() with mmap_lock held for write, when no thread may
	 * take a page fault.
	 */
	TEST_ASSERT(!mlockall(MCL_CURRENT), "mlockall: %s", strerror(errno));
}

const char *race_create(struct race *race, const struct user *user)
{
	const char *why = user_missing(user);

	if (why)
		return why;
	memset(race, 0, sizeof(*race));
	race->user = user;
	if (rg_open(&race->rg) < 0)
		return rg_strerror();
	rg_name_thread(race->rg, rg_gettid(), "steers");
	race_create_vm(race);
	return NULL;
}
