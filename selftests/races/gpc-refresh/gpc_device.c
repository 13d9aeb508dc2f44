// SPDX-License-Identifier: GPL-2.0-only
/* Physical memory without a struct page; see gpc_device.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kvm_util.h"
#include "processor.h"
#include "gpc_device.h"
#include "gpc_facts.h"

/* Returns the middle of a gap of at least 2 GiB above 4 GiB. */
off_t device_find_hole(void)
{
	uint64_t start, end, hole = 1ull << 32;
	const uint64_t size = 1ull << 30;
	char line[256];
	FILE *file;

	file = fopen("/proc/iomem", "re");
	TEST_ASSERT(file, "/proc/iomem: %s", strerror(errno));
	/* Resources inside another one are indented. */
	while (fgets(line, sizeof(line), file)) {
		if (*line == ' ' || sscanf(line, "%lx-%lx", &start, &end) != 2)
			continue;
		if (start >= hole + 2 * size)
			break;
		if (end >= hole)
			hole = (end | (size - 1)) + 1;
	}
	fclose(file);
	return hole + size;
}

bool device_is_harmless(void)
{
	uint32_t eax, ebx, ecx, edx;

	cpuid(1, &eax, &ebx, &ecx, &edx);
	return ecx & BIT(31);
}

void *device_map(off_t address)
{
	int fd = open("/dev/mem", O_RDWR);
	void *at = MAP_FAILED;

	if (fd >= 0)
		at = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, address);
	close(fd);
	return at == MAP_FAILED ? NULL : at;
}

/*
 * Each line of vmallocinfo is one mapping. It has the physical address of I/O memory, unless that
 * is 0.
 */
unsigned int device_nr_mapped(off_t address)
{
	char line[512], phys[32];
	unsigned int nr = 0;
	FILE *file;

	snprintf(phys, sizeof(phys), " phys=0x%016llx ", (unsigned long long)address);
	file = fopen("/proc/vmallocinfo", "re");
	TEST_ASSERT(file, "/proc/vmallocinfo: %s", strerror(errno));
	while (fgets(line, sizeof(line), file))
		nr += address ? !!strstr(line, phys) :
		      strstr(line, " memremap+") && !strstr(line, " phys=");
	fclose(file);
	return nr;
}

/* Making the page read-only invalidates it for KVM. */
void device_invalidate(void *page)
{
	TEST_ASSERT(!mprotect(page, PAGE, PROT_READ) &&
		    !mprotect(page, PAGE, PROT_READ | PROT_WRITE), "mprotect: %s", strerror(errno));
}
