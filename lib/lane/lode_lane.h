/* SPDX-License-Identifier: BSD-3-Clause */
/* lane: the data path of one peer on one worker. Towards the WAN it owns the class queues, the segment
 * sequences and the packet numbers; from the WAN the replay windows, duplicates, order per flow and parts.
 * Each lane has one struct lode_path per path; those of the home lane (0) probe, measure and drive the
 * controllers for all lanes of the peer, the others follow them (lanes.c). Only the worker's thread calls
 * it; the summary is published for others. Every call consumes its mbufs, reads no clock and allocates
 * nothing. Read lan_to_wan.c and wan_to_lan.c first. Times are ns of the worker's clock. */
#pragma once

#include "lode_base.h"
#include "lode_loss.h"
#include "lode_snapshot.h"
#include "lode_wire.h"

#include <rte_mbuf.h>

struct lode_lane;

#define LODE_BURST_MAX 64
#define LODE_TXQ_MAX   256
#define LODE_NO_FLOW   UINT32_MAX

/* ---- a packet: what travels with an mbuf in its private area ---- */

/* The lane's part of a flow-table entry; memory of the worker, zeroed for a new flow. */
struct lode_lane_flow {
	uint64_t moved_ns;  /* when its path changed last */
	uint32_t last_seq;  /* class sequence of its newest segment (last part) */
	uint32_t sent_ms;   /* when that was sent, low 32 bits */
	uint16_t last_dist; /* what that segment carried */
	uint8_t cls;	    /* class the above belong to, + 1; 0: nothing sent yet */
	uint8_t path;	    /* sticky path + 1; 0: none yet */
	uint32_t lane_tag;  /* instance of the lane that wrote the above */
};

/* Metadata of one packet, written whole by the worker's parse stage. Data starts at the inner IP header
 * (towards the WAN) or at the clear header (datagrams from the WAN, length without padding). */
struct lode_pkt {
	struct rte_mbuf *next;	     /* lane: next in a queue */
	struct lode_lane_flow *flow; /* worker; NULL: no entry, sent without order */
	union {			     /* lane: one after the other on its way */
		uint64_t enqueued_ns;
		uint64_t number; /* of the datagram */
		struct {
			uint32_t seq;
			uint16_t dist;
			uint8_t flags, n_parts;
		} segment;
	};
	uint32_t flow_hash;	 /* worker: symmetric hash of the 5-tuple */
	uint32_t tx_us;		 /* lane, from the WAN: sender's clock */
	uint16_t outer_off;	 /* worker, from the WAN: outer IP header, offset from buf_addr */
	uint8_t cls;		 /* enum lode_class; worker towards the WAN, lane from it */
	uint8_t path;		 /* from the WAN: path id of the clear header */
	uint8_t epoch;		 /* from the WAN: slot in peer_view->epochs */
	uint8_t lane_id;	 /* from the WAN: lane field of the clear header */
	uint8_t rx_port;	 /* configuration's index of the port it came in on */
	uint8_t outer_ecn;	 /* from the WAN: ECN field of the outer IP header */
	uint8_t hop_limit;	 /* peers that may still pass it on; lane sets it on delivery */
	uint8_t from_peer;	 /* lane sets it on delivery */
	uint8_t traced;		 /* worker: stages write trace records for it */
	uint8_t outer_tos;	 /* lane, towards the WAN: outer DSCP and ECN */
	uint8_t worker_area[16]; /* of the worker's own stages */
};
static_assert(sizeof(struct lode_pkt) == 64, "the private area of every packet mbuf");

static inline struct lode_pkt *lode_pkt(struct rte_mbuf *m)
{
	return (struct lode_pkt *)rte_mbuf_to_priv(m);
}

/* Packets are single segments. These replace rte_pktmbuf_adj, _trim, _prepend and _append, which also serve
 * chains; for the first two the caller knows that there are n bytes. */
