/* SPDX-License-Identifier: BSD-3-Clause */
#include "lode_engine.h"
#ifdef LODE_TUNE
#include <stdlib.h>
static double tune(int i, double dflt)
{
	char name[16] = "TUNE_A";
	name[5] = (char)('A' + i);
	const char *v = getenv(name);
	return v ? strtod(v, NULL) : dflt;
}
#else
#define tune(i, d) (d)
#endif

#define MSS  ((double)LODE_CC_MSS_BYTES)
#define MS   ((double)LODE_NS_PER_MS)
#define RING 32

enum phase { STARTUP, STEADY, DRAIN };

struct sample {
	float elapsed_ns, bytes;
};

struct classic {
	enum phase phase;
	struct sample ring[RING]; /* newest reports */
	uint32_t n;
	double window, rate; /* bytes, bytes per ns */
	double target_ns;
	uint64_t empty_ns; /* when the queue was seen empty last */
	uint64_t drain_end_ns;
	double lost_pkts, seen_pkts;
	double startup_best;
	uint32_t startup_flat;
	uint64_t round_ns;
	double min_rtt_ns;
};
static_assert(sizeof(struct classic) <= LODE_CC_STATE_BYTES, "state");

static void decide(const struct classic *c, double rtt_ns, struct lode_cc_decision *out)
{
	double gain = c->phase == STARTUP ? 2.0 : tune(3, 1.25);
	double bps = gain * c->window / rtt_ns * 8e9;
	bps = LODE_MIN(LODE_MAX(bps, (double)LODE_CC_RATE_MIN), (double)LODE_CC_RATE_MAX);
	out->pacing_bps = (uint64_t)bps;
	out->cwnd_bytes = (uint64_t)LODE_MAX(c->window, 4 * MSS);
}

static void init(void *state, const struct lode_cc_params *params, uint64_t now_ns,
	struct lode_cc_decision *out)
{
	struct classic *c = state;
	memset(c, 0, sizeof(*c));
	c->window = 32 * MSS;
	c->empty_ns = now_ns;
	c->target_ns = tune(0, 14) * MS;
	decide(c, 50 * MS, out);
	if (params->configured_bps)
		out->pacing_bps = params->configured_bps;
}

/* Delivery rate over the newest window_ns. */
static double rate_over(const struct classic *c, double window_ns)
{
	double ns = 0, bytes = 0;
	for (uint32_t i = 0; i < RING && i < c->n && ns < window_ns; i++) {
		const struct sample *s = &c->ring[(c->n - 1 - i) % RING];
		ns += s->elapsed_ns;
		bytes += s->bytes;
	}
	return ns > 0 ? bytes / ns : 0;
}

static void on_feedback(
	void *state, const struct lode_cc_interval *in, struct lode_cc_decision *out)
{
	struct classic *c = state;
	if (in->elapsed_ns == 0)
		return;
	double min_rtt = (double)in->min_rtt_ns, q = (double)in->queue_min_ns;
	c->min_rtt_ns = min_rtt;
	c->ring[c->n++ % RING] =
		(struct sample){(float)in->elapsed_ns, (float)in->delivered_bytes};
	double rate = rate_over(c, LODE_MAX(tune(1, 100) * MS, min_rtt));
	if (q < tune(4, 2) * MS)
		c->empty_ns = in->now_ns;
	if (c->phase == STARTUP) {
		if (q > 8 * MS || in->lost_pkts > 8) {
			c->phase = STEADY;
		} else {
			c->window = LODE_MAX(c->window + (double)in->delivered_bytes, c->window);
		}
	}
	if (c->phase == STEADY && in->now_ns - c->empty_ns > 5000 * LODE_NS_PER_MS) {
		c->phase = DRAIN;
		c->drain_end_ns = in->now_ns + (uint64_t)(2 * min_rtt + q);
	}
	if (c->phase == DRAIN) {
		c->window = 0.5 * rate * min_rtt;
		if (q < 2 * MS || in->now_ns > c->drain_end_ns) {
			c->phase = STEADY;
			c->empty_ns = in->now_ns;
		}
	}
	if (c->phase == STEADY)
		c->window = rate * (min_rtt + c->target_ns) + tune(2, 4) * MSS;
	decide(c, min_rtt + q, out);
}

static void on_timeout(void *state, uint64_t now_ns, struct lode_cc_decision *out)
{
	struct classic *c = state;
	c->window = 4 * MSS;
	decide(c, c->min_rtt_ns + 100 * MS, out);
}

static const char *phase(const void *state)
{
	static const char *const names[] = {"startup", "steady", "drain"};
	return names[((const struct classic *)state)->phase];
}

const struct lode_cc_ops lode_cc_classic = {.name = "classic",
	.init = init,
	.on_feedback = on_feedback,
	.on_timeout = on_timeout,
	.phase = phase};
