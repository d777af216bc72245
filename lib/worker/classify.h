/* SPDX-License-Identifier: BSD-3-Clause */
/* classify: which class a flow belongs to. The operator's rules come first, then DSCP, then well-known
 * ports, then what the flow does; without any of these it is Bulk. */
#pragma once

#include "flow.h"

struct lode_rules;

/* Class by the operator's rules (rte_acl); false: none matches. */
bool rules_match(const struct lode_rules *rules, const struct five_tuple *tuple, uint8_t dscp,
	enum lode_class *cls);
/* The same by looking at each rule in turn: the reference for tests. */
bool rules_match_naive(const struct lode_config *config, const struct five_tuple *tuple,
	uint8_t dscp, enum lode_class *cls);
/* The operator's class of a behaviour; NULL rules: the usual one. */
enum lode_class rules_behaviour(const struct lode_rules *rules, enum lode_behaviour behaviour);
/* RFC 4594's service classes; false: default forwarding says nothing. */
bool classify_dscp(uint8_t dscp, enum lode_class *cls);
bool classify_ports(const struct five_tuple *tuple, enum lode_class *cls);
/* First packet of a flow, or one under new rules or another DSCP: sets class and source. */
void classify_start(const struct lode_rules *rules, uint32_t rules_serial, const struct ip_info *ip,
	struct flow *f);
/* Looks at what the flow does. */
void classify_look(const struct lode_rules *rules, struct flow *f, uint64_t now_ns);

#define CLASSIFY_FIRST_LOOK_PKTS 16
#define CLASSIFY_LAST_LOOK_PKTS	 1024
/* Counts a packet; now and then looks at what the flow does. */
static inline void classify_account(
	const struct lode_rules *rules, struct flow *f, uint16_t bytes, uint64_t now_ns)
{
	f->last_ns = LODE_MAX(now_ns, 1);
	f->n_pkts++;
	f->mark_pkts++;
	f->mark_bytes += bytes;
	f->min_bytes = LODE_MIN(f->min_bytes, bytes);
	f->max_bytes = LODE_MAX(f->max_bytes, bytes);
	bool half = f->mark_pkts >= f->n_pkts / 2 || f->mark_pkts >= CLASSIFY_LAST_LOOK_PKTS;
	if (lode_unlikely(half && f->mark_pkts >= CLASSIFY_FIRST_LOOK_PKTS))
		classify_look(rules, f, now_ns);
}
