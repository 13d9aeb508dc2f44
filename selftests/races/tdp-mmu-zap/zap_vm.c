// SPDX-License-Identifier: GPL-2.0-only
/* The VM of tdp_mmu_zap_test, and the limit on its shadow pages; see zap_vm.h. */
#include <fcntl.h>
#include <unistd.h>

#include "kvm_util.h"
#include "nested_tdp.h"
#include "processor.h"
#include "vcpu_run.h"
#include "vm_stat.h"
#include "zap_vm.h"

#define TDP_MMU_PARAM	"/sys/module/kvm/parameters/tdp_mmu"

static uint64_t l2_stack[512];

void touch(uint64_t chunk, uint64_t page)
{
	*(volatile uint64_t *)(MEM_GPA + chunk * CHUNK + page * PAGE_SIZE) = 1;
}

static void l2_code(void)
{
	uint64_t chunk;

	for (chunk = 0; ; chunk++) {
		if (chunk >= NR_SHADOWED)
			GUEST_SYNC(chunk);
		touch(chunk % NR_CHUNKS, 0);
	}
}

static void nested_code(vm_vaddr_t area)
{
	nested_tdp_enter_l2(area, l2_code, &l2_stack[ARRAY_SIZE(l2_stack)]);
}

/* Touches a page at a time; the first round maps the guest's code and page tables. */
static void l1_code(uint64_t vcpu)
{
	uint64_t page;

	for (page = 0; ; page++) {
		touch(L1_CHUNK(vcpu), page % CHUNK_PAGES);
		GUEST_SYNC(page);
	}
}

/* In newer kernels the parameter can be set only when kvm is loaded. */
const char *set_tdp_mmu(char value, char *old)
{
	int fd = open(TDP_MMU_PARAM, O_RDONLY);
	ssize_t n;

	if (fd < 0)
		return "this kernel has no TDP MMU";
	n = read(fd, old, 1);
	close(fd);
	if (n != 1)
		return "cannot read " TDP_MMU_PARAM;
	if (*old == value)
		return NULL;
	fd = open(TDP_MMU_PARAM, O_WRONLY);
	n = write(fd, &value, 1);
	close(fd);
	return n == 1 ? NULL : "cannot change " TDP_MMU_PARAM;
}

void run_vcpu(struct kvm_vcpu *vcpu)
{
	vcpu_run_until(vcpu, UCALL_SYNC);
}

const char *create_vm(struct race *race, bool tdp_mmu)
{
	const char *why = nested_tdp_missing();
	struct kvm_vm *vm;
	char old;
	int i;

	memset(race, 0, sizeof(*race));
	/* The parameter's value when a VM is created counts for the VM's whole life. */
	if (!why)
		why = set_tdp_mmu(tdp_mmu ? 'Y' : 'N', &old);
	if (why)
		return why;
	vm = vm_create(NR_VCPUS);
	race->vm = vm;
	set_tdp_mmu(old, &old);

	vm_userspace_mem_region_add(vm, VM_MEM_SRC_ANONYMOUS, MEM_GPA, MEM_SLOT,
				    MEM_SIZE / PAGE_SIZE, 0);
	virt_map_level(vm, MEM_GPA, MEM_GPA, MEM_SIZE, PG_LEVEL_2M);
	for (i = 0; i < NR_VCPUS; i++)
		race->vcpu[i] = vm_vcpu_add(vm, i, i == NESTED ? (void *)nested_code :
					    (void *)l1_code);
	vcpu_args_set(race->vcpu[NESTED], 1, nested_tdp_init(vm));
	for (i = FIRST; i < NR_VCPUS; i++)
		vcpu_args_set(race->vcpu[i], 1, (uint64_t)i);
	for (i = 0; i < NR_VCPUS; i++)
		run_vcpu(race->vcpu[i]);

	return NULL;
}

uint64_t limit_shadow_pages(struct kvm_vm *vm, unsigned int room)
{
	/* A new VM has zapped none: all shadow pages that were made are in use. */
	uint64_t used = vm_stat(vm, "mmu_cache_miss");

	TEST_ASSERT(used >= NR_SHADOWED && !vm_stat(vm, "mmu_shadow_zapped"),
		    "%lu shadow pages made, %lu zapped", used,
		    vm_stat(vm, "mmu_shadow_zapped"));
	vm_ioctl(vm, KVM_SET_NR_MMU_PAGES, (void *)(used + room));
	TEST_ASSERT(!vm_stat(vm, "mmu_shadow_zapped"),
		    "the limit of %lu zapped shadow pages at once", used + room);
	ksft_print_msg("%lu shadow pages, and %lu are allowed\n", used, used + room);
	return used + room;
}

/* A change of CR4 has KVM drop the roots of the vCPU. */
void drop_roots(struct kvm_vcpu *vcpu)
{
	struct kvm_sregs sregs;

	vcpu_sregs_get(vcpu, &sregs);
	sregs.cr4 ^= X86_CR4_PGE;
	vcpu_sregs_set(vcpu, &sregs);
}

/*
 * KVM zaps all shadow pages that it can, and lowers the limit to those that remain, the
 * roots in use.  Then the L2's vCPU drops its root: fewer than
 * MIN_FREE_PAGES are left, so that each fault makes room, but not zero, so that none fails.
 */
const char *starve_of_shadow_pages(struct race *race)
{
	int allowed;

	vm_ioctl(race->vm, KVM_SET_NR_MMU_PAGES, (void *)MIN_SHADOW_PAGES);
	allowed = __vm_ioctl(race->vm, KVM_GET_NR_MMU_PAGES, NULL);
	if (allowed < 0)
		return "this kernel has no KVM_GET_NR_MMU_PAGES";
	ksft_print_msg("%d shadow pages are allowed\n", allowed);
	if (allowed >= MIN_FREE_PAGES)
		return "this kernel zaps no more pages than it must, and the limit stays high";
	drop_roots(race->vcpu[NESTED]);
	return NULL;
}
