// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM's counters of one VM; see vm_stat.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vm_stat.h"

uint64_t vm_stat(struct kvm_vm *vm, const char *name)
{
	char path[128], value[32];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/sys/kernel/debug/kvm/%d-%d/%s",
		 getpid(), vm->fd, name);
	fd = open(path, O_RDONLY);
	TEST_ASSERT(fd >= 0, "%s: %s (is debugfs mounted?)", path,
		    strerror(errno));
	n = read(fd, value, sizeof(value) - 1);
	TEST_ASSERT(n > 0, "%s: %s", path, strerror(errno));
	close(fd);
	value[n] = '\0';
	return strtoull(value, NULL, 0);
}
