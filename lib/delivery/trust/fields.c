/* SPDX-License-Identifier: BSD-3-Clause */
#include "trust.h"

#include <openssl/evp.h>
#include <stdio.h>

static int refuse(struct lode_err *err, const char *key, const char *allowed)
{
	return lode_err_set(err, -EBADMSG, "'%s': %s is expected", key, allowed);
}

bool text_sound(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || (unsigned char)*text >= 0x7f)
			return false;
	return true;
}

bool name_sound(const char *name)
{
	static const char allowed[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._+-";
	size_t len = strspn(name, allowed);
	return len && len < LODE_TRUST_NAME_MAX && !name[len] && *name != '.';
}

int take_text(char *to, size_t size, const json_t *obj, const char *key, struct lode_err *err)
{
	const char *s = json_string_value(json_object_get(obj, key));
	if (!s || strlen(s) >= size || !text_sound(s))
		return lode_err_set(err, -EBADMSG,
			"'%s': a text of up to %zu plain characters is expected", key, size - 1);
	memcpy(to, s, strlen(s) + 1);
	return 0;
}

int take_name(char *to, const json_t *obj, const char *key, struct lode_err *err)
{
	const char *s = json_string_value(json_object_get(obj, key));
	if (!s || !name_sound(s))
		return refuse(err, key, "a name of 1 to 128 of A-Z a-z 0-9 . _ + -");
	memcpy(to, s, strlen(s) + 1);
	return 0;
}

int take_sha256(char *to, const json_t *obj, const char *key, struct lode_err *err)
{
	const char *s = json_string_value(json_object_get(obj, key));
	uint8_t ignored[32];
	if (!s || bytes_from_hex(ignored, sizeof(ignored), s))
		return refuse(err, key, "a SHA-256 of 64 lower-case hex digits");
	memcpy(to, s, LODE_TRUST_HEX);
	return 0;
}

int take_number(
	uint64_t *to, const json_t *obj, const char *key, uint64_t min, struct lode_err *err)
{
	const json_t *v = json_object_get(obj, key);
	if (!json_is_integer(v) || json_integer_value(v) < (json_int_t)min)
		return lode_err_set(err, -EBADMSG, "'%s': a number from %llu on is expected", key,
			(unsigned long long)min);
	*to = (uint64_t)json_integer_value(v);
	return 0;
}

int take_time(int64_t *to, const json_t *obj, const char *key, struct lode_err *err)
{
	uint64_t v;
	int rc = take_number(&v, obj, key, 0, err);
	*to = rc ? 0 : (int64_t)v;
	return rc;
}

static int digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int bytes_from_hex(uint8_t *bytes, size_t n, const char *hex)
{
	if (strlen(hex) != 2 * n)
		return -EBADMSG;
	for (size_t i = 0; i < n; i++) {
		int high = digit(hex[2 * i]), low = digit(hex[2 * i + 1]);
		if (high < 0 || low < 0)
			return -EBADMSG;
		bytes[i] = (uint8_t)(high << 4 | low);
	}
	return 0;
}

json_t *parse_object(
	const char *text, size_t len, size_t max, const char *what, struct lode_err *err)
{
	json_error_t where = {0};
	json_t *v = len <= max ? json_loadb(text, len, JSON_REJECT_DUPLICATES, &where) : NULL;
	if (json_is_object(v))
		return v;
	json_decref(v);
	if (len > max)
		lode_err_set(
			err, -EBADMSG, "%s: %zu bytes, up to %zu are expected", what, len, max);
	else
		lode_err_set(err, -EBADMSG, "%s: no JSON object: %s", what, where.text);
	return NULL;
}

int lode_trust_sha256(const void *bytes, size_t len, char hex[LODE_TRUST_HEX])
{
	uint8_t digest[32];
	if (EVP_Digest(bytes, len, digest, NULL, EVP_sha256(), NULL) != 1)
		return -ENOMEM;
	lode_hex(digest, sizeof(digest), hex);
	return 0;
}
