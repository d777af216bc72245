/* SPDX-License-Identifier: BSD-3-Clause */
/* sim/flow: flows that share one emulated link, in virtual time: saturating senders over a struct
 * lode_path with any controller of engine, CUBIC for company, and a lagged oracle as the bound. For
 * benchmarks, tests and the trainer of controllers. One call runs one scenario; same spec, same result. */
#pragma once

#include "lode_base.h"
#include "lode_engine.h"
#include "lode_link.h"

#define LODE_FLOW_MAX	      16
#define LODE_FLOW_SECONDS_MAX 2048

enum lode_flow_kind {
	LODE_FLOW_PATH,	 /* struct lode_path at both ends, feedback every min(20 ms, RTT/2) */
	LODE_FLOW_CUBIC, /* RFC 9438 with HyStart, an ACK per packet, no retransmission */
	LODE_FLOW_ORACLE, /* knows what the link could carry, half a round trip ago (trace or rate) */
};

struct lode_flow_spec {
	enum lode_flow_kind kind;
	const struct lode_cc_ops *cc; /* LODE_FLOW_PATH; NULL: classic */
	uint32_t configured_kbps;     /* LODE_FLOW_PATH: rate told in advance, 0: none */
	uint64_t start_ns, stop_ns;
	uint64_t extra_delay_ns; /* added to the way back */
	double on_share;	 /* share of each second in which it has data; 0 means always */
};

struct lode_flow_net {
	struct lode_link_config link; /* towards the receivers */
	uint64_t back_delay_ns;	      /* the way back: delay only */
	uint64_t end_ns, seed;
	uint32_t pkt_bytes; /* 0 means 1500 */
	unsigned n_flows;
	struct lode_flow_spec flows[LODE_FLOW_MAX];
};

struct lode_flow_result {
	uint64_t sent_pkts, sent_bytes, delivered_pkts, delivered_bytes;
	struct lode_hist queue_us; /* time on the link beyond its delay, per delivered packet */
	uint32_t second_bytes[LODE_FLOW_SECONDS_MAX]; /* delivered in each second */
	uint64_t n_decisions;
	const char *phase; /* of the controller at the end */
};

/* results: n_flows of them, written whole. -EINVAL, -ENOMEM. */
int lode_flow_run(
	const struct lode_flow_net *net, struct lode_flow_result *results, struct lode_err *err);
/* Bytes the link could carry while [from, to) without its random faults. */
uint64_t lode_flow_capacity(const struct lode_link_config *link, uint64_t from_ns, uint64_t to_ns);
/* Jain's index of fairness of n shares: 1 all equal, 1/n one has all. */
double lode_flow_jain(const double *shares, unsigned n);
