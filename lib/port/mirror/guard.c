/* SPDX-License-Identifier: BSD-3-Clause */
#include "kernel.h"
#include "save.h"

#include <dirent.h>
#include <linux/ethtool.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <nftables/libnftables.h>
#include <stdio.h>

/* Runs nft commands; its own words go into err. */
static int run_nft(const char *commands, struct lode_err *err)
{
	struct nft_ctx *nft = nft_ctx_new(NFT_CTX_DEFAULT);
	if (!nft)
		return lode_err_set(err, -ENOMEM, "nftables: no context");
	nft_ctx_buffer_output(nft);
	nft_ctx_buffer_error(nft);
	int rc = nft_run_cmd_from_buffer(nft, commands) ? -EIO : 0;
	if (rc)
		lode_err_set(err, rc, "nftables: %s", nft_ctx_get_error_buffer(nft));
	nft_ctx_free(nft);
	return rc;
}

/* Table names take letters, digits and _ only. */
static void table_name(const char *ifname, char *name, size_t size)
{
	snprintf(name, size, "lodestone_%s", ifname);
	for (char *p = name; *p; p++)
		if (!(*p >= 'a' && *p <= 'z') && !(*p >= 'A' && *p <= 'Z') &&
			!(*p >= '0' && *p <= '9'))
			*p = '_';
}

/* The hook comes after packet taps: af_packet has the frame already, the kernel's stack never sees it. */
static int drop_ingress(const char *ifname, struct lode_err *err)
{
	char table[64], commands[512];
	table_name(ifname, table, sizeof(table));
	snprintf(commands, sizeof(commands),
		"add table netdev %s\n"
		"delete table netdev %s\n"
		"add table netdev %s\n"
		"add chain netdev %s ingress { type filter hook ingress device \"%s\" "
		"priority -500; policy drop; }\n",
		table, table, table, table, ifname);
	return run_nft(commands, err);
}

static void undrop_ingress(const char *ifname)
{
	char table[64], commands[256];
	table_name(ifname, table, sizeof(table));
	snprintf(commands, sizeof(commands), "add table netdev %s\ndelete table netdev %s\n", table,
		table);
	run_nft(commands, NULL);
}

static void set_gro(const char *ifname, int on)
{
	struct ethtool_value value = {.cmd = ETHTOOL_SGRO, .data = (uint32_t)on};
	struct ifreq ifr = {.ifr_data = (void *)&value};
	interface_ioctl(ifname, SIOCETHTOOL, &ifr);
}

/* Sends the saved messages again as orders: RTM_DELADDR to remove, else as they are. */
static int replay(const struct save *s, bool remove)
{
	struct mnl_socket *sock = netlink_open(0);
	if (!sock)
		return -errno;
	int ifindex = (int)if_nametoindex(s->ifname), left = (int)s->len, first_error = 0;
	for (struct nlmsghdr *nlh = (void *)s->messages; netlink_message_ok(nlh, left);
		nlh = mnl_nlmsg_next(nlh, &left)) {
		char buf[NETLINK_BUFFER_BYTES];
		if (nlh->nlmsg_len > sizeof(buf) || (remove && nlh->nlmsg_type != RTM_NEWADDR))
			continue;
		struct nlmsghdr *order = memcpy(buf, nlh, nlh->nlmsg_len);
		order->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
		order->nlmsg_pid = 0;
		/* The interface may have another index by now. */
		if (order->nlmsg_type == RTM_NEWADDR) {
			((struct ifaddrmsg *)mnl_nlmsg_get_payload(order))->ifa_index =
				(unsigned)ifindex;
		} else {
			struct nlattr *attr;
			mnl_attr_for_each(attr, order, sizeof(struct rtmsg))
			{
				if (mnl_attr_get_type(attr) == RTA_OIF)
					memcpy(mnl_attr_get_payload(attr), &ifindex,
						sizeof(ifindex));
			}
		}
		if (remove)
			order->nlmsg_type = RTM_DELADDR;
		else
			order->nlmsg_flags |= NLM_F_CREATE | NLM_F_REPLACE;
		int rc = netlink_request(sock, order, NULL, NULL);
		if (rc && rc != -EADDRNOTAVAIL && rc != -EEXIST && !first_error)
			first_error = rc;
	}
	mnl_socket_close(sock);
	return first_error;
}

static int strip(const struct save *s, struct lode_err *err)
{
	int rc = drop_ingress(s->ifname, err);
	if (rc)
		return lode_err_prefix(err, "interface %s", s->ifname);
	if (s->gro == 1)
		set_gro(s->ifname, 0);
	rc = replay(s, true);
	if (!rc && s->disable_ipv6 >= 0)
		rc = sysctl_write("ipv6", s->ifname, "disable_ipv6", 1);
	if (!rc)
		rc = interface_set_up(s->ifname, true);
	return rc ? lode_err_set(err, rc, "interface %s: removing the kernel's addresses: %s",
			    s->ifname, strerror(-rc))
		  : 0;
}

int lode_guard_take(const char *state_dir, const char *ifname, struct lode_err *err)
{
	int rc = lode_guard_release(state_dir, ifname, err);
	struct save s;
	if (!rc)
		rc = save_collect(ifname, &s, err);
	if (rc)
		return rc;
	rc = save_write(state_dir, &s, err);
	if (!rc && (rc = strip(&s, err)))
		lode_guard_release(state_dir, ifname, NULL);
	save_free(&s);
	return rc;
}

int lode_guard_release(const char *state_dir, const char *ifname, struct lode_err *err)
{
	struct save s;
	int rc = save_read(state_dir, ifname, &s, err);
	if (rc)
		return rc == -ENOENT ? 0 : rc;
	/* An interface that is gone took its settings with it, but the rule would meet its successor. */
	if (if_nametoindex(ifname)) {
		if (s.disable_ipv6 >= 0)
			sysctl_write("ipv6", ifname, "disable_ipv6", s.disable_ipv6);
		rc = replay(&s, false);
		if (s.gro >= 0)
			set_gro(ifname, s.gro);
		if (s.up == 0)
			interface_set_up(ifname, false);
	}
	undrop_ingress(ifname);
	save_free(&s);
	if (rc)
		return lode_err_set(err, rc, "interface %s: restoring its addresses: %s", ifname,
			strerror(-rc));
	return save_remove(state_dir, ifname);
}

int lode_guard_release_all(const char *state_dir, struct lode_err *err)
{
	DIR *dir = opendir(state_dir);
	if (!dir)
		return errno == ENOENT
			       ? 0
			       : lode_err_set(err, -errno, "%s: %s", state_dir, strerror(errno));
	int n = 0, first_error = 0;
	for (struct dirent *e; (e = readdir(dir));) {
		size_t len = strlen(e->d_name), prefix = strlen(SAVE_PREFIX),
		       suffix = strlen(SAVE_SUFFIX);
		char ifname[IFNAMSIZ];
		if (len <= prefix + suffix || len - prefix - suffix >= sizeof(ifname) ||
			strncmp(e->d_name, SAVE_PREFIX, prefix) ||
			strcmp(e->d_name + len - suffix, SAVE_SUFFIX))
			continue;
		snprintf(ifname, sizeof(ifname), "%.*s", (int)(len - prefix - suffix),
			e->d_name + prefix);
		struct lode_err one;
		int rc = lode_guard_release(state_dir, ifname, &one);
		if (rc && !first_error)
			first_error = lode_err_set(err, rc, "%s", one.msg);
		n += !rc;
	}
	closedir(dir);
	return first_error ? first_error : n;
}
