/* SPDX-License-Identifier: BSD-3-Clause */
/* The hosts of the LANs: they make frames of their flows and check whatever the gateway gives them. Host
 * 16 + f of a site is an end of flow f. */
#include "sim.h"

#include "lode_wire.h"

#define ECN_CE	     3
#define PROTO_ICMP   1
#define PROTO_TCP    6
#define PROTO_UDP    17
#define PROTO_ICMPV6 58

static unsigned host_of(const struct flow *f)
{
	return 16 + f->idx;
}

/* Of the flow's end at that site. */
static struct lode_ip flow_address(const struct flow *f, unsigned site)
{
	return f->params.host ? appliance_address(site)
			      : lan_address(site, host_of(f), f->params.v6);
}

static uint16_t ip_bytes(const struct flow *f)
{
	return f->params.v6 ? IPV6_BYTES : IPV4_BYTES;
}

/* ---- patterns ---- */

/* Bytes 8 i to 8 i + 7 of a flow's stream. */
static uint64_t pattern_word(unsigned flow, uint64_t i)
{
	return (i ^ (uint64_t)flow << 48 ^ 0x5bd1e995) * 0x9e3779b97f4a7c15ull;
}

/* The first and the last word may be parts. */
void pattern_fill(unsigned flow, uint64_t position, uint8_t *out, size_t len)
{
	while (len) {
		uint64_t word = pattern_word(flow, position / 8) >> position % 8 * 8;
		size_t n = LODE_MIN(8 - position % 8, len);
		if (lode_likely(n == 8))
			memcpy(out, &word, 8);
		else
			memcpy(out, &word, n);
		position += n;
		out += n;
		len -= n;
	}
}

bool pattern_holds(unsigned flow, uint64_t position, const uint8_t *data, size_t len)
{
	uint8_t want[LAN_MTU];
	if (len > sizeof(want))
		return false;
	pattern_fill(flow, position, want, len);
	return !memcmp(want, data, len);
}

/* ---- out ---- */

static uint8_t tos_of(const struct flow *f)
{
	return (uint8_t)(f->params.dscp << 2 | f->params.ecn);
}

static void put_ip(
	const struct flow *f, bool forward, uint8_t protocol, size_t l4_bytes, uint8_t *ip)
{
	unsigned from = forward ? f->params.src : f->params.dst;
	unsigned to = forward ? f->params.dst : f->params.src;
	struct lode_ip src = flow_address(f, from), dst = flow_address(f, to);
	if (f->params.v6) {
		lode_store_be32(ip, 6u << 28 | (uint32_t)tos_of(f) << 20);
		lode_store_be16(ip + 4, (uint16_t)l4_bytes);
		ip[6] = protocol;
		ip[7] = 64;
		memcpy(ip + 8, src.b, 16);
		memcpy(ip + 24, dst.b, 16);
		return;
	}
	memset(ip, 0, IPV4_BYTES);
	ip[0] = 0x45;
	ip[1] = tos_of(f);
	lode_store_be16(ip + 2, (uint16_t)(IPV4_BYTES + l4_bytes));
	if (f->params.may_fragment)
		lode_store_be16(ip + 4, (uint16_t)f->cbr.next_seq);
	else
		ip[6] = 0x40;
	ip[8] = 64;
	ip[9] = protocol;
	memcpy(ip + 12, src.b + 12, 4);
	memcpy(ip + 16, dst.b + 12, 4);
	uint16_t checksum_be = lode_wire_ipv4_checksum(ip, IPV4_BYTES);
	memcpy(ip + 10, &checksum_be, 2);
}

struct rte_mbuf *packet_new(struct flow *f, struct lode_sim *s, bool forward, uint8_t protocol,
	size_t l4_bytes, uint8_t **l4)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(s->pool);
	if (!m)
		return NULL;
	uint8_t *frame =
		(uint8_t *)rte_pktmbuf_append(m, (uint16_t)(ETHER_BYTES + ip_bytes(f) + l4_bytes));
	if (!frame) {
		rte_pktmbuf_free(m);
		return NULL;
	}
	unsigned site = forward ? f->params.src : f->params.dst;
	port_mac(site, LAN_PORT, frame);
	host_mac(site, host_of(f), frame + 6);
	lode_store_be16(frame + 12, f->params.v6 ? 0x86dd : 0x0800);
	put_ip(f, forward, protocol, l4_bytes, frame + ETHER_BYTES);
	*l4 = frame + ETHER_BYTES + ip_bytes(f);
	uint16_t ours = (uint16_t)(SRC_PORT + f->idx);
	uint16_t theirs = f->params.dport ? f->params.dport : QUIET_PORT;
	lode_store_be16(*l4, forward ? ours : theirs);
	lode_store_be16(*l4 + 2, forward ? theirs : ours);
	return m;
}

void lan_send(struct lode_sim *s, const struct flow *f, bool forward, struct rte_mbuf *m)
{
	struct site *site = &s->sites[forward ? f->params.src : f->params.dst];
	if (f->hushed || (!f->params.host && site->no_carrier[LAN_PORT])) {
		rte_pktmbuf_free(m);
		return;
	}
	uint8_t *ip = rte_pktmbuf_mtod(m, uint8_t *) + ETHER_BYTES;
	uint8_t *l4 = ip + ip_bytes(f);
	size_t l4_bytes = rte_pktmbuf_data_len(m) - ETHER_BYTES - ip_bytes(f);
	uint8_t protocol = f->params.v6 ? ip[6] : ip[9];
	uint8_t *field = l4 + (protocol == PROTO_UDP ? 6 : 16);
	lode_store_be16(field, 0);
	uint16_t checksum_be = lode_wire_l4_checksum(ip, protocol, l4, l4_bytes);
	memcpy(field, &checksum_be, 2);
	s->stats.lan_pkts++;
	if (f->params.host)
		rte_pktmbuf_adj(m, ETHER_BYTES);
	site_receive(site, f->params.host ? LODE_HOST_PORT : LAN_PORT, f->idx % site->n_workers, m);
}

