/* SPDX-License-Identifier: BSD-3-Clause */
/* Epochs of AdamW with a one-cycle rate (Smith and Topin 2019), a moving average of the weights (Polyak and Juditsky
 * 1992), early stopping by the validation split, and calibration of the logit (Platt 1999). */
#include "net.h"

#include <math.h>
#include <stdlib.h>
#include <time.h>

#define WARM_UP	       0.3
#define AVERAGE	       0.05 /* of all steps: the average goes back so far */
#define VALIDATE_MAX   200000
#define PLATT_STEPS    30
#define PROGRESS_TIMES 50

struct lode_train_options lode_train_defaults(void)
{
	return (struct lode_train_options){.seed = 1,
		.max_epochs = 4,
		.batch = 256,
		.rate = 3e-3,
		.decay = 0.01,
		.clip = 1,
		.patience = 2};
}

static double cpu_seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

struct fit {
	struct lode_train_net *net;
	const struct lode_train_data *data;
	const struct lode_train_input *input;
	const struct lode_train_options *options;
	struct lode_train_report *report;
	struct lode_rng rng;
	uint32_t *fit, *validate; /* windows */
	size_t n_fit, n_validate, per_epoch;
	/* of one batch */
	float *gathered;
	real *x, *out, *d_out;
	struct target *targets;
	float *p;	      /* of the validation windows */
	real *average, *best; /* weights: of the steps; of the best epoch */
	uint64_t step;
	double loss_sum, loss_n;
};

/* ---- batches ---- */

static void gather(struct fit *f, const uint32_t *windows, unsigned rows)
{
	for (unsigned r = 0; r < rows; r++) {
		const struct lode_train_window *w = &f->data->windows[windows[r]];
		f->input->gather(f->data, windows[r], f->gathered);
		for (unsigned i = 0; i < f->input->n; i++)
			f->x[(size_t)r * f->input->n + i] = (real)f->gathered[i];
		f->targets[r] = (struct target){
			.any = w->any, .log_burst = w->log_burst, .share = w->share};
	}
}

/* Rate of the one-cycle policy at a share of all steps. */
static double rate_at(const struct lode_train_options *o, double share)
{
	if (share < WARM_UP)
		return o->rate * (0.04 + 0.96 * share / WARM_UP);
	double down = (share - WARM_UP) / (1 - WARM_UP);
	return o->rate * (1e-3 + (1 - 1e-3) * 0.5 * (1 + cos(M_PI * down)));
}

static void shuffle(struct fit *f)
{
	for (size_t i = 0; i < f->per_epoch; i++) {
		size_t k = i + lode_rng_below(&f->rng, f->n_fit - i);
		uint32_t swap = f->fit[i];
		f->fit[i] = f->fit[k];
		f->fit[k] = swap;
	}
}

static void tell(struct fit *f, unsigned epoch, double share)
{
	if (f->options->progress)
		f->options->progress(f->options->ctx, epoch, share,
			f->loss_n > 0 ? f->loss_sum / f->loss_n : NAN);
	f->loss_sum = f->loss_n = 0;
}

static void add_to_average(struct fit *f, double n_steps)
{
	real weight = (real)(1 / LODE_MAX(AVERAGE * n_steps, 1.0));
	for (size_t i = 0; i < f->net->n_values; i++)
		f->average[i] += weight * (f->net->w[i] - f->average[i]);
}

/* The network takes the averaged weights, or its own again. */
static void swap_average(struct fit *f)
{
	for (size_t i = 0; i < f->net->n_values; i++) {
		real own = f->net->w[i];
		f->net->w[i] = f->average[i];
		f->average[i] = own;
	}
}

static double run_epoch(struct fit *f, unsigned epoch)
{
	const struct lode_train_options *o = f->options;
	size_t n_batches = f->per_epoch / o->batch, every = n_batches / PROGRESS_TIMES + 1;
	double all = (double)n_batches * o->max_epochs, sum = 0, begin = cpu_seconds();
	shuffle(f);
	for (size_t b = 0; b < n_batches; b++) {
		double rate = rate_at(o, (double)f->step / all);
		gather(f, f->fit + b * o->batch, o->batch);
		f->step++;
		double loss = net_train_batch(f->net, f->x, f->targets, o->batch, rate, o->decay,
			o->clip, f->step, f->out, f->d_out);
		add_to_average(f, all);
		sum += loss;
		f->loss_sum += loss;
		f->loss_n++;
		if (b % every == every - 1)
			tell(f, epoch, (double)(b + 1) / (double)n_batches);
	}
	f->report->seconds += cpu_seconds() - begin;
	f->report->n_windows += n_batches * o->batch;
	return sum / (double)LODE_MAX(n_batches, 1ul);
}

/* ---- prediction ---- */

