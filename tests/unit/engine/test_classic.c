/* SPDX-License-Identifier: BSD-3-Clause */
/* The classic controller on a fluid link: a rate, a round trip, a queue that loses what does not fit. */
#include <criterion/criterion.h>

#include "lode_engine.h"

#include <math.h>

#define MS   LODE_NS_PER_MS
#define STEP (20 * MS)

struct fluid {
	double rate_bps, rtt_ms, buffer_ms;
	double noise; /* share lost at random */
	bool limited; /* the application offers nothing */
};

struct trial {
	uint64_t state[LODE_CC_STATE_BYTES / 8];
	struct lode_cc_decision d;
	uint64_t now_ns;
	double queue_bytes, sent_before;
	double sent, delivered, lost; /* all time, bytes */
};

static void start(struct trial *t, uint64_t configured_bps)
{
	memset(t, 0, sizeof(*t));
	struct lode_cc_params params = {.configured_bps = configured_bps};
	lode_cc_classic.init(t->state, &params, 0, &t->d);
}

/* One report interval: the sender obeys pacing and window, the queue takes the rest. */
static void step(struct trial *t, const struct fluid *f)
{
	double dt = (double)STEP / 1e9, capacity = f->rate_bps / 8 * dt;
	double pipe = t->sent_before / dt * f->rtt_ms / 1e3;
	double want = (double)t->d.pacing_bps / 8 * dt;
	double room = (double)t->d.cwnd_bytes - pipe - t->queue_bytes;
	double send = f->limited ? 0.01 * capacity : LODE_MAX(LODE_MIN(want, room + capacity), 0);
	double before = t->queue_bytes;
	double arrive = before + send, out = LODE_MIN(arrive, capacity);
	double buffer = f->buffer_ms / 1e3 * f->rate_bps / 8, left = arrive - out;
	double drop = LODE_MAX(left - buffer, 0) + f->noise * out;
	t->queue_bytes = LODE_MIN(left, buffer);
	t->now_ns += STEP;
	t->sent += send;
	t->sent_before = LODE_MIN(send, capacity);
	t->delivered += out * (1 - f->noise);
	t->lost += drop;
	double ns_per_byte = 8e9 / f->rate_bps;
	struct lode_cc_interval in = {.now_ns = t->now_ns,
		.elapsed_ns = STEP,
		.sent_bytes = (uint64_t)send,
		.delivered_bytes = (uint64_t)(out * (1 - f->noise)),
		.delivered_pkts = (uint32_t)(out / 1500),
		.lost_pkts = (uint32_t)lround(drop / 1500),
		.rtt_ns = (uint64_t)(f->rtt_ms * 1e6),
		.min_rtt_ns = (uint64_t)(f->rtt_ms * 1e6),
		.queue_min_ns = (uint64_t)(LODE_MIN(before, t->queue_bytes) * ns_per_byte),
		.queue_last_ns = (uint64_t)(t->queue_bytes * ns_per_byte),
		.inflight_bytes = (uint64_t)(pipe + t->queue_bytes),
		.app_limited = f->limited};
	lode_cc_classic.on_feedback(t->state, &in, &t->d);
}

static void run(struct trial *t, const struct fluid *f, double seconds)
{
	for (uint64_t end = t->now_ns + (uint64_t)(seconds * 1e9); t->now_ns < end;)
		step(t, f);
}

static double utilisation(struct trial *t, const struct fluid *f, double seconds)
{
	double before = t->delivered;
	run(t, f, seconds);
	return (t->delivered - before) * 8 / (f->rate_bps * seconds);
}

Test(classic, fills_links_of_any_speed_with_a_short_queue)
{
	static const double mbps[] = {1, 10, 100, 1000};
	for (size_t i = 0; i < LODE_ARRAY_LEN(mbps); i++) {
		struct fluid f = {.rate_bps = mbps[i] * 1e6, .rtt_ms = 40, .buffer_ms = 1000};
		struct trial t;
		start(&t, 0);
		run(&t, &f, 5);
		cr_assert_gt(utilisation(&t, &f, 10), 0.95, "%g Mbit/s", mbps[i]);
		double queue_ms = t.queue_bytes * 8e3 / f.rate_bps;
		cr_assert_lt(
			queue_ms, mbps[i] > 5 ? 25 : 60, "%g Mbit/s: %g ms", mbps[i], queue_ms);
	}
}

