/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files of this room offer each other. */
#pragma once

#include "lode_trust.h"

#include <jansson.h>

enum document { DOC_ROOT, DOC_DELEGATION, DOC_RELEASE };

/* ---- envelope.c: DSSE ---- */

/* The payload of an envelope of that document, as JSON, unverified: an object, or NULL with the error set. */
json_t *envelope_payload(const json_t *envelope, enum document kind, struct lode_err *err);
/* 0 when at least a threshold of the role's keys signed it. */
int envelope_check(const json_t *envelope, enum document kind, const struct lode_trust_role *role,
	const char *who, struct lode_err *err);
int envelope_make(json_t *payload, enum document kind, char **envelope, struct lode_err *err);
const char *document_name(enum document kind);

/* ---- documents.c: payloads to structs and back ---- */

int root_from(struct lode_trust_root *root, const json_t *doc, struct lode_err *err);
int delegation_from(struct lode_trust_delegation *d, const json_t *doc, struct lode_err *err);
int release_from(struct lode_trust_release *r, const json_t *doc, struct lode_err *err);

/* ---- fields.c: members of JSON objects, checked ---- */

/* Each returns 0 or -EBADMSG with the member's name. Texts are plain: no control characters. */
int take_text(char *to, size_t size, const json_t *obj, const char *key, struct lode_err *err);
/* A name of a model or version: [A-Za-z0-9._+-], no leading dot. */
int take_name(char *to, const json_t *obj, const char *key, struct lode_err *err);
/* 64 lower-case hex digits. */
int take_sha256(char *to, const json_t *obj, const char *key, struct lode_err *err);
int take_number(
	uint64_t *to, const json_t *obj, const char *key, uint64_t min, struct lode_err *err);
int take_time(int64_t *to, const json_t *obj, const char *key, struct lode_err *err);
bool name_sound(const char *name);
bool text_sound(const char *text);
int bytes_from_hex(uint8_t *bytes, size_t n, const char *hex);
/* An object or NULL with the error set. */
json_t *parse_object(
	const char *text, size_t len, size_t max, const char *what, struct lode_err *err);
