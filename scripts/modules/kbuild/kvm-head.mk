# SPDX-License-Identifier: GPL-2.0-only
#
# scripts/modules-build puts this in front of KVM's own Makefile, and defines
# $(racefix): the directory that is built, laid out like the kernel's tree.

# KVM's headers from that tree before those of the headers package. From
# include/trace, define_trace.h finds KVM's trace.h at ../../arch/x86/kvm.
LINUXINCLUDE := -I$(racefix)/arch/x86/include -I$(racefix)/arch/x86/include/uapi \
		-I$(racefix)/include -I$(racefix)/include/uapi \
		-I$(racefix)/include/trace $(LINUXINCLUDE)

# A WARN prints the same path as the distro's module does, wherever this was built.
ccflags-y += -fmacro-prefix-map=$(racefix)/=

# No debug information: it takes half of the build's time and makes the modules
# eight times as big.
ccflags-y += -g0
KBUILD_AFLAGS := $(filter-out -Wa$(comma)-g%,$(KBUILD_AFLAGS))

