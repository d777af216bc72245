/* SPDX-License-Identifier: BSD-3-Clause */
/* The agent against the real manager on 127.0.0.1, both in one temporary folder. */
#include <criterion/criterion.h>

#include "lode_agent.h"
#include "lode_http.h"
#include "origin.h"

#include <ftw.h>
#include <jansson.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MODEL_BYTES (300 * 1024)

static struct {
	char dir[64], models[80], url[64];
	uint16_t port;
	struct lode_api *api;
	struct lode_http *http;
	pthread_t thread;
	atomic_bool stop;
	int cut_at, n_writes;
	uint64_t stop_at_bytes;
	struct origin relay; /* of the site, when a test has one */
	char relay_url[64];
	const struct lode_seal_keys *seal_keys; /* of the manager */
	const uint8_t *seal_key;		/* of the agent */
} world;

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

static void start_server(void)
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

static void open_api(void)
{
	char db[80], blobs[80];
	struct lode_api_options options = {
		.anybody = true, .offline_s = 300, .seal_keys = world.seal_keys};
	struct lode_err err = {0};
	snprintf(db, sizeof(db), "%s/db", world.dir);
	snprintf(blobs, sizeof(blobs), "%s/blobs", world.dir);
	cr_assert_eq(lode_api_new(&options, db, blobs, &world.api, &err), 0, "%s", err.msg);
}

static void up(void)
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

