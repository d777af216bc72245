/* SPDX-License-Identifier: BSD-3-Clause */
#include "selector_reference.h"

#include <math.h>

#define N LODE_SELECTOR_INPUTS

void reference_init(struct reference *r, const struct lode_selector_params *params)
{
	memset(r, 0, sizeof(*r));
	r->params = *params;
	for (unsigned p = 0; p < LODE_SELECTOR_LINEAR; p++)
		for (unsigned i = 0; i < N; i++)
			r->a[p][i][i] = r->inverse[p][i][i] = 1;
}

/* ---- value ---- */

void reference_second(struct reference *r)
{
	for (unsigned c = 0; c < LODE_N_CLASSES; c++)
		for (unsigned p = 0; p < LODE_SELECTOR_PATHS; p++) {
			double keep = r->params.explore >> c & 1 ? 0.97 : 0.999;
			r->weight[c][p] *= keep;
			r->sum[c][p] *= keep;
		}
}

static double best_mbps(const struct reference *r)
{
	double best = 0;
	for (unsigned p = 0; p < LODE_SELECTOR_PATHS; p++)
		if (r->known >> p & 1)
			best = fmax(best, r->path[p].mbps);
	return best;
}

double reference_promise(const struct reference *r, unsigned cls, unsigned path)
{
	const struct lode_selector_path *p = &r->path[path];
	const struct lode_selector_fate fate = {p->rtt_ms, p->jitter_ms, p->loss, p->mbps};
	return lode_selector_utility((enum lode_class)cls, &fate, best_mbps(r));
}

static double value_score(const struct reference *r, unsigned cls, unsigned path)
{
	static const double availability[] = {.2, .2, .2, .1, .2, .2};
	static const double cost[] = {.05, .05, .2, .3, .1, .3};
	const struct lode_selector_path *p = &r->path[path];
	double total = 0;
	for (unsigned i = 0; i < LODE_SELECTOR_PATHS; i++)
		total += r->weight[cls][i];
	double base = reference_promise(r, cls, path) + -availability[cls] * (1 - p->availability) +
		      -cost[cls] * (p->cost - 1);
	double residual = r->sum[cls][path] / (r->weight[cls][path] + 1);
	double unknown = .005 * sqrt(log(1 + total)) / sqrt(r->weight[cls][path] + 1);
	return base + residual + (r->params.explore >> cls & 1 ? unknown : 0);
}

/* ---- ucb1 ---- */

static double ucb1_score(const struct reference *r, unsigned cls, unsigned path)
{
	const struct lode_selector_path *p = &r->path[path];
	double rtt = 1 - fmin(p->rtt_ms / 200, 1), jitter = 1 - fmin(p->jitter_ms / 100, 1);
	double kept = 1 - p->loss, rate = fmin(p->mbps / 200, 1), context, total = 0;
	if (cls == LODE_GAMING || cls == LODE_VOIP)
		context = .5 * rtt + .3 * jitter + .2 * kept;
	else if (cls == LODE_STREAMING)
		context = .2 * rtt + .3 * kept + .5 * rate;
	else if (cls == LODE_BULK)
		context = .2 * rtt + .2 * kept + .6 * rate;
	else
		context = .4 * rtt + .3 * kept + .3 * rate;
	context = context * p->availability / fmax(p->cost, 1);
	for (unsigned i = 0; i < LODE_SELECTOR_PATHS; i++)
		total += r->pulls[cls][i];
	double n = r->pulls[cls][path];
	if (n < 1)
		return 1e6 + r->params.ucb_context * context;
	return r->rewards[cls][path] / n + r->params.ucb_context * context +
	       r->params.ucb_c * sqrt(log(total) / n);
}

/* ---- linucb ---- */

static void inputs(const struct reference *r, unsigned cls, double x[N])
{
	for (unsigned i = 0; i < N; i++)
		x[i] = 0;
	x[cls == LODE_MANAGEMENT ? LODE_WEB : cls] = 1;
	for (unsigned p = 0; p < LODE_SELECTOR_LINEAR; p++) {
		const struct lode_selector_path *e = &r->path[p];
		const double six[] = {e->rtt_ms / 500, e->jitter_ms / 100, e->mbps / 1000, e->loss,
			e->availability, e->cost};
		for (unsigned i = 0; i < 6; i++)
			x[5 + 6 * p + i] = r->known >> p & 1 ? six[i] : 0;
	}
}

