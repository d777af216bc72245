/* SPDX-License-Identifier: BSD-3-Clause */
#include "lode_learn.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char path[64];

static void begin(void)
{
	snprintf(path, sizeof(path), "/tmp/lode-learn-%d.lss", (int)getpid());
	unlink(path);
}

static struct lode_learn_record window(uint64_t n)
{
	return (struct lode_learn_record){.kind = LODE_LEARN_WINDOW, .window.end_ns = n};
}

Test(samples, come_back_and_go_on_after_a_torn_record, .init = begin)
{
	struct lode_learn_writer *w;
	struct lode_learn_samples s;
	struct lode_learn_record r = window(1);
	struct lode_err err;
	cr_assert_eq(lode_learn_writer_open(&w, path, 0, &err), 0);
	cr_assert_eq(lode_learn_write(w, &r, &err), 0);
	cr_assert_eq(lode_learn_writer_close(w, &err), 0);
	FILE *f = fopen(path, "a");
	fwrite("half a record", 13, 1, f);
	fclose(f);
	cr_assert_eq(lode_learn_samples_open(&s, path, &err), 0);
	cr_assert_eq(s.n_records, 1);
	lode_learn_samples_close(&s);
	cr_assert_eq(lode_learn_writer_open(&w, path, 0, &err), 0);
	r = window(2);
	cr_assert_eq(lode_learn_write(w, &r, &err), 0);
	cr_assert_eq(lode_learn_writer_close(w, &err), 0);
	cr_assert_eq(lode_learn_samples_open(&s, path, &err), 0);
	cr_assert_eq(s.n_records, 2);
	cr_assert_eq(s.records[1].window.end_ns, 2);
	lode_learn_samples_close(&s);
	unlink(path);
}

Test(samples, stop_at_the_limit, .init = begin)
{
	struct lode_learn_writer *w;
	struct lode_learn_record r = window(1);
	struct lode_err err;
	cr_assert_eq(lode_learn_writer_open(&w, path, 32 + 2 * sizeof(r), &err), 0);
	cr_assert_eq(lode_learn_write(w, &r, &err), 0);
	cr_assert_eq(lode_learn_write(w, &r, &err), 0);
	cr_assert_eq(lode_learn_write(w, &r, &err), -EFBIG);
	cr_assert_eq(lode_learn_writer_bytes(w), 32 + 2 * sizeof(r));
	cr_assert_eq(lode_learn_writer_close(w, &err), 0);
	unlink(path);
}

Test(samples, refuse_what_is_none, .init = begin)
{
	struct lode_learn_samples s;
	struct lode_learn_writer *w;
	struct lode_err err;
	struct lode_learn_record r = {.kind = 7};
	cr_assert_eq(lode_learn_samples_open(&s, path, &err), -ENOENT);
	FILE *f = fopen(path, "w");
	fputs("something else, longer than a header of 32 bytes", f);
	fclose(f);
	cr_assert_eq(lode_learn_samples_open(&s, path, &err), -EBADMSG);
	cr_assert_eq(lode_learn_writer_open(&w, path, 0, &err), -EBADMSG);
	unlink(path);
	cr_assert_eq(lode_learn_writer_open(&w, path, 0, &err), 0);
	cr_assert_eq(lode_learn_write(w, &r, &err), 0);
	cr_assert_eq(lode_learn_writer_close(w, &err), 0);
	cr_assert_eq(lode_learn_samples_open(&s, path, &err), -EBADMSG);
	cr_assert(strstr(err.msg, "record 0"), "%s", err.msg);
	r = (struct lode_learn_record){.kind = LODE_LEARN_SERIES};
	memset(r.about.name, 'x', sizeof(r.about.name));
	unlink(path);
	cr_assert_eq(lode_learn_writer_open(&w, path, 0, &err), 0);
	cr_assert_eq(lode_learn_write(w, &r, &err), 0);
	cr_assert_eq(lode_learn_writer_close(w, &err), 0);
	cr_assert_eq(lode_learn_samples_open(&s, path, &err), -EBADMSG);
	unlink(path);
}

/* ---- JSON of the older project ---- */

static const char whole[] =
	"{\"server_id\":\"s-1\",\"timestamp\":\"1768000000\",\"loss_samples\":[{\"timestamp_ms\":5,"
	"\"rtt_us\":20000,\"rtt_var_us\":500,\"bandwidth_bps\":1000000,\"loss_rate\":0.25,"
	"\"inflight\":12,\"buffer_occupancy\":0.5,\"ipg_us\":1000,\"future_loss\":0.125}],"
	"\"drl_experiences\":[{\"state\":{\"rtt_norm\":0.1,\"rtt_gradient\":-0.5,"
	"\"throughput_norm\":0.2,\"loss_rate\":0,\"cwnd_norm\":0.5,\"inflight_norm\":0.25,"
	"\"buffer_occupancy\":1,\"time_in_state\":0},\"action\":5,\"reward\":{"
	"\"throughput_reward\":1.5,\"latency_penalty\":-0.5,\"loss_penalty\":0,\"total\":1},"
	"\"next_state\":{\"rtt_norm\":0.1,\"rtt_gradient\":0,\"throughput_norm\":0.2,"
	"\"loss_rate\":0,\"cwnd_norm\":0.5,\"inflight_norm\":0.25,\"buffer_occupancy\":1,"
	"\"time_in_state\":1},\"done\":true}]}";

