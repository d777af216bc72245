/* SPDX-License-Identifier: BSD-3-Clause */
/* What somebody can try who holds the server, a relay, the line or some keys, in the words of the update
 * framework (TUF 1.0, 1.5.2). The appliance must end with what it had. */
#include "town.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>

static struct lode_trust_state s;

static void up(void)
{
	s = town_appliance();
	cr_assert_eq(town_offer(&s, town_plain(5), "5", NOW_S), 0, "%s", town_said.msg);
}

static void down(void)
{
	lode_trust_state_clear(&s);
}

TestSuite(attack, .init = up, .fini = down);

/* Refused with rc, and nothing that was accepted changes. */
static void refused(int rc, char *chain, const char *version, int64_t now_s)
{
	struct lode_trust_mark before = s.marks[0];
	cr_expect_eq(town_offer(&s, chain, version, now_s), rc, "%s", town_said.msg);
	cr_expect_gt(strlen(town_said.msg), 10);
	cr_expect_eq(s.marks[0].counter, before.counter);
	cr_expect_eq(s.marks[0].floor, before.floor);
	cr_expect_str_eq(s.marks[0].sha256, before.sha256);
}

static char *signed_by(struct lode_trust_release r, unsigned key)
{
	return town_chain(NULL, NULL, town_sign_release(&r, BY(key)));
}

/* ---- who holds the server ---- */

Test(attack, arbitrary_software)
{
	refused(-EKEYREJECTED, signed_by(town_release(6), 99), "6", NOW_S);
	refused(-EKEYREJECTED, signed_by(town_release(6), 1), "6", NOW_S); /* a root key is none */
	struct lode_trust_release r = town_release(6);
	char *unsigned_one;
	cr_assert_eq(lode_trust_release_make(&r, &unsigned_one, &town_said), 0);
	refused(-EKEYREJECTED, town_chain(NULL, NULL, unsigned_one), "6", NOW_S);
	refused(-EBADMSG, strdup("{}"), "6", NOW_S);
	refused(-EBADMSG, strdup("nothing"), "6", NOW_S);
}

Test(attack, changed_bytes_of_a_signed_release)
{
	struct lode_trust_release r = town_release(6), other = town_release(7);
	char *good = town_sign_release(&r, BY(11)), *bad = town_sign_release(&other, BY(99));
	/* The payload of one under the signature of the other. */
	char *from = strstr(bad, "\"payload\""), *signature = strstr(good, "\"signatures\"");
	char *end = strstr(from, "\"signatures\"");
	char mixed[4096];
	snprintf(mixed, sizeof(mixed), "%.*s%s", (int)(end - bad), bad, signature);
	refused(-EKEYREJECTED, town_chain(NULL, NULL, strdup(mixed)), "7", NOW_S);
	free(good);
	free(bad);
}

Test(attack, rollback)
{
	refused(-ESTALE, town_plain(3), "3", NOW_S);
	/* The release before is what the floor allows; from there the newest is still the newest. */
	cr_expect_eq(town_offer(&s, town_plain(4), "4", NOW_S), 0);
	cr_expect_eq(s.marks[0].counter, 5);
	struct lode_trust_release strict = town_release(6);
	strict.floor = 6;
	cr_expect_eq(town_offer(&s, signed_by(strict, 11), "6", NOW_S), 0);
	refused(-ESTALE, town_plain(5), "5", NOW_S);
}

Test(attack, freeze)
{
	refused(-ETIME, town_plain(6), "6", NOW_S + 31 * DAY_S);
	/* A clock that was set back does not bring time back: a newer root vouched for it. */
	struct lode_trust_root root = town_root(2);
	root.issued_s = NOW_S + 40 * DAY_S;
	struct lode_trust_release r = town_release(6);
	char *chain =
		town_chain(town_sign_root(&root, BY(1, 2)), NULL, town_sign_release(&r, BY(11)));
	refused(-ETIME, chain, "6", NOW_S);
	cr_expect_eq(s.root.version, 2, "the root itself is good and stays");
	refused(-ETIME, town_plain(6), "6", NOW_S);
}

