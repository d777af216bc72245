/* SPDX-License-Identifier: BSD-3-Clause */
/* Which paths a class may use, and which it prefers: whenever the peer's lanes tell something new, which is every
 * 10 ms while they carry anything, and at once when a path changes its state.
 * Links that the configuration lists for the class win: with prefer: listed it moves to the next one at once
 * when its preferred one is not up, and back when that has been up for 10 s, at most once in 2 s. Otherwise
 * the peer's selector chooses among what is up, is not poor and has budget left. Paths outside of all this
 * serve as backup. The result is one atomic word per (peer, class); lanes skip dead paths by themselves in
 * the meantime. */
#include "control.h"

#define FAILBACK_NS   (10 * LODE_NS_PER_S)
#define MOVE_EVERY_NS (2 * LODE_NS_PER_S)

/* Path of a link name, or -1. */
static int path_by_name(const struct lode_peer_view *v, const char *name)
{
	for (unsigned p = 0; p < LODE_LINKS_MAX; p++)
		if (v->paths[p].valid && !strcmp(v->paths[p].name, name))
			return (int)p;
	return -1;
}

static uint8_t valid_paths(const struct lode_peer_view *v)
{
	uint8_t mask = 0;
	for (unsigned p = 0; p < LODE_LINKS_MAX; p++)
		mask |= (uint8_t)(v->paths[p].valid << p);
	return mask;
}

static uint8_t up_paths(const struct peer_slot *slot)
{
	uint8_t mask = 0;
	for (unsigned p = 0; p < LODE_LINKS_MAX; p++)
		mask |= (uint8_t)((slot->health[p].healthy_ns != 0) << p);
	return mask;
}

static uint8_t poor_paths(const struct peer_slot *slot)
{
	uint8_t mask = 0;
	for (unsigned p = 0; p < LODE_LINKS_MAX; p++)
		mask |= (uint8_t)(slot->health[p].poor << p);
	return mask;
}

/* Links that the class lists, in that order. */
static unsigned listed_paths(const struct peer_slot *slot, const struct lode_config_class *config,
	uint8_t order[LODE_LINKS_MAX], uint8_t *mask)
{
	unsigned n = 0;
	*mask = 0;
	for (unsigned i = 0; i < config->n_links; i++) {
		int p = path_by_name(slot->view, config->links[i]);
		if (p < 0)
			continue;
		order[n++] = (uint8_t)p;
		*mask |= (uint8_t)(1u << p);
	}
	return n;
}

static void update_health(struct peer_slot *slot, uint64_t now_ns)
{
	for (unsigned p = 0; p < LODE_LINKS_MAX; p++) {
		struct path_health *h = &slot->health[p];
		h->state = slot->summary.paths[p].state;
		if (h->state != LODE_PATH_UP)
			h->healthy_ns = 0;
		else if (!h->healthy_ns)
			h->healthy_ns = LODE_MAX(now_ns, 1);
	}
}

/* ---- the configuration's order ---- */

/* First link in the class's order that is up; the first at all when none is. */
static uint8_t best_path(const struct peer_slot *slot, const uint8_t *order, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (slot->health[order[i]].healthy_ns)
			return order[i];
	return n ? order[0] : LODE_NO_PATH;
}

/* Where the class goes from where it is. */
static uint8_t next_listed(const struct peer_slot *slot, const struct class_policy *policy,
	const uint8_t *order, unsigned n, uint8_t mask, uint64_t now_ns)
{
	uint8_t now_on = policy->choice.preferred, best = best_path(slot, order, n);
	if (best == now_on || best == LODE_NO_PATH || policy->choice.serial == 0 ||
		now_on == LODE_NO_PATH || !(mask & 1u << now_on) ||
		!slot->health[now_on].healthy_ns)
		return best;
	bool stable = now_ns - slot->health[best].healthy_ns >= FAILBACK_NS;
	return stable && now_ns - policy->moved_ns >= MOVE_EVERY_NS ? best : now_on;
}

/* ---- the selector's choice ---- */

/* Paths ahead of their budget that the class keeps off. */
static uint8_t thrifty_paths(
	const struct lode_control *c, unsigned peer_idx, unsigned cls, uint8_t was)
{
	const struct lode_peer_view *v = c->peers[peer_idx].view;
	uint8_t mask = 0;
	for (unsigned p = 0; p < LODE_LINKS_MAX; p++)
		if (v->paths[p].valid && quota_spare(c, v->paths[p].port_idx, cls, was & 1u << p))
			mask |= (uint8_t)(1u << p);
	return mask;
}

/* The first of the masks that has a path which is up; the last, if none has. */
static uint8_t first_up(uint8_t up, uint8_t a, uint8_t b, uint8_t c)
{
	return a & up ? a : b & up ? b : c;
}

