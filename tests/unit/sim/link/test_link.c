/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>

#include "lode_link.h"

#include <stdlib.h>

#define MS LODE_NS_PER_MS

static struct lode_link *make(const struct lode_link_config *c, uint64_t seed)
{
	struct lode_err err = {0};
	struct lode_link *l = lode_link_new(c, seed, 0, &err);
	cr_assert_not_null(l, "%s", err.msg);
	return l;
}

/* Pushes n packets every gap_ns and takes out what is due on the way; returns the time of the end. */
static uint64_t run(struct lode_link *l, unsigned n, uint32_t bytes, uint64_t gap_ns,
	void (*seen)(void *, const struct lode_link_out *), void *arg)
{
	struct lode_link_out out;
	uint64_t now = 0;
	for (unsigned i = 0; i < n; i++, now += gap_ns) {
		while (lode_link_pop(l, now, &out))
			seen(arg, &out);
		lode_link_push(l, now, bytes, i);
	}
	uint64_t due;
	while ((due = lode_link_next_due_ns(l)) != LODE_NEVER_NS) {
		cr_assert_geq(due + 1, 1);
		now = LODE_MAX(now, due);
		while (lode_link_pop(l, now, &out))
			seen(arg, &out);
	}
	return now;
}

struct tally {
	uint64_t n, lost, copies, corrupt, inversions, bytes, last_handle, last_ns;
	uint64_t min_delay, max_delay, gap_ns;
	uint64_t digest;
};

static void count(void *arg, const struct lode_link_out *out)
{
	struct tally *t = arg;
	t->digest = lode_mix64(t->digest ^ out->handle ^ out->due_ns ^ out->corrupt_bit);
	if (out->fate != LODE_LINK_OK) {
		t->lost++;
		return;
	}
	cr_assert_geq(out->due_ns, t->last_ns);
	t->last_ns = out->due_ns;
	t->inversions += t->n && out->handle < t->last_handle;
	t->last_handle = out->handle;
	t->n++;
	t->bytes += out->bytes;
	t->copies += out->copy;
	t->corrupt += out->corrupt;
	cr_assert(!out->corrupt || out->corrupt_bit < 8 * out->bytes);
	uint64_t delay = out->due_ns - out->handle * t->gap_ns;
	t->min_delay = t->min_delay ? LODE_MIN(t->min_delay, delay) : delay;
	t->max_delay = LODE_MAX(t->max_delay, delay);
}

Test(link, wire_without_limits_is_instant)
{
	struct lode_link *l = make(&(struct lode_link_config){0}, 1);
	struct lode_link_out out;
	cr_assert_eq(lode_link_next_due_ns(l), LODE_NEVER_NS);
	cr_assert_eq(lode_link_push(l, 5, 100, 77), LODE_LINK_OK);
	cr_assert_eq(lode_link_next_due_ns(l), 5);
	cr_assert(lode_link_pop(l, 5, &out));
	cr_assert_eq(out.handle, 77);
	cr_assert_eq(out.due_ns, 5);
	cr_assert_not(lode_link_pop(l, 5, &out));
	lode_link_free(l);
}

Test(link, constant_rate_is_exact)
{
	/* 7 Mbit/s does not divide a second evenly: the fractions must not be lost. */
	struct lode_link *l = make(
		&(struct lode_link_config){
			.rate_bps = 7000000, .delay_ns = 20 * MS, .queue_pkts = 100000},
		1);
	struct tally t = {0};
	uint64_t end = run(l, 70000, 125, 0, count, &t);
	cr_assert_eq(t.n, 70000);
	cr_assert_float_eq((double)(end - 20 * MS), 10e9, 2e3);
	lode_link_free(l);
}

Test(link, next_due_is_never_late)
{
	struct lode_link_config c = {
		.rate_bps = 10000000, .delay_ns = 10 * MS, .jitter_ns = 3 * MS, .reorder = 0.1};
	struct lode_link *by_due = make(&c, 3), *by_tick = make(&c, 3);
	struct tally a = {.gap_ns = MS}, b = {.gap_ns = MS};
	run(by_due, 2000, 1000, MS, count, &a);
	struct lode_link_out out;
	for (uint64_t now = 0; now < 2100 * MS; now += MS / 20) {
		if (now % MS == 0 && now / MS < 2000)
			lode_link_push(by_tick, now, 1000, now / MS);
		while (lode_link_pop(by_tick, now, &out))
			count(&b, &out);
	}
	cr_assert_eq(a.n, 2000);
	cr_assert_eq(a.digest, b.digest, "the result depends on when pop is called");
	lode_link_free(by_due);
	lode_link_free(by_tick);
}

Test(link, jitter_stays_in_its_band_and_keeps_order)
{
	struct lode_link *l =
		make(&(struct lode_link_config){.delay_ns = 10 * MS, .jitter_ns = 4 * MS}, 9);
	struct tally t = {.gap_ns = MS / 10};
	run(l, 100000, 100, MS / 10, count, &t);
	cr_assert_eq(t.n, 100000);
	cr_assert_eq(t.inversions, 0);
	cr_assert_geq(t.min_delay, 6 * MS);
	cr_assert_leq(t.max_delay, 14 * MS);
	cr_assert_lt(t.min_delay, 7 * MS);
	cr_assert_gt(t.max_delay, 13 * MS);
	lode_link_free(l);
}

