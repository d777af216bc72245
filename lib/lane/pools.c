/* SPDX-License-Identifier: BSD-3-Clause */
/* Slots that all lanes of a worker share. Slot 0 stands for "none". */
#include "lane.h"

#include <rte_malloc.h>

#define SLOTS_MAX UINT16_MAX /* hash chains hold 16-bit slot numbers */

struct lode_lane_pools *lode_lane_pools_new(const struct lode_lane_limits *limits, int socket_id)
{
	uint32_t n_queues = LODE_MIN(limits->flow_queues, SLOTS_MAX - 1u) + 1;
	uint32_t n_waiters = LODE_MIN(limits->waiting_pkts, SLOTS_MAX - 1u) + 1;
	struct lode_lane_pools *p = rte_zmalloc_socket("lane", sizeof(*p), 64, socket_id);
	if (p == NULL)
		return NULL;
	p->queues = rte_zmalloc_socket(
		"lane", n_queues * sizeof(p->queues[0]), LODE_CACHE_LINE, socket_id);
	p->waiters = rte_zmalloc_socket(
		"lane", n_waiters * sizeof(p->waiters[0]), LODE_CACHE_LINE, socket_id);
	if (p->queues == NULL || p->waiters == NULL || repair_pools_init(&p->repair, limits) < 0) {
		lode_lane_pools_free(p);
		return NULL;
	}
	p->queued_max = limits->queued_pkts;
	p->waiting_max = n_waiters - 1;
	for (uint32_t i = n_queues - 1; i > NIL; i--) {
		p->queues[i].next = p->free_queue;
		p->free_queue = i;
	}
	for (uint32_t i = n_waiters - 1; i > NIL; i--) {
		p->waiters[i].fifo_next = p->free_waiter;
		p->free_waiter = i;
	}
	return p;
}

void lode_lane_pools_free(struct lode_lane_pools *pools)
{
	if (pools == NULL)
		return;
	rte_free(pools->queues);
	rte_free(pools->waiters);
	repair_pools_free(&pools->repair);
	rte_free(pools);
}

uint32_t lode_lane_pools_held(const struct lode_lane_pools *pools)
{
	return pools->queued_pkts + pools->waiting_pkts;
}
