/* SPDX-License-Identifier: BSD-3-Clause */
#include "steering.h"

#include <ctype.h>
#include <dirent.h>
#include <net/if.h>
#include <netpacket/packet.h>
#include <rte_bus_vdev.h>
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define ARGS_BYTES 320

void port_note(struct lode_port *port, const char *fmt, ...)
{
	if (port->n_notes == LODE_PORT_NOTES)
		return;
	va_list args;
	va_start(args, fmt);
	vsnprintf(port->notes[port->n_notes++], sizeof(port->notes[0]), fmt, args);
	va_end(args);
}

static unsigned wanted_queues(const struct lode_profile *p, unsigned n_workers)
{
	return p->steering == LODE_STEERING_NONE ? 1 : LODE_MIN(n_workers, p->max_queues);
}

bool lode_port_eal_arg(const struct lode_profile *p, const struct lode_config_port *port,
	unsigned n_workers, char *buf, size_t size)
{
	if (p->bus != LODE_BUS_PCI)
		return false;
	char args[ARGS_BYTES];
	if (lode_profile_devargs(p, port, wanted_queues(p, n_workers), args, sizeof(args)))
		args[0] = 0;
	snprintf(buf, size, "%s%s%s", port->device, args[0] ? "," : "", args);
	return true;
}

/* A software device gets a name that begins with its driver's. */
static int find_device(
	const struct lode_port_params *pp, struct lode_port *port, struct lode_err *err)
{
	const struct lode_config_port *config = pp->config;
	char name[RTE_ETH_NAME_MAX_LEN], args[ARGS_BYTES];
	if (pp->profile->bus == LODE_BUS_PCI) {
		if (rte_eth_dev_get_port_by_name(config->device, &port->ethdev) == 0)
			return 0;
		return lode_err_set(err, -ENODEV,
			"port %s: no DPDK device %s; profile %s wants it bound to %s", config->name,
			config->device, pp->profile->name,
			pp->profile->binding == LODE_BINDING_VFIO
				? "vfio-pci (driverctl set-override DEVICE vfio-pci)"
				: "its kernel driver, and that driver's PMD installed");
	}
	snprintf(name, sizeof(name), "%s%u", pp->profile->driver, pp->port_idx);
	int rc = lode_profile_devargs(
		pp->profile, config, wanted_queues(pp->profile, pp->n_workers), args, sizeof(args));
	if (rc)
		return lode_err_set(err, rc, "port %s: device arguments of profile %s are too long",
			config->name, pp->profile->name);
	rc = rte_eal_hotplug_add("vdev", name, args);
	if (!rc)
		rc = rte_eth_dev_get_port_by_name(name, &port->ethdev);
	if (rc)
		return lode_err_set(err, -ENODEV, "port %s: %s on \"%s\" (%s): %s", config->name,
			pp->profile->driver, config->device, args, strerror(-rc));
	return 0;
}

static void clamp_queues(const struct lode_port_params *pp, const struct rte_eth_dev_info *info,
	struct lode_port *port)
{
	unsigned wanted = wanted_queues(pp->profile, pp->n_workers);
	port->n_rx_queues = (uint16_t)LODE_MIN(wanted, info->max_rx_queues);
	port->n_tx_queues = (uint16_t)LODE_MIN(pp->n_workers, info->max_tx_queues);
	if (port->n_rx_queues < pp->n_workers)
		port_note(port,
			"%u receive queue%s for %u workers: packets of the others move over rings",
			port->n_rx_queues, port->n_rx_queues > 1 ? "s" : "", pp->n_workers);
}

static void wanted_config(const struct lode_port_params *pp, const struct rte_eth_dev_info *info,
	struct lode_port *port, struct rte_eth_conf *conf)
{
	*conf = (struct rte_eth_conf){.rxmode.mtu = port->mtu_bytes};
	conf->intr_conf.rxq = pp->profile->rx_interrupts;
	conf->rxmode.offloads = info->rx_offload_capa &
				(RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM);
	conf->txmode.offloads = info->tx_offload_capa & RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE;
	/* Fast free needs one pool without indirect buffers: copies are plain packets here. */
	if (port->n_rx_queues > 1 && pp->profile->steering != LODE_STEERING_NONE)
		steering_rss(info, port, conf);
}

