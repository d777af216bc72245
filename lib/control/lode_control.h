/* SPDX-License-Identifier: BSD-3-Clause */
/* control: the control lcore's work without I/O. It owns the peers (handshakes, keys, paths), decides per
 * (peer, class) which paths may be used, divides port rates over peers, and builds the snapshots that
 * workers read. One thread calls it (the control lcore, or the simulator); lode_control_prepare may run on
 * any thread. Times are ns of the same monotonic clock as the workers'. */
#pragma once

#include "lode_base.h"
#include "lode_config.h"
#include "lode_selector.h"
#include "lode_snapshot.h"
#include "lode_worker.h"

struct lode_control;
struct lode_prepared; /* a checked configuration with its class rules built */

struct lode_control_params {
	struct lode_shared *shared;   /* outlives the control object */
	const struct lode_aead *aead; /* outlives it too */
	uint8_t private_key[LODE_KEY_BYTES];
	uint64_t seed; /* of hash keys */
	unsigned n_workers;
	const struct lode_worker_rings *rings[LODE_WORKERS_MAX];
	void *ctx; /* for the callbacks */
	/* Secure random bytes (the simulator gives seeded ones). */
	void (*random)(void *ctx, void *buf, size_t len);
	/* Handshake counters up to this one may be used from now on: keep it before returning, also over a
	 * restart. Called with a block reserved ahead, so seldom. 0 or -errno (no handshake is started). */
	int (*save_counter)(void *ctx, uint64_t counter);
	uint64_t counter;  /* the last one saved; 0 at the very first start */
	uint64_t rekey_ns; /* as lode_peer_host_params */
	/* What lode_control_state gave before the restart, or NULL. Text that cannot be read is refused in
	 * whole, with a line in the log. */
	const char *state;
	/* Somebody should find out this neighbour's MAC address (as from the workers' resolve rings). */
	void (*resolve)(void *ctx, const struct lode_resolve *want);
	/* One line for the log. */
	void (*log)(void *ctx, enum lode_log_level level, const char *text);
};

/* ---- configuration ---- */

/* Builds the class rules (this may take 20 ms: not on the control lcore while it has peers to serve). Takes
 * the configuration; on error it is freed and *out NULL. */
int lode_control_prepare(
	struct lode_config *config, struct lode_prepared **out, struct lode_err *err);

/* Takes prepared. NULL: err says why. */
struct lode_control *lode_control_new(const struct lode_control_params *params,
	struct lode_prepared *prepared, uint64_t now_ns, struct lode_err *err);
/* Workers must have stopped. */
void lode_control_free(struct lode_control *c);
/* Changes to the new configuration in one snapshot, or leaves everything as it was: -EBUSY when a key needs
 * a restart. Takes prepared in both cases. */
int lode_control_apply(struct lode_control *c, struct lode_prepared *prepared, uint64_t now_ns,
	struct lode_err *err);
const struct lode_config *lode_control_config(const struct lode_control *c);

/* The loss predictor that lanes run from the next snapshot on; NULL: the classic. The last one is free when
 * all workers have gone on (lode_control_reclaim). */
void lode_control_set_loss_model(struct lode_control *c, const struct lode_loss_model *model);

/* ---- what the kernel tells (netlink, link states, DHCP) ---- */

void lode_control_set_port(struct lode_control *c, unsigned port_idx, const uint8_t mac[6],
	uint16_t mtu_bytes, bool up);
/* The box's addresses on a port, in place of those of the configuration (DHCP), and its next hops (none:
 * those of the configuration, else on-link). */
void lode_control_set_addrs(struct lode_control *c, unsigned port_idx,
	const struct lode_prefix *addrs, unsigned n, const struct lode_ip *gateway4,
	const struct lode_ip *gateway6);
/* Known, or known to be gone. At most LODE_CONTROL_NEIGHBOURS are remembered: -ENOSPC. */
#define LODE_CONTROL_NEIGHBOURS 4096
int lode_control_set_neighbour(struct lode_control *c, const struct lode_neighbour *neighbour);
void lode_control_forget_neighbour(
	struct lode_control *c, unsigned port_idx, const struct lode_ip *ip);

/* ---- the loop ---- */

/* Reads the workers' rings and the lanes' summaries, drives the peers, publishes a snapshot when something
 * changed. Returns when it wants to be called next, at the latest in 10 ms. */
uint64_t lode_control_poll(struct lode_control *c, uint64_t now_ns);
/* Serial of the newest published snapshot. */
uint64_t lode_control_serial(const struct lode_control *c);
/* Every worker works with `serial` or a newer snapshot (the smallest lode_worker_serial): frees what is
 * older, and lets peers use keys that all workers know by now. Call it once per loop. */
void lode_control_reclaim(struct lode_control *c, uint64_t serial, uint64_t now_ns);

/* ---- status, as plain structs for telemetry and lodectl ---- */

