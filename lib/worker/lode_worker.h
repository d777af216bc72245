/* SPDX-License-Identifier: BSD-3-Clause */
/* worker: one data lcore's packet work without I/O. Frames from the LAN are parsed, routed, given a flow
 * and a class and handed to the lane of their peer; datagrams from the WAN find their session and its lane;
 * what lanes release is routed again. It owns the flow table, the pools that its lanes share, the frames
 * waiting for a neighbour and one transmit queue per port. One thread drives a worker (its lcore, or the
 * simulator); functions that other threads may call say so. Times are ns of the caller's monotonic clock.
 * Nothing here reads a clock, takes a lock or allocates after lode_worker_new. */
#pragma once

#include "lode_base.h"
#include "lode_lane.h"
#include "lode_look.h"
#include "lode_snapshot.h"

struct rte_mempool;
struct rte_ring;
struct lode_worker;
struct lode_rules;

/* ---- what travels between a worker and other threads, over SP/SC rings ---- */

#define LODE_DATAGRAM_MAX 1232 /* payload bytes: largest handshake message that any path carries */

/* A UDP payload that is not a lane's business: handshakes and cookies. */
struct lode_datagram {
	uint64_t rx_ns;
	struct lode_ip local, remote;
	struct lode_ip
		next_hop; /* to send: whose MAC address it goes to, a router or remote itself */
	uint16_t local_port, remote_port; /* host order */
	uint16_t len;
	uint8_t port_idx;
	uint8_t data[LODE_DATAGRAM_MAX];
};

/* An authentic control message of a peer that is for control: lane table, link table, close. */
#define LODE_TLV_MAX 300
struct lode_peer_message {
	uint8_t peer_idx, path, type; /* enum lode_wire_tlv_type */
	uint16_t len;
	uint8_t value[LODE_TLV_MAX];
};

/* An address whose MAC address a frame is waiting for. */
struct lode_resolve {
	struct lode_ip ip;
	uint8_t port_idx;
};

/* What a packet was, as far as its headers can be read where it was looked at; src none: they cannot. */
struct lode_packet_id {
	struct lode_ip src, dst;
	uint16_t sport, dport, len_bytes;
	uint8_t protocol, rx_port, cls;
	uint8_t peer_idx, path; /* known in stages of a lane; else LODE_NO_PEER and nothing */
};
#define LODE_NO_PEER 0xff

/* A traced packet at one point of its way. */
struct lode_trace_record {
	uint64_t at_ns; /* when the stage had done its burst, by lode_worker_params.trace_clock */
	/* Records of one packet share these: the worker where it began; 1..255, then over again. */
	uint8_t worker_idx, packet;
	struct lode_packet_id id;
	const char *stage, *detail; /* static texts: where; why it was dropped or where it went */
};
/* What to trace: all zero fields match everything. Both directions of a 5-tuple match. */
struct lode_trace_filter {
	struct lode_ip src, dst;
	uint16_t sport, dport;
	uint8_t protocol;
	uint8_t peer;		/* index + 1 */
	uint8_t any_of_classes; /* mask */
};

/* A packet that was dropped: the first one for its reason, and others at most every 10 ms. */
struct lode_drop_example {
	uint64_t now_ns;
	struct lode_packet_id id;
	const char *reason; /* name of the counter: drop_... */
	bool in_lane;	    /* a counter of the lane's table, else of the worker's */
};

/* A conversation, both directions together, in a second that has passed. */
struct lode_talker {
	struct lode_packet_id id;    /* as sent from here; len_bytes: of one of its packets */
	uint64_t tx_bytes, rx_bytes; /* to the peer and from it */
	uint32_t tx_pkts, rx_pkts;
	uint64_t since_ns, until_ns;
};
#define LODE_TALKERS_MAX 16 /* the heaviest of each second */

/* What the loss predictor of a path was told, see lode_shared.record_loss. */
struct lode_loss_record {
	uint8_t peer_idx, path;
	struct lode_loss_window window;
};

