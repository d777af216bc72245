/* SPDX-License-Identifier: BSD-3-Clause */
/* Every fault draws from a generator of its own, so that leaving one out changes no other. */
#include "swarm.h"

#include <math.h>
#include <stdio.h>

/* Between least and most, every order of magnitude as likely. */
static uint64_t draw_time(struct lode_rng *rng, uint64_t least_ns, uint64_t most_ns)
{
	double span = log((double)most_ns / (double)least_ns);
	return (uint64_t)((double)least_ns * exp(span * lode_rng_unit(rng)));
}

/* ---- links ---- */

/* What a passing fault changes. */
static void worsen(struct lode_link_config *l, enum lode_swarm_kind kind, struct lode_rng *rng)
{
	double share = 0.002 + 0.2 * lode_rng_unit(rng) * lode_rng_unit(rng);
	if (kind == LODE_SWARM_LOSS || kind == LODE_SWARM_BURST)
		l->loss = share;
	if (kind == LODE_SWARM_BURST)
		l->burst_pkts = 1.5 + 10 * lode_rng_unit(rng);
	if (kind == LODE_SWARM_REORDER) {
		l->reorder = share;
		l->reorder_ns = draw_time(rng, MS, 100 * MS);
	}
	if (kind == LODE_SWARM_DUPLICATE)
		l->duplicate = share;
	if (kind == LODE_SWARM_CORRUPT)
		l->corrupt = share;
}

/* What stays. */
static void change(struct scenario *c, struct lode_link_config *l, enum lode_swarm_kind kind,
	struct lode_rng *rng)
{
	if (kind == LODE_SWARM_MTU) {
		l->mtu_bytes = below(rng, 3) ? 1280 + below(rng, 221) : 0;
	} else {
		struct lode_link_config other = scenario_link(c, rng);
		other.mtu_bytes = l->mtu_bytes;
		*l = other;
	}
}

static void set_link(const struct scenario *c, const struct going_on *g)
{
	lode_sim_set_link(
		c->sim, g->site, g->port, g->direction, &c->links[g->site][g->port][g->direction]);
}

static void set_remark(const struct scenario *c, const struct going_on *g, struct lode_rng *rng)
{
	const struct lode_sim_remark remark = {.active = true,
		.bleach = below(rng, 4) == 0,
		/* Such a packet is dropped where it arrives first (RFC 6040), its copy as a duplicate. */
		.mark_all = below(rng, 4) == 0 && !c->sheltered,
		.ce_share = lode_rng_unit(rng) * lode_rng_unit(rng),
		.dscp = (int8_t)(below(rng, 3) ? -1 : (int)below(rng, 64))};
	lode_sim_set_remark(c->sim, g->site, g->port, &remark);
}

static void put_nat(struct scenario *c, const struct going_on *g, struct lode_rng *rng)
{
	if (g->kind == LODE_SWARM_NAT)
		lode_sim_set_nat(c->sim, g->site, g->port, below(rng, 4));
	else
		lode_sim_set_cgnat(c->sim, g->site, g->port,
			below(rng, 4) ? draw_time(rng, 100 * MS, 60 * S) : 0);
}

/* ---- gateways ---- */

/* Other rules, and other promises of up to three classes. */
static void draw_yaml(struct lode_rng *rng, FILE *f)
{
	static const char *const values[] = {"links: [net0]", "prefer: listed", "prefer: learned",
		"copies: 2", "copies: 3", "queue_limit_ms: 40", "reorder_limit_ms: 20",
		"codel_target_ms: 3", "outer_dscp: 10", "repair: off", "repair: nack",
		"repair: auto, deadline_ms: 60", "repair: auto, parity_percent: 5",
		"repair: auto, residual_percent: 0.001", "repair: fixed",
		"repair: fixed, fec_sources: 20"};
	static const char *const algorithms[] = {"value", "ucb1", "linucb", "round-robin"};
	unsigned first = below(rng, LODE_N_CLASSES);
	if (below(rng, 3) == 0)
		fprintf(f, "rules: [{name: a, class: %s, protocol: udp, dport: 40001}]\n",
			lode_class_name((enum lode_class)below(
				rng, LODE_MANAGEMENT))); /* is for lode0 only */
	if (below(rng, 3) == 0)
		fprintf(f, "selector: {algorithm: %s}\n",
			algorithms[below(rng, LODE_ARRAY_LEN(algorithms))]);
	fputs("classes:\n", f);
	for (unsigned i = 0; i < 1 + below(rng, 3); i++)
		fprintf(f, "  %s: {%s}\n",
			lode_class_name((enum lode_class)((first + i) % LODE_N_CLASSES)),
			values[below(rng, LODE_ARRAY_LEN(values))]);
}

