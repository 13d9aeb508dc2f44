/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A page fault of tdp_mmu_zap_test whose page is replaced after the fault has looked it up and
 * before it takes mmu_lock.
 */
#ifndef REPLACED_H
#define REPLACED_H

#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "kvm_util.h"
#include "racegate_client.h"

/* The page that is replaced; its address is below NESTED_TDP_SIZE, for L2. */
#define REPLACED_SLOT	2
#define REPLACED_GPA	0x60000000ull
/*
 * The memslot's size.  Shadow paging prefetches in aligned groups of 8 pages
 * (PTE_PREFETCH_NUM in mmu.c): the last page is not in the group of the first.
 */
#define REPLACED_SIZE	(9 * PAGE_SIZE)
#define REPLACED_VALUE	0x5eed

/* A vCPU that takes one page fault, and the page that is replaced meanwhile. */
struct replaced {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpu;
	int memfd;
	char *guest;		/* the memslot's memory: the page is its first one */
	uint64_t *pages;	/* both pages of the memfd */
	pthread_t thread;
	pid_t tid;
	sem_t ready, go;
	struct rg *rg;
};

/*
 * create_replaced - create @replaced's VM; with @nested, L2 takes the page fault
 *
 * Returns NULL, or the reason why this host cannot run it.
 */
const char *create_replaced(struct replaced *replaced, bool tdp_mmu, bool nested);

/* replaced_thread - thread of @arg, a struct replaced: run up to the fault; take it after .go */
void *replaced_thread(void *arg);

/*
 * force_replaced - hold the fault after it has found the page and before it takes mmu_lock;
 * replace the page
 *
 * @lock: the function with which the fault takes mmu_lock
 *
 * Joins replaced_thread().  Returns NULL, or the reason why it could not be forced.
 */
const char *force_replaced(struct replaced *replaced, const char *lock);

#endif /* REPLACED_H */