/* They live as long as the worker. */
struct lode_worker_rings {
	/* struct lode_datagram; worker -> control lcore; lossy, like all but from_control */
	struct lode_ring *to_control;
	struct lode_ring *messages;	/* struct lode_peer_message; worker -> control lcore */
	struct lode_ring *from_control; /* struct lode_datagram to send; control lcore -> worker */
	struct lode_ring *resolve;	/* struct lode_resolve; worker -> exception thread */
	/* worker -> one thread at a time that shows them to an operator */
	struct lode_ring *trace;   /* struct lode_trace_record */
	struct lode_ring *drops;   /* struct lode_drop_example */
	struct lode_ring *talkers; /* struct lode_talker */
	struct lode_ring *loss;	   /* struct lode_loss_record; to the helper thread */
};

/* ---- life ---- */

struct lode_worker_params {
	const char *name; /* unique in the process: names the hash table */
	unsigned worker_idx, n_workers;
	int socket_id;		  /* NUMA node of its memory, SOCKET_ID_ANY */
	struct rte_mempool *pool; /* private area of sizeof(struct lode_pkt), default headroom */
	struct lode_shared *shared;
	uint32_t n_flows;	  /* size of the flow table */
	uint64_t (*cycles)(void); /* for sampled stages; NULL: not measured (simulation) */
	uint64_t (*trace_clock)(
		void); /* ns, read for traced packets and models; NULL: the time of the call */
	uint64_t seed; /* of hash keys and random numbers of this worker */
	/* A transmit queue is full: the caller may send from it at once. NULL: it cannot, frames drop. Called
	 * from inside lan_rx, wan_rx and poll. */
	void (*flush)(void *ctx, unsigned port_idx);
	void *ctx;
	/* handoff[i]: SP/SC ring of mbufs to worker i, whose own index is NULL; and from worker i. */
	struct rte_ring *handoff_to[LODE_WORKERS_MAX], *handoff_from[LODE_WORKERS_MAX];
};

/* NULL with a sentence in err when memory is short. */
struct lode_worker *lode_worker_new(const struct lode_worker_params *params, struct lode_err *err);
/* Frees every packet it holds, transmit queues included. */
void lode_worker_free(struct lode_worker *w);
/* Packet buffers that one worker may hold at once, transmit queues included. */
uint32_t lode_worker_quota_pkts(void);

/* ---- packets; each call consumes its mbufs; n <= 64 ---- */

/* Frames received on a LAN port. On LODE_HOST_PORT (lode0, a TUN device) data starts at the IP header. */
void lode_worker_lan_rx(struct lode_worker *w, unsigned port_idx, struct rte_mbuf **mbufs,
	unsigned n, uint64_t now_ns);
/* Frames received on a WAN port. */
void lode_worker_wan_rx(struct lode_worker *w, unsigned port_idx, struct rte_mbuf **mbufs,
	unsigned n, uint64_t now_ns);
/* Hand-off rings, control's datagrams, due lanes, timers, flow expiry. Reads the snapshot: call it once
 * per loop. Returns when it wants to be called next. */
uint64_t lode_worker_poll(struct lode_worker *w, uint64_t now_ns);

/* How busy its lcore was of late; from then on it leaves out what it may (enum lode_overload). Its own
 * thread, every 10 ms or so. */
void lode_worker_set_load(struct lode_worker *w, uint32_t permille);
/* As last set; any thread. */
struct lode_load lode_worker_load(const struct lode_worker *w);

/* Its last words: says goodbye to all peers; what is to be sent is in the transmit queues then. */
void lode_worker_close(struct lode_worker *w, uint64_t now_ns);

/* Frames to transmit on that port (index of the configuration, or LODE_HOST_PORT). The caller sends from
 * the front, moves what is left to the front and sets n; a full queue stops lanes, it never drops. */
struct lode_txq *lode_worker_tx(struct lode_worker *w, unsigned port_idx);
/* Frames for the kernel's mirror of that port; drained like the above, drops when full (counted). */
struct lode_txq *lode_worker_mirror(struct lode_worker *w, unsigned port_idx);