static int reconfigure(
	struct scenario *c, unsigned site, struct lode_rng *rng, struct lode_err *err)
{
	char text[1024] = "";
	FILE *f = fmemopen(text, sizeof(text), "w");
	if (!f)
		return lode_err_set(err, -ENOMEM, "swarm: no memory");
	if (below(rng, 4))
		fputs(c->lanes_yaml, f);
	else
		fprintf(f, "tunnel: {lanes_open_load: %u}\n", below(rng, 2) * 100);
	if (below(rng, 5)) /* else as it was at the start */
		draw_yaml(rng, f);
	fclose(f);
	return lode_sim_reconfigure(c->sim, site, text, err);
}

/* other: LODE_SIM_NOBODY to have all back. */
static int dismiss(struct scenario *c, unsigned site, unsigned other, struct lode_err *err)
{
	lode_sim_dismiss(c->sim, site, other);
	return lode_sim_reconfigure(c->sim, site, c->lanes_yaml, err);
}

static void change_model(struct scenario *c, unsigned site, struct lode_rng *rng)
{
	unsigned which = below(rng, N_PREDICTORS + 1);
	lode_control_set_loss_model(lode_sim_control(c->sim, site),
		which < N_PREDICTORS ? &c->predictors[which].model : NULL);
}

/* All lcores of a gateway, or a single one: the others go on. */
static void stall(struct scenario *c, const struct going_on *g, struct lode_rng *rng)
{
	bool all = below(rng, 2);
	unsigned lcore = below(rng, 1u + c->params.site_workers[g->site]);
	uint64_t for_ns = draw_time(rng, MS, all ? 500 * MS : 4 * S);
	lode_sim_stall(
		c->sim, g->site, all ? LODE_SIM_ALL_LCORES : lcore, lode_sim_now(c->sim) + for_ns);
}

/* Which of its workers, follows from the port. */
static struct lode_worker *loaded_worker(const struct scenario *c, const struct going_on *g)
{
	return lode_sim_worker(c->sim, g->site, g->port % c->params.site_workers[g->site]);
}

static void load(const struct scenario *c, const struct going_on *g, struct lode_rng *rng)
{
	const struct lode_trace_filter all = {0};
	lode_worker_trace(loaded_worker(c, g), &all, below(rng, 300));
	lode_worker_set_load(loaded_worker(c, g), 300 + below(rng, 701));
}

static void refuse(struct scenario *c, struct going_on *g, struct lode_rng *rng)
{
	unsigned which = below(rng, c->params.n_wan_ports + 2);
	g->port = which <= c->params.n_wan_ports ? which
						 : LODE_HOST_PORT; /* as in the configuration */
	lode_sim_limit_tx(c->sim, g->site, g->port, below(rng, 4));
}

/* ---- strangers ---- */

static void inject_garbage(struct scenario *c, const struct going_on *g, struct lode_rng *rng)
{
	uint8_t frame[256];
	for (unsigned i = 0; i < sizeof(frame); i++)
		frame[i] = (uint8_t)lode_rng_u64(rng);
	lode_sim_inject(c->sim, g->site, g->port, frame, 14 + below(rng, sizeof(frame) - 14));
}

