/* SPDX-License-Identifier: BSD-3-Clause */
/* What a path has been like for longer than a model's 20 windows. A window carries seven fast figures; the eighth
 * column of a model's input holds 20 slow ones, one per step, all as of the newest window. */
#include "loss.h"

#define OVER(windows) (1.0f / (windows))

static void lean(float *average, float weight, float value)
{
	*average += weight * (value - *average);
}

void context_add(struct lode_loss *l, const struct lode_loss_window *w)
{
	struct context *c = &l->context;
	float told = (float)(w->delivered_pkts + w->lost_pkts), kbps = (float)w->delivery_kbps;
	lean(&c->sent_pkts, OVER(100), (float)w->sent_pkts);
	lean(&c->delivery_kbps, OVER(100), kbps);
	lean(&c->delivery_square, OVER(100), kbps * kbps);
	c->min_rtt_us = (float)w->min_rtt_us;
	if (told <= 0)
		return;
	lean(&c->loss_half, OVER(50), (float)w->lost_pkts / told);
	lean(&c->loss_15, OVER(1500), (float)w->lost_pkts / told);
	lean(&c->told_1, OVER(100), w->lost_pkts > 0);
}

void context_learn(struct lode_loss *l, bool queue_high, bool lossy)
{
	struct context *c = &l->context;
	lean(&c->lossy_1, OVER(100), lossy);
	lean(&c->lossy_10, OVER(1000), lossy);
	lean(&c->lossy_60, OVER(6000), lossy);
	lean(queue_high ? &c->lossy_high : &c->lossy_low, OVER(300), lossy);
}

static float log_of(float value, float most)
{
	return log2f(1 + LODE_MAX(value, 0.0f)) / most;
}

static float logit_of(uint32_t ppm)
{
	float p = LODE_MIN(LODE_MAX((float)ppm / 1e6f, 1e-4f), 1 - 1e-4f);
	return (logf(p / (1 - p)) + 10) / 20;
}

static float variation(const struct context *c)
{
	float mean = LODE_MAX(c->delivery_kbps, 1.0f);
	return sqrtf(LODE_MAX(c->delivery_square - mean * mean, 0.0f)) / mean / 2;
}

void context_figures(const struct lode_loss *l, float out[CONTEXT_FIGURES])
{
	const struct context *c = &l->context;
	const struct step *s = newest_step(l);
	const float figures[CONTEXT_FIGURES] = {sqrtf(l->loss_fast), sqrtf(c->loss_half),
		sqrtf(l->loss_slow), sqrtf(c->loss_15), c->told_1, c->lossy_1, c->lossy_10,
		c->lossy_60, c->lossy_low, c->lossy_high, log_of(s->since_loss_ms, 16),
		1 - s->to_mark_ms / 500, s->occupancy / 2, log_of(l->classic.burst - 1, 5),
		log_of(l->limit_us / 1000, 10), log_of(c->min_rtt_us / 1000, 10),
		log_of(c->delivery_kbps, 20), variation(c), log_of(c->sent_pkts, 10),
		logit_of(lode_loss_newest(l)->any_ppm)};
	for (unsigned i = 0; i < CONTEXT_FIGURES; i++) /* a NaN becomes 0 */
		out[i] = figures[i] >= 1 ? 1 : figures[i] > 0 ? figures[i] : 0;
}