static uint8_t learned(struct lode_control *c, unsigned peer_idx, unsigned cls, uint8_t candidates,
	union lode_choice *next)
{
	struct peer_slot *slot = &c->peers[peer_idx];
	struct class_policy *policy = &slot->policy[cls];
	struct lode_selector_choice choice;
	uint8_t up = up_paths(slot), poor = poor_paths(slot);
	policy->thrifty = thrifty_paths(c, peer_idx, cls, policy->thrifty);
	policy->late = selector_laggards(c, peer_idx, cls, policy->late);
	poor |= policy->late;
	next->allowed = first_up(up, candidates & (uint8_t) ~(poor | policy->thrifty),
		candidates & (uint8_t)~poor, candidates);
	policy->healthy = next->allowed & up;
	if (policy->healthy == 0) /* the lane does what can be done; nothing to learn from it */
		return policy->choice.serial ? policy->choice.preferred : LODE_NO_PATH;
	lode_selector_select(
		slot->selector, (enum lode_class)cls, policy->healthy, c->now_ns, &choice);
	if (choice.by_turns)
		next->flags |= LODE_CHOICE_NEW_FLOWS;
	return choice.path;
}

/* ---- both ---- */

static enum lode_decision_why reason(const struct peer_slot *slot, unsigned cls, unsigned to,
	const union lode_choice *next, bool listed)
{
	const struct class_policy *policy = &slot->policy[cls];
	uint8_t from = policy->choice.preferred;
	if (from == LODE_NO_PATH || policy->choice.serial == 0)
		return LODE_WHY_FIRST;
	if (!slot->health[from].healthy_ns)
		return LODE_WHY_DEAD;
	if (listed)
		return slot->health[to].healthy_ns ? LODE_WHY_RETURNED : LODE_WHY_LISTED;
	if (!(next->allowed & 1u << from))
		return policy->thrifty & 1u << from ? LODE_WHY_QUOTA : LODE_WHY_POOR;
	return next->flags & LODE_CHOICE_NEW_FLOWS ? LODE_WHY_TURN : LODE_WHY_BETTER;
}

static void count_move(
	struct lode_control *c, unsigned peer_idx, unsigned cls, unsigned to, unsigned why)
{
	const union lode_choice *before = &c->peers[peer_idx].policy[cls].choice;
	uint8_t from = before->serial ? before->preferred : LODE_NO_PATH;
	if (why == LODE_WHY_TURN || from == to)
		return; /* turns are taken a hundred times a second, and nobody moves */
	note_decision(c, peer_idx, cls, from, to, (enum lode_decision_why)why);
	if (why == LODE_WHY_FIRST)
		return;
	lode_counter_add(why == LODE_WHY_DEAD	    ? &c->counters.failovers
			 : why == LODE_WHY_RETURNED ? &c->counters.failbacks
						    : &c->counters.moves,
		1);
	control_log(c, LODE_LOG_DEBUG, "peer %s, class %s: from path %u to path %u: %s",
		c->peers[peer_idx].name, lode_class_name((enum lode_class)cls), from, to,
		lode_decision_why_name((enum lode_decision_why)why));
}

static void update_class(struct lode_control *c, unsigned peer_idx, unsigned cls, uint64_t now_ns)
{
	struct peer_slot *slot = &c->peers[peer_idx];
	const struct lode_config_class *config = &c->prepared->config->classes[cls];
	struct class_policy *policy = &slot->policy[cls];
	union lode_choice next = {.copies = config->copies};
	uint8_t order[LODE_LINKS_MAX], mask, all = valid_paths(slot->view);
	unsigned n = listed_paths(slot, config, order, &mask);
	bool listed = n > 0 && config->prefer == LODE_PREFER_LISTED;
	if (listed) {
		next.allowed = mask;
		policy->healthy = mask & up_paths(slot);
		next.preferred = next_listed(slot, policy, order, n, mask, now_ns);
	} else {
		next.preferred = learned(c, peer_idx, cls, n ? mask : all, &next);
	}
	next.backup = all & (uint8_t)~next.allowed;
	next.serial = policy->choice.serial;
	if (next.word == policy->choice.word && next.serial)
		return;
	if (next.preferred != policy->choice.preferred ||
		(next.serial == 0 && next.preferred != LODE_NO_PATH)) {
		enum lode_decision_why why = reason(slot, cls, next.preferred, &next, listed);
		count_move(c, peer_idx, cls, next.preferred, why);
		policy->moved_ns = now_ns;
	}
	next.serial = (uint16_t)(next.serial == UINT16_MAX ? 1 : next.serial + 1);
	policy->choice = next;
	atomic_store_explicit(
		&c->params.shared->choice[peer_idx][cls], next.word, memory_order_release);
}

void update_policy(struct lode_control *c, unsigned peer_idx, uint64_t now_ns)
{
	update_health(&c->peers[peer_idx], now_ns);
	selector_feed(c, peer_idx, now_ns);
	for (unsigned cls = 0; cls < LODE_N_CLASSES; cls++)
		update_class(c, peer_idx, cls, now_ns);
}
