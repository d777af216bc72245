/* SPDX-License-Identifier: BSD-3-Clause */
/* The loop: jump to whoever is due next. */
#include "sim.h"

#include "lode_lane.h"
#include "lode_noise.h"

#include <rte_errno.h>
#include <stdio.h>
#include <stdlib.h>

#define LOOP_DEFAULT_NS (10 * LODE_NS_PER_US)
#define CLOCK_SPREAD_NS (1000 * LODE_NS_PER_S) /* clocks of sites differ by up to that */

static uint64_t digest_step(uint64_t h, uint64_t word)
{
	return (h ^ word) * 0x9e3779b97f4a7c15ull ^ h >> 29;
}

/* Eight bytes at a time, in two chains for speed; order and place matter. */
void digest_add(struct lode_sim *s, uint64_t where, const void *bytes, size_t len)
{
	uint64_t a = s->digest ^ lode_mix64(s->now_ns ^ where << 56 ^ (uint64_t)len << 40), b = ~a;
	const uint8_t *p = bytes;
	for (; len >= 16; p += 16, len -= 16) {
		a = digest_step(a, lode_load_le64(p));
		b = digest_step(b, lode_load_le64(p + 8));
	}
	for (; len; p++, len--)
		a = digest_step(a, *p);
	s->digest = lode_mix64(a + lode_mix64(b));
}

/* ---- life ---- */

static int check_params(const struct lode_sim_params *p, struct lode_err *err)
{
	if (p->n_sites < 2 || p->n_sites > LODE_SIM_SITES_MAX)
		return lode_err_set(err, -EINVAL, "sim: sites: 2..%u, found %u", LODE_SIM_SITES_MAX,
			p->n_sites);
	if (p->n_wan_ports < 1 || p->n_wan_ports > LODE_WAN_PORTS_MAX)
		return lode_err_set(err, -EINVAL, "sim: WAN ports: 1..%u, found %u",
			LODE_WAN_PORTS_MAX, p->n_wan_ports);
	if (p->n_workers < 1 || p->n_workers > LODE_WORKERS_MAX)
		return lode_err_set(err, -EINVAL, "sim: workers: 1..%u, found %u", LODE_WORKERS_MAX,
			p->n_workers);
	for (unsigned i = 0; i < p->n_sites; i++)
		if (p->site_workers[i] > LODE_WORKERS_MAX)
			return lode_err_set(err, -EINVAL, "sim: site %u: workers: 0..%u, found %u",
				i, LODE_WORKERS_MAX, p->site_workers[i]);
	return 0;
}

