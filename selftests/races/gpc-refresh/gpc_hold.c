// SPDX-License-Identifier: GPL-2.0-only
/* Holds the threads of gpc_refresh_test; see gpc_hold.h. */
#include <stdio.h>
#include <string.h>

#include "gpc_hold.h"

/* A refresh that has looked the page up so often is waiting for the invalidation. */
#define LOOKUPS		5

const char *gpc_label(const char *symbol, const char *text)
{
	const char *colon = strchr(symbol, ':');
	static char label[128];

	snprintf(label, sizeof(label), "%s()%s%s", colon ? colon + 1 : symbol,
		 *text ? " " : "", text);
	return label;
}

int gpc_record(struct race *race, struct worker *worker, const char *symbol,
	       unsigned int where, const char *label, unsigned int max_hits)
{
	return rg_arm(race->rg, &(struct rg_point){
		.symbol = symbol, .where = where, .label = gpc_label(symbol, label),
		.tid = worker->tid, .max_hits = max_hits });
}

int gpc_record_invalidation(struct race *race)
{
	return gpc_record(race, &race->mapper,
		      "kvm:gfn_to_pfn_cache_invalidate_start", RG_ENTRY,
		      "for mmap()", 0);
}

int gpc_record_lookups(struct race *race, unsigned int max_hits)
{
	return gpc_record(race, &race->writer, "kvm:hva_to_pfn", RG_RETURN,
		      "", max_hits);
}

int gpc_record_refreshed(struct race *race)
{
	return gpc_record(race, &race->writer, gpc_names->refresh, RG_RETURN,
		      "", 0);
}

const char *gpc_arrives(struct race *race, int gate)
{
	int i;

	if (gate < 0)
		return rg_strerror();
	worker_start(&race->writer);
	for (i = 0; i < HOLD_US / 2 / LOOK_US; i++) {
		if (!rg_wait(race->rg, gate, 1, 0))
			return NULL;
		if (worker_is_done(&race->writer, LOOK_US))
			return "KVM wrote without a refresh: no gfn_to_pfn_cache is in use there";
	}
	worker_finish(&race->writer);
	return rg_strerror();
}

const char *gpc_was_held(struct race *race, int gate)
{
	struct rg_status status;

	if (rg_status(race->rg, gate, &status))
		return rg_strerror();
	if (!status.timeouts)
		return NULL;
	rg_ladder(race->rg, stdout);
	return "a thread went on before it was let go";
}

const char *gpc_replace(struct race *race, int page)
{
	race->next_page = page;
	worker_start(&race->mapper);
	if (worker_is_done(&race->mapper, HOLD_US / 2))
		return NULL;
	return "mmap() waits for the refresh: no invalidation can pass it";
}

const char *gpc_force_before_count(struct race *race)
{
	int notifier, lookup, refreshed, i;
	struct rg *rg = race->rg;
	const char *why = NULL;

	gpc_record_invalidation(race);
	gpc_record(race, &race->writer, gpc_names->refresh, RG_ENTRY, "", 0);
	notifier = rg_arm(rg, &(struct rg_point){
		.symbol = "kvm:gfn_to_pfn_cache_invalidate_start",
		.label = gpc_label("gfn_to_pfn_cache_invalidate_start",
			    "returns, mn_active_invalidate_count not raised yet"),
		.where = RG_RETURN, .action = RG_HOLD_SLEEP,
		.timeout_us = HOLD_US, .tid = race->mapper.tid, .max_hits = 1 });
	if (notifier < 0)
		return rg_strerror();
	lookup = gpc_record_lookups(race, LOOKUPS);
	refreshed = gpc_record_refreshed(race);
	if (lookup < 0 || refreshed < 0)
		return rg_strerror();

	race->next_page = 1;
	worker_start(&race->mapper);
	if (rg_wait(rg, notifier, 1, HOLD_US))
		why = rg_strerror();
	if (!why) {
		worker_start(&race->writer);
		for (i = 0; i < HOLD_US / 2 / LOOK_US; i++)
			if (!rg_wait(rg, refreshed, 1, 0) ||
			    !rg_wait(rg, lookup, LOOKUPS, 0) ||
			    worker_is_done(&race->writer, LOOK_US))
				break;
		if (rg_wait(rg, lookup, 1, 0))
			why = "no page was looked up: no cache is used there, or it waits earlier";
		rg_mark(rg, "lets the invalidation go on");
	}
	rg_release(rg, notifier);
	worker_finish(&race->mapper);
	rg_mark(rg, "mmap() has returned");
	worker_finish(&race->writer);
	return why ?: gpc_was_held(race, notifier);
}

const char *gpc_hold_before_publish(struct race *race, int *gate)
{
	struct rg *rg = race->rg;
	const char *why;
	int entry;

	entry = rg_arm(rg, &(struct rg_point){
		.symbol = gpc_names->refresh, .action = RG_HOLD_SLEEP,
		.label = gpc_label(gpc_names->refresh, ""),
		.timeout_us = HOLD_US, .tid = race->writer.tid, .max_hits = 1 });
	why = gpc_arrives(race, entry);
	if (why)
		return why;
	*gate = rg_arm(rg, &(struct rg_point){
		.symbol = "_raw_write_lock_irq",
		.label = gpc_label("_raw_write_lock_irq", "to publish the page"),
		.action = RG_HOLD_SLEEP, .timeout_us = HOLD_US,
		.tid = race->writer.tid, .skip = 1, .max_hits = 1 });
	if (*gate < 0)
		why = rg_strerror();
	rg_release(rg, entry);
	if (!why && rg_wait(rg, *gate, 1, HOLD_US / 2))
		why = rg_strerror();
	if (why)
		worker_finish(&race->writer);
	return why;
}
