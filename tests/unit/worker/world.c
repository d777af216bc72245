/* SPDX-License-Identifier: BSD-3-Clause */
#include "world.h"

#include <rte_eal.h>
#include <rte_mbuf.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ETHER	14
#define N_MBUFS 8191

const uint8_t world_lan_mac[6] = {2, 0, 0, 0, 0, 1}, world_lan1_mac[6] = {2, 0, 0, 0, 0, 2},
	      world_wan_mac[6] = {2, 0, 0, 0, 0, 3}, world_host_mac[6] = {2, 0, 0, 0, 0, 9};

static const char config_text[] =
	"version: 1\n"
	"ports:\n"
	"  - {name: lan0, role: lan, device: a, addresses: [10.1.0.1/24, \"2001:db8:1::1/64\"]}\n"
	"  - {name: lan1, role: lan, device: b, vlan: 5, addresses: [10.3.0.1/24]}\n"
	"  - {name: wan0, role: wan, device: c, addresses: [192.0.2.1/24]}\n"
	"peers:\n"
	"  - name: far\n"
	"    public_key: \"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\"\n"
	"    prefixes: [10.2.0.0/16, \"2001:db8:2::/48\"]\n"
	"    links: [{name: l, port: wan0, remote: \"192.0.2.2:51900\"}]\n"
	"rules:\n"
	"  - {name: g, class: gaming, protocol: udp, dport: 4000-4010}\n";

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "world: %s\n", what);
	abort();
}

static void start_eal(void)
{
	static bool started;
	char prefix[40];
	if (started)
		return;
	started = true;
	snprintf(prefix, sizeof(prefix), "--file-prefix=lodetest%d", (int)getpid());
	char *argv[] = {"test", "--no-huge", "--no-shconf", "--no-pci", "--no-telemetry", "-m",
		"256", "-l", "0", "--log-level=3", prefix, NULL};
	must(rte_eal_init((int)LODE_ARRAY_LEN(argv) - 1, argv) >= 0, "EAL");
}

static struct lode_ip ip_of(const char *text)
{
	struct lode_ip ip;
	must(lode_ip_parse(text, &ip) == 0, text);
	return ip;
}

static void add_route(struct lode_routes *r, const char *ip, uint8_t len, uint8_t kind, uint8_t idx)
{
	const struct lode_prefix p = {.ip = ip_of(ip), .len = len};
	const struct lode_route route = {.kind = kind, .idx = idx};
	must(lode_routes_add(r, &p, &route) == 0, "route");
}

static void make_routes(struct world *x)
{
	x->routes = lode_routes_new();
	add_route(x->routes, "10.1.0.0", 120, LODE_ROUTE_PORT, 0);
	add_route(x->routes, "2001:db8:1::", 64, LODE_ROUTE_PORT, 0);
	add_route(x->routes, "10.3.0.0", 120, LODE_ROUTE_PORT, 1);
	add_route(x->routes, "10.1.0.1", 128, LODE_ROUTE_BOX, 0);
	add_route(x->routes, "2001:db8:1::1", 128, LODE_ROUTE_BOX, 0);
	add_route(x->routes, "10.3.0.1", 128, LODE_ROUTE_BOX, 1);
	add_route(x->routes, "10.255.0.1", 128, LODE_ROUTE_HOST, LODE_HOST_PORT);
	add_route(x->routes, "10.2.0.0", 112, LODE_ROUTE_PEER, 0);
	add_route(x->routes, "2001:db8:2::", 48, LODE_ROUTE_PEER, 0);
}

static void make_view(struct world *x)
{
	static const uint8_t key[LODE_AEAD_KEY_BYTES] = {1};
	struct lode_epoch_view *e = &x->view.epochs[0];
	struct lode_path_view *p = &x->view.paths[0];
	x->view.refs = 1;
	x->view.n_lanes = 1;
	e->rx_valid = e->tx_valid = true;
	e->version = LODE_WIRE_VERSION;
	e->rx_session = e->tx_session = WORLD_SESSION;
	e->generation = 1;
	e->rx_key[0] = lode_aead_key_new(x->aead, key, 1);
	e->tx_key[0] = lode_aead_key_new(x->aead, key, 1);
	*p = (struct lode_path_view){.valid = true,
		.port_idx = 2,
		.local = ip_of("192.0.2.1"),
		.remote = ip_of("192.0.2.2"),
		.local_port = WORLD_UDP_PORT,
		.remote_port = {WORLD_UDP_PORT},
		.dst_mac = {2, 0, 0, 0, 0, 8},
		.link_mtu_bytes = 1500};
	memcpy(p->src_mac, world_wan_mac, 6);
}

static void add_neighbour(struct world *x, const char *ip, unsigned port_idx)
{
	struct lode_neighbour n = {.ip = ip_of(ip), .port_idx = (uint8_t)port_idx};
	memcpy(n.mac, world_host_mac, 6);
	must(lode_neighbours_add(x->neighbours, &n) == 0, "neighbour");
}

static void set_port(struct lode_snapshot *s, unsigned idx, const uint8_t *mac, uint16_t vlan)
{
	s->ports[idx] = (struct lode_port_view){.mtu_bytes = 1500, .vlan = vlan, .up = true};
	memcpy(s->ports[idx].mac, mac, 6);
}