static double times(const double m[N][N], const double x[N], double out[N])
{
	double square = 0;
	for (unsigned i = 0; i < N; i++) {
		out[i] = 0;
		for (unsigned j = 0; j < N; j++)
			out[i] += m[i][j] * x[j];
		square += out[i] * x[i];
	}
	return square;
}

static double linucb_score(const struct reference *r, unsigned cls, unsigned path)
{
	double x[N], theta[N], product[N], mean = 0;
	inputs(r, cls, x);
	times(r->inverse[path], r->b[path], theta);
	double square = times(r->inverse[path], x, product);
	for (unsigned i = 0; i < N; i++)
		mean += theta[i] * x[i];
	return mean + r->params.linucb_alpha * sqrt(square);
}

double reference_linear_mean(const struct reference *r, unsigned path, const double x[N])
{
	double m[N][N + 1], theta[N], mean = 0;
	for (unsigned i = 0; i < N; i++) {
		memcpy(m[i], r->a[path][i], N * sizeof(double));
		m[i][N] = r->b[path][i];
	}
	for (unsigned k = 0; k < N; k++)
		for (unsigned i = k + 1; i < N; i++)
			for (unsigned j = N + 1; j-- > k;)
				m[i][j] -= m[i][k] / m[k][k] * m[k][j];
	for (unsigned i = N; i-- > 0;) {
		theta[i] = m[i][N];
		for (unsigned j = i + 1; j < N; j++)
			theta[i] -= m[i][j] * theta[j];
		theta[i] /= m[i][i];
	}
	for (unsigned i = 0; i < N; i++)
		mean += theta[i] * x[i];
	return mean;
}

/* ---- all ---- */

double reference_score(const struct reference *r, unsigned cls, unsigned path)
{
	switch (r->params.kind) {
	case LODE_SELECTOR_UCB1:
		return ucb1_score(r, cls, path);
	case LODE_SELECTOR_LINUCB:
		return linucb_score(r, cls, path);
	default:
		return value_score(r, cls, path);
	}
}

unsigned reference_select(struct reference *r, unsigned cls, uint8_t healthy)
{
	unsigned best = LODE_SELECTOR_NONE;
	for (unsigned p = 0; p < LODE_SELECTOR_PATHS; p++) {
		const struct lode_selector_path *e = &r->path[p];
		bool able = healthy & r->known & 1u << p;
		if (r->params.kind == LODE_SELECTOR_UCB1)
			able &= e->availability > .1 && e->loss < .5 && e->rtt_ms < 1000 &&
				r->now_ns - e->updated_ns <= 30 * LODE_NS_PER_S;
		if (r->params.kind == LODE_SELECTOR_LINUCB)
			able &= p < LODE_SELECTOR_LINEAR;
		if (able && (best == LODE_SELECTOR_NONE ||
				    reference_score(r, cls, p) > reference_score(r, cls, best)))
			best = p;
	}
	if (best != LODE_SELECTOR_NONE)
		r->pulls[cls][best]++;
	return best;
}

static void observe_linear(struct reference *r, unsigned p, const double x[N], double reward)
{
	double product[N], scale = 1 / (1 + times(r->inverse[p], x, product));
	for (unsigned i = 0; i < N; i++) {
		for (unsigned j = 0; j < N; j++) {
			r->inverse[p][i][j] -= product[i] * product[j] * scale;
			r->a[p][i][j] += x[i] * x[j];
		}
		r->b[p][i] += reward * x[i];
	}
}

void reference_observe(struct reference *r, const struct lode_selector_choice *choice,
	double reward, double weight)
{
	unsigned c = choice->cls, p = choice->path;
	if (r->params.kind == LODE_SELECTOR_UCB1) {
		r->rewards[c][p] += fmin(fmax(reward, 0), 1);
		return;
	}
	double now = reference_promise(r, c, p), keep = 1 - (1 - .96) * weight;
	double low = fmin(now, choice->promise), high = fmax(now, choice->promise);
	double residual = reward < low ? reward - low : reward > high ? reward - high : 0;
	r->weight[c][p] = r->weight[c][p] * keep + weight;
	r->sum[c][p] = r->sum[c][p] * keep + weight * residual;
	if (r->params.kind == LODE_SELECTOR_LINUCB)
		observe_linear(r, p, choice->inputs, reward);
}
