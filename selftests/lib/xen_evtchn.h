/* SPDX-License-Identifier: GPL-2.0-only */
/* Xen's event channels, by which KVM writes to shared_info through a gfn_to_pfn_cache. */
#ifndef XEN_EVTCHN_H
#define XEN_EVTCHN_H

#include "kvm_util.h"

#define XEN_PORTS	16

/*
 * xen_evtchn_route - route @nr GSIs from XEN_GSI on to event channels of @vcpu
 *
 * @port: the channel of the first GSI; those of the others follow
 * @nr: at most XEN_PORTS
 *
 * Fails the test if KVM does not take the routes.
 */
void xen_evtchn_route(struct kvm_vm *vm, struct kvm_vcpu *vcpu, unsigned int port,
		      unsigned int nr);

#endif /* XEN_EVTCHN_H */
