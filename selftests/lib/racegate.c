// SPDX-License-Identifier: GPL-2.0-only
/*
 * racegate for a test program; see racegate_client.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "racegate_client.h"

#define RG_DEVICE	"/dev/racegate"
#define RG_MAX_LABELS	256
#define RG_MAX_THREADS	16
#define RG_LABEL_LEN	160

struct rg_label {
	unsigned int id;	/* of a gate, or of a mark */
	char text[RG_LABEL_LEN];
};

struct rg {
	int fd;
	pthread_mutex_t mutex;	/* for all below */

	struct rg_label gates[RG_MAX_LABELS], marks[RG_MAX_LABELS];
	unsigned int nr_gates, nr_marks;
	struct {
		pid_t tid;
		char name[32];
	} threads[RG_MAX_THREADS];
	unsigned int nr_threads;

	struct rg_event *log;
	size_t nr_log, max_log;
};

static __thread char rg_error[256] = "no error";

const char *rg_strerror(void)
{
	return rg_error;
}

pid_t rg_gettid(void)
{
	return syscall(SYS_gettid);
}

/* @ret is read first: printing may change errno, from which callers compute it. */
#define rg_fail(ret, ...)						\
({									\
	int __ret = (ret);						\
									\
	snprintf(rg_error, sizeof(rg_error), __VA_ARGS__);		\
	__ret;								\
})

