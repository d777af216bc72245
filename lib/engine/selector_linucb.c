/* SPDX-License-Identifier: BSD-3-Clause */
/* Disjoint LinUCB (Li, Chu, Langford, Schapire, WWW 2010, algorithm 1). The inverse of A is kept up to date
 * by Sherman and Morrison's rank-one formula instead of being computed for each choice. Inputs: the class
 * one-hot (management counts as web), then round trip / 500 ms, jitter / 100 ms, rate / 1 Gbit/s, loss,
 * availability and cost of paths 0 to 3. */
#include "selector.h"

#include <math.h>

#define N LODE_SELECTOR_INPUTS
static_assert(N == 5 + 6 * LODE_SELECTOR_LINEAR, "five classes, six figures of each path");

void linucb_init(struct lode_selector *s)
{
	memset(s->linear, 0, LODE_SELECTOR_LINEAR * sizeof(s->linear[0]));
	for (unsigned p = 0; p < LODE_SELECTOR_LINEAR; p++)
		for (unsigned i = 0; i < N; i++)
			s->linear[p].inverse[i][i] = 1;
}

void linucb_inputs(const struct lode_selector *s, unsigned cls, double x[N])
{
	memset(x, 0, N * sizeof(*x));
	x[cls == LODE_MANAGEMENT ? LODE_WEB : cls] = 1;
	for (unsigned p = 0; p < LODE_SELECTOR_LINEAR; p++) {
		const struct lode_selector_path *e = &s->path[p];
		double *to = x + 5 + 6 * p;
		if (!(s->known & 1u << p))
			continue;
		to[0] = e->rtt_ms / 500;
		to[1] = e->jitter_ms / 100;
		to[2] = e->mbps / 1000;
		to[3] = e->loss;
		to[4] = e->availability;
		to[5] = e->cost;
	}
}

static double times_inverse(const struct linear *l, const double x[N], double *restrict out)
{
	double square = 0;
	memset(out, 0, N * sizeof(*out));
	for (unsigned j = 0; j < N; j++) /* symmetric: by rows, so that it becomes vector code */
		for (unsigned i = 0; i < N; i++)
			out[i] += l->inverse[j][i] * x[j];
	for (unsigned i = 0; i < N; i++)
		square += out[i] * x[i];
	return square;
}

double linucb_score(
	const struct lode_selector *s, unsigned path, const double x[N], double *confidence)
{
	const struct linear *l = &s->linear[path];
	double product[N], mean = 0;
	*confidence = s->params.linucb_alpha * sqrt(LODE_MAX(times_inverse(l, x, product), 0.0));
	for (unsigned i = 0; i < N; i++)
		mean += l->theta[i] * x[i];
	return mean;
}

void linucb_refresh(struct lode_selector *s, unsigned path)
{
	times_inverse(&s->linear[path], s->linear[path].b, s->linear[path].theta);
}

void linucb_observe(struct lode_selector *s, unsigned path, const double x[N], double reward)
{
	struct linear *l = &s->linear[path];
	double product[N], scale = 1 / (1 + times_inverse(l, x, product));
	for (unsigned i = 0; i < N; i++) {
		for (unsigned j = 0; j < N; j++)
			l->inverse[i][j] -= product[i] * product[j] * scale;
		l->b[i] += reward * x[i];
	}
	linucb_refresh(s, path);
}
