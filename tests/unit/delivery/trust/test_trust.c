/* SPDX-License-Identifier: BSD-3-Clause */
#include "town.h"

#include <criterion/criterion.h>

#include "lode_package.h"

#include <stdio.h>
#include <stdlib.h>

static struct lode_trust_state s;

static void up(void)
{
	s = town_appliance();
}

static void down(void)
{
	lode_trust_state_clear(&s);
}

TestSuite(trust, .init = up, .fini = down);

/* RFC 8032 7.1, test 1: the key that OpenSSL makes of the seed. */
Test(trust, public_keys_are_those_of_rfc_8032)
{
	static const uint8_t seed[] = {0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84,
		0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4, 0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19,
		0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60};
	static const uint8_t begins[] = {0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7};
	uint8_t key[LODE_TRUST_KEY_BYTES];
	cr_assert_eq(lode_trust_public(seed, key), 0);
	cr_expect_arr_eq(key, begins, sizeof(begins));
}

Test(trust, releases_go_up_and_are_remembered)
{
	cr_expect_eq(town_offer(&s, town_plain(1), "1", NOW_S), 0, "%s", town_said.msg);
	cr_expect_eq(town_offer(&s, town_plain(3), "3", NOW_S), 0, "%s", town_said.msg);
	cr_expect_eq(s.n_marks, 1);
	cr_expect_eq(s.marks[0].counter, 3);
	cr_expect_eq(s.marks[0].floor, 2);
	cr_expect_str_eq(town_accepted.version, "3");
}

Test(trust, what_is_remembered_survives_a_restart)
{
	struct lode_trust_state again;
	struct lode_trust_root root = town_root(1), next = town_root(2);
	char *anchor = town_sign_root(&root, BY(1, 2));
	struct lode_trust_release r = town_release(5);
	cr_assert_eq(town_offer(&s,
			     town_chain(town_sign_root(&next, BY(1, 3)), NULL,
				     town_sign_release(&r, BY(12))),
			     "5", NOW_S),
		0, "%s", town_said.msg);
	char *stored = lode_trust_state_print(&s);
	cr_assert_eq(lode_trust_begin(&again, anchor, stored, &town_said), 0, "%s", town_said.msg);
	cr_expect_eq(again.root.version, 2);
	cr_expect_eq(again.marks[0].counter, 5);
	cr_expect_eq(town_offer(&again, town_plain(3), "3", NOW_S), -ESTALE);
	lode_trust_state_clear(&again);
	free(stored);
	free(anchor);
}

/* The same root with one more signature, and the one that a chain had led to, are no other roots. */
Test(trust, a_root_by_hand_that_is_known_keeps_what_is_remembered)
{
	struct lode_trust_state again;
	struct lode_trust_root root = town_root(1), next = town_root(2);
	struct lode_trust_release r = town_release(5);
	char *anchors[] = {town_sign_root(&root, BY(2, 1, 3)), town_sign_root(&next, BY(1, 2))};
	cr_assert_eq(town_offer(&s,
			     town_chain(town_sign_root(&next, BY(1, 3)), NULL,
				     town_sign_release(&r, BY(12))),
			     "5", NOW_S),
		0, "%s", town_said.msg);
	char *stored = lode_trust_state_print(&s);
	for (unsigned i = 0; i < 2; i++) {
		cr_assert_eq(lode_trust_begin(&again, anchors[i], stored, &town_said), 0);
		cr_expect_eq(again.root.version, 2);
		cr_expect_eq(again.n_marks, 1);
		lode_trust_state_clear(&again);
		free(anchors[i]);
	}
	next.epoch = 7; /* but this is */
	anchors[0] = town_sign_root(&next, BY(1, 2));
	cr_assert_eq(lode_trust_begin(&again, anchors[0], stored, &town_said), 0);
	cr_expect_eq(again.n_marks, 0);
	lode_trust_state_clear(&again);
	free(anchors[0]);
	free(stored);
}

