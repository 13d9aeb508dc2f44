// SPDX-License-Identifier: GPL-2.0-only
/*
 * Matches the kernel's log against a deny list; see klog.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <regex.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "klog.h"
#include "kselftest.h"

/* A record of /dev/kmsg is at most this long (CONSOLE_EXT_LOG_MAX). */
#define KLOG_RECORD_MAX	8192
/* How many different lines klog_know() keeps, and how much of each. */
#define KLOG_KNOWN	16
#define KLOG_KNOWN_LEN	128

#define KLOG_DENY(regex)	regex,
#define KLOG_ALLOW(regex)
static const char * const klog_deny[] = {
#include "log-deny.inc"
};

#undef KLOG_DENY
#undef KLOG_ALLOW

#define KLOG_DENY(regex)
#define KLOG_ALLOW(regex)	regex,
static const char * const klog_allow[] = {
#include "log-deny.inc"
};

/* The first record that klog_report() looks at; -1 before klog_mark(). */
static long long klog_first = -1;

/* The text of the next record and its number, or NULL at the end of the log. */
static const char *klog_next(int fd, char *record, long long *seq)
{
	char *text;
	ssize_t n;

	for (;;) {
		n = read(fd, record, KLOG_RECORD_MAX - 1);
		/* EPIPE: records were overwritten; go on with the oldest. */
		if (n < 0 && (errno == EPIPE || errno == EINTR))
			continue;
		if (n <= 0)
			return NULL;
		record[n] = '\0';
		/* "level,seq,usec,flags;text\n KEY=value\n" */
		text = strchr(record, ';');
		if (!text || sscanf(record, "%*u,%lld", seq) != 1)
			continue;
		text[strcspn(text, "\n")] = '\0';
		return text + 1;
	}
}

int klog_mark(void)
{
	char record[KLOG_RECORD_MAX];
	long long seq;
	int fd;

	/* Without debugfs, a WARN_ONCE() that fired before this case stays silent. */
	fd = open("/sys/kernel/debug/clear_warn_once", O_WRONLY);
	if (fd >= 0) {
		if (write(fd, "1", 1) != 1)
			printf("# klog: cannot clear WARN_ONCE state: %s\n",
			       strerror(errno));
		close(fd);
	}

	fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	klog_first = 0;
	while (klog_next(fd, record, &seq))
		klog_first = seq + 1;
	close(fd);
	return 0;
}

/*
 * Regular expressions, compiled at their first use: a warning has 50 lines, and compiling
 * them again for each line takes an emulated CPU half a second.
 */
struct klog_list {
	const char * const *regex;
	size_t nr;
	regex_t *compiled;
};

static struct klog_list klog_denied = { klog_deny, ARRAY_SIZE(klog_deny) };
static struct klog_list klog_allowed = { klog_allow, ARRAY_SIZE(klog_allow) };

static void klog_compile(struct klog_list *list)
{
	size_t i;

	list->compiled = calloc(list->nr, sizeof(*list->compiled));
	if (!list->compiled)
		ksft_exit_fail_msg("klog: no memory\n");
	for (i = 0; i < list->nr; i++)
		if (regcomp(&list->compiled[i], list->regex[i], REG_EXTENDED | REG_NOSUB))
			ksft_exit_fail_msg("klog: not a regular expression: %s\n",
					   list->regex[i]);
}

static bool klog_matches(struct klog_list *list, const char *text)
{
	size_t i;

	if (!list->compiled)
		klog_compile(list);
	for (i = 0; i < list->nr; i++)
		if (!regexec(&list->compiled[i], text, 0, NULL, 0))
			return true;
	return false;
}

/* Counts the lines since the mark that match one of @list and none of @except, or NULL. */
static int klog_scan(struct klog_list *list, struct klog_list *except, bool print)
{
	char record[KLOG_RECORD_MAX];
	const char *text;
	long long seq;
	int fd, hits = 0;

	if (klog_first < 0)
		return -EINVAL;
	fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK);
	if (fd < 0)
		return -errno;

	while ((text = klog_next(fd, record, &seq))) {
		if (seq < klog_first || !klog_matches(list, text) ||
		    (except && klog_matches(except, text)))
			continue;
		hits++;
		if (print)
			printf("# kernel: %s\n", text);
	}

	close(fd);
	return hits;
}

int klog_report(void)
{
	return klog_scan(&klog_denied, &klog_allowed, true);
}

/* Lines that klog_poll() has printed, without numbers, such as the CPU and the PID. */
static char klog_printed[KLOG_KNOWN][KLOG_KNOWN_LEN];
static unsigned int klog_nr_printed, klog_nr_known;

static void klog_strip(const char *text, char *stripped)
{
	size_t len = 0;

	for (; *text && len < KLOG_KNOWN_LEN - 1; text++)
		if (*text < '0' || *text > '9')
			stripped[len++] = *text;
	stripped[len] = '\0';
}

/* Notes the line; is it one that klog_know() has made known? */
static bool klog_is_known(const char *text)
{
	char stripped[KLOG_KNOWN_LEN];
	unsigned int i;

	klog_strip(text, stripped);
	for (i = 0; i < klog_nr_printed; i++)
		if (!strcmp(stripped, klog_printed[i]))
			return i < klog_nr_known;
	if (klog_nr_printed < KLOG_KNOWN)
		strcpy(klog_printed[klog_nr_printed++], stripped);
	return false;
}

void klog_know(void)
{
	klog_nr_known = klog_nr_printed;
}

int klog_poll(void)
{
	static int fd = -1;
	char record[KLOG_RECORD_MAX];
	const char *text;
	long long seq;
	int hits = 0;

	if (fd < 0) {
		fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
		if (fd < 0 || lseek(fd, 0, SEEK_END) < 0)
			return -errno;
		return 0;
	}
	while ((text = klog_next(fd, record, &seq))) {
		if (!klog_matches(&klog_denied, text) ||
		    klog_matches(&klog_allowed, text) || klog_is_known(text))
			continue;
		hits++;
		printf("# kernel: %s\n", text);
	}
	return hits;
}

int klog_count(const char *regex)
{
	struct klog_list list = { &regex, 1 };
	int hits = klog_scan(&list, NULL, false);

	if (list.compiled)
		regfree(&list.compiled[0]);
	free(list.compiled);
	return hits;
}
