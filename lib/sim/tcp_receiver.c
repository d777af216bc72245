/* SPDX-License-Identifier: BSD-3-Clause */
/* The receiving end of a transfer: checks what comes, acknowledges with SACK blocks. */
#include "tcp.h"

#define DELACK_NS   (10 * LODE_NS_PER_MS)
#define SACK_BLOCKS 3

/* The block of received segments around i, as SACK option bytes. */
static void put_block(const struct flow *f, uint64_t i, uint8_t *out)
{
	const struct tcp_state *t = f->tcp;
	uint64_t first = i, last = i + 1;
	while (first > t->rcv_nxt && t->have[(first - 1) % WINDOW])
		first--;
	while (last <= t->rcv_highest && t->have[last % WINDOW])
		last++;
	lode_store_be32(out, wire_seq(f, first));
	lode_store_be32(out + 4, wire_seq(f, last));
}

/* Newest blocks first, each once. */
static unsigned put_blocks(const struct flow *f, uint8_t *out)
{
	const struct tcp_state *t = f->tcp;
	unsigned n = 0;
	for (unsigned r = 0; r < RECENT_BLOCKS && n < SACK_BLOCKS; r++) {
		if (t->recent[r] <= t->rcv_nxt)
			continue;
		put_block(f, t->recent[r], out + 8 * n);
		bool again = false;
		for (unsigned k = 0; k < n; k++)
			again |= !memcmp(out + 8 * k, out + 8 * n, 8);
		n += !again;
	}
	return n;
}

void tcp_send_ack(struct lode_sim *s, struct flow *f)
{
	struct tcp_state *t = f->tcp;
	uint8_t blocks[8 * SACK_BLOCKS], *tcp;
	unsigned n = put_blocks(f, blocks);
	size_t header_bytes = TCP_BYTES + (n ? 4 + 8 * n : 0);
	t->n_unacked = 0;
	t->delack_at_ns = LODE_NEVER_NS;
	struct rte_mbuf *m = packet_new(f, s, false, PROTO_TCP, header_bytes, &tcp);
	if (!m)
		return;
	tcp_put_header(tcp, 1, wire_seq(f, t->rcv_nxt), FLAG_ACK, header_bytes);
	if (n) {
		tcp[TCP_BYTES] = tcp[TCP_BYTES + 1] = 1;
		tcp[TCP_BYTES + 2] = 5;
		tcp[TCP_BYTES + 3] = (uint8_t)(2 + 8 * n);
		memcpy(tcp + TCP_BYTES + 4, blocks, 8 * n);
	}
	lan_send(s, f, false, m);
}

/* The sender's books know what was sent, and how often, unless the segment is long past. */
static void note_arrival(struct lode_sim *s, struct flow *f, uint64_t i)
{
	struct tcp_state *t = f->tcp;
	struct segment *g = seg(t, i);
	if (i >= t->nxt || i + WINDOW <= t->nxt)
		return;
	f->stats.doubled_pkts += ++g->n_came > g->n_sent;
	if (!g->resent && g->n_came == 1)
		watch_arrival(s, f, i, g->sent_ns);
}

void tcp_receive_data(
	struct lode_sim *s, struct flow *f, const uint8_t *tcp, size_t header_bytes, size_t len)
{
	struct tcp_state *t = f->tcp;
	if (!f->stats.mss_bytes || len - header_bytes != f->stats.mss_bytes)
		return;
	uint64_t i = segment_of(f, t->rcv_nxt, lode_load_be32(tcp + 4));
	if (!pattern_holds(
		    f->idx, i * f->stats.mss_bytes, tcp + header_bytes, f->stats.mss_bytes)) {
		f->stats.altered_pkts++;
		return;
	}
	f->stats.received_pkts++;
	note_arrival(s, f, i);
	if (i < t->rcv_nxt || i >= t->rcv_nxt + WINDOW || t->have[i % WINDOW]) {
		f->stats.duplicate_pkts++;
		tcp_send_ack(s, f);
		return;
	}
	bool in_order = i == t->rcv_nxt;
	f->stats.reordered_pkts += i < t->rcv_highest;
	t->have[i % WINDOW] = true;
	t->rcv_highest = LODE_MAX(t->rcv_highest, i);
	if (!in_order) {
		memmove(t->recent + 1, t->recent, sizeof(t->recent) - sizeof(t->recent[0]));
		t->recent[0] = i;
	}
	for (; t->have[t->rcv_nxt % WINDOW]; t->rcv_nxt++)
		t->have[t->rcv_nxt % WINDOW] = false;
	f->stats.delivered_bytes = t->rcv_nxt * f->stats.mss_bytes;
	bool hole = t->rcv_nxt <= t->rcv_highest;
	if (!in_order || hole || ++t->n_unacked >= 2) {
		tcp_send_ack(s, f);
		return;
	}
	t->delack_at_ns = s->now_ns + DELACK_NS;
	tcp_set_timer(s, f);
}
