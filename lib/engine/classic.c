/* SPDX-License-Identifier: BSD-3-Clause */
/* The classic controller: keeps a small standing queue by one-way delay, as Copa (Arun and Balakrishnan,
 * NSDI 2018) and FAST TCP (Wei et al., 2006) do, but from reports that come every 20 ms:
 *
 *   pace = R (1 + (T - q) / (rtt + q)) + a / (rtt + q)
 *
 * R is the delivery rate of the last 60 ms, q the queueing delay, T the delay aimed at. The first term
 * follows the link up and down at once; the second, the same few packets per round trip for every flow,
 * makes flows that share a link converge to equal shares (as 1/delta does in Copa).
 *
 * Loss: where the buffer is smaller than T the queue never tells. When a round loses more than noise, the
 * sender eases for two rounds. Losses that stay the same were noise and are compensated; losses that go
 * away were ours, and `caution` lowers T and a. Every 5 s without an empty queue it drains it, to see the
 * true delay floor; a queue that does not drain belongs to someone else (contest): then delay says
 * nothing, and it probes by a and eases on loss. */
#include "lode_engine.h"

#define MSS	      ((double)LODE_CC_MSS_BYTES)
#define MS	      ((double)LODE_NS_PER_MS)
#define TARGET_NS     (8 * MS)
#define TARGET_SHARE  0.125	/* of the smallest round trip, if that is more */
#define ADD_BYTES     (3 * MSS) /* a; on slow links R * T, but at least */
#define ADD_MIN	      (1.5 * MSS)
#define RATE_OVER_NS  (60 * MS)
#define IDLE_NS	      (40 * MS)
#define GAP_NS	      (150 * MS) /* at most so much silence counts as slowness */
#define SLOWEST	      0.3	 /* of R, however long the queue */
#define START_BYTES   (32 * MSS)
#define START_NS      (50 * MS) /* round trip assumed before one is known */
#define START_OVER_NS (40 * MS)
#define EMPTY_NS      (2 * MS)
#define DRAIN_EVERY   (5 * LODE_NS_PER_S)
#define DRAIN_AGAIN   LODE_NS_PER_S
#define DRAIN_GAIN    0.5
#define CONTEST_NS    (45 * MS) /* a longer queue is rather a link that has become slow */
#define ROUND_PKTS    60	/* fewer say nothing about a loss rate */
#define LOSS_MARGIN   0.015
#define EASE_ROUNDS   2
#define EASE_GAIN     0.92
#define EASE_CONTEST  0.8
#define NOISE_MAX     0.2
#define CAUTION_DOWN  0.85
#define CAUTION_UP    0.01
#define CAUTION_MIN   0.03
#define HUNGER_STEP   0.05 /* faster growth per round in which the queue stayed below T/2 */
#define REPORTS	      32

enum phase { STARTUP, STEADY, DRAIN };

struct report {
	float elapsed_ns, bytes;
};

struct classic {
	enum phase phase;
	bool contest, limited;
	uint32_t n_reports;
	struct report reports[REPORTS];
	double start_rate, rate; /* bytes per ns */
	double min_rtt_ns;
	double caution;	   /* CAUTION_MIN to 1 */
	uint64_t empty_ns; /* when the queue was last seen empty, or a drain ended */
	uint64_t drain_end_ns;
	double drain_queue_ns; /* queue when the drain began */
	/* the current round: a round trip and what it takes to hear of it */
	uint64_t round_end_ns;
	double round_queue_ns; /* largest */
	double seen_pkts, lost_pkts;
	bool round_limited; /* by the application */
	uint32_t hungry_rounds, ease_rounds;
	double noise, ease_loss;
};
static_assert(sizeof(struct classic) <= LODE_CC_STATE_BYTES, "a controller's state is limited");

static void decide(double pace, double window, struct lode_cc_decision *out)
{
	double bps = pace * 8 * (double)LODE_NS_PER_S;
	bps = LODE_MIN(LODE_MAX(bps, (double)LODE_CC_RATE_MIN), (double)LODE_CC_RATE_MAX);
	out->pacing_bps = (uint64_t)bps;
	out->cwnd_bytes = (uint64_t)LODE_MAX(window, 4 * MSS);
}

