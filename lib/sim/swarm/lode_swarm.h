/* SPDX-License-Identifier: BSD-3-Clause */
/* sim/swarm: one scenario from one seed: sites, links, traffic of all classes, and a fault of some kind every
 * second or so; afterwards everything is mended and must work again. A run either holds every promise of
 * docs/simulator.md or says which one broke. Same spec, same digest. One thread, the EAL's main one. */
#pragma once

#include "lode_base.h"
#include "lode_sim.h"

enum lode_swarm_kind {
	LODE_SWARM_LOSS,
	LODE_SWARM_BURST, /* Gilbert-Elliott */
	LODE_SWARM_REORDER,
	LODE_SWARM_DUPLICATE,
	LODE_SWARM_CORRUPT,
	LODE_SWARM_LINK, /* another rate, delay, jitter, queue */
	LODE_SWARM_FLAP,
	LODE_SWARM_REMARK, /* a router marks, clears or changes DSCP and ECN */
	LODE_SWARM_MTU,
	LODE_SWARM_NAT,
	LODE_SWARM_CGNAT,
	LODE_SWARM_RESTART,
	LODE_SWARM_REKEY, /* keys are renewed every few seconds, for the whole run */
	LODE_SWARM_CLOCK,
	LODE_SWARM_STALL,
	LODE_SWARM_CARRIER, /* a port is down, and says so */
	LODE_SWARM_LOAD,    /* a worker is told that its lcore is busy; somebody traces */
	LODE_SWARM_POOL,
	LODE_SWARM_REFUSAL,
	LODE_SWARM_HOSTILE,
	LODE_SWARM_FLOOD,
	LODE_SWARM_GARBAGE,
	LODE_SWARM_STRAY, /* frames on LANs that belong to no flow */
	LODE_SWARM_RECONFIGURE,
	LODE_SWARM_DISMISS, /* a configuration without one of the peers, for some seconds */
	LODE_SWARM_MODEL,   /* another loss predictor, or none any more */
	LODE_SWARM_N_KINDS,
};
#define LODE_SWARM_ALL_KINDS ((1u << LODE_SWARM_N_KINDS) - 1)
const char *lode_swarm_kind_name(enum lode_swarm_kind kind);

#define LODE_SWARM_FAULTS_MAX 512

struct lode_swarm_spec {
	uint64_t seed;
	uint32_t seconds; /* with traffic and faults */
	uint32_t kinds;	  /* mask: faults of other kinds are left out, all else stays the same */
	/* Faults left out, by their number in the scenario: a bit each. */
	uint64_t without[LODE_SWARM_FAULTS_MAX / 64];
	enum lode_sim_sabotage sabotage; /* to see that it is found */
};

/* Plain bytes: travels through pipes. */
struct lode_swarm_result {
	uint64_t digest;
	double virtual_s;
	uint64_t sent_pkts, lan_pkts, wan_pkts; /* by hosts; on LANs; on WANs */
	uint64_t further_pkts;			/* of those on WANs: data on further lanes */
	uint64_t n_faults;			/* of the scenario, those left out included */
	uint64_t kind_faults[LODE_SWARM_N_KINDS];
	struct lode_sim_totals totals;
};

/* 0; -EBADMSG: err says which promise broke; other -errno: the scenario could not be run. */
int lode_swarm_run(
	const struct lode_swarm_spec *spec, struct lode_swarm_result *out, struct lode_err *err);
