/* SPDX-License-Identifier: BSD-3-Clause */
/* lode-perf loss [--samples FILE] [--models FOLDER]: the loss predictors on held-out traces against baselines, by
 * cause and with the ceiling of an oracle; INT8 against FP32; latency; training speed. Samples come from
 * `lodestone-sim record`; without a file, and with LODESTONE_DATA_DIR, 150 sessions are recorded. */
#include "lode_perf.h"

#include "lode_train.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define EVERY	 5 /* windows looked at: one in so many */
#define SESSIONS 150
#define FIT_MAX	 400000

int suite_loss(struct lode_perf *p);

enum row { CLASSIC_ROWS = LODE_TRAIN_BASELINES, LOGISTIC = CLASSIC_ROWS, TREES, ORACLE, MODELS };
#define MODELS_MAX 8

struct loss_perf {
	struct lode_perf *p;
	const char *samples, *models;
	char recorded[512]; /* file of samples made here */
	struct lode_train_data data;
	uint32_t *fit, *test;
	size_t n_fit, n_test;
	float *said[MODELS + MODELS_MAX]; /* probabilities of each row; NULL: not there */
	char names[MODELS + MODELS_MAX][LODE_MODEL_NAME_BYTES];
	struct lode_model *loaded[MODELS_MAX];
	unsigned n_models;
};

/* ---- data ---- */

static int record(struct loss_perf *l)
{
	char command[1024];
	const char *folder = getenv("LODESTONE_DATA_DIR");
	snprintf(l->recorded, sizeof(l->recorded), "%s/loss-samples.lss", LODE_BUILD_ROOT);
	l->samples = l->recorded;
	if (access(l->recorded, R_OK) == 0)
		return 0;
	if (!folder)
		return -ENOENT;
	lode_perf_progress(l->p, "recording %d sessions", SESSIONS);
	snprintf(command, sizeof(command),
		"%s/lodestone-sim record --out %s --data %s --sessions %d --seed 9 >/dev/null",
		LODE_BUILD_ROOT, l->recorded, folder, SESSIONS);
	return system(command) == 0 ? 0 : -EIO;
}

static int load(struct loss_perf *l)
{
	struct lode_err err;
	int rc = l->samples ? 0 : record(l);
	if (rc) {
		fprintf(stderr, "loss: no samples; give --samples FILE, or LODESTONE_DATA_DIR\n");
		return rc;
	}
	lode_perf_progress(l->p, "reading %s", l->samples);
	rc = lode_train_data_load(&l->data, l->samples, &lode_schema_loss, EVERY, &err);
	if (rc) {
		fprintf(stderr, "loss: %s\n", err.msg);
		return rc;
	}
	l->fit = lode_train_pick(&l->data, LODE_TRAIN_FIT, &l->n_fit);
	l->test = lode_train_pick(&l->data, LODE_TRAIN_TEST, &l->n_test);
	return l->fit && l->test && l->n_test ? 0 : -ENODATA;
}

/* ---- who is compared ---- */

static float *new_row(struct loss_perf *l, unsigned row, const char *name)
{
	snprintf(l->names[row], sizeof(l->names[row]), "%s", name);
	l->said[row] = calloc(l->n_test + 1, sizeof(float));
	return l->said[row];
}

static void drop_row(struct loss_perf *l, unsigned row)
{
	free(l->said[row]);
	l->said[row] = NULL;
}

static void say_baselines(struct loss_perf *l)
{
	for (unsigned b = 0; b < LODE_TRAIN_BASELINES; b++) {
		enum lode_train_baseline which = (enum lode_train_baseline)b;
		if (lode_train_baseline(which, &l->data, l->fit, l->n_fit, l->test, l->n_test,
			    new_row(l, b, lode_train_baseline_name(which)), NULL))
			drop_row(l, b);
	}
}

