/* SPDX-License-Identifier: BSD-3-Clause */
/* Sample files into a data set: every window goes through the gateway's own predictor. */
#include "lode_train.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define FIT_PERCENT	 60
#define VALIDATE_PERCENT 15
#define EWMA_WEIGHT	 0.1f
#define BLOCKS		 4 /* of 50 ms, for the Markov chain */
#define BLOCK_WINDOWS	 5
#define ONSET_NS	 (200 * LODE_NS_PER_MS)
#define IMPORT_SERIES	 500 /* foreign samples: so many count as one session */

const char *lode_train_cause_name(enum lode_train_cause cause)
{
	static const char *const names[] = {
		"clean", "congestion", "radio burst", "handover", "random"};
	return cause < LODE_TRAIN_CAUSES ? names[cause] : "?";
}

/* ---- one series ---- */

struct reader {
	struct lode_train_data *data;
	unsigned every;
	void *memory;
	struct lode_loss *loss;
	struct lode_loss_stats *stats;
	uint8_t split;
	uint32_t series;
	size_t first, unjudged; /* of the series; whose outcome is not known yet */
	uint64_t told_ns, *ends_ns;
	float ewma;
	uint32_t lost[BLOCKS * BLOCK_WINDOWS]; /* ring by window */
};

static enum lode_train_split split_of(const char *name)
{
	uint64_t hash = 14695981039346656037ull; /* FNV-1a */
	for (; *name; name++)
		hash = (hash ^ (uint8_t)*name) * 1099511628211ull;
	unsigned percent = (unsigned)(lode_mix64(hash) % 100);
	return percent < FIT_PERCENT			  ? LODE_TRAIN_FIT
	       : percent < FIT_PERCENT + VALIDATE_PERCENT ? LODE_TRAIN_VALIDATE
							  : LODE_TRAIN_TEST;
}

static void begin_series(struct reader *r, const char *name)
{
	r->loss = lode_loss_init(r->memory, 0, 0);
	r->split = (uint8_t)split_of(name);
	r->series = r->data->n_series++;
	r->first = r->unjudged = r->data->n;
	r->told_ns = 0;
	r->ewma = 0;
	memset(r->lost, 0, sizeof(r->lost));
	r->data->n_sessions[r->split]++;
}

static void label(struct lode_train_window *t, float sent, float lost, float mean_burst)
{
	t->any = lost >= 0.5f;
	t->share = LODE_MIN(lost / sent, 1.0f);
	t->log_burst = mean_burst > 1 ? logf(mean_burst) : 0;
}

/* As the simulator knows it. */
static bool label_by_truth(struct lode_train_window *t, const struct lode_learn_truth *truth)
{
	const uint16_t lost[] = {
		0, truth->lost_queue, truth->lost_radio, truth->lost_handover, truth->lost_random};
	float sum = 0;
	for (unsigned i = 1; i < LODE_TRAIN_CAUSES; i++) {
		sum += lost[i];
		t->cause = lost[i] > lost[t->cause] ? (uint8_t)i : t->cause;
	}
	if (truth->sent > 0)
		label(t, truth->sent, sum, truth->runs ? sum / truth->runs : 1);
	return truth->sent > 0;
}

/* As the gateway found out later: of windows before. */
static void label_by_reports(struct reader *r)
{
	struct lode_train_data *d = r->data;
	for (; r->unjudged < d->n; r->unjudged++) {
		struct lode_loss_outcome o;
		uint64_t end_ns = r->ends_ns[r->unjudged];
		int rc = lode_loss_get_outcome(
			r->loss, end_ns + LODE_LOSS_NEAR_NS, end_ns + LODE_LOSS_FAR_NS, &o);
		if (rc == -EAGAIN)
			return;
		struct lode_train_window *t = &d->windows[r->unjudged];
		t->usable &= rc == 0;
		if (rc == 0)
			label(t, o.sent_pkts, o.lost_pkts, o.mean_burst);
	}
}

static void hide(struct lode_train_window *t, const struct lode_learn_truth *truth)
{
	float filled = truth->queue_limit_pkts
			       ? (float)truth->queue_pkts / (float)truth->queue_limit_pkts
			       : 0;
	const float hidden[LODE_TRAIN_HIDDEN] = {filled, (float)truth->queue_pkts / 200,
		(float)truth->queue_limit_pkts / 200, logf(1 + (float)truth->capacity_kbps) / 12,
		truth->is_bad, truth->bad_ms ? logf(1 + (float)truth->bad_ms) / 5 : 0,
		truth->bad_ms ? 10 / (10 + (float)truth->good_ms) : 0,
		(float)truth->bad_loss_permille / 1000, (float)truth->random_ppm100 / 200};
	memcpy(t->hidden, hidden, sizeof(hidden));
}

