/* SPDX-License-Identifier: BSD-3-Clause */
/* Health and the audit log. */
#include "api.h"

#include <stdlib.h>
#include <string.h>

void health_get(struct call *c)
{
	answer(c, 200, json_pack("{s:s,s:s}", "status", "healthy", "service", "lodestone-manager"));
}

static int add_entry(void *ctx, const struct lode_audit *e)
{
	json_t *detail = json_loads(e->detail, 0, NULL);
	return json_array_append_new(ctx,
		       json_pack("{s:I,s:I,s:s,s:s,s:s,s:o?,s:s}", "seq", (json_int_t)e->seq,
			       "time_ms", (json_int_t)e->time_ms, "actor", e->actor, "action",
			       e->action, "object", e->object, "detail", detail, "hash", e->hash))
		       ? -ENOMEM
		       : 0;
}

void audit_get(struct call *c)
{
	struct lode_err err;
	const char *after = c->req->query(c->req->ctx, "after");
	int64_t bad = 0;
	json_t *items = json_array();
	int rc = lode_store_audit_list(
		c->api->store, after ? strtoll(after, NULL, 10) : 0, 1000, add_entry, items, &err);
	int chain = rc ? rc : lode_store_audit_verify(c->api->store, &bad, &err);
	if (rc) {
		json_decref(items);
		answer_err(c, &err);
		return;
	}
	answer(c, 200,
		json_pack("{s:o,s:b,s:I}", "items", items, "chain_ok", chain == 0, "bad_seq",
			(json_int_t)bad));
}
