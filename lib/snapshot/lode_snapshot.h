/* SPDX-License-Identifier: BSD-3-Clause */
/* snapshot: the immutable view that workers read, and the small tables of atomic words beside it. The
 * control lcore fills a struct lode_snapshot, publishes its pointer (release) and frees the old one
 * after an RCU grace period: workers read the pointer once per loop (acquire) and never write through
 * it. Peer views, route tables and neighbour tables are shared between snapshots; their reference
 * counts are touched by the control lcore only. The words in struct lode_shared change between
 * snapshots; each says who writes it and who reads it. No DPDK here: bytes and structs. */
#pragma once

#include "lode_base.h"
#include "lode_config.h"
#include "lode_path.h"

struct lode_aead_key;	/* of wire */
struct lode_loss_model; /* of engine */

#define LODE_LANES_MAX 8
#define LODE_HOST_PORT LODE_PORTS_MAX /* index of lode0, behind the ports of the configuration */
#define LODE_ALL_PORTS (LODE_PORTS_MAX + 1)
#define LODE_EPOCHS    3 /* previous, current, next; a key phase p lives in slot p % 3 */
#define LODE_NO_PATH   0xff

/* ---- peers ---- */

/* One way to a peer: our port and address, its address and ports. */
struct lode_path_view {
	bool valid;
	uint8_t port_idx;
	struct lode_ip local, remote;	      /* remote none: not known yet, receive only */
	uint16_t local_port;		      /* of worker 0; worker w sends from local_port + w */
	uint16_t remote_port[LODE_LANES_MAX]; /* where the peer wants each lane */
	uint8_t dst_mac[6]; /* next hop; all zero: unresolved, nothing can be sent */
	uint8_t src_mac[6];
	uint16_t vlan;		 /* of the port, 0: untagged */
	uint16_t link_mtu_bytes; /* L3 MTU of the port: upper bound of path MTU discovery */
	uint32_t up_kbps;	 /* configured rate or 0: learned */
	char name[LODE_NAME_MAX];
};

struct lode_epoch_view {
	bool rx_valid, tx_valid;
	uint8_t key_phase, tx_phase;	 /* the receiver's label: ours, the peer's; 0..2 */
	uint8_t version;		 /* of the wire, agreed */
	uint16_t rx_session, tx_session; /* ours, in what we receive; the peer's, in what we send */
	uint64_t features;		 /* bits of the handshake that both ends have */
	uint64_t
		generation; /* serial of the keys in this slot, growing: packet numbers start anew */
	struct lode_aead_key *rx_key[LODE_LANES_MAX], *tx_key[LODE_LANES_MAX];
};

/* A peer with a session. */
struct lode_peer_view {
	uint32_t refs; /* control lcore only */
	void (*release)(
		struct lode_peer_view *); /* called by the last unref: frees view and keys */
	uint8_t peer_idx;		  /* in config->peers[] */
	uint32_t association; /* changes when the peer lost its memory: all starts anew */
	uint8_t n_lanes;      /* in use, in both directions; 0 is the home lane */
	uint8_t lane_owner[LODE_LANES_MAX]; /* our worker that sends and receives on it */
	uint8_t tx_epoch;		    /* slot in epochs[] to seal with */
	struct lode_epoch_view epochs[LODE_EPOCHS];
	struct lode_path_view paths[LODE_LINKS_MAX];
};

/* ---- routes: longest prefix match over both families ---- */

enum lode_route_kind {
	LODE_ROUTE_NONE,
	LODE_ROUTE_PEER, /* idx: peer */
	LODE_ROUTE_PORT, /* idx: LAN port; via: router on it, none: on-link */
	LODE_ROUTE_HOST, /* an address of lode0, or of the appliance behind it */
	LODE_ROUTE_BOX,	 /* the box's own address on port idx: to that port's mirror */
};
struct lode_route {
	uint8_t kind, idx;
	struct lode_ip via;
};

/* A trie of 8-bit strides; a cell is a route's index, or a child node's. */
#define LODE_ROUTES_CHILD 0x80000000u
struct lode_routes {
	uint32_t refs; /* as peer views */
	uint32_t n_nodes, n_routes;
	uint32_t v4_root; /* node of ::ffff:0:0/96 */
	struct {
		uint32_t cell[256];
	} * nodes;
	struct lode_routes_lens *lens; /* of routes.c */
	struct lode_route *routes;
};
struct lode_routes *lode_routes_new(void);
/* The same prefix again replaces the route. -ENOMEM, -EINVAL (len > 128), -ENOSPC (65 535 routes). */
int lode_routes_add(
	struct lode_routes *r, const struct lode_prefix *prefix, const struct lode_route *route);
