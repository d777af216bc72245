/* SPDX-License-Identifier: BSD-3-Clause */
/* Addresses of everything, and the cables between WAN ports and their networks. */
#include "sim.h"

#include "lode_wire.h"

/* ---- addresses ---- */

static struct lode_ip v4(uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
	const uint8_t bytes[4] = {a, b, c, d};
	uint32_t addr_be;
	memcpy(&addr_be, bytes, 4);
	return lode_ip_from_v4_be(addr_be);
}

struct lode_ip wan_address(unsigned site, unsigned wan_port)
{
	return v4(198, 18, (uint8_t)wan_port, (uint8_t)(site + 1));
}

struct lode_ip lan_address(unsigned site, unsigned host, bool v6)
{
	if (!v6)
		return v4(10, (uint8_t)(site + 1), (uint8_t)(host >> 8), (uint8_t)host);
	struct lode_ip ip = {.b = {0x20, 0x01, 0x0d, 0xb8, 0, (uint8_t)(site + 1)}};
	lode_store_be16(ip.b + 14, (uint16_t)host);
	return ip;
}

struct lode_ip appliance_address(unsigned site)
{
	return v4(10, 255, 0, (uint8_t)(site + 1));
}

void port_mac(unsigned site, unsigned port_idx, uint8_t mac[6])
{
	const uint8_t bytes[6] = {2, 0x10, 0, (uint8_t)site, (uint8_t)port_idx, 0};
	memcpy(mac, bytes, 6);
}

void host_mac(unsigned site, unsigned host, uint8_t mac[6])
{
	const uint8_t bytes[6] = {2, 0x20, 0, (uint8_t)site, (uint8_t)(host >> 8), (uint8_t)host};
	memcpy(mac, bytes, 6);
}

/* Site of an address of network `wan_port`, or -1. */
static int site_of_wan(const struct lode_sim *s, unsigned wan_port, const uint8_t addr[4])
{
	unsigned n = addr[3] % NAT_OFFSET;
	bool ours = addr[0] == 198 && addr[1] == 18 && addr[2] == wan_port && n >= 1 &&
		    n <= s->params.n_sites;
	return ours ? (int)n - 1 : -1;
}

bool resolve_mac(const struct lode_sim *s, const struct lode_resolve *want, uint8_t mac[6])
{
	const uint8_t *b = want->ip.b;
	if (want->port_idx == LAN_PORT) {
		bool is_v4 = lode_ip_is_v4(&want->ip);
		unsigned site = (is_v4 ? b[13] : b[5]) - 1u;
		if (site >= s->params.n_sites)
			return false;
		host_mac(site, is_v4 ? lode_load_be16(b + 14) : lode_load_be16(b + 14), mac);
		return true;
	}
	bool shared = b[12] == 198 && b[13] == 18 && b[15] == CGNAT_HOST;
	int site = shared ? CGNAT_HOST : site_of_wan(s, want->port_idx - 1u, b + 12);
	if (site < 0)
		return false;
	port_mac((unsigned)site, want->port_idx, mac);
	return true;
}

/* ---- cables ---- */

static uint64_t link_seed(const struct site *site, unsigned wan_port, unsigned direction)
{
	return lode_mix64(
		site->sim->params.seed ^ lode_mix64((site->idx * 8ull + wan_port) * 2 + direction));
}

int cables_make(struct site *site, struct lode_err *err)
{
	const struct lode_link_config wire = {0};
	for (unsigned k = 0; k < site->sim->params.n_wan_ports; k++) {
		struct cable *cable = &site->cables[k];
		cable->config[LODE_SIM_UP] = site->sim->params.uplink[k];
		cable->config[LODE_SIM_DOWN] = wire;
		for (unsigned d = 0; d < 2; d++) {
			lode_rng_seed(&cable->remark_rng, ~link_seed(site, k, d));
			cable->link[d] =
				lode_link_new(&cable->config[d], link_seed(site, k, d), 0, err);
			if (!cable->link[d])
				return -ENOMEM;
		}
	}
	return 0;
}

