/* SPDX-License-Identifier: BSD-3-Clause */
/* A stream of 1000 packets/s over 1 to 4 striped paths whose losses change their rate and burst length every few
 * seconds (Gilbert-Elliott, rates drawn from a list or as a satellite dish measured them in a row). Parity by
 * lode_repair_decide from reports that are 40 ms old and the shipped predictor, against fixed rates with the same mean
 * overhead and against the same policy told the true rate and burst length of the next 200 ms. Missing: not there 20 ms
 * after its time. Real encoder and decoder over empty symbols. */
#include "fec_rows.h"

#include "lode_loss.h"
#include "lode_repair.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define N_PKTS	     300000
#define DEADLINE     20 /* packets, at 1 ms each */
#define WINDOW	     256
#define PATHS_MAX    4
#define SLOT_PKTS    10 /* 10 ms */
#define REPORT_SLOTS 4	/* until the sender knows */
#define TRUTH_PKTS   200
#define SEED	     10
#define RESIDUAL     1e-3 /* as the class wants it */
#define RESIDUAL_MIN 1e-6 /* where a given overhead is to be spent, whatever is left */
#define OUTAGE	     0.3  /* more loss is an outage: another path is the answer */
#define MEASURED_MAX 2048
#define BUDGET	     0.2
#define MISSING_MIN  20 /* of fewer packets no ratio means anything */

/* Where the loss rates of regimes come from. */
struct world {
	const char *name;
	unsigned n;
	double rates[MEASURED_MAX];
	bool in_order; /* one after the other, 5 s each; or drawn, 2 to 8 s */
};

struct path {
	const struct world *world;
	double rate, burst; /* of the regime */
	unsigned at, left;  /* in the world; packets of the stream until it changes */
	bool bad, was_lost;
	struct lode_rng rng, regimes; /* the same in every run */
	struct lode_repair_belief belief;
	struct lode_loss_window now, told[REPORT_SLOTS];
	struct lode_loss *loss;
};

enum knowledge { FIXED, PREDICTED, TRUE_LOSS };

struct run {
	const struct world *world;
	enum knowledge knowledge;
	double residual, price;
	double share;  /* of a budget that sets the price; 0: none */
	unsigned k, r; /* of FIXED */
	unsigned n_paths, n_sent, n_striped;
	uint64_t seed;
	struct path path[PATHS_MAX];
	const struct lode_loss_model *model;
	void *scratch;
	struct lode_loss_stats *stats;
	bool here[WINDOW];
	uint32_t newest;
	struct lode_repair_decision decision;
	struct lode_repair_budget budget;
	unsigned n_told; /* packets sent, as the budget knows */
};

struct outcome {
	double missing, overhead;
};

