/* SPDX-License-Identifier: BSD-3-Clause */
/* Requests to the kernel with their answers, shared by netlink and guard. */
#pragma once

#include "lode_mirror.h"

#include <libmnl/libmnl.h>

#define NETLINK_BUFFER_BYTES 16384

/* A whole message stands at nlh, of which `left` bytes may be read. (libmnl's own test takes a length of 2^31
 * and more for a negative one.) */
static inline bool netlink_message_ok(const struct nlmsghdr *nlh, int left)
{
	return left >= (int)sizeof(*nlh) && nlh->nlmsg_len >= sizeof(*nlh) &&
	       nlh->nlmsg_len <= (uint32_t)left;
}

/* Sends one request and reads its answers until done; each answer goes to cb (NULL: only success
 * matters). Returns 0 or -errno of the kernel. The message's sequence number is set here. */
int netlink_request(struct mnl_socket *sock, struct nlmsghdr *nlh, mnl_cb_t cb, void *ctx);
/* Asks for a whole table: type is RTM_GETADDR, RTM_GETNEIGH, ... */
int netlink_table(struct mnl_socket *sock, uint16_t type, uint8_t family, mnl_cb_t cb, void *ctx);
/* Socket bound to those multicast groups (0: for requests), or NULL with errno. */
struct mnl_socket *netlink_open(unsigned groups);
