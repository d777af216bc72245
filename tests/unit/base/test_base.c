/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>

#include "lode_base.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

Test(err, keeps_code_and_prefixes)
{
	struct lode_err err;
	cr_assert_eq(lode_err_set(&err, -ERANGE, "port %d: 1..%d allowed", 70000, 65535), -ERANGE);
	cr_assert_eq(lode_err_prefix(&err, "%s:%d", "a.yaml", 3), -ERANGE);
	cr_assert_str_eq(err.msg, "a.yaml:3: port 70000: 1..65535 allowed");
	cr_assert_eq(lode_err_set(NULL, -EIO, "x"), -EIO);
}

Test(rng, first_numbers_of_seed_are_fixed)
{
	struct lode_rng a, b;
	lode_rng_seed(&a, 7);
	lode_rng_seed(&b, 7);
	for (int i = 0; i < 1000; i++)
		cr_assert_eq(lode_rng_u64(&a), lode_rng_u64(&b));
	lode_rng_seed(&b, 8);
	cr_assert_neq(lode_rng_u64(&a), lode_rng_u64(&b));
}

Test(rng, moments)
{
	struct lode_rng r;
	lode_rng_seed(&r, 1);
	double mean = 0, var = 0, expo = 0, unit = 0;
	int n = 200000;
	for (int i = 0; i < n; i++) {
		double x = lode_rng_normal(&r);
		mean += x;
		var += x * x;
		expo += lode_rng_exponential(&r, 3);
		unit += lode_rng_unit(&r);
		cr_assert_lt(lode_rng_below(&r, 10), 10);
	}
	cr_assert_float_eq(mean / n, 0, 0.01);
	cr_assert_float_eq(var / n, 1, 0.02);
	cr_assert_float_eq(expo / n, 3, 0.05);
	cr_assert_float_eq(unit / n, 0.5, 0.005);
}

Test(hist, quantiles_within_a_bucket)
{
	static struct lode_hist h, both;
	cr_assert_eq(lode_hist_quantile(&h, 0.5), 0);
	for (uint64_t v = 1; v <= 100000; v++)
		lode_hist_add(&h, v);
	for (double q = 0.01; q < 1; q += 0.01) {
		double got = (double)lode_hist_quantile(&h, q);
		cr_assert_float_eq(got / (q * 100000), 1, 0.07, "q=%f got %f", q, got);
	}
	cr_assert_eq(lode_hist_quantile(&h, 1), 100000);
	lode_hist_add(&h, UINT64_MAX);
	cr_assert_eq(lode_hist_quantile(&h, 1), UINT64_MAX);
	lode_hist_merge(&both, &h);
	lode_hist_merge(&both, &h);
	cr_assert_eq(both.n, 2 * h.n);
}

Test(hist, buckets_are_monotone_and_in_range)
{
	unsigned last = 0;
	for (int shift = 0; shift < 64; shift++) {
		unsigned b = lode_hist_bucket(1ull << shift);
		cr_assert_geq(b, last);
		cr_assert_lt(b, LODE_HIST_BUCKETS);
		last = b;
	}
	cr_assert_lt(lode_hist_bucket(UINT64_MAX), LODE_HIST_BUCKETS);
}

/* A queue drained at half the rate it is filled: CoDel must keep dropping faster; a short one: never. */
Test(codel, drops_only_a_standing_queue)
{
	struct lode_codel c = {0};
	uint64_t target = 5 * LODE_NS_PER_MS, interval = 100 * LODE_NS_PER_MS, now = LODE_NS_PER_S;
	int drops_first = 0, drops_second = 0;
	for (int ms = 0; ms < 2000; ms++, now += LODE_NS_PER_MS)
		if (lode_codel_drop(&c, now, 20 * LODE_NS_PER_MS, 100000, target, interval))
			(ms < 1000 ? drops_first++ : drops_second++);
	cr_assert_gt(drops_first, 5);
	cr_assert_gt(drops_second, drops_first);
	for (int ms = 0; ms < 1000; ms++, now += LODE_NS_PER_MS)
		cr_assert_not(lode_codel_drop(&c, now, LODE_NS_PER_MS, 100000, target, interval));
}

struct ring_job {
	struct lode_ring *ring;
	uint64_t n;
};

static void *produce(void *arg)
{
	struct ring_job *job = arg;
	for (uint64_t i = 0; i < job->n;)
		if (lode_ring_push(job->ring, &i))
			i++;
	return NULL;
}

Test(ring, two_threads_lose_and_swap_nothing)
{
	struct ring_job job = {lode_ring_new(60, sizeof(uint64_t)), 300000};
	pthread_t thread;
	pthread_create(&thread, NULL, produce, &job);
	for (uint64_t want = 0, got; want < job.n;)
		if (lode_ring_pop(job.ring, &got))
			cr_assert_eq(got, want++);
	pthread_join(thread, NULL);
	lode_ring_free(job.ring);
}

Test(ring, full_refuses_and_counts)
{
	struct lode_ring *r = lode_ring_new(4, 4);
	uint32_t v = 1;
	for (int i = 0; i < 4; i++)
		cr_assert(lode_ring_push(r, &v));
	cr_assert_not(lode_ring_push(r, &v));
	cr_assert_eq(lode_ring_lost(r), 1);
	cr_assert(lode_ring_pop(r, &v));
	cr_assert(lode_ring_push(r, &v));
	lode_ring_free(r);
}

