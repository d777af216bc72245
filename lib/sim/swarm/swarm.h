/* SPDX-License-Identifier: BSD-3-Clause */
/* How the room is divided: scenario.c draws sites, links and traffic; kinds.c knows the faults by name, faults.c
 * puts them in and takes them out again; swarm.c runs it and judges. */
#pragma once

#include "lode_loss.h"
#include "lode_nn.h"
#include "lode_swarm.h"

#define S	   LODE_NS_PER_S
#define MS	   LODE_NS_PER_MS
#define SITES_MAX  4
#define ENDS_MAX   256
#define FLOWS_MAX  64
#define LINK_PORTS (SITES_MAX * LODE_WAN_PORTS_MAX)

/* A fault that goes on: what is to be done at its next step. */
struct going_on {
	uint64_t at_ns;
	enum lode_swarm_kind kind;
	unsigned site, port;
	enum lode_sim_direction direction;
	unsigned steps; /* left */
	uint64_t step_ns;
	unsigned strength;
	struct lode_rng rng;
};

#define N_PREDICTORS 3
struct predictor {
	void *memory;
	struct lode_loss_model model;
};

struct scenario {
	const struct lode_swarm_spec *spec;
	struct lode_rng rng;
	struct lode_sim_params params;
	struct lode_sim *sim;
	/* Nothing happens to WAN port 0 nor to gateways: copies of real-time packets must all come through. */
	bool sheltered;
	const char *
		lanes_yaml; /* part of every configuration: when Bulk and Streaming leave the home lane */
	uint64_t until_ns;
	unsigned n_flows, first_check; /* flows from first_check on: sent when all is mended */
	bool real_time[FLOWS_MAX];
	struct lode_link_config links[SITES_MAX][LODE_WAN_PORTS_MAX]
				     [2]; /* without passing faults */
	unsigned n_going_on;
	struct going_on going_on[ENDS_MAX];
	struct lode_swarm_result *result;
	struct predictor predictors[N_PREDICTORS];
};

static inline unsigned below(struct lode_rng *rng, unsigned n)
{
	return (unsigned)lode_rng_below(rng, n);
}

/* ---- scenario.c ---- */

void scenario_draw(struct scenario *c);
int scenario_add_flows(struct scenario *c, struct lode_err *err);
/* A link of this scenario, without random faults. */
struct lode_link_config scenario_link(struct scenario *c, struct lode_rng *rng);
/* Flows between all pairs of sites, to show that all is well again. */
int scenario_add_checks(
	struct scenario *c, uint64_t start_ns, uint64_t stop_ns, struct lode_err *err);

/* ---- predictors.c ---- */

int predictors_make(struct scenario *c, struct lode_err *err);
void predictors_free(struct scenario *c);

/* ---- kinds.c ---- */

enum lode_swarm_kind kind_draw(struct lode_rng *rng);
/* It befalls gateways, not links: nobody is sheltered from it. */
bool kind_is_of_gateway(enum lode_swarm_kind kind);

/* ---- faults.c ---- */

/* Fault number idx. */
int fault_start(struct scenario *c, unsigned idx, struct lode_err *err);
/* When the next step of one that goes on is due; LODE_NEVER_NS: none. */
uint64_t faults_due_ns(const struct scenario *c);
void faults_step(struct scenario *c);
/* Ends all of them, takes all NATs away and mends all cables. */
void faults_end(struct scenario *c);
