/* SPDX-License-Identifier: BSD-3-Clause */
/* What control remembers, and the parts of its loop. Everything here belongs to the control lcore. */
#pragma once

#include "lode_aead.h"
#include "lode_control.h"
#include "lode_path.h"
#include "lode_peer.h"
#include "lode_selector.h"
#include "lode_wire.h"

#include <stdalign.h>
#include <time.h>

#define TICK_NS	       (10 * LODE_NS_PER_MS)
#define RESOLVE_GAP_NS (250 * LODE_NS_PER_MS) /* between two requests for one next hop */

/* A configuration in use; shared by snapshots. */
struct lode_prepared {
	uint32_t refs;
	struct lode_config *config;
	struct lode_rules *rules;
};

/* A published snapshot until every worker has left it. */
struct published {
	struct published *next; /* older */
	struct lode_snapshot *snapshot;
	struct lode_prepared *prepared;
};

/* The kernel's view of a port. */
struct port_state {
	uint8_t mac[6];
	uint16_t mtu_bytes;
	bool up;
	struct lode_prefix addrs[LODE_ADDRS_MAX];
	uint8_t n_addrs;
	struct lode_ip gateway4, gateway6;
	bool learned; /* addrs come from the kernel, not from the configuration */
};

/* What the policy knows of one path. */
struct path_health {
	uint8_t state;	       /* enum lode_path_state, as last reported */
	uint64_t healthy_ns;   /* up without a break since; 0: not up */
	uint64_t tx_bytes;     /* at the last look */
	uint32_t tx_kbps;      /* moving average */
	uint32_t demand_kbps;  /* what it asks for of its port */
	double availability;   /* share of the last minutes it was up */
	struct lode_ewma mbps; /* what the controller thinks it carries, without the hurry */
	bool poor;	       /* loses so much more than the others that it would spoil them */
	double loss;	       /* as last judged */
	uint64_t poor_until_ns;
	uint32_t poor_hold_s, poor_windows;
	/* As of the last look at the fate of traffic, and at its beginning to be lost. */
	struct told {
		uint64_t pkts, lost_pkts, lost_runs;
	} fate, onset;
	uint32_t sent_segments[LODE_N_CLASSES];
	uint64_t carried_bytes; /* both directions, as last counted for the quota */
};

struct class_policy {
	uint64_t moved_ns; /* when preferred changed last */
	union lode_choice choice;
	uint8_t healthy; /* paths that the last choice was among */
	uint8_t why;	 /* enum lode_decision_why of the last change */
	uint8_t late;	 /* mask: paths it keeps off because they would spoil its order */
	uint8_t thrifty; /* mask: paths it keeps off because they are ahead of their quota */
};

/* Of the calendar, UTC: the one that is. */
struct month {
	uint32_t number;   /* year * 12 + month */
	time_t begin, end; /* seconds since 1970; both 0: not known */
};

/* Spending of a WAN port's monthly budget. */
struct quota {
	uint32_t month; /* year * 12 + month; 0: nothing known */
	uint64_t used_bytes;
	double ahead; /* of an even pace, in hours of the budget; <= 0: behind, or no budget */
};

/* What a state file told of one path, until the path is there. */
struct remembered {
	char peer[LODE_NAME_MAX], link[LODE_NAME_MAX];
	uint32_t n;
	enum lode_selector_kind kind;
	uint64_t at_ns, age_ns; /* how old it was at that time */
	double kept[LODE_SELECTOR_KEPT];
};
#define REMEMBERED_MAX (LODE_PEERS_MAX * LODE_LINKS_MAX)
#define DECISIONS      256

/* Where a lane publishes. */
struct lane_slot {
	alignas(LODE_CACHE_LINE) struct lode_lane_summary summary;
	alignas(LODE_CACHE_LINE) struct lode_lane_report report; /* further lanes */
};

struct peer_slot {
	struct lode_peer *peer; /* NULL: no such peer */
	struct lode_peer_view *view;
	uint64_t view_generation; /* of the peer's state that view shows */
	uint64_t view_serial;	  /* of the first snapshot with it */
	bool installed_told;
	bool established; /* when last looked at, for the log */
	/* Peers that nothing new is known of are not looked at. */
	bool stale;		       /* its view, a port or the configuration changed */
	uint64_t looked_ns;	       /* last time; 0: never */
	uint64_t elapsed_ns;	       /* between the last two looks */
	uint32_t read[LODE_LANES_MAX]; /* `sequence` of the summaries then */
	uint64_t resolve_ns[LODE_LINKS_MAX];
	uint8_t next_hop_mac[LODE_LINKS_MAX][6]; /* the last good one */
	bool have_summary, backlog;		 /* of any lane */
	struct lode_lane_summary summary;	 /* of the home lane */
	struct lane_slot *lanes[LODE_LANES_MAX]; /* what lanes publish; live as long as control */
	struct path_health health[LODE_LINKS_MAX];
	struct class_policy policy[LODE_N_CLASSES];
	char name[LODE_NAME_MAX]; /* of the peer */
	struct lode_selector *selector;
	struct lode_selector_params selector_params;
	uint64_t window_ns; /* when the fate of traffic is looked at next */
	char selector_link[LODE_LINKS_MAX][LODE_NAME_MAX]; /* whose arms the selector holds */
};

