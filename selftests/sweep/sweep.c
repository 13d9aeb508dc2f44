// SPDX-License-Identifier: GPL-2.0-only
/*
 * The sweep of one pair of KVM operations; see sweep.h.
 *
 *	sweep -l	list the pairs: RACE, both operations, "alike" if it is no matter
 *			which one is held
 *	sweep [-r] [-b] [-v VISITS] [-p FROM-TO] [-x FILE] RACE
 *		-r	hold the other operation of the pair
 *		-b	reboot a host that hangs, for a host that is only there for this
 *		-v	how many visits of a function are points (3)
 *		-p	only these points of the path, from 1, to try it in parts
 *		-x	points that are not tried again: a line of FILE is like what is
 *			printed of a point, from the function to the visit
 *
 * On stdout, besides diagnostics, lines of words with tabs between them:
 *	@sweep@ pair RACE HELD OTHER
 *	@sweep@ path FUNCTION WHERE VISIT DEPTH	each point, in the order of the path
 *	@sweep@ at FUNCTION WHERE VISIT		the next schedule is about to begin
 *	@sweep@ point FUNCTION WHERE VISIT DEPTH VERDICT PROGRESS WHY
 *	@sweep@ count NAME NUMBER
 *	@sweep@ hung				in place of all the rest
 * PROGRESS is how B came along: ran, sleeps, spins, polls, unclear; WHY may be empty.
 *
 * Exit codes: 0 nothing shows; 1 something does; 2 used wrongly; 3 the host hangs;
 * 4 this host has no such thing.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "hostfacts.h"
#include "klog.h"
#include "kselftest.h"
#include "sweep.h"

/* Runs in each order, and with a hold that nobody uses, to know the noise. */
#define SERIAL_RUNS	5
#define ALONE_RUNS	8
/* A finding has to show that often again, each time in a new VM, and has some more. */
#define CONFIRM		2
#define CONFIRM_TRIES	4

static const struct pair * const tables[] = {
	apic_page_pairs, apicv_pairs, gpc_pairs, nested_pairs,
};

static const char * const verdict_words[NR_VERDICTS] = {
	"not tried", "not reached", "ran through", "waited", "shows",
};

static const char * const progress_words[] = {
	"ran", "sleeps", "spins", "polls", "unclear",
};

static const char * const where_words[] = { "entry", "return" };

struct options {
	bool reversed, reboots;
	unsigned int visits, from, to;
	char *done;		/* the content of -x FILE, or NULL */
};

static const struct pair *find_pair(const char *race)
{
	const struct pair *pair;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(tables); i++)
		for (pair = tables[i]; pair->race; pair++)
			if (!strcmp(pair->race, race))
				return pair;
	return NULL;
}

static void list_pairs(void)
{
	const struct pair *pair;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(tables); i++)
		for (pair = tables[i]; pair->race; pair++)
			printf("%s\t%s\t%s\t%s\n", pair->race, pair->op[0]->name,
			       pair->op[1]->name, pair->alike ? "alike" : "");
}

static void name_point(const struct point *point, char *text, size_t size)
{
	snprintf(text, size, "%s%s%s\t%s\t%u", point->function->symbol,
		 point->function->from ? "<" : "", point->function->from ?: "",
		 where_words[point->where], point->visit);
}

/* What is printed stays, though the host may die of the next thing that is done. */
static void drain(void)
{
	fflush(stdout);
	tcdrain(STDOUT_FILENO);
}

static bool was_done(const struct options *options, const char *name)
{
	const char *at = options->done;
	size_t len = strlen(name);

	for (; at && (at = strstr(at, name)); at += len)
		if ((at == options->done || at[-1] == '\n') && at[len] == '\n')
			return true;
	return false;
}

static void new_vm(struct sweep *sweep)
{
	unsigned long long begin = sweep_now_us();

	if (sweep->vms && sweep->pair->stage->fresh_is_new)
		return;
	if (sweep->vms)
		sweep->leaked += sweep->pair->stage->destroy(sweep);
	sweep->pair->stage->create(sweep);
	sweep->vms++;
	sweep->us.vm += sweep_now_us() - begin;
	/* What was used for the first time has its own way. */
	sweep_order(sweep, true);
	sweep_order(sweep, false);
}

/* Is what came of it something that no order can bring about? */
static bool is_wrong(const struct sweep *sweep)
{
	return sweep->log || (!reference_is(&sweep->reference, 0, &sweep->outcome) &&
			      !reference_is(&sweep->reference, 1, &sweep->outcome));
}

static void know_orders(struct sweep *sweep)
{
	int i, order;

	sweep->plain = sweep->pair->stage->has_plain;
	for (i = 0; i < SERIAL_RUNS; i++) {
		for (order = 0; order < 2; order++) {
			sweep_order(sweep, !order);
			reference_add(&sweep->reference, order, &sweep->outcome, !i);
			TEST_ASSERT(!sweep->log, "the kernel complains without a race");
		}
	}
}

