/* SPDX-License-Identifier: BSD-3-Clause */
/* Sending: token-bucket pacer and window, bytes in flight by the echoed send time, and what the peer's
 * reports say, handed to the controller once per report. */
#include "path.h"

#define MARK_SPACING_US	 500
#define BURST_TIME_NS	 (2.0 * (double)LODE_NS_PER_MS)
#define BURST_MIN_BYTES	 3000.0
#define DEBT_TIME_NS	 (20.0 * (double)LODE_NS_PER_MS)
#define TIMEOUT_MIN_NS	 (300 * LODE_NS_PER_MS)
#define TIMEOUT_MAX_NS	 (3 * LODE_NS_PER_S)
#define LOSS_WEIGHT_PKTS 500.0 /* packets after which the loss average has forgotten 63 % */
#define RATE_WEIGHT	 0.2
#define FLOOR_HALF_NS	 (10 * LODE_NS_PER_S)
#define FEW_PKTS_LOST	 2
#define RTT_MAX_NS	 (60 * LODE_NS_PER_S)
#define CLOCK_SLACK_NS	 LODE_NS_PER_S /* reports are late, and cover some time */

void floor_add(struct floor_min *f, uint64_t now_ns, int64_t value)
{
	if (f->turn_ns == 0) {
		f->now_min = f->before_min = value;
		f->turn_ns = now_ns + FLOOR_HALF_NS;
	} else if (now_ns >= f->turn_ns) {
		f->before_min = f->now_min;
		f->now_min = value;
		f->turn_ns = now_ns + FLOOR_HALF_NS;
	}
	f->now_min = LODE_MIN(f->now_min, value);
}

static uint64_t pacing_bps(const struct lode_path *p)
{
	uint64_t share_bps = p->tx.share_kbps * 1000ull, bps = p->tx.decision.pacing_bps;
	return share_bps ? LODE_MIN(bps, share_bps) : bps;
}

void tx_apply_rate(struct lode_path *p)
{
	struct tx *t = &p->tx;
	t->bytes_per_ns = (double)pacing_bps(p) / (8.0 * (double)LODE_NS_PER_S);
	t->ns_per_byte = 1 / t->bytes_per_ns;
	t->burst_bytes = LODE_MAX(BURST_MIN_BYTES, t->bytes_per_ns * BURST_TIME_NS);
}

void tx_init(struct lode_path *p, uint64_t now_ns)
{
	struct tx *t = &p->tx;
	struct lode_cc_params cc = {
		.configured_bps = p->params.configured_kbps * 1000ull, .seed = p->params.seed};
	p->params.cc->init(p->cc_state, &cc, now_ns, &t->decision);
	t->refill_ns = now_ns;
	t->timeout_ns = FAR_FUTURE;
	t->news.queue_min_ns = UINT64_MAX;
	tx_apply_rate(p);
	t->tokens_bytes = t->burst_bytes;
}

uint64_t tx_inflight(const struct lode_path *p)
{
	return p->tx.bytes - p->tx.arrived_bytes;
}

/* ---- pacer ---- */

static void refill(struct tx *t, uint64_t now_ns)
{
	if (now_ns <= t->refill_ns)
		return;
	t->tokens_bytes += (double)(now_ns - t->refill_ns) * t->bytes_per_ns;
	t->tokens_bytes = LODE_MIN(t->tokens_bytes, t->burst_bytes);
	t->refill_ns = now_ns;
}

static uint64_t window_room(const struct lode_path *p)
{
	uint64_t inflight = tx_inflight(p), cwnd = p->tx.decision.cwnd_bytes;
	uint64_t room = cwnd > inflight ? cwnd - inflight : 0;
	return p->life.validated ? room : LODE_MIN(room, life_allowance(p));
}

