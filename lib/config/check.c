/* SPDX-License-Identifier: BSD-3-Clause */
/* Rules that span several keys. Messages name the key path; the position of one key would mislead. */
#include "schema.h"

#include <stdio.h>

static int check_ports(const struct lode_config *c, const char *name, struct lode_err *err)
{
	unsigned n_wan = 0, n_lan = 0;
	for (unsigned i = 0; i < c->n_ports; i++) {
		const struct lode_config_port *p = &c->ports[i];
		n_wan += p->role == LODE_PORT_WAN;
		n_lan += p->role == LODE_PORT_LAN;
		for (unsigned j = 0; j < i; j++) {
			if (!strcmp(p->name, c->ports[j].name))
				return lode_err_set(err, -EINVAL,
					"%s: ports[%u].name: '%s' names ports[%u] already", name, i,
					p->name, j);
			if (!strcmp(p->device, c->ports[j].device) && p->vlan == c->ports[j].vlan)
				return lode_err_set(err, -EINVAL,
					"%s: ports[%u].device: '%s' belongs to ports[%u] already",
					name, i, p->device, j);
		}
		if (p->vlan && p->role == LODE_PORT_WAN)
			return lode_err_set(err, -EINVAL,
				"%s: ports[%u].vlan: %u found on a WAN port, allowed on LAN ports",
				name, i, p->vlan);
		if (p->role == LODE_PORT_WAN && !p->dhcp && p->n_addrs == 0)
			return lode_err_set(err, -EINVAL,
				"%s: ports[%u]: a WAN port needs addresses or dhcp: true", name, i);
	}
	if (n_wan > LODE_WAN_PORTS_MAX || n_lan > LODE_LAN_PORTS_MAX)
		return lode_err_set(err, -EINVAL,
			"%s: ports: %u WAN and %u LAN ports found, up to %u and %u allowed", name,
			n_wan, n_lan, LODE_WAN_PORTS_MAX, LODE_LAN_PORTS_MAX);
	return 0;
}

static int check_links(
	const struct lode_config *c, const char *name, unsigned peer_idx, struct lode_err *err)
{
	const struct lode_config_peer *peer = &c->peers[peer_idx];
	for (unsigned i = 0; i < peer->n_links; i++) {
		const struct lode_config_link *link = &peer->links[i];
		if (c->ports[link->port_idx].role != LODE_PORT_WAN)
			return lode_err_set(err, -EINVAL,
				"%s: peers[%u].links[%u].port: '%s' is a LAN port, allowed: WAN "
				"ports",
				name, peer_idx, i, c->ports[link->port_idx].name);
		for (unsigned j = 0; j < i; j++)
			if (!strcmp(link->name, peer->links[j].name))
				return lode_err_set(err, -EINVAL,
					"%s: peers[%u].links[%u].name: '%s' names links[%u] "
					"already",
					name, peer_idx, i, link->name, j);
	}
	return 0;
}

static bool same_prefix(const struct lode_prefix *a, const struct lode_prefix *b)
{
	if (a->len != b->len)
		return false;
	unsigned bytes = a->len / 8, bits = a->len % 8;
	if (memcmp(a->ip.b, b->ip.b, bytes))
		return false;
	return bits == 0 || ((a->ip.b[bytes] ^ b->ip.b[bytes]) >> (8 - bits)) == 0;
}

/* A network of our own that somebody else claims. */
static int check_own_networks(
	const struct lode_config *c, const char *name, unsigned peer, struct lode_err *err)
{
	for (unsigned i = 0; i < c->peers[peer].n_prefixes; i++)
		for (unsigned p = 0; p < c->n_ports; p++)
			for (unsigned a = 0; a < c->ports[p].n_addrs; a++)
				if (c->ports[p].role == LODE_PORT_LAN &&
					same_prefix(
						&c->peers[peer].prefixes[i], &c->ports[p].addrs[a]))
					return lode_err_set(err, -EINVAL,
						"%s: peers[%u].prefixes[%u]: the network of port "
						"'%s' here; a peer's networks are those of its own "
						"site",
						name, peer, i, c->ports[p].name);
	return 0;
}

