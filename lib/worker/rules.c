/* SPDX-License-Identifier: BSD-3-Clause */
/* The operator's rules as one rte_acl context for both families: addresses are the 16 bytes of struct
 * lode_ip, so an IPv4 prefix is one below ::ffff:0:0/96. */
#include "classify.h"
#include "lode_worker.h"

#include <rte_acl.h>
#include <stdio.h>
#include <stdlib.h>

struct lode_rules {
	struct rte_acl_ctx *acl; /* NULL: there are no rules */
	uint16_t n_rules;
	uint8_t cls[LODE_RULES_MAX];
	uint8_t behaviour[LODE_N_BEHAVIOURS]; /* enum lode_class */
};

/* What the context looks at; rte_acl wants a single byte first, then groups of four. */
struct acl_key {
	uint8_t protocol, zero[3];
	uint32_t dscp_be, src_be[4], dst_be[4];
	uint16_t sport_be, dport_be;
};

enum {
	FIELD_PROTOCOL,
	FIELD_DSCP,
	FIELD_SRC,
	FIELD_DST = FIELD_SRC + 4,
	FIELD_SPORT = FIELD_DST + 4,
	FIELD_DPORT,
	N_FIELDS,
};
RTE_ACL_RULE_DEF(acl_rule, N_FIELDS);

static struct rte_acl_field_def field_def(
	unsigned idx, unsigned type, unsigned size, unsigned input, size_t offset)
{
	return (struct rte_acl_field_def){.type = (uint8_t)type,
		.size = (uint8_t)size,
		.field_index = (uint8_t)idx,
		.input_index = (uint8_t)input,
		.offset = (uint32_t)offset};
}

static void field_defs(struct rte_acl_field_def *f)
{
	f[FIELD_PROTOCOL] = field_def(FIELD_PROTOCOL, RTE_ACL_FIELD_TYPE_BITMASK, 1, 0,
		offsetof(struct acl_key, protocol));
	f[FIELD_DSCP] = field_def(
		FIELD_DSCP, RTE_ACL_FIELD_TYPE_BITMASK, 4, 1, offsetof(struct acl_key, dscp_be));
	for (unsigned i = 0; i < 4; i++) {
		f[FIELD_SRC + i] = field_def(FIELD_SRC + i, RTE_ACL_FIELD_TYPE_MASK, 4, 2 + i,
			offsetof(struct acl_key, src_be[i]));
		f[FIELD_DST + i] = field_def(FIELD_DST + i, RTE_ACL_FIELD_TYPE_MASK, 4, 6 + i,
			offsetof(struct acl_key, dst_be[i]));
	}
	f[FIELD_SPORT] = field_def(
		FIELD_SPORT, RTE_ACL_FIELD_TYPE_RANGE, 2, 10, offsetof(struct acl_key, sport_be));
	f[FIELD_DPORT] = field_def(
		FIELD_DPORT, RTE_ACL_FIELD_TYPE_RANGE, 2, 10, offsetof(struct acl_key, dport_be));
}

static void set_prefix(struct rte_acl_field *fields, const struct lode_prefix *prefix)
{
	for (unsigned i = 0; i < 4; i++) {
		unsigned bits = LODE_MIN(LODE_MAX((int)prefix->len - 32 * (int)i, 0), 32);
		fields[i].value.u32 = lode_load_be32(prefix->ip.b + 4 * i);
		fields[i].mask_range.u32 = bits;
	}
}

/* rte_acl: the higher priority wins, and user data 0 means no match. */
static void set_rule(
	struct acl_rule *r, const struct lode_config_rule *from, unsigned rank, unsigned idx)
{
	*r = (struct acl_rule){.data = {
				       .userdata = idx + 1,
				       .category_mask = 1,
				       .priority = (int32_t)(RTE_ACL_MAX_PRIORITY - rank),
			       }};
	r->field[FIELD_PROTOCOL].value.u8 = from->protocol;
	r->field[FIELD_PROTOCOL].mask_range.u8 = from->protocol ? 0xff : 0;
	r->field[FIELD_DSCP].value.u32 = (uint32_t)LODE_MAX(from->dscp, 0);
	r->field[FIELD_DSCP].mask_range.u32 = from->dscp >= 0 ? UINT32_MAX : 0;
	set_prefix(&r->field[FIELD_SRC], &from->src);
	set_prefix(&r->field[FIELD_DST], &from->dst);
	r->field[FIELD_SPORT].value.u16 = from->sport_lo;
	r->field[FIELD_SPORT].mask_range.u16 = from->sport_hi;
	r->field[FIELD_DPORT].value.u16 = from->dport_lo;
	r->field[FIELD_DPORT].mask_range.u16 = from->dport_hi;
}

