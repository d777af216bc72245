/* SPDX-License-Identifier: BSD-3-Clause */
/* The mirrors' life, and what the kernel tells of them: to the resolver, and to control under its lock. */
#include "gateway.h"

#include "lode_wire.h"

#include <unistd.h>

#define PREFIX "lode-"

/* lode-<port>, or lode-p<index> when that is too long for an interface. */
static void mirror_name(const struct gateway *g, unsigned i, char name[IFNAMSIZ])
{
	const char *port = g->config->ports[i].name;
	if (strlen(PREFIX) + strlen(port) < IFNAMSIZ)
		snprintf(name, IFNAMSIZ, PREFIX "%.*s", IFNAMSIZ, port);
	else
		snprintf(name, IFNAMSIZ, PREFIX "p%u", i % 100);
}

static int add_addresses(struct gateway *g, const struct lode_tap *tap,
	const struct lode_prefix *addrs, unsigned n, struct lode_err *err)
{
	for (unsigned k = 0; k < n; k++) {
		char text[INET6_ADDRSTRLEN];
		int rc = lode_netlink_add_address(g->netlink, tap->ifindex, &addrs[k]);
		if (rc)
			return lode_err_set(err, rc, "mirror %s: address %s: %s", tap->name,
				lode_ip_format(&addrs[k].ip, text), strerror(-rc));
	}
	return 0;
}

/* So that the box can answer whoever reached it through this port. */
static void add_default_route(
	struct gateway *g, unsigned i, const struct lode_ip *gateway, const struct lode_ip *any)
{
	const struct lode_prefix all = {.ip = *any, .len = lode_ip_is_v4(any) ? 96 : 0};
	if (lode_ip_is_none(gateway))
		return;
	int rc = lode_netlink_add_route(
		g->netlink, g->mirrors[i].tap.ifindex, &all, gateway, MIRROR_METRIC + i);
	if (rc)
		log_line(&g->log, LOG_KERNEL, LODE_LOG_WARN,
			"%s: no default route over its mirror (%s): the box answers on-link only",
			g->config->ports[i].name, strerror(-rc));
}

static int open_mirror(struct gateway *g, unsigned i, struct lode_err *err)
{
	const struct lode_config_port *c = &g->config->ports[i];
	struct mirror *m = &g->mirrors[i];
	char name[IFNAMSIZ];
	mirror_name(g, i, name);
	struct lode_tap_spec spec = {
		.name = name,
		.kind = LODE_TAP_ETHERNET,
		.mtu_bytes = g->ports[i].mtu_bytes,
		.accept_ra = c->dhcp,
	};
	memcpy(spec.mac, g->ports[i].mac, sizeof(spec.mac));
	int rc = lode_tap_open(&spec, &m->tap, err);
	if (!rc)
		rc = add_addresses(g, &m->tap, c->addrs, c->n_addrs, err);
	if (rc)
		return rc;
	const struct lode_ip any4 = lode_ip_from_v4_be(0), any6 = {0};
	add_default_route(g, i, &c->gateway4, &any4);
	add_default_route(g, i, &c->gateway6, &any6);
	if (g->profiles[i].binding == LODE_BINDING_KERNEL) {
		snprintf(m->device, sizeof(m->device), "%s", c->device);
		m->device_ifindex = (int)if_nametoindex(c->device);
	}
	return 0;
}

/* What fits in a segment over the narrowest WAN port, IPv6 outside at worst. */
static uint16_t host_mtu(const struct gateway *g)
{
	uint16_t segment = UINT16_MAX;
	for (unsigned i = 0; i < g->config->n_ports; i++)
		if (g->config->ports[i].role == LODE_PORT_WAN)
			segment = LODE_MIN(
				segment, lode_wire_mtu_segment(g->ports[i].mtu_bytes, true));
	return lode_wire_mtu_inner(segment, true);
}

static int open_host(struct gateway *g, struct lode_err *err)
{
	struct mirror *m = &g->mirrors[LODE_HOST_PORT];
	if (!g->config->n_host_addrs)
		return 0;
	const struct lode_tap_spec spec = {
		.name = "lode0", .kind = LODE_TAP_IP, .mtu_bytes = host_mtu(g)};
	int rc = lode_tap_open(&spec, &m->tap, err);
	if (rc)
		return rc;
	log_line(&g->log, LOG_KERNEL, LODE_LOG_INFO, "lode0: inner MTU %u", spec.mtu_bytes);
	return add_addresses(g, &m->tap, g->config->host_addrs, g->config->n_host_addrs, err);
}

static void ask_kernel(void *ctx, unsigned port_idx, const struct lode_ip *ip)
{
	struct gateway *g = ctx;
	lode_netlink_resolve(g->netlink, g->mirrors[port_idx].tap.ifindex, ip);
}

static void tell_control(void *ctx, unsigned port_idx, const struct lode_ip *ip, const uint8_t *mac)
{
	struct gateway *g = ctx;
	struct lode_neighbour n = {.ip = *ip, .port_idx = (uint8_t)port_idx};
	char text[INET6_ADDRSTRLEN];
	log_line(&g->log, LOG_KERNEL, LODE_LOG_DEBUG, "neighbour %s on %s %s",
		lode_ip_format(ip, text), g->config->ports[port_idx].name, mac ? "known" : "gone");
	pthread_mutex_lock(&g->lock);
	if (mac) {
		memcpy(n.mac, mac, sizeof(n.mac));
		lode_control_set_neighbour(g->control, &n);
	} else {
		lode_control_forget_neighbour(g->control, port_idx, ip);
	}
	pthread_mutex_unlock(&g->lock);
}

