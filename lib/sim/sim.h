/* SPDX-License-Identifier: BSD-3-Clause */
/* The insides of a simulation. sim.c is the loop, site.c one gateway, network.c its cables, hosts.c and the
 * flow_*.c files what lives on its LAN. */
#pragma once

#include "lode_aead.h"
#include "lode_sim.h"
#include "timeline.h"

#include <rte_mbuf.h>
#include <rte_ring.h>

#define LAN_PORT    0 /* index in the configuration; WAN port k is 1 + k */
#define WAN_PORT(k) (1 + (k))
#define SRC_PORT    20000 /* + flow: names the flow at both ends */
#define QUIET_PORT  40000 /* says nothing to classifiers */
#define RX_SLOTS    1024  /* of a receive queue, as a NIC's ring */
#define RX_BURST    32
#define LAN_MTU	    1500
#define ETHER_BYTES 14
#define IPV4_BYTES  20
#define IPV6_BYTES  40
#define UDP_BYTES   8

/* ---- one access link ---- */

struct cable {
	struct lode_link *link[2]; /* by enum lode_sim_direction */
	bool cut;
	unsigned nat_binding;	  /* 0: no NAT */
	uint64_t cgnat_expire_ns; /* 0: not behind the network's shared NAT */
	struct lode_sim_remark remark;
	struct lode_rng remark_rng;
	bool shaped_down;		   /* the downlink was set to something: no mere wire */
	uint32_t n_inside;		   /* frames on both links */
	struct lode_link_config config[2]; /* as asked for, without the cut */
};

struct rx_queue {
	unsigned n;
	struct rte_mbuf *pkts[RX_SLOTS];
};

/* Context of a worker's callbacks. */
struct worker_place {
	struct site *site;
	unsigned worker_idx;
};

/* Frames in and out of the running gateway. */
struct tally {
	uint64_t in[LODE_ALL_PORTS],
		lost[LODE_ALL_PORTS]; /* lost: of `in`, before it came to take them */
	uint64_t out[LODE_ALL_PORTS], mirrored;
};

/* A packet of which a host got fragments. */
#define REASSEMBLIES 16
struct reassembly {
	uint16_t ident, got_bytes, whole_bytes; /* of IP payload; whole 0: not known yet */
	uint8_t frame[ETHER_BYTES + LAN_MTU];
};

struct site {
	struct lode_sim *sim;
	unsigned idx;
	unsigned n_workers;
	struct tally tally;
	struct lode_sim_totals totals; /* of earlier lives */
	struct lode_sim_cost cost;
	uint64_t upset_ns;	       /* last event that may cost packets their order */
	uint64_t stalled_until_ns[1 + LODE_WORKERS_MAX]; /* of control, of workers */
	bool no_carrier[LODE_ALL_PORTS];
	uint32_t tx_limit[LODE_ALL_PORTS],
		tx_left[LODE_ALL_PORTS];	/* frames per loop, in this one */
	uint64_t tx_limited_ns[LODE_ALL_PORTS]; /* since when */
	unsigned n_limited;			/* ports with a limit */
	uint64_t clock_ns;			/* its clock minus the simulation's */
	uint8_t private_key[32], public_key[32];
	struct lode_rng rng;
	uint64_t saved_counter;
	char name[LODE_NAME_MAX];
	struct lode_shared *shared;
	struct lode_control *control;
	struct lode_worker *workers[LODE_WORKERS_MAX];
	struct rte_ring *handoff[LODE_WORKERS_MAX][LODE_WORKERS_MAX]; /* from, to */
	struct worker_place places[LODE_WORKERS_MAX];
	struct rx_queue rx[LODE_WORKERS_MAX][LODE_ALL_PORTS];
	struct cable cables[LODE_WAN_PORTS_MAX];
	/* A worker's loop takes loop_ns: what comes in between waits for the next. */
	uint64_t next_loop_ns[LODE_WORKERS_MAX];
	unsigned generation; /* of restarts: names DPDK objects */
	unsigned dismissed;  /* a site that its configuration leaves out */
	struct reassembly reassembly[REASSEMBLIES];
};

/* ---- flows ---- */

struct cbr_state {
	uint64_t next_seq, next_ns;
	uint64_t highest, last_ns; /* at the receiver */
	uint64_t *seen;		   /* a bit per sequence */
	uint64_t n_seen_words;
};

/* Which packets were overtaken, and whether those that overtook them had leave to. */
#define WATCH_GAPS 64
struct watch {
	bool started;
	uint64_t highest;
	unsigned n_gaps;
	struct {
		uint64_t first, last,
			leave_ns; /* leave_ns: when somebody on the way last gave up waiting */
	} gaps[WATCH_GAPS];
};

struct tcp_state; /* flow_tcp.c */

