/* SPDX-License-Identifier: BSD-3-Clause */
/* Flow table, classes and heap against plain versions of themselves. */
#include "classify.h"
#include "flow.h"
#include "heap.h"
#include "world.h"

#include <criterion/criterion.h>
#include <rte_malloc.h>
#include <stdlib.h>

static struct five_tuple tuple_of(uint32_t i)
{
	return (struct five_tuple){.src = lode_ip_from_v4_be(i),
		.dst = lode_ip_from_v4_be(~i),
		.sport_be = (uint16_t)i,
		.protocol = i & 1 ? PROTO_TCP : PROTO_UDP};
}

static uint32_t find(const struct flow_table *t, const struct five_tuple *tuple)
{
	uint32_t idx;
	flow_lookup_burst(t, &tuple, 1, &idx);
	return idx;
}

Test(flow, table_remembers_fills_and_expires)
{
	struct world x;
	struct flow_table t;
	world_make(&x);
	cr_assert_eq(flow_table_init(&t, 256, 3, SOCKET_ID_ANY), 0);
	unsigned n = 0;
	for (uint32_t i = 0; i < 300; i++) {
		struct five_tuple tuple = tuple_of(i);
		cr_assert_eq(find(&t, &tuple), LODE_NO_FLOW);
		n += flow_insert(&t, &tuple, LODE_NS_PER_S) != LODE_NO_FLOW;
	}
	cr_assert(n <= 256 && n >= 200, "%u", n);
	cr_assert_eq(t.n_used, n);
	/* UDP goes after 60 s, TCP after 300 s; a sweep looks at few at a time. */
	cr_assert_leq(flow_sweep(&t, 8, 62 * LODE_NS_PER_S), 8);
	for (unsigned i = 0; i < 32; i++)
		flow_sweep(&t, 8, 62 * LODE_NS_PER_S);
	for (uint32_t i = 0; i < 300; i++) {
		struct five_tuple tuple = tuple_of(i);
		cr_assert(find(&t, &tuple) == LODE_NO_FLOW || tuple.protocol == PROTO_TCP);
	}
	for (unsigned i = 0; i < 40; i++)
		flow_sweep(&t, 8, 302 * LODE_NS_PER_S);
	cr_assert_eq(t.n_used, 0);
	flow_table_fini(&t);
	cr_assert_eq(world_free(&x), 0);
}

/* The table of a large gateway: what EAL's heap gives for a flow, and that a full table answers at once. */
Test(flow, a_million_flows_in_256_bytes_each)
{
	enum { N = 1 << 20 };
	struct world x;
	struct flow_table t;
	struct rte_malloc_socket_stats before, after;
	world_make(&x);
	rte_malloc_get_socket_stats(0, &before);
	cr_assert_eq(flow_table_init(&t, N, 3, SOCKET_ID_ANY), 0);
	rte_malloc_get_socket_stats(0, &after);
	uint64_t bytes = after.heap_allocsz_bytes - before.heap_allocsz_bytes;
	cr_assert_leq(bytes, 256ull * N, "%lu bytes a flow", (unsigned long)(bytes / N));
	uint32_t n = 0;
	for (uint32_t i = 0; i < N; i++) {
		struct five_tuple tuple = tuple_of(i);
		n += flow_insert(&t, &tuple, LODE_NS_PER_S) != LODE_NO_FLOW;
	}
	cr_assert_geq(n, N / 100 * 95);
	flow_table_fini(&t);
	cr_assert_eq(world_free(&x), 0);
}

Test(flow, symmetric_hash_is_the_same_both_ways)
{
	for (uint32_t i = 0; i < 1000; i++) {
		struct five_tuple a = tuple_of(i * 2654435761u);
		struct five_tuple b = {.src = a.dst,
			.dst = a.src,
			.sport_be = a.dport_be,
			.dport_be = a.sport_be,
			.protocol = a.protocol};
		cr_assert_eq(flow_symmetric_hash(&a), flow_symmetric_hash(&b));
	}
}

