/* SPDX-License-Identifier: BSD-3-Clause */
#include "train.h"

#include "lode_clock.h"
#include "lode_file.h"

#include <stdio.h>
#include <stdlib.h>

#define CARD_BYTES 8192

static int describe(const char *kind, struct lode_nn_desc *desc, struct lode_err *err)
{
	static const uint16_t width[] = {128, 64, 3};
	if (!strcmp(kind, "mlp"))
		*desc = lode_nn_desc_mlp(LODE_TRAIN_FEATURES, LODE_LOSS_STEPS, width,
			LODE_ARRAY_LEN(width), LODE_NN_OUT_SIGMOID_FIRST);
	else if (!strcmp(kind, "lstm"))
		*desc = lode_nn_desc_lstm(LODE_TRAIN_FEATURES, LODE_LOSS_STEPS, 64, 3);
	else if (!strcmp(kind, "transformer"))
		*desc = lode_nn_desc_transformer();
	else
		return lode_err_set(
			err, -EINVAL, "kind \"%s\": mlp, lstm and transformer are known", kind);
	desc->n_out = 3;
	desc->output = LODE_NN_OUT_SIGMOID_FIRST;
	return 0;
}

struct work {
	const struct train_job *job;
	struct lode_train_data data;
	struct lode_nn_desc desc;
	struct lode_train_report report;
	struct lode_train_net *net;
	uint32_t *fit, *test;
	size_t n_fit, n_test;
	float *p;
	struct card card;
	char text[CARD_BYTES];
};

static int measure_all(struct work *w, struct lode_err *err)
{
	struct card *c = &w->card;
	int rc = lode_train_predict(
		w->net, &w->data, &lode_train_windows, w->test, w->n_test, w->p, err);
	rc = rc ? rc : lode_train_measure(&w->data, w->test, w->n_test, w->p, &c->fp32, err);
	for (unsigned b = 0; !rc && b < LODE_TRAIN_BASELINES; b++) {
		rc = lode_train_baseline((enum lode_train_baseline)b, &w->data, w->fit, w->n_fit,
			w->test, w->n_test, w->p, err);
		rc = rc ? rc
			: lode_train_measure(
				  &w->data, w->test, w->n_test, w->p, &c->baselines[b], err);
	}
	return rc;
}

/* Writes the INT8 image, reads it back as the gateway does, and measures that. */
static int measure_int8(struct work *w, struct lode_err *err)
{
	const struct lode_model_options options = {
		.schemas = lode_loss_schemas, .n_schemas = lode_loss_n_schemas};
	struct lode_model *model = NULL;
	uint8_t *image = NULL;
	size_t n_bytes;
	int rc = lode_train_write(
		w->net, &w->data, w->card.name, "{}", LODE_NN_FORMAT_INT8, &image, &n_bytes, err);
	rc = rc ? rc : lode_model_load_memory(&model, image, n_bytes, w->card.name, &options, err);
	rc = rc ? rc : lode_train_predict_model(model, &w->data, w->test, w->n_test, w->p, err);
	rc = rc ? rc : lode_train_measure(&w->data, w->test, w->n_test, w->p, &w->card.int8, err);
	lode_model_free(model);
	free(image);
	return rc;
}

static int write_model(struct work *w, enum lode_nn_format format, struct lode_err *err)
{
	char path[512];
	uint8_t *image = NULL;
	size_t n_bytes;
	bool int8 = format == LODE_NN_FORMAT_INT8;
	snprintf(path, sizeof(path), "%s/%s%s.safetensors", w->job->out, w->card.name,
		int8 ? "" : ".fp32");
	int rc = card_json(&w->card, int8, w->text, sizeof(w->text), err);
	rc = rc ? rc
		: lode_train_write(
			  w->net, &w->data, w->card.name, w->text, format, &image, &n_bytes, err);
	rc = rc ? rc : lode_file_replace(path, 0644, image, n_bytes, err);
	free(image);
	return rc;
}

