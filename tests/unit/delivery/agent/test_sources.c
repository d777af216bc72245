/* SPDX-License-Identifier: BSD-3-Clause */
/* Where models come from, and how they are wrapped on the way. */
#include <criterion/criterion.h>

#include "agent_world.h"

#include <stdio.h>
#include <unistd.h>

TestSuite(relay, .init = agent_world_up, .fini = agent_world_down, .timeout = 60);

Test(relay, bytes_come_from_a_relay)
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

Test(relay, a_relay_that_sends_wrong_bytes_is_found_out_and_told)
{
	find_out(WRONG_BYTES);
}

Test(relay, a_relay_that_never_ends_is_found_out_and_told)
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

Test(relay, a_relay_that_only_says_wait_is_passed_over)
{
	pass_over(BUSY);
}

Test(relay, a_relay_that_says_nothing_is_passed_over)
{
	pass_over(SILENT);
}

/* ---- sealed at rest and on the way ---- */

/* The low three bits of a key mean nothing. */
static const uint8_t manager_keys[2][LODE_SEAL_KEY_BYTES] = {{0x10}, {0x20}};
static const uint8_t agent_key[LODE_SEAL_KEY_BYTES] = {0x30};

static void up_sealed(void)
{
	static const struct lode_seal_keys first = {1, &manager_keys[0]};
	world.seal_keys = &first;
	world.seal_key = agent_key;
	agent_world_up();
}

TestSuite(sealed, .init = up_sealed, .fini = agent_world_down, .timeout = 60);

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
	static const uint8_t both[2][LODE_SEAL_KEY_BYTES] = {{0x20}, {0x10}};
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

/* Then the old one may go. */
Test(sealed, what_an_old_key_sealed_is_sealed_for_the_new_one)
{
	static const uint8_t both[2][LODE_SEAL_KEY_BYTES] = {{0x20}, {0x10}};
	static const struct lode_seal_keys ring = {2, both}, alone = {1, both};
	char version[16];
	lode_api_free(world.api);
	world.seal_keys = &ring;
	open_api();
	cr_assert(lode_api_rekey(world.api));
	cr_assert_not(lode_api_rekey(world.api), "there was one blob");
	lode_api_free(world.api);
	world.seal_keys = &alone;
	open_api();
	start_server();
	cr_assert_eq(round_of(NULL, version), LODE_AGENT_UPDATED);
	cr_assert_eq(active_version(), 1);
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