static void clamp_mtu(const struct lode_port_params *pp, const struct rte_eth_dev_info *info,
	struct lode_port *port)
{
	uint32_t limit = LODE_MIN((uint32_t)pp->profile->max_mtu_bytes, (uint32_t)info->max_mtu);
	/* Some drivers only know the longest frame; they mean header, VLAN tag or CRC with it. */
	if (info->max_mtu == UINT16_MAX && info->max_rx_pktlen >= 18)
		limit = LODE_MIN(limit, info->max_rx_pktlen - 18);
	port->mtu_bytes = pp->config->mtu_bytes;
	if (port->mtu_bytes <= limit)
		return;
	port_note(port, "MTU %u is more than %s takes: %u is used, the tunnel's inner MTU follows",
		port->mtu_bytes, pp->profile->driver, limit);
	port->mtu_bytes = (uint16_t)limit;
}

static int setup_queues(const struct lode_port_params *pp, struct lode_port *port)
{
	uint16_t n_rx = pp->profile->rx_descriptors, n_tx = pp->profile->tx_descriptors;
	int rc = rte_eth_dev_adjust_nb_rx_tx_desc(port->ethdev, &n_rx, &n_tx);
	for (uint16_t q = 0; q < port->n_rx_queues && !rc; q++)
		rc = rte_eth_rx_queue_setup(
			port->ethdev, q, n_rx, (unsigned)port->socket_id, NULL, pp->pool);
	for (uint16_t q = 0; q < port->n_tx_queues && !rc; q++)
		rc = rte_eth_tx_queue_setup(port->ethdev, q, n_tx, (unsigned)port->socket_id, NULL);
	return rc;
}

/* The kernel's mirror wants broadcast and multicast too: ARP, ND, DHCP. */
static void accept_multicast(struct lode_port *port)
{
	if (rte_eth_allmulticast_enable(port->ethdev) == 0)
		return;
	if (rte_eth_promiscuous_enable(port->ethdev))
		port_note(port,
			"neither all-multicast nor promiscuous mode: IPv6 neighbour discovery "
			"of this port may fail");
}

/* The packet sockets of an interface that this process holds, in the order of their making: those of
 * af_packet's queues, which the driver keeps to itself. */
static void find_wake_fds(struct lode_port *port)
{
	DIR *dir = opendir("/proc/self/fd");
	int ifindex = (int)if_nametoindex(port->device), fds[LODE_WORKERS_MAX], n = 0;
	for (struct dirent *e; dir && (e = readdir(dir));) {
		struct sockaddr_ll addr;
		socklen_t len = sizeof(addr);
		int fd = atoi(e->d_name), at = n;
		if (!isdigit((unsigned char)e->d_name[0]) || n == LODE_WORKERS_MAX ||
			getsockname(fd, (struct sockaddr *)&addr, &len) ||
			addr.sll_family != AF_PACKET || addr.sll_ifindex != ifindex)
			continue;
		for (n++; at > 0 && fds[at - 1] > fd; at--)
			fds[at] = fds[at - 1];
		fds[at] = fd;
	}
	if (dir)
		closedir(dir);
	if (n == port->n_rx_queues)
		memcpy(port->wake_fds, fds, (size_t)n * sizeof(fds[0]));
}

/* ---- receive interrupts ---- */

/* Descriptors of the queues' interrupts. Those of software drivers are readable while a frame waits; those of
 * devices count interrupts, which are off unless somebody waits for one. */
static void find_interrupts(struct lode_port *port)
{
	int fds[LODE_WORKERS_MAX];
	for (uint16_t q = 0; q < port->n_rx_queues; q++)
		if ((fds[q] = rte_eth_dev_rx_intr_ctl_q_get_fd(port->ethdev, q)) < 0)
			return;
	int rc = rte_eth_dev_rx_intr_disable(port->ethdev, 0);
	if (rc && rc != -ENOTSUP)
		return;
	port->must_arm = rc == 0;
	memcpy(port->wake_fds, fds, port->n_rx_queues * sizeof(fds[0]));
}

bool lode_port_arm(struct lode_port *port, unsigned queue)
{
	if (!port->must_arm)
		return true;
	rte_spinlock_lock(&port->arm_lock);
	int rc = rte_eth_dev_rx_intr_enable(port->ethdev, (uint16_t)queue);
	rte_spinlock_unlock(&port->arm_lock);
	/* Drivers that cannot count: the wait is short in any case. */
	return rc == 0 && rte_eth_rx_queue_count(port->ethdev, (uint16_t)queue) <= 0;
}

