// SPDX-License-Identifier: GPL-2.0-only
/*
 * A module that uses kvm.ko, as some graphics drivers do: while it is loaded, kvm
 * cannot be unloaded.
 */
#include <linux/module.h>
#include <linux/kvm_host.h>

static int __init kvm_user_init(void)
{
	pr_info("kvm_rebooting is %d\n", kvm_rebooting);
	return 0;
}

static void __exit kvm_user_exit(void)
{
}

module_init(kvm_user_init);
module_exit(kvm_user_exit);
MODULE_DESCRIPTION("uses kvm, so that it is in use");
MODULE_LICENSE("GPL");
