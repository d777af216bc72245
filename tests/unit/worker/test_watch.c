/* SPDX-License-Identifier: BSD-3-Clause */
/* What an operator may watch: traced packets, examples of drops, the heaviest conversations. */
#include "worker.h"
#include "world.h"

#include <criterion/criterion.h>
#include <rte_mbuf.h>
#include <stdio.h>

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
TestSuite(watch, .init = setup, .fini = teardown);

static void ask_trace(const struct lode_trace_filter *filter, uint32_t n)
{
	lode_worker_trace(x.w, filter, n);
	world_poll(&x);
}

/* Stages of all trace records since the last call, each with a space behind; of drops the reason. */
static const char *stages(void)
{
	static char text[600];
	struct lode_trace_record r;
	size_t len = 0;
	text[0] = 0;
	for (uint64_t then = 0; lode_ring_pop(lode_worker_rings(x.w)->trace, &r);) {
		const char *name = !strcmp(r.stage, "drop") ? r.detail : r.stage;
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s ", name);
		cr_assert_geq(r.at_ns, then, "%s is earlier than what came before", r.stage);
		cr_assert_gt(r.packet, 0);
		then = r.at_ns;
	}
	return text;
}

static void send_lan(const char *src, const char *dst, uint16_t sport, uint16_t dport)
{
	world_lan(&x, 0, frame, world_udp4(frame, src, dst, sport, dport, 300));
}

/* The peer sent this. */
static void from_peer(const char *src, const char *dst, uint16_t sport, uint16_t dport)
{
	size_t len = world_udp4(frame, src, dst, sport, dport, 300);
	struct rte_mbuf *m = world_mbuf(&x, frame + 14, len - 14);
	memset(lode_pkt(m), 0, sizeof(struct lode_pkt));
	deliver(x.w, 0, &m, 1, x.now_ns);
}

static void empty_queue(void)
{
	struct lode_txq *q = lode_worker_tx(x.w, 2);
	rte_pktmbuf_free_bulk(q->mbufs, q->n);
	q->n = 0;
}

Test(watch, a_trace_begins_at_the_lan_port)
{
	ask_trace(&(struct lode_trace_filter){0}, 1);
	send_lan("10.1.0.9", "10.2.0.5", 1, 4005);
	cr_assert_str_eq(stages(), "lan rx class queue ");
	send_lan("10.1.0.9", "10.2.0.5", 1, 4005);
	cr_assert_str_eq(stages(), "", "one was asked for");
}

Test(watch, delivered_packets_are_traced_to_their_end)
{
	ask_trace(&(struct lode_trace_filter){.protocol = 17, .sport = 7, .dport = 5}, 5);
	from_peer("10.2.0.5", "10.1.0.9", 5, 7);
	cr_assert_str_eq(stages(), "wan rx deliver tx ");
	from_peer("10.2.0.5", "10.2.0.9", 5, 7);
	cr_assert_str_eq(stages(), "wan rx deliver drop_hop_limit ");
	from_peer("10.2.0.5", "10.1.0.9", 6, 7);
	cr_assert_str_eq(stages(), "", "another port");
}

/* What a lane asks about; a bundle goes by any packet in it. */
Test(watch, opened_segments_are_known_by_what_they_carry)
{
	uint8_t bundle[800] = {0};
	size_t len = 0;
	for (unsigned i = 0; i < 2; i++) {
		size_t n =
			world_udp4(frame, "10.2.0.5", "10.1.0.9", (uint16_t)(5 + i), 7, 100) - 14;
		lode_store_be16(bundle + len, (uint16_t)n);
		memcpy(bundle + len + LODE_WIRE_BUNDLE_ITEM_BYTES, frame + 14, n);
		len += LODE_WIRE_BUNDLE_ITEM_BYTES + n;
	}
	struct rte_mbuf *m = world_mbuf(&x, bundle, len);
	memset(lode_pkt(m), 0, sizeof(struct lode_pkt));
	lode_pkt(m)->segment.flags = LODE_WIRE_BUNDLE;
	ask_trace(&(struct lode_trace_filter){.sport = 8}, 1);
	cr_assert(!trace_opened(x.w, m, 0));
	ask_trace(&(struct lode_trace_filter){.sport = 6}, 1);
	cr_assert(trace_opened(x.w, m, 0));
	cr_assert_neq(lode_pkt(m)->traced, 0);
	cr_assert(!trace_opened(x.w, m, 0), "one was asked for");
	rte_pktmbuf_free(m);
}

