/* SPDX-License-Identifier: BSD-3-Clause */
/* save: what the guard will change on an interface, as a file. The kernel's own messages for its addresses
 * and routes are kept byte for byte and sent back to restore them. */
#pragma once

#include "netlink.h"

#define SAVE_MESSAGES_BYTES (1u << 20)

struct save {
	char ifname[IFNAMSIZ];
	int32_t disable_ipv6, gro, up; /* -1: not known, not restored */
	uint32_t len;		       /* of messages */
	uint8_t *messages;
};

/* Reads the present state of the interface. */
int save_collect(const char *ifname, struct save *s, struct lode_err *err);
void save_free(struct save *s);
/* On disk (file and directory synced) before it returns. */
int save_write(const char *state_dir, const struct save *s, struct lode_err *err);
/* -ENOENT: there is none. Refuses a file that is not a whole save. */
int save_read(const char *state_dir, const char *ifname, struct save *s, struct lode_err *err);
int save_remove(const char *state_dir, const char *ifname);

/* Prefix and suffix of the files' names in state_dir. */
#define SAVE_PREFIX "guard-"
#define SAVE_SUFFIX ".save"
