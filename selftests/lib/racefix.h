/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The common part of the race tests, on top of the kernel's own kselftest
 * harness: choosing cases, facts about the host, a clean kernel log.
 *
 * Include it in exactly one file of a test program, and end that file with
 * RACEFIX_MAIN().  The program then takes
 *	-l		list the cases
 *	-t CASE		run this case only (may be repeated); a case that can
 *			bring the kernel down runs only if it is named, and so
 *			does "stress"
 *	-s SECONDS	how long "stress" goes on (default 60)
 *	-x		skip all cases after the first that fails
 * and exits with 0 (every case passed or was skipped), 1 (one failed),
 * 2 (used wrongly) or 4 (every case was skipped).
 */
#ifndef RACEFIX_H
#define RACEFIX_H

#include <time.h>

#include "test_util.h"
/* The library and the harness both define ASSERT_EQ; cases use the harness's. */
#undef ASSERT_EQ
#include "harness_main.h"
#include "kselftest_harness.h"

#include "hostfacts.h"
#include "klog.h"
#include "stress.h"

/* The most cases that can be named or timed. */
#define RACEFIX_CASES	64

/* A case of the harness, and its function, in whose place the harness calls racefix_timed(). */
struct racefix_case {
	struct __test_metadata *test;
	void (*fn)(struct __test_metadata *test,
		   struct __fixture_variant_metadata *variant);
};

static struct racefix_case racefix_cases[RACEFIX_CASES];
static unsigned int racefix_nr_cases;

/* The cases named with -t; a destructive case looks itself up here. */
static const char *racefix_named[RACEFIX_CASES];
static unsigned int racefix_nr_named;
static pid_t racefix_pid;
static unsigned int racefix_seconds = 60;
static bool racefix_stops;

/*
 * RACEFIX_ONLY_NAMED - leave a case that was not named with -t
 *
 * The line "# not named: CASE" is for scripts/lab/collect: such a skip says nothing about
 * this host.
 */