struct lode_control {
	struct lode_control_params params;
	struct lode_control_counters counters;
	struct lode_prepared *prepared;
	struct lode_peer_host *host;
	struct peer_slot peers[LODE_PEERS_MAX];
	struct port_state ports[LODE_ALL_PORTS];
	struct lode_neighbour neighbours[LODE_CONTROL_NEIGHBOURS];
	uint32_t n_neighbours;
	struct lode_routes *routes;
	struct lode_neighbours *neighbour_table;
	bool routes_stale, neighbours_stale, views_stale, snapshot_stale;
	const struct lode_loss_model *loss_model; /* of the next snapshots */
	struct published *newest;
	uint8_t budgets_stale; /* mask: ports whose peers' demands changed */
	struct quota quota[LODE_PORTS_MAX];
	struct month month;
	struct remembered *remembered; /* REMEMBERED_MAX, n_remembered in use */
	uint32_t n_remembered;
	struct lode_decision decisions[DECISIONS];
	uint64_t n_decisions;
	uint32_t path_events; /* as last seen */
	uint64_t serial, tick_ns, now_ns;
	unsigned first_ring; /* where taking from the workers' rings begins */
};

/* Worker of a lane: the home lanes of the peers are dealt out, their further lanes follow. */
static inline unsigned lane_owner(const struct lode_control *c, unsigned peer_idx, unsigned lane)
{
	return (peer_idx + lane) % c->params.n_workers;
}

/* ---- peers.c ---- */

int make_host(struct lode_control *c, struct lode_err *err);
/* Peers as in the configuration; sessions of unchanged peers go on. */
int sync_peers(struct lode_control *c, const struct lode_config *from, uint64_t now_ns,
	struct lode_err *err);
void free_peers(struct lode_control *c);
void take_rings(struct lode_control *c, uint64_t now_ns);
/* What a peer's lanes said since the last look, to the peer: reports, roaming. False: there is nothing new. */
bool look_at_peer(struct lode_control *c, unsigned peer_idx, uint64_t now_ns);

/* ---- views.c ---- */

/* New views where a peer's state, an address or a next hop changed; true: a snapshot is needed. */
bool refresh_views(struct lode_control *c, uint64_t now_ns);

/* ---- ports.c: addresses, neighbours, next hops ---- */

const struct lode_ip *port_address(const struct lode_control *c, unsigned port_idx, bool v4);
/* Who gets a packet for remote on that port: remote itself, or a router. */
struct lode_ip next_hop(
	const struct lode_control *c, unsigned port_idx, const struct lode_ip *remote);
const struct lode_neighbour *find_neighbour(
	const struct lode_control *c, unsigned port_idx, const struct lode_ip *ip);
void ports_from_config(struct lode_control *c);
int build_routes(struct lode_control *c, struct lode_err *err);
int build_neighbours(struct lode_control *c, struct lode_err *err);

/* ---- publish.c ---- */

int publish(struct lode_control *c, struct lode_err *err);
void free_published(struct lode_control *c, uint64_t older_than);
void prepared_unref(struct lode_prepared *p);

/* ---- select.c: what the selectors hear ---- */

/* A selector for the peer as the configuration has it; what an old one knew goes over if it is of one kind. */
int selector_sync(struct lode_control *c, unsigned peer_idx, uint64_t now_ns);
void selector_free(struct lode_control *c, unsigned peer_idx);
/* Estimates of the paths in, and what became of traffic since the last window. */
void selector_feed(struct lode_control *c, unsigned peer_idx, uint64_t now_ns);

/* Mask of paths too slow beside the others for a class that is striped over them; was: the last answer. */
uint8_t selector_laggards(
	const struct lode_control *c, unsigned peer_idx, unsigned cls, uint8_t was);

/* ---- quota.c ---- */

/* What the peer's paths carried since the last look. */
void quota_count(struct lode_control *c, struct peer_slot *slot);
/* How far the ports are ahead. */
void quota_compare(struct lode_control *c);
/* Price factor that a path's quota adds to its cost. */
double quota_price(const struct lode_control *c, unsigned port_idx);
/* Whether the class should keep off the port; was: what it did so far (hysteresis). */
bool quota_spare(const struct lode_control *c, unsigned port_idx, unsigned cls, bool was);

/* ---- decisions.c ---- */

void note_decision(struct lode_control *c, unsigned peer_idx, unsigned cls, unsigned from,
	unsigned to, enum lode_decision_why why);

/* ---- remember.c: what survives a restart ---- */

int remember_read(struct lode_control *c, const char *text, struct lode_err *err);
/* Gives the selector what is remembered of that path. */
void remember_give(struct lode_control *c, unsigned peer_idx, unsigned path, uint64_t now_ns);
/* Takes what a selector learned before it goes. */
void remember_take(struct lode_control *c, unsigned peer_idx);

/* ---- policy.c, budget.c ---- */

/* Choices of a peer that has just been looked at. */
void update_policy(struct lode_control *c, unsigned peer_idx, uint64_t now_ns);
/* What its paths ask for now; then the ports where that changed anything. */
void update_demands(struct lode_control *c, struct peer_slot *slot);
void update_budgets(struct lode_control *c);

void control_log(struct lode_control *c, enum lode_log_level level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
