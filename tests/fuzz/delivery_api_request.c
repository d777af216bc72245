/* SPDX-License-Identifier: BSD-3-Clause */
/* Requests as a client may send them: a line with method and path, then the body. The database is kept in
 * memory and lives on from one input to the next, as a manager's does. */
#include "lode_api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct lode_api *the_api;
static char dir[] = "/tmp/lodestone-fuzz-XXXXXX";

static const char *no_value(void *ctx, const char *name)
{
	(void)name;
	return ctx;
}

static void close_api(void)
{
	char parts[sizeof(dir) + 8];
	lode_api_free(the_api);
	/* Without uploads nothing else is in it. */
	snprintf(parts, sizeof(parts), "%s/parts", dir);
	rmdir(parts);
	rmdir(dir);
}

static void open_api(void)
{
	struct lode_api_options options = {.anybody = true, .offline_s = 300};
	struct lode_err err;
	if (!mkdtemp(dir) || lode_api_new(&options, ":memory:", dir, &the_api, &err))
		abort();
	atexit(close_api);
}

/* The word up to the separator, cut off there. */
static char *word(char **at, char separator)
{
	char *start = *at, *end = strchr(start, separator);
	*at = end ? end + 1 : start + strlen(start);
	if (end)
		*end = 0;
	return start;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int64_t now_ms = 1700000000000;
	char *copy = calloc(1, size + 1);
	struct lode_api_reply reply = {0};
	if (!copy)
		return 0;
	memcpy(copy, data, size);
	if (!the_api)
		open_api();
	char *at = copy, *method = word(&at, ' '), *path = word(&at, '\n');
	struct lode_api_request req = {.method = method,
		.path = path,
		.header = no_value,
		.query = no_value,
		.body = at,
		.body_len = strlen(at),
		.now_ms = now_ms += 1000};
	lode_api_handle(the_api, &req, NULL, &reply);
	if (!reply.status)
		abort(); /* every request has an answer */
	lode_api_reply_clear(&reply);
	lode_api_tick(the_api, now_ms);
	free(copy);
	return 0;
}
