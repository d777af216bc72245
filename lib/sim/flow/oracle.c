/* SPDX-License-Identifier: BSD-3-Clause */
/* The lagged oracle: no estimator, no probing. It is told, half a round trip late, what the link could
 * carry in its last 100 ms, sends at that rate and keeps no more in flight than the rate fills the round
 * trip and 10 ms of queue with, plus two packets. What it misses is what nobody could know. */
#include "flow.h"

#include <stdlib.h>

#define MEMORY_NS  (100 * LODE_NS_PER_MS)
#define QUEUE_NS   (10 * LODE_NS_PER_MS)
#define STEP_NS	   (LODE_NS_PER_MS / 4)
#define BURST_PKTS 10
#define ACKS	   65536 /* a power of two */

struct ack {
	uint64_t due_ns, pn;
};

struct oracle {
	uint64_t next_pn, acked_pn; /* the link keeps order: below acked_pn nothing is in flight */
	double tokens_bytes;
	uint64_t refill_ns;
	struct ack acks[ACKS];
	uint32_t ack_first, ack_end;
};

static int init_oracle(struct net *n, unsigned flow)
{
	n->flows[flow].state = calloc(1, sizeof(struct oracle));
	return n->flows[flow].state ? 0 : -ENOMEM;
}

static void free_oracle(struct net *n, unsigned flow)
{
	free(n->flows[flow].state);
}

/* Bytes per ns of the link, as known now. */
static double known_rate(const struct net *n, uint64_t lag_ns)
{
	uint64_t to_ns = n->now_ns > lag_ns ? n->now_ns - lag_ns : 0;
	uint64_t from_ns = to_ns > MEMORY_NS ? to_ns - MEMORY_NS : 0;
	if (to_ns == from_ns)
		return 0;
	return (double)lode_flow_capacity(&n->spec->link, from_ns, to_ns) /
	       (double)(to_ns - from_ns);
}

static uint64_t poll_oracle(struct net *n, unsigned flow)
{
	struct oracle *o = n->flows[flow].state;
	uint64_t until_ns, now_ns = n->now_ns;
	uint64_t rtt_ns = n->spec->link.delay_ns + net_back_ns(n, flow);
	while (o->ack_first != o->ack_end && o->acks[o->ack_first % ACKS].due_ns <= now_ns)
		o->acked_pn = o->acks[o->ack_first++ % ACKS].pn + 1;
	double rate = known_rate(n, rtt_ns / 2), pkt = n->pkt_bytes;
	double window = rate * (double)(rtt_ns + QUEUE_NS) + 2 * pkt;
	o->tokens_bytes += rate * (double)(now_ns - o->refill_ns);
	o->tokens_bytes = LODE_MIN(o->tokens_bytes, BURST_PKTS * pkt);
	o->refill_ns = now_ns;
	if (net_has_data(n, flow, &until_ns))
		while ((double)(o->next_pn - o->acked_pn + 1) * pkt <= window &&
			o->tokens_bytes >= pkt) {
			net_send(n, flow, n->pkt_bytes, o->next_pn++, 0, NULL, 0);
			o->tokens_bytes -= pkt;
		}
	uint64_t due_ns = now_ns + STEP_NS;
	if (o->ack_first != o->ack_end)
		due_ns = LODE_MIN(due_ns, o->acks[o->ack_first % ACKS].due_ns);
	return LODE_MAX(due_ns, now_ns + 1);
}

static uint64_t oracle_arrived(struct net *n, unsigned flow, const struct pkt *pkt)
{
	struct oracle *o = n->flows[flow].state;
	if (o->ack_end - o->ack_first < ACKS)
		o->acks[o->ack_end++ % ACKS] =
			(struct ack){n->now_ns + net_back_ns(n, flow), pkt->pn};
	return n->now_ns + net_back_ns(n, flow);
}

const struct flow_ops oracle_ops = {
	.init = init_oracle,
	.free = free_oracle,
	.poll = poll_oracle,
	.arrived = oracle_arrived,
};