#define RACEFIX_ONLY_NAMED(fmt, ...) \
	do { \
		if (!racefix_is_named(_metadata->name)) { \
			ksft_print_msg("not named: %s\n", _metadata->name); \
			SKIP(return, fmt, ##__VA_ARGS__); \
		} \
	} while (0)

/*
 * RACEFIX_DESTRUCTIVE - first line of a case that can kill an unfixed kernel
 * @what: the damage to an unfixed kernel, in a few words
 */
#define RACEFIX_DESTRUCTIVE(what) \
	RACEFIX_ONLY_NAMED("on an unfixed kernel: %s; name it with -t to run it", what)

/*
 * RACEFIX_STRESS - first line of the case "stress", which forces nothing and takes long;
 * pass racefix_seconds to stress_begin()
 * @why: NULL, or the reason why this host has no such race
 */
#define RACEFIX_STRESS(why) \
	do { \
		RACEFIX_ONLY_NAMED("waits for the race instead of forcing it; " \
				   "name it with -t to run it, -s SECONDS"); \
		RACEFIX_REQUIRE(why); \
		RACEFIX_LOG_MARK(); \
	} while (0)

/* RACEFIX_STRESS_END - print how often the race showed; fail if it did */
#define RACEFIX_STRESS_END(stress) \
	do { \
		stress_end(stress); \
		if (!(stress)->tries) \
			SKIP(return, "there was no time for a single try"); \
		EXPECT_EQ(0, (stress)->shown); \
	} while (0)

/*
 * RACEFIX_REQUIRE - leave a case that cannot force anything on this host
 * @why: NULL, or the reason, which names the missing feature
 */
#define RACEFIX_REQUIRE(why) \
	do { \
		const char *__why = (why); \
		if (__why) \
			SKIP(return, "%s", __why); \
	} while (0)

/*
 * RACEFIX_LOG_MARK - count kernel log lines from now on for this case; leave the case if
 * the log cannot be read, for then a warning would not be seen
 */
#define RACEFIX_LOG_MARK() \
	do { \
		int __err = -klog_mark(); \
		if (__err) \
			SKIP(return, "/dev/kmsg cannot be read (%s), and a warning " \
			     "would not be seen: be root, with /dev/kmsg", \
			     strerror(__err)); \
	} while (0)

/* RACEFIX_LOG_CLEAN - fail if the kernel warned or oopsed since klog_mark() */
#define RACEFIX_LOG_CLEAN() racefix_log_clean(_metadata)

static inline void racefix_log_clean(struct __test_metadata *_metadata)
{
	EXPECT_EQ(0, klog_report()) {
		TH_LOG("the kernel complained while this case ran");
	}
}

static inline bool racefix_is_named(const char *name)
{
	unsigned int i;

	for (i = 0; i < racefix_nr_named; i++)
		if (!strcmp(racefix_named[i], name))
			return true;
	return false;
}

/* Takes the cases that were not named out of the harness's list. */
static inline unsigned int racefix_select(void)
{
	struct __fixture_metadata *f;
	struct __test_metadata *t, *next, *kept;
	unsigned int nr = 0;

	for (f = __fixture_list; f; f = f->next) {
		kept = NULL;
		/* The list is circular backwards: head->prev is the last one. */
		for (t = f->tests; t; t = next) {
			next = t->next;
			if (!racefix_is_named(t->name))
				continue;
			t->next = NULL;
			if (!kept) {
				f->tests = t;
				t->prev = t;
			} else {
				kept->next = t;
				t->prev = kept;
				f->tests->prev = t;
			}
			kept = t;
			nr++;
		}
		if (!kept)
			f->tests = NULL;
	}
	return nr;
}

static inline void racefix_list(void)
{
	struct __fixture_metadata *f;
	struct __test_metadata *t;

	for (f = __fixture_list; f; f = f->next)
		for (t = f->tests; t; t = t->next)
			printf("%s\n", t->name);
}

/* Sets racefix_seconds; returns false if @text is not a number from 1 to 86400. */
static inline bool racefix_parse_seconds(const char *text)
{
	unsigned long seconds;
	char *end;

	seconds = strtoul(text, &end, 10);
	if (*end || text[0] < '0' || text[0] > '9' || !seconds || seconds > 86400)
		return false;
	racefix_seconds = seconds;
	return true;
}

/* "stress" takes longer than the harness's timeout; it ends by itself. */
static inline void racefix_give_time(void)
{
	struct __fixture_metadata *f;
	struct __test_metadata *t;

	for (f = __fixture_list; f; f = f->next)
		for (t = f->tests; t; t = t->next)
			if (!strcmp(t->name, "stress"))
				t->timeout += racefix_seconds + 60;
}

/* scripts/lab/collect computes the time of a case from two of these lines. */
static inline void racefix_print_time(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	ksft_print_msg("at %lld.%02ld s\n", (long long)now.tv_sec,
		       now.tv_nsec / 10000000);
}

static inline void racefix_timed(struct __test_metadata *_metadata,
				 struct __fixture_variant_metadata *variant)
{
	unsigned int i;

	racefix_print_time();
	/* The counts are those of the harness's process, of which this is a child. */
	if (racefix_stops && ksft_cnt.ksft_fail)
		SKIP(return, "another case has failed");
	for (i = 0; i < racefix_nr_cases; i++)
		if (racefix_cases[i].test == _metadata)
			racefix_cases[i].fn(_metadata, variant);
}

/* Has each case print the time at which it begins, but for cases beyond RACEFIX_CASES. */
static inline void racefix_time_cases(void)
{
	struct __fixture_metadata *f;
	struct __test_metadata *t;

	for (f = __fixture_list; f; f = f->next)
		for (t = f->tests; t && racefix_nr_cases < RACEFIX_CASES; t = t->next) {
			racefix_cases[racefix_nr_cases].test = t;
			racefix_cases[racefix_nr_cases++].fn = t->fn;
			t->fn = racefix_timed;
		}
}

/*
 * Runs after the last case.  The harness counts a skipped case as passed and exits
 * with 0, but a run in which every case was skipped must not look like a pass.
 */
static inline void racefix_end(void)
{
	if (getpid() != racefix_pid)
		return;
	racefix_print_time();
	if (ksft_cnt.ksft_xskip && !ksft_cnt.ksft_pass && !ksft_cnt.ksft_fail) {
		fflush(stdout);
		_exit(KSFT_SKIP);
	}
}

static inline int racefix_main(int argc, char **argv, void (*before)(void))
{
	int opt;

	while ((opt = getopt(argc, argv, "ls:t:x")) != -1) {
		switch (opt) {
		case 'l':
			racefix_list();
			return 0;
		case 's':
			if (!racefix_parse_seconds(optarg)) {
				fprintf(stderr, "%s: -s takes seconds, 1 to 86400, not '%s'\n",
					argv[0], optarg);
				return 2;
			}
			break;
		case 't':
			if (racefix_nr_named == ARRAY_SIZE(racefix_named)) {
				fprintf(stderr, "%s: too many -t\n", argv[0]);
				return 2;
			}
			racefix_named[racefix_nr_named++] = optarg;
			break;
		case 'x':
			racefix_stops = true;
			break;
		default:
			fprintf(stderr, "usage: %s [-l] [-s SECONDS] [-x] [-t CASE]...\n",
				argv[0]);
			return 2;
		}
	}

	if (racefix_nr_named && racefix_select() != racefix_nr_named) {
		fprintf(stderr, "%s: no such case; -l lists them\n", argv[0]);
		return 2;
	}

	racefix_give_time();
	racefix_time_cases();
	setvbuf(stdout, NULL, _IOLBF, 0);
	hostfacts_print();
	if (before)
		before();
	racefix_pid = getpid();
	atexit(racefix_end);
	return test_harness_run(argc, argv);
}

/* RACEFIX_MAIN - main() of a race test */
#define RACEFIX_MAIN() RACEFIX_MAIN_AFTER(NULL)

/*
 * RACEFIX_MAIN_AFTER - RACEFIX_MAIN with a function to call first
 * @before: void (*)(void), called once before the harness forks the cases
 */
#define RACEFIX_MAIN_AFTER(before) HARNESS_MAIN(racefix_main(argc, argv, before))

#endif /* RACEFIX_H */
