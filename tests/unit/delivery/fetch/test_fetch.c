/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>

#include "lode_fetch.h"
#include "origin.h"
#include "temp.h"

#include <stdio.h>
#include <unistd.h>

/* A clock of its own: sleeping moves it. */
static struct {
	char dir[64];
	struct origin origin;
	struct lode_blobs *blobs;
	struct lode_fetch *fetch;
	uint64_t now_ns, slept_ns, rate;
	uint64_t stop_at_bytes;
} world;

static uint64_t now_ns(void *ctx)
{
	(void)ctx;
	return world.now_ns;
}

static void sleep_ns(void *ctx, uint64_t ns)
{
	(void)ctx;
	world.now_ns += ns;
	world.slept_ns += ns;
}

static uint64_t rate(void *ctx)
{
	(void)ctx;
	return world.rate;
}

static int progress(void *ctx, uint64_t done, uint64_t total)
{
	(void)ctx, (void)total;
	return world.stop_at_bytes && done >= world.stop_at_bytes;
}

static void start(size_t n_bytes)
{
	struct lode_err err;
	struct lode_fetch_options o = {.stall_s = 5,
		.now_ns = now_ns,
		.sleep_ns = sleep_ns,
		.rate = rate,
		.progress = progress};
	world.rate = LODE_PACE_OPEN;
	world.now_ns = LODE_NS_PER_S;
	temp_make(world.dir);
	cr_assert_eq(lode_blobs_open(world.dir, &world.blobs, &err), 0);
	cr_assert_eq(lode_fetch_new(&o, &world.fetch, &err), 0);
	origin_start(&world.origin, NULL, n_bytes);
}

static void down(void)
{
	if (!world.fetch)
		return;
	lode_fetch_free(world.fetch);
	lode_blobs_close(world.blobs);
	origin_stop(&world.origin);
	temp_remove(world.dir);
}

TestSuite(fetch, .fini = down, .timeout = 60);

/* Into a part named x; what is there goes on. */
static int fetch(uint64_t max_bytes)
{
	struct lode_fetch_source source = {.url = world.origin.url};
	struct lode_blob_writer *w;
	struct lode_err err = {0};
	char found[LODE_BLOB_HEX];
	cr_assert_eq(lode_blob_begin(world.blobs, "x", 0, &w, NULL, &err), 0);
	int rc = lode_fetch_blob(world.fetch, &source, world.origin.sha256, max_bytes, w, &err);
	if (!rc)
		return lode_blob_commit(w, world.origin.sha256, found, &err);
	lode_blob_suspend(w);
	return rc;
}

/* The bar is below 1 %; `lode-perf fleet` has a gigabyte and cuts by the clock. */
Test(fetch, a_transfer_that_is_cut_again_and_again_costs_little_more)
{
	start(16 << 20);
	world.origin.cut_max_bytes = 400000;
	cr_assert_eq(fetch(16 << 20), 0);
	cr_assert_gt(world.origin.n_requests, 40);
	cr_assert_eq(lode_fetch_received(world.fetch), 16 << 20, "no byte came twice");
	cr_assert_lt(world.origin.sent_bytes * 100, (uint64_t)(16 << 20) * 101);
}

Test(fetch, a_source_without_ranges_is_good_enough)
{
	start(1000000);
	world.origin.manner = NO_RANGES;
	world.stop_at_bytes = 200000;
	cr_assert_eq(fetch(1000000), -ECANCELED);
	world.stop_at_bytes = 0;
	cr_assert_eq(fetch(1000000), 0);
}

Test(fetch, wrong_bytes_are_not_kept)
{
	start(100000);
	world.origin.manner = WRONG_BYTES;
	cr_assert_eq(fetch(100000), -EBADMSG);
	world.origin.manner = HONEST;
	cr_assert_eq(fetch(100000), 0);
}

Test(fetch, more_than_there_should_be_ends_it)
{
	start(100000);
	world.origin.manner = ENDLESS;
	cr_assert_eq(fetch(100000), -EFBIG);
	cr_assert_lt(lode_fetch_received(world.fetch), 200000);
}

Test(fetch, a_source_that_only_says_wait_is_left)
{
	start(1000);
	world.origin.manner = BUSY;
	cr_assert_eq(fetch(1000), -EAGAIN);
	cr_assert_leq(world.slept_ns, 8 * LODE_NS_PER_S, "stall_s is 5");
}

