/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The VM of gpc_refresh_test: a memfd with the pages behind a guest page, a user of a
 * gfn_to_pfn_cache by which KVM writes to the guest page, and the threads that replace the page,
 * have the cache refreshed, and use it.
 */
#ifndef GPC_VM_H
#define GPC_VM_H

#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "racegate_client.h"

#define NR_PAGES	3

/* The functions of the cache, under the names that this kernel has for them, "kvm:FUNCTION". */
struct gpc_names {
	const char *refresh, *check, *activate;
};

extern const struct gpc_names *gpc_names;

struct race;

/* A thread that runs one function each time that it is started. */
struct worker {
	void (*work)(struct race *race);
	struct race *race;
	pthread_t thread;
	pid_t tid;
	sem_t go, done;
	bool busy;
};

/* A way to have KVM write through a cache, and to see what it wrote. */
struct user {
	const char *name;
	void (*setup)(struct race *race);
	void (*stop)(struct race *race);
	void (*write)(struct race *race);
	size_t offset;		/* of a word in the page that each write changes */
	bool by_hva;		/* the page is in no memslot */
};

/* The vCPU's kvmclock, and the event channels of Xen's shared_info */
extern const struct user user_kvmclock, user_xen, user_xen_hva;

struct race {
	const struct user *user;
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpu;
	int memfd;
	char *guest;		/* the slot's memory, as KVM knows it */
	char *pages;		/* all pages of the memfd */
	int next_page;		/* of the memfd, which mapper maps next */
	int next_port;
	bool no_memslot;
	struct worker mapper, writer, reader;
	struct rg *rg;
};

/* gpc_find_names - have gpc_names be those of this kernel */
void gpc_find_names(struct rg *rg);

/* user_missing - NULL, or the reason why this host's KVM has no such user */
const char *user_missing(const struct user *user);

/* race_create_vm - a VM whose cache is in use, over page 0 of the memfd */
void race_create_vm(struct race *race);

/* race_create - the same, and a session of racegate; NULL, or why this host has no such thing */
const char *race_create(struct race *race, const struct user *user);

/* race_word - the word in @page of the memfd that each write of the user changes */
uint64_t race_word(struct race *race, int page);

/* race_write - have KVM write through the cache, in the calling thread */
void race_write(struct race *race);

/* race_set_shared_info - tell KVM where shared_info is, or that there is none */
void race_set_shared_info(struct race *race, bool on);

/* worker_create - a thread with that name in the ladder, which waits to be started */
void worker_create(struct race *race, struct worker *worker, const char *name,
		   void (*work)(struct race *race));

/* worker_start, worker_finish - have it run once; wait until it has */
void worker_start(struct worker *worker);
void worker_finish(struct worker *worker);
void worker_run(struct worker *worker);

/*
 * worker_is_done - wait that long for it; is it done?  Reads no clock: that could take the page
 * fault that race_create_vm() speaks of.
 */
bool worker_is_done(struct worker *worker, unsigned long us);

#endif
