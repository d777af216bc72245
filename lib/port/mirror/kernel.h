/* SPDX-License-Identifier: BSD-3-Clause */
/* Small helpers around sysctls and interface ioctls, shared by tap and guard. */
#pragma once

#include "lode_mirror.h"

#include <sys/ioctl.h>

/* family: "ipv4" or "ipv6". Reads or writes /proc/sys/net/<family>/conf/<ifname>/<key>. */
int sysctl_read(const char *family, const char *ifname, const char *key, int *value);
int sysctl_write(const char *family, const char *ifname, const char *key, int value);

/* One interface ioctl; ifr_name is filled in. */
int interface_ioctl(const char *ifname, unsigned long request, struct ifreq *ifr);

/* Administratively up or down. */
int interface_set_up(const char *ifname, bool up);
