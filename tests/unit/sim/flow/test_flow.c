/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>

#include "lode_flow.h"

#include <stdlib.h>

#define MS LODE_NS_PER_MS
#define S  LODE_NS_PER_S

static struct lode_flow_result *run(const struct lode_flow_net *net)
{
	struct lode_flow_result *r = calloc(net->n_flows, sizeof(*r));
	struct lode_err err = {0};
	cr_assert_eq(lode_flow_run(net, r, &err), 0, "%s", err.msg);
	return r;
}

static struct lode_flow_net make_net(double mbps, double bdp, uint64_t end_ns)
{
	return (struct lode_flow_net){.link = {.rate_bps = (uint64_t)(mbps * 1e6),
					      .delay_ns = 20 * MS,
					      .queue_pkts = 100000,
					      .queue_bytes = (uint64_t)(mbps * 5000 * bdp)},
		.back_delay_ns = 20 * MS,
		.end_ns = end_ns,
		.seed = 3};
}

static double share(const struct lode_flow_result *r, unsigned from, unsigned to)
{
	double bytes = 0;
	for (unsigned s = from; s < to; s++)
		bytes += r->second_bytes[s];
	return bytes;
}

Test(flow, path_fills_a_link_with_a_short_queue)
{
	struct lode_flow_net net = make_net(48, 2, 20 * S);
	net.n_flows = 1;
	net.flows[0].stop_ns = net.end_ns;
	struct lode_flow_result *r = run(&net);
	cr_assert_gt(share(r, 2, 20) / (double)lode_flow_capacity(&net.link, 2 * S, 20 * S), 0.95);
	cr_assert_lt(lode_hist_quantile(&r->queue_us, 0.95), 25000);
	cr_assert_gt(r->n_decisions, 20 * 40); /* a report each 20 ms */
	free(r);
}

Test(flow, three_share_equally)
{
	struct lode_flow_net net = make_net(48, 1, 40 * S);
	net.n_flows = 3;
	for (unsigned i = 0; i < 3; i++)
		net.flows[i] =
			(struct lode_flow_spec){.start_ns = i * 3 * S, .stop_ns = net.end_ns};
	struct lode_flow_result *r = run(&net);
	double shares[3];
	for (unsigned i = 0; i < 3; i++)
		shares[i] = share(&r[i], 20, 40);
	cr_assert_gt(lode_flow_jain(shares, 3), 0.95);
	free(r);
}

Test(flow, oracle_wastes_little_of_a_trace)
{
	struct lode_link_trace_spec spec = {
		.seed = 5, .mean_bps = 10000000, .spread = 0.5, .length_ms = 20000};
	struct lode_link_trace *t;
	cr_assert_eq(lode_link_trace_make(&spec, &t, NULL), 0);
	struct lode_flow_net net = make_net(1, 1, 20 * S);
	net.link = (struct lode_link_config){.trace = t, .delay_ns = 20 * MS};
	net.n_flows = 1;
	net.flows[0] = (struct lode_flow_spec){.kind = LODE_FLOW_ORACLE, .stop_ns = net.end_ns};
	struct lode_flow_result *r = run(&net);
	double capacity = (double)lode_flow_capacity(&net.link, 0, net.end_ns);
	cr_assert_gt((double)r->delivered_bytes / capacity, 0.85);
	cr_assert_leq((double)r->delivered_bytes, capacity);
	free(r);
	free(t);
}

Test(flow, cubic_fills_the_buffer)
{
	struct lode_flow_net net = make_net(20, 1, 20 * S);
	net.n_flows = 1;
	net.flows[0] = (struct lode_flow_spec){.kind = LODE_FLOW_CUBIC, .stop_ns = net.end_ns};
	struct lode_flow_result *r = run(&net);
	cr_assert_gt(share(r, 5, 20) / (double)lode_flow_capacity(&net.link, 5 * S, 20 * S), 0.9);
	cr_assert_gt(lode_hist_quantile(&r->queue_us, 0.95), 25000);
	free(r);
}

/* Data in the first half of each second only: the rate must be known again at once. */
Test(flow, on_and_off_data)
{
	struct lode_flow_net net = make_net(20, 2, 20 * S);
	net.n_flows = 1;
	net.flows[0] = (struct lode_flow_spec){.stop_ns = net.end_ns, .on_share = 0.5};
	struct lode_flow_result *r = run(&net);
	cr_assert_gt(share(r, 3, 20) / (double)lode_flow_capacity(&net.link, 3 * S, 20 * S), 0.42);
	free(r);
}

Test(flow, same_seed_same_result_under_every_fault)
{
	struct lode_flow_net net = make_net(10, 1, 10 * S);
	net.link.loss = 0.02;
	net.link.burst_pkts = 3;
	net.link.jitter_ns = 4 * MS;
	net.link.reorder = 0.02;
	net.link.duplicate = 0.01;
	net.link.corrupt = 0.01;
	net.link.outage_every_ns = 3 * S;
	net.link.outage_for_ns = S;
	net.n_flows = 2;
	net.flows[0].stop_ns = net.flows[1].stop_ns = net.end_ns;
	net.flows[1].kind = LODE_FLOW_CUBIC;
	struct lode_flow_result *a = run(&net), *b = run(&net);
	for (unsigned i = 0; i < 2; i++) {
		cr_assert_eq(a[i].sent_pkts, b[i].sent_pkts);
		cr_assert_eq(memcmp(&a[i].queue_us, &b[i].queue_us, sizeof(a[i].queue_us)), 0);
		cr_assert_eq(
			memcmp(a[i].second_bytes, b[i].second_bytes, sizeof(a[i].second_bytes)), 0);
	}
	cr_assert_gt(a[0].delivered_bytes, 500000);
	net.seed++;
	struct lode_flow_result *c = run(&net);
	cr_assert_neq(memcmp(a[0].second_bytes, c[0].second_bytes, sizeof(a[0].second_bytes)), 0);
	free(a);
	free(b);
	free(c);
}
