/* SPDX-License-Identifier: BSD-3-Clause */
/* DSSE 1.0: a signature is over type and exact bytes of the payload, so nothing has to be written twice the
 * same way and no document passes for one of another type. */
#include "trust.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#define SIGNATURE_BYTES 64
#define SIGNATURES_MAX	32 /* looked at in one envelope */
#define KEY_HEX		(2 * LODE_TRUST_KEY_BYTES + 1)

static const struct {
	const char *name, *type;
} kinds[] = {
	[DOC_ROOT] = {"root", "application/vnd.lodestone.root+json"},
	[DOC_DELEGATION] = {"delegation", "application/vnd.lodestone.delegation+json"},
	[DOC_RELEASE] = {"release", "application/vnd.lodestone.release+json"},
};

const char *document_name(enum document kind)
{
	return kinds[kind].name;
}

/* ---- base64 ---- */

static json_t *to_base64(const void *bytes, size_t len)
{
	char *text = malloc(4 * (len / 3 + 1) + 1);
	if (!text)
		return NULL;
	EVP_EncodeBlock((uint8_t *)text, bytes, (int)len);
	json_t *v = json_string(text);
	free(text);
	return v;
}

/* malloc; NULL: no base64, or more than max bytes. */
static uint8_t *from_base64(const json_t *v, size_t max, size_t *len)
{
	const char *text = json_string_value(v);
	size_t n = text ? strlen(text) : 0;
	if (!n || n % 4 || n / 4 * 3 > max + 2)
		return NULL;
	uint8_t *bytes = malloc(n / 4 * 3);
	int got = bytes ? EVP_DecodeBlock(bytes, (const uint8_t *)text, (int)n) : -1;
	unsigned padding = (text[n - 1] == '=') + (text[n - 2] == '=');
	if (got < (int)padding || (size_t)got - padding > max) {
		free(bytes);
		return NULL;
	}
	*len = (size_t)got - padding;
	return bytes;
}

/* ---- what is signed ---- */

struct signed_bytes {
	uint8_t *bytes; /* pre-authentication encoding: "DSSEv1 LEN TYPE LEN PAYLOAD" */
	size_t len, payload_at;
};

static int open_envelope(
	struct signed_bytes *s, const json_t *envelope, enum document kind, struct lode_err *err)
{
	const char *type = json_string_value(json_object_get(envelope, "payloadType"));
	*s = (struct signed_bytes){0};
	if (!type || strcmp(type, kinds[kind].type) != 0)
		return lode_err_set(err, -EBADMSG,
			"%s: an envelope of type %s is expected, \"%.80s\" came", kinds[kind].name,
			kinds[kind].type, type ? type : "nothing");
	size_t len;
	uint8_t *payload =
		from_base64(json_object_get(envelope, "payload"), LODE_TRUST_DOC_MAX, &len);
	if (!payload)
		return lode_err_set(err, -EBADMSG,
			"%s: 'payload': base64 of up to %u bytes is expected", kinds[kind].name,
			LODE_TRUST_DOC_MAX);
	char head[160];
	s->payload_at =
		(size_t)snprintf(head, sizeof(head), "DSSEv1 %zu %s %zu ", strlen(type), type, len);
	s->len = s->payload_at + len;
	s->bytes = malloc(s->len);
	if (s->bytes) {
		memcpy(s->bytes, head, s->payload_at);
		memcpy(s->bytes + s->payload_at, payload, len);
	}
	free(payload);
	return s->bytes ? 0 : lode_err_set(err, -ENOMEM, "no memory for a %s", kinds[kind].name);
}

json_t *envelope_payload(const json_t *envelope, enum document kind, struct lode_err *err)
{
	struct signed_bytes s;
	if (open_envelope(&s, envelope, kind, err))
		return NULL;
	json_t *doc = parse_object((const char *)s.bytes + s.payload_at, s.len - s.payload_at,
		LODE_TRUST_DOC_MAX, kinds[kind].name, err);
	free(s.bytes);
	return doc;
}

/* ---- signatures ---- */

static bool signature_holds(const struct signed_bytes *s, const uint8_t key[LODE_TRUST_KEY_BYTES],
	const uint8_t *signature)
{
	EVP_PKEY *k =
		EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key, LODE_TRUST_KEY_BYTES);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = k && ctx && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, k) == 1 &&
		  EVP_DigestVerify(ctx, signature, SIGNATURE_BYTES, s->bytes, s->len) == 1;
	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(k);
	return ok;
}

/* Index of the role's key that the signature names, or -1. */
static int find_key(const struct lode_trust_role *role, const json_t *signature)
{
	const char *id = json_string_value(json_object_get(signature, "keyid"));
	uint8_t key[LODE_TRUST_KEY_BYTES];
	if (!id || bytes_from_hex(key, sizeof(key), id))
		return -1;
	for (unsigned i = 0; i < role->n_keys; i++)
		if (!memcmp(role->keys[i], key, sizeof(key)))
			return (int)i;
	return -1;
}

