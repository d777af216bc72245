/* SPDX-License-Identifier: BSD-3-Clause */
/* A link of a recorded session: capacity of a real trace less what others take of it, a droptail queue, a radio
 * that switches between good and bad (Gilbert-Elliott in time) and between regimes of real loss rates, and the
 * satellites' hand-over every 15 s. */
#include "record.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define MEAN_KBPS_MIN 1200.0
#define MEAN_KBPS_MAX 20000.0
#define MARK_MS	      12000 /* hand-overs: this many ms into each 15 s */

static double between(struct lode_rng *rng, double low, double high)
{
	return low + (high - low) * lode_rng_unit(rng);
}

/* Even in the logarithm. */
static double log_between(struct lode_rng *rng, double low, double high)
{
	return exp(between(rng, log(low), log(high)));
}

static bool chance(struct lode_rng *rng, double p)
{
	return lode_rng_unit(rng) < p;
}

/* ---- capacity, kbit/s of each millisecond ---- */

static void from_real(struct session_link *l, const struct real_trace *t, uint32_t n, float *kbps)
{
	uint64_t at_ms = lode_rng_below(&l->rng, (uint64_t)t->n * t->step_ms);
	for (uint32_t i = 0; i < n; i++)
		kbps[i] = (float)t->kbps[(at_ms + i) / t->step_ms % t->n];
}

static void steps(struct session_link *l, uint32_t n, float *kbps)
{
	bool constant = chance(&l->rng, 0.4);
	double rate = log_between(&l->rng, 2000, 20000), now = rate;
	for (uint32_t i = 0, until = 0; i < n; i++) {
		if (i >= until && !constant) {
			now = rate * between(&l->rng, 0.3, 1.5);
			until = i + (uint32_t)lode_rng_exponential(&l->rng, 3000) + 200;
		}
		kbps[i] = (float)now;
	}
}

/* Others on the same link: short bursts and long flows. */
static void share_with_others(struct session_link *l, uint32_t n, float *kbps)
{
	double every_ms = log_between(&l->rng, 500, 8000), for_ms = log_between(&l->rng, 50, 4000);
	uint32_t i = 0;
	while (i < n) {
		i += (uint32_t)lode_rng_exponential(&l->rng, every_ms) + 1;
		uint32_t end = i + (uint32_t)lode_rng_exponential(&l->rng, for_ms) + 1;
		float left = (float)between(&l->rng, 0.15, 0.8);
		for (; i < n && i < end; i++)
			kbps[i] *= left;
	}
}

static double scale(struct session_link *l, uint32_t n, float *kbps)
{
	double sum = 0;
	for (uint32_t i = 0; i < n; i++)
		sum += (double)kbps[i];
	double mean = LODE_MAX(sum / n, 1.0);
	double want =
		LODE_MIN(LODE_MAX(mean, MEAN_KBPS_MIN), MEAN_KBPS_MAX) * between(&l->rng, 0.7, 1.3);
	for (uint32_t i = 0; i < n; i++)
		kbps[i] *= (float)(want / mean);
	return want;
}

static int to_opportunities(
	struct session_link *l, uint32_t n, const float *kbps, struct lode_err *err)
{
	double bits = 0, per = LODE_LINK_OPPORTUNITY_BYTES * 8, all = 0;
	for (uint32_t i = 0; i < n; i++)
		all += (double)kbps[i];
	l->trace =
		malloc(sizeof(*l->trace) + ((size_t)(all / per) + n + 2) * sizeof(l->trace->ms[0]));
	if (!l->trace)
		return lode_err_set(err, -ENOMEM, "no memory for a trace");
	l->trace->n = 0;
	l->trace->period_ms = n;
	for (uint32_t i = 0; i < n; i++)
		for (bits += (double)kbps[i]; bits >= per; bits -= per)
			l->trace->ms[l->trace->n++] = i;
	l->trace->ms[l->trace->n++] = n;
	return 0;
}

