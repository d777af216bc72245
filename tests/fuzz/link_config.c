/* SPDX-License-Identifier: BSD-3-Clause */
/* Lines of key=value as link settings; what passes the check must run. */
#include "lode_link.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void run(const struct lode_link_config *c)
{
	struct lode_link *l = lode_link_new(c, 1, 0, NULL);
	struct lode_link_out out;
	uint64_t now_ns = 0;
	for (uint64_t i = 0; l && i < 50; i++, now_ns += 100000)
		lode_link_push(l, now_ns, (uint32_t)(i * 40), i);
	for (int i = 0; l && i < 500; i++) {
		uint64_t due_ns = lode_link_next_due_ns(l);
		if (due_ns == LODE_NEVER_NS)
			break;
		now_ns = LODE_MAX(now_ns, due_ns);
		while (lode_link_pop(l, now_ns, &out))
			;
	}
	lode_link_free(l);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[512];
	size_t len = LODE_MIN(size, sizeof(text) - 1);
	memcpy(text, data, len);
	text[len] = 0;
	struct lode_link_config c = {0};
	struct lode_err err;
	char *save, *line = strtok_r(text, "\n", &save);
	for (; line; line = strtok_r(NULL, "\n", &save)) {
		char *eq = strchr(line, '=');
		if (!eq)
			continue;
		*eq = 0;
		lode_link_config_set(&c, line, eq + 1, &err);
	}
	if (lode_link_config_check(&c, &err) == 0)
		run(&c);
	return 0;
}
