/* SPDX-License-Identifier: BSD-3-Clause */
/* delivery/trust: who may say what an appliance runs. Servers, relays and files are only carriers: what counts is
 * a chain of signed documents that starts at a root the appliance was given by hand.
 *
 *   root        names the keys that may sign the next root and those that may sign releases, each with a
 *               threshold; carries a version and an expiry. Root N + 1 needs a threshold of the keys of N and of
 *               its own (the update framework's rules, TUF 1.0 5.3, as Uptane takes them over).
 *   release     "this model, this version is the file with this SHA-256", signed by a threshold of the release
 *               keys, with a counter that grows per model, the lowest counter that may still be gone back to, and
 *               an expiry.
 *   delegation  lets one further key sign releases of one model: for weights of one role, schema and network
 *               only, counters in a given range only, until an expiry.
 *
 * Each document travels in an envelope of exact bytes (DSSE 1.0, Ed25519 after RFC 8032). Pure: the time and
 * what was accepted before are parameters, nothing here reads a clock or a file. Any thread; an object belongs
 * to one. Times are seconds since 1970 (`_s`). Actions return 0 or -errno with a sentence:
 * -EBADMSG no sound document, -EKEYREJECTED signatures, -ETIME expired, -ESTALE older than what was
 * accepted, -EPERM another model or weights of another kind than allowed, -ENOMEM. */
#pragma once

#include "lode_base.h"

#define LODE_TRUST_KEY_BYTES  32
#define LODE_TRUST_KEYS_MAX   16
#define LODE_TRUST_NAME_MAX   129 /* bytes with the NUL: models and versions, as in delivery/store */
#define LODE_TRUST_DOC_MAX    (64u << 10)  /* bytes of one document */
#define LODE_TRUST_CHAIN_MAX  (256u << 10) /* bytes of a chain's text */
#define LODE_TRUST_ROOTS_MAX  64	   /* in one chain */
#define LODE_TRUST_MODELS_MAX 64	   /* that an appliance remembers */
#define LODE_TRUST_HEX	      65	   /* hex SHA-256 with the NUL */

/* ---- documents ---- */

struct lode_trust_role {
	unsigned threshold, n_keys; /* 1 <= threshold <= n_keys; keys differ */
	uint8_t keys[LODE_TRUST_KEYS_MAX][LODE_TRUST_KEY_BYTES];
};

struct lode_trust_root {
	uint64_t version; /* 1, 2, ... */
	int64_t issued_s, expires_s;
	/* Release counters are compared within an epoch, and releases of an earlier one are refused: a root with a
	 * higher epoch ends what a stolen key did to the counters (fast-forward). */
	uint64_t epoch;
	bool throwaway; /* of a manager on trial: an appliance that was given another root never takes it */
	struct lode_trust_role root, release;
};

/* What weights are for, as their file says; "": the file does not say. */
struct lode_trust_kind {
	char role[16], schema[64], schema_sha256[LODE_TRUST_HEX];
	char network[560]; /* description of the network; of two, "actor ...; critic ..." */
};

struct lode_trust_release {
	char model[LODE_TRUST_NAME_MAX], version[LODE_TRUST_NAME_MAX];
	uint64_t epoch, counter; /* counter: 1, 2, ... per model */
	uint64_t floor; /* lowest counter an appliance may go back to afterwards; <= counter */
	char sha256[LODE_TRUST_HEX];
	uint64_t n_bytes;
	int64_t issued_s, expires_s;
	struct lode_trust_kind kind;
	uint64_t
		delegation; /* version of the delegation it was signed under; 0: by the release keys */
};

struct lode_trust_delegation {
	char model[LODE_TRUST_NAME_MAX];
	uint64_t version; /* a newer one takes back the older ones of the model */
	uint64_t epoch, counter_first, counter_last;
	int64_t issued_s, expires_s;
	struct lode_trust_kind kind; /* every member is given */
	uint8_t key[LODE_TRUST_KEY_BYTES];
};

/* ---- what an appliance remembers ---- */

struct lode_trust_mark {
	char model[LODE_TRUST_NAME_MAX];
	uint64_t epoch, counter, floor; /* counter: highest accepted */
	uint64_t delegation;		/* newest seen */
	char sha256[LODE_TRUST_HEX];	/* of the file of that counter */
	int64_t expires_s;		/* of the release accepted last; 0: none yet */
};

struct lode_trust_state {
	char *root_text; /* envelope; NULL: nothing is trusted */
	struct lode_trust_root root;
	char anchor_sha256[LODE_TRUST_HEX]; /* of the root given by hand that this goes back to */
	int64_t newest_s; /* newest time that a signature vouched for: the clock cannot be before */
	unsigned n_marks;
	struct lode_trust_mark marks[LODE_TRUST_MODELS_MAX];
};

