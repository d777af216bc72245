/* SPDX-License-Identifier: BSD-3-Clause */
/* The insides of a lane, shared by the files of this room. Every object here belongs to the worker's
 * thread. Sequences are 24 bits and compared by lode_wire_seq_diff. */
#pragma once

#include "lode_aead.h"
#include "lode_lane.h"
#include "lode_path.h"
#include "lode_wire.h"
#include "outer.h"
#include "repair.h"

/* ---- flow queues (fq.h): RFC 8290 over slots that all lanes of a worker share ---- */

#define FQ_BUCKETS	  256 /* per class; two flows in one bucket share a queue */
#define BUNDLE_ITEM_BYTES 256
#define FQ_QUANTUM	  1514
#define NIL		  0 /* slot 0 of a pool is never used */

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
	uint64_t wait_ns;  /* of the newest packet taken */
	uint64_t limit_ns; /* class settings of the snapshot */
	uint64_t codel_target_ns;
	uint64_t hold_ns;  /* packets may wait so long for a faster path */
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
	uint32_t waiting_pkts, waiting_max;
	struct flow_queue *queues;
	struct waiter *waiters;
	struct repair_pools repair;
};

/* ---- paths ---- */

/* Token bucket; bytes may go below zero by one packet. */
struct bucket {
	int64_t bytes, depth_bytes;
	uint64_t filled_ns, bps;
};

static inline void bucket_fill(struct bucket *b, uint64_t now_ns)
{
	if (now_ns == b->filled_ns)
		return;
	/* ns x bit/s fits 64 bits for 10 ms and 400 Gbit/s. */
	uint64_t elapsed_ns = LODE_MIN(now_ns - b->filled_ns, 10 * LODE_NS_PER_MS);
	uint64_t bytes = elapsed_ns * (b->bps / 8) / LODE_NS_PER_S;
	if (bytes == 0)
		return;
	b->filled_ns = now_ns;
	b->bytes = LODE_MIN(b->bytes + (int64_t)bytes, b->depth_bytes);
}

struct lane_path {
	struct lode_path *est;	/* a further lane's is a follower of the home lane's */
	struct lode_loss *loss; /* home lane only */
	struct lode_txq *txq;
	uint64_t due_ns; /* when it has something to say, unless it was stirred since */
	uint64_t next_number;
	uint64_t rx_generation; /* newest epoch received under on this path */
	uint64_t pacing_bps;
	/* Home lane with further ones: what it takes itself, Gaming, VoIP and Web apart. */
	uint32_t urgent_bytes, other_bytes; /* since the last division */
	uint32_t urgent_kbps, other_kbps;
	uint64_t delay_ns;   /* expected, as of the last view */
	struct bucket meter; /* real-time packets may leave without credit while it has tokens */
	/* One-way delay by the sender's clock (its offset is the same on all paths): RFC 6298 averages. */
	uint32_t owd_us, owd_var_us;
	uint64_t owd_ns;   /* when sampled last; 0: never */
	struct lode_ip to; /* where we send, and over what, as the estimator was told */
	uint16_t to_port, link_mtu_bytes;
	bool outer_v6;
	uint32_t up_kbps;
	struct lode_ip remote; /* newest authenticated source */
	uint16_t remote_port;
	uint64_t remote_pn, remote_ns, remote_generation;
	struct outer outer;
};

#define METER_SHARE    2 /* real-time classes may take 1/2 of a path's rate without credit */
#define METER_DEPTH_NS (20 * LODE_NS_PER_MS)
#define METER_MIN_BPS  (1000 * 1000ull)

static inline void lane_path_set_rate(struct lane_path *path, uint64_t pacing_bps)
{
	path->pacing_bps = pacing_bps;
	path->meter.bps = LODE_MAX(pacing_bps / METER_SHARE, METER_MIN_BPS);
	path->meter.depth_bytes = (int64_t)(path->meter.bps / 8 * METER_DEPTH_NS / LODE_NS_PER_S);
}