int rg_open(struct rg **out)
{
	struct rg *rg;

	*out = NULL;
	rg = calloc(1, sizeof(*rg));
	if (!rg)
		return rg_fail(-ENOMEM, "no memory for a session of racegate");
	rg->fd = open(RG_DEVICE, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (rg->fd < 0) {
		int err = errno;

		free(rg);
		switch (err) {
		case ENOENT:
		case ENXIO:
		case ENODEV:
			return rg_fail(-err, RG_DEVICE " is not there; insmod the racegate.ko that was built for this kernel");
		case EPERM:
		case EACCES:
			return rg_fail(-err, RG_DEVICE " is for root only");
		}
		return rg_fail(-err, "cannot open " RG_DEVICE ": %s",
			       strerror(err));
	}
	pthread_mutex_init(&rg->mutex, NULL);
	*out = rg;
	return 0;
}

int rg_open_armed(struct rg **out, const struct rg_point *points, size_t nr)
{
	int ret = rg_open(out);
	size_t i;

	if (ret < 0)
		return ret;
	for (i = 0; i < nr; i++)
		rg_arm_ours(*out, &points[i]);
	return 0;
}

void rg_keep(const char * const *symbols, size_t nr)
{
	struct rg *rg;
	size_t i;

	if (rg_open(&rg) < 0)
		return;
	/* This thread makes no such call while the cases run in others. */
	for (i = 0; i < nr; i++)
		rg_arm(rg, &(struct rg_point){
			.symbol = symbols[i], .tid = rg_gettid(), .skip = UINT32_MAX });
}

void rg_close(struct rg *rg)
{
	if (!rg)
		return;
	close(rg->fd);
	pthread_mutex_destroy(&rg->mutex);
	free(rg->log);
	free(rg);
}

int rg_fd(struct rg *rg)
{
	return rg->fd;
}

static const char *rg_label(const struct rg_label *labels, unsigned int nr,
			    unsigned int id)
{
	while (nr--)
		if (labels[nr].id == id)
			return labels[nr].text;
	return NULL;
}

/* Drops the oldest label if there is no room. */
static struct rg_label *rg_new_label(struct rg_label *labels, unsigned int *nr)
{
	if (*nr == RG_MAX_LABELS)
		memmove(labels, labels + 1, --*nr * sizeof(*labels));
	return &labels[(*nr)++];
}

static const char *rg_gate_label(struct rg *rg, unsigned int gate)
{
	return rg_label(rg->gates, rg->nr_gates, gate) ?: "a gate";
}

/* Copies the label: another thread may arm a gate meanwhile. */
static void rg_copy_label(struct rg *rg, int gate, char *text)
{
	pthread_mutex_lock(&rg->mutex);
	snprintf(text, RG_LABEL_LEN, "%s", rg_gate_label(rg, gate));
	pthread_mutex_unlock(&rg->mutex);
}

/* The error message of an ioctl on a gate. */
static int rg_gate_failed(struct rg *rg, int gate, const char *verb)
{
	char label[RG_LABEL_LEN];
	int err = errno;

	if (err == ENOENT)
		return rg_fail(-err, "cannot %s gate %d: it is not armed",
			       verb, gate);
	rg_copy_label(rg, gate, label);
	return rg_fail(-err, "cannot %s the gate '%s': %s", verb, label,
		       strerror(err));
}

static bool rg_ftrace_enabled(void)
{
	char value = '1';
	int fd = open("/proc/sys/kernel/ftrace_enabled", O_RDONLY | O_CLOEXEC);

	if (fd >= 0) {
		if (read(fd, &value, 1) != 1)
			value = '1';
		close(fd);
	}
	return value != '0';
}

static bool rg_module_loaded(const char *name)
{
	char path[64 + RG_MODULE_LEN];

	snprintf(path, sizeof(path), "/sys/module/%s/refcnt", name);
	return !access(path, F_OK);
}

static int rg_arm_failed(const struct rg_arm *arm)
{
	int err = errno;

	switch (err) {
	case ENOENT:
		if (*arm->from && !rg_module_loaded(arm->from))
			return rg_fail(-err, "no gate for calls out of '%s': no such module is loaded",
				       arm->from);
		return rg_fail(-err, "no function '%s' in this kernel; if it is a module's, is that loaded?",
			       arm->symbol);
	case EOPNOTSUPP:
		return rg_fail(-err, "'%s' has no entry for ftrace, a gate cannot stand there",
			       arm->symbol);
	case EINVAL:
		return rg_fail(-err, "no gate at '%s': the kernel forbids probes there, or the request is invalid",
			       arm->symbol);
	case EBUSY:
		if (!rg_ftrace_enabled())
			return rg_fail(-err, "no gate at '%s': ftrace is off (sysctl kernel.ftrace_enabled=1)",
				       arm->symbol);
		return rg_fail(-err, "no gate at '%s': another kprobe (tracefs, perf, bpftrace) or a livepatch is on it",
			       arm->symbol);
	case EPERM:
		return rg_fail(-err, "no gate at '%s': the kernel is locked down to confidentiality",
			       arm->symbol);
	case ENOSPC:
		return rg_fail(-err, "no gate at '%s': %d are armed already",
			       arm->symbol, RG_MAX_GATES);
	}
	return rg_fail(-err, "no gate at '%s': %s", arm->symbol, strerror(err));
}

int rg_arm(struct rg *rg, const struct rg_point *point)
{
	struct rg_arm arm = {
		.where = point->where,
		.action = point->action,
		.tid = point->tid,
		.tgid = point->tgid,
		.flags = point->children ? RG_ARM_CHILDREN : 0,
		.skip = point->skip,
		.max_hits = point->max_hits,
		.timeout_us = point->timeout_us,
	};
	struct rg_label *label;

	if (!point->symbol || strlen(point->symbol) >= sizeof(arm.symbol))
		return rg_fail(-EINVAL, "a gate needs the name of a function, shorter than %zu characters",
			       sizeof(arm.symbol));
	strcpy(arm.symbol, point->symbol);
	if (point->from && strlen(point->from) >= sizeof(arm.from))
		return rg_fail(-EINVAL, "'%s' is no name of a module", point->from);
	if (point->from)
		strcpy(arm.from, point->from);
	if (!arm.timeout_us && arm.action == RG_HOLD_SLEEP)
		arm.timeout_us = RG_DEFAULT_SLEEP_US;
	if (!arm.timeout_us && arm.action == RG_HOLD_SPIN)
		arm.timeout_us = RG_DEFAULT_SPIN_US;
	if (ioctl(rg->fd, RG_ARM, &arm))
		return rg_arm_failed(&arm);

	pthread_mutex_lock(&rg->mutex);
	label = rg_new_label(rg->gates, &rg->nr_gates);
	label->id = arm.gate;
	if (point->label)
		snprintf(label->text, sizeof(label->text), "%s", point->label);
	else
		snprintf(label->text, sizeof(label->text), "%s() %s",
			 point->symbol,
			 point->where == RG_ENTRY ? "entered" : "returns");
	pthread_mutex_unlock(&rg->mutex);
	return arm.gate;
}

int rg_arm_ours(struct rg *rg, const struct rg_point *point)
{
	struct rg_point ours = *point;

	if (!ours.tid && !ours.tgid) {
		ours.tgid = getpid();
		ours.children = true;
	}
	return rg_arm(rg, &ours);
}

static unsigned long long rg_now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000ULL + now.tv_nsec / 1000;
}