struct flow {
	struct lode_sim_flow params;
	struct lode_sim_flow_stats stats;
	unsigned idx;
	bool hushed;
	struct watch watch;
	struct cbr_state cbr;
	struct tcp_state *tcp;
};

/* ---- the outside ---- */

#define CGNAT_PORTS 48
struct cgnat {
	struct lode_rng rng;
	struct {
		uint64_t until_ns; /* 0: free */
		uint8_t site;
		uint16_t inside_port, remote_port;
		uint32_t remote;
	} ports[CGNAT_PORTS];
};

/* Frames seen on the wires, for attackers. */
#define CAPTURES      64
#define CAPTURE_BYTES 1600
struct capture {
	uint8_t site, wan_port;
	uint16_t len;
	uint8_t frame[CAPTURE_BYTES];
};
struct captures {
	uint64_t n_seen, n_data, n_handshakes;
	struct capture data[CAPTURES], handshakes[CAPTURES / 4];
};

#define SLOW_SECONDS 64
struct lode_sim {
	struct lode_sim_params params;
	struct cgnat cgnats[LODE_WAN_PORTS_MAX];
	struct captures *captures;
	struct rte_mbuf **taken; /* buffers kept from everybody */
	uint32_t n_taken;
	struct {
		enum lode_sim_sabotage how;
		unsigned site;
		struct rte_mbuf *kept;
		uint64_t until_ns;
		unsigned flow;
	} sabotage;
	/* Longest time that a frame spent outside of gateways, by the second in which that ended. */
	struct {
		uint64_t second, longest_ns;
	} slow[SLOW_SECONDS];
	/* When a lane of that site last let a packet of that peer out before its predecessor. */
	uint64_t leave_ns[LODE_SIM_SITES_MAX][LODE_PEERS_MAX];
	uint64_t n_leaves[LODE_SIM_SITES_MAX][LODE_PEERS_MAX];
	uint64_t now_ns, digest, n_strays;
	struct lode_aead *aead;
	struct rte_mempool *pool;
	uint32_t pool_size;
	struct timeline timeline;
	struct lode_sim_stats stats;
	unsigned n_flows;
	struct flow *flows[LODE_SIM_FLOWS_MAX];
	struct site sites[LODE_SIM_SITES_MAX];
};

/* ---- who is due: numbers of the timeline ---- */

static inline uint32_t due_control(unsigned site)
{
	return site;
}
static inline uint32_t due_worker(unsigned site, unsigned worker)
{
	return LODE_SIM_SITES_MAX + site * LODE_WORKERS_MAX + worker;
}
static inline uint32_t due_link(unsigned site, unsigned wan_port, enum lode_sim_direction direction)
{
	return LODE_SIM_SITES_MAX * (1 + LODE_WORKERS_MAX) +
	       (site * LODE_WAN_PORTS_MAX + wan_port) * 2 + direction;
}
static inline uint32_t due_flow(unsigned flow)
{
	return LODE_SIM_SITES_MAX * (1 + LODE_WORKERS_MAX + 2 * LODE_WAN_PORTS_MAX) + flow;
}
#define N_DUE \
	(LODE_SIM_SITES_MAX * (1 + LODE_WORKERS_MAX + 2 * LODE_WAN_PORTS_MAX) + LODE_SIM_FLOWS_MAX)

/* ---- site.c: its life ---- */

static inline uint64_t site_now(const struct site *site)
{
	return site->sim->now_ns + site->clock_ns;
}
/* Peers, by the topology. */
static inline bool site_reaches(const struct lode_sim *s, unsigned site, unsigned other)
{
	return site != other && (s->params.topology == LODE_SIM_MESH || site == 0 || other == 0);
}
int site_start(struct site *site, struct lode_err *err);
void site_stop(struct site *site);
/* lode_control_params.resolve: the network answers at once. */
void site_resolve(void *ctx, const struct lode_resolve *want);

/* ---- loop.c: its lcores ---- */

void site_poll_control(struct site *site);
/* lode_worker_params.flush */
void site_flush_tx(void *ctx, unsigned port_idx);
/* One loop of a worker: what waits in receive queues, what is due, what leaves. */
void site_step(struct site *site, unsigned worker_idx);
/* What the port says of itself, after the gateway has started. */
void site_announce_port(struct site *site, unsigned port_idx);
static inline bool site_is_stalled(const struct site *site, unsigned lcore)
{
	return lode_unlikely(site->stalled_until_ns[lcore] > site->sim->now_ns);
}
/* Takes the frame; one more than the receive queue holds is lost, as in a NIC. */
void site_receive(struct site *site, unsigned port_idx, unsigned worker_idx, struct rte_mbuf *m);

/* ---- network.c ---- */

