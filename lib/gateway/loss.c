/* SPDX-License-Identifier: BSD-3-Clause */
/* The loss predictor as the operator sees it: which model runs, how good it is, and samples of what happens, kept
 * for the trainer. */
#include "gateway.h"

#include <stdio.h>
#include <stdlib.h>

#define SAMPLES_MAX_BYTES (256ull << 20)

/* ---- start and stop ---- */

int start_loss(struct gateway *g, struct lode_err *err)
{
	models_show(g);
	return 0;
}

void stop_loss(struct gateway *g)
{
	struct lode_err err;
	if (lode_learn_writer_close(g->loss_samples, &err))
		log_line(&g->log, LOG_GATEWAY, LODE_LOG_ERROR, "%s", err.msg);
	g->loss_samples = NULL;
}

/* ---- samples ---- */

static uint32_t series_of(const struct lode_loss_record *r)
{
	return (uint32_t)r->peer_idx * LODE_LINKS_MAX + r->path;
}

/* Names a series when the first window of a path comes after recording began. */
static int name_series(struct gateway *g, const struct lode_loss_record *r, struct lode_err *err)
{
	uint32_t series = series_of(r);
	struct lode_learn_record about = {.kind = LODE_LEARN_SERIES, .series = series};
	struct lode_peer_status s = {0};
	if (g->loss_series == series + 1)
		return 0;
	g->loss_series = series + 1;
	pthread_mutex_lock(&g->lock);
	lode_control_peer_status(g->control, r->peer_idx, r->window.end_ns, &s);
	pthread_mutex_unlock(&g->lock);
	snprintf(about.about.name, sizeof(about.about.name), "%s/%u", s.name, r->path);
	about.about.path = r->path;
	return lode_learn_write(g->loss_samples, &about, err);
}

static void stop_recording(struct gateway *g, const char *why)
{
	atomic_store(&g->shared->record_loss, false);
	stop_loss(g);
	log_line(&g->log, LOG_GATEWAY, LODE_LOG_INFO, "loss samples: %s", why);
}

/* A file's windows lie in runs of one series each: the rings are read path by path. */
void loss_run(struct gateway *g)
{
	struct lode_loss_record r;
	struct lode_err err;
	for (unsigned i = 0; g->loss_samples && i < g->config->n_workers; i++) {
		struct lode_ring *ring = lode_worker_rings(g->workers[i].worker)->loss;
		while (lode_ring_pop(ring, &r)) {
			struct lode_learn_record record = {.kind = LODE_LEARN_WINDOW,
				.series = series_of(&r),
				.window = r.window};
			int rc = name_series(g, &r, &err);
			rc = rc ? rc : lode_learn_write(g->loss_samples, &record, &err);
			if (rc) {
				stop_recording(g, err.msg);
				return;
			}
		}
	}
}

int loss_record(struct gateway *g, const char *params, struct lode_json *j, struct lode_err *err)
{
	char path[LODE_PATH_MAX + 32];
	snprintf(path, sizeof(path), "%s/loss-samples.lss", g->config->state_dir);
	if (!strcmp(params, "off")) {
		if (g->loss_samples)
			stop_recording(g, "recording ended");
	} else if (strcmp(params, "on")) {
		return lode_err_set(err, -EINVAL, "record \"%.20s\": want on or off", params);
	} else if (!g->loss_samples) {
		int rc = lode_learn_writer_open(&g->loss_samples, path, SAMPLES_MAX_BYTES, err);
		if (rc)
			return rc;
		g->loss_series = 0;
		atomic_store(&g->shared->record_loss, true);
		log_line(&g->log, LOG_GATEWAY, LODE_LOG_INFO, "loss samples go to %s", path);
	}
	lode_json_string(j, "file", path);
	lode_json_string(j, "recording", g->loss_samples ? "on" : "off");
	lode_json_u64(j, "bytes", g->loss_samples ? lode_learn_writer_bytes(g->loss_samples) : 0);
	return 0;
}

/* ---- views ---- */

