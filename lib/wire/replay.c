/* SPDX-License-Identifier: BSD-3-Clause */
/* Anti-replay without bit shifting (RFC 6479): a ring of words indexed by the number itself; words that the
 * window slides into are cleared. Twice as many words as the window has, so that the partly used word
 * at either end never collides and the index is a mask. */
#include "lode_wire.h"

void lode_wire_replay_slide(struct lode_wire_replay *r, uint64_t number)
{
	uint64_t word = r->next ? (r->next - 1) / 64 : 0;
	uint64_t n_new = LODE_MIN(number / 64 - word, LODE_WIRE_REPLAY_WORDS);
	for (uint64_t i = 1; i <= n_new; i++)
		r->bits[(word + i) % LODE_WIRE_REPLAY_WORDS] = 0;
}