int rg_wait(struct rg *rg, int gate, unsigned int nth,
	    unsigned long long timeout_us)
{
	unsigned long long now = rg_now_us(), end = now + timeout_us;
	struct rg_wait wait = { .gate = gate, .nth = nth };
	char label[RG_LABEL_LEN];

	do {
		wait.timeout_us = now < end ? end - now : 0;
		if (!ioctl(rg->fd, RG_WAIT, &wait))
			return 0;
		now = rg_now_us();
	} while (errno == EINTR);
	if (errno != ETIMEDOUT)
		return rg_gate_failed(rg, gate, "wait at");
	rg_copy_label(rg, gate, label);
	if (wait.missed)
		return rg_fail(-ETIMEDOUT, "'%s': %u of %u arrived in %llu us, and %u could not be held there",
			       label, wait.arrivals, nth, timeout_us,
			       wait.missed);
	return rg_fail(-ETIMEDOUT, "'%s': %u of %u arrived in %llu us", label,
		       wait.arrivals, nth, timeout_us);
}

int rg_wait_left(struct rg *rg, int gate, unsigned long long timeout_us)
{
	unsigned long long end = rg_now_us() + timeout_us;
	char label[RG_LABEL_LEN];
	struct rg_status status;
	int ret;

	for (;;) {
		ret = rg_status(rg, gate, &status);
		if (ret || !status.held)
			return ret;
		if (rg_now_us() >= end) {
			rg_copy_label(rg, gate, label);
			return rg_fail(-ETIMEDOUT, "'%s' still holds %u after %llu us",
				       label, status.held, timeout_us);
		}
		usleep(1000);
	}
}

static int rg_do_release(struct rg *rg, int gate, unsigned int flags)
{
	struct rg_release release = { .gate = gate, .flags = flags };

	if (ioctl(rg->fd, RG_RELEASE, &release))
		return rg_gate_failed(rg, gate, "release");
	return 0;
}

int rg_release(struct rg *rg, int gate)
{
	return rg_do_release(rg, gate, 0);
}

int rg_step(struct rg *rg, int gate)
{
	return rg_do_release(rg, gate, RG_RELEASE_STAY_CLOSED);
}

int rg_status(struct rg *rg, int gate, struct rg_status *status)
{
	memset(status, 0, sizeof(*status));
	status->gate = gate;
	if (ioctl(rg->fd, RG_STATUS, status))
		return rg_gate_failed(rg, gate, "look at");
	return 0;
}

int rg_disarm(struct rg *rg, int gate)
{
	struct rg_disarm disarm = { .gate = gate };

	if (ioctl(rg->fd, RG_DISARM, &disarm))
		return rg_gate_failed(rg, gate, "disarm");
	return 0;
}

int rg_mark(struct rg *rg, const char *text)
{
	static unsigned int last_id;
	struct rg_mark mark = {};
	struct rg_label *label;

	pthread_mutex_lock(&rg->mutex);
	mark.id = ++last_id;
	label = rg_new_label(rg->marks, &rg->nr_marks);
	label->id = mark.id;
	snprintf(label->text, sizeof(label->text), "%s", text);
	pthread_mutex_unlock(&rg->mutex);
	if (ioctl(rg->fd, RG_MARK, &mark))
		return rg_fail(-errno, "cannot mark '%s': %s", text,
			       strerror(errno));
	return 0;
}

static ssize_t rg_fetch(struct rg *rg)
{
	struct rg_event *log;
	size_t max;
	ssize_t ret;

	for (;;) {
		if (rg->nr_log == rg->max_log) {
			max = rg->max_log ? 2 * rg->max_log : 256;
			log = realloc(rg->log, max * sizeof(*log));
			if (!log)
				return rg_fail(-ENOMEM, "no memory for %zu events", max);
			rg->log = log;
			rg->max_log = max;
		}
		ret = read(rg->fd, rg->log + rg->nr_log,
			   (rg->max_log - rg->nr_log) * sizeof(*rg->log));
		if (ret < 0 && errno == EAGAIN)
			return rg->nr_log;
		if (ret < 0 && errno != EINTR)
			return rg_fail(-errno, "cannot read " RG_DEVICE ": %s",
				       strerror(errno));
		if (ret > 0)
			rg->nr_log += ret / sizeof(*rg->log);
	}
}

ssize_t rg_events(struct rg *rg, const struct rg_event **events)
{
	ssize_t nr;

	pthread_mutex_lock(&rg->mutex);
	nr = rg_fetch(rg);
	*events = rg->log;
	pthread_mutex_unlock(&rg->mutex);
	return nr;
}

int rg_forget(struct rg *rg)
{
	ssize_t nr;

	pthread_mutex_lock(&rg->mutex);
	nr = rg_fetch(rg);
	rg->nr_log = 0;
	pthread_mutex_unlock(&rg->mutex);
	return nr < 0 ? nr : 0;
}

