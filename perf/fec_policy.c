/* SPDX-License-Identifier: BSD-3-Clause */
/* A stream of 1000 packets/s over 1 to 4 striped paths whose losses change their rate and burst length every few
 * seconds (Gilbert-Elliott). Parity by lode_repair_decide from reports that are 40 ms old (averages, and what
 * the classic predictor foresees), against fixed rates with the same mean overhead and against the same policy told the true rate and
 * burst length. Missing: not there 20 ms after its time. Real encoder and decoder over empty symbols. */
#include "fec_rows.h"

#include "lode_loss.h"
#include "lode_repair.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define N_PKTS	     150000
#define DEADLINE     20 /* packets, at 1 ms each */
#define WINDOW	     256
#define PATHS_MAX    4
#define REPORT_SLOTS 4 /* 10 ms slots until the sender knows */
#define RESIDUAL     1e-3

struct path {
	double rate, burst; /* of the regime */
	unsigned left;	    /* packets of the stream until it changes */
	bool bad, was_lost;
	struct lode_rng rng, regimes; /* the same in every run */
	struct lode_repair_loss seen;
	struct lode_loss_window now, told[REPORT_SLOTS];
	struct lode_loss *loss;
};

enum knowledge { FIXED, PREDICTED, TRUE_LOSS };

struct run {
	enum knowledge knowledge;
	double scale;  /* of the policy's rate */
	unsigned k, r; /* of FIXED */
	unsigned n_paths, n_sent;
	struct path path[PATHS_MAX];
	struct lode_loss_stats *stats;
	bool here[WINDOW];
	uint32_t newest;
	unsigned rate_q8, span;
};

struct outcome {
	double missing, overhead;
};

static void change_regime(struct path *p)
{
	static const double rates[] = {0, 0, 0.002, 0.01, 0.03, 0.05, 0.1}, bursts[] = {1, 1, 2, 4};
	p->rate = rates[lode_rng_below(&p->regimes, LODE_ARRAY_LEN(rates))];
	p->burst = bursts[lode_rng_below(&p->regimes, LODE_ARRAY_LEN(bursts))];
	p->left = 2000 + (unsigned)lode_rng_below(&p->regimes, 6000);
}

static bool lose(struct path *p)
{
	double leave = 1 / p->burst, enter = leave * p->rate / (1 - p->rate);
	if (p->burst <= 1)
		p->bad = lode_rng_unit(&p->rng) < p->rate;
	else
		p->bad = lode_rng_unit(&p->rng) < (p->bad ? 1 - leave : enter);
	return p->bad;
}

/* One packet of the stream or of parity over the next path. */
static bool send_one(struct run *r)
{
	struct path *p = &r->path[r->n_sent++ % r->n_paths];
	bool lost = lose(p);
	p->now.sent_pkts++;
	p->now.lost_pkts += lost;
	p->now.delivered_pkts += !lost;
	p->now.loss_bursts += lost && !p->was_lost;
	p->was_lost = lost;
	return !lost;
}

/* The predictor hears of each 10 ms what is known by then. */
static void end_slot(struct run *r, struct path *p, uint32_t seq)
{
	struct lode_loss_window *told = &p->told[seq / 10 % REPORT_SLOTS], w = *told;
	*told = p->now;
	w.sent_pkts = p->now.sent_pkts;
	w.end_ns = (seq + 1) * LODE_NS_PER_MS;
	w.told_age_us = REPORT_SLOTS * 10000;
	w.rtt_us = w.min_rtt_us = 60000;
	lode_repair_loss_observe(&p->seen, w.delivered_pkts + w.lost_pkts, w.lost_pkts,
		w.loss_bursts ? (double)w.lost_pkts / w.loss_bursts : 1);
	w.longest_burst = w.loss_bursts ? w.lost_pkts / w.loss_bursts : 0;
	w.phase_ms = UINT32_MAX;
	lode_loss_observe(p->loss, &w, r->stats);
	lode_loss_decide(p->loss, NULL, NULL, NULL, r->stats);
	memset(&p->now, 0, sizeof(p->now));
}

