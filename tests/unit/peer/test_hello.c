/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>

#include "../../../lib/peer/hello.h"

static const struct hello full = {
	.counter = 1,
	.instance = 2,
	.features = 3,
	.session = 4,
	.key_phase = 2,
	.version_min = 1,
	.version_max = 5,
	.accepted = 0x81,
	.udp_port = 51820,
	.lanes = {.n_lanes = 8, .udp_port = {1, 2, 3, 4, 5, 6, 7, 8}},
	.has_links = true,
	.links = {{"thirty-one-characters-long-name", "b", [7] = "h"}},
};

Test(hello, comes_back)
{
	uint8_t buf[512];
	struct hello out;
	int len = hello_put(&full, buf, sizeof(buf));
	cr_assert_gt(len, 0);
	cr_assert_eq(hello_get(buf, (size_t)len, &out), 0);
	cr_assert_eq(out.counter, 1);
	cr_assert_eq(out.accepted, 0x81);
	cr_assert(!memcmp(&out.lanes, &full.lanes, sizeof(out.lanes)));
	cr_assert(!memcmp(&out.links, &full.links, sizeof(out.links)));
}

Test(hello, cuts_are_refused_or_lack_what_was_cut)
{
	uint8_t buf[512];
	struct hello out;
	int len = hello_put(&full, buf, sizeof(buf)), n_whole = 0;
	for (int cut = 0; cut < len; cut++)
		if (!hello_get(buf, (size_t)cut, &out)) {
			cr_assert_not(out.has_links);
			n_whole++;
		}
	cr_assert_eq(n_whole, 1, "between the two tables only");
	for (int size = 0; size < len; size++)
		cr_assert_eq(hello_put(&full, buf, (size_t)size), -ENOSPC);
}

Test(hello, unknown_tables_are_skipped)
{
	uint8_t buf[512];
	struct hello out;
	int len = hello_put(&full, buf, sizeof(buf));
	struct lode_wire_writer w;
	lode_wire_writer_init(&w, buf + len, sizeof(buf) - (size_t)len);
	lode_wire_tlv_add(&w, 200, 10);
	cr_assert_eq(hello_get(buf, (size_t)len + w.len, &out), 0);
}

Test(hello, impossible_fields_are_refused)
{
	uint8_t buf[512];
	struct hello h = full, out;
	h.session = 0;
	int len = hello_put(&h, buf, sizeof(buf));
	cr_assert_eq(hello_get(buf, (size_t)len, &out), -EBADMSG);
	h = full;
	h.key_phase = LODE_WIRE_PHASES;
	len = hello_put(&h, buf, sizeof(buf));
	cr_assert_eq(hello_get(buf, (size_t)len, &out), -EBADMSG);
}

/* The answer is never longer than the question: nobody is flooded through us. */
Test(hello, responses_are_shorter_than_initiations)
{
	uint8_t buf[512];
	struct hello init = full, response = full;
	memset(&init.links, 0, sizeof(init.links));
	strcpy(init.links.name[0], "a");
	init.lanes.n_lanes = 1;
	response.has_links = false;
	int shortest = hello_put(&init, buf, sizeof(buf)) + LODE_NOISE_INIT_BYTES + 2 * MAC_BYTES;
	int longest =
		hello_put(&response, buf, sizeof(buf)) + LODE_NOISE_RESPONSE_BYTES + MAC_BYTES;
	cr_assert_lt(longest, shortest);
}
