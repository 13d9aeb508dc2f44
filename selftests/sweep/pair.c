// SPDX-License-Identifier: GPL-2.0-only
/*
 * The pairs of operations; see sweep.h.
 */
#include <stdio.h>
#include <string.h>

#include "kselftest.h"
#include "sweep.h"

static const struct pair * const races[] = {
	apic_page_pairs, apicv_pairs, gpc_pairs, nested_pairs, tdp_pairs,
};

static const struct stage *stage_at(unsigned int i)
{
	static const struct stage * const stages[] = {
		&stage_busy, &stage_newborn, &stage_busy_l2,
	};

	if (i < ARRAY_SIZE(stages))
		return stages[i];
	i -= ARRAY_SIZE(stages);
	return i < ARRAY_SIZE(races) ? races[i]->stage : NULL;
}

const struct pair *pair_of_race(const char *race)
{
	const struct pair *pair, *found = NULL;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(races); i++) {
		for (pair = races[i]; pair->race; pair++) {
			if (strcmp(pair->race, race))
				continue;
			if (!pair->stage->missing())
				return pair;
			found = pair;
		}
	}
	return found;
}

void pair_list(void)
{
	const struct pair *pair;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(races); i++)
		for (pair = races[i]; pair->race; pair++)
			printf("%s\t%s\t%s\t%s\n", pair->race, pair->op[0]->name,
			       pair->op[1]->name, pair->alike ? "alike" : "");
}

static const struct op *find_op(const struct stage *stage, const char *name)
{
	const struct op * const *ops, *op;

	for (ops = stage->ops; ops && *ops; ops++)
		for (op = *ops; op->name; op++)
			if (!strcmp(op->name, name))
				return op;
	return NULL;
}

const char *pair_make(const char *a, const char *b, struct pair *pair, bool *swapped)
{
	const struct op *op[2] = {};
	const struct stage *stage;
	unsigned int i;

	for (i = 0; (stage = stage_at(i)); i++) {
		op[0] = find_op(stage, a);
		op[1] = find_op(stage, b);
		if (op[0] && op[1])
			break;
	}
	if (!stage)
		return "no stage has both operations; -o lists them";
	*swapped = op[0]->thread == THREAD_1 || op[1]->thread == THREAD_0;
	memset(pair, 0, sizeof(*pair));
	pair->stage = stage;
	pair->op[0] = op[*swapped];
	pair->op[1] = op[!*swapped];
	if (pair->op[0]->thread == THREAD_1 || pair->op[1]->thread == THREAD_0)
		return "both operations are of one thread";
	return NULL;
}

void pair_list_ops(void)
{
	const struct op * const *ops, *op;
	const struct stage *stage;
	unsigned int i;

	for (i = 0; (stage = stage_at(i)); i++)
		for (ops = stage->ops; ops && *ops; ops++)
			for (op = *ops; op->name; op++)
				printf("%s\t%s\t%s\n", op->name, op->what, stage->name);
}
