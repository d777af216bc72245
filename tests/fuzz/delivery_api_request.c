/* SPDX-License-Identifier: BSD-3-Clause */
/* Requests as a client may send them: a line with method and path, then the body. */
#include "api_fuzz.h"

static const char *no_value(void *ctx, const char *name)
{
	(void)name;
	return ctx;
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
		open_api(true);
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