static inline void lode_pkt_pull(struct rte_mbuf *m, uint16_t n)
{
	m->data_off += n;
	m->data_len -= n;
	m->pkt_len = m->data_len;
}
static inline void lode_pkt_trim(struct rte_mbuf *m, uint16_t n)
{
	m->data_len -= n;
	m->pkt_len = m->data_len;
}
/* The new bytes; NULL: no headroom, or no tailroom. */
static inline uint8_t *lode_pkt_append(struct rte_mbuf *m, uint16_t n)
{
	uint32_t end = m->data_off + (uint32_t)m->data_len;
	if (lode_unlikely(end + n > m->buf_len))
		return NULL;
	m->data_len += n;
	m->pkt_len = m->data_len;
	return (uint8_t *)m->buf_addr + end;
}
static inline uint8_t *lode_pkt_push(struct rte_mbuf *m, uint16_t n)
{
	if (lode_unlikely(n > m->data_off))
		return NULL;
	m->data_off -= n;
	m->data_len += n;
	m->pkt_len = m->data_len;
	return rte_pktmbuf_mtod(m, uint8_t *);
}

/* Up to 64 packets on their way through a table of stages. */
struct lode_burst {
	uint64_t now_ns;
	uint32_t n;
	uint32_t gaps; /* taken out by the stage that runs; the driver closes them */
	struct rte_mbuf *pkts[LODE_BURST_MAX];
};
static inline void lode_burst_take(struct lode_burst *b, unsigned i)
{
	b->pkts[i] = NULL;
	b->gaps++;
}

/* Frames for one port. lane and worker append; whoever drains it sends from the front, moves the rest to
 * the front and sets n. Nothing is taken from a queue when there is no room here. */
struct lode_txq {
	uint32_t n;
	struct rte_mbuf *mbufs[LODE_TXQ_MAX];
};
static inline uint32_t lode_txq_room(const struct lode_txq *q)
{
	return LODE_TXQ_MAX - q->n;
}

/* ---- what lanes of one worker share ---- */

struct lode_lane_pools;

struct lode_lane_limits {
	uint32_t flow_queues;  /* flows that may have packets queued, all lanes */
	uint32_t queued_pkts;  /* packets in class queues, all lanes */
	uint32_t waiting_pkts; /* packets waiting for order or for further parts, all lanes */
	uint32_t repair_lanes; /* lanes whose losses are made good */
	uint32_t repair_slots; /* (lane, class) pairs with losses at once, each direction */
};
struct lode_lane_pools *lode_lane_pools_new(const struct lode_lane_limits *limits, int socket_id);
/* Every lane must have been flushed. */
void lode_lane_pools_free(struct lode_lane_pools *pools);
/* Packets held now: 0 after flushing all lanes. */
uint32_t lode_lane_pools_held(const struct lode_lane_pools *pools);

/* How busy a worker is, and what it therefore leaves out (docs/operations.md). */
enum lode_overload {
	LODE_LOAD_NORMAL,
	LODE_LOAD_HIGH,	  /* no shadow decisions, no compression */
	LODE_LOAD_SEVERE, /* nor FEC for Bulk, nor packet traces */
};
struct lode_load {
	uint32_t permille;
	enum lode_overload level;
};