/* Both packets of a bundle match: one of them is followed. */
Test(watch, one_packet_of_a_bundle_keeps_the_trace)
{
	struct rte_mbuf *m[2];
	ask_trace(&(struct lode_trace_filter){.sport = 7}, 1);
	for (unsigned i = 0; i < 2; i++) {
		size_t len = world_udp4(frame, "10.2.0.5", "10.1.0.9", (uint16_t)(5 + i), 7, 300);
		m[i] = world_mbuf(&x, frame + 14, len - 14);
		memset(lode_pkt(m[i]), 0, sizeof(struct lode_pkt));
	}
	cr_assert(trace_opened(x.w, m[0], 0));
	*lode_pkt(m[1]) = *lode_pkt(m[0]);
	deliver(x.w, 0, m, 2, x.now_ns);
	cr_assert_str_eq(stages(), "wan rx deliver tx ");
}

Test(watch, filters_by_class_and_peer)
{
	const struct {
		struct lode_trace_filter filter;
		bool matches;
	} cases[] = {
		{{.any_of_classes = 1 << LODE_GAMING}, true},
		{{.any_of_classes = 1 << LODE_GAMING | 1 << LODE_WEB, .dport = 4005}, true},
		{{.any_of_classes = 1 << LODE_VOIP}, false},
		{{.peer = 1}, true},
		{{.peer = 2}, false},
		{{.peer = 1, .sport = 3}, false},
	};
	for (size_t i = 0; i < LODE_ARRAY_LEN(cases); i++) {
		ask_trace(&cases[i].filter, 1);
		send_lan("10.1.0.9", "10.2.0.5", 1, 4005);
		cr_assert_eq(strncmp(stages(), "lan rx class queue", 18) == 0, cases[i].matches,
			"case %zu", i);
		ask_trace(&cases[i].filter, 0);
	}
}

Test(watch, records_say_who)
{
	struct lode_trace_record r;
	unsigned n = 0;
	ask_trace(&(struct lode_trace_filter){.dport = 4005}, 1);
	send_lan("10.1.0.9", "10.2.0.5", 1, 4005);
	for (; lode_ring_pop(lode_worker_rings(x.w)->trace, &r); n++) {
		cr_assert_eq(r.id.dport, 4005, "%s", r.stage);
		cr_assert_eq(r.id.protocol, 17);
		cr_assert_eq(r.id.len_bytes, 328);
		cr_assert_eq(r.id.rx_port, 0);
		cr_assert_eq(r.worker_idx, 0);
	}
	cr_assert_eq(n, 3);
}

Test(watch, drops_leave_their_first_and_some_later_examples)
{
	struct lode_drop_example e;
	struct lode_ring *ring = lode_worker_rings(x.w)->drops;
	for (unsigned i = 0; i < 5; i++)
		send_lan("10.1.0.9", "10.99.0.1", (uint16_t)(10 + i), 53);
	cr_assert(lode_ring_pop(ring, &e));
	cr_assert_str_eq(e.reason, "drop_no_route");
	cr_assert_eq(e.id.sport, 10, "the first one");
	cr_assert_eq(e.id.len_bytes, 328);
	cr_assert(!e.in_lane);
	cr_assert(!lode_ring_pop(ring, &e), "the others came too soon");
	x.now_ns += LODE_NS_PER_S;
	send_lan("10.1.0.9", "10.99.0.1", 99, 53);
	cr_assert(lode_ring_pop(ring, &e));
	cr_assert_eq(e.id.sport, 99);
}

Test(watch, drops_before_the_ip_header_was_read_have_examples_too)
{
	struct lode_drop_example e;
	size_t len = world_udp4(frame, "10.1.0.9", "10.2.0.5", 1, 2, 100);
	frame[1] ^= 1; /* another MAC address */
	world_lan(&x, 0, frame, len);
	cr_assert(lode_ring_pop(lode_worker_rings(x.w)->drops, &e));
	cr_assert_str_eq(e.reason, "drop_not_ours");
	cr_assert_eq(e.id.dport, 2, "read behind the Ethernet header");
}

