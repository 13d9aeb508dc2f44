/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A posted-interrupt descriptor, as the SDM lays it out: 64 bytes, aligned.
 */
#ifndef PI_DESC_H
#define PI_DESC_H

#include <stdint.h>
#include <linux/compiler.h>

struct pi_desc {
	uint64_t pir[4];
	uint64_t on;		/* bit 0: outstanding notification */
	uint64_t reserved[3];
} __aligned(64);

/* pi_post - set @vector in the PIR, then ON; the caller sends the notification */
static inline void pi_post(struct pi_desc *desc, uint8_t vector)
{
	__atomic_fetch_or(&desc->pir[vector / 64], 1ull << (vector % 64),
			  __ATOMIC_SEQ_CST);
	__atomic_fetch_or(&desc->on, 1, __ATOMIC_SEQ_CST);
}

/* pi_take - clear ON and @vector, as after a notification; returns whether it was posted */
static inline int pi_take(struct pi_desc *desc, uint8_t vector)
{
	uint64_t bit = 1ull << (vector % 64);

	__atomic_fetch_and(&desc->on, ~1ull, __ATOMIC_SEQ_CST);
	return !!(__atomic_fetch_and(&desc->pir[vector / 64], ~bit,
				     __ATOMIC_SEQ_CST) & bit);
}

/* pi_outstanding - is ON set, that is, has no vCPU processed the last post yet? */
static inline int pi_outstanding(struct pi_desc *desc)
{
	return __atomic_load_n(&desc->on, __ATOMIC_SEQ_CST) & 1;
}

#endif /* PI_DESC_H */
