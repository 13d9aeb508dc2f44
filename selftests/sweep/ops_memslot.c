// SPDX-License-Identifier: GPL-2.0-only
/*
 * Operations on memslots, and on their dirty logs.
 *
 * The dirty log must be good enough for a migration: if the page is copied when logging begins,
 * and again whenever the log has it, the copy must equal the page in the end.
 */
#include "busy.h"

static void set(struct sweep *sweep, uint32_t flags, uint64_t gpa, size_t size)
{
	busy_done(sweep, slot_set(busy_slot(sweep), flags, gpa, size));
}

static void delete(struct sweep *sweep)
{
	set(sweep, 0, busy_slot(sweep)->gpa, 0);
}

static void create(struct sweep *sweep)
{
	set(sweep, 0, busy_slot(sweep)->gpa, SLOT_PAGE);
}

static void create_readonly(struct sweep *sweep)
{
	set(sweep, KVM_MEM_READONLY, busy_slot(sweep)->gpa, SLOT_PAGE);
}

static void move(struct sweep *sweep)
{
	set(sweep, 0, BUSY_ELSEWHERE, SLOT_PAGE);
}

static void log_on(struct sweep *sweep)
{
	struct slot *slot = busy_slot(sweep);

	set(sweep, KVM_MEM_LOG_DIRTY_PAGES, slot->gpa, SLOT_PAGE);
	slot_copy(slot);
}

static void log_off(struct sweep *sweep)
{
	set(sweep, 0, busy_slot(sweep)->gpa, SLOT_PAGE);
}

static void get_log(struct sweep *sweep)
{
	slot_copy_dirty(busy_slot(sweep), false);
}

/* With @manual, KVM_GET_DIRTY_LOG does not clear the log. */
static void set_manual(struct sweep *sweep, bool manual)
{
	struct busy *busy = sweep->stage;

	vm_enable_cap(busy->vm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
		      manual ? KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE : 0);
}

static void prepare_clear_log(struct sweep *sweep)
{
	set_manual(sweep, true);
	log_on(sweep);
}

static void clear_log(struct sweep *sweep)
{
	slot_copy_dirty(busy_slot(sweep), true);
}

static void undo_clear_log(struct sweep *sweep)
{
	set_manual(sweep, false);
}

/* The last round of a migration, with the vCPUs stopped. */
static void last_get_log(struct sweep *sweep)
{
	get_log(sweep);
	outcome_add(&sweep->outcome, "the copy of the dirty pages is right", 0,
		    slot_copy_is_right(busy_slot(sweep)));
}

static void last_clear_log(struct sweep *sweep)
{
	clear_log(sweep);
	outcome_add(&sweep->outcome, "the copy of the dirty pages is right", 0,
		    slot_copy_is_right(busy_slot(sweep)));
}

#define LOG_ON(suffix, slot) \
	{ .name = "log-on" suffix, .what = "switches dirty logging on", .run = log_on, \
	  .observe = last_get_log, .arg = slot }
#define GET_LOG(suffix, slot) \
	{ .name = "get-dirty-log" suffix, .what = "gets the dirty log", \
	  .prepare = log_on, .run = get_log, .observe = last_get_log, .arg = slot }

const struct op busy_memslot_ops[] = {
	{ .name = "slot-create", .what = "creates the memslot", .prepare = delete,
	  .run = create },
	{ .name = "slot-readonly", .what = "creates the memslot, read-only",
	  .prepare = delete, .run = create_readonly },
	{ .name = "slot-delete", .what = "deletes the memslot", .run = delete },
	{ .name = "slot-move", .what = "moves the memslot", .run = move },
	{ .name = "slot-delete-pv", .what = "deletes the memslot", .run = delete,
	  .arg = PV },
	{ .name = "slot-move-pv", .what = "moves the memslot", .run = move, .arg = PV },
	{ .name = "log-off", .what = "switches dirty logging off", .prepare = log_on,
	  .run = log_off },
	LOG_ON("", DATA),
	LOG_ON("-l1", NESTED),
	GET_LOG("", DATA),
	GET_LOG("-pv", PV),
	GET_LOG("-l1", NESTED),
	{ .name = "clear-dirty-log", .what = "clears the dirty log",
	  .prepare = prepare_clear_log, .run = clear_log, .observe = last_clear_log,
	  .undo = undo_clear_log },
	{}
};
