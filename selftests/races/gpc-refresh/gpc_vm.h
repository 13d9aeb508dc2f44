/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The VM of gpc_refresh_test: a memfd with the pages behind a guest page, a user of a
 * gfn_to_pfn_cache through which KVM writes to the guest page, and the threads that replace the
 * page, have the cache refreshed, and use it.
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

/* The functions of the cache by their names in this kernel, "kvm:FUNCTION". */
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

/* A way to have KVM write through a cache, and to see that it wrote. */
struct user {
	const char *name;
	void (*setup)(struct race *race);
	void (*stop)(struct race *race);
	void (*write)(struct race *race);
	size_t offset;		/* offset in the page of a word that each write changes */
	bool by_hva;		/* the page is in no memslot */
};

/* The vCPU's kvmclock, and the event channels of Xen's shared_info */
extern const struct user user_kvmclock, user_xen, user_xen_hva;

struct race {
	const struct user *user;
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpu;
	int memfd;
	char *guest;		/* the slot's memory */
	char *pages;		/* a mapping of all pages of the memfd */
	int next_page;		/* the page of the memfd that mapper maps next */
	int next_port;
	bool no_memslot;
	struct worker mapper, writer, reader;
	struct rg *rg;
};

/* gpc_find_names - set gpc_names to the names in this kernel */
void gpc_find_names(struct rg *rg);

/* user_missing - NULL, or the reason why this host's KVM has no such user */
const char *user_missing(const struct user *user);

/* race_create_vm - create a VM whose cache is active, and maps page 0 of the memfd */
void race_create_vm(struct race *race);

/*
 * race_create - the same with a session of racegate; returns NULL, or the reason why this host
 * has no such user
 */
const char *race_create(struct race *race, const struct user *user);

/* race_word - the word in @page of the memfd that each write of the user changes */
uint64_t race_word(struct race *race, int page);

/* race_write - have KVM write through the cache, in the calling thread */
void race_write(struct race *race);

/* race_set_shared_info - tell KVM where shared_info is, or that there is none */
void race_set_shared_info(struct race *race, bool on);

/* worker_create - create a thread, with that name in the ladder, that waits for worker_start() */
void worker_create(struct race *race, struct worker *worker, const char *name,
		   void (*work)(struct race *race));

/* worker_start - run worker->work() once; worker_finish - wait for its end; worker_run - both */
void worker_start(struct worker *worker);
void worker_finish(struct worker *worker);
void worker_run(struct worker *worker);

/*
 * worker_is_done - wait at most @us for the worker; is it done?  It reads no clock, as that could
 * take a page fault while mmap_lock is held; see race_create_vm().
 */
bool worker_is_done(struct worker *worker, unsigned long us);

#endif