static int check_prefixes(
	const struct lode_config *c, const char *name, unsigned a, struct lode_err *err)
{
	for (unsigned i = 0; i < c->peers[a].n_prefixes; i++)
		for (unsigned b = 0; b <= a; b++)
			for (unsigned j = 0; j < (b == a ? i : c->peers[b].n_prefixes); j++)
				if (same_prefix(&c->peers[a].prefixes[i], &c->peers[b].prefixes[j]))
					return lode_err_set(err, -EINVAL,
						"%s: peers[%u].prefixes[%u]: "
						"peers[%u].prefixes[%u] is "
						"the same network; one peer owns a prefix",
						name, a, i, b, j);
	return 0;
}

static int check_peers(struct lode_config *c, const char *name, struct lode_err *err)
{
	for (unsigned i = 0; i < c->n_peers; i++) {
		struct lode_config_peer *p = &c->peers[i];
		for (unsigned j = 0; j < i; j++) {
			bool same_name = !strcmp(p->name, c->peers[j].name);
			if (same_name ||
				!memcmp(p->public_key, c->peers[j].public_key, LODE_KEY_BYTES))
				return lode_err_set(err, -EINVAL,
					"%s: peers[%u].%s: peers[%u] has the same", name, i,
					same_name ? "name" : "public_key", j);
		}
		int rc = check_links(c, name, i, err);
		if (!rc)
			rc = check_prefixes(c, name, i, err);
		if (!rc)
			rc = check_own_networks(c, name, i, err);
		if (!rc && *p->psk_file) {
			rc = lode_config_read_key(p->psk_file, p->psk, err);
			if (rc)
				return lode_err_prefix(err, "%s: peers[%u].psk_file", name, i);
			p->has_psk = true;
		}
		if (rc)
			return rc;
	}
	return 0;
}

static bool link_exists(const struct lode_config *c, const char *link)
{
	for (unsigned i = 0; i < c->n_peers; i++)
		for (unsigned j = 0; j < c->peers[i].n_links; j++)
			if (!strcmp(c->peers[i].links[j].name, link))
				return true;
	return false;
}

static int check_repair(
	const struct lode_config *c, const char *name, unsigned cls, struct lode_err *err)
{
	const struct lode_config_class *k = &c->classes[cls];
	if (k->fec_repairs <= k->fec_sources)
		return 0;
	return lode_err_set(err, -EINVAL,
		"%s: classes.%s.fec_repairs: %u found, at most fec_sources (%u) allowed", name,
		lode_class_name((enum lode_class)cls), k->fec_repairs, k->fec_sources);
}

static int check_classes(const struct lode_config *c, const char *name, struct lode_err *err)
{
	for (unsigned i = 0; i < LODE_N_CLASSES; i++)
		if (check_repair(c, name, i, err))
			return -EINVAL;
	for (int i = 0; i < LODE_N_CLASSES; i++)
		for (unsigned j = 0; j < c->classes[i].n_links; j++)
			if (!link_exists(c, c->classes[i].links[j]))
				return lode_err_set(err, -EINVAL,
					"%s: classes.%s.links[%u]: no peer has a link named '%s'",
					name, lode_class_name((enum lode_class)i), j,
					c->classes[i].links[j]);
	for (unsigned i = 0; i < c->n_rules; i++)
		if (c->rules[i].cls == LODE_MANAGEMENT)
			return lode_err_set(err, -EINVAL,
				"%s: rules[%u].class: management found; it is for lode0 only", name,
				i);
	for (unsigned i = 0; i < LODE_N_BEHAVIOURS; i++)
		if (c->behaviour[i] == LODE_MANAGEMENT)
			return lode_err_set(err, -EINVAL,
				"%s: behaviour: management found; it is for lode0 only", name);
	for (unsigned i = 0; i < c->n_apps; i++)
		if (c->apps[i].cls == LODE_MANAGEMENT)
			return lode_err_set(err, -EINVAL,
				"%s: applications[%u].class: management found; it is for lode0 "
				"only",
				name, i);
	return 0;
}

int config_cross_check(struct lode_config *c, const char *name, struct lode_err *err)
{
	int rc = check_ports(c, name, err);
	if (!rc)
		rc = check_peers(c, name, err);
	if (!rc)
		rc = check_classes(c, name, err);
	if (!rc && c->udp_port + c->n_workers > 65535)
		rc = lode_err_set(err, -EINVAL,
			"%s: tunnel.udp_port: %u and %u workers need ports above 65535", name,
			c->udp_port, c->n_workers);
	if (!rc && c->n_workers == 0)
		rc = lode_err_set(err, -EINVAL,
			"%s: cpu.workers: an empty list found, 1..%u allowed", name,
			LODE_WORKERS_MAX);
	return rc;
}
