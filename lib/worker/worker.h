/* SPDX-License-Identifier: BSD-3-Clause */
/* The worker's own memory and the steps that its files offer each other. worker.c is the order of steps. */
#pragma once

#include "classify.h"
#include "flow.h"
#include "heap.h"
#include "lode_wire.h"
#include "lode_worker.h"
#include "parse.h"

#include <rte_mbuf.h>
#include <rte_ring.h>

#define PENDING_MAX	 64 /* neighbours waited for at once */
#define PENDING_PKTS	 4  /* packets held for each */
#define PENDING_NS	 LODE_NS_PER_S
#define PENDING_ASK_NS	 (250 * LODE_NS_PER_MS)
#define OWN_MAX		 32 /* packets of our own making per poll */
#define HOP_LIMIT	 3  /* peers that may pass a packet on */
#define SWEEP_NS	 (50 * LODE_NS_PER_US)
#define SWEEP_ENTRY_NS	 6250ull /* one flow looked at per so long; 1 M flows in 6.5 s */
#define SWEEP_TABLE_NS	 (6 * LODE_NS_PER_S) /* smaller tables take that long, too */
#define SWEEP_MAX	 64
#define SWEEP_IDLE_NS	 (20 * LODE_NS_PER_MS)
#define CONTROL_PER_POLL 16 /* datagrams sent for control */

/* lode_pkt.worker_area */
enum handoff_kind {
	HANDOFF_NONE,
	HANDOFF_LAN,  /* a packet for the home lane, not looked at yet */
	HANDOFF_LANE, /* a packet whose class and lane are decided */
	HANDOFF_WAN,  /* a datagram */
};
struct worker_area {
	uint8_t peer_idx;
	uint8_t l2_bytes; /* in front of data, still in the buffer */
	uint8_t handoff;  /* enum handoff_kind */
	bool from_wan;	  /* cls was set by the sending peer */
	uint8_t lane_id;  /* of its peer, towards it */
	uint8_t tracer;	  /* worker that began its trace */
};
static_assert(sizeof(struct worker_area) <= sizeof(((struct lode_pkt *)0)->worker_area), "fits");
static inline struct worker_area *area(struct rte_mbuf *m)
{
	return (struct worker_area *)lode_pkt(m)->worker_area;
}

/* Frames for a neighbour whose MAC address is not known yet. */
struct pending {
	struct lode_ip ip;
	uint64_t deadline_ns, ask_ns; /* deadline 0: free */
	uint8_t port_idx, n;
	struct rte_mbuf *pkts[PENDING_PKTS];
};

struct trace_request {
	struct lode_trace_filter filter;
	uint32_t n_packets;
};

struct lode_worker {
	struct lode_worker_params params;
	_Atomic uint64_t serial;  /* written here, read by control */
	_Atomic uint32_t n_flows; /* written here, read by telemetry */
	struct lode_worker_counters counters;
	const struct lode_snapshot *snapshot; /* NULL before the first */
	const void *rules;
	uint16_t rules_serial; /* counts changes of rules */

	struct flow_table flows;
	uint64_t swept_ns, sweep_entry_ns;

	struct lode_load load;
	_Atomic uint32_t load_word; /* the same, level above permille: for telemetry */

	struct lode_lane_env env;
	void *lane_memory;				   /* LODE_PEERS_MAX lanes */
	_Atomic(struct lode_lane *) lanes[LODE_PEERS_MAX]; /* by peer, NULL: not served here */
	uint8_t lane_ids[LODE_PEERS_MAX];
	uint8_t lane_keys[LODE_PEERS_MAX][LODE_KEY_BYTES]; /* whose lane it is */
	struct heap due;
	uint64_t touched; /* peers whose lane got packets since its last poll */

	struct pending pending[PENDING_MAX];
	unsigned n_pending;
	struct rte_mbuf *own[OWN_MAX];
	unsigned n_own;
	uint64_t icmp_ns; /* a token bucket in time: when the bucket is full again */

	struct lode_worker_rings rings;
	uint64_t now_ns; /* of the call we are in */

	/* What operators watch. */
	struct lode_ring *trace_requests; /* struct trace_request */
	struct trace_request trace;
	uint8_t trace_id;
	uint64_t trace_delivered[4]; /* mask: by id, the packet has left its lane */
	uint64_t rx_ns; /* when the packets in hand came in, by the clock of the trace */
	uint64_t drop_noted_ns[sizeof(struct lode_worker_counters) / sizeof(uint64_t)];
	uint64_t lane_drop_noted_ns[sizeof(struct lode_lane_counters) / sizeof(uint64_t)];
	struct lode_lane_counters gone; /* of lanes that were closed */
	_Atomic(struct lode_worker_apps *) apps_wanted; /* helper thread writes */
	struct lode_worker_apps *apps;			/* NULL: nobody classifies */
	_Atomic uint64_t talkers_until_ns;		/* anybody writes */
	struct talkers *talkers;			/* NULL: nobody watches */
	struct talkers *talkers_memory;