/* A network of its own inputs, trained here: the logistic regression and the oracle. */
static void say_trained(struct loss_perf *l, unsigned row, const char *name,
	const struct lode_nn_desc *desc, const struct lode_train_input *input)
{
	struct lode_train_options o = lode_train_defaults();
	struct lode_train_net *net = NULL;
	struct lode_train_report report;
	struct lode_err err = {0};
	o.windows_per_epoch = FIT_MAX;
	lode_perf_progress(l->p, "training %s", name);
	int rc = lode_train_fit(desc, &l->data, input, &o, &net, &report, &err);
	rc = rc ? rc
		: lode_train_predict(
			  net, &l->data, input, l->test, l->n_test, new_row(l, row, name), &err);
	if (rc) {
		fprintf(stderr, "loss: %s: %s\n", name, err.msg);
		drop_row(l, row);
	}
	lode_train_net_free(net);
}

static void say_networks(struct loss_perf *l)
{
	static const uint16_t one[] = {1}, wide[] = {64, 64, 1};
	const struct lode_nn_desc logistic =
		lode_nn_desc_mlp(LODE_TRAIN_STATISTICS, 1, one, 1, LODE_NN_OUT_SIGMOID);
	const struct lode_nn_desc oracle =
		lode_nn_desc_mlp((uint16_t)lode_train_oracle.n, 1, wide, 3, LODE_NN_OUT_SIGMOID);
	say_trained(l, LOGISTIC, "logistic, 32 statistics", &logistic, &lode_train_statistics);
	say_trained(l, ORACLE, "oracle of the simulator", &oracle, &lode_train_oracle);
}

static int dump(const struct loss_perf *l, const char *path, const uint32_t *windows, size_t n)
{
	float row[1 + LODE_TRAIN_STATISTICS];
	FILE *f = fopen(path, "w");
	for (size_t i = 0; f && i < n; i++) {
		row[0] = l->data.windows[windows[i]].any;
		lode_train_statistics.gather(&l->data, windows[i], row + 1);
		fwrite(row, sizeof(row), 1, f);
	}
	return f ? fclose(f) : -1;
}

/* python3-sklearn, where it is installed. */
static void say_trees(struct loss_perf *l)
{
	char folder[] = "/tmp/lode-trees-XXXXXX", fit[64], test[64], out[64], command[1024];
	if (system("/usr/bin/python3 -c 'import sklearn' 2>/dev/null") || !mkdtemp(folder))
		return;
	lode_perf_progress(l->p, "boosted trees");
	snprintf(fit, sizeof(fit), "%s/fit", folder);
	snprintf(test, sizeof(test), "%s/test", folder);
	snprintf(out, sizeof(out), "%s/out", folder);
	float *said = new_row(l, TREES, "boosted trees (sklearn)");
	int rc = dump(l, fit, l->fit, l->n_fit) || dump(l, test, l->test, l->n_test);
	snprintf(command, sizeof(command), "OMP_NUM_THREADS=1 %s/perf/peers/loss_trees.py %s %s %s",
		LODE_SOURCE_ROOT, fit, test, out);
	rc = rc || system(command);
	FILE *f = rc ? NULL : fopen(out, "r");
	if (!f || fread(said, sizeof(float), l->n_test, f) != l->n_test)
		drop_row(l, TREES);
	if (f)
		fclose(f);
	unlink(fit);
	unlink(test);
	unlink(out);
	rmdir(folder);
}

static void say_model(struct loss_perf *l, const char *file)
{
	char path[512];
	const struct lode_model_options options = {
		.schemas = lode_loss_schemas, .n_schemas = lode_loss_n_schemas};
	struct lode_err err;
	struct lode_model *m;
	unsigned row = MODELS + l->n_models;
	snprintf(path, sizeof(path), "%s/%s", l->models, file);
	if (lode_model_load(&m, path, &options, &err)) {
		fprintf(stderr, "loss: %s\n", err.msg);
		return;
	}
	if (lode_train_predict_model(
		    m, &l->data, l->test, l->n_test, new_row(l, row, m->name), &err)) {
		fprintf(stderr, "loss: %s\n", err.msg);
		drop_row(l, row);
		lode_model_free(m);
		return;
	}
	l->loaded[l->n_models++] = m;
}

/* ---- rows ---- */

static bool is_model(unsigned row)
{
	return row >= MODELS;
}

