/* SPDX-License-Identifier: BSD-3-Clause */
/* Stages: segments become datagrams. */
#include "lane.h"

/* ---- seal ---- */

static uint8_t type_of(const struct lode_pkt *pkt)
{
	if (lode_likely(!(pkt->segment.flags & (TX_CONTROL | TX_REPAIR))))
		return LODE_WIRE_DATA;
	return pkt->segment.flags & TX_CONTROL ? LODE_WIRE_CONTROL : LODE_WIRE_REPAIR;
}

void seal_segments(struct lode_lane *l, struct lode_burst *b)
{
	const struct lode_epoch_view *epoch = &l->view->epochs[l->view->tx_epoch];
	struct lode_wire_clear clear = {.version = epoch->version,
		.key_phase = epoch->tx_phase,
		.lane = l->lane_id,
		.session = epoch->tx_session};
	struct lode_aead_op ops[LODE_BURST_MAX];
	unsigned n = 0;
	for (unsigned i = 0; i < b->n; i++) {
		struct rte_mbuf *m = b->pkts[i];
		struct lode_pkt *pkt = lode_pkt(m);
		uint16_t text_bytes = m->data_len;
		uint8_t *header = lode_pkt_push(m, LODE_WIRE_CLEAR_BYTES);
		if (header == NULL || lode_pkt_append(m, LODE_WIRE_TAG_BYTES) == NULL) {
			lane_drop(l, m, &l->counters.drop_tx_headroom);
			lode_burst_take(b, i);
			continue;
		}
		clear.type = type_of(pkt);
		clear.path = pkt->path;
		uint64_t number = l->path[pkt->path].next_number++;
		clear.number = (uint32_t)number;
		lode_wire_put_clear(header, &clear);
		pkt->number = number; /* from here on, in place of the segment's fields */
		ops[n++] = (struct lode_aead_op){.data = header,
			.nonce = lode_wire_nonce(pkt->path, l->lane_id, number),
			.aad_bytes = LODE_WIRE_CLEAR_BYTES,
			.text_bytes = text_bytes};
	}
	lode_aead_seal_burst(epoch->tx_key[l->lane_id], ops, n);
	l->tx_packets += n;
}

/* ---- send ---- */

struct sent {
	uint32_t pkts, data_pkts, bytes;
};

static void account_sent(
	struct lode_lane *l, const struct sent sent[LODE_LINKS_MAX], uint64_t now_ns)
{
	uint32_t tx_us = lode_path_tx_us(now_ns);
	uint64_t pkts = 0, bytes = 0;
	for (unsigned p = 0; p < LODE_LINKS_MAX; p++) {
		unsigned flags = sent[p].data_pkts == 0 ? LODE_PATH_CONTROL : 0;
		if (sent[p].pkts == 0)
			continue;
		lode_path_sent_burst(
			l->path[p].est, now_ns, sent[p].pkts, sent[p].bytes, tx_us, flags);
		l->stirred |= (uint8_t)(1u << p);
		pkts += sent[p].pkts;
		bytes += sent[p].bytes;
	}
	lode_counter_add(&l->counters.tx_datagrams, pkts);
	lode_counter_add(&l->counters.tx_bytes, bytes);
}

void send_datagrams(struct lode_lane *l, struct lode_burst *b)
{
	struct sent sent[LODE_LINKS_MAX] = {0};
	for (unsigned i = 0; i < b->n; i++) {
		struct rte_mbuf *m = b->pkts[i];
		const struct lode_pkt *pkt = lode_pkt(m);
		struct lane_path *path = &l->path[pkt->path];
		uint32_t ip_bytes = outer_ip_bytes(&path->outer, m->data_len);
		bool data = !is_control(m);
		if (lode_unlikely(outer_push(&path->outer, m, pkt->outer_tos) < 0)) {
			lane_drop(l, m, &l->counters.drop_tx_headroom);
			lode_burst_take(b, i);
			continue;
		}
		struct sent *s = &sent[pkt->path];
		s->pkts++;
		s->data_pkts += data;
		s->bytes += ip_bytes;
		struct lode_txq *q = path->txq;
		q->mbufs[q->n++] = m;
	}
	account_sent(l, sent, b->now_ns);
}
