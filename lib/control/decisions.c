/* SPDX-License-Identifier: BSD-3-Clause */
/* The last path choices and their reasons, and why things are as they are now. */
#include "control.h"

const char *lode_decision_why_name(enum lode_decision_why why)
{
	static const char *const names[] = {
		"first", "dead", "better", "returned", "listed", "quota", "poor", "turn"};
	return (unsigned)why < LODE_ARRAY_LEN(names) ? names[why] : "?";
}

static void describe(const struct lode_control *c, unsigned peer_idx, unsigned cls, unsigned from,
	unsigned to, struct lode_decision *d)
{
	const struct peer_slot *slot = &c->peers[peer_idx];
	const struct class_policy *policy = &slot->policy[cls];
	d->at_ns = c->now_ns;
	d->peer_idx = (uint8_t)peer_idx;
	d->cls = (uint8_t)cls;
	d->from = (uint8_t)from;
	d->to = (uint8_t)to;
	d->healthy = policy->healthy;
	d->why = (enum lode_decision_why)policy->why;
	lode_selector_explain(
		slot->selector, (enum lode_class)cls, to, policy->healthy, &d->reason);
}

void note_decision(struct lode_control *c, unsigned peer_idx, unsigned cls, unsigned from,
	unsigned to, enum lode_decision_why why)
{
	struct lode_decision *d = &c->decisions[c->n_decisions++ % DECISIONS];
	c->peers[peer_idx].policy[cls].why = (uint8_t)why;
	describe(c, peer_idx, cls, from, to, d);
}

unsigned lode_control_decisions(
	const struct lode_control *c, struct lode_decision *out, unsigned max)
{
	unsigned n = (unsigned)LODE_MIN(c->n_decisions, (uint64_t)LODE_MIN(max, DECISIONS));
	for (unsigned i = 0; i < n; i++)
		out[i] = c->decisions[(c->n_decisions - 1 - i) % DECISIONS];
	return n;
}

int lode_control_explain(const struct lode_control *c, unsigned peer_idx, enum lode_class cls,
	struct lode_choice_status *out)
{
	const struct peer_slot *slot = &c->peers[LODE_MIN(peer_idx, LODE_PEERS_MAX - 1u)];
	if (peer_idx >= LODE_PEERS_MAX || !slot->view || !slot->selector)
		return -ENOENT;
	const struct class_policy *policy = &slot->policy[cls];
	const struct lode_config_class *config = &c->prepared->config->classes[cls];
	*out = (struct lode_choice_status){.choice = policy->choice,
		.since_ns = policy->moved_ns,
		.healthy = policy->healthy,
		.late = policy->late,
		.thrifty = policy->thrifty,
		.listed = config->n_links > 0 && config->prefer == LODE_PREFER_LISTED};
	for (unsigned p = 0; p < LODE_LINKS_MAX; p++)
		out->poor |= (uint8_t)(slot->health[p].poor << p);
	unsigned at = policy->choice.preferred;
	describe(c, peer_idx, cls, at, at, &out->last);
	return 0;
}

int lode_control_selector_stats(
	const struct lode_control *c, unsigned peer_idx, struct lode_selector_stats *out)
{
	if (peer_idx >= LODE_PEERS_MAX || !c->peers[peer_idx].selector)
		return -ENOENT;
	lode_selector_get_stats(c->peers[peer_idx].selector, out);
	return 0;
}
