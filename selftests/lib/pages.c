// SPDX-License-Identifier: GPL-2.0-only
/*
 * The page frames behind memory of this process; see pages.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kvm_util.h"
#include "pages.h"

/* Bits of /proc/kpageflags; see Documentation/admin-guide/mm/pagemap.rst. */
#define KPF_LRU		BIT_ULL(5)
#define KPF_SWAPBACKED	BIT_ULL(14)

uint64_t page_frame(const void *page)
{
	uint64_t entry = 0;
	int fd;

	(void)READ_ONCE(*(const uint32_t *)page);
	fd = open("/proc/self/pagemap", O_RDONLY);
	TEST_ASSERT(fd >= 0, "/proc/self/pagemap: %s", strerror(errno));
	TEST_ASSERT(pread(fd, &entry, sizeof(entry), (uintptr_t)page /
			  PAGE_BYTES * sizeof(entry)) == sizeof(entry),
		    "/proc/self/pagemap: %s", strerror(errno));
	close(fd);
	TEST_ASSERT(entry >> 63, "the page at %p is not present", page);
	return entry & ((1ull << 55) - 1);
}

void pages_note(struct pages *pages, const void *page)
{
	uint64_t frame = page_frame(page);
	unsigned int i;

	for (i = 0; i < pages->nr; i++)
		if (pages->frame[i] == frame)
			return;
	if (pages->nr < PAGES_MAX)
		pages->frame[pages->nr++] = frame;
}

/* Per-CPU lists hold references on pages.  move_pages() drains them; here it moves nothing. */
static void drain_lists(void)
{
	int node = 0, status;
	void *page = &node;

	syscall(SYS_move_pages, 0, 1, &page, &node, &status, MPOL_MF_MOVE);
}

unsigned int pages_referred(const struct pages *pages)
{
	int flags = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);
	int counts = open("/proc/kpagecount", O_RDONLY | O_CLOEXEC);
	unsigned int i, nr = 0;
	uint64_t flag, mapped;

	TEST_ASSERT(flags >= 0 && counts >= 0, "/proc/kpageflags, kpagecount: %s",
		    strerror(errno));
	drain_lists();
	for (i = 0; i < pages->nr; i++) {
		off_t at = pages->frame[i] * sizeof(flag);

		if (pread(flags, &flag, sizeof(flag), at) != sizeof(flag) ||
		    pread(counts, &mapped, sizeof(mapped), at) != sizeof(mapped))
			break;
		nr += (flag & KPF_LRU) && (flag & KPF_SWAPBACKED) && !mapped;
	}
	close(flags);
	close(counts);
	return nr;
}
