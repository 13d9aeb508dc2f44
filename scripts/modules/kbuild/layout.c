// SPDX-License-Identifier: GPL-2.0-only
/*
 * Not part of any module: layout.sh compiles this to get the layout of the types
 * that modules other than KVM's own can see.  Headers in arch/x86/kvm are left
 * out, as only KVM's modules include them, which are replaced together.
 */
#include <linux/kvm_host.h>
#include <linux/kvm_irqfd.h>
#include <kvm/iodev.h>
#include <asm/kvm_para.h>
#include <asm/kvm_page_track.h>
