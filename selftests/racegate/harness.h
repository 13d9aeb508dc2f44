/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The common part of racegate's test programs, on top of the kernel's own kselftest
 * harness.  Include it in exactly one file of a program, and end that file with
 * RACEGATE_MAIN().
 */
#ifndef RACEGATE_HARNESS_H
#define RACEGATE_HARNESS_H

#include "harness_main.h"
#include "kselftest_harness.h"
#include "module.h"
#include "racegate_client.h"

/* ASSERT_OK - end the case, and log the error, if a function of the client failed */
#define ASSERT_OK(expr)							\
	do {								\
		long __ok = (expr);					\
									\
		ASSERT_LE(0, __ok) {					\
			TH_LOG("%s: %s", #expr, rg_strerror());		\
		}							\
	} while (0)

/* The program ends as skipped if the module cannot be loaded. */
static inline int racegate_main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	module_require();
	return test_harness_run(argc, argv);
}

/* RACEGATE_MAIN - run the cases */
#define RACEGATE_MAIN() HARNESS_MAIN(racegate_main(argc, argv))

#endif /* RACEGATE_HARNESS_H */
