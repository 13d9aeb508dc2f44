/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Facts about the host under test, and whether it can show a race at all.
 *
 * The hostfacts_need_...() functions return NULL, or the reason why a case cannot
 * run here, which names the missing feature.
 */
#ifndef HOSTFACTS_H
#define HOSTFACTS_H

#include <stdbool.h>

/* hostfacts_print - kernel, CPUs, and kvm modules with their version, as diagnostics */
void hostfacts_print(void);

/* hostfacts_param - is a boolean module parameter ("kvm_intel", "nested") on? */
bool hostfacts_param(const char *module, const char *param);

/* hostfacts_need_kvm - /dev/kvm, and at least two CPUs that this process may run on */
const char *hostfacts_need_kvm(void);

/* hostfacts_need_stats - KVM's counters of a VM, as vm_stat() reads them */
const char *hostfacts_need_stats(void);

/* hostfacts_need_apicv - kvm_intel, or kvm_amd, with APICv (AVIC) in use */
const char *hostfacts_need_apicv(void);

/* hostfacts_need_nested_vid - VMX for guests with virtual-interrupt delivery */
const char *hostfacts_need_nested_vid(void);

/*
 * hostfacts_need_line - the kernel line @line, "6.1", for a case that has run on no other
 *
 * Elsewhere such a case could fail on a kernel without the race.
 */
const char *hostfacts_need_line(const char *line);

#endif /* HOSTFACTS_H */
