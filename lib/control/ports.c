/* SPDX-License-Identifier: BSD-3-Clause */
/* What the kernel tells of ports: addresses, neighbours, and the routes that follow from them. */
#include "control.h"

static bool prefix_holds(const struct lode_prefix *p, const struct lode_ip *ip)
{
	unsigned bytes = p->len / 8, bits = p->len % 8;
	if (memcmp(p->ip.b, ip->b, bytes))
		return false;
	return !bits || (p->ip.b[bytes] ^ ip->b[bytes]) >> (8 - bits) == 0;
}

const struct lode_ip *port_address(const struct lode_control *c, unsigned port_idx, bool v4)
{
	const struct port_state *port = &c->ports[port_idx];
	for (unsigned i = 0; i < port->n_addrs; i++)
		if (lode_ip_is_v4(&port->addrs[i].ip) == v4)
			return &port->addrs[i].ip;
	return NULL;
}

struct lode_ip next_hop(
	const struct lode_control *c, unsigned port_idx, const struct lode_ip *remote)
{
	const struct port_state *port = &c->ports[port_idx];
	const struct lode_ip *gateway = lode_ip_is_v4(remote) ? &port->gateway4 : &port->gateway6;
	if (lode_ip_is_none(gateway))
		return *remote;
	for (unsigned i = 0; i < port->n_addrs; i++)
		if (prefix_holds(&port->addrs[i], remote))
			return *remote;
	return *gateway;
}

void ports_from_config(struct lode_control *c)
{
	const struct lode_config *config = c->prepared->config;
	for (unsigned i = 0; i < config->n_ports; i++) {
		const struct lode_config_port *from = &config->ports[i];
		struct port_state *port = &c->ports[i];
		if (!port->mtu_bytes)
			port->mtu_bytes = from->mtu_bytes;
		if (port->learned && from->dhcp)
			continue;
		port->learned = false;
		port->n_addrs = from->n_addrs;
		memcpy(port->addrs, from->addrs, sizeof(port->addrs));
		port->gateway4 = from->gateway4;
		port->gateway6 = from->gateway6;
	}
	c->ports[LODE_HOST_PORT].up = true;
	c->ports[LODE_HOST_PORT].mtu_bytes = LODE_WIRE_MTU_MAX;
	c->routes_stale = c->views_stale = c->snapshot_stale = true;
}

void lode_control_set_port(struct lode_control *c, unsigned port_idx, const uint8_t mac[6],
	uint16_t mtu_bytes, bool up)
{
	struct port_state *port = &c->ports[port_idx];
	if (!memcmp(port->mac, mac, 6) && port->mtu_bytes == mtu_bytes && port->up == up)
		return;
	bool came_up = up && !port->up;
	memcpy(port->mac, mac, 6);
	port->mtu_bytes = mtu_bytes;
	port->up = up;
	c->views_stale = c->snapshot_stale = true;
	for (unsigned i = 0; i < LODE_PEERS_MAX; i++) {
		c->peers[i].stale = true;
		if (came_up && c->peers[i].peer)
			lode_peer_kick(c->peers[i].peer, c->now_ns);
	}
}

void lode_control_set_addrs(struct lode_control *c, unsigned port_idx,
	const struct lode_prefix *addrs, unsigned n, const struct lode_ip *gateway4,
	const struct lode_ip *gateway6)
{
	struct port_state *port = &c->ports[port_idx];
	const struct lode_config_port *config = &c->prepared->config->ports[port_idx];
	struct port_state next = *port;
	next.learned = true;
	next.n_addrs = (uint8_t)LODE_MIN(n, LODE_ADDRS_MAX);
	memset(next.addrs, 0, sizeof(next.addrs));
	memcpy(next.addrs, addrs, next.n_addrs * sizeof(*addrs));
	next.gateway4 = lode_ip_is_none(gateway4) ? config->gateway4 : *gateway4;
	next.gateway6 = lode_ip_is_none(gateway6) ? config->gateway6 : *gateway6;
	if (!memcmp(&next, port, sizeof(next)))
		return;
	*port = next;
	c->routes_stale = c->views_stale = c->snapshot_stale = true;
	for (unsigned i = 0; i < LODE_PEERS_MAX; i++)
		if (c->peers[i].peer)
			lode_peer_kick(c->peers[i].peer, c->now_ns);
}

/* ---- neighbours ---- */

static struct lode_neighbour *neighbour_entry(
	const struct lode_control *c, unsigned port_idx, const struct lode_ip *ip)
{
	for (uint32_t i = 0; i < c->n_neighbours; i++) {
		const struct lode_neighbour *n = &c->neighbours[i];
		if (n->port_idx == port_idx && !memcmp(&n->ip, ip, sizeof(*ip)))
			return (struct lode_neighbour *)n;
	}
	return NULL;
}

