/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>

#include "lode_link.h"

#include <stdio.h>
#include <stdlib.h>

#define MS LODE_NS_PER_MS

static struct lode_link_trace *parse(const char *text)
{
	struct lode_link_trace *t;
	struct lode_err err = {0};
	cr_assert_eq(lode_link_trace_parse("t", text, strlen(text), &t, &err), 0, "%s", err.msg);
	return t;
}

Test(trace, parses_and_refuses)
{
	struct lode_link_trace *t = parse("0\n3\n3\r\n10");
	cr_assert_eq(t->n, 4);
	cr_assert_eq(t->period_ms, 10);
	free(t);
	static const char *const bad[][2] = {{"", "1 to"}, {"1\nx\n", "t:2"}, {"5\n4\n", "t:2"},
		{"1\n\n2\n", "t:2"}, {"99999999999\n", "t:1"}, {"1 2\n", "t:1"}, {"-1\n", "t:1"}};
	for (size_t i = 0; i < LODE_ARRAY_LEN(bad); i++) {
		struct lode_err err;
		cr_assert_eq(lode_link_trace_parse("t", bad[i][0], strlen(bad[i][0]), &t, &err),
			-EINVAL);
		cr_assert(strstr(err.msg, bad[i][1]), "'%s': %s", bad[i][0], err.msg);
		cr_assert_null(t);
	}
	struct lode_err err;
	cr_assert_eq(lode_link_trace_load("/nonexistent", &t, &err), -ENOENT);
}

/* The emulator mahimahi itself, in its plainest form: each opportunity in turn, byte by byte. */
static uint64_t naive_done_ms(const struct lode_link_trace *t, const uint64_t *arrive_ms,
	const uint32_t *bytes, unsigned n, uint64_t *done_ms)
{
	unsigned head = 0;
	uint32_t sent = 0;
	uint64_t cycle = 0;
	for (uint32_t i = 0; head < n; i++) {
		if (i == t->n) {
			i = 0;
			cycle += t->period_ms;
		}
		uint64_t now = cycle + t->ms[i];
		uint32_t left = LODE_LINK_OPPORTUNITY_BYTES;
		while (left && head < n && arrive_ms[head] <= now) {
			uint32_t take = LODE_MIN(left, bytes[head] - sent);
			left -= take;
			sent += take;
			if (sent == bytes[head]) {
				done_ms[head++] = now;
				sent = 0;
			}
		}
	}
	return done_ms[n - 1];
}

Test(trace, same_as_naive_mahimahi)
{
	struct lode_rng rng;
	enum { N = 400 };
	for (uint64_t seed = 0; seed < 60; seed++) {
		lode_rng_seed(&rng, seed);
		char text[4096];
		size_t len = 0;
		unsigned ms = (unsigned)lode_rng_below(&rng, 3);
		for (int i = 0; i < 100; i++, ms += (unsigned)lode_rng_below(&rng, seed % 7 + 1))
			len += (size_t)sprintf(text + len, "%u\n", ms);
		struct lode_link_trace *t = parse(text);
		uint64_t arrive[N], done[N], at = 0;
		uint32_t bytes[N];
		struct lode_link *l = lode_link_new(
			&(struct lode_link_config){.trace = t, .queue_pkts = N}, seed, 0, NULL);
		unsigned got = 0;
		for (int i = 0; i < N; i++) {
			at += lode_rng_below(&rng, 5) ? 0 : lode_rng_below(&rng, i % 50 ? 8 : 2000);
			arrive[i] = at;
			bytes[i] = 40 + (uint32_t)lode_rng_below(&rng, i % 9 ? 1460 : 9000);
		}
		naive_done_ms(t, arrive, bytes, N, done);
		struct lode_link_out out;
		for (int i = 0; i < N; i++) {
			while (lode_link_pop(l, arrive[i] * MS, &out)) {
				cr_assert_eq(out.handle, got);
				cr_assert_eq(out.due_ns, done[got++] * MS, "seed %lu packet %u",
					seed, got);
			}
			cr_assert_eq(lode_link_push(l, arrive[i] * MS, bytes[i], (uint64_t)i),
				LODE_LINK_OK);
		}
		while (lode_link_pop(l, LODE_NEVER_NS - 1, &out)) {
			cr_assert_eq(out.due_ns, done[got++] * MS, "seed %lu packet %u", seed, got);
		}
		cr_assert_eq(got, N);
		lode_link_free(l);
		free(t);
	}
}

Test(trace, capacity_counts_opportunities)
{
	struct lode_link_trace *t = parse("0\n3\n3\n10");
	cr_assert_eq(lode_link_trace_capacity(t, 0, 10 * MS), 4 * 1500);
	cr_assert_eq(lode_link_trace_capacity(t, 0, 20 * MS), 8 * 1500);
	cr_assert_eq(lode_link_trace_capacity(t, 3 * MS, 4 * MS), 2 * 1500);
	cr_assert_eq(lode_link_trace_capacity(t, 5 * MS, 5 * MS), 0);
	free(t);
}

Test(trace, generated_has_its_mean_and_seed)
{
	struct lode_link_trace_spec spec = {.seed = 3,
		.mean_bps = 20000000,
		.spread = 0.5,
		.length_ms = 30000,
		.gap_every_ms = 5000,
		.gap_ms = 100};
	struct lode_link_trace *a, *b;
	cr_assert_eq(lode_link_trace_make(&spec, &a, NULL), 0);
	cr_assert_eq(lode_link_trace_make(&spec, &b, NULL), 0);
	cr_assert_eq(a->n, 50000);
	cr_assert_eq(a->period_ms, 30000);
	cr_assert_eq(memcmp(a->ms, b->ms, a->n * sizeof(a->ms[0])), 0);
	unsigned longest = 0;
	for (uint32_t i = 1; i < a->n; i++) {
		cr_assert_geq(a->ms[i], a->ms[i - 1]);
		longest = LODE_MAX(longest, a->ms[i] - a->ms[i - 1]);
	}
	cr_assert_gt(longest, 50);
	free(a);
	free(b);
	spec.length_ms = 10;
	struct lode_err err;
	cr_assert_eq(lode_link_trace_make(&spec, &a, &err), -EINVAL);
}

/* A year without packets must not make the link walk through every opportunity. */
Test(trace, long_silence_is_skipped)
{
	struct lode_link_trace *t = parse("1\n2\n3\n4\n5\n");
	struct lode_link *l = lode_link_new(&(struct lode_link_config){.trace = t}, 1, 0, NULL);
	struct lode_link_out out;
	uint64_t year = 365ull * 86400 * LODE_NS_PER_S + 2500000;
	lode_link_push(l, year, 1500, 1);
	cr_assert(lode_link_pop(l, year + MS, &out));
	cr_assert_eq(out.due_ns, year + MS / 2);
	lode_link_free(l);
	free(t);
}

/* Opportunities only inside outages: nothing hangs. */
Test(trace, outage_over_every_opportunity_ends)
{
	struct lode_link_trace *t = parse("10\n");
	struct lode_link_config c = {
		.trace = t, .outage_every_ns = 10 * MS, .outage_for_ns = 10 * MS - 1};
	struct lode_link *l = lode_link_new(&c, 1, 5 * MS, NULL);
	struct lode_link_out out;
	lode_link_push(l, 6 * MS, 1500, 1);
	lode_link_pop(l, 100 * MS, &out);
	lode_link_free(l);
	free(t);
}