/* A hold without B changes the time only: what else it changes is noise. */
static void know_noise(struct sweep *sweep)
{
	struct path *path = &sweep->path;
	struct schedule result;
	unsigned int i;

	for (i = 0; i < ALONE_RUNS; i++) {
		sweep_hold(sweep, &path->points[i * path->nr_points / ALONE_RUNS],
			   true, &result);
		reference_add(&sweep->reference, 0, &sweep->outcome, false);
	}
	sweep->plain = false;
	reference_print_noise(&sweep->reference);
}

static void print_finding(struct sweep *sweep, const char *name)
{
	printf("# shows: %s held at %s\n",
	       sweep->pair->op[sweep->first]->what, name);
	reference_print_difference(&sweep->reference, &sweep->outcome);
	if (sweep->log)
		printf("#   the kernel complains: %d lines\n", sweep->log);
	rg_ladder(sweep->rg, stdout);
}

/* Shows it again, and each time in a new VM? */
static bool is_confirmed(struct sweep *sweep, struct point *point)
{
	struct schedule result;
	int tries, shown = 0;

	for (tries = 0; tries < CONFIRM_TRIES && shown < CONFIRM; tries++) {
		new_vm(sweep);
		sweep_hold(sweep, point, false, &result);
		shown += is_wrong(sweep) && result.verdict != NOT_REACHED;
		if (sweep->log)
			klog_mark();
	}
	/* What it broke must not decide the next. */
	new_vm(sweep);
	return shown == CONFIRM;
}

static void try_point(struct sweep *sweep, struct point *point, const char *name)
{
	struct schedule result;

	sweep_hold(sweep, point, false, &result);
	point->verdict = result.verdict;
	point->progress = result.progress;
	point->why = result.why;
	if (!is_wrong(sweep) ||
	    (point->verdict == NOT_REACHED && sweep->orders_wrong == 2))
		return;
	print_finding(sweep, name);
	if (sweep->log)
		klog_mark();
	/* Without an overlap it is not the race that did it. */
	if (point->verdict == NOT_REACHED) {
		point->verdict = NOT_TRIED;
		point->why = "A's path was another one, and the outcome of no order";
		new_vm(sweep);
	} else if (sweep->orders_wrong == 2 || is_confirmed(sweep, point)) {
		point->verdict = SHOWS;
		point->why = NULL;
	} else {
		point->verdict = NOT_TRIED;
		point->why = "it showed once, and not again";
	}
}

/* One after the other, with what must make no difference: in how many orders does it? */
static void try_orders(struct sweep *sweep)
{
	unsigned int order;

	for (order = 0; order < 2; order++) {
		sweep_order(sweep, !order);
		if (!is_wrong(sweep))
			continue;
		printf("# shows without an overlap: %s first\n",
		       sweep->pair->op[order ? !sweep->first : sweep->first]->what);
		reference_print_difference(&sweep->reference, &sweep->outcome);
		if (sweep->log)
			klog_mark();
		sweep->orders_wrong++;
	}
}

static void print_count(const char *name, unsigned long long count)
{
	printf("@sweep@\tcount\t%s\t%llu\n", name, count);
}

static void print_path(const struct path *path)
{
	const struct point *point;
	char name[256];
	unsigned int i;

	for (i = 0; i < path->nr_points; i++) {
		point = &path->points[i];
		name_point(point, name, sizeof(name));
		printf("@sweep@\tpath\t%s\t%u\n", name, point->depth);
	}
}

/* Returns how many points show. */
static unsigned int sweep_path(struct sweep *sweep, const struct options *options)
{
	struct path *path = &sweep->path;
	unsigned int verdicts[NR_VERDICTS] = {}, i;
	unsigned long long begin = sweep_now_us();
	struct point *point;
	char name[256];

	sweep->schedules = 0;
	for (i = 0; i < path->nr_points; i++) {
		point = &path->points[i];
		if (i + 1 < options->from || i + 1 > options->to)
			continue;
		name_point(point, name, sizeof(name));
		if (was_done(options, name))
			continue;
		printf("@sweep@\tat\t%s\n", name);
		drain();
		try_point(sweep, point, name);
		printf("@sweep@\tpoint\t%s\t%u\t%s\t%s\t%s\n", name, point->depth,
		       verdict_words[point->verdict],
		       progress_words[point->progress], point->why ?: "");
		verdicts[point->verdict]++;
	}
	for (i = 0; i < NR_VERDICTS; i++)
		print_count(verdict_words[i], verdicts[i]);
	print_count("points", path->nr_points);
	print_count("functions without a gate", path->nr_no_gate);
	print_count("places that were not recorded", path->nr_missed);
	print_count("schedules", sweep->schedules);
	print_count("milliseconds", (sweep_now_us() - begin) / 1000);
	return verdicts[SHOWS];
}

