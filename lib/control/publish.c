/* SPDX-License-Identifier: BSD-3-Clause */
/* Snapshots out, and old ones back. */
#include "control.h"

#include <stdlib.h>

int lode_control_prepare(
	struct lode_config *config, struct lode_prepared **out, struct lode_err *err)
{
	*out = NULL;
	struct lode_prepared *p = calloc(1, sizeof(*p));
	if (!p) {
		lode_config_free(config);
		return lode_err_set(err, -ENOMEM, "no memory for a configuration");
	}
	p->refs = 1;
	p->config = config;
	int rc = lode_rules_build(config, &p->rules, err);
	if (rc) {
		prepared_unref(p);
		return rc;
	}
	*out = p;
	return 0;
}

void prepared_unref(struct lode_prepared *p)
{
	if (!p || --p->refs)
		return;
	lode_rules_free(p->rules);
	lode_config_free(p->config);
	free(p);
}

static void fill_ports(const struct lode_control *c, struct lode_snapshot *s)
{
	for (unsigned i = 0; i < LODE_ALL_PORTS; i++) {
		memcpy(s->ports[i].mac, c->ports[i].mac, 6);
		s->ports[i].mtu_bytes = c->ports[i].mtu_bytes;
		s->ports[i].up = c->ports[i].up;
		s->ports[i].vlan = i < LODE_PORTS_MAX ? c->prepared->config->ports[i].vlan : 0;
	}
}

/* A peer without any key is not in the snapshot: its packets wait in the lane, or are dropped. */
static bool has_keys(const struct lode_peer_view *v)
{
	for (unsigned i = 0; v && i < LODE_EPOCHS; i++)
		if (v->epochs[i].rx_valid || v->epochs[i].tx_valid)
			return true;
	return false;
}

int publish(struct lode_control *c, struct lode_err *err)
{
	int rc = c->routes_stale ? build_routes(c, err) : 0;
	if (!rc && c->neighbours_stale)
		rc = build_neighbours(c, err);
	if (rc)
		return rc;
	struct published *entry = calloc(1, sizeof(*entry));
	struct lode_snapshot *s = lode_snapshot_new(c->serial + 1);
	if (!entry || !s) {
		free(entry);
		lode_snapshot_free(s);
		return lode_err_set(err, -ENOMEM, "no memory for a snapshot");
	}
	s->config = c->prepared->config;
	s->rules = c->prepared->rules;
	s->loss_model = c->loss_model;
	s->routes = c->routes;
	s->neighbours = c->neighbour_table;
	fill_ports(c, s);
	for (unsigned i = 0; i < LODE_PEERS_MAX; i++)
		s->peers[i] = has_keys(c->peers[i].view) ? c->peers[i].view : NULL;
	rc = lode_snapshot_finish(s, err);
	if (rc) {
		lode_snapshot_free(s);
		free(entry);
		return rc;
	}
	c->prepared->refs++;
	*entry = (struct published){.next = c->newest, .snapshot = s, .prepared = c->prepared};
	c->newest = entry;
	c->serial++;
	c->snapshot_stale = false;
	atomic_store_explicit(&c->params.shared->snapshot, s, memory_order_release);
	lode_counter_add(&c->counters.snapshots, 1);
	return 0;
}

/* The list is newest first: what follows the first entry that may stay is freed. */
void free_published(struct lode_control *c, uint64_t older_than)
{
	struct published **link = &c->newest;
	while (*link && (*link)->snapshot->serial >= older_than)
		link = &(*link)->next;
	while (*link) {
		struct published *p = *link;
		*link = p->next;
		lode_snapshot_free(p->snapshot);
		prepared_unref(p->prepared);
		free(p);
	}
}

void lode_control_set_loss_model(struct lode_control *c, const struct lode_loss_model *model)
{
	c->loss_model = model;
	c->snapshot_stale = true;
}

uint64_t lode_control_serial(const struct lode_control *c)
{
	return c->serial;
}

void lode_control_reclaim(struct lode_control *c, uint64_t serial, uint64_t now_ns)
{
	free_published(c, LODE_MIN(serial, c->serial));
	for (unsigned i = 0; i < LODE_PEERS_MAX; i++) {
		struct peer_slot *slot = &c->peers[i];
		if (!slot->peer || !slot->view || slot->installed_told ||
			slot->view_serial > serial)
			continue;
		slot->installed_told = true;
		lode_peer_installed(slot->peer, slot->view_generation, now_ns);
	}
}
