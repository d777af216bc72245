/* SPDX-License-Identifier: BSD-3-Clause */
/* The code written down as slowly and plainly as it goes; tests compare the fast version with it. */
#pragma once

#include "lode_fec.h"

uint8_t reference_multiply(uint8_t a, uint8_t b);

/* bytes: room for the longest source. source[i], len[i]: sources first_seq + i. */
void reference_repair(uint8_t id, uint32_t first_seq, unsigned span, const uint8_t *const *source,
	const uint16_t *len, struct lode_fec_repair *out);

/* Sources first_seq .. first_seq + n - 1; source[i] NULL: lost. Solves for all that are lost, with all
 * repairs, byte by byte. to[i] (room for the longest repair) and to_len[i] for each lost i. False: they are not
 * determined. */
bool reference_solve(const struct lode_fec_repair *repairs, unsigned n_repairs, uint32_t first_seq,
	unsigned n, const uint8_t *const *source, const uint16_t *len, uint8_t *const *to,
	uint16_t *to_len);