static void down(void)
{
	stop_server();
	if (*world.relay_url)
		origin_stop(&world.relay);
	lode_api_free(world.api);
	nftw(world.dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

TestSuite(agent, .init = up, .fini = down, .timeout = 60);

static int cut_power(void *ctx, const char *what)
{
	(void)ctx, (void)what;
	if (++world.n_writes == world.cut_at)
		_exit(42);
	return 0;
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

static struct lode_agent_options agent_options(const char *health_check)
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

static enum lode_agent_outcome round_of(const char *health_check, char version[16])
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

/* The version whose bytes the active file has; 0: none, -1: torn. */
static int active_version(void)
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

static void install_first(void)
{
	char version[16];
	start_server();
	cr_assert_eq(round_of(NULL, version), LODE_AGENT_UPDATED);
	cr_assert_eq(active_version(), 1);
	stop_server();
}

static void offer(int n)
{
	upload(n);
	roll_out(n);
	start_server();
}

Test(agent, installs_updates_by_patch_and_then_rests)
{
	char version[16], path[200];
	install_first();
	offer(2);
	cr_assert_eq(round_of(NULL, version), LODE_AGENT_UPDATED);
	cr_assert_str_eq(version, "2");
	cr_assert_eq(active_version(), 2);
	cr_assert_eq(round_of(NULL, version), LODE_AGENT_IDLE);
	snprintf(path, sizeof(path), "%s/ota/backup/m_PREV.bin", world.models);
	cr_assert_eq(access(path, R_OK), 0, "the version before is kept");
}

Test(agent, an_unhealthy_model_goes_and_is_left_alone_after_three_times)
{
	char version[16];
	install_first();
	offer(2);
	for (int i = 0; i < 3; i++) {
		cr_assert_eq(
			round_of("exit 3", version), i ? LODE_AGENT_IDLE : LODE_AGENT_ROLLED_BACK);
		cr_assert_eq(active_version(), 1);
		cr_assert_str_eq(version, "1");
		/* The manager does not offer it again after a health failure: only a new campaign does. */
	}
}

Test(agent, a_failing_first_install_leaves_nothing)
{
	char version[16];
	start_server();
	cr_assert_eq(round_of("exit 1", version), LODE_AGENT_ROLLED_BACK);
	cr_assert_eq(active_version(), 0);
	cr_assert_str_eq(version, "");
}

Test(agent, a_health_check_that_hangs_is_ended)
{
	struct lode_agent_options o = agent_options("sleep 100");
	struct lode_agent *a;
	struct lode_err err;
	start_server();
	o.health_timeout_s = 1;
	cr_assert_eq(lode_agent_new(&o, &a, &err), 0);
	cr_assert_eq(lode_agent_round(a, &err), LODE_AGENT_ROLLED_BACK);
	lode_agent_free(a);
}

Test(agent, a_stopped_transfer_goes_on_where_it_was)
{
	char version[16], part[300];
	start_server();
	world.stop_at_bytes = 1;
	cr_assert_eq(round_of(NULL, version), LODE_AGENT_IDLE);
	snprintf(part, sizeof(part), "ls %s/ota/staging/parts/get-* >/dev/null", world.models);
	cr_assert_eq(system(part), 0, "the beginning is kept");
	world.stop_at_bytes = 0;
	cr_assert_eq(round_of(NULL, version), LODE_AGENT_UPDATED);
	cr_assert_eq(active_version(), 1);
}

/* After a power cut the end of a part may be anything: then it comes from the start. */
Test(agent, a_torn_beginning_costs_a_second_transfer_only)
{
	char version[16], command[400];
	start_server();
	world.stop_at_bytes = 1;
	cr_assert_eq(round_of(NULL, version), LODE_AGENT_IDLE);
	world.stop_at_bytes = 0;
	snprintf(command, sizeof(command),
		"for f in %s/ota/staging/parts/get-*; do printf torn >>$f; done", world.models);
	cr_assert_eq(system(command), 0);
	cr_assert_eq(round_of(NULL, version), LODE_AGENT_UPDATED);
	cr_assert_eq(active_version(), 1);
}

Test(agent, without_its_manager_it_backs_off)
{
	struct lode_agent_options o = agent_options(NULL);
	struct lode_agent *a;
	struct lode_err err;
	o.poll_interval_s = 10;
	cr_assert_eq(lode_agent_new(&o, &a, &err), 0);
	cr_assert_leq(lode_agent_wait_s(a), 11);
	for (int i = 0; i < 8; i++)
		cr_assert_eq(lode_agent_round(a, &err), LODE_AGENT_UNREACHABLE);
	cr_assert_geq(lode_agent_wait_s(a), 300);
	cr_assert_leq(lode_agent_wait_s(a), 330);
	lode_agent_free(a);
}

Test(agent, a_power_cut_at_any_write_leaves_old_or_new)
{
	char version[16];
	int n_cuts = 0;
	install_first();
	offer(2);
	for (world.cut_at = 1;; world.cut_at++) {
		pid_t pid = fork();
		if (!pid) {
			struct lode_agent_options o = agent_options(NULL);
			struct lode_agent *a;
			struct lode_err err;
			o.on_write = cut_power;
			if (lode_agent_new(&o, &a, &err))
				_exit(1);
			lode_agent_round(a, &err);
			_exit(0);
		}
		int status;
		cr_assert_eq(waitpid(pid, &status, 0), pid);
		cr_assert(WIFEXITED(status) && WEXITSTATUS(status) != 1);
		int found = active_version();
		cr_assert(found == 1 || found == 2, "cut %d: version %d", world.cut_at, found);
		if (WEXITSTATUS(status) == 0)
			break;
		n_cuts++;
	}
	cr_assert_geq(n_cuts, 3);
	cr_assert_neq(round_of(NULL, version), LODE_AGENT_FAILED);
	cr_assert_str_eq(version, "2");
	cr_assert_eq(active_version(), 2);
}

/* ---- a relay of the site that has version 1 ---- */

static void start_relay(enum manner manner)
{
	world.relay.manner = manner;
	origin_start(&world.relay, bytes_of(1), MODEL_BYTES);
	snprintf(world.relay_url, sizeof(world.relay_url), "http://127.0.0.1:%u", world.relay.port);
	start_server();
}

/* What the manager says of the device. */
static bool manager_knows(const char *text)
{
	struct lode_api_request req = request("GET", "/api/v2/devices/d");
	struct lode_api_reply reply = {0};
	stop_server();
	lode_api_handle(world.api, &req, NULL, &reply);
	bool found = reply.body && strstr(reply.body, text);
	lode_api_reply_clear(&reply);
	return found;
}

Test(agent, bytes_come_from_a_relay)
{
	char version[16];
	start_relay(HONEST);
	cr_assert_eq(round_of(NULL, version), LODE_AGENT_UPDATED);
	cr_assert_eq(active_version(), 1);
	cr_assert_geq(world.relay.sent_bytes, MODEL_BYTES);
	cr_assert_not(manager_knows("relay_fault"));
}

static void find_out(enum manner manner)
{
	struct lode_agent *a;
	struct lode_err err = {0};
	start_relay(manner);
	struct lode_agent_options o = agent_options(NULL);
	cr_assert_eq(lode_agent_new(&o, &a, &err), 0);
	cr_assert_eq(lode_agent_round(a, &err), LODE_AGENT_UPDATED, "%s", err.msg);
	cr_assert_eq(active_version(), 1);
	cr_assert(manager_knows("relay_fault"));
	/* The next update does not ask it. */
	uint64_t n_requests = world.relay.n_requests;
	offer(2);
	cr_assert_eq(lode_agent_round(a, &err), LODE_AGENT_UPDATED);
	cr_assert_eq(world.relay.n_requests, n_requests);
	lode_agent_free(a);
}

Test(agent, a_relay_that_sends_wrong_bytes_is_found_out_and_told)
{
	find_out(WRONG_BYTES);
}

Test(agent, a_relay_that_never_ends_is_found_out_and_told)
{
	find_out(ENDLESS);
}

static void pass_over(enum manner manner)
{
	char version[16];
	start_relay(manner);
	cr_assert_eq(round_of(NULL, version), LODE_AGENT_UPDATED);
	cr_assert_eq(active_version(), 1);
	cr_assert_not(manager_knows("relay_fault"));
}

Test(agent, a_relay_that_only_says_wait_is_passed_over)
{
	pass_over(BUSY);
}

Test(agent, a_relay_that_says_nothing_is_passed_over)
{
	pass_over(SILENT);
}

/* ---- sealed at rest and on the way ---- */

static const uint8_t manager_keys[2][LODE_SEAL_KEY_BYTES] = {{1}, {2}};
static const uint8_t agent_key[LODE_SEAL_KEY_BYTES] = {3};

static void up_sealed(void)
{
	static const struct lode_seal_keys first = {1, &manager_keys[0]};
	world.seal_keys = &first;
	world.seal_key = agent_key;
	up();
}

TestSuite(sealed, .init = up_sealed, .fini = down, .timeout = 60);

/* Every blob at rest is a sealed file; how many. */
static unsigned count_sealed(void)
{
	char command[300], line[16] = "";
	snprintf(command, sizeof(command),
		"cd %s/blobs && for f in [0-9a-f]*/*; do head -c 8 $f; echo; done | sort | uniq -c "
		"| tr "
		"-s ' '",
		world.dir);
	FILE *f = popen(command, "r");
	unsigned n = 0;
	cr_assert_not_null(fgets(line, sizeof(line), f));
	cr_assert_eq(sscanf(line, "%u LODESEAL", &n), 1, "%s", line);
	cr_assert_not_null(strstr(line, "LODESEAL"));
	cr_assert_null(fgets(line, sizeof(line), f), "one is not sealed: %s", line);
	pclose(f);
	return n;
}

Test(sealed, models_and_patches_are_opened_by_the_agent_alone)
{
	char version[16];
	install_first();
	cr_assert_eq(count_sealed(), 1);
	offer(2);
	cr_assert_eq(round_of(NULL, version), LODE_AGENT_UPDATED);
	cr_assert_eq(active_version(), 2);
	cr_assert_geq(count_sealed(), 3, "two versions and a patch");
	cr_assert_not(manager_knows("\"failed\""));
}

/* An agent without a key, or an older one, gets plain bytes, and goes on where it was cut. */
Test(sealed, who_shows_no_key_gets_them_opened)
{
	char version[16];
	world.seal_key = NULL;
	start_server();
	world.stop_at_bytes = 1;
	cr_assert_eq(round_of(NULL, version), LODE_AGENT_IDLE);
	world.stop_at_bytes = 0;
	cr_assert_eq(round_of(NULL, version), LODE_AGENT_UPDATED);
	cr_assert_eq(active_version(), 1);
}

/* The new key seals what comes, the old one still opens what was. */
Test(sealed, keys_follow_each_other)
{
	static const uint8_t both[2][LODE_SEAL_KEY_BYTES] = {{2}, {1}};
	static const struct lode_seal_keys ring = {2, both};
	char version[16];
	lode_api_free(world.api);
	world.seal_keys = &ring;
	open_api();
	install_first();
	offer(2);
	cr_assert_eq(round_of(NULL, version), LODE_AGENT_UPDATED);
	cr_assert_eq(active_version(), 2);
}

Test(sealed, without_its_keys_the_manager_gives_nothing_out)
{
	char version[16];
	lode_api_free(world.api);
	world.seal_keys = NULL;
	open_api();
	start_server();
	cr_assert_eq(round_of(NULL, version), LODE_AGENT_FAILED);
	cr_assert_eq(active_version(), 0);
}