static int write_curves(const struct work *w, struct lode_err *err)
{
	char path[512];
	double fit[LODE_TRAIN_EPOCHS_MAX], validate[LODE_TRAIN_EPOCHS_MAX],
		auc[LODE_TRAIN_EPOCHS_MAX];
	unsigned n = w->report.n_epochs;
	for (unsigned i = 0; i < n; i++) {
		fit[i] = w->report.epochs[i].fit_loss;
		validate[i] = w->report.epochs[i].validate_loss;
		auc[i] = 1 - w->report.epochs[i].validate_auc;
	}
	const struct lode_train_curve curves[] = {{"fit loss", fit, n},
		{"validation log loss", validate, n}, {"1 - validation AUC", auc, n}};
	snprintf(path, sizeof(path), "%s/%s.svg", w->job->out, w->card.name);
	return lode_train_plot(path, w->card.name, curves, LODE_ARRAY_LEN(curves), err);
}

static int run(struct work *w, struct lode_err *err)
{
	const struct train_job *job = w->job;
	uint64_t begin_ns = lode_clock_ns();
	int rc = lode_train_fit(
		&w->desc, &w->data, &lode_train_windows, &job->options, &w->net, &w->report, err);
	if (rc)
		return rc;
	w->fit = lode_train_pick(&w->data, LODE_TRAIN_FIT, &w->n_fit);
	w->test = lode_train_pick(&w->data, LODE_TRAIN_TEST, &w->n_test);
	w->p = calloc(w->n_test + 1, sizeof(float));
	if (!w->fit || !w->test || !w->p)
		return lode_err_set(err, -ENOMEM, "no memory to test");
	snprintf(w->card.name, sizeof(w->card.name), "loss-%s", job->kind);
	w->card.job = job;
	w->card.desc = &w->desc;
	w->card.data = &w->data;
	w->card.report = &w->report;
	rc = measure_all(w, err);
	rc = rc ? rc : measure_int8(w, err);
	w->card.wall_s = (double)(lode_clock_ns() - begin_ns) / LODE_NS_PER_S;
	rc = rc ? rc : write_model(w, LODE_NN_FORMAT_INT8, err);
	if (!rc && job->fp32)
		rc = write_model(w, LODE_NN_FORMAT_FP32, err);
	rc = rc ? rc : card_write(&w->card, job->out, err);
	return rc ? rc : write_curves(w, err);
}

static int find_schema(const char *name, const struct lode_schema **schema, struct lode_err *err)
{
	for (unsigned i = 0; i < lode_loss_n_schemas; i++)
		if (!strcmp(lode_loss_schemas[i]->name, name)) {
			*schema = lode_loss_schemas[i];
			return 0;
		}
	return lode_err_set(err, -EINVAL, "schema \"%s\" is not known", name);
}

static int load(struct work *w, const struct lode_schema *schema, struct lode_err *err)
{
	const struct train_job *job = w->job;
	struct lode_learn_export e = {0};
	if (!is_json(job->samples))
		return lode_train_data_load(&w->data, job->samples, schema, job->every, err);
	int rc = read_export(job->samples, &e, err);
	rc = rc ? rc : lode_train_data_import(&w->data, &e, schema, err);
	lode_learn_export_free(&e);
	return rc;
}

int train_loss(const struct train_job *job, struct lode_err *err)
{
	struct work *w = calloc(1, sizeof(*w));
	const struct lode_schema *schema = &lode_schema_loss;
	if (!w)
		return lode_err_set(err, -ENOMEM, "no memory to train");
	w->job = job;
	int rc = describe(job->kind, &w->desc, err);
	if (!rc && job->schema)
		rc = find_schema(job->schema, &schema, err);
	rc = rc ? rc : load(w, schema, err);
	rc = rc ? rc : run(w, err);
	if (!rc)
		printf("%s: test AUC %.4f (FP32 %.4f, classic %.4f, EWMA %.4f), skill %.3f (EWMA "
		       "%.3f), "
		       "onset AUC %.4f, %.0f windows/s\n",
			w->card.name, w->card.int8.auc, w->card.fp32.auc,
			w->card.baselines[LODE_TRAIN_CLASSIC].auc,
			w->card.baselines[LODE_TRAIN_EWMA].auc, w->card.int8.skill,
			w->card.baselines[LODE_TRAIN_EWMA].skill, w->card.int8.onset_auc,
			(double)w->report.n_windows / w->report.seconds);
	free(w->fit);
	free(w->test);
	free(w->p);
	lode_train_net_free(w->net);
	lode_train_data_free(&w->data);
	free(w);
	return rc;
}