	struct lode_txq txqs[LODE_ALL_PORTS], mirrors[LODE_ALL_PORTS];
	struct lode_loss_stats loss_stats; /* lanes write, telemetry reads */
};

/* Packets on their way, data at the IP header, with what parse_ip said. */
struct packets {
	uint64_t now_ns;
	unsigned n;
	unsigned n_left, left_bytes; /* went out on a LAN port */
	struct rte_mbuf *pkts[LODE_BURST_MAX];
	struct ip_info ip[LODE_BURST_MAX];
};

/* ---- drop.c: the ends of a packet's way ---- */

/* Frees a packet and counts why: DROP(w, m, ttl) adds to drop_ttl. */
#define DROP(w, m, reason) drop_packet((w), (m), &(w)->counters.drop_##reason)
void drop_packet(struct lode_worker *w, struct rte_mbuf *m, uint64_t *counter);
/* lode_lane_env.dropped */
void lane_dropped(void *ctx, struct rte_mbuf *m, unsigned row);
/* Gives the frame to the kernel's mirror of the port it came in on, L2 header included. */
void to_mirror(struct lode_worker *w, struct rte_mbuf *m);

/* ---- trace.c: packets that an operator asked about ---- */

/* Time for trace records. */
uint64_t trace_clock(const struct lode_worker *w);
void trace_write(struct lode_worker *w, struct rte_mbuf *m, const char *stage, const char *detail,
	uint64_t at_ns);
static inline void trace_packet(
	struct lode_worker *w, struct rte_mbuf *m, const char *stage, const char *detail)
{
	if (lode_unlikely(lode_pkt(m)->traced))
		trace_write(w, m, stage, detail, trace_clock(w));
}
static inline bool trace_wanted(const struct lode_worker *w)
{
	return lode_unlikely(w->trace.n_packets);
}
/* Where a trace may begin: a frame from a LAN; a packet whose class and peer are known; what a lane opened;
 * what it delivered. */
void trace_frame(struct lode_worker *w, struct rte_mbuf *m, const struct ip_info *ip);
void trace_class(struct lode_worker *w, struct rte_mbuf *m, const struct ip_info *ip);
/* lode_lane_env.trace */
void trace_lane(
	void *ctx, struct rte_mbuf *m, const char *stage, const char *detail, uint64_t at_ns);
bool trace_opened(void *ctx, struct rte_mbuf *m, unsigned peer_idx); /* lode_lane_env.opened */
void trace_delivered(
	struct lode_worker *w, struct rte_mbuf *m, const struct ip_info *ip, unsigned peer_idx);
void trace_take_request(struct lode_worker *w);
/* What can be read of a packet, wherever its data begins. */
void packet_id(struct rte_mbuf *m, struct lode_packet_id *id);
/* On the way in, once per burst. */
static inline void note_entry(struct lode_worker *w, uint64_t now_ns)
{
	w->now_ns = now_ns;
	if (trace_wanted(w))
		w->rx_ns = trace_clock(w);
}

/* ---- looks.c: first packets of flows for lodestone-classify, and what it says ---- */

#define LOOK_FIRST_PKTS 12 /* of a flow: the handshake, and those with payload */

void look_at(
	struct lode_worker *w, struct rte_mbuf *m, const struct ip_info *ip, uint32_t flow_idx);
/* Takes verdicts; once per poll. */
void looks_turn(struct lode_worker *w);
/* Rules and DSCP decide alone; so does the peer that sent a packet on. */
static inline bool look_wanted(const struct lode_worker *w, const struct flow *f, bool from_wan)
{
	return lode_unlikely(w->apps != NULL) && f->n_pkts <= LOOK_FIRST_PKTS &&
	       f->source > CLASS_BY_APP && !from_wan;
}

/* ---- talkers.c: the heaviest conversations ---- */

struct talkers *talkers_new(int socket_id);
void talkers_free(struct talkers *t);
/* Adds packets to the peer (or from it). */
void talkers_count(struct lode_worker *w, const struct packets *p, bool to_peer);
/* Begins, reports and ends the seconds; once per poll. */
void talkers_turn(struct lode_worker *w, uint64_t now_ns);

/* ---- ingress.c: frames become packets ---- */

/* Packets to forward, data at the IP header, into p; what else there was is gone. */
void take_lan_frames(struct lode_worker *w, unsigned port_idx, struct rte_mbuf **mbufs, unsigned n,
	struct packets *p);
/* Datagrams for this worker's lanes into pkts, data at the clear header, lode_pkt filled in; the rest is gone.
 * Returns how many. */