void cables_free(struct site *site)
{
	for (unsigned k = 0; k < LODE_WAN_PORTS_MAX; k++) {
		for (unsigned d = 0; d < 2; d++) {
			struct lode_link *l = site->cables[k].link[d];
			uint64_t handle;
			while (l && lode_link_flush(l, &handle))
				rte_pktmbuf_free((struct rte_mbuf *)(uintptr_t)handle);
			if (l)
				lode_link_free(l);
			site->cables[k].link[d] = NULL;
			site->cables[k].n_inside = 0;
		}
	}
}

static bool is_cut(const struct site *site, unsigned wan_port)
{
	return site->cables[wan_port].cut || site->no_carrier[WAN_PORT(wan_port)];
}

static void push(
	struct site *site, unsigned wan_port, enum lode_sim_direction direction, struct rte_mbuf *m)
{
	struct lode_sim *s = site->sim;
	struct cable *cable = &site->cables[wan_port];
	struct lode_link *l = cable->link[direction];
	uint32_t bytes = rte_pktmbuf_pkt_len(m) - ETHER_BYTES;
	if (is_cut(site, wan_port) ||
		lode_link_push(l, s->now_ns, bytes, (uintptr_t)m) != LODE_LINK_OK) {
		rte_pktmbuf_free(m);
		return;
	}
	cable->n_inside++;
	lode_pkt(m)->enqueued_ns = s->now_ns;
	timeline_set(
		&s->timeline, due_link(site->idx, wan_port, direction), lode_link_next_due_ns(l));
}

/* Data on a lane other than the home lane. */
static bool is_further(const struct rte_mbuf *m)
{
	const uint8_t *clear =
		rte_pktmbuf_mtod(m, const uint8_t *) + ETHER_BYTES + IPV4_BYTES + UDP_BYTES;
	return clear[0] >> 4 == LODE_WIRE_DATA && (clear[1] & 7) != 0;
}

void wan_send(struct site *site, unsigned wan_port, struct rte_mbuf *m)
{
	struct cable *cable = &site->cables[wan_port];
	site->sim->stats.wan_pkts++;
	site->sim->stats.further_pkts += is_further(m);
	if (cable->cgnat_expire_ns == 0) {
		nat_out(cable, m);
	} else if (!cgnat_out(site, wan_port, m)) {
		rte_pktmbuf_free(m);
		return;
	}
	digest_add(site->sim, site->idx * 8 + wan_port, rte_pktmbuf_mtod(m, void *),
		rte_pktmbuf_data_len(m));
	push(site, wan_port, LODE_SIM_UP, m);
}

/* The worker that a NIC would steer to: by UDP destination port. */
static unsigned steer(const struct site *site, const struct rte_mbuf *m)
{
	const uint8_t *frame = rte_pktmbuf_mtod(m, const uint8_t *);
	unsigned udp_port = lode_control_config(site->control)->udp_port;
	if (rte_pktmbuf_data_len(m) < ETHER_BYTES + IPV4_BYTES + 4)
		return 0;
	unsigned worker = lode_load_be16(frame + ETHER_BYTES + IPV4_BYTES + 2) - udp_port;
	return worker < site->n_workers ? worker : 0;
}

static void arrive(struct site *site, unsigned wan_port, struct rte_mbuf *m)
{
	const struct cable *cable = &site->cables[wan_port];
	unsigned udp_port = lode_control_config(site->control)->udp_port;
	if (is_cut(site, wan_port) || !nat_in(cable, udp_port, site->n_workers, m)) {
		rte_pktmbuf_free(m);
		return;
	}
	capture_frame(site, wan_port, m);
	site_receive(site, WAN_PORT(wan_port), steer(site, m), m);
}

/* The network: to the site that has the destination address. */
static void cross_network(struct lode_sim *s, unsigned wan_port, struct rte_mbuf *m)
{
	const uint8_t *frame = rte_pktmbuf_mtod(m, const uint8_t *);
	bool whole = rte_pktmbuf_data_len(m) >= ETHER_BYTES + IPV4_BYTES + UDP_BYTES;
	bool shared = whole && frame[ETHER_BYTES + 19] == CGNAT_HOST;
	int site = !whole   ? -1
		   : shared ? cgnat_in(s, wan_port, m)
			    : site_of_wan(s, wan_port, frame + ETHER_BYTES + 16);
	/* Nothing comes to an inside address from the outside. */
	if (site < 0 || (!shared && s->sites[site].cables[wan_port].cgnat_expire_ns)) {
		rte_pktmbuf_free(m);
		return;
	}
	if (s->sites[site].cables[wan_port].shaped_down)
		push(&s->sites[site], wan_port, LODE_SIM_DOWN, m);
	else
		arrive(&s->sites[site], wan_port, m);
}