void lode_port_disarm(struct lode_port *port, unsigned queue)
{
	uint64_t n_interrupts;
	if (!port->must_arm)
		return;
	rte_spinlock_lock(&port->arm_lock);
	rte_eth_dev_rx_intr_disable(port->ethdev, (uint16_t)queue);
	rte_spinlock_unlock(&port->arm_lock);
	/* An eventfd that does not block; what it counted is no news any more. */
	if (read(port->wake_fds[queue], &n_interrupts, sizeof(n_interrupts)) < 0)
		return;
}

/* Queues set up and running. */
static int run(const struct lode_port_params *pp, struct lode_port *port,
	const struct rte_eth_conf *conf, struct lode_err *err)
{
	const char *name = pp->config->name;
	int rc = rte_eth_dev_configure(port->ethdev, port->n_rx_queues, port->n_tx_queues, conf);
	if (rc)
		return lode_err_set(err, rc, "port %s: %s refuses %u queues with MTU %u: %s", name,
			port->driver, port->n_rx_queues, port->mtu_bytes, strerror(-rc));
	rc = setup_queues(pp, port);
	if (rc)
		return lode_err_set(
			err, rc, "port %s: queues of %s: %s", name, port->driver, strerror(-rc));
	rc = rte_eth_dev_start(port->ethdev);
	if (rc)
		return lode_err_set(
			err, rc, "port %s: starting %s: %s", name, port->driver, strerror(-rc));
	return 0;
}

static int configure(
	const struct lode_port_params *pp, struct lode_port *port, struct lode_err *err)
{
	struct rte_eth_dev_info info;
	struct rte_eth_conf conf;
	struct rte_ether_addr mac;
	const char *name = pp->config->name;
	int rc = rte_eth_dev_info_get(port->ethdev, &info);
	if (rc)
		return lode_err_set(
			err, rc, "port %s: device information: %s", name, strerror(-rc));
	snprintf(port->driver, sizeof(port->driver), "%s", info.driver_name);
	port->socket_id = rte_eth_dev_socket_id(port->ethdev);
	clamp_queues(pp, &info, port);
	if (port->n_tx_queues < pp->n_workers)
		return lode_err_set(err, -ENODEV,
			"port %s: %s has %u transmit queues, %u workers need one each; lower "
			"cpu.workers",
			name, info.driver_name, port->n_tx_queues, pp->n_workers);
	clamp_mtu(pp, &info, port);
	wanted_config(pp, &info, port, &conf);
	rc = run(pp, port, &conf, err);
	if (rc && conf.intr_conf.rxq) { /* no vectors for them: under VFIO without MSI-X, say */
		conf.intr_conf.rxq = 0;
		rc = run(pp, port, &conf, err);
		port_note(port, "no receive interrupts: idle workers look for frames now and then");
	}
	if (rc)
		return rc;
	if (conf.intr_conf.rxq)
		find_interrupts(port);
	accept_multicast(port);
	rte_eth_macaddr_get(port->ethdev, &mac);
	memcpy(port->mac, mac.addr_bytes, sizeof(port->mac));
	return 0;
}

int lode_port_open(
	const struct lode_port_params *params, struct lode_port *port, struct lode_err *err)
{
	*port = (struct lode_port){0};
	memset(port->wake_fds, -1, sizeof(port->wake_fds));
	snprintf(port->device, sizeof(port->device), "%s", params->config->device);
	int rc = find_device(params, port, err);
	if (rc)
		return rc;
	port->opened = true;
	if (!params->profile->tested)
		port_note(port, "profile %s is untested: please report how it went",
			params->profile->name);
	rc = configure(params, port, err);
	if (rc) {
		lode_port_close(port);
		return rc;
	}
	if (params->profile->binding == LODE_BINDING_KERNEL)
		find_wake_fds(port);
	if (params->config->role == LODE_PORT_WAN && port->n_rx_queues > 1)
		steering_by_udp_port(params, port);
	return 0;
}

void lode_port_close(struct lode_port *port)
{
	if (!port->opened)
		return;
	rte_eth_dev_stop(port->ethdev);
	rte_eth_dev_close(port->ethdev);
	port->opened = false;
}

struct lode_port_link lode_port_link(const struct lode_port *port)
{
	struct rte_eth_link link = {0};
	if (rte_eth_link_get_nowait(port->ethdev, &link))
		return (struct lode_port_link){.up = false};
	return (struct lode_port_link){
		.up = link.link_status == RTE_ETH_LINK_UP,
		.mbps = link.link_speed == RTE_ETH_SPEED_NUM_UNKNOWN ? 0 : link.link_speed,
	};
}