uint32_t lode_path_credit(struct lode_path *p, uint64_t now_ns)
{
	struct tx *t = &p->tx;
	refill(t, now_ns);
	if (t->tokens_bytes < 1)
		return 0;
	uint64_t room = window_room(p);
	return (uint32_t)LODE_MIN((double)room, t->tokens_bytes);
}

uint64_t lode_path_credit_due_ns(const struct lode_path *p)
{
	const struct tx *t = &p->tx;
	if (window_room(p) == 0)
		return FAR_FUTURE;
	if (t->tokens_bytes >= 1)
		return t->refill_ns;
	return t->refill_ns + (uint64_t)((1 - t->tokens_bytes) * t->ns_per_byte) + 1;
}

static uint64_t timeout_at(const struct tx *t, uint64_t now_ns)
{
	return now_ns + LODE_MIN(LODE_MAX(TIMEOUT_MIN_NS, 4 * t->srtt_ns), TIMEOUT_MAX_NS);
}

static void add_mark(struct tx *t, uint32_t tx_us)
{
	bool any = t->mark_end != t->mark_first;
	const struct mark *last = &t->marks[(t->mark_end - 1) % MARKS];
	if (any && (tx_us - last->tx_us < MARK_SPACING_US || t->mark_end - t->mark_first == MARKS))
		return;
	t->marks[t->mark_end++ % MARKS] = (struct mark){tx_us, (uint32_t)t->bytes};
}

void lode_path_sent_burst(struct lode_path *p, uint64_t now_ns, uint32_t n_pkts, uint32_t bytes,
	uint32_t tx_us, unsigned flags)
{
	struct tx *t = &p->tx;
	refill(t, now_ns);
	t->tokens_bytes =
		LODE_MAX(t->tokens_bytes - bytes, -t->bytes_per_ns * DEBT_TIME_NS - bytes);
	if (tx_inflight(p) == 0)
		t->last_report_ns = now_ns;
	t->pkts += n_pkts;
	t->bytes += bytes;
	t->last_us = tx_us;
	add_mark(t, tx_us);
	p->life.unvalidated_tx += bytes;
	if (!(flags & LODE_PATH_CONTROL)) {
		p->life.last_data_ns = now_ns;
		t->last_data_us = tx_us;
		t->data_out = true;
	}
	if (t->timeout_ns == FAR_FUTURE && !p->params.follower)
		t->timeout_ns = timeout_at(t, now_ns);
}

void lode_path_app_limited(struct lode_path *p)
{
	p->tx.limited_bytes = p->tx.bytes;
}

/* ---- reports ---- */

/* Bytes sent up to tx_us, low 32 bits. Forgets marks that are not needed any more. */
static uint32_t sent_until(struct tx *t, uint32_t tx_us)
{
	uint32_t next = t->mark_first + 1;
	while (next < t->mark_end && (int32_t)(tx_us - t->marks[next % MARKS].tx_us) >= 0)
		next = ++t->mark_first + 1;
	const struct mark *a = &t->marks[t->mark_first % MARKS], *b = &t->marks[next % MARKS];
	struct mark end = {t->last_us, (uint32_t)t->bytes};
	if (next >= t->mark_end)
		b = &end;
	uint32_t since = tx_us - a->tx_us, span = b->tx_us - a->tx_us;
	if ((int32_t)since <= 0 || span == 0)
		return (int32_t)since < 0 ? a->cum : (span == 0 ? b->cum : a->cum);
	return a->cum + (uint32_t)((uint64_t)(b->cum - a->cum) * LODE_MIN(since, span) / span);
}

