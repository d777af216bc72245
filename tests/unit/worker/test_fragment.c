/* SPDX-License-Identifier: BSD-3-Clause */
/* Fragments, put together again by a naive receiver. */
#include "world.h"

#include "worker.h"

#include <criterion/criterion.h>

static struct world x;

static void setup(void)
{
	world_make(&x);
}
static void teardown(void)
{
	cr_assert_eq(world_free(&x), 0, "packet buffers were not given back");
}
TestSuite(fragment, .init = setup, .fini = teardown);

/* An IPv4 packet with so many bytes of options (a copied one, one that is not, padding) and payload. */
static struct rte_mbuf *packet(
	struct lode_rng *r, unsigned options, unsigned payload, uint16_t field)
{
	uint8_t ip[2048] = {0};
	unsigned header = 20 + options;
	ip[0] = (uint8_t)(0x40 | header / 4);
	lode_store_be16(ip + 2, (uint16_t)(header + payload));
	lode_store_be16(ip + 4, 0x1234);
	lode_store_be16(ip + 6, field);
	ip[8] = 64;
	ip[9] = 17;
	if (options >= 12) {
		const uint8_t some[] = {7, 4, 0, 0, 0x94, 4, 0, 0, 1};
		memcpy(ip + 20, some, sizeof(some)); /* record route, router alert, no operation */
	}
	for (unsigned i = 0; i < payload; i++)
		ip[header + i] = (uint8_t)lode_rng_u64(r);
	return world_mbuf(&x, ip, header + payload);
}

static void check(struct rte_mbuf *m, uint16_t mtu_bytes)
{
	const uint8_t *ip = packet_data(m);
	unsigned header = (ip[0] & 15u) * 4, payload = m->data_len - header, covered = 0;
	uint16_t field = lode_load_be16(ip + 6);
	struct rte_mbuf *out[FRAGMENTS_MAX];
	unsigned n = fragment_ipv4(x.w, m, mtu_bytes, out);
	cr_assert_gt(n, 0);
	for (unsigned i = 0; i < n; i++) {
		const uint8_t *f = packet_data(out[i]);
		unsigned f_header = (f[0] & 15u) * 4, len = out[i]->data_len - f_header;
		uint16_t f_field = lode_load_be16(f + 6);
		unsigned at = ((f_field & 0x1fffu) - (field & 0x1fffu)) * 8;
		uint16_t sum;
		memcpy(&sum, f + 10, 2);
		cr_assert_leq(out[i]->data_len, mtu_bytes);
		cr_assert_eq(lode_load_be16(f + 2), out[i]->data_len);
		cr_assert_eq(lode_wire_ipv4_checksum(f, f_header), sum);
		cr_assert_eq(f_header, i == 0 || header == 20 ? header : 24);
		if (i > 0 && header > 20)
			cr_assert_eq(f[20], 0x94, "only the copied option");
		cr_assert_eq(at, covered);
		cr_assert_leq(at + len, payload);
		cr_assert_arr_eq(f + f_header, ip + header + at, len);
		cr_assert_eq(f_field & 0x2000, i + 1 < n ? 0x2000 : field & 0x2000);
		covered += len;
		rte_pktmbuf_free(out[i]);
	}
	cr_assert_eq(covered, payload);
}

Test(fragment, all_of_the_packet_in_order)
{
	struct lode_rng r;
	lode_rng_seed(&r, 11);
	for (unsigned i = 0; i < 2000; i++) {
		uint16_t field =
			(uint16_t)(lode_rng_below(&r, 2) ? 0x2000 | lode_rng_below(&r, 500) : 0);
		struct rte_mbuf *m = packet(&r, lode_rng_below(&r, 2) ? 12 : 0,
			1 + (unsigned)lode_rng_below(&r, 1900), field);
		check(m, (uint16_t)(300 + lode_rng_below(&r, 1300)));
		rte_pktmbuf_free(m);
	}
}

Test(fragment, damaged_options_do_not_hurt)
{
	struct lode_rng r;
	struct rte_mbuf *out[FRAGMENTS_MAX];
	lode_rng_seed(&r, 12);
	for (unsigned i = 0; i < 5000; i++) {
		struct rte_mbuf *m = packet(&r, 40, 1000, 0);
		for (unsigned k = 0; k < 40; k++)
			packet_data(m)[20 + k] = (uint8_t)lode_rng_u64(&r);
		unsigned n = fragment_ipv4(x.w, m, 576, out);
		cr_assert_geq(n, 2);
		rte_pktmbuf_free_bulk(out, n);
		rte_pktmbuf_free(m);
	}
}

Test(fragment, a_smaller_lan_gets_fragments_if_the_sender_allows)
{
	uint8_t frame[2048];
	size_t len = world_udp4(frame, "10.1.0.9", "10.3.0.9", 1, 2, 1300);
	x.snapshot->ports[1].mtu_bytes = 600;
	world_lan(&x, 0, frame, len);
	cr_assert_eq(lode_worker_tx(x.w, 1)->n, 3);
	cr_assert_eq(lode_counter_read(&lode_worker_counters(x.w)->fragmented), 1);
	frame[20] = 0x40;
	world_mend(frame);
	world_lan(&x, 0, frame, len);
	cr_assert_eq(lode_worker_tx(x.w, 1)->n, 3);
	cr_assert_eq(lode_counter_read(&lode_worker_counters(x.w)->drop_too_big), 1);
}
