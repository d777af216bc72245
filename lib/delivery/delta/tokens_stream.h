/* SPDX-License-Identifier: BSD-3-Clause */
/* What the token decoder reads from. */
#pragma once

#include "coders.h"
#include "words.h"

/* Both streams and the states. */
struct token_stream {
	const struct token_tables *tables;
	uint64_t value[N_TOKENS]; /* first residual of a token, raw bits << 32 */
	uint16_t context[256];	  /* of an exponent */
	const uint8_t *words, *words_end;
	const uint8_t *raw;
	size_t raw_bit, raw_bits;
	uint32_t state[RANS_STATES];
};

/* The places of both streams, in registers during the loop. */
struct token_cursor {
	const uint8_t *words;
	size_t raw_bit;
};
