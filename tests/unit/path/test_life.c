/* SPDX-License-Identifier: BSD-3-Clause */
/* Probes, states, back-off, challenge. */
#include "ends.h"

static const struct lode_link_config wire20 = {.delay_ns = 20 * MS};
static const struct lode_path_params known = {
	.link_mtu_bytes = 1280, .remote_known = true, .seed = 1};

Test(life, comes_up_after_five_probes_and_knows_the_round_trip)
{
	struct ends s;
	ends_open(&s, &wire20, &wire20, &known);
	cr_assert_eq(ends_stats(&s, 0).state, LODE_PATH_UNKNOWN);
	ends_run(&s, 130);
	cr_assert_eq(ends_stats(&s, 0).state, LODE_PATH_PROBING);
	ends_run(&s, 300);
	for (int i = 0; i < 2; i++) {
		struct lode_path_stats st = ends_stats(&s, i);
		cr_assert_eq(st.state, LODE_PATH_UP);
		cr_assert_float_eq((double)st.srtt_ns, 40e6, 1e5);
		cr_assert_float_eq((double)st.min_rtt_ns, 40e6, 1e5);
		cr_assert_str_eq(st.controller, "classic");
	}
	ends_close(&s);
}

Test(life, suspect_then_down_at_their_times)
{
	struct ends s;
	ends_open(&s, &wire20, &wire20, &known);
	ends_run(&s, 2000);
	ends_cut(&s, 0, true);
	uint64_t proof_ns = 0, suspect_ns = 0, down_ns = 0;
	for (int i = 0; i < 600; i++) {
		ends_run(&s, 1);
		struct lode_path_stats st = ends_stats(&s, 0);
		proof_ns = st.last_proof_ns;
		if (st.state == LODE_PATH_SUSPECT && !suspect_ns)
			suspect_ns = s.now_ns;
		if (st.state == LODE_PATH_DOWN && !down_ns)
			down_ns = s.now_ns;
	}
	cr_assert_float_eq((double)(suspect_ns - proof_ns), 150e6, 2e6);
	cr_assert_float_eq((double)(down_ns - proof_ns), 250e6, 2e6);
	/* The peer hears nothing either: neither its replies nor ours come. */
	cr_assert_eq(ends_stats(&s, 1).state, LODE_PATH_DOWN);
	ends_close(&s);
}

/* Our probes get through, replies do not: we cannot know, but the peer's packets alone prove nothing. */
Test(life, what_comes_in_proves_nothing_about_what_goes_out)
{
	struct ends s;
	ends_open(&s, &wire20, &wire20, &known);
	s.e[1].data_gap_ns = 10 * MS;
	ends_run(&s, 2000);
	ends_cut(&s, 0, true);
	ends_run(&s, 400);
	struct lode_path_stats st = ends_stats(&s, 0);
	cr_assert_lt(s.now_ns - st.last_rx_ns, 20 * MS);
	cr_assert_eq(st.state, LODE_PATH_DOWN);
	ends_close(&s);
}

Test(life, short_silence_only_suspects)
{
	struct ends s;
	ends_open(&s, &wire20, &wire20, &known);
	ends_run(&s, 2000);
	ends_cut(&s, 0, true);
	ends_run(&s, 190);
	cr_assert_eq(ends_stats(&s, 0).state, LODE_PATH_SUSPECT);
	ends_cut(&s, 0, false);
	ends_run(&s, 120);
	cr_assert_eq(ends_stats(&s, 0).state, LODE_PATH_UP);
	cr_assert_eq(ends_stats(&s, 0).n_downs, 0);
	ends_close(&s);
}

Test(life, flapping_waits_longer_each_time)
{
	struct ends s;
	uint32_t backoff[8];
	ends_open(&s, &wire20, &wire20, &known);
	ends_run(&s, 1000);
	for (int i = 0; i < 8; i++) {
		ends_cut(&s, 0, true);
		ends_run(&s, 1000);
		cr_assert_eq(ends_stats(&s, 0).state, LODE_PATH_DOWN);
		backoff[i] = ends_stats(&s, 0).backoff_ms;
		ends_cut(&s, 0, false);
		ends_run(&s, 700);
		if (backoff[i] > 2000)
			cr_assert_eq(ends_stats(&s, 0).state, LODE_PATH_PROBING, "it answers");
		ends_run(&s, backoff[i] + 800);
		cr_assert_eq(ends_stats(&s, 0).state, LODE_PATH_UP, "flap %d", i);
	}
	cr_assert_eq(backoff[0], 1000);
	for (int i = 1; i < 5; i++)
		cr_assert_eq(backoff[i], 2 * backoff[i - 1]);
	cr_assert_eq(backoff[7], 30000);
	ends_run(&s, 60000); /* healthy for a while: forgotten */
	ends_cut(&s, 0, true);
	ends_run(&s, 1000);
	cr_assert_eq(ends_stats(&s, 0).backoff_ms, 0);
	ends_close(&s);
}

