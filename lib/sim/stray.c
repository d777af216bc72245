/* SPDX-License-Identifier: BSD-3-Clause */
/* Somebody on the LAN, or on the appliance itself, who sends what no flow of the hosts is: wrong, odd, or to nobody.
 * Some of it is forwarded, as it must be; whoever gets it knows it by its last bytes. */
#include "sim.h"

#include "lode_wire.h"

#define STRAY_BYTE  0x5a /* its ports, too */
#define STRAY_HOST  5000 /* up to so many above */
#define STRAY_HOSTS 200
#define VLAN_BYTES  4
#define PROTO_UDP   17
#define FRAME_BYTES (ETHER_BYTES + VLAN_BYTES + 60 + 4000)

struct stray {
	struct lode_rng *rng;
	unsigned site, n_sites;
	bool v6;
	size_t header_bytes, bytes; /* of IP, of the packet */
	uint8_t ether[ETHER_BYTES];
	uint8_t ip[FRAME_BYTES];
};

static unsigned below(struct stray *p, unsigned n)
{
	return (unsigned)lode_rng_below(p->rng, n);
}

/* ---- a packet from host to host ---- */

static void put_headers(struct stray *p)
{
	unsigned to = below(p, p->n_sites);
	struct lode_ip src = lan_address(p->site, STRAY_HOST + below(p, STRAY_HOSTS), p->v6);
	struct lode_ip dst = lan_address(to, STRAY_HOST + below(p, STRAY_HOSTS), p->v6);
	memset(p->ip, STRAY_BYTE, sizeof(p->ip));
	memset(p->ip, 0, p->header_bytes);
	if (p->v6) {
		lode_store_be32(p->ip, 6u << 28);
		lode_store_be16(p->ip + 4, (uint16_t)(p->bytes - IPV6_BYTES));
		p->ip[6] = PROTO_UDP;
		p->ip[7] = 64;
		memcpy(p->ip + 8, src.b, 16);
		memcpy(p->ip + 24, dst.b, 16);
		return;
	}
	p->ip[0] = 0x45;
	lode_store_be16(p->ip + 2, (uint16_t)p->bytes);
	p->ip[8] = 64;
	p->ip[9] = PROTO_UDP;
	memcpy(p->ip + 12, src.b + 12, 4);
	memcpy(p->ip + 16, dst.b + 12, 4);
}

static void draw_packet(struct stray *p)
{
	p->v6 = below(p, 3) == 0;
	p->header_bytes = p->v6 ? IPV6_BYTES : IPV4_BYTES;
	p->bytes = p->header_bytes + UDP_BYTES + below(p, LAN_MTU - IPV6_BYTES - UDP_BYTES);
	port_mac(p->site, LAN_PORT, p->ether);
	host_mac(p->site, STRAY_HOST, p->ether + 6);
	lode_store_be16(p->ether + 12, p->v6 ? 0x86dd : 0x0800);
	put_headers(p);
}

/* ---- what is wrong with it ---- */

/* The source, or the destination, becomes one of these. */
static void put_address(struct stray *p, bool source)
{
	static const uint8_t v4[][4] = {{127, 0, 0, 1}, {224, 0, 0, 251}, {255, 255, 255, 255},
		{0, 0, 0, 0}, {169, 254, 3, 4}, {203, 0, 113, 9}, {10, 1, 0, 1}, {10, 2, 0, 1},
		{10, 255, 0, 1}, {10, 255, 0, 2}, {198, 18, 0, 1}, {198, 18, 0, 2}};
	static const uint8_t v6[][4] = {{0xff, 2, 0, 0}, {0xfe, 0x80, 0, 0}, {0, 0, 0, 0},
		{0x20, 1, 0x0d, 0xb9}, {0x20, 1, 0x0d, 0xb8}};
	uint8_t *to = p->ip + (p->v6 ? 8 : 12) + (source ? 0 : p->v6 ? 16 : 4);
	if (p->v6)
		memset(to + 4, 0, 11); /* the last byte stays */
	memcpy(to, p->v6 ? v6[below(p, LODE_ARRAY_LEN(v6))] : v4[below(p, LODE_ARRAY_LEN(v4))], 4);
}

static void put_fragment(struct stray *p)
{
	lode_store_be16(p->ip + 4, (uint16_t)lode_rng_u64(p->rng));
	lode_store_be16(p->ip + 6, (uint16_t)(lode_rng_u64(p->rng) & 0x3fff));
}

/* Options of IPv4, or a few extension headers that may lead out of the packet. */
static void put_options(struct stray *p)
{
	static const uint8_t next[] = {0, 43, 44, 60, PROTO_UDP, 59};
	if (!p->v6) {
		p->ip[0] = (uint8_t)(0x40 | (5 + below(p, 11)));
		return;
	}
	p->ip[6] = next[below(p, LODE_ARRAY_LEN(next))];
	for (size_t at = IPV6_BYTES; at + 8 + 4 <= p->bytes && below(p, 4); at += 8) {
		p->ip[at] = next[below(p, LODE_ARRAY_LEN(next))];
		p->ip[at + 1] = below(p, 4) ? 0 : (uint8_t)lode_rng_u64(p->rng);
	}
}