Test(fetch, a_source_that_says_nothing_is_left, .timeout = 60)
{
	struct lode_fetch_options o = {
		.stall_s = 1, .attempts = 2, .now_ns = now_ns, .sleep_ns = sleep_ns};
	struct lode_err err;
	start(1000);
	lode_fetch_free(world.fetch);
	cr_assert_eq(lode_fetch_new(&o, &world.fetch, &err), 0);
	world.origin.manner = SILENT;
	cr_assert_eq(fetch(1000), -EAGAIN);
}

Test(fetch, what_nobody_has_is_not_there)
{
	start(1000);
	world.origin.sha256[0] ^= 1;
	char asked[65];
	memcpy(asked, world.origin.sha256, sizeof(asked));
	world.origin.sha256[0] ^= 1;
	struct lode_fetch_source source = {.url = world.origin.url};
	struct lode_blob_writer *w;
	struct lode_err err = {0};
	cr_assert_eq(lode_blob_begin(world.blobs, NULL, 0, &w, NULL, &err), 0);
	cr_assert_eq(lode_fetch_blob(world.fetch, &source, asked, 1000, w, &err), -ENOENT);
	source.url = "http://127.0.0.1:1/blobs";
	cr_assert_eq(lode_fetch_blob(world.fetch, &source, asked, 1000, w, &err), -ENOTCONN);
	lode_blob_abandon(w);
}

/* On a clock that only sleeping moves, a megabyte at 100 kB/s takes ten seconds. */
Test(fetch, the_pace_is_kept)
{
	start(1000000);
	world.rate = 100000;
	cr_assert_eq(fetch(1000000), 0);
	cr_assert_geq(world.slept_ns, 99 * LODE_NS_PER_S / 10);
	cr_assert_leq(world.slept_ns, 101 * LODE_NS_PER_S / 10);
}

Test(fetch, outside_its_window_it_waits_with_what_it_has)
{
	start(1000000);
	world.rate = 0;
	cr_assert_eq(fetch(1000000), -EBUSY);
	cr_assert_eq(world.origin.n_requests, 0);
	world.rate = LODE_PACE_OPEN;
	cr_assert_eq(fetch(1000000), 0);
}

Test(pace, windows_are_read_and_meant)
{
	struct lode_pace p = {0};
	struct lode_err err;
	cr_assert_eq(
		lode_pace_parse("08:00-18:00=200k  22:00-06:00=20M 18:00-19:30=0", &p, &err), 0);
	cr_assert_eq(p.n_windows, 3);
	cr_assert_eq(lode_pace_rate(&p, 8 * 60, LODE_PACE_OPEN), 200000);
	cr_assert_eq(lode_pace_rate(&p, 18 * 60 - 1, LODE_PACE_OPEN), 200000);
	cr_assert_eq(lode_pace_rate(&p, 18 * 60, LODE_PACE_OPEN), 0);
	cr_assert_eq(lode_pace_rate(&p, 19 * 60 + 30, LODE_PACE_OPEN), LODE_PACE_OPEN);
	cr_assert_eq(lode_pace_rate(&p, 23 * 60, LODE_PACE_OPEN), 20000000);
	cr_assert_eq(lode_pace_rate(&p, 5 * 60, LODE_PACE_OPEN), 20000000);
	cr_assert_eq(lode_pace_rate(&p, 5 * 60, 5000), 5000, "what can be spared");
	p.max_bytes_per_s = 1000;
	cr_assert_eq(lode_pace_rate(&p, 20 * 60, LODE_PACE_OPEN), 1000);
	cr_assert_eq(lode_pace_parse("", &p, &err), 0);
	cr_assert_eq(p.n_windows, 0);
}

Test(pace, what_is_no_window_is_refused)
{
	static const char *const bad[] = {"8-18=1", "08:00-18:00", "08:00-18:00=", "08:00-25:00=1",
		"08:60-10:00=1", "08:00-08:00=1", "08:00-18:00=1kk", "08:00-18:00=-1",
		"08:00-18:00=1x", "08:00-18:00=99999999999999999999k"};
	struct lode_pace p;
	struct lode_err err;
	for (size_t i = 0; i < LODE_ARRAY_LEN(bad); i++)
		cr_assert_eq(lode_pace_parse(bad[i], &p, &err), -EINVAL, "%s", bad[i]);
}
