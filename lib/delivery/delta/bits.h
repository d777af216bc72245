/* SPDX-License-Identifier: BSD-3-Clause */
/* Bit streams, least significant bit first, padded with zeros to a byte. */
#pragma once

#include "bytes.h"

static inline unsigned bit_length(uint32_t v)
{
	return v ? 32u - (unsigned)__builtin_clz(v) : 0;
}

struct bit_writer {
	struct buf *out;
	uint64_t acc;
	unsigned n_bits; /* in acc, below 8 between calls */
};

/* n <= 32; bits of v above n are zero. */
static inline void bits_put(struct bit_writer *w, uint64_t v, unsigned n)
{
	w->acc |= v << w->n_bits;
	w->n_bits += n;
	unsigned whole = w->n_bits / 8;
	put_bytes(w->out, &w->acc, whole);
	w->acc = whole == 8 ? 0 : w->acc >> (8 * whole);
	w->n_bits &= 7;
}

static inline void bits_flush(struct bit_writer *w)
{
	if (w->n_bits)
		put_bytes(w->out, &w->acc, 1);
	w->acc = 0;
	w->n_bits = 0;
}

/* Checked at each bit; for small tables. Beyond the end it reads zeros and bits_end fails. */
struct bit_reader {
	struct view in;
	size_t bit;
};

static inline uint32_t bits_get(struct bit_reader *r, unsigned n)
{
	uint32_t v = 0;
	for (unsigned i = 0; i < n; i++, r->bit++)
		if (r->bit / 8 < view_left(&r->in))
			v |= (uint32_t)(r->in.p[r->bit / 8] >> (r->bit & 7) & 1) << i;
	return v;
}

/* Moves *in behind what was read; false when that is past the end or the padding is not zero. */
static inline bool bits_end(struct bit_reader *r, struct view *in)
{
	size_t n = (r->bit + 7) / 8;
	if (n > view_left(&r->in) || bits_get(r, (unsigned)(8 * n - r->bit)))
		return false;
	in->p += n;
	return true;
}
