// SPDX-License-Identifier: GPL-2.0-only
/*
 * The path of an operation through kvm and the vendor module, as points at which
 * racegate can hold it.
 *
 * ftrace finds the functions on the path.  Their order, the returns, and the visits as
 * racegate counts them come from runs with gates at all of them; whether the kernel may
 * sleep there comes from a run in which racegate holds the thread at each for a moment.
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

/* The lock operations that kvm calls as functions: some kernels inline others. */
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

static bool is_lock(const char *name)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(locks); i++)
		if (!strcmp(locks[i], name))
			return true;
	return false;
}

/* Finds a function of kvm or the vendor module, or, with @from, a lock operation. */
static struct function *find_function(struct path *path, const char *name,
				      const char *from)
{
	struct function *function = path->functions;
	const char *symbol;
	unsigned int i;

	for (i = 0; i < path->nr_functions; i++, function++) {
		symbol = strchr(function->symbol, ':');
		if (!strcmp(symbol ? symbol + 1 : function->symbol, name) &&
		    !from == !function->from &&
		    (!from || !strcmp(from, function->from)))
			return function;
	}
	return NULL;
}

static struct function *add_function(struct path *path)
{
	struct function *function;

	if (path->nr_functions == MAX_FUNCTIONS) {
		path->nr_no_gate++;
		return NULL;
	}
	function = &path->functions[path->nr_functions++];
	memset(function, 0, sizeof(*function));
	return function;
}

/*
 * Adds a lock operation if a function on the path calls it.  To arm gates at the others, and to
 * disarm them, took 28 s of each sweep on an emulated CPU.
 */
static void add_lock(struct path *path, const char *name, char *caller)
{
	const char * const modules[] = { "kvm", vendor() };
	struct function *function;
	unsigned int i;
	char *cold;

	/* The compiler moves unlikely code out of the function. */
	cold = strstr(caller, ".cold");
	if (cold)
		*cold = '\0';
	if (!find_function(path, caller, NULL))
		return;
	for (i = 0; i < ARRAY_SIZE(modules); i++) {
		if (find_function(path, name, modules[i]))
			continue;
		function = add_function(path);
		if (!function)
			return;
		strcpy(function->symbol, name);
		function->from = modules[i];
	}
}

/*
 * Parses "  sweep-71  [001] d..1.  12.345678: function <-caller".  The third flag is not
 * "." in an interrupt, whose functions are not part of the path.
 */
static void read_line(struct path *path, const char *line)
{
	const char *at = strchr(line, ']');
	char flags[16], name[RG_SYMBOL_LEN - 16], caller[RG_SYMBOL_LEN - 16];
	struct function *function;

	if (line[0] == '#' || !at ||
	    sscanf(at, "] %15s %*s %111s <-%111s", flags, name, caller) != 3 ||
	    strlen(flags) < 3 || flags[2] != '.')
		return;
	if (is_lock(name)) {
		add_lock(path, name, caller);
		return;
	}
	if (find_function(path, name, NULL))
		return;
	function = add_function(path);
	/* path_put_gate() changes the module to the vendor's if it is not kvm. */
	if (function)
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

/* Is "function [module]", or "function" alone, to be traced? */
static bool is_traced(const char *line)
{
	char name[RG_SYMBOL_LEN], module[64];
	int words = sscanf(line, "%127s [%63[^]]", name, module);

	if (words == 1)
		return is_lock(name);
	return words == 2 && (!strcmp(module, "kvm") || !strcmp(module, vendor()));
}

/*
 * Has an earlier sweep set the filter?  One of somebody else mostly begins with another function;
 * without one the file begins with a comment.
 */
static bool filter_is_set(void)
{
	FILE *filter = fopen(TRACEFS "set_ftrace_filter", "re");
	bool is_set = false;
	char line[512];

	if (!filter)
		return false;
	if (fgets(line, sizeof(line), filter))
		is_set = is_traced(line);
	fclose(filter);
	return is_set;
}

/*
 * Sets the filter, by the numbers of functions: for each name the kernel would compare
 * the names of all its functions.  The filter stays, as reading the list takes an
 * emulated CPU 9 s.
 */
static const char *set_filter(void)
{
	FILE *functions;
	unsigned int nr = 0, traced = 0;
	char line[512], number[16];
	int filter, len;

	if (filter_is_set())
		return NULL;
	functions = fopen(TRACEFS "available_filter_functions", "re");
	filter = open(TRACEFS "set_ftrace_filter", O_WRONLY | O_TRUNC | O_CLOEXEC);
	while (functions && filter >= 0 && fgets(line, sizeof(line), functions)) {
		nr++;
		if (!is_traced(line))
			continue;
		len = snprintf(number, sizeof(number), "%u\n", nr);
		traced += write(filter, number, len) == len;
	}
	if (functions)
		fclose(functions);
	if (filter >= 0)
		close(filter);
	return traced ? NULL : "ftrace knows no function of kvm";
}

static const char *trace_on(pid_t tid)
{
	const char *why;
	char text[64];

	if (!put("tracing_on", "0", 0))
		return "no tracefs in " TRACEFS;
	why = set_filter();
	if (why)
		return why;
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
	put("buffer_size_kb", "1", 0);
}

bool path_put_gate(struct sweep *sweep, struct function *function)
{
	struct rg_point nobody = {
		.symbol = function->symbol, .tid = NOBODY, .max_hits = 1,
	};
	char name[RG_SYMBOL_LEN];

	if (function->nobody > 0)
		return true;
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
		if (path_put_gate(sweep, &path->functions[i])) {
			path->functions[nr++] = path->functions[i];
			continue;
		}
		/* Do not report lock operations that this kernel does not have. */
		if (path->functions[i].from && path->functions[i].nobody == -ENOENT)
			continue;
		printf("# no gate: %s\n", rg_strerror());
		path->nr_no_gate++;
	}
	path->nr_functions = nr;
}

