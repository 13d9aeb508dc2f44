// SPDX-License-Identifier: GPL-2.0-only
/*
 * Not part of any module: compiled by layout.sh to learn how the types lie that
 * modules other than KVM's own can see.  What arch/x86/kvm keeps to itself is not
 * here, because its modules come and go together.
 */
#include <linux/kvm_host.h>
#include <linux/kvm_irqfd.h>
#include <kvm/iodev.h>
#include <asm/kvm_para.h>
#include <asm/kvm_page_track.h>