void world_publish(struct world *x, const char *neighbour_ip, unsigned port_idx, bool session)
{
	struct lode_snapshot *s = lode_snapshot_new(++x->serial);
	must(s, "snapshot");
	if (neighbour_ip)
		add_neighbour(x, neighbour_ip, port_idx);
	s->config = x->config;
	s->rules = x->rules;
	s->routes = x->routes;
	s->neighbours = x->neighbours;
	s->peers[0] = session ? &x->view : NULL;
	set_port(s, 0, world_lan_mac, 0);
	set_port(s, 1, world_lan1_mac, 5);
	set_port(s, 2, world_wan_mac, 0);
	must(lode_snapshot_finish(s, NULL) == 0, "finish");
	atomic_store(&x->shared->snapshot, s);
	world_poll(x);
	lode_snapshot_free(x->older);
	x->older = x->snapshot;
	x->snapshot = s;
}

void world_make(struct world *x)
{
	struct lode_err err;
	start_eal();
	*x = (struct world){.now_ns = 1000 * LODE_NS_PER_S};
	x->pool = rte_pktmbuf_pool_create("world", N_MBUFS, 0, sizeof(struct lode_pkt),
		RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	x->shared = calloc(1, sizeof(*x->shared));
	x->aead = lode_aead_new("null", &err);
	must(x->pool && x->shared && x->aead, "memory");
	must(!lode_config_parse("world", config_text, strlen(config_text), &x->config, &err),
		err.msg);
	must(!lode_rules_build(x->config, &x->rules, &err), err.msg);
	make_routes(x);
	make_view(x);
	x->neighbours = lode_neighbours_new(64, 1);
	add_neighbour(x, "10.1.0.9", 0);
	const struct lode_worker_params params = {.name = "world",
		.n_workers = 1,
		.socket_id = SOCKET_ID_ANY,
		.pool = x->pool,
		.shared = x->shared,
		.n_flows = 64,
		.seed = 7};
	x->w = lode_worker_new(&params, &err);
	must(x->w, err.msg);
	world_publish(x, "10.3.0.9", 1, true);
}

unsigned world_free(struct world *x)
{
	lode_worker_free(x->w);
	unsigned in_use = rte_mempool_in_use_count(x->pool);
	lode_snapshot_free(x->older);
	lode_snapshot_free(x->snapshot);
	lode_routes_unref(x->routes);
	lode_neighbours_unref(x->neighbours);
	lode_aead_key_free(x->view.epochs[0].rx_key[0]);
	lode_aead_key_free(x->view.epochs[0].tx_key[0]);
	lode_aead_free(x->aead);
	lode_rules_free(x->rules);
	lode_config_free(x->config);
	free(x->shared);
	rte_mempool_free(x->pool);
	return in_use;
}

struct rte_mbuf *world_mbuf(struct world *x, const void *bytes, size_t len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(x->pool);
	must(m && len <= rte_pktmbuf_tailroom(m), "buffer");
	memcpy(rte_pktmbuf_append(m, (uint16_t)len), bytes, len);
	return m;
}

void world_lan(struct world *x, unsigned port_idx, const void *frame, size_t len)
{
	struct rte_mbuf *m = world_mbuf(x, frame, len);
	lode_worker_lan_rx(x->w, port_idx, &m, 1, x->now_ns);
	world_poll(x);
}

void world_wan(struct world *x, const void *frame, size_t len)
{
	struct rte_mbuf *m = world_mbuf(x, frame, len);
	lode_worker_wan_rx(x->w, 2, &m, 1, x->now_ns);
	world_poll(x);
}

void world_poll(struct world *x)
{
	lode_worker_poll(x->w, x->now_ns);
}

/* ---- frames ---- */

static void put_udp(uint8_t *udp, uint16_t sport, uint16_t dport, size_t payload)
{
	lode_store_be16(udp, sport);
	lode_store_be16(udp + 2, dport);
	lode_store_be16(udp + 4, (uint16_t)(8 + payload));
	memset(udp + 6, 0, payload + 2);
}

static void put_ether(uint8_t *frame, uint16_t ethertype)
{
	memcpy(frame, world_lan_mac, 6);
	memcpy(frame + 6, world_host_mac, 6);
	lode_store_be16(frame + 12, ethertype);
}

void world_mend(uint8_t *frame)
{
	size_t header_bytes = (frame[ETHER] & 15u) * 4;
	if (header_bytes < 20)
		return; /* nothing to mend */
	uint16_t checksum_be = lode_wire_ipv4_checksum(frame + ETHER, header_bytes);
	memcpy(frame + ETHER + 10, &checksum_be, 2);
}

size_t world_udp4(uint8_t *frame, const char *src, const char *dst, uint16_t sport, uint16_t dport,
	size_t payload)
{
	struct lode_ip from = ip_of(src), to = ip_of(dst);
	uint8_t *ip = frame + ETHER;
	put_ether(frame, 0x0800);
	memset(ip, 0, 20);
	ip[0] = 0x45;
	lode_store_be16(ip + 2, (uint16_t)(28 + payload));
	ip[8] = 64;
	ip[9] = 17;
	memcpy(ip + 12, from.b + 12, 4);
	memcpy(ip + 16, to.b + 12, 4);
	world_mend(frame);
	put_udp(ip + 20, sport, dport, payload);
	return ETHER + 28 + payload;
}

size_t world_udp6(uint8_t *frame, const char *src, const char *dst, uint16_t sport, uint16_t dport,
	size_t payload)
{
	struct lode_ip from = ip_of(src), to = ip_of(dst);
	uint8_t *ip = frame + ETHER;
	put_ether(frame, 0x86dd);
	memset(ip, 0, 40);
	ip[0] = 0x60;
	lode_store_be16(ip + 4, (uint16_t)(8 + payload));
	ip[6] = 17;
	ip[7] = 64;
	memcpy(ip + 8, from.b, 16);
	memcpy(ip + 24, to.b, 16);
	put_udp(ip + 40, sport, dport, payload);
	return ETHER + 48 + payload;
}
