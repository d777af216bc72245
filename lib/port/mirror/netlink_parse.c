/* SPDX-License-Identifier: BSD-3-Clause */
#include "netlink.h"

#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

/* Attributes by type, those above `max` ignored; each is inside the message, its length is the reader's to
 * check. */
static void index_attrs(
	const struct nlmsghdr *nlh, size_t offset, const struct nlattr **attrs, unsigned max)
{
	const struct nlattr *attr;
	memset(attrs, 0, (max + 1) * sizeof(*attrs));
	mnl_attr_for_each(attr, nlh, offset)
	{
		if (mnl_attr_get_type(attr) <= max)
			attrs[mnl_attr_get_type(attr)] = attr;
	}
}

/* An address attribute of the right length for its family. */
static bool read_ip(const struct nlattr *attr, uint8_t family, struct lode_ip *ip)
{
	if (!attr)
		return false;
	uint16_t len = mnl_attr_get_payload_len(attr);
	if (family == AF_INET && len == 4) {
		uint32_t v4;
		memcpy(&v4, mnl_attr_get_payload(attr), 4);
		*ip = lode_ip_from_v4_be(v4);
		return true;
	}
	if (family == AF_INET6 && len == 16) {
		memcpy(ip->b, mnl_attr_get_payload(attr), 16);
		return true;
	}
	return false;
}

static bool read_u32(const struct nlattr *attr, uint32_t *value)
{
	if (!attr || mnl_attr_get_payload_len(attr) != sizeof(*value))
		return false;
	memcpy(value, mnl_attr_get_payload(attr), sizeof(*value));
	return true;
}

static bool read_mac(const struct nlattr *attr, uint8_t mac[6])
{
	if (!attr || mnl_attr_get_payload_len(attr) != 6)
		return false;
	memcpy(mac, mnl_attr_get_payload(attr), 6);
	return true;
}

/* Prefix length in the 128-bit form; false when it is longer than the family has bits. */
static bool prefix_len(uint8_t family, uint8_t len, uint8_t *out)
{
	*out = (uint8_t)(family == AF_INET ? 96 + len : len);
	return len <= (family == AF_INET ? 32 : 128);
}

static bool parse_neighbour(const struct nlmsghdr *nlh, struct lode_kernel_event *ev)
{
	const struct ndmsg *nd = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attrs[NDA_LLADDR + 1];
	index_attrs(nlh, sizeof(*nd), attrs, NDA_LLADDR);
	if (!read_ip(attrs[NDA_DST], nd->ndm_family, &ev->prefix.ip) || (nd->ndm_state & NUD_NOARP))
		return false;
	const uint16_t good = NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT;
	ev->kind = LODE_KERNEL_NEIGHBOUR;
	ev->ifindex = nd->ndm_ifindex;
	ev->prefix.len = 128;
	ev->gone = nlh->nlmsg_type == RTM_DELNEIGH;
	ev->state = nd->ndm_state & NUD_FAILED ? LODE_NEIGHBOUR_FAILED : LODE_NEIGHBOUR_PENDING;
	if ((nd->ndm_state & good) && read_mac(attrs[NDA_LLADDR], ev->mac))
		ev->state = LODE_NEIGHBOUR_GOOD;
	return true;
}

static bool parse_address(const struct nlmsghdr *nlh, struct lode_kernel_event *ev)
{
	const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attrs[IFA_LOCAL + 1];
	index_attrs(nlh, sizeof(*ifa), attrs, IFA_LOCAL);
	/* IPv4 has the own address in LOCAL (ADDRESS is the far end of point-to-point links); IPv6 in
	 * ADDRESS, unless there is a far end. */
	const struct nlattr *own = attrs[IFA_LOCAL] ? attrs[IFA_LOCAL] : attrs[IFA_ADDRESS];
	ev->kind = LODE_KERNEL_ADDRESS;
	ev->ifindex = (int)ifa->ifa_index;
	ev->gone = nlh->nlmsg_type == RTM_DELADDR;
	return ifa->ifa_scope == RT_SCOPE_UNIVERSE && !(ifa->ifa_flags & IFA_F_TENTATIVE) &&
	       read_ip(own, ifa->ifa_family, &ev->prefix.ip) &&
	       prefix_len(ifa->ifa_family, ifa->ifa_prefixlen, &ev->prefix.len);
}