Test(classic, follows_the_rate_down_and_up)
{
	struct fluid f = {.rate_bps = 50e6, .rtt_ms = 40, .buffer_ms = 2000};
	struct trial t;
	start(&t, 0);
	run(&t, &f, 5);
	f.rate_bps = 5e6;
	run(&t, &f, 2);
	cr_assert_lt(t.d.pacing_bps, 7000000, "%lu", t.d.pacing_bps);
	cr_assert_lt(t.queue_bytes * 8e3 / f.rate_bps, 60);
	f.rate_bps = 50e6;
	run(&t, &f, 3);
	cr_assert_gt(utilisation(&t, &f, 2), 0.9);
}

Test(classic, shallow_buffer_is_not_flooded)
{
	struct fluid f = {.rate_bps = 48e6, .rtt_ms = 40, .buffer_ms = 4};
	struct trial t;
	start(&t, 0);
	run(&t, &f, 10);
	double sent = t.sent, lost = t.lost;
	cr_assert_gt(utilisation(&t, &f, 20), 0.85);
	cr_assert_lt((t.lost - lost) / (t.sent - sent), 0.03);
}

Test(classic, random_loss_is_no_reason_to_stop)
{
	for (double noise = 0.01; noise < 0.06; noise += 0.02) {
		struct fluid f = {.rate_bps = 48e6, .rtt_ms = 40, .buffer_ms = 100, .noise = noise};
		struct trial t;
		start(&t, 0);
		run(&t, &f, 10);
		cr_assert_gt(utilisation(&t, &f, 20), 0.85 * (1 - noise), "loss %g", noise);
	}
}

Test(classic, idle_sender_keeps_its_rate)
{
	struct fluid f = {.rate_bps = 20e6, .rtt_ms = 40, .buffer_ms = 500};
	struct trial t;
	start(&t, 0);
	run(&t, &f, 5);
	f.limited = true;
	run(&t, &f, 20);
	cr_assert_gt(t.d.pacing_bps, 16000000, "%lu", t.d.pacing_bps);
	cr_assert_lt(t.d.pacing_bps, 40000000, "%lu", t.d.pacing_bps);
}

Test(classic, starts_at_the_configured_rate_and_survives_a_wrong_one)
{
	struct trial t;
	start(&t, 100000000);
	cr_assert_eq(t.d.pacing_bps, 100000000);
	struct fluid slow = {.rate_bps = 5e6, .rtt_ms = 40, .buffer_ms = 500};
	run(&t, &slow, 3);
	cr_assert_lt(t.d.pacing_bps, 7000000);
	start(&t, 1000000);
	struct fluid fast = {.rate_bps = 100e6, .rtt_ms = 40, .buffer_ms = 500};
	run(&t, &fast, 5);
	cr_assert_gt(utilisation(&t, &fast, 5), 0.9);
}

Test(classic, silence_slows_down_and_a_report_resumes)
{
	struct fluid f = {.rate_bps = 20e6, .rtt_ms = 40, .buffer_ms = 500};
	struct trial t;
	start(&t, 0);
	run(&t, &f, 5);
	lode_cc_classic.on_timeout(t.state, t.now_ns, &t.d);
	cr_assert_lt(t.d.pacing_bps, 1000000);
	cr_assert_geq(t.d.cwnd_bytes, 4 * LODE_CC_MSS_BYTES);
	run(&t, &f, 1);
	cr_assert_gt(utilisation(&t, &f, 2), 0.9);
}

Test(classic, decisions_stay_in_bounds_whatever_is_reported)
{
	struct lode_rng rng;
	struct trial t;
	lode_rng_seed(&rng, 1);
	start(&t, 0);
	for (int i = 0; i < 200000; i++) {
		uint64_t r = lode_rng_u64(&rng);
		unsigned bits = (unsigned)lode_rng_below(&rng, 40);
		struct lode_cc_interval in = {.now_ns = t.now_ns += lode_rng_below(&rng, 1u << 30),
			.elapsed_ns = r & 1 ? 0 : lode_rng_below(&rng, 1ull << bits),
			.delivered_bytes = lode_rng_below(&rng, 1ull << bits),
			.delivered_pkts = (uint32_t)lode_rng_below(&rng, 10000),
			.lost_pkts = r & 6 ? 0 : (uint32_t)lode_rng_below(&rng, 10000),
			.min_rtt_ns = 1000 + lode_rng_below(&rng, 1ull << bits),
			.queue_min_ns = lode_rng_below(&rng, 1ull << bits),
			.app_limited = r & 8};
		lode_cc_classic.on_feedback(t.state, &in, &t.d);
		cr_assert(t.d.pacing_bps >= LODE_CC_RATE_MIN && t.d.pacing_bps <= LODE_CC_RATE_MAX);
		cr_assert_geq(t.d.cwnd_bytes, 4 * LODE_CC_MSS_BYTES);
		cr_assert_not_null(lode_cc_classic.phase(t.state));
	}
}
