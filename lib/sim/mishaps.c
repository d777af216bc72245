/* SPDX-License-Identifier: BSD-3-Clause */
/* What befalls a gateway from its own machine: time, CPU, NIC, memory. */
#include "sim.h"

static void wake(struct site *site)
{
	struct timeline *t = &site->sim->timeline;
	timeline_set(t, due_control(site->idx), site->sim->now_ns);
	for (unsigned w = 0; w < site->n_workers; w++)
		timeline_set(t, due_worker(site->idx, w), site->sim->now_ns);
}

void lode_sim_jump_clock(struct lode_sim *s, unsigned site, uint64_t ns)
{
	s->sites[site].clock_ns += ns;
	s->sites[site].upset_ns = s->now_ns;
	wake(&s->sites[site]); /* what was due in between is due now */
}

void lode_sim_stall(struct lode_sim *s, unsigned site, unsigned lcore, uint64_t until_ns)
{
	for (unsigned i = 0; i <= s->sites[site].n_workers; i++)
		if (lcore == i || lcore == LODE_SIM_ALL_LCORES)
			s->sites[site].stalled_until_ns[i] = until_ns;
	s->sites[site].upset_ns = until_ns;
	for (uint64_t t = s->now_ns; t < until_ns + LODE_NS_PER_S; t += LODE_NS_PER_S)
		watch_slow(s, LODE_MIN(t, until_ns), until_ns - s->now_ns);
}

void lode_sim_set_carrier(struct lode_sim *s, unsigned site, unsigned port_idx, bool up)
{
	s->sites[site].no_carrier[port_idx] = !up;
	site_announce_port(&s->sites[site], port_idx);
	wake(&s->sites[site]);
}

void lode_sim_limit_tx(struct lode_sim *s, unsigned site, unsigned port_idx, uint32_t n_frames)
{
	struct site *to = &s->sites[site];
	to->n_limited += (n_frames != UINT32_MAX) - (to->tx_limit[port_idx] != UINT32_MAX);
	if (to->tx_limit[port_idx] == UINT32_MAX)
		to->tx_limited_ns[port_idx] = s->now_ns;
	to->tx_limit[port_idx] = n_frames;
	wake(to);
}

void lode_sim_take_buffers(struct lode_sim *s, uint32_t left)
{
	if (left == UINT32_MAX) {
		rte_pktmbuf_free_bulk(s->taken, s->n_taken);
		s->n_taken = 0;
		return;
	}
	while (s->n_taken < s->params.n_mbufs && rte_mempool_avail_count(s->pool) > left) {
		struct rte_mbuf *m = rte_pktmbuf_alloc(s->pool);
		if (!m)
			return;
		s->taken[s->n_taken++] = m;
	}
}