Test(attack, an_expired_root_is_no_root)
{
	struct lode_trust_release r = town_release(6);
	r.expires_s = NOW_S + 999 * DAY_S;
	refused(-ETIME, signed_by(r, 11), "6", NOW_S + 365 * DAY_S);
	cr_expect_eq(town_offer(&s, signed_by(r, 11), "6", NOW_S + 365 * DAY_S - 1), 0);
}

Test(attack, mix_and_match)
{
	struct lode_trust_release r = town_release(6);
	refused(-EPERM, signed_by(r, 11), "7", NOW_S); /* not the version that was asked for */
	snprintf(r.model, sizeof(r.model), "oracle");
	refused(-EPERM, signed_by(r, 11), "6", NOW_S); /* not the model */
	r = town_release(5); /* another file under a counter that is taken */
	memcpy(r.sha256, town_release(6).sha256, sizeof(r.sha256));
	refused(-ESTALE, signed_by(r, 11), "5", NOW_S);
}

Test(attack, a_document_is_taken_for_nothing_else)
{
	struct lode_trust_root root = town_root(2);
	struct lode_trust_delegation d = town_delegation(1);
	refused(-EBADMSG, town_chain(NULL, NULL, town_sign_root(&root, BY(1, 2))), "6", NOW_S);
	refused(-EBADMSG, town_chain(NULL, NULL, town_sign_delegation(&d, BY(11))), "6", NOW_S);
	struct lode_trust_release r = town_release(6);
	refused(-EBADMSG,
		town_chain(town_sign_delegation(&d, BY(11)), NULL, town_sign_release(&r, BY(11))),
		"6", NOW_S);
}

/* ---- who holds keys ---- */

static char *with_root(
	struct lode_trust_root root, const unsigned *root_keys, uint64_t n, unsigned key)
{
	struct lode_trust_release r = town_release(n);
	r.epoch = root.epoch;
	return town_chain(town_sign_root(&root, root_keys), NULL, town_sign_release(&r, BY(key)));
}

Test(attack, below_the_threshold_no_root_is_made)
{
	struct lode_trust_root root = town_root(2);
	town_key(99, root.release.keys[0]);
	refused(-EKEYREJECTED, with_root(root, BY(1), 6, 99), "6", NOW_S);
	refused(-EKEYREJECTED, with_root(root, BY(1, 99), 6, 99), "6", NOW_S);
	refused(-EKEYREJECTED, with_root(root, BY(1, 1), 6, 99), "6", NOW_S); /* counts once */
	town_key(99, root.root.keys[2]);
	town_key(98, root.root.keys[1]); /* enough for itself, not for the root before */
	refused(-EKEYREJECTED, with_root(root, BY(98, 99), 6, 99), "6", NOW_S);
	cr_expect_eq(s.root.version, 1);
}

/* Those who hold the old keys alone cannot name keys that nobody holds. */
Test(attack, a_root_that_its_own_keys_did_not_sign)
{
	struct lode_trust_root root = town_root(2);
	for (unsigned i = 0; i < 3; i++)
		town_key(31 + i, root.root.keys[i]);
	refused(-EKEYREJECTED, with_root(root, BY(1, 2), 6, 11), "6", NOW_S);
	refused(-EKEYREJECTED, with_root(root, BY(1, 2, 31), 6, 11), "6", NOW_S);
	cr_expect_eq(town_offer(&s, with_root(root, BY(1, 2, 31, 32), 6, 11), "6", NOW_S), 0, "%s",
		town_said.msg);
}

/* The envelope with its first signature twice, the second time under key_hex (NULL: under the same key). */
static char *sign_twice(const char *e, const char *key_hex)
{
	const char *list = strstr(e, "\"signatures\":[") + strlen("\"signatures\":[");
	char *one = strndup(list, (size_t)(strchr(list, '}') - list) + 1), *other = strdup(one),
	     *text;
	if (key_hex)
		memcpy(strstr(other, "\"keyid\":\"") + strlen("\"keyid\":\""), key_hex, 64);
	cr_assert_geq(asprintf(&text, "%.*s%s,%s]}", (int)(list - e), e, one, other), 0);
	free(one);
	free(other);
	return text;
}