static void put_lengths(struct stray *p)
{
	lode_store_be16(p->ip + (p->v6 ? 4 : 2), (uint16_t)below(p, 2 * LAN_MTU));
}

static void flip_header(struct stray *p)
{
	for (unsigned n = 1 + below(p, 4); n; n--)
		p->ip[below(p, (unsigned)p->header_bytes)] ^= (uint8_t)(1u << below(p, 8));
}

static void put_ether(struct stray *p)
{
	static const uint16_t types[] = {0x0806, 0x88cc, 0x8100, 0x0800, 0x86dd, 5};
	if (below(p, 2))
		lode_store_be16(p->ether + 12, types[below(p, LODE_ARRAY_LEN(types))]);
	else if (below(p, 2))
		memset(p->ether, 0xff, 6);
	else
		p->ether[below(p, 6)] ^= (uint8_t)(1u << below(p, 8));
}

static void spoil(struct stray *p)
{
	switch (below(p, 9)) {
	case 0:
		put_address(p, true);
		break;
	case 1:
		put_address(p, false);
		break;
	case 2:
		p->ip[p->v6 ? 7 : 8] = (uint8_t)below(p, 3);
		break;
	case 3:
		put_options(p);
		break;
	case 4:
		put_lengths(p);
		break;
	case 5:
		flip_header(p);
		break;
	case 6:
		put_ether(p);
		break;
	case 7:
		p->bytes = LAN_MTU + below(p, 2500);
		put_headers(p);
		break;
	default:
		if (!p->v6)
			put_fragment(p);
	}
}

/* Right for the header as it is, nearly always. */
static void put_checksum(struct stray *p)
{
	if (p->ip[0] >> 4 != 4 || below(p, 16) == 0)
		return;
	uint16_t checksum_be = lode_wire_ipv4_checksum(p->ip, (p->ip[0] & 0xfu) * 4);
	memcpy(p->ip + 10, &checksum_be, sizeof(checksum_be));
}

/* ---- out ---- */

static struct rte_mbuf *put_bytes(struct lode_sim *s, const uint8_t *from, size_t n)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(s->pool);
	char *to = m ? rte_pktmbuf_append(m, (uint16_t)n) : NULL;
	if (to)
		memcpy(to, from, n);
	return m;
}

/* In as many buffers as a NIC would use that was given small ones. */
static struct rte_mbuf *put_frame(
	struct lode_sim *s, const uint8_t *frame, size_t len, size_t buffer_bytes)
{
	struct rte_mbuf *head = NULL;
	for (size_t at = 0; at < len; at += buffer_bytes) {
		struct rte_mbuf *m = put_bytes(s, frame + at, LODE_MIN(buffer_bytes, len - at));
		if (!m || (head && rte_pktmbuf_chain(head, m))) {
			rte_pktmbuf_free(m);
			rte_pktmbuf_free(head);
			return NULL;
		}
		head = head ? head : m;
	}
	return head;
}

void lode_sim_stray(struct lode_sim *s, unsigned site_idx, struct lode_rng *rng)
{
	struct site *site = &s->sites[site_idx];
	struct stray p = {.rng = rng, .site = site_idx, .n_sites = s->params.n_sites};
	uint8_t frame[ETHER_BYTES + VLAN_BYTES + FRAME_BYTES];
	size_t len = 0;
	draw_packet(&p);
	spoil(&p);
	put_checksum(&p);
	bool from_host = below(&p, 5) == 0, tagged = below(&p, 16) == 0;
	if (!from_host) {
		len = ETHER_BYTES;
		memcpy(frame, p.ether, ETHER_BYTES);
	}
	if (!from_host && tagged) {
		len += VLAN_BYTES;
		memcpy(frame + len - 2, p.ether + 12, 2);
		lode_store_be32(frame + 12, 0x8100u << 16 | below(&p, 4));
	}
	memcpy(frame + len, p.ip, p.bytes);
	len += p.bytes;
	len = below(&p, 16) ? len : 1 + below(&p, (unsigned)len);
	s->n_strays++;
	struct rte_mbuf *m = put_frame(s, frame, len, below(&p, 8) ? 2000 : 200 + below(&p, 1000));
	if (m)
		site_receive(
			site, from_host ? LODE_HOST_PORT : LAN_PORT, below(&p, site->n_workers), m);
}

bool is_stray(const struct lode_sim *s, const uint8_t *packet, size_t len)
{
	static const uint8_t end[] = {STRAY_BYTE, STRAY_BYTE, STRAY_BYTE, STRAY_BYTE};
	size_t header_bytes = len && packet[0] >> 4 == 6 ? IPV6_BYTES : IPV4_BYTES;
	if (s->n_strays == 0)
		return false;
	/* A length of its own made it lose its last bytes. */
	if (len < header_bytes + sizeof(end))
		return true;
	return !memcmp(packet + len - sizeof(end), end, sizeof(end));
}
