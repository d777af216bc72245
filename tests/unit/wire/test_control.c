/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>

#include "lode_wire.h"

static uint8_t buf[2048];

static struct lode_wire_writer writer(void)
{
	struct lode_wire_writer w;
	lode_wire_writer_init(&w, buf, sizeof(buf));
	return w;
}

/* The only TLV in w, of that type. */
static struct lode_wire_tlv only(const struct lode_wire_writer *w, unsigned type)
{
	struct lode_wire_tlv tlv;
	size_t pos = 0;
	cr_assert_not(w->overflow);
	cr_assert_eq(lode_wire_tlv_next(buf, w->len, &pos, &tlv), 1);
	cr_assert_eq(tlv.type, type);
	struct lode_wire_tlv none;
	cr_assert_eq(lode_wire_tlv_next(buf, w->len, &pos, &none), 0);
	return tlv;
}

Test(control, header_keeps_its_fields)
{
	struct lode_wire_control in = {.tx_us = 0xdeadbeef, .flags = 3}, out;
	uint8_t b[LODE_WIRE_CONTROL_BYTES];
	lode_wire_put_control(b, &in);
	lode_wire_get_control(b, &out);
	cr_assert_eq(out.tx_us, in.tx_us);
	cr_assert_eq(out.flags, in.flags);
}

Test(control, probes_come_back)
{
	struct lode_wire_writer w = writer();
	struct lode_wire_probe probe = {.id = 77}, probe_out;
	lode_wire_put_probe(&w, &probe);
	struct lode_wire_tlv tlv = only(&w, LODE_WIRE_TLV_PROBE);
	cr_assert_eq(lode_wire_get_probe(&tlv, &probe_out), 0);
	cr_assert_eq(probe_out.id, 77);

	w = writer();
	struct lode_wire_probe_reply reply = {.id = 1, .echo_us = 2, .hold_us = 3}, reply_out;
	lode_wire_put_probe_reply(&w, &reply);
	tlv = only(&w, LODE_WIRE_TLV_PROBE_REPLY);
	cr_assert_eq(lode_wire_get_probe_reply(&tlv, &reply_out), 0);
	cr_assert(!memcmp(&reply, &reply_out, sizeof(reply)));
}

Test(control, feedback_comes_back_for_every_number_of_slots)
{
	struct lode_rng rng;
	lode_rng_seed(&rng, 1);
	for (unsigned n = 0; n <= LODE_WIRE_SLOTS_MAX; n++) {
		struct lode_wire_feedback in = {.path = 7, .n_slots = (uint8_t)n}, out = {0};
		in.first_slot = (uint32_t)lode_rng_u64(&rng);
		in.highest = lode_rng_u64(&rng);
		in.echo_us = (uint32_t)lode_rng_u64(&rng);
		in.hold_us = (uint32_t)lode_rng_u64(&rng);
		for (unsigned i = 0; i < n; i++)
			in.slots[i] = (struct lode_wire_slot){
				.bytes = (uint32_t)lode_rng_u64(&rng),
				.pkts = (uint16_t)lode_rng_u64(&rng),
				.lost = (uint16_t)lode_rng_u64(&rng),
				.bursts = (uint16_t)lode_rng_u64(&rng),
				.longest_burst = (uint16_t)lode_rng_u64(&rng),
				.owd_min_us = (uint32_t)lode_rng_u64(&rng),
				.owd_last_us = (uint32_t)lode_rng_u64(&rng),
				.ce = (uint16_t)lode_rng_u64(&rng),
			};
		struct lode_wire_writer w = writer();
		lode_wire_put_feedback(&w, &in);
		struct lode_wire_tlv tlv = only(&w, LODE_WIRE_TLV_FEEDBACK);
		cr_assert_eq(lode_wire_get_feedback(&tlv, &out), 0);
		cr_assert_eq(out.highest, in.highest);
		cr_assert_eq(out.first_slot, in.first_slot);
		cr_assert_eq(out.echo_us, in.echo_us);
		cr_assert_eq(out.hold_us, in.hold_us);
		for (unsigned i = 0; i < n; i++) {
			cr_assert_eq(out.slots[i].bytes, in.slots[i].bytes);
			cr_assert_eq(out.slots[i].pkts, in.slots[i].pkts);
			cr_assert_eq(out.slots[i].lost, in.slots[i].lost);
			cr_assert_eq(out.slots[i].bursts, in.slots[i].bursts);
			cr_assert_eq(out.slots[i].longest_burst, in.slots[i].longest_burst);
			cr_assert_eq(out.slots[i].owd_min_us, in.slots[i].owd_min_us);
			cr_assert_eq(out.slots[i].owd_last_us, in.slots[i].owd_last_us);
			cr_assert_eq(out.slots[i].ce, in.slots[i].ce);
		}
		for (uint16_t cut = 0; cut < tlv.len; cut++) {
			struct lode_wire_tlv shorter = {
				.type = tlv.type, .len = cut, .value = tlv.value};
			cr_assert_eq(lode_wire_get_feedback(&shorter, &out), -EBADMSG);
		}
	}
}

