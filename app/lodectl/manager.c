/* SPDX-License-Identifier: BSD-3-Clause */
#include "manager.h"

#include <curl/curl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#define API		"/api/v2"
#define REPLY_MAX_BYTES (64u << 20)
#define TIMEOUT_S	60L
#define STALL_S		60L
#define BAR_WIDTH	30

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

static bool name_ok(const char *name)
{
	static const char chars[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._+-";
	size_t n = strspn(name, chars);
	return n && !name[n] && n <= 128 && *name != '.';
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

/* ---- what the verbs share ---- */

bool manager_path(
	char path[MANAGER_PATH_MAX], const char *pattern, int argc, char **argv, int n_needed)
{
	size_t n = 0;
	int used = 0;
	if (argc < n_needed) {
		complain(EXIT_OTHER, "%d names are needed, found %d; 'lodectl help' lists them",
			n_needed, argc);
		return false;
	}
	for (; *pattern && n + 200 < MANAGER_PATH_MAX; pattern++) {
		if (*pattern != '*') {
			path[n++] = *pattern;
			continue;
		}
		const char *name = argv[used++];
		if (!name_ok(name)) {
			complain(EXIT_OTHER,
				"'%s': names have 1 to 128 of A-Z a-z 0-9 . _ + -, no leading dot",
				name);
			return false;
		}
		n += (size_t)snprintf(path + n, MANAGER_PATH_MAX - n, "%s", name);
	}
	path[n] = 0;
	return true;
}

void progress_bar(const char *what, uint64_t done, uint64_t total, const char *unit)
{
	char bar[BAR_WIDTH + 1];
	unsigned full = total ? (unsigned)(LODE_MIN(done, total) * BAR_WIDTH / total) : BAR_WIDTH;
	if (!isatty(STDERR_FILENO))
		return;
	memset(bar, '.', BAR_WIDTH);
	memset(bar, '#', full);
	bar[BAR_WIDTH] = 0;
	fprintf(stderr, "\r%s %s %3llu %%  %llu of %llu %s ", what, bar,
		(unsigned long long)(total ? done * 100 / total : 100), (unsigned long long)done,
		(unsigned long long)total, unit);
}

void progress_end(void)
{
	if (isatty(STDERR_FILENO))
		fputc('\n', stderr);
}

int manager_do(struct lodectl *ctl, const char *method, const char *path, json_t *body,
	const char *sentence, ...)
{
	struct manager *m = manager_open(ctl);
	json_t *v = m ? manager_call(m, method, path, body) : NULL;
	manager_close(m);
	if (!v)
		return EXIT_OTHER;
	if (ctl->json) {
		print_json(v);
	} else {
		char line[400];
		va_list args;
		va_start(args, sentence);
		vsnprintf(line, sizeof(line), sentence, args);
		va_end(args);
		print_clean(line);
		putchar('\n');
	}
	json_decref(v);
	return EXIT_OK;
}

static json_t *value_of(const char *text)
{
	/* Numbers, truths, lists and objects are JSON as they stand; all else is text. */
	json_t *v = json_loads(text, JSON_DECODE_ANY, NULL);
	return v ? v : json_string(text);
}

json_t *manager_options(int argc, char **argv)
{
	json_t *o = json_object();
	for (int i = 0; i < argc; i++) {
		char *value = strchr(argv[i], '=');
		if (!value || value == argv[i]) {
			complain(EXIT_OTHER, "'%s': KEY=VALUE is expected", argv[i]);
			json_decref(o);
			return NULL;
		}
		*value = 0;
		json_object_set_new(o, argv[i], value_of(value + 1));
	}
	return o;
}

static const json_t *go_down(const json_t *v, const char *member)
{
	char key[64];
	while (v && *member) {
		size_t n = strcspn(member, ".");
		snprintf(key, sizeof(key), "%.*s", (int)n, member);
		v = json_object_get(v, key);
		member += n + (member[n] == '.');
	}
	return v;
}

static void add_cell(struct table *t, const json_t *v)
{
	char *text = json_is_array(v) ? NULL : json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
	if (!v || json_is_null(v))
		table_cell(t, "-");
	else if (json_is_string(v))
		table_cell(t, "%s", *json_string_value(v) ? json_string_value(v) : "-");
	else if (json_is_array(v))
		table_cell(t, "%zu", json_array_size(v));
	else
		table_cell(t, "%s", text ? text : "");
	free(text);
}

int manager_table(struct lodectl *ctl, const char *path, const struct column *columns, size_t n)
{
	struct manager *m = manager_open(ctl);
	json_t *all = m ? manager_list(m, path) : NULL, *item;
	struct table t;
	size_t i;
	manager_close(m);
	if (!all)
		return EXIT_OTHER;
	if (ctl->json) {
		print_json(all);
	} else {
		table_begin(&t, n, NULL);
		for (size_t c = 0; c < n; c++)
			table_cell(&t, "%s", columns[c].head);
		json_array_foreach(all, i, item) for (size_t c = 0; c < n; c++)
			add_cell(&t, go_down(item, columns[c].member));
		table_end(&t, stdout);
	}
	json_decref(all);
	return EXIT_OK;
}

static void add_rows(struct table *t, const char *prefix, json_t *v)
{
	const char *key;
	json_t *item;
	json_object_foreach(v, key, item)
	{
		char name[160];
		snprintf(name, sizeof(name), "%s%s%s", prefix, *prefix ? "." : "", key);
		if (json_is_object(item)) {
			add_rows(t, name, item);
			continue;
		}
		table_cell(t, "%s", name);
		add_cell(t, item);
	}
}

int manager_print(struct lodectl *ctl, json_t *v)
{
	struct table t;
	if (!v)
		return EXIT_OTHER;
	if (ctl->json) {
		print_json(v);
	} else {
		table_begin(&t, 2, NULL);
		add_rows(&t, "", v);
		table_end(&t, stdout);
	}
	json_decref(v);
	return EXIT_OK;
}

int manager_show(struct lodectl *ctl, const char *pattern, int argc, char **argv)
{
	char path[MANAGER_PATH_MAX];
	if (!manager_path(path, pattern, argc, argv, 1))
		return EXIT_OTHER;
	struct manager *m = manager_open(ctl);
	json_t *v = m ? manager_call(m, "GET", path, NULL) : NULL;
	manager_close(m);
	return manager_print(ctl, v);
}