Test(trust, a_state_that_is_no_state_is_refused)
{
	struct lode_trust_state again;
	struct lode_trust_root root = town_root(1);
	char *anchor = town_sign_root(&root, BY(1, 2));
	cr_expect_eq(lode_trust_begin(&again, anchor, "{\"anchor", &town_said), -EBADMSG);
	cr_expect_eq(lode_trust_begin(&again, "{}", NULL, &town_said), -EBADMSG);
	free(anchor);
	anchor = town_sign_root(&root, BY(1)); /* one of the two that it asks for itself */
	cr_expect_eq(lode_trust_begin(&again, anchor, NULL, &town_said), -EKEYREJECTED);
	cr_expect_null(again.root_text);
	free(anchor);
}

Test(trust, a_release_can_be_signed_again_for_a_later_expiry)
{
	struct lode_trust_release r = town_release(2);
	cr_expect_eq(town_offer(&s, town_plain(2), "2", NOW_S), 0);
	cr_expect_eq(town_offer(&s, town_plain(2), "2", NOW_S + 40 * DAY_S), -ETIME);
	r.issued_s += 40 * DAY_S;
	r.expires_s += 40 * DAY_S;
	char *chain = town_chain(NULL, NULL, town_sign_release(&r, BY(11)));
	cr_expect_eq(town_offer(&s, chain, "2", NOW_S + 40 * DAY_S), 0, "%s", town_said.msg);
}

Test(trust, a_delegated_key_signs_within_its_scope)
{
	struct lode_trust_release r = town_release(12);
	struct lode_trust_delegation d = town_delegation(1);
	r.delegation = 1;
	r.kind = town_kind();
	cr_expect_eq(town_offer(&s,
			     town_chain(NULL, town_sign_delegation(&d, BY(11)),
				     town_sign_release(&r, BY(21))),
			     "12", NOW_S),
		0, "%s", town_said.msg);
	cr_expect_eq(s.marks[0].delegation, 1);
}

Test(trust, a_file_is_held_against_its_release)
{
	char text[32];
	struct lode_trust_release r = town_release(7);
	size_t len = town_file(7, text);
	cr_expect_eq(lode_trust_check_file(&r, text, len, &town_said), 0);
	text[0] ^= 1;
	cr_expect_eq(lode_trust_check_file(&r, text, len, &town_said), -EBADMSG);
	cr_expect_eq(lode_trust_check_file(&r, text, len - 1, &town_said), -EBADMSG);
	text[0] ^= 1;
	r.kind = town_kind(); /* which this text does not have */
	cr_expect_eq(lode_trust_check_file(&r, text, len, &town_said), -EPERM);
}

Test(trust, the_kind_is_what_the_file_says)
{
	static const struct lode_metadata meta[] = {{"lodestone.role", "loss"},
		{"lodestone.schema", "loss/1"},
		{"lodestone.schema_sha256",
			"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
		{"lodestone.network", "kind=mlp width=8"}};
	const float one = 1;
	const struct lode_tensor_out tensor = {"w", LODE_F32, 1, {1}, &one};
	struct lode_trust_kind kind, want = town_kind();
	uint8_t *image;
	size_t len;
	cr_assert_eq(lode_safetensors_write(&tensor, 1, meta, 4, &image, &len, &town_said), 0);
	lode_trust_kind_of(image, len, &kind);
	cr_expect_str_eq(kind.role, want.role);
	cr_expect_str_eq(kind.schema_sha256, want.schema_sha256);
	cr_expect_str_eq(kind.network, want.network);
	free(image);
	lode_trust_kind_of("nothing", 7, &kind);
	cr_expect_str_empty(kind.role);
}

Test(trust, documents_say_what_they_want)
{
	char *envelope;
	struct lode_trust_root root = town_root(1);
	root.release.threshold = 3;
	cr_expect_eq(lode_trust_root_make(&root, &envelope, &town_said), -EBADMSG);
	cr_expect_not_null(strstr(town_said.msg, "3 of 2 keys"));
	root = town_root(1);
	memcpy(root.root.keys[1], root.root.keys[0], LODE_TRUST_KEY_BYTES);
	cr_expect_eq(lode_trust_root_make(&root, &envelope, &town_said), -EBADMSG);
	struct lode_trust_release r = town_release(3);
	r.floor = 4;
	cr_expect_eq(lode_trust_release_make(&r, &envelope, &town_said), -EBADMSG);
	r = town_release(3);
	r.model[0] = '/';
	cr_expect_eq(lode_trust_release_make(&r, &envelope, &town_said), -EBADMSG);
}
