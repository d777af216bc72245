/* SPDX-License-Identifier: BSD-3-Clause */
/* A transfer's state, shared by its files: flow_tcp.c sends, tcp_control.c says how much, tcp_receiver.c takes
 * and acknowledges. */
#pragma once

#include "sim.h"

#define TCP_BYTES     20
#define PROTO_TCP     6
#define FLAG_SYN      2
#define FLAG_ACK      16
#define WINDOW	      32768 /* segments: a power of two */
#define RECENT_BLOCKS 16

struct segment {
	uint64_t sent_ns;
	bool sacked, lost, resent;
	uint16_t n_sent, n_came;
};

struct tcp_state {
	/* sender */
	bool established;
	bool after_timeout; /* recovery_end is a timeout's: the window grows meanwhile (RFC 5681 3.1) */
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

static inline struct segment *seg(struct tcp_state *t, uint64_t i)
{
	return &t->segs[i % WINDOW];
}

static inline uint32_t wire_seq(const struct flow *f, uint64_t i)
{
	return (uint32_t)(1 + i * f->stats.mss_bytes);
}

/* The segment near `base` whose sequence number this is. */
static inline uint64_t segment_of(const struct flow *f, uint64_t base, uint32_t seq)
{
	int32_t off = (int32_t)(seq - wire_seq(f, base));
	return base + (uint64_t)(int64_t)(off / (int32_t)f->stats.mss_bytes);
}

static inline uint64_t in_flight(const struct tcp_state *t)
{
	return t->nxt - t->una - t->n_sacked - t->n_lost;
}

/* ---- flow_tcp.c ---- */

void tcp_set_timer(struct lode_sim *s, const struct flow *f);
void tcp_put_header(uint8_t *tcp, uint32_t seq, uint32_t ack, uint8_t flags, size_t header_bytes);

/* ---- tcp_control.c ---- */

void tcp_on_congestion(struct tcp_state *t, bool timeout);
void tcp_grow(struct tcp_state *t, unsigned n_acked, uint64_t now_ns);
void tcp_take_rtt(struct tcp_state *t, uint64_t rtt_ns);

/* ---- tcp_receiver.c ---- */

void tcp_send_ack(struct lode_sim *s, struct flow *f);
void tcp_receive_data(
	struct lode_sim *s, struct flow *f, const uint8_t *tcp, size_t header_bytes, size_t len);