Test(control, feedback_with_impossible_fields_is_refused)
{
	struct lode_wire_writer w = writer();
	struct lode_wire_feedback m = {.path = 0, .n_slots = 1}, out;
	lode_wire_put_feedback(&w, &m);
	struct lode_wire_tlv tlv = only(&w, LODE_WIRE_TLV_FEEDBACK);
	buf[3] = LODE_WIRE_PATHS;
	cr_assert_eq(lode_wire_get_feedback(&tlv, &out), -EBADMSG);
	buf[3] = 0;
	buf[4] = LODE_WIRE_SLOTS_MAX + 1;
	cr_assert_eq(lode_wire_get_feedback(&tlv, &out), -EBADMSG);
}

Test(control, acks_come_back_and_backward_ranges_do_not)
{
	struct lode_wire_writer w = writer();
	struct lode_wire_ack in = {.lane = 2, .cls = LODE_BULK, .n_ranges = 2}, out = {0};
	in.ranges[0].first = LODE_WIRE_SEQ_MASK;
	in.ranges[0].last = 4; /* over the wrap */
	in.ranges[1].first = in.ranges[1].last = 99;
	lode_wire_put_ack(&w, &in);
	struct lode_wire_tlv tlv = only(&w, LODE_WIRE_TLV_ACK);
	cr_assert_eq(lode_wire_get_ack(&tlv, &out), 0);
	cr_assert_eq(out.lane, 2);
	cr_assert_eq(out.cls, LODE_BULK);
	cr_assert_eq(out.ranges[0].first, LODE_WIRE_SEQ_MASK);
	cr_assert_eq(out.ranges[0].last, 4);
	in.ranges[1].first = 100;
	w = writer();
	lode_wire_put_ack(&w, &in);
	tlv = only(&w, LODE_WIRE_TLV_ACK);
	cr_assert_eq(lode_wire_get_ack(&tlv, &out), -EBADMSG);
}

Test(control, tables_come_back)
{
	struct lode_wire_writer w = writer();
	struct lode_wire_links links = {{[1] = "dsl", [7] = "a-name-of-thirty-one-characters"}},
			       out;
	lode_wire_put_links(&w, &links);
	struct lode_wire_tlv tlv = only(&w, LODE_WIRE_TLV_LINKS);
	cr_assert_eq(lode_wire_get_links(&tlv, &out), 0);
	cr_assert(!memcmp(&links, &out, sizeof(links)));

	w = writer();
	struct lode_wire_lanes lanes = {.n_lanes = 3, .udp_port = {1, 2, 65535}}, lanes_out;
	lode_wire_put_lanes(&w, &lanes);
	tlv = only(&w, LODE_WIRE_TLV_LANES);
	cr_assert_eq(lode_wire_get_lanes(&tlv, &lanes_out), 0);
	cr_assert(!memcmp(&lanes, &lanes_out, sizeof(lanes)));
}

