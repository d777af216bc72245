/* SPDX-License-Identifier: BSD-3-Clause */
/* The lagged oracle: no estimator, no probing. It is told, half a round trip late, what the link could
 * carry in its last 100 ms, sends at that rate and keeps no more in flight than that rate fills the round
 * trip with, plus two packets. What it misses is what nobody could know. */
#include "flow.h"

#include <stdlib.h>

#define MEMORY_NS (100 * LODE_NS_PER_MS)
#define STEP_NS	  LODE_NS_PER_MS
#define ACKS	  65536 /* a power of two */

struct oracle {
	uint64_t inflight_bytes;
	double tokens_bytes;
	uint64_t refill_ns;
	uint64_t ack_ns[ACKS];
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

static uint64_t poll_oracle(struct net *n, unsigned flow)
{
	struct oracle *o = n->flows[flow].state;
	uint64_t until_ns, now_ns = n->now_ns, delay_ns = n->spec->link.delay_ns;
	uint64_t rtt_ns = delay_ns + net_back_ns(n, flow), lag_ns = rtt_ns / 2;
	while (o->ack_first != o->ack_end && o->ack_ns[o->ack_first % ACKS] <= now_ns) {
		o->ack_first++;
		o->inflight_bytes -= LODE_MIN(o->inflight_bytes, n->pkt_bytes);
	}
	uint64_t to_ns = now_ns > lag_ns ? now_ns - lag_ns : 0;
	uint64_t from_ns = to_ns > MEMORY_NS ? to_ns - MEMORY_NS : 0;
	double rate = 0; /* bytes per ns */
	if (to_ns > from_ns)
		rate = (double)lode_flow_capacity(&n->spec->link, from_ns, to_ns) /
		       (double)(to_ns - from_ns);
	double window = rate * (double)rtt_ns + 2 * n->pkt_bytes;
	o->tokens_bytes += rate * (double)(now_ns - o->refill_ns);
	o->tokens_bytes = LODE_MIN(o->tokens_bytes, 2.0 * n->pkt_bytes);
	o->refill_ns = now_ns;
	if (net_has_data(n, flow, &until_ns))
		while ((double)o->inflight_bytes + n->pkt_bytes <= window &&
			o->tokens_bytes >= n->pkt_bytes) {
			net_send(n, flow, n->pkt_bytes, 0, 0, NULL, 0);
			o->inflight_bytes += n->pkt_bytes;
			o->tokens_bytes -= n->pkt_bytes;
		}
	uint64_t due_ns = now_ns + STEP_NS / 4;
	if (o->ack_first != o->ack_end)
		due_ns = LODE_MIN(due_ns, o->ack_ns[o->ack_first % ACKS]);
	return LODE_MAX(due_ns, now_ns + 1);
}

static void oracle_arrived(struct net *n, unsigned flow, const struct pkt *pkt)
{
	struct oracle *o = n->flows[flow].state;
	if (o->ack_end - o->ack_first < ACKS)
		o->ack_ns[o->ack_end++ % ACKS] = n->now_ns + net_back_ns(n, flow);
}

const struct flow_ops oracle_ops = {
	.init = init_oracle,
	.free = free_oracle,
	.poll = poll_oracle,
	.arrived = oracle_arrived,
};
