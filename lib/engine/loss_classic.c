/* SPDX-License-Identifier: BSD-3-Clause */
/* The classic predictor, which learns from outcomes as it runs. A moving average gives the first guess of a
 * chance of loss; a Markov chain corrects it: its state is the level of the moving average and whether the newest
 * reports told of loss (persistence), and per state it counts how often the 50 ms in question became lossy. */
#include "loss.h"

#define LEVELS	       6
#define DECAY	       0.9995f /* per outcome: half forgotten after 14 s */
#define PRIOR	       20.0f   /* outcomes that the first guess is worth */

static_assert(CELLS == LEVELS * 4, "levels of the average, three grades of persistence and none");

void classic_init(struct classic *c)
{
	c->share = 0.05f;
	c->burst = 1;
}

/* 0: loss below 0.05 %, then in steps of 4. */
static unsigned level_of(float loss)
{
	static const float edges[LEVELS - 1] = {0.0005f, 0.002f, 0.008f, 0.032f, 0.128f};
	unsigned level = 0;
	while (level < LEVELS - 1 && loss >= edges[level])
		level++;
	return level;
}

/* How long ago losses were told last: 0 this window, 1 the last 50 ms, 2 the last 200 ms, 3 longer. */
static unsigned recency(const struct lode_loss *l)
{
	float ms = newest_step(l)->since_loss_ms;
	return ms < 10 ? 0 : ms < 50 ? 1 : ms < 200 ? 2 : 3;
}

/* Independent bursts at the average rate over the packets to come. */
static float first_guess(const struct lode_loss *l)
{
	float rate = LODE_MIN(0.5f * (l->loss_fast + l->loss_slow), 0.99f);
	float bursts = LODE_MAX(l->classic.sent_pkts, 1.0f) / l->classic.burst;
	return 1 - powf(1 - rate, bursts);
}

float classic_any(const struct lode_loss *l, uint8_t *cell)
{
	*cell = (uint8_t)(4 * level_of(l->loss_fast) + recency(l));
	const struct cell *c = &l->classic.cells[*cell];
	float p = (c->n_lossy + PRIOR * first_guess(l)) / (c->n + PRIOR);
	return LODE_MIN(LODE_MAX(p, 1e-5f), 1 - 1e-5f);
}

void classic_learn(struct lode_loss *l, uint8_t cell, float sent_pkts, float lost_pkts)
{
	struct classic *c = &l->classic;
	bool lossy = lost_pkts >= 0.5f;
	struct cell *at = &c->cells[cell];
	at->n = at->n * DECAY + 1;
	at->n_lossy = at->n_lossy * DECAY + (lossy ? 1 : 0);
	c->sent_pkts += 0.02f * (sent_pkts - c->sent_pkts);
	if (!lossy)
		return;
	c->share += 0.02f * (LODE_MIN(lost_pkts / sent_pkts, 1.0f) - c->share);
}

float classic_share(const struct lode_loss *l)
{
	return l->classic.share;
}
