/* SPDX-License-Identifier: BSD-3-Clause */
/* A transfer as a modern TCP would do it, in segments of one size: slow start with HyStart's exit by delay,
 * CUBIC (RFC 9438), SACK (RFC 2018), loss found by time (RACK, RFC 8985), retransmission timer (RFC 6298).
 * The receiver acknowledges every second segment, and at once when there is a hole. Segment i carries the
 * bytes from i * mss on; its sequence number is 1 + i * mss. */
#include "sim.h"

#include <math.h>
#include <stdlib.h>

#define TCP_BYTES     20
#define PROTO_TCP     6
#define FLAG_SYN      2
#define FLAG_ACK      16
#define WINDOW	      32768 /* segments: a power of two */
#define INITIAL_CWND  10
#define CUBIC_C	      0.4
#define CUBIC_BETA    0.7
#define RTO_MIN_NS    (200 * LODE_NS_PER_MS)
#define RTO_MAX_NS    (8 * LODE_NS_PER_S)
#define DELACK_NS     (10 * LODE_NS_PER_MS)
#define SACK_BLOCKS   3
#define RECENT_BLOCKS 16
#define ROUND_SAMPLES 8

struct segment {
	uint64_t sent_ns;
	bool sacked, lost, resent;
};

struct tcp_state {
	/* sender */
	bool established;
	uint64_t una, nxt, end; /* segments; end: none after it */
	uint32_t n_sacked, n_lost;
	double cwnd, ssthresh;
	double w_max, k;
	uint64_t epoch_ns, recovery_end;
	uint64_t srtt_ns, rttvar_ns, min_rtt_ns, rto_ns, rto_at_ns;
	/* HyStart (RFC 9406): smallest RTT of the first samples of this round and of the one before */
	uint64_t round_end, round_rtt_ns, last_round_rtt_ns;
	unsigned n_round_samples;
	uint64_t newest_sent_ns, newest_rtt_ns; /* of what was delivered last: RACK */
	uint64_t rack_at_ns;
	struct segment segs[WINDOW];
	/* receiver */
	uint64_t rcv_nxt, rcv_highest;
	unsigned n_unacked;
	uint64_t delack_at_ns;
	uint64_t recent[RECENT_BLOCKS]; /* segments that came out of order, newest first */
	bool have[WINDOW];
};

static struct segment *seg(struct tcp_state *t, uint64_t i)
{
	return &t->segs[i % WINDOW];
}

static uint32_t wire_seq(const struct flow *f, uint64_t i)
{
	return (uint32_t)(1 + i * f->stats.mss_bytes);
}

/* The segment near `base` whose sequence number this is. */
static uint64_t segment_of(const struct flow *f, uint64_t base, uint32_t seq)
{
	int32_t off = (int32_t)(seq - wire_seq(f, base));
	return base + (uint64_t)(int64_t)(off / (int32_t)f->stats.mss_bytes);
}

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

static void set_timer(struct lode_sim *s, const struct flow *f)
{
	const struct tcp_state *t = f->tcp;
	uint64_t due_ns = LODE_MIN(LODE_MIN(t->rto_at_ns, t->rack_at_ns), t->delack_at_ns);
	timeline_set(&s->timeline, due_flow(f->idx),
		due_ns == LODE_NEVER_NS ? due_ns : LODE_MAX(due_ns, s->now_ns + 1));
}

/* ---- segments out ---- */

static void put_header(uint8_t *tcp, uint32_t seq, uint32_t ack, uint8_t flags, size_t header_bytes)
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
	put_header(
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
	put_header(tcp, wire_seq(f, i), 1, FLAG_ACK, TCP_BYTES);
	pattern_fill(f->idx, i * f->stats.mss_bytes, tcp + TCP_BYTES, f->stats.mss_bytes);
	if (f->stats.sent_pkts++ == 0)
		f->stats.first_ns = s->now_ns;
	lan_send(s, f, true, m);
}

