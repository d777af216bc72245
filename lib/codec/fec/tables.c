/* SPDX-License-Identifier: BSD-3-Clause */
#include "lode_fec.h"

#include <isa-l/erasure_code.h>

/* Multiplication by c as the bits of vgf2p8affineqb: byte 7 - i holds the input bits that bit i sums up. */
static uint64_t bit_matrix(uint8_t c)
{
	uint64_t matrix = 0;
	for (unsigned i = 0; i < 8; i++)
		for (unsigned j = 0; j < 8; j++)
			if (gf_mul(c, (uint8_t)(1u << j)) >> i & 1)
				matrix |= 1ull << (8 * (7 - i) + j);
	return matrix;
}

static bool has_gfni(void)
{
#ifdef __x86_64__
	return __builtin_cpu_supports("gfni") && __builtin_cpu_supports("avx512f") &&
	       __builtin_cpu_supports("avx512bw");
#else
	return false;
#endif
}

void lode_fec_tables_init(struct lode_fec_tables *t)
{
	memset(t, 0, sizeof(*t));
	t->gfni = has_gfni();
	uint8_t x = 1;
	for (unsigned i = 0; i < 255; i++) {
		t->exp[i] = t->exp[i + 255] = x;
		t->log[x] = (uint8_t)i;
		x = gf_mul(x, 2);
	}
	for (unsigned c = 0; c < 256; c++) {
		gf_vect_mul_init((uint8_t)c, t->product[c]);
		t->matrix[c] = bit_matrix((uint8_t)c);
		if (c)
			t->inverse[c] = t->exp[255 - t->log[c]];
	}
}