void lode_routes_ref(struct lode_routes *r);
void lode_routes_unref(struct lode_routes *r);
/* Data path. Never NULL: an unknown destination gives kind LODE_ROUTE_NONE. */
static inline const struct lode_route *lode_routes_lookup6(
	const struct lode_routes *r, const uint8_t addr[16])
{
	uint32_t cell = LODE_ROUTES_CHILD;
	while (cell & LODE_ROUTES_CHILD)
		cell = r->nodes[cell & ~LODE_ROUTES_CHILD].cell[*addr++];
	return &r->routes[cell];
}
static inline const struct lode_route *lode_routes_lookup4(
	const struct lode_routes *r, uint32_t addr_be)
{
	uint32_t cell = LODE_ROUTES_CHILD | r->v4_root;
	for (; cell & LODE_ROUTES_CHILD; addr_be >>= 8)
		cell = r->nodes[cell & ~LODE_ROUTES_CHILD].cell[addr_be & 0xff];
	return &r->routes[cell];
}

/* ---- neighbours: (port, address) -> MAC ---- */

struct lode_neighbour {
	struct lode_ip ip;
	uint8_t port_idx, mac[6];
};
/* Open addressing with linear probing, at most half full, filled before it is published. */
struct lode_neighbours {
	uint32_t refs; /* as peer views */
	uint32_t n, n_max, mask;
	uint64_t seed;
	struct lode_neighbour_slot {
		bool used;
		struct lode_neighbour entry;
	} slots[];
};
/* Room for n entries; seed: of the instance, so that nobody outside can aim at one bucket. */
struct lode_neighbours *lode_neighbours_new(uint32_t n, uint64_t seed);
/* -ENOSPC: more than n. The same address on the same port again replaces the MAC. */
int lode_neighbours_add(struct lode_neighbours *t, const struct lode_neighbour *neighbour);
void lode_neighbours_ref(struct lode_neighbours *t);
void lode_neighbours_unref(struct lode_neighbours *t);
/* Slot of this key, or the free one where it would go: there always is one. Finalizer of MurmurHash3;
 * folding first brings the host's bits, which are the top ones of a loaded address, to where a
 * multiplication spreads them. */
static inline uint32_t lode_neighbours_slot(
	const struct lode_neighbours *t, uint8_t port_idx, const struct lode_ip *ip)
{
	uint64_t hash = (lode_load_le64(ip->b) ^ t->seed) * 0x9e3779b97f4a7c15ull;
	hash ^= lode_load_le64(ip->b + 8) + port_idx;
	hash = (hash ^ hash >> 33) * 0xff51afd7ed558ccdull;
	hash = (hash ^ hash >> 33) * 0xc4ceb9fe1a85ec53ull;
	uint32_t i = (uint32_t)(hash >> 32) & t->mask;
	for (; t->slots[i].used; i = (i + 1) & t->mask) {
		const struct lode_neighbour *e = &t->slots[i].entry;
		if (e->port_idx == port_idx && lode_ip_equal(&e->ip, ip))
			break;
	}
	return i;
}
/* Data path. NULL: unknown. */
static inline const struct lode_neighbour *lode_neighbours_lookup(
	const struct lode_neighbours *t, uint8_t port_idx, const struct lode_ip *ip)
{
	const struct lode_neighbour_slot *slot = &t->slots[lode_neighbours_slot(t, port_idx, ip)];
	return slot->used ? &slot->entry : NULL;
}

/* ---- the snapshot ---- */

struct lode_port_view {
	uint8_t mac[6];
	uint16_t mtu_bytes, vlan; /* L3; 0: untagged */
	bool up;
};

#define LODE_SESSION_SLOTS 512 /* >= 2 x peers x epochs, a power of two */
struct lode_session_slot {
	uint16_t session; /* 0: free; 0 is never a session */
	uint8_t peer_idx, epoch;
};