const struct lode_worker_rings *lode_worker_rings(struct lode_worker *w);
/* Of its lanes' loss predictors; any thread, some words newer than others. */
const struct lode_loss_stats *lode_worker_loss_stats(const struct lode_worker *w);
/* Serial of the snapshot it works with; any thread. A worker holds a snapshot from one lode_worker_poll to
 * the next, so an older one is free when all workers have gone on to a newer serial. */
uint64_t lode_worker_serial(const struct lode_worker *w);
/* Traces the next n_packets that match, 0: no more; one thread at a time, last caller wins. A packet keeps
 * its number while at most 255 are traced. */
void lode_worker_trace(
	struct lode_worker *w, const struct lode_trace_filter *filter, uint32_t n_packets);
/* Counts conversations until then and reports the heaviest of each second; any thread. */
void lode_worker_watch_talkers(struct lode_worker *w, uint64_t until_ns);

/* ---- applications: what lodestone-classify says of flows ---- */

#define LODE_NO_APP_CLASS 0xff

/* Made by whoever owns the shared memory; a worker uses it from the poll after lode_worker_set_apps to the poll
 * after it was given another. */
struct lode_worker_apps {
	struct lode_look_link *link;
	_Atomic uint8_t
		cls[LODE_LOOK_APPS]; /* enum lode_class or LODE_NO_APP_CLASS; the owner writes */
	/* Flows found to be of the application, by worker; the worker writes, anybody reads. */
	_Atomic uint64_t n_flows[LODE_LOOK_WORKERS][LODE_LOOK_APPS];
};
/* NULL: nobody classifies. Any thread. */
void lode_worker_set_apps(struct lode_worker *w, struct lode_worker_apps *apps);

/* ---- class rules: the opaque `rules` of the snapshot ---- */

/* Takes up to some 10 ms; any thread. n_rules may be 0. On error *out is NULL. */
int lode_rules_build(
	const struct lode_config *config, struct lode_rules **out, struct lode_err *err);
void lode_rules_free(struct lode_rules *rules);

/* ---- counters; any thread reads them with lode_counter_read ---- */

#define LODE_WORKER_COUNTERS(X)                                                                    \
	X(lan_rx, packets, LODE_INFO, "frames received on LAN ports and lode0")                    \
	X(lan_rx_bytes, bytes, LODE_INFO, "their bytes")                                           \
	X(wan_rx, packets, LODE_INFO, "frames received on WAN ports")                              \
	X(wan_rx_bytes, bytes, LODE_INFO, "their bytes")                                           \
	X(to_lane, packets, LODE_INFO, "packets handed to lanes for sending")                      \
	X(from_lane, packets, LODE_INFO, "datagrams handed to lanes for opening")                  \
	X(delivered, packets, LODE_INFO, "packets released by lanes")                              \
	X(lan_tx, packets, LODE_INFO, "packets put out on LAN ports")                              \
	X(lan_tx_bytes, bytes, LODE_INFO, "their bytes")                                           \
	X(host_tx, packets, LODE_INFO, "packets put out on lode0")                                 \
	X(transit, packets, LODE_INFO, "packets from one peer to another")                         \
	X(local_forward, packets, LODE_INFO, "packets between LAN ports")                          \
	X(exception, packets, LODE_INFO, "frames given to the kernel's mirrors")                   \
	X(handoff, packets, LODE_INFO, "packets moved to the worker that owns their lane")         \
	X(icmp_sent, packets, LODE_INFO, "ICMP errors sent to LAN hosts")                          \
	X(fragmented, packets, LODE_INFO, "IPv4 packets cut for a smaller LAN MTU")                \
	X(fragments, packets, LODE_INFO, "what became of those")                                   \
	X(mss_clamped, packets, LODE_INFO, "TCP handshakes whose MSS was lowered")                 \
	X(flows_new, flows, LODE_INFO, "flows that entered the table")                             \
	X(flows_expired, flows, LODE_INFO, "flows that left it")                                   \
	X(looks, packets, LODE_INFO, "first packets of flows shown to lodestone-classify")         \
	X(looks_lost, packets, LODE_INFO, "not shown: its ring was full")                          \
	X(app_verdicts, flows, LODE_INFO, "flows whose application was recognised")                \
	X(app_verdicts_late, flows, LODE_INFO, "verdicts for flows that had gone")                 \
	X(flow_table_full, packets, LODE_WARN, "packets without a flow entry: the table was full") \
	X(linearised, packets, LODE_WARN, "frames in several segments, copied into one")           \
	X(control_rx, packets, LODE_INFO, "handshake datagrams given to control")                  \
	X(control_tx, packets, LODE_INFO, "datagrams sent for control")                            \
	X(overload_high, count, LODE_WARN, "times that load rose above 80 %")                      \
	X(overload_severe, count, LODE_WARN, "times that load rose above 90 %")                    \
	X(traces_shed, count, LODE_WARN, "traces refused or ended by overload")                    \
	LODE_WORKER_DROPS(X)

