/* SPDX-License-Identifier: BSD-3-Clause */
/* engine: the deciders. Here: congestion control of one (peer, path). A controller is an ops table over
 * a block of state that its owner provides; it hears once per feedback interval what became of the bytes
 * sent and answers with a pacing rate and a window. It never sees packets, reads no clock, allocates
 * nothing. One thread per instance. Rates are bit/s of what the path carries, outer headers included;
 * sizes are bytes; times ns of the owner's clock. */
#pragma once

#include "lode_base.h"

#define LODE_CC_STATE_BYTES 512
#define LODE_CC_MSS_BYTES   1500 /* the unit in which windows grow */
#define LODE_CC_RATE_MIN    (64ull * 1000)
#define LODE_CC_RATE_MAX    (400ull * 1000 * 1000 * 1000)

/* What is known before the first packet. */
struct lode_cc_params {
	uint64_t configured_bps; /* rate of the link as configured; 0: learned */
	uint64_t seed;
};

/* What happened between two feedbacks. Figures marked * are about bytes whose fate this feedback tells,
 * the others about now. */
struct lode_cc_interval {
	uint64_t now_ns;
	uint64_t elapsed_ns;	  /* time the receiver's report covers; 0: nothing new arrived */
	uint64_t sent_bytes;	  /* * sent in the time that it covers */
	uint64_t delivered_bytes; /* * arrived */
	uint32_t delivered_pkts, lost_pkts, ce_pkts; /* * */
	uint64_t rtt_ns;     /* newest sample, hold time at the receiver taken off; 0: none */
	uint64_t min_rtt_ns; /* smallest of the last 10 to 20 s; 0: none yet */
	uint64_t queue_min_ns,
		queue_last_ns;	 /* * one-way delay above its floor: smallest and newest */
	uint64_t inflight_bytes; /* sent and not yet reported as arrived or lost */
	bool app_limited;	 /* * the sender had nothing more to send at some time */
};

struct lode_cc_decision {
	uint64_t pacing_bps;
	uint64_t cwnd_bytes;
};

struct lode_cc_ops {
	const char *name; /* shown in statistics */
	/* state: LODE_CC_STATE_BYTES, aligned to 8; written whole. */
	void (*init)(void *state, const struct lode_cc_params *params, uint64_t now_ns,
		struct lode_cc_decision *out);
	void (*on_feedback)(
		void *state, const struct lode_cc_interval *in, struct lode_cc_decision *out);
	/* Bytes in flight and no word from the receiver for some time; called once per such time. */
	void (*on_timeout)(void *state, uint64_t now_ns, struct lode_cc_decision *out);
	/* Name of what it is doing, for statistics; static text. */
	const char *(*phase)(const void *state);
};

/* Delay- and loss-aware classic after Copa (Arun and Balakrishnan, NSDI 2018) and FAST TCP, for reports per
 * interval instead of per packet. */
extern const struct lode_cc_ops lode_cc_classic;
