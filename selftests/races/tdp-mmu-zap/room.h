/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A page fault of tdp_mmu_zap_test that is held where it first gives up mmu_lock, while userspace
 * takes away the room for shadow pages that it has made.
 */
#ifndef ROOM_H
#define ROOM_H

#include <stdint.h>

#include "zap_vm.h"

/* The shadow pages of the VM. */
struct room {
	uint64_t allowed;	/* as many as were left when userspace lowered the limit */
	uint64_t used;		/* when the page fault was over */
};

/*
 * force_room_taken - create a VM, and lower the limit while vCPU @vcpu is in a page fault and has
 * given up mmu_lock
 *
 * @tdp_mmu: whether the VM uses the TDP MMU
 *
 * Returns NULL and sets @room, or returns the reason why it could not be forced.
 */
const char *force_room_taken(struct race *race, bool tdp_mmu, int vcpu, struct room *room);

#endif /* ROOM_H */
