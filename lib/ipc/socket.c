/* SPDX-License-Identifier: BSD-3-Clause */
#include "socket.h"

#include <sys/socket.h>
#include <unistd.h>

#define FDS_MAX 4 /* descriptors one message may bring before the kernel closes the rest */

int socket_address(const char *path, struct sockaddr_un *addr, struct lode_err *err)
{
	*addr = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(addr->sun_path))
		return lode_err_set(err, -ENAMETOOLONG, "socket path %s: %zu bytes, %zu allowed",
			path, strlen(path), sizeof(addr->sun_path) - 1);
	strcpy(addr->sun_path, path);
	return 0;
}

static void keep_first_fd(struct msghdr *msg, int *fd)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int received;
			memcpy(&received, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (*fd < 0)
				*fd = received;
			else
				close(received);
		}
	}
}

ssize_t socket_receive(int sock, void *buf, size_t size, int *fd)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(FDS_MAX * sizeof(int))];
	} control;
	struct iovec iov = {buf, size};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	if (n < 0)
		return -errno;
	keep_first_fd(&msg, fd);
	return n;
}
