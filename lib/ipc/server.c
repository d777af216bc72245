/* SPDX-License-Identifier: BSD-3-Clause */
#include "socket.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_BYTES 16384
#define BACKLOG	   8
#define NO_CLIENT  ((uint64_t)-1) /* epoll tag of the listening socket */

struct lode_ipc_client {
	struct lode_ipc_server *server;
	int sock; /* -1: free slot */
	int fd;	  /* received, waiting for its frame; -1 none */
	struct lode_ipc_creds creds;
	struct lode_ipc_decoder in;
	uint8_t *out; /* the answer being sent */
	size_t out_len, out_done;
};

struct lode_ipc_server {
	struct sockaddr_un addr;
	int listener, epoll;
	lode_ipc_handler *handler;
	void *ctx;
	struct lode_ipc_client clients[LODE_IPC_CLIENTS_MAX];
};

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void drop_client(struct lode_ipc_client *c)
{
	close_fd(&c->sock);
	close_fd(&c->fd);
	free(c->out);
	c->out = NULL;
	c->out_len = c->out_done = 0;
	lode_ipc_decoder_fini(&c->in);
}

/* While an answer is on its way no further request is read: a client that does not read its answers
 * waits, it does not make us buffer. */
static void watch(struct lode_ipc_client *c)
{
	struct epoll_event ev = {
		.events = c->out ? EPOLLOUT : EPOLLIN,
		.data.u64 = (uint64_t)(c - c->server->clients),
	};
	epoll_ctl(c->server->epoll, EPOLL_CTL_MOD, c->sock, &ev);
}

static int flush_reply(struct lode_ipc_client *c)
{
	while (c->out_done < c->out_len) {
		ssize_t n = send(c->sock, c->out + c->out_done, c->out_len - c->out_done,
			MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : -errno;
		c->out_done += (size_t)n;
	}
	free(c->out);
	c->out = NULL;
	c->out_len = c->out_done = 0;
	return 0;
}

int lode_ipc_reply(struct lode_ipc_client *c, const char *body, size_t len)
{
	if (len > LODE_IPC_FRAME_MAX)
		return -EMSGSIZE;
	if (c->out)
		return -EALREADY;
	c->out = malloc(HEADER_BYTES + len);
	if (!c->out)
		return -ENOMEM;
	lode_store_be32(c->out, (uint32_t)len);
	memcpy(c->out + HEADER_BYTES, body, len);
	c->out_len = HEADER_BYTES + len;
	return 0;
}

/* Hands over whole requests until one has to wait for its answer to leave. */
static int serve_requests(struct lode_ipc_client *c)
{
	while (!c->out) {
		const char *body;
		long len = lode_ipc_decoder_next(&c->in, &body);
		if (len == -EAGAIN)
			return 0;
		if (len < 0)
			return (int)len;
		c->server->handler(c->server->ctx, c, &c->creds, body, (size_t)len, c->fd);
		close_fd(&c->fd);
		int rc = flush_reply(c);
		if (rc)
			return rc;
	}
	return 0;
}

static int serve_client(struct lode_ipc_client *c, uint32_t events)
{
	int rc = 0;
	if (c->out)
		rc = flush_reply(c);
	else if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
		char buf[READ_BYTES];
		ssize_t n = socket_receive(c->sock, buf, sizeof(buf), &c->fd);
		if (n == 0)
			return -ECONNRESET;
		if (n < 0)
			return n == -EAGAIN || n == -EINTR ? 0 : (int)n;
		rc = lode_ipc_decoder_push(&c->in, buf, (size_t)n);
	}
	return rc ? rc : serve_requests(c);
}