static void decide(struct run *r)
{
	struct lode_repair_decision d;
	struct lode_repair_input in = {.scheme = LODE_REPAIR_SCHEME_AUTO,
		.deadline_ns = DEADLINE * LODE_NS_PER_MS,
		.residual = RESIDUAL,
		.rtt_ns = 60 * LODE_NS_PER_MS,
		.pps = 1000,
		.copies = 1,
		.n_paths = r->n_paths};
	for (unsigned i = 0; i < r->n_paths; i++) {
		const struct path *p = &r->path[i];
		const struct lode_loss_forecast *f = lode_loss_newest(p->loss);
		bool known = r->knowledge == TRUE_LOSS;
		in.paths[i] = (struct lode_repair_path){.weight = 1.0 / r->n_paths,
			.loss = known ? p->rate
				      : LODE_MAX(
						f->loss_ppm / 1e6, lode_repair_loss_rate(&p->seen)),
			.burst = known ? p->burst : p->seen.burst};
	}
	lode_repair_decide(&in, &d);
	r->rate_q8 = (unsigned)LODE_MIN(d.rate_q8 * r->scale + 0.5, 512.0);
	r->span = d.span;
}

static const uint8_t *find(void *ctx, uint32_t seq, uint16_t *len)
{
	static const uint8_t nothing;
	const struct run *r = ctx;
	*len = 0;
	return r->newest - seq < WINDOW && r->here[seq % WINDOW] ? &nothing : NULL;
}

static void start(struct run *r, void *memory)
{
	for (unsigned i = 0; i < r->n_paths; i++) {
		struct path *p = &r->path[i];
		memset(p, 0, sizeof(*p));
		lode_rng_seed(&p->rng, 10 + i);
		lode_rng_seed(&p->regimes, 20 + i);
		p->loss = lode_loss_init(
			(uint8_t *)memory + i * lode_loss_bytes(), i / (double)PATHS_MAX, 0);
		change_regime(p);
	}
	memset(r->here, 0, sizeof(r->here));
	r->n_sent = 0;
	r->rate_q8 = 256 * r->r / LODE_MAX(r->k, 1);
	r->span = r->k;
}

static void every_slot(struct run *r, uint32_t seq)
{
	for (unsigned i = 0; i < r->n_paths; i++) {
		struct path *p = &r->path[i];
		end_slot(r, p, seq);
		p->left -= LODE_MIN(p->left, 10u);
		if (p->left == 0)
			change_regime(p);
	}
	if (r->knowledge != FIXED)
		decide(r);
}

static struct outcome stream(struct run *r, const struct lode_fec_tables *tables)
{
	void *memory[] = {aligned_alloc(LODE_CACHE_LINE, lode_fec_encoder_bytes(LODE_CACHE_LINE)),
		aligned_alloc(LODE_CACHE_LINE, lode_fec_decoder_bytes(LODE_CACHE_LINE)),
		aligned_alloc(LODE_CACHE_LINE, PATHS_MAX * lode_loss_bytes())};
	struct lode_fec_encoder *e = lode_fec_encoder_init(memory[0], tables, LODE_CACHE_LINE);
	struct lode_fec_decoder *d = lode_fec_decoder_init(memory[1], tables, LODE_CACHE_LINE);
	struct lode_fec_sources sources = {r, find};
	struct lode_fec_recovered out[LODE_FEC_LOST_MAX];
	struct lode_fec_repair repair;
	unsigned n_missing = 0;
	start(r, memory[2]);
	for (uint32_t seq = 0; seq < N_PKTS; seq++) {
		if (seq >= DEADLINE)
			n_missing += !r->here[(seq - DEADLINE) % WINDOW];
		r->newest = seq;
		r->here[seq % WINDOW] = send_one(r);
		lode_fec_encoder_set(e, (uint16_t)r->rate_q8, (uint8_t)LODE_MAX(r->span, 1));
		for (bool due = lode_fec_encoder_add(e, seq, NULL, 0, &repair); due;
			due = lode_fec_encoder_due(e, &repair)) {
			if (!send_one(r))
				continue;
			lode_fec_decoder_repair(d, &repair);
			unsigned n =
				lode_fec_decoder_solve(d, seq > 100 ? seq - 100 : 0, &sources, out);
			for (unsigned i = 0; i < n; i++)
				r->here[out[i].seq % WINDOW] = true;
		}
		if (seq % 10 == 9)
			every_slot(r, seq);
	}
	for (unsigned i = 0; i < LODE_ARRAY_LEN(memory); i++)
		free(memory[i]);
	return (struct outcome){(double)n_missing / N_PKTS, (double)r->n_sent / N_PKTS - 1};
}

