/* SPDX-License-Identifier: BSD-3-Clause */
/* The selectors' state file: read as it comes, given to a selector, written again. What was taken is read back
 * the same; what was refused leaves nothing. */
#include "control.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void no_log(void *ctx, enum lode_log_level level, const char *text)
{
}

static void expect(bool ok)
{
	if (!ok)
		abort();
}

static struct lode_control *make_control(struct lode_prepared *prepared)
{
	struct lode_control *c = calloc(1, sizeof(*c));
	struct lode_config *config = calloc(1, sizeof(*config));
	expect(c && config);
	config->n_ports = config->n_peers = 1;
	strcpy(config->ports[0].name, "wan0");
	strcpy(config->peers[0].name, "one");
	prepared->config = config;
	c->prepared = prepared;
	c->params.log = no_log;
	expect((c->params.shared = calloc(1, sizeof(*c->params.shared))) != NULL);
	return c;
}

static void free_control(struct lode_control *c)
{
	free(c->params.shared);
	free(c->prepared->config);
	free(c->remembered);
	free(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char again[LODE_CONTROL_STATE_BYTES];
	struct lode_prepared prepared = {0};
	struct lode_control *c = make_control(&prepared);
	struct lode_err err;
	char *text = calloc(1, size + 1);
	expect(text != NULL);
	memcpy(text, data, size);
	c->prepared->config->selector.algorithm = size % 4;
	int rc = remember_read(c, text, &err);
	expect(rc == 0 || (c->n_remembered == 0 && c->quota[0].used_bytes == 0));
	expect(selector_sync(c, 0, 1) == 0);
	strcpy(c->peers[0].selector_link[0], "l");
	remember_give(c, 0, 0, 1);
	if (rc == 0 && lode_control_state(c, again, sizeof(again)) > 0)
		expect(remember_read(c, again, &err) == 0);
	selector_free(c, 0);
	free(text);
	free_control(c);
	return 0;
}