Test(control, bad_link_tables_are_refused)
{
	static const struct {
		const char *bytes;
		size_t len;
	} bad[] = {
		{"\x00\x03"
		 "ab",
			4},					  /* name cut */
		{"\x08\x01x", 3},				  /* id too large */
		{"\x00\x00", 2},				  /* empty name */
		{"\x00\x01x\x00\x01y", 6},			  /* id twice */
		{"\x00\x01x\x01\x01x", 6},			  /* name twice */
		{"\x00\x02x\n", 4},				  /* not printable */
		{"\x00\x03x\x00y", 5},				  /* NUL inside */
		{"\x00", 1},					  /* cut */
		{"\x00\x20xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", 34}, /* too long */
	};
	for (size_t i = 0; i < LODE_ARRAY_LEN(bad); i++) {
		struct lode_wire_links out;
		struct lode_wire_tlv tlv = {.type = LODE_WIRE_TLV_LINKS,
			.len = (uint16_t)bad[i].len,
			.value = (const uint8_t *)bad[i].bytes};
		cr_assert_eq(lode_wire_get_links(&tlv, &out), -EBADMSG, "table %zu", i);
	}
}

Test(control, a_full_writer_says_so_and_keeps_whole_tlvs)
{
	struct lode_wire_writer w;
	struct lode_wire_probe probe = {.id = 1};
	lode_wire_writer_init(&w, buf, 10);
	lode_wire_put_probe(&w, &probe);
	cr_assert_not(w.overflow);
	lode_wire_put_probe(&w, &probe);
	cr_assert(w.overflow);
	cr_assert_eq(w.len, 7);
	lode_wire_put_padding(&w, LODE_WIRE_TLV_HEADER_BYTES);
	cr_assert_eq(w.len, 7, "nothing is written after an overflow");
}

Test(control, an_mtu_probe_has_exactly_its_size)
{
	for (unsigned mtu = LODE_WIRE_MTU_MIN; mtu <= 9000; mtu += 421) {
		for (int v6 = 0; v6 <= 1; v6++) {
			static uint8_t big[10000];
			struct lode_wire_writer w;
			struct lode_wire_pmtu m = {.id = 5, .mtu_bytes = (uint16_t)mtu};
			uint16_t room = lode_wire_mtu_probe_tlvs((uint16_t)mtu, v6);
			lode_wire_writer_init(&w, big, sizeof(big));
			lode_wire_put_pmtu(&w, LODE_WIRE_TLV_PMTU_PROBE, &m);
			lode_wire_put_padding(&w, room - w.len);
			cr_assert_not(w.overflow);
			cr_assert_eq(w.len + LODE_WIRE_CONTROL_OVERHEAD + (v6 ? 48u : 28u), mtu);
		}
	}
}

Test(control, nacks_come_back_and_long_ranges_are_refused)
{

	struct lode_wire_writer w;
	struct lode_wire_tlv tlv;
	size_t pos = 0;
	struct lode_wire_ack out, in = {.lane = 3, .cls = LODE_WEB, .n_ranges = 2};
	in.ranges[0].first = 0xfffffe;
	in.ranges[0].last = 1;
	in.ranges[1].first = in.ranges[1].last = 7;
	lode_wire_writer_init(&w, buf, sizeof(buf));
	lode_wire_put_nack(&w, &in);
	cr_assert_eq(lode_wire_tlv_next(buf, w.len, &pos, &tlv), 1);
	cr_assert_eq(tlv.type, LODE_WIRE_TLV_NACK);
	cr_assert_eq(lode_wire_get_nack(&tlv, &out), 0);
	cr_assert_eq(out.n_ranges, 2);
	cr_assert_eq(out.ranges[0].first, 0xfffffe);
	cr_assert_eq(out.ranges[0].last, 1);
	in.ranges[1].last = 7 + 255;
	lode_wire_writer_init(&w, buf, sizeof(buf));
	lode_wire_put_nack(&w, &in);
	pos = 0;
	lode_wire_tlv_next(buf, w.len, &pos, &tlv);
	cr_assert_eq(lode_wire_get_nack(&tlv, &out), -EBADMSG);
}
