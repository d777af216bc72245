/* SPDX-License-Identifier: BSD-3-Clause */
/* Who gets the packet: one worker, frames in, queues and counters out. */
#include "world.h"

#include <criterion/criterion.h>
#include <rte_mbuf.h>

static struct world x;
static uint8_t frame[2048];

static void setup(void)
{
	world_make(&x);
}
static void teardown(void)
{
	cr_assert_eq(world_free(&x), 0, "packet buffers were not given back");
}
TestSuite(worker, .init = setup, .fini = teardown);

#define COUNTER(name) lode_counter_read(&lode_worker_counters(x.w)->name)

static const uint8_t *sent(unsigned port_idx, unsigned i)
{
	struct lode_txq *q = lode_worker_tx(x.w, port_idx);
	cr_assert_lt(i, q->n, "port %u has %u frames", port_idx, q->n);
	return rte_pktmbuf_mtod(q->mbufs[i], const uint8_t *);
}

/* Data datagrams on the WAN; probes and the like are control. */
static unsigned n_data_sent(void)
{
	struct lode_txq *q = lode_worker_tx(x.w, 2);
	unsigned n = 0;
	for (unsigned i = 0; i < q->n; i++)
		n += rte_pktmbuf_mtod(q->mbufs[i], const uint8_t *)[42] >> 4 == LODE_WIRE_DATA;
	return n;
}

Test(worker, lan_packet_reaches_the_lane)
{
	size_t len = world_udp4(frame, "10.1.0.9", "10.2.0.5", 1, 4005, 100);
	world_lan(&x, 0, frame, len);
	cr_assert_eq(COUNTER(to_lane), 1);
	cr_assert_eq(COUNTER(flows_new), 1);
	cr_assert_eq(lode_worker_n_flows(x.w), 1);
	const struct lode_lane *lane = lode_worker_lane(x.w, 0);
	cr_assert_eq(lode_counter_read(&lode_lane_counters(lane)->lan_pkts), 1);
	cr_assert_leq(n_data_sent(), 1);
}

Test(worker, without_session_packets_wait_or_are_counted)
{
	size_t len = world_udp4(frame, "10.1.0.9", "10.2.0.5", 1, 2, 100);
	world_publish(&x, NULL, 0, false);
	world_lan(&x, 0, frame, len); /* the lane is there and holds it */
	cr_assert_eq(COUNTER(to_lane), 1);
	cr_assert_eq(COUNTER(drop_no_session), 0);
}

Test(worker, neighbour_lan_and_vlan)
{
	size_t len = world_udp4(frame, "10.1.0.9", "10.3.0.9", 1, 2, 100);
	world_lan(&x, 0, frame, len);
	const uint8_t *f = sent(1, 0);
	cr_assert_arr_eq(f, world_host_mac, 6);
	cr_assert_arr_eq(f + 6, world_lan1_mac, 6);
	cr_assert_eq(lode_load_be16(f + 12), 0x8100);
	cr_assert_eq(lode_load_be16(f + 14), 5);
	cr_assert_eq(f[18 + 8], 63, "TTL");
	cr_assert_eq(lode_wire_ipv4_checksum(f + 18, 20), *(const uint16_t *)(f + 28));
	cr_assert_eq(COUNTER(local_forward), 1);
}

Test(worker, vlan_of_the_port_only)
{
	size_t len = world_udp4(frame, "10.3.0.9", "10.1.0.9", 1, 2, 100);
	memcpy(frame, world_lan1_mac, 6);
	world_lan(&x, 1, frame, len);
	cr_assert_eq(COUNTER(drop_vlan), 1);
	memmove(frame + 16, frame + 12, len - 12);
	lode_store_be16(frame + 12, 0x8100);
	lode_store_be16(frame + 14, 5);
	world_lan(&x, 1, frame, len + 4);
	cr_assert_eq(COUNTER(drop_vlan), 1);
	cr_assert_eq(lode_load_be16(sent(0, 0) + 12), 0x0800);
}

