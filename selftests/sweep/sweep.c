// SPDX-License-Identifier: GPL-2.0-only
/*
 * The sweep of one pair of KVM operations; see sweep.h.
 *
 *	sweep -l	list the pairs: RACE, both operations, and "alike" if holding the other
 *			one makes no difference; a race that differs between kernels has several
 *	sweep -o	list the operations; two of the same stage can be a pair, A B
 *	sweep [-r] [-b] [-2] [-v VISITS] [-p FROM-TO] [-x FILE] [-t FILE] [-k FILE] RACE|A B
 *		-r	hold the other operation of the pair, not A or the first that -l lists
 *		-b	reboot a host that hangs; for an emulated host only
 *		-2	afterwards hold both, A where B ran through, and B at each point of its
 *			own path: A goes on first
 *		-v	how many visits of a function become points (default 3)
 *		-p	try only these points of the path, numbered from 1
 *		-x	leave out the points in FILE, one per line, as FUNCTION WHERE VISIT in the
 *			output
 *		-t	read the path from FILE, the output of another boot with the same modules,
 *			instead of tracing it
 *		-k	leave a process behind that keeps the gates of this path for the next
 *			sweep; FILE lists the functions with such a gate
 *
 * Besides diagnostics, stdout has lines of words that are separated by tabs:
 *	@sweep@ pair RACE HELD OTHER
 *	@sweep@ path FUNCTION WHERE VISIT DEPTH ATOMIC	each point, in the order of the path
 *	@sweep@ at FUNCTION WHERE VISIT		the next schedule is about to begin
 *	@sweep@ point FUNCTION WHERE VISIT DEPTH VERDICT PROGRESS WHY
 *	@sweep@ two FUNCTION WHERE VISIT FUNCTION WHERE VISIT	a finding with two holds
 *	@sweep@ count NAME NUMBER
 *	@sweep@ hung				the host hangs: nothing else follows
 * PROGRESS is that of B: ran, sleeps, spins, polls, asks; WHY may be empty.
 *
 * Exit codes: 0 nothing shows; 1 something shows; 2 used wrongly; 3 the host hangs;
 * 4 this host cannot run the pair.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "hostfacts.h"
#include "klog.h"
#include "kselftest.h"
#include "sweep.h"

/* Runs in each order, and runs with a hold but without B, to learn the noise. */
#define SERIAL_RUNS	5
#define ALONE_RUNS	8
/* A finding must show again so often, each time in a new VM, within so many tries. */
#define CONFIRM		2
#define CONFIRM_TRIES	4
/* Findings that list KVM's counters, which takes one more VM and some runs each. */
#define COUNTED		8
/* Each VM leaves a file open, as the library does not close the ELF file of the guest. */
#define MAX_FILES	65536

static const char * const verdict_words[NR_VERDICTS] = {
	"not tried", "not reached", "ran through", "waited", "shows", "dies",
};

static const char * const progress_words[] = {
	"ran", "sleeps", "spins", "polls", "held", "asks",
};

struct options {
	bool reversed, reboots, two;
	unsigned int visits, from, to;
	char *done;		/* the content of -x FILE, or NULL */
	char *path;		/* of -t FILE */
	const char *kept;	/* -k FILE, or NULL */
};

/* Flushes the output, as the host may die in the next step. */
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

	if (sweep->stage && sweep->pair->stage->fresh_is_new)
		return;
	if (sweep->stage)
		sweep->leaked += sweep->pair->stage->destroy(sweep);
	sweep->pair->stage->create(sweep);
	sweep->vms++;
	sweep->us.vm += sweep_now_us() - begin;
	/* First uses take other paths in KVM, so run both orders once. */
	sweep_order(sweep, true);
	sweep_order(sweep, false);
}

/* Is the outcome that of an order, apart from the kernel's log? */
static bool is_of_an_order(const struct sweep *sweep)
{
	const struct op * const *op = sweep->pair->op;

	if (op[0]->repeats || op[1]->repeats)
		return reference_is_mixed(&sweep->reference, &sweep->outcome);
	return reference_is(&sweep->reference, 0, &sweep->outcome) ||
	       reference_is(&sweep->reference, 1, &sweep->outcome);
}

/* Has the kernel warned, or is the outcome of no order? */
static bool is_wrong(const struct sweep *sweep)
{
	return sweep->log || !is_of_an_order(sweep);
}

