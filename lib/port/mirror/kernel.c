/* SPDX-License-Identifier: BSD-3-Clause */
#include "kernel.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static int sysctl_open(const char *family, const char *ifname, const char *key, int flags)
{
	char path[160];
	snprintf(path, sizeof(path), "/proc/sys/net/%s/conf/%s/%s", family, ifname, key);
	int fd = open(path, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int sysctl_read(const char *family, const char *ifname, const char *key, int *value)
{
	int fd = sysctl_open(family, ifname, key, O_RDONLY);
	if (fd < 0)
		return fd;
	char text[32];
	ssize_t n = read(fd, text, sizeof(text) - 1);
	int rc = n < 0 ? -errno : 0;
	close(fd);
	if (rc)
		return rc;
	text[n] = 0;
	*value = atoi(text);
	return 0;
}

int sysctl_write(const char *family, const char *ifname, const char *key, int value)
{
	int fd = sysctl_open(family, ifname, key, O_WRONLY);
	if (fd < 0)
		return fd;
	char text[16];
	int len = snprintf(text, sizeof(text), "%d", value);
	int rc = write(fd, text, (size_t)len) == len ? 0 : -errno;
	close(fd);
	return rc;
}

int interface_ioctl(const char *ifname, unsigned long request, struct ifreq *ifr)
{
	int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (sock < 0)
		return -errno;
	snprintf(ifr->ifr_name, sizeof(ifr->ifr_name), "%s", ifname);
	int rc = ioctl(sock, request, ifr) < 0 ? -errno : 0;
	close(sock);
	return rc;
}

int interface_set_up(const char *ifname, bool up)
{
	struct ifreq ifr = {0};
	int rc = interface_ioctl(ifname, SIOCGIFFLAGS, &ifr);
	if (rc)
		return rc;
	ifr.ifr_flags = (short)(up ? ifr.ifr_flags | IFF_UP : ifr.ifr_flags & ~IFF_UP);
	return interface_ioctl(ifname, SIOCSIFFLAGS, &ifr);
}