Test(worker, unknown_neighbour_waits_then_goes)
{
	struct lode_resolve want;
	size_t len = world_udp4(frame, "10.1.0.9", "10.3.0.77", 1, 2, 100);
	for (unsigned i = 0; i < 5; i++)
		world_lan(&x, 0, frame, len);
	cr_assert_eq(COUNTER(drop_neighbour), 1, "four wait");
	cr_assert(lode_ring_pop(lode_worker_rings(x.w)->resolve, &want));
	cr_assert_eq(want.port_idx, 1);
	cr_assert_eq(want.ip.b[15], 77);
	cr_assert_eq(lode_worker_tx(x.w, 1)->n, 0);
	x.now_ns += 300 * LODE_NS_PER_MS;
	world_poll(&x);
	cr_assert(lode_ring_pop(lode_worker_rings(x.w)->resolve, &want), "asked again");
	world_publish(&x, "10.3.0.77", 1, true);
	cr_assert_eq(lode_worker_tx(x.w, 1)->n, 4);
}

Test(worker, silent_neighbour_is_given_up)
{
	size_t len = world_udp4(frame, "10.1.0.9", "10.3.0.77", 1, 2, 100);
	world_lan(&x, 0, frame, len);
	x.now_ns += LODE_NS_PER_S;
	world_poll(&x);
	cr_assert_eq(COUNTER(drop_neighbour), 1);
}

Test(worker, box_and_broadcast_go_to_the_mirror_whole)
{
	size_t len = world_udp4(frame, "10.1.0.9", "10.1.0.1", 1, 22, 100);
	world_lan(&x, 0, frame, len);
	struct lode_txq *q = lode_worker_mirror(x.w, 0);
	cr_assert_eq(q->n, 1);
	cr_assert_eq(rte_pktmbuf_data_len(q->mbufs[0]), len);
	cr_assert_arr_eq(rte_pktmbuf_mtod(q->mbufs[0], uint8_t *), frame, len);
	memset(frame, 0xff, 6);
	lode_store_be16(frame + 12, 0x0806);
	world_lan(&x, 0, frame, 60);
	cr_assert_eq(q->n, 2);
	cr_assert_eq(COUNTER(exception), 2);
}

Test(worker, frames_for_others_are_dropped)
{
	size_t len = world_udp4(frame, "10.1.0.9", "10.2.0.5", 1, 2, 100);
	frame[5] ^= 0x40;
	world_lan(&x, 0, frame, len);
	cr_assert_eq(COUNTER(drop_not_ours), 1);
}

Test(worker, time_to_live_ends_with_an_answer)
{
	size_t len = world_udp4(frame, "10.1.0.9", "10.2.0.5", 1, 2, 100);
	frame[14 + 8] = 1;
	world_mend(frame);
	world_lan(&x, 0, frame, len);
	cr_assert_eq(COUNTER(drop_ttl), 1);
	const uint8_t *f = sent(0, 0);
	cr_assert_eq(f[14 + 9], 1, "ICMP");
	cr_assert_eq(f[14 + 20], 11, "time exceeded");
	cr_assert_arr_eq(f, world_host_mac, 6);
	cr_assert_arr_eq(f + 14 + 16, frame + 14 + 12, 4);
}

Test(worker, no_route_is_answered_and_the_rate_is_limited)
{
	size_t len = world_udp4(frame, "10.1.0.9", "172.16.0.1", 1, 2, 100);
	for (unsigned i = 0; i < 200; i++)
		world_lan(&x, 0, frame, len);
	cr_assert_eq(COUNTER(drop_no_route), 200);
	cr_assert_eq(sent(0, 0)[14 + 20], 3);
	cr_assert(COUNTER(icmp_sent) >= 40 && COUNTER(icmp_sent) <= 60, "%lu",
		(unsigned long)COUNTER(icmp_sent));
}

