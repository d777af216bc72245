/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>

#include "lode_wire.h"

#include <stdlib.h>

/* What the window must do, said plainly: remembers every number. */
struct naive {
	uint8_t *seen;
	uint64_t base, size, next;
};

static bool naive_accept(struct naive *n, uint64_t number)
{
	if (n->next > LODE_WIRE_REPLAY_BITS && number < n->next - LODE_WIRE_REPLAY_BITS)
		return false;
	cr_assert_lt(number - n->base, n->size);
	if (n->seen[number - n->base])
		return false;
	n->seen[number - n->base] = 1;
	n->next = LODE_MAX(n->next, number + 1);
	return true;
}

static uint64_t pick(struct lode_rng *rng, uint64_t next, uint64_t base)
{
	uint64_t back = lode_rng_below(rng, 2 * LODE_WIRE_REPLAY_BITS);
	switch (lode_rng_below(rng, 8)) {
	case 0:
		return next + lode_rng_below(rng, 3 * LODE_WIRE_REPLAY_BITS); /* a jump */
	case 1:
	case 2:
		return next > base + back ? next - back : base; /* late or a replay */
	case 3:
		return next > base + 64 ? next - lode_rng_below(rng, 64) : base;
	default:
		return next;
	}
}

static void compare(uint64_t seed, uint64_t base)
{
	struct lode_wire_replay fast = {0};
	struct naive slow = {.base = base, .size = 1 << 24};
	struct lode_rng rng;
	lode_rng_seed(&rng, seed);
	slow.seen = calloc(slow.size, 1);
	cr_assert(slow.seen);
	lode_wire_replay_accept(&fast, base);
	naive_accept(&slow, base);
	for (int i = 0; i < 5000; i++) {
		uint64_t number = pick(&rng, slow.next, base);
		bool before = lode_wire_replay_check(&fast, number);
		uint64_t expanded = lode_wire_replay_expand(&fast, (uint32_t)number);
		bool want = naive_accept(&slow, number);
		cr_assert_eq(expanded, number);
		cr_assert_eq(before, want);
		cr_assert_eq(lode_wire_replay_accept(&fast, number), want);
		cr_assert_not(lode_wire_replay_accept(&fast, number));
		cr_assert_eq(fast.next, slow.next);
	}
	free(slow.seen);
}

Test(replay, agrees_with_the_naive_window)
{
	for (uint64_t seed = 1; seed <= 8; seed++)
		compare(seed, 0);
}

Test(replay, agrees_where_32_bits_wrap)
{
	for (uint64_t seed = 1; seed <= 4; seed++)
		compare(seed, (1ull << 32) - 3000);
}

Test(replay, empty_window_takes_low_numbers_only_as_such)
{
	struct lode_wire_replay r = {0};
	cr_assert_eq(lode_wire_replay_expand(&r, 0), 0);
	cr_assert_eq(lode_wire_replay_expand(&r, 5), 5);
	cr_assert_eq(lode_wire_replay_expand(&r, UINT32_MAX), UINT32_MAX);
}

Test(replay, expands_to_the_nearest_number)
{
	struct lode_wire_replay r = {.next = 5ull << 32 | 10};
	cr_assert_eq(lode_wire_replay_expand(&r, 9), 5ull << 32 | 9);
	cr_assert_eq(lode_wire_replay_expand(&r, UINT32_MAX), 4ull << 32 | UINT32_MAX);
	r.next = 6ull << 32 | 0xfffffff0;
	cr_assert_eq(lode_wire_replay_expand(&r, 3), 7ull << 32 | 3);
}
