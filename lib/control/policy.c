/* SPDX-License-Identifier: BSD-3-Clause */
/* Which paths a class may use: the links that the configuration names for it, in that order. A class moves
 * to its next link at once when its preferred one is not up, and back when that has been up for 10 s, at
 * most once in 2 s. Links that are not named serve as backup. Between snapshots this is one atomic word per
 * (peer, class); lanes skip dead paths by themselves in the meantime. */
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

/* First link in the class's order that is up; the first at all when none is. */
static uint8_t best_path(const struct peer_slot *slot, const uint8_t *order, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (slot->health[order[i]].healthy_ns)
			return order[i];
	return n ? order[0] : LODE_NO_PATH;
}

/* Where the class goes from where it is. */
static uint8_t next_preferred(const struct peer_slot *slot, const struct class_policy *policy,
	const uint8_t *order, unsigned n, uint64_t now_ns)
{
	uint8_t now_on = policy->choice.preferred, best = best_path(slot, order, n);
	if (best == now_on || best == LODE_NO_PATH || policy->choice.serial == 0 ||
		now_on == LODE_NO_PATH || !slot->health[now_on].healthy_ns)
		return best;
	bool stable = now_ns - slot->health[best].healthy_ns >= FAILBACK_NS;
	return stable && now_ns - policy->moved_ns >= MOVE_EVERY_NS ? best : now_on;
}

static void count_move(struct lode_control *c, const struct peer_slot *slot,
	const struct class_policy *policy, uint8_t preferred)
{
	uint8_t from = policy->choice.preferred;
	if (from == LODE_NO_PATH || policy->choice.serial == 0)
		return;
	lode_counter_add(
		slot->health[from].healthy_ns ? &c->counters.failbacks : &c->counters.failovers, 1);
	control_log(c, LODE_LOG_DEBUG, "a class moved from path %u to path %u", from, preferred);
}

static void update_class(struct lode_control *c, unsigned peer_idx, unsigned cls, uint64_t now_ns)
{
	struct peer_slot *slot = &c->peers[peer_idx];
	const struct lode_config_class *config = &c->prepared->config->classes[cls];
	struct class_policy *policy = &slot->policy[cls];
	union lode_choice next = {.copies = config->copies, .preferred = LODE_NO_PATH};
	uint8_t order[LODE_LINKS_MAX], all = valid_paths(slot->view);
	unsigned n = 0;
	for (unsigned i = 0; i < config->n_links; i++) {
		int p = path_by_name(slot->view, config->links[i]);
		if (p < 0)
			continue;
		order[n++] = (uint8_t)p;
		next.allowed |= (uint8_t)(1u << p);
	}
	if (n == 0)
		next.allowed = all;
	next.backup = all & (uint8_t)~next.allowed;
	next.preferred = next_preferred(slot, policy, order, n, now_ns);
	next.serial = policy->choice.serial;
	if (next.word == policy->choice.word && next.serial)
		return;
	if (next.preferred != policy->choice.preferred) {
		count_move(c, slot, policy, next.preferred);
		policy->moved_ns = now_ns;
	}
	next.serial++;
	policy->choice = next;
	atomic_store_explicit(
		&c->params.shared->choice[peer_idx][cls], next.word, memory_order_release);
}

void update_policies(struct lode_control *c, uint64_t now_ns)
{
	for (unsigned i = 0; i < LODE_PEERS_MAX; i++) {
		if (!c->peers[i].peer || !c->peers[i].view)
			continue;
		update_health(&c->peers[i], now_ns);
		for (unsigned cls = 0; cls < LODE_N_CLASSES; cls++)
			update_class(c, i, cls, now_ns);
	}
}