int start_mirrors(struct gateway *g, struct lode_err *err)
{
	static const struct lode_resolver_ops ops = {ask_kernel, tell_control};
	for (unsigned i = 0; i < LODE_ALL_PORTS; i++)
		g->mirrors[i].tap.fd = -1;
	g->resolver = lode_resolver_new(&ops, g);
	g->resolve = lode_ring_new(256, sizeof(struct lode_resolve));
	int rc = g->resolver && g->resolve
			 ? lode_netlink_new(&g->netlink, err)
			 : lode_err_set(err, -ENOMEM, "no memory for the resolver");
	for (unsigned i = 0; i < g->config->n_ports && !rc; i++)
		rc = open_mirror(g, i, err);
	if (!rc)
		rc = open_host(g, err);
	if (rc)
		stop_mirrors(g);
	return rc;
}

void stop_mirrors(struct gateway *g)
{
	for (unsigned i = 0; i < LODE_ALL_PORTS; i++)
		lode_tap_close(&g->mirrors[i].tap);
	lode_netlink_free(g->netlink);
	lode_resolver_free(g->resolver);
	lode_ring_free(g->resolve);
}

/* ---- what the kernel tells ---- */

static void tell_port(struct gateway *g, unsigned i)
{
	const struct lode_port *p = &g->ports[i];
	pthread_mutex_lock(&g->lock);
	lode_control_set_port(g->control, i, p->mac, p->mtu_bytes, g->mirrors[i].up);
	pthread_mutex_unlock(&g->lock);
}

void mirror_set_link(struct gateway *g, unsigned i, bool up)
{
	struct mirror *m = &g->mirrors[i];
	if (m->up == up)
		return;
	m->up = up;
	lode_tap_set_carrier(&m->tap, up);
	tell_port(g, i);
	log_line(&g->log, LOG_PORT, up ? LODE_LOG_INFO : LODE_LOG_WARN, "%s: link %s",
		g->config->ports[i].name, up ? "up" : "down");
}

static int mirror_of(const struct gateway *g, int ifindex)
{
	for (unsigned i = 0; i < g->config->n_ports; i++)
		if (g->mirrors[i].tap.ifindex == ifindex)
			return (int)i;
	return -1;
}

static void learn_address(struct mirror *m, const struct lode_kernel_event *ev)
{
	unsigned k = 0;
	while (k < m->n_addrs && memcmp(&m->addrs[k], &ev->prefix, sizeof(ev->prefix)))
		k++;
	if (ev->gone && k < m->n_addrs)
		m->addrs[k] = m->addrs[--m->n_addrs];
	else if (!ev->gone && k == m->n_addrs && k < LODE_ADDRS_MAX)
		m->addrs[m->n_addrs++] = ev->prefix;
}

/* The next hop of a default route. */
static void learn_route(struct mirror *m, const struct lode_kernel_event *ev)
{
	bool v4 = lode_ip_is_v4(&ev->gateway);
	if (lode_ip_is_none(&ev->gateway) || ev->prefix.len != (v4 ? 96 : 0))
		return;
	struct lode_ip *gateway = v4 ? &m->gateway4 : &m->gateway6;
	if (!ev->gone)
		*gateway = ev->gateway;
	else if (!memcmp(gateway, &ev->gateway, sizeof(*gateway)))
		*gateway = (struct lode_ip){0};
}

static void tell_addresses(struct gateway *g, unsigned i)
{
	const struct mirror *m = &g->mirrors[i];
	pthread_mutex_lock(&g->lock);
	lode_control_set_addrs(g->control, i, m->addrs, m->n_addrs, &m->gateway4, &m->gateway6);
	pthread_mutex_unlock(&g->lock);
}

static void on_link(struct gateway *g, const struct lode_kernel_event *ev)
{
	for (unsigned i = 0; i < g->config->n_ports; i++)
		if (g->mirrors[i].device_ifindex == ev->ifindex)
			mirror_set_link(g, i, ev->up && !ev->gone);
}

static void on_event(void *ctx, const struct lode_kernel_event *ev)
{
	struct gateway *g = ctx;
	if (ev->kind == LODE_KERNEL_LINK) {
		on_link(g, ev);
		return;
	}
	int i = mirror_of(g, ev->ifindex);
	if (i < 0)
		return;
	if (ev->kind == LODE_KERNEL_NEIGHBOUR) {
		enum lode_neighbour_state state = ev->gone ? LODE_NEIGHBOUR_FAILED : ev->state;
		lode_resolver_learn(
			g->resolver, (unsigned)i, &ev->prefix.ip, state, ev->mac, now_ns());
		return;
	}
	if (!g->config->ports[i].dhcp)
		return;
	if (ev->kind == LODE_KERNEL_ADDRESS)
		learn_address(&g->mirrors[i], ev);
	else
		learn_route(&g->mirrors[i], ev);
	tell_addresses(g, (unsigned)i);
}

void mirrors_run(struct gateway *g)
{
	int rc = lode_netlink_run(g->netlink, on_event, g);
	if (rc)
		log_line(&g->log, LOG_KERNEL, LODE_LOG_WARN, "netlink: %s", strerror(-rc));
}

int start_port_views(struct gateway *g, struct lode_err *err)
{
	for (unsigned i = 0; i < g->config->n_ports; i++) {
		/* Kernel interfaces tell their link over netlink, in the dump below. */
		g->mirrors[i].up = !g->mirrors[i].device_ifindex && lode_port_link(&g->ports[i]).up;
		lode_tap_set_carrier(&g->mirrors[i].tap, true);
		tell_port(g, i);
	}
	int rc = lode_netlink_dump(g->netlink, on_event, g);
	return rc ? lode_err_set(err, rc, "netlink: reading the kernel's tables: %s", strerror(-rc))
		  : 0;
}
