/* SPDX-License-Identifier: BSD-3-Clause */
#include "lane.h"

static void set_ecn(uint8_t *ip, unsigned ecn)
{
	if (ip[0] >> 4 == 4) {
		uint16_t old, new, checksum;
		memcpy(&old, ip, sizeof(old));
		ip[1] = (uint8_t)((ip[1] & ~3u) | ecn);
		memcpy(&new, ip, sizeof(new));
		memcpy(&checksum, ip + 10, sizeof(checksum));
		checksum = lode_wire_checksum_update(checksum, old, new);
		memcpy(ip + 10, &checksum, sizeof(checksum));
	} else {
		ip[1] = (uint8_t)((ip[1] & ~0x30u) | ecn << 4);
	}
}

/* First bytes of an IPv4 or IPv6 packet; NULL: too short or neither. */
static uint8_t *inner_ip(struct rte_mbuf *m)
{
	uint8_t *ip = rte_pktmbuf_mtod(m, uint8_t *);
	bool v4 = m->pkt_len >= 20 && ip[0] >> 4 == 4;
	bool v6 = m->pkt_len >= 40 && ip[0] >> 4 == 6;
	return v4 || v6 ? ip : NULL;
}

bool ecn_mark(struct rte_mbuf *m)
{
	uint8_t *ip = inner_ip(m);
	if (ip == NULL || (ip_tos(ip) & 3) == ECN_NOT_ECT)
		return false;
	set_ecn(ip, ECN_CE);
	return true;
}

bool ecn_leave(struct rte_mbuf *m, unsigned outer_ecn)
{
	if (outer_ecn == ECN_NOT_ECT || outer_ecn == ECN_ECT0)
		return true;
	uint8_t *ip = inner_ip(m);
	if (ip == NULL)
		return outer_ecn != ECN_CE;
	unsigned inner = ip_tos(ip) & 3;
	if (outer_ecn == ECN_CE && inner == ECN_NOT_ECT)
		return false;
	/* RFC 6040 figure 4: CE always comes through, ECT(1) onto ECT(0). */
	if (outer_ecn == ECN_CE && inner != ECN_CE)
		set_ecn(ip, ECN_CE);
	else if (outer_ecn == ECN_ECT1 && inner == ECN_ECT0)
		set_ecn(ip, ECN_ECT1);
	return true;
}
