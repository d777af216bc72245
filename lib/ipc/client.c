/* SPDX-License-Identifier: BSD-3-Clause */
#include "socket.h"

#include "lode_clock.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_BYTES 16384

int lode_ipc_connect(const char *path, struct lode_err *err)
{
	struct sockaddr_un addr;
	int rc = socket_address(path, &addr, err);
	if (rc)
		return rc;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return lode_err_set(err, -errno, "socket: %s", strerror(errno));
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0)
		return fd;
	rc = lode_err_set(err, -errno, "%s: %s", path, strerror(errno));
	close(fd);
	return rc;
}

static int64_t now_ms(void)
{
	return (int64_t)(lode_clock_ns() / LODE_NS_PER_MS);
}

static int wait_for(int sock, short events, int64_t deadline_ms)
{
	struct pollfd p = {sock, events, 0};
	for (;;) {
		int64_t left = deadline_ms - now_ms();
		int n = left > 0 ? poll(&p, 1, (int)left) : 0;
		if (n > 0)
			return 0;
		if (n == 0)
			return -ETIMEDOUT;
		if (errno != EINTR)
			return -errno;
	}
}

/* Header and body in one stream; the descriptor goes with the first bytes. */
static int send_frame(int sock, const char *body, size_t len, int fd, int64_t deadline_ms)
{
	uint8_t header[HEADER_BYTES];
	lode_store_be32(header, (uint32_t)len);
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {0};
	size_t done = 0;
	while (done < sizeof(header) + len) {
		struct iovec iov[2] = {{header, sizeof(header)}, {(void *)(uintptr_t)body, len}};
		size_t skip = LODE_MIN(done, sizeof(header));
		iov[0].iov_base = header + skip;
		iov[0].iov_len -= skip;
		iov[1].iov_base = (char *)iov[1].iov_base + (done - skip);
		iov[1].iov_len -= done - skip;
		struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
		if (fd >= 0 && !done) {
			msg.msg_control = &control;
			msg.msg_controllen = sizeof(control);
			struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
			*c = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
			memcpy(CMSG_DATA(c), &fd, sizeof(int));
		}
		ssize_t n = sendmsg(sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		if (n > 0)
			done += (size_t)n;
		int rc = n < 0 ? wait_for(sock, POLLOUT, deadline_ms) : 0;
		if (rc)
			return rc;
	}
	return 0;
}

static long receive_frame(int sock, int64_t deadline_ms, char **reply)
{
	struct lode_ipc_decoder d;
	lode_ipc_decoder_init(&d, LODE_IPC_FRAME_MAX);
	const char *body;
	long len;
	while ((len = lode_ipc_decoder_next(&d, &body)) == -EAGAIN) {
		char buf[READ_BYTES];
		int fd = -1;
		if ((len = wait_for(sock, POLLIN, deadline_ms)))
			break;
		ssize_t n = socket_receive(sock, buf, sizeof(buf), &fd);
		if (fd >= 0)
			close(fd); /* answers carry none */
		len = n > 0 ? lode_ipc_decoder_push(&d, buf, (size_t)n) : n ? n : -ECONNRESET;
		if (len && len != -EAGAIN && len != -EINTR)
			break;
	}
	*reply = NULL;
	if (len >= 0) {
		*reply = malloc((size_t)len + 1);
		if (*reply)
			memcpy(*reply, body, (size_t)len + 1);
		else
			len = -ENOMEM;
	}
	lode_ipc_decoder_fini(&d);
	return len;
}

long lode_ipc_call(int sock, const char *body, size_t len, int fd, int timeout_ms, char **reply,
	struct lode_err *err)
{
	int64_t deadline_ms = now_ms() + timeout_ms;
	if (len > LODE_IPC_FRAME_MAX)
		return lode_err_set(err, -EMSGSIZE, "request of %zu bytes, %u allowed", len,
			LODE_IPC_FRAME_MAX);
	long rc = send_frame(sock, body, len, fd, deadline_ms);
	if (!rc)
		rc = receive_frame(sock, deadline_ms, reply);
	if (rc < 0)
		lode_err_set(err, (int)rc, "no answer: %s", strerror((int)-rc));
	return rc;
}
