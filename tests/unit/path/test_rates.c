/* SPDX-License-Identifier: BSD-3-Clause */
/* Pacer, estimators, feedback. */
#include "ends.h"

#include <stdlib.h>

static const struct lode_path_params known = {
	.link_mtu_bytes = 1280, .remote_known = true, .seed = 1};

Test(rates, saturated_path_delivers_the_link_and_both_ends_know)
{
	struct ends s;
	struct lode_link_config up = {.rate_bps = 20000000, .delay_ns = 20 * MS, .queue_pkts = 300};
	struct lode_link_config back = {.delay_ns = 20 * MS};
	ends_open(&s, &up, &back, &known);
	s.e[0].data_gap_ns = 1;
	ends_run(&s, 5000);
	uint64_t before = lode_link_stats(s.e[0].link)->out_bytes;
	ends_run(&s, 5000);
	double bps = (double)(lode_link_stats(s.e[0].link)->out_bytes - before) * 8 / 5;
	struct lode_path_stats tx = ends_stats(&s, 0), rx = ends_stats(&s, 1);
	cr_assert_float_eq(bps, 20e6, 0.05 * 20e6);
	cr_assert_float_eq((double)tx.tx.bps, 20e6, 0.1 * 20e6, "%lu", tx.tx.bps);
	cr_assert_float_eq((double)rx.rx.bps, 20e6, 0.1 * 20e6, "%lu", rx.rx.bps);
	cr_assert_lt(tx.tx.owd_queue_ns, 40 * MS);
	cr_assert_lt(tx.srtt_ns, 90 * MS);
	cr_assert_eq(tx.n_timeouts, 0);
	ends_close(&s);
}

/* A window that is full until the last report has come would stay so until a time-out. */
Test(rates, the_last_report_may_get_lost)
{
	struct ends s;
	struct lode_link_config up = {.rate_bps = 20000000, .delay_ns = 5 * MS, .queue_pkts = 300};
	struct lode_link_config back = {.delay_ns = 5 * MS};
	ends_open(&s, &up, &back, &known);
	s.e[0].data_gap_ns = 1;
	ends_run(&s, 2000);
	s.e[0].data_gap_ns = 0;
	ends_cut(&s, 1, true);
	ends_run(&s, 35); /* all has arrived and was told */
	ends_cut(&s, 1, false);
	cr_assert_gt(ends_stats(&s, 0).inflight_bytes, 10000);
	ends_run(&s, 60);
	cr_assert_lt(ends_stats(&s, 0).inflight_bytes, 1000);
	cr_assert_eq(ends_stats(&s, 0).n_timeouts, 0);
	ends_close(&s);
}

static double mbps_over(struct ends *s, uint64_t ms)
{
	uint64_t before = lode_link_stats(s->e[0].link)->out_bytes;
	ends_run(s, ms);
	return (double)(lode_link_stats(s->e[0].link)->out_bytes - before) * 8 / 1e3 / (double)ms;
}

/* A longer way looks like a queue that never drains; it must not cost the rate for long. */
Test(rates, survives_a_longer_way_and_a_shorter_one)
{
	struct ends s;
	struct lode_link_config up = {.rate_bps = 20000000, .delay_ns = 20 * MS, .queue_pkts = 300};
	struct lode_link_config back = {.delay_ns = 20 * MS};
	ends_open(&s, &up, &back, &known);
	s.e[0].data_gap_ns = 1;
	ends_run(&s, 5000);
	ends_set(&s, 0, "delay", "50ms");
	ends_run(&s, 15000);
	cr_assert_gt(mbps_over(&s, 10000), 17);
	ends_set(&s, 0, "delay", "10ms");
	ends_run(&s, 3000);
	cr_assert_gt(mbps_over(&s, 10000), 17);
	cr_assert_lt(ends_stats(&s, 0).tx.owd_queue_ns, 40 * MS);
	ends_close(&s);
}

