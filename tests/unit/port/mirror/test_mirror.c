/* SPDX-License-Identifier: BSD-3-Clause */
#include "netns.h"

#include "lode_mirror.h"

#include <linux/if_ether.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <unistd.h>

static const struct lode_tap_spec spec = {
	.name = "lode-wan1",
	.kind = LODE_TAP_ETHERNET,
	.mac = {2, 0, 0, 0, 0, 9},
	.mtu_bytes = 1480,
};

static struct lode_tap open_tap(void)
{
	struct lode_tap tap;
	struct lode_err err;
	cr_assert_eq(lode_tap_open(&spec, &tap, &err), 0, "%s", err.msg);
	return tap;
}

static struct lode_prefix prefix_v4(const char *text, uint8_t len)
{
	struct lode_prefix p = {.len = (uint8_t)(96 + len)};
	lode_ip_parse(text, &p.ip);
	return p;
}

Test(tap, has_mac_mtu_settings_and_follows_the_link)
{
	enter_new_netns();
	struct lode_tap tap = open_tap();
	char out[1024];
	capture("cat /sys/class/net/lode-wan1/address 2>/dev/null; ip -o link show lode-wan1", out,
		sizeof(out));
	cr_assert(strstr(out, "02:00:00:00:00:09"), "%s", out);
	cr_assert(strstr(out, "mtu 1480"), "%s", out);
	capture("cd /proc/sys/net/ipv4/conf/lode-wan1; cat arp_ignore arp_announce rp_filter "
		"forwarding",
		out, sizeof(out));
	cr_assert_str_eq(out, "1\n2\n2\n0\n");
	cr_assert_eq(lode_tap_set_carrier(&tap, false), 0);
	capture("ip -o link show lode-wan1", out, sizeof(out));
	cr_assert(strstr(out, "NO-CARRIER"), "%s", out);
	cr_assert_eq(lode_tap_set_carrier(&tap, true), 0);
	capture("ip -o link show lode-wan1", out, sizeof(out));
	cr_assert(!strstr(out, "NO-CARRIER"), "%s", out);
	lode_tap_close(&tap);
	cr_assert_eq(if_nametoindex("lode-wan1"), 0, "the mirror outlived its descriptor");
}

Test(tap, a_name_too_long_or_taken_is_refused_with_the_reason)
{
	enter_new_netns();
	struct lode_tap tap, second;
	struct lode_tap_spec bad = spec;
	struct lode_err err;
	bad.name = "lode-sixteenbyte";
	cr_assert_eq(lode_tap_open(&bad, &tap, &err), -ENAMETOOLONG);
	tap = open_tap();
	cr_assert_lt(lode_tap_open(&spec, &second, &err), 0);
	cr_assert(strstr(err.msg, "lode-wan1"), "%s", err.msg);
	lode_tap_close(&tap);
}

struct seen {
	struct lode_kernel_event neighbour, address, route;
};

static void keep(void *ctx, const struct lode_kernel_event *ev)
{
	struct seen *s = ctx;
	if (ev->kind == LODE_KERNEL_NEIGHBOUR && lode_ip_is_v4(&ev->prefix.ip))
		s->neighbour = *ev;
	if (ev->kind == LODE_KERNEL_ADDRESS)
		s->address = *ev;
	if (ev->kind == LODE_KERNEL_ROUTE && lode_ip_is_v4(&ev->prefix.ip) &&
		!lode_ip_is_none(&ev->gateway))
		s->route = *ev;
}

/* Answers the ARP request that the kernel sends out of the tap. */
static bool answer_arp(int fd, const uint8_t mac[6])
{
	uint8_t f[2048];
	struct pollfd p = {fd, POLLIN, 0};
	while (poll(&p, 1, 2000) > 0 && read(fd, f, sizeof(f)) >= 42) {
		if (lode_load_be16(f + 12) != ETH_P_ARP)
			continue;
		uint8_t reply[42];
		memcpy(reply, f, sizeof(reply));
		memcpy(reply, f + 6, 6); /* to who asked */
		memcpy(reply + 6, mac, 6);
		reply[21] = 2;		    /* reply */
		memcpy(reply + 22, mac, 6); /* sender: us */
		memcpy(reply + 28, f + 38, 4);
		memcpy(reply + 32, f + 22, 10); /* target: who asked */
		return write(fd, reply, sizeof(reply)) == sizeof(reply);
	}
	return false;
}