static void accept_client(struct lode_ipc_server *s)
{
	int sock = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (sock < 0)
		return;
	for (unsigned i = 0; i < LODE_IPC_CLIENTS_MAX; i++) {
		struct lode_ipc_client *c = &s->clients[i];
		if (c->sock >= 0)
			continue;
		struct ucred cred = {0};
		socklen_t len = sizeof(cred);
		struct epoll_event ev = {.events = EPOLLIN, .data.u64 = i};
		if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0 ||
			epoll_ctl(s->epoll, EPOLL_CTL_ADD, sock, &ev) < 0)
			break;
		c->sock = sock;
		c->creds = (struct lode_ipc_creds){cred.pid, cred.uid, cred.gid};
		return;
	}
	close(sock);
}

int lode_ipc_server_run(struct lode_ipc_server *s, int timeout_ms)
{
	struct epoll_event events[LODE_IPC_CLIENTS_MAX + 1];
	int n = epoll_wait(s->epoll, events, (int)LODE_ARRAY_LEN(events), timeout_ms);
	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	for (int i = 0; i < n; i++) {
		if (events[i].data.u64 == NO_CLIENT) {
			accept_client(s);
			continue;
		}
		struct lode_ipc_client *c = &s->clients[events[i].data.u64];
		if (c->sock < 0)
			continue;
		if (serve_client(c, events[i].events))
			drop_client(c);
		else
			watch(c);
	}
	return 0;
}

/* Only a socket nobody answers on may be replaced. */
static int remove_stale(const char *path, struct lode_err *err)
{
	struct stat st;
	if (lstat(path, &st) < 0)
		return 0;
	if (!S_ISSOCK(st.st_mode))
		return lode_err_set(err, -EEXIST, "%s exists and is not a socket", path);
	int probe = lode_ipc_connect(path, NULL);
	if (probe >= 0) {
		close(probe);
		return lode_err_set(err, -EADDRINUSE, "%s: another process answers there", path);
	}
	unlink(path);
	return 0;
}

static int start_listening(struct lode_ipc_server *s, mode_t mode)
{
	s->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event ev = {.events = EPOLLIN, .data.u64 = NO_CLIENT};
	/* The mode is set before anybody can connect: connect fails until listen. */
	if (s->listener < 0 || s->epoll < 0 ||
		bind(s->listener, (struct sockaddr *)&s->addr, sizeof(s->addr)) < 0 ||
		chmod(s->addr.sun_path, mode) < 0 || listen(s->listener, BACKLOG) < 0 ||
		epoll_ctl(s->epoll, EPOLL_CTL_ADD, s->listener, &ev) < 0)
		return -errno;
	return 0;
}

int lode_ipc_server_new(const char *path, mode_t mode, lode_ipc_handler *handler, void *ctx,
	struct lode_ipc_server **out, struct lode_err *err)
{
	struct lode_ipc_server *s = calloc(1, sizeof(*s));
	if (!s)
		return lode_err_set(err, -ENOMEM, "no memory for the server of %s", path);
	s->listener = s->epoll = -1;
	s->handler = handler;
	s->ctx = ctx;
	for (unsigned i = 0; i < LODE_IPC_CLIENTS_MAX; i++) {
		s->clients[i].server = s;
		s->clients[i].sock = s->clients[i].fd = -1;
		lode_ipc_decoder_init(&s->clients[i].in, LODE_IPC_FRAME_MAX);
	}
	int rc = socket_address(path, &s->addr, err);
	if (!rc)
		rc = remove_stale(path, err);
	if (!rc && (rc = start_listening(s, mode)))
		lode_err_set(err, rc, "listening on %s: %s", path, strerror(-rc));
	if (rc) {
		s->addr.sun_path[0] = 0; /* not ours to remove */
		lode_ipc_server_free(s);
		return rc;
	}
	*out = s;
	return 0;
}

void lode_ipc_server_free(struct lode_ipc_server *s)
{
	if (!s)
		return;
	for (unsigned i = 0; i < LODE_IPC_CLIENTS_MAX; i++)
		drop_client(&s->clients[i]);
	close_fd(&s->listener);
	close_fd(&s->epoll);
	if (s->addr.sun_path[0])
		unlink(s->addr.sun_path);
	free(s);
}

int lode_ipc_server_fd(const struct lode_ipc_server *s)
{
	return s->epoll;
}