Test(worker, ipv6_too)
{
	size_t len = world_udp6(frame, "2001:db8:1::9", "2001:db8:2::5", 1, 2, 100);
	world_lan(&x, 0, frame, len);
	cr_assert_eq(COUNTER(to_lane), 1);
	world_udp6(frame, "2001:db8:1::9", "2001:db8:9::5", 1, 2, 100);
	world_lan(&x, 0, frame, len);
	cr_assert_eq(COUNTER(drop_no_route), 1);
	cr_assert_eq(COUNTER(icmp_sent), 1);
}

Test(worker, host_port_carries_plain_ip)
{
	size_t len = world_udp4(frame, "10.1.0.9", "10.255.0.1", 1, 2, 100);
	world_lan(&x, 0, frame, len);
	cr_assert_eq(lode_worker_tx(x.w, LODE_HOST_PORT)->n, 1);
	cr_assert_eq(sent(LODE_HOST_PORT, 0)[0], 0x45);
	world_udp4(frame, "10.255.0.1", "10.2.0.5", 1, 2, 100);
	world_lan(&x, LODE_HOST_PORT, frame + 14, len - 14);
	cr_assert_eq(COUNTER(to_lane), 1);
}

Test(worker, spoofed_sources_are_dropped)
{
	size_t len = world_udp4(frame, "127.0.0.1", "10.2.0.5", 1, 2, 100);
	world_lan(&x, 0, frame, len);
	world_udp4(frame, "224.0.0.1", "10.2.0.5", 1, 2, 100);
	world_lan(&x, 0, frame, len);
	cr_assert_eq(COUNTER(drop_spoofed), 2);
}

Test(worker, several_segments_become_one)
{
	size_t len = world_udp4(frame, "10.1.0.9", "10.3.0.9", 1, 2, 400);
	struct rte_mbuf *m = world_mbuf(&x, frame, 200);
	struct rte_mbuf *tail = world_mbuf(&x, frame + 200, len - 200);
	cr_assert_eq(rte_pktmbuf_chain(m, tail), 0);
	lode_worker_lan_rx(x.w, 0, &m, 1, x.now_ns);
	cr_assert_eq(COUNTER(linearised), 1);
	cr_assert_arr_eq(sent(1, 0) + 18 + 28, frame + 14 + 28, 400);
}

Test(worker, full_flow_table_still_forwards)
{
	for (unsigned i = 0; i < 200; i++) {
		size_t len = world_udp4(frame, "10.1.0.9", "10.2.0.5", (uint16_t)(1 + i), 2, 20);
		world_lan(&x, 0, frame, len);
	}
	cr_assert_eq(COUNTER(to_lane), 200);
	cr_assert_gt(COUNTER(flow_table_full), 0);
}

/* ---- from the WAN ---- */

static size_t wan_frame(uint8_t type, uint16_t session, uint16_t dport, size_t bytes)
{
	size_t len = world_udp4(frame, "192.0.2.2", "192.0.2.1", 51900, dport, bytes);
	memcpy(frame, world_wan_mac, 6);
	const struct lode_wire_clear clear = {
		.type = type, .version = LODE_WIRE_VERSION, .session = session};
	lode_wire_put_clear(frame + 42, &clear);
	return len;
}

Test(worker, handshakes_go_to_control)
{
	struct lode_datagram d;
	world_wan(&x, frame, wan_frame(LODE_WIRE_HANDSHAKE_INIT, 1, WORLD_UDP_PORT, 200));
	cr_assert(lode_ring_pop(lode_worker_rings(x.w)->to_control, &d));
	cr_assert_eq(d.len, 200);
	cr_assert_eq(d.remote_port, 51900);
	cr_assert_eq(d.port_idx, 2);
	cr_assert_arr_eq(d.data, frame + 42, 200);
}