Test(link, random_loss_duplicates_and_corruption_as_asked)
{
	struct lode_link *l = make(
		&(struct lode_link_config){.loss = 0.03, .duplicate = 0.02, .corrupt = 0.01}, 5);
	struct tally t = {.gap_ns = MS};
	run(l, 200000, 100, MS, count, &t);
	const struct lode_link_stats *s = lode_link_stats(l);
	cr_assert_float_eq((double)s->fate_pkts[LODE_LINK_LOST_RANDOM] / 200000, 0.03, 0.002);
	cr_assert_float_eq((double)t.copies / 194000, 0.02, 0.002);
	cr_assert_float_eq((double)t.corrupt / 194000, 0.01, 0.002);
	cr_assert_eq(t.n, s->fate_pkts[LODE_LINK_OK] + s->duplicated_pkts);
	lode_link_free(l);
}

Test(link, bursts_have_their_length_and_share)
{
	struct lode_link *l = make(&(struct lode_link_config){.loss = 0.05, .burst_pkts = 8}, 11);
	struct lode_link_out out;
	uint64_t lost = 0, bursts = 0, n = 400000;
	bool before = false;
	for (uint64_t i = 0; i < n; i++) {
		bool is_lost = lode_link_push(l, i, 100, i) != LODE_LINK_OK;
		lost += is_lost;
		bursts += is_lost && !before;
		before = is_lost;
		while (lode_link_pop(l, i, &out))
			;
	}
	cr_assert_float_eq((double)lost / (double)n, 0.05, 0.005);
	cr_assert_float_eq((double)lost / (double)bursts, 8, 0.5);
	lode_link_free(l);
}

Test(link, reordering_holds_some_back)
{
	struct lode_link *l = make(
		&(struct lode_link_config){.delay_ns = MS, .reorder = 0.1, .reorder_ns = 5 * MS},
		2);
	struct tally t = {.gap_ns = MS};
	run(l, 10000, 100, MS, count, &t);
	cr_assert_eq(t.n, 10000);
	cr_assert_float_eq((double)lode_link_stats(l)->reordered_pkts, 1000, 100);
	cr_assert_gt(t.inversions, 500);
	cr_assert_eq(t.max_delay, 6 * MS);
	lode_link_free(l);
}

Test(link, droptail_by_packets_and_bytes)
{
	struct lode_link *l =
		make(&(struct lode_link_config){.rate_bps = 8000000, .queue_pkts = 10}, 1);
	for (uint64_t i = 0; i < 20; i++)
		cr_assert_eq(lode_link_push(l, 0, 1000, i),
			i < 11 ? LODE_LINK_OK : LODE_LINK_LOST_QUEUE, "packet %lu", i);
	cr_assert_eq(lode_link_queued_pkts(l), 10);
	cr_assert_eq(lode_link_push(l, MS, 1000, 20), LODE_LINK_OK); /* one has gone */
	lode_link_free(l);

	l = make(&(struct lode_link_config){.rate_bps = 8000000, .queue_bytes = 2500}, 1);
	for (uint64_t i = 0; i < 5; i++)
		cr_assert_eq(
			lode_link_push(l, 0, 1000, i), i < 3 ? LODE_LINK_OK : LODE_LINK_LOST_QUEUE);
	lode_link_free(l);
}

Test(link, codel_keeps_the_queue_short_and_gives_handles_back)
{
	struct lode_link_config c = {.rate_bps = 8000000, .aqm = LODE_LINK_CODEL};
	struct lode_link *l = make(&c, 1);
	struct tally t = {.gap_ns = MS * 9 / 10};
	run(l, 20000, 1000, MS * 9 / 10, count, &t); /* 11 % too much, never backing off */
	cr_assert_gt(t.lost, 1000);
	cr_assert_eq(t.n + t.lost, lode_link_stats(l)->fate_pkts[LODE_LINK_OK]);
	lode_link_free(l);
}

Test(link, outages_hold_packets)
{
	struct lode_link *l = make(&(struct lode_link_config){.rate_bps = 80000000,
					   .outage_every_ns = 1000 * MS,
					   .outage_for_ns = 200 * MS},
		1);
	struct tally t = {.gap_ns = 10 * MS};
	run(l, 500, 1000, 10 * MS, count, &t);
	cr_assert_eq(t.n, 500);
	cr_assert_float_eq((double)t.max_delay, 200.1e6, 0.2e6);
	lode_link_free(l);
}

