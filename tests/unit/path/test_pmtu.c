/* SPDX-License-Identifier: BSD-3-Clause */
/* Path MTU discovery (RFC 8899) over links that swallow what is too large. */
#include "ends.h"

static const struct lode_path_params eth = {
	.link_mtu_bytes = 1500, .remote_known = true, .seed = 1};

static struct lode_link_config wire(uint32_t mtu)
{
	return (struct lode_link_config){.delay_ns = 10 * MS, .mtu_bytes = mtu};
}

Test(pmtu, link_mtu_at_once_when_it_fits)
{
	struct ends s;
	struct lode_link_config c = wire(1500);
	ends_open(&s, &c, &c, &eth);
	cr_assert_eq(lode_path_mtu_bytes(s.e[0].path), LODE_WIRE_MTU_BASE);
	ends_run(&s, 600);
	cr_assert_eq(lode_path_mtu_bytes(s.e[0].path), 1500);
	cr_assert_eq(lode_path_segment_bytes(s.e[0].path), 1500 - 28 - 36);
	ends_close(&s);
}

Test(pmtu, finds_what_fits)
{
	static const uint16_t mtus[] = {1281, 1290, 1400, 1420, 1492, 1499};
	for (size_t i = 0; i < LODE_ARRAY_LEN(mtus); i++) {
		struct ends s;
		struct lode_link_config narrow = wire(mtus[i]), wide = wire(1500);
		ends_open(&s, &narrow, &wide, &eth);
		ends_run(&s, 10 * 1000);
		uint16_t found = lode_path_mtu_bytes(s.e[0].path);
		cr_assert_leq(found, mtus[i]);
		cr_assert_gt(found + 8, mtus[i], "%u of %u", found, mtus[i]);
		cr_assert_eq(lode_path_mtu_bytes(s.e[1].path), 1500, "the other way is wide");
		ends_close(&s);
	}
}

Test(pmtu, jumbo_when_the_link_has_it)
{
	struct ends s;
	struct lode_path_params jumbo = eth;
	struct lode_link_config c = wire(9000);
	jumbo.link_mtu_bytes = 9000;
	ends_open(&s, &c, &c, &jumbo);
	ends_run(&s, 1000);
	cr_assert_eq(lode_path_mtu_bytes(s.e[0].path), 9000);
	ends_close(&s);
}

Test(pmtu, black_hole_is_noticed_while_small_packets_pass)
{
	struct ends s;
	struct lode_link_config c = wire(1500);
	ends_open(&s, &c, &c, &eth);
	s.e[0].data_gap_ns = 2 * MS;
	s.e[0].data_bytes = 1500;
	ends_run(&s, 3000);
	cr_assert_eq(lode_path_mtu_bytes(s.e[0].path), 1500);
	ends_set(&s, 0, "mtu", "1400");
	uint64_t ms = 0;
	while (lode_path_mtu_bytes(s.e[0].path) == 1500 && ms < 20000) {
		s.e[0].data_bytes = (ms / 5) % 2 ? 1500 : 200; /* a mix of sizes */
		ends_run(&s, 1);
		ms++;
	}
	cr_assert_lt(ms, 2000, "took %lu ms", ms);
	cr_assert_eq(ends_stats(&s, 0).n_downs, 0);
	ends_run(&s, 10 * 1000);
	cr_assert_leq(lode_path_mtu_bytes(s.e[0].path), 1400);
	cr_assert_gt(lode_path_mtu_bytes(s.e[0].path), 1390);
	ends_close(&s);
}

Test(pmtu, idle_path_confirms_within_its_timer)
{
	struct ends s;
	struct lode_link_config c = wire(1500);
	ends_open(&s, &c, &c, &eth);
	ends_run(&s, 2000);
	ends_set(&s, 0, "mtu", "1300");
	ends_run(&s, 30 * 1000);
	cr_assert_leq(lode_path_mtu_bytes(s.e[0].path), 1300);
	ends_close(&s);
}

Test(pmtu, raised_again_after_ten_minutes)
{
	struct ends s;
	struct lode_link_config c = wire(1400);
	ends_open(&s, &c, &c, &eth);
	ends_run(&s, 20 * 1000);
	cr_assert_leq(lode_path_mtu_bytes(s.e[0].path), 1400);
	ends_set(&s, 0, "mtu", "1500");
	ends_run(&s, 500 * 1000);
	cr_assert_leq(lode_path_mtu_bytes(s.e[0].path), 1400, "too eager");
	ends_run(&s, 130 * 1000);
	cr_assert_eq(lode_path_mtu_bytes(s.e[0].path), 1500);
	ends_close(&s);
}

Test(pmtu, a_dead_path_says_nothing_about_size)
{
	struct ends s;
	struct lode_link_config c = wire(1500);
	ends_open(&s, &c, &c, &eth);
	ends_run(&s, 2000);
	ends_cut(&s, 0, true);
	ends_run(&s, 60 * 1000);
	cr_assert_eq(lode_path_mtu_bytes(s.e[0].path), 1500);
	ends_cut(&s, 0, false);
	ends_run(&s, 5000);
	cr_assert_eq(lode_path_mtu_bytes(s.e[0].path), 1500);
	ends_close(&s);
}

Test(pmtu, lossy_path_still_finds_it)
{
	for (uint64_t seed = 1; seed < 20; seed++) {
		struct ends s;
		struct lode_path_params p = eth;
		struct lode_link_config c = wire(1500);
		c.loss = 0.05;
		p.seed = seed * 100;
		ends_open(&s, &c, &c, &p);
		ends_run(&s, 5000);
		cr_assert_eq(lode_path_mtu_bytes(s.e[0].path), 1500);
		ends_close(&s);
	}
}

Test(pmtu, a_smaller_link_mtu_counts_at_once)
{
	struct ends s;
	struct lode_link_config c = wire(1500);
	ends_open(&s, &c, &c, &eth);
	ends_run(&s, 2000);
	lode_path_set_link(s.e[0].path, 0, 1000, s.now_ns);
	cr_assert_eq(lode_path_mtu_bytes(s.e[0].path), 1000);
	ends_run(&s, 2000);
	cr_assert_eq(lode_path_mtu_bytes(s.e[0].path), 1000);
	ends_close(&s);
}
