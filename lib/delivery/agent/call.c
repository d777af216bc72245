/* SPDX-License-Identifier: BSD-3-Clause */
/* Small JSON calls to the manager, with libcurl. */
#include "agent.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REPLY_MAX_BYTES	  (256 * 1024)
#define CONNECT_TIMEOUT_S 15
#define CALL_TIMEOUT_S	  60

struct reply {
	char *body;
	size_t len;
	int error; /* -errno of keeping it */
};

static size_t on_data(char *bytes, size_t size, size_t n, void *ctx)
{
	struct reply *r = ctx;
	size_t len = size * n;
	char *body = r->len + len > REPLY_MAX_BYTES ? NULL : realloc(r->body, r->len + len + 1);
	if (!body) {
		r->error = r->len + len > REPLY_MAX_BYTES ? -EMSGSIZE : -ENOMEM;
		return 0;
	}
	memcpy(body + r->len, bytes, len);
	r->body = body;
	r->len += len;
	body[r->len] = 0;
	return len;
}

static void set_request(struct lode_agent *a, struct reply *r, const char *path)
{
	const struct lode_agent_options *o = &a->options;
	char url[2048];
	snprintf(url, sizeof(url), "%s%s", o->control_plane, path);
	curl_easy_reset(a->curl);
	curl_easy_setopt(a->curl, CURLOPT_URL, url);
	curl_easy_setopt(a->curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(a->curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(a->curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_TIMEOUT_S);
	curl_easy_setopt(a->curl, CURLOPT_TIMEOUT, (long)CALL_TIMEOUT_S);
	curl_easy_setopt(a->curl, CURLOPT_WRITEFUNCTION, on_data);
	curl_easy_setopt(a->curl, CURLOPT_WRITEDATA, r);
	if (o->ca)
		curl_easy_setopt(a->curl, CURLOPT_CAINFO, o->ca);
	if (o->cert)
		curl_easy_setopt(a->curl, CURLOPT_SSLCERT, o->cert);
	if (o->key)
		curl_easy_setopt(a->curl, CURLOPT_SSLKEY, o->key);
	curl_easy_setopt(a->curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_3);
}

static struct curl_slist *add_header(struct curl_slist *list, const char *name, const char *value)
{
	char line[600];
	snprintf(line, sizeof(line), "%s: %s", name, value);
	return curl_slist_append(list, line);
}

static struct curl_slist *common_headers(const struct lode_agent *a)
{
	struct curl_slist *list = add_header(NULL, "X-Lodestone-Device", a->options.device_id);
	char bearer[512];
	snprintf(bearer, sizeof(bearer), "Bearer %s", a->options.token ? a->options.token : "");
	return a->options.token ? add_header(list, "Authorization", bearer) : list;
}

/* 0, or the error of the connection or of the status. */
static int perform(
	struct lode_agent *a, struct reply *r, struct curl_slist *headers, struct lode_err *err)
{
	long status = 0;
	curl_easy_setopt(a->curl, CURLOPT_HTTPHEADER, headers);
	CURLcode code = curl_easy_perform(a->curl);
	curl_easy_getinfo(a->curl, CURLINFO_RESPONSE_CODE, &status);
	curl_slist_free_all(headers);
	if (r->error)
		return lode_err_set(
			err, r->error, "what came could not be kept: %s", strerror(-r->error));
	if (code != CURLE_OK)
		return lode_err_set(err, -ENOTCONN, "%s: %s", a->options.control_plane,
			curl_easy_strerror(code));
	/* 409: its campaign was paused in this moment. */
	if (status >= 400)
		return lode_err_set(err,
			status >= 500	? -EAGAIN
			: status == 409 ? -EBUSY
					: -EPROTO,
			"the manager answers %ld: %.200s", status, r->body ? r->body : "");
	return 0;
}

json_t *call_json(struct lode_agent *a, const char *path, const json_t *body, struct lode_err *err)
{
	struct reply r = {0};
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	struct curl_slist *headers = common_headers(a);
	set_request(a, &r, path);
	if (text) {
		headers = add_header(headers, "Content-Type", "application/json");
		curl_easy_setopt(a->curl, CURLOPT_POSTFIELDS, text);
	}
	json_t *reply = NULL;
	if (!perform(a, &r, headers, err)) {
		reply = r.body ? json_loadb(r.body, r.len, JSON_REJECT_DUPLICATES, NULL) : NULL;
		if (!json_is_object(reply)) {
			json_decref(reply);
			reply = NULL;
			lode_err_set(err, -EPROTO, "%s: the answer is no JSON object", path);
		}
	}
	free(text);
	free(r.body);
	return reply;
}