#define DEMO_COUNTERS(X)                                   \
	X(rx_pkts, packets, LODE_INFO, "Packets received") \
	X(bad_tag, packets, LODE_WARN, "Datagrams whose tag did not verify")
LODE_COUNTER_STRUCT(demo_counters, DEMO_COUNTERS);
static LODE_COUNTER_DESCS(demo_descs, DEMO_COUNTERS);

Test(counters, table_and_struct_agree)
{
	struct demo_counters c = {0};
	lode_counter_add(&c.bad_tag, 3);
	cr_assert_eq(LODE_ARRAY_LEN(demo_descs), sizeof(c) / sizeof(uint64_t));
	cr_assert_eq(lode_counter_read(&((uint64_t *)&c)[1]), 3);
	cr_assert_str_eq(demo_descs[1].name, "bad_tag");
	cr_assert_eq(demo_descs[1].severity, LODE_WARN);
}

Test(json, text_that_is_no_utf8_is_replaced)
{
	static const char *const cases[][2] = {
		{"gr\u00fc\u00df \u20ac \U0001F600", "gr\u00fc\u00df \u20ac \U0001F600"},
		{"a\xff", "a\\ufffd"},
		{"cut \xe2\x82", "cut \\ufffd\\ufffd"},
		{"\xc0\xaf", "\\ufffd\\ufffd"},			      /* overlong */
		{"\xed\xa0\x80", "\\ufffd\\ufffd\\ufffd"},	      /* surrogate */
		{"\xf4\x90\x80\x80", "\\ufffd\\ufffd\\ufffd\\ufffd"}, /* beyond U+10FFFF */
		{"\xf0\x9f\"", "\\ufffd\\ufffd\\\""},
	};
	for (size_t i = 0; i < LODE_ARRAY_LEN(cases); i++) {
		char buf[64], want[64];
		struct lode_json j;
		lode_json_begin(&j, buf, sizeof(buf));
		lode_json_string(&j, NULL, cases[i][0]);
		cr_assert_gt(lode_json_end(&j), 0);
		snprintf(want, sizeof(want), "\"%s\"", cases[i][1]);
		cr_assert_str_eq(buf, want);
	}
}

Test(json, nesting_escapes_and_numbers)
{
	char buf[256];
	struct lode_json j;
	lode_json_begin(&j, buf, sizeof(buf));
	lode_json_object(&j, NULL);
	lode_json_string(&j, "na\"me", "a\\b\n");
	lode_json_array(&j, "list");
	lode_json_u64(&j, NULL, UINT64_MAX);
	lode_json_i64(&j, NULL, -1);
	lode_json_double(&j, NULL, 0.1);
	lode_json_double(&j, NULL, 0.0 / 0.0);
	lode_json_close_array(&j);
	lode_json_bool(&j, "yes", true);
	lode_json_close_object(&j);
	cr_assert_gt(lode_json_end(&j), 0);
	cr_assert_str_eq(buf, "{\"na\\\"me\":\"a\\\\b\\u000a\",\"list\":[18446744073709551615,-1,"
			      "0.1,null],\"yes\":true}");
}

Test(json, overflow_is_an_error_at_any_size)
{
	char buf[64];
	for (size_t size = 0; size < 40; size++) {
		struct lode_json j;
		memset(buf, 'x', sizeof(buf));
		lode_json_begin(&j, buf, size);
		lode_json_object(&j, NULL);
		lode_json_string(&j, "key", "a value of some length, longer");
		lode_json_close_object(&j);
		cr_assert_eq(lode_json_end(&j), -ENOSPC);
		cr_assert_eq(buf[size], 'x');
	}
}

Test(share, shares_are_fair_and_whole)
{
	struct lode_rng r;
	lode_rng_seed(&r, 6);
	for (unsigned round = 0; round < 20000; round++) {
		uint32_t demand[16], share[16], rate = 1000 + (uint32_t)lode_rng_below(&r, 1000000);
		unsigned n = 1 + (unsigned)lode_rng_below(&r, 16);
		uint64_t sum = 0, wanted = 0;
		uint32_t least_unmet = UINT32_MAX;
		for (unsigned i = 0; i < n; i++)
			demand[i] = lode_rng_below(&r, 4) ? (uint32_t)lode_rng_below(&r, 200000)
							  : UINT32_MAX;
		lode_share_max_min(rate, demand, n, share);
		for (unsigned i = 0; i < n; i++) {
			sum += share[i];
			wanted += demand[i];
			if (share[i] < demand[i])
				least_unmet = LODE_MIN(least_unmet, share[i]);
		}
		/* All of the rate is given, but for rounding; nobody unmet has less than another has. */
		cr_assert(
			sum <= rate + n && sum + n >= rate, "%lu of %u", (unsigned long)sum, rate);
		for (unsigned i = 0; i < n && least_unmet != UINT32_MAX; i++)
			cr_assert_leq(share[i], least_unmet + 1);
		if (wanted <= rate)
			cr_assert_eq(least_unmet, UINT32_MAX);
	}
}

Test(hex, two_digits_a_byte_and_the_end)
{
	const uint8_t bytes[] = {0x00, 0x0f, 0xa5, 0xff};
	char text[] = "_________!";
	lode_hex(bytes, sizeof(bytes), text);
	cr_assert_str_eq(text, "000fa5ff");
	cr_assert_eq(text[9], '!');
	lode_hex(bytes, 0, text);
	cr_assert_str_eq(text, "");
}
