/* SPDX-License-Identifier: BSD-3-Clause */
#include "targets.h"

#include <stdio.h>
#include <stdlib.h>

static int grow(struct targets *y)
{
	size_t room = y->room ? 2 * y->room : 64;
	void *t = realloc(y->t, room * sizeof(*y->t));
	y->t = t ? t : y->t;
	void *docs = realloc(y->docs, room * sizeof(*y->docs));
	y->docs = docs ? docs : y->docs;
	void *ids = realloc(y->ids, room * sizeof(*y->ids));
	y->ids = ids ? ids : y->ids;
	void *revs = realloc(y->revs, room * sizeof(*y->revs));
	y->revs = revs ? revs : y->revs;
	if (!t || !docs || !ids || !revs)
		return -ENOMEM;
	y->room = room;
	return 0;
}

static int add_target(void *ctx, const struct lode_store_doc *doc)
{
	struct targets *y = ctx;
	if (y->n == y->room && grow(y))
		return -ENOMEM;
	json_t *v = json_loads(doc->text, 0, NULL);
	if (!v)
		return -EIO;
	target_from_json(&y->t[y->n], v);
	y->t[y->n].order = lode_campaign_order(y->campaign, doc->id);
	y->docs[y->n] = v;
	y->revs[y->n] = doc->rev;
	snprintf(y->ids[y->n], LODE_STORE_ID_MAX, "%s", doc->id);
	y->n++;
	return 0;
}

void free_targets(struct targets *y)
{
	for (size_t i = 0; i < y->n; i++)
		json_decref(y->docs[i]);
	free(y->t);
	free(y->docs);
	free(y->ids);
	free(y->revs);
}

int load_targets(
	struct lode_api *api, const char *campaign, struct targets *y, struct lode_err *err)
{
	struct lode_store_query q = {.parent = campaign};
	*y = (struct targets){.campaign = campaign};
	return lode_store_list(api->store, LODE_DOC_TARGET, &q, add_target, y, err);
}