/* What the home lane knows of a further one. */
struct further_lane {
	struct lode_path_seen seen[LODE_LINKS_MAX];
	uint32_t sent_bytes[LODE_LINKS_MAX]; /* since the last division */
	uint32_t kbps[LODE_LINKS_MAX];	     /* moving average */
	uint64_t heard_ns;		     /* time of its newest report */
	uint64_t worked_ns;		     /* when it had a path last; 0: closed */
	uint8_t usable;			     /* mask of paths */
	bool waiting;			     /* packets in its queues */
};

#define STAGES_MAX 16

struct lode_lane {
	struct lode_lane_env env;
	uint8_t peer_idx, lane_id;
	uint8_t sendable;	    /* mask of paths with a next hop and an address */
	uint16_t segment_bytes;	    /* E */
	uint16_t bundle_item_bytes; /* longer packets travel alone */
	uint16_t buffer_bytes;	    /* longest segment that one of our buffers holds */
	uint32_t tag;		    /* tells flows which lane wrote their state */
	uint32_t association;
	const struct lode_snapshot *snapshot;
	const struct lode_peer_view *view; /* NULL: no session */
	uint64_t tx_generation;		   /* epoch that numbers count under */
	uint64_t tx_packets;
	uint64_t rx_generation, last_rx_ns;
	struct lode_rng rng;
	uint64_t renew_due_ns, sweep_due_ns;
	uint64_t carried,
		carried_ns;	 /* segments both ways when looked at last, when they grew last */
	uint64_t due_ns;	 /* what poll answered last */
	uint64_t control_due_ns; /* no path has anything to say before, but for those stirred */
	uint8_t stirred;	/* mask of paths that something happened to since they were asked */
	bool path_event;	/* one went up or down, and control was not told yet */
	bool resting;		/* nothing was carried for a while: renewed less often */
	uint64_t expire_due_ns; /* earliest deadline of what waits */
	uint64_t loss_due_ns;	/* earliest window of the predictors; LODE_NEVER_NS while idle */
	uint64_t loss_segments,
		loss_moved_ns; /* tx_segments when looked at last, when it grew last */
	struct lode_lane_counters counters;

	/* Towards the WAN. The view of the paths is renewed every ms or when something happened. */
	uint64_t view_due_ns;
	uint8_t up, suspect;			      /* masks over sendable paths */
	uint8_t by_delay[LODE_LINKS_MAX], n_by_delay; /* usable paths, fastest first */
	struct class_paths {
		uint8_t usable;			 /* mask: what the class may take now */
		uint8_t preferred;		 /* path or LODE_NO_PATH */
		uint8_t fastest;		 /* of the usable ones */
		uint8_t wanted_copies;		 /* by control's choice */
		uint8_t copies;			 /* the same, or more as repair decided */
		uint8_t copy_mask;		 /* where copies may go */
		bool new_flows;			 /* `preferred` is for them only */
		uint64_t preferred_ns;		 /* since when */
		uint32_t n_sent[LODE_LINKS_MAX]; /* segments by path */
	} class_paths[LODE_N_CLASSES];
	bool unfinished;      /* the last poll stopped with packets that could go */
	bool any_copies;      /* some class asks for them */
	uint32_t n_pulled;    /* packets, by the burst on its way */
	uint8_t roomy;	      /* mask, of this burst: the transmit queue takes it */
	uint8_t credit_known; /* mask, of this burst */
	int64_t credit[LODE_LINKS_MAX];
	struct bucket management; /* cap of the class */
	struct class_queue queue[LODE_N_CLASSES];
	struct lane_path path[LODE_LINKS_MAX];

	/* Several lanes of this peer (lanes.c). */
	uint8_t n_lanes;
	bool others_wait;      /* home lane: a further one has packets */
	uint64_t others_sent;  /* home lane: bytes, all of them */
	uint64_t lanes_due_ns; /* next report, or division of the rates */
	uint64_t report_ns, report_moved, linger_ns;
	struct further_lane *further; /* home lane: [LODE_LANES_MAX - 1] */

