/* SPDX-License-Identifier: BSD-3-Clause */
#include "pair.h"

#include <criterion/criterion.h>

static struct rte_mbuf *packet(struct rte_mempool *pool, unsigned version, unsigned ecn)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
	uint8_t *ip = (uint8_t *)rte_pktmbuf_append(m, 60);
	memset(ip, 0, 60);
	if (version == 4) {
		ip[0] = 0x45;
		ip[1] = (uint8_t)(46 << 2 | ecn);
		uint16_t sum = lode_wire_ipv4_checksum(ip, 20);
		memcpy(ip + 10, &sum, 2);
	} else {
		lode_store_be16(ip, (uint16_t)(0x6000 | (46 << 2 | ecn) << 4));
	}
	return m;
}

/* Inner ECN after the tunnel by RFC 6040 figure 4; -1: drop. Rows: inner, columns: outer. */
static const int leaving[4][4] = {
	[ECN_NOT_ECT] = {[ECN_NOT_ECT] = ECN_NOT_ECT,
		[ECN_ECT0] = ECN_NOT_ECT,
		[ECN_ECT1] = ECN_NOT_ECT,
		[ECN_CE] = -1},
	[ECN_ECT0] = {[ECN_NOT_ECT] = ECN_ECT0,
		[ECN_ECT0] = ECN_ECT0,
		[ECN_ECT1] = ECN_ECT1,
		[ECN_CE] = ECN_CE},
	[ECN_ECT1] = {[ECN_NOT_ECT] = ECN_ECT1,
		[ECN_ECT0] = ECN_ECT1,
		[ECN_ECT1] = ECN_ECT1,
		[ECN_CE] = ECN_CE},
	[ECN_CE] = {[ECN_NOT_ECT] = ECN_CE,
		[ECN_ECT0] = ECN_CE,
		[ECN_ECT1] = ECN_CE,
		[ECN_CE] = ECN_CE},
};

Test(ecn, leaving_the_tunnel_follows_rfc_6040)
{
	struct rte_mempool *pool = eal_pool();
	for (unsigned i = 0; i < 32; i++) {
		unsigned version = i & 16 ? 6 : 4, inner = i >> 2 & 3, outer = i & 3;
		struct rte_mbuf *m = packet(pool, version, inner);
		uint8_t *ip = rte_pktmbuf_mtod(m, uint8_t *);
		bool kept = ecn_leave(m, outer);
		cr_assert_eq(kept, leaving[inner][outer] >= 0, "inner %u outer %u", inner, outer);
		if (kept)
			cr_assert_eq(ip_tos(ip), 46 << 2 | (unsigned)leaving[inner][outer],
				"IPv%u inner %u outer %u", version, inner, outer);
		if (version == 4) {
			uint16_t sum;
			memcpy(&sum, ip + 10, 2);
			cr_assert_eq(sum, lode_wire_ipv4_checksum(ip, 20));
		}
		rte_pktmbuf_free(m);
	}
}

Test(ecn, only_willing_packets_are_marked)
{
	struct rte_mempool *pool = eal_pool();
	for (unsigned i = 0; i < 8; i++) {
		struct rte_mbuf *m = packet(pool, i & 4 ? 6 : 4, i & 3);
		bool marked = ecn_mark(m);
		cr_assert_eq(marked, (i & 3) != ECN_NOT_ECT);
		if (marked)
			cr_assert_eq(ip_tos(rte_pktmbuf_mtod(m, uint8_t *)) & 3, ECN_CE);
		rte_pktmbuf_free(m);
	}
	struct rte_mbuf *short_one = packet(pool, 4, ECN_ECT0);
	rte_pktmbuf_trim(short_one, 45);
	cr_assert_not(ecn_mark(short_one), "too short for a header");
	rte_pktmbuf_free(short_one);
}
