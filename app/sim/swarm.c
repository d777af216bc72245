/* SPDX-License-Identifier: BSD-3-Clause */
/* A seed decides everything: sites, links, traffic, and a fault every so often. What must hold whatever happens:
 * nothing altered, nothing delivered twice or to the wrong host, no packet buffer lost, the same bytes again in a
 * second run. */
#include "swarm.h"

#include "lode_sim.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#define S	      LODE_NS_PER_S
#define MS	      LODE_NS_PER_MS
#define FAULT_MEAN_NS (1.5 * S)
#define SETTLE_NS     (2 * S) /* after the last packet: what is still on its way arrives */

struct scenario {
	struct lode_rng rng;
	struct lode_sim_params params;
	struct lode_sim *sim;
	unsigned n_flows;
	uint64_t until_ns;
};

static double unit(struct scenario *c)
{
	return lode_rng_unit(&c->rng);
}

static unsigned below(struct scenario *c, unsigned n)
{
	return (unsigned)lode_rng_below(&c->rng, n);
}

static struct lode_link_config random_link(struct scenario *c)
{
	struct lode_link_config l = {.rate_bps = 2000000 + lode_rng_below(&c->rng, 60000000),
		.delay_ns = MS + lode_rng_below(&c->rng, 80 * MS),
		.queue_pkts = 20 + below(c, 500)};
	if (below(c, 2))
		l.loss = 0.05 * unit(c);
	if (below(c, 3) == 0 && l.loss > 0)
		l.burst_pkts = 1.5 + 6 * unit(c);
	if (below(c, 3) == 0)
		l.jitter_ns = lode_rng_below(&c->rng, LODE_MIN(l.delay_ns, 20 * MS));
	if (below(c, 4) == 0)
		l.reorder = 0.05 * unit(c);
	if (below(c, 4) == 0)
		l.duplicate = 0.05 * unit(c);
	if (below(c, 4) == 0)
		l.corrupt = 0.02 * unit(c);
	if (below(c, 6) == 0)
		l.mtu_bytes = 1280 + below(c, 221);
	return l;
}

static void random_params(struct scenario *c, uint64_t seed)
{
	c->params = (struct lode_sim_params){.seed = seed,
		.topology = below(c, 3),
		.n_sites = 2 + below(c, 3),
		.n_wan_ports = 1 + below(c, 4),
		.n_workers = 1 + below(c, 3),
		.aead = "null",
		.n_mbufs = 65536,
		.n_flow_entries = 1024};
	for (unsigned k = 0; k < c->params.n_wan_ports; k++) {
		c->params.uplink[k] = random_link(c);
		if (below(c, 2))
			c->params.up_kbps[k] = (uint32_t)(c->params.uplink[k].rate_bps / 1000);
	}
}

static int random_flows(struct scenario *c, struct lode_err *err)
{
	static const uint8_t dscps[] = {0, 46, 32, 26, 8};
	for (unsigned i = 0; i < 12; i++) {
		unsigned src = below(c, c->params.n_sites);
		struct lode_sim_flow f = {.kind = i < 3 ? LODE_SIM_TCP : LODE_SIM_CBR,
			.src = src,
			.dst = (src + 1 + below(c, c->params.n_sites - 1)) % c->params.n_sites,
			.v6 = below(c, 3) == 0,
			.dscp = dscps[below(c, LODE_ARRAY_LEN(dscps))],
			.pkt_bytes = (uint16_t)(i < 3 ? 1500 : 100 + below(c, 1401)),
			.pps = 20 + below(c, 200),
			.start_ns = lode_rng_below(&c->rng, 3 * S),
			.stop_ns = c->until_ns};
		if (lode_sim_add_flow(c->sim, &f, err) < 0)
			return err->code;
		c->n_flows++;
	}
	return 0;
}

static void inject_garbage(struct scenario *c, unsigned site, unsigned port)
{
	uint8_t frame[256];
	for (unsigned i = 0; i < sizeof(frame); i++)
		frame[i] = (uint8_t)lode_rng_u64(&c->rng);
	lode_sim_inject(c->sim, site, port, frame, 14 + below(c, sizeof(frame) - 14));
}

