/* SPDX-License-Identifier: BSD-3-Clause */
#include "swarm.h"

/* ---- sites and links ---- */

struct lode_link_config scenario_link(struct scenario *c, struct lode_rng *rng)
{
	struct lode_link_config l = {.rate_bps = 3000000 + lode_rng_below(rng, 15000000),
		.delay_ns = MS + lode_rng_below(rng, 60 * MS),
		.queue_pkts = 20 + below(rng, 300)};
	if (below(rng, 3) == 0)
		l.jitter_ns = lode_rng_below(rng, LODE_MIN(l.delay_ns, 20 * MS));
	if (below(rng, 4) == 0)
		l.aqm = LODE_LINK_CODEL;
	return l;
}

static const struct lode_link_config clean_link = {
	.rate_bps = 40000000, .delay_ns = 12 * MS, .queue_pkts = 1000};

void scenario_draw(struct scenario *c)
{
	struct lode_rng *rng = &c->rng;
	lode_rng_seed(rng, c->spec->seed);
	c->until_ns = c->spec->seconds * S;
	c->sheltered = below(rng, 6) == 0;
	c->lanes_yaml = lode_mix64(c->spec->seed) & 1 ? "tunnel: {lanes_open_load: 0}\n" : "";
	c->params = (struct lode_sim_params){.seed = c->spec->seed,
		.topology = (enum lode_sim_topology)below(rng, 3),
		.n_sites = 2 + below(rng, SITES_MAX - 1),
		.n_wan_ports = (c->sheltered ? 2 : 1) + below(rng, c->sheltered ? 3 : 4),
		.n_workers = 1,
		.aead = below(rng, 8) ? "null" : "auto",
		.yaml = c->lanes_yaml,
		.n_mbufs = 16384,
		.n_flow_entries = 1024};
	uint64_t rekey_ns = 5 * S + lode_rng_below(rng, 40 * S);
	if (c->spec->kinds & 1u << LODE_SWARM_REKEY && below(rng, 2)) {
		c->params.rekey_ns = rekey_ns;
		c->result->kind_faults[LODE_SWARM_REKEY] = c->until_ns / rekey_ns;
	}
	static const uint64_t loops_us[] = {10, 10, 50, 200, 1000};
	c->params.loop_ns = loops_us[below(rng, LODE_ARRAY_LEN(loops_us))] * LODE_NS_PER_US;
	for (unsigned i = 0; i < c->params.n_sites; i++)
		if (below(rng, 4) == 0)
			c->params.lan_mtu[i] = (uint16_t)(1280 + below(rng, 221));
	for (unsigned i = 0; i < c->params.n_sites; i++)
		c->params.site_workers[i] =
			(uint8_t)(1 + below(rng, below(rng, 2) || *c->lanes_yaml ? 4 : 1));
	for (unsigned k = 0; k < c->params.n_wan_ports; k++) {
		struct lode_link_config *l = &c->params.uplink[k];
		*l = scenario_link(c, rng);
		if (c->sheltered && k == 0)
			*l = clean_link;
		if (below(rng, 2) || (c->sheltered && k == 0))
			c->params.up_kbps[k] = (uint32_t)(l->rate_bps / 1000);
		for (unsigned i = 0; i < c->params.n_sites; i++)
			c->links[i][k][LODE_SIM_UP] = *l;
	}
}

/* ---- traffic ---- */

struct traffic {
	enum lode_class cls;
	uint8_t dscp;
	uint16_t least_bytes, most_bytes;
	uint16_t least_pps, most_pps;
};

/* At the least 2050 packets a second, whatever is drawn. */
static const struct traffic traffics[] = {
	{LODE_GAMING, 32, 64, 200, 120, 160}, {LODE_GAMING, 34, 64, 300, 80, 120},
	{LODE_VOIP, 46, 100, 214, 100, 100}, {LODE_VOIP, 46, 100, 214, 100, 100},
	{LODE_VOIP, 40, 80, 120, 200, 220}, {LODE_WEB, 16, 64, 700, 150, 200},
	{LODE_WEB, 18, 64, 300, 250, 300}, {LODE_STREAMING, 26, 200, 1200, 150, 200},
	{LODE_STREAMING, 28, 100, 500, 250, 300}, {LODE_BULK, 8, 100, 500, 250, 300},
	{LODE_BULK, 10, 64, 1500, 150, 200}, {LODE_MANAGEMENT, 0, 80, 400, 100, 120},
	{LODE_N_CLASSES, 0, 64, 400, 150, 200}, /* what classes are made of by behaviour */
};

