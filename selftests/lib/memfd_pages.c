// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guest memory in a memfd; see memfd_pages.h.
 */
#define _GNU_SOURCE /* memfd_create() */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "memfd_pages.h"
#include "test_util.h"

int memfd_pages(size_t size)
{
	int fd = memfd_create("guest memory", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	TEST_ASSERT(fd >= 0 && !ftruncate(fd, size), "memfd: %s", strerror(errno));
	return fd;
}

int memfd_pages_in_use(int fd)
{
	return fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) ? errno : 0;
}