/* Place of a rule in the order of preference: by priority, then as written. */
static unsigned rule_rank(const struct lode_config *c, unsigned idx)
{
	unsigned rank = 0;
	for (unsigned i = 0; i < c->n_rules; i++)
		rank += c->rules[i].priority < c->rules[idx].priority ||
			(c->rules[i].priority == c->rules[idx].priority && i < idx);
	return rank;
}

static int build(struct lode_rules *rules, const struct lode_config *c)
{
	char name[RTE_ACL_NAMESIZE];
	snprintf(name, sizeof(name), "lode-%p", (void *)rules);
	const struct rte_acl_param param = {.name = name,
		.socket_id = SOCKET_ID_ANY,
		.rule_size = RTE_ACL_RULE_SZ(N_FIELDS),
		.max_rule_num = c->n_rules};
	rules->acl = rte_acl_create(&param);
	if (!rules->acl)
		return -ENOMEM;
	for (unsigned i = 0; i < c->n_rules; i++) {
		struct acl_rule rule;
		set_rule(&rule, &c->rules[i], rule_rank(c, i), i);
		rules->cls[i] = (uint8_t)c->rules[i].cls;
		int rc = rte_acl_add_rules(rules->acl, (const struct rte_acl_rule *)&rule, 1);
		if (rc)
			return rc;
	}
	struct rte_acl_config config = {.num_categories = 1, .num_fields = N_FIELDS};
	field_defs(config.defs);
	return rte_acl_build(rules->acl, &config);
}

int lode_rules_build(const struct lode_config *c, struct lode_rules **out, struct lode_err *err)
{
	*out = NULL;
	struct lode_rules *rules = calloc(1, sizeof(*rules));
	if (!rules)
		return lode_err_set(err, -ENOMEM, "no memory for the class rules");
	rules->n_rules = c->n_rules;
	for (unsigned i = 0; i < LODE_N_BEHAVIOURS; i++)
		rules->behaviour[i] = (uint8_t)c->behaviour[i];
	int rc = c->n_rules ? build(rules, c) : 0;
	if (rc) {
		lode_rules_free(rules);
		return lode_err_set(err, rc, "rules: cannot build a classifier of %u rules: %s",
			c->n_rules, strerror(-rc));
	}
	*out = rules;
	return 0;
}

void lode_rules_free(struct lode_rules *rules)
{
	if (!rules)
		return;
	rte_acl_free(rules->acl);
	free(rules);
}

bool rules_match(const struct lode_rules *rules, const struct five_tuple *tuple, uint8_t dscp,
	enum lode_class *cls)
{
	if (!rules || !rules->acl)
		return false;
	struct acl_key key = {.protocol = tuple->protocol,
		.dscp_be = __builtin_bswap32(dscp),
		.sport_be = tuple->sport_be,
		.dport_be = tuple->dport_be};
	memcpy(key.src_be, tuple->src.b, sizeof(key.src_be));
	memcpy(key.dst_be, tuple->dst.b, sizeof(key.dst_be));
	const uint8_t *data = (const uint8_t *)&key;
	uint32_t result = 0;
	if (rte_acl_classify(rules->acl, &data, &result, 1, 1) || result == 0)
		return false;
	*cls = rules->cls[result - 1];
	return true;
}

enum lode_class rules_behaviour(const struct lode_rules *rules, enum lode_behaviour behaviour)
{
	static const uint8_t usual[LODE_N_BEHAVIOURS] = {
		LODE_VOIP, LODE_GAMING, LODE_STREAMING, LODE_BULK, LODE_WEB};
	return (enum lode_class)(rules ? rules->behaviour : usual)[behaviour];
}

static bool prefix_holds(const struct lode_prefix *p, const struct lode_ip *ip)
{
	for (unsigned bit = 0; bit < p->len; bit++)
		if ((p->ip.b[bit / 8] ^ ip->b[bit / 8]) >> (7 - bit % 8) & 1)
			return false;
	return true;
}

bool rules_match_naive(const struct lode_config *config, const struct five_tuple *tuple,
	uint8_t dscp, enum lode_class *cls)
{
	const struct lode_config_rule *best = NULL;
	uint16_t sport = __builtin_bswap16(tuple->sport_be),
		 dport = __builtin_bswap16(tuple->dport_be);
	for (unsigned i = 0; i < config->n_rules; i++) {
		const struct lode_config_rule *r = &config->rules[i];
		bool match = (!r->protocol || r->protocol == tuple->protocol) &&
			     (r->dscp < 0 || r->dscp == dscp) && sport >= r->sport_lo &&
			     sport <= r->sport_hi && dport >= r->dport_lo && dport <= r->dport_hi &&
			     prefix_holds(&r->src, &tuple->src) &&
			     prefix_holds(&r->dst, &tuple->dst);
		if (match && (!best || r->priority < best->priority))
			best = r;
	}
	if (best)
		*cls = best->cls;
	return best;
}
