/* SPDX-License-Identifier: BSD-3-Clause */
/* Two lanes back to back in virtual time: a seeded pipe per path and direction that delays, loses,
 * reorders and duplicates, and checks on everything that comes out. */
#pragma once

#include "lane.h"

#define PAIR_FLOWS     64
#define PAIR_FLOW_PKTS 8192
#define PAIR_PATHS     4
#define PAIR_MBUFS     16383

struct pipe {
	double loss, duplicate;
	uint64_t delay_ns, jitter_ns; /* jitter reorders */
	uint64_t rate_bps;	      /* 0: none; a queue of 100 ms in front */
	bool dead;
	bool ce; /* marks everything that can be marked */
	uint64_t free_ns;
};

/* A datagram frame on its way. */
struct flight {
	uint64_t due_ns;
	uint16_t len;
	uint8_t to, path;
	uint8_t bytes[1700];
};

struct flow_check {
	struct lode_lane_flow state;
	uint32_t sent, delivered, misordered, newest;
	uint8_t seen[PAIR_FLOW_PKTS];
};

struct site {
	struct pair *pair;
	unsigned idx;
	struct lode_lane *lane;
	struct lode_lane_pools *pools;
	struct lode_txq txqs[LODE_ALL_PORTS];
	struct lode_shared *shared;
	struct lode_lane_summary summary;
	struct lode_config *config;
	struct lode_snapshot *snapshot;
	struct lode_peer_view view;
	struct flow_check *flows; /* what this site sends */
	uint64_t due_ns;
	uint32_t n_altered, n_twice, n_delivered;
	uint32_t n_closed; /* goodbyes of the other end */
};

struct pair {
	uint64_t now_ns;
	struct lode_rng rng;
	struct rte_mempool *pool;
	struct lode_aead *aead;
	struct site site[2];
	struct pipe pipe[2][PAIR_PATHS]; /* by sending site */
	unsigned n_paths;
	uint64_t features; /* of the sessions */
	struct flight **flights;
	unsigned n_flights, max_flights;
	uint64_t n_lost;
};

/* Starts EAL once per process and makes two sites with n_paths paths between them. */
struct pair *pair_new(uint64_t seed, unsigned n_paths, const char *aead);
/* Flushes both lanes and checks that no buffer is missing. */
void pair_free(struct pair *p);
/* Virtual time passes; lanes are polled when due. */
void pair_run(struct pair *p, uint64_t until_ns);
/* One packet of a flow of `from`, inner bytes in all (>= 40). ecn: of its IP header. */
void pair_send(
	struct pair *p, unsigned from, unsigned flow, unsigned cls, unsigned bytes, unsigned ecn);
/* All allowed paths, the preferred one (LODE_NO_PATH: none) and copies of one class, both sites. */
void pair_choose(struct pair *p, unsigned cls, uint8_t allowed, uint8_t preferred, uint8_t copies);
/* How losses of a class are made good, both sites; both have the feature from now on. Residual 0.01 %. */
void pair_repair(struct pair *p, unsigned cls, enum lode_repair_mode mode, uint32_t deadline_ms);
/* Renews both sites' snapshots after a change of view or config. */
void pair_publish(struct pair *p);
/* New keys in that epoch slot; one end sends under them 30 ms before the other. */
void pair_rekey(struct pair *p, unsigned slot, uint64_t generation, unsigned first_sender);
/* A site forgets everything and comes back with a new association. */
void pair_restart(struct pair *p, unsigned idx);
/* Fails when a packet was altered, came twice, or counters do not add up. */
void pair_check(struct pair *p);
uint32_t pair_misordered(const struct pair *p, unsigned to);
struct rte_mempool *eal_pool(void);
