/* SPDX-License-Identifier: BSD-3-Clause */
/* Foreign JSON: refused with a sentence, or read, written and read again to the same text. */
#include "lode_learn.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lode_learn_export e, again;
	struct lode_err err = {0};
	char *text, *twice;
	if (lode_learn_import_json((const char *)data, size, &e, &err)) {
		if (err.msg[0] == 0)
			abort();
		return 0;
	}
	if (lode_learn_export_json(&e, &text, &err) ||
		lode_learn_import_json(text, strlen(text), &again, &err) ||
		lode_learn_export_json(&again, &twice, &err) || strcmp(text, twice))
		abort();
	free(text);
	free(twice);
	lode_learn_export_free(&e);
	lode_learn_export_free(&again);
	return 0;
}