Test(rates, follows_steps_and_outages)
{
	struct ends s;
	struct lode_link_config up = {
		.rate_bps = 20000000, .delay_ns = 20 * MS, .queue_pkts = 1000};
	struct lode_link_config back = {.delay_ns = 20 * MS};
	static const char *const rates[] = {"5M", "40M", "2M", "20M"};
	static const double floor_mbps[] = {4.2, 30, 1.6, 16};
	ends_open(&s, &up, &back, &known);
	s.e[0].data_gap_ns = 1;
	ends_run(&s, 5000);
	for (size_t i = 0; i < LODE_ARRAY_LEN(rates); i++) {
		ends_set(&s, 0, "rate", rates[i]);
		ends_run(&s, 2000);
		double mbps = mbps_over(&s, 5000);
		cr_assert_gt(mbps, floor_mbps[i], "%s: %g Mbit/s", rates[i], mbps);
	}
	for (int i = 0; i < 3; i++) {
		ends_cut(&s, 0, true);
		ends_run(&s, 200 * (uint64_t)(1 + 4 * i));
		ends_cut(&s, 0, false);
		ends_run(&s, 1500);
		cr_assert_gt(mbps_over(&s, 2000), 15, "outage %d", i);
	}
	ends_close(&s);
}

Test(rates, paced_sending_never_exceeds_rate_and_burst)
{
	struct ends s;
	struct lode_link_config wire = {.delay_ns = 5 * MS};
	ends_open(&s, &wire, &wire, &known);
	lode_path_set_share(s.e[0].path, 8000); /* 1 byte per us */
	uint64_t sent = 0, cwnd = ends_stats(&s, 0).cwnd_bytes;
	for (uint64_t t = 0; t < 20 * MS; t += 10000) {
		while (lode_path_credit(s.e[0].path, t) > 0 && sent < cwnd) {
			lode_path_sent(s.e[0].path, t, 1000, lode_path_tx_us(t), 0);
			sent += 1000;
			cr_assert_leq(sent, 3000 + 1000 + t / 1000);
		}
		if (lode_path_credit(s.e[0].path, t) == 0 && sent + 1000 < cwnd) {
			uint64_t due = lode_path_credit_due_ns(s.e[0].path);
			cr_assert(due > t && due < t + 2 * MS);
			cr_assert_eq(lode_path_credit(s.e[0].path, due - 1000), 0);
			cr_assert_gt(lode_path_credit(s.e[0].path, due), 0);
			t = due;
		}
	}
	cr_assert_float_eq((double)sent, 20000, 4500);
	ends_close(&s);
}

Test(rates, full_window_waits_for_a_report)
{
	struct ends s;
	struct lode_link_config wire = {.delay_ns = 20 * MS};
	ends_open(&s, &wire, &wire, &known);
	uint64_t t = 0, window = ends_stats(&s, 0).cwnd_bytes;
	for (; t < 10 * S && ends_stats(&s, 0).inflight_bytes < window; t += MS)
		if (lode_path_credit(s.e[0].path, t) > 0)
			lode_path_sent(s.e[0].path, t, 1200, lode_path_tx_us(t), 0);
	cr_assert_eq(lode_path_credit(s.e[0].path, t + 100 * MS), 0);
	cr_assert_eq(lode_path_credit_due_ns(s.e[0].path), LODE_NEVER_NS);
	lode_path_poll(s.e[0].path, t + 20 * S); /* time-out: a small window opens */
	cr_assert_gt(lode_path_credit(s.e[0].path, t + 20 * S), 0);
	cr_assert_eq(ends_stats(&s, 0).n_timeouts, 1);
	ends_close(&s);
}

Test(rates, loss_and_bursts_as_the_link_makes_them)
{
	static const struct {
		double loss, burst;
	} rows[] = {{0.02, 0}, {0.05, 4}, {0.1, 8}};
	for (size_t i = 0; i < LODE_ARRAY_LEN(rows); i++) {
		struct ends s;
		struct lode_link_config up = {
			.delay_ns = 20 * MS, .loss = rows[i].loss, .burst_pkts = rows[i].burst};
		struct lode_link_config back = {.delay_ns = 20 * MS};
		ends_open(&s, &up, &back, &known);
		s.e[0].data_gap_ns = MS;
		ends_run(&s, 100 * 1000);
		const struct lode_link_stats *l = lode_link_stats(s.e[0].link);
		double truth = (double)l->fate_pkts[LODE_LINK_LOST_RANDOM];
		struct lode_path_stats tx = ends_stats(&s, 0), rx = ends_stats(&s, 1);
		cr_assert_float_eq((double)rx.rx.lost_pkts, truth, 30, "%g lost", truth);
		cr_assert_float_eq((double)tx.tx.lost_pkts, truth, truth / 50 + 30);
		cr_assert_float_eq(rx.rx.loss, rows[i].loss, rows[i].loss);
		double burst = LODE_MAX(rows[i].burst, 1);
		cr_assert_float_eq(rx.rx.burst, burst, burst / 2, "%g", rx.rx.burst);
		cr_assert_float_eq(tx.tx.burst, burst, burst / 2, "%g", tx.tx.burst);
		ends_close(&s);
	}
}

