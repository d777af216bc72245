/* SPDX-License-Identifier: BSD-3-Clause */
/* A transfer as a modern TCP would do it, in segments of one size: slow start with HyStart's exit by delay,
 * CUBIC (RFC 9438), SACK (RFC 2018), loss found by time (RACK, RFC 8985), retransmission timer (RFC 6298).
 * The receiver acknowledges every second segment, and at once when there is a hole. Segment i carries the
 * bytes from i * mss on; its sequence number is 1 + i * mss. */
#include "tcp.h"

#include <stdlib.h>

#define INITIAL_CWND 10
#define RTO_MAX_NS   (8 * LODE_NS_PER_S)

int tcp_start(struct lode_sim *s, struct flow *f)
{
	f->tcp = calloc(1, sizeof(*f->tcp));
	if (!f->tcp)
		return -ENOMEM;
	f->tcp->cwnd = INITIAL_CWND;
	f->tcp->ssthresh = WINDOW / 2;
	f->tcp->rto_ns = LODE_NS_PER_S;
	f->tcp->min_rtt_ns = LODE_NEVER_NS;
	f->tcp->delack_at_ns = f->tcp->rack_at_ns = LODE_NEVER_NS;
	f->tcp->rto_at_ns = f->params.start_ns;
	timeline_set(&s->timeline, due_flow(f->idx), LODE_MAX(f->params.start_ns, s->now_ns));
	return 0;
}

void tcp_free(struct flow *f)
{
	free(f->tcp);
	f->tcp = NULL;
}

void tcp_set_timer(struct lode_sim *s, const struct flow *f)
{
	const struct tcp_state *t = f->tcp;
	uint64_t due_ns = LODE_MIN(LODE_MIN(t->rto_at_ns, t->rack_at_ns), t->delack_at_ns);
	if (f->hushed)
		due_ns = LODE_NEVER_NS;
	timeline_set(&s->timeline, due_flow(f->idx),
		due_ns == LODE_NEVER_NS ? due_ns : LODE_MAX(due_ns, s->now_ns + 1));
}

/* ---- segments out ---- */

void tcp_put_header(uint8_t *tcp, uint32_t seq, uint32_t ack, uint8_t flags, size_t header_bytes)
{
	lode_store_be32(tcp + 4, seq);
	lode_store_be32(tcp + 8, ack);
	tcp[12] = (uint8_t)(header_bytes / 4 << 4);
	tcp[13] = flags;
	lode_store_be16(tcp + 14, UINT16_MAX);
	lode_store_be32(tcp + 16, 0);
}

static void send_syn(struct lode_sim *s, struct flow *f, bool forward)
{
	uint8_t *tcp;
	struct rte_mbuf *m = packet_new(f, s, forward, PROTO_TCP, TCP_BYTES + 4, &tcp);
	if (!m)
		return;
	tcp_put_header(
		tcp, 0, forward ? 0 : 1, forward ? FLAG_SYN : FLAG_SYN | FLAG_ACK, TCP_BYTES + 4);
	tcp[TCP_BYTES] = 2; /* MSS option */
	tcp[TCP_BYTES + 1] = 4;
	lode_store_be16(
		tcp + TCP_BYTES + 2, (uint16_t)(f->params.pkt_bytes - (f->params.v6 ? 60 : 40)));
	lan_send(s, f, forward, m);
}

static void send_data(struct lode_sim *s, struct flow *f, uint64_t i)
{
	struct tcp_state *t = f->tcp;
	uint8_t *tcp;
	struct rte_mbuf *m =
		packet_new(f, s, true, PROTO_TCP, TCP_BYTES + f->stats.mss_bytes, &tcp);
	seg(t, i)->sent_ns = s->now_ns;
	if (t->rto_at_ns == LODE_NEVER_NS)
		t->rto_at_ns = s->now_ns + t->rto_ns;
	if (!m)
		return; /* as if lost */
	seg(t, i)->n_sent++;
	tcp_put_header(tcp, wire_seq(f, i), 1, FLAG_ACK, TCP_BYTES);
	pattern_fill(f->idx, i * f->stats.mss_bytes, tcp + TCP_BYTES, f->stats.mss_bytes);
	if (f->stats.sent_pkts++ == 0)
		f->stats.first_ns = s->now_ns;
	lan_send(s, f, true, m);
}