unsigned take_wan_frames(struct lode_worker *w, unsigned port_idx, struct rte_mbuf **mbufs,
	unsigned n, struct rte_mbuf **pkts, uint64_t now_ns);

/* ---- egress.c: packets become frames (to_port: egress.h) ---- */

void to_host(struct lode_worker *w, struct rte_mbuf *m);
/* A new snapshot may know neighbours that packets wait for. */
void pending_retry(struct lode_worker *w, uint64_t now_ns);
/* Asks again, gives up. Returns when it is due next. */
uint64_t pending_poll(struct lode_worker *w, uint64_t now_ns);
void pending_free(struct lode_worker *w);
void send_for_control(struct lode_worker *w, uint64_t now_ns);

/* ---- fragment.c ---- */

#define FRAGMENTS_MAX 16 /* of one packet */

/* Copies an IPv4 packet into fragments of at most mtu_bytes; m stays the caller's. 0: no buffers. */
unsigned fragment_ipv4(struct lode_worker *w, struct rte_mbuf *m, uint16_t mtu_bytes,
	struct rte_mbuf *out[FRAGMENTS_MAX]);

/* ---- errors.c: ICMP and MSS ---- */

/* Answers the sender of m, if rate and standards allow; m stays the caller's. The answer is sent by the next
 * poll. */
void answer_icmp(struct lode_worker *w, enum lode_wire_icmp kind, uint16_t mtu_bytes,
	struct rte_mbuf *m, const struct ip_info *ip, uint64_t now_ns);
static inline void decrement_ttl(uint8_t *packet, const struct ip_info *ip)
{
	if (ip->version == 6) {
		packet[7]--;
		return;
	}
	/* The word of TTL and protocol is less by 0x100, so the checksum is more (RFC 1141); that does not depend
	 * on the order of its bytes (RFC 1071 2 B). */
	uint32_t sum = lode_load_le16(packet + 10) + 1u;
	uint16_t checksum_be = (uint16_t)(sum + (sum >= 0xffff));
	packet[8]--;
	memcpy(packet + 10, &checksum_be, sizeof(checksum_be));
}
/* Lowers the MSS of a TCP handshake to what goes in one segment to or from that peer. */
void clamp_mss_of_syn(
	struct lode_worker *w, unsigned peer_idx, struct rte_mbuf *m, const struct ip_info *ip);
static inline void clamp_mss(
	struct lode_worker *w, unsigned peer_idx, struct rte_mbuf *m, const struct ip_info *ip)
{
	if (lode_unlikely(ip->tcp_flags & TCP_SYN))
		clamp_mss_of_syn(w, peer_idx, m, ip);
}

/* ---- spread.c: which lane a flow takes ---- */

/* Decides for a packet whose flow and class are known; f is its entry, before the packet is counted. */
void choose_of_several(struct lode_worker *w, struct rte_mbuf *m, struct flow *f, uint64_t now_ns);
static inline void choose_lane(
	struct lode_worker *w, struct rte_mbuf *m, struct flow *f, uint64_t now_ns)
{
	const struct lode_peer_view *view = w->snapshot->peers[area(m)->peer_idx];
	if (lode_unlikely(view && view->n_lanes > 1) && area(m)->handoff != HANDOFF_LANE)
		choose_of_several(w, m, f, now_ns);
}
/* Hands what other workers' lanes take to them; the rest stays in p. */
void spread(struct lode_worker *w, struct packets *p);

/* ---- lanes.c: which peers this worker serves, and when ---- */

/* Takes the newest snapshot; nothing happens when it is the old one. */
void adopt_snapshot(struct lode_worker *w, uint64_t now_ns);
/* Polls touched and due lanes; returns when one is due next. */
uint64_t poll_lanes(struct lode_worker *w, uint64_t now_ns);
static inline struct lode_lane *lane_of(const struct lode_worker *w, unsigned peer_idx)
{
	return atomic_load_explicit(&w->lanes[peer_idx], memory_order_relaxed);
}

/* ---- worker.c ---- */

void to_worker(
	struct lode_worker *w, unsigned worker_idx, struct rte_mbuf *m, enum handoff_kind kind);

/* lode_lane_env.deliver */
void deliver(void *ctx, unsigned peer_idx, struct rte_mbuf **pkts, unsigned n, uint64_t now_ns);

/* version: of the packet that has the address. */
static inline const struct lode_route *route_of(
	const struct lode_worker *w, const struct lode_ip *ip, uint8_t version)
{
	return version == 4 || lode_ip_is_v4(ip)
		       ? lode_routes_lookup4(w->snapshot->routes, lode_ip_v4_be(ip))
		       : lode_routes_lookup6(w->snapshot->routes, ip->b);
}
static inline uint8_t *packet_data(struct rte_mbuf *m)
{
	return rte_pktmbuf_mtod(m, uint8_t *);
}
