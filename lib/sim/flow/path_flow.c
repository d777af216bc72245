/* SPDX-License-Identifier: BSD-3-Clause */
/* A sender and a receiver as lanes run them, without packets: credit, control messages, feedback. The
 * sender's control messages share the link; the receiver's come back after a fixed delay. */
#include "flow.h"

#include <stdlib.h>

#define BACK_MAX      256 /* messages on the way back, a power of two */
#define CONTROL_MAX   (LODE_PATH_CONTROL_MAX + 16)
#define OUTER_BYTES   (28 + LODE_WIRE_CONTROL_OVERHEAD)
#define POLLS_PER_PKT 64 /* packets sent per poll at most */

struct back {
	uint64_t due_ns;
	uint32_t tx_us;
	uint16_t len;
	uint8_t control[CONTROL_MAX];
};

struct path_flow {
	struct lode_path *sender, *receiver;
	uint64_t next_pn, back_pn;
	uint32_t back_first, back_end;
	struct back back[BACK_MAX];
};

static struct lode_path *make_path(const struct net *n, unsigned flow, uint64_t seed)
{
	const struct lode_flow_spec *spec = n->flows[flow].spec;
	struct lode_path_params params = {
		.link_mtu_bytes = LODE_WIRE_MTU_BASE, /* no search: its probes are not sent */
		.configured_kbps = spec->configured_kbps,
		.remote_known = true,
		.cc = spec->cc,
		.seed = seed};
	void *memory = aligned_alloc(LODE_CACHE_LINE, lode_path_bytes());
	return memory ? lode_path_init(memory, &params, spec->start_ns) : NULL;
}

static void free_path_flow(struct net *n, unsigned flow)
{
	struct path_flow *f = n->flows[flow].state;
	if (!f)
		return;
	if (f->sender) {
		struct lode_path_stats stats;
		lode_path_get_stats(f->sender, &stats);
		n->flows[flow].result->phase = stats.phase;
	}
	free(f->sender);
	free(f->receiver);
	free(f);
}

static int init_path_flow(struct net *n, unsigned flow)
{
	struct path_flow *f = calloc(1, sizeof(*f));
	n->flows[flow].state = f;
	if (!f)
		return -ENOMEM;
	uint64_t seed = lode_mix64(n->spec->seed + flow);
	f->sender = make_path(n, flow, seed);
	f->receiver = make_path(n, flow, ~seed);
	return f->sender && f->receiver ? 0 : -ENOMEM;
}

static void read_control(
	struct lode_path *p, uint64_t now_ns, uint32_t tx_us, const uint8_t *buf, size_t len)
{
	struct lode_wire_tlv tlv;
	size_t pos = 0;
	while (lode_wire_tlv_next(buf, len, &pos, &tlv) == 1)
		lode_path_read_control(p, now_ns, tx_us, &tlv);
}

static void receiver_poll(struct net *n, unsigned flow, struct path_flow *f)
{
	lode_path_poll(f->receiver, n->now_ns);
	if (!lode_path_control_due(f->receiver, n->now_ns) ||
		f->back_end - f->back_first == BACK_MAX)
		return;
	struct back *b = &f->back[f->back_end++ % BACK_MAX];
	struct lode_wire_writer w;
	lode_wire_writer_init(&w, b->control, sizeof(b->control));
	lode_path_write_control(f->receiver, n->now_ns, &w);
	b->tx_us = lode_path_tx_us(n->now_ns);
	b->due_ns = n->now_ns + net_back_ns(n, flow);
	b->len = (uint16_t)w.len;
	lode_path_sent(
		f->receiver, n->now_ns, (uint32_t)w.len + OUTER_BYTES, b->tx_us, LODE_PATH_CONTROL);
}

static void take_back(struct net *n, unsigned flow, struct path_flow *f)
{
	while (f->back_first != f->back_end &&
		f->back[f->back_first % BACK_MAX].due_ns <= n->now_ns) {
		const struct back *b = &f->back[f->back_first++ % BACK_MAX];
		lode_path_received(f->sender, n->now_ns, f->back_pn++, b->len + OUTER_BYTES,
			b->tx_us, LODE_PATH_CONTROL);
		read_control(f->sender, n->now_ns, b->tx_us, b->control, b->len);
		n->flows[flow].result->n_decisions++;
	}
}

static void send_control(struct net *n, unsigned flow, struct path_flow *f)
{
	uint8_t buf[CONTROL_MAX];
	struct lode_wire_writer w;
	lode_wire_writer_init(&w, buf, sizeof(buf));
	lode_path_write_control(f->sender, n->now_ns, &w);
	if (w.len == 0)
		return;
	uint32_t tx_us = lode_path_tx_us(n->now_ns), bytes = (uint32_t)w.len + OUTER_BYTES;
	lode_path_sent(f->sender, n->now_ns, bytes, tx_us, LODE_PATH_CONTROL);
	net_send(n, flow, bytes, f->next_pn++, tx_us, buf, (uint16_t)w.len);
}

static uint64_t poll_path_flow(struct net *n, unsigned flow)
{
	struct path_flow *f = n->flows[flow].state;
	uint64_t until_ns = LODE_NEVER_NS, now_ns = n->now_ns;
	receiver_poll(n, flow, f);
	take_back(n, flow, f);
	lode_path_poll(f->sender, now_ns);
	if (lode_path_control_due(f->sender, now_ns))
		send_control(n, flow, f);
	bool has_data = net_has_data(n, flow, &until_ns);
	for (int i = 0; has_data && i < POLLS_PER_PKT && lode_path_credit(f->sender, now_ns) > 0;
		i++) {
		uint32_t tx_us = lode_path_tx_us(now_ns);
		lode_path_sent(f->sender, now_ns, n->pkt_bytes, tx_us, 0);
		net_send(n, flow, n->pkt_bytes, f->next_pn++, tx_us, NULL, 0);
	}
	if (!has_data && lode_path_credit(f->sender, now_ns) > 0)
		lode_path_app_limited(f->sender);
	uint64_t due_ns =
		LODE_MIN(lode_path_next_due_ns(f->sender), lode_path_next_due_ns(f->receiver));
	due_ns = LODE_MIN(due_ns, has_data ? lode_path_credit_due_ns(f->sender) : until_ns);
	if (f->back_first != f->back_end)
		due_ns = LODE_MIN(due_ns, f->back[f->back_first % BACK_MAX].due_ns);
	return LODE_MAX(due_ns, now_ns + 1);
}

static uint64_t path_flow_arrived(struct net *n, unsigned flow, const struct pkt *pkt)
{
	struct path_flow *f = n->flows[flow].state;
	lode_path_received(f->receiver, n->now_ns, pkt->pn, pkt->bytes, pkt->tx_us,
		pkt->control_len ? LODE_PATH_CONTROL : 0);
	if (pkt->control_len)
		read_control(f->receiver, n->now_ns, pkt->tx_us, pkt->control, pkt->control_len);
	return lode_path_next_due_ns(f->receiver);
}

const struct flow_ops path_flow_ops = {
	.init = init_path_flow,
	.free = free_path_flow,
	.poll = poll_path_flow,
	.arrived = path_flow_arrived,
};
