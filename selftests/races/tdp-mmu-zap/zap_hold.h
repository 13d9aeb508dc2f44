/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Two page faults of tdp_mmu_zap_test: the first is held on its way, with mmu_lock held as the
 * fault takes it, and the second goes as far as it can.
 */
#ifndef ZAP_HOLD_H
#define ZAP_HOLD_H

#include <stdbool.h>
#include <stdint.h>

#include "racegate_client.h"
#include "zap_vm.h"

#define FAULT	"kvm:kvm_mmu_page_fault"
#define ZAP	"kvm:kvm_mmu_zap_oldest_mmu_pages"
#define ZAP_ONE	"kvm:__kvm_mmu_prepare_zap_page"
#define MAP	"kvm:kvm_tdp_mmu_map"
#define UNLIST	"kvm:pte_list_remove"

/* The second thread faults as soon as the first is held, and releases it afterwards. */
#define HOLD_US		RG_SPIN_MAX_US
/*
 * Where the second has to wait for mmu_lock both threads spin, so that on two CPUs no
 * thread is left to release the first: the timeout ends the hold.
 */
#define HOLD_LOCKED_US	500000

/* The outcome of the two page faults. */
struct outcome {
	bool first_zaps;	/* the first was held about to zap, not to map */
	bool zapped;		/* the second zapped meanwhile */
	bool mapped;		/* the second mapped meanwhile */
	uint64_t tried_us;	/* time from the second's fault to the end of the hold */
};

/*
 * start_runner - start a thread for @vcpu of @race, and wait until it has run the vCPU once
 *
 * @code: the thread's function, which calls wait_for_go() first
 * @name: the thread's column in the ladder
 */
void start_runner(struct race *race, struct runner *runner, int vcpu,
		  void *(*code)(void *), const char *name);

/* wait_for_go - called by the thread of @runner: run the vCPU once and wait for runner->go */
void wait_for_go(struct runner *runner);

/*
 * force - create a VM, and have vCPU @second fault while @first is held at @place
 *
 * @tdp_mmu: whether the VM uses the TDP MMU
 * @hold_us: the longest time that the first is held, in us
 *
 * Tries again in another VM if an emulated host was too busy.  The last VM is not freed.
 * Returns NULL and sets @outcome, or returns the reason why the overlap could not be forced.
 */
const char *force(struct race *race, bool tdp_mmu, enum place place,
		  int first, int second, unsigned int hold_us,
		  struct outcome *outcome);

#endif /* ZAP_HOLD_H */
