/* SPDX-License-Identifier: BSD-3-Clause */
#include "town.h"

#include <criterion/criterion.h>

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

struct lode_trust_release town_accepted;
struct lode_err town_said;

static void seed_of(unsigned n, uint8_t seed[LODE_TRUST_KEY_BYTES])
{
	memset(seed, (int)n, LODE_TRUST_KEY_BYTES);
}

void town_key(unsigned n, uint8_t key[LODE_TRUST_KEY_BYTES])
{
	uint8_t seed[LODE_TRUST_KEY_BYTES];
	seed_of(n, seed);
	cr_assert_eq(lode_trust_public(seed, key), 0);
}

struct lode_trust_root town_root(uint64_t version)
{
	struct lode_trust_root r = {.version = version,
		.issued_s = NOW_S - DAY_S,
		.expires_s = NOW_S + 365 * DAY_S,
		.root = {.threshold = 2, .n_keys = 3},
		.release = {.threshold = 1, .n_keys = 2}};
	for (unsigned i = 0; i < 3; i++)
		town_key(1 + i, r.root.keys[i]);
	for (unsigned i = 0; i < 2; i++)
		town_key(11 + i, r.release.keys[i]);
	return r;
}

size_t town_file(uint64_t n, char text[32])
{
	return (size_t)snprintf(text, 32, "file %llu", (unsigned long long)n);
}

struct lode_trust_release town_release(uint64_t n)
{
	char text[32];
	uint8_t digest[32];
	struct lode_trust_release r = {.model = "loss",
		.counter = n,
		.floor = n - 1,
		.n_bytes = town_file(n, text),
		.issued_s = NOW_S - DAY_S,
		.expires_s = NOW_S + 30 * DAY_S};
	snprintf(r.version, sizeof(r.version), "%llu", (unsigned long long)n);
	EVP_Digest(text, r.n_bytes, digest, NULL, EVP_sha256(), NULL);
	for (unsigned i = 0; i < sizeof(digest); i++)
		snprintf(r.sha256 + 2 * i, 3, "%02x", digest[i]);
	return r;
}

struct lode_trust_kind town_kind(void)
{
	struct lode_trust_kind k = {
		.role = "loss", .schema = "loss/1", .network = "kind=mlp width=8"};
	memset(k.schema_sha256, 'a', LODE_TRUST_HEX - 1);
	return k;
}

struct lode_trust_delegation town_delegation(uint64_t version)
{
	struct lode_trust_delegation d = {.model = "loss",
		.version = version,
		.counter_first = 10,
		.counter_last = 20,
		.issued_s = NOW_S - DAY_S,
		.expires_s = NOW_S + 7 * DAY_S,
		.kind = town_kind()};
	town_key(21, d.key);
	return d;
}

static char *sign(char *envelope, const unsigned *keys)
{
	for (; *keys; keys++) {
		uint8_t seed[LODE_TRUST_KEY_BYTES];
		seed_of(*keys, seed);
		cr_assert_eq(lode_trust_sign(&envelope, seed, &town_said), 0, "%s", town_said.msg);
	}
	return envelope;
}

char *town_sign_root(const struct lode_trust_root *root, const unsigned *keys)
{
	char *e;
	cr_assert_eq(lode_trust_root_make(root, &e, &town_said), 0, "%s", town_said.msg);
	return sign(e, keys);
}

char *town_sign_release(const struct lode_trust_release *release, const unsigned *keys)
{
	char *e;
	cr_assert_eq(lode_trust_release_make(release, &e, &town_said), 0, "%s", town_said.msg);
	return sign(e, keys);
}

char *town_sign_delegation(const struct lode_trust_delegation *d, const unsigned *keys)
{
	char *e;
	cr_assert_eq(lode_trust_delegation_make(d, &e, &town_said), 0, "%s", town_said.msg);
	return sign(e, keys);
}

char *town_chain(char *root, char *delegation, char *release)
{
	char *chain;
	const char *roots[] = {root};
	cr_assert_eq(
		lode_trust_chain_make(roots, root != NULL, delegation, release, &chain, &town_said),
		0, "%s", town_said.msg);
	free(root);
	free(delegation);
	free(release);
	return chain;
}

char *town_plain(uint64_t n)
{
	struct lode_trust_release r = town_release(n);
	return town_chain(NULL, NULL, town_sign_release(&r, BY(11)));
}

struct lode_trust_state town_appliance(void)
{
	struct lode_trust_state s;
	struct lode_trust_root root = town_root(1);
	char *anchor = town_sign_root(&root, BY(1, 2));
	cr_assert_eq(lode_trust_begin(&s, anchor, NULL, &town_said), 0, "%s", town_said.msg);
	free(anchor);
	return s;
}

int town_offer(struct lode_trust_state *s, char *chain, const char *version, int64_t now_s)
{
	struct lode_trust_state next;
	int rc = lode_trust_judge(
		s, chain, strlen(chain), "loss", version, now_s, &next, &town_accepted, &town_said);
	free(chain);
	lode_trust_state_clear(s);
	*s = next;
	return rc;
}