Test(attack, one_signature_does_not_count_for_many_keys)
{
	struct lode_trust_root root = town_root(2);
	struct lode_trust_release r = town_release(6);
	char *e = town_sign_root(&root, BY(1)), hex[65] = "";
	uint8_t key[LODE_TRUST_KEY_BYTES];
	town_key(2, key);
	for (unsigned i = 0; i < sizeof(key); i++)
		snprintf(hex + 2 * i, 3, "%02x", key[i]);
	refused(-EKEYREJECTED, town_chain(sign_twice(e, NULL), NULL, town_sign_release(&r, BY(11))),
		"6", NOW_S);
	refused(-EKEYREJECTED, town_chain(sign_twice(e, hex), NULL, town_sign_release(&r, BY(11))),
		"6", NOW_S);
	free(e);
}

Test(attack, roots_do_not_go_back_and_leave_none_out)
{
	refused(-ESTALE, with_root(town_root(3), BY(1, 2), 6, 11), "6", NOW_S);
	cr_expect_eq(town_offer(&s, with_root(town_root(2), BY(1, 2), 6, 11), "6", NOW_S), 0);
	/* An older one is looked over, not taken. */
	cr_expect_eq(town_offer(&s, with_root(town_root(1), BY(1, 2), 7, 11), "7", NOW_S), 0);
	cr_expect_eq(s.root.version, 2);
}

Test(attack, a_stolen_release_key_is_taken_back)
{
	struct lode_trust_root root = town_root(2);
	town_key(13, root.release.keys[0]); /* 13 instead of the stolen 11 */
	cr_expect_eq(town_offer(&s, with_root(root, BY(2, 3), 6, 13), "6", NOW_S), 0, "%s",
		town_said.msg);
	refused(-EKEYREJECTED, signed_by(town_release(7), 11), "7", NOW_S);
}

Test(attack, fast_forward)
{
	struct lode_trust_release r = town_release(6);
	r.counter = r.floor = INT64_MAX; /* by a stolen key: nothing newer can ever come */
	cr_expect_eq(town_offer(&s, signed_by(r, 11), "6", NOW_S), 0);
	refused(-ESTALE, town_plain(7), "7", NOW_S);
	/* A root with a new epoch and without the key ends it. */
	struct lode_trust_root root = town_root(2);
	root.epoch = 1;
	town_key(13, root.release.keys[0]);
	cr_expect_eq(town_offer(&s, with_root(root, BY(1, 2), 7, 13), "7", NOW_S), 0, "%s",
		town_said.msg);
	cr_expect_eq(s.marks[0].counter, 7);
	/* And what was released before the epoch cannot come back. */
	refused(-ESTALE, signed_by(r, 12), "6", NOW_S);
	root = town_root(3);
	refused(-EBADMSG, with_root(root, BY(1, 2), 8, 12), "8", NOW_S); /* epochs only grow */
}

Test(attack, a_stolen_key_that_pushed_the_time_on_is_healed_too)
{
	struct lode_trust_release r = town_release(6);
	r.issued_s = NOW_S + 300 * DAY_S;
	r.expires_s = NOW_S + 301 * DAY_S;
	cr_expect_eq(town_offer(&s, signed_by(r, 11), "6", NOW_S), 0);
	refused(-ETIME, town_plain(7), "7", NOW_S);
	struct lode_trust_root root = town_root(2);
	root.epoch = 1;
	town_key(13, root.release.keys[0]);
	cr_expect_eq(town_offer(&s, with_root(root, BY(1, 2), 7, 13), "7", NOW_S), 0, "%s",
		town_said.msg);
}

Test(attack, lost_keys_are_replaced_while_a_threshold_is_left)
{
	struct lode_trust_root root = town_root(2);
	town_key(4, root.root.keys[0]); /* key 1 is lost: 2 and 3 name 4 in its place */
	cr_expect_eq(town_offer(&s, with_root(root, BY(2, 3), 6, 11), "6", NOW_S), 0, "%s",
		town_said.msg);
	root.version = 3;
	cr_expect_eq(town_offer(&s, with_root(root, BY(3, 4), 7, 11), "7", NOW_S), 0, "%s",
		town_said.msg);
}

