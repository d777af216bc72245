/* SPDX-License-Identifier: BSD-3-Clause */
#include "lode_fec.h"

#include <isa-l/erasure_code.h>

void lode_fec_tables_init(struct lode_fec_tables *t)
{
	memset(t, 0, sizeof(*t));
	uint8_t x = 1;
	for (unsigned i = 0; i < 255; i++) {
		t->exp[i] = t->exp[i + 255] = x;
		t->log[x] = (uint8_t)i;
		x = gf_mul(x, 2);
	}
	for (unsigned c = 0; c < 256; c++) {
		gf_vect_mul_init((uint8_t)c, t->product[c]);
		if (c)
			t->inverse[c] = t->exp[255 - t->log[c]];
	}
}
