/* SPDX-License-Identifier: BSD-3-Clause */
/* How good the forecasts were: per path a decaying Brier score that decides who answers, per worker bins of the
 * last hour for Brier, calibration and AUC (Hanley and McNeil 1982, ties count half). */
#include "loss.h"

#define PATH_OUTCOMES 4096 /* that the path's score remembers */
#define JUDGE_AFTER   2000
#define LOSING_BY     1.05f
#define LOSING_LEAST  1e-4f /* on a clean path nothing tells them apart */
#define LOSING_FOR    6000  /* outcomes: a minute */
#define LOGIT_MAX     8.0f

const char *lode_loss_source_name(enum lode_loss_source source)
{
	static const char *const names[] = {"classic", "model"};
	return source < LODE_LOSS_SOURCES ? names[source] : "?";
}

const char *lode_loss_reason_name(enum lode_loss_reason reason)
{
	static const char *const names[] = {"no_model", "warming", "bad_input", "losing"};
	return reason < LODE_LOSS_REASONS ? names[reason] : "?";
}

/* ---- one path ---- */

static void judge_model(struct lode_loss *l)
{
	if (l->n_outcomes < JUDGE_AFTER || l->n_outcomes < l->losing_until)
		return;
	bool losing = l->brier[LODE_LOSS_BY_MODEL] >
		      LOSING_BY * l->brier[LODE_LOSS_BY_CLASSIC] + LOSING_LEAST;
	l->losing_until = losing ? (uint32_t)l->n_outcomes + LOSING_FOR : 0;
}

bool score_losing(const struct lode_loss *l)
{
	return l->losing_until != 0;
}

void score_reset(struct lode_loss *l)
{
	l->n_outcomes = l->losing_until = 0;
	memset(l->brier, 0, sizeof(l->brier));
	for (unsigned i = 0; i < WINDOWS; i++)
		l->sending[i].any[LODE_LOSS_BY_MODEL] = NAN;
}

void lode_loss_get_path_score(const struct lode_loss *l, struct lode_loss_path_score *out)
{
	*out = (struct lode_loss_path_score){
		.outcomes = l->n_outcomes, .losing = score_losing(l), .brier = {NAN, NAN}};
	for (unsigned i = 0; l->n_outcomes && i < LODE_LOSS_SOURCES; i++)
		out->brier[i] = (double)l->brier[i];
}

/* ---- the hour ---- */

static void turn_slices(struct lode_loss_stats *stats, uint64_t now_ns)
{
	if (stats->slice_end_ns == 0)
		stats->slice_end_ns = now_ns + LODE_LOSS_SLICE_NS;
	for (unsigned i = 0; i < LODE_LOSS_SLICES && now_ns >= stats->slice_end_ns; i++) {
		stats->slice = (stats->slice + 1) % LODE_LOSS_SLICES;
		memset(stats->bins[stats->slice], 0, sizeof(stats->bins[0]));
		stats->slice_end_ns += LODE_LOSS_SLICE_NS;
	}
	if (now_ns >= stats->slice_end_ns)
		stats->slice_end_ns = now_ns + LODE_LOSS_SLICE_NS;
}

static unsigned bin_of(float p)
{
	float logit = logf(LODE_MAX(p, 1e-9f)) - logf(LODE_MAX(1 - p, 1e-9f));
	float at = (logit + LOGIT_MAX) * LODE_LOSS_BINS / (2 * LOGIT_MAX);
	return (unsigned)LODE_MIN(LODE_MAX(at, 0.0f), (float)(LODE_LOSS_BINS - 1));
}

static void add_outcome(struct lode_loss_bins *bins, float p, bool lossy)
{
	unsigned b = bin_of(p);
	bins->n[b]++;
	bins->n_lossy[b] += lossy;
	bins->p_sum[b] += p;
	bins->brier_sum += (double)((p - lossy) * (p - lossy));
}

void score_outcome(struct lode_loss *l, struct lode_loss_stats *stats, const struct sending *s,
	bool lossy, uint64_t now_ns)
{
	turn_slices(stats, now_ns);
	lode_counter_add(&stats->outcomes, 1);
	lode_counter_add(&stats->lossy_outcomes, lossy);
	bool compare = !isnan(s->any[LODE_LOSS_BY_MODEL]);
	l->n_outcomes += compare;
	float weight = 1.0f / (float)LODE_MIN(LODE_MAX(l->n_outcomes, 1ull), PATH_OUTCOMES);
	for (unsigned i = 0; i < LODE_LOSS_SOURCES; i++) {
		float p = s->any[i];
		if (isnan(p))
			continue;
		add_outcome(&stats->bins[stats->slice][i], p, lossy);
		if (compare)
			l->brier[i] += weight * ((p - lossy) * (p - lossy) - l->brier[i]);
	}
	judge_model(l);
}

static void add_bins(struct lode_loss_bins *to, const struct lode_loss_bins *from)
{
	for (unsigned b = 0; b < LODE_LOSS_BINS; b++) {
		to->n[b] += from->n[b];
		to->n_lossy[b] += from->n_lossy[b];
		to->p_sum[b] += from->p_sum[b];
	}
	to->brier_sum += from->brier_sum;
}

void lode_loss_stats_merge(struct lode_loss_stats *to, const struct lode_loss_stats *from)
{
	for (unsigned i = 0; i < LODE_LOSS_SOURCES; i++)
		to->decisions[i] += from->decisions[i];
	for (unsigned i = 0; i < LODE_LOSS_REASONS; i++)
		to->fallbacks[i] += from->fallbacks[i];
	to->outcomes += from->outcomes;
	to->lossy_outcomes += from->lossy_outcomes;
	lode_hist_merge(&to->latency_ns, &from->latency_ns);
	for (unsigned s = 0; s < LODE_LOSS_SLICES; s++)
		for (unsigned i = 0; i < LODE_LOSS_SOURCES; i++)
			add_bins(&to->bins[s][i], &from->bins[s][i]);
}

void lode_loss_score(const struct lode_loss_stats *stats, enum lode_loss_source source,
	struct lode_loss_score *score)
{
	struct lode_loss_bins all = {0};
	double wins = 0, below = 0, distance = 0;
	for (unsigned s = 0; s < LODE_LOSS_SLICES; s++)
		add_bins(&all, &stats->bins[s][source]);
	*score = (struct lode_loss_score){.brier = NAN, .skill = NAN, .auc = NAN, .ece = NAN};
	for (unsigned b = 0; b < LODE_LOSS_BINS; b++) {
		double lossy = all.n_lossy[b], clean = all.n[b] - lossy;
		wins += lossy * (below + clean / 2);
		below += clean;
		score->n += all.n[b];
		score->n_lossy += all.n_lossy[b];
		distance += fabs((double)all.p_sum[b] - lossy);
	}
	if (score->n == 0)
		return;
	double n = (double)score->n, n_lossy = (double)score->n_lossy;
	double base = n_lossy / n * (1 - n_lossy / n);
	score->brier = all.brier_sum / n;
	score->ece = distance / n;
	if (score->n_lossy == 0 || score->n_lossy == score->n)
		return;
	score->skill = 1 - score->brier / base;
	score->auc = wins / (n_lossy * (n - n_lossy));
}