static void baselines(
	struct reader *r, struct lode_train_window *t, const struct lode_loss_window *w)
{
	uint32_t told = w->delivered_pkts + w->lost_pkts;
	size_t at = r->data->n - r->first;
	if (w->lost_pkts)
		r->told_ns = w->end_ns;
	if (told) {
		t->last = (float)w->lost_pkts / (float)told;
		r->ewma += EWMA_WEIGHT * (t->last - r->ewma);
	}
	t->ewma = r->ewma;
	t->onset = r->told_ns == 0 || w->end_ns - r->told_ns > ONSET_NS;
	r->lost[at % LODE_ARRAY_LEN(r->lost)] = w->lost_pkts;
	for (unsigned i = 0; i < LODE_ARRAY_LEN(r->lost) && i <= at; i++)
		if (r->lost[(at - i) % LODE_ARRAY_LEN(r->lost)])
			t->markov |= (uint8_t)(1u << i / BLOCK_WINDOWS);
}

static void add_window(struct reader *r, const struct lode_learn_record *record)
{
	struct lode_train_data *d = r->data;
	struct lode_train_window *t = &d->windows[d->n];
	*t = (struct lode_train_window){.series = r->series, .split = r->split};
	lode_loss_observe(r->loss, &record->window, r->stats);
	lode_loss_newest_features(r->loss, d->schema, d->steps + d->n * LODE_TRAIN_FEATURES);
	if (d->contexts)
		lode_loss_context(r->loss, d->schema, d->contexts + d->n * LODE_LOSS_STEPS);
	t->classic = (float)lode_loss_newest(r->loss)->any_ppm / 1e6f;
	t->usable = lode_loss_warm(r->loss) && (d->n - r->first) % r->every == 0;
	baselines(r, t, &record->window);
	r->ends_ns[d->n] = record->window.end_ns;
	d->n++;
	if (!record->truth.known) {
		label_by_reports(r);
		return;
	}
	t->usable &= label_by_truth(t, &record->truth);
	hide(t, &record->truth);
	r->unjudged = d->n;
}

/* What was never told has no label. */
static void end_series(struct reader *r)
{
	for (; r->unjudged < r->data->n; r->unjudged++)
		r->data->windows[r->unjudged].usable = false;
}

/* ---- all ---- */

static int reserve(struct lode_train_data *d, struct reader *r, size_t n, struct lode_err *err)
{
	d->steps = calloc(n + 1, LODE_TRAIN_FEATURES * sizeof(float));
	d->windows = calloc(n + 1, sizeof(*d->windows));
	bool slow = d->schema == &lode_schema_loss;
	if (slow)
		d->contexts = calloc(n + 1, LODE_LOSS_STEPS * sizeof(float));
	r->memory = aligned_alloc(LODE_CACHE_LINE, lode_loss_bytes());
	r->stats = calloc(1, sizeof(*r->stats));
	r->ends_ns = calloc(n + 1, sizeof(*r->ends_ns));
	return d->steps && d->windows && (d->contexts || !slow) && r->memory && r->stats &&
			       r->ends_ns
		       ? 0
		       : lode_err_set(err, -ENOMEM, "no memory for %zu windows", n);
}

static void release(struct reader *r)
{
	free(r->memory);
	free(r->stats);
	free(r->ends_ns);
}

static int check_schema(const struct lode_schema *schema, struct lode_err *err)
{
	for (unsigned i = 0; i < lode_loss_n_schemas; i++)
		if (lode_loss_schemas[i] == schema && schema->n_features == LODE_TRAIN_FEATURES)
			return 0;
	return lode_err_set(err, -EINVAL, "schema %s is not one of a loss predictor", schema->name);
}

static int read_records(struct reader *r, const struct lode_learn_samples *s, const char *path,
	struct lode_err *err)
{
	for (size_t i = 0; i < s->n_records; i++) {
		if (s->records[i].kind == LODE_LEARN_SERIES) {
			end_series(r);
			begin_series(r, s->records[i].about.name);
		} else if (r->loss) {
			add_window(r, &s->records[i]);
		} else {
			return lode_err_set(
				err, -EBADMSG, "%s: a window before any series is named", path);
		}
	}
	end_series(r);
	return 0;
}

int lode_train_data_load(struct lode_train_data *data, const char *path,
	const struct lode_schema *schema, unsigned every, struct lode_err *err)
{
	struct lode_learn_samples s = {0};
	struct reader r = {.data = data, .every = LODE_MAX(every, 1u)};
	*data = (struct lode_train_data){.schema = schema};
	int rc = check_schema(schema, err);
	rc = rc ? rc : lode_learn_samples_open(&s, path, err);
	rc = rc ? rc : reserve(data, &r, s.n_records, err);
	rc = rc ? rc : read_records(&r, &s, path, err);
	release(&r);
	lode_learn_samples_close(&s);
	if (rc)
		lode_train_data_free(data);
	return rc;
}

