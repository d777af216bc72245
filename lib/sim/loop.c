/* SPDX-License-Identifier: BSD-3-Clause */
/* The loops of a gateway's lcores: receive queues in, transmit queues out, control every so often. */
#include "sim.h"

/* A site's due time on the simulation's clock. */
static uint64_t to_sim_ns(const struct site *site, uint64_t due_ns)
{
	if (due_ns == LODE_NEVER_NS)
		return due_ns;
	return LODE_MAX(due_ns, site_now(site) + site->sim->params.loop_ns) - site->clock_ns;
}

static void flush_rx(struct site *site, unsigned worker_idx, unsigned port_idx)
{
	struct lode_worker *w = site->workers[worker_idx];
	struct rx_queue *q = &site->rx[worker_idx][port_idx];
	for (unsigned i = 0; i < q->n; i += RX_BURST) {
		unsigned n = LODE_MIN(q->n - i, RX_BURST);
		if (port_idx == LAN_PORT || port_idx == LODE_HOST_PORT)
			lode_worker_lan_rx(w, port_idx, q->pkts + i, n, site_now(site));
		else
			lode_worker_wan_rx(w, port_idx, q->pkts + i, n, site_now(site));
	}
	q->n = 0;
}

void site_receive(struct site *site, unsigned port_idx, unsigned worker_idx, struct rte_mbuf *m)
{
	struct rx_queue *q = &site->rx[worker_idx][port_idx];
	site->tally.in[port_idx]++;
	if (q->n == RX_SLOTS) {
		site->tally.lost[port_idx]++;
		site->sim->stats.rx_full_pkts++;
		rte_pktmbuf_free(m);
		return;
	}
	q->pkts[q->n++] = m;
	timeline_set(&site->sim->timeline, due_worker(site->idx, worker_idx),
		LODE_MAX(site->next_loop_ns[worker_idx], site->sim->now_ns));
}

/* Frames that the port takes now, from the front of the queue into `frames`. */
static unsigned take_frames(
	struct site *site, unsigned port_idx, struct lode_txq *q, struct rte_mbuf **frames)
{
	unsigned n = LODE_MIN(q->n, site->tx_left[port_idx]);
	memcpy(frames, q->mbufs, n * sizeof(frames[0]));
	q->n -= n;
	memmove(q->mbufs, q->mbufs + n, q->n * sizeof(q->mbufs[0]));
	if (site->tx_limit[port_idx] != UINT32_MAX)
		site->tx_left[port_idx] -= n;
	site->tally.out[port_idx] += n;
	return n;
}

static void give_to_lan(struct site *site, unsigned port_idx, struct rte_mbuf *m)
{
	if (port_idx == LAN_PORT)
		m = sabotage_frame(site, m);
	if (m && site->no_carrier[port_idx])
		rte_pktmbuf_free(m);
	else if (m)
		lan_deliver(site, port_idx, m);
}

/* The queue is emptied first: what its frames cause may add to it. */
static void drain_port(struct site *site, unsigned worker_idx, unsigned port_idx)
{
	struct lode_txq *q = lode_worker_tx(site->workers[worker_idx], port_idx);
	struct lode_txq *mirror = lode_worker_mirror(site->workers[worker_idx], port_idx);
	if (q->n + mirror->n == 0)
		return;
	struct rte_mbuf *frames[LODE_TXQ_MAX];
	watch_leaves(site);
	unsigned n = take_frames(site, port_idx, q, frames);
	for (unsigned i = 0; i < n; i++) {
		if (port_idx == LAN_PORT || port_idx == LODE_HOST_PORT)
			give_to_lan(site, port_idx, frames[i]);
		else
			wan_send(site, port_idx - 1, frames[i]);
	}
	site->tally.mirrored += mirror->n;
	rte_pktmbuf_free_bulk(mirror->mbufs, mirror->n);
	mirror->n = 0;
}