Test(watch, drops_of_lanes_show_the_outer_header)
{
	struct lode_drop_example e;
	size_t len = world_udp4(frame, "192.0.2.2", "192.0.2.1", 4711, WORLD_UDP_PORT, 100);
	const struct lode_wire_clear clear = {
		.type = LODE_WIRE_DATA, .version = LODE_WIRE_VERSION, .session = WORLD_SESSION};
	memcpy(frame, world_wan_mac, 6);
	lode_wire_put_clear(frame + 42, &clear);
	world_wan(&x, frame, len); /* nobody sealed it */
	cr_assert(lode_ring_pop(lode_worker_rings(x.w)->drops, &e));
	cr_assert_str_eq(e.reason, "drop_rx_auth");
	cr_assert(e.in_lane);
	cr_assert_eq(e.id.sport, 4711);
	cr_assert_eq(e.id.rx_port, 2);
}

static void pass_second(void)
{
	x.now_ns += LODE_NS_PER_S;
	world_poll(&x);
}

Test(watch, talkers_are_counted_while_somebody_watches)
{
	struct lode_talker t;
	struct lode_ring *ring = lode_worker_rings(x.w)->talkers;
	send_lan("10.1.0.9", "10.2.0.5", 1, 2);
	pass_second();
	cr_assert(!lode_ring_pop(ring, &t), "nobody watched");
	lode_worker_watch_talkers(x.w, x.now_ns + LODE_NS_PER_S / 2);
	world_poll(&x);
	for (unsigned i = 0; i < 3; i++)
		send_lan("10.1.0.9", "10.2.0.5", 1, 2);
	send_lan("10.1.0.9", "10.2.0.6", 1, 2);
	pass_second();
	cr_assert(lode_ring_pop(ring, &t));
	cr_assert_eq(t.tx_pkts, 3, "the heaviest comes first");
	cr_assert_eq(t.tx_bytes, 3 * 328);
	cr_assert_eq(t.rx_pkts, 0);
	cr_assert_eq(t.id.dst.b[15], 5);
	cr_assert_eq(t.id.peer_idx, 0);
	cr_assert_geq(t.until_ns - t.since_ns, LODE_NS_PER_S);
	cr_assert(lode_ring_pop(ring, &t));
	cr_assert_eq(t.tx_pkts, 1);
	send_lan("10.1.0.9", "10.2.0.5", 1, 2);
	pass_second();
	cr_assert(!lode_ring_pop(ring, &t), "the watch is over");
}

Test(watch, both_directions_are_one_conversation)
{
	struct lode_talker t;
	lode_worker_watch_talkers(x.w, x.now_ns + LODE_NS_PER_S);
	world_poll(&x);
	send_lan("10.1.0.9", "10.2.0.5", 7, 5);
	from_peer("10.2.0.5", "10.1.0.9", 5, 7);
	pass_second();
	cr_assert(lode_ring_pop(lode_worker_rings(x.w)->talkers, &t));
	cr_assert_eq(t.tx_pkts, 1);
	cr_assert_eq(t.rx_pkts, 1);
	cr_assert_eq(t.id.sport, 7, "as sent from here");
	cr_assert(!lode_ring_pop(lode_worker_rings(x.w)->talkers, &t));
}

/* More conversations than places: the heavy ones are found all the same. */
Test(watch, heavy_talkers_stay_among_many_small_ones)
{
	struct lode_talker t;
	struct lode_rng rng;
	unsigned found = 0;
	lode_rng_seed(&rng, 3);
	lode_worker_watch_talkers(x.w, x.now_ns + LODE_NS_PER_S);
	world_poll(&x);
	for (unsigned i = 0; i < 3000; i++) {
		uint16_t port = (uint16_t)(1000 + lode_rng_below(&rng, 2000));
		send_lan("10.1.0.9", "10.2.0.5", i % 10 ? port : (uint16_t)(1 + i % 40 / 10), 2);
		empty_queue();
	}
	pass_second();
	for (unsigned i = 0; i < 4 && lode_ring_pop(lode_worker_rings(x.w)->talkers, &t); i++)
		found += t.id.sport < 100;
	cr_assert_eq(found, 4, "%u of the four heavy ones are on top", found);
}
