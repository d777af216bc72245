/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>

#include "../trust/town.h"
#include "world.h"

#include <stdlib.h>

#define RELEASE "/api/v2/models/loss/versions/5/release"

TestSuite(releases, .init = world_up, .fini = world_down);

static void upload_file(uint64_t n)
{
	char text[32];
	size_t len = town_file(n, text);
	cr_assert_eq(upload("/api/v1/models/loss/versions/5", text, len), 201);
}

static int put(uint64_t n)
{
	char *chain = town_plain(n);
	int status = ask("POST", RELEASE, chain);
	free(chain);
	return status;
}

Test(releases, are_kept_and_given_out)
{
	cr_expect_eq(put(5), 404, "there is no such version");
	upload_file(5);
	cr_expect_eq(ask("GET", RELEASE, NULL), 404);
	cr_expect_not_null(strstr(world.reply.body, "has not been signed"));
	cr_expect_eq(put(5), 201, "%s", world.reply.body);
	cr_expect_eq(put(5), 201, "signed again");
	world_restart();
	cr_expect_eq(ask("GET", "/api/v1/models/loss/versions/5/meta", NULL), 200);
	cr_expect_str_eq(said("release"), "5");
	world.who = (struct lode_api_identity){LODE_ROLE_DEVICE, "d"};
	cr_expect_eq(ask("GET", "/api/v1/models/loss/versions/5/release", NULL), 200);
	struct lode_trust_state s = town_appliance();
	cr_expect_eq(town_offer(&s, strdup(world.reply.body), "5", NOW_S), 0, "%s", town_said.msg);
	lode_trust_state_clear(&s);
	cr_expect_eq(put(5), 403, "a device signs nothing");
}

Test(releases, of_another_file_are_a_slip)
{
	upload_file(4);
	cr_expect_eq(put(5), 400);
	cr_expect_not_null(strstr(world.reply.body, "SHA-256"));
	cr_expect_eq(put(4), 400, "another version");
	cr_expect_eq(ask("POST", RELEASE, "{}"), 422);
	cr_expect_eq(ask("POST", RELEASE, NULL), 400);
}

Test(releases, go_with_their_version)
{
	upload_file(5);
	cr_expect_eq(put(5), 201);
	cr_expect_eq(ask("DELETE", "/api/v2/models/loss/versions/5", NULL), 200);
	upload_file(6);
	cr_expect_eq(ask("GET", RELEASE, NULL), 404);
}

/* Only a manager on trial signs, and with a root that says what it is worth. */
Test(releases, of_a_manager_on_trial_are_signed_by_a_throwaway_key)
{
	struct lode_api_options options = {.anybody = true, .offline_s = 300};
	struct lode_trust_root root;
	lode_api_free(world.api);
	cr_assert_eq(lode_api_new(&options, world.db, world.blobs, &world.api, &town_said), 0);
	upload_file(5);
	cr_assert_eq(ask("GET", RELEASE, NULL), 200);
	json_t *chain = json_loads(world.reply.body, 0, NULL);
	char *anchor = json_dumps(json_array_get(json_object_get(chain, "roots"), 0), 0);
	cr_expect_eq(lode_trust_root_read(anchor, strlen(anchor), &root, &town_said), 0);
	cr_expect(root.throwaway);
	struct lode_trust_state s;
	cr_assert_eq(lode_trust_begin(&s, anchor, NULL, &town_said), 0, "%s", town_said.msg);
	cr_expect_eq(town_offer(&s, strdup(world.reply.body), "5", NOW_S), 0, "%s", town_said.msg);
	lode_trust_state_clear(&s);
	s = town_appliance(); /* nothing for those who were given a root */
	cr_expect_eq(town_offer(&s, strdup(world.reply.body), "5", NOW_S), -EKEYREJECTED);
	lode_trust_state_clear(&s);
	free(anchor);
	json_decref(chain);
}
