/* SPDX-License-Identifier: BSD-3-Clause */
/* Windows in, outcomes of earlier forecasts, the cache of forecasts. */
#include "loss.h"

#define GAP_NS	    (3 * LODE_LOSS_WINDOW_NS)
#define FAST_WEIGHT 0.1f
#define SLOW_WEIGHT (1.0f / 300)
#define LIMIT_FADES \
	0.9995f /* per window: the level at which packets were lost is half forgotten in 14 s */
#define LONG_AGO_MS 65535.0f
#define QUEUE_HIGH  0.5f

size_t lode_loss_bytes(void)
{
	return (sizeof(struct lode_loss) + LODE_CACHE_LINE - 1) / LODE_CACHE_LINE * LODE_CACHE_LINE;
}

struct lode_loss *lode_loss_init(void *memory, double phase, uint64_t now_ns)
{
	struct lode_loss *l = memory;
	memset(l, 0, sizeof(*l));
	l->end_ns = now_ns;
	l->due_ns = now_ns + (uint64_t)((1 + phase) * (double)LODE_LOSS_WINDOW_NS);
	l->bytes_per_pkt = 1200;
	classic_init(&l->classic);
	return l;
}

uint64_t lode_loss_due_ns(const struct lode_loss *l)
{
	return l->due_ns;
}

bool lode_loss_warm(const struct lode_loss *l)
{
	return l->n_warm >= LODE_LOSS_STEPS;
}

/* ---- one window ---- */

/* The queue at which packets get lost: raised by every higher queue, set by loss, slowly forgotten. */
static float occupancy(struct lode_loss *l, const struct lode_loss_window *w)
{
	float queue_us = (float)w->queue_us;
	l->highest_us = LODE_MAX(l->highest_us * LIMIT_FADES, queue_us);
	l->limit_us = l->limit_us > 0 ? l->limit_us * LIMIT_FADES : l->highest_us;
	if (w->lost_pkts && l->loss_fast > 2 * l->loss_slow)
		l->limit_us += 0.2f * (queue_us - l->limit_us);
	l->limit_us = LODE_MAX(l->limit_us, 1000.0f);
	return LODE_MIN(queue_us / l->limit_us, 4.0f);
}

static float to_mark_ms(const struct lode_loss_window *w)
{
	return w->phase_ms > LODE_LOSS_PHASE_MS ? (float)LODE_LOSS_PHASE_MS
						: (float)(LODE_LOSS_PHASE_MS - w->phase_ms);
}

static void add_averages(struct lode_loss *l, const struct lode_loss_window *w)
{
	uint32_t told = w->delivered_pkts + w->lost_pkts;
	if (w->sent_pkts)
		l->bytes_per_pkt +=
			0.05f * ((float)w->sent_bytes / (float)w->sent_pkts - l->bytes_per_pkt);
	if (w->lost_pkts)
		l->lost_ns = w->end_ns;
	if (w->loss_bursts)
		l->classic.burst +=
			0.1f * ((float)w->lost_pkts / (float)w->loss_bursts - l->classic.burst);
	l->classic.burst = LODE_MAX(l->classic.burst, 1.0f);
	if (!told)
		return;
	float loss = (float)w->lost_pkts / (float)told;
	l->loss_fast += FAST_WEIGHT * (loss - l->loss_fast);
	l->loss_slow += SLOW_WEIGHT * (loss - l->loss_slow);
}

static void add_step(struct lode_loss *l, const struct lode_loss_window *w)
{
	float told = (float)(w->delivered_pkts + w->lost_pkts);
	float bdp_bytes = (float)w->delivery_kbps / 8 * (float)w->min_rtt_us / 1000;
	add_averages(l, w);
	context_add(l, w);
	l->steps[l->n_windows % LODE_LOSS_STEPS] = (struct step){
		.loss = told > 0 ? (float)w->lost_pkts / told : 0,
		.lost_pkts = (float)w->lost_pkts,
		.longest_burst = (float)w->longest_burst,
		.loss_fast = l->loss_fast,
		.loss_slow = l->loss_slow,
		.queue_us = (float)w->queue_us,
		.occupancy = occupancy(l, w),
		.told_ms = LODE_MIN((float)w->told_age_us / 1000, LONG_AGO_MS),
		.delivered_pkts = (float)w->delivered_pkts,
		.sent_pkts = (float)w->sent_pkts,
		.inflight_pkts = (float)w->inflight_bytes / l->bytes_per_pkt,
		.inflight_bdp = (float)w->inflight_bytes / LODE_MAX(bdp_bytes, 1500.0f),
		.since_loss_ms =
			l->lost_ns ? LODE_MIN((float)((w->end_ns - l->lost_ns) / LODE_NS_PER_MS),
					     LONG_AGO_MS)
				   : LONG_AGO_MS,
		.to_mark_ms = to_mark_ms(w),
		.rtt_us = (float)w->rtt_us,
		.rtt_var_us = (float)w->rtt_var_us,
		.delivery_kbps = (float)w->delivery_kbps,
		.pacing_kbps = (float)w->pacing_kbps,
		.cwnd_bytes = (float)w->cwnd_bytes,
		.ipg_us = (float)LODE_LOSS_WINDOW_NS / 1000 / (float)LODE_MAX(w->sent_pkts, 1u),
	};
}