static double quality_row(struct loss_perf *l, unsigned row, struct lode_train_metrics *m)
{
	const char *name = l->names[row];
	if (!l->said[row] ||
		lode_train_measure(&l->data, l->test, l->n_test, l->said[row], m, NULL))
		return NAN;
	lode_perf_row(l->p, name, "AUC", m->auc, "", NULL, NAN);
	lode_perf_row(l->p, name, "average precision", m->ap, "", NULL, NAN);
	lode_perf_row(l->p, name, "Brier", m->brier, "", NULL, NAN);
	lode_perf_row(l->p, name, "Brier skill", m->skill, "", NULL, NAN);
	lode_perf_row(l->p, name, "log loss", m->log_loss, "", NULL, NAN);
	lode_perf_row(l->p, name, "calibration error", m->ece, "", NULL, NAN);
	lode_perf_row(l->p, name, "onset AUC", m->onset_auc, "", is_model(row) ? "bar 0.75" : NULL,
		is_model(row) ? m->onset_auc / 0.75 : NAN);
	for (unsigned c = 1; c < LODE_TRAIN_CAUSES; c++) {
		char metric[64];
		snprintf(metric, sizeof(metric), "AUC, %s",
			lode_train_cause_name((enum lode_train_cause)c));
		lode_perf_row(l->p, name, metric, m->cause_auc[c], "", NULL, NAN);
	}
	return m->auc;
}

static void against(struct loss_perf *l, unsigned model, unsigned other, double bar)
{
	struct lode_train_difference d;
	char metric[96], base[32];
	if (!l->said[other] || !l->said[model] ||
		lode_train_compare(
			&l->data, l->test, l->n_test, l->said[model], l->said[other], 1, &d, NULL))
		return;
	snprintf(base, sizeof(base), "bar %+.2f", bar);
	snprintf(metric, sizeof(metric), "AUC above %s", l->names[other]);
	lode_perf_row(l->p, l->names[model], metric, d.auc, "", bar > 0 ? base : NULL,
		bar > 0 ? d.auc / bar : NAN);
	snprintf(metric, sizeof(metric), "lower bound (95 %%) of that");
	lode_perf_row(l->p, l->names[model], metric, d.auc_low, "", NULL, NAN);
	if (other != LODE_TRAIN_EWMA)
		return;
	lode_perf_row(l->p, l->names[model], "Brier skill over EWMA's", d.skill_ratio, "x",
		"bar 1.8", d.skill_ratio / 1.8);
	lode_perf_row(
		l->p, l->names[model], "lower bound (95 %) of that", d.skill_low, "x", NULL, NAN);
}

static void quality(struct loss_perf *l)
{
	static const char *const files[] = {"loss-mlp.safetensors",
		"alternatives/loss-lstm.safetensors", "alternatives/loss-transformer.safetensors"};
	struct lode_train_metrics m;
	if (!lode_perf_wanted(l->p, "quality") || load(l))
		return;
	say_baselines(l);
	say_networks(l);
	say_trees(l);
	for (unsigned i = 0; i < LODE_ARRAY_LEN(files); i++)
		say_model(l, files[i]);
	lode_perf_row(l->p, "test split", "series", l->data.n_sessions[LODE_TRAIN_TEST], "",
		"bar 100", l->data.n_sessions[LODE_TRAIN_TEST] / 100.0);
	for (unsigned row = 0; row < MODELS + l->n_models; row++)
		quality_row(l, row, &m);
	for (unsigned i = 0; i < l->n_models; i++) {
		against(l, MODELS + i, LODE_TRAIN_EWMA, 0.08);
		against(l, MODELS + i, LODE_TRAIN_CLASSIC, 0);
		against(l, MODELS + i, LOGISTIC, 0.02);
		against(l, MODELS + i, TREES, -0.01);
	}
}

/* ---- speed ---- */

struct decision {
	struct lode_loss *loss;
	struct lode_loss_model model;
	struct lode_loss_stats *stats;
	void *scratch;
	uint64_t sink;
};

static void decide(void *arg)
{
	struct decision *d = arg;
	lode_loss_decide(d->loss, &d->model, d->scratch, NULL, d->stats);
}

