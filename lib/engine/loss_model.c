/* SPDX-License-Identifier: BSD-3-Clause */
/* Feature schemas and the model's forecast. */
#include "loss.h"

/* Logarithms, so that INT8 inputs resolve small and large values alike. */
static const struct lode_feature features_1[] = {
	{"lost", "log2(1 + packets)", 1 / 8.0, 0, 0, 1},
	{"loss_slow", "sqrt(share over 3 s)", 1, 0, 0, 1},
	{"queue", "log2(1 + ms)", 1 / 10.0, 0, 0, 1},
	{"occupancy", "1", 1 / 2.0, 0, 0, 1},
	{"sent", "log2(1 + packets)", 1 / 10.0, 0, 0, 1},
	{"inflight", "log2(1 + BDP)", 1 / 4.0, 0, 0, 1},
	{"since_loss", "log2(1 + ms)", 1 / 16.0, 0, 0, 1},
	{"to_mark", "ms", -1 / 500.0, 1, 0, 1},
};
const struct lode_schema lode_schema_loss_1 = {"loss/1", LODE_ARRAY_LEN(features_1), features_1};

static const struct lode_feature features[] = {
	{"lost", "log2(1 + packets)", 1 / 8.0, 0, 0, 1},
	{"queue", "log2(1 + ms)", 1 / 10.0, 0, 0, 1},
	{"delivered", "log2(1 + packets)", 1 / 10.0, 0, 0, 1},
	{"sent", "log2(1 + packets)", 1 / 10.0, 0, 0, 1},
	{"inflight", "log2(1 + BDP)", 1 / 4.0, 0, 0, 1},
	{"room", "log2(pacing / delivery)", 1 / 6.0, 0.5, 0, 1},
	{"told_age", "log2(1 + ms)", 1 / 12.0, 0, 0, 1},
	{"context", "slow figure of the step", 1, 0, 0, 1},
};
const struct lode_schema lode_schema_loss = {"loss/2", LODE_ARRAY_LEN(features), features};
#define CONTEXT_COLUMN 7

static double log2_1(float v)
{
	return log2(1 + (double)v);
}

static void raw_loss_1(const struct step *s, double *raw)
{
	raw[0] = log2_1(s->lost_pkts);
	raw[1] = sqrt((double)s->loss_slow);
	raw[2] = log2_1(s->queue_us / 1000);
	raw[3] = (double)s->occupancy;
	raw[4] = log2_1(s->sent_pkts);
	raw[5] = log2_1(s->inflight_bdp);
	raw[6] = log2_1(s->since_loss_ms);
	raw[7] = (double)s->to_mark_ms;
}

static void raw_loss(const struct step *s, double *raw)
{
	raw[0] = log2_1(s->lost_pkts);
	raw[1] = log2_1(s->queue_us / 1000);
	raw[2] = log2_1(s->delivered_pkts);
	raw[3] = log2_1(s->sent_pkts);
	raw[4] = log2_1(s->inflight_bdp);
	raw[5] = log2((1 + (double)s->pacing_kbps) / (1 + (double)s->delivery_kbps));
	raw[6] = log2_1(s->told_ms);
	raw[7] = 0; /* its place is filled by lode_loss_context */
}

static void raw_trainer(const struct step *s, double *raw)
{
	raw[0] = (double)s->rtt_us;
	raw[1] = (double)s->rtt_var_us;
	raw[2] = (double)s->delivery_kbps * 1000;
	raw[3] = (double)s->loss;
	raw[4] = (double)s->inflight_pkts;
	raw[5] = (double)LODE_MIN(s->occupancy, 1.0f);
	raw[6] = (double)s->ipg_us;
	raw[7] = 0;
}

static void raw_seed(const struct step *s, double *raw)
{
	raw[0] = (double)s->rtt_us;
	raw[1] = (double)s->rtt_var_us;
	raw[2] = (double)s->delivery_kbps * 1000;
	raw[3] = (double)s->loss;
	raw[4] = (double)(s->loss_fast - s->loss_slow);
	raw[5] = (double)s->inflight_pkts;
	raw[6] = (double)s->cwnd_bytes;
	raw[7] = (double)LODE_MIN(s->occupancy, 1.0f);
}

#define FEATURES_MAX 8

static const struct {
	const struct lode_schema *schema;
	void (*raw)(const struct step *s, double raw[FEATURES_MAX]);
} known[] = {
	{&lode_schema_loss, raw_loss},
	{&lode_schema_loss_1, raw_loss_1},
	{&lode_schema_oxidize_trainer, raw_trainer},
	{&lode_schema_oxidize_seed, raw_seed},
};
const struct lode_schema *const lode_loss_schemas[] = {&lode_schema_loss, &lode_schema_loss_1,
	&lode_schema_oxidize_trainer, &lode_schema_oxidize_seed};
const unsigned lode_loss_n_schemas = LODE_ARRAY_LEN(lode_loss_schemas);
static_assert(LODE_ARRAY_LEN(known) == LODE_ARRAY_LEN(lode_loss_schemas), "one way each");

static int find(const struct lode_schema *schema)
{
	for (unsigned k = 0; k < LODE_ARRAY_LEN(known); k++)
		if (known[k].schema == schema)
			return (int)k;
	return -ENOTSUP;
}

