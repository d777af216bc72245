/* SPDX-License-Identifier: BSD-3-Clause */
#include "save.h"
#include "kernel.h"
#include "lode_file.h"

#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MAGIC	0x4c4f4453 /* "SDOL", then the version */
#define VERSION 1

struct file_header {
	uint32_t magic, version;
	char ifname[IFNAMSIZ];
	int32_t disable_ipv6, gro, up;
	uint32_t len;
};

struct collector {
	struct save *save;
	int ifindex;
};

/* Link-local addresses and what the kernel makes of addresses come back by themselves. */
static bool worth_saving(const struct nlmsghdr *nlh, int ifindex)
{
	if (nlh->nlmsg_type == RTM_NEWADDR) {
		const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(nlh);
		return (int)ifa->ifa_index == ifindex && ifa->ifa_scope == RT_SCOPE_UNIVERSE;
	}
	const struct rtmsg *rt = mnl_nlmsg_get_payload(nlh);
	if (nlh->nlmsg_type != RTM_NEWROUTE || rt->rtm_protocol == RTPROT_KERNEL ||
		(rt->rtm_flags & RTM_F_CLONED))
		return false;
	const struct nlattr *attr;
	mnl_attr_for_each(attr, nlh, sizeof(*rt))
	{
		if (mnl_attr_get_type(attr) == RTA_OIF)
			return (int)mnl_attr_get_u32(attr) == ifindex;
	}
	return false;
}

static int collect_message(const struct nlmsghdr *nlh, void *ctx)
{
	struct collector *c = ctx;
	struct save *s = c->save;
	if (!worth_saving(nlh, c->ifindex))
		return MNL_CB_OK;
	uint32_t len = NLMSG_ALIGN(nlh->nlmsg_len);
	if (s->len + len > SAVE_MESSAGES_BYTES) {
		errno = EFBIG;
		return MNL_CB_ERROR;
	}
	memcpy(s->messages + s->len, nlh, nlh->nlmsg_len);
	s->len += len;
	return MNL_CB_OK;
}

static int read_gro(const char *ifname)
{
	struct ethtool_value value = {.cmd = ETHTOOL_GGRO};
	struct ifreq ifr = {.ifr_data = (void *)&value};
	return interface_ioctl(ifname, SIOCETHTOOL, &ifr) ? -1 : (int)value.data;
}

static int read_up(const char *ifname)
{
	struct ifreq ifr = {0};
	return interface_ioctl(ifname, SIOCGIFFLAGS, &ifr) ? -1 : !!(ifr.ifr_flags & IFF_UP);
}

static int collect_messages(struct save *s, int ifindex)
{
	struct mnl_socket *sock = netlink_open(0);
	if (!sock)
		return -errno;
	struct collector c = {s, ifindex};
	int rc = netlink_table(sock, RTM_GETADDR, AF_UNSPEC, collect_message, &c);
	if (!rc)
		rc = netlink_table(sock, RTM_GETROUTE, AF_UNSPEC, collect_message, &c);
	mnl_socket_close(sock);
	return rc;
}

int save_collect(const char *ifname, struct save *s, struct lode_err *err)
{
	*s = (struct save){.disable_ipv6 = -1, .gro = -1, .up = -1};
	unsigned ifindex = if_nametoindex(ifname);
	if (!ifindex || strlen(ifname) >= IFNAMSIZ)
		return lode_err_set(err, -ENODEV, "interface %s: no such interface here", ifname);
	strcpy(s->ifname, ifname);
	sysctl_read("ipv6", ifname, "disable_ipv6", &s->disable_ipv6);
	s->gro = read_gro(ifname);
	s->up = read_up(ifname);
	s->messages = calloc(1, SAVE_MESSAGES_BYTES);
	int rc = s->messages ? collect_messages(s, (int)ifindex) : -ENOMEM;
	if (!rc)
		return 0;
	save_free(s);
	return lode_err_set(err, rc, "interface %s: reading its addresses and routes: %s", ifname,
		strerror(-rc));
}

void save_free(struct save *s)
{
	free(s->messages);
	s->messages = NULL;
}

static int file_path(const char *state_dir, const char *ifname, char *path, size_t size)
{
	int n = snprintf(path, size, "%s/" SAVE_PREFIX "%s" SAVE_SUFFIX, state_dir, ifname);
	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

int save_write(const char *state_dir, const struct save *s, struct lode_err *err)
{
	struct file_header h = {.magic = MAGIC,
		.version = VERSION,
		.disable_ipv6 = s->disable_ipv6,
		.gro = s->gro,
		.up = s->up,
		.len = s->len};
	char path[PATH_MAX];
	memcpy(h.ifname, s->ifname, sizeof(h.ifname));
	uint8_t *bytes = malloc(sizeof(h) + s->len);
	int rc = bytes ? file_path(state_dir, s->ifname, path, sizeof(path)) : -ENOMEM;
	if (!rc) {
		memcpy(bytes, &h, sizeof(h));
		memcpy(bytes + sizeof(h), s->messages, s->len);
		rc = lode_file_replace(path, 0600, bytes, sizeof(h) + s->len, NULL);
	}
	free(bytes);
	return rc ? lode_err_set(err, rc, "interface %s: saving its state in %s: %s", s->ifname,
			    state_dir, strerror(-rc))
		  : 0;
}

/* Header and messages agree with the file's length, and the messages with their own. */
static int check_file(const struct file_header *h, const struct save *s, const char *ifname)
{
	if (h->magic != MAGIC || h->version != VERSION || strncmp(h->ifname, ifname, IFNAMSIZ))
		return -EBADMSG;
	const struct nlmsghdr *nlh = (const void *)s->messages;
	int left = (int)s->len;
	while (netlink_message_ok(nlh, left))
		nlh = mnl_nlmsg_next(nlh, &left);
	return left ? -EBADMSG : 0;
}

static int read_file(int fd, const char *ifname, struct save *s)
{
	struct file_header h;
	if (read(fd, &h, sizeof(h)) != sizeof(h) || h.len > SAVE_MESSAGES_BYTES)
		return -EBADMSG;
	*s = (struct save){.disable_ipv6 = h.disable_ipv6, .gro = h.gro, .up = h.up, .len = h.len};
	snprintf(s->ifname, sizeof(s->ifname), "%s", ifname);
	s->messages = calloc(1, h.len + 1u);
	if (!s->messages)
		return -ENOMEM;
	int rc = read(fd, s->messages, h.len) == (ssize_t)h.len ? check_file(&h, s, ifname)
								: -EBADMSG;
	if (rc)
		save_free(s);
	return rc;
}

int save_read(const char *state_dir, const char *ifname, struct save *s, struct lode_err *err)
{
	char path[PATH_MAX];
	int rc = file_path(state_dir, ifname, path, sizeof(path));
	int fd = rc ? -1 : open(path, O_RDONLY | O_CLOEXEC);
	if (!rc && fd < 0)
		rc = -errno;
	if (!rc)
		rc = read_file(fd, ifname, s);
	if (fd >= 0)
		close(fd);
	return rc ? lode_err_set(err, rc, "saved state of interface %s in %s: %s", ifname,
			    state_dir, rc == -EBADMSG ? "not a whole save file" : strerror(-rc))
		  : 0;
}

int save_remove(const char *state_dir, const char *ifname)
{
	char path[PATH_MAX];
	int rc = file_path(state_dir, ifname, path, sizeof(path));
	if (!rc && unlink(path))
		rc = -errno;
	return rc ? rc : lode_file_sync_folder(state_dir);
}
