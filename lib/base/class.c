/* SPDX-License-Identifier: BSD-3-Clause */
#include "lode_base.h"

static const char *const names[LODE_N_CLASSES] = {
	[LODE_GAMING] = "gaming",
	[LODE_VOIP] = "voip",
	[LODE_STREAMING] = "streaming",
	[LODE_BULK] = "bulk",
	[LODE_WEB] = "web",
	[LODE_MANAGEMENT] = "management",
};

const char *lode_class_name(enum lode_class cls)
{
	return (unsigned)cls < LODE_N_CLASSES ? names[cls] : "?";
}
