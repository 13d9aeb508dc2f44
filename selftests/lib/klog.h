/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kernel's log since a moment, held against a deny list of warnings and
 * oopses (selftests/lib/log-deny, built in).
 */
#ifndef KLOG_H
#define KLOG_H

/*
 * klog_mark - note where the log ends now, and let every WARN_ONCE() of the
 * kernel and its modules speak again
 *
 * Returns 0, or -errno if /dev/kmsg cannot be read (root can).
 */
int klog_mark(void);

/*
 * klog_report - print the denied lines since klog_mark() as KTAP diagnostics
 *
 * Returns how many there were, or -errno.
 */
int klog_report(void);

/*
 * klog_count - how many lines since klog_mark() match an extended regular
 * expression; nothing is printed
 */
int klog_count(const char *regex);

/*
 * klog_poll - print the denied lines since the last call, or say nothing if it is the
 * first one; looks at new lines only, and so can be called often
 *
 * Returns how many there were, or -errno.
 */
int klog_poll(void);

#endif /* KLOG_H */