static int add_flow(struct scenario *c, const struct lode_sim_flow *f, struct lode_err *err)
{
	int idx = lode_sim_add_flow(c->sim, f, err);
	if (idx < 0)
		return idx;
	c->real_time[idx] = f->sure_class == LODE_GAMING + 1 || f->sure_class == LODE_VOIP + 1;
	c->n_flows++;
	return 0;
}

static void draw_ends(struct scenario *c, struct lode_sim_flow *f)
{
	f->src = below(&c->rng, c->params.n_sites);
	f->dst = (f->src + 1 + below(&c->rng, c->params.n_sites - 1)) % c->params.n_sites;
}

static int add_constant(struct scenario *c, const struct traffic *t, struct lode_err *err)
{
	struct lode_rng *rng = &c->rng;
	struct lode_sim_flow f = {.kind = LODE_SIM_CBR,
		.host = t->cls == LODE_MANAGEMENT,
		.dscp = t->dscp,
		.sure_class = t->cls == LODE_N_CLASSES ? 0 : (uint8_t)(t->cls + 1),
		.dport = t->cls == LODE_N_CLASSES ? 40001 : 0,
		.pkt_bytes =
			(uint16_t)(t->least_bytes + below(rng, t->most_bytes - t->least_bytes + 1)),
		.pps = t->least_pps + below(rng, (unsigned)(t->most_pps - t->least_pps + 1)),
		.stop_ns = c->until_ns};
	draw_ends(c, &f);
	f.v6 = below(rng, 3) == 0 && !f.host;
	f.may_fragment = below(rng, 3) == 0 && !f.v6;
	f.ecn = (uint8_t)(below(rng, 2) ? 0 : 1 + below(rng, 2));
	f.start_ns = lode_rng_below(rng, 100 * MS) + (c->sheltered ? 5 * S : 0);
	return add_flow(c, &f, err);
}

/* Some seconds of a transfer. */
static int add_transfer(struct scenario *c, struct lode_err *err)
{
	struct lode_rng *rng = &c->rng;
	static const uint8_t dscps[] = {0, 8, 16, 26};
	static const uint8_t sure[] = {0, LODE_BULK + 1, LODE_WEB + 1, LODE_STREAMING + 1};
	unsigned kind = below(rng, LODE_ARRAY_LEN(dscps));
	struct lode_sim_flow f = {.kind = LODE_SIM_TCP,
		.dscp = dscps[kind],
		.sure_class = sure[kind],
		.v6 = below(rng, 3) == 0,
		.pkt_bytes = (uint16_t)(below(rng, 3) ? 1500 : 600 + below(rng, 901))};
	draw_ends(c, &f);
	f.start_ns = lode_rng_below(rng, c->until_ns);
	f.stop_ns = LODE_MIN(c->until_ns, f.start_ns + S + lode_rng_below(rng, 6 * S));
	return add_flow(c, &f, err);
}

int scenario_add_flows(struct scenario *c, struct lode_err *err)
{
	int rc = 0;
	for (unsigned i = 0; i < LODE_ARRAY_LEN(traffics) && !rc; i++)
		rc = add_constant(c, &traffics[i], err);
	for (unsigned i = 0; i < 6 && !rc; i++)
		rc = add_transfer(c, err);
	return rc;
}

int scenario_add_checks(
	struct scenario *c, uint64_t start_ns, uint64_t stop_ns, struct lode_err *err)
{
	struct lode_sim_flow f = {.kind = LODE_SIM_CBR,
		.dscp = 16,
		.pkt_bytes = 100,
		.pps = 20,
		.start_ns = start_ns,
		.stop_ns = stop_ns};
	c->first_check = c->n_flows;
	for (f.src = 0; f.src < c->params.n_sites; f.src++) {
		for (f.dst = 0; f.dst < c->params.n_sites; f.dst++) {
			int rc = f.src == f.dst ? 0 : add_flow(c, &f, err);
			if (rc)
				return rc;
		}
	}
	return 0;
}
