/* SPDX-License-Identifier: BSD-3-Clause */
/* Keys, roots, releases and an appliance, for tests. Key n has a seed of bytes n. */
#pragma once

#include "lode_trust.h"

#define NOW_S 1800000000
#define DAY_S (24 * 3600)

/* Keys 1, 2, 3 may sign roots (two of them), keys 11 and 12 releases (one of them). */
struct lode_trust_root town_root(uint64_t version);
/* Of the file "file N": counter n, floor n - 1, version "n". */
struct lode_trust_release town_release(uint64_t n);
struct lode_trust_delegation town_delegation(uint64_t version); /* to key 21 */
struct lode_trust_kind town_kind(void);
size_t town_file(uint64_t n, char text[32]);

void town_key(unsigned n, uint8_t key[LODE_TRUST_KEY_BYTES]);
/* Envelopes signed by the keys, 0 ends; free() them. */
char *town_sign_root(const struct lode_trust_root *root, const unsigned *keys);
char *town_sign_release(const struct lode_trust_release *release, const unsigned *keys);
char *town_sign_delegation(const struct lode_trust_delegation *d, const unsigned *keys);
#define BY(...) ((const unsigned[]){__VA_ARGS__, 0})

/* A chain of what is given; roots may be NULL, each argument is freed. */
char *town_chain(char *root, char *delegation, char *release);
/* The ordinary release n by key 11. */
char *town_plain(uint64_t n);

/* An appliance that trusts town_root(1). */
struct lode_trust_state town_appliance(void);
/* Judges and, when accepted, keeps; the chain is freed. */
int town_offer(struct lode_trust_state *s, char *chain, const char *version, int64_t now_s);
extern struct lode_trust_release town_accepted; /* by the last offer */
extern struct lode_err town_said;
