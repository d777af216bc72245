/* SPDX-License-Identifier: BSD-3-Clause */
/* What the data plane has to spare, by the gateway's own view of its paths. */
#include "agent.h"

#include "lode_ipc.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ASK_TIMEOUT_MS	 500
#define LEAST_KBPS	 64 /* a model arrives even at a site that is always busy */
#define BYTES_S_PER_KBPS 125

static uint64_t member(const json_t *path, const char *key)
{
	json_int_t v = json_integer_value(json_object_get(path, key));
	return v > 0 ? (uint64_t)v : 0;
}

/* What the path may carry by its port and its controller, less what it carries in the busier direction: a port's
 * rate is known for sending, and links are seldom slower the other way. */
static uint64_t spare_kbps(const json_t *path)
{
	uint64_t share = member(path, "share_kbps"), pacing = member(path, "pacing_kbps");
	uint64_t may = share && pacing ? LODE_MIN(share, pacing) : LODE_MAX(share, pacing);
	uint64_t load = LODE_MAX(member(path, "tx_kbps"), member(path, "rx_kbps"));
	return may > load ? may - load : 0;
}

static char *ask_paths(const char *gateway)
{
	static const char request[] = "{\"command\":\"paths\"}";
	struct lode_err ignored;
	char *reply = NULL;
	int sock = lode_ipc_connect(gateway, &ignored);
	if (sock < 0)
		return NULL;
	if (lode_ipc_call(sock, request, strlen(request), -1, ASK_TIMEOUT_MS, &reply, &ignored) < 0)
		reply = NULL;
	close(sock);
	return reply;
}

uint64_t lode_agent_spare(const char *gateway)
{
	char *text = ask_paths(gateway);
	json_t *reply = text ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;
	json_t *paths = json_object_get(reply, "result"), *path;
	const char *name;
	uint64_t kbps = 0;
	json_object_foreach(paths, name, path) kbps += spare_kbps(path);
	uint64_t rate = json_object_size(paths)
				? LODE_MAX(kbps, (uint64_t)LEAST_KBPS) * BYTES_S_PER_KBPS
				: LODE_PACE_OPEN;
	json_decref(reply);
	free(text);
	return rate;
}
