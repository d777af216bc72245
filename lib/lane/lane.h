/* SPDX-License-Identifier: BSD-3-Clause */
/* The insides of a lane, shared by the files of this room. Every object here belongs to the worker's
 * thread. Sequences are 24 bits and compared by lode_wire_seq_diff. */
#pragma once

#include "lode_aead.h"
#include "lode_lane.h"
#include "lode_path.h"
#include "lode_wire.h"

/* ---- flow queues (fq.c): RFC 8290 over slots that all lanes of a worker share ---- */

#define FQ_BUCKETS 256 /* per class; two flows in one bucket share a queue */
#define FQ_QUANTUM 1514
#define NIL	   0 /* slot 0 of a pool is never used */

struct flow_queue {
	struct rte_mbuf *head, *tail;
	struct lode_codel codel;
	int32_t deficit;
	uint32_t bytes;
	uint32_t next; /* in a list, or in the pool's free list */
	uint32_t bucket;
};

struct flow_list {
	uint32_t head, tail;
};

struct class_queue {
	struct flow_list fresh, old; /* "new" and "old" flows of the RFC */
	uint32_t pkts, bytes;
	uint32_t wait_us;  /* of the newest packet taken */
	uint32_t n_flows;  /* slots in use */
	uint64_t limit_ns; /* class settings of the snapshot */
	uint64_t codel_target_ns;
	int outer_dscp;	   /* -1: copied from the packet */
	uint32_t next_seq; /* of the next segment */
	uint64_t n_segments;
	uint16_t bucket[FQ_BUCKETS];
};

/* ---- order (order.c): per class what was received, and who waits for whom ---- */

#define WINDOW_BITS   16384 /* sequences remembered per class */
#define WAIT_BUCKETS  256
#define PARTS_TIME_NS (100 * LODE_NS_PER_MS) /* a packet must be whole by then */

/* A packet held until `pred` of its flow is out, or a part held until its packet is whole. */
struct waiter {
	struct rte_mbuf *m;
	uint64_t deadline_ns;
	uint32_t own, pred;	       /* sequences */
	uint32_t tag;		       /* of its flow; a part stands for any flow */
	uint32_t next_own, next_pred;  /* in the chains of the hash tables */
	uint32_t fifo_prev, fifo_next; /* of its class and kind, by deadline */
	uint8_t cls;
	bool part;
};

struct wait_fifo {
	uint32_t head, tail;
};

struct class_window {
	uint32_t highest; /* sequence */
	bool started;
	uint64_t limit_ns; /* longest wait; 0: released at once */
	uint64_t n_segments, n_duplicates;
	struct wait_fifo packets, parts;
	uint64_t received[WINDOW_BITS / 64];
};

struct lode_lane_pools {
	uint32_t free_queue, free_waiter;
	uint32_t queued_pkts, queued_max;
	uint32_t waiting_pkts;
	struct flow_queue *queues;
	struct waiter *waiters;
};

/* ---- paths ---- */

#define OUTER_BYTES_MAX (18 + 40 + 8) /* Ethernet with 802.1Q, IPv6, UDP */

/* Outer headers of one path, ready but for lengths, DSCP and checksums (outer.c). */
struct outer {
	uint8_t bytes[OUTER_BYTES_MAX];
	uint8_t len, l3_off;
	bool v6;
	uint64_t sum; /* of the IPv4 header, or of the UDP pseudo-header, without what changes */
};

struct lane_path {
	struct lode_path *est; /* home lane only */
	struct lode_txq *txq;
	uint64_t next_number;
	uint64_t rx_generation; /* newest epoch received under on this path */
	/* Real-time packets may leave without credit while the meter has tokens. */
	int64_t meter_bytes;
	uint64_t meter_ns, pacing_bps;
	/* One-way delay by the sender's clock (its offset is the same on all paths): RFC 6298 averages. */
	uint32_t owd_us, owd_var_us;
	uint64_t owd_ns;       /* when sampled last; 0: never */
	struct lode_ip remote; /* newest authenticated source */
	uint16_t remote_port;
	uint64_t remote_pn, remote_ns, remote_generation;
	struct outer outer;
};

struct lode_lane {
	struct lode_lane_env env;
	uint8_t peer_idx, lane_id;
	uint8_t sendable;	/* mask of paths with a next hop and an address */
	uint16_t segment_bytes; /* E */
	uint32_t tag;		/* tells flows which lane wrote their state */
	uint32_t association;
	const struct lode_snapshot *snapshot;
	const struct lode_peer_view *view; /* NULL: no session */
	uint64_t tx_generation;		   /* epoch that numbers count under */
	uint64_t tx_packets;
	uint64_t rx_generation, last_rx_ns;
	struct lode_rng rng;
	uint64_t summary_due_ns;
	uint64_t expire_due_ns; /* earliest deadline of what waits */
	struct lode_lane_counters counters;

	/* Towards the WAN. What follows up to `class_queue` is worked out once per poll. */
	uint64_t polled_ns;
	uint8_t up, suspect;			      /* masks over sendable paths */
	uint8_t by_delay[LODE_LINKS_MAX], n_by_delay; /* usable paths, fastest first */
	int64_t credit[LODE_LINKS_MAX];
	int64_t management_bytes; /* tokens of class Management */
	uint64_t management_ns;
	uint32_t n_waiting; /* packets and parts held for order */
	uint32_t late_us;   /* when, after tx_us, the slowest path has delivered */
	bool late_valid;
	struct class_queue queue[LODE_N_CLASSES];
	struct lane_path path[LODE_LINKS_MAX];

	/* From the WAN. */
	struct class_window window[LODE_N_CLASSES];
	uint16_t own_chain[WAIT_BUCKETS], pred_chain[WAIT_BUCKETS];
	struct lode_wire_replay replay[LODE_EPOCHS][LODE_LINKS_MAX];
	uint64_t replay_generation[LODE_EPOCHS];
	struct lode_burst out; /* released, to be delivered */

	struct lode_stage_stats stages[16];
	uint32_t n_runs; /* for sampling */
};
