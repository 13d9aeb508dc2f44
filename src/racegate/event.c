// SPDX-License-Identifier: GPL-2.0-only
/*
 * The record of a session: a ring that any context but NMI may write to.
 */
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/timekeeping.h>

#include "internal.h"

int rg_ring_init(struct rg_session *session)
{
	raw_spin_lock_init(&session->ring_lock);
	session->ring = kvcalloc(RG_RING_EVENTS, sizeof(*session->ring),
				 GFP_KERNEL);
	return session->ring ? 0 : -ENOMEM;
}

void rg_ring_free(struct rg_session *session)
{
	kvfree(session->ring);
}

/* Callers hold ring_lock, so that times and sequence numbers have the same order. */
static void rg_ring_put(struct rg_session *session, const struct rg_event *event)
{
	struct rg_event *slot = &session->ring[session->head % RG_RING_EVENTS];

	*slot = *event;
	slot->ns = ktime_get_mono_fast_ns();
	slot->seq = ++session->seq;
	slot->tid = current->pid;
	slot->tgid = current->tgid;
	slot->cpu = raw_smp_processor_id();
	WRITE_ONCE(session->head, session->head + 1);
}

static void rg_ring_put_lost(struct rg_session *session)
{
	struct rg_event event = {
		.kind = RG_EV_LOST,
		.args = { session->lost },
	};

	rg_ring_put(session, &event);
	WRITE_ONCE(session->lost, 0);
}

/* The caller wakes the waiters itself, after it has updated its counters. */
void rg_event_add(struct rg_session *session, const struct rg_event *event)
{
	unsigned long flags;
	unsigned int room;

	raw_spin_lock_irqsave(&session->ring_lock, flags);
	room = RG_RING_EVENTS - (session->head - session->tail);
	if (room > (session->lost ? 1 : 0)) {
		if (session->lost)
			rg_ring_put_lost(session);
		rg_ring_put(session, event);
	} else {
		WRITE_ONCE(session->lost, session->lost + 1);
	}
	raw_spin_unlock_irqrestore(&session->ring_lock, flags);
}

/* Copies the oldest record, which stays; callers hold the session's read_mutex. */
bool rg_event_peek(struct rg_session *session, struct rg_event *event)
{
	bool found;

	raw_spin_lock_irq(&session->ring_lock);
	if (session->head == session->tail && session->lost)
		rg_ring_put_lost(session);
	found = session->head != session->tail;
	if (found)
		*event = session->ring[session->tail % RG_RING_EVENTS];
	raw_spin_unlock_irq(&session->ring_lock);
	return found;
}

/* Removes the record that rg_event_peek() found; callers still hold read_mutex. */
void rg_event_drop(struct rg_session *session)
{
	raw_spin_lock_irq(&session->ring_lock);
	WRITE_ONCE(session->tail, session->tail + 1);
	raw_spin_unlock_irq(&session->ring_lock);
}

bool rg_event_pending(const struct rg_session *session)
{
	return READ_ONCE(session->head) != READ_ONCE(session->tail) ||
	       READ_ONCE(session->lost);
}