static void predict(struct fit *f, const uint32_t *windows, size_t n, float *p)
{
	for (size_t at = 0; at < n; at += f->options->batch) {
		unsigned rows = (unsigned)LODE_MIN(n - at, (size_t)f->options->batch);
		gather(f, windows + at, rows);
		f->net->ops->forward(f->net, f->x, rows, f->out);
		for (unsigned r = 0; r < rows; r++)
			p[at + r] = (float)f->out[(size_t)r * OUT_COLUMNS]; /* the logit */
	}
}

static double logit_loss(const struct fit *f, double slope, double offset)
{
	double sum = 0;
	for (size_t i = 0; i < f->n_validate; i++) {
		double z = slope * (double)f->p[i] + offset;
		sum += log1p(exp(-fabs(z))) + LODE_MAX(z, 0.0) -
		       (f->data->windows[f->validate[i]].any ? z : 0);
	}
	return sum / (double)LODE_MAX(f->n_validate, 1ul);
}

static void validate(struct fit *f, struct lode_train_epoch *epoch)
{
	struct lode_train_metrics m;
	predict(f, f->validate, f->n_validate, f->p);
	epoch->validate_loss = logit_loss(f, 1, 0);
	int rc = lode_train_measure(f->data, f->validate, f->n_validate, f->p, &m, NULL);
	epoch->validate_auc = rc ? NAN : m.auc;
}

/* Newton's method for the slope and offset of the logit that fit the validation split best. */
static void calibrate(struct fit *f)
{
	double a = 1, b = 0;
	predict(f, f->validate, f->n_validate, f->p);
	for (unsigned step = 0; step < PLATT_STEPS; step++) {
		double ga = 0, gb = 0, haa = 1e-9, hab = 0, hbb = 1e-9;
		for (size_t i = 0; i < f->n_validate; i++) {
			double z = (double)f->p[i], q = 1 / (1 + exp(-(a * z + b)));
			double off = q - f->data->windows[f->validate[i]].any, w = q * (1 - q);
			ga += off * z;
			gb += off;
			haa += w * z * z;
			hab += w * z;
			hbb += w;
		}
		double det = haa * hbb - hab * hab;
		if (det <= 0)
			return;
		a -= (ga * hbb - gb * hab) / det;
		b -= (gb * haa - ga * hab) / det;
	}
	if (!(a > 0.2 && a < 5 && fabs(b) < 5) || logit_loss(f, a, b) > logit_loss(f, 1, 0))
		return;
	f->report->calibration_slope = a;
	f->report->calibration_offset = b;
	/* Into the head: the first column of its weights, and of its bias. */
	for (unsigned i = 0; i < f->net->n_params; i++) {
		const struct param *w = &f->net->params[i];
		if (!w->is_weight || w->out != f->net->desc.n_out ||
			(i + 2 < f->net->n_params && f->net->params[i + 2].is_weight))
			continue;
		for (unsigned r = 0; r < w->rows; r++)
			f->net->w[w->at + (size_t)r * w->cols] *= (real)a;
		real *bias = f->net->w + w[1].at;
		bias[0] = (real)(a * (double)bias[0] + b);
	}
}

/* ---- the run ---- */

static void run(struct fit *f)
{
	double best = INFINITY;
	unsigned worse = 0;
	size_t bytes = f->net->n_values * sizeof(real);
	struct lode_train_report *r = f->report;
	for (unsigned e = 0; e < f->options->max_epochs && worse < f->options->patience; e++) {
		struct lode_train_epoch *epoch = &r->epochs[e];
		epoch->fit_loss = run_epoch(f, e);
		swap_average(f);
		validate(f, epoch);
		r->n_epochs = e + 1;
		worse = epoch->validate_loss < best ? 0 : worse + 1;
		if (!worse) {
			best = epoch->validate_loss;
			r->best_epoch = e;
			memcpy(f->best, f->net->w, bytes);
		}
		swap_average(f);
	}
	memcpy(f->net->w, f->best, bytes);
	calibrate(f);
}

static void release(struct fit *f)
{
	free(f->fit);
	free(f->validate);
	free(f->gathered);
	free(f->x);
	free(f->out);
	free(f->d_out);
	free(f->targets);
	free(f->p);
	free(f->average);
	free(f->best);
}

static int buffers(struct fit *f, struct lode_err *err)
{
	unsigned batch = f->options->batch;
	f->gathered = calloc(f->input->n, sizeof(float));
	f->x = calloc((size_t)batch * f->input->n, sizeof(real));
	f->out = calloc((size_t)batch * OUT_COLUMNS, sizeof(real));
	f->d_out = calloc((size_t)batch * OUT_COLUMNS, sizeof(real));
	f->targets = calloc(batch, sizeof(*f->targets));
	f->average = calloc(f->net->n_values, sizeof(real));
	f->best = calloc(f->net->n_values, sizeof(real));
	return f->gathered && f->x && f->out && f->d_out && f->targets && f->average && f->best
		       ? 0
		       : lode_err_set(err, -ENOMEM, "no memory for batches of %u", batch);
}