/* Notes the echo of a newest arrival; false if it is old or none of ours. */
static bool note_echo(struct lode_path *p, uint64_t now_ns, uint32_t echo_us)
{
	struct tx *t = &p->tx;
	bool newer = !t->told || (int32_t)(echo_us - t->told_us) > 0;
	if (t->pkts == 0 || !newer || (int32_t)(t->last_us - echo_us) < 0)
		return false;
	t->told = true;
	t->told_us = echo_us;
	uint64_t arrived = t->bytes - (uint32_t)((uint32_t)t->bytes - sent_until(t, echo_us));
	t->arrived_bytes = LODE_MAX(arrived, t->arrived_bytes);
	t->last_report_ns = now_ns;
	t->timeout_ns = tx_inflight(p) == 0 ? FAR_FUTURE : timeout_at(t, now_ns);
	t->data_out &= (int32_t)(t->last_data_us - echo_us) > 0;
	return true;
}

/* It left before an own stall ended: what came back waited here. */
static bool spans_stall(const struct lode_path *p, uint64_t now_ns, uint32_t echo_us)
{
	uint64_t stalled_ns = p->rx.stalled_ns;
	return stalled_ns != 0 && now_ns - stalled_ns < RTT_MAX_NS &&
	       (int32_t)(echo_us - lode_path_tx_us(stalled_ns)) < 0;
}

/* RFC 6298 smoothing. */
void tx_rtt(struct lode_path *p, uint64_t now_ns, uint32_t echo_us, uint32_t hold_us)
{
	struct tx *t = &p->tx;
	uint32_t rtt_us = lode_path_tx_us(now_ns) - echo_us - hold_us;
	if (rtt_us > RTT_MAX_NS / LODE_NS_PER_US || spans_stall(p, now_ns, echo_us))
		return; /* the first: a hold time that contradicts the echo */
	uint64_t rtt = LODE_MAX(rtt_us, 1u) * LODE_NS_PER_US;
	floor_add(&t->rtt_floor, now_ns, (int64_t)rtt);
	if (t->srtt_ns == 0) {
		t->srtt_ns = rtt;
		t->rttvar_ns = rtt / 2;
		return;
	}
	uint64_t off = rtt > t->srtt_ns ? rtt - t->srtt_ns : t->srtt_ns - rtt;
	t->rttvar_ns = (3 * t->rttvar_ns + off) / 4;
	t->srtt_ns = (7 * t->srtt_ns + rtt) / 8;
}

/* What the report adds to what was known of a slot; older reports of it are part of newer ones. */
static struct lode_wire_slot slot_news(
	struct tx *t, uint32_t number, const struct lode_wire_slot *s)
{
	struct lode_wire_slot *known = &t->slots[number % LODE_WIRE_SLOTS_MAX], news = {0};
	if (t->reported && t->newest_slot - number >= LODE_WIRE_SLOTS_MAX &&
		(int32_t)(number - t->newest_slot) <= 0)
		return news;
	while (!t->reported || (int32_t)(number - t->newest_slot) > 0) {
		bool far = !t->reported || number - t->newest_slot > LODE_WIRE_SLOTS_MAX;
		t->newest_slot = far ? number - LODE_WIRE_SLOTS_MAX : t->newest_slot + 1;
		memset(&t->slots[t->newest_slot % LODE_WIRE_SLOTS_MAX], 0, sizeof(*known));
		t->reported = true;
	}
	if (s->pkts < known->pkts || s->bytes < known->bytes || s->lost < known->lost)
		return news; /* overtaken by a newer report */
	news = (struct lode_wire_slot){.bytes = s->bytes - known->bytes,
		.pkts = (uint16_t)(s->pkts - known->pkts),
		.lost = (uint16_t)(s->lost - known->lost),
		.bursts = (uint16_t)(s->bursts - LODE_MIN(known->bursts, s->bursts)),
		.longest_burst = s->lost > known->lost ? s->longest_burst : 0,
		.ce = (uint16_t)(s->ce - LODE_MIN(known->ce, s->ce)),
		/* The smallest delay of a slot known in part may lie in that part. */
		.owd_min_us = known->pkts ? s->owd_last_us : s->owd_min_us,
		.owd_last_us = s->owd_last_us};
	*known = *s;
	return news;
}

/* A delay cannot grow by more than the time that has passed, unless the peer's clock was set: earlier ones tell
 * nothing then. */
