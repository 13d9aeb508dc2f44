/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A page fault of tdp_mmu_zap_test whose page is replaced after the fault has looked it up and
 * before it has mmu_lock.
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

/* A page that is replaced by another one of a memfd, where L2 can get to it as well. */
#define REPLACED_SLOT	2
#define REPLACED_GPA	0x60000000ull
/*
 * Of that memslot.  Shadow paging maps up to 8 pages that are aligned to as much ahead
 * (PTE_PREFETCH_NUM in mmu.c): the last page is none of those of the first.
 */
#define REPLACED_SIZE	(9 * PAGE_SIZE)
#define REPLACED_VALUE	0x5eed

/* A vCPU that takes one page fault of a page that is replaced meanwhile. */
struct replaced {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpu;
	int memfd;
	char *guest;		/* what the memslot has: that page first */
	uint64_t *pages;	/* both pages of the memfd */
	pthread_t thread;
	pid_t tid;
	sem_t ready, go;
	struct rg *rg;
};

/*
 * create_replaced - make @replaced's VM; with @nested, the page fault is of L2
 *
 * Returns NULL, or the reason why this host cannot have it.
 */
const char *create_replaced(struct replaced *replaced, bool tdp_mmu, bool nested);

/* replaced_thread - the thread of @arg, a struct replaced: run up to the fault, and on at .go */
void *replaced_thread(void *arg);

/*
 * force_replaced - hold the fault when it has the page and goes for the lock; replace the page
 *
 * @lock: the function by which the fault takes mmu_lock
 *
 * Ends replaced_thread().  Returns NULL, or the reason why it could not be forced.
 */
const char *force_replaced(struct replaced *replaced, const char *lock);

#endif /* REPLACED_H */
