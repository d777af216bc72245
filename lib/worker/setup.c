/* SPDX-License-Identifier: BSD-3-Clause */
/* A worker's memory: everything is taken here and given back here. */
#include "worker.h"

#include <rte_malloc.h>
#include <stdio.h>
#include <stdlib.h>

#define CONTROL_SLOTS 128
#define MESSAGE_SLOTS 64
#define RESOLVE_SLOTS 128
#define TRACE_SLOTS   1024
#define DROP_SLOTS    512 /* a tenth of a second of examples for all reasons */
#define REQUEST_SLOTS 4
#define LOSS_SLOTS    512

/* Packets of lanes: what 20 ms of queue and 50 ms of waiting for order are at a few Gbit/s. */
static const struct lode_lane_limits lane_limits = {.flow_queues = 1024,
	.queued_pkts = 8192,
	.waiting_pkts = 8192,
	.repair_lanes = LODE_PEERS_MAX,
	.repair_slots = 16};

static void on_peer_message(void *ctx, unsigned peer_idx, unsigned path, unsigned type,
	const uint8_t *value, unsigned len)
{
	struct lode_worker *w = ctx;
	struct lode_peer_message msg = {.peer_idx = (uint8_t)peer_idx,
		.path = (uint8_t)path,
		.type = (uint8_t)type,
		.len = (uint16_t)len};
	if (len > sizeof(msg.value))
		return;
	memcpy(msg.value, value, len);
	lode_ring_push(w->rings.messages, &msg);
}

static void on_loss_window(
	void *ctx, unsigned peer_idx, unsigned path, const struct lode_loss_window *window)
{
	struct lode_worker *w = ctx;
	struct lode_loss_record record = {
		.peer_idx = (uint8_t)peer_idx, .path = (uint8_t)path, .window = *window};
	lode_ring_push(w->rings.loss, &record);
}

static int make_rings(struct lode_worker *w)
{
	w->rings.to_control = lode_ring_new(CONTROL_SLOTS, sizeof(struct lode_datagram));
	w->rings.from_control = lode_ring_new(CONTROL_SLOTS, sizeof(struct lode_datagram));
	w->rings.messages = lode_ring_new(MESSAGE_SLOTS, sizeof(struct lode_peer_message));
	w->rings.resolve = lode_ring_new(RESOLVE_SLOTS, sizeof(struct lode_resolve));
	w->rings.trace = lode_ring_new(TRACE_SLOTS, sizeof(struct lode_trace_record));
	w->rings.drops = lode_ring_new(DROP_SLOTS, sizeof(struct lode_drop_example));
	w->rings.talkers = lode_ring_new(2 * LODE_TALKERS_MAX, sizeof(struct lode_talker));
	w->rings.loss = lode_ring_new(LOSS_SLOTS, sizeof(struct lode_loss_record));
	w->trace_requests = lode_ring_new(REQUEST_SLOTS, sizeof(struct trace_request));
	return w->rings.to_control && w->rings.from_control && w->rings.messages &&
			       w->rings.resolve && w->rings.trace && w->rings.drops &&
			       w->rings.talkers && w->rings.loss && w->trace_requests
		       ? 0
		       : -ENOMEM;
}

static int make_lanes(struct lode_worker *w)
{
	const struct lode_worker_params *p = &w->params;
	w->env = (struct lode_lane_env){.mbufs = p->pool,
		.pools = lode_lane_pools_new(&lane_limits, p->socket_id),
		.shared = p->shared,
		.txqs = w->txqs,
		.worker_idx = p->worker_idx,
		.seed = lode_mix64(p->seed),
		.load = &w->load,
		.ctx = w,
		.deliver = deliver,
		.control = on_peer_message,
		.trace = trace_lane,
		.opened = trace_opened,
		.dropped = lane_dropped,
		.trace_clock = p->trace_clock,
		.cycles = p->cycles};
	w->lane_memory = rte_zmalloc_socket(
		p->name, LODE_PEERS_MAX * lode_lane_bytes(), LODE_CACHE_LINE, p->socket_id);
	if (p->n_workers > 1)
		w->env.further_memory = calloc(LODE_PEERS_MAX, lode_lane_further_bytes());
	w->talkers_memory = talkers_new(p->socket_id);
	heap_init(&w->due);
	bool whole = w->env.pools && w->lane_memory && w->talkers_memory &&
		     (p->n_workers == 1 || w->env.further_memory);
	return whole ? 0 : -ENOMEM;
}

