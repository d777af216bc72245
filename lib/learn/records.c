/* SPDX-License-Identifier: BSD-3-Clause */
/* LossSample and DrlExperience as JSON. Bounds are those of the older project's quality guard. */
#include "lode_learn.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>

static const char *const state_names[LODE_LEARN_DRL_STATE] = {"rtt_norm", "rtt_gradient",
	"throughput_norm", "loss_rate", "cwnd_norm", "inflight_norm", "buffer_occupancy",
	"time_in_state"};

/* ---- out ---- */

static json_t *loss_json(const struct lode_learn_loss_sample *s)
{
	return json_pack("{s:I,s:I,s:I,s:I,s:f,s:I,s:f,s:I,s:f}", "timestamp_ms",
		(json_int_t)s->timestamp_ms, "rtt_us", (json_int_t)s->rtt_us, "rtt_var_us",
		(json_int_t)s->rtt_var_us, "bandwidth_bps", (json_int_t)s->bandwidth_bps,
		"loss_rate", s->loss_rate, "inflight", (json_int_t)s->inflight, "buffer_occupancy",
		s->buffer_occupancy, "ipg_us", (json_int_t)s->ipg_us, "future_loss",
		s->future_loss);
}

static json_t *state_json(const double state[LODE_LEARN_DRL_STATE])
{
	json_t *j = json_object();
	for (unsigned i = 0; i < LODE_LEARN_DRL_STATE; i++)
		json_object_set_new(j, state_names[i], json_real(state[i]));
	return j;
}

static json_t *drl_json(const struct lode_learn_drl_experience *e)
{
	return json_pack("{s:o,s:i,s:{s:f,s:f,s:f,s:f},s:o,s:b}", "state", state_json(e->state),
		"action", (int)e->action, "reward", "throughput_reward", e->throughput_reward,
		"latency_penalty", e->latency_penalty, "loss_penalty", e->loss_penalty, "total",
		e->total, "next_state", state_json(e->next_state), "done", (int)e->done);
}

int lode_learn_export_json(const struct lode_learn_export *e, char **text, struct lode_err *err)
{
	char seconds[24];
	json_t *loss = json_array(), *drl = json_array();
	snprintf(seconds, sizeof(seconds), "%llu", (unsigned long long)e->timestamp_s);
	for (size_t i = 0; i < e->n_loss; i++)
		json_array_append_new(loss, loss_json(&e->loss[i]));
	for (size_t i = 0; i < e->n_drl; i++)
		json_array_append_new(drl, drl_json(&e->drl[i]));
	json_t *all = json_pack("{s:s,s:s,s:o,s:o}", "server_id", e->server_id, "timestamp",
		seconds, "loss_samples", loss, "drl_experiences", drl);
	bool whole = all && json_array_size(loss) == e->n_loss && json_array_size(drl) == e->n_drl;
	*text = whole ? json_dumps(all, JSON_COMPACT) : NULL;
	json_decref(all);
	return *text ? 0
		     : lode_err_set(err, -EINVAL,
			       "samples with text that is not UTF-8 or numbers that are not "
			       "finite");
}

/* ---- in ---- */

struct place {
	const char *kind;
	size_t idx;
	struct lode_err *err;
	bool bad;
};

static double number(
	struct place *at, const json_t *object, const char *name, double low, double high)
{
	const json_t *v = json_object_get(object, name);
	double value = json_is_number(v) ? json_number_value(v) : NAN;
	if (value >= low && value <= high)
		return value;
	if (!at->bad)
		lode_err_set(at->err, -EBADMSG,
			"%s %zu: \"%s\" must be a number from %g to %g, %s found", at->kind,
			at->idx, name, low, high,
			!v		    ? "nothing"
			: json_is_number(v) ? "one outside"
					    : "no number");
	at->bad = true;
	return 0;
}

static void read_loss(struct place *at, const json_t *j, void *out)
{
	*(struct lode_learn_loss_sample *)out = (struct lode_learn_loss_sample){
		.timestamp_ms = (uint64_t)number(at, j, "timestamp_ms", 0, 1e14),
		.rtt_us = (uint64_t)number(at, j, "rtt_us", 0, 1e7),
		.rtt_var_us = (uint64_t)number(at, j, "rtt_var_us", 0, 5e6),
		.bandwidth_bps = (uint64_t)number(at, j, "bandwidth_bps", 0, 1e12),
		.loss_rate = number(at, j, "loss_rate", 0, 1),
		.inflight = (uint32_t)number(at, j, "inflight", 0, 1e8),
		.buffer_occupancy = number(at, j, "buffer_occupancy", 0, 1),
		.ipg_us = (uint64_t)number(at, j, "ipg_us", 0, 1e9),
		.future_loss = number(at, j, "future_loss", 0, 1)};
}

static void read_state(struct place *at, const json_t *j, double state[LODE_LEARN_DRL_STATE])
{
	for (unsigned i = 0; i < LODE_LEARN_DRL_STATE; i++)
		state[i] = number(at, j, state_names[i], i == 1 ? -1 : 0, 1);
}

static void read_drl(struct place *at, const json_t *j, void *out)
{
	struct lode_learn_drl_experience *e = out;
	const json_t *reward = json_object_get(j, "reward"), *done = json_object_get(j, "done");
	read_state(at, json_object_get(j, "state"), e->state);
	read_state(at, json_object_get(j, "next_state"), e->next_state);
	e->action = (uint32_t)number(at, j, "action", 0, 5);
	e->throughput_reward = number(at, reward, "throughput_reward", -1e6, 1e6);
	e->latency_penalty = number(at, reward, "latency_penalty", -1e6, 1e6);
	e->loss_penalty = number(at, reward, "loss_penalty", -1e6, 1e6);
	e->total = number(at, reward, "total", -1e6, 1e6);
	e->done = json_is_true(done);
	if (!json_is_boolean(done) && !at->bad)
		at->bad = lode_err_set(at->err, -EBADMSG, "%s %zu: \"done\" must be true or false",
			at->kind, at->idx);
}