struct lode_snapshot {
	uint64_t serial;
	const struct lode_config *config;	      /* not owned: outlives the snapshot */
	const void *rules;			      /* of worker, not owned */
	const struct lode_loss_model *loss_model;     /* NULL: the classic; not owned */
	struct lode_peer_view *peers[LODE_PEERS_MAX]; /* NULL: no session */
	struct lode_routes *routes;
	struct lode_neighbours *neighbours;
	struct lode_port_view ports[LODE_ALL_PORTS];
	struct lode_session_slot sessions[LODE_SESSION_SLOTS]; /* by finish */
	bool finished;
};

/* Control fills in the fields of a new snapshot (all zero), then calls finish, which takes a reference
 * to every view and table in it and builds the session table. -EEXIST: two epochs with one session. */
struct lode_snapshot *lode_snapshot_new(uint64_t serial);
int lode_snapshot_finish(struct lode_snapshot *s, struct lode_err *err);
/* Gives the references back. Works on unfinished snapshots too. */
void lode_snapshot_free(struct lode_snapshot *s);
void lode_peer_view_unref(struct lode_peer_view *v);

/* Data path: peer and epoch of a session index from a received header; NULL: not ours. */
static inline const struct lode_session_slot *lode_snapshot_session(
	const struct lode_snapshot *s, uint16_t session)
{
	for (uint32_t i = session;; i++) {
		const struct lode_session_slot *slot = &s->sessions[i % LODE_SESSION_SLOTS];
		if (slot->session == 0)
			return NULL; /* always reached: the table is at most half full */
		if (slot->session == session)
			return slot;
	}
}

/* ---- words that change between snapshots ---- */

#define LODE_CHOICE_NEW_FLOWS 1 /* `preferred` is for flows that have no path yet */

/* Path choice for one (peer, class): one 64-bit word, read and written whole. */
union lode_choice {
	uint64_t word;
	struct {
		uint8_t allowed;   /* mask over path ids */
		uint8_t backup;	   /* used when no allowed path is up */
		uint8_t preferred; /* path id, LODE_NO_PATH: best by measurement */
		uint8_t copies;	   /* transmissions of each segment over different paths, >= 1 */
		uint8_t flags;	   /* LODE_CHOICE_* */
		uint8_t pad;
		uint16_t serial; /* never 0 once chosen */
	};
};
static_assert(sizeof(union lode_choice) == 8, "one atomic word");

/* What one path looks like from its home lane. */
struct lode_path_summary {
	uint8_t state; /* enum lode_path_state of path */
	uint8_t remote_lane;
	uint16_t remote_port; /* newest authenticated source; port 0: none yet */
	struct lode_ip remote;
	uint64_t remote_pn;  /* packet number that brought it */
	uint64_t remote_ns;  /* when it changed last */
	uint64_t last_rx_ns; /* newest authenticated packet */
	uint32_t srtt_us, min_rtt_us, jitter_us, owd_us;
	uint32_t loss_ppm, loss_burst_centi; /* mean burst length x 100 */
	uint32_t probe_loss_ppm;	     /* of probes alone, towards the peer */
	uint32_t n_suspects, n_downs;
	uint32_t delivery_kbps, pacing_kbps, rx_kbps;
	uint32_t cwnd_bytes, inflight_bytes;
	uint16_t mtu_bytes;    /* discovered path MTU, L3 */
	uint16_t budget_bytes; /* E: payload of a segment */
	uint64_t tx_pkts, tx_bytes, rx_pkts, rx_bytes;
	uint64_t told_pkts, lost_pkts, lost_runs; /* of tx_pkts, as the peer reported */
	/* The newest forecast, for 50 to 100 ms ahead; 0 when there is none. */
	uint32_t foreseen_loss_ppm, foreseen_any_ppm, foreseen_burst_centi;
	uint8_t foreseen_by, model_losing; /* enum lode_loss_source; the model is not asked */
	uint32_t brier_ppm[2];		   /* of this path, by source */
	uint64_t loss_outcomes;
};

/* How the losses of a class are made good; counts since the lane began. */
struct lode_repair_summary {
	uint8_t nack, copies,
		span;	   /* in use now: kept for who asks; transmissions; sources per repair */
	uint16_t rate_q8;  /* repairs per source in 1/256 */
	uint32_t loss_ppm; /* of its paths, congestion left out */
	uint64_t tx_sources, tx_source_bytes; /* segments that may need repair */
	uint64_t tx_repairs, tx_repair_bytes;
	uint64_t tx_repairs_skipped; /* no path had credit */
	uint64_t tx_copies;
	uint64_t tx_resent;	     /* asked for and sent again */
	uint64_t tx_unknown;	     /* asked for and not remembered */
	uint64_t rx_repairs, rx_recovered, rx_late; /* late: dropped, as the deadline of its class had passed */
	uint64_t rx_missing, rx_asked;		    /* sequences that did not come; asked for */
	uint64_t decisions, expired;
};

