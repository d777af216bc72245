/* SPDX-License-Identifier: BSD-3-Clause */
/* How good probabilities are; comparisons resample whole series, since windows of one are no independent draws. */
#include "lode_train.h"

#include <math.h>
#include <stdlib.h>

#define BOOTSTRAPS	 400
#define BOOTSTRAP_POINTS 150000 /* windows looked at: more narrow nothing, series count */
#define ECE_BINS	 10

struct scored {
	float p;
	uint32_t window;
};

static int by_score(const void *a, const void *b)
{
	const struct scored *x = a, *y = b;
	if (x->p != y->p)
		return x->p < y->p ? -1 : 1;
	return x->window < y->window ? -1 : x->window > y->window;
}

static struct scored *sorted(const uint32_t *windows, const float *p, size_t n)
{
	struct scored *s = malloc((n + 1) * sizeof(*s));
	for (size_t i = 0; s && i < n; i++)
		s[i] = (struct scored){p[i], windows[i]};
	if (s)
		qsort(s, n, sizeof(*s), by_score);
	return s;
}

/* What a window counts for: its weight as a positive and as a negative. */
typedef void (*weigh)(const void *ctx, uint32_t window, double *positive, double *negative);

/* Mann-Whitney: the share of pairs in the right order, ties half (Hanley and McNeil 1982). */
static double auc(const struct scored *s, size_t n, weigh weight, const void *ctx)
{
	double wins = 0, below = 0, positives = 0;
	for (size_t i = 0; i < n;) {
		double ties = 0, won = 0, p, q;
		float score = s[i].p;
		for (; i < n && s[i].p == score; i++) {
			weight(ctx, s[i].window, &p, &q);
			won += p;
			ties += q;
		}
		wins += won * (below + ties / 2);
		positives += won;
		below += ties;
	}
	return positives > 0 && below > 0 ? wins / (positives * below) : NAN;
}

static double average_precision(const struct lode_train_data *d, const struct scored *s, size_t n)
{
	double hits = 0, sum = 0;
	for (size_t i = n; i-- > 0;) {
		if (!d->windows[s[i].window].any)
			continue;
		hits++;
		sum += hits / (double)(n - i);
	}
	return hits > 0 ? sum / hits : NAN;
}

/* ---- plain metrics ---- */

struct selection {
	const struct lode_train_data *data;
	enum lode_train_cause cause;
	const uint8_t *has_cause; /* of each series */
};

static void weigh_all(const void *ctx, uint32_t window, double *positive, double *negative)
{
	const struct selection *s = ctx;
	*positive = s->data->windows[window].any;
	*negative = 1 - *positive;
}

static void weigh_onset(const void *ctx, uint32_t window, double *positive, double *negative)
{
	const struct selection *s = ctx;
	weigh_all(ctx, window, positive, negative);
	if (!s->data->windows[window].onset)
		*positive = *negative = 0;
}

static void weigh_cause(const void *ctx, uint32_t window, double *positive, double *negative)
{
	const struct selection *s = ctx;
	const struct lode_train_window *w = &s->data->windows[window];
	*positive = w->any && w->cause == s->cause;
	*negative = !w->any && s->has_cause[w->series];
}

static int by_causes(const struct lode_train_data *data, const struct scored *s, size_t n,
	struct lode_train_metrics *m)
{
	uint8_t *has = calloc(data->n_series, LODE_TRAIN_CAUSES);
	if (!has)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		const struct lode_train_window *w = &data->windows[s[i].window];
		if (w->any) {
			has[w->cause * data->n_series + w->series] = 1;
			m->cause_n[w->cause]++;
		}
	}
	for (unsigned c = 0; c < LODE_TRAIN_CAUSES; c++) {
		struct selection sel = {data, (enum lode_train_cause)c, has + c * data->n_series};
		m->cause_auc[c] = auc(s, n, weigh_cause, &sel);
	}
	free(has);
	return 0;
}

static void means(const struct lode_train_data *data, const struct scored *s, size_t n,
	struct lode_train_metrics *m)
{
	double p_sum[ECE_BINS] = {0}, y_sum[ECE_BINS] = {0};
	for (size_t i = 0; i < n; i++) {
		bool y = data->windows[s[i].window].any;
		double p = LODE_MIN(LODE_MAX((double)s[i].p, 1e-6), 1 - 1e-6);
		m->n_any += y;
		m->brier += (p - y) * (p - y);
		m->log_loss -= log(y ? p : 1 - p);
		unsigned bin = (unsigned)(p * ECE_BINS);
		p_sum[bin] += p;
		y_sum[bin] += y;
	}
	for (unsigned b = 0; b < ECE_BINS; b++)
		m->ece += fabs(p_sum[b] - y_sum[b]) / (double)n;
	double base = (double)m->n_any / (double)n;
	m->brier /= (double)n;
	m->log_loss /= (double)n;
	m->skill = 1 - m->brier / (base * (1 - base));
}

