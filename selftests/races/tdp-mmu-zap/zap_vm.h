/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The VM of tdp_mmu_zap_test: an L2 that makes KVM build shadow pages, vCPUs that take only TDP
 * faults, and the limit on shadow pages.
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
 * L2 touches one page in each of NR_SHADOWED chunks of 2 MiB, which takes a shadow page each:
 * more than MIN_SHADOW_PAGES, the lowest limit that KVM_SET_NR_MMU_PAGES accepts.
 */
#define MEM_SLOT	1
#define MEM_GPA		0x40000000ull
#define NR_SHADOWED	80
#define MIN_SHADOW_PAGES	64ul
#define NR_CHUNKS	(NR_SHADOWED + 8)
#define CHUNK		PG_SIZE_2M
#define CHUNK_PAGES	(CHUNK / PAGE_SIZE)
#define MEM_SIZE	(NR_CHUNKS * CHUNK)

/* KVM makes room if fewer shadow pages than this are left (KVM_MIN_FREE_MMU_PAGES). */
#define MIN_FREE_PAGES	5

/* The chunk in which a vCPU of L1 touches pages; no other vCPU uses it. */
#define L1_CHUNK(vcpu)	(NR_SHADOWED + 4 + (vcpu))

/* Where the first fault is held; the second must neither zap nor map meanwhile. */
enum place {
	ZAPS,		/* before it looks for something to zap */
	ZAPS_EARLY,	/* the same, with room for a few pages left */
	ZAPS_PAGE,	/* with a shadow page in hand that the second will free */
	ZAPS_CHILD,	/* the same, of a page below another one */
	UNLISTS,	/* with an entry of such a page in hand, which is still in its list */
	MAPS,		/* after it has made room; the second may map then, too */
	ZAPS_FOR_ROOT,	/* as ZAPS, for a root that it needs before it can fault */
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
	/* Gates that hold the first fault, and gates that record the second. */
	int first_zap, first_map;
	int second_fault, second_zap, second_map;
};

/* touch - called by a guest: write to @page of @chunk of the memslot */
void touch(uint64_t chunk, uint64_t page);

/* run_vcpu - one KVM_RUN, which must end with a GUEST_SYNC() */
void run_vcpu(struct kvm_vcpu *vcpu);

/*
 * set_tdp_mmu - set the module parameter tdp_mmu to @value, 'Y' or 'N'
 *
 * Stores the previous value in *@old.  Returns NULL, or the reason why it cannot be set.
 */
const char *set_tdp_mmu(char value, char *old);

/*
 * create_vm - give @race a VM with NR_SHADOWED shadow pages and a few more
 *
 * Each vCPU has run up to its first GUEST_SYNC().  Returns NULL, or the reason why this host
 * cannot have it.
 */
const char *create_vm(struct race *race, bool tdp_mmu);

/* limit_shadow_pages - allow @room more shadow pages than there are now; returns the limit */
uint64_t limit_shadow_pages(struct kvm_vm *vm, unsigned int room);

/* drop_roots - have KVM drop the roots of @vcpu, which needs others when it runs */
void drop_roots(struct kvm_vcpu *vcpu);

/*
 * starve_of_shadow_pages - set a limit so low that each fault makes room, though some is left
 *
 * Returns NULL, or the reason why this kernel does not have such a limit.
 */
const char *starve_of_shadow_pages(struct race *race);

#endif /* ZAP_VM_H */