int rg_name_thread(struct rg *rg, pid_t tid, const char *name)
{
	unsigned int i;
	int ret = 0;

	pthread_mutex_lock(&rg->mutex);
	/* The kernel may reuse a tid for another thread of the test. */
	for (i = 0; i < rg->nr_threads && rg->threads[i].tid != tid; i++)
		;
	if (i == RG_MAX_THREADS) {
		ret = rg_fail(-ENOSPC, "a ladder has at most %d columns",
			      RG_MAX_THREADS);
	} else {
		rg->threads[i].tid = tid;
		snprintf(rg->threads[i].name, sizeof(rg->threads[i].name),
			 "%s", name);
		if (i == rg->nr_threads)
			rg->nr_threads++;
	}
	pthread_mutex_unlock(&rg->mutex);
	return ret;
}

#define RG_COLUMN	34	/* characters that a column is wide */
#define RG_TIME		12

struct rg_ladder {
	struct rg *rg;
	pid_t tids[RG_MAX_THREADS];
	unsigned int nr;
	bool crowded;	/* the threads without a column of their own share a last one */
};

static unsigned int rg_last_column(const struct rg_ladder *ladder)
{
	return ladder->crowded ? RG_MAX_THREADS : ladder->nr - 1;
}

/* The thread's column, or RG_MAX_THREADS if it has none of its own. */
static unsigned int rg_column(struct rg_ladder *ladder, pid_t tid)
{
	unsigned int i;

	for (i = 0; i < ladder->nr; i++)
		if (ladder->tids[i] == tid)
			return i;
	if (ladder->nr == RG_MAX_THREADS) {
		ladder->crowded = true;
		return RG_MAX_THREADS;
	}
	ladder->tids[ladder->nr++] = tid;
	return ladder->nr - 1;
}

static void rg_columns(struct rg_ladder *ladder, const struct rg_event *events,
		       size_t nr)
{
	struct rg *rg = ladder->rg;
	unsigned int i;
	size_t e;

	/* Named threads in the order of naming, if they did anything. */
	for (i = 0; i < rg->nr_threads; i++)
		for (e = 0; e < nr; e++)
			if (events[e].tid == rg->threads[i].tid &&
			    events[e].kind != RG_EV_LOST) {
				rg_column(ladder, events[e].tid);
				break;
			}
	for (e = 0; e < nr; e++)
		if (events[e].kind != RG_EV_LOST)
			rg_column(ladder, events[e].tid);
}

static void rg_ladder_head(struct rg_ladder *ladder, FILE *out)
{
	unsigned int i, j, last = rg_last_column(ladder);
	struct rg *rg = ladder->rg;
	char name[32];

	fprintf(out, "# %*s", RG_TIME - 2, "us");
	for (i = 0; i <= last; i++) {
		if (i == RG_MAX_THREADS)
			strcpy(name, "other threads");
		else
			snprintf(name, sizeof(name), "thread %d", ladder->tids[i]);
		for (j = 0; j < rg->nr_threads && i < RG_MAX_THREADS; j++)
			if (rg->threads[j].tid == ladder->tids[i])
				strcpy(name, rg->threads[j].name);
		fprintf(out, "  %-*s", i < last ? RG_COLUMN - 2 : 0, name);
	}
	fprintf(out, "\n# %*s", RG_TIME - 2, "");
	for (i = 0; i <= last; i++)
		fprintf(out, "  %.*s", RG_COLUMN - 2,
			"--------------------------------------------------");
	fputc('\n', out);
}

/* The time that the thread was held, up to the event that ended it. */
static unsigned long long rg_held_us(const struct rg_event *events, size_t e)
{
	const struct rg_event *end = &events[e];

	while (e--)
		if (events[e].kind == RG_EV_HELD && events[e].tid == end->tid &&
		    events[e].gate == end->gate)
			return (end->ns - events[e].ns) / 1000;
	return 0;
}

