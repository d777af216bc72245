/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>

#include "lode_classify.h"

#define MAX_PKTS 6

static struct lode_classify *c;

static void up(void)
{
	struct lode_err err = {0};
	cr_assert_eq(lode_classify_new(64, &c, &err), 0, "%s", err.msg);
}

static void down(void)
{
	lode_classify_free(c);
}

TestSuite(classify, .init = up, .fini = down);

/* An IPv4 UDP packet with that payload; returns its length. */
static uint16_t udp(uint8_t packet[600], uint16_t sport, uint16_t dport, const char *payload)
{
	static const uint8_t head[28] = {
		0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 10, 1, 0, 2, 10, 2, 0, 2};
	uint16_t len = (uint16_t)(sizeof(head) + strlen(payload));
	memcpy(packet, head, sizeof(head));
	lode_store_be16(packet + 2, len);
	lode_store_be16(packet + 20, sport);
	lode_store_be16(packet + 22, dport);
	lode_store_be16(packet + 24, (uint16_t)(len - 20));
	memcpy(packet + sizeof(head), payload, strlen(payload));
	return len;
}

Test(classify, sip_is_named_whatever_its_port)
{
	uint8_t p[600];
	int app = -1;
	enum lode_class cls;
	uint16_t len = udp(p, 17010, 17011,
		"INVITE sip:bob@10.2.0.2 SIP/2.0\r\nVia: SIP/2.0/UDP 10.1.0.2\r\nCSeq: 1 "
		"INVITE\r\n\r\n");
	bool done = false;
	for (unsigned i = 0; i < MAX_PKTS && !done; i++)
		done = lode_classify_look(c, 1, p, len, i * 20, MAX_PKTS, &app);
	cr_assert(done);
	cr_assert_geq(app, 0);
	cr_assert_str_eq(lode_classify_app(c, (unsigned)app, &cls), "SIP");
	cr_assert_eq(cls, LODE_VOIP);
}

Test(classify, every_flow_is_decided_after_its_packets)
{
	uint8_t p[600];
	int app;
	uint16_t len = udp(p, 40000, 40001, "\x93\x11nothing that anybody knows");
	for (unsigned i = 1; i < MAX_PKTS; i++)
		cr_assert_not(lode_classify_look(c, 2, p, len, i, MAX_PKTS, &app));
	cr_assert(lode_classify_look(c, 2, p, len, 9, MAX_PKTS, &app));
	cr_assert_lt(app, 0, "and nothing is made up");
}

Test(classify, more_flows_than_places_lose_the_oldest_only)
{
	uint8_t p[600];
	int app;
	uint16_t len = udp(p, 40000, 40001, "\x93\x11nothing that anybody knows");
	for (uint64_t flow = 0; flow < 10000; flow++)
		lode_classify_look(c, flow, p, len, flow, MAX_PKTS, &app);
	for (unsigned i = 1; i < MAX_PKTS; i++)
		cr_assert_not(lode_classify_look(c, 1ull << 40, p, len, i, MAX_PKTS, &app));
	cr_assert(lode_classify_look(c, 1ull << 40, p, len, 9, MAX_PKTS, &app));
}

Test(classify, payload_is_counted_within_the_packet)
{
	uint8_t p[600];
	uint16_t len = udp(p, 1, 2, "12345");
	cr_assert_eq(lode_classify_payload(p, len), 5);
	cr_assert_eq(lode_classify_payload(p, len - 2u), 3, "cut short");
	cr_assert_eq(lode_classify_payload(p, 28), 0);
	cr_assert_eq(lode_classify_payload(p, 10), 0);
	p[0] = 0x4f; /* options longer than the packet */
	cr_assert_eq(lode_classify_payload(p, len), 0);
	p[0] = 0x95;
	cr_assert_eq(lode_classify_payload(p, len), 0);
	cr_assert_eq(lode_classify_payload(p, 0), 0);
}

Test(classify, applications_have_names_and_lan_classes)
{
	unsigned named = 0;
	for (unsigned i = 0; i < lode_classify_n_apps(c); i++) {
		enum lode_class cls;
		const char *name = lode_classify_app(c, i, &cls);
		named += name != NULL;
		cr_assert(!name || cls < LODE_MANAGEMENT);
	}
	cr_assert_gt(named, 200u);
	enum lode_class cls;
	cr_assert_null(lode_classify_app(c, 100000, &cls));
}
