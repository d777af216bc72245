/* SPDX-License-Identifier: BSD-3-Clause */
/* CUBIC (RFC 9438) with HyStart's delay rule (RFC 9406), as company for our controllers: a window, an ACK
 * per packet, losses noticed by the gap (the link keeps order). Nothing is retransmitted: a lost
 * packet only counts. */
#include "flow.h"

#include <math.h>
#include <stdlib.h>

#define ACKS	   65536 /* a power of two */
#define CUBIC_C	   0.4
#define CUBIC_BETA 0.7
#define RTO_NS	   LODE_NS_PER_S

struct ack {
	uint64_t due_ns, pn, sent_ns;
};

struct cubic {
	double cwnd, ssthresh, w_max, origin; /* packets */
	uint64_t epoch_ns, min_rtt_ns, round_min_ns;
	double k_s, w_est;
	uint64_t next_pn, high_pn;     /* high_pn: newest acknowledged + 1 */
	uint64_t inflight, recover_pn; /* packets; recover_pn: one reduction per window */
	uint64_t round_pn, last_ack_ns;
	struct ack acks[ACKS];
	uint32_t ack_first, ack_end;
};

static int init_cubic(struct net *n, unsigned flow)
{
	struct cubic *c = calloc(1, sizeof(*c));
	n->flows[flow].state = c;
	if (!c)
		return -ENOMEM;
	c->cwnd = 10;
	c->ssthresh = INFINITY;
	c->min_rtt_ns = c->round_min_ns = UINT64_MAX;
	return 0;
}

static void free_cubic(struct net *n, unsigned flow)
{
	free(n->flows[flow].state);
}

static void reduce(struct cubic *c, uint64_t now_ns)
{
	c->recover_pn = c->next_pn;
	c->w_max = c->cwnd < c->w_max ? c->cwnd * (1 + CUBIC_BETA) / 2 : c->cwnd;
	c->cwnd = c->ssthresh = fmax(2, c->cwnd * CUBIC_BETA);
	c->epoch_ns = now_ns;
	c->k_s = cbrt(fmax(0, c->w_max - c->cwnd) / CUBIC_C);
	c->w_est = c->cwnd;
}

static void hystart(struct cubic *c, uint64_t pn, uint64_t rtt_ns)
{
	c->round_min_ns = LODE_MIN(c->round_min_ns, rtt_ns);
	if (pn < c->round_pn)
		return;
	uint64_t eta_ns =
		LODE_MIN(LODE_MAX(c->min_rtt_ns / 8, 4 * LODE_NS_PER_MS), 16 * LODE_NS_PER_MS);
	if (c->round_min_ns > c->min_rtt_ns + eta_ns && c->cwnd >= 16)
		c->ssthresh = c->cwnd;
	c->round_min_ns = UINT64_MAX;
	c->round_pn = c->next_pn;
}

static void grow(struct cubic *c, uint64_t now_ns, const struct ack *a)
{
	uint64_t rtt_ns = now_ns - a->sent_ns;
	c->min_rtt_ns = LODE_MIN(c->min_rtt_ns, rtt_ns);
	if (c->cwnd < c->ssthresh) {
		c->cwnd += 1;
		hystart(c, a->pn, rtt_ns);
		return;
	}
	if (c->epoch_ns == 0) {
		c->epoch_ns = now_ns;
		c->w_max = c->w_est = c->cwnd;
	}
	double t = (double)(now_ns - c->epoch_ns + c->min_rtt_ns) / 1e9;
	double target = c->w_max + CUBIC_C * pow(t - c->k_s, 3);
	c->w_est += 3 * (1 - CUBIC_BETA) / (1 + CUBIC_BETA) / c->cwnd;
	target = fmin(fmax(target, c->w_est), 1.5 * c->cwnd);
	if (target > c->cwnd)
		c->cwnd += (target - c->cwnd) / c->cwnd;
}

static void take_ack(struct cubic *c, uint64_t now_ns, const struct ack *a)
{
	c->last_ack_ns = now_ns;
	c->inflight -= c->inflight > 0;
	if (a->pn > c->high_pn) { /* a gap: the link keeps order, so these are lost */
		c->inflight -= LODE_MIN(c->inflight, a->pn - c->high_pn);
		if (c->high_pn >= c->recover_pn)
			reduce(c, now_ns);
	}
	c->high_pn = LODE_MAX(c->high_pn, a->pn + 1);
	if (a->pn >= c->recover_pn || c->recover_pn == 0)
		grow(c, now_ns, a);
}

static uint64_t poll_cubic(struct net *n, unsigned flow)
{
	struct cubic *c = n->flows[flow].state;
	uint64_t until_ns = LODE_NEVER_NS, now_ns = n->now_ns;
	while (c->ack_first != c->ack_end && c->acks[c->ack_first % ACKS].due_ns <= now_ns)
		take_ack(c, now_ns, &c->acks[c->ack_first++ % ACKS]);
	if (c->inflight && now_ns >= c->last_ack_ns + RTO_NS) { /* everything in flight was lost */
		reduce(c, now_ns);
		c->cwnd = 2;
		c->inflight = 0;
		c->high_pn = c->next_pn;
		c->last_ack_ns = now_ns;
	}
	bool has_data = net_has_data(n, flow, &until_ns);
	while (has_data && (double)c->inflight < c->cwnd) {
		if (c->inflight++ == 0)
			c->last_ack_ns = now_ns;
		net_send(n, flow, n->pkt_bytes, c->next_pn++, 0, NULL, 0);
	}
	uint64_t due_ns = c->inflight ? c->last_ack_ns + RTO_NS : LODE_NEVER_NS;
	if (!has_data)
		due_ns = LODE_MIN(due_ns, until_ns);
	if (c->ack_first != c->ack_end)
		due_ns = LODE_MIN(due_ns, c->acks[c->ack_first % ACKS].due_ns);
	return LODE_MAX(due_ns, now_ns + 1);
}

static uint64_t cubic_arrived(struct net *n, unsigned flow, const struct pkt *pkt)
{
	struct cubic *c = n->flows[flow].state;
	if (c->ack_end - c->ack_first < ACKS)
		c->acks[c->ack_end++ % ACKS] =
			(struct ack){n->now_ns + net_back_ns(n, flow), pkt->pn, pkt->sent_ns};
	return n->now_ns + net_back_ns(n, flow);
}

const struct flow_ops cubic_ops = {
	.init = init_cubic,
	.free = free_cubic,
	.poll = poll_cubic,
	.arrived = cubic_arrived,
};
