// SPDX-License-Identifier: GPL-2.0-only
/*
 * as UID GID COMMAND... - run it as that user and group, without any other
 * as container COMMAND... - run it as root, with the capabilities that Docker leaves it
 *
 * busybox has no command that takes numbers. Exits with 127 if it fails.
 */
#define _GNU_SOURCE
#include <grp.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* From Docker's documentation; all are below 32. */
#define DOCKERS	(1U << CAP_AUDIT_WRITE | 1U << CAP_CHOWN | 1U << CAP_DAC_OVERRIDE | \
		 1U << CAP_FOWNER | 1U << CAP_FSETID | 1U << CAP_KILL | \
		 1U << CAP_MKNOD | 1U << CAP_NET_BIND_SERVICE | 1U << CAP_NET_RAW | \
		 1U << CAP_SETFCAP | 1U << CAP_SETGID | 1U << CAP_SETPCAP | \
		 1U << CAP_SETUID | 1U << CAP_SYS_CHROOT)

/* root gets the bounding set at the next exec. */
static int drop_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { { DOCKERS, DOCKERS, 0 } };
	int cap;

	for (cap = 0; prctl(PR_CAPBSET_READ, cap) >= 0; cap++)
		if ((cap >= 32 || !(DOCKERS >> cap & 1)) && prctl(PR_CAPBSET_DROP, cap))
			return -1;
	return syscall(SYS_capset, &header, data);
}

int main(int argc, char **argv)
{
	int rest = 3, ret;

	if (argc > 2 && !strcmp(argv[1], "container")) {
		rest = 2;
		ret = drop_capabilities();
	} else if (argc > 3) {
		ret = setgroups(0, NULL) || setgid(atoi(argv[2])) || setuid(atoi(argv[1]));
	} else {
		return 127;
	}
	if (ret) {
		perror("as");
		return 127;
	}
	execvp(argv[rest], argv + rest);
	perror(argv[rest]);
	return 127;
}