static void change_regime(struct path *p)
{
	static const double bursts[] = {1, 1, 2, 4};
	const struct world *w = p->world;
	if (w->in_order)
		p->at = (p->at + 1) % w->n;
	else
		p->at = (unsigned)lode_rng_below(&p->regimes, w->n);
	p->rate = w->rates[p->at];
	p->burst = bursts[lode_rng_below(&p->regimes, LODE_ARRAY_LEN(bursts))];
	p->left = w->in_order ? 5000 : 2000 + (unsigned)lode_rng_below(&p->regimes, 6000);
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

/* A fixed rate stripes whatever it sends over the paths in turn; so does the policy with its sources, though a lane
 * with capacity to spare would keep them off the paths that lose. */
static struct path *path_for(struct run *r, bool is_repair)
{
	const struct lode_repair_decision *d = &r->decision;
	if (is_repair && d->n_ranked > 0)
		return &r->path[d->ranked[0]];
	return &r->path[r->n_striped++ % r->n_paths];
}

static bool send_one(struct run *r, bool is_repair)
{
	struct path *p = path_for(r, is_repair);
	bool lost = lose(p);
	r->n_sent++;
	p->now.sent_pkts++;
	p->now.lost_pkts += lost;
	p->now.delivered_pkts += !lost;
	p->now.loss_bursts += lost && !p->was_lost;
	p->was_lost = lost;
	return !lost;
}

/* The sender hears of each 10 ms what is known by then. */
static void end_slot(struct run *r, struct path *p, uint32_t seq)
{
	struct lode_loss_window *told = &p->told[seq / SLOT_PKTS % REPORT_SLOTS], w = *told;
	*told = p->now;
	w.sent_pkts = p->now.sent_pkts;
	w.sent_bytes = w.sent_pkts * 1200;
	w.end_ns = (seq + 1) * LODE_NS_PER_MS;
	w.told_age_us = REPORT_SLOTS * 10000;
	w.rtt_us = w.min_rtt_us = 60000;
	w.longest_burst = w.loss_bursts ? w.lost_pkts / w.loss_bursts : 0;
	w.delivery_kbps = 10000;
	w.pacing_kbps = 20000;
	w.inflight_bytes = 60000;
	w.cwnd_bytes = 120000;
	w.phase_ms = UINT32_MAX;
	lode_repair_belief_observe(&p->belief, LODE_LOSS_WINDOW_NS, w.delivered_pkts + w.lost_pkts,
		w.lost_pkts, w.loss_bursts);
	lode_loss_observe(p->loss, &w, r->stats);
	lode_loss_decide(p->loss, r->model, r->scratch, NULL, r->stats);
	memset(&p->now, 0, sizeof(p->now));
}

static void believe(const struct run *r, const struct path *p, struct lode_repair_path *out)
{
	const struct lode_loss_forecast *f = lode_loss_newest(p->loss);
	*out = (struct lode_repair_path){.weight = 1.0 / r->n_paths};
	lode_repair_path_believe(out, &p->belief);
	const struct lode_repair_foreseen foreseen = {.any = f->any_ppm / 1e6,
		.share = (double)f->loss_ppm / LODE_MAX(f->any_ppm, 1u),
		.burst = f->burst_centi / 100.0,
		.n_pkts = 50.0 / r->n_paths};
	if (!f->congested)
		lode_repair_path_foresee(out, &foreseen);
}

/* What is lost in the mean over the next 200 ms, and in which bursts: the regime after this one is known too. */
static void foretell(const struct run *r, const struct path *p, struct lode_repair_path *out)
{
	struct path next = *p;
	double now = LODE_MIN(p->left, TRUTH_PKTS) / (double)TRUTH_PKTS;
	change_regime(&next);
	double lost = now * p->rate, then = (1 - now) * next.rate;
	*out = (struct lode_repair_path){.weight = 1.0 / r->n_paths, .burst = 1};
	lode_repair_level_add(out->loss, lost + then, 1);
	if (lost + then > 0)
		out->burst = (lost * p->burst + then * next.burst) / (lost + then);
}

static void decide(struct run *r)
{
	struct lode_repair_input in = {.scheme = LODE_REPAIR_SCHEME_AUTO,
		.deadline_ns = DEADLINE * LODE_NS_PER_MS,
		.residual = r->residual,
		.price = r->price,
		.rtt_ns = 60 * LODE_NS_PER_MS,
		.pps = 1000,
		.copies = 1,
		.n_paths = r->n_paths};
	for (unsigned i = 0; i < r->n_paths; i++) {
		if (r->knowledge == TRUE_LOSS)
			foretell(r, &r->path[i], &in.paths[i]);
		else
			believe(r, &r->path[i], &in.paths[i]);
	}
	lode_repair_decide(&in, &r->decision);
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
		*p = (struct path){.world = r->world};
		lode_rng_seed(&p->rng, r->seed + i);
		lode_rng_seed(&p->regimes, r->seed + 10 + i);
		lode_repair_belief_init(&p->belief);
		p->loss = lode_loss_init(
			(uint8_t *)memory + i * lode_loss_bytes(), i / (double)PATHS_MAX, 0);
		p->at = (unsigned)lode_rng_below(&p->regimes, r->world->n);
		change_regime(p);
	}
	memset(r->here, 0, sizeof(r->here));
	r->n_sent = r->n_striped = r->n_told = 0;
	r->budget = (struct lode_repair_budget){0};
	r->decision = (struct lode_repair_decision){
		.rate_q8 = (uint16_t)(256 * r->r / LODE_MAX(r->k, 1)), .span = (uint8_t)r->k};
}

