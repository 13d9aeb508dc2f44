/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Loading and unloading racegate, and another module, for its own tests.
 */
#ifndef RACEGATE_MODULE_H
#define RACEGATE_MODULE_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kselftest.h"

static char module_path[4096];

static inline bool module_loaded(const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "/sys/module/%s/refcnt", name);
	return !access(path, F_OK);
}

/* Returns 0 or -errno. */
static inline int module_load(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int ret;

	if (fd < 0)
		return -errno;
	ret = syscall(SYS_finit_module, fd, "", 0) ? -errno : 0;
	close(fd);
	return ret;
}

/* Returns 0 or -errno; -EAGAIN if the module is in use. */
static inline int module_unload(const char *name)
{
	return syscall(SYS_delete_module, name, O_NONBLOCK) ? -errno : 0;
}

/* Sets module_path to RACEGATE_KO, or to racegate.ko beside this program; 0 or -errno. */
static inline int module_find(void)
{
	const char *path = getenv("RACEGATE_KO");
	char self[4000] = "";

	if (path) {
		snprintf(module_path, sizeof(module_path), "%s", path);
		return 0;
	}
	if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
		return -errno;
	*strrchr(self, '/') = '\0';
	snprintf(module_path, sizeof(module_path), "%s/racegate.ko", self);
	return 0;
}

/*
 * Finds the module, and ends the program as skipped if it cannot be loaded: the
 * harness of 6.1 goes on with a case whose set-up is skipped.
 */
static inline void module_require(void)
{
	int ret = module_find();

	if (ret)
		ksft_exit_fail_msg("readlink /proc/self/exe: %s\n", strerror(-ret));
	if (module_loaded("racegate"))
		return;
	ret = module_load(module_path);
	if (ret)
		ksft_exit_skip("cannot load %s: %s\n", module_path, strerror(-ret));
	module_unload("racegate");
}

#endif /* RACEGATE_MODULE_H */
