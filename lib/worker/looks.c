/* SPDX-License-Identifier: BSD-3-Clause */
/* The first packets of undecided flows go to lodestone-classify, by copy and only as far as there is room; what it
 * says of a flow counts if the flow is still there. Its death costs verdicts, nothing else. */
#include "worker.h"

#define VERDICTS_PER_POLL 16

/* The same for all packets of a flow, another for the next flow at its place. */
static uint32_t tag_of(const struct lode_worker *w, uint32_t flow_idx)
{
	const struct flow_entry *entry = &w->flows.entries[flow_idx];
	return entry->symmetric_hash ^ (uint32_t)entry->tuple.sport_be << 16 ^
	       entry->tuple.dport_be;
}

static bool has_payload(const struct ip_info *ip)
{
	unsigned head = ip->tuple.protocol == PROTO_TCP ? TCP_BYTES : UDP_BYTES;
	return ip->has_l4 && ip->total_bytes > ip->l4_offset + head;
}

void look_at(struct lode_worker *w, struct rte_mbuf *m, const struct ip_info *ip, uint32_t flow_idx)
{
	struct lode_look look;
	if (!has_payload(ip))
		return;
	look.flow_idx = flow_idx;
	look.tag = tag_of(w, flow_idx);
	look.time_ms = w->now_ns / LODE_NS_PER_MS;
	look.len = LODE_MIN(ip->total_bytes, (uint16_t)LODE_LOOK_BYTES);
	memcpy(look.data, packet_data(m), look.len);
	bool taken = lode_look_push(&w->apps->link->looks[w->params.worker_idx], &look,
		offsetof(struct lode_look, data) + look.len);
	lode_counter_add(&w->counters.looks, taken);
	lode_counter_add(&w->counters.looks_lost, !taken);
}

/* Nothing in a verdict is believed: the flow must be there, undecided, and the application known. */
static void take_verdict(struct lode_worker *w, const struct lode_verdict *v)
{
	struct lode_worker_apps *apps = w->apps;
	uint8_t cls = v->app < LODE_LOOK_APPS
			      ? atomic_load_explicit(&apps->cls[v->app], memory_order_relaxed)
			      : LODE_NO_APP_CLASS;
	if (cls >= LODE_MANAGEMENT)
		return;
	struct flow *f = v->flow_idx < w->flows.size ? &w->flows.entries[v->flow_idx].flow : NULL;
	if (!f || !f->last_ns || tag_of(w, v->flow_idx) != v->tag || f->source < CLASS_BY_APP) {
		lode_counter_add(&w->counters.app_verdicts_late, 1);
		return;
	}
	f->cls = cls;
	f->source = CLASS_BY_APP;
	lode_counter_add(&w->counters.app_verdicts, 1);
	_Atomic uint64_t *n = &apps->n_flows[w->params.worker_idx][v->app];
	atomic_store_explicit(
		n, atomic_load_explicit(n, memory_order_relaxed) + 1, memory_order_relaxed);
}

void looks_turn(struct lode_worker *w)
{
	struct lode_verdict v;
	w->apps = atomic_load_explicit(&w->apps_wanted, memory_order_acquire);
	if (lode_likely(!w->apps))
		return;
	struct lode_look_ring *ring = &w->apps->link->verdicts[w->params.worker_idx];
	for (unsigned i = 0; i < VERDICTS_PER_POLL && lode_look_pop(ring, &v); i++)
		take_verdict(w, &v);
}

void lode_worker_set_apps(struct lode_worker *w, struct lode_worker_apps *apps)
{
	atomic_store_explicit(&w->apps_wanted, apps, memory_order_release);
}
