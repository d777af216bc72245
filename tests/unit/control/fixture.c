/* SPDX-License-Identifier: BSD-3-Clause */
#include "fixture.h"

#include <rte_eal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct lode_err err;
struct lode_shared *shared;
struct lode_worker_rings rings;
static struct lode_aead *aead;
struct lode_control *c;
unsigned n_resolves;
static struct lode_rng rng;

static void on_random(void *ctx, void *buf, size_t len)
{
	for (size_t i = 0; i < len; i++)
		((uint8_t *)buf)[i] = (uint8_t)lode_rng_u64(&rng);
}
static int on_save(void *ctx, uint64_t counter)
{
	return 0;
}
static void on_resolve(void *ctx, const struct lode_resolve *want)
{
	n_resolves++;
}
static void on_log(void *ctx, enum lode_log_level level, const char *text)
{
}

struct lode_prepared *prepare(const char *yaml)
{
	struct lode_config *config;
	struct lode_prepared *p;
	cr_assert_eq(lode_config_parse("t", yaml, strlen(yaml), &config, &err), 0, "%s", err.msg);
	cr_assert_eq(lode_control_prepare(config, &p, &err), 0, "%s", err.msg);
	return p;
}

static void start(const char *yaml, const char *state)
{
	const struct lode_control_params params = {.shared = shared,
		.aead = aead,
		.private_key = {1, 2, 3},
		.n_workers = 1,
		.rings = {&rings},
		.random = on_random,
		.save_counter = on_save,
		.resolve = on_resolve,
		.log = on_log,
		.state = state};
	c = lode_control_new(&params, prepare(yaml), S, &err);
	cr_assert(c, "%s", err.msg);
	const uint8_t mac[6] = {2, 0, 0, 0, 0, 1};
	lode_control_set_port(c, 0, mac, 1500, true);
	lode_control_set_port(c, 1, mac, 1500, true);
}

void setup(void)
{
	char prefix[40];
	snprintf(prefix, sizeof(prefix), "--file-prefix=lodectrl%d", (int)getpid());
	char *argv[] = {"test", "--no-huge", "--no-shconf", "--no-pci", "--no-telemetry", "-m",
		"64", "-l", "0", "--log-level=3", prefix, NULL};
	cr_assert_geq(rte_eal_init((int)LODE_ARRAY_LEN(argv) - 1, argv), 0);
	lode_rng_seed(&rng, 4);
	shared = calloc(1, sizeof(*shared));
	aead = lode_aead_new("null", &err);
	rings = (struct lode_worker_rings){
		.to_control = lode_ring_new(16, sizeof(struct lode_datagram)),
		.from_control = lode_ring_new(64, sizeof(struct lode_datagram)),
		.messages = lode_ring_new(16, sizeof(struct lode_peer_message))};
	start(BASE "peers:\n" PEER("one", KEY_1, "10.2.0.0/16"), NULL);
}

void restart(const char *yaml, const char *state)
{
	lode_control_free(c);
	start(yaml, state);
}

void teardown(void)
{
	lode_control_free(c);
	lode_aead_free(aead);
	lode_ring_free(rings.to_control);
	lode_ring_free(rings.from_control);
	lode_ring_free(rings.messages);
	free(shared);
}

union lode_choice choice_of(unsigned cls)
{
	return (union lode_choice){.word = atomic_load(&shared->choice[0][cls])};
}
