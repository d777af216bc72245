/* SPDX-License-Identifier: BSD-3-Clause */
/* Constant-rate UDP: UDP header, then sequence (8), send time (8), pattern. */
#include "sim.h"

#include <stdlib.h>

#define HEADER_BYTES (UDP_BYTES + 16)
#define PROTO_UDP    17

void cbr_start(struct lode_sim *s, struct flow *f)
{
	f->cbr.next_ns = LODE_MAX(f->params.start_ns, s->now_ns);
	timeline_set(&s->timeline, due_flow(f->idx), f->cbr.next_ns);
}

static void send_one(struct lode_sim *s, struct flow *f)
{
	uint8_t *udp;
	size_t l4_bytes = f->params.pkt_bytes - (f->params.v6 ? 40u : 20u);
	struct rte_mbuf *m = packet_new(f, s, true, PROTO_UDP, l4_bytes, &udp);
	if (!m)
		return;
	uint64_t seq = f->cbr.next_seq++;
	lode_store_be16(udp + 4, (uint16_t)l4_bytes);
	lode_store_be64(udp + UDP_BYTES, seq);
	lode_store_be64(udp + UDP_BYTES + 8, s->now_ns);
	pattern_fill(f->idx, seq << 16, udp + HEADER_BYTES, l4_bytes - HEADER_BYTES);
	if (f->stats.sent_pkts++ == 0)
		f->stats.first_ns = s->now_ns;
	f->stats.lost_pkts += seq >= f->params.pps; /* until it comes */
	lan_send(s, f, true, m);
}

void cbr_due(struct lode_sim *s, struct flow *f)
{
	if (f->cbr.next_ns >= f->params.stop_ns) {
		timeline_set(&s->timeline, due_flow(f->idx), LODE_NEVER_NS);
		return;
	}
	send_one(s, f);
	f->cbr.next_ns += LODE_NS_PER_S / f->params.pps;
	timeline_set(&s->timeline, due_flow(f->idx), f->cbr.next_ns);
}

/* True: seen before. */
static bool mark_seen(struct flow *f, uint64_t seq)
{
	uint64_t word = seq / 64;
	if (word >= f->cbr.n_seen_words) {
		uint64_t n = (word + 1) * 2;
		uint64_t *grown = realloc(f->cbr.seen, n * sizeof(*grown));
		if (!grown)
			abort(); /* a simulation without memory proves nothing */
		memset(grown + f->cbr.n_seen_words, 0, (n - f->cbr.n_seen_words) * sizeof(*grown));
		f->cbr.seen = grown;
		f->cbr.n_seen_words = n;
	}
	bool seen = f->cbr.seen[word] >> seq % 64 & 1;
	f->cbr.seen[word] |= 1ull << seq % 64;
	return seen;
}

void cbr_receive(struct lode_sim *s, struct flow *f, const uint8_t *udp, size_t len)
{
	struct lode_sim_flow_stats *st = &f->stats;
	uint64_t seq = len >= HEADER_BYTES ? lode_load_be64(udp + UDP_BYTES) : UINT64_MAX;
	if (seq >= f->cbr.next_seq ||
		!pattern_holds(f->idx, seq << 16, udp + HEADER_BYTES, len - HEADER_BYTES)) {
		st->altered_pkts++;
		return;
	}
	if (mark_seen(f, seq)) {
		st->duplicate_pkts++;
		st->doubled_pkts++;
		return;
	}
	st->lost_pkts -= seq >= f->params.pps;
	watch_arrival(s, f, seq, lode_load_be64(udp + UDP_BYTES + 8));
	if (st->received_pkts++) {
		st->reordered_pkts += seq < f->cbr.highest;
		st->longest_gap_ns = LODE_MAX(st->longest_gap_ns, s->now_ns - f->cbr.last_ns);
	}
	f->cbr.highest = LODE_MAX(f->cbr.highest, seq);
	f->cbr.last_ns = s->now_ns;
	lode_hist_add(&st->latency_us, (s->now_ns - lode_load_be64(udp + UDP_BYTES + 8)) / 1000);
}
