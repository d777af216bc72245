/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>

#include "lode_look.h"

#include <sys/mman.h>
#include <unistd.h>

static struct lode_look_link classifier, gateway;

static void join(void)
{
	struct lode_err err = {0};
	int fd;
	cr_assert_eq(lode_look_make(&classifier, &fd, &err), 0, "%s", err.msg);
	cr_assert_eq(lode_look_map(fd, &gateway, &err), 0, "%s", err.msg);
	close(fd);
}

static void part(void)
{
	lode_look_unmap(&classifier);
	lode_look_unmap(&gateway);
}

TestSuite(look, .init = join, .fini = part);

Test(look, records_arrive_in_order_and_a_full_ring_loses)
{
	struct lode_look in = {.len = 3, .data = "abc"}, out;
	unsigned n = 0, got = 0;
	while (lode_look_push(&gateway.looks[2], &in, sizeof(in))) {
		in.flow_idx = ++n;
		cr_assert_lt(n, 10000u);
	}
	cr_assert_gt(n, 100u);
	cr_assert_not(lode_look_pop(&classifier.looks[1], &out), "another worker's ring");
	while (lode_look_pop(&classifier.looks[2], &out)) {
		cr_assert_eq(out.flow_idx, got++);
		cr_assert_eq(memcmp(out.data, "abc", 3), 0);
	}
	cr_assert_eq(got, n);
	cr_assert(lode_look_push(&gateway.looks[2], &in, sizeof(in)), "there is room again");
}

Test(look, verdicts_go_the_other_way)
{
	struct lode_verdict v = {7, 9, 3}, out;
	cr_assert(lode_look_push(&classifier.verdicts[15], &v, sizeof(v)));
	cr_assert(lode_look_pop(&gateway.verdicts[15], &out));
	cr_assert_eq(out.flow_idx, 7u);
	cr_assert_eq(out.app, 3);
	cr_assert_not(lode_look_pop(&gateway.verdicts[15], &out));
}

Test(look, positions_that_cannot_be_are_full_or_empty)
{
	static const uint64_t lies[] = {1ull << 63, UINT64_MAX, 100000, 5000};
	struct lode_look look = {0};
	struct lode_verdict v;
	for (unsigned i = 0; i < LODE_ARRAY_LEN(lies); i++) {
		/* head and tail are a cache line each. */
		_Atomic uint64_t *head = (_Atomic uint64_t *)(void *)gateway.verdicts[0].shared;
		_Atomic uint64_t *tail =
			(_Atomic uint64_t *)(void *)((char *)gateway.looks[0].shared +
						     LODE_CACHE_LINE);
		atomic_store(head, lies[i]);
		cr_assert_not(lode_look_pop(&gateway.verdicts[0], &v), "%u", i);
		atomic_store(tail, lies[i]);
		cr_assert_not(lode_look_push(&gateway.looks[0], &look, sizeof(look)), "%u", i);
	}
}

Test(look, names_and_classes_are_checked)
{
	char name[LODE_LOOK_NAME];
	enum lode_class cls;
	lode_look_set_app(&classifier, 5, "SIP", LODE_VOIP);
	cr_assert(lode_look_app(&gateway, 5, name, &cls));
	cr_assert_str_eq(name, "SIP");
	cr_assert_eq(cls, LODE_VOIP);
	cr_assert_not(lode_look_app(&gateway, 6, name, &cls), "none");
	cr_assert_not(lode_look_app(&gateway, LODE_LOOK_APPS, name, &cls));
	lode_look_set_app(&classifier, 7, "x", LODE_MANAGEMENT);
	cr_assert_not(lode_look_app(&gateway, 7, name, &cls), "no LAN class");
	lode_look_set_app(&classifier, 8, "evil\x1b[2Jname", LODE_WEB);
	cr_assert(lode_look_app(&gateway, 8, name, &cls));
	cr_assert_str_eq(name, "evil");
	lode_look_beat(&classifier);
	cr_assert_eq(lode_look_beats(&gateway), 1u);
}

Test(look, memory_that_could_shrink_is_refused)
{
	struct lode_look_link l;
	struct lode_err err;
	int fd = memfd_create("x", MFD_ALLOW_SEALING);
	cr_assert_eq(lode_look_map(fd, &l, &err), -EPERM);
	cr_assert_eq(lode_look_map(-1, &l, &err), -EINVAL);
	close(fd);
}
