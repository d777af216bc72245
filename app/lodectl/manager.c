/* SPDX-License-Identifier: BSD-3-Clause */
/* The client of the manager's API. */
#include "manager.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <unistd.h>

#define API		"/api/v2"
#define REPLY_MAX_BYTES (64u << 20)
#define TIMEOUT_S	60L
#define STALL_S		60L

struct manager {
	CURL *curl;
	const char *socket; /* NULL: base is an URL to go to */
	char base[512];
	char ca[512], identity[512]; /* files; "" none */
	char *reply;
	size_t reply_len;
};

struct manager *manager_open(struct lodectl *ctl)
{
	struct manager *m = calloc(1, sizeof(*m));
	bool url = !strncmp(ctl->manager, "https://", 8) || !strncmp(ctl->manager, "http://", 7);
	if (!m || !(m->curl = curl_easy_init())) {
		complain(EXIT_ENVIRONMENT, "no memory for a connection");
		free(m);
		return NULL;
	}
	m->socket = url ? NULL : ctl->manager;
	snprintf(m->base, sizeof(m->base), "%s", url ? ctl->manager : "http://manager");
	if (ctl->identity) {
		snprintf(m->ca, sizeof(m->ca), "%s/ca.pem", ctl->identity);
		snprintf(m->identity, sizeof(m->identity), "%s/identity.pem", ctl->identity);
	}
	return m;
}

void manager_close(struct manager *m)
{
	if (!m)
		return;
	curl_easy_cleanup(m->curl);
	free(m->reply);
	free(m);
}

static size_t on_data(char *bytes, size_t size, size_t n, void *ctx)
{
	struct manager *m = ctx;
	if (m->reply_len + size * n > REPLY_MAX_BYTES)
		return 0;
	char *reply = realloc(m->reply, m->reply_len + size * n + 1);
	if (!reply)
		return 0;
	memcpy(reply + m->reply_len, bytes, size * n);
	m->reply = reply;
	m->reply_len += size * n;
	reply[m->reply_len] = 0;
	return size * n;
}

/* '+' would be read as it is, but not by everybody on the way. */
static void make_url(const struct manager *m, const char *path, char *url, size_t size)
{
	size_t n = (size_t)snprintf(url, size, "%s" API, m->base);
	for (; *path && n + 4 < size; path++)
		n += (size_t)snprintf(url + n, size - n, *path == '+' ? "%%2B" : "%c", *path);
}

