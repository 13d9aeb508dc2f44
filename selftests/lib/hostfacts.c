// SPDX-License-Identifier: GPL-2.0-only
/*
 * Facts about the host under test; see hostfacts.h.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "hostfacts.h"
#include "kvm_util.h"
#include "processor.h"
#include "vmx.h"

/* Reads a one-line file below /sys/module; false if it is not there. */
static bool hostfacts_read(char *buf, size_t size, const char *module,
			   const char *file)
{
	char path[128];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/sys/module/%s/%s", module, file);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		return false;
	n = read(fd, buf, size - 1);
	close(fd);
	if (n < 0)
		return false;
	buf[n] = '\0';
	buf[strcspn(buf, "\n")] = '\0';
	return true;
}

static void hostfacts_print_module(const char *module)
{
	char value[128];

	if (!hostfacts_read(value, sizeof(value), module, "initstate"))
		return;
	if (!hostfacts_read(value, sizeof(value), module, "version"))
		strcpy(value, "no version, as the distro's own");
	printf("# host: %s: %s\n", module, value);
}

void hostfacts_print(void)
{
	struct utsname uts;

	uname(&uts);
	printf("# host: Linux %s, %ld CPUs online\n", uts.release,
	       sysconf(_SC_NPROCESSORS_ONLN));
	hostfacts_print_module("kvm");
	hostfacts_print_module("kvm_intel");
	hostfacts_print_module("kvm_amd");
}

bool hostfacts_param(const char *module, const char *param)
{
	char file[64], value[16];

	snprintf(file, sizeof(file), "parameters/%s", param);
	if (!hostfacts_read(value, sizeof(value), module, file))
		return false;
	return value[0] == 'Y' || value[0] == '1';
}

const char *hostfacts_need_kvm(void)
{
	cpu_set_t cpus;

	if (access(KVM_DEV_PATH, R_OK | W_OK))
		return "no access to /dev/kvm: load kvm_intel or kvm_amd, and be root";
	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		return "one CPU online, two are needed for two threads to race";
	if (!sched_getaffinity(0, sizeof(cpus), &cpus) && CPU_COUNT(&cpus) < 2)
		return "one CPU in this process's affinity mask, two are needed to race";
	return NULL;
}

const char *hostfacts_need_stats(void)
{
	int fd, has;

	fd = open(KVM_DEV_PATH, O_RDWR | O_CLOEXEC);
	has = fd < 0 ? 0 : ioctl(fd, KVM_CHECK_EXTENSION, KVM_CAP_BINARY_STATS_FD);
	close(fd);
	if (has > 0)
		return NULL;
	fd = open("/sys/kernel/debug/kvm/mmu_cache_miss", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return "no counters of KVM: no KVM_GET_STATS_FD, and debugfs cannot be read";
	close(fd);
	return NULL;
}

const char *hostfacts_need_apicv(void)
{
	const char *why = hostfacts_need_kvm();

	if (why)
		return why;
	if (!hostfacts_param("kvm_intel", "enable_apicv") &&
	    !hostfacts_param("kvm_amd", "avic"))
		return "APICv is off: see enable_apicv of kvm_intel, avic of kvm_amd";
	return hostfacts_need_stats();
}

const char *hostfacts_need_nested_vid(void)
{
	const char *why = hostfacts_need_kvm();

	if (why)
		return why;
	if (!kvm_cpu_has(X86_FEATURE_VMX))
		return "no VMX for guests: needs kvm_intel with the parameter nested=Y";
	if (!((kvm_get_feature_msr(MSR_IA32_VMX_PROCBASED_CTLS2) >> 32) &
	      SECONDARY_EXEC_VIRTUAL_INTR_DELIVERY))
		return "no virtual-interrupt delivery for guests: see kvm_intel's enable_apicv";
	/* KVM offers these only with APICv, but virtual-interrupt delivery always. */
	if (!((kvm_get_feature_msr(MSR_IA32_VMX_PINBASED_CTLS) >> 32) &
	      PIN_BASED_POSTED_INTR))
		return "no posted interrupts for guests: see kvm_intel's enable_apicv";
	return NULL;
}

const char *hostfacts_need_line(const char *line)
{
	size_t len = strlen(line);
	static char why[64];
	struct utsname uts;

	uname(&uts);
	if (!strncmp(uts.release, line, len) && (uts.release[len] < '0' || uts.release[len] > '9'))
		return NULL;
	snprintf(why, sizeof(why), "this case has run on Linux %s only", line);
	return why;
}