/* Validation windows thinned out evenly: every epoch looks at them all. */
static void thin(struct fit *f)
{
	size_t step = f->n_validate / VALIDATE_MAX + 1, n = 0;
	for (size_t i = 0; i < f->n_validate; i += step)
		f->validate[n++] = f->validate[i];
	f->n_validate = n;
}

static int prepare(struct fit *f, struct lode_err *err)
{
	const struct lode_train_options *o = f->options;
	f->fit = lode_train_pick(f->data, LODE_TRAIN_FIT, &f->n_fit);
	f->validate = lode_train_pick(f->data, LODE_TRAIN_VALIDATE, &f->n_validate);
	if (f->validate)
		thin(f);
	f->p = calloc(f->n_validate + 1, sizeof(float));
	if (!f->fit || !f->validate || !f->p)
		return lode_err_set(err, -ENOMEM, "no memory for %zu windows", f->data->n);
	f->per_epoch = o->windows_per_epoch ? LODE_MIN(o->windows_per_epoch, f->n_fit) : f->n_fit;
	if (f->per_epoch < o->batch || f->n_validate == 0)
		return lode_err_set(err, -ENODATA,
			"%zu windows to fit and %zu to validate with: at least %u and 1 are needed",
			f->n_fit, f->n_validate, o->batch);
	if (o->max_epochs == 0 || o->max_epochs > LODE_TRAIN_EPOCHS_MAX || o->batch == 0)
		return lode_err_set(err, -EINVAL,
			"epochs: 1 to %d, found %u; batch: above 0, found %u",
			LODE_TRAIN_EPOCHS_MAX, o->max_epochs, o->batch);
	return buffers(f, err);
}

int lode_train_fit(const struct lode_nn_desc *desc, const struct lode_train_data *data,
	const struct lode_train_input *input, const struct lode_train_options *options,
	struct lode_train_net **net, struct lode_train_report *report, struct lode_err *err)
{
	struct fit f = {.data = data, .input = input, .options = options, .report = report};
	*report = (struct lode_train_report){.calibration_slope = 1};
	*net = NULL;
	if ((unsigned)desc->n_in * desc->n_steps != input->n)
		return lode_err_set(err, -EINVAL, "network takes %u values, the input has %u",
			desc->n_in * desc->n_steps, input->n);
	int rc = net_new(&f.net, desc, options->batch, options->seed, err);
	if (rc)
		return rc;
	lode_rng_seed(&f.rng, ~options->seed);
	rc = prepare(&f, err);
	if (!rc)
		run(&f);
	release(&f);
	if (rc)
		lode_train_net_free(f.net);
	else
		*net = f.net;
	return rc;
}

int lode_train_predict(struct lode_train_net *net, const struct lode_train_data *data,
	const struct lode_train_input *input, const uint32_t *windows, size_t n, float *p,
	struct lode_err *err)
{
	const struct lode_train_options o = {.batch = net->max_rows};
	struct fit f = {.net = net, .data = data, .input = input, .options = &o};
	int rc = buffers(&f, err);
	if (!rc)
		predict(&f, windows, n, p);
	for (size_t i = 0; !rc && i < n; i++)
		p[i] = 1 / (1 + expf(-p[i]));
	release(&f);
	return rc;
}

double lode_train_speed(const struct lode_nn_desc *desc, unsigned batch, unsigned n_batches)
{
	struct lode_train_net *net;
	struct lode_rng rng;
	size_t n_in = (size_t)desc->n_in * desc->n_steps;
	if (net_new(&net, desc, batch, 1, NULL))
		return NAN;
	real *x = calloc(batch * n_in, sizeof(real)),
	     *out = calloc(batch * 2ul * OUT_COLUMNS, sizeof(real));
	struct target *targets = calloc(batch, sizeof(*targets));
	double best = NAN;
	lode_rng_seed(&rng, 1);
	for (size_t i = 0; x && i < batch * n_in; i++)
		x[i] = (real)lode_rng_unit(&rng);
	for (unsigned b = 0; x && out && targets && b < n_batches; b++) {
		double begin = cpu_seconds();
		net_train_batch(net, x, targets, batch, 1e-3, 0.01, 1, b + 1, out,
			out + (size_t)batch * OUT_COLUMNS);
		double rate = batch / (cpu_seconds() - begin);
		best = rate > best || isnan(best) ? rate : best;
	}
	free(x);
	free(out);
	free(targets);
	lode_train_net_free(net);
	return best;
}
