/* SPDX-License-Identifier: BSD-3-Clause */
/* Windows of a gateway or simulator as records of the older project. State, reward and actions are those that its
 * published weights were trained on: RTT in 500 ms, throughput in 100 Mbit/s, queueing above 50 ms is punished, an
 * action multiplies the congestion window. */
#include "lode_learn.h"

#include <math.h>
#include <stdlib.h>

#define PENDING	       128 /* windows whose outcome is not known yet: a power of two */
#define STEP_NS	       (20 * LODE_NS_PER_MS)
#define RTT_US	       500000.0
#define TARGET_RTT_US  50000.0
#define TARGET_KBPS    100000.0
#define INFLIGHT_PKTS  1000.0
#define PKT_BYTES      1200.0
#define LOSS_PENALTY   10.0
#define THROUGHPUT_MIN 1e-3 /* the logarithm needs one */
#define CHANGED	       0.12 /* of the window: less is the same action still */

enum { RTT, GRADIENT, THROUGHPUT, LOSS, CWND, INFLIGHT, QUEUE, IN_STATE };

struct pending {
	struct lode_loss_window window;
	float occupancy;
};

struct lode_learn_digest {
	struct lode_learn_export *e;
	struct lode_loss *loss;
	struct lode_loss_stats *stats;
	struct pending pending[PENDING];
	uint64_t n_seen, n_labelled; /* windows of the series */
	/* the step before */
	bool stepped;
	double state[LODE_LEARN_DRL_STATE], cwnd_bytes;
	uint64_t step_ns, changed_ns;
	uint32_t delivered_pkts, lost_pkts; /* since */
};

struct lode_learn_digest *lode_learn_digest_new(struct lode_learn_export *e)
{
	struct lode_learn_digest *d = calloc(1, sizeof(*d));
	if (!d)
		return NULL;
	d->e = e;
	d->loss = aligned_alloc(LODE_CACHE_LINE, lode_loss_bytes());
	d->stats = calloc(1, sizeof(*d->stats));
	e->loss = calloc(LODE_LEARN_EXPORT_MAX, sizeof(*e->loss));
	e->drl = calloc(LODE_LEARN_EXPORT_MAX, sizeof(*e->drl));
	if (d->loss && d->stats && e->loss && e->drl)
		return d;
	lode_learn_export_free(e);
	lode_learn_digest_free(d);
	return NULL;
}

void lode_learn_digest_free(struct lode_learn_digest *d)
{
	if (!d)
		return;
	free(d->loss);
	free(d->stats);
	free(d);
}

static void begin_series(struct lode_learn_digest *d)
{
	if (d->stepped && d->e->n_drl > 0)
		d->e->drl[d->e->n_drl - 1].done = true;
	lode_loss_init(d->loss, 0, 0);
	d->n_seen = d->n_labelled = 0;
	d->stepped = false;
	d->delivered_pkts = d->lost_pkts = 0;
}

/* ---- loss samples ---- */

static void put_loss(struct lode_learn_digest *d, const struct pending *p, float future_loss)
{
	if (d->e->n_loss < LODE_LEARN_EXPORT_MAX)
		lode_learn_loss_sample_of(&p->window, p->window.end_ns / LODE_NS_PER_MS,
			p->occupancy, future_loss, &d->e->loss[d->e->n_loss++]);
}

/* Windows whose outcome has been reported by now. */
static void label(struct lode_learn_digest *d)
{
	for (; d->n_labelled < d->n_seen; d->n_labelled++) {
		const struct pending *p = &d->pending[d->n_labelled % PENDING];
		struct lode_loss_outcome o;
		uint64_t end_ns = p->window.end_ns;
		int rc = lode_loss_get_outcome(
			d->loss, end_ns + LODE_LOSS_NEAR_NS, end_ns + LODE_LOSS_FAR_NS, &o);
		if (rc == -EAGAIN && d->n_seen - d->n_labelled < PENDING)
			return;
		if (rc == 0)
			put_loss(d, p, o.lost_pkts / o.sent_pkts);
	}
}

static void add_loss(struct lode_learn_digest *d, const struct lode_learn_record *r)
{
	const struct lode_learn_truth *t = &r->truth;
	struct pending *p = &d->pending[d->n_seen % PENDING];
	float features[LODE_LEARN_DRL_STATE];
	lode_loss_observe(d->loss, &r->window, d->stats);
	lode_loss_newest_features(d->loss, &lode_schema_oxidize_seed, features);
	*p = (struct pending){r->window, features[LODE_LEARN_DRL_STATE - 1]};
	d->n_seen++;
	if (!t->known) {
		label(d);
		return;
	}
	d->n_labelled = d->n_seen;
	uint32_t lost = (uint32_t)t->lost_queue + t->lost_radio + t->lost_handover + t->lost_random;
	if (t->sent > 0)
		put_loss(d, p, (float)lost / (float)t->sent);
}

