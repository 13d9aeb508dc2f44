// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM's counters: those of all VMs, from debugfs, to print beside a finding, and the offset of
 * one in a KVM_GET_STATS_FD.  A difference in them is no finding: exits, reloads and flushes
 * differ as soon as a thread waits.
 */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kvm_util.h"
#include "sweep.h"

#define KVM_DEBUGFS	"/sys/kernel/debug/kvm"
#define MAX_COUNTERS	128

struct counters {
	unsigned int nr;
	struct {
		char name[48];
		long long value;
	} counter[MAX_COUNTERS];
};

static long long read_counter(const char *name)
{
	char path[128], text[32] = "";
	FILE *file;

	snprintf(path, sizeof(path), KVM_DEBUGFS "/%.80s", name);
	file = fopen(path, "re");
	if (!file)
		return 0;
	if (!fgets(text, sizeof(text), file))
		text[0] = '\0';
	fclose(file);
	return atoll(text);
}

/* Reads the files there, not those in the directories of single VMs. */
static void read_counters(struct counters *counters)
{
	DIR *dir = opendir(KVM_DEBUGFS);
	struct dirent *entry;

	counters->nr = 0;
	while (dir && (entry = readdir(dir)) && counters->nr < MAX_COUNTERS) {
		if (entry->d_type != DT_REG ||
		    strlen(entry->d_name) >= sizeof(counters->counter[0].name))
			continue;
		strcpy(counters->counter[counters->nr].name, entry->d_name);
		counters->counter[counters->nr++].value = read_counter(entry->d_name);
	}
	if (dir)
		closedir(dir);
}

void counters_print(struct sweep *sweep, struct point *point, struct point *second)
{
	struct counters *counters = calloc(4, sizeof(*counters));
	struct schedule result;
	long long by[3];
	unsigned int i, run;

	if (!counters)
		return;
	read_counters(&counters[0]);
	sweep_order(sweep, true);
	read_counters(&counters[1]);
	sweep_order(sweep, false);
	read_counters(&counters[2]);
	sweep_hold(sweep, point, second, false, &result);
	read_counters(&counters[3]);
	for (i = 0; i < counters[0].nr; i++) {
		for (run = 0; run < 3; run++)
			by[run] = counters[run + 1].counter[i].value -
				  counters[run].counter[i].value;
		if (by[2] != by[0] && by[2] != by[1])
			printf("#   counter %s: %lld; one after the other: %lld, %lld\n",
			       counters[0].counter[i].name, by[2], by[0], by[1]);
	}
	free(counters);
}

off_t counter_find(int stats, const char *name)
{
	struct kvm_stats_header header;
	struct kvm_stats_desc *all, *desc;
	off_t offset = 0;
	unsigned int i;

	TEST_ASSERT(pread(stats, &header, sizeof(header), 0) == sizeof(header), "pread");
	all = read_stats_descriptors(stats, &header);
	for (i = 0; i < header.num_desc; i++) {
		desc = get_stats_descriptor(all, i, &header);
		if (!strcmp(desc->name, name))
			offset = header.data_offset + desc->offset;
	}
	free(all);
	return offset;
}