/* Lost segments first, then new ones, as the window allows. */
static void send_some(struct lode_sim *s, struct flow *f)
{
	struct tcp_state *t = f->tcp;
	for (uint64_t i = t->una; t->n_lost && i < t->nxt && in_flight(t) < t->cwnd; i++) {
		struct segment *g = seg(t, i);
		if (!g->lost)
			continue;
		g->lost = false;
		g->resent = true;
		t->n_lost--;
		f->stats.retransmitted_pkts++;
		send_data(s, f, i);
	}
	bool stopped = s->now_ns >= f->params.stop_ns;
	while (!stopped && t->n_lost == 0 && t->nxt < t->end && t->nxt - t->una < WINDOW - 1 &&
		in_flight(t) < t->cwnd) {
		*seg(t, t->nxt) = (struct segment){0};
		send_data(s, f, t->nxt++);
	}
}

/* ---- acknowledgements in ---- */

static void on_delivered(struct tcp_state *t, const struct segment *g, bool sample, uint64_t now_ns)
{
	uint64_t rtt_ns = now_ns - g->sent_ns;
	if (sample && !g->resent)
		tcp_take_rtt(t, rtt_ns);
	/* What came before a round trip is over was not lost the first time (RFC 8985 6.2, step 2). */
	if (g->sent_ns < t->newest_sent_ns || (g->resent && rtt_ns < t->min_rtt_ns))
		return;
	t->newest_sent_ns = g->sent_ns;
	t->newest_rtt_ns = rtt_ns;
}

static unsigned take_sack(struct flow *f, uint32_t first, uint32_t last, uint64_t now_ns)
{
	struct tcp_state *t = f->tcp;
	uint64_t from = segment_of(f, t->una, first), to = segment_of(f, t->una, last);
	unsigned n = 0;
	for (uint64_t i = LODE_MAX(from, t->una); i < to && i < t->nxt; i++) {
		struct segment *g = seg(t, i);
		if (g->sacked)
			continue;
		t->n_lost -= g->lost;
		g->lost = false;
		g->sacked = true;
		t->n_sacked++;
		on_delivered(t, g, true, now_ns);
		n++;
	}
	return n;
}

static unsigned take_sacks(struct flow *f, const uint8_t *tcp, size_t header_bytes, uint64_t now_ns)
{
	unsigned n = 0;
	for (size_t at = TCP_BYTES; at + 2 <= header_bytes && tcp[at] != 0;) {
		if (tcp[at] == 1) {
			at++;
			continue;
		}
		size_t len = tcp[at + 1];
		if (len < 2 || at + len > header_bytes)
			return n;
		for (size_t b = 2; tcp[at] == 5 && b + 8 <= len; b += 8)
			n += take_sack(f, lode_load_be32(tcp + at + b),
				lode_load_be32(tcp + at + b + 4), now_ns);
		at += len;
	}
	return n;
}

static unsigned take_cumulative(struct flow *f, uint32_t ack, uint64_t now_ns)
{
	struct tcp_state *t = f->tcp;
	uint64_t to = segment_of(f, t->una, ack);
	unsigned n = 0;
	bool sample = true;
	if (to > t->nxt || to < t->una)
		return 0;
	/* What stands behind a resent segment may have arrived long ago (Karn). */
	for (uint64_t i = t->una; i < to; i++)
		sample &= !seg(t, i)->resent;
	for (; t->una < to; t->una++) {
		struct segment *g = seg(t, t->una);
		if (g->sacked)
			t->n_sacked--;
		else
			on_delivered(t, g, sample, now_ns);
		n += !g->sacked;
		t->n_lost -= g->lost;
	}
	return n;
}

