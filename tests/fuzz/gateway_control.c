/* SPDX-License-Identifier: BSD-3-Clause */
/* Requests on the control socket of a gateway with one worker. Whatever they say, the answer is JSON with either
 * a result or an error. */
#define start_eal world_eal /* the gateway has one of its own */
#include "../unit/worker/world.c"
#undef start_eal
#include "gateway.h"

#include <jansson.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct world x;
static struct gateway g;
static char answer[2 * VIEW_BYTES];
static const struct lode_ipc_creds creds = {.uid = 0};

static void give_random(void *ctx, void *buf, size_t len)
{
	memset(buf, 7, len);
}

static int keep_counter(void *ctx, uint64_t counter)
{
	return 0;
}

static void resolve(void *ctx, const struct lode_resolve *want)
{
}

static void log_nothing(void *ctx, enum lode_log_level level, const char *text)
{
}

static void make_control(void)
{
	struct lode_config *config;
	struct lode_prepared *prepared;
	struct lode_err err;
	const struct lode_control_params params = {.shared = x.shared,
		.aead = x.aead,
		.private_key = {1},
		.n_workers = 1,
		.rings = {lode_worker_rings(x.w)},
		.random = give_random,
		.save_counter = keep_counter,
		.resolve = resolve,
		.log = log_nothing};
	must(lode_config_parse("t", config_text, strlen(config_text), &config, &err) == 0, err.msg);
	must(lode_control_prepare(config, &prepared, &err) == 0, err.msg);
	g.control = lode_control_new(&params, prepared, now_ns(), &err);
	must(g.control, err.msg);
}

static void end(void)
{
	stop_drops(&g);
	lode_control_free(g.control);
	atomic_store(&x.shared->snapshot, x.snapshot); /* it was control's for a while */
	lode_ring_free(g.workers[0].long_loops);
	must(world_free(&x) == 0, "packet buffers were not given back");
}

static void begin(void)
{
	world_make(&x);
	g = (struct gateway){.config = x.config,
		.shared = x.shared,
		.aead = x.aead,
		.pool = x.pool,
		.started_ns = now_ns(),
		.options.config_path = "/nonexistent/lodestone.yaml"};
	log_init(&g.log);
	log_configure(&g.log, LODE_LOG_ERROR);
	pthread_mutex_init(&g.lock, NULL);
	g.workers[0].worker = x.w;
	g.workers[0].long_loops = lode_ring_new(4, sizeof(struct long_loop));
	for (unsigned i = 0; i < LODE_PORTS_MAX; i++)
		g.ports[i].ethdev = RTE_MAX_ETHPORTS - 1; /* none */
	must(start_drops(&g, NULL) == 0, "drops");
	make_control();
	atexit(end);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool begun;
	uint8_t frame[200];
	if (!begun)
		begin();
	begun = true;
	long len = answer_request(&g, &creds, (const char *)data, size, -1, answer, sizeof(answer));
	must(len > 0, "no answer");
	json_t *reply = json_loadb(answer, (size_t)len, JSON_REJECT_DUPLICATES, NULL);
	must(json_is_object(reply), "the answer is not JSON");
	bool failed = json_object_get(reply, "error");
	must(failed != (json_object_get(reply, "result") != NULL), "result and error");
	json_decref(reply);
	/* What it may have started meets packets. */
	atomic_store(&x.shared->snapshot, x.snapshot);
	for (unsigned i = 0; i < 2; i++)
		world_lan(&x, 0, frame,
			world_udp4(frame, "10.1.0.9", i ? "10.2.0.5" : "10.99.0.1", 5, 53, 80));
	if (lode_worker_tx(x.w, 2)->n > LODE_TXQ_MAX / 2) {
		rte_pktmbuf_free_bulk(lode_worker_tx(x.w, 2)->mbufs, lode_worker_tx(x.w, 2)->n);
		lode_worker_tx(x.w, 2)->n = 0;
	}
	return 0;
}
