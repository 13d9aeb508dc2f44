/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * main() of a program that uses the kernel's kselftest harness.
 */
#ifndef HARNESS_MAIN_H
#define HARNESS_MAIN_H

/*
 * HARNESS_MAIN - main(), which returns @status
 * @status: an expression with argc and argv
 *
 * Like the harness's own main() it sets the constructor order, so that the cases run in the
 * order of the file.
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
