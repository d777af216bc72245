/* SPDX-License-Identifier: BSD-3-Clause */
/* HTTP with libcurl: small JSON calls, and files that go on where they were cut. */
#include "agent.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define REPLY_MAX_BYTES	  (256 * 1024)
#define CONNECT_TIMEOUT_S 15
#define CALL_TIMEOUT_S	  60
#define ATTEMPTS	  5 /* of one file in one round */
#define ETAG_MAX	  80

struct transfer {
	struct lode_agent *agent;
	int fd; /* -1: into body */
	char *body;
	size_t len;
	uint64_t have_bytes; /* there before this transfer */
	long status;
	char type[64], etag[ETAG_MAX];
	int error; /* -errno of a write */
};

/* A new status line begins new headers (a redirect, or 100 Continue before). */
static size_t on_header(char *line, size_t size, size_t n, void *ctx)
{
	static const struct {
		const char *name;
		size_t offset, size;
	} kept[] = {{"content-type:", offsetof(struct transfer, type), 64},
		{"etag:", offsetof(struct transfer, etag), ETAG_MAX}};
	struct transfer *t = ctx;
	size_t len = size * n;
	if (len > 5 && !strncmp(line, "HTTP/", 5))
		curl_easy_getinfo(t->agent->curl, CURLINFO_RESPONSE_CODE, &t->status);
	for (size_t i = 0; i < LODE_ARRAY_LEN(kept); i++) {
		size_t at = strlen(kept[i].name), end = len;
		if (len < at || strncasecmp(line, kept[i].name, at) != 0)
			continue;
		while (at < end && line[at] == ' ')
			at++;
		while (end > at && (line[end - 1] == '\r' || line[end - 1] == '\n'))
			end--;
		if (end - at < kept[i].size)
			snprintf((char *)t + kept[i].offset, kept[i].size, "%.*s", (int)(end - at),
				line + at);
	}
	return len;
}

