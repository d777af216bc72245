/* SPDX-License-Identifier: BSD-3-Clause */
#include "agent_world.h"

#include <criterion/criterion.h>
#include <ftw.h>
#include <jansson.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct agent_world world;

static int64_t fixed_ms(void)
{
	return 1700000000000;
}

static uint64_t fixed_ns(void)
{
	return 1;
}

static int64_t fixed_s(void)
{
	return fixed_ms() / 1000;
}

static void *serve(void *ctx)
{
	(void)ctx;
	while (!world.stop)
		lode_http_run(world.http, 10);
	return NULL;
}

static const char *none(void *ctx, const char *name)
{
	(void)ctx, (void)name;
	return NULL;
}

static struct lode_api_request request(const char *method, const char *path)
{
	return (struct lode_api_request){.method = method,
		.path = path,
		.header = none,
		.query = none,
		.now_ms = fixed_ms()};
}

static void ask(const char *method, const char *path, const char *body)
{
	struct lode_api_request req = request(method, path);
	struct lode_api_reply reply = {0};
	req.body = body;
	req.body_len = strlen(body);
	lode_api_handle(world.api, &req, NULL, &reply);
	cr_assert_leq(reply.status, 201, "%s %s: %s", method, path, reply.body);
	lode_api_reply_clear(&reply);
}

/* Version n differs from the others in some bytes. */
static uint8_t byte_at(int n, size_t i)
{
	return (uint8_t)((i * 2654435761u) >> 13) ^ (i % 4096 == 7 ? (uint8_t)n : 0);
}

static uint8_t *bytes_of(int n)
{
	uint8_t *bytes = malloc(MODEL_BYTES);
	for (size_t i = 0; i < MODEL_BYTES; i++)
		bytes[i] = byte_at(n, i);
	return bytes;
}

static void upload(int n)
{
	char path[64];
	struct lode_blob_writer *w;
	struct lode_err err;
	struct lode_api_reply reply = {0};
	uint8_t *bytes = bytes_of(n);
	snprintf(path, sizeof(path), "/api/v1/models/m/versions/%d", n);
	struct lode_api_request req = request("POST", path);
	cr_assert_eq(lode_api_upload_begin(world.api, &req, &w, &reply), 0);
	cr_assert_eq(lode_blob_write(w, bytes, MODEL_BYTES, &err), 0);
	lode_api_handle(world.api, &req, w, &reply);
	cr_assert_eq(reply.status, 201);
	lode_api_reply_clear(&reply);
	free(bytes);
	while (lode_api_make_delta(world.api, fixed_ms()))
		;
}