static int read_array(const json_t *array, const char *kind, size_t size,
	void (*read)(struct place *, const json_t *, void *), void **out, size_t *n,
	struct lode_err *err)
{
	size_t all = json_array_size(array);
	if (all > LODE_LEARN_EXPORT_MAX)
		return lode_err_set(err, -E2BIG, "%zu of %s: at most %u are allowed", all, kind,
			LODE_LEARN_EXPORT_MAX);
	*out = calloc(all ? all : 1, size);
	if (!*out)
		return lode_err_set(err, -ENOMEM, "no memory for %zu of %s", all, kind);
	for (*n = 0; *n < all; (*n)++) {
		struct place at = {.kind = kind, .idx = *n, .err = err};
		read(&at, json_array_get(array, *n), (uint8_t *)*out + *n * size);
		if (at.bad)
			return -EBADMSG;
	}
	return 0;
}

static int read_arrays(
	const json_t *loss, const json_t *drl, struct lode_learn_export *e, struct lode_err *err)
{
	void *samples = NULL, *experiences = NULL;
	int rc = read_array(
		loss, "loss_samples", sizeof(e->loss[0]), read_loss, &samples, &e->n_loss, err);
	e->loss = samples;
	rc = rc ? rc
		: read_array(drl, "drl_experiences", sizeof(e->drl[0]), read_drl, &experiences,
			  &e->n_drl, err);
	e->drl = experiences;
	return rc;
}

static int read_all(const json_t *j, struct lode_learn_export *e, struct lode_err *err)
{
	if (json_is_array(j)) {
		bool drl = json_object_get(json_array_get(j, 0), "action") != NULL;
		return read_arrays(drl ? NULL : j, drl ? j : NULL, e, err);
	}
	const char *id = json_string_value(json_object_get(j, "server_id"));
	const char *seconds = json_string_value(json_object_get(j, "timestamp"));
	if (!json_is_object(j) || !id || !seconds)
		return lode_err_set(err, -EBADMSG,
			"an object with texts \"server_id\" and \"timestamp\", or an array of "
			"samples, is "
			"expected");
	snprintf(e->server_id, sizeof(e->server_id), "%s", id);
	e->timestamp_s = strtoull(seconds, NULL, 10);
	return read_arrays(
		json_object_get(j, "loss_samples"), json_object_get(j, "drl_experiences"), e, err);
}

int lode_learn_import_json(
	const char *text, size_t len, struct lode_learn_export *e, struct lode_err *err)
{
	json_error_t where;
	*e = (struct lode_learn_export){0};
	json_t *j = json_loadb(text, len, JSON_REJECT_DUPLICATES, &where);
	if (!j)
		return lode_err_set(err, -EBADMSG, "line %d: %s", where.line, where.text);
	int rc = read_all(j, e, err);
	json_decref(j);
	if (rc)
		lode_learn_export_free(e);
	return rc;
}

void lode_learn_export_free(struct lode_learn_export *e)
{
	free(e->loss);
	free(e->drl);
	*e = (struct lode_learn_export){0};
}

/* ---- windows ---- */

void lode_learn_loss_sample_of(const struct lode_loss_window *w, uint64_t wall_ms, float occupancy,
	float future_loss, struct lode_learn_loss_sample *out)
{
	uint32_t told = w->delivered_pkts + w->lost_pkts;
	*out = (struct lode_learn_loss_sample){.timestamp_ms = wall_ms,
		.rtt_us = w->rtt_us,
		.rtt_var_us = w->rtt_var_us,
		.bandwidth_bps = w->delivery_kbps * 1000ull,
		.inflight = w->sent_pkts
				    ? w->inflight_bytes / LODE_MAX(w->sent_bytes / w->sent_pkts, 1u)
				    : w->inflight_bytes / 1200,
		.ipg_us = LODE_LOSS_WINDOW_NS / LODE_NS_PER_US / LODE_MAX(w->sent_pkts, 1u),
		.loss_rate = told ? (double)w->lost_pkts / told : 0,
		.buffer_occupancy = (double)LODE_MIN(LODE_MAX(occupancy, 0.0f), 1.0f),
		.future_loss = (double)LODE_MIN(LODE_MAX(future_loss, 0.0f), 1.0f)};
}

void lode_learn_window_of(const struct lode_learn_loss_sample *s, struct lode_loss_window *w)
{
	uint32_t pkts = (uint32_t)(10000 / LODE_MAX(s->ipg_us, 1ull));
	uint32_t lost = (uint32_t)lround(s->loss_rate * pkts);
	*w = (struct lode_loss_window){.end_ns = s->timestamp_ms * LODE_NS_PER_MS,
		.sent_pkts = pkts,
		.sent_bytes = pkts * 1200,
		.delivered_pkts = pkts - lost,
		.delivered_bytes = (pkts - lost) * 1200,
		.lost_pkts = lost,
		.loss_bursts = lost > 0,
		.longest_burst = lost,
		.told_age_us = UINT32_MAX,
		.rtt_us = (uint32_t)s->rtt_us,
		.min_rtt_us = (uint32_t)s->rtt_us,
		.rtt_var_us = (uint32_t)s->rtt_var_us,
		.delivery_kbps = (uint32_t)LODE_MIN(s->bandwidth_bps / 1000, (uint64_t)UINT32_MAX),
		.inflight_bytes = (uint32_t)LODE_MIN(s->inflight * 1200ull, (uint64_t)UINT32_MAX),
		.phase_ms = UINT32_MAX};
}