static void attack(struct scenario *c, struct going_on *g)
{
	for (unsigned i = 0; i < g->strength; i++) {
		unsigned kind = g->kind == LODE_SWARM_FLOOD ? LODE_SIM_FLOOD
							    : below(&g->rng, LODE_SIM_N_ATTACKS);
		lode_sim_attack(c->sim, (enum lode_sim_attack)kind, &g->rng);
	}
}

static void stray(struct scenario *c, struct going_on *g)
{
	for (unsigned i = 0; i < g->strength; i++)
		lode_sim_stray(c->sim, g->site, &g->rng);
}

/* ---- what goes on ---- */

static void go_on(struct scenario *c, const struct going_on *g)
{
	if (c->n_going_on == ENDS_MAX)
		return;
	c->going_on[c->n_going_on++] = *g;
}

/* The next step of a fault. False: that was the last one. */
static bool step(struct scenario *c, struct going_on *g)
{
	switch (g->kind) {
	case LODE_SWARM_FLAP:
		lode_sim_cut(c->sim, g->site, g->port, --g->steps % 2);
		return g->steps > 0;
	case LODE_SWARM_HOSTILE:
	case LODE_SWARM_FLOOD:
		attack(c, g);
		return --g->steps > 0;
	case LODE_SWARM_STRAY:
		stray(c, g);
		return --g->steps > 0;
	case LODE_SWARM_CARRIER:
		lode_sim_set_carrier(c->sim, g->site, g->port, true);
		return false;
	case LODE_SWARM_LOAD:
		lode_worker_set_load(loaded_worker(c, g), 0);
		return false;
	case LODE_SWARM_REMARK:
		lode_sim_set_remark(c->sim, g->site, g->port, &(struct lode_sim_remark){0});
		return false;
	case LODE_SWARM_DISMISS:
		dismiss(c, g->site, LODE_SIM_NOBODY, NULL);
		return false;
	case LODE_SWARM_POOL:
		lode_sim_take_buffers(c->sim, UINT32_MAX);
		return false;
	case LODE_SWARM_REFUSAL:
		lode_sim_limit_tx(c->sim, g->site, g->port, UINT32_MAX);
		return false;
	default:
		set_link(c, g);
		return false;
	}
}

uint64_t faults_due_ns(const struct scenario *c)
{
	uint64_t due_ns = LODE_NEVER_NS;
	for (unsigned i = 0; i < c->n_going_on; i++)
		due_ns = LODE_MIN(due_ns, c->going_on[i].at_ns);
	return due_ns;
}

void faults_step(struct scenario *c)
{
	uint64_t now_ns = lode_sim_now(c->sim);
	for (unsigned i = 0; i < c->n_going_on;) {
		struct going_on *g = &c->going_on[i];
		if (g->at_ns > now_ns)
			i++;
		else if (step(c, g))
			g->at_ns = now_ns + g->step_ns;
		else
			*g = c->going_on[--c->n_going_on];
	}
}

void faults_end(struct scenario *c)
{
	for (unsigned i = 0; i < c->n_going_on; i++)
		if (c->going_on[i].kind == LODE_SWARM_DISMISS ||
			c->going_on[i].kind == LODE_SWARM_LOAD)
			step(c, &c->going_on[i]);
	c->n_going_on = 0;
	lode_sim_take_buffers(c->sim, UINT32_MAX);
	for (unsigned i = 0; i < c->params.n_sites; i++) {
		struct going_on g = {.site = i};
		for (unsigned p = 0; p < LODE_ALL_PORTS; p++)
			lode_sim_limit_tx(c->sim, i, p, UINT32_MAX);
		for (unsigned p = 0; p <= c->params.n_wan_ports; p++)
			lode_sim_set_carrier(c->sim, i, p, true);
		for (g.port = 0; g.port < c->params.n_wan_ports; g.port++) {
			lode_sim_cut(c->sim, i, g.port, false);
			lode_sim_set_nat(c->sim, i, g.port, 0);
			lode_sim_set_remark(c->sim, i, g.port, &(struct lode_sim_remark){0});
			for (unsigned d = 0; d < 2; d++) {
				g.direction = (enum lode_sim_direction)d;
				set_link(c, &g);
			}
		}
	}
}

