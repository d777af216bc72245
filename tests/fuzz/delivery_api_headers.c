/* SPDX-License-Identifier: BSD-3-Clause */
/* Whole requests: a line with role, method, path and query, header lines, an empty line, the body, which may be an
 * upload. Nobody, devices and viewers change nothing that is not theirs. */
#include "api_fuzz.h"

#define PAIRS_MAX 12

struct pairs {
	unsigned n;
	const char *pair[PAIRS_MAX][2];
};

struct message {
	struct pairs headers, query;
};

static const char *value_in(const struct pairs *p, const char *name)
{
	for (unsigned i = 0; i < p->n; i++)
		if (!strcmp(p->pair[i][0], name))
			return p->pair[i][1];
	return NULL;
}

static const char *header(void *ctx, const char *name)
{
	return value_in(&((struct message *)ctx)->headers, name);
}

static const char *query(void *ctx, const char *name)
{
	return value_in(&((struct message *)ctx)->query, name);
}

static void add_pair(struct pairs *p, char *text, char separator)
{
	char *at = text;
	if (p->n == PAIRS_MAX)
		return;
	p->pair[p->n][0] = word(&at, separator);
	p->pair[p->n++][1] = at + strspn(at, " ");
}

/* Role, method, path and query off the first line, then the headers; returns the body. */
static char *read_head(char *at, struct lode_api_request *req, struct message *m)
{
	char *line = word(&at, '\n');
	req->who.role = (enum lode_api_role)(*line ? (*line++ - '0') & 7 : 0);
	if (req->who.role > LODE_ROLE_ADMIN)
		req->who.role = LODE_ROLE_NONE;
	snprintf(req->who.name, sizeof(req->who.name), "d");
	line += strspn(line, " ");
	req->method = word(&line, ' ');
	req->path = word(&line, '?');
	while (*line)
		add_pair(&m->query, word(&line, '&'), '=');
	while (*at && *(line = word(&at, '\n')))
		add_pair(&m->headers, line, ':');
	return at;
}

static void ask(const struct lode_api_request *req, size_t n_body)
{
	struct lode_api_reply reply = {0};
	struct lode_blob_writer *w = NULL;
	struct lode_err err;
	bool refused = false;
	if (lode_api_body(req->method, req->path) == LODE_BODY_BLOB)
		refused = lode_api_upload_begin(the_api, req, &w, &reply) != 0;
	if (w)
		lode_blob_write(w, req->body, n_body, &err);
	if (!refused)
		lode_api_handle(the_api, req, w, &reply);
	if (!reply.status)
		abort(); /* every request has an answer */
	bool changes = strcmp(req->method, "GET") != 0 && strcmp(req->method, "HEAD") != 0;
	bool open_to_all = strstr(req->path, "/heartbeat") || strstr(req->path, "/enrol") ||
			   strstr(req->path, "/renew");
	if (changes && !open_to_all && req->who.role < LODE_ROLE_OPERATOR && reply.status < 400)
		abort(); /* who may only read has changed something */
	lode_api_reply_clear(&reply);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int64_t now_ms = 1700000000000;
	char *copy = calloc(1, size + 1);
	struct message m = {0};
	if (!copy)
		return 0;
	memcpy(copy, data, size);
	if (!the_api)
		open_api(false);
	struct lode_api_request req = {
		.header = header, .query = query, .ctx = &m, .now_ms = now_ms += 1000};
	char *body = read_head(copy, &req, &m);
	req.body = body;
	req.body_len = strlen(body);
	const char *length = header(&m, "Content-Length");
	req.content_length = length ? strtoull(length, NULL, 10) : 0;
	ask(&req, req.body_len);
	lode_api_tick(the_api, now_ms);
	if (!(now_ms / 1000 % 64)) {
		lode_api_make_delta(the_api, now_ms);
		lode_api_collect(the_api, now_ms + 86400000);
	}
	free(copy);
	return 0;
}