	/* From the WAN. */
	uint32_t n_waiting; /* packets and parts held for order */
	uint32_t late_us;   /* when, after tx_us, the slowest path has delivered */
	bool late_valid;
	struct class_window window[LODE_N_CLASSES];
	uint16_t own_chain[WAIT_BUCKETS], pred_chain[WAIT_BUCKETS];
	struct lode_wire_replay replay[LODE_EPOCHS][LODE_LINKS_MAX];
	uint64_t replay_generation[LODE_EPOCHS];
	uint32_t n_control, n_parts, n_repairs; /* in the burst on its way */
	uint32_t n_behind; /* of its segments, those that came after a later one of their class */
	struct lode_burst out;			/* released, to be delivered */

	struct lane_repair
		*repair; /* of the pools; their `none` while there is no peer that agrees */
	struct lode_stage_stats stages[STAGES_MAX];
	uint64_t trace_until_ns;       /* stages look for traced packets until then: one was seen */
	uint64_t stage_ns[STAGES_MAX]; /* then: when each stage was done, in its newest run */
	uint32_t n_runs;	       /* of stage tables, for sampling */
};

/* ---- stages ---- */

/* A stage works on the whole burst. It takes packets out by lode_burst_take and may append up to
 * LODE_BURST_MAX. */
struct stage {
	const char *name;
	void (*run)(struct lode_lane *l, struct lode_burst *b);
};
#define LAN_TO_WAN_STAGES 7
#define WAN_TO_LAN_STAGES 8
#define RECOVERED_STAGES  2 /* the last ones: for what was computed instead of received */
#define WAN_TO_LAN_OPENED 4 /* row of "segment": from there on data is the packet */
static_assert(LAN_TO_WAN_STAGES + WAN_TO_LAN_STAGES <= STAGES_MAX, "one row of stats each");
extern const struct stage lan_to_wan[LAN_TO_WAN_STAGES];
extern const struct stage wan_to_lan[WAN_TO_LAN_STAGES];

/* Runs stages [first, last) of a table until no packet is left; stats: of the first one. */
void stages_run(struct lode_lane *l, const struct stage *first, unsigned n,
	struct lode_stage_stats *stats, struct lode_burst *b);

/* Writes a trace record of a packet that is traced, and lets the stages look out for it for a while. */
void trace_one(struct lode_lane *l, struct rte_mbuf *m, const char *stage, uint64_t now_ns);
static inline void trace_maybe(
	struct lode_lane *l, struct rte_mbuf *m, const char *stage, uint64_t now_ns)
{
	if (lode_unlikely(lode_pkt(m)->traced))
		trace_one(l, m, stage, now_ns);
}

/* Frees a packet that goes no further; which: the counter of the reason. */
void lane_drop(struct lode_lane *l, struct rte_mbuf *m, uint64_t *which);

/* ---- ecn.c: the ECN field of inner packets (RFC 3168, 6040) ---- */

enum { ECN_NOT_ECT, ECN_ECT1, ECN_ECT0, ECN_CE };

static inline unsigned ip_tos(const uint8_t *ip)
{
	return ip[0] >> 4 == 4 ? ip[1] : (unsigned)(lode_load_be16(ip) >> 4 & 0xff);
}
/* Writes CE and mends the checksum. False: the packet cannot carry it. */
bool ecn_mark(struct rte_mbuf *m);
/* Outer field onto the inner one when the tunnel ends. False: the packet must be dropped. */
bool ecn_leave(struct rte_mbuf *m, unsigned outer_ecn);

/* ---- stages in files of their own ---- */

void pull_packets(struct lode_lane *l, struct lode_burst *b);  /* pull.c */
void seal_segments(struct lode_lane *l, struct lode_burst *b); /* seal.c */
void send_datagrams(struct lode_lane *l, struct lode_burst *b);

/* Reads the clear header at the front of a datagram. */
static inline bool is_control(struct rte_mbuf *m)
{
	return rte_pktmbuf_mtod(m, const uint8_t *)[0] >> 4 == LODE_WIRE_CONTROL;
}