static void set_common(struct manager *m, const char *method, const char *path)
{
	char url[2048];
	make_url(m, path, url, sizeof(url));
	m->reply_len = 0;
	curl_easy_reset(m->curl);
	curl_easy_setopt(m->curl, CURLOPT_URL, url);
	curl_easy_setopt(m->curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(m->curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(m->curl, CURLOPT_CUSTOMREQUEST, method);
	curl_easy_setopt(m->curl, CURLOPT_WRITEFUNCTION, on_data);
	curl_easy_setopt(m->curl, CURLOPT_WRITEDATA, m);
	curl_easy_setopt(m->curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_3);
	if (m->socket)
		curl_easy_setopt(m->curl, CURLOPT_UNIX_SOCKET_PATH, m->socket);
	if (*m->ca)
		curl_easy_setopt(m->curl, CURLOPT_CAINFO, m->ca);
	if (*m->identity) {
		curl_easy_setopt(m->curl, CURLOPT_SSLCERT, m->identity);
		curl_easy_setopt(m->curl, CURLOPT_SSLKEY, m->identity);
	}
}

/* The answer's object; NULL: none, or an error status. */
static json_t *take_reply(struct manager *m, long *status)
{
	curl_easy_getinfo(m->curl, CURLINFO_RESPONSE_CODE, status);
	json_t *v = m->reply_len ? json_loadb(m->reply, m->reply_len, 0, NULL) : NULL;
	if (*status < 400 && json_is_object(v))
		return v;
	json_decref(v);
	return NULL;
}

static void complain_of_reply(const struct manager *m, CURLcode code, long status)
{
	json_t *v = m->reply_len ? json_loadb(m->reply, m->reply_len, 0, NULL) : NULL;
	const char *why =
		json_string_value(json_object_get(json_object_get(v, "error"), "message"));
	const char *where = m->socket ? m->socket : m->base;
	if (code != CURLE_OK)
		complain(EXIT_OTHER, "%s: %s (is the manager running? -m names its socket or URL)",
			where, curl_easy_strerror(code));
	else if (why)
		complain(EXIT_OTHER, "%s", why);
	else if (status == 401)
		complain(EXIT_OTHER, "%s wants a certificate (-i names its folder)", where);
	else
		complain(EXIT_OTHER, "%s answers %ld", where, status);
	json_decref(v);
}

json_t *manager_call(struct manager *m, const char *method, const char *path, json_t *body)
{
	long status = 0;
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
	json_decref(body);
	set_common(m, method, path);
	curl_easy_setopt(m->curl, CURLOPT_TIMEOUT, TIMEOUT_S);
	curl_easy_setopt(m->curl, CURLOPT_HTTPHEADER, headers);
	if (text || !strcmp(method, "POST"))
		curl_easy_setopt(m->curl, CURLOPT_POSTFIELDS, text ? text : "");
	CURLcode code = curl_easy_perform(m->curl);
	json_t *v = code == CURLE_OK ? take_reply(m, &status) : NULL;
	if (!v)
		complain_of_reply(m, code, status);
	curl_slist_free_all(headers);
	free(text);
	return v;
}

json_t *manager_once(struct lodectl *ctl, const char *method, const char *path, json_t *body)
{
	struct manager *m = manager_open(ctl);
	if (!m) {
		json_decref(body);
		return NULL;
	}
	json_t *v = manager_call(m, method, path, body);
	manager_close(m);
	return v;
}

json_t *manager_list(struct manager *m, const char *path)
{
	json_t *all = json_array(), *page;
	char next[600];
	snprintf(next, sizeof(next), "%s", path);
	while ((page = manager_call(m, "GET", next, NULL))) {
		json_t *items = json_object_get(page, "items");
		const char *after = json_string_value(json_object_get(page, "next"));
		json_array_extend(all, items);
		if (after)
			snprintf(next, sizeof(next), "%s%cafter=%s", path,
				strchr(path, '?') ? '&' : '?', after);
		bool more = after && json_array_size(items);
		json_decref(page);
		if (!more)
			return all;
	}
	json_decref(all);
	return NULL;
}

static size_t on_read(char *to, size_t size, size_t n, void *ctx)
{
	const struct upload *up = ctx;
	ssize_t got = read(up->fd, to, size * n);
	return got < 0 ? CURL_READFUNC_ABORT : (size_t)got;
}

static int on_progress(
	void *ctx, curl_off_t total, curl_off_t done, curl_off_t up_total, curl_off_t up_done)
{
	const struct upload *up = ctx;
	(void)total, (void)done, (void)up_total;
	progress_bar("upload", up->offset_bytes + (uint64_t)up_done, up->total_bytes, "bytes");
	return 0;
}

json_t *manager_send(struct manager *m, const struct upload *up, long *status)
{
	char offset[64];
	snprintf(offset, sizeof(offset), "Upload-Offset: %llu",
		(unsigned long long)up->offset_bytes);
	struct curl_slist *headers = curl_slist_append(NULL, offset);
	headers = curl_slist_append(headers, "Upload-Complete: ?1");
	headers = curl_slist_append(headers, "Content-Type: application/octet-stream");
	set_common(m, "PUT", up->path);
	curl_easy_setopt(m->curl, CURLOPT_UPLOAD, 1L);
	curl_easy_setopt(m->curl, CURLOPT_INFILESIZE_LARGE,
		(curl_off_t)(up->total_bytes - up->offset_bytes));
	curl_easy_setopt(m->curl, CURLOPT_READFUNCTION, on_read);
	curl_easy_setopt(m->curl, CURLOPT_READDATA, up);
	curl_easy_setopt(m->curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(m->curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(m->curl, CURLOPT_LOW_SPEED_TIME, STALL_S);
	curl_easy_setopt(m->curl, CURLOPT_XFERINFOFUNCTION, on_progress);
	curl_easy_setopt(m->curl, CURLOPT_XFERINFODATA, up);
	curl_easy_setopt(m->curl, CURLOPT_NOPROGRESS, 0L);
	*status = 0;
	json_t *v = curl_easy_perform(m->curl) == CURLE_OK ? take_reply(m, status) : NULL;
	curl_slist_free_all(headers);
	progress_end();
	return v;
}