/* RACK: what was sent well before the newest delivered segment is lost. */
static bool find_losses(struct flow *f, uint64_t now_ns)
{
	struct tcp_state *t = f->tcp;
	uint64_t slack_ns = t->min_rtt_ns == LODE_NEVER_NS ? 0 : t->min_rtt_ns / 4;
	bool found = false;
	t->rack_at_ns = LODE_NEVER_NS;
	for (uint64_t i = t->una; i < t->nxt; i++) {
		struct segment *g = seg(t, i);
		if (g->sacked || g->lost || g->sent_ns >= t->newest_sent_ns)
			continue;
		uint64_t lost_at_ns = g->sent_ns + t->newest_rtt_ns + slack_ns;
		if (lost_at_ns > now_ns) {
			t->rack_at_ns = LODE_MIN(t->rack_at_ns, lost_at_ns);
			continue;
		}
		g->lost = true;
		t->n_lost++;
		found = true;
	}
	return found;
}

static void after_ack(struct lode_sim *s, struct flow *f, unsigned n_delivered)
{
	struct tcp_state *t = f->tcp;
	bool lost = find_losses(f, s->now_ns);
	if (lost && t->una >= t->recovery_end)
		tcp_on_congestion(t, false);
	else if (t->una >= t->recovery_end ? !lost : t->after_timeout)
		tcp_grow(t, n_delivered, s->now_ns);
	if (n_delivered)
		t->rto_at_ns = t->una == t->nxt ? LODE_NEVER_NS : s->now_ns + t->rto_ns;
	if (t->una == t->end && !f->stats.done_ns)
		f->stats.done_ns = s->now_ns;
	send_some(s, f);
	if (t->una == t->nxt)
		t->rto_at_ns = LODE_NEVER_NS;
	tcp_set_timer(s, f);
}

static void receive_ack(struct lode_sim *s, struct flow *f, const uint8_t *tcp, size_t header_bytes)
{
	struct tcp_state *t = f->tcp;
	if (tcp[13] & FLAG_SYN) {
		if (t->established || header_bytes < TCP_BYTES + 4)
			return;
		t->established = true;
		f->stats.mss_bytes = lode_load_be16(tcp + TCP_BYTES + 2);
		t->end = f->params.total_bytes ? (f->params.total_bytes + f->stats.mss_bytes - 1) /
							 f->stats.mss_bytes
					       : UINT64_MAX;
		t->rto_at_ns = LODE_NEVER_NS;
		after_ack(s, f, 0);
		return;
	}
	if (!t->established)
		return;
	unsigned n = take_sacks(f, tcp, header_bytes, s->now_ns);
	n += take_cumulative(f, lode_load_be32(tcp + 8), s->now_ns);
	after_ack(s, f, n);
}

void tcp_receive(struct lode_sim *s, struct flow *f, bool forward, const uint8_t *tcp, size_t len)
{
	size_t header_bytes = len >= TCP_BYTES ? (size_t)(tcp[12] >> 4) * 4 : 0;
	if (header_bytes < TCP_BYTES || header_bytes > len)
		return;
	if (!forward)
		receive_ack(s, f, tcp, header_bytes);
	else if (tcp[13] & FLAG_SYN)
		send_syn(s, f, false);
	else
		tcp_receive_data(s, f, tcp, header_bytes, len);
}

/* ---- time ---- */

static void on_timeout(struct lode_sim *s, struct flow *f)
{
	struct tcp_state *t = f->tcp;
	t->rto_at_ns = LODE_NEVER_NS;
	if (!t->established) {
		send_syn(s, f, true);
		t->rto_at_ns = s->now_ns + LODE_NS_PER_S;
		return;
	}
	f->stats.n_timeouts++;
	for (uint64_t i = t->una; i < t->nxt; i++) {
		struct segment *g = seg(t, i);
		t->n_lost += !g->sacked && !g->lost;
		g->lost = !g->sacked;
	}
	tcp_on_congestion(t, true);
	t->rto_ns = LODE_MIN(t->rto_ns * 2, RTO_MAX_NS);
	send_some(s, f);
}

void tcp_due(struct lode_sim *s, struct flow *f)
{
	struct tcp_state *t = f->tcp;
	if (s->now_ns >= t->delack_at_ns)
		tcp_send_ack(s, f);
	if (s->now_ns >= t->rto_at_ns)
		on_timeout(s, f);
	else if (s->now_ns >= t->rack_at_ns)
		after_ack(s, f, 0);
	tcp_set_timer(s, f);
}
