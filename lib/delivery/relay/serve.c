/* SPDX-License-Identifier: BSD-3-Clause */
/* The serving side: libmicrohttpd with a thread of its own. */
#include "relay.h"
#include "lode_http.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define PREFIX		     "/api/v2/blobs/"
#define CONNECTIONS_MAX	     512
#define PER_ADDRESS_MAX	     128
#define IDLE_TIMEOUT_S	     30
#define CONNECTION_MEM_BYTES (32 * 1024)
#define RETRY_AFTER_S	     "1"

static enum MHD_Result queue(struct MHD_Connection *conn, unsigned status, struct MHD_Response *r)
{
	if (!r)
		return MHD_NO;
	enum MHD_Result ok = MHD_queue_response(conn, status, r);
	MHD_destroy_response(r);
	return ok;
}

static enum MHD_Result say(struct MHD_Connection *conn, unsigned status)
{
	return queue(conn, status, MHD_create_response_from_buffer(0, "", MHD_RESPMEM_PERSISTENT));
}

/* Come again: it is on its way. */
static enum MHD_Result say_wait(struct lode_relay *r, struct MHD_Connection *conn)
{
	char received[24];
	struct MHD_Response *reply = MHD_create_response_from_buffer(0, "", MHD_RESPMEM_PERSISTENT);
	snprintf(received, sizeof(received), "%llu",
		(unsigned long long)atomic_load(&r->received_bytes));
	if (reply) {
		MHD_add_response_header(reply, "Retry-After", RETRY_AFTER_S);
		MHD_add_response_header(reply, "X-Lodestone-Received", received);
	}
	return queue(conn, MHD_HTTP_SERVICE_UNAVAILABLE, reply);
}

static enum MHD_Result send_file(
	struct lode_relay *r, struct MHD_Connection *conn, const char *sha256, int fd)
{
	char text[80], etag[LODE_BLOB_HEX + 2];
	off_t size = lseek(fd, 0, SEEK_END);
	uint64_t first, length;
	enum lode_range range =
		lode_http_range(MHD_lookup_connection_value(conn, MHD_HEADER_KIND, "Range"),
			(uint64_t)LODE_MAX(size, 0), &first, &length);
	if (range == LODE_RANGE_BAD || size < 0) {
		close(fd);
		return say(conn, MHD_HTTP_RANGE_NOT_SATISFIABLE);
	}
	struct MHD_Response *reply = MHD_create_response_from_fd_at_offset64(length, fd, first);
	if (!reply) {
		close(fd);
		return MHD_NO;
	}
	snprintf(etag, sizeof(etag), "\"%s\"", sha256);
	MHD_add_response_header(reply, "Content-Type", "application/octet-stream");
	MHD_add_response_header(reply, "ETag", etag);
	MHD_add_response_header(reply, "Accept-Ranges", "bytes");
	if (range == LODE_RANGE_PART) {
		snprintf(text, sizeof(text), "bytes %llu-%llu/%lld", (unsigned long long)first,
			(unsigned long long)(first + length - 1), (long long)size);
		MHD_add_response_header(reply, "Content-Range", text);
	}
	pthread_mutex_lock(&r->lock);
	r->stats.served_bytes += length;
	pthread_mutex_unlock(&r->lock);
	return queue(
		conn, range == LODE_RANGE_PART ? MHD_HTTP_PARTIAL_CONTENT : MHD_HTTP_OK, reply);
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *conn, const char *url,
	const char *method, const char *version, const char *data, size_t *n_data, void **state)
{
	struct lode_relay *r = cls;
	(void)version, (void)data, (void)state;
	if (*n_data || (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0))
		return say(conn, MHD_HTTP_METHOD_NOT_ALLOWED);
	pthread_mutex_lock(&r->lock);
	r->stats.n_requests++;
	pthread_mutex_unlock(&r->lock);
	const char *sha256 = url + strlen(PREFIX);
	if (strncmp(url, PREFIX, strlen(PREFIX)) != 0 || !lode_blob_name_ok(sha256))
		return say(conn, MHD_HTTP_NOT_FOUND);
	int fd = lode_blob_open(r->cache, sha256);
	if (fd >= 0)
		return send_file(r, conn, sha256, fd);
	return relay_want(r, sha256) ? say_wait(r, conn) : say(conn, MHD_HTTP_NOT_FOUND);
}

static int bind_to(const char *address, uint16_t port, struct lode_err *err)
{
	struct sockaddr_in6 a6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	struct sockaddr_in a4 = {.sin_family = AF_INET, .sin_port = htons(port)};
	bool v6 = inet_pton(AF_INET6, address, &a6.sin6_addr) == 1;
	int one = 1;
	if (!v6 && inet_pton(AF_INET, address, &a4.sin_addr) != 1)
		return lode_err_set(err, -EINVAL,
			"the relay listens on an IPv4 or IPv6 address, found '%.60s'", address);
	int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int rc = fd < 0 ? -1 : setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (!rc)
		rc = v6 ? bind(fd, (struct sockaddr *)&a6, sizeof(a6))
			: bind(fd, (struct sockaddr *)&a4, sizeof(a4));
	if (!rc && !listen(fd, SOMAXCONN))
		return fd;
	rc = lode_err_set(err, -errno, "relay: %s port %u: %s", address, port, strerror(errno));
	if (fd >= 0)
		close(fd);
	return rc;
}

int relay_listen(struct lode_relay *r, struct lode_err *err)
{
	int fd = bind_to(r->options.address, r->options.port, err);
	if (fd < 0)
		return fd;
	r->daemon = MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD, 0, NULL, NULL, on_request, r,
		MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX,
		MHD_OPTION_PER_IP_CONNECTION_LIMIT, PER_ADDRESS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
		IDLE_TIMEOUT_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEM_BYTES,
		MHD_OPTION_END);
	if (r->daemon)
		return 0;
	close(fd);
	return lode_err_set(err, -EIO, "the relay does not start");
}
