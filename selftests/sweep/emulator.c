// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interrupts that QEMU's SVM delivers twice: VMRUN leaves the vector that it injects where
 * the CPU's loop looks for exceptions, which takes it once more if it is kicked before the
 * next VM-exit.  That exit says so in EXITINTINFO, which is not valid, but has how the last
 * event came: not as an interrupt, but as an exception that has the interrupt's vector.
 * KVM's own injections, first or repeated, come as interrupts.
 *
 * The event kvm_exit has that word.  It has a buffer of its own, and all other exits are
 * filtered out.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "busy.h"

#define INSTANCE	"/sys/kernel/tracing/instances/sweep/"

/*
 * A filter knows no more than bits that are set: an exception's type, 3, has one that an
 * interrupt's, 0, and an NMI's, 2, have not, and no exception has a vector of 0x20 and more.
 */
#define FILTER		"intr_info & 0x100 && intr_info & 0xe0"

static bool put(const char *file, const char *text)
{
	ssize_t n;
	int fd;

	fd = open(file, O_WRONLY);
	if (fd < 0)
		return false;
	n = write(fd, text, strlen(text));
	close(fd);
	return n == (ssize_t)strlen(text);
}

int emulator_watch(void)
{
	/* It stays there for the next sweep of this boot. */
	if ((mkdir(INSTANCE, 0700) && errno != EEXIST) ||
	    !put(INSTANCE "events/kvm/kvm_exit/filter", FILTER) ||
	    !put(INSTANCE "events/kvm/kvm_exit/enable", "1"))
		return -1;
	return open(INSTANCE "trace_pipe", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
}

unsigned int emulator_repeated(int watch)
{
	unsigned int lines = 0;
	char text[1024];
	ssize_t n, i;

	while ((n = read(watch, text, sizeof(text))) > 0)
		for (i = 0; i < n; i++)
			lines += text[i] == '\n';
	return lines;
}