static void roll_out(int n)
{
	char body[128];
	snprintf(body, sizeof(body),
		"{\"model_id\":\"m\",\"model_version\":\"%d\",\"fleet_id\":\"f\",\"retry_s\":0,"
		"\"error_percent\":0}",
		n);
	ask("POST", "/api/v1/campaigns", body);
	lode_api_tick(world.api, fixed_ms());
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

void start_server(void)
{
	struct lode_http_options options = {
		.port = world.port, .proxy_uid = (uid_t)-1, .now_ms = fixed_ms, .now_ns = fixed_ns};
	struct lode_err err = {0};
	cr_assert_eq(lode_http_new(&options, world.api, &world.http, &err), 0, "%s", err.msg);
	world.stop = false;
	pthread_create(&world.thread, NULL, serve, NULL);
}

/* The API object belongs to one thread: the test's calls happen while the server rests. */
static void stop_server(void)
{
	if (!world.http)
		return;
	world.stop = true;
	pthread_join(world.thread, NULL);
	lode_http_free(world.http);
	world.http = NULL;
}

void open_api(void)
{
	char db[80], blobs[80];
	struct lode_api_options options = {
		.anybody = true, .offline_s = 300, .seal_keys = world.seal_keys};
	struct lode_err err = {0};
	snprintf(db, sizeof(db), "%s/db", world.dir);
	snprintf(blobs, sizeof(blobs), "%s/blobs", world.dir);
	cr_assert_eq(lode_api_new(&options, db, blobs, &world.api, &err), 0, "%s", err.msg);
}

void agent_world_up(void)
{
	snprintf(world.dir, sizeof(world.dir), "/tmp/lodestone-test-XXXXXX");
	cr_assert_not_null(mkdtemp(world.dir));
	snprintf(world.models, sizeof(world.models), "%s/models", world.dir);
	open_api();
	world.port = free_port();
	snprintf(world.url, sizeof(world.url), "http://127.0.0.1:%u", world.port);
	ask("POST", "/api/v1/devices", "{\"id\":\"d\"}");
	ask("POST", "/api/v1/fleets", "{\"id\":\"f\"}");
	ask("POST", "/api/v1/fleets/f/devices/d", "");
	upload(1);
	roll_out(1);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

void agent_world_down(void)
{
	stop_server();
	if (*world.relay_url)
		origin_stop(&world.relay);
	lode_api_free(world.api);
	nftw(world.dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static int stop_transfer(void *ctx, uint64_t done_bytes, uint64_t total_bytes)
{
	(void)ctx, (void)total_bytes;
	return world.stop_at_bytes && done_bytes >= world.stop_at_bytes;
}

static uint64_t now_ns(void *ctx)
{
	struct timespec t;
	(void)ctx;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * LODE_NS_PER_S + (uint64_t)t.tv_nsec;
}

static void sleep_ns(void *ctx, uint64_t ns)
{
	(void)ctx;
	usleep((useconds_t)(ns / 1000));
}

struct lode_agent_options agent_options(const char *health_check)
{
	return (struct lode_agent_options){.control_plane = world.url,
		.device_id = "d",
		.seal_key = world.seal_key,
		.model_dir = world.models,
		.health_check = health_check,
		.poll_interval_s = 1,
		.health_timeout_s = 5,
		.stall_s = 1,
		.now_s = fixed_s,
		.relay = *world.relay_url ? world.relay_url : NULL,
		.now_ns = now_ns,
		.sleep_ns = sleep_ns,
		.progress = stop_transfer};
}

enum lode_agent_outcome round_of(const char *health_check, char version[16])
{
	struct lode_agent_options o = agent_options(health_check);
	struct lode_agent *a;
	struct lode_err err = {0};
	cr_assert_eq(lode_agent_new(&o, &a, &err), 0, "%s", err.msg);
	enum lode_agent_outcome outcome = lode_agent_round(a, &err);
	snprintf(version, 16, "%s", lode_agent_version(a));
	lode_agent_free(a);
	return outcome;
}

int active_version(void)
{
	char path[200];
	struct stat st;
	snprintf(path, sizeof(path), "%s/ota/models/m.bin", world.models);
	FILE *f = fopen(path, "rb");
	if (!f)
		return 0;
	uint8_t *bytes = malloc(MODEL_BYTES);
	bool whole = !fstat(fileno(f), &st) && st.st_size == MODEL_BYTES &&
		     fread(bytes, 1, MODEL_BYTES, f) == MODEL_BYTES;
	fclose(f);
	int found = -1;
	for (int n = 1; whole && n <= 3 && found < 0; n++) {
		size_t i = 0;
		while (i < MODEL_BYTES && bytes[i] == byte_at(n, i))
			i++;
		found = i == MODEL_BYTES ? n : -1;
	}
	free(bytes);
	return found;
}

void install_first(void)
{
	char version[16];
	start_server();
	cr_assert_eq(round_of(NULL, version), LODE_AGENT_UPDATED);
	cr_assert_eq(active_version(), 1);
	stop_server();
}

void offer(int n)
{
	upload(n);
	roll_out(n);
	start_server();
}

void start_relay(enum manner manner)
{
	world.relay.manner = manner;
	origin_start(&world.relay, bytes_of(1), MODEL_BYTES);
	snprintf(world.relay_url, sizeof(world.relay_url), "http://127.0.0.1:%u", world.relay.port);
	start_server();
}

bool manager_knows(const char *text)
{
	struct lode_api_request req = request("GET", "/api/v2/devices/d");
	struct lode_api_reply reply = {0};
	stop_server();
	lode_api_handle(world.api, &req, NULL, &reply);
	bool found = reply.body && strstr(reply.body, text);
	lode_api_reply_clear(&reply);
	return found;
}
