/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>

#include "fake.h"
#include "lode_scrape.h"

#include <stdio.h>

static struct fake fake;
static struct lode_scrape *s;
static struct lode_err err;

static void up(void)
{
	fake_up(&fake);
	cr_assert_eq(lode_scrape_new(fake.path, &s, &err), 0);
}

static void down(void)
{
	lode_scrape_free(s);
	fake_down(&fake);
}

static const char *state(void)
{
	static char text[20];
	json_t *latest = lode_scrape_latest(s);
	snprintf(text, sizeof(text), "%s", json_string_value(json_object_get(latest, "state")));
	json_decref(latest);
	return text;
}

static json_int_t number(const char *view, const char *key, const char *member)
{
	json_t *latest = lode_scrape_latest(s);
	json_t *v = json_object_get(json_object_get(latest, "views"), view);
	json_int_t n = json_integer_value(json_object_get(json_object_get(v, key), member));
	json_decref(latest);
	return n;
}

Test(scrape, asks_per_peer_and_per_worker_and_gives_names_back, .init = up, .fini = down)
{
	cr_assert_str_eq(state(), "waiting");
	cr_assert_eq(lode_scrape_round(s, 1000, &err), 0, "%s", err.msg);
	cr_assert_str_eq(state(), "up");
	cr_assert_eq(number("paths", "site-b/fibre", "rtt_us"), 9);
	cr_assert_eq(number("paths", "site-c/fibre", "rtt_us"), 9);
	cr_assert_eq(number("workers", "0", "flows"), 3);
	cr_assert_eq(number("workers", "1", "flows"), 3);
	json_t *latest = lode_scrape_latest(s);
	json_t *worker = json_object_get(json_object_get(latest, "help"), "worker");
	cr_assert_str_eq(
		json_string_value(json_object_get(json_object_get(worker, "lan_rx"), "help")),
		"frames");
	cr_assert_null(json_object_get(json_object_get(latest, "views"), "drops"),
		"a view that the gateway does not have is left out");
	json_decref(latest);
}

Test(scrape, one_connection_for_all_rounds, .init = up, .fini = down)
{
	cr_assert_eq(lode_scrape_round(s, 1000, &err), 0);
	int first = atomic_load(&fake.questions);
	for (int i = 2; i < 6; i++)
		cr_assert_eq(lode_scrape_round(s, 1000 * i, &err), 0);
	cr_assert_eq(atomic_load(&fake.greetings), 1);
	cr_assert_leq(atomic_load(&fake.questions), 5 * first);
}

static void goes_down_and_comes_back(enum fake_mood mood)
{
	cr_assert_eq(lode_scrape_round(s, 1000, &err), 0);
	atomic_store(&fake.mood, mood);
	cr_assert_neq(lode_scrape_round(s, 2000, &err), 0);
	cr_assert_str_eq(state(), "down");
	cr_assert_eq(number("paths", "site-b/fibre", "rtt_us"), 9, "the last good round is kept");
	json_t *latest = lode_scrape_latest(s);
	cr_assert_str_eq(json_string_value(json_object_get(latest, "reason")), err.msg);
	cr_assert_eq(json_integer_value(json_object_get(latest, "answered_ms")), 1000);
	cr_assert_eq(json_integer_value(json_object_get(latest, "asked_ms")), 2000);
	json_decref(latest);
	atomic_store(&fake.mood, FAKE_FINE);
	cr_assert_eq(lode_scrape_round(s, 3000, &err), 0, "%s", err.msg);
	cr_assert_str_eq(state(), "up");
}

Test(scrape, a_gateway_that_closes, .init = up, .fini = down)
{
	goes_down_and_comes_back(FAKE_CLOSES);
}

Test(scrape, a_gateway_that_talks_rubbish, .init = up, .fini = down)
{
	goes_down_and_comes_back(FAKE_TALKS_RUBBISH);
}

Test(scrape, a_gateway_that_hangs_costs_a_time_out, .init = up, .fini = down)
{
	goes_down_and_comes_back(FAKE_SAYS_NOTHING);
}

Test(scrape, no_gateway_at_all)
{
	cr_assert_eq(lode_scrape_new("/nonexistent/telemetry", &s, &err), 0);
	cr_assert_eq(lode_scrape_round(s, 1000, &err), -ENOENT);
	cr_assert_str_eq(state(), "down");
	json_t *h = lode_scrape_history(s, 0);
	cr_assert_eq(json_object_size(json_object_get(h, "paths")), 0);
	json_decref(h);
	lode_scrape_free(s);
}

/* ---- history ---- */

static json_t *column(json_t *history, const char *name)
{
	json_t *path = json_object_get(json_object_get(history, "paths"), "site-b/fibre");
	return json_object_get(path, name);
}

Test(history, rates_come_from_byte_counters, .init = up, .fini = down)
{
	static const int tx_bytes[] = {
		1000, 251000, 100, 500100}; /* started again before the third */
	static const int tx_kbps[] = {-1, 1000, 0, 2000};
	for (int i = 0; i < 4; i++) {
		atomic_store(&fake.tx_bytes, tx_bytes[i]);
		cr_assert_eq(lode_scrape_round(s, 2000 * (i + 1), &err), 0);
	}
	json_t *h = lode_scrape_history(s, 0), *tx = column(h, "tx_kbps");
	cr_assert_eq(json_array_size(tx), 4);
	for (size_t i = 0; i < 4; i++) {
		json_t *v = json_array_get(tx, i);
		cr_assert_eq(json_is_null(v) ? -1 : json_integer_value(v), tx_kbps[i], "%zu", i);
	}
	json_decref(h);
	h = lode_scrape_history(s, 4000);
	cr_assert_eq(json_array_size(column(h, "t_ms")), 2, "only what is new");
	cr_assert_eq(json_integer_value(json_array_get(column(h, "t_ms"), 0)), 6000);
	json_decref(h);
}

Test(history, forgets_what_is_old, .init = up, .fini = down)
{
	int64_t t = 0;
	for (int i = 0; i < LODE_SCRAPE_SAMPLES + 7; i++)
		cr_assert_eq(lode_scrape_round(s, t += LODE_SCRAPE_INTERVAL_MS, &err), 0);
	json_t *h = lode_scrape_history(s, 0), *at = column(h, "t_ms");
	cr_assert_eq(json_array_size(at), LODE_SCRAPE_SAMPLES);
	cr_assert_eq(json_integer_value(json_array_get(at, 0)), 8 * LODE_SCRAPE_INTERVAL_MS);
	json_decref(h);
}
