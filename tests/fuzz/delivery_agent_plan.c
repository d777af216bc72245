/* SPDX-License-Identifier: BSD-3-Clause */
/* What a manager says is to be fetched: a plan that is taken leads from what there is to what was promised. */
#include "agent.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct plan *p, const char *base)
{
	const char *at = base;
	if (!p->n_steps || p->n_steps > PLAN_STEPS_MAX)
		abort();
	for (unsigned i = 0; i < p->n_steps; i++) {
		const struct step *s = &p->steps[i];
		if (!s->n_bytes || !lode_blob_name_ok(s->sha256) || !lode_blob_name_ok(s->target) ||
			(s->patch && strcmp(s->base, at) != 0))
			abort();
		at = s->target;
	}
	if (strcmp(at, p->sha256) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char base[] =
		"0000000000000000000000000000000000000000000000000000000000000000";
	struct plan p;
	json_t *reply = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);
	if (json_is_object(reply) && plan_read(&p, reply, base))
		check(&p, base);
	json_decref(reply);
	return 0;
}