static void look_up(void *arg)
{
	struct decision *d = arg;
	d->sink += lode_loss_newest(d->loss)->loss_ppm;
}

static void observe(struct decision *d, uint64_t now_ns)
{
	struct lode_loss_window w = {.end_ns = now_ns,
		.sent_pkts = 20,
		.sent_bytes = 24000,
		.delivered_pkts = 20,
		.told_age_us = 30000,
		.rtt_us = 30000,
		.min_rtt_us = 30000,
		.queue_us = 4000,
		.delivery_kbps = 20000,
		.inflight_bytes = 70000,
		.phase_ms = 100};
	lode_loss_observe(d->loss, &w, d->stats);
}

/* Features and inference of one path and window, warm. */
static void latency(struct loss_perf *l, const char *file)
{
	char path[512];
	const struct lode_model_options options = {
		.schemas = lode_loss_schemas, .n_schemas = lode_loss_n_schemas};
	struct lode_model *m;
	struct decision d = {.loss = lode_loss_init(aligned_alloc(64, lode_loss_bytes()), 0, 0),
		.stats = calloc(1, sizeof(*d.stats)),
		.scratch = aligned_alloc(64, LODE_NN_SCRATCH_BYTES)};
	snprintf(path, sizeof(path), "%s/%s", l->models, file);
	if (!lode_model_load(&m, path, &options, NULL)) {
		for (unsigned i = 1; i <= 40; i++)
			observe(&d, i * LODE_LOSS_WINDOW_NS);
		if (!lode_loss_model_init(&d.model, m, 1, NULL)) {
			lode_perf_row(l->p, file, "decision, features included",
				lode_perf_median_ns(decide, &d, 200, 101), "ns", NULL, NAN);
			double ns = lode_perf_median_ns(look_up, &d, 10000, 101);
			lode_perf_row(l->p, file, "cached look-up", ns, "ns", "bar 5", 5 / ns);
		}
		lode_model_free(m);
	}
	free(d.loss);
	free(d.stats);
	free(d.scratch);
}

static void speed(struct loss_perf *l)
{
	static const uint16_t width[] = {64, 64, 3};
	struct {
		const char *name;
		struct lode_nn_desc desc;
		double bar;
	} nets[] = {
		{"training LSTM(64)", lode_nn_desc_lstm(8, 20, 64, 3), 40000},
		{"training transformer", lode_nn_desc_transformer(), NAN},
		{"training MLP", lode_nn_desc_mlp(8, 20, width, 3, LODE_NN_OUT_SIGMOID_FIRST), NAN},
	};
	for (unsigned i = 0; i < LODE_ARRAY_LEN(nets); i++) {
		if (!lode_perf_wanted(l->p, nets[i].name))
			continue;
		lode_perf_progress(l->p, "%s", nets[i].name);
		double rate = lode_train_speed(&nets[i].desc, 256, 100);
		bool bar = !isnan(nets[i].bar);
		lode_perf_row(l->p, nets[i].name, "windows per CPU second", rate, "/s",
			bar ? "bar 40000" : NULL, bar ? rate / nets[i].bar : NAN);
	}
	if (!lode_perf_wanted(l->p, "latency"))
		return;
	latency(l, "loss-mlp.safetensors");
	latency(l, "alternatives/loss-lstm.safetensors");
	latency(l, "alternatives/loss-transformer.safetensors");
}

int suite_loss(struct lode_perf *p)
{
	struct loss_perf l = {.p = p, .models = LODE_SOURCE_ROOT "/models"};
	for (int i = 0; i + 1 < p->argc; i += 2) {
		if (!strcmp(p->argv[i], "--samples"))
			l.samples = p->argv[i + 1];
		else if (!strcmp(p->argv[i], "--models"))
			l.models = p->argv[i + 1];
	}
	speed(&l);
	quality(&l);
	for (unsigned row = 0; row < LODE_ARRAY_LEN(l.said); row++)
		free(l.said[row]);
	for (unsigned i = 0; i < l.n_models; i++)
		lode_model_free(l.loaded[i]);
	free(l.fit);
	free(l.test);
	lode_train_data_free(&l.data);
	return 0;
}