/* The scale at which that policy has the wanted overhead, or (missing) leaves as many missing. */
static struct outcome match(
	struct run *r, const struct lode_fec_tables *tables, double want, bool missing)
{
	double low = 0, high = 8;
	struct outcome o = {0, 0};
	for (unsigned i = 0; i < 10; i++) {
		r->scale = (low + high) / 2;
		o = stream(r, tables);
		if (missing ? o.missing > want : o.overhead < want)
			low = r->scale;
		else
			high = r->scale;
	}
	return o;
}

static void against_fixed(struct lode_perf *p, const struct lode_fec_tables *tables,
	struct lode_loss_stats *stats, unsigned n_paths, double *worst)
{
	static const unsigned settings[][2] = {{10, 1}, {10, 2}, {15, 2}, {15, 4}, {20, 10}};
	for (unsigned i = 0; i < LODE_ARRAY_LEN(settings); i++) {
		char name[64];
		struct run fixed = {.k = settings[i][0],
			.r = settings[i][1],
			.n_paths = n_paths,
			.stats = stats};
		struct run adaptive = {.knowledge = PREDICTED, .n_paths = n_paths, .stats = stats};
		snprintf(name, sizeof(name), "adaptive against %u:%u, %u path%s", fixed.k, fixed.r,
			n_paths, n_paths > 1 ? "s" : "");
		lode_perf_progress(p, "%s", name);
		struct outcome f = stream(&fixed, tables);
		struct outcome a = match(&adaptive, tables, f.overhead, false);
		lode_perf_row(p, name, "fixed: missing", 100 * f.missing, "%", NULL, NAN);
		lode_perf_row(p, name, "adaptive: missing", 100 * a.missing, "%", "fixed",
			f.missing / LODE_MAX(a.missing, 1e-7));
		*worst = LODE_MAX(*worst, a.missing / f.missing);
	}
}

static void against_truth(struct lode_perf *p, const struct lode_fec_tables *tables,
	struct lode_loss_stats *stats, unsigned n_paths)
{
	char name[64];
	struct run adaptive = {
		.knowledge = PREDICTED, .scale = 1, .n_paths = n_paths, .stats = stats};
	struct run told = {.knowledge = TRUE_LOSS, .n_paths = n_paths, .stats = stats};
	snprintf(name, sizeof(name), "adaptive against true loss, %u path%s", n_paths,
		n_paths > 1 ? "s" : "");
	lode_perf_progress(p, "%s", name);
	struct outcome a = stream(&adaptive, tables);
	struct outcome t = match(&told, tables, a.missing, true);
	lode_perf_row(p, name, "missing", 100 * a.missing, "%", NULL, NAN);
	lode_perf_row(p, name, "overhead", 100 * a.overhead, "%", "same policy, true loss",
		t.overhead / a.overhead);
}

void fec_policy(struct lode_perf *p, const struct lode_fec_tables *tables)
{
	static const unsigned n_paths[] = {1, 2, 4};
	if (!lode_perf_wanted(p, "adaptive"))
		return;
	struct lode_loss_stats *stats = calloc(1, sizeof(*stats));
	for (unsigned i = 0; stats && i < LODE_ARRAY_LEN(n_paths); i++) {
		char name[64];
		double worst = 0;
		against_fixed(p, tables, stats, n_paths[i], &worst);
		snprintf(name, sizeof(name), "adaptive, %u path%s", n_paths[i],
			n_paths[i] > 1 ? "s" : "");
		lode_perf_row(
			p, name, "missing, worst against a fixed rate", worst, "x", NULL, NAN);
		against_truth(p, tables, stats, n_paths[i]);
	}
	free(stats);
}
