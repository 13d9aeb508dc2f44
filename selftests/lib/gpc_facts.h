/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A memslot with the pages that a guest's kvmclock and Xen's interface use by way of
 * gfn_to_pfn_caches, and numbers of those interfaces.
 */
#ifndef GPC_FACTS_H
#define GPC_FACTS_H

#define PAGE		4096
#define SLOT		10
#define GPA		0x100000000ull
/* The slot's other page, for the vcpu_info, which Xen's interface needs as well. */
#define VCPU_INFO_GPA	(GPA + PAGE)

#define KVMCLOCK_MSR	0x4b564d01	/* MSR_KVM_SYSTEM_TIME_NEW */

/* In struct shared_info of Xen; the masks of 32-bit and of 64-bit guests. */
#define XEN_PENDING	2048
#define XEN_MASK_32	(2048 + 128)
#define XEN_MASK_64	(2048 + 512)
#define XEN_GSI		32		/* above the GSIs of the interrupt controllers */
/* Linux 6.9 has these, and the headers of the library lack them. */
#define XEN_SHARED_INFO_HVA		0x6	/* KVM_XEN_ATTR_TYPE_SHARED_INFO_HVA */
#define XEN_CONFIG_SHARED_INFO_HVA	0x100	/* KVM_XEN_HVM_CONFIG_... */

#endif /* GPC_FACTS_H */