static void put_path(
	struct lode_json *j, const char *peer, const char *path, const struct lode_path_summary *s)
{
	char key[2 * LODE_NAME_MAX];
	snprintf(key, sizeof(key), "%s/%s", peer, path);
	lode_json_object(j, key);
	lode_json_string(j, "by",
		s->foreseen_any_ppm ? lode_loss_source_name((enum lode_loss_source)s->foreseen_by)
				    : "idle");
	lode_json_u64(j, "loss_now_ppm", s->loss_ppm);
	lode_json_u64(j, "foreseen_loss_ppm", s->foreseen_loss_ppm);
	lode_json_u64(j, "any_loss_ppm", s->foreseen_any_ppm);
	lode_json_u64(j, "burst_centi", s->foreseen_burst_centi);
	lode_json_u64(j, "brier_classic_ppm", s->brier_ppm[LODE_LOSS_BY_CLASSIC]);
	lode_json_u64(j, "brier_model_ppm", s->brier_ppm[LODE_LOSS_BY_MODEL]);
	lode_json_u64(j, "outcomes", s->loss_outcomes);
	lode_json_bool(j, "model_losing", s->model_losing);
	lode_json_close_object(j);
}

int view_loss(struct gateway *g, const char *params, struct lode_json *j, struct lode_err *err)
{
	struct lode_peer_status s;
	struct lode_lane_summary sum;
	for (unsigned i = 0; i < LODE_PEERS_MAX; i++) {
		const struct lode_lane_summary *slot = atomic_load(&g->shared->summary[i][0]);
		if (lode_control_peer_status(g->control, i, now_ns(), &s) ||
			(params[0] && strcmp(params, s.name)) || !slot ||
			!lode_lane_summary_read(slot, &sum))
			continue;
		for (unsigned k = 0; k < s.n_paths; k++)
			put_path(j, s.name, s.paths[k].name, &sum.paths[s.paths[k].path]);
	}
	return 0;
}

static void put_ppm(struct lode_json *j, const char *key, double value)
{
	if (value == value)
		lode_json_i64(j, key, (int64_t)(value * 1e6));
	else
		lode_json_string(j, key, "-");
}

static void put_source(
	struct lode_json *j, const struct lode_loss_stats *stats, enum lode_loss_source source)
{
	struct lode_loss_score score;
	lode_loss_score(stats, source, &score);
	lode_json_object(j, lode_loss_source_name(source));
	lode_json_u64(j, "decisions", stats->decisions[source]);
	lode_json_u64(j, "outcomes_1h", score.n);
	lode_json_u64(j, "lossy_1h", score.n_lossy);
	put_ppm(j, "auc_ppm", score.auc);
	put_ppm(j, "brier_ppm", score.brier);
	put_ppm(j, "skill_ppm", score.skill);
	put_ppm(j, "calibration_error_ppm", score.ece);
	lode_json_close_object(j);
}

/* The structs of workers, some words newer than others: sums for people. */
int view_loss_score(
	struct gateway *g, const char *params, struct lode_json *j, struct lode_err *err)
{
	struct lode_loss_stats *all = calloc(1, sizeof(*all));
	if (!all)
		return lode_err_set(err, -ENOMEM, "no memory");
	for (unsigned i = 0; i < g->config->n_workers; i++)
		lode_loss_stats_merge(all, lode_worker_loss_stats(g->workers[i].worker));
	for (unsigned s = 0; s < LODE_LOSS_SOURCES; s++)
		put_source(j, all, (enum lode_loss_source)s);
	lode_json_object(j, "classic_because");
	for (unsigned i = 0; i < LODE_LOSS_REASONS; i++)
		lode_json_u64(
			j, lode_loss_reason_name((enum lode_loss_reason)i), all->fallbacks[i]);
	lode_json_close_object(j);
	lode_json_object(j, "model_latency");
	lode_json_u64(j, "runs", all->latency_ns.n);
	lode_json_u64(j, "p50_ns", lode_hist_quantile(&all->latency_ns, 0.5));
	lode_json_u64(j, "p99_ns", lode_hist_quantile(&all->latency_ns, 0.99));
	lode_json_close_object(j);
	free(all);
	return 0;
}