/* Services of the worker. Outlives its lanes. */
struct lode_lane_env {
	struct rte_mempool *mbufs; /* copies, parts, bundles, control datagrams */
	struct lode_lane_pools *pools;
	struct lode_shared *shared;
	struct lode_txq *txqs; /* [LODE_ALL_PORTS] */
	unsigned worker_idx;
	uint64_t seed;		      /* sequence starts, probe phases, challenges */
	const struct lode_load *load; /* the worker's, as of now; NULL: not known, so normal */
	void *ctx;
	/* Inner packets released by a lane, data at the IP header, owned by the callee; n <= 64. */
	void (*deliver)(
		void *ctx, unsigned peer_idx, struct rte_mbuf **pkts, unsigned n, uint64_t now_ns);
	/* An authenticated control message that is not a lane's business (lane table, link table, close,
	 * types not known here). May be NULL. */
	void (*control)(void *ctx, unsigned peer_idx, unsigned path, unsigned type,
		const uint8_t *value, unsigned len);
	/* Trace record of a packet whose lode_pkt.traced is set; detail: static text. May be NULL. */
	void (*trace)(void *ctx, struct rte_mbuf *m, const char *stage, const char *detail,
		uint64_t at_ns);
	/* Asked under lode_lane_trace for each opened segment, a packet, a part or a bundle at data: true
	 * when it shall be traced, lode_pkt.traced is set then. May be NULL if trace is. */
	bool (*opened)(void *ctx, struct rte_mbuf *m, unsigned peer_idx);
	uint64_t (*trace_clock)(void); /* ns, for at_ns; NULL: the time of the call */
	/* Before a dropped packet is freed; row: of lode_lane_counter_descs. May be NULL. */
	void (*dropped)(void *ctx, struct rte_mbuf *m, unsigned row);
	/* Cycle counter for sampled stages; NULL: not measured (simulation). */
	uint64_t (*cycles)(void);
	/* lode_lane_further_bytes() for each peer: what home lanes know of further ones. NULL: there are none. */
	uint8_t *further_memory;
	/* The loss predictor: lode_loss_bytes() for each path of each peer (NULL: none runs), what nn needs,
	 * and what is counted over all lanes. */
	uint8_t *loss_memory;
	void *nn_scratch;
	struct lode_loss_stats *loss_stats;
	uint64_t (*clock_ns)(void); /* for its latency; NULL: not measured */
	/* A window of a path, when env->shared->record_loss asks for them. May be NULL. */
	void (*loss_window)(
		void *ctx, unsigned peer_idx, unsigned path, const struct lode_loss_window *w);
};

/* ---- life ---- */

/* Bytes of memory of a lane, <= 64 KiB. */
#define LODE_LANE_BYTES_MAX (64 * 1024)
size_t lode_lane_bytes(void);
size_t lode_lane_further_bytes(void);
/* memory: lode_lane_bytes(), cache-line aligned. lane_id: its number in both directions, 0 is the home lane.
 * It sends nothing before it has a view. */
struct lode_lane *lode_lane_init(void *memory, const struct lode_lane_env *env, unsigned peer_idx,
	unsigned lane_id, uint64_t now_ns);
/* A new snapshot: keys, paths, class settings. NULL peer in it: packets stay queued until their deadline.
 * The snapshot must live until the next call. Sequences, numbers and estimators go on. */
void lode_lane_set_snapshot(
	struct lode_lane *lane, const struct lode_snapshot *snapshot, uint64_t now_ns);
/* Home lane: tells the peer that we go, over every path; the datagrams are in the transmit queues then. */
void lode_lane_close(struct lode_lane *lane, enum lode_wire_close reason, uint64_t now_ns);
/* Frees every packet it holds and returns its pool slots. */
void lode_lane_flush(struct lode_lane *lane);

/* ---- packets ---- */

/* Classified inner packets for this peer into the class queues; n <= 64. */
void lode_lane_enqueue(struct lode_lane *lane, struct rte_mbuf **pkts, unsigned n, uint64_t now_ns);
/* Datagrams of this lane: session, path and length checked by the worker (lode_pkt); n <= 64. */
void lode_lane_wan_rx(struct lode_lane *lane, struct rte_mbuf **pkts, unsigned n, uint64_t now_ns);
/* Deadlines, probes, feedback, then packets from the queues as credit allows. Returns when it is due next;
 * calls in between are only needed after enqueue or wan_rx. */