static void print_times(struct sweep *sweep)
{
	print_count("ms to make new VMs", sweep->us.vm / 1000);
	print_count("ms in fresh state", sweep->us.fresh / 1000);
	print_count("ms until A is held", sweep->us.hold / 1000);
	print_count("ms of B", sweep->us.second / 1000);
	print_count("ms to both ends", sweep->us.end / 1000);
	print_count("ms to look", sweep->us.look / 1000);
	memset(&sweep->us, 0, sizeof(sweep->us));
}

static const char *find_path(struct sweep *sweep, unsigned int visits)
{
	struct worker *held = &sweep->worker[sweep->first];
	void (*run)(struct sweep *sweep) = sweep->pair->op[sweep->first]->run;
	unsigned long long begin = sweep_now_us(), traced;
	const char *why;

	why = path_trace(sweep, held, run);
	traced = sweep_now_us();
	/* The first run past new gates is not like the others. */
	if (!why)
		why = path_record(sweep, held, run, visits);
	if (!why)
		why = path_record(sweep, held, run, visits);
	if (why)
		return why;
	path_drop_unused(sweep);
	print_count("ms to trace and to put gates", (traced - begin) / 1000);
	print_count("ms to record the path", (sweep_now_us() - traced) / 1000);
	return NULL;
}

static int run_sweep(const struct pair *pair, const struct options *options)
{
	struct sweep *sweep = calloc(1, sizeof(*sweep));
	unsigned int shows;
	const char *why;

	TEST_ASSERT(sweep, "no memory");
	sweep->pair = pair;
	sweep->first = options->reversed;
	sweep->reboots = options->reboots;
	why = pair->stage->missing() ?: sweep_start(sweep);
	if (!why) {
		klog_mark();
		klog_poll();
		new_vm(sweep);
		why = find_path(sweep, options->visits);
	}
	if (why) {
		printf("# cannot be swept here: %s\n", why);
		return KSFT_SKIP;
	}
	printf("@sweep@\tpair\t%s\t%s\t%s\n", pair->race, pair->op[sweep->first]->what,
	       pair->op[!sweep->first]->what);
	print_path(&sweep->path);
	/* Without a race, but for the first time. */
	klog_mark();
	klog_poll();
	know_orders(sweep);
	know_noise(sweep);
	if (pair->stage->has_plain)
		try_orders(sweep);
	print_count("orders without an overlap that show", sweep->orders_wrong);
	memset(&sweep->us, 0, sizeof(sweep->us));
	shows = sweep_path(sweep, options);
	print_times(sweep);
	sweep->leaked += pair->stage->destroy(sweep);
	print_count("VMs", sweep->vms);
	print_count("VMs whose pages somebody still refers to", sweep->leaked);
	drain();
	return shows || sweep->orders_wrong || sweep->leaked ? KSFT_FAIL : KSFT_PASS;
}

/* The whole of a file, or NULL. */
static char *read_file(const char *path)
{
	FILE *file = fopen(path, "re");
	struct stat st;
	char *text;

	if (!file)
		return NULL;
	TEST_ASSERT(!fstat(fileno(file), &st), "fstat");
	text = calloc(1, st.st_size + 1);
	TEST_ASSERT(text, "no memory for %s", path);
	st.st_size = fread(text, 1, st.st_size, file);
	fclose(file);
	return text;
}

static int used_wrongly(const char *name)
{
	fprintf(stderr, "usage: %s -l | [-r] [-b] [-v VISITS] [-p FROM-TO] [-x FILE] RACE\n",
		name);
	return 2;
}

int main(int argc, char **argv)
{
	struct options options = { .visits = 3, .to = UINT_MAX };
	const struct pair *pair;
	int opt;

	setvbuf(stdout, NULL, _IOLBF, 0);
	while ((opt = getopt(argc, argv, "lrbv:p:x:")) != -1) {
		switch (opt) {
		case 'l':
			list_pairs();
			return 0;
		case 'r':
			options.reversed = true;
			break;
		case 'b':
			options.reboots = true;
			break;
		case 'v':
			options.visits = atoi(optarg);
			if (options.visits < 1 || options.visits > 100)
				return used_wrongly(argv[0]);
			break;
		case 'p':
			if (sscanf(optarg, "%u-%u", &options.from, &options.to) != 2)
				return used_wrongly(argv[0]);
			break;
		case 'x':
			options.done = read_file(optarg);
			if (!options.done) {
				fprintf(stderr, "%s: cannot read %s\n", argv[0], optarg);
				return 2;
			}
			break;
		default:
			return used_wrongly(argv[0]);
		}
	}
	if (optind + 1 != argc)
		return used_wrongly(argv[0]);
	pair = find_pair(argv[optind]);
	if (!pair) {
		fprintf(stderr, "%s: no pair for '%s'; -l lists them\n", argv[0],
			argv[optind]);
		return 2;
	}
	hostfacts_print();
	return run_sweep(pair, &options);
}
