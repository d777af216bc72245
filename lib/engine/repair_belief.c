/* SPDX-License-Identifier: BSD-3-Clause */
/* What is believed of a path's loss: a grid of Gilbert-Elliott channels in which all packets of the bad state
 * are lost, and how likely each of them is after what was told. */
#include "lode_repair.h"

#include <math.h>

#define REGIME_NS   (5.0 * (double)LODE_NS_PER_S) /* a channel lasts, in the mean; */
#define REGIME_PKTS 5000.0f			  /* on a slow path it lasts longer, */
#define CLEAN_START 50000.0f			  /* and where nothing was lost for long */
#define CLEAN_MAX   1e7f
#define CLEAN	    0.4	  /* chance that the next one loses nothing */
#define CLEAN_LOSS  2e-5  /* of a channel that loses nothing */
#define RUNS_MIN    1e-12 /* less is rounding */
#define FORESEEN    0.25  /* weight of another's word against what is believed */
#define CHANGE_MIN  1e-7f /* nothing is ever impossible */

static const float bursts[LODE_REPAIR_BURSTS] = {1, 2, 4, 8};
static const float burst_prior[LODE_REPAIR_BURSTS] = {0.4f, 0.3f, 0.2f, 0.1f};

static float prior(unsigned level, unsigned burst)
{
	return burst_prior[burst] *
	       (level ? (1 - (float)CLEAN) / (LODE_REPAIR_LEVELS - 1) : (float)CLEAN);
}

void lode_repair_belief_init(struct lode_repair_belief *b)
{
	memset(b, 0, sizeof(*b));
	memcpy(b->p[0], burst_prior, sizeof(burst_prior));
	b->clean_pkts = CLEAN_START;
}

/* Logarithm of how likely it was that a channel does what was seen. */
static float likelihood(unsigned level, unsigned burst, float good, float lost, float runs)
{
	float loss = level ? (float)lode_repair_level(level) : (float)CLEAN_LOSS;
	float stay = LODE_MAX(1 - 1 / bursts[burst], loss);
	float enter = loss * (1 - stay) / (1 - loss);
	if (lost <= 0)
		return good * log1pf(-enter);
	return runs * (logf(enter) + logf(1 - stay)) +
	       LODE_MAX(good - runs, 0.0f) * log1pf(-enter) + (lost - runs) * logf(stay);
}

/* Chance that the channel has become another one. What never happened in so many packets will hardly happen in
 * the next (Laplace). */
static float change_of(const struct lode_repair_belief *b, uint64_t elapsed_ns, uint32_t sent_pkts)
{
	float by_time = (float)((double)elapsed_ns / REGIME_NS) * REGIME_PKTS;
	float change = LODE_MIN(by_time, (float)sent_pkts) / (REGIME_PKTS + b->clean_pkts);
	return LODE_MAX(LODE_MIN(change, 1.0f), CHANGE_MIN);
}

void lode_repair_belief_observe(struct lode_repair_belief *b, uint64_t elapsed_ns,
	uint32_t sent_pkts, uint32_t lost_pkts, double runs)
{
	float change = change_of(b, elapsed_ns, sent_pkts);
	float lost = (float)LODE_MIN(lost_pkts, sent_pkts), good = (float)sent_pkts - lost;
	b->clean_pkts = lost > 0 ? 0 : LODE_MIN(b->clean_pkts + good, CLEAN_MAX);
	float n_runs = LODE_MIN(LODE_MAX((float)runs, lost > 0 ? 1.0f : 0.0f), lost);
	float like[LODE_REPAIR_LEVELS][LODE_REPAIR_BURSTS], most = -INFINITY, sum = 0;
	for (unsigned k = 0; k < LODE_REPAIR_LEVELS; k++) {
		for (unsigned i = 0; i < LODE_REPAIR_BURSTS; i++) {
			like[k][i] = likelihood(k, i, good, lost, n_runs);
			most = LODE_MAX(most, like[k][i]);
		}
	}
	for (unsigned k = 0; k < LODE_REPAIR_LEVELS; k++) {
		for (unsigned i = 0; i < LODE_REPAIR_BURSTS; i++) {
			b->p[k][i] += change * (prior(k, i) - b->p[k][i]);
			b->p[k][i] *= expf(like[k][i] - most);
			sum += b->p[k][i];
		}
	}
	for (unsigned k = 0; k < LODE_REPAIR_LEVELS; k++)
		for (unsigned i = 0; i < LODE_REPAIR_BURSTS; i++)
			b->p[k][i] /= sum;
}

/* ---- as a path of a decision ---- */

void lode_repair_path_believe(struct lode_repair_path *path, const struct lode_repair_belief *b)
{
	double runs = 0, lost = 0;
	for (unsigned k = 0; k < LODE_REPAIR_LEVELS; k++) {
		double level = lode_repair_level(k);
		path->loss[k] = 0;
		for (unsigned i = 0; i < LODE_REPAIR_BURSTS; i++) {
			path->loss[k] += (double)b->p[k][i];
			lost += level * (double)b->p[k][i];
			runs += level * (double)(b->p[k][i] / bursts[i]);
		}
	}
	path->burst = runs > RUNS_MIN ? lost / runs : 1;
}

double lode_repair_path_loss(const struct lode_repair_path *path)
{
	double sum = 0;
	for (unsigned k = 1; k < LODE_REPAIR_LEVELS; k++)
		sum += lode_repair_level(k) * path->loss[k];
	return sum;
}

/* Bursts at random times among the packets, or that share of them: whichever is less. */
static double foreseen_loss(const struct lode_repair_foreseen *f)
{
	double n_bursts = -log1p(-LODE_MIN(f->any, 0.999));
	return LODE_MIN(n_bursts * f->burst / LODE_MAX(f->n_pkts, 1.0), f->any * f->share);
}

void lode_repair_path_foresee(
	struct lode_repair_path *path, const struct lode_repair_foreseen *foreseen)
{
	double mean = lode_repair_path_loss(path);
	double want = mean + FORESEEN * (foreseen_loss(foreseen) - mean);
	unsigned k = 1;
	if (!(want > mean))
		return;
	while (k < LODE_REPAIR_LEVELS - 1 && lode_repair_level(k) < want)
		k++;
	double part = LODE_MIN((want - mean) / LODE_MAX(lode_repair_level(k) - mean, 1e-9), 1.0);
	for (unsigned i = 0; i < LODE_REPAIR_LEVELS; i++)
		path->loss[i] *= 1 - part;
	path->loss[k] += part;
	path->burst = LODE_MAX(path->burst, foreseen->burst);
}