struct lode_path_status {
	char name[LODE_NAME_MAX]; /* of the link */
	uint8_t path, port_idx;
	uint8_t state; /* enum lode_path_state */
	struct lode_endpoint local, remote;
	uint32_t rtt_us, rtt_min_us, jitter_us, owd_us, loss_ppm;
	uint32_t probe_loss_ppm; /* of probes alone; outages left out */
	uint32_t n_suspects, n_downs;
	uint32_t tx_kbps, rx_kbps, pacing_kbps,
		share_kbps; /* sent, received, allowed by controller, by port */
	uint32_t mtu_bytes;
	uint64_t last_rx_ns, tx_pkts, rx_pkts, tx_bytes, rx_bytes, lost_pkts;
};

struct lode_peer_status {
	char name[LODE_NAME_MAX];
	uint8_t peer_idx;
	bool established, initiator;
	uint64_t established_ns; /* of the running session */
	uint64_t n_handshakes, n_failed_handshakes;
	uint8_t n_lanes, lane_worker[LODE_LANES_MAX];
	uint8_t n_paths;
	struct lode_path_status paths[LODE_LINKS_MAX];
	union lode_choice choice[LODE_N_CLASSES];
};

/* ---- path choices and their reasons ---- */

enum lode_decision_why {
	LODE_WHY_FIRST,	   /* the first choice of a session */
	LODE_WHY_DEAD,	   /* the path before is not up any more */
	LODE_WHY_BETTER,   /* another one is better by the margin */
	LODE_WHY_RETURNED, /* the listed order again, or a path that was away and is healthy again */
	LODE_WHY_LISTED,   /* the configuration's order */
	LODE_WHY_QUOTA,	   /* the path before is ahead of its monthly budget */
	LODE_WHY_POOR,	   /* the path before loses too much, or is too slow beside the others */
	LODE_WHY_TURN,	   /* round robin */
};
const char *lode_decision_why_name(enum lode_decision_why why);

struct lode_decision {
	uint64_t at_ns;
	uint8_t peer_idx, cls;
	uint8_t from, to; /* path ids; LODE_NO_PATH: none */
	uint8_t healthy;  /* mask of what it was chosen among */
	enum lode_decision_why why;
	struct lode_selector_reason reason; /* values of the paths and what tipped it */
};
/* Newest first; returns how many, at most max. At most the last 256 are remembered. */
unsigned lode_control_decisions(
	const struct lode_control *c, struct lode_decision *out, unsigned max);

/* Why the class uses the path that it uses now. -ENOENT: no such peer, or it has no paths yet. */
struct lode_choice_status {
	union lode_choice choice;
	uint64_t since_ns;		      /* when it moved there */
	uint8_t healthy, poor, late, thrifty; /* masks */
	bool listed;		   /* the configuration's order decides, not the selector */
	struct lode_decision last; /* as of now: its reason says how the paths compare */
};
int lode_control_explain(const struct lode_control *c, unsigned peer_idx, enum lode_class cls,
	struct lode_choice_status *out);
int lode_control_selector_stats(
	const struct lode_control *c, unsigned peer_idx, struct lode_selector_stats *out);

struct lode_quota_status {
	uint64_t budget_bytes, used_bytes; /* of this month; budget 0: no limit */
	double ahead_hours;		   /* of an even pace */
};
void lode_control_quota(
	const struct lode_control *c, unsigned port_idx, struct lode_quota_status *out);

/* What was learned and spent, as text for the state directory. Returns its length or -ENOSPC. */
#define LODE_CONTROL_STATE_BYTES (1 << 20)
long lode_control_state(const struct lode_control *c, char *buf, size_t size);

#define LODE_CONTROL_COUNTERS(X)                                                          \
	X(snapshots, count, LODE_INFO, "snapshots published")                             \
	X(handshakes, count, LODE_INFO, "sessions established")                           \
	X(handshakes_refused, count, LODE_WARN, "handshake datagrams refused")            \
	X(failovers, count, LODE_WARN, "path choices changed because a path failed")      \
	X(failbacks, count, LODE_INFO, "path choices moved back after recovery")          \
	X(moves, count, LODE_INFO, "path choices changed because another path is better") \
	X(poor_paths, count, LODE_WARN, "paths set aside because they lose too much")     \
	X(roams, count, LODE_INFO, "remote addresses changed by authenticated packets")   \
	X(applies, count, LODE_INFO, "configurations applied")                            \
	X(applies_refused, count, LODE_WARN, "configurations refused")
LODE_COUNTER_STRUCT(lode_control_counters, LODE_CONTROL_COUNTERS);
extern const struct lode_counter_desc lode_control_counter_descs[];
extern const unsigned lode_control_n_counters;
const struct lode_control_counters *lode_control_counters(const struct lode_control *c);
/* Handshakes by what became of them: lode_peer_counter_descs of peer. */
const struct lode_peer_counters *lode_control_peer_counters(const struct lode_control *c);

/* -ENOENT: no such peer. */
int lode_control_peer_status(const struct lode_control *c, unsigned peer_idx, uint64_t now_ns,
	struct lode_peer_status *out);