static void know_orders(struct sweep *sweep)
{
	int i, order;

	sweep->plain = sweep->pair->stage->has_plain;
	for (i = 0; i < SERIAL_RUNS; i++) {
		for (order = 0; order < 2; order++) {
			sweep_order(sweep, !order);
			reference_add(&sweep->reference, order, &sweep->outcome, !i);
			sweep->complaints += !!sweep->log;
		}
	}
	if (!sweep->complaints)
		return;
	printf("# shows without an overlap: the kernel complains in %u runs of %u\n",
	       sweep->complaints, 2 * SERIAL_RUNS);
	klog_know();
}

/* A hold without B changes only the timing: words that it changes are noise. */
static void know_noise(struct sweep *sweep)
{
	struct path *path = &sweep->path;
	struct schedule result;
	unsigned int i;

	for (i = 0; i < ALONE_RUNS; i++) {
		sweep_hold(sweep, &path->points[i * path->nr_points / ALONE_RUNS],
			   NULL, true, &result);
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

/* Does the finding show again, each time in a new VM? */
static bool is_confirmed(struct sweep *sweep, struct point *point,
			 struct point *second)
{
	struct schedule result;
	int tries, shown = 0;
	/*
	 * klog_mark() re-enables WARN_ONCE()s.  That is only done if the finding needs them: a
	 * warning takes an emulated CPU as long as a new VM.
	 */
	bool only_log = is_of_an_order(sweep), log = sweep->log;

	for (tries = 0; tries < CONFIRM_TRIES && shown < CONFIRM; tries++) {
		if (only_log)
			klog_mark();
		new_vm(sweep);
		sweep_hold(sweep, point, second, false, &result);
		shown += is_wrong(sweep) && result.verdict != NOT_REACHED;
		log |= sweep->log;
	}
	if (log)
		klog_mark();
	if (shown == CONFIRM && sweep->verdicts[SHOWS] < COUNTED) {
		new_vm(sweep);
		counters_print(sweep, point, second);
	}
	/* The next schedule must not use a VM that this one may have broken. */
	new_vm(sweep);
	return shown == CONFIRM;
}

static void try_point(struct sweep *sweep, struct point *point,
		      struct point *second, const char *name,
		      struct schedule *result)
{
	sweep_hold(sweep, point, second, false, result);
	if (!is_wrong(sweep) ||
	    (result->verdict == NOT_REACHED && sweep->orders_wrong == 2))
		return;
	print_finding(sweep, name);
	if (sweep->log && (result->verdict == NOT_REACHED || sweep->orders_wrong == 2))
		klog_mark();
	/* Without an overlap the race is not the cause. */
	if (result->verdict == NOT_REACHED) {
		result->verdict = NOT_TRIED;
		result->why = "A's path was another one, and the outcome of no order";
		new_vm(sweep);
	} else if (sweep->orders_wrong == 2 || is_confirmed(sweep, point, second)) {
		result->verdict = SHOWS;
		result->why = NULL;
	} else {
		result->verdict = NOT_TRIED;
		result->why = "it showed once, and not again";
	}
}

/* Runs both orders, with the step that must make no difference; counts those where it does. */
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

/*
 * Tries a point until there is a verdict.  DIES needs several killed threads, each in another
 * process and with another VM.
 */
static void judge_point(struct sweep *sweep, struct point *point, const char *name,
			struct schedule *result)
{
	for (;;) {
		result->progress = RAN;
		if (sweep->deaths > CONFIRM) {
			result->verdict = DIES;
			result->why = sweep->oops;
			return;
		}
		if (sweep->tries > CONFIRM_TRIES) {
			result->verdict = NOT_TRIED;
			result->why = "a thread was killed, and not as often again";
			return;
		}
		printf("@sweep@\tat\t%s\n", name);
		drain();
		sweep->tries++;
		try_point(sweep, point, NULL, name, result);
		if (!sweep->deaths)
			return;
	}
}

/* Returns how many points show. */
static unsigned int sweep_path(struct sweep *sweep)
{
	struct path *path = &sweep->path;
	unsigned int *verdicts = sweep->verdicts, i;
	struct schedule result;
	struct point *point;
	char name[256];

	for (; sweep->at < path->nr_points; sweep->at++) {
		if (sweep->at + 1 < sweep->options->from ||
		    sweep->at + 1 > sweep->options->to)
			continue;
		point = &path->points[sweep->at];
		path_name_point(point, name, sizeof(name));
		if (was_done(sweep->options, name))
			continue;
		judge_point(sweep, point, name, &result);
		point->verdict = result.verdict;
		printf("@sweep@\tpoint\t%s\t%u\t%s\t%s\t%s\n", name, point->depth,
		       verdict_words[result.verdict],
		       progress_words[result.progress], result.why ?: "");
		verdicts[result.verdict]++;
		sweep->tries = 0;
		sweep->deaths = 0;
	}
	for (i = 0; i < NR_VERDICTS; i++)
		print_count(verdict_words[i], verdicts[i]);
	print_count("points", path->nr_points);
	print_count("functions without a gate", path->nr_no_gate);
	print_count("places that were not recorded", path->nr_missed);
	print_count("schedules", sweep->schedules);
	print_count("milliseconds", (sweep_now_us() - sweep->begin_us) / 1000);
	return verdicts[SHOWS] + verdicts[DIES];
}

/* Finds the path of the operation that is not held, for the second hold. */
static const char *find_path_of_other(struct sweep *sweep)
{
	struct worker *other = &sweep->worker[!sweep->first];
	void (*run)(struct sweep *sweep) = sweep->pair->op[!sweep->first]->run;
	struct path path = sweep->path;
	const char *why;

	sweep->path = sweep->path_of_other;
	why = path_trace(sweep, other, run);
	if (!why)
		why = path_record(sweep, other, run, 1);
	sweep->path_of_other = sweep->path;
	sweep->path = path;
	return why;
}

/*
 * Tries each point at which B ran through, with B held at each point of its own path.
 * Returns how many of these pairs of points show.
 */
static unsigned int sweep_two(struct sweep *sweep)
{
	struct path *path = &sweep->path, *other = &sweep->path_of_other;
	unsigned int verdicts[NR_VERDICTS] = {}, i, j;
	char name[512], first[256], second[256];
	unsigned long long begin = sweep_now_us();
	struct schedule result;

	sweep->schedules = 0;
	for (i = 0; i < path->nr_points; i++) {
		if (path->points[i].verdict != RAN_THROUGH)
			continue;
		path_name_point(&path->points[i], first, sizeof(first));
		for (j = 0; j < other->nr_points; j++) {
			path_name_point(&other->points[j], second, sizeof(second));
			snprintf(name, sizeof(name), "%s\t%s", first, second);
			try_point(sweep, &path->points[i], &other->points[j], name,
				  &result);
			verdicts[result.verdict]++;
			if (result.verdict == SHOWS)
				printf("@sweep@\ttwo\t%s\n", name);
		}
	}
	for (i = 0; i < NR_VERDICTS; i++) {
		snprintf(name, sizeof(name), "two holds: %s", verdict_words[i]);
		print_count(name, verdicts[i]);
	}
	print_count("two holds: schedules", sweep->schedules);
	print_count("two holds: milliseconds", (sweep_now_us() - begin) / 1000);
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

static const char *find_path(struct sweep *sweep, const struct options *options)
{
	struct worker *held = &sweep->worker[sweep->first];
	void (*run)(struct sweep *sweep) = sweep->pair->op[sweep->first]->run;
	unsigned long long begin = sweep_now_us(), traced;
	const char *why;

	if (options->path)
		return path_read(&sweep->path, options->path);
	why = path_trace(sweep, held, run);
	traced = sweep_now_us();
	if (!why)
		why = path_record(sweep, held, run, options->visits);
	if (why)
		return why;
	path_drop_unused(sweep);
	print_count("ms to trace and to put gates", (traced - begin) / 1000);
	print_count("ms to record the path", (sweep_now_us() - traced) / 1000);
	return NULL;
}

/* Finds the path, the outcomes of both orders, and their noise; called once. */
static const char *know(struct sweep *sweep)
{
	const struct pair *pair = sweep->pair;
	const char *why;

	why = find_path(sweep, sweep->options);
	if (!why && sweep->options->two)
		why = find_path_of_other(sweep);
	if (why)
		return why;
	printf("@sweep@\tpair\t%s\t%s\t%s\n", pair->race ?: "",
	       pair->op[sweep->first]->what, pair->op[!sweep->first]->what);
	path_print(&sweep->path);
	/* Ignore messages about first uses, before any overlap. */
	klog_mark();
	klog_poll();
	sweep_count_passes(sweep);
	know_orders(sweep);
	know_noise(sweep);
	if (pair->stage->has_plain)
		try_orders(sweep);
	print_count("orders without an overlap that show", sweep->orders_wrong);
	print_count("runs without an overlap in which the kernel complains", sweep->complaints);
	memset(&sweep->us, 0, sizeof(sweep->us));
	sweep->schedules = 0;
	sweep->begin_us = sweep_now_us();
	return NULL;
}

/* After a thread was killed: gives up unless both orders have their outcomes of before. */
static void look_at_host(struct sweep *sweep)
{
	int order;

	sweep_count_passes(sweep);
	sweep->plain = sweep->pair->stage->has_plain;
	/* The other process knew these lines. */
	if (sweep->complaints) {
		sweep_order(sweep, true);
		sweep_order(sweep, false);
		klog_know();
	}
	for (order = 0; order < 2; order++) {
		sweep_order(sweep, !order);
		if (!is_wrong(sweep))
			continue;
		printf("# the host differs from its state before the sweep\n");
		reference_print_difference(&sweep->reference, &sweep->outcome);
		sweep_give_up(sweep);
	}
	sweep->plain = false;
}

static int run_sweep(struct sweep *sweep)
{
	const struct stage *stage = sweep->pair->stage;
	const char *why = stage->missing();
	unsigned int shows;

	/* The old workers belong to another process, one of whose threads may still run. */
	sweep->worker = calloc(2, sizeof(*sweep->worker));
	TEST_ASSERT(sweep->worker, "no memory");
	sweep->stage = NULL;
	sweep->nr_slowpaths = 0;
	sweep->nr_passes = 0;
	why = why ?: sweep_start(sweep);
	if (!why) {
		klog_mark();
		klog_poll();
		new_vm(sweep);
		if (sweep->begin_us)
			look_at_host(sweep);
		else
			why = know(sweep);
	}
	if (why) {
		printf("# cannot be swept here: %s\n", why);
		return KSFT_SKIP;
	}
	shows = sweep_path(sweep);
	print_times(sweep);
	if (sweep->options->two)
		shows += sweep_two(sweep);
	sweep->leaked += stage->destroy(sweep);
	if (sweep->options->kept)
		keep_gates(sweep, sweep->options->kept);
	print_count("VMs", sweep->vms);
	print_count("VMs with pages that still are referenced", sweep->leaked);
	print_count("interrupts that the emulator repeated", sweep->repeated);
	drain();
	return shows || sweep->orders_wrong || sweep->complaints || sweep->leaked ?
	       KSFT_FAIL : KSFT_PASS;
}

char *read_file(const char *path)
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
	fprintf(stderr,
		"usage: %s -l | -o | [-r] [-b] [-2] [-v VISITS] [-p FROM-TO] [-x FILE] [-t FILE] [-k FILE] RACE|A B\n",
		name);
	return 2;
}

static void allow_files(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	if (limit.rlim_max < MAX_FILES) {
		limit.rlim_cur = MAX_FILES;
		limit.rlim_max = MAX_FILES;
	}
	if (setrlimit(RLIMIT_NOFILE, &limit))
		printf("# files that may be open: %s\n", strerror(errno));
}

int main(int argc, char **argv)
{
	struct options options = { .visits = 3, .to = UINT_MAX };
	const struct pair *pair;
	struct sweep *sweep;
	const char *why = NULL;
	bool swapped = false;
	struct pair made;
	char *text;
	int opt;

	setvbuf(stdout, NULL, _IOLBF, 0);
	allow_files();
	while ((opt = getopt(argc, argv, "lorb2v:p:x:t:k:K")) != -1) {
		switch (opt) {
		case 'l':
			pair_list();
			return 0;
		case 'o':
			pair_list_ops();
			return 0;
		case 'K':
			keep_forever();
			break;
		case 'k':
			options.kept = optarg;
			break;
		case 'r':
			options.reversed = true;
			break;
		case '2':
			options.two = true;
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
		case 't':
			text = read_file(optarg);
			*(opt == 'x' ? &options.done : &options.path) = text;
			if (!text) {
				fprintf(stderr, "%s: cannot read %s\n", argv[0], optarg);
				return 2;
			}
			break;
		default:
			return used_wrongly(argv[0]);
		}
	}
	if (optind + 2 == argc) {
		why = pair_make(argv[optind], argv[optind + 1], &made, &swapped);
		pair = &made;
		options.reversed ^= swapped;
	} else if (optind + 1 == argc) {
		pair = pair_of_race(argv[optind]);
		if (!pair)
			why = "there is no such pair; -l lists them";
	} else {
		return used_wrongly(argv[0]);
	}
	if (why) {
		fprintf(stderr, "%s: %s\n", argv[0], why);
		return 2;
	}
	hostfacts_print();
	sweep = survive_alloc(sizeof(*sweep));
	path_alloc(&sweep->path);
	path_alloc(&sweep->path_of_other);
	sweep->pair = pair;
	sweep->first = options.reversed;
	sweep->reboots = options.reboots;
	sweep->options = &options;
	return survive(sweep, run_sweep);
}