static void init(void *state, const struct lode_cc_params *params, uint64_t now_ns,
	struct lode_cc_decision *out)
{
	struct classic *c = state;
	memset(c, 0, sizeof(*c));
	c->empty_ns = now_ns;
	c->caution = 1;
	c->start_rate = START_BYTES / START_NS;
	if (params->configured_bps)
		c->start_rate = (double)params->configured_bps / (8 * (double)LODE_NS_PER_S);
	decide(c->start_rate, LODE_MAX(2 * START_BYTES, 2 * START_NS * c->start_rate), out);
}

/* Delivery rate over at least the newest window_ns. */
static double rate_over(const struct classic *c, double window_ns)
{
	double ns = 0, bytes = 0;
	for (uint32_t i = 0; i < REPORTS && i < c->n_reports && ns < window_ns; i++) {
		const struct report *r = &c->reports[(c->n_reports - 1 - i) % REPORTS];
		ns += (double)r->elapsed_ns;
		bytes += (double)r->bytes;
	}
	return ns > 0 ? bytes / ns : 0;
}

/* Time in which nothing was offered, or nothing at all came through, is not part of a rate. */
static void add_report(struct classic *c, const struct lode_cc_interval *in)
{
	bool after_idle = c->limited && (double)in->elapsed_ns > IDLE_NS;
	c->limited = in->app_limited;
	if (after_idle)
		return;
	float elapsed_ns = LODE_MIN((float)in->elapsed_ns, (float)GAP_NS);
	c->reports[c->n_reports++ % REPORTS] =
		(struct report){elapsed_ns, (float)in->delivered_bytes};
}

/* After easing: did the losses go away? */
static void judge_ease(struct classic *c)
{
	double loss = c->seen_pkts > 0 ? c->lost_pkts / c->seen_pkts : 0;
	if (loss > c->ease_loss / 2 && !c->contest) {
		c->noise = LODE_MIN(loss, NOISE_MAX);
		return;
	}
	c->caution = LODE_MAX(c->caution * CAUTION_DOWN, CAUTION_MIN);
	c->noise = LODE_MIN(c->noise, loss);
}

/* The first round of easing still hears of what was sent before it. */
static void judge_round(struct classic *c)
{
	if (c->ease_rounds) {
		if (--c->ease_rounds == 0)
			judge_ease(c);
		c->seen_pkts = c->lost_pkts = 0;
		return;
	}
	if (c->seen_pkts < ROUND_PKTS)
		return;
	double loss = c->lost_pkts / c->seen_pkts;
	if (c->lost_pkts >= 3 && loss > 1.5 * c->noise + (c->contest ? 0 : LOSS_MARGIN)) {
		c->ease_rounds = EASE_ROUNDS;
		c->ease_loss = loss;
		c->hungry_rounds = 0;
		if (c->phase == STARTUP)
			c->phase = STEADY;
	} else {
		c->caution = LODE_MIN(1, c->caution + CAUTION_UP);
		if (loss < c->noise)
			c->noise += 0.1 * (loss - c->noise);
	}
	c->seen_pkts = c->lost_pkts = 0;
}

static void account(struct classic *c, const struct lode_cc_interval *in, double target_ns)
{
	c->seen_pkts += in->delivered_pkts + in->lost_pkts;
	c->lost_pkts += in->lost_pkts;
	c->round_queue_ns = LODE_MAX(c->round_queue_ns, (double)in->queue_min_ns);
	c->round_limited |= in->app_limited;
	if (in->now_ns < c->round_end_ns)
		return;
	bool hungry = c->round_queue_ns < target_ns / 2 && !c->round_limited;
	c->hungry_rounds = hungry ? c->hungry_rounds + 1 : 0;
	judge_round(c);
	c->round_end_ns = in->now_ns + (uint64_t)(c->min_rtt_ns + 20 * MS);
	c->round_queue_ns = 0;
	c->round_limited = false;
}