Test(worker, sessions_paths_and_ports)
{
	world_wan(&x, frame, wan_frame(LODE_WIRE_DATA, WORLD_SESSION, WORLD_UDP_PORT, 100));
	cr_assert_eq(COUNTER(from_lane), 1, "the lane judges the tag");
	world_wan(&x, frame, wan_frame(LODE_WIRE_DATA, 78, WORLD_UDP_PORT, 100));
	cr_assert_eq(COUNTER(drop_unknown_session), 1);
	size_t len = wan_frame(LODE_WIRE_DATA, WORLD_SESSION, WORLD_UDP_PORT, 100);
	frame[43] = 3 << 3;
	world_wan(&x, frame, len);
	cr_assert_eq(COUNTER(drop_unknown_path), 1);
	world_wan(&x, frame, wan_frame(LODE_WIRE_DATA, WORLD_SESSION, 53, 100));
	cr_assert_eq(lode_worker_mirror(x.w, 2)->n, 1, "not our port");
	world_wan(&x, frame, wan_frame(LODE_WIRE_DATA, WORLD_SESSION, WORLD_UDP_PORT, 7));
	cr_assert_eq(COUNTER(drop_outer_malformed), 1);
}

Test(worker, datagrams_of_control_are_sent)
{
	struct lode_datagram d = {.local = lode_ip_from_v4_be(0x010200c0),
		.remote = lode_ip_from_v4_be(0x020200c0),
		.next_hop = lode_ip_from_v4_be(0x020200c0),
		.local_port = 51900,
		.remote_port = 4711,
		.len = 33,
		.port_idx = 2};
	memset(d.data, 0xa5, d.len);
	world_publish(&x, "192.0.2.2", 2, false);
	rte_pktmbuf_free_bulk(lode_worker_tx(x.w, 2)->mbufs, lode_worker_tx(x.w, 2)->n);
	lode_worker_tx(x.w, 2)->n = 0;
	cr_assert(lode_ring_push(lode_worker_rings(x.w)->from_control, &d));
	world_poll(&x);
	const uint8_t *ip = sent(2, 0) + 14;
	cr_assert_eq(lode_load_be16(ip + 2), 28 + 33);
	cr_assert_eq(lode_load_be16(ip + 22), 4711);
	cr_assert_eq(lode_wire_l4_checksum(ip, 17, ip + 20, 8 + 33), 0);
	cr_assert_arr_eq(ip + 28, d.data, 33);
}

Test(worker, trace_follows_matching_packets)
{
	struct lode_trace_record r;
	const struct lode_trace_filter filter = {.dport = 99};
	lode_worker_trace(x.w, &filter, 1);
	world_poll(&x);
	size_t len = world_udp4(frame, "10.1.0.9", "10.3.0.9", 1, 98, 20);
	world_lan(&x, 0, frame, len);
	cr_assert(!lode_ring_pop(lode_worker_rings(x.w)->trace, &r));
	world_udp4(frame, "10.1.0.9", "10.3.0.9", 1, 99, 20);
	world_lan(&x, 0, frame, len);
	cr_assert(lode_ring_pop(lode_worker_rings(x.w)->trace, &r));
	cr_assert_str_eq(r.stage, "lan rx");
	cr_assert_eq(r.id.dport, 99);
	while (lode_ring_pop(lode_worker_rings(x.w)->trace, &r))
		;
	world_lan(&x, 0, frame, len);
	cr_assert(!lode_ring_pop(lode_worker_rings(x.w)->trace, &r), "one was asked for");
}

Test(worker, overload_levels_have_a_margin)
{
	static const struct {
		uint32_t permille;
		enum lode_overload level;
	} steps[] = {{799, LODE_LOAD_NORMAL}, {800, LODE_LOAD_HIGH}, {751, LODE_LOAD_HIGH},
		{749, LODE_LOAD_NORMAL}, {2000, LODE_LOAD_SEVERE}, {850, LODE_LOAD_SEVERE},
		{849, LODE_LOAD_HIGH}, {0, LODE_LOAD_NORMAL}};
	for (unsigned i = 0; i < LODE_ARRAY_LEN(steps); i++) {
		lode_worker_set_load(x.w, steps[i].permille);
		cr_assert_eq(lode_worker_load(x.w).level, steps[i].level, "step %u", i);
		cr_assert_eq(lode_worker_load(x.w).permille, LODE_MIN(steps[i].permille, 1000));
	}
	cr_assert_eq(COUNTER(overload_high), 2);
	cr_assert_eq(COUNTER(overload_severe), 1);
}