int lode_train_measure(const struct lode_train_data *data, const uint32_t *windows, size_t n,
	const float *p, struct lode_train_metrics *m, struct lode_err *err)
{
	struct selection sel = {.data = data};
	*m = (struct lode_train_metrics){.n = n};
	struct scored *s = sorted(windows, p, n);
	if (n == 0 || !s) {
		free(s);
		return lode_err_set(err, n ? -ENOMEM : -ENODATA, "%zu windows to measure with", n);
	}
	m->auc = auc(s, n, weigh_all, &sel);
	m->onset_auc = auc(s, n, weigh_onset, &sel);
	m->ap = average_precision(data, s, n);
	means(data, s, n, m);
	int rc = by_causes(data, s, n, m);
	free(s);
	return rc ? lode_err_set(err, rc, "no memory to measure") : 0;
}

/* ---- comparison ---- */

struct draw {
	const struct lode_train_data *data;
	const uint16_t *times; /* each series was drawn */
};

static void weigh_drawn(const void *ctx, uint32_t window, double *positive, double *negative)
{
	const struct draw *d = ctx;
	const struct lode_train_window *w = &d->data->windows[window];
	double times = d->times[w->series];
	*positive = w->any ? times : 0;
	*negative = w->any ? 0 : times;
}

static double drawn_skill(const struct draw *d, const struct scored *s, size_t n)
{
	double brier = 0, all = 0, any = 0;
	for (size_t i = 0; i < n; i++) {
		const struct lode_train_window *w = &d->data->windows[s[i].window];
		double times = d->times[w->series], off = (double)s[i].p - w->any;
		all += times;
		any += w->any ? times : 0;
		brier += times * off * off;
	}
	double base = any / all;
	return 1 - brier / all / (base * (1 - base));
}

struct bootstrap {
	struct scored *a, *b;
	size_t n;
	uint32_t *series; /* that occur */
	uint32_t n_series;
	uint16_t *times;
	double differences[BOOTSTRAPS], ratios[BOOTSTRAPS];
};

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

static void draw_one(const struct lode_train_data *data, struct bootstrap *bs, struct lode_rng *rng,
	double *difference, double *ratio)
{
	const struct draw d = {data, bs->times};
	memset(bs->times, 0, data->n_series * sizeof(*bs->times));
	for (uint32_t i = 0; i < bs->n_series; i++)
		bs->times[bs->series[lode_rng_below(rng, bs->n_series)]]++;
	*difference = auc(bs->a, bs->n, weigh_drawn, &d) - auc(bs->b, bs->n, weigh_drawn, &d);
	*ratio = drawn_skill(&d, bs->a, bs->n) / drawn_skill(&d, bs->b, bs->n);
}

static int prepare(const struct lode_train_data *data, const uint32_t *windows, size_t n,
	const float *a, const float *b, struct bootstrap *bs)
{
	size_t step = n / BOOTSTRAP_POINTS + 1, m = 0;
	uint32_t *thin = malloc((n + 1) * sizeof(*thin));
	float *pa = malloc((n + 1) * sizeof(*pa)), *pb = malloc((n + 1) * sizeof(*pb));
	bs->times = calloc(data->n_series + 1, sizeof(*bs->times));
	bs->series = calloc(data->n_series + 1, sizeof(*bs->series));
	if (thin && pa && pb && bs->times && bs->series) {
		for (size_t i = 0; i < n; i += step, m++) {
			uint32_t series = data->windows[windows[i]].series;
			thin[m] = windows[i];
			pa[m] = a[i];
			pb[m] = b[i];
			if (!bs->times[series]++)
				bs->series[bs->n_series++] = series;
		}
		bs->a = sorted(thin, pa, m);
		bs->b = sorted(thin, pb, m);
		bs->n = m;
	}
	free(thin);
	free(pa);
	free(pb);
	return bs->a && bs->b ? 0 : -ENOMEM;
}

int lode_train_compare(const struct lode_train_data *data, const uint32_t *windows, size_t n,
	const float *a, const float *b, uint64_t seed, struct lode_train_difference *d,
	struct lode_err *err)
{
	struct bootstrap *bs = calloc(1, sizeof(*bs));
	struct lode_train_metrics ma, mb;
	struct lode_rng rng;
	lode_rng_seed(&rng, seed);
	int rc = bs ? prepare(data, windows, n, a, b, bs) : -ENOMEM;
	if (rc)
		lode_err_set(err, rc, "no memory to compare");
	rc = rc ? rc : lode_train_measure(data, windows, n, a, &ma, err);
	rc = rc ? rc : lode_train_measure(data, windows, n, b, &mb, err);
	if (!rc) {
		for (unsigned i = 0; i < BOOTSTRAPS; i++)
			draw_one(data, bs, &rng, &bs->differences[i], &bs->ratios[i]);
		qsort(bs->differences, BOOTSTRAPS, sizeof(double), by_value);
		qsort(bs->ratios, BOOTSTRAPS, sizeof(double), by_value);
		*d = (struct lode_train_difference){.auc = ma.auc - mb.auc,
			.auc_low = bs->differences[BOOTSTRAPS / 40],
			.auc_high = bs->differences[BOOTSTRAPS - 1 - BOOTSTRAPS / 40],
			.skill_ratio = ma.skill / mb.skill,
			.skill_low = bs->ratios[BOOTSTRAPS / 40]};
	}
	if (bs) {
		free(bs->a);
		free(bs->b);
		free(bs->series);
		free(bs->times);
	}
	free(bs);
	return rc;
}
