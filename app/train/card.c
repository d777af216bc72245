/* SPDX-License-Identifier: BSD-3-Clause */
#include "train.h"

#include <stdio.h>

static void put_metrics(struct lode_json *j, const char *key, const struct lode_train_metrics *m)
{
	lode_json_object(j, key);
	lode_json_double(j, "auc", m->auc);
	lode_json_double(j, "ap", m->ap);
	lode_json_double(j, "brier", m->brier);
	lode_json_double(j, "skill", m->skill);
	lode_json_double(j, "log_loss", m->log_loss);
	lode_json_double(j, "ece", m->ece);
	lode_json_double(j, "onset_auc", m->onset_auc);
	lode_json_close_object(j);
}

int card_json(const struct card *c, bool int8, char *text, size_t size, struct lode_err *err)
{
	struct lode_json j;
	const struct lode_train_data *d = c->data;
	lode_json_begin(&j, text, size);
	lode_json_object(&j, NULL);
	lode_json_string(&j, "predicts", "any loss among packets sent 50 to 100 ms from now");
	lode_json_string(&j, "trained_by", "lodestone-train loss");
	lode_json_u64(&j, "seed", c->job->options.seed);
	lode_json_u64(&j, "fit_series", d->n_sessions[LODE_TRAIN_FIT]);
	lode_json_u64(&j, "validation_series", d->n_sessions[LODE_TRAIN_VALIDATE]);
	lode_json_u64(&j, "test_series", d->n_sessions[LODE_TRAIN_TEST]);
	lode_json_u64(&j, "epochs", c->report->n_epochs);
	lode_json_u64(&j, "windows", c->report->n_windows);
	lode_json_double(&j, "seconds", c->report->seconds);
	lode_json_u64(&j, "macs", lode_nn_macs(c->desc));
	put_metrics(&j, "test_fp32", &c->fp32);
	if (int8)
		put_metrics(&j, "test_int8", &c->int8);
	for (unsigned b = 0; b < LODE_TRAIN_BASELINES; b++)
		put_metrics(&j, lode_train_baseline_name((enum lode_train_baseline)b),
			&c->baselines[b]);
	lode_json_close_object(&j);
	return lode_json_end(&j) < 0 ? lode_err_set(err, -ENOSPC, "the card is too long") : 0;
}

static void write_row(FILE *f, const char *name, const struct lode_train_metrics *m)
{
	fprintf(f, "| %s | %.4f | %.3f | %.4f | %.3f | %.4f | %.4f | %.4f |\n", name, m->auc, m->ap,
		m->brier, m->skill, m->log_loss, m->ece, m->onset_auc);
}

static void write_table(FILE *f, const struct card *c)
{
	fputs("| on the test split | AUC | AP | Brier | skill | log loss | ECE | onset AUC |\n"
	      "|---|---|---|---|---|---|---|---|\n",
		f);
	write_row(f, "**this model, INT8**", &c->int8);
	write_row(f, "this model, FP32", &c->fp32);
	for (unsigned b = 0; b < LODE_TRAIN_BASELINES; b++)
		write_row(
			f, lode_train_baseline_name((enum lode_train_baseline)b), &c->baselines[b]);
	fputs("\n| AUC by cause of loss | INT8 | the gateway's classic | lossy windows "
	      "|\n|---|---|---|---|"
	      "\n",
		f);
	for (unsigned i = 1; i < LODE_TRAIN_CAUSES; i++)
		fprintf(f, "| %s | %.4f | %.4f | %zu |\n",
			lode_train_cause_name((enum lode_train_cause)i), c->int8.cause_auc[i],
			c->baselines[LODE_TRAIN_CLASSIC].cause_auc[i], c->int8.cause_n[i]);
}

static const char *verdict(const struct card *c)
{
	const struct lode_train_metrics *classic = &c->baselines[LODE_TRAIN_CLASSIC];
	bool better = c->int8.auc > classic->auc && c->int8.brier < classic->brier;
	return better ? "It beats the gateway's classic predictor on the test split."
		      : "It does not beat the gateway's classic predictor: the classic should "
			"stay.";
}

int card_write(const struct card *c, const char *folder, struct lode_err *err)
{
	char path[512], network[LODE_NETWORK_TEXT_BYTES];
	const struct lode_train_data *d = c->data;
	snprintf(path, sizeof(path), "%s/%s.md", folder, c->name);
	FILE *f = fopen(path, "w");
	if (!f)
		return lode_err_set(err, -errno, "%s: %s", path, strerror(errno));
	lode_network_print(c->desc, network);
	fprintf(f,
		"# %s\n\nLoss predictor of a (peer, path): from the last 20 windows of 10 ms "
		"(schema "
		"`%s`) the probability\nthat any packet sent 50 to 100 ms from now is lost, the "
		"logarithm "
		"of the mean burst, and the share lost if any is\n(a logit). INT8 weights with "
		"frozen "
		"scales, golden vectors and the schema's hash are in the file. %s\n\n",
		c->name, d->schema->name, verdict(c));
	write_table(f, c);
	fprintf(f,
		"\n* network: `%s`, %llu multiplications\n* data: whole gateways simulated over "
		"real "
		"traces (`lodestone-sim record`), split by trace: %u series to fit,\n  %u to "
		"validate, %u "
		"to test; %.1f %% of the test windows are lossy\n* training: seed %llu, %u epochs "
		"(best: "
		"%u), %llu windows at %.0f per second of one core; %.0f s in all\n* calibration of "
		"the "
		"logit: slope %.3f, offset %.3f\n* curves: `%s.svg`\n* known limits: the traffic, "
		"radios "
		"and queues are the simulator's; short radio bursts and random loss cannot\n  be "
		"foreseen "
		"by anybody (table above)\n* licence: BSD-3-Clause\n",
		network, (unsigned long long)lode_nn_macs(c->desc), d->n_sessions[LODE_TRAIN_FIT],
		d->n_sessions[LODE_TRAIN_VALIDATE], d->n_sessions[LODE_TRAIN_TEST],
		100.0 * (double)c->int8.n_any / (double)LODE_MAX(c->int8.n, 1ul),
		(unsigned long long)c->job->options.seed, c->report->n_epochs,
		c->report->best_epoch + 1, (unsigned long long)c->report->n_windows,
		(double)c->report->n_windows / c->report->seconds, c->wall_s,
		c->report->calibration_slope, c->report->calibration_offset, c->name);
	return fclose(f) ? lode_err_set(err, -EIO, "%s: %s", path, strerror(errno)) : 0;
}
