/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The end of a program on top of the kernel's kselftest harness.
 */
#ifndef HARNESS_MAIN_H
#define HARNESS_MAIN_H

/*
 * HARNESS_MAIN - main(), which returns @status
 * @status: an expression with argc and argv
 *
 * What the harness's own main() does first is kept: the cases run in the order of the file.
 */
#define HARNESS_MAIN(status) \
	static void __attribute__((constructor)) \
	__constructor_order_last(void) \
	{ \
		if (!__constructor_order) \
			__constructor_order = _CONSTRUCTOR_ORDER_BACKWARD; \
	} \
	int main(int argc, char **argv) { return (status); }

#endif /* HARNESS_MAIN_H */