static int make_loss(struct lode_worker *w)
{
	size_t n_paths = LODE_PEERS_MAX * LODE_LINKS_MAX;
	w->env.loss_memory = aligned_alloc(LODE_CACHE_LINE, n_paths * lode_loss_bytes());
	w->env.nn_scratch = aligned_alloc(LODE_CACHE_LINE, LODE_NN_SCRATCH_BYTES);
	w->env.loss_stats = &w->loss_stats;
	w->env.clock_ns = w->params.trace_clock;
	w->env.loss_window = on_loss_window;
	return w->env.loss_memory && w->env.nn_scratch ? 0 : -ENOMEM;
}

struct lode_worker *lode_worker_new(const struct lode_worker_params *params, struct lode_err *err)
{
	struct lode_worker *w =
		rte_zmalloc_socket(params->name, sizeof(*w), LODE_CACHE_LINE, params->socket_id);
	if (!w) {
		lode_err_set(err, -ENOMEM, "worker %s: no memory", params->name);
		return NULL;
	}
	w->params = *params;
	w->sweep_entry_ns =
		LODE_MAX(SWEEP_ENTRY_NS, SWEEP_TABLE_NS / LODE_MAX(params->n_flows, 1u));
	if (make_rings(w) || make_lanes(w) || make_loss(w) ||
		flow_table_init(&w->flows, params->n_flows, lode_mix64(params->seed ^ 1),
			params->socket_id)) {
		lode_err_set(err, -ENOMEM,
			"worker %s: no memory for %u flows and %zu bytes of lanes (give EAL more)",
			params->name, params->n_flows, LODE_PEERS_MAX * lode_lane_bytes());
		lode_worker_free(w);
		return NULL;
	}
	return w;
}

static void free_handoffs(struct lode_worker *w)
{
	void *m;
	for (unsigned i = 0; i < w->params.n_workers; i++)
		while (w->params.handoff_from[i] &&
			rte_ring_sc_dequeue(w->params.handoff_from[i], &m) == 0)
			rte_pktmbuf_free(m);
}

static void free_packets(struct lode_worker *w)
{
	for (unsigned i = 0; i < LODE_PEERS_MAX; i++)
		if (lane_of(w, i))
			lode_lane_flush(lane_of(w, i));
	for (unsigned i = 0; i < LODE_ALL_PORTS; i++) {
		rte_pktmbuf_free_bulk(w->txqs[i].mbufs, w->txqs[i].n);
		rte_pktmbuf_free_bulk(w->mirrors[i].mbufs, w->mirrors[i].n);
	}
	rte_pktmbuf_free_bulk(w->own, w->n_own);
	pending_free(w);
	free_handoffs(w);
}

void lode_worker_free(struct lode_worker *w)
{
	if (!w)
		return;
	free_packets(w);
	if (w->env.pools)
		lode_lane_pools_free(w->env.pools);
	rte_free(w->lane_memory);
	talkers_free(w->talkers_memory);
	free(w->env.further_memory);
	free(w->env.loss_memory);
	free(w->env.nn_scratch);
	flow_table_fini(&w->flows);
	lode_ring_free(w->rings.to_control);
	lode_ring_free(w->rings.from_control);
	lode_ring_free(w->rings.messages);
	lode_ring_free(w->rings.resolve);
	lode_ring_free(w->rings.trace);
	lode_ring_free(w->rings.drops);
	lode_ring_free(w->rings.talkers);
	lode_ring_free(w->rings.loss);
	lode_ring_free(w->trace_requests);
	rte_free(w);
}

uint32_t lode_worker_quota_pkts(void)
{
	return lane_limits.queued_pkts + lane_limits.waiting_pkts + PENDING_MAX * PENDING_PKTS +
	       OWN_MAX + 2 * LODE_ALL_PORTS * LODE_TXQ_MAX;
}

struct lode_txq *lode_worker_tx(struct lode_worker *w, unsigned port_idx)
{
	return &w->txqs[port_idx];
}

struct lode_txq *lode_worker_mirror(struct lode_worker *w, unsigned port_idx)
{
	return &w->mirrors[port_idx];
}

const struct lode_worker_rings *lode_worker_rings(struct lode_worker *w)
{
	return &w->rings;
}

uint64_t lode_worker_serial(const struct lode_worker *w)
{
	return atomic_load_explicit(&w->serial, memory_order_acquire);
}

const struct lode_loss_stats *lode_worker_loss_stats(const struct lode_worker *w)
{
	return &w->loss_stats;
}

const struct lode_worker_counters *lode_worker_counters(const struct lode_worker *w)
{
	return &w->counters;
}

const struct lode_lane_counters *lode_worker_gone_lanes(const struct lode_worker *w)
{
	return &w->gone;
}

const struct lode_lane *lode_worker_lane(const struct lode_worker *w, unsigned peer_idx)
{
	return atomic_load_explicit(&w->lanes[peer_idx], memory_order_acquire);
}

uint32_t lode_worker_n_flows(const struct lode_worker *w)
{
	return atomic_load_explicit(&w->n_flows, memory_order_relaxed);
}