/* What came out of a link; NULL: it was lost. */
static struct rte_mbuf *take_out(
	struct lode_sim *s, struct cable *cable, const struct lode_link_out *out)
{
	struct rte_mbuf *m = (struct rte_mbuf *)(uintptr_t)out->handle;
	cable->n_inside -= !out->copy;
	watch_slow(s, s->now_ns, s->now_ns - lode_pkt(m)->enqueued_ns);
	if (out->fate != LODE_LINK_OK) {
		rte_pktmbuf_free(m);
		return NULL;
	}
	if (out->copy)
		m = rte_pktmbuf_copy(m, s->pool, 0, UINT32_MAX);
	if (m && out->corrupt) {
		uint32_t bit = out->corrupt_bit % (8 * (rte_pktmbuf_data_len(m) - ETHER_BYTES));
		rte_pktmbuf_mtod(m, uint8_t *)[ETHER_BYTES + bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	return m;
}

void link_due(
	struct lode_sim *s, unsigned site_idx, unsigned wan_port, enum lode_sim_direction direction)
{
	struct site *site = &s->sites[site_idx];
	struct lode_link *l = site->cables[wan_port].link[direction];
	struct lode_link_out out;
	while (lode_link_pop(l, s->now_ns, &out)) {
		struct rte_mbuf *m = take_out(s, &site->cables[wan_port], &out);
		if (m && direction == LODE_SIM_UP) {
			remark(&site->cables[wan_port], m);
			cross_network(s, wan_port, m);
		}
		if (m && direction == LODE_SIM_DOWN)
			arrive(site, wan_port, m);
	}
	uint64_t due_ns = lode_link_next_due_ns(l);
	if (due_ns != LODE_NEVER_NS)
		due_ns = LODE_MAX(due_ns, s->now_ns + 1);
	timeline_set(&s->timeline, due_link(site_idx, wan_port, direction), due_ns);
}

/* ---- changes from outside ---- */

void lode_sim_set_link(struct lode_sim *s, unsigned site, unsigned wan_port,
	enum lode_sim_direction direction, const struct lode_link_config *config)
{
	struct cable *cable = &s->sites[site].cables[wan_port];
	cable->config[direction] = *config;
	cable->shaped_down |= direction == LODE_SIM_DOWN;
	lode_link_set(cable->link[direction], config, s->now_ns, NULL);
	timeline_set(&s->timeline, due_link(site, wan_port, direction),
		lode_link_next_due_ns(cable->link[direction]));
}

const struct lode_link_config *lode_sim_get_link(const struct lode_sim *s, unsigned site,
	unsigned wan_port, enum lode_sim_direction direction)
{
	return &s->sites[site].cables[wan_port].config[direction];
}

const struct lode_link *lode_sim_link(const struct lode_sim *s, unsigned site, unsigned wan_port,
	enum lode_sim_direction direction)
{
	return s->sites[site].cables[wan_port].link[direction];
}

void lode_sim_cut(struct lode_sim *s, unsigned site, unsigned wan_port, bool cut)
{
	s->sites[site].cables[wan_port].cut = cut;
}

void lode_sim_inject(
	struct lode_sim *s, unsigned site, unsigned wan_port, const void *frame, size_t len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(s->pool);
	if (!m)
		return;
	char *data = len <= UINT16_MAX ? rte_pktmbuf_append(m, (uint16_t)len) : NULL;
	if (!data) {
		rte_pktmbuf_free(m);
		return;
	}
	memcpy(data, frame, len);
	site_receive(&s->sites[site], WAN_PORT(wan_port), steer(&s->sites[site], m), m);
}
