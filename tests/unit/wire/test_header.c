/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>

#include "lode_wire.h"

Test(header, clear_header_has_the_documented_bytes)
{
	struct lode_wire_clear in = {.type = LODE_WIRE_CONTROL,
		.version = 1,
		.key_phase = 2,
		.path = 5,
		.lane = 3,
		.session = 0x1234,
		.number = 0x89abcdef};
	static const uint8_t bytes[] = {0x31, 0xab, 0x12, 0x34, 0x89, 0xab, 0xcd, 0xef};
	uint8_t b[LODE_WIRE_CLEAR_BYTES];
	struct lode_wire_clear out;
	lode_wire_put_clear(b, &in);
	cr_assert_arr_eq(b, bytes, sizeof(bytes));
	lode_wire_get_clear(b, &out);
	cr_assert(!memcmp(&in, &out, sizeof(in)));
}

Test(header, segment_header_has_the_documented_bytes)
{
	struct lode_wire_segment in = {.cls = LODE_WEB,
		.flags = LODE_WIRE_MORE | LODE_WIRE_COPY,
		.seq = 0xabcdef,
		.tx_us = 0x01020304,
		.dist = 0x0506,
		.encoding = 7,
		.hop_limit = 9};
	static const uint8_t bytes[] = {0x49, 0xab, 0xcd, 0xef, 1, 2, 3, 4, 5, 6, 7, 0x90};
	uint8_t b[LODE_WIRE_SEGMENT_BYTES];
	struct lode_wire_segment out;
	lode_wire_put_segment(b, &in);
	cr_assert_arr_eq(b, bytes, sizeof(bytes));
	cr_assert_eq(lode_wire_get_segment(b, &out), 0);
	cr_assert(!memcmp(&in, &out, sizeof(in)));
}

Test(header, impossible_segments_are_refused)
{
	struct lode_wire_segment s = {.cls = LODE_N_CLASSES}, out;
	uint8_t b[LODE_WIRE_SEGMENT_BYTES];
	lode_wire_put_segment(b, &s);
	cr_assert_eq(lode_wire_get_segment(b, &out), -EBADMSG);
	s = (struct lode_wire_segment){
		.cls = LODE_BULK, .flags = LODE_WIRE_BUNDLE | LODE_WIRE_CONT};
	lode_wire_put_segment(b, &s);
	cr_assert_eq(lode_wire_get_segment(b, &out), -EBADMSG);
}

Test(header, nonces_of_paths_and_lanes_never_meet)
{
	static uint64_t seen[LODE_WIRE_PATHS * LODE_WIRE_LANES];
	unsigned n = 0;
	for (unsigned path = 0; path < LODE_WIRE_PATHS; path++) {
		for (unsigned lane = 0; lane < LODE_WIRE_LANES; lane++) {
			uint64_t low = lode_wire_nonce(path, lane, 0);
			cr_assert_eq(
				lode_wire_nonce(path, lane, (1ull << 58) - 1) >> 58, low >> 58);
			for (unsigned i = 0; i < n; i++)
				cr_assert_neq(seen[i], low >> 58);
			seen[n++] = low >> 58;
		}
	}
}

Test(header, sequence_differences_wrap)
{
	cr_assert_eq(lode_wire_seq_diff(0, LODE_WIRE_SEQ_MASK), 1);
	cr_assert_eq(lode_wire_seq_diff(LODE_WIRE_SEQ_MASK, 0), -1);
	cr_assert_eq(lode_wire_seq_diff(5, 5), 0);
	cr_assert_eq(lode_wire_seq_diff(1u << 22, 0), 1 << 22);
}

Test(header, bundle_items_come_back_and_cuts_are_refused)
{
	static const uint8_t bundle[] = {0, 2, 0, 7, 'a', 'b', 0, 0, 0, 7, 0, 1, 0, 7, 'c'};
	static const char *const want[] = {"ab", "", "c"};
	struct lode_wire_item item;
	size_t pos = 0;
	for (unsigned i = 0; i < 3; i++) {
		cr_assert_eq(lode_wire_bundle_next(bundle, sizeof(bundle), &pos, &item), 1);
		cr_assert_eq(item.len, strlen(want[i]));
		cr_assert_eq(item.dist, 7);
		cr_assert(!memcmp(item.data, want[i], item.len));
	}
	cr_assert_eq(lode_wire_bundle_next(bundle, sizeof(bundle), &pos, &item), 0);
	for (size_t cut = 1; cut < sizeof(bundle); cut++) {
		int rc = 1;
		for (pos = 0; rc == 1;)
			rc = lode_wire_bundle_next(bundle, cut, &pos, &item);
		bool at_edge = cut == 6 || cut == 10;
		cr_assert_eq(rc, at_edge ? 0 : -EBADMSG, "cut at %zu", cut);
	}
}

Test(header, repairs_come_back_and_impossible_ones_are_refused)
{
	uint8_t b[LODE_WIRE_SEGMENT_BYTES];
	struct lode_wire_repair out, in = {.cls = LODE_VOIP,
					     .span = 128,
					     .id = 127,
					     .coded_length = 0xabcd,
					     .first_seq = 0xfffffe,
					     .tx_us = 0x12345678};
	lode_wire_put_repair(b, &in);
	cr_assert_eq(lode_wire_get_repair(b, &out), 0);
	uint8_t again[LODE_WIRE_SEGMENT_BYTES];
	lode_wire_put_repair(again, &out);
	cr_assert_eq(memcmp(again, b, sizeof(b)), 0);
	cr_assert(out.span == 128 && out.id == 127 && out.first_seq == 0xfffffe);
	b[10] = 129;
	cr_assert_eq(lode_wire_get_repair(b, &out), -EBADMSG);
	b[10] = 0;
	cr_assert_eq(lode_wire_get_repair(b, &out), -EBADMSG);
	b[10] = 1;
	b[11] = 128;
	cr_assert_eq(lode_wire_get_repair(b, &out), -EBADMSG);
	b[11] = 0;
	b[0] = LODE_N_CLASSES << 4;
	cr_assert_eq(lode_wire_get_repair(b, &out), -EBADMSG);
}
