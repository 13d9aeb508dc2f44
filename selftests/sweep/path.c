// SPDX-License-Identifier: GPL-2.0-only
/*
 * The path of an operation through kvm and the vendor module, as points at which
 * racegate can hold it.
 *
 * ftrace says which functions there are on it.  Their order, the returns, the visits
 * as racegate counts them and whether the kernel may sleep there come from a run in
 * which racegate holds the thread at each of them for a moment.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sweep.h"

#define TRACEFS		"/sys/kernel/tracing/"
#define BUFFER_KB	"4096"
#define MAX_FUNCTIONS	400
#define MAX_POINTS	(2 * MAX_FUNCTIONS * 3)
#define MOMENT_US	1

/* Those that the code of kvm calls by a call: others are inlined on some kernels. */
static const char * const locks[] = {
	"_raw_spin_lock", "_raw_spin_lock_irq", "_raw_spin_lock_irqsave",
	"_raw_spin_unlock", "_raw_spin_unlock_irq", "_raw_spin_unlock_irqrestore",
	"_raw_read_lock", "_raw_read_lock_irqsave",
	"_raw_read_unlock", "_raw_read_unlock_irqrestore",
	"_raw_write_lock", "_raw_write_lock_irq", "_raw_write_lock_irqsave",
	"_raw_write_unlock", "_raw_write_unlock_irq",
	"_raw_write_unlock_irqrestore",
	"mutex_lock", "mutex_lock_killable", "mutex_trylock", "mutex_unlock",
	"down_read", "down_write", "up_read", "up_write",
	"__srcu_read_lock", "__srcu_read_unlock",
};

static const char *vendor(void)
{
	return access("/sys/module/kvm_intel", F_OK) ? "kvm_amd" : "kvm_intel";
}

static bool put(const char *file, const char *text, int flags)
{
	char path[128];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), TRACEFS "%s", file);
	fd = open(path, O_WRONLY | flags);
	if (fd < 0)
		return false;
	n = write(fd, text, strlen(text));
	close(fd);
	return n == (ssize_t)strlen(text);
}

static struct function *find_function(struct path *path, const char *name)
{
	unsigned int i;

	for (i = 0; i < path->nr_functions; i++)
		if (!strcmp(strchr(path->functions[i].symbol, ':') + 1, name))
			return &path->functions[i];
	return NULL;
}

/*
 * "  sweep-71  [001] d..1.  12.345678: function <-caller".  The third of the flags
 * is a letter in an interrupt, which is no part of the path.
 */
static void read_line(struct path *path, const char *line)
{
	const char *at = strchr(line, ']');
	char flags[16], name[RG_SYMBOL_LEN - 16];
	struct function *function;

	if (line[0] == '#' || !at ||
	    sscanf(at, "] %15s %*s %111s", flags, name) != 2 ||
	    strlen(flags) < 3 || flags[2] != '.' || find_function(path, name))
		return;
	if (path->nr_functions == MAX_FUNCTIONS) {
		path->nr_no_gate++;
		return;
	}
	function = &path->functions[path->nr_functions++];
	memset(function, 0, sizeof(*function));
	/* Which module it is in turns out when it gets a gate. */
	snprintf(function->symbol, sizeof(function->symbol), "kvm:%s", name);
}

static const char *read_trace(struct path *path)
{
	FILE *file = fopen(TRACEFS "trace", "re");
	char line[512];

	if (!file)
		return "cannot read " TRACEFS "trace";
	while (fgets(line, sizeof(line), file))
		read_line(path, line);
	fclose(file);
	return NULL;
}

