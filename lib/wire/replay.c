/* SPDX-License-Identifier: BSD-3-Clause */
/* Anti-replay without bit shifting (RFC 6479): a ring of words indexed by the number itself; words that the
 * window slides into are cleared. Twice as many words as the window has, so that the partly used word
 * at either end never collides and the index is a mask. */
#include "lode_wire.h"

#define WORD_MASK (LODE_WIRE_REPLAY_WORDS - 1)

uint64_t lode_wire_replay_expand(const struct lode_wire_replay *r, uint32_t low)
{
	uint64_t expected = r->next;
	uint64_t candidate = (expected & ~(uint64_t)UINT32_MAX) | low;
	uint64_t half = 1ull << 31, whole = 1ull << 32;
	if (candidate + half <= expected)
		return candidate + whole;
	if (candidate > expected + half && candidate >= whole)
		return candidate - whole;
	return candidate;
}

bool lode_wire_replay_check(const struct lode_wire_replay *r, uint64_t number)
{
	if (number >= r->next)
		return true;
	if (r->next - number > LODE_WIRE_REPLAY_BITS)
		return false;
	return !(r->bits[number / 64 & WORD_MASK] >> (number % 64) & 1);
}

bool lode_wire_replay_accept(struct lode_wire_replay *r, uint64_t number)
{
	if (!lode_wire_replay_check(r, number))
		return false;
	if (number >= r->next) {
		uint64_t word = r->next ? (r->next - 1) / 64 : 0;
		uint64_t n_new = LODE_MIN(number / 64 - word, LODE_WIRE_REPLAY_WORDS);
		for (uint64_t i = 1; i <= n_new; i++)
			r->bits[(word + i) & WORD_MASK] = 0;
		r->next = number + 1;
	}
	r->bits[number / 64 & WORD_MASK] |= 1ull << (number % 64);
	return true;
}