/* Every way a worker loses a packet. */
#define LODE_WORKER_DROPS(X)                                                                      \
	X(drop_malformed, packets, LODE_INFO, "headers that contradict the frame's length")       \
	X(drop_too_long, packets, LODE_WARN, "frames that no single buffer holds")                \
	X(drop_vlan, packets, LODE_INFO, "802.1Q id that the port does not carry")                \
	X(drop_not_ours, packets, LODE_INFO, "unicast frames for another MAC address")            \
	X(drop_spoofed, packets, LODE_INFO, "source addresses that no host may use")              \
	X(drop_ttl, packets, LODE_INFO, "time to live used up")                                   \
	X(drop_no_route, packets, LODE_WARN, "no peer, LAN or default owns the destination")      \
	X(drop_no_session, packets, LODE_WARN, "the peer has no session yet")                     \
	X(drop_too_big, packets, LODE_INFO, "do-not-fragment and longer than the next hop takes") \
	X(drop_uncut, packets, LODE_WARN, "not cut for a smaller LAN MTU: no packet buffer")      \
	X(drop_outer_malformed, packets, LODE_INFO, "datagrams too short for our header")         \
	X(drop_unknown_session, packets, LODE_INFO, "session index that we never gave")           \
	X(drop_unknown_path, packets, LODE_INFO, "path that the session does not have")           \
	X(drop_control_full, packets, LODE_WARN, "handshakes: the ring to control was full")      \
	X(drop_neighbour, packets, LODE_WARN, "the neighbour did not answer, or too many waited") \
	X(drop_tx_full, packets, LODE_WARN, "a transmit queue was full")                          \
	X(drop_mirror_full, packets, LODE_WARN, "the queue to the kernel's mirror was full")      \
	X(drop_handoff_full, packets, LODE_WARN, "the ring to the owning worker was full")        \
	X(drop_no_mbuf, packets, LODE_WARN, "the packet pool was empty")                          \
	X(drop_port_down, packets, LODE_WARN, "the route leads to a port that is down")           \
	X(drop_hop_limit, packets, LODE_WARN,                                                     \
		"transit packets that went from peer to peer too often")

LODE_COUNTER_STRUCT(lode_worker_counters, LODE_WORKER_COUNTERS);
extern const struct lode_counter_desc lode_worker_counter_descs[];
extern const unsigned lode_worker_n_counters;
const struct lode_worker_counters *lode_worker_counters(const struct lode_worker *w);
/* What it holds besides its transmit queues and hand-off rings, to balance its counters. Its own thread. */
struct lode_worker_held {
	uint32_t own_pkts;	     /* frames that wait for a neighbour, ICMP errors to be sent */
	struct lode_lane_held lanes; /* of all its lanes */
};
void lode_worker_held(const struct lode_worker *w, struct lode_worker_held *out);
/* The lane of that peer, NULL if this worker serves none; for its counters (any thread reads those). */
const struct lode_lane *lode_worker_lane(const struct lode_worker *w, unsigned peer_idx);
/* What lanes counted that this worker has no more: of peers that left, or under other numbers. Any thread. */
const struct lode_lane_counters *lode_worker_gone_lanes(const struct lode_worker *w);
/* Flows in the table now; any thread. */
uint32_t lode_worker_n_flows(const struct lode_worker *w);