static int write_file(struct transfer *t, const char *bytes, size_t len)
{
	while (len) {
		ssize_t n = write(t->fd, bytes, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		bytes += n;
		len -= (size_t)n;
	}
	return 0;
}

static int keep_body(struct transfer *t, const char *bytes, size_t len)
{
	if (t->len + len > REPLY_MAX_BYTES)
		return -EMSGSIZE;
	char *body = realloc(t->body, t->len + len + 1);
	if (!body)
		return -ENOMEM;
	memcpy(body + t->len, bytes, len);
	t->body = body;
	t->len += len;
	body[t->len] = 0;
	return 0;
}

/* The whole file comes although a part was asked for: the beginning here is of other bytes. */
static int start_again(struct transfer *t)
{
	t->have_bytes = 0;
	return ftruncate(t->fd, 0) || lseek(t->fd, 0, SEEK_SET) ? -errno : 0;
}

static size_t on_data(char *bytes, size_t size, size_t n, void *ctx)
{
	struct transfer *t = ctx;
	curl_easy_getinfo(t->agent->curl, CURLINFO_RESPONSE_CODE, &t->status);
	bool file = t->fd >= 0 && (t->status == 200 || t->status == 206);
	if (file && t->status == 200 && t->have_bytes)
		t->error = start_again(t);
	if (!t->error)
		t->error = file ? write_file(t, bytes, size * n) : keep_body(t, bytes, size * n);
	return t->error ? 0 : size * n;
}

static int on_progress(
	void *ctx, curl_off_t total, curl_off_t done, curl_off_t up, curl_off_t up_done)
{
	struct transfer *t = ctx;
	const struct lode_agent_options *o = &t->agent->options;
	(void)up, (void)up_done;
	if (!o->progress || t->fd < 0)
		return 0;
	return o->progress(o->ctx, t->have_bytes + (uint64_t)done,
		total ? t->have_bytes + (uint64_t)total : 0);
}

static void set_common(struct lode_agent *a, struct transfer *t, const char *path)
{
	const struct lode_agent_options *o = &a->options;
	char url[2048];
	snprintf(url, sizeof(url), "%s/api/v1%s", o->control_plane, path);
	curl_easy_reset(a->curl);
	curl_easy_setopt(a->curl, CURLOPT_URL, url);
	curl_easy_setopt(a->curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(a->curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(a->curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_TIMEOUT_S);
	curl_easy_setopt(a->curl, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(a->curl, CURLOPT_HEADERDATA, t);
	curl_easy_setopt(a->curl, CURLOPT_WRITEFUNCTION, on_data);
	curl_easy_setopt(a->curl, CURLOPT_WRITEDATA, t);
	curl_easy_setopt(a->curl, CURLOPT_XFERINFOFUNCTION, on_progress);
	curl_easy_setopt(a->curl, CURLOPT_XFERINFODATA, t);
	curl_easy_setopt(a->curl, CURLOPT_NOPROGRESS, 0L);
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
	struct lode_agent *a, struct transfer *t, struct curl_slist *headers, struct lode_err *err)
{
	curl_easy_setopt(a->curl, CURLOPT_HTTPHEADER, headers);
	CURLcode code = curl_easy_perform(a->curl);
	curl_easy_getinfo(a->curl, CURLINFO_RESPONSE_CODE, &t->status);
	curl_slist_free_all(headers);
	if (t->error)
		return lode_err_set(
			err, t->error, "what came could not be kept: %s", strerror(-t->error));
	if (code == CURLE_ABORTED_BY_CALLBACK)
		return lode_err_set(err, -ECANCELED, "stopped");
	if (code != CURLE_OK)
		return lode_err_set(err, -ENOTCONN, "%s: %s", a->options.control_plane,
			curl_easy_strerror(code));
	if (t->status >= 400)
		return lode_err_set(err, t->status >= 500 ? -EAGAIN : -EPROTO,
			"the manager answers %ld: %.200s", t->status, t->body ? t->body : "");
	return 0;
}

json_t *call_json(struct lode_agent *a, const char *path, const json_t *body, struct lode_err *err)
{
	struct transfer t = {.agent = a, .fd = -1};
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	struct curl_slist *headers = common_headers(a);
	set_common(a, &t, path);
	curl_easy_setopt(a->curl, CURLOPT_TIMEOUT, (long)CALL_TIMEOUT_S);
	if (text) {
		headers = add_header(headers, "Content-Type", "application/json");
		curl_easy_setopt(a->curl, CURLOPT_POSTFIELDS, text);
	}
	json_t *reply = NULL;
	if (!perform(a, &t, headers, err)) {
		reply = t.body ? json_loadb(t.body, t.len, JSON_REJECT_DUPLICATES, NULL) : NULL;
		if (!json_is_object(reply)) {
			json_decref(reply);
			reply = NULL;
			lode_err_set(err, -EPROTO, "%s: the answer is no JSON object", path);
		}
	}
	free(text);
	free(t.body);
	return reply;
}

/* The ETag of what a part file holds is kept beside it. */
static void read_etag(const char *part, char etag[ETAG_MAX])
{
	char path[PATH_MAX];
	snprintf(path, sizeof(path), "%s.etag", part);
	FILE *f = fopen(path, "re");
	if (!f || !fgets(etag, ETAG_MAX, f))
		*etag = 0;
	if (f)
		fclose(f);
}

static void write_etag(const char *part, const char *etag)
{
	char path[PATH_MAX];
	snprintf(path, sizeof(path), "%s.etag", part);
	FILE *f = fopen(path, "we");
	if (!f)
		return;
	fputs(etag, f);
	fclose(f);
}

static int fetch_once(struct lode_agent *a, const struct running *want, const char *part,
	bool *patch, struct lode_err *err)
{
	struct transfer t = {.agent = a, .fd = open(part, O_RDWR | O_CREAT | O_CLOEXEC, 0600)};
	char path[400], etag[ETAG_MAX], range[40];
	struct stat st;
	if (t.fd < 0 || fstat(t.fd, &st) || lseek(t.fd, 0, SEEK_END) < 0) {
		int rc = lode_err_set(err, -errno, "%s: %s", part, strerror(errno));
		if (t.fd >= 0)
			close(t.fd);
		return rc;
	}
	struct curl_slist *headers = common_headers(a);
	snprintf(path, sizeof(path), "/models/%s/versions/%s/download", want->model, want->version);
	set_common(a, &t, path);
	curl_easy_setopt(a->curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(a->curl, CURLOPT_LOW_SPEED_TIME, (long)a->options.stall_s);
	curl_easy_setopt(
		a->curl, CURLOPT_MAX_RECV_SPEED_LARGE, (curl_off_t)a->options.max_bytes_per_s);
	headers = add_header(
		headers, "Accept", "application/x-lodestone-delta, application/octet-stream");
	if (!strcmp(a->current.model, want->model))
		headers = add_header(headers, "X-Oxide-Base-Version", a->current.version);
	read_etag(part, etag);
	if (st.st_size && *etag) {
		t.have_bytes = (uint64_t)st.st_size;
		snprintf(range, sizeof(range), "%lld-", (long long)st.st_size);
		curl_easy_setopt(a->curl, CURLOPT_RANGE, range);
		headers = add_header(headers, "If-Range", etag);
	} else if (st.st_size) {
		start_again(&t);
	}
	int rc = perform(a, &t, headers, err);
	/* Everything was here already. */
	if (rc && t.status == 416 && t.have_bytes)
		rc = 0;
	else if (*t.etag)
		write_etag(part, t.etag);
	if (!rc && *t.type)
		*patch = !strncmp(t.type, "application/x-lodestone-delta", 29);
	if (!rc && fsync(t.fd))
		rc = lode_err_set(err, -errno, "%s: %s", part, strerror(errno));
	close(t.fd);
	free(t.body);
	return rc;
}

int fetch_file(struct lode_agent *a, const struct running *want, const char *part, bool *patch,
	struct lode_err *err)
{
	int rc = 0;
	for (unsigned i = 0; i < ATTEMPTS; i++) {
		rc = fetch_once(a, want, part, patch, err);
		/* A no is a no; a broken line is tried again, from where it broke. */
		if (rc != -ENOTCONN && rc != -EAGAIN)
			return rc;
		say(a, "transfer of %s %s: %s", want->model, want->version, err->msg);
		usleep((useconds_t)(100000u << i) + (useconds_t)lode_rng_below(&a->rng, 100000));
	}
	return rc;
}