static struct lode_prefix random_prefix(struct lode_rng *rng)
{
	if (lode_rng_below(rng, 3) == 0)
		return (struct lode_prefix){0};
	struct lode_prefix p = {
		.ip = lode_ip_from_v4_be((uint32_t)lode_rng_below(rng, 4) << 24 | 10),
		.len = (uint8_t)(96 + 8 * lode_rng_below(rng, 5))};
	for (unsigned bit = p.len; bit < 128; bit++)
		p.ip.b[bit / 8] &= (uint8_t) ~(0x80u >> bit % 8);
	return p;
}

static void random_rule(struct lode_rng *rng, struct lode_config_rule *r)
{
	uint16_t lo = (uint16_t)lode_rng_below(rng, 8);
	*r = (struct lode_config_rule){.cls = lode_rng_below(rng, LODE_MANAGEMENT),
		.priority = (uint32_t)lode_rng_below(rng, 4),
		.protocol = (uint8_t[]){0, 6, 17}[lode_rng_below(rng, 3)],
		.dscp = (int16_t)(lode_rng_below(rng, 2) ? -1 : (int)lode_rng_below(rng, 3)),
		.src = random_prefix(rng),
		.dst = random_prefix(rng),
		.sport_hi = UINT16_MAX,
		.dport_lo = lode_rng_below(rng, 2) ? lo : 0,
		.dport_hi = UINT16_MAX};
	if (r->dport_lo)
		r->dport_hi = (uint16_t)(r->dport_lo + lode_rng_below(rng, 3));
}

Test(classify, acl_agrees_with_looking_at_each_rule)
{
	struct world x;
	struct lode_rng rng;
	struct lode_config *c = calloc(1, sizeof(*c));
	world_make(&x);
	lode_rng_seed(&rng, 5);
	unsigned n_matches = 0;
	for (unsigned round = 0; round < 20; round++) {
		struct lode_rules *rules;
		c->n_rules = (uint16_t)(1 + lode_rng_below(&rng, 40));
		for (unsigned i = 0; i < c->n_rules; i++)
			random_rule(&rng, &c->rules[i]);
		cr_assert_eq(lode_rules_build(c, &rules, NULL), 0);
		for (unsigned i = 0; i < 2000; i++) {
			struct five_tuple t = {
				.src = lode_ip_from_v4_be(
					(uint32_t)lode_rng_below(&rng, 4) << 24 | 10),
				.dst = lode_ip_from_v4_be(
					(uint32_t)lode_rng_below(&rng, 4) << 24 | 10),
				.sport_be = (uint16_t)lode_rng_u64(&rng),
				.dport_be = __builtin_bswap16((uint16_t)lode_rng_below(&rng, 10)),
				.protocol = lode_rng_below(&rng, 2) ? 6 : 17};
			uint8_t dscp = (uint8_t)lode_rng_below(&rng, 3);
			enum lode_class fast = LODE_N_CLASSES, naive = LODE_N_CLASSES;
			bool a = rules_match(rules, &t, dscp, &fast);
			bool b = rules_match_naive(c, &t, dscp, &naive);
			cr_assert(a == b && fast == naive, "round %u: %d %d, %d %d", round, a, b,
				fast, naive);
			n_matches += a;
		}
		lode_rules_free(rules);
	}
	cr_assert_gt(n_matches, 1000);
	free(c);
	cr_assert_eq(world_free(&x), 0);
}

