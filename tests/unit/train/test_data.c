/* SPDX-License-Identifier: BSD-3-Clause */
/* From a sample file to a model file: a small made-up world in which loss follows a full queue. */
#include "lode_train.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SERIES	40
#define WINDOWS 240
#define PKTS	20

static char path[64];

/* A queue that swells and empties; when it is full, packets are lost 80 ms later. */
static void write_series(struct lode_learn_writer *w, uint32_t series, bool truth)
{
	struct lode_learn_record r = {.kind = LODE_LEARN_SERIES, .series = series};
	struct lode_rng rng;
	lode_rng_seed(&rng, series);
	uint32_t period = 20 + (uint32_t)lode_rng_below(&rng, 30), lost[WINDOWS + 32] = {0};
	snprintf(r.about.name, sizeof(r.about.name), "trace %u", series);
	cr_assert_eq(lode_learn_write(w, &r, NULL), 0);
	for (uint32_t i = 0; i < WINDOWS; i++)
		lost[i + 8] = i % period > period - 6 ? 2 : 0;
	for (uint32_t i = 0; i < WINDOWS; i++) {
		uint32_t told = i >= 4 ? lost[i - 4] : 0;
		uint32_t ahead = 0;
		for (unsigned k = 6; k <= 10; k++)
			ahead += i + k < WINDOWS + 32 ? lost[i + k] : 0;
		r = (struct lode_learn_record){.kind = LODE_LEARN_WINDOW, .series = series};
		r.window = (struct lode_loss_window){
			.end_ns = (uint64_t)(i + 100) * LODE_LOSS_WINDOW_NS,
			.sent_pkts = PKTS,
			.sent_bytes = PKTS * 1000,
			.delivered_pkts = PKTS - told,
			.lost_pkts = told,
			.loss_bursts = told > 0,
			.longest_burst = told,
			.told_age_us = 40000,
			.rtt_us = 40000,
			.min_rtt_us = 40000,
			.queue_us = i % period > period - 6 ? 40000 : 1000 * (i % period),
			.delivery_kbps = 16000,
			.inflight_bytes = 80000,
			.phase_ms = UINT32_MAX};
		if (truth)
			r.truth = (struct lode_learn_truth){.known = 1,
				.sent = 5 * PKTS,
				.lost_queue = (uint16_t)ahead,
				.runs = ahead > 0};
		cr_assert_eq(lode_learn_write(w, &r, NULL), 0);
	}
}

static void write_file(bool truth)
{
	struct lode_learn_writer *w;
	snprintf(path, sizeof(path), "/tmp/lode-train-%d.lss", (int)getpid());
	unlink(path);
	cr_assert_eq(lode_learn_writer_open(&w, path, 0, NULL), 0);
	for (uint32_t s = 0; s < SERIES; s++)
		write_series(w, s, truth);
	cr_assert_eq(lode_learn_writer_close(w, NULL), 0);
}

static struct lode_nn_desc small(void)
{
	static const uint16_t width[] = {16, 3};
	return lode_nn_desc_mlp(8, 20, width, 2, LODE_NN_OUT_SIGMOID_FIRST);
}

static struct lode_train_options quick(void)
{
	struct lode_train_options o = lode_train_defaults();
	o.batch = 64;
	o.max_epochs = 20;
	o.rate = 0.01;
	return o;
}

Test(data, labels_from_reports_are_those_of_the_truth)
{
	struct lode_train_data seen, told;
	struct lode_err err = {0};
	size_t n = 0, same = 0;
	write_file(true);
	cr_assert_eq(
		lode_train_data_load(&seen, path, &lode_schema_loss, 1, &err), 0, "%s", err.msg);
	write_file(false);
	cr_assert_eq(
		lode_train_data_load(&told, path, &lode_schema_loss, 1, &err), 0, "%s", err.msg);
	unlink(path);
	cr_assert_eq(seen.n, SERIES * WINDOWS);
	cr_assert_eq(seen.n_series, SERIES);
	cr_assert_gt(seen.n_sessions[LODE_TRAIN_TEST], 2);
	cr_assert_gt(seen.n_sessions[LODE_TRAIN_VALIDATE], 2);
	for (size_t i = 0; i < seen.n; i++) {
		if (!told.windows[i].usable)
			continue;
		n++;
		same += told.windows[i].any == seen.windows[i].any;
		if (told.windows[i].any && seen.windows[i].any)
			cr_assert_float_eq(told.windows[i].share, seen.windows[i].share, 0.03);
	}
	cr_assert_gt(n, SERIES * (WINDOWS - 20 - 20));
	cr_assert_gt((double)same / (double)n, 0.97, "%zu of %zu", same, n);
	lode_train_data_free(&seen);
	lode_train_data_free(&told);
}

