/* SPDX-License-Identifier: BSD-3-Clause */
/* First byte: how the rest is read. As a chain it is judged by an appliance whose root (key seeds of bytes 1, 2
 * and 11) signed the corpus, so that what lies behind the signatures is reached too. */
#include "lode_trust.h"

#include <stdlib.h>

#define NOW_S 1800000000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *anchor(void)
{
	static char *envelope;
	struct lode_err err;
	uint8_t seed[LODE_TRUST_KEY_BYTES];
	struct lode_trust_root root = {.version = 1,
		.expires_s = NOW_S + 1000,
		.root = {.threshold = 1, .n_keys = 2},
		.release = {.threshold = 1, .n_keys = 1}};
	if (envelope)
		return envelope;
	memset(seed, 11, sizeof(seed));
	if (lode_trust_public(seed, root.release.keys[0]))
		abort();
	for (unsigned i = 2; i > 0; i--) {
		memset(seed, (int)i, sizeof(seed));
		if (lode_trust_public(seed, root.root.keys[i - 1]))
			abort();
	}
	if (lode_trust_root_make(&root, &envelope, &err) || lode_trust_sign(&envelope, seed, &err))
		abort();
	return envelope;
}

static void judge(const char *text, size_t len)
{
	struct lode_trust_state state, next;
	struct lode_trust_release release;
	struct lode_err err;
	if (lode_trust_begin(&state, anchor(), NULL, &err))
		abort();
	if (!lode_trust_judge(&state, text, len, NULL, NULL, NOW_S, &next, &release, &err)) {
		/* What was accepted is accepted again, and goes to the disk and back. */
		char *stored = lode_trust_state_print(&next);
		struct lode_trust_state again;
		if (lode_trust_begin(&again, anchor(), stored, &err))
			abort();
		lode_trust_state_clear(&next);
		if (lode_trust_judge(&again, text, len, release.model, release.version, NOW_S,
			    &next, &release, &err))
			abort();
		lode_trust_state_clear(&again);
		free(stored);
	}
	lode_trust_state_clear(&next);
	lode_trust_state_clear(&state);
}

static void read_bundle(const char *bytes, size_t len)
{
	struct lode_trust_bundle bundle;
	struct lode_err err;
	if (!lode_trust_bundle_read(&bundle, bytes, len, &err)) {
		const struct lode_trust_bundle_file *last = &bundle.files[bundle.n_files - 1];
		if (last->offset_bytes + last->n_bytes != len)
			abort();
		judge(bundle.files[0].chain, strlen(bundle.files[0].chain));
	}
	lode_trust_bundle_clear(&bundle);
}

static void read_state(const char *text)
{
	struct lode_trust_state state;
	struct lode_err err;
	if (!lode_trust_begin(&state, anchor(), text, &err) && !state.root_text)
		abort();
	lode_trust_state_clear(&state);
	if (!lode_trust_begin(&state, text, NULL, &err) && !state.root_text)
		abort();
	lode_trust_state_clear(&state);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = size ? malloc(size) : NULL; /* a NUL behind the rest */
	struct lode_trust_root root;
	struct lode_trust_delegation delegation;
	struct lode_trust_kind kind;
	struct lode_err err;
	if (!text)
		return 0;
	memcpy(text, data + 1, size - 1);
	text[size - 1] = 0;
	switch (data[0] % 6) {
	case 0:
		judge(text, size - 1);
		break;
	case 1:
		read_bundle(text, size - 1);
		break;
	case 2:
		read_state(text);
		break;
	case 3:
		lode_trust_root_read(text, size - 1, &root, &err);
		break;
	case 4:
		lode_trust_delegation_read(text, size - 1, &delegation, &err);
		break;
	default:
		lode_trust_kind_of(text, size - 1, &kind);
	}
	free(text);
	return 0;
}