Test(rates, reordering_is_no_loss)
{
	struct ends s;
	struct lode_link_config up = {
		.delay_ns = 20 * MS, .reorder = 0.1, .reorder_ns = 8 * MS, .duplicate = 0.05};
	struct lode_link_config back = {.delay_ns = 20 * MS};
	ends_open(&s, &up, &back, &known);
	s.e[0].data_gap_ns = MS;
	ends_run(&s, 20 * 1000);
	cr_assert_eq(ends_stats(&s, 1).rx.lost_pkts, 0);
	cr_assert_eq(ends_stats(&s, 0).tx.lost_pkts, 0);
	ends_close(&s);
}

Test(rates, new_keys_begin_at_zero_without_losses)
{
	struct ends s;
	struct lode_link_config wire = {.delay_ns = 20 * MS};
	ends_open(&s, &wire, &wire, &known);
	for (uint64_t pn = 0; pn < 5000; pn++)
		lode_path_received(s.e[1].path, pn * MS, pn, 100, 0, 0);
	lode_path_new_rx_epoch(s.e[1].path);
	for (uint64_t pn = 0; pn < 5000; pn++) {
		lode_path_received(s.e[1].path, (5000 + pn) * MS, pn, 100, 0, 0);
		if (pn < 20)
			lode_path_received(
				s.e[1].path, (5000 + pn) * MS, LODE_PATH_NO_PN, 100, 0, 0);
	}
	cr_assert_eq(ends_stats(&s, 1).rx.lost_pkts, 0);
	cr_assert_eq(ends_stats(&s, 1).rx.pkts, 10020);
	ends_close(&s);
}

/* Random numbers received, against a list of what came: fast judging equals counting. */
Test(rates, losses_equal_a_naive_count)
{
	struct lode_rng rng;
	enum { N = 30000 };
	static bool came[N];
	for (uint64_t seed = 0; seed < 10; seed++) {
		struct ends s;
		struct lode_link_config wire = {0};
		uint64_t lost = 0, t = 0, last = 0;
		ends_open(&s, &wire, &wire, &known);
		lode_rng_seed(&rng, seed);
		memset(came, 0, sizeof(came));
		for (uint64_t pn = 0; pn < N; pn++) {
			bool in_gap = (pn / 100) % (seed + 3) == 0;
			came[pn] = !in_gap && lode_rng_below(&rng, 50) > seed;
			t += lode_rng_below(&rng, 20000);
			if (came[pn]) {
				lode_path_received(s.e[1].path, t, pn, 100, 0, 0);
				last = pn;
			}
		}
		for (uint64_t pn = 0; pn < last; pn++)
			lost += !came[pn];
		t += S;
		lode_path_poll(s.e[1].path, t);
		cr_assert_eq(ends_stats(&s, 1).rx.lost_pkts, lost, "seed %lu", seed);
		ends_close(&s);
	}
}

static unsigned feedback_of(struct lode_path *p, uint64_t now_ns, struct lode_wire_feedback *m)
{
	uint8_t buf[1500];
	struct lode_wire_writer w;
	struct lode_wire_tlv tlv;
	size_t pos = 0;
	lode_wire_writer_init(&w, buf, sizeof(buf));
	lode_path_write_control(p, now_ns, &w);
	while (lode_wire_tlv_next(buf, w.len, &pos, &tlv) == 1)
		if (tlv.type == LODE_WIRE_TLV_FEEDBACK && lode_wire_get_feedback(&tlv, m) == 0)
			return m->n_slots;
	return 0;
}

static void give(struct lode_path *p, uint64_t now_ns, const struct lode_wire_feedback *m)
{
	uint8_t buf[1500];
	struct lode_wire_writer w;
	struct lode_wire_tlv tlv;
	size_t pos = 0;
	lode_wire_writer_init(&w, buf, sizeof(buf));
	lode_wire_put_feedback(&w, m);
	cr_assert_eq(lode_wire_tlv_next(buf, w.len, &pos, &tlv), 1);
	cr_assert_eq(lode_path_read_control(p, now_ns, 0, &tlv), 1);
}

