/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Matches the kernel's log since klog_mark() against a deny list of warnings and
 * oopses (selftests/lib/log-deny, compiled in).
 */
#ifndef KLOG_H
#define KLOG_H

/*
 * klog_mark - note where the log ends now, and re-enable every WARN_ONCE() of
 * the kernel and its modules
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
 * klog_poll - print the denied lines since the last call; the first call prints none
 *
 * It reads new lines only, and so can be called often.
 *
 * Returns how many there were, or -errno.
 */
int klog_poll(void);

/*
 * klog_know - have klog_poll() pass over lines that it has printed so far, whatever numbers
 * are in them
 */
void klog_know(void);

#endif /* KLOG_H */
