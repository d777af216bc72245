/* SPDX-License-Identifier: BSD-3-Clause */
#include "http.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define BACKLOG		     1024 /* a fleet's heartbeats while something takes a second */
#define CONNECTIONS_MAX	     1024
#define IDLE_TIMEOUT_S	     60
#define CONNECTION_MEM_BYTES (64 * 1024)
#define BODY_STEP_BYTES	     4096

const char *get_header(void *ctx, const char *name)
{
	return MHD_lookup_connection_value(ctx, MHD_HEADER_KIND, name);
}

static const char *get_query(void *ctx, const char *name)
{
	return MHD_lookup_connection_value(ctx, MHD_GET_ARGUMENT_KIND, name);
}

/* ---- who asks ---- */

static bool peer_uid(const struct lode_http *h, struct MHD_Connection *conn, uid_t *uid)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(conn, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct ucred cred;
	socklen_t len = sizeof(cred);
	if (!h->options.socket_path || !info ||
		getsockopt(info->connect_fd, SOL_SOCKET, SO_PEERCRED, &cred, &len))
		return false;
	*uid = cred.uid;
	return true;
}

/* nginx sets these from the verified client certificate, and takes them out of what clients send. What the
 * serial number may do is ours to know. False: no certificate was shown. */
static bool identity_from_proxy(
	struct lode_http *h, struct MHD_Connection *conn, struct incoming *in)
{
	const char *verified = get_header(conn, "X-Lodestone-Verified");
	const char *serial = get_header(conn, "X-Lodestone-Serial");
	if (!verified || strcmp(verified, "SUCCESS") != 0 || !serial)
		return false;
	lode_api_certificate_identity(h->api, serial, in->req.now_ms, &in->req.who);
	return true;
}

/* Who connects without a proxy is who the kernel says. */
static void identity_from_kernel(struct lode_http *h, uid_t uid, struct lode_api_identity *who)
{
	if (uid == 0 || uid == geteuid())
		who->role = LODE_ROLE_ADMIN;
	else if (h->options.local_role)
		who->role = h->options.local_role(h->options.local_role_ctx, uid);
	if (who->role != LODE_ROLE_NONE)
		snprintf(who->name, sizeof(who->name), "local-%u", (unsigned)uid);
}

static void identify(struct lode_http *h, struct MHD_Connection *conn, struct incoming *in)
{
	const char *token = get_header(conn, "Authorization");
	struct lode_api_identity *who = &in->req.who;
	uid_t uid;
	if (peer_uid(h, conn, &uid)) {
		in->by_proxy = h->options.proxy_uid != (uid_t)-1 && uid == h->options.proxy_uid;
		/* A certificate that is refused is not made good by a token. */
		if (in->by_proxy && identity_from_proxy(h, conn, in))
			return;
		if (!in->by_proxy)
			identity_from_kernel(h, uid, who);
	}
	if (who->role == LODE_ROLE_NONE && token && !strncmp(token, "Bearer ", 7))
		lode_api_token_identity(h->api, token + 7, in->req.now_ms, who);
}

/* ---- answers ---- */

enum MHD_Result queue(struct MHD_Connection *conn, int status, struct MHD_Response *r)
{
	enum MHD_Result ok = r ? MHD_queue_response(conn, (unsigned)status, r) : MHD_NO;
	if (r)
		MHD_destroy_response(r);
	return ok;
}

void add_headers(struct MHD_Response *r, const struct lode_api_reply *reply)
{
	if (reply->type)
		MHD_add_response_header(r, "Content-Type", reply->type);
	for (unsigned i = 0; i < reply->n_headers; i++)
		MHD_add_response_header(r, reply->headers[i].name, reply->headers[i].value);
	MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
}

enum MHD_Result send_empty(
	struct MHD_Connection *conn, int status, const char *name, const char *value)
{
	struct MHD_Response *r = MHD_create_response_from_buffer(0, "", MHD_RESPMEM_PERSISTENT);
	if (r && name)
		MHD_add_response_header(r, name, value);
	return queue(conn, status, r);
}

/* FNV-1a: a client that has seen the same answer need not read it again. */
static void body_etag(const struct lode_api_reply *reply, char etag[24])
{
	uint64_t hash = 0xcbf29ce484222325ull;
	for (size_t i = 0; i < reply->body_len; i++)
		hash = (hash ^ (uint8_t)reply->body[i]) * 0x100000001b3ull;
	snprintf(etag, 24, "W/\"%016llx\"", (unsigned long long)hash);
}

