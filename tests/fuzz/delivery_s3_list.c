/* SPDX-License-Identifier: BSD-3-Clause */
#include "lode_s3.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int check(void *ctx, const struct lode_s3_object *o)
{
	(void)ctx;
	if (strlen(o->key) >= sizeof(o->key))
		abort();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char next[40];
	struct lode_err err = {0};
	char *xml = calloc(1, size + 1);
	if (!xml)
		return 0;
	memcpy(xml, data, size);
	int rc = lode_s3_parse_list(xml, "p", check, NULL, next, sizeof(next), &err);
	if ((rc && !*err.msg) || strlen(next) >= sizeof(next))
		abort();
	free(xml);
	return 0;
}