static bool clock_was_set(struct tx *t, uint64_t now_ns, uint32_t owd_us)
{
	int64_t change_ns = (int64_t)(int32_t)(owd_us - t->owd_us) * (int64_t)LODE_NS_PER_US;
	int64_t elapsed_ns = (int64_t)(now_ns - t->owd_at_ns);
	t->owd_us = owd_us;
	t->owd_at_ns = now_ns;
	return change_ns > elapsed_ns + (int64_t)CLOCK_SLACK_NS;
}

/* A delay of the differing clocks as time above its floor. */
static uint64_t queueing_ns(struct tx *t, uint64_t now_ns, uint32_t owd_us)
{
	int64_t rel_ns = (int64_t)(int32_t)(owd_us - t->owd_zero_us) * (int64_t)LODE_NS_PER_US;
	floor_add(&t->owd_floor, now_ns, rel_ns);
	return (uint64_t)(rel_ns - floor_get(&t->owd_floor));
}

static void add_slot(struct lode_path *p, uint64_t now_ns, const struct lode_wire_slot *news)
{
	struct tx *t = &p->tx;
	struct lode_cc_interval *in = &t->news;
	in->delivered_bytes += news->bytes;
	in->delivered_pkts += news->pkts;
	in->lost_pkts += news->lost;
	in->ce_pkts += news->ce;
	if (news->pkts) {
		uint32_t min_us = news->owd_min_us;
		if (lode_unlikely(clock_was_set(t, now_ns, news->owd_last_us))) {
			t->owd_floor.turn_ns = 0;
			min_us = news->owd_last_us;
		}
		uint64_t min_ns = queueing_ns(t, now_ns, min_us);
		uint64_t before_ns = t->queue_ns;
		t->queue_ns = queueing_ns(t, now_ns, news->owd_last_us);
		in->queue_min_ns = LODE_MIN(in->queue_min_ns, LODE_MIN(min_ns, t->queue_ns));
		slope_add(&t->owd_slope, &t->owd_slope_at_ns, now_ns,
			(double)t->queue_ns - (double)before_ns);
	}
	uint32_t n = (uint32_t)news->pkts + news->lost;
	if (n)
		lode_ewma_add(
			&t->loss, (double)news->lost / n, LODE_MIN(1.0, n / LOSS_WEIGHT_PKTS));
	if (news->lost && news->bursts)
		lode_ewma_add(&t->burst, (double)news->lost / news->bursts, 0.1);
	t->delivered_pkts += news->pkts;
	t->delivered_bytes += news->bytes;
	t->loss_bursts += news->bursts;
	t->longest_burst = LODE_MAX(t->longest_burst, (uint32_t)news->longest_burst);
	t->lost_pkts += news->lost;
	t->ce_pkts += news->ce;
}

static void run_controller(struct lode_path *p, uint64_t now_ns)
{
	struct tx *t = &p->tx;
	struct lode_cc_interval *in = &t->news;
	in->now_ns = now_ns;
	in->min_rtt_ns = floor_valid(&t->rtt_floor) ? (uint64_t)floor_get(&t->rtt_floor) : 0;
	in->inflight_bytes = tx_inflight(p);
	in->app_limited = t->arrived_bytes <= t->limited_bytes;
	in->queue_last_ns = t->queue_ns;
	in->queue_min_ns = LODE_MIN(in->queue_min_ns, t->queue_ns);
	if (in->elapsed_ns) {
		double bps = (double)in->delivered_bytes * 8e9 / (double)in->elapsed_ns;
		/* What was not asked for tells no rate. */
		if (!in->app_limited || bps > t->delivery_bps)
			t->delivery_bps += RATE_WEIGHT * (bps - t->delivery_bps);
	}
	p->params.cc->on_feedback(p->cc_state, in, &t->decision);
	tx_apply_rate(p);
	if (in->lost_pkts >= FEW_PKTS_LOST && in->lost_pkts * 4 > in->delivered_pkts)
		pmtu_suspect(p, now_ns);
	t->news = (struct lode_cc_interval){.queue_min_ns = UINT64_MAX};
}