/* ---- what became of what was sent ---- */

static int32_t before_us(uint32_t a, uint32_t b)
{
	return (int32_t)(b - a);
}

/* Packets of a sending window that left between from and to, if they left evenly. */
static float share_between(const struct sending *s, uint32_t from_us, uint32_t to_us)
{
	uint32_t begin_us = s->end_us - (uint32_t)(LODE_LOSS_WINDOW_NS / LODE_NS_PER_US);
	uint32_t a = before_us(begin_us, from_us) > 0 ? from_us : begin_us;
	uint32_t b = before_us(s->end_us, to_us) > 0 ? s->end_us : to_us;
	int32_t span_us = before_us(a, b);
	return span_us > 0 ? (float)s->sent_pkts * (float)span_us * 1e-4f : 0;
}

/* Losses told now happened to what was sent since the last such word. */
static void spread(
	struct lode_loss *l, const struct lode_loss_window *w, uint32_t from_us, uint32_t to_us)
{
	uint64_t n = LODE_MIN(l->n_windows, (uint64_t)WINDOWS);
	float sum = 0;
	struct sending *last = NULL;
	for (uint64_t i = l->n_windows - n; i < l->n_windows; i++)
		sum += share_between(sending_at(l, i), from_us, to_us);
	for (uint64_t i = l->n_windows - n; i < l->n_windows; i++) {
		struct sending *s = sending_at(l, i);
		float part = sum > 0 ? share_between(s, from_us, to_us) / sum : 0;
		s->lost_pkts += part * (float)w->lost_pkts;
		s->bursts += part * (float)w->loss_bursts;
		last = sum > 0 || before_us(s->end_us, to_us) < 0 ? last : s;
	}
	if (last) { /* nothing known to have left in that time: numbers of before a gap */
		last->lost_pkts += (float)w->lost_pkts;
		last->bursts += (float)w->loss_bursts;
	}
}

static void hear(struct lode_loss *l, const struct lode_loss_window *w)
{
	uint64_t end_us = w->end_ns / LODE_NS_PER_US;
	if (w->told_age_us == UINT32_MAX || w->told_age_us > end_us)
		return;
	uint64_t told_us = end_us - w->told_age_us;
	told_us = LODE_MAX(told_us, l->told_us);
	if (w->lost_pkts)
		spread(l, w, (uint32_t)l->told_us, (uint32_t)told_us);
	l->told_us = told_us;
}

static bool is_told(const struct lode_loss *l, const struct sending *s)
{
	return before_us(s->end_us, (uint32_t)l->told_us) >= 0;
}

static void judge(struct lode_loss *l, struct lode_loss_stats *stats, uint64_t now_ns)
{
	for (; l->n_judged + FAR_WINDOWS < l->n_windows; l->n_judged++) {
		const struct sending *made = sending_at(l, l->n_judged);
		float sent = 0, lost = 0;
		bool told = is_told(l, sending_at(l, l->n_judged + FAR_WINDOWS));
		if (!told && l->n_windows - l->n_judged < WINDOWS - 1)
			return;
		for (unsigned i = NEAR_WINDOWS; i <= FAR_WINDOWS; i++) {
			sent += sending_at(l, l->n_judged + i)->sent_pkts;
			lost += sending_at(l, l->n_judged + i)->lost_pkts;
		}
		if (!told || !made->forecast || sent <= 0)
			continue;
		classic_learn(l, made->cell, sent, lost);
		context_learn(l, made->queue_high, lost >= 0.5f);
		score_outcome(l, stats, made, lost >= 0.5f, now_ns);
	}
}

/* ---- the window ---- */

static void start_anew(struct lode_loss *l)
{
	l->n_warm = 0;
	l->n_judged = l->n_windows;
	l->told_us = 0;
	memset(l->sending, 0, sizeof(l->sending));
	memset(l->forecasts, 0, sizeof(l->forecasts));
}