static int make_capacity(
	struct session_link *l, uint32_t n, char name[LODE_LEARN_NAME_BYTES], struct lode_err *err)
{
	float *kbps = calloc(n, sizeof(*kbps));
	if (!kbps)
		return lode_err_set(err, -ENOMEM, "no memory for a trace");
	if (chance(&l->rng, 0.8)) {
		const struct real_trace *t = &l->real->traces[lode_rng_below(&l->rng, l->real->n)];
		from_real(l, t, n, kbps);
		snprintf(name, LODE_LEARN_NAME_BYTES, "%s", t->name);
	} else {
		steps(l, n, kbps);
		snprintf(name, LODE_LEARN_NAME_BYTES, "steps-%u",
			(unsigned)lode_rng_below(&l->rng, 10));
	}
	l->mean_kbps = scale(l, n, kbps);
	if (chance(&l->rng, 0.6))
		share_with_others(l, n, kbps);
	int rc = to_opportunities(l, n, kbps, err);
	free(kbps);
	return rc;
}

/* ---- the radio ---- */

static void new_regime(struct session_link *l, uint32_t ms)
{
	struct radio *r = &l->radio;
	l->regime_until_ms = ms + (uint32_t)between(&l->rng, 2000, 12000);
	r->loss = (double)l->real->losses[lode_rng_below(&l->rng, l->real->n_losses)];
	r->bad_ms = log_between(&l->rng, 2, 120);
	r->bad_loss = LODE_MAX(between(&l->rng, 0.2, 1), LODE_MIN(2 * r->loss, 1.0));
	r->good_ms = r->loss > 0 ? r->bad_ms * (r->bad_loss / r->loss - 1) : 1e9;
}

static void apply(struct session_link *l, uint32_t ms)
{
	bool handover = ms < l->handover_until_ms;
	l->config.loss = LODE_MAX(l->random_loss, l->bad ? l->radio.bad_loss : 0);
	if (handover)
		l->config.loss = LODE_MAX(l->config.loss, 0.95);
}

bool session_link_step(struct session_link *l, uint32_t ms)
{
	bool was_bad = l->bad, changed = ms == l->handover_until_ms;
	if (l->has_radio) {
		if (ms >= l->regime_until_ms)
			new_regime(l, ms);
		l->bad = chance(&l->rng, 1 / (l->bad ? l->radio.bad_ms : l->radio.good_ms)) !=
			 l->bad;
		changed |= l->bad != was_bad;
	}
	if (l->has_handover && (ms + LODE_LOSS_PHASE_MS - MARK_MS) % LODE_LOSS_PHASE_MS == 0) {
		l->handover_until_ms = ms + (uint32_t)between(&l->rng, 20, 150);
		l->config.delay_ns =
			l->delay_ns + (uint64_t)(between(&l->rng, 0, 20) * (double)LODE_NS_PER_MS);
		changed = true;
	}
	if (changed)
		apply(l, ms);
	return changed;
}

/* ---- all of it ---- */

int session_link_init(struct session_link *l, const struct real_traces *real, uint64_t seed,
	uint32_t length_ms, char name[LODE_LEARN_NAME_BYTES], struct lode_err *err)
{
	*l = (struct session_link){.real = real};
	lode_rng_seed(&l->rng, seed);
	int rc = make_capacity(l, length_ms, name, err);
	if (rc)
		return rc;
	double queue_ms = log_between(&l->rng, 10, 300);
	double queue_pkts = l->mean_kbps / 8 * queue_ms / 1300;
	l->delay_ns = (uint64_t)(log_between(&l->rng, 3, 60) * (double)LODE_NS_PER_MS);
	l->has_radio = chance(&l->rng, 0.5);
	l->has_handover = chance(&l->rng, 0.25);
	l->random_loss = chance(&l->rng, 0.3) ? log_between(&l->rng, 0.0002, 0.02) : 0;
	l->config = (struct lode_link_config){.trace = l->trace,
		.delay_ns = l->delay_ns,
		.queue_pkts = (uint32_t)LODE_MAX(queue_pkts, 6.0)};
	if (chance(&l->rng, 0.4))
		l->config.jitter_ns = l->delay_ns / 10;
	apply(l, 0);
	return 0;
}

void session_link_fini(struct session_link *l)
{
	free(l->trace);
}
