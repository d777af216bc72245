/* SPDX-License-Identifier: BSD-3-Clause */
/* Replies, documents as JSON, names. */
#include "api.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_DEFAULT 100
#define PAGE_MAX     1000

void lode_api_reply_clear(struct lode_api_reply *reply)
{
	free(reply->body);
	*reply = (struct lode_api_reply){0};
}

void answer(struct call *c, int status, json_t *body)
{
	free(c->reply->body);
	c->reply->status = status;
	c->reply->type = "application/json";
	c->reply->body = json_dumps(body, JSON_COMPACT);
	c->reply->body_len = c->reply->body ? strlen(c->reply->body) : 0;
	json_decref(body);
	if (!c->reply->body)
		c->reply->status = 500;
}

void answer_error(struct call *c, int status, const char *fmt, ...)
{
	char text[600];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (c->v2) {
		answer(c, status,
			json_pack("{s:{s:i,s:s}}", "error", "status", status, "message", text));
		return;
	}
	free(c->reply->body);
	c->reply->status = status;
	c->reply->type = "text/plain; charset=utf-8";
	c->reply->body = strdup(text);
	c->reply->body_len = c->reply->body ? strlen(text) : 0;
}

void answer_err(struct call *c, const struct lode_err *err)
{
	static const struct {
		int code, status;
	} map[] = {{-ENOENT, 404}, {-EINVAL, 400}, {-EEXIST, 409}, {-ESTALE, 409}, {-EPERM, 409},
		{-EACCES, 403}, {-EBADMSG, 422}, {-ENOSPC, 507}, {-EAGAIN, 503}, {-ENOTCONN, 503}};
	int status = 500;
	for (size_t i = 0; i < LODE_ARRAY_LEN(map); i++)
		if (map[i].code == err->code)
			status = map[i].status;
	answer_error(c, status, "%s", err->msg);
}

bool was_overtaken(int rc)
{
	return rc == -EAGAIN || rc == -ESTALE;
}

void answer_header(struct call *c, const char *name, const char *fmt, ...)
{
	if (c->reply->n_headers == LODE_API_HEADERS)
		return;
	unsigned i = c->reply->n_headers++;
	va_list ap;
	va_start(ap, fmt);
	snprintf(c->reply->headers[i].name, sizeof(c->reply->headers[i].name), "%s", name);
	vsnprintf(c->reply->headers[i].value, sizeof(c->reply->headers[i].value), fmt, ap);
	va_end(ap);
}

bool id_ok(const char *id)
{
	static const char chars[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._+-";
	size_t len = strspn(id, chars);
	return len && len < LODE_STORE_ID_MAX && !id[len] && *id != '.';
}

const char *body_id(struct call *c, const char *key)
{
	const char *id = json_string_value(json_object_get(c->body, key));
	if (id && id_ok(id))
		return id;
	answer_error(c, 400, "'%s' is needed: 1 to %d of A-Z a-z 0-9 . _ + -, no leading dot", key,
		LODE_STORE_ID_MAX - 1);
	return NULL;
}

const char *body_text(struct call *c, const char *key, const char *or_else)
{
	const char *s = json_string_value(json_object_get(c->body, key));
	return s ? s : or_else;
}

const char *text_of(const json_t *obj, const char *key)
{
	const char *s = json_string_value(json_object_get(obj, key));
	return s ? s : "";
}

int64_t int_of(const json_t *obj, const char *key)
{
	return json_integer_value(json_object_get(obj, key));
}

json_t *load(struct lode_api *api, enum lode_store_kind kind, const char *parent, const char *id,
	int64_t *rev, struct lode_err *err)
{
	struct lode_store_doc doc;
	if (lode_store_get(api->store, kind, parent, id, &doc, err))
		return NULL;
	json_error_t where;
	json_t *v = json_loads(doc.text, 0, &where);
	if (!v)
		lode_err_set(err, -EIO, "the stored document %s is damaged: %s", id, where.text);
	if (rev)
		*rev = doc.rev;
	lode_store_doc_clear(&doc);
	return v;
}

int save(struct lode_api *api, enum lode_store_kind kind, const char *parent, const char *id,
	const char *tag, const json_t *doc, int64_t rev, struct lode_err *err)
{
	char *text = json_dumps(doc, JSON_COMPACT);
	int rc = text ? lode_store_put(api->store, kind, parent, id, tag, text, rev, err)
		      : lode_err_set(err, -ENOMEM, "no memory for a document");
	free(text);
	return rc;
}

struct listing {
	struct call *c;
	json_t *items;
	json_t *(*make)(struct call *c, const struct lode_store_doc *doc);
	unsigned n, limit;
	char next[LODE_STORE_ID_MAX];
};

static int list_one(void *ctx, const struct lode_store_doc *doc)
{
	struct listing *l = ctx;
	if (l->limit && l->n == l->limit)
		return 1; /* there is a further page */
	l->n++;
	snprintf(l->next, sizeof(l->next), "%s", doc->id);
	json_t *item = l->make(l->c, doc);
	if (item)
		json_array_append_new(l->items, item);
	return 0;
}

unsigned page_limit(struct call *c)
{
	const char *limit = c->req->query(c->req->ctx, "limit");
	unsigned long n = limit ? strtoul(limit, NULL, 10) : PAGE_DEFAULT;
	return (unsigned)LODE_MIN(LODE_MAX(n, 1ul), (unsigned long)PAGE_MAX);
}

void answer_list(struct call *c, enum lode_store_kind kind, const char *parent, const char *key,
	json_t *(*make)(struct call *c, const struct lode_store_doc *doc))
{
	struct listing l = {.c = c, .items = json_array(), .make = make};
	struct lode_store_query q = {.parent = parent};
	struct lode_err err;
	if (c->v2) {
		l.limit = page_limit(c);
		q.after_id = c->req->query(c->req->ctx, "after");
		q.limit = l.limit + 1;
	}
	int rc = lode_store_list(c->api->store, kind, &q, list_one, &l, &err);
	if (rc < 0) {
		json_decref(l.items);
		answer_err(c, &err);
	} else if (c->v2) {
		answer(c, 200,
			json_pack("{s:o,s:s?}", "items", l.items, "next", rc == 1 ? l.next : NULL));
	} else {
		answer(c, 200, key ? json_pack("{s:o}", key, l.items) : l.items);
	}
}

int audit(struct call *c, const char *action, const char *object, const json_t *detail,
	struct lode_err *err)
{
	char *text = detail ? json_dumps(detail, JSON_COMPACT) : NULL;
	struct lode_audit e = {
		.time_ms = c->req->now_ms,
		.actor = *c->req->who.name ? c->req->who.name : "anybody",
		.action = action,
		.object = object,
		.detail = text ? text : "{}",
	};
	int rc = lode_store_audit(c->api->store, &e, err);
	free(text);
	return rc;
}
