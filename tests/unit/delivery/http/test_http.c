/* SPDX-License-Identifier: BSD-3-Clause */
/* Who asks, over a real UNIX socket: server and client take turns in one thread. The test's own user is the proxy in one
 * half of the tests and a local user in the other. */
#include <criterion/criterion.h>

#include "lode_http.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define NOW_MS	    INT64_C(1700000000000)
#define REPLY_BYTES 65536

static struct {
	char dir[64], socket[100], db[100], blobs[100], ca[100];
	struct lode_api *api, *upload_api;
	struct lode_http *http;
	char reply[REPLY_BYTES];
} the;

static int64_t now_ms(void)
{
	return NOW_MS;
}

static uint64_t now_ns(void)
{
	return 0;
}

static void serve(uid_t proxy_uid, bool aside)
{
	struct lode_err err = {0};
	snprintf(the.dir, sizeof(the.dir), "/tmp/lodestone-test-XXXXXX");
	cr_assert_not_null(mkdtemp(the.dir));
	snprintf(the.socket, sizeof(the.socket), "%s/sock", the.dir);
	snprintf(the.db, sizeof(the.db), "%s/db", the.dir);
	snprintf(the.blobs, sizeof(the.blobs), "%s/blobs", the.dir);
	snprintf(the.ca, sizeof(the.ca), "%s/ca", the.dir);
	struct lode_api_options api = {.offline_s = 300, .ca_dir = the.ca, .now_ms = NOW_MS};
	struct lode_http_options http = {.socket_path = the.socket,
		.proxy_uid = proxy_uid,
		.accel_prefix = "/blobs",
		.now_ms = now_ms,
		.now_ns = now_ns};
	cr_assert_eq(lode_api_new(&api, the.db, the.blobs, &the.api, &err), 0, "%s", err.msg);
	if (aside)
		cr_assert_eq(lode_api_new(&api, the.db, the.blobs, &the.upload_api, &err), 0, "%s",
			err.msg);
	http.upload_api = the.upload_api;
	cr_assert_eq(lode_http_new(&http, the.api, &the.http, &err), 0, "%s", err.msg);
}

static void as_local(void)
{
	serve((uid_t)-1, false);
}

static void as_local_with_a_thread(void)
{
	serve((uid_t)-1, true);
}