void path_alloc(struct path *path)
{
	path->functions = survive_alloc(MAX_FUNCTIONS * sizeof(*path->functions));
	path->points = survive_alloc(MAX_POINTS * sizeof(*path->points));
}

const char *path_trace(struct sweep *sweep, struct worker *worker,
		       void (*run)(struct sweep *sweep))
{
	struct path *path = &sweep->path;
	const char *why;
	int i;

	why = trace_on(worker->tid);
	/* Trace two runs, as a single one may lack functions that are called now and then. */
	for (i = 0; i < 2 && !why; i++) {
		sweep_fresh(sweep);
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
	put_gates(sweep);
	return NULL;
}

/* Arms gates at entry and return of every function. */
static void arm_path(struct sweep *sweep, struct worker *worker,
		     unsigned int action, unsigned int skip, unsigned int visits)
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
				.action = action,
				.timeout_us = action == RG_RECORD ? 0 : MOMENT_US,
				.skip = skip, .max_hits = visits });
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

	function = function_of(path, event->gate, event->where);
	if (!function)
		return;
	switch (event->kind) {
	case RG_EV_HELD:
	case RG_EV_ARRIVE:
	case RG_EV_RETURN:
		break;
	case RG_EV_MISSED:
		if (event->reason == RG_MISS_ATOMIC)
			break;
		path->nr_missed++;
		return;
	default:
		return;
	}
	if (path->nr_points == MAX_POINTS) {
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

/* Collects the points of one run, with gates that hold, or that only record. */
static void record_once(struct sweep *sweep, struct worker *worker,
			void (*run)(struct sweep *sweep), unsigned int action,
			unsigned int visits)
{
	struct path *path = &sweep->path;
	const struct rg_event *events;
	unsigned int depth = 0;
	ssize_t nr, i;

	sweep_fresh(sweep);
	arm_path(sweep, worker, action, 0, visits);
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
}

static bool is_atomic(const struct point *points, unsigned int nr,
		      const struct point *like)
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		if (points[i].function == like->function &&
		    points[i].where == like->where && points[i].visit == like->visit)
			return points[i].atomic;
	return false;
}