Test(netlink, resolves_a_neighbour_through_the_mirror)
{
	enter_new_netns();
	struct lode_tap tap = open_tap();
	struct lode_netlink *nl;
	struct lode_err err;
	cr_assert_eq(lode_netlink_new(&nl, &err), 0, "%s", err.msg);
	struct lode_prefix own = prefix_v4("10.9.0.1", 24), other = prefix_v4("10.9.0.2", 32);
	cr_assert_eq(lode_netlink_add_address(nl, tap.ifindex, &own), 0);
	cr_assert_eq(lode_netlink_resolve(nl, tap.ifindex, &other.ip), 0);
	const uint8_t mac[6] = {2, 7, 7, 7, 7, 7};
	cr_assert(answer_arp(tap.fd, mac), "the kernel did not ask");
	struct seen seen = {0};
	struct pollfd p = {lode_netlink_fd(nl), POLLIN, 0};
	for (int i = 0; i < 20 && seen.neighbour.state != LODE_NEIGHBOUR_GOOD; i++) {
		poll(&p, 1, 200);
		lode_netlink_run(nl, keep, &seen);
	}
	cr_assert_eq(seen.neighbour.state, LODE_NEIGHBOUR_GOOD);
	cr_assert_eq(seen.neighbour.ifindex, tap.ifindex);
	cr_assert_eq(memcmp(seen.neighbour.mac, mac, 6), 0);
	cr_assert_eq(memcmp(&seen.neighbour.prefix.ip, &other.ip, 16), 0);
	cr_assert_eq(seen.address.prefix.len, 96 + 24);
	lode_netlink_free(nl);
	lode_tap_close(&tap);
}

Test(netlink, a_dump_shows_addresses_and_routes)
{
	enter_new_netns();
	struct lode_tap tap = open_tap();
	struct lode_netlink *nl;
	cr_assert_eq(lode_netlink_new(&nl, NULL), 0);
	struct lode_prefix own = prefix_v4("10.9.0.1", 24), any = prefix_v4("0.0.0.0", 0);
	struct lode_prefix hop = prefix_v4("10.9.0.254", 32);
	cr_assert_eq(lode_netlink_add_address(nl, tap.ifindex, &own), 0);
	cr_assert_eq(lode_netlink_add_route(nl, tap.ifindex, &any, &hop.ip, 77), 0);
	struct seen seen = {0};
	cr_assert_eq(lode_netlink_dump(nl, keep, &seen), 0);
	cr_assert_eq(memcmp(&seen.address.prefix, &own, sizeof(own)), 0);
	cr_assert_eq(memcmp(&seen.route.gateway, &hop.ip, 16), 0);
	cr_assert_eq(seen.route.prefix.len, 96);
	cr_assert_eq(seen.route.metric, 77);
	lode_netlink_free(nl);
	lode_tap_close(&tap);
}

Test(netlink, routes_come_and_go)
{
	enter_new_netns();
	struct lode_tap tap = open_tap();
	struct lode_netlink *nl;
	cr_assert_eq(lode_netlink_new(&nl, NULL), 0);
	struct lode_prefix far = prefix_v4("10.77.0.0", 16);
	const struct lode_ip on_link = {0};
	cr_assert_eq(lode_netlink_add_route(nl, tap.ifindex, &far, &on_link, 20008), 0);
	cr_assert_eq(lode_netlink_add_route(nl, tap.ifindex, &far, &on_link, 20008), 0, "again");
	cr_assert_eq(lode_netlink_del_route(nl, tap.ifindex, &far, 1), -ESRCH, "another metric");
	cr_assert_eq(lode_netlink_del_route(nl, tap.ifindex, &far, 20008), 0);
	cr_assert_eq(lode_netlink_del_route(nl, tap.ifindex, &far, 20008), -ESRCH, "it is gone");
	lode_netlink_free(nl);
	lode_tap_close(&tap);
}

Test(netlink, cut_messages_are_refused_and_odd_lengths_ignored)
{
	struct {
		struct nlmsghdr nlh;
		struct ndmsg nd;
		struct rtattr attr;
		uint8_t ip[4];
	} m = {
		.nlh = {.nlmsg_len = sizeof(m), .nlmsg_type = RTM_NEWNEIGH},
		.nd = {.ndm_family = AF_INET, .ndm_state = NUD_FAILED},
		.attr = {sizeof(m.attr) + 4, NDA_DST},
		.ip = {10, 0, 0, 1},
	};
	struct seen seen = {0};
	cr_assert_eq(lode_netlink_parse(&m, sizeof(m), keep, &seen), 1);
	cr_assert_eq(seen.neighbour.state, LODE_NEIGHBOUR_FAILED);
	for (size_t len = 1; len < sizeof(m); len++)
		cr_assert_eq(lode_netlink_parse(&m, len, keep, &seen), -EBADMSG);
	m.nd.ndm_family = AF_INET6; /* four bytes are no IPv6 address */
	cr_assert_eq(lode_netlink_parse(&m, sizeof(m), keep, &seen), 0);
	m.nlh.nlmsg_len = sizeof(m.nlh) + 2; /* shorter than its fixed part */
	cr_assert_eq(lode_netlink_parse(&m, NLMSG_ALIGN(m.nlh.nlmsg_len), keep, &seen), 0);
}
