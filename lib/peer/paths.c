/* SPDX-License-Identifier: BSD-3-Clause */
/* Path ids are those of the initiator's table and pair links by name. They outlive rekeys, whoever begins
 * them: who asks for new keys offers the ids in use. */
#include "internal.h"

static int find_link(const struct lode_peer *p, const char *name)
{
	for (unsigned i = 0; i < p->params.n_links; i++)
		if (!strncmp(p->params.links[i].name, name, LODE_NAME_MAX))
			return (int)i;
	return -ENOENT;
}

void paths_offer(const struct lode_peer *p, struct lode_wire_links *names)
{
	uint8_t placed = 0; /* links that have an id */
	memset(names, 0, sizeof(*names));
	for (unsigned id = 0; id < LODE_WIRE_PATHS; id++) {
		int link = (p->known.accepted >> id & 1) ? find_link(p, p->known.names.name[id])
							 : -ENOENT;
		if (link < 0)
			continue;
		memcpy(names->name[id], p->params.links[link].name, LODE_NAME_MAX);
		placed |= (uint8_t)(1u << link);
	}
	unsigned id = 0;
	for (unsigned link = 0; link < p->params.n_links; link++) {
		if (placed >> link & 1)
			continue;
		while (names->name[id][0])
			id++; /* ends: there are no more links than ids */
		memcpy(names->name[id], p->params.links[link].name, LODE_NAME_MAX);
	}
}

uint8_t paths_accept(const struct lode_peer *p, const struct lode_wire_links *names)
{
	uint8_t accepted = 0;
	for (unsigned id = 0; id < LODE_WIRE_PATHS; id++)
		if (names->name[id][0] && find_link(p, names->name[id]) >= 0)
			accepted |= (uint8_t)(1u << id);
	return accepted;
}

bool paths_moved(const struct lode_peer *p, const struct session *to)
{
	uint8_t both = p->known.accepted & to->accepted;
	for (unsigned id = 0; id < LODE_WIRE_PATHS; id++)
		if ((both >> id & 1) &&
			strncmp(p->known.names.name[id], to->names.name[id], LODE_NAME_MAX))
			return true;
	return false;
}

/* Addresses of the lanes that have none yet. `base` is where the port `announced` of the peer is reached; its
 * other ports keep their distance to that one, which also holds for a NAT that forwards the range. */
static void fill_lanes(const struct session *s, const struct lode_endpoint *base,
	uint16_t announced, struct lode_endpoint remote[LODE_WIRE_LANES])
{
	for (unsigned lane = 0; lane < s->peer.lanes.n_lanes; lane++)
		if (!remote[lane].port)
			remote[lane] = (struct lode_endpoint){base->ip,
				(uint16_t)(base->port + s->peer.lanes.udp_port[lane] - announced)};
}

static void rebuild_path(struct lode_peer *p, unsigned id, const struct session *s)
{
	struct lode_peer_path *path = &p->state.paths[id];
	int link = s ? find_link(p, s->names.name[id]) : -ENOENT;
	if (link < 0) {
		*path = (struct lode_peer_path){0};
		return;
	}
	const struct lode_peer_link *l = &p->params.links[link];
	bool same = path->valid && !strncmp(path->name, l->name, LODE_NAME_MAX) &&
		    path->port_idx == l->port_idx;
	if (!same)
		*path = (struct lode_peer_path){.valid = true, .port_idx = l->port_idx};
	path->link_idx = (uint8_t)link;
	memcpy(path->name, l->name, LODE_NAME_MAX);
	if (path->remote[0].port)
		fill_lanes(s, &path->remote[0], s->peer.lanes.udp_port[0], path->remote);
	else if (l->remote.port)
		fill_lanes(s, &l->remote, s->peer.udp_port, path->remote);
}

void paths_forget(struct lode_peer *p, const struct lode_endpoint *via)
{
	for (unsigned id = 0; id < LODE_WIRE_PATHS; id++) {
		struct lode_peer_path *path = &p->state.paths[id];
		if (path->valid && p->params.links[path->link_idx].remote.port &&
			!lode_endpoint_equal(&path->remote[0], via))
			path->valid = false;
	}
}

/* An id that only the next session has is shown too: its first packet must get in to confirm the session. */
void paths_rebuild(struct lode_peer *p)
{
	for (unsigned id = 0; id < LODE_WIRE_PATHS; id++) {
		const struct session *s = NULL;
		if (p->cur && (p->cur->accepted >> id & 1))
			s = p->cur;
		else if (p->next && (p->next->accepted >> id & 1))
			s = p->next;
		rebuild_path(p, id, s);
	}
}

static const struct lode_endpoint *learned(const struct lode_peer *p, unsigned link)
{
	for (unsigned id = 0; id < LODE_WIRE_PATHS; id++) {
		const struct lode_peer_path *path = &p->state.paths[id];
		if (path->valid && path->link_idx == link && !lode_ip_is_none(&path->remote[0].ip))
			return &path->remote[0];
	}
	return NULL;
}

/* What was learned may be stale after a silence, and what is configured may be behind a NAT: in turns. */
bool paths_target(
	const struct lode_peer *p, unsigned link, unsigned round, struct lode_endpoint *to)
{
	const struct lode_endpoint *known = learned(p, link);
	const struct lode_endpoint *configured = &p->params.links[link].remote;
	bool use_configured = !lode_ip_is_none(&configured->ip) && (!known || round % 2);
	if (!use_configured && !known)
		return false;
	*to = use_configured ? *configured : *known;
	return true;
}

int paths_link_of(const struct lode_peer *p, unsigned port_idx, const struct lode_endpoint *from)
{
	for (unsigned link = 0; link < p->params.n_links; link++) {
		if (p->params.links[link].port_idx != port_idx)
			continue;
		for (unsigned round = 0; round < 2; round++) {
			struct lode_endpoint to;
			if (paths_target(p, link, round, &to) && lode_endpoint_equal(&to, from))
				return (int)link;
		}
	}
	return -ENOENT;
}

int lode_peer_roam(struct lode_peer *p, unsigned path, unsigned lane, unsigned port_idx,
	const struct lode_endpoint *remote, uint64_t heard_ns)
{
	if (path >= LODE_WIRE_PATHS || lane >= LODE_WIRE_LANES || !p->state.paths[path].valid)
		return -ENOENT;
	struct lode_peer_path *known = &p->state.paths[path];
	if (port_idx != known->port_idx || lode_ip_is_none(&remote->ip) || !remote->port)
		return -EINVAL;
	if (p->cur && heard_ns < p->cur->born_ns)
		return -ESTALE;
	if (lode_endpoint_equal(&known->remote[lane], remote))
		return 0;
	/* The whole site moved: lanes not heard from yet are where the others were, at the new address. */
	struct lode_ip old = known->remote[lane].ip;
	for (unsigned i = 0; i < LODE_WIRE_LANES; i++)
		if (known->remote[i].port && !memcmp(&known->remote[i].ip, &old, sizeof(old)))
			known->remote[i].ip = remote->ip;
	known->remote[lane] = *remote;
	const struct session *s = p->cur ? p->cur : p->next;
	if (s && lane < s->peer.lanes.n_lanes)
		fill_lanes(s, remote, s->peer.lanes.udp_port[lane], known->remote);
	p->state.generation++;
	return 0;
}
