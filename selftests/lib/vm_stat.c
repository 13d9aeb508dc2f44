// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM's counters of one VM; see vm_stat.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vm_stat.h"

/* Reads a counter of a VM or vCPU; false if @fd has none of that name. */
static bool vm_stat_by_fd(int fd, const char *name, uint64_t *value)
{
	struct kvm_stats_header header;
	struct kvm_stats_desc *all, *desc;
	bool found = false;
	int stats;
	u32 i;

	stats = ioctl(fd, KVM_GET_STATS_FD, NULL);
	if (stats < 0)
		return false;
	read_stats_header(stats, &header);
	all = read_stats_descriptors(stats, &header);
	for (i = 0; i < header.num_desc && !found; i++) {
		desc = get_stats_descriptor(all, i, &header);
		if (strcmp(desc->name, name))
			continue;
		read_stat_data(stats, &header, desc, value, 1);
		found = true;
	}
	free(all);
	close(stats);
	return found;
}

uint64_t vm_stat(struct kvm_vm *vm, const char *name)
{
	uint64_t one, sum = 0;
	struct kvm_vcpu *vcpu;
	char path[128], value[32];
	bool found = false;
	ssize_t n;
	int fd;

	if (vm_stat_by_fd(vm->fd, name, &one))
		return one;
	list_for_each_entry(vcpu, &vm->vcpus, list) {
		if (!vm_stat_by_fd(vcpu->fd, name, &one))
			continue;
		sum += one;
		found = true;
	}
	if (found)
		return sum;

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