static const char *trace_on(pid_t tid)
{
	char text[64];

	if (!put("tracing_on", "0", 0))
		return "no tracefs in " TRACEFS;
	snprintf(text, sizeof(text), ":mod:kvm\n:mod:%s\n", vendor());
	if (!put("set_ftrace_filter", ":mod:kvm\n", O_TRUNC))
		return "ftrace knows no function of kvm";
	snprintf(text, sizeof(text), ":mod:%s\n", vendor());
	if (!put("set_ftrace_filter", text, O_APPEND))
		return "ftrace knows no function of the vendor module";
	snprintf(text, sizeof(text), "%d\n", tid);
	if (!put("set_ftrace_pid", text, O_TRUNC) ||
	    !put("buffer_size_kb", BUFFER_KB, 0) ||
	    !put("trace_clock", "global", 0) ||
	    !put("current_tracer", "function", 0))
		return "this kernel has no function tracer";
	return NULL;
}

static void trace_off(void)
{
	put("tracing_on", "0", 0);
	put("current_tracer", "nop", 0);
	put("set_ftrace_pid", "\n", O_TRUNC);
	put("set_ftrace_filter", "\n", O_TRUNC);
	put("buffer_size_kb", "1", 0);
}

/* A gate for nobody: from here on others there cost no change of code. */
static bool put_gate(struct sweep *sweep, struct function *function)
{
	struct rg_point nobody = {
		.symbol = function->symbol, .tid = NOBODY, .max_hits = 1,
	};
	char name[RG_SYMBOL_LEN];

	function->nobody = rg_arm(sweep->rg, &nobody);
	if (function->nobody != -ENOENT || function->from)
		return function->nobody >= 0;
	snprintf(name, sizeof(name), "%s", strchr(function->symbol, ':') + 1);
	snprintf(function->symbol, sizeof(function->symbol), "%s:%.100s",
		 vendor(), name);
	function->nobody = rg_arm(sweep->rg, &nobody);
	return function->nobody >= 0;
}

static void put_gates(struct sweep *sweep)
{
	struct path *path = &sweep->path;
	unsigned int i, nr = 0;

	for (i = 0; i < path->nr_functions; i++) {
		if (put_gate(sweep, &path->functions[i])) {
			path->functions[nr++] = path->functions[i];
			continue;
		}
		/* A lock operation that this kernel does not have is no loss. */
		if (path->functions[i].from && path->functions[i].nobody == -ENOENT)
			continue;
		printf("# no gate: %s\n", rg_strerror());
		path->nr_no_gate++;
	}
	path->nr_functions = nr;
}

static void add_locks(struct path *path)
{
	struct function *function;
	unsigned int i, from;

	for (i = 0; i < ARRAY_SIZE(locks); i++) {
		for (from = 0; from < 2; from++) {
			if (path->nr_functions == MAX_FUNCTIONS)
				return;
			function = &path->functions[path->nr_functions];
			memset(function, 0, sizeof(*function));
			strcpy(function->symbol, locks[i]);
			function->from = from ? vendor() : "kvm";
			path->nr_functions++;
		}
	}
}

const char *path_trace(struct sweep *sweep, struct worker *worker,
		       void (*run)(struct sweep *sweep))
{
	struct path *path = &sweep->path;
	const char *why;
	int i;

	memset(path, 0, sizeof(*path));
	path->functions = calloc(MAX_FUNCTIONS, sizeof(*path->functions));
	path->points = calloc(MAX_POINTS, sizeof(*path->points));
	TEST_ASSERT(path->functions && path->points, "no memory for a path");

	why = trace_on(worker->tid);
	/* What is done only once or now and then is on one of them. */
	for (i = 0; i < 2 && !why; i++) {
		sweep->pair->stage->fresh(sweep);
		put("trace", "\n", O_TRUNC);
		put("tracing_on", "1", 0);
		worker_call(worker, run);
		put("tracing_on", "0", 0);
		why = read_trace(path);
	}
	trace_off();
	if (!why && !path->nr_functions)
		why = "ftrace saw no function of kvm";
	if (why)
		return why;
	add_locks(path);
	put_gates(sweep);
	return NULL;
}

