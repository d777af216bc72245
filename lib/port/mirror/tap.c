/* SPDX-License-Identifier: BSD-3-Clause */
#include "kernel.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <unistd.h>

struct setting {
	const char *family, *key;
	int value;
};

/* What keeps the kernel from answering for other interfaces (ARP), from refusing what comes back another
 * way (rp_filter) and from routing around the tunnel (forwarding). */
static const struct setting settings[] = {
	{"ipv4", "arp_ignore", 1},
	{"ipv4", "arp_announce", 2},
	{"ipv4", "rp_filter", 2},
	{"ipv4", "forwarding", 0},
	{"ipv4", "send_redirects", 0},
	{"ipv6", "forwarding", 0},
	/* No neighbour is asked for while the link-local address waits for duplicates; it is the port's own. */
	{"ipv6", "dad_transmits", 0},
};

static int apply_settings(const struct lode_tap_spec *spec, struct lode_err *err)
{
	for (size_t i = 0; i < LODE_ARRAY_LEN(settings); i++) {
		const struct setting *s = &settings[i];
		int rc = sysctl_write(s->family, spec->name, s->key, s->value);
		if (rc && rc != -ENOENT) /* a kernel without IPv6 has none of its keys */
			return lode_err_set(err, rc, "mirror %s: sysctl net.%s.conf.%s.%s = %d: %s",
				spec->name, s->family, spec->name, s->key, s->value, strerror(-rc));
	}
	sysctl_write("ipv6", spec->name, "accept_ra", spec->accept_ra);
	return 0;
}

static int set_mac(const struct lode_tap_spec *spec)
{
	struct ifreq ifr = {0};
	ifr.ifr_hwaddr.sa_family = ARPHRD_ETHER;
	memcpy(ifr.ifr_hwaddr.sa_data, spec->mac, 6);
	return interface_ioctl(spec->name, SIOCSIFHWADDR, &ifr);
}

static int set_mtu(const struct lode_tap_spec *spec)
{
	struct ifreq ifr = {.ifr_mtu = spec->mtu_bytes};
	return interface_ioctl(spec->name, SIOCSIFMTU, &ifr);
}

static int create(const struct lode_tap_spec *spec, struct lode_tap *tap, struct lode_err *err)
{
	if (!spec->name[0] || strlen(spec->name) >= IFNAMSIZ)
		return lode_err_set(err, -ENAMETOOLONG,
			"mirror name \"%s\": 1 to %d bytes are allowed for an interface",
			spec->name, IFNAMSIZ - 1);
	tap->fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (tap->fd < 0)
		return lode_err_set(err, -errno, "/dev/net/tun: %s (is the tun module loaded?)",
			strerror(errno));
	struct ifreq ifr = {0};
	ifr.ifr_flags = IFF_NO_PI | (spec->kind == LODE_TAP_IP ? IFF_TUN : IFF_TAP);
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", spec->name);
	if (ioctl(tap->fd, TUNSETIFF, &ifr) < 0)
		return lode_err_set(err, -errno,
			"mirror %s: %s (CAP_NET_ADMIN is needed, and no other interface of that "
			"name)",
			spec->name, strerror(errno));
	snprintf(tap->name, sizeof(tap->name), "%s", spec->name);
	tap->ifindex = (int)if_nametoindex(spec->name);
	return 0;
}

int lode_tap_open(const struct lode_tap_spec *spec, struct lode_tap *tap, struct lode_err *err)
{
	*tap = (struct lode_tap){.fd = -1};
	int rc = create(spec, tap, err);
	if (!rc)
		rc = apply_settings(spec, err);
	if (!rc && spec->kind == LODE_TAP_ETHERNET && (rc = set_mac(spec)))
		lode_err_set(err, rc, "mirror %s: setting its MAC address: %s", spec->name,
			strerror(-rc));
	if (!rc && (rc = set_mtu(spec)))
		lode_err_set(err, rc, "mirror %s: setting MTU %u: %s", spec->name, spec->mtu_bytes,
			strerror(-rc));
	if (!rc && (rc = interface_set_up(spec->name, true)))
		lode_err_set(err, rc, "mirror %s: bringing it up: %s", spec->name, strerror(-rc));
	if (rc)
		lode_tap_close(tap);
	return rc;
}

void lode_tap_close(struct lode_tap *tap)
{
	if (tap->fd >= 0)
		close(tap->fd);
	tap->fd = -1;
}

int lode_tap_set_carrier(const struct lode_tap *tap, bool up)
{
	int carrier = up;
	return ioctl(tap->fd, TUNSETCARRIER, &carrier) < 0 ? -errno : 0;
}