Test(link, cut_and_mtu)
{
	struct lode_link_config c = {.delay_ns = MS, .mtu_bytes = 1400};
	struct lode_link *l = make(&c, 1);
	struct lode_link_out out;
	cr_assert_eq(lode_link_push(l, 0, 1401, 1), LODE_LINK_LOST_MTU);
	cr_assert_eq(lode_link_push(l, 0, 1400, 2), LODE_LINK_OK);
	c.down = true;
	cr_assert_eq(lode_link_set(l, &c, 0, NULL), 0);
	cr_assert_eq(lode_link_push(l, 0, 100, 3), LODE_LINK_LOST_DOWN);
	cr_assert(lode_link_pop(l, MS, &out) && out.handle == 2);
	lode_link_free(l);
}

Test(link, faster_rate_acts_at_once)
{
	struct lode_link_config c = {.rate_bps = 1000};
	struct lode_link *l = make(&c, 1);
	struct lode_link_out out;
	lode_link_push(l, 0, 1500, 1); /* 12 s at 1 kbit/s */
	lode_link_push(l, 0, 1500, 2);
	c.rate_bps = 12000000;
	cr_assert_eq(lode_link_set(l, &c, 5 * MS, NULL), 0);
	cr_assert(lode_link_pop(l, 7 * MS, &out) && out.handle == 1 && out.due_ns == 6 * MS);
	cr_assert(lode_link_pop(l, 7 * MS, &out) && out.handle == 2 && out.due_ns == 7 * MS);
	lode_link_free(l);
}

Test(link, flush_gives_every_handle_once)
{
	struct lode_link_config c = {.rate_bps = 1000000,
		.delay_ns = 50 * MS,
		.duplicate = 0.5,
		.reorder = 0.3,
		.aqm = LODE_LINK_CODEL};
	struct lode_link *l = make(&c, 4);
	uint8_t seen[300] = {0};
	struct lode_link_out out;
	for (uint64_t i = 0; i < 300; i++)
		lode_link_push(l, i * MS, 400, i);
	for (int i = 0; i < 100 && lode_link_pop(l, 300 * MS, &out); i++)
		seen[out.handle] += !out.copy;
	uint64_t handle;
	while (lode_link_flush(l, &handle))
		seen[handle]++;
	for (int i = 0; i < 300; i++)
		cr_assert_eq(seen[i], 1, "handle %d came %d times", i, seen[i]);
	cr_assert_eq(lode_link_next_due_ns(l), LODE_NEVER_NS);
	lode_link_free(l);
}

Test(link, same_seed_same_digest)
{
	struct lode_link_config c = {.rate_bps = 3000000,
		.delay_ns = 20 * MS,
		.jitter_ns = 5 * MS,
		.loss = 0.05,
		.burst_pkts = 3,
		.reorder = 0.05,
		.duplicate = 0.05,
		.corrupt = 0.05};
	uint64_t digest[3];
	for (int i = 0; i < 3; i++) {
		struct lode_link *l = make(&c, i == 2 ? 8 : 7);
		struct tally t = {.gap_ns = MS};
		run(l, 5000, 500, MS, count, &t);
		digest[i] = t.digest;
		lode_link_free(l);
	}
	cr_assert_eq(digest[0], digest[1]);
	cr_assert_neq(digest[0], digest[2]);
}

Test(config, text_sets_fields_and_says_what_is_wrong)
{
	struct lode_link_config c = {0};
	struct lode_err err;
	cr_assert_eq(lode_link_config_set(&c, "rate", "2.5M", &err), 0);
	cr_assert_eq(c.rate_bps, 2500000);
	cr_assert_eq(lode_link_config_set(&c, "delay", "250us", &err), 0);
	cr_assert_eq(c.delay_ns, 250000);
	cr_assert_eq(lode_link_config_set(&c, "loss", "0.1%", &err), 0);
	cr_assert_float_eq(c.loss, 0.001, 1e-12);
	cr_assert_eq(lode_link_config_set(&c, "aqm", "codel", &err), 0);
	cr_assert_eq(lode_link_config_set(&c, "down", "on", &err), 0);
	cr_assert(c.down && c.aqm == LODE_LINK_CODEL);
	static const char *const bad[][2] = {{"rate", "fast"}, {"rate", "-1M"}, {"rate", "1e400"},
		{"delay", "10"}, {"delay", "10 ms"}, {"loss", "101%"}, {"loss", "nan"},
		{"queue", "99999999999"}, {"aqm", "red"}, {"down", "1"}};
	for (size_t i = 0; i < LODE_ARRAY_LEN(bad); i++) {
		struct lode_link_config before = c;
		cr_assert_eq(lode_link_config_set(&c, bad[i][0], bad[i][1], &err), -EINVAL, "%s=%s",
			bad[i][0], bad[i][1]);
		cr_assert(strstr(err.msg, bad[i][1]), "%s", err.msg);
		cr_assert_eq(memcmp(&before, &c, sizeof(c)), 0);
	}
	cr_assert_eq(lode_link_config_set(&c, "speed", "1", &err), -ENOENT);
	c.jitter_ns = c.delay_ns + 1;
	cr_assert_eq(lode_link_config_check(&c, &err), -EINVAL);
	cr_assert(strstr(err.msg, "jitter"), "%s", err.msg);
	cr_assert_null(lode_link_new(&c, 1, 0, &err));
}