/* Gates that hold @worker for a moment, at both ends of every function. */
static void arm_path(struct sweep *sweep, struct worker *worker,
		     unsigned int visits)
{
	struct path *path = &sweep->path;
	struct function *function;
	unsigned int i, where;

	for (i = 0; i < path->nr_functions; i++) {
		function = &path->functions[i];
		for (where = RG_ENTRY; where <= RG_RETURN; where++)
			function->gate[where] = rg_arm(sweep->rg, &(struct rg_point){
				.symbol = function->symbol, .where = where,
				.from = function->from, .tid = worker->tid,
				.action = RG_HOLD_SLEEP, .timeout_us = MOMENT_US,
				.max_hits = visits });
	}
}

static void disarm_path(struct sweep *sweep)
{
	struct path *path = &sweep->path;
	unsigned int i, where;

	for (i = 0; i < path->nr_functions; i++)
		for (where = RG_ENTRY; where <= RG_RETURN; where++)
			if (path->functions[i].gate[where] >= 0)
				rg_disarm(sweep->rg, path->functions[i].gate[where]);
}

static struct function *function_of(struct path *path, unsigned int gate,
				    unsigned int where)
{
	unsigned int i;

	for (i = 0; i < path->nr_functions; i++)
		if (path->functions[i].gate[where] == (int)gate)
			return &path->functions[i];
	return NULL;
}

static unsigned int visits_so_far(const struct path *path,
				  const struct function *function,
				  unsigned int where)
{
	unsigned int i, nr = 0;

	for (i = 0; i < path->nr_points; i++)
		nr += path->points[i].function == function &&
		      path->points[i].where == where;
	return nr;
}

static void add_point(struct path *path, const struct rg_event *event,
		      unsigned int *depth)
{
	struct function *function;
	struct point *point;

	if (event->kind != RG_EV_HELD && event->kind != RG_EV_MISSED)
		return;
	function = function_of(path, event->gate, event->where);
	if (!function)
		return;
	if (path->nr_points == MAX_POINTS ||
	    (event->kind == RG_EV_MISSED && event->reason != RG_MISS_ATOMIC)) {
		path->nr_missed++;
		return;
	}
	if (event->where == RG_RETURN && *depth)
		--*depth;
	point = &path->points[path->nr_points];
	memset(point, 0, sizeof(*point));
	point->function = function;
	point->where = event->where;
	point->visit = visits_so_far(path, function, event->where) + 1;
	point->depth = *depth;
	point->atomic = event->kind == RG_EV_MISSED;
	path->nr_points++;
	if (event->where == RG_ENTRY)
		++*depth;
}

const char *path_record(struct sweep *sweep, struct worker *worker,
			void (*run)(struct sweep *sweep), unsigned int visits)
{
	struct path *path = &sweep->path;
	const struct rg_event *events;
	unsigned int depth = 0;
	ssize_t nr, i;

	sweep->pair->stage->fresh(sweep);
	arm_path(sweep, worker, visits);
	rg_forget(sweep->rg);
	worker_call(worker, run);
	nr = rg_events(sweep->rg, &events);
	path->nr_points = 0;
	path->nr_missed = 0;
	for (i = 0; i < nr; i++) {
		if (events[i].kind == RG_EV_LOST)
			path->nr_missed += events[i].args[0] / 2;
		add_point(path, &events[i], &depth);
	}
	disarm_path(sweep);
	rg_forget(sweep->rg);
	return path->nr_points ? NULL : "no function on the path could be given a gate";
}

void path_drop_unused(struct sweep *sweep)
{
	struct path *path = &sweep->path;
	struct function *function;
	unsigned int i;

	for (i = 0; i < path->nr_functions; i++) {
		function = &path->functions[i];
		if (!function->from || function->nobody < 0 ||
		    visits_so_far(path, function, RG_ENTRY))
			continue;
		rg_disarm(sweep->rg, function->nobody);
		function->nobody = -1;
	}
}