/* ---- how each begins ---- */

static int start(struct scenario *c, struct going_on *g, struct lode_rng *rng, struct lode_err *err)
{
	struct lode_link_config *link = &c->links[g->site][g->port][g->direction], worse = *link;
	g->steps = 1;
	g->step_ns = draw_time(rng, 30 * MS, 4 * S);
	g->rng = *rng;
	switch (g->kind) {
	case LODE_SWARM_LINK:
	case LODE_SWARM_MTU:
		change(c, link, g->kind, rng);
		set_link(c, g);
		return 0;
	case LODE_SWARM_NAT:
	case LODE_SWARM_CGNAT:
		put_nat(c, g, rng);
		return 0;
	case LODE_SWARM_RESTART:
		return lode_sim_restart(c->sim, g->site, err);
	case LODE_SWARM_CLOCK:
		lode_sim_jump_clock(c->sim, g->site, draw_time(rng, MS, 200 * S));
		return 0;
	case LODE_SWARM_STALL:
		stall(c, g, rng);
		return 0;
	case LODE_SWARM_GARBAGE:
		inject_garbage(c, g, rng);
		return 0;
	case LODE_SWARM_RECONFIGURE:
		return reconfigure(c, g->site, rng, err);
	case LODE_SWARM_MODEL:
		change_model(c, g->site, rng);
		return 0;
	case LODE_SWARM_FLAP:
		g->steps = 1 + 2 * below(rng, 4);
		g->step_ns /= g->steps;
		lode_sim_cut(c->sim, g->site, g->port, true);
		break;
	case LODE_SWARM_POOL:
		g->step_ns = draw_time(rng, 10 * MS, S);
		lode_sim_take_buffers(c->sim, below(rng, 300));
		break;
	case LODE_SWARM_REFUSAL:
		g->step_ns = draw_time(rng, MS, 2 * S);
		refuse(c, g, rng);
		break;
	case LODE_SWARM_CARRIER:
		g->port = below(rng, c->params.n_wan_ports + 1); /* as in the configuration */
		lode_sim_set_carrier(c->sim, g->site, g->port, false);
		break;
	case LODE_SWARM_REMARK:
		set_remark(c, g, rng);
		break;
	case LODE_SWARM_LOAD:
		load(c, g, rng);
		break;
	case LODE_SWARM_DISMISS:
		if (dismiss(c, g->site, below(rng, c->params.n_sites), err))
			return err->code;
		break;
	case LODE_SWARM_HOSTILE:
	case LODE_SWARM_FLOOD:
	case LODE_SWARM_STRAY:
		g->steps = 20 + below(rng, 60);
		g->step_ns = 10 * MS;
		g->strength = 1 + below(rng, 10);
		break;
	default:
		worsen(&worse, g->kind, rng);
		lode_sim_set_link(c->sim, g->site, g->port, g->direction, &worse);
	}
	g->at_ns = lode_sim_now(c->sim) + g->step_ns;
	go_on(c, g);
	return 0;
}

int fault_start(struct scenario *c, unsigned idx, struct lode_err *err)
{
	struct lode_rng rng;
	lode_rng_seed(&rng, lode_mix64(c->spec->seed) + idx);
	struct going_on g = {.kind = kind_draw(&rng),
		.site = below(&rng, c->params.n_sites),
		.port = below(&rng, c->params.n_wan_ports),
		.direction = below(&rng, 3) ? LODE_SIM_UP : LODE_SIM_DOWN};
	if (c->sheltered && (g.port == 0 || kind_is_of_gateway(g.kind)))
		return 0;
	bool left_out = c->spec->without[idx / 64] >> idx % 64 & 1;
	if (left_out || !(c->spec->kinds & 1u << g.kind))
		return 0;
	c->result->kind_faults[g.kind]++;
	return start(c, &g, &rng, err);
}
