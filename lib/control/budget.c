/* SPDX-License-Identifier: BSD-3-Clause */
/* A WAN port has one rate; peers share it. Each (peer, path) on the port gets what it asks for as far as that is
 * fair to all (max-min), and an even part of what nobody asked for, so that a peer that begins to send need not
 * wait for the next round. It is divided anew when a demand changes, every 10 ms at most. Classes within a peer are
 * served in strict order by its lanes. A port without a configured rate has no budget: its controllers find the
 * rate. */
#include "control.h"

#define DEMAND_WEIGHT	  0.2 /* of the newest 10 ms in the average rate */
#define DEMAND_FLOOR_KBPS 64
#define DEMAND_ALL	  UINT32_MAX /* has a backlog: wants whatever there is */

static uint32_t demand_kbps(struct peer_slot *slot, unsigned path)
{
	struct path_health *h = &slot->health[path];
	uint64_t tx_bytes = slot->summary.paths[path].tx_bytes;
	uint64_t sent = tx_bytes >= h->tx_bytes ? tx_bytes - h->tx_bytes : tx_bytes;
	double elapsed_ns = (double)LODE_MAX(slot->elapsed_ns, 1);
	double kbps = (double)sent * 8 * LODE_NS_PER_S / 1000 / elapsed_ns;
	double weight = LODE_MIN(DEMAND_WEIGHT * elapsed_ns / TICK_NS, 1.0);
	h->tx_bytes = tx_bytes;
	h->tx_kbps = (uint32_t)(h->tx_kbps + weight * (kbps - h->tx_kbps));
	if (slot->backlog && lode_path_usable(h->state))
		return DEMAND_ALL;
	return LODE_MAX(h->tx_kbps + h->tx_kbps / 2, (uint32_t)DEMAND_FLOOR_KBPS);
}

void update_demands(struct lode_control *c, struct peer_slot *slot)
{
	for (unsigned p = 0; slot->have_summary && p < LODE_LINKS_MAX; p++) {
		const struct lode_path_view *v = &slot->view->paths[p];
		uint32_t demand = v->valid ? demand_kbps(slot, p) : 0;
		if (demand != slot->health[p].demand_kbps)
			c->budgets_stale |= (uint8_t)(1u << v->port_idx);
		slot->health[p].demand_kbps = demand;
	}
}

static void divide_port(struct lode_control *c, unsigned port_idx, uint32_t rate_kbps)
{
	uint32_t demand[LODE_PEERS_MAX * LODE_LINKS_MAX], share[LODE_PEERS_MAX * LODE_LINKS_MAX];
	_Atomic uint32_t *word[LODE_PEERS_MAX * LODE_LINKS_MAX];
	unsigned n = 0;
	for (unsigned i = 0; i < LODE_PEERS_MAX; i++) {
		struct peer_slot *slot = &c->peers[i];
		for (unsigned p = 0; slot->view && slot->have_summary && p < LODE_LINKS_MAX; p++) {
			const struct lode_path_view *v = &slot->view->paths[p];
			if (!v->valid || v->port_idx != port_idx)
				continue;
			demand[n] = slot->health[p].demand_kbps;
			word[n++] = &c->params.shared->rate_share_kbps[i][p];
		}
	}
	lode_share_max_min(rate_kbps, demand, n, share);
	for (unsigned i = 0; i < n; i++)
		atomic_store_explicit(word[i], rate_kbps ? share[i] : 0, memory_order_relaxed);
}

void update_budgets(struct lode_control *c)
{
	const struct lode_config *config = c->prepared->config;
	for (unsigned i = 0; i < config->n_ports; i++)
		if (c->budgets_stale & 1u << i && config->ports[i].role == LODE_PORT_WAN)
			divide_port(c, i, config->ports[i].up_kbps);
	c->budgets_stale = 0;
}
