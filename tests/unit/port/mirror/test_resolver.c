/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>

#include "lode_mirror.h"

struct world {
	struct lode_resolver *r;
	unsigned n_asked, n_told, n_lost;
	uint8_t mac[6];
};

static void count_ask(void *ctx, unsigned port_idx, const struct lode_ip *ip)
{
	((struct world *)ctx)->n_asked++;
}

static void count_tell(void *ctx, unsigned port_idx, const struct lode_ip *ip, const uint8_t *mac)
{
	struct world *w = ctx;
	if (!mac) {
		w->n_lost++;
		return;
	}
	w->n_told++;
	memcpy(w->mac, mac, 6);
}

static const uint8_t mac_a[6] = {2, 0, 0, 0, 0, 1}, mac_b[6] = {2, 0, 0, 0, 0, 2};
static const struct lode_resolver_ops ops = {count_ask, count_tell};

static struct lode_ip ip_of(uint32_t n)
{
	return lode_ip_from_v4_be(__builtin_bswap32(0x0a000000u + n));
}

#define AT(s) ((s)*LODE_NS_PER_S)

Test(resolver, asks_at_once_and_again_until_known)
{
	struct world w = {.r = lode_resolver_new(&ops, &w)};
	struct lode_ip ip = ip_of(1);
	lode_resolver_want(w.r, 0, &ip, false, AT(1));
	lode_resolver_want(w.r, 0, &ip, false, AT(1));
	cr_assert_eq(w.n_asked, 1);
	uint64_t next = lode_resolver_poll(w.r, AT(1));
	cr_assert_gt(next, AT(1));
	lode_resolver_poll(w.r, next);
	cr_assert_eq(w.n_asked, 2);
	lode_resolver_learn(w.r, 0, &ip, LODE_NEIGHBOUR_GOOD, mac_a, next);
	cr_assert_eq(w.n_told, 1);
	cr_assert_eq(memcmp(w.mac, mac_a, 6), 0);
	lode_resolver_free(w.r);
}

Test(resolver, confirms_a_good_neighbour_before_the_kernel_calls_it_stale)
{
	struct world w = {.r = lode_resolver_new(&ops, &w)};
	struct lode_ip ip = ip_of(1);
	lode_resolver_learn(w.r, 0, &ip, LODE_NEIGHBOUR_GOOD, mac_a, AT(1));
	for (uint64_t s = 1; s <= 61; s++)
		lode_resolver_poll(w.r, AT(s));
	cr_assert_geq(w.n_asked, 4, "asked %u times in a minute; stale begins at 15 s", w.n_asked);
	cr_assert_leq(w.n_asked, 12);
	cr_assert_eq(w.n_lost, 0);
	lode_resolver_free(w.r);
}

Test(resolver, keeps_the_last_good_mac_for_a_minute_without_answers)
{
	struct world w = {.r = lode_resolver_new(&ops, &w)};
	struct lode_ip ip = ip_of(1);
	lode_resolver_learn(w.r, 0, &ip, LODE_NEIGHBOUR_GOOD, mac_a, AT(1));
	for (uint64_t s = 10; s < 60; s += 3) {
		lode_resolver_learn(w.r, 0, &ip, LODE_NEIGHBOUR_FAILED, NULL, AT(s));
		lode_resolver_poll(w.r, AT(s));
		cr_assert_eq(w.n_lost, 0, "given up after %lu s", (unsigned long)s);
	}
	lode_resolver_poll(w.r, AT(62));
	cr_assert_eq(w.n_lost, 1);
	cr_assert_eq(lode_resolver_poll(w.r, AT(63)), LODE_NEVER_NS, "still in the table");
	lode_resolver_free(w.r);
}

Test(resolver, a_changed_mac_is_told_an_unchanged_one_is_not)
{
	struct world w = {.r = lode_resolver_new(&ops, &w)};
	struct lode_ip ip = ip_of(1);
	lode_resolver_learn(w.r, 0, &ip, LODE_NEIGHBOUR_GOOD, mac_a, AT(1));
	lode_resolver_learn(w.r, 0, &ip, LODE_NEIGHBOUR_GOOD, mac_a, AT(2));
	cr_assert_eq(w.n_told, 1);
	lode_resolver_learn(w.r, 0, &ip, LODE_NEIGHBOUR_GOOD, mac_b, AT(3));
	cr_assert_eq(w.n_told, 2);
	cr_assert_eq(memcmp(w.mac, mac_b, 6), 0);
	lode_resolver_free(w.r);
}

Test(resolver, next_hops_are_asked_for_for_ever)
{
	struct world w = {.r = lode_resolver_new(&ops, &w)};
	struct lode_ip hop = ip_of(1);
	lode_resolver_want(w.r, 2, &hop, true, AT(1));
	for (uint64_t s = 1; s < 300; s++) {
		lode_resolver_learn(w.r, 2, &hop, LODE_NEIGHBOUR_FAILED, NULL, AT(s));
		lode_resolver_poll(w.r, AT(s));
	}
	unsigned before = w.n_asked;
	cr_assert_leq(lode_resolver_poll(w.r, AT(301)), AT(303));
	lode_resolver_poll(w.r, AT(303));
	cr_assert_gt(w.n_asked, before);
	lode_resolver_free(w.r);
}

Test(resolver, a_full_table_gives_up_the_least_recently_wanted)
{
	struct world w = {.r = lode_resolver_new(&ops, &w)};
	struct lode_ip hop = ip_of(0);
	lode_resolver_want(w.r, 0, &hop, true, 0);
	for (uint32_t i = 1; i <= 3 * LODE_RESOLVER_MAX; i++) {
		struct lode_ip ip = ip_of(i);
		lode_resolver_learn(w.r, 0, &ip, LODE_NEIGHBOUR_GOOD, mac_a, AT(i));
	}
	cr_assert_eq(w.n_lost, 2 * LODE_RESOLVER_MAX + 1);
	unsigned before = w.n_told;
	lode_resolver_learn(w.r, 0, &hop, LODE_NEIGHBOUR_GOOD, mac_b, AT(9999));
	cr_assert_eq(w.n_told, before + 1, "the next hop lost its place");
	lode_resolver_free(w.r);
}