static uint64_t in_flight(const struct tcp_state *t)
{
	return t->nxt - t->una - t->n_sacked - t->n_lost;
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

/* ---- congestion control ---- */

static void on_congestion(struct tcp_state *t, bool timeout)
{
	t->w_max = t->cwnd;
	t->ssthresh = LODE_MAX(t->cwnd * CUBIC_BETA, 2);
	t->cwnd = timeout ? 1 : t->ssthresh;
	t->k = cbrt(t->w_max * (1 - CUBIC_BETA) / CUBIC_C);
	t->epoch_ns = 0;
	t->recovery_end = t->nxt;
}

static void grow(struct tcp_state *t, unsigned n_acked, uint64_t now_ns)
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
	if (t->cwnd < t->ssthresh && t->round_rtt_ns > t->last_round_rtt_ns + slack_ns)
		t->ssthresh = t->cwnd;
}

static void take_rtt(struct tcp_state *t, uint64_t rtt_ns)
{
	uint64_t diff = rtt_ns > t->srtt_ns ? rtt_ns - t->srtt_ns : t->srtt_ns - rtt_ns;
	t->rttvar_ns = t->srtt_ns ? (3 * t->rttvar_ns + diff) / 4 : rtt_ns / 2;
	t->srtt_ns = t->srtt_ns ? (7 * t->srtt_ns + rtt_ns) / 8 : rtt_ns;
	t->min_rtt_ns = LODE_MIN(t->min_rtt_ns, rtt_ns);
	t->rto_ns = LODE_MAX(t->srtt_ns + 4 * t->rttvar_ns, RTO_MIN_NS);
	hystart(t, rtt_ns);
}

/* ---- acknowledgements in ---- */

static void on_delivered(struct tcp_state *t, const struct segment *g, uint64_t now_ns)
{
	if (!g->resent)
		take_rtt(t, now_ns - g->sent_ns);
	if (g->sent_ns >= t->newest_sent_ns) {
		t->newest_sent_ns = g->sent_ns;
		t->newest_rtt_ns = now_ns - g->sent_ns;
	}
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
		on_delivered(t, g, now_ns);
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
	if (to > t->nxt || to < t->una)
		return 0;
	for (; t->una < to; t->una++) {
		struct segment *g = seg(t, t->una);
		if (g->sacked)
			t->n_sacked--;
		else
			on_delivered(t, g, now_ns);
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
		on_congestion(t, false);
	else if (!lost && t->una >= t->recovery_end)
		grow(t, n_delivered, s->now_ns);
	if (n_delivered)
		t->rto_at_ns = t->una == t->nxt ? LODE_NEVER_NS : s->now_ns + t->rto_ns;
	if (t->una == t->end && !f->stats.done_ns)
		f->stats.done_ns = s->now_ns;
	send_some(s, f);
	if (t->una == t->nxt)
		t->rto_at_ns = LODE_NEVER_NS;
	set_timer(s, f);
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

/* ---- data in ---- */

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

static void send_ack(struct lode_sim *s, struct flow *f)
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
	put_header(tcp, 1, wire_seq(f, t->rcv_nxt), FLAG_ACK, header_bytes);
	if (n) {
		tcp[TCP_BYTES] = tcp[TCP_BYTES + 1] = 1;
		tcp[TCP_BYTES + 2] = 5;
		tcp[TCP_BYTES + 3] = (uint8_t)(2 + 8 * n);
		memcpy(tcp + TCP_BYTES + 4, blocks, 8 * n);
	}
	lan_send(s, f, false, m);
}

static void receive_data(
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
	if (i < t->rcv_nxt || i >= t->rcv_nxt + WINDOW || t->have[i % WINDOW]) {
		f->stats.duplicate_pkts++;
		send_ack(s, f);
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
		send_ack(s, f);
		return;
	}
	t->delack_at_ns = s->now_ns + DELACK_NS;
	set_timer(s, f);
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
		receive_data(s, f, tcp, header_bytes, len);
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
	on_congestion(t, true);
	t->rto_ns = LODE_MIN(t->rto_ns * 2, RTO_MAX_NS);
	send_some(s, f);
}

void tcp_due(struct lode_sim *s, struct flow *f)
{
	struct tcp_state *t = f->tcp;
	if (s->now_ns >= t->delack_at_ns)
		send_ack(s, f);
	if (s->now_ns >= t->rto_at_ns)
		on_timeout(s, f);
	else if (s->now_ns >= t->rack_at_ns)
		after_ack(s, f, 0);
	set_timer(s, f);
}
