/* SPDX-License-Identifier: BSD-3-Clause */
/* Each test has a process, a network namespace and an EAL of its own. */
#include <criterion/criterion.h>

#include "lode_port.h"

#include <poll.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct rte_mempool *start_eal(void)
{
	if (unshare(CLONE_NEWNET) < 0)
		cr_skip_test("no network namespace: run as root");
	char prefix[64];
	snprintf(prefix, sizeof(prefix), "--file-prefix=lode-port-%d", (int)getpid());
	char *argv[] = {"test", "--no-huge", "--no-shconf", "-m", "64", "--no-pci",
		"--no-telemetry", "--log-level=*:error", prefix};
	cr_assert_geq(rte_eal_init(LODE_ARRAY_LEN(argv), argv), 0, "%s", rte_strerror(rte_errno));
	struct rte_mempool *pool = rte_pktmbuf_pool_create(
		"packets", 4095, 64, 64, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	cr_assert(pool);
	return pool;
}

static void pick(const struct lode_config_port *config, struct lode_profile *profile)
{
	struct lode_err err;
	char dir[256];
	snprintf(dir, sizeof(dir), "%s/drivers-config", getenv("LODE_SOURCE_ROOT"));
	cr_assert_eq(lode_profile_pick(dir, config, profile, &err), 0, "%s", err.msg);
}

static int open_port(const struct lode_config_port *config, unsigned idx, unsigned n_workers,
	struct rte_mempool *pool, struct lode_port *port, struct lode_err *err)
{
	struct lode_profile profile;
	pick(config, &profile);
	struct lode_port_params params = {config, &profile, idx, n_workers, 4789, pool};
	return lode_port_open(&params, port, err);
}

static struct lode_config_port veth(const char *device)
{
	struct lode_config_port c = {.role = LODE_PORT_WAN, .mtu_bytes = 1500};
	snprintf(c.name, sizeof(c.name), "%s", device);
	snprintf(c.device, sizeof(c.device), "%s", device);
	return c;
}

Test(port, af_packet_carries_full_frames_over_veth, .timeout = 30)
{
	struct rte_mempool *pool = start_eal();
	cr_assert_eq(system("ip link add va type veth peer name vb; ip link set va up; "
			    "ip link set vb up"),
		0);
	struct lode_config_port ca = veth("va"), cb = veth("vb");
	struct lode_port a, b;
	struct lode_err err;
	cr_assert_eq(open_port(&ca, 0, 1, pool, &a, &err), 0, "%s", err.msg);
	cr_assert_eq(open_port(&cb, 1, 1, pool, &b, &err), 0, "%s", err.msg);
	cr_assert_eq(a.n_notes, 0, "%s", a.notes[0]);
	cr_assert(lode_port_link(&a).up);
	cr_assert_geq(a.wake_fds[0], 0);
	cr_assert_neq(a.wake_fds[0], b.wake_fds[0]);
	struct pollfd wake = {b.wake_fds[0], POLLIN, 0};
	for (unsigned len = 60; len <= 1514; len += 727) {
		struct rte_mbuf *m = rte_pktmbuf_alloc(pool), *got[8];
		memset(rte_pktmbuf_append(m, (uint16_t)len), 0x5a, len);
		memcpy(rte_pktmbuf_mtod(m, void *), b.mac, 6);
		memcpy(rte_pktmbuf_mtod_offset(m, void *, 12), "\x88\xb5", 2); /* experimental */
		cr_assert_eq(rte_eth_tx_burst(a.ethdev, 0, &m, 1), 1);
		cr_assert_eq(poll(&wake, 1, 1000), 1, "the frame did not wake the port");
		bool found = false;
		for (int i = 0; i < 1000 && !found; i++) {
			uint16_t n = rte_eth_rx_burst(b.ethdev, 0, got, LODE_ARRAY_LEN(got));
			for (uint16_t k = 0; k < n; k++) {
				found |= rte_pktmbuf_pkt_len(got[k]) == len;
				rte_pktmbuf_free(got[k]);
			}
			usleep(1000);
		}
		cr_assert(found, "the frame of %u bytes did not arrive", len);
	}
	lode_port_close(&a);
	lode_port_close(&b);
	cr_assert_eq(rte_mempool_in_use_count(pool), 0);
	rte_eal_cleanup();
}

static unsigned receive_all(const struct lode_port *port)
{
	struct rte_mbuf *got[8];
	unsigned n_all = 0;
	for (unsigned i = 0; i < 20;
		i++) { /* the driver is told by a signal that something is there */
		uint16_t n = rte_eth_rx_burst(port->ethdev, 0, got, LODE_ARRAY_LEN(got));
		rte_pktmbuf_free_bulk(got, n);
		n_all += n;
		usleep(1000);
	}
	return n_all;
}

Test(port, a_receive_interrupt_wakes_who_waits, .timeout = 30)
{
	struct rte_mempool *pool = start_eal();
	struct lode_config_port c = veth("lt0");
	struct lode_port port;
	struct lode_err err;
	strcpy(c.profile, "tap");
	cr_assert_eq(open_port(&c, 0, 1, pool, &port, &err), 0, "%s", err.msg);
	cr_assert_geq(port.wake_fds[0], 0);
	cr_assert_eq(system("echo 1 >/proc/sys/net/ipv6/conf/lt0/disable_ipv6; ip link set lt0 up;"
			    "ip addr add 10.9.0.1/24 dev lt0;"
			    "ip neigh add 10.9.0.2 lladdr 02:00:00:00:00:09 dev lt0"),
		0);
	receive_all(&port);
	struct pollfd wake = {port.wake_fds[0], POLLIN, 0};
	cr_assert(lode_port_arm(&port, 0));
	cr_assert_eq(poll(&wake, 1, 20), 0, "woken by nothing");
	system("ping -c 1 -W 1 10.9.0.2 >/dev/null 2>&1 &");
	cr_assert_eq(poll(&wake, 1, 5000), 1, "the frame did not wake the port");
	lode_port_disarm(&port, 0);
	cr_assert_geq(receive_all(&port), 1, "the frame is not there");
	lode_port_close(&port);
	rte_eal_cleanup();
}

Test(port, what_a_device_lacks_is_clamped_and_said, .timeout = 30)
{
	struct rte_mempool *pool = start_eal();
	cr_assert_eq(
		system("ip link add va mtu 9000 type veth peer name vb; ip link set va up"), 0);
	struct lode_config_port jumbo = veth("va"), ring = veth("x");
	struct lode_port port;
	struct lode_err err;
	jumbo.mtu_bytes = 9000;
	cr_assert_eq(open_port(&jumbo, 0, 1, pool, &port, &err), 0, "%s", err.msg);
	cr_assert_eq(port.mtu_bytes, 1500);
	cr_assert_eq(port.n_notes, 1);
	cr_assert(strstr(port.notes[0], "9000") && strstr(port.notes[0], "1500"), "%s",
		port.notes[0]);
	lode_port_close(&port);
	strcpy(ring.profile, "pcap"); /* one transmit queue */
	strcpy(ring.device, "rx_pcap=/dev/null,tx_pcap=/dev/null");
	cr_assert_lt(open_port(&ring, 1, 2, pool, &port, &err), 0);
	cr_assert(strstr(err.msg, "port x"), "%s", err.msg);
	rte_eal_cleanup();
}

Test(port, two_workers_get_two_queues_and_hand_over_what_is_not_steered, .timeout = 30)
{
	struct rte_mempool *pool = start_eal();
	cr_assert_eq(system("ip link add va type veth peer name vb; ip link set va up"), 0);
	struct lode_config_port c = veth("va");
	struct lode_port port;
	struct lode_err err;
	cr_assert_eq(open_port(&c, 0, 2, pool, &port, &err), 0, "%s", err.msg);
	cr_assert_eq(port.n_rx_queues, 2);
	cr_assert_eq(port.n_tx_queues, 2);
	cr_assert(!port.steered);
	cr_assert(strstr(port.notes[0], "steering"), "%s", port.notes[0]);
	lode_port_close(&port);
	rte_eal_cleanup();
}

Test(port, a_missing_device_is_named, .timeout = 30)
{
	struct rte_mempool *pool = start_eal();
	struct lode_config_port c = veth("nosuch0");
	struct lode_port port;
	struct lode_err err;
	cr_assert_eq(open_port(&c, 0, 1, pool, &port, &err), -ENODEV);
	cr_assert(strstr(err.msg, "nosuch0"), "%s", err.msg);
	rte_eal_cleanup();
}
