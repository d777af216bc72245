/* SPDX-License-Identifier: BSD-3-Clause */
/* Helpers shared by client and server. */
#pragma once

#include "lode_ipc.h"

#include <sys/un.h>

#define HEADER_BYTES 4

/* Fills addr; -ENAMETOOLONG when the path does not fit the kernel's 108 bytes. */
int socket_address(const char *path, struct sockaddr_un *addr, struct lode_err *err);
/* One recvmsg: bytes read, 0 at the end, or -errno. *fd: descriptor received, else left alone;
 * a second one is closed. */
ssize_t socket_receive(int sock, void *buf, size_t size, int *fd);