static int random_fault(struct scenario *c, struct lode_err *err)
{
	static const char *const yaml[] = {"", "classes: {voip: {copies: 1}, bulk: {copies: 2}}\n",
		"rules: [{name: a, class: gaming, protocol: udp, dport: 40000}]\n",
		"classes: {web: {links: [net0]}, bulk: {codel_target_ms: 3}}\n"};
	unsigned site = below(c, c->params.n_sites), port = below(c, c->params.n_wan_ports);
	struct lode_link_config link = random_link(c);
	switch (below(c, 8)) {
	case 0:
		lode_sim_cut(c->sim, site, port, true);
		return 0;
	case 1:
	case 2: /* mended twice as often as cut */
		lode_sim_cut(c->sim, site, port, false);
		return 0;
	case 3:
		lode_sim_set_link(c->sim, site, port, LODE_SIM_UP, &link);
		return 0;
	case 4:
		lode_sim_set_nat(c->sim, site, port, below(c, 4));
		return 0;
	case 5:
		return lode_sim_reconfigure(
			c->sim, site, yaml[below(c, LODE_ARRAY_LEN(yaml))], err);
	case 6:
		inject_garbage(c, site, port);
		return 0;
	default:
		return below(c, 4) ? 0 : lode_sim_restart(c->sim, site, err);
	}
}

static int violation(const struct scenario *c, struct lode_err *err)
{
	const struct lode_sim_stats *st = lode_sim_stats(c->sim);
	for (unsigned i = 0; i < c->n_flows; i++) {
		const struct lode_sim_flow_stats *f = lode_sim_flow_stats(c->sim, i);
		if (f->altered_pkts)
			return lode_err_set(err, -EIO, "flow %u: %llu packets altered", i,
				(unsigned long long)f->altered_pkts);
		if (f->latency_us.n && f->duplicate_pkts) /* TCP resends by itself */
			return lode_err_set(err, -EIO, "flow %u: %llu packets delivered twice", i,
				(unsigned long long)f->duplicate_pkts);
	}
	if (st->misdelivered_pkts || st->log_errors)
		return lode_err_set(err, -EIO, "%llu packets to wrong hosts, %llu errors logged",
			(unsigned long long)st->misdelivered_pkts,
			(unsigned long long)st->log_errors);
	lode_sim_flush(c->sim);
	if (lode_sim_mbufs_in_use(c->sim))
		return lode_err_set(err, -EIO, "%u packet buffers did not come back",
			lode_sim_mbufs_in_use(c->sim));
	return 0;
}

static int run_scenario(uint64_t seed, uint64_t until_ns, uint64_t *digest, struct lode_err *err)
{
	struct scenario c = {.until_ns = until_ns};
	lode_rng_seed(&c.rng, seed);
	random_params(&c, seed);
	c.sim = lode_sim_new(&c.params, err);
	if (!c.sim)
		return err->code;
	int rc = random_flows(&c, err);
	uint64_t t = 0;
	while (!rc && t < until_ns) {
		t += (uint64_t)lode_rng_exponential(&c.rng, (double)FAULT_MEAN_NS);
		lode_sim_run(c.sim, LODE_MIN(t, until_ns));
		rc = random_fault(&c, err);
	}
	if (!rc)
		lode_sim_run(c.sim, until_ns + SETTLE_NS);
	*digest = lode_sim_digest(c.sim);
	rc = rc ? rc : violation(&c, err);
	lode_sim_free(c.sim);
	return rc;
}

static int run_seed(uint64_t seed, uint64_t until_ns, struct lode_err *err)
{
	uint64_t first, again;
	int rc = run_scenario(seed, until_ns, &first, err);
	rc = rc ? rc : run_scenario(seed, until_ns, &again, err);
	if (!rc && first != again)
		rc = lode_err_set(err, -EIO, "digests %016llx and %016llx",
			(unsigned long long)first, (unsigned long long)again);
	return rc;
}

int swarm_command(int argc, char **argv)
{
	static const struct option options[] = {{"seed", required_argument, NULL, 's'},
		{"seeds", required_argument, NULL, 'n'}, {"seconds", required_argument, NULL, 't'},
		{0}};
	uint64_t first = 1, n = 1, seconds = 60, n_bad = 0;
	struct lode_err err;
	for (int key; (key = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (key == '?')
			return 1;
		*(key == 's' ? &first : key == 'n' ? &n : &seconds) = strtoull(optarg, NULL, 0);
	}
	if (lode_sim_eal_init(768, &err)) {
		fprintf(stderr, "lodestone-sim: %s\n", err.msg);
		return 1;
	}
	for (uint64_t seed = first; seed < first + n; seed++) {
		if (run_seed(seed, seconds * S, &err) == 0)
			continue;
		n_bad++;
		printf("seed %llu: %s\n  lodestone-sim swarm --seed %llu --seconds %llu\n",
			(unsigned long long)seed, err.msg, (unsigned long long)seed,
			(unsigned long long)seconds);
	}
	printf("%llu seeds of %llu s, each twice: %llu violations\n", (unsigned long long)n,
		(unsigned long long)seconds, (unsigned long long)n_bad);
	return n_bad ? 1 : 0;
}
