/* SPDX-License-Identifier: BSD-3-Clause */
/* The code over a bursty channel as a Markov chain over (channel good or bad, deficit). Slots are packets
 * on the wire that may be lost; a repair follows a source whenever 256 / rate of them have gone
 * by. Used to make the table and to test it, never on a path. */
#include "lode_repair.h"

#define DEFICIT_MAX 160
#define WARM_UP	    1200 /* sources before the first one that is looked at */
#define N_TAGGED    8	 /* sources whose fate is followed, spread over the phases of the rate */

struct chain {
	double enter, stay, density;
	double p[2][DEFICIT_MAX + 1]; /* [bad][deficit] */
};

static void chain_init(struct chain *c, const struct lode_repair_channel *channel)
{
	double bad = LODE_MIN(channel->loss / channel->density, 0.95);
	memset(c, 0, sizeof(*c));
	/* Without memory a bad packet follows a bad one as often as any other. */
	c->stay = LODE_MAX(1 - 1 / LODE_MAX(channel->bad_pkts, 1.0), bad);
	c->enter = bad * (1 - c->stay) / (1 - bad);
	c->density = channel->density;
	c->p[0][0] = 1 - bad;
	c->p[1][0] = bad;
}

/* The channel goes on by one packet. */
static void step(struct chain *c)
{
	for (unsigned d = 0; d <= DEFICIT_MAX; d++) {
		double good = c->p[0][d], bad = c->p[1][d];
		c->p[0][d] = good * (1 - c->enter) + bad * (1 - c->stay);
		c->p[1][d] = good * c->enter + bad * c->stay;
	}
}

/* A source is sent: lost, it adds to the deficit. */
static void send_source(struct chain *c)
{
	step(c);
	double most = c->p[1][DEFICIT_MAX] * c->density; /* no deficit is larger */
	for (unsigned d = DEFICIT_MAX; d > 0; d--)
		c->p[1][d] = c->p[1][d] * (1 - c->density) + c->p[1][d - 1] * c->density;
	c->p[1][DEFICIT_MAX] += most;
	c->p[1][0] *= 1 - c->density;
}

/* A repair is sent: arrived, it takes one off. Where bad times take but a share of the sources, it goes over a path
 * that is not bad. */
static void send_repair(struct chain *c)
{
	bool elsewhere = c->density < 1;
	if (!elsewhere)
		step(c);
	for (unsigned d = 0; d < DEFICIT_MAX; d++) {
		double good = c->p[0][d + 1], bad = elsewhere ? c->p[1][d + 1] : 0;
		c->p[0][d] += good;
		c->p[1][d] += bad;
		c->p[0][d + 1] -= good;
		c->p[1][d + 1] -= bad;
	}
}

/* What is left of those that have not been without a deficit since. */
static void absorb(struct chain *c)
{
	c->p[0][0] = c->p[1][0] = 0;
}

static double mass(const struct chain *c)
{
	double sum = 0;
	for (unsigned d = 0; d <= DEFICIT_MAX; d++)
		sum += c->p[0][d] + c->p[1][d];
	return sum;
}

/* Of the sources sent now: the share that is lost and stays so for `window` sources. */
static double stays_lost(struct chain c, unsigned window, unsigned rate_q8, unsigned credit)
{
	step(&c);
	double most = c.p[1][DEFICIT_MAX] * c.density;
	for (unsigned d = DEFICIT_MAX; d > 0; d--) {
		c.p[0][d] = 0;
		c.p[1][d] = c.p[1][d - 1] * c.density;
	}
	c.p[1][DEFICIT_MAX] += most;
	absorb(&c);
	for (unsigned i = 0; i < window; i++) {
		if (i > 0)
			send_source(&c);
		for (credit += rate_q8; credit >= 256; credit -= 256) {
			send_repair(&c);
			absorb(&c);
		}
	}
	return mass(&c);
}

double lode_repair_model_residual(
	const struct lode_repair_channel *channel, unsigned window, unsigned rate_q8)
{
	struct chain c;
	unsigned credit = 0, n_tagged = 0;
	double sum = 0;
	chain_init(&c, channel);
	for (unsigned i = 0; n_tagged < N_TAGGED; i++) {
		if (i >= WARM_UP && (i - WARM_UP) % 13 == 0) {
			sum += stays_lost(c, window, rate_q8, credit);
			n_tagged++;
		}
		send_source(&c);
		for (credit += rate_q8; credit >= 256; credit -= 256)
			send_repair(&c);
	}
	return sum / N_TAGGED;
}
