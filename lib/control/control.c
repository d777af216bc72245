/* SPDX-License-Identifier: BSD-3-Clause */
/* The control loop: ask workers, let peers act, decide, publish. */
#include "control.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

const struct lode_counter_desc lode_control_counter_descs[] = {
	LODE_CONTROL_COUNTERS(LODE_COUNTER_DESC_)};
const unsigned lode_control_n_counters = LODE_ARRAY_LEN(lode_control_counter_descs);

void control_log(struct lode_control *c, enum lode_log_level level, const char *fmt, ...)
{
	char text[256];
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	c->params.log(c->params.ctx, level, text);
}

struct lode_control *lode_control_new(const struct lode_control_params *params,
	struct lode_prepared *prepared, uint64_t now_ns, struct lode_err *err)
{
	struct lode_control *c = calloc(1, sizeof(*c));
	if (!c) {
		prepared_unref(prepared);
		lode_err_set(err, -ENOMEM, "no memory for control");
		return NULL;
	}
	c->params = *params;
	c->prepared = prepared;
	c->now_ns = now_ns;
	c->neighbours_stale = true;
	ports_from_config(c);
	struct lode_err why;
	if (params->state && remember_read(c, params->state, &why))
		control_log(c, LODE_LOG_WARN, "%s; it starts anew", why.msg);
	c->params.state = NULL;
	if (make_host(c, err) || sync_peers(c, NULL, now_ns, err) || publish(c, err)) {
		lode_control_free(c);
		return NULL;
	}
	return c;
}

void lode_control_free(struct lode_control *c)
{
	if (!c)
		return;
	atomic_store_explicit(&c->params.shared->snapshot, NULL, memory_order_release);
	free_published(c, UINT64_MAX);
	free_peers(c);
	free(c->remembered);
	lode_routes_unref(c->routes);
	lode_neighbours_unref(c->neighbour_table);
	prepared_unref(c->prepared);
	explicit_bzero(c->params.private_key, sizeof(c->params.private_key));
	free(c);
}

/* Everything under the new configuration; the caller goes back if this fails. */
static int switch_to(
	struct lode_control *c, struct lode_prepared *to, uint64_t now_ns, struct lode_err *err)
{
	const struct lode_config *from = c->prepared->config;
	c->prepared = to;
	int rc = sync_peers(c, from, now_ns, err);
	ports_from_config(c);
	return rc ? rc : publish(c, err);
}

int lode_control_apply(struct lode_control *c, struct lode_prepared *prepared, uint64_t now_ns,
	struct lode_err *err)
{
	struct lode_prepared *old = c->prepared;
	c->now_ns = now_ns;
	int rc = lode_config_can_reload(old->config, prepared->config, err);
	if (!rc) {
		rc = switch_to(c, prepared, now_ns, err);
		if (rc)
			switch_to(c, old, now_ns, NULL);
	}
	prepared_unref(rc ? prepared : old);
	lode_counter_add(rc ? &c->counters.applies_refused : &c->counters.applies, 1);
	return rc;
}

/* Only peers of which something new is known: lanes that carry nothing say little. */
static void tick(struct lode_control *c, uint64_t now_ns)
{
	quota_compare(c);
	for (unsigned i = 0; i < LODE_PEERS_MAX; i++) {
		struct peer_slot *slot = &c->peers[i];
		if (!slot->peer || !look_at_peer(c, i, now_ns) || !slot->view)
			continue;
		quota_count(c, slot);
		update_policy(c, i, now_ns);
		update_demands(c, slot);
	}
	update_budgets(c);
}

uint64_t lode_control_poll(struct lode_control *c, uint64_t now_ns)
{
	c->now_ns = now_ns;
	take_rings(c, now_ns);
	uint64_t due_ns = lode_peer_host_poll(c->host, now_ns);
	uint32_t events =
		atomic_load_explicit(&c->params.shared->path_events, memory_order_acquire);
	if (now_ns >= c->tick_ns || events != c->path_events) {
		c->path_events = events;
		c->tick_ns = now_ns + TICK_NS;
		tick(c, now_ns);
	}
	struct lode_err err;
	if (refresh_views(c, now_ns) || c->snapshot_stale) {
		if (publish(c, &err)) {
			c->snapshot_stale = true; /* the old one stays in use */
			control_log(c, LODE_LOG_ERROR, "no new snapshot: %s", err.msg);
		}
	}
	return LODE_MIN(due_ns, c->tick_ns);
}

const struct lode_config *lode_control_config(const struct lode_control *c)
{
	return c->prepared->config;
}

const struct lode_control_counters *lode_control_counters(const struct lode_control *c)
{
	return &c->counters;
}

const struct lode_peer_counters *lode_control_peer_counters(const struct lode_control *c)
{
	return lode_peer_host_counters(c->host);
}
