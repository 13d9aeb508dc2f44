/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The points at which gpc_refresh_test holds the threads of a struct race, and the landmarks of
 * its ladder.  A function that returns a string returns NULL, or the reason why the interleaving
 * was not forced.
 */
#ifndef GPC_HOLD_H
#define GPC_HOLD_H

#include "gpc_vm.h"

/* Bounds a hold whose release is lost; far longer than a step takes in Bochs. */
#define HOLD_US		(10 * 1000 * 1000)
#define LOOK_US		5000

/* gpc_label - "FUNCTION() TEXT" of @symbol, "MODULE:FUNCTION"; good until the next call */
const char *gpc_label(const char *symbol, const char *text);

/* gpc_record... - arm a gate that only records, for the ladder and to wait for; a gate, or < 0 */
int gpc_record(struct race *race, struct worker *worker, const char *symbol,
	       unsigned int where, const char *label, unsigned int max_hits);
int gpc_record_invalidation(struct race *race);
int gpc_record_lookups(struct race *race, unsigned int max_hits);
int gpc_record_refreshed(struct race *race);

/* gpc_arrives - start the writer, and wait until it is at the gate */
const char *gpc_arrives(struct race *race, int gate);

/* gpc_was_held - check that the thread was held at the gate until it was released */
const char *gpc_was_held(struct race *race, int gate);

/* gpc_replace - have the mapper map @page, and wait for its end */
const char *gpc_replace(struct race *race, int page);

/*
 * gpc_force_before_count - force a refresh after the notifier has invalidated the cache and before
 * it raises mn_active_invalidate_count, or as far as the kernel lets the refresh go
 */
const char *gpc_force_before_count(struct race *race);

/*
 * gpc_hold_before_publish - hold the writer inside a refresh, at @gate, when it is about to take
 * gpc->lock for the second time: it has found the page, and the kernel has made all checks that
 * it makes without the lock
 */
const char *gpc_hold_before_publish(struct race *race, int *gate);

#endif