static void forecast_classic(struct lode_loss *l, struct sending *s)
{
	const struct step *step = newest_step(l);
	float any = classic_any(l, &s->cell);
	s->forecast = true;
	s->queue_high = step->occupancy > QUEUE_HIGH;
	s->any[LODE_LOSS_BY_CLASSIC] = any;
	s->any[LODE_LOSS_BY_MODEL] = NAN;
	l->forecasts[l->n_windows % FAR_WINDOWS] = (struct lode_loss_forecast){.made_ns = l->end_ns,
		.expires_ns = l->end_ns + LODE_LOSS_FAR_NS,
		.loss_ppm = (uint32_t)(any * classic_share(l) * 1e6f),
		.any_ppm = (uint32_t)(any * 1e6f),
		.burst_centi = (uint32_t)(l->classic.burst * 100),
		.source = LODE_LOSS_BY_CLASSIC,
		.congested = step->occupancy > 0.7f && step->queue_us > 5000};
}

void lode_loss_observe(
	struct lode_loss *l, const struct lode_loss_window *w, struct lode_loss_stats *stats)
{
	bool gap = w->end_ns - l->end_ns > GAP_NS;
	if (gap)
		start_anew(l);
	struct sending *s = sending_at(l, l->n_windows);
	*s = (struct sending){.end_us = (uint32_t)(w->end_ns / LODE_NS_PER_US),
		.sent_pkts = (uint16_t)LODE_MIN(w->sent_pkts, UINT16_MAX)};
	add_step(l, w);
	l->end_ns = w->end_ns;
	l->due_ns = LODE_MAX(l->due_ns, w->end_ns - LODE_LOSS_WINDOW_NS / 2) + LODE_LOSS_WINDOW_NS;
	if (gap)
		l->due_ns = w->end_ns + LODE_LOSS_WINDOW_NS;
	l->n_windows++;
	l->n_warm = LODE_MIN(l->n_warm + 1, LODE_LOSS_STEPS);
	hear(l, w);
	judge(l, stats, w->end_ns);
	forecast_classic(l, s);
}

/* ---- what is foreseen ---- */

const struct lode_loss_forecast *lode_loss_newest(const struct lode_loss *l)
{
	return &l->forecasts[l->n_windows % FAR_WINDOWS];
}

struct lode_loss_forecast lode_loss_expected(const struct lode_loss *l, uint64_t at_ns)
{
	struct lode_loss_forecast sum = {.burst_centi = 100};
	uint64_t loss = 0, any = 0, burst = 0, n = 0;
	for (unsigned i = 0; i < FAR_WINDOWS; i++) {
		const struct lode_loss_forecast *f = &l->forecasts[i];
		if (!f->made_ns || at_ns < f->made_ns + LODE_LOSS_NEAR_NS || at_ns >= f->expires_ns)
			continue;
		n++;
		loss += f->loss_ppm;
		any += f->any_ppm;
		burst += f->burst_centi;
		if (f->made_ns > sum.made_ns)
			sum = *f;
	}
	if (n == 0)
		return sum;
	sum.loss_ppm = (uint32_t)(loss / n);
	sum.any_ppm = (uint32_t)(any / n);
	sum.burst_centi = (uint32_t)(burst / n);
	return sum;
}

int lode_loss_get_outcome(
	const struct lode_loss *l, uint64_t from_ns, uint64_t to_ns, struct lode_loss_outcome *out)
{
	uint32_t from_us = (uint32_t)(from_ns / LODE_NS_PER_US),
		 to_us = (uint32_t)(to_ns / LODE_NS_PER_US);
	uint64_t n = LODE_MIN(l->n_windows, (uint64_t)WINDOWS);
	float bursts = 0;
	*out = (struct lode_loss_outcome){0};
	if (before_us((uint32_t)l->told_us, to_us) > 0)
		return -EAGAIN;
	for (uint64_t i = l->n_windows - n; i < l->n_windows; i++) {
		const struct sending *s = &l->sending[i % WINDOWS];
		float sent = share_between(s, from_us, to_us);
		if (sent <= 0)
			continue;
		out->sent_pkts += sent;
		out->lost_pkts += s->lost_pkts * sent / (float)s->sent_pkts;
		bursts += s->bursts * sent / (float)s->sent_pkts;
	}
	if (bursts > 0)
		out->mean_burst = LODE_MAX(out->lost_pkts / bursts, 1.0f);
	return out->sent_pkts > 0 ? 0 : -ENODATA;
}