Test(data, a_network_learns_it_the_same_way_twice_and_makes_a_model)
{
	struct lode_train_data d;
	struct lode_train_report report[2];
	struct lode_train_net *net[2];
	struct lode_train_metrics fp32, int8;
	struct lode_err err = {0};
	struct lode_nn_desc desc = small();
	struct lode_train_options o = quick();
	size_t n;
	write_file(true);
	cr_assert_eq(lode_train_data_load(&d, path, &lode_schema_loss, 1, &err), 0, "%s", err.msg);
	unlink(path);
	for (unsigned i = 0; i < 2; i++)
		cr_assert_eq(lode_train_fit(
				     &desc, &d, &lode_train_windows, &o, &net[i], &report[i], &err),
			0, "%s", err.msg);
	cr_assert_eq(memcmp(report[0].epochs, report[1].epochs, sizeof(report[0].epochs)), 0);
	uint32_t *test = lode_train_pick(&d, LODE_TRAIN_TEST, &n);
	float *p = calloc(n, sizeof(*p)), *q = calloc(n, sizeof(*q));
	cr_assert_eq(lode_train_predict(net[0], &d, &lode_train_windows, test, n, p, &err), 0);
	cr_assert_eq(lode_train_predict(net[1], &d, &lode_train_windows, test, n, q, &err), 0);
	cr_assert_eq(memcmp(p, q, n * sizeof(*p)), 0, "not the same weights twice");
	cr_assert_eq(lode_train_measure(&d, test, n, p, &fp32, &err), 0);
	cr_assert_gt(fp32.auc, 0.85, "%g", fp32.auc);
	cr_assert_lt(fp32.ece, 0.1, "%g", fp32.ece);

	const struct lode_model_options options = {
		.schemas = lode_loss_schemas, .n_schemas = lode_loss_n_schemas};
	struct lode_loss_model in_gateway;
	struct lode_model *model;
	uint8_t *image;
	size_t n_bytes;
	cr_assert_eq(lode_train_write(net[0], &d, "made up", "{\"a\":1}", LODE_NN_FORMAT_INT8,
			     &image, &n_bytes, &err),
		0, "%s", err.msg);
	cr_assert_eq(lode_model_load_memory(&model, image, n_bytes, "made up", &options, &err), 0,
		"%s", err.msg);
	cr_assert_str_eq(model->card, "{\"a\":1}");
	cr_assert_eq(lode_loss_model_init(&in_gateway, model, 1, &err), 0, "%s", err.msg);
	cr_assert_eq(in_gateway.n_out, 3);
	cr_assert_eq(lode_train_predict_model(model, &d, test, n, q, &err), 0);
	cr_assert_eq(lode_train_measure(&d, test, n, q, &int8, &err), 0);
	cr_assert_float_eq(int8.auc, fp32.auc, 0.005);
	lode_model_free(model);
	free(image);
	free(p);
	free(q);
	free(test);
	lode_train_net_free(net[0]);
	lode_train_net_free(net[1]);
	lode_train_data_free(&d);
}

Test(data, says_what_is_wrong)
{
	struct lode_train_data d;
	struct lode_train_net *net;
	struct lode_train_report report;
	struct lode_err err;
	struct lode_nn_desc desc = small();
	struct lode_train_options o = quick();
	cr_assert_eq(lode_train_data_load(&d, "/nowhere", &lode_schema_loss, 1, &err), -ENOENT);
	cr_assert(strstr(err.msg, "/nowhere"), "%s", err.msg);
	cr_assert_eq(
		lode_train_data_load(&d, "/nowhere", &lode_schema_oxidize_drl, 1, &err), -EINVAL);
	struct lode_train_data none = {.schema = &lode_schema_loss};
	cr_assert_eq(lode_train_fit(&desc, &none, &lode_train_windows, &o, &net, &report, &err),
		-ENODATA);
	cr_assert_eq(lode_train_fit(&desc, &none, &lode_train_statistics, &o, &net, &report, &err),
		-EINVAL);
	cr_assert_null(net);
}

Test(data, samples_of_the_older_project_train_too)
{
	struct lode_train_data d;
	struct lode_learn_export e = {.server_id = "server-1", .n_loss = 500};
	e.loss = calloc(e.n_loss, sizeof(*e.loss));
	for (size_t i = 0; i < e.n_loss; i++)
		e.loss[i] = (struct lode_learn_loss_sample){.rtt_us = 50000,
			.bandwidth_bps = 20000000,
			.ipg_us = 500,
			.loss_rate = i % 50 < 10 ? 0.1 : 0,
			.future_loss = i % 50 < 10 ? 0.1 : 0};
	cr_assert_eq(lode_train_data_import(&d, &e, &lode_schema_oxidize_trainer, NULL), 0);
	cr_assert_eq(d.n, 500);
	cr_assert(d.windows[105].any);
	cr_assert_not(d.windows[120].any);
	cr_assert_float_eq(d.windows[105].share, 0.1, 1e-6);
	cr_assert_float_eq(d.steps[105 * 8 + 3], 0.1, 1e-6); /* loss_rate */
	lode_train_data_free(&d);
	free(e.loss);
}
