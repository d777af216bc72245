/* SPDX-License-Identifier: BSD-3-Clause */
/* The views of path choices: what the selectors learned, why a class is where it is, what moved it. Values lie
 * in [-1, 1] and are shown in thousandths. */
#include "views.h"

#include "lode_path.h"

#include <math.h>
#include <stdio.h>

#define LOG_MAX 64

static int64_t permille(double value)
{
	return (int64_t)lrint(value * 1000);
}

static void put_permille(struct lode_json *j, const char *name, double value)
{
	char key[LODE_NAME_MAX + 16];
	snprintf(key, sizeof(key), "%s_permille", name);
	lode_json_i64(j, key, permille(value));
}

/* Name of the link that path stands for. */
static const char *link_name(const struct lode_peer_status *s, unsigned path)
{
	for (unsigned i = 0; i < s->n_paths; i++)
		if (s->paths[i].path == path)
			return s->paths[i].name;
	return path == LODE_NO_PATH ? "none" : "gone";
}

/* ---- selector ---- */

static void put_sums(const struct gateway *g, struct lode_json *j)
{
	uint64_t sums[sizeof(struct lode_selector_counters) / 8] = {0};
	struct lode_selector_stats stats;
	for (unsigned i = 0; i < LODE_PEERS_MAX; i++) {
		if (lode_control_selector_stats(g->control, i, &stats))
			continue;
		for (unsigned k = 0; k < lode_selector_n_counters; k++)
			sums[k] += ((const uint64_t *)&stats.counters)[k];
	}
	for (unsigned k = 0; k < lode_selector_n_counters; k++)
		lode_json_u64(j, lode_selector_counter_descs[k].name, sums[k]);
}

static void put_learned(struct lode_json *j, const struct lode_peer_status *s,
	const struct lode_selector_stats *stats)
{
	for (unsigned cls = 0; cls < LODE_N_CLASSES; cls++) {
		char key[2 * LODE_NAME_MAX];
		snprintf(key, sizeof(key), "%s/%s", s->name, lode_class_name((enum lode_class)cls));
		lode_json_object(j, key);
		for (unsigned i = 0; i < s->n_paths; i++)
			put_permille(j, s->paths[i].name, stats->residual[cls][s->paths[i].path]);
		lode_json_close_object(j);
	}
}

static void put_quotas(const struct gateway *g, struct lode_json *j)
{
	lode_json_object(j, "budgets");
	for (unsigned i = 0; i < g->config->n_ports; i++) {
		struct lode_quota_status q;
		lode_control_quota(g->control, i, &q);
		if (g->config->ports[i].role != LODE_PORT_WAN)
			continue;
		lode_json_object(j, g->config->ports[i].name);
		lode_json_u64(j, "used_bytes", q.used_bytes);
		lode_json_u64(j, "budget_bytes", q.budget_bytes);
		lode_json_i64(j, "ahead_min", (int64_t)lrint(q.ahead_hours * 60));
		lode_json_close_object(j);
	}
	lode_json_close_object(j);
}

int view_selector(struct gateway *g, const char *params, struct lode_json *j, struct lode_err *err)
{
	const struct lode_config *c = lode_control_config(g->control);
	struct lode_peer_status s;
	struct lode_selector_stats stats;
	enum lode_selector_kind kind = (enum lode_selector_kind)c->selector.algorithm;
	lode_json_string(j, "algorithm", lode_selector_kind_name(kind));
	put_permille(j, "margin", c->selector.margin);
	put_sums(g, j);
	lode_json_object(j, "learned");
	for (unsigned i = 0; i < LODE_PEERS_MAX; i++)
		if (!lode_control_peer_status(g->control, i, now_ns(), &s) &&
			!lode_control_selector_stats(g->control, i, &stats) &&
			(!params[0] || !strcmp(params, s.name)))
			put_learned(j, &s, &stats);
	lode_json_close_object(j);
	put_quotas(g, j);
	return check_peer(g, params, err);
}

/* ---- decisions ---- */

static void put_decision(struct lode_json *j, const char *key, const struct lode_decision *d,
	struct lode_peer_status *s)
{
	char text[40], scores[160];
	size_t len = 0;
	unsigned p;
	format_wall_time(d->at_ns, text, sizeof(text));
	lode_json_object(j, key);
	lode_json_string(j, "at", text);
	lode_json_string(j, "peer", s->name);
	lode_json_string(j, "class", lode_class_name((enum lode_class)d->cls));
	lode_json_string(j, "from", link_name(s, d->from));
	lode_json_string(j, "to", link_name(s, d->to));
	lode_json_string(j, "why", lode_decision_why_name(d->why));
	lode_json_string(j, "tipped",
		d->reason.runner_up == LODE_SELECTOR_NONE
			? "no other"
			: lode_selector_term_name(d->reason.tipped));
	LODE_FOREACH_BIT (p, d->healthy)
		if (len < sizeof(scores) && isfinite(d->reason.score[p]))
			len += (size_t)snprintf(scores + len, sizeof(scores) - len, "%s%s %lld",
				len ? ", " : "", link_name(s, p),
				(long long)permille(d->reason.score[p]));
	lode_json_string(j, "values_permille", len ? scores : "");
	lode_json_close_object(j);
}

