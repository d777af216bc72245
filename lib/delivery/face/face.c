/* SPDX-License-Identifier: BSD-3-Clause */
#include "face.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define OVERVIEW_MS 10000 /* a large fleet takes a while to count */

struct lode_face {
	struct lode_face_options options;
	struct lode_scrape *scrape; /* NULL: no gateway */
	struct lode_store *store;   /* of the refreshing thread, as is counted_ms */
	int64_t counted_ms;
	pthread_mutex_t lock; /* of what follows */
	json_t *overview;     /* NULL: not counted yet; nobody changes it */
	char trouble[500];    /* why the database did not answer, "" when it did */
};

int lode_face_new(
	const struct lode_face_options *options, struct lode_face **out, struct lode_err *err)
{
	struct lode_face *f = calloc(1, sizeof(*f));
	if (!f)
		return lode_err_set(err, -ENOMEM, "no memory for the page");
	f->options = *options;
	pthread_mutex_init(&f->lock, NULL);
	int rc = lode_store_open(options->store_url, &f->store, err);
	if (!rc && options->gateway_socket)
		rc = lode_scrape_new(options->gateway_socket, &f->scrape, err);
	if (rc) {
		lode_face_free(f);
		return rc;
	}
	*out = f;
	return 0;
}

void lode_face_free(struct lode_face *f)
{
	if (!f)
		return;
	lode_scrape_free(f->scrape);
	lode_store_close(f->store);
	json_decref(f->overview);
	pthread_mutex_destroy(&f->lock);
	free(f);
}

static void refresh_overview(struct lode_face *f, int64_t now_ms)
{
	struct lode_err err = {0};
	json_t *made = overview_make(f->store, f->overview, f->options.offline_s, now_ms, &err);
	pthread_mutex_lock(&f->lock);
	if (made) {
		json_decref(f->overview);
		f->overview = made;
	}
	snprintf(f->trouble, sizeof(f->trouble), "%s", made ? "" : err.msg);
	pthread_mutex_unlock(&f->lock);
	f->counted_ms = now_ms;
}

void lode_face_refresh(struct lode_face *f, int64_t now_ms)
{
	struct lode_err err;
	/* Few devices are counted with every round. */
	json_int_t n = json_integer_value(
		json_object_get(json_object_get(f->overview, "devices"), "total"));
	if (n < 500 || now_ms - f->counted_ms >= OVERVIEW_MS)
		refresh_overview(f, now_ms);
	if (f->scrape)
		lode_scrape_round(f->scrape, now_ms, &err);
}

/* ---- answers ---- */

static void add_header(struct lode_api_reply *reply, const char *name, const char *value)
{
	unsigned i = reply->n_headers++;
	snprintf(reply->headers[i].name, sizeof(reply->headers[i].name), "%s", name);
	snprintf(reply->headers[i].value, sizeof(reply->headers[i].value), "%s", value);
}

static void reply_text(struct lode_api_reply *reply, int status, const char *type, char *text)
{
	reply->status = text ? status : 500;
	reply->type = type;
	reply->body = text;
	reply->body_len = text ? strlen(text) : 0;
	add_header(reply, "Cache-Control", "no-cache");
}

static void reply_json(struct lode_api_reply *reply, json_t *v)
{
	reply_text(reply, 200, "application/json", v ? json_dumps(v, JSON_COMPACT) : NULL);
	json_decref(v);
}

static void answer_metrics(struct lode_face *f, const struct lode_api_request *req,
	const struct lode_http_stats *stats, struct lode_api_reply *reply)
{
	struct lode_metrics m;
	size_t len;
	if (lode_metrics_begin(&m)) {
		reply->status = 500;
		return;
	}
	pthread_mutex_lock(&f->lock);
	json_t *overview = json_incref(f->overview);
	pthread_mutex_unlock(&f->lock);
	put_manager_figures(&m, overview, stats, req->now_ms - f->options.started_ms);
	json_decref(overview);
	if (f->scrape) {
		json_t *latest = lode_scrape_latest(f->scrape);
		lode_metrics_gateway(&m, latest);
		json_decref(latest);
	}
	reply_text(reply, 200, LODE_METRICS_TYPE, lode_metrics_end(&m, &len));
}

static void answer_gateway(struct lode_face *f, const struct lode_api_request *req,
	const struct lode_http_stats *stats, struct lode_api_reply *reply)
{
	(void)req, (void)stats;
	json_t *latest = f->scrape ? lode_scrape_latest(f->scrape)
				   : json_pack("{s:s,s:i}", "state", "none", "asked_ms", 0);
	json_t *shown = json_copy(latest);
	json_decref(latest);
	json_object_del(shown, "help");
	reply_json(reply, shown);
}