struct lode_ip wan_address(unsigned site, unsigned wan_port);
struct lode_ip lan_address(unsigned site, unsigned host, bool v6);
struct lode_ip appliance_address(unsigned site); /* of lode0 */
void port_mac(unsigned site, unsigned port_idx, uint8_t mac[6]);
void host_mac(unsigned site, unsigned host, uint8_t mac[6]);
int cables_make(struct site *site, struct lode_err *err);
void cables_free(struct site *site);
/* A frame leaves a WAN port; takes it. */
void wan_send(struct site *site, unsigned wan_port, struct rte_mbuf *m);
void link_due(
	struct lode_sim *s, unsigned site, unsigned wan_port, enum lode_sim_direction direction);
/* MAC address for a resolve request; false: nobody has that address. */
bool resolve_mac(const struct lode_sim *s, const struct lode_resolve *want, uint8_t mac[6]);

/* ---- nat.c, cgnat.c ---- */

#define CGNAT_HOST 127 /* last byte of the shared address */
/* False: no port is free. */
bool cgnat_out(struct site *site, unsigned wan_port, struct rte_mbuf *m);
/* The site inside, or -1: nobody asked for it. */
int cgnat_in(struct lode_sim *s, unsigned wan_port, struct rte_mbuf *m);
/* Rewrites source or destination of an IPv4 UDP frame and mends the checksums. */
void nat_rewrite(struct rte_mbuf *m, bool source, uint8_t last_byte, uint16_t port);

#define NAT_OFFSET 128 /* a site's address behind its NAT is this much higher outside */
void nat_out(const struct cable *cable, struct rte_mbuf *m);
/* False: nobody inside has that binding. */
bool nat_in(const struct cable *cable, unsigned udp_port, unsigned n_workers, struct rte_mbuf *m);

/* ---- remark.c, stray.c ---- */

/* What the router behind a cable does to a frame. */
void remark(struct cable *cable, struct rte_mbuf *m);
/* A packet of lode_sim_stray, or a part of one. */
bool is_stray(const struct lode_sim *s, const uint8_t *packet, size_t len);

/* ---- reassemble.c ---- */

/* The frame, or the whole packet (in memory of the site) when it was the last fragment missing; NULL: it was
 * another one. len: of the frame, then of what is returned. */
const uint8_t *fragment_take(struct site *site, const uint8_t *frame, uint16_t *len);

/* ---- hosts.c ---- */

/* A frame from the gateway arrives on the LAN of a site, or a packet on its lode0; takes it. */
void lan_deliver(struct site *site, unsigned port_idx, struct rte_mbuf *m);
/* Room for an IP packet of l4 header and payload from one end of a flow; NULL: no buffer. `l4` points at the
 * L4 header. lan_send finishes lengths and checksums and sends it. */
struct rte_mbuf *packet_new(struct flow *f, struct lode_sim *s, bool forward, uint8_t protocol,
	size_t l4_bytes, uint8_t **l4);
void lan_send(struct lode_sim *s, const struct flow *f, bool forward, struct rte_mbuf *m);
/* Pseudo-random bytes that depend on flow and position only. */
void pattern_fill(unsigned flow, uint64_t position, uint8_t *out, size_t len);
bool pattern_holds(unsigned flow, uint64_t position, const uint8_t *data, size_t len);

void cbr_start(struct lode_sim *s, struct flow *f);
void cbr_due(struct lode_sim *s, struct flow *f);
void cbr_receive(struct lode_sim *s, struct flow *f, const uint8_t *udp, size_t len);
int tcp_start(struct lode_sim *s, struct flow *f);
void tcp_due(struct lode_sim *s, struct flow *f);
/* forward: a segment of data, else one of acknowledgement. */
void tcp_receive(struct lode_sim *s, struct flow *f, bool forward, const uint8_t *tcp, size_t len);
void tcp_free(struct flow *f);

/* ---- watch.c: promises about order and time ---- */

/* A frame was outside for `ns`, until then. */
void watch_slow(struct lode_sim *s, uint64_t until_ns, uint64_t ns);
/* Reads how often lanes of the site let packets out of order. */
void watch_leaves(struct site *site);
/* A packet of the flow came, sent then. */
void watch_arrival(struct lode_sim *s, struct flow *f, uint64_t seq, uint64_t sent_ns);

/* ---- attack.c, sabotage.c ---- */

/* A frame reaches a port: attackers may keep a copy. */
void capture_frame(struct site *site, unsigned wan_port, const struct rte_mbuf *m);
/* On its way to the LAN; NULL: gone. */
struct rte_mbuf *sabotage_frame(struct site *site, struct rte_mbuf *m);
void sabotage_flush(struct lode_sim *s);

/* ---- ledger.c ---- */

/* Adds the counters of the running gateway to those of its earlier lives. */
void ledger_close(struct site *site);

/* ---- sim.c ---- */

void digest_add(struct lode_sim *s, uint64_t where, const void *bytes, size_t len);
