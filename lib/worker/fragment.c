/* SPDX-License-Identifier: BSD-3-Clause */
/* IPv4 fragments (RFC 791, 3.2) for a link that is smaller than the packet, if its sender allows them. */
#include "worker.h"

#define HEADER_MAX     60
#define MORE_FRAGMENTS 0x2000
#define OFFSET_MASK    0x1fff
#define OPTION_COPIED  0x80
#define OPTION_END     0
#define OPTION_NOP     1

/* Header of all fragments but the first: only options that are marked so are copied. Returns its length. */
static unsigned later_header(const uint8_t *ip, unsigned header_bytes, uint8_t *out)
{
	unsigned n = IPV4_BYTES;
	memcpy(out, ip, IPV4_BYTES);
	for (unsigned at = IPV4_BYTES; at < header_bytes && ip[at] != OPTION_END;) {
		unsigned len = ip[at] == OPTION_NOP ? 1 : at + 1 < header_bytes ? ip[at + 1] : 0;
		if (len == 0 || (ip[at] != OPTION_NOP && len < 2) || at + len > header_bytes)
			break; /* damaged: the rest means nothing */
		if (ip[at] & OPTION_COPIED) {
			memcpy(out + n, ip + at, len);
			n += len;
		}
		at += len;
	}
	while (n % 4)
		out[n++] = OPTION_END;
	out[0] = (uint8_t)(0x40 | n / 4);
	return n;
}

static struct rte_mbuf *make(struct lode_worker *w, struct rte_mbuf *m, const uint8_t *header,
	unsigned header_bytes, const uint8_t *payload, unsigned len, uint16_t offset_field)
{
	struct rte_mbuf *f = rte_pktmbuf_alloc(w->params.pool);
	uint8_t *ip = f ? (uint8_t *)rte_pktmbuf_append(f, (uint16_t)(header_bytes + len)) : NULL;
	if (ip == NULL) {
		rte_pktmbuf_free(f);
		return NULL;
	}
	*lode_pkt(f) = *lode_pkt(m);
	memcpy(ip, header, header_bytes);
	memcpy(ip + header_bytes, payload, len);
	lode_store_be16(ip + 2, (uint16_t)(header_bytes + len));
	lode_store_be16(ip + 6, offset_field);
	uint16_t checksum_be = lode_wire_ipv4_checksum(ip, header_bytes);
	memcpy(ip + 10, &checksum_be, sizeof(checksum_be));
	return f;
}

unsigned fragment_ipv4(struct lode_worker *w, struct rte_mbuf *m, uint16_t mtu_bytes,
	struct rte_mbuf *out[FRAGMENTS_MAX])
{
	const uint8_t *ip = packet_data(m);
	unsigned header_bytes = (ip[0] & 15u) * 4, left = m->data_len - header_bytes, n = 0;
	const uint8_t *payload = ip + header_bytes;
	uint8_t header[HEADER_MAX];
	uint16_t field = lode_load_be16(ip + 6), offset = field & OFFSET_MASK;
	memcpy(header, ip, header_bytes);
	while (left > 0) {
		unsigned room = (mtu_bytes - header_bytes) & ~7u;
		bool last = left <= mtu_bytes - header_bytes;
		unsigned len = last ? left : room;
		uint16_t more = last ? field & MORE_FRAGMENTS : MORE_FRAGMENTS;
		struct rte_mbuf *f = n < FRAGMENTS_MAX ? make(w, m, header, header_bytes, payload,
								 len, (uint16_t)(offset | more))
						       : NULL;
		if (f == NULL) {
			rte_pktmbuf_free_bulk(out, n);
			return 0;
		}
		out[n] = f;
		if (n++ == 0)
			header_bytes = later_header(ip, header_bytes, header);
		payload += len;
		left -= len;
		offset = (uint16_t)(offset + len / 8);
	}
	return n;
}