const struct lode_neighbour *find_neighbour(
	const struct lode_control *c, unsigned port_idx, const struct lode_ip *ip)
{
	return neighbour_entry(c, port_idx, ip);
}

int lode_control_set_neighbour(struct lode_control *c, const struct lode_neighbour *neighbour)
{
	struct lode_neighbour *known = neighbour_entry(c, neighbour->port_idx, &neighbour->ip);
	if (known && !memcmp(known->mac, neighbour->mac, 6))
		return 0;
	if (!known && c->n_neighbours == LODE_CONTROL_NEIGHBOURS)
		return -ENOSPC;
	if (!known)
		known = &c->neighbours[c->n_neighbours++];
	*known = *neighbour;
	c->neighbours_stale = c->views_stale = c->snapshot_stale = true;
	return 0;
}

void lode_control_forget_neighbour(
	struct lode_control *c, unsigned port_idx, const struct lode_ip *ip)
{
	struct lode_neighbour *known = neighbour_entry(c, port_idx, ip);
	if (!known)
		return;
	*known = c->neighbours[--c->n_neighbours];
	c->neighbours_stale = c->snapshot_stale = true;
}

int build_neighbours(struct lode_control *c, struct lode_err *err)
{
	struct lode_neighbours *table =
		lode_neighbours_new(LODE_MAX(c->n_neighbours, 1), c->params.seed);
	if (!table)
		return lode_err_set(err, -ENOMEM, "no memory for %u neighbours", c->n_neighbours);
	for (uint32_t i = 0; i < c->n_neighbours; i++)
		lode_neighbours_add(table, &c->neighbours[i]);
	lode_neighbours_unref(c->neighbour_table);
	c->neighbour_table = table;
	c->neighbours_stale = false;
	return 0;
}

/* ---- routes ---- */

static int add_route(
	struct lode_routes *r, const struct lode_prefix *prefix, uint8_t kind, unsigned idx)
{
	const struct lode_route route = {.kind = kind, .idx = (uint8_t)idx};
	return lode_routes_add(r, prefix, &route);
}

static int add_peer_routes(const struct lode_config *config, struct lode_routes *r)
{
	static const struct lode_prefix any6 = {.len = 0};
	const struct lode_prefix any4 = {.ip = lode_ip_from_v4_be(0), .len = 96};
	int rc = 0;
	if (config->default_peer >= 0) {
		rc = add_route(r, &any6, LODE_ROUTE_PEER, (unsigned)config->default_peer);
		rc = rc ? rc : add_route(r, &any4, LODE_ROUTE_PEER, (unsigned)config->default_peer);
	}
	for (unsigned p = 0; p < config->n_peers; p++)
		for (unsigned i = 0; i < config->peers[p].n_prefixes && !rc; i++)
			rc = add_route(r, &config->peers[p].prefixes[i], LODE_ROUTE_PEER, p);
	return rc;
}

/* The box's own address, and for LAN ports the prefix around it. */
static int add_port_routes(const struct lode_control *c, struct lode_routes *r)
{
	const struct lode_config *config = c->prepared->config;
	int rc = 0;
	for (unsigned p = 0; p < config->n_ports; p++) {
		for (unsigned i = 0; i < c->ports[p].n_addrs && !rc; i++) {
			const struct lode_prefix *addr = &c->ports[p].addrs[i];
			const struct lode_prefix box = {.ip = addr->ip, .len = 128};
			if (config->ports[p].role == LODE_PORT_LAN)
				rc = add_route(r, addr, LODE_ROUTE_PORT, p);
			rc = rc ? rc : add_route(r, &box, LODE_ROUTE_BOX, p);
		}
	}
	for (unsigned i = 0; i < config->n_host_addrs && !rc; i++) {
		const struct lode_prefix host = {.ip = config->host_addrs[i].ip, .len = 128};
		rc = add_route(r, &host, LODE_ROUTE_HOST, LODE_HOST_PORT);
	}
	return rc;
}

int build_routes(struct lode_control *c, struct lode_err *err)
{
	struct lode_routes *routes = lode_routes_new();
	if (!routes)
		return lode_err_set(err, -ENOMEM, "no memory for routes");
	int rc = add_peer_routes(c->prepared->config, routes);
	if (!rc)
		rc = add_port_routes(c, routes);
	if (rc) {
		lode_routes_unref(routes);
		return lode_err_set(err, rc, "routes: cannot be built: %s", strerror(-rc));
	}
	lode_routes_unref(c->routes);
	c->routes = routes;
	c->routes_stale = false;
	return 0;
}