/* ---- in ---- */

/* Where a delivered packet belongs. */
struct arrival {
	struct flow *flow;
	bool forward;
	uint8_t protocol;
	const uint8_t *ip, *l4;
	size_t l4_bytes;
};

static bool flow_of(struct lode_sim *s, const uint8_t *l4, struct arrival *a)
{
	unsigned sport = lode_load_be16(l4), dport = lode_load_be16(l4 + 2);
	bool forward = sport - SRC_PORT < s->n_flows;
	unsigned idx = (forward ? sport : dport) - SRC_PORT;
	if (idx >= s->n_flows)
		return false;
	a->flow = s->flows[idx];
	a->forward = forward;
	return true;
}

enum finding { OF_A_FLOW, AN_ERROR, A_STRAY, BROKEN };

/* What arrived: a whole packet of a flow, an ICMP error from a gateway, a packet of strangers, or what nobody sent
 * like that. */
static enum finding read_arrival(
	struct lode_sim *s, const uint8_t *ip, size_t len, struct arrival *a)
{
	bool v6 = len && ip[0] >> 4 == 6;
	size_t header = v6 ? IPV6_BYTES : IPV4_BYTES;
	if (is_stray(s, ip, len))
		return A_STRAY;
	if (len < header + UDP_BYTES)
		return BROKEN;
	size_t total = v6 ? header + lode_load_be16(ip + 4) : lode_load_be16(ip + 2);
	uint16_t checksum_be = v6 ? 0 : lode_wire_ipv4_checksum(ip, IPV4_BYTES);
	if (total != len || (!v6 && memcmp(ip + 10, &checksum_be, 2)))
		return BROKEN;
	a->protocol = v6 ? ip[6] : ip[9];
	if (a->protocol == (v6 ? PROTO_ICMPV6 : PROTO_ICMP))
		return AN_ERROR;
	if (a->protocol != PROTO_UDP && a->protocol != PROTO_TCP)
		return BROKEN;
	a->ip = ip;
	a->l4 = ip + header;
	a->l4_bytes = total - header;
	if (!flow_of(s, a->l4, a) || lode_wire_l4_checksum(ip, a->protocol, a->l4, a->l4_bytes))
		return BROKEN;
	return OF_A_FLOW;
}

/* Frame (no MAC addresses on lode0) and packet were for this host of this site. */
static bool is_for(const struct site *site, const struct arrival *a, const uint8_t *frame)
{
	const struct flow *f = a->flow;
	unsigned to = a->forward ? f->params.dst : f->params.src;
	struct lode_ip want = flow_address(f, to);
	uint8_t mac[6];
	host_mac(site->idx, host_of(f), mac);
	bool same_ip = f->params.v6 ? !memcmp(a->ip + 24, want.b, 16)
				    : !memcmp(a->ip + 16, want.b + 12, 4);
	bool same_port = f->params.host ? frame == a->ip : !memcmp(frame, mac, 6);
	return to == site->idx && same_ip && same_port;
}

/* DSCP as sent; ECN too, or CE in place of ECT (RFC 6040). */
static bool is_tos_kept(const struct arrival *a)
{
	uint8_t sent = tos_of(a->flow);
	uint8_t tos = a->flow->params.v6 ? (uint8_t)(lode_load_be16(a->ip) >> 4) : a->ip[1];
	return tos == sent || (a->flow->params.ecn && tos == (sent | ECN_CE));
}

static void take(struct site *site, const struct arrival *a, const uint8_t *frame)
{
	struct lode_sim *s = site->sim;
	a->flow->stats.remarked_pkts += !is_tos_kept(a);
	if (!is_for(site, a, frame)) {
		s->stats.misdelivered_pkts++;
		return;
	}
	if (a->flow->params.kind == LODE_SIM_TCP && a->protocol == PROTO_TCP)
		tcp_receive(s, a->flow, a->forward, a->l4, a->l4_bytes);
	else if (a->flow->params.kind == LODE_SIM_CBR && a->protocol == PROTO_UDP && a->forward)
		cbr_receive(s, a->flow, a->l4, a->l4_bytes);
}

void lan_deliver(struct site *site, unsigned port_idx, struct rte_mbuf *m)
{
	struct lode_sim *s = site->sim;
	const uint8_t *frame = rte_pktmbuf_mtod(m, const uint8_t *);
	uint16_t len = rte_pktmbuf_data_len(m);
	size_t l2_bytes = port_idx == LODE_HOST_PORT ? 0 : ETHER_BYTES;
	struct arrival a = {0};
	s->stats.lan_pkts++;
	digest_add(s, site->idx * 8 + 7, frame, len);
	if (l2_bytes && (frame = fragment_take(site, frame, &len)) == NULL) {
		rte_pktmbuf_free(m);
		return;
	}
	enum finding what =
		len < l2_bytes ? BROKEN : read_arrival(s, frame + l2_bytes, len - l2_bytes, &a);
	if (what == OF_A_FLOW)
		take(site, &a, frame);
	s->stats.broken_pkts += what == BROKEN;
	rte_pktmbuf_free(m);
}
