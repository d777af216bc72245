/* SPDX-License-Identifier: BSD-3-Clause */
#include "netlink.h"

#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <sys/socket.h>

#define RECEIVE_BYTES (1 << 20) /* socket buffer: a table dump's worth of events */
#define READS_MAX     64	/* datagrams per run */

struct lode_netlink {
	struct mnl_socket *events, *requests;
};

struct sink {
	lode_kernel_fn *fn;
	void *ctx;
};

struct mnl_socket *netlink_open(unsigned groups)
{
	struct mnl_socket *sock = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (!sock)
		return NULL;
	if (mnl_socket_bind(sock, groups, MNL_SOCKET_AUTOPID) == 0)
		return sock;
	mnl_socket_close(sock);
	return NULL;
}

int netlink_request(struct mnl_socket *sock, struct nlmsghdr *nlh, mnl_cb_t cb, void *ctx)
{
	char buf[NETLINK_BUFFER_BYTES];
	unsigned portid = mnl_socket_get_portid(sock);
	/* Old answers cannot be mistaken for ours: each request is read to its end. */
	nlh->nlmsg_seq = 1;
	if (mnl_socket_sendto(sock, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	for (;;) {
		ssize_t n = mnl_socket_recvfrom(sock, buf, sizeof(buf));
		if (n < 0)
			return -errno;
		int rc = mnl_cb_run(buf, (size_t)n, nlh->nlmsg_seq, portid, cb, ctx);
		if (rc < 0)
			return -errno;
		if (rc == MNL_CB_STOP)
			return 0;
	}
}

int netlink_table(struct mnl_socket *sock, uint16_t type, uint8_t family, mnl_cb_t cb, void *ctx)
{
	char buf[256];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	/* The longest of the fixed parts; all begin with the family. */
	uint8_t *fixed = mnl_nlmsg_put_extra_header(nlh, sizeof(struct ifinfomsg));
	fixed[0] = family;
	return netlink_request(sock, nlh, cb, ctx);
}

static uint8_t family_of(const struct lode_ip *ip)
{
	return lode_ip_is_v4(ip) ? AF_INET : AF_INET6;
}

/* Adds ip as attribute in its family's form. */
static void put_ip(struct nlmsghdr *nlh, uint16_t type, const struct lode_ip *ip)
{
	if (lode_ip_is_v4(ip))
		mnl_attr_put(nlh, type, 4, ip->b + 12);
	else
		mnl_attr_put(nlh, type, 16, ip->b);
}

int lode_netlink_new(struct lode_netlink **out, struct lode_err *err)
{
	struct lode_netlink *nl = calloc(1, sizeof(*nl));
	if (!nl)
		return lode_err_set(err, -ENOMEM, "netlink: no memory");
	const unsigned groups = RTMGRP_NEIGH | RTMGRP_LINK | RTMGRP_IPV4_IFADDR |
				RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE;
	nl->events = netlink_open(groups);
	nl->requests = netlink_open(0);
	if (!nl->events || !nl->requests) {
		int rc = -errno;
		lode_netlink_free(nl);
		return lode_err_set(err, rc, "netlink socket: %s", strerror(-rc));
	}
	const int size = RECEIVE_BYTES;
	setsockopt(mnl_socket_get_fd(nl->events), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	*out = nl;
	return 0;
}

void lode_netlink_free(struct lode_netlink *nl)
{
	if (!nl)
		return;
	if (nl->events)
		mnl_socket_close(nl->events);
	if (nl->requests)
		mnl_socket_close(nl->requests);
	free(nl);
}

int lode_netlink_fd(const struct lode_netlink *nl)
{
	return mnl_socket_get_fd(nl->events);
}

int lode_netlink_run(struct lode_netlink *nl, lode_kernel_fn *fn, void *ctx)
{
	uint8_t buf[NETLINK_BUFFER_BYTES] __attribute__((aligned(8)));
	for (int i = 0; i < READS_MAX; i++) {
		ssize_t n = recv(lode_netlink_fd(nl), buf, sizeof(buf), MSG_DONTWAIT);
		if (n < 0 && errno == ENOBUFS)
			return lode_netlink_dump(nl, fn, ctx);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : -errno;
		lode_netlink_parse(buf, (size_t)n, fn, ctx);
	}
	return 0;
}

static int give_event(const struct nlmsghdr *nlh, void *ctx)
{
	const struct sink *sink = ctx;
	lode_netlink_parse(nlh, nlh->nlmsg_len, sink->fn, sink->ctx);
	return MNL_CB_OK;
}

int lode_netlink_dump(struct lode_netlink *nl, lode_kernel_fn *fn, void *ctx)
{
	static const uint16_t tables[] = {RTM_GETLINK, RTM_GETADDR, RTM_GETROUTE, RTM_GETNEIGH};
	struct sink sink = {fn, ctx};
	int rc = 0;
	for (size_t i = 0; i < LODE_ARRAY_LEN(tables) && !rc; i++)
		rc = netlink_table(nl->requests, tables[i], AF_UNSPEC, give_event, &sink);
	return rc;
}

int lode_netlink_resolve(struct lode_netlink *nl, int ifindex, const struct lode_ip *ip)
{
	char buf[256];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	nlh->nlmsg_type = RTM_NEWNEIGH;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE;
	struct ndmsg *nd = mnl_nlmsg_put_extra_header(nlh, sizeof(*nd));
	nd->ndm_family = family_of(ip);
	nd->ndm_ifindex = ifindex;
	nd->ndm_state = NUD_NONE;
	nd->ndm_flags = NTF_USE;
	put_ip(nlh, NDA_DST, ip);
	return netlink_request(nl->requests, nlh, NULL, NULL);
}

int lode_netlink_add_address(struct lode_netlink *nl, int ifindex, const struct lode_prefix *prefix)
{
	char buf[256];
	bool v4 = lode_ip_is_v4(&prefix->ip);
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	nlh->nlmsg_type = RTM_NEWADDR;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
	struct ifaddrmsg *ifa = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifa));
	ifa->ifa_family = family_of(&prefix->ip);
	ifa->ifa_prefixlen = (uint8_t)(v4 ? prefix->len - 96 : prefix->len);
	ifa->ifa_scope = RT_SCOPE_UNIVERSE;
	/* The operator chose the address; waiting for duplicate detection would only delay the start. */
	ifa->ifa_flags = v4 ? 0 : IFA_F_NODAD;
	ifa->ifa_index = (unsigned)ifindex;
	put_ip(nlh, IFA_LOCAL, &prefix->ip);
	put_ip(nlh, IFA_ADDRESS, &prefix->ip);
	return netlink_request(nl->requests, nlh, NULL, NULL);
}

static int change_route(struct lode_netlink *nl, uint16_t type, uint16_t flags, int ifindex,
	const struct lode_prefix *prefix, const struct lode_ip *gateway, uint32_t metric)
{
	char buf[256];
	bool v4 = lode_ip_is_v4(&prefix->ip);
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
	struct rtmsg *rt = mnl_nlmsg_put_extra_header(nlh, sizeof(*rt));
	rt->rtm_family = family_of(&prefix->ip);
	rt->rtm_dst_len = (uint8_t)(v4 ? prefix->len - 96 : prefix->len);
	rt->rtm_table = RT_TABLE_MAIN;
	rt->rtm_protocol = RTPROT_STATIC;
	rt->rtm_scope = lode_ip_is_none(gateway) ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
	rt->rtm_type = RTN_UNICAST;
	put_ip(nlh, RTA_DST, &prefix->ip);
	if (!lode_ip_is_none(gateway))
		put_ip(nlh, RTA_GATEWAY, gateway);
	mnl_attr_put_u32(nlh, RTA_OIF, (uint32_t)ifindex);
	mnl_attr_put_u32(nlh, RTA_PRIORITY, metric);
	return netlink_request(nl->requests, nlh, NULL, NULL);
}

int lode_netlink_add_route(struct lode_netlink *nl, int ifindex, const struct lode_prefix *prefix,
	const struct lode_ip *gateway, uint32_t metric)
{
	return change_route(
		nl, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, ifindex, prefix, gateway, metric);
}

int lode_netlink_del_route(
	struct lode_netlink *nl, int ifindex, const struct lode_prefix *prefix, uint32_t metric)
{
	static const struct lode_ip on_link = {0};
	return change_route(nl, RTM_DELROUTE, 0, ifindex, prefix, &on_link, metric);
}