/* Begins at a root given by hand, an envelope, expired or not; stored: what lode_trust_state_print once made, or
 * NULL. What is stored is taken if it began at that root or has got as far as to it, else all starts anew: another
 * root by hand is the way back after keys were lost. state is filled by 0 only; clear it in the end. */
int lode_trust_begin(struct lode_trust_state *state, const char *anchor, const char *stored,
	struct lode_err *err);
/* JSON text, free() it; NULL without memory. */
char *lode_trust_state_print(const struct lode_trust_state *state);
void lode_trust_state_clear(struct lode_trust_state *state);

/* ---- judging ---- */

/* Judges a chain: {"roots": [envelope...], "delegation": envelope, "release": envelope}, roots (may be missing) from
 * any version on, up to the newest. model and version: what was asked for; NULL: whichever is released.
 * *next is what to remember once the release is in use. It is made on refusal too, with what was learned: newer
 * roots hold whatever else is wrong. Only -ENOMEM leaves *next empty. Clear *next in the end. */
int lode_trust_judge(const struct lode_trust_state *state, const char *chain, size_t len,
	const char *model, const char *version, int64_t now_s, struct lode_trust_state *next,
	struct lode_trust_release *release, struct lode_err *err);
/* What is remembered of a model; NULL: nothing. */
const struct lode_trust_mark *lode_trust_mark(
	const struct lode_trust_state *state, const char *model);
/* Does the file have the hash, the length and the kind that the release says? */
int lode_trust_check_file(const struct lode_trust_release *release, const void *bytes, size_t len,
	struct lode_err *err);
int lode_trust_sha256(const void *bytes, size_t len, char hex[LODE_TRUST_HEX]);
/* The kind a model file says it is; members stay "" when it is no model file of ours. */
void lode_trust_kind_of(const void *bytes, size_t len, struct lode_trust_kind *kind);

/* Reads without asking who signed: for showing, and for offline tools. -EBADMSG. */
int lode_trust_root_read(
	const char *envelope, size_t len, struct lode_trust_root *root, struct lode_err *err);
int lode_trust_delegation_read(const char *envelope, size_t len,
	struct lode_trust_delegation *delegation, struct lode_err *err);
int lode_trust_release_read(
	const char *chain, size_t len, struct lode_trust_release *release, struct lode_err *err);

/* ---- signing, offline ---- */

/* seed: the private key, 32 random bytes (RFC 8032 5.1.5). */
int lode_trust_public(const uint8_t seed[LODE_TRUST_KEY_BYTES], uint8_t key[LODE_TRUST_KEY_BYTES]);

/* Envelopes without a signature; free() them. -EINVAL: a member is out of its range. */
int lode_trust_root_make(const struct lode_trust_root *root, char **envelope, struct lode_err *err);
int lode_trust_release_make(
	const struct lode_trust_release *release, char **envelope, struct lode_err *err);
int lode_trust_delegation_make(
	const struct lode_trust_delegation *delegation, char **envelope, struct lode_err *err);
/* Adds a signature to any envelope, *envelope is replaced; signing twice with a key is no error. */
int lode_trust_sign(
	char **envelope, const uint8_t seed[LODE_TRUST_KEY_BYTES], struct lode_err *err);
/* A chain of envelopes; roots in order, delegation may be NULL. */
int lode_trust_chain_make(const char *const *roots, unsigned n_roots, const char *delegation,
	const char *release, char **chain, struct lode_err *err);

/* ---- bundles: releases with their files, for sites without a network ---- */

/* "LODEBNDL", version and length of the index (u32 BE each), index (JSON), then the files in its order. */
#define LODE_TRUST_BUNDLE_FILES_MAX 64
#define LODE_TRUST_BUNDLE_INDEX_MAX (4u << 20) /* bytes */

struct lode_trust_bundle_file {
	char *chain; /* text */
	uint64_t offset_bytes, n_bytes;
};
struct lode_trust_bundle {
	unsigned n_files;
	struct lode_trust_bundle_file files[LODE_TRUST_BUNDLE_FILES_MAX];
};
/* bytes: the whole file. Nothing of it is trusted yet: judge each chain. Clear the bundle in the end, whatever
 * is returned. */
int lode_trust_bundle_read(
	struct lode_trust_bundle *bundle, const void *bytes, size_t len, struct lode_err *err);
/* What stands before the files. files[].chain and n_bytes are given. free() *head. */
int lode_trust_bundle_head(
	const struct lode_trust_bundle *bundle, uint8_t **head, size_t *len, struct lode_err *err);
void lode_trust_bundle_clear(struct lode_trust_bundle *bundle);
