// SPDX-License-Identifier: GPL-2.0-only
/*
 * Page faults of a guest, the invalidation of its memory, and KVM's gfn_to_pfn_caches;
 * see costs.h.
 */
#include <errno.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "costs.h"
#include "gpc_facts.h"

/* Each round touches a page at GPA that is present on the host, but not mapped for the guest. */
static void guest_touches(void)
{
	volatile char *memory = (char *)GPA;
	uint64_t begin;
	int i;

	for (i = 0; i < ROUNDS; i++) {
		begin = rdtsc();
		memory[i * PAGE] = 1;
		sample_add(&guest_sample, begin);
	}
	GUEST_DONE();
}

/* Runs a guest that touches ROUNDS pages; returns their address on the host. */
static char *touched_memory(struct sample *sample)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm;
	char *memory;

	vm = vm_create_with_one_vcpu(&vcpu, guest_touches);
	vm_userspace_mem_region_add(vm, VM_MEM_SRC_ANONYMOUS, GPA, SLOT, ROUNDS, 0);
	virt_map(vm, GPA, GPA, ROUNDS);
	memory = addr_gpa2hva(vm, GPA);
	memset(memory, 1, ROUNDS * PAGE);
	vm_sample(vm, vcpu, sample);
	return memory;
}

const char *measure_page_fault(struct sample *sample)
{
	touched_memory(sample);
	return NULL;
}

/* Each round discards one page: the mmu_notifier, and, if the guest has it, the zap of its SPTE. */
static void take_away(struct sample *sample, char *memory)
{
	uint64_t begin;
	int i;

	for (i = 0; i < ROUNDS; i++) {
		begin = rdtsc();
		madvise(memory + i * PAGE, PAGE, MADV_DONTNEED);
		sample_add(sample, begin);
	}
}

const char *measure_invalidation(struct sample *sample)
{
	struct sample faults;

	take_away(sample, touched_memory(&faults));
	return NULL;
}

/* Discards memory of the process that is in no memslot. */
const char *measure_invalidation_elsewhere(struct sample *sample)
{
	struct sample faults;
	char *memory;

	touched_memory(&faults);
	memory = mmap(NULL, ROUNDS * PAGE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	TEST_ASSERT(memory != MAP_FAILED, "mmap: %s", strerror(errno));
	memset(memory, 1, ROUNDS * PAGE);
	take_away(sample, memory);
	return NULL;
}

/* A VM with two pages in a slot, the first of which is replaced again and again. */
struct replaced {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpu;
	int memfd;
	int page;		/* the page of the memfd that is in the slot now */
	char *pages;		/* a mapping of the memfd */
	char *guest;		/* the slot's memory */
};

/* Maps the memfd's other page into the slot, which invalidates KVM's cache. */
static void replace(struct replaced *replaced)
{
	void *at;

	replaced->page = !replaced->page;
	at = mmap(replaced->guest, PAGE, PROT_READ | PROT_WRITE,
		  MAP_SHARED | MAP_FIXED | MAP_POPULATE, replaced->memfd,
		  replaced->page * PAGE);
	TEST_ASSERT(at == replaced->guest, "mmap: %s", strerror(errno));
}

static void create_replaced(struct replaced *replaced, bool by_hva)
{
	replaced->vm = vm_create_with_one_vcpu(&replaced->vcpu, guest_exits_to_user);
	replaced->memfd = kvm_memfd_alloc(2 * PAGE, false);
	replaced->pages = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED,
			       replaced->memfd, 0);
	replaced->guest = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	TEST_ASSERT(replaced->pages != MAP_FAILED && replaced->guest != MAP_FAILED,
		    "mmap: %s", strerror(errno));
	memset(replaced->pages, 0, 2 * PAGE);
	memset(replaced->guest, 0, 2 * PAGE);
	replaced->page = 0;
	replace(replaced);
	if (by_hva)
		vm_set_user_memory_region(replaced->vm, SLOT, 0, VCPU_INFO_GPA, PAGE,
					  replaced->guest + PAGE);
	else
		vm_set_user_memory_region(replaced->vm, SLOT, 0, GPA, 2 * PAGE,
					  replaced->guest);
}

static void create_clock(struct replaced *replaced)
{
	create_replaced(replaced, false);
	vcpu_set_msr(replaced->vcpu, KVMCLOCK_MSR, GPA | 1);
	run_to_io(replaced->vcpu);
}

/*
 * One round is a KVM_RUN that writes the vCPU's clock to a page that was replaced: 5.18 and
 * later refresh a cache for it.
 */
