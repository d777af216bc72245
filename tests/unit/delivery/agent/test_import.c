/* SPDX-License-Identifier: BSD-3-Clause */
/* Bundles brought by hand, with a root that was given by hand, and a gateway that says yes or no. */
#include <criterion/criterion.h>

#include "../trust/town.h"
#include "lode_agent.h"
#include "lode_ipc.h"
#include "lode_package.h"

#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static struct {
	char dir[64], root[80], models[80], bundle[80], socket[80];
	/* The gateway. */
	struct lode_ipc_server *server;
	pthread_t thread;
	atomic_bool stop;
	const char *refusal; /* NULL: it takes what comes */
	char heard[200];     /* commands, in order; of model/try the file's text */
} world;

static int64_t fixed_s(void)
{
	return NOW_S;
}

static void write_file(const char *path, const void *bytes, size_t len)
{
	FILE *f = fopen(path, "w");
	cr_assert(f && fwrite(bytes, 1, len, f) == len && !fclose(f));
}

static void up(void)
{
	struct lode_trust_root root = town_root(1);
	char *envelope = town_sign_root(&root, BY(1, 2));
	snprintf(world.dir, sizeof(world.dir), "/tmp/lodestone-test-XXXXXX");
	cr_assert_not_null(mkdtemp(world.dir));
	snprintf(world.root, sizeof(world.root), "%s/root", world.dir);
	snprintf(world.models, sizeof(world.models), "%s/models", world.dir);
	snprintf(world.bundle, sizeof(world.bundle), "%s/bundle", world.dir);
	snprintf(world.socket, sizeof(world.socket), "%s/gateway.sock", world.dir);
	write_file(world.root, envelope, strlen(envelope));
	free(envelope);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static void stop_gateway(void)
{
	if (!world.server)
		return;
	world.stop = true;
	pthread_join(world.thread, NULL);
	lode_ipc_server_free(world.server);
	world.server = NULL;
}

static void down(void)
{
	stop_gateway();
	nftw(world.dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

TestSuite(import, .init = up, .fini = down, .timeout = 60);

/* ---- a gateway ---- */

static void hear(const char *word)
{
	size_t n = strlen(world.heard);
	snprintf(world.heard + n, sizeof(world.heard) - n, "%s ", word);
}

static void on_request(void *ctx, struct lode_ipc_client *client,
	const struct lode_ipc_creds *creds, const char *body, size_t len, int fd)
{
	char reply[200] = "{\"result\":{}}", text[32] = "";
	const void *bytes;
	size_t n;
	struct lode_err err;
	if (strstr(body, "model/try")) {
		cr_assert_eq(lode_ipc_memfd_map(fd, 1000, &bytes, &n, &err), 0, "%s", err.msg);
		snprintf(text, sizeof(text), "%.*s", (int)n, (const char *)bytes);
		munmap((void *)(uintptr_t)bytes, n);
		hear(text);
		cr_assert_not_null(strstr(body, "\"release\""));
	} else {
		hear(strstr(body, "commit") ? "commit" : "rollback");
	}
	if (world.refusal)
		snprintf(reply, sizeof(reply), "{\"error\":\"%s\",\"code\":1}", world.refusal);
	lode_ipc_reply(client, reply, strlen(reply));
}

static void *serve(void *ctx)
{
	while (!world.stop)
		lode_ipc_server_run(world.server, 10);
	return NULL;
}

static void start_gateway(void)
{
	struct lode_err err;
	cr_assert_eq(lode_ipc_server_new(world.socket, 0600, on_request, NULL, &world.server, &err),
		0, "%s", err.msg);
	world.stop = false;
	pthread_create(&world.thread, NULL, serve, NULL);
}

/* ---- bundles and agents ---- */

/* Of one file under the chain, which is freed. */
static void make_bundle_of(char *chain, const void *bytes, size_t n_bytes)
{
	struct lode_trust_bundle b = {
		.n_files = 1, .files = {{.chain = chain, .n_bytes = n_bytes}}};
	uint8_t *head;
	size_t len;
	struct lode_err err;
	cr_assert_eq(lode_trust_bundle_head(&b, &head, &len, &err), 0, "%s", err.msg);
	head = realloc(head, len + n_bytes);
	memcpy(head + len, bytes, n_bytes);
	write_file(world.bundle, head, len + n_bytes);
	free(head);
	lode_trust_bundle_clear(&b);
}

static void make_bundle(char *chain, uint64_t n)
{
	char text[32];
	size_t len = town_file(n, text);
	make_bundle_of(chain, text, len);
}

static int refuse_model(void *ctx, const char *path, struct lode_err *err)
{
	(void)ctx;
	return lode_err_set(err, -EILSEQ, "%s", strstr(path, "staging") ? "golden" : "too late");
}

static struct lode_agent_options options(const char *health_check)
{
	return (struct lode_agent_options){.device_id = "d",
		.model_dir = world.models,
		.root = world.root,
		.gateway = world.server ? world.socket : NULL,
		.health_check = health_check,
		.health_timeout_s = 5,
		.now_s = fixed_s};
}

static enum lode_agent_outcome import(const char *health_check, struct lode_err *err)
{
	struct lode_agent_options o = options(health_check);
	struct lode_agent *a;
	cr_assert_eq(lode_agent_new(&o, &a, err), 0, "%s", err->msg);
	enum lode_agent_outcome outcome = lode_agent_import(a, world.bundle, err);
	lode_agent_free(a);
	return outcome;
}

static void active_is(const char *want)
{
	char path[160], text[32] = "";
	snprintf(path, sizeof(path), "%s/ota/models/loss.bin", world.models);
	FILE *f = fopen(path, "r");
	if (f) {
		cr_assert_not_null(fgets(text, sizeof(text), f));
		fclose(f);
	}
	cr_expect_str_eq(text, want);
}

Test(import, installs_and_remembers_across_restarts)
{
	struct lode_err err;
	make_bundle(town_plain(5), 5);
	cr_expect_eq(import(NULL, &err), LODE_AGENT_UPDATED, "%s", err.msg);
	active_is("file 5");
	make_bundle(town_plain(3), 3);
	cr_expect_eq(import(NULL, &err), LODE_AGENT_FAILED);
	cr_expect_not_null(strstr(err.msg, "not gone back to"), "%s", err.msg);
	active_is("file 5");
}

Test(import, refuses_other_bytes_and_other_keys)
{
	struct lode_err err;
	struct lode_trust_release r = town_release(6);
	make_bundle(town_plain(5), 5);
	cr_expect_eq(import(NULL, &err), LODE_AGENT_UPDATED);
	make_bundle(town_plain(6), 7); /* as long, of other content */
	cr_expect_eq(import(NULL, &err), LODE_AGENT_FAILED);
	cr_expect_not_null(strstr(err.msg, "was released"), "%s", err.msg);
	make_bundle(town_chain(NULL, NULL, town_sign_release(&r, BY(99))), 6);
	cr_expect_eq(import(NULL, &err), LODE_AGENT_FAILED);
	cr_expect_not_null(strstr(err.msg, "release keys"), "%s", err.msg);
	active_is("file 5");
}

Test(import, a_root_is_needed)
{
	struct lode_agent_options o = options(NULL);
	struct lode_agent *a;
	struct lode_err err;
	o.root = NULL;
	cr_expect_eq(lode_agent_new(&o, &a, &err), -EINVAL);
	o.control_plane = "https://127.0.0.1:8443";
	cr_expect_eq(lode_agent_new(&o, &a, &err), -EINVAL);
	o.control_plane = "http://manager:8080";
	cr_expect_eq(lode_agent_new(&o, &a, &err), -EINVAL);
	cr_expect_not_null(strstr(err.msg, "--root"), "%s", err.msg);
	o.control_plane = "http://127.0.0.1:80@manager"; /* which is not here */
	cr_expect_eq(lode_agent_new(&o, &a, &err), -EINVAL);
	o.control_plane = "http://127.0.0.1:";
	cr_expect_eq(lode_agent_new(&o, &a, &err), -EINVAL);
	o.root = world.dir; /* no file */
	cr_expect_eq(lode_agent_new(&o, &a, &err), -EINVAL);
}

/* A real root that comes along is still one that nobody gave by hand. */
Test(import, on_trial_only_throwaway_roots_are_taken)
{
	struct lode_agent_options o = options(NULL);
	struct lode_trust_root root = town_root(1);
	struct lode_trust_release r = town_release(5);
	struct lode_agent *a;
	struct lode_err err;
	o.root = NULL;
	o.control_plane = "http://127.0.0.1:8080";
	cr_assert_eq(lode_agent_new(&o, &a, &err), 0, "%s", err.msg);
	make_bundle(
		town_chain(town_sign_root(&root, BY(1, 2)), NULL, town_sign_release(&r, BY(11))),
		5);
	cr_expect_eq(lode_agent_import(a, world.bundle, &err), LODE_AGENT_FAILED);
	cr_expect_not_null(strstr(err.msg, "no throw-away one"), "%s", err.msg);
	make_bundle(town_plain(5), 5);
	cr_expect_eq(lode_agent_import(a, world.bundle, &err), LODE_AGENT_FAILED, "no root at all");
	root.throwaway = true;
	make_bundle(
		town_chain(town_sign_root(&root, BY(1, 2)), NULL, town_sign_release(&r, BY(11))),
		5);
	cr_expect_eq(lode_agent_import(a, world.bundle, &err), LODE_AGENT_UPDATED, "%s", err.msg);
	lode_agent_free(a);
}

Test(import, the_gateway_gets_the_model_and_hears_that_it_stays)
{
	struct lode_err err;
	start_gateway();
	make_bundle(town_plain(5), 5);
	cr_expect_eq(import("true", &err), LODE_AGENT_UPDATED, "%s", err.msg);
	cr_expect_str_eq(world.heard, "file 5 commit ");
}

Test(import, what_the_gateway_refuses_goes)
{
	struct lode_err err;
	make_bundle(town_plain(5), 5);
	cr_expect_eq(import(NULL, &err), LODE_AGENT_UPDATED);
	start_gateway();
	world.refusal = "golden vectors";
	make_bundle(town_plain(6), 6);
	cr_expect_eq(import("true", &err), LODE_AGENT_ROLLED_BACK);
	cr_expect_not_null(strstr(err.msg, "the gateway refuses: golden vectors"), "%s", err.msg);
	active_is("file 5");
	cr_expect_str_eq(world.heard, "file 6 ");
}

Test(import, what_is_not_healthy_is_taken_from_the_gateway_again)
{
	struct lode_err err;
	start_gateway();
	make_bundle(town_plain(5), 5);
	cr_expect_eq(import("false", &err), LODE_AGENT_ROLLED_BACK);
	active_is("");
	cr_expect_str_eq(world.heard, "file 5 rollback ");
}

/* Only what calls itself one of our models has golden vectors. */
Test(import, a_model_is_tried_before_it_is_put_in_place)
{
	const struct lode_trust_kind kind = town_kind();
	const struct lode_metadata meta[] = {{"lodestone.role", "loss"},
		{"lodestone.schema", "loss/1"}, {"lodestone.schema_sha256", kind.schema_sha256},
		{"lodestone.network", "kind=mlp width=8"}};
	const float one = 1;
	const struct lode_tensor_out tensor = {"w", LODE_F32, 1, {1}, &one};
	struct lode_agent_options o = options(NULL);
	struct lode_trust_release r = town_release(5);
	struct lode_agent *a;
	struct lode_err err;
	uint8_t *image;
	size_t len;
	o.check_model = refuse_model;
	make_bundle(town_plain(5), 5);
	cr_assert_eq(lode_agent_new(&o, &a, &err), 0, "%s", err.msg);
	cr_expect_eq(lode_agent_import(a, world.bundle, &err), LODE_AGENT_UPDATED, "%s", err.msg);
	cr_assert_eq(lode_safetensors_write(&tensor, 1, meta, 4, &image, &len, &err), 0);
	r.counter = 6;
	r.n_bytes = len;
	r.kind = kind;
	lode_trust_sha256(image, len, r.sha256);
	make_bundle_of(town_chain(NULL, NULL, town_sign_release(&r, BY(11))), image, len);
	cr_expect_eq(lode_agent_import(a, world.bundle, &err), LODE_AGENT_FAILED);
	cr_expect_str_eq(err.msg, "golden");
	active_is("file 5");
	lode_agent_free(a);
	free(image);
}