void tx_feedback(struct lode_path *p, uint64_t now_ns, const struct lode_wire_feedback *m)
{
	struct tx *t = &p->tx;
	uint64_t arrived_before = t->arrived_bytes;
	bool first = !t->reported, newer = note_echo(p, now_ns, m->echo_us);
	for (unsigned i = 0; i < m->n_slots; i++) {
		if (!t->reported)
			t->owd_zero_us = m->slots[i].owd_min_us;
		struct lode_wire_slot news = slot_news(t, m->first_slot + i, &m->slots[i]);
		add_slot(p, now_ns, &news);
	}
	if (!newer)
		return; /* overtaken, or only losses: its counts are told with the next one */
	tx_rtt(p, now_ns, m->echo_us, m->hold_us);
	life_proof(p, now_ns);
	t->news.rtt_ns =
		(uint64_t)(lode_path_tx_us(now_ns) - m->echo_us - m->hold_us) * LODE_NS_PER_US;
	t->news.sent_bytes += t->arrived_bytes - arrived_before;
	if (m->n_slots) {
		uint32_t rx_us = m->echo_us + m->slots[m->n_slots - 1].owd_last_us;
		uint32_t elapsed_us = rx_us - t->newest_rx_us;
		if (!first && (int32_t)elapsed_us > 0)
			t->news.elapsed_ns = elapsed_us * LODE_NS_PER_US;
		t->newest_rx_us = rx_us;
	}
	run_controller(p, now_ns);
}

void tx_poll(struct lode_path *p, uint64_t now_ns)
{
	struct tx *t = &p->tx;
	if (now_ns < t->timeout_ns)
		return;
	/* Nobody reports control alone: that it is not told of says nothing. But a rate that was driven down
	 * below what a silent path begins with is too old to hold. */
	struct lode_cc_decision begin = t->decision;
	p->params.cc->on_timeout(p->cc_state, now_ns, &begin);
	if (t->data_out || begin.pacing_bps > t->decision.pacing_bps) {
		t->n_timeouts += t->data_out;
		t->decision = begin;
		tx_apply_rate(p);
		t->data_out = false;
	}
	/* A new window may go out; a later report still finds its bytes by their time. */
	t->arrived_bytes = t->bytes;
	t->timeout_ns = FAR_FUTURE;
}

uint64_t tx_next_due_ns(const struct lode_path *p)
{
	return p->tx.timeout_ns;
}

void tx_dir_stats(const struct lode_path *p, struct lode_path_dir *out)
{
	const struct tx *t = &p->tx;
	*out = (struct lode_path_dir){.pkts = t->pkts,
		.bytes = t->bytes,
		.lost_pkts = t->lost_pkts,
		.lost_runs = t->loss_bursts,
		.told_pkts = t->delivered_pkts + t->lost_pkts,
		.bps = (uint64_t)t->delivery_bps,
		.loss = t->loss.value,
		.burst = t->burst.valid ? t->burst.value : 1,
		.owd_queue_ns = t->queue_ns,
		.owd_gradient_ns_per_s = (int64_t)t->owd_slope,
		.ce_pkts = t->ce_pkts};
}

unsigned lode_path_windows(const struct lode_path *p, struct lode_wire_slot *out, unsigned max)
{
	const struct tx *t = &p->tx;
	if (!t->reported)
		return 0;
	unsigned n = LODE_MIN(max, (unsigned)LODE_WIRE_SLOTS_MAX);
	for (unsigned i = 0; i < n; i++)
		out[i] = t->slots[(t->newest_slot - (n - 1 - i)) % LODE_WIRE_SLOTS_MAX];
	return n;
}