int lode_train_data_import(struct lode_train_data *data, const struct lode_learn_export *e,
	const struct lode_schema *schema, struct lode_err *err)
{
	struct reader r = {.data = data, .every = 1};
	*data = (struct lode_train_data){.schema = schema};
	int rc = check_schema(schema, err);
	rc = rc ? rc : reserve(data, &r, e->n_loss, err);
	for (size_t i = 0; !rc && i < e->n_loss; i++) {
		struct lode_learn_record record = {.kind = LODE_LEARN_WINDOW};
		char name[LODE_LEARN_NAME_BYTES + 24];
		snprintf(name, sizeof(name), "%s/%zu", e->server_id, i / IMPORT_SERIES);
		if (i % IMPORT_SERIES == 0)
			begin_series(&r, name);
		lode_learn_window_of(&e->loss[i], &record.window);
		/* One sample after the other, whatever their clock says. */
		record.window.end_ns = (i + 1) * LODE_LOSS_WINDOW_NS;
		record.truth = (struct lode_learn_truth){.known = 1,
			.sent = 1000,
			.lost_random = (uint16_t)lround(e->loss[i].future_loss * 1000)};
		add_window(&r, &record);
	}
	release(&r);
	if (rc)
		lode_train_data_free(data);
	return rc;
}

void lode_train_data_free(struct lode_train_data *data)
{
	free(data->steps);
	free(data->contexts);
	free(data->windows);
	*data = (struct lode_train_data){0};
}

uint32_t *lode_train_pick(
	const struct lode_train_data *data, enum lode_train_split split, size_t *n)
{
	uint32_t *picked = malloc((data->n + 1) * sizeof(*picked));
	*n = 0;
	for (size_t i = 0; picked && i < data->n; i++)
		if (data->windows[i].usable && data->windows[i].split == split)
			picked[(*n)++] = (uint32_t)i;
	return picked;
}

/* ---- inputs ---- */

#define WINDOW_FLOATS (LODE_LOSS_STEPS * LODE_TRAIN_FEATURES)

static void gather_window(const struct lode_train_data *data, uint32_t window, float *out)
{
	const float *end = data->steps + ((size_t)window + 1) * LODE_TRAIN_FEATURES;
	memcpy(out, end - WINDOW_FLOATS, WINDOW_FLOATS * sizeof(float));
	if (data->contexts)
		lode_loss_put_context(data->contexts + (size_t)window * LODE_LOSS_STEPS, out);
}

static void gather_statistics(const struct lode_train_data *data, uint32_t window, float *out)
{
	float in[WINDOW_FLOATS], middle = (LODE_LOSS_STEPS - 1) / 2.0f;
	gather_window(data, window, in);
	for (unsigned f = 0; f < LODE_TRAIN_FEATURES; f++, out += 4) {
		float mean = 0, largest = in[f], slope = 0;
		for (unsigned s = 0; s < LODE_LOSS_STEPS; s++) {
			float v = in[s * LODE_TRAIN_FEATURES + f];
			mean += v / LODE_LOSS_STEPS;
			largest = LODE_MAX(largest, v);
			slope += v * ((float)s - middle) / 70;
		}
		out[0] = in[(LODE_LOSS_STEPS - 1) * LODE_TRAIN_FEATURES + f];
		out[1] = mean;
		out[2] = largest;
		out[3] = slope;
	}
	/* Of the slow figures: loss over 3 s, outcomes over 10 s, time since a loss, time to the mark. */
	static const uint8_t slow[] = {2, 6, 10, 11};
	for (unsigned i = 0; data->contexts && i < LODE_ARRAY_LEN(slow); i++)
		out[(int)i - 4] = data->contexts[(size_t)window * LODE_LOSS_STEPS + slow[i]];
}

/* The window too, so that what can be known is a part of what the oracle knows. */
static void gather_oracle(const struct lode_train_data *data, uint32_t window, float *out)
{
	gather_window(data, window, out);
	memcpy(out + WINDOW_FLOATS, data->windows[window].hidden,
		LODE_TRAIN_HIDDEN * sizeof(float));
}

const struct lode_train_input lode_train_windows = {WINDOW_FLOATS, gather_window},
			      lode_train_statistics = {LODE_TRAIN_STATISTICS, gather_statistics},
			      lode_train_oracle = {
				      WINDOW_FLOATS + LODE_TRAIN_HIDDEN, gather_oracle};
