/* SPDX-License-Identifier: BSD-3-Clause */
/* What the selectors learned and the budgets spent, over a restart: read when control is made, written every
 * minute and at the end. The file is replaced as a whole; a broken one costs what was learned, not the start. */
#include "gateway.h"

#include <stdlib.h>

#define FILE_NAME "selector.state"
#define SAVE_NS	  (60 * LODE_NS_PER_S)

char *selector_state_read(struct gateway *g)
{
	char *text = malloc(LODE_CONTROL_STATE_BYTES);
	struct lode_err err;
	long len = text ? state_read_file(g->config->state_dir, FILE_NAME, text,
				  LODE_CONTROL_STATE_BYTES, &err)
			: -ENOENT;
	if (len >= 0)
		return text;
	free(text);
	if (len != -ENOENT)
		log_line(&g->log, LOG_GATEWAY, LODE_LOG_WARN, "%s; the selectors start anew",
			err.msg);
	return NULL;
}

static void save(struct gateway *g)
{
	char *text = malloc(LODE_CONTROL_STATE_BYTES);
	if (!text)
		return;
	pthread_mutex_lock(&g->lock);
	long len = lode_control_state(g->control, text, LODE_CONTROL_STATE_BYTES);
	pthread_mutex_unlock(&g->lock);
	int rc = len < 0 ? (int)len
			 : state_save_file(g->config->state_dir, FILE_NAME, text, (size_t)len);
	if (rc)
		log_line(&g->log, LOG_GATEWAY, LODE_LOG_WARN, "%s/" FILE_NAME ": not saved: %s",
			g->config->state_dir, strerror(-rc));
	free(text);
}

void selector_state_run(struct gateway *g, uint64_t now, bool last)
{
	if (g->selector_saved_ns == 0)
		g->selector_saved_ns = now;
	if (!last && now - g->selector_saved_ns < SAVE_NS)
		return;
	g->selector_saved_ns = now;
	save(g);
}