static inline bool is_repair(struct rte_mbuf *m)
{
	return rte_pktmbuf_mtod(m, const uint8_t *)[0] >> 4 == LODE_WIRE_REPAIR;
}

/* ---- paths.c: what the lane knows about its paths ---- */

/* Renews masks, order, E and class choices when due. */
void paths_view(struct lode_lane *l, uint64_t now_ns);
/* Timers of the estimators; control datagrams and MTU probes that are due go into b, unsealed. */
void paths_control(struct lode_lane *l, struct lode_burst *b);
void paths_learn_credit(struct lode_lane *l, unsigned p, uint64_t now_ns);
/* Path p may take something now, by credit or (metered) by the real-time meter. */
static inline bool paths_granted(struct lode_lane *l, unsigned p, bool metered, uint64_t now_ns)
{
	if (!(l->roomy & 1u << p))
		return false;
	if (metered) {
		bucket_fill(&l->path[p].meter, now_ns);
		return l->path[p].meter.bytes > 0;
	}
	if (!(l->credit_known & 1u << p))
		paths_learn_credit(l, p, now_ns);
	return l->credit[p] > 0;
}
/* How long a packet may wait for the fastest path before p, as slower as that, is the better one. */
uint64_t paths_hold_ns(const struct lode_lane *l, const struct class_paths *c, unsigned p);
static inline void paths_spend(struct lode_lane *l, unsigned p, bool metered, uint32_t bytes)
{
	if (metered)
		l->path[p].meter.bytes -= bytes;
	l->credit[p] -= bytes;
}
/* Earliest time at which one of them wants something; credit counts when packets wait. */
uint64_t paths_due_ns(struct lode_lane *l, uint64_t now_ns);
/* One authenticated control message that came on path p. */
void paths_read_control(
	struct lode_lane *l, unsigned p, const uint8_t *text, size_t len, uint64_t now_ns);
/* Authenticated datagrams of one path and epoch, which came together; newest: the one with the highest
 * number. Writes their pn. */
void paths_received(struct lode_lane *l, struct rte_mbuf *newest,
	struct lode_path_arrival *arrivals, unsigned n, uint64_t now_ns);

/* ---- loss.c: drives the loss predictors of the paths ---- */

/* The path's estimator has just been started. */
void loss_start(struct lode_lane *l, unsigned p, uint64_t now_ns);
/* Looks whether the lane has begun to send after a pause. */
void loss_wake(struct lode_lane *l, uint64_t now_ns);
/* One path whose window is over; sets loss_due_ns. Call when that has come. */
void loss_poll(struct lode_lane *l, uint64_t now_ns);

/* In lode_pkt.segment.flags, beside those of the wire. Towards the WAN: what the datagram is sealed as, or that
 * it has its segment header and went through here before. */
#define TX_CONTROL 0x80
#define TX_REPAIR  0x40
#define TX_RESENT  0x20
#define TX_MADE	   (TX_CONTROL | TX_REPAIR | TX_RESENT)

/* An unsealed control datagram for path p; the writer covers room_bytes of TLVs. NULL: no packet, no room. */
struct rte_mbuf *paths_begin_control(struct lode_lane *l, unsigned p, uint16_t room_bytes,
	struct lode_wire_writer *w, uint64_t now_ns);
void paths_end_control(struct lode_lane *l, struct lode_burst *b, struct rte_mbuf *m,
	const struct lode_wire_writer *w);
/* ---- lanes.c: home lane and further lanes ---- */

void lanes_init(struct lode_lane *l);
/* After the view changed. */
void lanes_set_view(struct lode_lane *l);
/* The home lane made a new estimator for p. */
void lanes_path_started(struct lode_lane *l, unsigned p);
/* Home lane: adds what the others sent and received since the last time. */
void lanes_collect(struct lode_lane *l, uint64_t now_ns);
/* Further lane: what the home lane allows now. */
void lanes_take_grants(struct lode_lane *l);
/* Reports or divides when that is due; returns when it is due next. */
uint64_t lanes_poll(struct lode_lane *l, uint64_t now_ns);