static bool parse_route(const struct nlmsghdr *nlh, struct lode_kernel_event *ev)
{
	const struct rtmsg *rt = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attrs[RTA_TABLE + 1];
	index_attrs(nlh, sizeof(*rt), attrs, RTA_TABLE);
	uint32_t oif, table = rt->rtm_table;
	read_u32(attrs[RTA_TABLE], &table);
	if (rt->rtm_type != RTN_UNICAST || table != RT_TABLE_MAIN ||
		!read_u32(attrs[RTA_OIF], &oif) ||
		!prefix_len(rt->rtm_family, rt->rtm_dst_len, &ev->prefix.len))
		return false;
	if (attrs[RTA_DST] && !read_ip(attrs[RTA_DST], rt->rtm_family, &ev->prefix.ip))
		return false;
	if (!attrs[RTA_DST] && rt->rtm_family == AF_INET)
		ev->prefix.ip = lode_ip_from_v4_be(0);
	if (attrs[RTA_GATEWAY] && !read_ip(attrs[RTA_GATEWAY], rt->rtm_family, &ev->gateway))
		return false;
	read_u32(attrs[RTA_PRIORITY], &ev->metric);
	ev->kind = LODE_KERNEL_ROUTE;
	ev->ifindex = (int)oif;
	ev->gone = nlh->nlmsg_type == RTM_DELROUTE;
	return rt->rtm_family == AF_INET || rt->rtm_family == AF_INET6;
}

static bool parse_link(const struct nlmsghdr *nlh, struct lode_kernel_event *ev)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attrs[IFLA_ADDRESS + 1];
	index_attrs(nlh, sizeof(*ifi), attrs, IFLA_ADDRESS);
	ev->kind = LODE_KERNEL_LINK;
	ev->ifindex = ifi->ifi_index;
	ev->gone = nlh->nlmsg_type == RTM_DELLINK;
	ev->up = (ifi->ifi_flags & IFF_UP) && (ifi->ifi_flags & IFF_RUNNING);
	read_mac(attrs[IFLA_ADDRESS], ev->mac);
	return true;
}

/* The readers, and how long the fixed part of their message is. */
static const struct reader {
	uint16_t type_new, type_del;
	size_t fixed_bytes;
	bool (*parse)(const struct nlmsghdr *nlh, struct lode_kernel_event *ev);
} readers[] = {
	{RTM_NEWNEIGH, RTM_DELNEIGH, sizeof(struct ndmsg), parse_neighbour},
	{RTM_NEWADDR, RTM_DELADDR, sizeof(struct ifaddrmsg), parse_address},
	{RTM_NEWROUTE, RTM_DELROUTE, sizeof(struct rtmsg), parse_route},
	{RTM_NEWLINK, RTM_DELLINK, sizeof(struct ifinfomsg), parse_link},
};

static bool parse_message(const struct nlmsghdr *nlh, struct lode_kernel_event *ev)
{
	for (size_t i = 0; i < LODE_ARRAY_LEN(readers); i++) {
		const struct reader *r = &readers[i];
		if (nlh->nlmsg_type == r->type_new || nlh->nlmsg_type == r->type_del)
			return mnl_nlmsg_get_payload_len(nlh) >= r->fixed_bytes &&
			       r->parse(nlh, ev);
	}
	return false;
}

int lode_netlink_parse(const void *bytes, size_t len, lode_kernel_fn *fn, void *ctx)
{
	const struct nlmsghdr *nlh = bytes;
	int left = (int)LODE_MIN(len, (size_t)INT32_MAX), n = 0;
	while (netlink_message_ok(nlh, left)) {
		struct lode_kernel_event ev = {0};
		if (parse_message(nlh, &ev)) {
			fn(ctx, &ev);
			n++;
		}
		nlh = mnl_nlmsg_next(nlh, &left);
	}
	return left > 0 ? -EBADMSG : n;
}