/* ---- experiences ---- */

static double share(double value, double most)
{
	return LODE_MIN(LODE_MAX(value / most, 0.0), 1.0);
}

static void state_of(const struct lode_learn_digest *d, const struct lode_loss_window *w,
	double s[LODE_LEARN_DRL_STATE])
{
	double bdp_bytes = w->delivery_kbps / 8.0 * w->min_rtt_us / 1000;
	double told = (double)d->delivered_pkts + d->lost_pkts;
	s[RTT] = share(w->rtt_us, RTT_US);
	s[GRADIENT] = d->stepped ? s[RTT] - d->state[RTT] : 0;
	s[THROUGHPUT] = share(w->delivery_kbps, TARGET_KBPS);
	s[LOSS] = told > 0 ? d->lost_pkts / told : 0;
	s[CWND] = share(w->cwnd_bytes, 2 * LODE_MAX(bdp_bytes, PKT_BYTES));
	s[INFLIGHT] = share(w->inflight_bytes / PKT_BYTES, INFLIGHT_PKTS);
	s[QUEUE] = (double)d->pending[(d->n_seen - 1) % PENDING].occupancy;
	s[IN_STATE] = share((double)(w->end_ns - d->changed_ns), (double)LODE_NS_PER_S);
}

/* The action whose multiple is nearest. */
static uint32_t action_of(double before_bytes, double after_bytes)
{
	static const double multiples[] = {0.5, 0.75, 1, 1.25, 1.5, 2};
	double multiple = after_bytes / LODE_MAX(before_bytes, 1.0);
	uint32_t best = 0;
	for (uint32_t i = 1; i < LODE_ARRAY_LEN(multiples); i++)
		if (fabs(log(multiples[i] / LODE_MAX(multiple, 0.01))) <
			fabs(log(multiples[best] / LODE_MAX(multiple, 0.01))))
			best = i;
	return best;
}

static void put_experience(struct lode_learn_digest *d, const struct lode_loss_window *w,
	const double next[LODE_LEARN_DRL_STATE])
{
	double late = LODE_MAX(w->rtt_us / TARGET_RTT_US - 1, 0.0);
	if (d->e->n_drl >= LODE_LEARN_EXPORT_MAX)
		return;
	struct lode_learn_drl_experience *x = &d->e->drl[d->e->n_drl++];
	*x = (struct lode_learn_drl_experience){.action = action_of(d->cwnd_bytes, w->cwnd_bytes),
		.throughput_reward = log(LODE_MAX(next[THROUGHPUT], THROUGHPUT_MIN)) + 1,
		.latency_penalty = -4 * late * late,
		.loss_penalty = -LOSS_PENALTY * next[LOSS]};
	x->total = x->throughput_reward + x->latency_penalty + x->loss_penalty;
	memcpy(x->state, d->state, sizeof(x->state));
	memcpy(x->next_state, next, sizeof(x->next_state));
}

static void add_step(struct lode_learn_digest *d, const struct lode_loss_window *w)
{
	double state[LODE_LEARN_DRL_STATE], cwnd_bytes = w->cwnd_bytes;
	d->delivered_pkts += w->delivered_pkts;
	d->lost_pkts += w->lost_pkts;
	uint64_t step_ns = LODE_MAX(w->rtt_us * LODE_NS_PER_US, STEP_NS);
	if (w->rtt_us == 0 || (d->stepped && w->end_ns < d->step_ns + step_ns))
		return;
	if (!d->stepped || fabs(cwnd_bytes - d->cwnd_bytes) > CHANGED * d->cwnd_bytes)
		d->changed_ns = w->end_ns;
	state_of(d, w, state);
	if (d->stepped)
		put_experience(d, w, state);
	memcpy(d->state, state, sizeof(state));
	d->cwnd_bytes = cwnd_bytes;
	d->stepped = true;
	d->step_ns = w->end_ns;
	d->delivered_pkts = d->lost_pkts = 0;
}

void lode_learn_digest_add(struct lode_learn_digest *d, const struct lode_learn_record *record)
{
	if (record->kind == LODE_LEARN_SERIES) {
		begin_series(d);
		return;
	}
	if (d->n_seen == 0 && !d->stepped)
		begin_series(d);
	add_loss(d, record);
	add_step(d, &record->window);
}