/* ---- steer.c: which path the next packet takes ---- */

/* Gaming, VoIP and Web keep a flow on one path; Streaming and Bulk spread over all. */
static inline bool is_sticky(unsigned cls)
{
	return cls == LODE_GAMING || cls == LODE_VOIP || cls == LODE_WEB;
}

/* For the packet at the head of its flow; LODE_NO_PATH: not now. */
unsigned steer_choose(
	struct lode_lane *l, unsigned cls, struct rte_mbuf *m, bool metered, uint64_t now_ns);
/* Preferred path, else the fastest, out of mask, that may take something now. */
unsigned steer_any(
	struct lode_lane *l, uint8_t mask, uint8_t preferred, bool metered, uint64_t now_ns);

/* ---- repair.c: what is used when; repair_tx.c, repair_rx.c: how ---- */

int repair_pools_init(struct repair_pools *pools, const struct lode_lane_limits *limits);
void repair_pools_free(struct repair_pools *pools);
/* NULL: all are in use. */
struct repair_tx *repair_take_tx(struct lode_lane *l);
struct repair_rx *repair_take_rx(struct lode_lane *l);
void repair_set_snapshot(struct lode_lane *l);
/* Forgets everything and gives all slots back. */
void repair_flush(struct lode_lane *l);
/* New decisions from what is known of the paths. Every 10 ms. */
void repair_renew(struct lode_lane *l, uint64_t now_ns);
/* The class's decision from the last renewal and its queue as it is now. */
void repair_decide(struct lode_lane *l, unsigned cls, uint64_t now_ns);
/* The same decision for further packets, if nothing has changed. */
void repair_refresh(struct lode_lane *l, unsigned cls, uint64_t now_ns);

/* Before packets are pulled: NACKs, segments asked for, parity before a pause. */
void repair_pull(struct lode_lane *l, struct lode_burst *b);
/* Stage: parity over the segments of the burst, which are remembered. */
void repair_protect(struct lode_lane *l, struct lode_burst *b);
/* Bytes that a segment of that many costs with its share of parity. */
static inline uint32_t repair_cost(const struct lode_lane *l, unsigned cls, uint32_t bytes)
{
	return bytes + (bytes * l->repair->classes[cls].cache.decision.rate_q8 >> 8);
}
/* How much later than by the network alone what is missing now may come. */
static inline uint32_t repair_wait_us(const struct lode_lane *l, unsigned cls)
{
	const struct class_repair *c = &l->repair->classes[cls];
	uint32_t span_us = c->rx != NULL ? c->rx->span_us : 0;
	return c->n_asked > 0 ? LODE_MAX(span_us, l->repair->ask_us) : span_us;
}
/* The class's limit; elastic classes wait for what has been asked for even if that takes longer, up to their
 * deadline: a window that an inner TCP does not halve is worth it. */
static inline uint64_t repair_wait_limit_ns(
	const struct lode_lane *l, unsigned cls, uint64_t limit_ns)
{
	const struct class_repair *c = &l->repair->classes[cls];
	if (c->n_asked == 0 || cls == LODE_GAMING || cls == LODE_VOIP)
		return limit_ns;
	return LODE_MAX(limit_ns, LODE_MIN(l->repair->ask_us * LODE_NS_PER_US, c->deadline_ns));
}
void repair_on_nack(struct lode_lane *l, const struct lode_wire_tlv *tlv, uint64_t now_ns);

/* Stage: sources are remembered while parity comes. */
void repair_keep(struct lode_lane *l, struct lode_burst *b);
/* Takes the repairs that arrived with a burst; new segments that they gave go into b. */
void repair_solve(struct lode_lane *l, struct lode_burst *b);
/* Segments of a class between these two (not included) did not come before the second. */
void repair_missing(struct lode_lane *l, unsigned cls, unsigned path, uint32_t after, uint32_t seq,
	uint32_t tx_us, uint64_t now_ns);
/* NACKs that are due. */
void repair_ask(struct lode_lane *l, struct lode_burst *b);