int envelope_check(const json_t *envelope, enum document kind, const struct lode_trust_role *role,
	const char *who, struct lode_err *err)
{
	struct signed_bytes s;
	const json_t *signature;
	uint32_t signers = 0; /* a bit per key: a key counts once, however often it signed */
	size_t i;
	int rc = open_envelope(&s, envelope, kind, err);
	json_array_foreach(rc ? NULL : json_object_get(envelope, "signatures"), i, signature)
	{
		size_t len = 0;
		int key = i < SIGNATURES_MAX ? find_key(role, signature) : -1;
		uint8_t *bytes = key < 0 ? NULL
					 : from_base64(json_object_get(signature, "sig"),
						   SIGNATURE_BYTES, &len);
		if (bytes && len == SIGNATURE_BYTES && signature_holds(&s, role->keys[key], bytes))
			signers |= 1u << key;
		free(bytes);
	}
	free(s.bytes);
	unsigned n = (unsigned)__builtin_popcount(signers);
	if (!rc && (n < role->threshold || !role->threshold))
		rc = lode_err_set(err, -EKEYREJECTED, "%s: %u of %u needed signatures of %s hold",
			kinds[kind].name, n, role->threshold, who);
	return rc;
}

/* ---- making ---- */

int envelope_make(json_t *payload, enum document kind, char **envelope, struct lode_err *err)
{
	char *text = payload ? json_dumps(payload, JSON_COMPACT) : NULL;
	json_t *e = text ? json_pack("{s:s,s:o,s:[]}", "payloadType", kinds[kind].type, "payload",
				   to_base64(text, strlen(text)), "signatures")
			 : NULL;
	*envelope = e ? json_dumps(e, JSON_COMPACT) : NULL;
	json_decref(payload);
	json_decref(e);
	free(text);
	return *envelope ? 0 : lode_err_set(err, -ENOMEM, "no memory for a %s", kinds[kind].name);
}

static EVP_PKEY *private_key(const uint8_t seed[LODE_TRUST_KEY_BYTES])
{
	return EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, LODE_TRUST_KEY_BYTES);
}

int lode_trust_public(const uint8_t seed[LODE_TRUST_KEY_BYTES], uint8_t key[LODE_TRUST_KEY_BYTES])
{
	size_t len = LODE_TRUST_KEY_BYTES;
	EVP_PKEY *k = private_key(seed);
	bool ok = k && EVP_PKEY_get_raw_public_key(k, key, &len) == 1;
	EVP_PKEY_free(k);
	return ok ? 0 : -ENOMEM;
}

static int make_signature(const struct signed_bytes *s, const uint8_t seed[LODE_TRUST_KEY_BYTES],
	uint8_t signature[SIGNATURE_BYTES])
{
	size_t len = SIGNATURE_BYTES;
	EVP_PKEY *k = private_key(seed);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = k && ctx && EVP_DigestSignInit(ctx, NULL, NULL, NULL, k) == 1 &&
		  EVP_DigestSign(ctx, signature, &len, s->bytes, s->len) == 1;
	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(k);
	return ok ? 0 : -ENOMEM;
}

static int kind_of(const json_t *envelope, enum document *kind, struct lode_err *err)
{
	const char *type = json_string_value(json_object_get(envelope, "payloadType"));
	for (unsigned i = 0; type && i < LODE_ARRAY_LEN(kinds); i++)
		if (!strcmp(type, kinds[i].type)) {
			*kind = (enum document)i;
			return 0;
		}
	return lode_err_set(
		err, -EBADMSG, "an envelope of a root, delegation or release is expected");
}

/* Replaces the key's earlier signature, if there is one. */
static int add_signature(json_t *envelope, const char *key_hex, const uint8_t *signature)
{
	json_t *all = json_object_get(envelope, "signatures"), *one;
	size_t i;
	json_array_foreach(all, i, one)
	{
		const char *id = json_string_value(json_object_get(one, "keyid"));
		if (id && !strcmp(id, key_hex)) {
			json_array_remove(all, i);
			break;
		}
	}
	return json_array_append_new(all, json_pack("{s:s,s:o}", "keyid", key_hex, "sig",
						  to_base64(signature, SIGNATURE_BYTES)))
		       ? -EBADMSG
		       : 0;
}

int lode_trust_sign(char **envelope, const uint8_t seed[LODE_TRUST_KEY_BYTES], struct lode_err *err)
{
	uint8_t key[LODE_TRUST_KEY_BYTES], signature[SIGNATURE_BYTES];
	char hex[KEY_HEX];
	enum document kind = DOC_ROOT;
	struct signed_bytes s = {0};
	json_t *e =
		parse_object(*envelope, strlen(*envelope), LODE_TRUST_CHAIN_MAX, "envelope", err);
	if (!e)
		return err->code;
	int rc = kind_of(e, &kind, err);
	if (!rc)
		rc = open_envelope(&s, e, kind, err);
	if (!rc && (lode_trust_public(seed, key) || make_signature(&s, seed, signature)))
		rc = lode_err_set(err, -ENOMEM, "OpenSSL does not sign");
	if (!rc) {
		lode_hex(key, sizeof(key), hex);
		rc = add_signature(e, hex, signature);
		if (rc)
			lode_err_set(err, rc, "%s: 'signatures' is no list", kinds[kind].name);
	}
	char *text = rc ? NULL : json_dumps(e, JSON_COMPACT);
	if (text) {
		free(*envelope);
		*envelope = text;
	}
	free(s.bytes);
	json_decref(e);
	return rc || text ? rc : lode_err_set(err, -ENOMEM, "no memory for a signature");
}
