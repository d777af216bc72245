/* SPDX-License-Identifier: BSD-3-Clause */
/* Whatever a gateway says of itself becomes lines that Prometheus can read: each a comment or a sample of ours. */
#include "lode_metrics.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_line(const char *line, size_t len)
{
	static const char comment[] = "# ", sample[] = "lodestone_";
	bool ours = len > sizeof(sample) && !strncmp(line, sample, sizeof(sample) - 1);
	if (!ours && strncmp(line, comment, sizeof(comment) - 1) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lode_metrics m;
	size_t len;
	json_t *latest = json_loadb((const char *)data, size, JSON_ALLOW_NUL, NULL);
	if (!latest)
		return 0;
	if (lode_metrics_begin(&m))
		abort();
	lode_metrics_gateway(&m, latest);
	char *text = lode_metrics_end(&m, &len);
	if (!text || !len || text[len - 1] != '\n')
		abort();
	for (const char *line = text, *end; (end = strchr(line, '\n')); line = end + 1)
		check_line(line, (size_t)(end - line));
	free(text);
	json_decref(latest);
	return 0;
}