static struct flow run_flow(uint8_t protocol, uint16_t dport, unsigned n, unsigned pps,
	uint16_t min_bytes, uint16_t max_bytes)
{
	struct ip_info ip = {.tuple = {.protocol = protocol, .dport_be = __builtin_bswap16(dport)}};
	struct flow f = {.protocol = protocol & 0x7f, .min_bytes = UINT16_MAX};
	struct lode_rng rng;
	lode_rng_seed(&rng, 9);
	classify_start(NULL, 0, &ip, &f);
	for (unsigned i = 0; i < n; i++)
		classify_account(NULL, &f,
			(uint16_t)(min_bytes + lode_rng_below(&rng, max_bytes - min_bytes + 1u)),
			LODE_NS_PER_S + i * LODE_NS_PER_S / pps);
	return f;
}

Test(classify, behaviour)
{
	cr_assert_eq(run_flow(PROTO_UDP, 40000, 5, 50, 200, 200).cls, LODE_BULK);
	cr_assert_eq(run_flow(PROTO_UDP, 40000, 100, 50, 200, 200).cls, LODE_VOIP);
	cr_assert_eq(run_flow(PROTO_UDP, 40000, 100, 60, 60, 300).cls, LODE_GAMING);
	cr_assert_eq(run_flow(PROTO_UDP, 40000, 100, 400, 1200, 1300).cls, LODE_STREAMING);
	cr_assert_eq(run_flow(PROTO_TCP, 40000, 100, 10, 60, 200).cls, LODE_WEB);
	cr_assert_eq(run_flow(PROTO_TCP, 443, 100, 100, 60, 1400).cls, LODE_WEB);
	cr_assert_eq(run_flow(PROTO_TCP, 443, 5000, 2000, 1300, 1400).cls, LODE_BULK);
	cr_assert_eq(run_flow(PROTO_UDP, 5060, 100, 50, 1000, 1400).cls, LODE_VOIP,
		"a port's word stands");
}

Test(classify, the_operator_says_the_class_of_a_behaviour)
{
	struct lode_config *c = calloc(1, sizeof(*c));
	struct lode_rules *rules;
	struct lode_err err;
	for (unsigned i = 0; i < LODE_N_BEHAVIOURS; i++)
		c->behaviour[i] = LODE_BULK;
	c->behaviour[LODE_BEHAVES_STREAM] = LODE_WEB;
	cr_assert_eq(lode_rules_build(c, &rules, &err), 0);
	cr_assert_eq(rules_behaviour(rules, LODE_BEHAVES_STREAM), LODE_WEB);
	cr_assert_eq(rules_behaviour(rules, LODE_BEHAVES_CALL), LODE_BULK);
	cr_assert_eq(rules_behaviour(NULL, LODE_BEHAVES_CALL), LODE_VOIP);
	lode_rules_free(rules);
	free(c);
}

Test(classify, dscp_goes_before_ports)
{
	struct ip_info ip = {.dscp = 46, .tuple = {.protocol = PROTO_TCP, .dport_be = 0x5000}};
	struct flow f = {0};
	classify_start(NULL, 0, &ip, &f);
	cr_assert_eq(f.cls, LODE_VOIP);
	cr_assert_eq(f.source, CLASS_BY_DSCP);
}

Test(heap, agrees_with_a_scan)
{
	struct heap h;
	struct lode_rng rng;
	uint64_t due[LODE_PEERS_MAX];
	heap_init(&h);
	lode_rng_seed(&rng, 3);
	for (unsigned i = 0; i < LODE_PEERS_MAX; i++)
		due[i] = LODE_NEVER_NS;
	for (unsigned round = 0; round < 20000; round++) {
		uint8_t item = (uint8_t)lode_rng_below(&rng, LODE_PEERS_MAX);
		if (lode_rng_below(&rng, 4) == 0) {
			heap_remove(&h, item);
			due[item] = LODE_NEVER_NS;
		} else {
			due[item] = lode_rng_below(&rng, 1000);
			heap_set(&h, item, due[item]);
		}
		uint64_t first = LODE_NEVER_NS;
		for (unsigned i = 0; i < LODE_PEERS_MAX; i++)
			first = LODE_MIN(first, due[i]);
		cr_assert_eq(heap_first_ns(&h), first);
	}
}