static int make_pool(struct lode_sim *s, struct lode_err *err)
{
	char name[RTE_MEMPOOL_NAMESIZE];
	snprintf(name, sizeof(name), "sim%p", (void *)s);
	s->pool = rte_pktmbuf_pool_create(name, s->params.n_mbufs, 256, sizeof(struct lode_pkt),
		RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	if (!s->pool)
		return lode_err_set(err, -rte_errno, "sim: no memory for %u packet buffers: %s",
			s->params.n_mbufs, rte_strerror(rte_errno));
	return 0;
}

static void init_site(struct lode_sim *s, unsigned idx)
{
	struct site *site = &s->sites[idx];
	site->sim = s;
	site->idx = idx;
	site->dismissed = LODE_SIM_NOBODY;
	site->n_workers =
		s->params.site_workers[idx] ? s->params.site_workers[idx] : s->params.n_workers;
	memset(site->tx_limit, 0xff, sizeof(site->tx_limit));
	snprintf(site->name, sizeof(site->name), "site%u", idx);
	lode_rng_seed(&site->rng, lode_mix64(s->params.seed + 1) + idx);
	site->clock_ns = LODE_NS_PER_S + lode_rng_below(&site->rng, CLOCK_SPREAD_NS);
	for (unsigned i = 0; i < sizeof(site->private_key); i++)
		site->private_key[i] = (uint8_t)lode_rng_u64(&site->rng);
	lode_noise_public_key(site->private_key, site->public_key);
}

struct lode_sim *lode_sim_new(const struct lode_sim_params *params, struct lode_err *err)
{
	if (check_params(params, err))
		return NULL;
	struct lode_sim *s = calloc(1, sizeof(*s));
	if (!s) {
		lode_err_set(err, -ENOMEM, "sim: no memory");
		return NULL;
	}
	s->params = *params;
	s->params.loop_ns = params->loop_ns ? params->loop_ns : LOOP_DEFAULT_NS;
	s->digest = params->seed;
	int rc = timeline_init(&s->timeline, N_DUE);
	s->captures = calloc(1, sizeof(*s->captures));
	s->taken = calloc(params->n_mbufs, sizeof(*s->taken));
	s->aead = rc || !s->captures || !s->taken ? NULL : lode_aead_new(params->aead, err);
	if (!s->aead || make_pool(s, err)) {
		lode_sim_free(s);
		return NULL;
	}
	for (unsigned k = 0; k < LODE_WAN_PORTS_MAX; k++)
		lode_rng_seed(&s->cgnats[k].rng, lode_mix64(params->seed + 2) + k);
	for (unsigned i = 0; i < params->n_sites; i++)
		init_site(s, i);
	for (unsigned i = 0; i < params->n_sites && !rc; i++) {
		rc = cables_make(&s->sites[i], err);
		rc = rc ? rc : site_start(&s->sites[i], err);
	}
	if (rc) {
		lode_sim_free(s);
		return NULL;
	}
	return s;
}

void lode_sim_flush(struct lode_sim *s)
{
	for (unsigned i = 0; i < s->params.n_sites; i++) {
		if (s->sites[i].shared)
			site_stop(&s->sites[i]);
		cables_free(&s->sites[i]);
	}
	lode_sim_take_buffers(s, UINT32_MAX);
	sabotage_flush(s);
}

void lode_sim_free(struct lode_sim *s)
{
	if (!s)
		return;
	if (s->taken)
		lode_sim_flush(s);
	for (unsigned i = 0; i < s->n_flows; i++) {
		tcp_free(s->flows[i]);
		free(s->flows[i]->cbr.seen);
		free(s->flows[i]);
	}
	rte_mempool_free(s->pool);
	if (s->aead)
		lode_aead_free(s->aead);
	timeline_fini(&s->timeline);
	free(s->captures);
	free(s->taken);
	free(s);
}

/* ---- the loop ---- */

/* Its turn comes when the stall is over. */
static bool waits(const struct site *site, unsigned lcore, uint32_t thing)
{
	if (!site_is_stalled(site, lcore))
		return false;
	timeline_set(&site->sim->timeline, thing, site->stalled_until_ns[lcore]);
	return true;
}

/* One thing is due; what it did to gateways is worked off at the same time. */
static void handle(struct lode_sim *s, uint32_t thing)
{
	if (thing < LODE_SIM_SITES_MAX) {
		if (!waits(&s->sites[thing], 0, thing))
			site_poll_control(&s->sites[thing]);
		return;
	}
	uint32_t due = thing;
	thing -= LODE_SIM_SITES_MAX;
	if (thing < LODE_SIM_SITES_MAX * LODE_WORKERS_MAX) {
		struct site *site = &s->sites[thing / LODE_WORKERS_MAX];
		if (!waits(site, 1 + thing % LODE_WORKERS_MAX, due))
			site_step(site, thing % LODE_WORKERS_MAX);
		return;
	}
	thing -= LODE_SIM_SITES_MAX * LODE_WORKERS_MAX;
	if (thing < LODE_SIM_SITES_MAX * LODE_WAN_PORTS_MAX * 2) {
		unsigned site = thing / 2 / LODE_WAN_PORTS_MAX;
		link_due(s, site, thing / 2 % LODE_WAN_PORTS_MAX, thing % 2);
		return;
	}
	struct flow *f = s->flows[thing - LODE_SIM_SITES_MAX * LODE_WAN_PORTS_MAX * 2];
	if (f->params.kind == LODE_SIM_CBR)
		cbr_due(s, f);
	else
		tcp_due(s, f);
}

void lode_sim_run(struct lode_sim *s, uint64_t until_ns)
{
	while (timeline_first_ns(&s->timeline) <= until_ns) {
		s->now_ns = LODE_MAX(s->now_ns, timeline_first_ns(&s->timeline));
		s->stats.n_events++;
		handle(s, timeline_first(&s->timeline));
	}
	s->now_ns = LODE_MAX(s->now_ns, until_ns);
}

uint64_t lode_sim_now(const struct lode_sim *s)
{
	return s->now_ns;
}

uint64_t lode_sim_site_now(const struct lode_sim *s, unsigned site)
{
	return site_now(&s->sites[site]);
}

uint64_t lode_sim_digest(const struct lode_sim *s)
{
	return s->digest;
}

/* ---- flows ---- */

static int check_flow(const struct lode_sim *s, const struct lode_sim_flow *f, struct lode_err *err)
{
	if (s->n_flows == LODE_SIM_FLOWS_MAX)
		return lode_err_set(err, -ENOSPC, "sim: no more than %u flows", LODE_SIM_FLOWS_MAX);
	if (f->src >= s->params.n_sites || f->dst >= s->params.n_sites || f->src == f->dst)
		return lode_err_set(err, -EINVAL, "sim: flow from site %u to site %u of %u", f->src,
			f->dst, s->params.n_sites);
	if (f->host && (f->kind != LODE_SIM_CBR || f->v6))
		return lode_err_set(
			err, -EINVAL, "sim: flows over lode0 are IPv4 at a constant rate");
	if (f->ecn && f->kind == LODE_SIM_TCP)
		return lode_err_set(err, -EINVAL, "sim: transfers know nothing of ECN");
	if (f->pkt_bytes < 64 || f->pkt_bytes > 1500 || (f->kind == LODE_SIM_CBR && f->pps == 0))
		return lode_err_set(err, -EINVAL,
			"sim: flow of %u packets/s of %u bytes; allowed are 64..1500 bytes, and at "
			"least "
			"one packet a second",
			f->pps, f->pkt_bytes);
	return 0;
}

int lode_sim_add_flow(struct lode_sim *s, const struct lode_sim_flow *flow, struct lode_err *err)
{
	int rc = check_flow(s, flow, err);
	struct flow *f = rc ? NULL : calloc(1, sizeof(*f));
	if (!f)
		return rc ? rc : lode_err_set(err, -ENOMEM, "sim: no memory for a flow");
	f->params = *flow;
	f->idx = s->n_flows;
	if (flow->kind == LODE_SIM_TCP && tcp_start(s, f)) {
		free(f);
		return lode_err_set(err, -ENOMEM, "sim: no memory for a transfer");
	}
	if (flow->kind == LODE_SIM_CBR)
		cbr_start(s, f);
	s->flows[s->n_flows++] = f;
	return (int)f->idx;
}

void lode_sim_hush(struct lode_sim *s)
{
	for (unsigned i = 0; i < s->n_flows; i++) {
		s->flows[i]->hushed = true;
		timeline_set(&s->timeline, due_flow(i), LODE_NEVER_NS);
	}
}

const struct lode_sim_flow_stats *lode_sim_flow_stats(const struct lode_sim *s, unsigned flow)
{
	return &s->flows[flow]->stats;
}

/* ---- looking inside ---- */

const struct lode_sim_stats *lode_sim_stats(const struct lode_sim *s)
{
	return &s->stats;
}

const struct lode_sim_cost *lode_sim_cost(const struct lode_sim *s, unsigned site)
{
	return &s->sites[site].cost;
}

struct lode_control *lode_sim_control(struct lode_sim *s, unsigned site)
{
	return s->sites[site].control;
}

struct lode_shared *lode_sim_shared(struct lode_sim *s, unsigned site)
{
	return s->sites[site].shared;
}

struct lode_worker *lode_sim_worker(struct lode_sim *s, unsigned site, unsigned worker)
{
	return s->sites[site].workers[worker];
}

uint32_t lode_sim_mbufs_in_use(const struct lode_sim *s)
{
	return rte_mempool_in_use_count(s->pool);
}