Test(life, probes_slow_down_when_idle_and_dead_times_with_them)
{
	struct ends s;
	ends_open(&s, &wire20, &wire20, &known);
	ends_run(&s, 310 * 1000);
	uint32_t before = ends_stats(&s, 0).n_probes;
	cr_assert_float_eq((double)before, 6010, 20);
	ends_run(&s, 10 * 1000);
	cr_assert_float_eq((double)(ends_stats(&s, 0).n_probes - before), 20, 1);
	ends_cut(&s, 0, true);
	ends_run(&s, 900);
	cr_assert_eq(ends_stats(&s, 0).state, LODE_PATH_UP);
	ends_run(&s, 700);
	cr_assert_eq(ends_stats(&s, 0).state, LODE_PATH_SUSPECT);
	ends_run(&s, 1000);
	cr_assert_eq(ends_stats(&s, 0).state, LODE_PATH_DOWN);
	ends_cut(&s, 0, false);
	s.e[0].data_gap_ns = 10 * MS; /* data: back to 50 ms, and no false alarm on the way */
	s.e[0].next_data_ns = s.now_ns;
	ends_run(&s, 1000);
	cr_assert_eq(ends_stats(&s, 0).state, LODE_PATH_UP);
	ends_close(&s);
}

Test(life, idle_path_wakes_without_a_false_alarm)
{
	struct ends s;
	struct lode_link_config far = {.delay_ns = 150 * MS};
	ends_open(&s, &far, &far, &known);
	ends_run(&s, 320 * 1000);
	s.e[0].data_gap_ns = 10 * MS;
	s.e[0].next_data_ns = s.now_ns;
	for (int i = 0; i < 1000; i++) {
		ends_run(&s, 1);
		cr_assert_eq(ends_stats(&s, 0).state, LODE_PATH_UP, "after %d ms", i);
	}
	ends_close(&s);
}

/* Loss of 5 % each way: three probes in a row are lost now and then, five hardly ever; data helps. */
Test(life, survives_a_lossy_path)
{
	struct ends s;
	struct lode_link_config lossy = {.delay_ns = 20 * MS, .loss = 0.05};
	ends_open(&s, &lossy, &lossy, &known);
	s.e[0].data_gap_ns = 20 * MS;
	ends_run(&s, 600 * 1000);
	cr_assert_eq(ends_stats(&s, 0).n_downs, 0);
	ends_close(&s);
}

Test(life, unknown_address_gets_three_times_what_came_from_it)
{
	struct ends s;
	struct lode_path_params unknown = known;
	unknown.remote_known = false;
	ends_open(&s, &wire20, &wire20, &unknown);
	s.e[0].data_gap_ns = 1;
	ends_run(&s, 15);
	cr_assert_eq(s.e[0].data_bytes_sent, 0, "nothing has come yet");
	ends_run(&s, 500);
	cr_assert_gt(s.e[0].data_bytes_sent, 10000, "the challenge was answered");

	/* A new address that never answers. */
	ends_cut(&s, 0, true);
	lode_path_moved(s.e[0].path, s.now_ns);
	uint64_t sent = ends_stats(&s, 0).tx.bytes, got = ends_stats(&s, 0).rx.bytes;
	ends_run(&s, 2000);
	sent = ends_stats(&s, 0).tx.bytes - sent;
	got = ends_stats(&s, 0).rx.bytes - got;
	cr_assert_gt(got, 1000);
	cr_assert_leq(sent, 3 * got + 1200 + 2000, "%lu sent, %lu received", sent, got);
	ends_close(&s);
}

Test(life, wrong_token_validates_nothing)
{
	struct ends s;
	struct lode_path_params unknown = known;
	unknown.remote_known = false;
	ends_open(&s, &wire20, &wire20, &unknown);
	uint8_t buf[64], token[8] = {1, 2, 3};
	struct lode_wire_writer w;
	struct lode_wire_tlv tlv;
	size_t pos = 0;
	lode_wire_writer_init(&w, buf, sizeof(buf));
	lode_wire_put_challenge(&w, LODE_WIRE_TLV_CHALLENGE_REPLY, token);
	cr_assert_eq(lode_wire_tlv_next(buf, w.len, &pos, &tlv), 1);
	cr_assert_eq(lode_path_read_control(s.e[0].path, 0, 0, &tlv), 1);
	cr_assert_eq(lode_path_credit(s.e[0].path, 0), 0);
	ends_close(&s);
}

/* Timers must not fire again and again at the same time. */
Test(life, idle_path_causes_few_events)
{
	struct ends s;
	ends_open(&s, &wire20, &wire20, &known);
	ends_run(&s, 5000);
	uint64_t before = s.n_events;
	ends_run(&s, 10 * 1000);
	cr_assert_lt(s.n_events - before, 10 * 150, "%lu", s.n_events - before);
	ends_cut(&s, 0, true);
	ends_cut(&s, 1, true);
	before = s.n_events;
	ends_run(&s, 10 * 1000);
	cr_assert_lt(s.n_events - before, 10 * 150, "down: %lu", s.n_events - before);
	ends_close(&s);
}