const char *measure_clock_refresh(struct sample *sample)
{
	struct replaced replaced;
	uint64_t begin, word;
	int i;

	create_clock(&replaced);
	for (i = 0; i < ROUNDS; i++) {
		replace(&replaced);
		vcpu_ioctl(replaced.vcpu, KVM_KVMCLOCK_CTRL, NULL);
		word = *(volatile uint64_t *)replaced.guest;
		begin = rdtsc();
		ioctl(replaced.vcpu->fd, KVM_RUN, NULL);
		sample_add(sample, begin);
		TEST_ASSERT(*(volatile uint64_t *)replaced.guest != word,
			    "the clock was not written");
	}
	return NULL;
}

/* One round is an mmap() over the page of the vCPU's clock, whose cache is valid. */
const char *measure_clock_invalidation(struct sample *sample)
{
	struct replaced replaced;
	uint64_t begin;
	int i;

	create_clock(&replaced);
	for (i = 0; i < ROUNDS; i++) {
		begin = rdtsc();
		replace(&replaced);
		sample_add(sample, begin);
		vcpu_ioctl(replaced.vcpu, KVM_KVMCLOCK_CTRL, NULL);
		run_to_io(replaced.vcpu);
	}
	return NULL;
}

static void create_xen(struct replaced *replaced, bool by_hva)
{
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry entry;
	} routing = { .head.nr = 1 };
	struct kvm_xen_hvm_attr shinfo = {
		.type = KVM_XEN_ATTR_TYPE_SHARED_INFO,
		.u.shared_info.gfn = GPA / PAGE,
	};
	struct kvm_xen_vcpu_attr vcpu_info = {
		.type = KVM_XEN_VCPU_ATTR_TYPE_VCPU_INFO,
		.u.gpa = VCPU_INFO_GPA,
	};
	int i;

	create_replaced(replaced, by_hva);
	/* With events masked, KVM only sets the pending bit, and kicks no vCPU. */
	for (i = 0; i < 2; i++) {
		memset(replaced->pages + i * PAGE + XEN_MASK_32, 0xff, 8);
		memset(replaced->pages + i * PAGE + XEN_MASK_64, 0xff, 8);
	}
	if (by_hva) {
		/* The host address shares a union with the gfn. */
		shinfo.type = XEN_SHARED_INFO_HVA;
		shinfo.u.shared_info.gfn = (uint64_t)replaced->guest;
	}
	vm_ioctl(replaced->vm, KVM_XEN_HVM_SET_ATTR, &shinfo);
	vcpu_ioctl(replaced->vcpu, KVM_XEN_VCPU_SET_ATTR, &vcpu_info);
	routing.entry = (struct kvm_irq_routing_entry) {
		.gsi = XEN_GSI,
		.type = KVM_IRQ_ROUTING_XEN_EVTCHN,
		.u.xen_evtchn.port = 1,
		.u.xen_evtchn.vcpu = replaced->vcpu->id,
		.u.xen_evtchn.priority = KVM_IRQ_ROUTING_XEN_EVTCHN_PRIO_2LEVEL,
	};
	vm_ioctl(replaced->vm, KVM_SET_GSI_ROUTING, &routing.head);
}

/* One round sends an event, through a valid cache or, if the page @is_new, an invalid one. */
static const char *measure_events(struct sample *sample, bool is_new, bool by_hva)
{
	struct kvm_irq_level line = { .level = 1, .irq = XEN_GSI };
	int config = kvm_check_cap(KVM_CAP_XEN_HVM), i;
	struct replaced replaced;
	uint64_t begin;

	if (!(config & KVM_XEN_HVM_CONFIG_EVTCHN_2LEVEL))
		return "no event channels in this kvm.ko, so no CONFIG_KVM_XEN";
	if (by_hva && !(config & XEN_CONFIG_SHARED_INFO_HVA))
		return "no shared_info by host address, which came with Linux 6.9";
	create_xen(&replaced, by_hva);
	for (i = 0; i < ROUNDS; i++) {
		volatile uint64_t *pending = (uint64_t *)(replaced.guest + XEN_PENDING);

		if (is_new)
			replace(&replaced);
		*pending = 0;
		begin = rdtsc();
		ioctl(replaced.vm->fd, KVM_IRQ_LINE, &line);
		sample_add(sample, begin);
		TEST_ASSERT(*pending, "KVM wrote no event");
	}
	return NULL;
}

const char *measure_event(struct sample *sample)
{
	return measure_events(sample, false, false);
}

const char *measure_event_refresh(struct sample *sample)
{
	return measure_events(sample, true, false);
}

const char *measure_event_refresh_hva(struct sample *sample)
{
	return measure_events(sample, true, true);
}
