/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>

#include "lode_relay.h"
#include "origin.h"
#include "temp.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PEERS 50

static struct {
	char dir[64], cache[80], url[64];
	uint16_t port;
	struct origin origin;
	struct lode_relay *relay;
	struct lode_blobs *blobs; /* of the peers */
} world;

static uint64_t now_ns(void *ctx)
{
	struct timespec t;
	(void)ctx;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * LODE_NS_PER_S + (uint64_t)t.tv_nsec;
}

/* Ten times as fast as asked: who is told to come again in a second does so soon. */
static void sleep_ns(void *ctx, uint64_t ns)
{
	(void)ctx;
	usleep((useconds_t)(ns / 10000));
}

static uint16_t free_port(void)
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(addr);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	cr_assert_eq(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	cr_assert_eq(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
	close(fd);
	return ntohs(addr.sin_port);
}

static struct lode_fetch_options fetch_options(void)
{
	return (struct lode_fetch_options){
		.stall_s = 5, .attempts = 2, .now_ns = now_ns, .sleep_ns = sleep_ns};
}

static void start_relay(uint64_t cache_bytes)
{
	struct lode_relay_options o = {.address = "127.0.0.1",
		.port = world.port = free_port(),
		.cache_dir = world.cache,
		.cache_bytes = cache_bytes,
		.upstream = {.url = world.origin.url},
		.fetch = fetch_options()};
	struct lode_err err = {0};
	cr_assert_eq(lode_relay_new(&o, &world.relay, &err), 0, "%s", err.msg);
	snprintf(world.url, sizeof(world.url), "http://127.0.0.1:%u/api/v2/blobs", world.port);
}

static void start(size_t n_bytes, uint64_t cache_bytes)
{
	char path[80];
	struct lode_err err;
	temp_make(world.dir);
	snprintf(world.cache, sizeof(world.cache), "%s/cache", world.dir);
	snprintf(path, sizeof(path), "%s/peers", world.dir);
	cr_assert_eq(lode_blobs_open(path, &world.blobs, &err), 0);
	origin_start(&world.origin, NULL, n_bytes);
	start_relay(cache_bytes);
}

static void down(void)
{
	lode_relay_free(world.relay);
	lode_blobs_close(world.blobs);
	origin_stop(&world.origin);
	temp_remove(world.dir);
}

TestSuite(relay, .fini = down, .timeout = 60);

/* One peer's transfer of what the origin has, by way of the relay. */
static int fetch(void)
{
	struct lode_fetch_options o = fetch_options();
	struct lode_fetch_source source = {.url = world.url};
	struct lode_fetch *f;
	struct lode_blob_writer *w;
	struct lode_err err = {0};
	char found[LODE_BLOB_HEX];
	cr_assert_eq(lode_fetch_new(&o, &f, &err), 0);
	cr_assert_eq(lode_blob_begin(world.blobs, NULL, 0, &w, NULL, &err), 0);
	int rc = lode_fetch_blob(f, &source, world.origin.sha256, world.origin.n_bytes, w, &err);
	if (!rc)
		rc = lode_blob_commit(w, world.origin.sha256, found, &err);
	else
		lode_blob_abandon(w);
	lode_fetch_free(f);
	return rc;
}

static void *peer(void *ctx)
{
	*(int *)ctx = fetch();
	return NULL;
}

/* The bar: origin bytes <= 1.05 of one copy. */
Test(relay, fifty_peers_cost_one_copy)
{
	pthread_t threads[PEERS];
	int results[PEERS];
	struct lode_relay_stats s;
	start(2 << 20, 1 << 30);
	for (unsigned i = 0; i < PEERS; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, peer, &results[i]), 0);
	for (unsigned i = 0; i < PEERS; i++)
		pthread_join(threads[i], NULL);
	for (unsigned i = 0; i < PEERS; i++)
		cr_assert_eq(results[i], 0, "peer %u: %d", i, results[i]);
	cr_assert_leq(world.origin.sent_bytes * 100, (uint64_t)(2 << 20) * 105);
	lode_relay_stats(world.relay, &s);
	cr_assert_eq(s.n_fetches, 1);
	cr_assert_eq(s.served_bytes, (uint64_t)PEERS * (2 << 20));
	cr_assert_eq(s.fetched_bytes, 2 << 20);
}

Test(relay, the_cache_outlives_the_relay)
{
	start(100000, 1 << 30);
	cr_assert_eq(fetch(), 0);
	lode_relay_free(world.relay);
	uint64_t sent = world.origin.sent_bytes;
	start_relay(1 << 30);
	cr_assert_eq(fetch(), 0);
	cr_assert_eq(world.origin.sent_bytes, sent);
}

/* Cut again and again upstream: it goes on, nobody sees more than a pause. */
Test(relay, a_broken_line_upstream_is_mended)
{
	start(3 << 20, 1 << 30);
	world.origin.cut_max_bytes = 400000;
	cr_assert_eq(fetch(), 0);
	cr_assert_lt(world.origin.sent_bytes * 100, (uint64_t)(3 << 20) * 105);
}

Test(relay, wrong_bytes_are_not_passed_on)
{
	struct lode_relay_stats s;
	start(100000, 1 << 30);
	world.origin.manner = WRONG_BYTES;
	cr_assert_eq(fetch(), -ENOENT, "the next is asked instead");
	lode_relay_stats(world.relay, &s);
	cr_assert_eq(s.served_bytes, 0);
	cr_assert_eq(s.n_failed, 1);
}

Test(relay, what_is_too_large_for_the_cache_is_not_taken)
{
	start(100000, 150000);
	cr_assert_eq(fetch(), -ENOENT);
	cr_assert_lt(world.origin.sent_bytes, 250000);
}

static void ask(const char *request, const char *status)
{
	struct sockaddr_in addr = {.sin_family = AF_INET,
		.sin_port = htons(world.port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	char answer[300] = "";
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	cr_assert_eq(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	cr_assert_eq(write(fd, request, strlen(request)), (ssize_t)strlen(request));
	cr_assert_gt(read(fd, answer, sizeof(answer) - 1), 0);
	answer[12] = 0;
	cr_assert_str_eq(answer + 9, status, "%s", request);
	close(fd);
}

Test(relay, other_questions_are_refused)
{
	start(1000, 1 << 20);
	ask("GET /api/v2/blobs/../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", "404");
	ask("GET /api/v2/blobs/AB HTTP/1.1\r\nHost: x\r\n\r\n", "404");
	ask("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "404");
	ask("POST /api/v2/blobs/ab HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", "405");
	cr_assert_eq(world.origin.n_requests, 0);
	/* Nobody has it: the manager is asked once, and who asks then is told at once. */
	char nobody[200];
	snprintf(nobody, sizeof(nobody), "GET /api/v2/blobs/%064d HTTP/1.1\r\nHost: x\r\n\r\n", 0);
	ask(nobody, "503");
	struct lode_relay_stats s = {0};
	while (!s.n_failed) {
		usleep(10000);
		lode_relay_stats(world.relay, &s);
	}
	ask(nobody, "404");
	ask(nobody, "404");
	cr_assert_eq(world.origin.n_requests, 1);
}
