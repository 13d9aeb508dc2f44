/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The VM of tdp_mmu_zap_test: an L2 that makes KVM build shadow pages, vCPUs that take only TDP
 * faults, and the limits of shadow pages.
 */
#ifndef ZAP_VM_H
#define ZAP_VM_H

#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "kvm_util.h"
#include "processor.h"

/* vCPUs: one has the L2, the others only take TDP faults. */
enum { NESTED, FIRST, SECOND, NR_VCPUS };

/*
 * Memory of which L2 touches a page in every 2 MiB: each takes a shadow page.
 * More of them than the lowest limit that KVM_SET_NR_MMU_PAGES takes.
 */
#define MEM_SLOT	1
#define MEM_GPA		0x40000000ull
#define NR_SHADOWED	80
#define MIN_SHADOW_PAGES	64ul
#define NR_CHUNKS	(NR_SHADOWED + 8)
#define CHUNK		PG_SIZE_2M
#define CHUNK_PAGES	(CHUNK / PAGE_SIZE)
#define MEM_SIZE	(NR_CHUNKS * CHUNK)

/* With fewer left than this KVM makes room. */
#define MIN_FREE_PAGES	5

/* Where L1 touches pages: far from each other and from what L2 touches. */
#define L1_CHUNK(vcpu)	(NR_SHADOWED + 4 + (vcpu))

/* Where the first is held: the second must not get to zap or map meanwhile. */
enum place {
	ZAPS,		/* before it looks for something to zap */
	ZAPS_EARLY,	/* the same, with room for a few pages left */
	ZAPS_PAGE,	/* with a shadow page in hand that the second will free */
	ZAPS_CHILD,	/* the same, of a page below another one */
	UNLISTS,	/* with an entry of such a page in hand, which is still in its list */
	MAPS,		/* when it has made room; here the second may map, too */
};

struct rg;
struct race;

/* A thread that runs a vCPU until it has touched the next page. */
struct runner {
	struct race *race;
	struct kvm_vcpu *vcpu;
	pthread_t thread;
	pid_t tid;
	int cpu;
	sem_t go;
};

struct race {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpu[NR_VCPUS];
	struct runner first, second;
	sem_t ready;
	enum place place;
	uint64_t limit;		/* of shadow pages, if limit_shadow_pages() set it */
	struct rg *rg;
	/* Gates: where the first is held; what the second passes. */
	int first_zap, first_map;
	int second_fault, second_zap, second_map;
};

/* touch - called by a guest: write to @page of @chunk of the memslot */
void touch(uint64_t chunk, uint64_t page);

/* run_vcpu - run @vcpu until its guest has done one more step; fails the test if it does not */
void run_vcpu(struct kvm_vcpu *vcpu);

/*
 * set_tdp_mmu - set the module parameter tdp_mmu to @value, 'Y' or 'N'
 *
 * Leaves the value from before in *@old.  Returns NULL, or the reason why it cannot be set.
 */
const char *set_tdp_mmu(char value, char *old);

/*
 * create_vm - give @race a VM with NR_SHADOWED and a few shadow pages
 *
 * Each vCPU has run up to its first GUEST_SYNC().  Returns NULL, or the reason why this host
 * cannot have it.
 */
const char *create_vm(struct race *race, bool tdp_mmu);

/* limit_shadow_pages - allow @room more shadow pages than there are now; returns the limit */
uint64_t limit_shadow_pages(struct kvm_vm *vm, unsigned int room);

/*
 * starve_of_shadow_pages - set a limit with which every fault looks for room, and always finds some
 *
 * Returns NULL, or the reason why this kernel does not have such a limit.
 */
const char *starve_of_shadow_pages(struct race *race);

#endif /* ZAP_VM_H */