uint64_t lode_lane_poll(struct lode_lane *lane, uint64_t now_ns);
/* Datagrams given to it now are asked about by env->opened. */
void lode_lane_trace(struct lode_lane *lane, uint64_t now_ns);
/* Packets in its class queues. */
uint32_t lode_lane_backlog_pkts(const struct lode_lane *lane);
/* What it holds, to balance its counters; walks the parts. */
struct lode_lane_held {
	uint32_t queued_pkts;		      /* lan_pkts, not yet tx_pkts */
	uint32_t waiting_pkts, waiting_parts; /* received, not yet delivered or joined */
};
void lode_lane_held(const struct lode_lane *lane, struct lode_lane_held *out);
/* E: longest inner packet that goes in one segment now; 0 without a usable path. For ICMP too big and MSS. */
uint16_t lode_lane_segment_bytes(const struct lode_lane *lane);

/* ---- counters: single writer, any thread reads with lode_counter_read ---- */

/* Every way a lane loses a packet. */
#define LODE_LANE_DROPS(X)                                                                         \
	X(drop_queue_full, packets, LODE_WARN, "class queues held their quota; longest flow lost") \
	X(drop_codel, packets, LODE_INFO, "CoDel: the flow's standing queue was too long")         \
	X(drop_deadline, packets, LODE_INFO, "waited longer in the queue than its class allows")   \
	X(drop_no_flow_queue, packets, LODE_WARN, "all flow queues of the worker were in use")     \
	X(drop_too_long, packets, LODE_WARN, "longer than 8 parts of a segment")                   \
	X(drop_no_mbuf, packets, LODE_WARN, "not bundled: the packet pool was empty")              \
	X(drop_tx_parts, segments, LODE_WARN, "not all parts of the packet found a buffer")        \
	X(drop_tx_headroom, packets, LODE_ERROR, "no room for the outer headers in the buffer")    \
	X(drop_rx_short, packets, LODE_INFO, "datagrams too short for their type")                 \
	X(drop_rx_type, packets, LODE_INFO, "datagrams of a type or version not known here")       \
	X(drop_rx_no_key, packets, LODE_INFO, "datagrams under keys that are gone")                \
	X(drop_rx_replay, packets, LODE_INFO, "packet number seen before or left of the window")   \
	X(drop_rx_auth, packets, LODE_WARN, "datagrams whose tag is wrong")                        \
	X(drop_rx_malformed, packets, LODE_WARN, "authentic datagrams that contradict themselves") \
	X(drop_rx_encoding, packets, LODE_WARN, "segments in an encoding not known here")          \
	X(drop_rx_duplicate, packets, LODE_INFO, "segments received before, copies included")      \
	X(drop_rx_late, packets, LODE_INFO, "segments older than the sequence window")             \
	X(drop_rx_parts, packets, LODE_INFO, "parts of packets that did not become whole in time") \
	X(drop_rx_no_mbuf, packets, LODE_WARN, "out of a bundle: the packet pool was empty")       \
	X(drop_rx_wait_full, packets, LODE_WARN, "parts without a slot to wait in")                \
	X(drop_rx_ce_not_ect, packets, LODE_WARN, "outer CE on a packet that cannot carry it")     \
	X(drop_closed, packets, LODE_INFO, "queued on a further lane when it was closed")          \
	X(drop_flush, packets, LODE_INFO, "queued when the lane was flushed")                      \
	X(drop_rx_flush, packets, LODE_INFO, "received, waiting for another, when it was flushed")

