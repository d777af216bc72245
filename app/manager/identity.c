/* SPDX-License-Identifier: BSD-3-Clause */
#include "identity.h"

#include "lode_ca.h"

#include <curl/curl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define REPLY_MAX_BYTES 65536
#define TIMEOUT_S	60L

void identity_path(const char *dir, const char *name, char path[512])
{
	snprintf(path, 512, "%s/%s", dir, name);
}

struct reply {
	char text[REPLY_MAX_BYTES + 1];
	size_t len;
};

static size_t on_data(char *bytes, size_t size, size_t n, void *ctx)
{
	struct reply *r = ctx;
	if (r->len + size * n > REPLY_MAX_BYTES)
		return 0;
	memcpy(r->text + r->len, bytes, size * n);
	r->len += size * n;
	return size * n;
}

/* How much of the other side is believed. */
enum trust { TRUST_NOBODY_YET, TRUST_CA, TRUST_CA_AND_SHOW_OURS };

static void set_trust(CURL *curl, const char *dir, enum trust trust)
{
	char path[512];
	curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_3);
	if (trust == TRUST_NOBODY_YET) {
		curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
		curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
		return;
	}
	identity_path(dir, "ca.pem", path);
	curl_easy_setopt(curl, CURLOPT_CAINFO, path);
	if (trust != TRUST_CA_AND_SHOW_OURS)
		return;
	identity_path(dir, IDENTITY_FILE, path);
	curl_easy_setopt(curl, CURLOPT_SSLCERT, path);
	curl_easy_setopt(curl, CURLOPT_SSLKEY, path);
}

static json_t *parse_reply(
	CURLcode code, long status, struct reply *r, const char *url, struct lode_err *err)
{
	json_t *v =
		code == CURLE_OK ? json_loadb(r->text, r->len, JSON_REJECT_DUPLICATES, NULL) : NULL;
	const char *why =
		json_string_value(json_object_get(json_object_get(v, "error"), "message"));
	if (code != CURLE_OK)
		lode_err_set(err, -ENOTCONN, "%s: %s", url, curl_easy_strerror(code));
	else if (status >= 400)
		lode_err_set(err, -EACCES, "%s: the manager answers %ld: %s", url, status,
			why ? why : "");
	else if (json_is_object(v))
		return v;
	else
		lode_err_set(err, -EPROTO, "%s: the answer is no JSON object", url);
	json_decref(v);
	return NULL;
}

/* The answer's object, or NULL with the error set. body: taken over; NULL: GET. */
static json_t *call(const char *base, const char *path, json_t *body, const char *dir,
	enum trust trust, struct lode_err *err)
{
	char url[1024];
	long status = 0;
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	struct reply *r = calloc(1, sizeof(*r));
	CURL *curl = r ? curl_easy_init() : NULL;
	json_t *v = NULL;
	json_decref(body);
	snprintf(url, sizeof(url), "%s/api/v2%s", base, path);
	if (curl) {
		struct curl_slist *headers =
			curl_slist_append(NULL, "Content-Type: application/json");
		curl_easy_setopt(curl, CURLOPT_URL, url);
		curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https");
		curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
		curl_easy_setopt(curl, CURLOPT_TIMEOUT, TIMEOUT_S);
		curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
		curl_easy_setopt(curl, CURLOPT_WRITEDATA, r);
		curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
		if (text)
			curl_easy_setopt(curl, CURLOPT_POSTFIELDS, text);
		set_trust(curl, dir, trust);
		CURLcode code = curl_easy_perform(curl);
		curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
		v = parse_reply(code, status, r, url, err);
		curl_slist_free_all(headers);
	} else {
		lode_err_set(err, -ENOMEM, "libcurl does not start");
	}
	curl_easy_cleanup(curl);
	free(text);
	free(r);
	return v;
}

/* The authority comes from somebody unknown, and is believed because the token names its fingerprint. */
static int learn_ca(const char *url, const char *sha256, const char *dir, struct lode_err *err)
{
	char found[LODE_CA_SHA256_HEX];
	json_t *v = call(url, "/ca", NULL, dir, TRUST_NOBODY_YET, err);
	const char *pem = json_string_value(json_object_get(v, "certificate"));
	int rc = !v ? err->code : lode_ca_fingerprint(pem, found, err);
	if (!rc && strcmp(found, sha256) != 0)
		rc = lode_err_set(err, -EBADMSG,
			"%s shows an authority with the fingerprint %s, the token names %s", url,
			found, sha256);
	if (!rc)
		rc = lode_ca_write_file(dir, "ca.pem", 0644, pem, err);
	json_decref(v);
	return rc;
}

/* Keeps a certificate that belongs to the key and to the authority known here; in one file with the key, so that a cut
 * leaves the old pair or the new one. */
static int keep(const char *dir, const char *key, const json_t *reply, struct lode_err *err)
{
	const char *cert = json_string_value(json_object_get(reply, "certificate"));
	char *ca = NULL, *both = NULL;
	int rc = lode_ca_read_file(dir, "ca.pem", &ca, err);
	if (!rc)
		rc = lode_ca_check(cert, key, ca, err);
	if (!rc && asprintf(&both, "%s%s", key, cert) < 0)
		rc = lode_err_set(err, -ENOMEM, "no memory for a certificate");
	if (!rc) {
		rc = lode_ca_write_file(dir, IDENTITY_FILE, 0600, both, err);
		explicit_bzero(both, strlen(both));
		free(both);
	}
	free(ca);
	return rc;
}

/* A key and a request are made, the request is sent, what comes back is kept. token: NULL to renew. */
static int obtain(
	const char *url, const char *name, const char *token, const char *dir, struct lode_err *err)
{
	char *key, *request;
	int rc = lode_ca_request(name, &key, &request, err);
	if (rc)
		return rc;
	json_t *body = json_pack("{s:s,s:s?}", "csr", request, "token", token);
	json_t *reply = call(url, token ? "/enrol" : "/renew", body, dir,
		token ? TRUST_CA : TRUST_CA_AND_SHOW_OURS, err);
	rc = reply ? keep(dir, key, reply, err) : err->code;
	json_decref(reply);
	explicit_bzero(key, strlen(key));
	free(key);
	free(request);
	return rc;
}

int identity_enroll(
	const char *url, const char *name, const char *token, const char *dir, struct lode_err *err)
{
	const char *sha256 = strchr(token, '.');
	if (!sha256 || strlen(sha256 + 1) != LODE_CA_SHA256_HEX - 1)
		return lode_err_set(err, -EINVAL,
			"a token is SECRET.FINGERPRINT, as `lodectl device enrol` prints it");
	if (mkdir(dir, 0700) && errno != EEXIST)
		return lode_err_set(err, -errno, "%s: %s", dir, strerror(errno));
	int rc = learn_ca(url, sha256 + 1, dir, err);
	return rc ? rc : obtain(url, name, token, dir, err);
}

int identity_renew(
	const char *url, const char *dir, int64_t now_ms, bool *renewed, struct lode_err *err)
{
	char *both;
	int64_t from, to;
	*renewed = false;
	int rc = lode_ca_read_file(dir, IDENTITY_FILE, &both, err);
	if (rc)
		return rc;
	rc = lode_ca_lifetime(both, &from, &to, err);
	explicit_bzero(both, strlen(both));
	free(both);
	if (rc || now_ms < to - (to - from) / 3)
		return rc;
	rc = obtain(url, "renewed", NULL, dir, err);
	*renewed = rc == 0;
	return rc;
}