/* Enters and leaves the drain; tells from its outcome whether the queue is ours. */
static void watch_floor(struct classic *c, uint64_t now_ns, double queue_ns, double target_ns)
{
	if (queue_ns < LODE_MAX(EMPTY_NS, target_ns / 8)) {
		c->empty_ns = now_ns;
		c->contest = false;
	}
	if (c->phase == STEADY && now_ns - c->empty_ns > DRAIN_EVERY) {
		c->phase = DRAIN;
		c->drain_queue_ns = queue_ns;
		double need_ns = 2 * c->min_rtt_ns + LODE_MIN(2 * queue_ns, 1000 * MS);
		c->drain_end_ns = now_ns + (uint64_t)need_ns;
	}
	if (c->phase != DRAIN)
		return;
	bool empty = queue_ns < LODE_MAX(EMPTY_NS, 0.15 * c->drain_queue_ns);
	if (!empty && now_ns <= c->drain_end_ns)
		return;
	c->phase = STEADY;
	c->empty_ns = now_ns;
	c->contest = !empty && c->drain_queue_ns < LODE_MAX(CONTEST_NS, c->min_rtt_ns);
	if (!empty && !c->contest) /* try again before the floor is forgotten */
		c->empty_ns -= DRAIN_EVERY - DRAIN_AGAIN;
}

static void start_up(struct classic *c, struct lode_cc_decision *out)
{
	double pace = LODE_MAX(
		2 * rate_over(c, LODE_MAX(START_OVER_NS, c->min_rtt_ns / 2)), c->start_rate);
	decide(pace, LODE_MAX(pace * (c->min_rtt_ns + START_NS), START_BYTES), out);
}

/* The law on top of this file. */
static void steady(
	struct classic *c, double queue_ns, double target_ns, struct lode_cc_decision *out)
{
	double rtt_ns = c->min_rtt_ns + queue_ns, gain = 1;
	double add = LODE_MIN(LODE_MAX(c->rate * target_ns, ADD_MIN), ADD_BYTES) * c->caution;
	if (c->contest) {
		target_ns = queue_ns;
		add *= 2;
	}
	double follow = 1 + (target_ns - queue_ns) / rtt_ns;
	if (c->hungry_rounds >= 2)
		follow += LODE_MIN(HUNGER_STEP * (c->hungry_rounds - 1), 1.0) * c->caution;
	follow = LODE_MAX(follow, SLOWEST);
	if (c->phase == DRAIN)
		gain *= DRAIN_GAIN;
	if (c->ease_rounds) {
		gain *= c->contest ? EASE_CONTEST : EASE_GAIN;
		follow = LODE_MIN(follow, 1.0);
	}
	double rate = c->rate / (1 - c->noise);
	/* What the receiver has but has not told yet counts as in flight too. */
	double untold_ns = 1.5 * LODE_MIN(LODE_MAX(c->min_rtt_ns / 2, 5 * MS), 20 * MS);
	double window =
		rate * LODE_MAX(follow, 1.0) * (c->min_rtt_ns + target_ns + untold_ns) + 2 * add;
	decide(gain * (rate * follow + add / rtt_ns), gain * window, out);
}

static void on_feedback(
	void *state, const struct lode_cc_interval *in, struct lode_cc_decision *out)
{
	struct classic *c = state;
	if (in->elapsed_ns == 0)
		return;
	double queue_ns = (double)in->queue_min_ns;
	c->min_rtt_ns = (double)in->min_rtt_ns;
	double target_ns = LODE_MAX(TARGET_NS, TARGET_SHARE * c->min_rtt_ns) * c->caution;
	add_report(c, in);
	double rate = rate_over(c, LODE_MAX(RATE_OVER_NS, c->min_rtt_ns));
	/* A sender without data learns nothing about the link's limit, unless the link is busy all the same. */
	if (!in->app_limited || queue_ns > target_ns || rate > c->rate)
		c->rate = rate;
	account(c, in, target_ns);
	watch_floor(c, in->now_ns, queue_ns, target_ns);
	if (c->phase == STARTUP && queue_ns > TARGET_NS)
		c->phase = STEADY;
	if (c->phase == STARTUP)
		start_up(c, out);
	else
		steady(c, queue_ns, target_ns, out);
}

/* Silence: do not pump into a dead link; the next report sets the pace again. */
static void on_timeout(void *state, uint64_t now_ns, struct lode_cc_decision *out)
{
	const struct classic *c = state;
	decide(4 * MSS / (c->min_rtt_ns + 100 * MS), 4 * MSS, out);
}

static const char *phase(const void *state)
{
	static const char *const names[] = {"startup", "steady", "drain"};
	const struct classic *c = state;
	if (c->ease_rounds)
		return "ease";
	return c->contest ? "contest" : names[c->phase];
}

const struct lode_cc_ops lode_cc_classic = {
	.name = "classic",
	.init = init,
	.on_feedback = on_feedback,
	.on_timeout = on_timeout,
	.phase = phase,
};