struct lode_class_summary {
	uint32_t queue_pkts, queue_bytes;
	uint32_t wait_us; /* of the newest packet taken from the queue */
	uint64_t tx_segments, rx_segments, duplicates;
	struct lode_repair_summary repair;
	uint32_t tx_path[LODE_LINKS_MAX]; /* segments by path, copies too */
};

/* Published by a lane every few ms, read by control and telemetry. */
struct lode_lane_summary {
	_Atomic uint32_t sequence; /* odd: being written */
	uint32_t pad;
	uint64_t now_ns;
	uint64_t load_cycles;	/* sampled time in the lane's stages: 1 run in 64 */
	uint64_t rx_generation; /* newest epoch generation an authenticated packet was seen under */
	uint64_t last_rx_ns;	/* newest authenticated packet on any path */
	uint64_t tx_packets;	/* sealed under the present tx epoch */
	struct lode_path_summary paths[LODE_LINKS_MAX];
	struct lode_class_summary classes[LODE_N_CLASSES];
};

/* Seqlock: one writer, any readers. All fields but `sequence` are copied. */
void lode_lane_summary_publish(
	struct lode_lane_summary *slot, const struct lode_lane_summary *from);
/* False: the writer was busy each of a few times; *to is then unspecified. */
bool lode_lane_summary_read(const struct lode_lane_summary *slot, struct lode_lane_summary *to);

/* What a further lane tells the home lane of its peer, every few ms while it has traffic. */
struct lode_lane_report {
	_Atomic uint32_t sequence; /* odd: being written */
	uint32_t zero;
	uint64_t now_ns;       /* 0: none yet */
	uint32_t backlog_pkts; /* in its class queues */
	uint32_t usable;       /* mask of paths on which it may send and is heard */
	struct lode_path_tally paths[LODE_LINKS_MAX];
};
/* As for summaries. */
void lode_lane_report_publish(struct lode_lane_report *slot, const struct lode_lane_report *from);
bool lode_lane_report_read(const struct lode_lane_report *slot, struct lode_lane_report *to);

/* Lanes of one peer that flows may take. Home is always one of them. */
union lode_lane_choice {
	uint32_t word; /* 0: home only */
	struct {
		uint8_t usable; /* mask: a flow that is on it may stay */
		uint8_t open;	/* mask: a new flow may go there */
		uint16_t zero;
	};
};
static_assert(sizeof(union lode_lane_choice) == 4, "one atomic word");

/* One instance per gateway. */
struct lode_shared {
	_Atomic(const struct lode_snapshot *) snapshot;		 /* control writes, workers read */
	_Atomic uint64_t choice[LODE_PEERS_MAX][LODE_N_CLASSES]; /* control writes, lanes read */
	/* Share of the port's rate; 0: no limit known. Control writes, home lanes read. */
	_Atomic uint32_t rate_share_kbps[LODE_PEERS_MAX][LODE_LINKS_MAX];
	/* Lanes write (seqlock), control and telemetry read. NULL: no such lane. Set by control. */
	_Atomic(struct lode_lane_summary *) summary[LODE_PEERS_MAX][LODE_LANES_MAX];
	/* Grows when a path changes its state. Home lanes write, control reads. */
	_Atomic uint32_t path_events;
	/* Wall clock minus the workers' clock; 0: not known. Control writes, home lanes read. */
	_Atomic int64_t wall_offset_ns;
	/* Windows of the loss predictor are wanted in the workers' rings. Helper writes, home lanes read. */
	_Atomic bool record_loss;
	/* Further lanes write (seqlock), their home lane reads. NULL: no such lane. Set by control. */
	_Atomic(struct lode_lane_report *) report[LODE_PEERS_MAX][LODE_LANES_MAX];
	/* union lode_path_grant. Home lanes write, further lanes read. */
	_Atomic uint64_t grant[LODE_PEERS_MAX][LODE_LANES_MAX][LODE_LINKS_MAX];
	/* union lode_lane_choice. Home lanes write, workers that look for a flow's lane read. */
	_Atomic uint32_t lane_choice[LODE_PEERS_MAX];
};