static int import(const char *text, struct lode_learn_export *e, struct lode_err *err)
{
	return lode_learn_import_json(text, strlen(text), e, err);
}

Test(records, come_back_as_they_went)
{
	struct lode_learn_export e, again;
	struct lode_err err = {0};
	char *text, *twice;
	cr_assert_eq(import(whole, &e, &err), 0, "%s", err.msg);
	cr_assert_str_eq(e.server_id, "s-1");
	cr_assert_eq(e.timestamp_s, 1768000000);
	cr_assert_eq(e.n_loss, 1);
	cr_assert_eq(e.loss[0].rtt_us, 20000);
	cr_assert_eq(e.loss[0].future_loss, 0.125);
	cr_assert_eq(e.n_drl, 1);
	cr_assert_eq(e.drl[0].action, 5);
	cr_assert_eq(e.drl[0].state[1], -0.5);
	cr_assert_eq(e.drl[0].next_state[7], 1);
	cr_assert(e.drl[0].done);
	cr_assert_eq(lode_learn_export_json(&e, &text, &err), 0);
	cr_assert_eq(import(text, &again, &err), 0, "%s", err.msg);
	cr_assert_eq(lode_learn_export_json(&again, &twice, &err), 0);
	cr_assert_str_eq(text, twice);
	free(text);
	free(twice);
	lode_learn_export_free(&e);
	lode_learn_export_free(&again);
}

Test(records, arrays_of_one_kind_are_taken_too)
{
	struct lode_learn_export e;
	struct lode_err err = {0};
	cr_assert_eq(
		import("[{\"timestamp_ms\":5,\"rtt_us\":1,\"rtt_var_us\":1,\"bandwidth_bps\":1,"
		       "\"loss_rate\":0,\"inflight\":1,\"buffer_occupancy\":0,\"ipg_us\":1,"
		       "\"future_loss\":0}]",
			&e, &err),
		0, "%s", err.msg);
	cr_assert_eq(e.n_loss, 1);
	lode_learn_export_free(&e);
	cr_assert_eq(import("[]", &e, &err), 0);
	lode_learn_export_free(&e);
}

/* Each bound: the record and the field are named. */
Test(records, refuses_what_no_network_has)
{
	static const struct {
		const char *from, *to, *says;
	} bad[] = {
		{"\"loss_rate\":0.25", "\"loss_rate\":1.5", "loss_samples 0: \"loss_rate\""},
		{"\"rtt_us\":20000", "\"rtt_us\":\"x\"", "no number"},
		{"\"rtt_us\":20000,", "", "nothing"},
		{"\"future_loss\":0.125", "\"future_loss\":-1", "future_loss"},
		{"\"action\":5", "\"action\":6", "drl_experiences 0: \"action\""},
		{"\"rtt_gradient\":-0.5", "\"rtt_gradient\":-2", "rtt_gradient"},
		{"\"done\":true", "\"done\":1", "done"},
		{"\"total\":1}", "\"total\":1e9}", "total"},
		{"\"server_id\":\"s-1\",", "", "server_id"},
		{"}]}", "}]", "line"},
	};
	for (unsigned i = 0; i < LODE_ARRAY_LEN(bad); i++) {
		struct lode_learn_export e;
		struct lode_err err = {0};
		char text[4096];
		const char *at = strstr(whole, bad[i].from);
		cr_assert_not_null(at);
		snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - whole), whole, bad[i].to,
			at + strlen(bad[i].from));
		cr_assert_eq(import(text, &e, &err), -EBADMSG, "%u: %s", i, text);
		cr_assert(strstr(err.msg, bad[i].says), "%u: %s", i, err.msg);
		cr_assert_eq(e.n_loss + e.n_drl, 0);
	}
}