static void rg_describe(struct rg *rg, const struct rg_event *events, size_t e,
			char *text, size_t size)
{
	const struct rg_event *event = &events[e];
	const char *label = rg_gate_label(rg, event->gate);

	switch (event->kind) {
	case RG_EV_ARRIVE:
		snprintf(text, size, "%s", label);
		break;
	case RG_EV_RETURN:
		snprintf(text, size, "%s = %#llx", label,
			 (unsigned long long)event->args[0]);
		break;
	case RG_EV_HELD:
		if (event->where == RG_RETURN)
			snprintf(text, size, "%s = %#llx [held]", label,
				 (unsigned long long)event->args[0]);
		else
			snprintf(text, size, "%s [held]", label);
		break;
	case RG_EV_RELEASE:
		snprintf(text, size, "[goes on after %llu us]",
			 rg_held_us(events, e));
		break;
	case RG_EV_TIMEOUT:
		snprintf(text, size, "[goes on: nobody came in %llu us]",
			 rg_held_us(events, e));
		break;
	case RG_EV_KILLED:
		snprintf(text, size, "[goes on: killed]");
		break;
	case RG_EV_MISSED:
		snprintf(text, size, "%s [not held: %s]", label,
			 event->reason == RG_MISS_ATOMIC ?
			 "must not sleep" : "no slot is free");
		break;
	case RG_EV_MARK:
		snprintf(text, size, "%s",
			 rg_label(rg->marks, rg->nr_marks, event->gate) ?: "?");
		break;
	default:
		snprintf(text, size, "event %u", event->kind);
	}
}

/* Returns how much of @text fits on a line, broken at a space where there is one. */
static int rg_fold(const char *text, int width)
{
	int len = strlen(text), cut;

	if (len <= width)
		return len;
	for (cut = width; cut > width / 2; cut--)
		if (text[cut] == ' ')
			return cut;
	return width;
}

static void rg_ladder_line(struct rg_ladder *ladder, FILE *out,
			   const struct rg_event *events, size_t e)
{
	unsigned int column, last;
	char text[RG_LABEL_LEN + 96], *rest = text;
	int len = 0;

	if (events[e].kind == RG_EV_LOST) {
		fprintf(out, "# %*s  [%llu events are missing here]\n",
			RG_TIME - 2, "", (unsigned long long)events[e].args[0]);
		return;
	}

	column = rg_column(ladder, events[e].tid);
	last = rg_last_column(ladder);
	if (column == RG_MAX_THREADS)
		len = sprintf(text, "thread %d: ", events[e].tid);
	rg_describe(ladder->rg, events, e, text + len, sizeof(text) - len);
	fprintf(out, "# %*.1f", RG_TIME - 2,
		(events[e].ns - events[0].ns) / 1000.0);
	do {
		len = rg_fold(rest, RG_COLUMN - 2 + (column == last) * RG_COLUMN);
		fprintf(out, "%*s%.*s\n", 2 + column * RG_COLUMN, "", len, rest);
		rest += len;
		while (*rest == ' ')
			rest++;
		if (*rest)
			fprintf(out, "# %*s", RG_TIME - 2, "");
	} while (*rest);
}

/* How many events after @e repeat it: a loop that polls makes hundreds. */
static size_t rg_repeats(const struct rg_event *events, size_t nr, size_t e)
{
	const struct rg_event *first = &events[e];
	size_t i;

	if (first->kind != RG_EV_ARRIVE && first->kind != RG_EV_RETURN)
		return 0;
	for (i = e + 1; i < nr; i++)
		if (events[i].kind != first->kind || events[i].gate != first->gate ||
		    events[i].tid != first->tid ||
		    (first->kind == RG_EV_RETURN && events[i].args[0] != first->args[0]))
			break;
	return i - e - 1;
}

static int rg_print_ladder(struct rg *rg, FILE *out,
			   const struct rg_event *events, size_t nr)
{
	struct rg_ladder ladder = { .rg = rg };
	size_t e, same;

	if (!nr)
		return 0;
	rg_columns(&ladder, events, nr);
	if (ladder.nr)
		rg_ladder_head(&ladder, out);
	for (e = 0; e < nr; e++) {
		rg_ladder_line(&ladder, out, events, e);
		same = rg_repeats(events, nr, e);
		if (same < 3)
			continue;
		fprintf(out, "# %*s  [%zu more of these]\n", RG_TIME - 2, "", same - 1);
		e += same - 1;
	}
	return 0;
}

int rg_ladder_events(struct rg *rg, FILE *out, const struct rg_event *events,
		     size_t nr)
{
	int ret;

	pthread_mutex_lock(&rg->mutex);
	ret = rg_print_ladder(rg, out, events, nr);
	pthread_mutex_unlock(&rg->mutex);
	return ret;
}

int rg_ladder(struct rg *rg, FILE *out)
{
	ssize_t nr;

	pthread_mutex_lock(&rg->mutex);
	nr = rg_fetch(rg);
	if (nr > 0)
		nr = rg_print_ladder(rg, out, rg->log, nr);
	pthread_mutex_unlock(&rg->mutex);
	return nr;
}
