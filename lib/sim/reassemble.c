/* SPDX-License-Identifier: BSD-3-Clause */
/* What hosts do with IPv4 fragments (RFC 791): a gateway cuts packets for a LAN that takes smaller ones. Only
 * for packets without options whose fragments come once and close together. */
#include "sim.h"

#include "lode_wire.h"

#define HEADERS	       (ETHER_BYTES + IPV4_BYTES)
#define MORE_FRAGMENTS 0x2000
#define OFFSET_MASK    0x1fff

static void finish(struct reassembly *r)
{
	uint8_t *ip = r->frame + ETHER_BYTES;
	lode_store_be16(ip + 2, (uint16_t)(IPV4_BYTES + r->whole_bytes));
	lode_store_be16(ip + 6, 0);
	uint16_t checksum_be = lode_wire_ipv4_checksum(ip, IPV4_BYTES);
	memcpy(ip + 10, &checksum_be, sizeof(checksum_be));
}

const uint8_t *fragment_take(struct site *site, const uint8_t *frame, uint16_t *len)
{
	const uint8_t *ip = frame + ETHER_BYTES;
	if (*len <= HEADERS || ip[0] != 0x45)
		return frame;
	uint16_t field = lode_load_be16(ip + 6),
		 checksum_be = lode_wire_ipv4_checksum(ip, IPV4_BYTES);
	if ((field & (MORE_FRAGMENTS | OFFSET_MASK)) == 0 || memcmp(ip + 10, &checksum_be, 2) ||
		lode_load_be16(ip + 2) != *len - ETHER_BYTES)
		return frame;
	uint16_t ident = lode_load_be16(ip + 4), bytes = (uint16_t)(*len - HEADERS);
	struct reassembly *r = &site->reassembly[(ident ^ ip[19]) % REASSEMBLIES];
	unsigned offset = (field & OFFSET_MASK) * 8u;
	if (HEADERS + offset + bytes > sizeof(r->frame))
		return frame;
	/* The slot's earlier packet lost a fragment. */
	if (r->ident != ident || memcmp(r->frame + ETHER_BYTES + 12, ip + 12, 8))
		r->got_bytes = r->whole_bytes = 0;
	r->ident = ident;
	memcpy(r->frame, frame, HEADERS);
	memcpy(r->frame + HEADERS + offset, frame + HEADERS, bytes);
	r->got_bytes = (uint16_t)(r->got_bytes + bytes);
	if (!(field & MORE_FRAGMENTS))
		r->whole_bytes = (uint16_t)(offset + bytes);
	if (r->got_bytes != r->whole_bytes)
		return NULL;
	finish(r);
	*len = (uint16_t)(HEADERS + r->whole_bytes);
	r->got_bytes = r->whole_bytes = 0;
	return r->frame;
}