static void every_slot(struct run *r, uint32_t seq)
{
	for (unsigned i = 0; i < r->n_paths; i++) {
		struct path *p = &r->path[i];
		if (r->knowledge == PREDICTED)
			end_slot(r, p, seq);
		p->left -= LODE_MIN(p->left, SLOT_PKTS);
		if (p->left == 0)
			change_regime(p);
	}
	if (r->share > 0) {
		lode_repair_budget_observe(&r->budget, SLOT_PKTS * LODE_NS_PER_MS, SLOT_PKTS,
			r->n_sent - r->n_told - SLOT_PKTS, r->share);
		r->price = lode_repair_budget_price(&r->budget);
		r->n_told = r->n_sent;
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
		r->here[seq % WINDOW] = send_one(r, false);
		lode_fec_encoder_set(e, r->decision.rate_q8, LODE_MAX(r->decision.span, 1));
		for (bool due = lode_fec_encoder_add(e, seq, NULL, 0, &repair); due;
			due = lode_fec_encoder_due(e, &repair)) {
			if (!send_one(r, true))
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

/* Makes *knob, a price or a residual to allow, so that the overhead is (or, missing, as many are missing as) `want`, or
 * a little less: the last that was not more. */
static struct outcome match(struct run *r, double *knob, const struct lode_fec_tables *tables,
	double want, bool missing)
{
	double low = log(1e-7), high = log(2);
	struct outcome best = {1, 0};
	for (unsigned i = 0; i < 12; i++) {
		*knob = exp((low + high) / 2);
		struct outcome o = stream(r, tables);
		if (missing ? o.missing <= want : o.overhead <= want)
			best = o;
		if (missing ? o.missing > want : o.overhead < want)
			high = log(*knob);
		else
			low = log(*knob);
	}
	return best;
}

static void against_fixed(struct lode_perf *p, const struct lode_fec_tables *tables,
	const struct run *base, double *worst)
{
	static const unsigned settings[][2] = {{10, 1}, {10, 2}, {15, 2}, {15, 4}, {20, 10}};
	for (unsigned i = 0; i < LODE_ARRAY_LEN(settings); i++) {
		char name[64];
		struct run fixed = *base, adaptive = *base;
		fixed.k = settings[i][0];
		fixed.r = settings[i][1];
		adaptive.knowledge = PREDICTED;
		adaptive.residual = RESIDUAL_MIN;
		snprintf(name, sizeof(name), "adaptive, %s, %u path%s, %u:%u", base->world->name,
			base->n_paths, base->n_paths > 1 ? "s" : "", fixed.k, fixed.r);
		if (!lode_perf_wanted(p, name))
			continue;
		lode_perf_progress(p, "%s", name);
		struct outcome f = stream(&fixed, tables);
		struct outcome a = match(&adaptive, &adaptive.price, tables, f.overhead, false);
		lode_perf_row(p, name, "fixed: missing", 100 * f.missing, "%", NULL, NAN);
		lode_perf_row(p, name, "adaptive: missing", 100 * a.missing, "%", "bar 0.6 x",
			0.6 * f.missing / LODE_MAX(a.missing, 1e-7));
		lode_perf_row(p, name, "adaptive: overhead", 100 * a.overhead, "%", "fixed",
			f.overhead / a.overhead);
		if (f.missing * N_PKTS > MISSING_MIN)
			*worst = LODE_MAX(*worst, a.missing / f.missing);
	}
}

static void against_truth(
	struct lode_perf *p, const struct lode_fec_tables *tables, const struct run *base)
{
	char name[64];
	struct run adaptive = *base, told = *base;
	adaptive.knowledge = PREDICTED;
	adaptive.residual = RESIDUAL;
	told.knowledge = TRUE_LOSS;
	snprintf(name, sizeof(name), "adaptive, %s, %u path%s, truth", base->world->name,
		base->n_paths, base->n_paths > 1 ? "s" : "");
	if (!lode_perf_wanted(p, name))
		return;
	lode_perf_progress(p, "%s", name);
	struct outcome a = stream(&adaptive, tables);
	struct outcome t = match(&told, &told.residual, tables, a.missing, true);
	lode_perf_row(p, name, "missing", 100 * a.missing, "%", NULL, NAN);
	lode_perf_row(p, name, "overhead", 100 * a.overhead, "%", NULL, NAN);
	lode_perf_row(p, name, "overhead over that of the true loss", a.overhead / t.overhead, "x",
		"bar 1.25", 1.25 * t.overhead / a.overhead);
}

/* As an operator would have it: parity_percent 20. */
static void within_budget(
	struct lode_perf *p, const struct lode_fec_tables *tables, const struct run *base)
{
	char name[64];
	struct run r = *base;
	r.knowledge = PREDICTED;
	r.residual = RESIDUAL;
	r.share = BUDGET;
	snprintf(name, sizeof(name), "adaptive, %s, %u path%s, budget", base->world->name,
		base->n_paths, base->n_paths > 1 ? "s" : "");
	if (!lode_perf_wanted(p, name))
		return;
	struct outcome o = stream(&r, tables);
	lode_perf_row(p, name, "missing", 100 * o.missing, "%", NULL, NAN);
	lode_perf_row(
		p, name, "overhead", 100 * o.overhead, "%", "budget of 20 %", BUDGET / o.overhead);
}

/* ---- worlds ---- */

static const struct world drawn = {
	.name = "drawn", .n = 7, .rates = {0, 0, 0.002, 0.01, 0.03, 0.05, 0.1}};

/* Loss of one 25 s run after the other of a moving satellite dish; outages left out and counted. */
static bool load_measured(struct world *w, unsigned *n_outages)
{
	const char *dir = getenv("LODESTONE_DATA_DIR");
	char path[512], line[512];
	double percent;
	snprintf(path, sizeof(path), "%s/starlink-road/ping-jan-2024.csv",
		dir ? dir : LODE_SOURCE_ROOT "/../shared/data");
	FILE *f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f) && w->n < MEASURED_MAX) {
		if (sscanf(line, "%*[^,],%*[^,],%*[^,],%*[^,],%lf", &percent) != 1)
			continue;
		if (percent > 100 * OUTAGE)
			(*n_outages)++;
		else
			w->rates[w->n++] = percent / 100;
	}
	if (f)
		fclose(f);
	else
		fprintf(stderr, "fec: skipped: no measured losses at %s\n", path);
	return w->n > 0;
}

static void compare_in(struct lode_perf *p, const struct lode_fec_tables *tables,
	const struct run *base, const struct world *world)
{
	static const unsigned n_paths[] = {1, 2, 4};
	for (unsigned i = 0; i < LODE_ARRAY_LEN(n_paths); i++) {
		char name[64];
		double worst = 0;
		struct run r = *base;
		r.world = world;
		r.n_paths = n_paths[i];
		against_fixed(p, tables, &r, &worst);
		snprintf(name, sizeof(name), "adaptive, %s, %u path%s", world->name, n_paths[i],
			n_paths[i] > 1 ? "s" : "");
		if (worst > 0)
			lode_perf_row(p, name, "missing, worst against a fixed rate", worst, "x",
				"bar 0.6", 0.6 / worst);
		against_truth(p, tables, &r);
		within_budget(p, tables, &r);
	}
}

struct lode_model *fec_predictor(
	struct lode_loss_model *predictor, const struct lode_loss_model **used)
{
	const struct lode_model_options options = {
		.schemas = lode_loss_schemas, .n_schemas = lode_loss_n_schemas};
	const char *path = LODE_SOURCE_ROOT "/models/loss-mlp.safetensors";
	struct lode_model *model = NULL;
	struct lode_err err;
	*used = predictor;
	if (lode_model_load(&model, path, &options, &err) ||
		lode_loss_model_init(predictor, model, 1, &err)) {
		fprintf(stderr, "fec: %s: the classic predicts\n", err.msg);
		*used = NULL;
	}
	return model;
}

void fec_policy(struct lode_perf *p, const struct lode_fec_tables *tables)
{
	struct world *measured = calloc(1, sizeof(*measured));
	struct lode_loss_model predictor;
	unsigned n_outages = 0;
	if (!measured)
		return;
	struct run base = {.seed = SEED,
		.stats = calloc(1, sizeof(*base.stats)),
		.scratch = aligned_alloc(LODE_CACHE_LINE, LODE_NN_SCRATCH_BYTES)};
	struct lode_model *model = fec_predictor(&predictor, &base.model);
	compare_in(p, tables, &base, &drawn);
	measured->name = "measured";
	measured->in_order = true;
	if (load_measured(measured, &n_outages)) {
		if (lode_perf_wanted(p, "adaptive, measured"))
			lode_perf_row(p, "adaptive, measured", "outages left out", n_outages, "",
				NULL, NAN);
		compare_in(p, tables, &base, measured);
	}
	lode_model_free(model);
	free(base.stats);
	free(base.scratch);
	free(measured);
}
