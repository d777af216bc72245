/* SPDX-License-Identifier: BSD-3-Clause */
/* Profiles, guards, the packet pool and the ports: from the configuration to started devices. */
#include "gateway.h"

#include <rte_errno.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

#define POOL_CACHE 256

int start_profiles(struct gateway *g, struct lode_err *err)
{
	int rc = 0;
	for (unsigned i = 0; i < g->config->n_ports && !rc; i++)
		rc = lode_profile_pick(
			g->config->drivers_dir, &g->config->ports[i], &g->profiles[i], err);
	return rc;
}

int start_guards(struct gateway *g, struct lode_err *err)
{
	int rc = 0;
	for (unsigned i = 0; i < g->config->n_ports && !rc; i++) {
		if (g->profiles[i].binding != LODE_BINDING_KERNEL)
			continue;
		rc = lode_guard_take(g->config->state_dir, g->config->ports[i].device, err);
		g->guarded[i] = !rc;
	}
	if (rc)
		stop_guards(g);
	return rc;
}

void stop_guards(struct gateway *g)
{
	for (unsigned i = 0; i < g->config->n_ports; i++) {
		struct lode_err err;
		if (g->guarded[i] &&
			lode_guard_release(g->config->state_dir, g->config->ports[i].device, &err))
			log_line(&g->log, LOG_KERNEL, LODE_LOG_ERROR, "%s", err.msg);
		g->guarded[i] = false;
	}
}

/* Every holder of packets has a quota; together they fit in the pool. */
int check_pool(struct gateway *g, struct lode_err *err)
{
	const struct lode_config *c = g->config;
	uint64_t workers = (uint64_t)c->n_workers * lode_worker_quota_pkts();
	uint64_t caches = (uint64_t)(c->n_workers + 1u) * POOL_CACHE * 3 / 2, descriptors = 0;
	for (unsigned i = 0; i < c->n_ports; i++)
		if (g->profiles[i].bus == LODE_BUS_PCI)
			descriptors +=
				(uint64_t)c->n_workers *
				(g->profiles[i].rx_descriptors + g->profiles[i].tx_descriptors);
	uint64_t need = workers + caches + descriptors;
	if (need > c->mbufs)
		return lode_err_set(err, -EINVAL,
			"memory.packets: %u, but workers may hold %lu, device queues %lu, caches "
			"%lu: "
			"at least %lu are needed",
			c->mbufs, (unsigned long)workers, (unsigned long)descriptors,
			(unsigned long)caches, (unsigned long)need);
	return 0;
}

int start_pool(struct gateway *g, struct lode_err *err)
{
	unsigned mtu = 0;
	for (unsigned i = 0; i < g->config->n_ports; i++)
		mtu = LODE_MAX(mtu, g->config->ports[i].mtu_bytes);
	/* One frame in one buffer, with room to linearise a VLAN tag and for the outer headers. */
	unsigned room = LODE_MAX(RTE_MBUF_DEFAULT_DATAROOM, RTE_ALIGN_CEIL(mtu + 128, 64u));
	g->frame_bytes = (uint32_t)(sizeof(struct kernel_frame) + room);
	g->pool = rte_pktmbuf_pool_create("packets", g->config->mbufs, POOL_CACHE,
		sizeof(struct lode_pkt), (uint16_t)(room + RTE_PKTMBUF_HEADROOM), SOCKET_ID_ANY);
	if (!g->pool)
		return lode_err_set(err, -rte_errno,
			"packet pool of %u buffers of %u bytes: %s; memory.size_mb is %u",
			g->config->mbufs, room, rte_strerror(rte_errno), g->config->memory_mb);
	return 0;
}

/* The PMD of af_xdp (22.11) leaves the buffers of its fill ring with the kernel when a port closes. */
static bool keeps_buffers(const struct gateway *g)
{
	for (unsigned i = 0; i < g->config->n_ports; i++)
		if (!strcmp(g->profiles[i].driver, "net_af_xdp"))
			return true;
	return false;
}

/* A packet still in use now is a leak. */
void stop_pool(struct gateway *g)
{
	unsigned in_use = rte_mempool_in_use_count(g->pool);
	if (in_use && keeps_buffers(g))
		log_line(&g->log, LOG_GATEWAY, LODE_LOG_INFO,
			"%u packet buffers stay in the fill rings of af_xdp", in_use);
	else if (in_use)
		log_line(&g->log, LOG_GATEWAY, LODE_LOG_ERROR,
			"%u packet buffers were not given back", in_use);
	else
		log_line(&g->log, LOG_GATEWAY, LODE_LOG_INFO, "packet pool whole");
	rte_mempool_free(g->pool);
}

static void say_port(struct gateway *g, unsigned i)
{
	const struct lode_port *p = &g->ports[i];
	const struct lode_config_port *c = &g->config->ports[i];
	log_line(&g->log, LOG_PORT, LODE_LOG_INFO,
		"%s: %s %s on %s, %02x:%02x:%02x:%02x:%02x:%02x, MTU %u, %u rx and %u tx queues%s",
		c->name, c->role == LODE_PORT_LAN ? "LAN" : "WAN", p->driver, p->device, p->mac[0],
		p->mac[1], p->mac[2], p->mac[3], p->mac[4], p->mac[5], p->mtu_bytes, p->n_rx_queues,
		p->n_tx_queues, p->steered ? ", steered by UDP port" : "");
	for (unsigned n = 0; n < p->n_notes; n++)
		log_line(&g->log, LOG_PORT, LODE_LOG_WARN, "%s: %s", c->name, p->notes[n]);
}

int start_ports(struct gateway *g, struct lode_err *err)
{
	for (unsigned i = 0; i < g->config->n_ports; i++) {
		struct lode_port_params params = {
			.config = &g->config->ports[i],
			.profile = &g->profiles[i],
			.port_idx = i,
			.n_workers = g->config->n_workers,
			.udp_port = g->config->udp_port,
			.pool = g->pool,
		};
		int rc = lode_port_open(&params, &g->ports[i], err);
		if (rc) {
			stop_ports(g);
			return rc;
		}
		say_port(g, i);
	}
	return 0;
}

void stop_ports(struct gateway *g)
{
	for (unsigned i = 0; i < g->config->n_ports; i++)
		lode_port_close(&g->ports[i]);
}
