// SPDX-License-Identifier: GPL-2.0-only
/*
 * Finds the APIC access page in this process, and frees it; see apic_page.h.
 */
#define _GNU_SOURCE /* vmsplice() */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "apic_page.h"
#include "hostfacts.h"
#include "pages.h"

const char *apic_page_missing(void)
{
	const char *why = hostfacts_need_kvm();

	if (why)
		return why;
	if (!hostfacts_param("kvm_intel", "flexpriority"))
		return "no APIC access page: needs kvm_intel with the parameter flexpriority=Y";
	return NULL;
}

/*
 * The mappings of one page of shared anonymous memory, as KVM makes them for
 * memslots of its own.
 */
#define MAX_SHARED	16

static unsigned int shared_pages(uint64_t start[MAX_SHARED])
{
	unsigned int nr = 0;
	uint64_t from, to;
	char line[512];
	FILE *maps;

	maps = fopen("/proc/self/maps", "r");
	TEST_ASSERT(maps, "/proc/self/maps: %s", strerror(errno));
	while (nr < MAX_SHARED && fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%lx-%lx rw-s", &from, &to) == 2 &&
		    to - from == PAGE_BYTES && strstr(line, "/dev/zero"))
			start[nr++] = from;
	}
	fclose(maps);
	return nr;
}

void *apic_page_add_vcpu(struct kvm_vm *vm, uint32_t id, void *guest_code,
			 struct kvm_vcpu **vcpu)
{
	uint64_t before[MAX_SHARED], after[MAX_SHARED];
	unsigned int nr_before, nr_after, i, j;
	void *page = NULL;

	nr_before = shared_pages(before);
	*vcpu = vm_vcpu_add(vm, id, guest_code);
	nr_after = shared_pages(after);

	for (i = 0; i < nr_after; i++) {
		for (j = 0; j < nr_before; j++)
			if (before[j] == after[i])
				break;
		if (j < nr_before)
			continue;
		/*
		 * On a CPU without unrestricted guest, KVM maps a second page,
		 * which holds page tables.  The APIC access page is all zero.
		 */
		if (READ_ONCE(*(uint32_t *)after[i]))
			continue;
		TEST_ASSERT(!page, "KVM mapped several pages, and any may be the APIC access page");
		page = (void *)after[i];
	}
	return page;
}

int apic_page_punch(void *page)
{
	struct iovec iov = { .iov_base = page, .iov_len = PAGE_BYTES };
	static int last_fd[2] = { -1, -1 };
	int pipe_fd[2], ret;

	/*
	 * A reference keeps the old page allocated, or else the new page might
	 * well be the same one.
	 */
	if (pipe(pipe_fd))
		return -1;
	ret = vmsplice(pipe_fd[1], &iov, 1, 0) == PAGE_BYTES ? 0 : -1;
	if (!ret)
		ret = madvise(page, PAGE_BYTES, MADV_REMOVE);
	/* The pipe holds the reference; it stays open until the next call. */
	close(last_fd[0]);
	close(last_fd[1]);
	memcpy(last_fd, pipe_fd, sizeof(last_fd));
	return ret;
}