/* cls: LODE_N_CLASSES for all. */
static void put_log(
	const struct gateway *g, const char *peer, unsigned cls, unsigned max, struct lode_json *j)
{
	struct lode_decision log[256];
	struct lode_peer_status s;
	unsigned n = lode_control_decisions(g->control, log, LODE_ARRAY_LEN(log)), shown = 0;
	for (unsigned i = 0; i < n && shown < max; i++) {
		char key[12];
		if (lode_control_peer_status(g->control, log[i].peer_idx, now_ns(), &s) ||
			(peer[0] && strcmp(peer, s.name)) ||
			(cls < LODE_N_CLASSES && log[i].cls != cls))
			continue;
		snprintf(key, sizeof(key), "%02u", shown++);
		put_decision(j, key, &log[i], &s);
	}
}

int view_decisions(struct gateway *g, const char *params, struct lode_json *j, struct lode_err *err)
{
	put_log(g, params, LODE_N_CLASSES, LOG_MAX, j);
	return check_peer(g, params, err);
}

/* ---- explain ---- */

static const char *role_of(const struct lode_choice_status *st, unsigned path)
{
	if (path == st->choice.preferred)
		return "preferred";
	if (st->poor & 1u << path)
		return "set aside: loses too much";
	if (st->late & 1u << path)
		return "set aside: too slow beside the others";
	if (st->thrifty & 1u << path)
		return "spared: ahead of its budget";
	return st->choice.allowed & 1u << path ? "allowed" : "backup";
}

static void put_paths(
	struct lode_json *j, const struct lode_peer_status *s, const struct lode_choice_status *st)
{
	const struct lode_selector_reason *r = &st->last.reason;
	lode_json_object(j, "paths");
	for (unsigned i = 0; i < s->n_paths; i++) {
		unsigned p = s->paths[i].path;
		lode_json_object(j, s->paths[i].name);
		lode_json_string(j, "role", role_of(st, p));
		lode_json_string(j, "state", lode_path_state_name(s->paths[i].state));
		if (isfinite(r->score[p])) {
			put_permille(j, "value", r->score[p]);
			for (unsigned t = 0; t < LODE_SELECTOR_TERMS; t++)
				put_permille(j, lode_selector_term_name((enum lode_selector_term)t),
					r->term[p][t]);
		}
		lode_json_close_object(j);
	}
	lode_json_close_object(j);
}

static void put_explanation(const struct gateway *g, const struct lode_peer_status *s, unsigned cls,
	const struct lode_choice_status *st, struct lode_json *j)
{
	const struct lode_selector_reason *r = &st->last.reason;
	bool alone = r->runner_up == LODE_SELECTOR_NONE;
	lode_json_string(j, "peer", s->name);
	lode_json_string(j, "class", lode_class_name((enum lode_class)cls));
	lode_json_string(j, "path", link_name(s, st->choice.preferred));
	lode_json_u64(j, "since_s", (now_ns() - st->since_ns) / LODE_NS_PER_S);
	lode_json_string(j, "why", lode_decision_why_name(st->last.why));
	lode_json_string(j, "decided_by", st->listed ? "configuration" : "selector");
	lode_json_string(j, "next_best", link_name(s, r->runner_up));
	lode_json_string(j, "tipped", alone ? "no other" : lode_selector_term_name(r->tipped));
	lode_json_u64(j, "copies", st->choice.copies);
	put_paths(j, s, st);
	lode_json_object(j, "last_decisions");
	put_log(g, s->name, cls, 8, j);
	lode_json_close_object(j);
}

static int class_by_name(const char *name)
{
	for (unsigned cls = 0; cls < LODE_N_CLASSES; cls++)
		if (!strcmp(name, lode_class_name((enum lode_class)cls)))
			return (int)cls;
	return -1;
}

/* params: "CLASS", "CLASS PEER" or "CLASS/PEER"; without a peer the first one. */
int view_explain(struct gateway *g, const char *params, struct lode_json *j, struct lode_err *err)
{
	char name[2 * LODE_NAME_MAX];
	struct lode_peer_status s;
	struct lode_choice_status st;
	snprintf(name, sizeof(name), "%s", params);
	size_t cut = strcspn(name, " /");
	const char *peer = name[cut] ? name + cut + 1 : "";
	name[cut] = '\0';
	int cls = class_by_name(name);
	if (cls < 0)
		return lode_err_set(err, -EINVAL,
			"class \"%.40s\": want CLASS [PEER]; classes: gaming voip streaming bulk "
			"web "
			"management",
			name);
	for (unsigned i = 0; i < LODE_PEERS_MAX; i++) {
		if (lode_control_peer_status(g->control, i, now_ns(), &s) ||
			(peer[0] && strcmp(peer, s.name)))
			continue;
		if (lode_control_explain(g->control, i, (enum lode_class)cls, &st))
			return lode_err_set(err, -ENOENT, "peer %s has no paths yet", s.name);
		put_explanation(g, &s, (unsigned)cls, &st, j);
		return 0;
	}
	return lode_err_set(err, -ENOENT, "no peer \"%.40s\"", peer);
}
