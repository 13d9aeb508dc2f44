// SPDX-License-Identifier: GPL-2.0-only
/*
 * For klog.bats: selftests/lib/klog.c without a kernel's log. Commands come from stdin, one
 * a line:
 *	log TEXT	add a record to the log
 *	lost		the next read finds that records were overwritten
 *	poll		print the result of klog_poll()
 *	know		call klog_know()
 *
 * Linked with --wrap=open, --wrap=lseek and --wrap=read. A socket stands for /dev/kmsg, as
 * each read of it returns one record, too.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "klog.h"

static int log_ends[2];
static bool lost;

int __wrap_open(const char *path, int flags)
{
	return strcmp(path, "/dev/kmsg") ? -1 : log_ends[0];
}

off_t __wrap_lseek(int fd, off_t offset, int whence)
{
	char record[256];

	while (recv(fd, record, sizeof(record), 0) > 0)
		;
	return 0;
}

ssize_t __wrap_read(int fd, void *buf, size_t len)
{
	if (!lost)
		return recv(fd, buf, len, 0);
	lost = false;
	errno = EPIPE;
	return -1;
}

static void add_record(const char *text)
{
	static unsigned int seq;
	char record[256];
	int len;

	len = snprintf(record, sizeof(record), "4,%u,1000,-;%s\n SUBSYSTEM=x\n", seq++, text);
	if (send(log_ends[1], record, len, 0) != len)
		exit(2);
}

int main(void)
{
	char line[256];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, log_ends))
		return 2;
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = '\0';
		if (!strncmp(line, "log ", 4))
			add_record(line + 4);
		else if (!strcmp(line, "lost"))
			lost = true;
		else if (!strcmp(line, "poll"))
			printf("%d\n", klog_poll());
		else if (!strcmp(line, "know"))
			klog_know();
		else
			return 2;
	}
	return 0;
}
