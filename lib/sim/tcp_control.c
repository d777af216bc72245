/* SPDX-License-Identifier: BSD-3-Clause */
/* How much a transfer may have on its way: slow start, HyStart (RFC 9406), CUBIC (RFC 9438). */
#include "tcp.h"

#include <math.h>

#define RTO_MIN_NS    (200 * LODE_NS_PER_MS)
#define CUBIC_C	      0.4
#define CUBIC_BETA    0.7
#define ROUND_SAMPLES 8
#define HYSTART_CWND  16

void tcp_on_congestion(struct tcp_state *t, bool timeout)
{
	t->w_max = t->cwnd;
	t->ssthresh = LODE_MAX(t->cwnd * CUBIC_BETA, 2);
	t->cwnd = timeout ? 1 : t->ssthresh;
	t->k = cbrt(t->w_max * (1 - CUBIC_BETA) / CUBIC_C);
	t->epoch_ns = 0;
	t->recovery_end = t->nxt;
	t->after_timeout = timeout;
}

void tcp_grow(struct tcp_state *t, unsigned n_acked, uint64_t now_ns)
{
	if (in_flight(t) + n_acked + 2 < t->cwnd)
		return; /* the window was not the limit */
	if (t->cwnd < t->ssthresh) {
		t->cwnd += n_acked;
		return;
	}
	if (!t->epoch_ns) {
		t->epoch_ns = now_ns;
		if (t->w_max < t->cwnd)
			t->w_max = t->cwnd;
		t->k = cbrt((t->w_max - t->cwnd) / CUBIC_C);
	}
	double at = (double)(now_ns - t->epoch_ns + t->srtt_ns) / LODE_NS_PER_S - t->k;
	double target = CUBIC_C * at * at * at + t->w_max;
	double reno = 3 * (1 - CUBIC_BETA) / (1 + CUBIC_BETA) / t->cwnd;
	double cubic = target > t->cwnd ? (target - t->cwnd) / t->cwnd : 0.01 / t->cwnd;
	t->cwnd += n_acked * LODE_MIN(LODE_MAX(cubic, reno), 0.5);
}

/* Leaves slow start when the RTT of a whole round has grown: a queue builds up. */
static void hystart(struct tcp_state *t, uint64_t rtt_ns)
{
	if (t->una >= t->round_end) {
		t->round_end = t->nxt;
		t->last_round_rtt_ns = t->n_round_samples ? t->round_rtt_ns : LODE_NEVER_NS;
		t->round_rtt_ns = LODE_NEVER_NS;
		t->n_round_samples = 0;
	}
	t->round_rtt_ns = LODE_MIN(t->round_rtt_ns, rtt_ns);
	if (++t->n_round_samples < ROUND_SAMPLES || t->last_round_rtt_ns == LODE_NEVER_NS)
		return;
	uint64_t slack_ns = LODE_MIN(
		LODE_MAX(t->last_round_rtt_ns / 8, 4 * LODE_NS_PER_MS), 16 * LODE_NS_PER_MS);
	if (t->cwnd >= HYSTART_CWND && t->cwnd < t->ssthresh &&
		t->round_rtt_ns > t->last_round_rtt_ns + slack_ns)
		t->ssthresh = t->cwnd;
}

void tcp_take_rtt(struct tcp_state *t, uint64_t rtt_ns)
{
	uint64_t diff = rtt_ns > t->srtt_ns ? rtt_ns - t->srtt_ns : t->srtt_ns - rtt_ns;
	t->rttvar_ns = t->srtt_ns ? (3 * t->rttvar_ns + diff) / 4 : rtt_ns / 2;
	t->srtt_ns = t->srtt_ns ? (7 * t->srtt_ns + rtt_ns) / 8 : rtt_ns;
	t->min_rtt_ns = LODE_MIN(t->min_rtt_ns, rtt_ns);
	t->rto_ns = LODE_MAX(t->srtt_ns + 4 * t->rttvar_ns, RTO_MIN_NS);
	hystart(t, rtt_ns);
}