/* Drops points that a run without recording does not pass. */
static void drop_detours(struct sweep *sweep, struct worker *worker,
			 void (*run)(struct sweep *sweep))
{
	struct path *path = &sweep->path;
	struct rg_status status;
	unsigned int i, nr = 0;
	int gate;

	sweep_fresh(sweep);
	arm_path(sweep, worker, RG_RECORD, ~0u, 0);
	worker_call(worker, run);
	for (i = 0; i < path->nr_points; i++) {
		gate = path->points[i].function->gate[path->points[i].where];
		if (!rg_status(sweep->rg, gate, &status) &&
		    status.hits < path->points[i].visit)
			continue;
		path->points[nr++] = path->points[i];
	}
	path->nr_points = nr;
	disarm_path(sweep);
	rg_forget(sweep->rg);
}

/*
 * The first run, with a short hold at each point, finds where the kernel may sleep; the
 * second one finds the path.  For each event racegate interrupts its own CPU, which may
 * add VM-exits to the path: a third run only counts visits, and records no events.
 */
const char *path_record(struct sweep *sweep, struct worker *worker,
			void (*run)(struct sweep *sweep), unsigned int visits)
{
	struct path *path = &sweep->path;
	unsigned int nr_held, i;
	struct point *held;

	record_once(sweep, worker, run, RG_HOLD_SLEEP, visits);
	nr_held = path->nr_points;
	held = calloc(MAX_POINTS, sizeof(*held));
	TEST_ASSERT(held, "no memory for a path");
	memcpy(held, path->points, nr_held * sizeof(*held));
	record_once(sweep, worker, run, RG_RECORD, visits);
	drop_detours(sweep, worker, run);
	for (i = 0; i < path->nr_points; i++)
		path->points[i].atomic = is_atomic(held, nr_held, &path->points[i]);
	free(held);
	return path->nr_points ? NULL : "no function on the path could be given a gate";
}

static const char * const where_words[] = { "entry", "return" };

void path_name_point(const struct point *point, char *text, size_t size)
{
	snprintf(text, size, "%s%s%s\t%s\t%u", point->function->symbol,
		 point->function->from ? "<" : "", point->function->from ?: "",
		 where_words[point->where], point->visit);
}

void path_print(const struct path *path)
{
	const struct point *point;
	char name[256];
	unsigned int i;

	for (i = 0; i < path->nr_points; i++) {
		point = &path->points[i];
		path_name_point(point, name, sizeof(name));
		printf("@sweep@\tpath\t%s\t%u\t%u\n", name, point->depth,
		       point->atomic);
	}
}

/* Finds or adds the function of "kvm:function" or "_raw_spin_lock<kvm". */
static struct function *function_by_text(struct path *path, const char *text)
{
	const char *from = strchr(text, '<');
	size_t len = from ? (size_t)(from - text) : strlen(text);
	struct function *function = path->functions;
	unsigned int i;

	for (i = 0; i < path->nr_functions; i++, function++)
		if (!strncmp(function->symbol, text, len) && !function->symbol[len] &&
		    !from == !function->from &&
		    (!from || !strcmp(function->from, from + 1)))
			return function;
	if (len >= sizeof(function->symbol) || path->nr_functions == MAX_FUNCTIONS)
		return NULL;
	path->nr_functions++;
	memcpy(function->symbol, text, len);
	if (from)
		function->from = strcmp(from + 1, "kvm") ? vendor() : "kvm";
	return function;
}

const char *path_read(struct path *path, const char *text)
{
	unsigned int where, visit, depth, atomic;
	char name[256], where_word[16];
	struct function *function;
	const char *line;

	for (line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (sscanf(line, "@sweep@ path %255s %15s %u %u %u", name, where_word,
			   &visit, &depth, &atomic) != 5)
			continue;
		where = !strcmp(where_word, where_words[RG_RETURN]);
		function = function_by_text(path, name);
		if (!function || path->nr_points == MAX_POINTS)
			return "the path is too long";
		path->points[path->nr_points++] = (struct point){
			.function = function, .where = where, .visit = visit,
			.depth = depth, .atomic = atomic };
	}
	return path->nr_points ? NULL : "there is no path in the file";
}

void path_drop_unused(struct sweep *sweep)
{
	struct path *path = &sweep->path;
	struct function *function;
	unsigned int i;

	for (i = 0; i < path->nr_functions; i++) {
		function = &path->functions[i];
		if (!function->from || function->nobody <= 0 ||
		    visits_so_far(path, function, RG_ENTRY))
			continue;
		rg_disarm(sweep->rg, function->nobody);
		function->nobody = 0;
	}
}