static void answer_history(struct lode_face *f, const struct lode_api_request *req,
	const struct lode_http_stats *stats, struct lode_api_reply *reply)
{
	(void)stats;
	const char *since = req->query(req->ctx, "since_ms");
	reply_json(reply,
		f->scrape
			? lode_scrape_history(f->scrape, since ? strtoll(since, NULL, 10) : 0)
			: json_pack("{s:i,s:{}}", "interval_ms", LODE_SCRAPE_INTERVAL_MS, "paths"));
}

static void answer_overview(struct lode_face *f, const struct lode_api_request *req,
	const struct lode_http_stats *stats, struct lode_api_reply *reply)
{
	pthread_mutex_lock(&f->lock);
	json_t *shown = f->overview ? json_copy(f->overview) : json_object();
	json_object_set_new(shown, "trouble", json_string(f->trouble));
	pthread_mutex_unlock(&f->lock);
	uint64_t requests = 0;
	for (size_t i = 0; i < LODE_ARRAY_LEN(stats->by_class); i++)
		requests += stats->by_class[i];
	json_object_set_new(shown, "manager",
		json_pack("{s:s,s:I,s:I,s:I,s:I,s:I}", "version", LODE_VERSION, "started_ms",
			(json_int_t)f->options.started_ms, "now_ms", (json_int_t)req->now_ms,
			"requests", (json_int_t)requests, "reply_bytes",
			(json_int_t)stats->reply_bytes, "answer_p99_ns",
			(json_int_t)lode_hist_quantile(&stats->answer_ns, 0.99)));
	reply_json(reply, shown);
}

/* ---- routes ---- */

static const char *type_of(const char *name)
{
	static const struct {
		const char *end, *type;
	} types[] = {{".html", "text/html; charset=utf-8"}, {".css", "text/css; charset=utf-8"},
		{".js", "text/javascript; charset=utf-8"}, {".svg", "image/svg+xml"}};
	const char *dot = strrchr(name, '.');
	for (size_t i = 0; dot && i < LODE_ARRAY_LEN(types); i++)
		if (!strcmp(dot, types[i].end))
			return types[i].type;
	return "application/octet-stream";
}

/* Nothing but what this server sends is loaded or run, nobody frames it, and addresses do not leak. */
static void answer_file(const struct page_file *file, struct lode_api_reply *reply)
{
	char *copy = malloc(file->len + 1);
	if (copy) {
		memcpy(copy, file->bytes, file->len);
		copy[file->len] = 0;
	}
	reply_text(reply, 200, type_of(file->name), copy);
	add_header(reply, "Content-Security-Policy",
		"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
		"img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
	add_header(reply, "Referrer-Policy", "no-referrer");
}

static const struct page_file *find_file(const char *path)
{
	const char *name = *path == '/' ? path + 1 : path;
	if (!*name)
		name = "index.html";
	for (size_t i = 0; i < n_page_files; i++)
		if (!strcmp(name, page_files[i].name))
			return &page_files[i];
	return NULL;
}

static bool may_look(
	const struct lode_face *f, const struct lode_api_request *req, struct lode_api_reply *reply)
{
	if (f->options.anybody || req->who.role >= LODE_ROLE_VIEWER)
		return true;
	bool known = req->who.role != LODE_ROLE_NONE;
	reply_text(reply, known ? 403 : 401, "text/plain; charset=utf-8",
		strdup(known ? "this wants a viewer" : "an identity is needed"));
	return false;
}

bool lode_face_page(void *ctx, const struct lode_api_request *req,
	const struct lode_http_stats *stats, struct lode_api_reply *reply)
{
	static const struct {
		const char *path;
		void (*answer)(struct lode_face *f, const struct lode_api_request *req,
			const struct lode_http_stats *stats, struct lode_api_reply *reply);
	} routes[] = {{"/metrics", answer_metrics}, {"/api/v2/gateway", answer_gateway},
		{"/api/v2/gateway/history", answer_history}, {"/api/v2/overview", answer_overview}};
	const struct page_file *file = find_file(req->path);
	size_t i = 0;
	while (i < LODE_ARRAY_LEN(routes) && strcmp(req->path, routes[i].path) != 0)
		i++;
	if (!file && i == LODE_ARRAY_LEN(routes))
		return false;
	if (strcmp(req->method, "GET") != 0 && strcmp(req->method, "HEAD") != 0)
		reply_text(reply, 405, "text/plain; charset=utf-8", strdup("this is for reading"));
	else if (may_look(ctx, req, reply)) {
		if (file)
			answer_file(file, reply);
		else
			routes[i].answer(ctx, req, stats, reply);
	}
	return true;
}
