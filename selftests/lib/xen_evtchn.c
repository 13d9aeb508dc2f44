// SPDX-License-Identifier: GPL-2.0-only
#include "gpc_facts.h"
#include "kvm_util.h"
#include "xen_evtchn.h"

void xen_evtchn_route(struct kvm_vm *vm, struct kvm_vcpu *vcpu, unsigned int port,
		      unsigned int nr)
{
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry entries[XEN_PORTS];
	} routing = { .head.nr = nr };
	unsigned int i;

	for (i = 0; i < nr; i++)
		routing.entries[i] = (struct kvm_irq_routing_entry) {
			.gsi = XEN_GSI + i,
			.type = KVM_IRQ_ROUTING_XEN_EVTCHN,
			.u.xen_evtchn.port = port + i,
			.u.xen_evtchn.vcpu = vcpu->id,
			.u.xen_evtchn.priority =
				KVM_IRQ_ROUTING_XEN_EVTCHN_PRIO_2LEVEL,
		};
	vm_ioctl(vm, KVM_SET_GSI_ROUTING, &routing.head);
}