/* Reports overlap, come twice, late or not at all: nothing counts twice, little is missed. */
Test(rates, reports_may_be_lost_doubled_and_overtaken)
{
	struct ends s;
	struct lode_link_config wire = {0};
	struct lode_wire_feedback m[2] = {0};
	struct lode_rng rng;
	ends_open(&s, &wire, &wire, &known);
	lode_rng_seed(&rng, 3);
	uint64_t pn = 0, sent = 0, lost = 0;
	for (uint64_t t = 0; t < 20 * S; t += MS) {
		lode_path_sent(s.e[0].path, t, 100, lode_path_tx_us(t), 0);
		sent++;
		if (pn % 40 == 7)
			lost++;
		else
			lode_path_received(s.e[1].path, t, pn, 100, lode_path_tx_us(t), 0);
		pn++;
		if (t % (20 * MS) != 0 || feedback_of(s.e[1].path, t, &m[t / (20 * MS) % 2]) == 0)
			continue;
		uint64_t fate = lode_rng_below(&rng, 4);
		if (fate == 0 && t % (40 * MS) == 0)
			continue; /* lost, never two in a row */
		give(s.e[0].path, t, &m[t / (20 * MS) % 2]);
		if (fate == 1)
			give(s.e[0].path, t, &m[t / (20 * MS) % 2]);
		if (fate == 2)
			give(s.e[0].path, t, &m[(t / (20 * MS) + 1) % 2]);
	}
	struct lode_path_stats st = ends_stats(&s, 0);
	cr_assert_float_eq(
		(double)st.tx.lost_pkts, (double)lost, 3, "%lu of %lu", st.tx.lost_pkts, lost);
	cr_assert_leq(st.inflight_bytes, 100 * 60);
	struct lode_wire_slot slots[LODE_WIRE_SLOTS_MAX];
	unsigned n = lode_path_windows(s.e[0].path, slots, LODE_WIRE_SLOTS_MAX);
	cr_assert_eq(n, LODE_WIRE_SLOTS_MAX);
	for (unsigned i = 0; i + 3 < n; i++)
		cr_assert_float_eq(slots[i].pkts + slots[i].lost, 10, 1.5);
	ends_close(&s);
}

Test(rates, clocks_may_differ_and_wrap)
{
	for (uint64_t offset = 0; offset < 3; offset++) {
		struct ends s;
		struct lode_link_config wire = {0};
		struct lode_wire_feedback m;
		ends_open(&s, &wire, &wire, &known);
		/* The sender's clock wraps in the middle, the receiver's runs elsewhere. */
		uint64_t base = (1ull << 32) * 1000 - 5 * S, shift = offset * 1000 * S, pn = 0;
		for (uint64_t t = 0; t < 10 * S; t += MS) {
			uint64_t queue = t > 8 * S ? 30 * MS : 0, arrive = t + 20 * MS + queue;
			uint32_t tx_us = lode_path_tx_us(base + t);
			lode_path_sent(s.e[0].path, base + t, 100, tx_us, 0);
			lode_path_received(s.e[1].path, shift + arrive, pn++, 100, tx_us, 0);
			if (t % (20 * MS) == 0 && feedback_of(s.e[1].path, shift + arrive, &m))
				give(s.e[0].path, base + arrive + 20 * MS, &m);
		}
		struct lode_path_stats st = ends_stats(&s, 0);
		cr_assert_float_eq((double)st.min_rtt_ns, 40e6, 1e5);
		cr_assert_float_eq((double)st.srtt_ns, 70e6, 1e6);
		cr_assert_float_eq((double)st.tx.owd_queue_ns, 30e6, 1e5);
		ends_close(&s);
	}
}