Test(attack, when_the_threshold_is_lost_a_root_by_hand_starts_anew)
{
	struct lode_trust_root root = town_root(1);
	for (unsigned i = 0; i < 3; i++)
		town_key(31 + i, root.root.keys[i]);
	town_key(41, root.release.keys[0]);
	char *anchor = town_sign_root(&root, BY(31, 32)), *stored = lode_trust_state_print(&s);
	lode_trust_state_clear(&s);
	cr_assert_eq(lode_trust_begin(&s, anchor, stored, &town_said), 0, "%s", town_said.msg);
	cr_expect_eq(s.n_marks, 0);
	cr_expect_eq(town_offer(&s, signed_by(town_release(1), 41), "1", NOW_S), 0);
	refused(-EKEYREJECTED, signed_by(town_release(6), 11), "6", NOW_S);
	free(anchor);
	free(stored);
}

Test(attack, a_throwaway_root_never_follows_a_real_one)
{
	struct lode_trust_root root = town_root(2);
	root.throwaway = true;
	refused(-EBADMSG, with_root(root, BY(1, 2), 6, 11), "6", NOW_S);
}

/* ---- who holds a delegated key ---- */

static char *delegated(struct lode_trust_delegation d, struct lode_trust_release r, unsigned key)
{
	r.delegation = r.delegation ? r.delegation : d.version;
	return town_chain(NULL, town_sign_delegation(&d, BY(12)), town_sign_release(&r, BY(key)));
}

static struct lode_trust_release trained(uint64_t n)
{
	struct lode_trust_release r = town_release(n);
	r.kind = town_kind();
	return r;
}

Test(attack, a_delegated_key_outside_its_scope)
{
	struct lode_trust_delegation d = town_delegation(1);
	struct lode_trust_release r = trained(9);
	refused(-EPERM, delegated(d, r, 21), "9", NOW_S); /* counters before and behind */
	refused(-EPERM, delegated(d, trained(21), 21), "21", NOW_S);
	r = trained(12);
	snprintf(r.kind.network, sizeof(r.kind.network), "kind=mlp width=9");
	refused(-EPERM, delegated(d, r, 21), "12", NOW_S);
	r = trained(12);
	snprintf(r.kind.schema, sizeof(r.kind.schema), "loss/2");
	refused(-EPERM, delegated(d, r, 21), "12", NOW_S);
	refused(-EPERM, delegated(d, town_release(12), 21), "12", NOW_S); /* of no kind */
	refused(-EKEYREJECTED, delegated(d, trained(12), 22), "12", NOW_S);
	refused(-ETIME, delegated(d, trained(12), 21), "12", NOW_S + 8 * DAY_S);
	snprintf(d.model, sizeof(d.model), "oracle");
	refused(-EPERM, delegated(d, trained(12), 21), "12", NOW_S);
}

Test(attack, a_delegation_is_not_made_by_the_delegated)
{
	struct lode_trust_delegation d = town_delegation(1);
	struct lode_trust_release r = trained(12);
	r.delegation = 1;
	refused(-EKEYREJECTED,
		town_chain(NULL, town_sign_delegation(&d, BY(21)), town_sign_release(&r, BY(21))),
		"12", NOW_S);
	refused(-EBADMSG, town_chain(NULL, NULL, town_sign_release(&r, BY(21))), "12", NOW_S);
	r.delegation = 2; /* by another one than came */
	refused(-EPERM,
		town_chain(NULL, town_sign_delegation(&d, BY(12)), town_sign_release(&r, BY(21))),
		"12", NOW_S);
	r.delegation = 0; /* without saying so, it is no release key */
	refused(-EKEYREJECTED,
		town_chain(NULL, town_sign_delegation(&d, BY(12)), town_sign_release(&r, BY(21))),
		"12", NOW_S);
}

Test(attack, a_delegation_that_was_taken_back)
{
	struct lode_trust_delegation d = town_delegation(2);
	town_key(22, d.key);
	cr_expect_eq(
		town_offer(&s, delegated(d, trained(12), 22), "12", NOW_S), 0, "%s", town_said.msg);
	refused(-ESTALE, delegated(town_delegation(1), trained(13), 21), "13", NOW_S);
}

/* Seen is enough: the newer delegation came with a release that was refused. */
Test(attack, a_delegation_that_was_taken_back_unused)
{
	struct lode_trust_delegation d = town_delegation(2);
	town_key(22, d.key);
	refused(-EKEYREJECTED, delegated(d, trained(12), 21), "12", NOW_S);
	refused(-ESTALE, delegated(town_delegation(1), trained(12), 21), "12", NOW_S);
}
