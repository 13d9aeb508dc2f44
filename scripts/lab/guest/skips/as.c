// SPDX-License-Identifier: GPL-2.0-only
/*
 * as UID GID COMMAND... - run it as that user and group, without any other
 *
 * busybox has nothing that takes numbers. Exits with 127 if that cannot be.
 */
#define _GNU_SOURCE
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	if (argc < 4)
		return 127;
	if (setgroups(0, NULL) || setgid(atoi(argv[2])) || setuid(atoi(argv[1]))) {
		perror("as");
		return 127;
	}
	execvp(argv[3], argv + 3);
	perror(argv[3]);
	return 127;
}