/* What a port refused is offered again in the next loop. */
static void wake_for_refused(struct site *site, unsigned worker_idx)
{
	for (unsigned p = 0; p < LODE_ALL_PORTS; p++) {
		if (site->tx_limit[p] == UINT32_MAX)
			continue;
		watch_slow(
			site->sim, site->sim->now_ns, site->sim->now_ns - site->tx_limited_ns[p]);
		if (lode_worker_tx(site->workers[worker_idx], p)->n)
			timeline_set(&site->sim->timeline, due_worker(site->idx, worker_idx),
				site->next_loop_ns[worker_idx]);
	}
}

void site_flush_tx(void *ctx, unsigned port_idx)
{
	const struct worker_place *place = ctx;
	drain_port(place->site, place->worker_idx, port_idx);
}

static uint64_t cpu_ns(const struct site *site)
{
	return site->sim->params.cpu_ns ? site->sim->params.cpu_ns() : 0;
}

static uint64_t take_and_poll(struct site *site, unsigned worker_idx, unsigned n_ports)
{
	uint64_t start = cpu_ns(site);
	for (unsigned p = 0; p < n_ports; p++)
		flush_rx(site, worker_idx, p);
	flush_rx(site, worker_idx, LODE_HOST_PORT);
	uint64_t due_ns = lode_worker_poll(site->workers[worker_idx], site_now(site));
	site->cost.worker_ns += cpu_ns(site) - start;
	site->cost.worker_loops++;
	return due_ns;
}

static void poll_worker(struct site *site, unsigned worker_idx)
{
	struct lode_worker *w = site->workers[worker_idx];
	struct lode_resolve want;
	unsigned n_ports = 1 + site->sim->params.n_wan_ports;
	uint64_t due_ns = take_and_poll(site, worker_idx, n_ports);
	timeline_set(
		&site->sim->timeline, due_worker(site->idx, worker_idx), to_sim_ns(site, due_ns));
	for (unsigned p = 0; p < n_ports; p++)
		drain_port(site, worker_idx, p);
	drain_port(site, worker_idx, LODE_HOST_PORT);
	while (lode_ring_pop(lode_worker_rings(w)->resolve, &want))
		site_resolve(site, &want);
}

/* What another worker got from this one. */
static void wake_for_handoffs(struct site *site, unsigned from)
{
	for (unsigned to = 0; to < site->n_workers; to++)
		if (from != to && !rte_ring_empty(site->handoff[from][to]))
			timeline_set(&site->sim->timeline, due_worker(site->idx, to),
				LODE_MAX(site->next_loop_ns[to], site->sim->now_ns));
}

void site_step(struct site *site, unsigned worker_idx)
{
	site->next_loop_ns[worker_idx] = site->sim->now_ns + site->sim->params.loop_ns;
	memcpy(site->tx_left, site->tx_limit, sizeof(site->tx_left));
	poll_worker(site, worker_idx);
	if (site->n_workers > 1)
		wake_for_handoffs(site, worker_idx);
	if (lode_unlikely(site->n_limited))
		wake_for_refused(site, worker_idx);
}

/* Control has something to send through the worker, or a new snapshot for it. */
static bool has_news(const struct site *site, unsigned worker_idx)
{
	struct lode_worker *w = site->workers[worker_idx];
	const struct lode_snapshot *newest = atomic_load(&site->shared->snapshot);
	return !lode_ring_is_empty(lode_worker_rings(w)->from_control) ||
	       (newest && newest->serial != lode_worker_serial(w));
}

void site_poll_control(struct site *site)
{
	uint64_t start = cpu_ns(site);
	uint64_t due_ns = lode_control_poll(site->control, site_now(site));
	site->cost.control_ns += cpu_ns(site) - start;
	site->cost.control_loops++;
	timeline_set(&site->sim->timeline, due_control(site->idx), to_sim_ns(site, due_ns));
	for (unsigned w = 0; w < site->n_workers; w++)
		if (has_news(site, w) && !site_is_stalled(site, 1 + w))
			site_step(site, w);
	uint64_t serial = UINT64_MAX;
	for (unsigned w = 0; w < site->n_workers; w++)
		serial = LODE_MIN(serial, lode_worker_serial(site->workers[w]));
	lode_control_reclaim(site->control, serial, site_now(site));
}