Test(records, a_window_survives_the_way_there_and_back)
{
	struct lode_loss_window w = {.end_ns = 5 * LODE_NS_PER_MS,
					.sent_pkts = 20,
					.sent_bytes = 24000,
					.delivered_pkts = 15,
					.lost_pkts = 5,
					.rtt_us = 30000,
					.rtt_var_us = 1000,
					.delivery_kbps = 9000,
					.inflight_bytes = 60000},
				back;
	struct lode_learn_loss_sample s;
	lode_learn_loss_sample_of(&w, 77, 2.0f, 0.5f, &s);
	cr_assert_eq(s.timestamp_ms, 77);
	cr_assert_eq(s.inflight, 50);
	cr_assert_eq(s.ipg_us, 500);
	cr_assert_eq(s.loss_rate, 0.25);
	cr_assert_eq(s.buffer_occupancy, 1);
	lode_learn_window_of(&s, &back);
	cr_assert_eq(back.lost_pkts, 5);
	cr_assert_eq(back.delivered_pkts, 15);
	cr_assert_eq(back.rtt_us, 30000);
	cr_assert_eq(back.inflight_bytes, 60000);
}

/* Windows of a path that loses 1 packet in 20 in every tenth window; its controller doubles its window at 1 s. */
static struct lode_learn_record window_at(uint32_t i, bool truth)
{
	uint32_t told = i >= 4 && (i - 4) % 10 == 0;
	struct lode_learn_record r = {.kind = LODE_LEARN_WINDOW,
		.window = {.end_ns = (i + 100) * LODE_LOSS_WINDOW_NS,
			.sent_pkts = 20,
			.sent_bytes = 24000,
			.delivered_pkts = 20 - told,
			.lost_pkts = told,
			.loss_bursts = told,
			.longest_burst = told,
			.told_age_us = 40000,
			.rtt_us = 40000,
			.min_rtt_us = 40000,
			.delivery_kbps = 20000,
			.cwnd_bytes = i < 100 ? 50000 : 100000,
			.inflight_bytes = 96000}};
	if (truth)
		r.truth = (struct lode_learn_truth){.known = 1, .sent = 100, .lost_radio = 3};
	return r;
}

static struct lode_learn_export digest(unsigned n_series, uint32_t n, bool truth)
{
	struct lode_learn_export e = {.server_id = "here"};
	struct lode_learn_digest *d = lode_learn_digest_new(&e);
	cr_assert(d);
	for (unsigned s = 0; s < n_series; s++) {
		struct lode_learn_record about = {.kind = LODE_LEARN_SERIES};
		lode_learn_digest_add(d, &about);
		for (uint32_t i = 0; i < n; i++) {
			struct lode_learn_record r = window_at(i, truth);
			lode_learn_digest_add(d, &r);
		}
	}
	lode_learn_digest_free(d);
	return e;
}

Test(digest, windows_of_a_gateway_are_labelled_by_what_was_told_later)
{
	struct lode_learn_export e = digest(1, 300, false);
	double sum = 0;
	/* The last 50 to 140 ms are not known. */
	cr_assert(e.n_loss > 280 && e.n_loss < 295, "%zu", e.n_loss);
	for (size_t i = 20; i < e.n_loss; i++)
		sum += e.loss[i].future_loss / (double)(e.n_loss - 20);
	cr_assert_float_eq(sum, 0.005, 0.001, "%g", sum);
	lode_learn_export_free(&e);
	e = digest(1, 300, true);
	cr_assert_eq(e.n_loss, 300);
	cr_assert_float_eq(e.loss[7].future_loss, 0.03, 1e-6);
	lode_learn_export_free(&e);
}

Test(digest, experiences_are_what_the_controller_did)
{
	struct lode_learn_export e = digest(2, 300, false), back;
	struct lode_err err;
	char *text;
	cr_assert_eq(e.n_drl, 2 * 74, "%zu: one in 40 ms", e.n_drl);
	unsigned n_doubled = 0, n_done = 0;
	for (size_t i = 0; i < e.n_drl; i++) {
		const struct lode_learn_drl_experience *x = &e.drl[i];
		n_doubled += x->action == 5;
		n_done += x->done;
		cr_assert(x->action == 2 || x->action == 5, "%u", x->action);
		cr_assert_float_eq(x->state[0], 0.08, 1e-9);
		cr_assert_float_eq(x->state[2], 0.2, 1e-9);
		cr_assert_float_eq(x->total,
			x->throughput_reward + x->latency_penalty + x->loss_penalty, 1e-9);
	}
	cr_assert_eq(n_doubled, 2);
	cr_assert_eq(n_done, 1, "the last of a series is known when the next begins");
	/* What is exported can be imported: every number is in its bounds. */
	cr_assert_eq(lode_learn_export_json(&e, &text, &err), 0, "%s", err.msg);
	cr_assert_eq(lode_learn_import_json(text, strlen(text), &back, &err), 0, "%s", err.msg);
	cr_assert_eq(back.n_drl, e.n_drl);
	cr_assert_eq(back.n_loss, e.n_loss);
	free(text);
	lode_learn_export_free(&back);
	lode_learn_export_free(&e);
}
