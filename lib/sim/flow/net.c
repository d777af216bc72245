/* SPDX-License-Identifier: BSD-3-Clause */
#include "flow.h"

#include <stdlib.h>

static uint32_t pkt_get(struct net *n)
{
	uint32_t i = n->free_pkt;
	if (i != NO_PKT) {
		n->free_pkt = n->pkts[i].next_free;
		return i;
	}
	uint32_t size = n->n_pkts ? 2 * n->n_pkts : 4096;
	struct pkt *pkts = realloc(n->pkts, size * sizeof(*pkts));
	if (!pkts)
		return NO_PKT;
	n->pkts = pkts;
	for (uint32_t k = size; k-- > n->n_pkts;) {
		pkts[k].next_free = n->free_pkt;
		n->free_pkt = k;
	}
	n->n_pkts = size;
	return pkt_get(n);
}

static void pkt_put(struct net *n, uint32_t i)
{
	if (n->pkts[i].control_len)
		free(n->pkts[i].control);
	n->pkts[i].next_free = n->free_pkt;
	n->free_pkt = i;
}

void net_send(struct net *n, unsigned flow, uint32_t bytes, uint64_t pn, uint32_t tx_us,
	const uint8_t *control, uint16_t control_len)
{
	struct lode_flow_result *r = n->flows[flow].result;
	r->sent_pkts++;
	r->sent_bytes += bytes;
	uint32_t i = pkt_get(n);
	uint8_t *copy = control_len ? malloc(control_len) : NULL;
	if (i == NO_PKT || (control_len && !copy)) {
		free(copy);
		return; /* as if lost on the way */
	}
	if (control_len)
		memcpy(copy, control, control_len);
	n->pkts[i] = (struct pkt){.sent_ns = n->now_ns,
		.pn = pn,
		.bytes = bytes,
		.tx_us = tx_us,
		.control_len = control_len,
		.control = copy,
		.flow = (uint8_t)flow};
	if (lode_link_push(n->link, n->now_ns, bytes, i) != LODE_LINK_OK)
		pkt_put(n, i);
}

bool net_has_data(const struct net *n, unsigned flow, uint64_t *until_ns)
{
	const struct lode_flow_spec *s = n->flows[flow].spec;
	if (n->now_ns >= s->stop_ns) {
		*until_ns = LODE_NEVER_NS;
		return false;
	}
	if (s->on_share <= 0 || s->on_share >= 1)
		return true;
	uint64_t second = n->now_ns / LODE_NS_PER_S * LODE_NS_PER_S;
	*until_ns = second + LODE_NS_PER_S;
	return (double)(n->now_ns - second) < s->on_share * (double)LODE_NS_PER_S;
}

uint64_t net_back_ns(const struct net *n, unsigned flow)
{
	return n->spec->back_delay_ns + n->flows[flow].spec->extra_delay_ns;
}

static void deliver(struct net *n, const struct lode_link_out *out)
{
	const struct pkt *p = &n->pkts[out->handle];
	struct flow *f = &n->flows[p->flow];
	if (out->fate == LODE_LINK_OK && !out->corrupt) {
		struct lode_flow_result *r = f->result;
		uint64_t second = n->now_ns / LODE_NS_PER_S;
		uint64_t on_link_ns = out->due_ns - p->sent_ns;
		r->delivered_pkts++;
		r->delivered_bytes += p->bytes;
		if (second < LODE_FLOW_SECONDS_MAX)
			r->second_bytes[second] += p->bytes;
		lode_hist_add(
			&r->queue_us, (on_link_ns - LODE_MIN(on_link_ns, n->spec->link.delay_ns)) /
					      LODE_NS_PER_US);
		uint64_t due_ns = f->ops->arrived(n, p->flow, p);
		f->due_ns = LODE_MIN(f->due_ns, due_ns);
	}
	if (!out->copy)
		pkt_put(n, (uint32_t)out->handle);
}

static void run(struct net *n)
{
	struct lode_link_out out;
	uint64_t link_due_ns = LODE_NEVER_NS;
	for (;;) {
		uint64_t due_ns = link_due_ns;
		for (unsigned i = 0; i < n->spec->n_flows; i++)
			due_ns = LODE_MIN(due_ns, n->flows[i].due_ns);
		n->now_ns = LODE_MAX(n->now_ns, due_ns);
		if (n->now_ns >= n->spec->end_ns)
			return;
		if (link_due_ns <= n->now_ns)
			while (lode_link_pop(n->link, n->now_ns, &out))
				deliver(n, &out);
		for (unsigned i = 0; i < n->spec->n_flows; i++)
			if (n->flows[i].due_ns <= n->now_ns)
				n->flows[i].due_ns = n->flows[i].ops->poll(n, i);
		link_due_ns = lode_link_next_due_ns(n->link);
	}
}

static void close_net(struct net *n)
{
	for (unsigned i = 0; i < n->spec->n_flows; i++)
		if (n->flows[i].ops)
			n->flows[i].ops->free(n, i);
	uint64_t handle;
	while (n->link && lode_link_flush(n->link, &handle))
		pkt_put(n, (uint32_t)handle);
	lode_link_free(n->link);
	free(n->pkts);
}

int lode_flow_run(
	const struct lode_flow_net *spec, struct lode_flow_result *results, struct lode_err *err)
{
	static const struct flow_ops *const kinds[] = {
		[LODE_FLOW_PATH] = &path_flow_ops,
		[LODE_FLOW_CUBIC] = &cubic_ops,
		[LODE_FLOW_ORACLE] = &oracle_ops,
	};
	struct net n = {.spec = spec, .free_pkt = NO_PKT};
	if (spec->n_flows > LODE_FLOW_MAX)
		return lode_err_set(err, -EINVAL, "flows: at most %d allowed, found %u",
			LODE_FLOW_MAX, spec->n_flows);
	n.pkt_bytes = spec->pkt_bytes ? spec->pkt_bytes : 1500;
	n.link = lode_link_new(&spec->link, spec->seed, 0, err);
	if (!n.link)
		return -EINVAL;
	memset(results, 0, spec->n_flows * sizeof(*results));
	for (unsigned i = 0; i < spec->n_flows; i++) {
		struct flow *f = &n.flows[i];
		f->spec = &spec->flows[i];
		f->result = &results[i];
		f->due_ns = f->spec->start_ns;
		f->ops = kinds[f->spec->kind];
		if (f->ops->init(&n, i)) {
			close_net(&n);
			return lode_err_set(err, -ENOMEM, "flow %u: no memory", i);
		}
	}
	run(&n);
	close_net(&n);
	return 0;
}

uint64_t lode_flow_capacity(const struct lode_link_config *link, uint64_t from_ns, uint64_t to_ns)
{
	if (link->trace)
		return lode_link_trace_capacity(link->trace, from_ns, to_ns);
	return (uint64_t)((double)link->rate_bps * (double)(to_ns - from_ns) / 8e9);
}

double lode_flow_jain(const double *shares, unsigned n)
{
	double sum = 0, squares = 0;
	for (unsigned i = 0; i < n; i++) {
		sum += shares[i];
		squares += shares[i] * shares[i];
	}
	return squares > 0 ? sum * sum / (n * squares) : 1;
}
