/* SPDX-License-Identifier: BSD-3-Clause */
/* What to fetch: the manager's plan names bytes by their hash, so that it does not matter where they come from. */
#include "agent.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEP_BYTES_MAX (1ull << 40)

static bool copy_sha(char to[SHA_HEX], const json_t *obj, const char *key)
{
	const char *s = json_string_value(json_object_get(obj, key));
	if (!s || !lode_blob_name_ok(s))
		return false;
	memcpy(to, s, SHA_HEX);
	return true;
}

static bool copy_size(uint64_t *to, const json_t *obj)
{
	json_int_t n = json_integer_value(json_object_get(obj, "size_bytes"));
	*to = (uint64_t)n;
	return n > 0 && *to <= STEP_BYTES_MAX;
}

/* Absent: the bytes are not sealed. */
static bool copy_wrapped_key(struct step *s, const json_t *obj)
{
	const char *text = json_string_value(json_object_get(obj, "wrapped_key"));
	s->sealed = text != NULL;
	if (!text)
		return true;
	if (strlen(text) != 2 * sizeof(s->wrapped_key) ||
		strspn(text, "0123456789abcdef") != strlen(text))
		return false;
	for (size_t i = 0; i < sizeof(s->wrapped_key); i++) {
		char byte[3] = {text[2 * i], text[2 * i + 1], 0};
		s->wrapped_key[i] = (uint8_t)strtoul(byte, NULL, 16);
	}
	return true;
}

/* Each step makes a file; a patch makes it from what the step before made. */
static bool read_step(struct step *s, const json_t *obj, const char *base)
{
	const char *kind = json_string_value(json_object_get(obj, "kind"));
	s->patch = kind && !strcmp(kind, "delta");
	return kind && (s->patch || !strcmp(kind, "full")) && copy_sha(s->sha256, obj, "sha256") &&
	       copy_sha(s->target, obj, "target") && copy_size(&s->n_bytes, obj) &&
	       copy_wrapped_key(s, obj) &&
	       (!s->patch || (copy_sha(s->base, obj, "base") && !strcmp(s->base, base)));
}

bool plan_read(struct plan *p, const json_t *reply, const char *base)
{
	const json_t *steps = json_object_get(reply, "steps");
	size_t n = json_array_size(steps);
	*p = (struct plan){0};
	if (!n || n > PLAN_STEPS_MAX || !copy_sha(p->sha256, reply, "sha256") ||
		!copy_size(&p->n_bytes, reply))
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!read_step(&p->steps[i], json_array_get(steps, i), base))
			return false;
		base = p->steps[i].target;
	}
	p->n_steps = (unsigned)n;
	return !strcmp(base, p->sha256);
}

/* What a patch can start from: of this model the file that is in place. */
static void base_of(const struct lode_agent *a, const char *model, char sha256[SHA_HEX])
{
	char path[PATH_MAX];
	struct lode_err none;
	path_of(a, "models", model, ".bin", path);
	if (!strcmp(model, a->current.model))
		memcpy(sha256, a->current.sha256, SHA_HEX);
	else if (file_sha256(path, sha256, &none))
		*sha256 = 0;
}

/* Our public key; "" when we have none. */
static void seal_key_hex(const struct lode_agent *a, char text[2 * LODE_SEAL_KEY_BYTES + 1])
{
	uint8_t key[LODE_SEAL_KEY_BYTES];
	*text = 0;
	if (!a->options.seal_key || lode_seal_public(a->options.seal_key, key))
		return;
	lode_hex(key, sizeof(key), text);
}

int ask_plan(
	struct lode_agent *a, const struct running *want, struct plan *plan, struct lode_err *err)
{
	char path[600], base[SHA_HEX], ours[2 * LODE_SEAL_KEY_BYTES + 1];
	base_of(a, want->model, base);
	seal_key_hex(a, ours);
	snprintf(path, sizeof(path),
		"/api/v2/models/%s/versions/%s/plan?base_sha256=%s&seal_key=%s", want->model,
		want->version, base, ours);
	json_t *reply = call_json(a, path, NULL, err);
	if (!reply)
		return err->code;
	bool ok = plan_read(plan, reply, base);
	json_decref(reply);
	if (!ok)
		return lode_err_set(err, -EPROTO, "%s: the answer is no plan", path);
	if (strcmp(plan->sha256, want->sha256) != 0)
		return lode_err_set(err, -EBADMSG, "the manager has SHA-256 %s, %s was signed",
			plan->sha256, want->sha256);
	return 0;
}

void plan_whole_file(struct plan *plan)
{
	plan->n_steps = 1;
	plan->steps[0] = (struct step){.n_bytes = plan->n_bytes};
	memcpy(plan->steps[0].sha256, plan->sha256, SHA_HEX);
	memcpy(plan->steps[0].target, plan->sha256, SHA_HEX);
}
