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