static void as_proxy(void)
{
	serve(geteuid(), false);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static void end(void)
{
	lode_http_free(the.http);
	lode_api_free(the.upload_api);
	lode_api_free(the.api);
	nftw(the.dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* A whole answer has its head and as many bytes as that says. */
static bool whole(size_t n)
{
	the.reply[n] = 0;
	const char *body = strstr(the.reply, "\r\n\r\n");
	const char *length = strstr(the.reply, "Content-Length: ");
	return body && length &&
	       n >= (size_t)(body + 4 - the.reply) + strtoull(length + 16, NULL, 10);
}

/* Sends a request, or what there is of it, as it stands; the connection. */
static int begin_text(const char *text)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	memcpy(addr.sun_path, the.socket, strlen(the.socket) + 1);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

/* The status of the answer. */
static int end_text(int fd)
{
	size_t n = 0;
	for (int i = 0; i < 1000 && !whole(n); i++) {
		cr_assert_eq(lode_http_run(the.http, 10), 0);
		ssize_t got = recv(fd, the.reply + n, sizeof(the.reply) - 1 - n, 0);
		n += got > 0 ? (size_t)got : 0;
	}
	close(fd);
	lode_http_run(the.http, 0);
	cr_assert(whole(n), "no whole answer: %s", the.reply);
	return atoi(the.reply + strlen("HTTP/1.1 "));
}

static int send_text(const char *text)
{
	return end_text(begin_text(text));
}

static int ask(const char *method, const char *path, const char *headers, const char *body)
{
	char text[4096];
	snprintf(text, sizeof(text), "%s %s HTTP/1.1\r\nHost: m\r\nContent-Length: %zu\r\n%s\r\n%s",
		method, path, strlen(body), headers, body);
	return send_text(text);
}

/* A certificate of the manager's, made over the API itself; its serial number. */
static void certificate(const char *name, enum lode_api_role role, char serial[LODE_CA_SERIAL_HEX])
{
	char body[200], secret[300], *key, *csr, *text = NULL;
	struct lode_api_reply reply = {0};
	struct lode_err err;
	struct lode_api_request req = {.method = "POST",
		.path = "/api/v2/enrolments",
		.header = NULL,
		.who = {LODE_ROLE_ADMIN, "test"},
		.now_ms = NOW_MS,
		.body = body,
		.body_len = (size_t)snprintf(body, sizeof(body),
			"{\"name\":\"%s\",\"role\":\"%s\"}", name, lode_api_role_name(role))};
	lode_api_handle(the.api, &req, NULL, &reply);
	cr_assert_eq(reply.status, 201);
	snprintf(secret, sizeof(secret), "%s", strstr(reply.body, "\"token\":\"") + 9);
	*strchr(secret, '"') = 0;
	lode_api_reply_clear(&reply);
	cr_assert_eq(lode_ca_request(name, &key, &csr, &err), 0);
	for (char *p = csr; *p; p++)
		*p = *p == '\n' ? '~' : *p;
	cr_assert_gt(asprintf(&text, "{\"token\":\"%s\",\"csr\":\"", secret), 0);
	size_t room = strlen(text) + 2 * strlen(csr) + 3, n = strlen(text);
	text = realloc(text, room);
	for (char *p = csr; *p; p++)
		n += (size_t)snprintf(text + n, room - n, *p == '~' ? "\\n" : "%c", *p);
	snprintf(text + n, room - n, "\"}");
	req.path = "/api/v2/enrol";
	req.body = text;
	req.body_len = strlen(text);
	lode_api_handle(the.api, &req, NULL, &reply);
	cr_assert_eq(reply.status, 201, "%s", reply.body);
	snprintf(serial, LODE_CA_SERIAL_HEX, "%s", strstr(reply.body, "\"serial\":\"") + 10);
	lode_api_reply_clear(&reply);
	free(key), free(csr), free(text);
}

static int ask_as(const char *serial, const char *method, const char *path, const char *body)
{
	char headers[200];
	snprintf(headers, sizeof(headers),
		"X-Lodestone-Verified: SUCCESS\r\nX-Lodestone-Serial: %s\r\n", serial);
	return ask(method, path, headers, body);
}

Test(http, the_proxy_says_which_certificate_was_shown, .init = as_proxy, .fini = end)
{
	char edge[LODE_CA_SERIAL_HEX], ann[LODE_CA_SERIAL_HEX], headers[200], path[200];
	certificate("edge-1", LODE_ROLE_DEVICE, edge);
	certificate("ann", LODE_ROLE_OPERATOR, ann);
	cr_assert_eq(ask("GET", "/api/v2/devices", "", ""), 401);
	cr_assert_eq(ask_as(ann, "GET", "/api/v2/devices", ""), 200);
	cr_assert_eq(ask_as(edge, "GET", "/api/v2/devices", ""), 403);
	cr_assert_eq(ask_as(edge, "POST", "/api/v1/devices/edge-1/heartbeat", "{}"), 200);
	cr_assert_eq(ask_as(edge, "POST", "/api/v1/devices/ann/heartbeat", "{}"), 403);
	cr_assert_eq(ask_as("0123456789ABCDEF0123456789ABCDEF", "GET", "/api/v2/devices", ""), 401);
	cr_assert_eq(ask_as("", "GET", "/api/v2/devices", ""), 401);
	/* What nginx could not verify is nobody's. */
	snprintf(headers, sizeof(headers),
		"X-Lodestone-Verified: FAILED:expired\r\nX-Lodestone-Serial: %s\r\n", ann);
	cr_assert_eq(ask("GET", "/api/v2/devices", headers, ""), 401);
	snprintf(path, sizeof(path), "/api/v2/certificates/%s/revoke", ann);
	cr_assert_eq(ask_as(ann, "POST", path, ""), 200);
	cr_assert_eq(ask_as(ann, "GET", "/api/v2/devices", ""), 401);
}

Test(http, a_refused_certificate_is_not_made_good_by_a_token, .init = as_proxy, .fini = end)
{
	char headers[400], token[100];
	struct lode_api_reply reply = {0};
	const char body[] = "{\"name\":\"ann\",\"role\":\"admin\"}";
	struct lode_api_request req = {.method = "POST",
		.path = "/api/v2/tokens",
		.who = {LODE_ROLE_ADMIN, "test"},
		.now_ms = NOW_MS,
		.body = body,
		.body_len = strlen(body)};
	lode_api_handle(the.api, &req, NULL, &reply);
	snprintf(token, sizeof(token), "%.48s", strstr(reply.body, "\"token\":\"") + 9);
	lode_api_reply_clear(&reply);
	snprintf(headers, sizeof(headers), "Authorization: Bearer %s\r\n", token);
	cr_assert_eq(ask("GET", "/api/v2/devices", headers, ""), 200);
	snprintf(headers, sizeof(headers),
		"Authorization: Bearer %s\r\nX-Lodestone-Verified: SUCCESS\r\n"
		"X-Lodestone-Serial: 0123456789ABCDEF0123456789ABCDEF\r\n",
		token);
	cr_assert_eq(ask("GET", "/api/v2/devices", headers, ""), 401);
	cr_assert_eq(ask("GET", "/api/v2/devices", "Authorization: Bearer guess\r\n", ""), 401);
}

Test(http, blobs_are_sent_by_the_proxy, .init = as_proxy, .fini = end)
{
	char ann[LODE_CA_SERIAL_HEX];
	certificate("ann", LODE_ROLE_OPERATOR, ann);
	cr_assert_eq(ask_as(ann, "POST", "/api/v1/models/m/versions/1", "abc"), 201);
	cr_assert_eq(ask_as(ann, "GET", "/api/v1/models/m/versions/1/download", ""), 200);
	cr_assert(strstr(the.reply, "X-Accel-Redirect: /blobs/ba/ba7816bf8f01cfea"));
	cr_assert(strstr(the.reply, "Content-Length: 0\r\n"));
}

Test(http, nobody_but_the_proxy_is_believed, .init = as_local, .fini = end)
{
	char edge[LODE_CA_SERIAL_HEX];
	certificate("edge-1", LODE_ROLE_DEVICE, edge);
	/* The socket says who it is: this process's own user, whatever the headers claim. */
	cr_assert_eq(ask_as(edge, "GET", "/api/v2/devices", ""), 200);
	cr_assert_eq(ask_as(edge, "POST", "/api/v1/models/m/versions/1", "abc"), 201);
	cr_assert_eq(ask("GET", "/api/v1/models/m/versions/1/download", "", ""), 200);
	cr_assert(strstr(the.reply, "\r\n\r\nabc"));
	cr_assert_not(strstr(the.reply, "X-Accel-Redirect"));
}

Test(http, ranges_tags_and_limits, .init = as_local, .fini = end)
{
#define SHA "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	static const char download[] = "/api/v1/models/m/versions/1/download";
	cr_assert_eq(ask("POST", "/api/v1/models/m/versions/1", "", "abc"), 201);
	cr_assert_eq(ask("GET", download, "Range: bytes=1-\r\n", ""), 206);
	cr_assert(strstr(the.reply, "Content-Range: bytes 1-2/3"));
	cr_assert(strstr(the.reply, "\r\n\r\nbc"));
	cr_assert_eq(ask("GET", download, "Range: bytes=3-\r\n", ""), 416);
	cr_assert_eq(ask("GET", download, "Range: bytes=1-\r\nIf-Range: \"" SHA "\"\r\n", ""), 206);
	cr_assert_eq(ask("GET", download, "Range: bytes=1-\r\nIf-Range: \"other\"\r\n", ""), 200);
	cr_assert_eq(ask("GET", download, "If-None-Match: \"" SHA "\"\r\n", ""), 304);
	cr_assert_eq(send_text("POST /api/v1/devices HTTP/1.1\r\nHost: m\r\n"
			       "Content-Length: 3000000\r\nExpect: 100-continue\r\n\r\n"),
		413);
}

/* Who asks before sending is answered before, who does not is read to the end. */
Test(http, refused_uploads_have_an_answer, .init = as_proxy, .fini = end)
{
	cr_assert_eq(send_text("POST /api/v1/models/m/versions/1 HTTP/1.1\r\nHost: m\r\n"
			       "Content-Length: 9000000000\r\nExpect: 100-continue\r\n\r\n"),
		401);
	cr_assert_eq(ask("POST", "/api/v1/models/m/versions/1", "", "abc"), 401);
}

static bool nothing_came(int fd)
{
	char byte;
	return recv(fd, &byte, 1, MSG_PEEK) < 0;
}

#define UPLOAD(version)                                                      \
	"POST /api/v1/models/m/versions/" version " HTTP/1.1\r\nHost: m\r\n" \
	"Content-Length: 3\r\n\r\nabc"

/* Somebody holds the database, so an upload cannot end: that stands for a slow bucket. */
static struct lode_store *hold_database(void)
{
	struct lode_store *s;
	struct lode_err err = {0};
	cr_assert_eq(lode_store_open(the.db, &s, &err), 0, "%s", err.msg);
	cr_assert_eq(lode_store_begin(s, false, &err), 0, "%s", err.msg);
	return s;
}

Test(http, others_are_answered_while_an_upload_ends, .init = as_local_with_a_thread, .fini = end)
{
	struct lode_store *held = hold_database();
	int first = begin_text(UPLOAD("1")), second = begin_text(UPLOAD("2"));
	for (unsigned i = 0; i < 20; i++)
		cr_assert_eq(ask("GET", "/api/v2/models", "", ""), 200);
	cr_assert(nothing_came(first) && nothing_came(second));
	lode_store_rollback(held);
	lode_store_close(held);
	cr_assert_eq(end_text(first), 201);
	cr_assert_eq(end_text(second), 201);
	cr_assert_eq(ask("POST", "/api/v1/models/m/versions/1", "", "abd"), 409);
	cr_assert_eq(ask("POST", "/api/v1/models/m/versions/3", "", "abc"), 201);
}

Test(http, it_ends_while_uploads_wait, .init = as_local_with_a_thread, .fini = end)
{
	struct lode_store *held = hold_database();
	begin_text(UPLOAD("1"));
	begin_text(UPLOAD("2"));
	for (unsigned i = 0; i < 20; i++)
		cr_assert_eq(ask("GET", "/api/v2/models", "", ""), 200);
	lode_store_rollback(held);
	lode_store_close(held);
}

Test(http, an_upload_has_one_writer_and_is_refused_before_its_bytes, .init = as_local_with_a_thread,
	.fini = end)
{
	static const char put[] = "PUT %s HTTP/1.1\r\nHost: m\r\nContent-Length: 3\r\n"
				  "Upload-Offset: 0\r\n%s\r\n%s";
	char path[200], text[400];
	cr_assert_eq(ask("POST", "/api/v2/uploads", "",
			     "{\"model_id\":\"m\",\"version\":\"1\",\"sha256\":\"" SHA "\"}"),
		201);
	snprintf(path, sizeof(path), "/api/v2/uploads/%.67s", strstr(the.reply, "up-"));
	snprintf(text, sizeof(text), put, path, "Upload-Complete: ?1\r\n", "a");
	int first = begin_text(text);
	while (ask("GET", path, "", "") != 200 || !strstr(the.reply, "\"offset\":1"))
		;
	snprintf(text, sizeof(text), put, path, "Expect: 100-continue\r\n", "");
	cr_assert_eq(send_text(text), 409);
	cr_assert(strstr(the.reply, "another request"));
	cr_assert_eq(write(first, "bc", 2), 2);
	cr_assert_eq(end_text(first), 201);
	cr_assert_eq(send_text(text), 404);
}