/* The step `back` windows before the newest. */
static void one_step(const struct lode_loss *l, int k, unsigned back, float *out)
{
	double raw[FEATURES_MAX];
	known[k].raw(&l->steps[(l->n_windows + LODE_LOSS_STEPS - 1 - back) % LODE_LOSS_STEPS], raw);
	lode_schema_normalise(known[k].schema, raw, out);
}

int lode_loss_features(const struct lode_loss *l, const struct lode_schema *schema, float *out)
{
	int k = find(schema);
	float context[LODE_LOSS_STEPS];
	for (unsigned i = 0; k >= 0 && i < LODE_LOSS_STEPS; i++)
		one_step(l, k, LODE_MIN(LODE_LOSS_STEPS - 1 - i, l->n_warm ? l->n_warm - 1 : 0),
			out + i * schema->n_features);
	if (lode_loss_context(l, schema, context))
		lode_loss_put_context(context, out);
	return LODE_MIN(k, 0);
}

bool lode_loss_context(
	const struct lode_loss *l, const struct lode_schema *schema, float out[LODE_LOSS_STEPS])
{
	if (schema != &lode_schema_loss)
		return false;
	context_figures(l, out);
	return true;
}

void lode_loss_put_context(const float context[LODE_LOSS_STEPS], float *input)
{
	for (unsigned i = 0; i < LODE_LOSS_STEPS; i++)
		input[i * lode_schema_loss.n_features + CONTEXT_COLUMN] = context[i];
}

int lode_loss_newest_features(
	const struct lode_loss *l, const struct lode_schema *schema, float *out)
{
	int k = find(schema);
	if (k >= 0)
		one_step(l, k, 0, out);
	return LODE_MIN(k, 0);
}

int lode_loss_model_init(struct lode_loss_model *m, const struct lode_model *model, uint64_t serial,
	struct lode_err *err)
{
	const struct lode_nn_desc *d = &model->nets[0].desc;
	bool known_schema = false;
	for (unsigned i = 0; i < lode_loss_n_schemas; i++)
		known_schema |= lode_loss_schemas[i] == model->schema;
	if (model->role != LODE_MODEL_LOSS || !known_schema || d->n_steps != LODE_LOSS_STEPS ||
		d->n_out > 3)
		return lode_err_set(err, -EINVAL,
			"model \"%s\" (%s, schema %s, %u steps, %u outputs): a loss predictor over "
			"one of "
			"%u known schemas with %d steps and at most 3 outputs is expected",
			model->name, lode_model_role_name(model->role), model->schema->name,
			d->n_steps, d->n_out, lode_loss_n_schemas, LODE_LOSS_STEPS);
	*m = (struct lode_loss_model){.network = model->nets[0].packed,
		.schema = model->schema,
		.n_out = d->n_out,
		.serial = serial};
	return 0;
}

/* ---- deciding ---- */

static void take(struct lode_loss *l, const struct lode_loss_model *m, const float *out,
	struct lode_loss_forecast *f)
{
	float any = LODE_MIN(LODE_MAX(out[0], 0.0f), 1.0f), share = classic_share(l);
	float burst = l->classic.burst;
	if (m->n_out > 1)
		burst = expf(LODE_MIN(LODE_MAX(out[1], 0.0f), 8.0f));
	if (m->n_out > 2)
		share = 1 / (1 + expf(-out[2]));
	f->any_ppm = (uint32_t)(any * 1e6f);
	f->loss_ppm = (uint32_t)(any * share * 1e6f);
	f->burst_centi = (uint32_t)(burst * 100);
	f->source = LODE_LOSS_BY_MODEL;
}

static int run(struct lode_loss *l, const struct lode_loss_model *m, void *scratch, float *out)
{
	float in[LODE_LOSS_STEPS * FEATURES_MAX];
	int rc = lode_loss_features(l, m->schema, in);
	return rc ? rc : lode_nn_run(m->network, scratch, in, out);
}

static void count_fallback(struct lode_loss_stats *stats, enum lode_loss_reason reason)
{
	lode_counter_add(&stats->fallbacks[reason], 1);
	lode_counter_add(&stats->decisions[LODE_LOSS_BY_CLASSIC], 1);
}

void lode_loss_decide(struct lode_loss *l, const struct lode_loss_model *m, void *scratch,
	uint64_t (*clock_ns)(void), struct lode_loss_stats *stats)
{
	float out[LODE_NN_MAX_OUT];
	if (!m || !lode_loss_warm(l)) {
		count_fallback(stats, m ? LODE_LOSS_WARMING : LODE_LOSS_NO_MODEL);
		return;
	}
	if (m->serial != l->model_serial) {
		l->model_serial = m->serial;
		score_reset(l);
	}
	uint64_t begin_ns = clock_ns ? clock_ns() : 0;
	if (run(l, m, scratch, out)) {
		count_fallback(stats, LODE_LOSS_BAD_INPUT);
		return;
	}
	if (clock_ns)
		lode_hist_add(&stats->latency_ns, clock_ns() - begin_ns);
	/* A model that lost runs on unseen, so that it can win again. */
	sending_at(l, l->n_windows - 1)->any[LODE_LOSS_BY_MODEL] = out[0];
	if (score_losing(l)) {
		count_fallback(stats, LODE_LOSS_LOSING);
		return;
	}
	take(l, m, out, &l->forecasts[l->n_windows % FAR_WINDOWS]);
	lode_counter_add(&stats->decisions[LODE_LOSS_BY_MODEL], 1);
}