static enum MHD_Result send_reply(struct lode_http *h, struct MHD_Connection *conn,
	const struct incoming *in, struct lode_api_reply *reply)
{
	char etag[24];
	if (*reply->blob)
		return send_blob(h, conn, in, reply);
	const char *none_match = get_header(conn, "If-None-Match");
	bool readable = reply->status == 200 && !strcmp(in->req.method, "GET");
	body_etag(reply, etag);
	if (readable && none_match && strstr(none_match, etag))
		return send_empty(conn, MHD_HTTP_NOT_MODIFIED, "ETag", etag);
	struct MHD_Response *r = MHD_create_response_from_buffer(
		reply->body_len, reply->body ? reply->body : "", MHD_RESPMEM_MUST_COPY);
	if (r) {
		add_headers(r, reply);
		if (readable)
			MHD_add_response_header(r, "ETag", etag);
		if (reply->status == 401)
			MHD_add_response_header(r, "WWW-Authenticate", "Bearer");
	}
	return queue(conn, reply->status, r);
}

/* ---- a request's way ---- */

static struct incoming *begin(
	struct lode_http *h, struct MHD_Connection *conn, const char *url, const char *method)
{
	struct incoming *in = calloc(1, sizeof(*in));
	if (!in)
		return NULL;
	const char *length = get_header(conn, "Content-Length");
	in->req = (struct lode_api_request){
		.method = method,
		.path = url,
		.header = get_header,
		.query = get_query,
		.ctx = conn,
		.content_length = length ? strtoull(length, NULL, 10) : 0,
		.now_ms = h->options.now_ms(),
	};
	in->kind = lode_api_body(method, url);
	identify(h, conn, in);
	return in;
}

static int take_json(struct incoming *in, const char *bytes, size_t n)
{
	if (in->req.body_len + n > LODE_API_BODY_MAX)
		return MHD_HTTP_CONTENT_TOO_LARGE;
	if (in->req.body_len + n + 1 > in->body_room) {
		size_t room = 2 * (in->req.body_len + n) + BODY_STEP_BYTES;
		char *body = realloc(in->body, room);
		if (!body)
			return MHD_HTTP_INTERNAL_SERVER_ERROR;
		in->body = body;
		in->body_room = room;
	}
	memcpy(in->body + in->req.body_len, bytes, n);
	in->req.body_len += n;
	in->body[in->req.body_len] = 0;
	in->req.body = in->body;
	return 0;
}

static int take_bytes(struct incoming *in, const char *bytes, size_t n)
{
	struct lode_err err;
	if (in->kind == LODE_BODY_JSON)
		return take_json(in, bytes, n);
	if (!in->writer)
		return 0; /* a body nobody asked for is read and dropped */
	if (lode_blob_written(in->writer) + n > LODE_API_BLOB_MAX)
		return MHD_HTTP_CONTENT_TOO_LARGE;
	int rc = lode_blob_write(in->writer, bytes, n, &err);
	return rc == -ENOSPC ? MHD_HTTP_INSUFFICIENT_STORAGE
	       : rc	     ? MHD_HTTP_INTERNAL_SERVER_ERROR
			     : 0;
}

static void count(struct lode_http *h, const struct lode_api_reply *reply, uint64_t spent_ns)
{
	h->stats.by_class[LODE_MIN((unsigned)reply->status / 100, 5u)]++;
	h->stats.reply_bytes += reply->body_len;
	lode_hist_add(&h->stats.answer_ns, spent_ns);
}

static void handle(struct lode_http *h, struct incoming *in)
{
	if (!h->options.page ||
		!h->options.page(h->options.page_ctx, &in->req, &h->stats, &in->reply))
		lode_api_handle(h->api, &in->req, in->writer, &in->reply);
	in->writer = NULL;
}

static enum MHD_Result finish(struct lode_http *h, struct MHD_Connection *conn, struct incoming *in)
{
	if (in->failed)
		return send_empty(conn, in->failed, NULL, NULL);
	if (in->refusal.status)
		return send_reply(h, conn, in, &in->refusal);
	if (in->step != ENDING) {
		bool upload = in->writer;
		in->step = ENDING;
		in->start_ns = h->options.now_ns();
		if (upload && h->aside) {
			aside_do(h->aside, conn, in);
			return MHD_YES;
		}
		handle(h, in);
	}
	enum MHD_Result rc = send_reply(h, conn, in, &in->reply);
	count(h, &in->reply, h->options.now_ns() - in->start_ns);
	return rc;
}

/* The body may come. Who asks before sending it is told of a refusal at once: nobody sends a gigabyte for a
 * 409. Else the bytes are read and dropped, for an answer with bytes left unread can get lost. */
static enum MHD_Result opened(struct lode_http *h, struct MHD_Connection *conn, struct incoming *in)
{
	in->step = OPEN;
	bool refused = in->failed || in->refusal.status;
	if (!refused || !get_header(conn, "Expect"))
		return MHD_YES;
	return in->failed ? send_empty(conn, in->failed, NULL, NULL)
			  : send_reply(h, conn, in, &in->refusal);
}

