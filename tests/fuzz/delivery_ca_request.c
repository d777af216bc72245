/* SPDX-License-Identifier: BSD-3-Clause */
/* A certificate request, and a certificate, as a stranger may send them. */
#include "lode_ca.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NOW_MS INT64_C(1700000000000)

static struct lode_ca *the_ca;
static char dir[] = "/tmp/lodestone-fuzz-XXXXXX";

static void close_ca(void)
{
	static const char *const files[] = {"ca.key", "ca.pem"};
	char path[sizeof(dir) + 8];
	lode_ca_close(the_ca);
	for (size_t i = 0; i < LODE_ARRAY_LEN(files); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
		unlink(path);
	}
	rmdir(dir);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct lode_ca_subject subject = {.name = "edge", .unit = "device", .days = 1};
	struct lode_ca_issued issued;
	struct lode_err err;
	int64_t from_ms, to_ms;
	char hex[LODE_CA_SHA256_HEX];
	if (!the_ca) {
		if (!mkdtemp(dir) || lode_ca_open(dir, NOW_MS, &the_ca, &err))
			abort();
		atexit(close_ca);
	}
	char *text = strndup((const char *)data, size);
	if (!text)
		return 0;
	if (!lode_ca_sign(the_ca, text, &subject, NOW_MS, &issued, &err)) {
		/* What was signed can be read, and lives as long as it was said. */
		if (lode_ca_lifetime(issued.pem, &from_ms, &to_ms, &err) ||
			to_ms != issued.not_after_ms)
			abort();
		free(issued.pem);
	}
	lode_ca_lifetime(text, &from_ms, &to_ms, &err);
	lode_ca_fingerprint(text, hex, &err);
	free(text);
	return 0;
}