#define LODE_LANE_COUNTERS(X)                                                                   \
	X(lan_pkts, packets, LODE_INFO, "packets put into class queues")                        \
	X(lan_bytes, bytes, LODE_INFO, "their bytes")                                           \
	X(tx_pkts, packets, LODE_INFO, "packets that left their queue in segments")             \
	X(tx_segments, segments, LODE_INFO, "data segments, without copies")                    \
	X(tx_copies, segments, LODE_INFO, "copies of segments over further paths")              \
	X(tx_copies_skipped, segments, LODE_INFO, "copies left out: no second path had credit") \
	X(tx_bundled, packets, LODE_INFO, "packets that travelled in bundles")                  \
	X(tx_parts, segments, LODE_INFO, "segments that are parts of packets")                  \
	X(tx_control, datagrams, LODE_INFO, "control datagrams sent")                           \
	X(tx_control_skipped, datagrams, LODE_WARN, "control datagrams without a buffer")       \
	X(tx_repairs, datagrams, LODE_INFO, "repair segments: parity")                          \
	X(parity_shed, decisions, LODE_WARN, "parity for Bulk left out by overload")            \
	X(tx_resent, segments, LODE_INFO, "segments sent again because a NACK asked")           \
	X(tx_nacks, datagrams, LODE_INFO, "NACKs sent")                                         \
	X(repair_no_slot, segments, LODE_INFO, "not protected: all repair slots were in use")   \
	X(tx_datagrams, datagrams, LODE_INFO, "datagrams sealed, all kinds")                    \
	X(tx_bytes, bytes, LODE_INFO, "their bytes with outer IP and UDP")                      \
	X(ce_marked, packets, LODE_INFO, "marked congestion-experienced instead of dropped")    \
	X(flow_moves, moves, LODE_INFO, "flows moved to another path")                          \
	X(rx_datagrams, datagrams, LODE_INFO, "datagrams given to the lane")                    \
	X(rx_bytes, bytes, LODE_INFO, "their bytes without outer IP and UDP")                   \
	X(rx_control, datagrams, LODE_INFO, "authentic control datagrams")                      \
	X(rx_control_bad, messages, LODE_WARN, "control messages that contradict themselves")   \
	X(rx_segments, segments, LODE_INFO, "data segments, first arrivals")                    \
	X(rx_repairs, datagrams, LODE_INFO, "repair segments")                                  \
	X(rx_repairs_bad, segments, LODE_WARN, "repair that gave no possible segment")          \
	X(rx_recovered, segments, LODE_INFO, "lost segments computed from repair")              \
	X(rx_recovered_no_mbuf, segments, LODE_WARN, "of them lost again: no packet buffer")    \
	X(rx_parts, segments, LODE_INFO, "of them parts of packets")                            \
	X(rx_bundles, segments, LODE_INFO, "of them bundles")                                   \
	X(rx_unbundled, packets, LODE_INFO, "packets found in bundles")                         \
	X(rx_joined, packets, LODE_INFO, "packets put together from parts")                     \
	X(rx_joined_parts, segments, LODE_INFO, "the parts of those")                           \
	X(rx_waited, packets, LODE_INFO, "packets held for an earlier one of their flow")       \
	X(rx_gave_up, packets, LODE_INFO, "of them released by deadline")                       \
	X(rx_wait_skipped, packets, LODE_WARN, "released out of order: no slot to wait in")     \
	X(rx_ce, packets, LODE_INFO, "outer congestion marks carried over to inner packets")    \
	X(delivered_pkts, packets, LODE_INFO, "inner packets released")                         \
	X(delivered_bytes, bytes, LODE_INFO, "their bytes")                                     \
	LODE_LANE_DROPS(X)

LODE_COUNTER_STRUCT(lode_lane_counters, LODE_LANE_COUNTERS);
extern const struct lode_counter_desc lode_lane_counter_descs[];
extern const unsigned lode_lane_n_counters;
const struct lode_lane_counters *lode_lane_counters(const struct lode_lane *lane);

/* What went through each stage; cycles are sampled over cycle_pkts of the packets. */
struct lode_stage_stats {
	uint64_t bursts, pkts_in, pkts_out;
	uint64_t cycles, cycle_pkts;
};
/* Rows of both stage tables, in the order of a packet's way. Returns the number of stages; names and stats
 * point into the lane. n: size of the arrays. */
unsigned lode_lane_stages(const struct lode_lane *lane, const char *names[],
	const struct lode_stage_stats *stats[], unsigned n);

/* Newest summary, as published in env->shared when control has set a place for it. */
void lode_lane_summarise(
	const struct lode_lane *lane, uint64_t now_ns, struct lode_lane_summary *out);