/* The receiver's clock goes on by half a minute; a queue that is one is still seen. */
Test(rates, a_clock_that_is_set_is_not_queueing)
{
	struct ends s;
	struct lode_link_config wire = {0};
	struct lode_wire_feedback m;
	ends_open(&s, &wire, &wire, &known);
	for (uint64_t t = 0, pn = 0; t < 8 * S; t += MS) {
		uint64_t shift = t > 4 * S + 5 * MS ? 30 * S : 0, queue = t > 7 * S ? 30 * MS : 0;
		uint64_t arrive = t + 20 * MS + queue;
		lode_path_sent(s.e[0].path, t, 100, lode_path_tx_us(t), 0);
		lode_path_received(s.e[1].path, shift + arrive, pn++, 100, lode_path_tx_us(t), 0);
		if (t % (20 * MS) == 0 && feedback_of(s.e[1].path, shift + arrive, &m))
			give(s.e[0].path, arrive + 20 * MS, &m);
		if (t < 7 * S)
			cr_assert_lt(ends_stats(&s, 0).tx.owd_queue_ns, MS, "at %llu ms",
				(unsigned long long)(t / MS));
	}
	cr_assert_float_eq((double)ends_stats(&s, 0).tx.owd_queue_ns, 30e6, 1e5);
	ends_close(&s);
}

Test(rates, own_stall_is_not_queueing)
{
	struct ends s;
	struct lode_link_config wire = {0};
	ends_open(&s, &wire, &wire, &known);
	for (uint64_t t = 0; t < S; t += MS) {
		bool stall = t > 500 * MS && t < 520 * MS;
		uint64_t seen = stall ? 520 * MS : t;
		if (stall)
			lode_path_stalled(s.e[1].path, seen);
		lode_path_received(s.e[1].path, seen, t / MS, 100, lode_path_tx_us(t), 0);
		if (t > 450 * MS && t < 560 * MS)
			cr_assert_lt(ends_stats(&s, 1).rx.owd_queue_ns, MS);
	}
	ends_close(&s);
}

Test(rates, hostile_reports_change_nothing_that_matters)
{
	struct ends s;
	struct lode_link_config wire = {.delay_ns = 20 * MS, .rate_bps = 10000000};
	struct lode_rng rng;
	ends_open(&s, &wire, &wire, &known);
	lode_rng_seed(&rng, 9);
	for (int i = 0; i < 20000; i++) {
		struct lode_wire_feedback m = {0};
		for (size_t k = 0; k < sizeof(m) / 8; k++)
			((uint64_t *)&m)[k] = lode_rng_u64(&rng);
		m.path = 0;
		m.n_slots %= LODE_WIRE_SLOTS_MAX + 1;
		s.now_ns += lode_rng_below(&rng, 30 * MS);
		lode_path_sent(s.e[0].path, s.now_ns, 1000, lode_path_tx_us(s.now_ns), 0);
		give(s.e[0].path, s.now_ns, &m);
		lode_path_poll(s.e[0].path, s.now_ns);
		struct lode_path_stats st = ends_stats(&s, 0);
		cr_assert_leq(st.inflight_bytes, st.tx.bytes);
		cr_assert_leq(lode_path_credit(s.e[0].path, s.now_ns), st.cwnd_bytes);
	}
	ends_close(&s);
}

/* Control alone is never reported: its silence is no time-out. */
Test(rates, an_idle_path_keeps_its_rate)
{
	struct ends s;
	struct lode_link_config wire = {.rate_bps = 20000000, .delay_ns = 20 * MS};
	ends_open(&s, &wire, &wire, &known);
	s.e[0].data_bytes = 1200;
	s.e[0].data_gap_ns = 1;
	ends_run(&s, 5000);
	s.e[0].data_gap_ns = 0;
	ends_run(&s, 500);
	struct lode_path_stats busy = ends_stats(&s, 0);
	ends_run(&s, 5000);
	struct lode_path_stats idle = ends_stats(&s, 0);
	cr_assert_eq(idle.n_timeouts, 0);
	cr_assert_eq(idle.pacing_bps, busy.pacing_bps);
	cr_assert_eq(idle.cwnd_bytes, busy.cwnd_bytes);
	cr_assert_lt(idle.inflight_bytes, 4000);
	ends_close(&s);
}

/* The clock of one end goes on by half a minute while answers to it are on their way. */
Test(rates, a_suspended_end_measures_no_round_trip)
{
	struct ends s;
	struct lode_link_config wire = {.delay_ns = 20 * MS};
	ends_open(&s, &wire, &wire, &known);
	ends_run(&s, 2000);
	uint64_t before_ns = ends_stats(&s, 0).srtt_ns;
	s.now_ns += 30 * S;
	lode_path_stalled(s.e[0].path, s.now_ns);
	ends_run(&s, 2000);
	cr_assert_leq(ends_stats(&s, 0).srtt_ns, before_ns + MS);
	ends_close(&s);
}
