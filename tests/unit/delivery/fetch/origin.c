/* SPDX-License-Identifier: BSD-3-Clause */
#include "origin.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <openssl/evp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define STEP_BYTES 16384

struct connection {
	struct origin *o;
	int fd;
	unsigned n;
};

static bool send_all(struct connection *c, const void *bytes, size_t len)
{
	const char *p = bytes;
	while (len) {
		ssize_t n = send(c->fd, p, len, MSG_NOSIGNAL);
		if (n <= 0)
			return false;
		c->o->sent_bytes += (unsigned long long)n;
		p += n;
		len -= (size_t)n;
	}
	return true;
}

static void send_body(struct connection *c, size_t first)
{
	struct origin *o = c->o;
	enum manner manner = o->manner;
	size_t left = o->cut_max_bytes ? 1 + c->n * 2654435761u % o->cut_max_bytes : SIZE_MAX;
	uint8_t step[STEP_BYTES];
	for (size_t at = first; at < o->n_bytes && left; at += STEP_BYTES) {
		size_t len = o->n_bytes - at < STEP_BYTES ? o->n_bytes - at : STEP_BYTES;
		len = len < left ? len : left;
		memcpy(step, o->bytes + at, len);
		if (manner == WRONG_BYTES && at <= o->n_bytes / 2 && o->n_bytes / 2 < at + len)
			step[o->n_bytes / 2 - at] ^= 1;
		if (!send_all(c, step, len))
			return;
		left -= len;
	}
	while (manner == ENDLESS && send_all(c, step, sizeof(step)))
		;
}

static void reply(struct connection *c, const char *request)
{
	struct origin *o = c->o;
	char head[300];
	size_t first = 0;
	const char *range = strstr(request, "Range: bytes=");
	if (range && o->manner != NO_RANGES)
		first = strtoull(range + 13, NULL, 10);
	if (o->manner == BUSY)
		snprintf(head, sizeof(head),
			"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n");
	else if (!strstr(request, o->sha256))
		snprintf(head, sizeof(head), "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n");
	else if (first >= o->n_bytes)
		snprintf(head, sizeof(head), "HTTP/1.1 416 No\r\nContent-Length: 0\r\n\r\n");
	else if (o->manner == ENDLESS)
		snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
	else
		snprintf(head, sizeof(head),
			"HTTP/1.1 %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
			first ? "206 Part" : "200 OK", o->n_bytes - first);
	if (send_all(c, head, strlen(head)) && head[9] == '2')
		send_body(c, first);
}

static void *serve(void *ctx)
{
	struct connection *c = ctx;
	struct origin *o = c->o;
	char request[2048];
	ssize_t n = recv(c->fd, request, sizeof(request) - 1, 0);
	request[n > 0 ? n : 0] = 0;
	while (o->manner == SILENT && !o->stop)
		usleep(10000);
	if (n > 0 && !o->stop)
		reply(c, request);
	/* What was sent arrives before the end does. */
	shutdown(c->fd, SHUT_WR);
	while (recv(c->fd, request, sizeof(request), 0) > 0)
		;
	close(c->fd);
	free(c);
	o->n_open--;
	return NULL;
}

static void *accept_all(void *ctx)
{
	struct origin *o = ctx;
	struct pollfd p = {.fd = o->listener, .events = POLLIN};
	while (!o->stop) {
		pthread_t thread;
		if (poll(&p, 1, 20) != 1)
			continue;
		int fd = accept(o->listener, NULL, NULL);
		struct connection *c = malloc(sizeof(*c));
		*c = (struct connection){o, fd, (unsigned)o->n_requests++};
		o->n_open++;
		if (pthread_create(&thread, NULL, serve, c))
			abort();
		pthread_detach(thread);
	}
	return NULL;
}

void origin_start(struct origin *o, uint8_t *bytes, size_t n_bytes)
{
	uint8_t digest[32];
	struct sockaddr_in addr = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(addr);
	o->n_bytes = n_bytes;
	o->bytes = bytes ? bytes : malloc(n_bytes);
	for (size_t i = 0; !bytes && i < n_bytes; i++)
		o->bytes[i] = (uint8_t)(i * 2654435761u >> 13);
	EVP_Digest(o->bytes, n_bytes, digest, NULL, EVP_sha256(), NULL);
	for (unsigned i = 0; i < sizeof(digest); i++)
		snprintf(o->sha256 + 2 * i, 3, "%02x", digest[i]);
	o->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(bind(o->listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
	cr_assert_eq(listen(o->listener, 128), 0);
	cr_assert_eq(getsockname(o->listener, (struct sockaddr *)&addr, &len), 0);
	o->port = ntohs(addr.sin_port);
	snprintf(o->url, sizeof(o->url), "http://127.0.0.1:%u/blobs", o->port);
	cr_assert_eq(pthread_create(&o->thread, NULL, accept_all, o), 0);
}

void origin_stop(struct origin *o)
{
	o->stop = true;
	pthread_join(o->thread, NULL);
	while (o->n_open)
		usleep(1000);
	close(o->listener);
	free(o->bytes);
}
