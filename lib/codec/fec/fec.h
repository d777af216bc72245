/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "lode_fec.h"

#include "kernel.h"

#include <isa-l/erasure_code.h>

static inline uint8_t gf_product(const struct lode_fec_tables *t, uint8_t a, uint8_t b)
{
	return a && b ? t->exp[t->log[a] + t->log[b]] : 0;
}

/* A length is coded as its two bytes. */
static inline uint16_t gf_product16(const struct lode_fec_tables *t, uint8_t a, uint16_t b)
{
	return (uint16_t)(gf_product(t, a, (uint8_t)(b >> 8)) << 8 | gf_product(t, a, (uint8_t)b));
}

/* Word by word: an SSE copy between ISA-L's AVX calls costs this CPU family three times the work itself. */
static inline void copy_product(uint8_t *to, const uint8_t *from)
{
	for (unsigned i = 0; i < 32; i += 8) {
		uint64_t word = lode_load_le64(from + i);
		__asm__("" : "+r"(word)); /* not to be made vectors of */
		lode_store_le64(to + i, word);
	}
}

/* to[i] ^= coefficient[i] * from, for n buffers at once; one pass over from. */
static inline void fold(const struct lode_fec_tables *t, unsigned n, const uint8_t *coefficient,
	uint8_t **to, const uint8_t *from, uint16_t len)
{
	uint8_t product[LODE_FEC_OPEN_MAX][32] LODE_CACHE_ALIGNED;
#ifdef __x86_64__
	if (lode_likely(t->gfni)) {
		uint64_t matrix[LODE_FEC_OPEN_MAX];
		for (unsigned i = 0; i < n; i++)
			matrix[i] = t->matrix[coefficient[i]];
		fold_gfni(matrix, n, to, from, len);
		return;
	}
#endif
	for (unsigned i = 0; i < n; i++)
		copy_product(product[i], t->product[coefficient[i]]);
	if (n && len)
		ec_encode_data_update(
			len, 1, (int)n, 0, product[0], (uint8_t *)(uintptr_t)from, to);
}

static inline uint16_t padded(uint16_t symbol_bytes)
{
	return (uint16_t)((symbol_bytes + LODE_CACHE_LINE - 1) / LODE_CACHE_LINE * LODE_CACHE_LINE);
}