/* The head is there, the body is not. */
static enum MHD_Result welcome(
	struct lode_http *h, struct MHD_Connection *conn, struct incoming *in)
{
	if (in->kind == LODE_BODY_JSON && in->req.content_length > LODE_API_BODY_MAX)
		in->failed = MHD_HTTP_CONTENT_TOO_LARGE;
	if (in->kind == LODE_BODY_BLOB && h->aside) {
		in->step = OPENING;
		aside_do(h->aside, conn, in);
		return MHD_YES;
	}
	if (in->kind == LODE_BODY_BLOB)
		lode_api_upload_begin(h->api, &in->req, &in->writer, &in->refusal);
	return opened(h, conn, in);
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *conn, const char *url,
	const char *method, const char *version, const char *data, size_t *n_data, void **state)
{
	struct lode_http *h = cls;
	struct incoming *in = *state;
	(void)version;
	if (!in) {
		in = *state = begin(h, conn, url, method);
		if (!in)
			return MHD_NO;
		return welcome(h, conn, in);
	}
	if (in->step == OPENING)
		return opened(h, conn, in);
	if (*n_data) {
		if (!in->failed)
			in->failed = take_bytes(in, data, *n_data);
		*n_data = 0;
		return MHD_YES;
	}
	return finish(h, conn, in);
}

static void on_end(
	void *cls, struct MHD_Connection *conn, void **state, enum MHD_RequestTerminationCode why)
{
	struct incoming *in = *state;
	(void)cls, (void)conn, (void)why;
	if (!in)
		return;
	if (in->writer)
		lode_blob_suspend(in->writer);
	lode_api_reply_clear(&in->refusal);
	lode_api_reply_clear(&in->reply);
	free(in->body);
	free(in);
}

/* ---- sockets ---- */

static int listen_unix(struct lode_http *h, const char *path, struct lode_err *err)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(addr.sun_path))
		return lode_err_set(err, -ENAMETOOLONG, "%s: a socket's path has up to %zu bytes",
			path, sizeof(addr.sun_path) - 1);
	memcpy(addr.sun_path, path, strlen(path) + 1);
	int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool alive = probe >= 0 && !connect(probe, (struct sockaddr *)&addr, sizeof(addr));
	if (probe >= 0)
		close(probe);
	if (alive)
		return lode_err_set(err, -EADDRINUSE, "%s: another manager answers on it", path);
	unlink(path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* Everybody may connect: who it is decides. */
	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) || chmod(path, 0666) ||
		listen(fd, BACKLOG)) {
		int rc = lode_err_set(err, -errno, "%s: %s", path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return rc;
	}
	snprintf(h->socket_path, sizeof(h->socket_path), "%s", path);
	return fd;
}

static int listen_loopback(uint16_t port, struct lode_err *err)
{
	struct sockaddr_in addr = {.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
		bind(fd, (struct sockaddr *)&addr, sizeof(addr)) || listen(fd, BACKLOG)) {
		int rc = lode_err_set(err, -errno, "127.0.0.1:%u: %s", port, strerror(errno));
		if (fd >= 0)
			close(fd);
		return rc;
	}
	return fd;
}

int lode_http_new(const struct lode_http_options *options, struct lode_api *api,
	struct lode_http **out, struct lode_err *err)
{
	struct lode_http *h = calloc(1, sizeof(*h));
	if (!h)
		return lode_err_set(err, -ENOMEM, "no memory for the server");
	h->options = *options;
	h->api = api;
	int fd = options->socket_path ? listen_unix(h, options->socket_path, err)
				      : listen_loopback(options->port, err);
	if (fd < 0) {
		free(h);
		return fd;
	}
	h->daemon = MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL,
		on_request, h, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_NOTIFY_COMPLETED, on_end,
		NULL, MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
		IDLE_TIMEOUT_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEM_BYTES,
		MHD_OPTION_END);
	if (!h->daemon) {
		close(fd);
		free(h);
		return lode_err_set(err, -EIO, "the HTTP server does not start");
	}
	int rc = options->upload_api ? aside_new(options->upload_api, &h->aside, err) : 0;
	if (rc) {
		lode_http_free(h);
		return rc;
	}
	*out = h;
	return 0;
}

void lode_http_free(struct lode_http *h)
{
	if (!h)
		return;
	aside_free(h->aside); /* a suspended connection cannot be closed */
	MHD_stop_daemon(h->daemon);
	if (*h->socket_path)
		unlink(h->socket_path);
	free(h);
}

int lode_http_run(struct lode_http *h, int timeout_ms)
{
	return MHD_run_wait(h->daemon, timeout_ms) == MHD_YES ? 0 : -EIO;
}
