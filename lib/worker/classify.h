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
/* Counts a packet; now and then looks at what the flow does. */
void classify_account(
	const struct lode_rules *rules, struct flow *f, uint16_t bytes, uint64_t now_ns);
