/* SPDX-License-Identifier: BSD-3-Clause */
#include "lode_metrics.h"

#include <math.h>
#include <stdlib.h>

#define BUCKET_FIRST_LOG2 13 /* 2^13 ns */
#define BUCKET_LAST_LOG2  36

int lode_metrics_begin(struct lode_metrics *m)
{
	*m = (struct lode_metrics){0};
	m->to = open_memstream(&m->text, &m->len);
	return m->to ? 0 : -ENOMEM;
}

char *lode_metrics_end(struct lode_metrics *m, size_t *len)
{
	bool bad = ferror(m->to);
	if (fclose(m->to) || bad) {
		free(m->text);
		m->text = NULL;
	}
	*len = m->text ? m->len : 0;
	return m->text;
}

/* In HELP a backslash and a line feed are escaped, in label values the quote too. */
static void put_escaped(FILE *to, const char *s, bool label)
{
	for (; *s; s++) {
		if (*s == '\\')
			fputs("\\\\", to);
		else if (*s == '\n')
			fputs("\\n", to);
		else if (*s == '"' && label)
			fputs("\\\"", to);
		else
			fputc(*s, to);
	}
}

void lode_metrics_family(
	struct lode_metrics *m, const char *name, enum lode_metric_type type, const char *help)
{
	static const char *const types[] = {"gauge", "counter", "histogram"};
	fprintf(m->to, "# HELP %s ", name);
	put_escaped(m->to, help, false);
	fprintf(m->to, "\n# TYPE %s %s\n", name, types[type]);
}

static void put_value(FILE *to, double value)
{
	if (isnan(value))
		fputs(" NaN\n", to);
	else if (isinf(value))
		fputs(value > 0 ? " +Inf\n" : " -Inf\n", to);
	else if (value == floor(value) && fabs(value) < 1e15)
		fprintf(to, " %.0f\n", value);
	else
		fprintf(to, " %.9g\n", value);
}

void lode_metrics_sample(
	struct lode_metrics *m, const char *name, const struct lode_label *labels, double value)
{
	fputs(name, m->to);
	for (const struct lode_label *l = labels; l && l->name; l++) {
		fprintf(m->to, "%c%s=\"", l == labels ? '{' : ',', l->name);
		put_escaped(m->to, l->value, true);
		fputc('"', m->to);
	}
	if (labels && labels->name)
		fputc('}', m->to);
	put_value(m->to, value);
}

void lode_metrics_histogram_ns(
	struct lode_metrics *m, const char *name, const char *help, const struct lode_hist *ns)
{
	char text[80], le[32];
	uint64_t below = 0;
	unsigned next = 0;
	lode_metrics_family(m, name, LODE_METRIC_HISTOGRAM, help);
	snprintf(text, sizeof(text), "%s_bucket", name);
	for (unsigned log2 = BUCKET_FIRST_LOG2; log2 <= BUCKET_LAST_LOG2; log2++) {
		for (; next < lode_hist_bucket(1ull << log2); next++)
			below += ns->bucket[next];
		snprintf(le, sizeof(le), "%.9g", ldexp(1e-9, (int)log2));
		lode_metrics_sample(m, text, (struct lode_label[]){{"le", le}, {0}}, (double)below);
	}
	lode_metrics_sample(m, text, (struct lode_label[]){{"le", "+Inf"}, {0}}, (double)ns->n);
	snprintf(text, sizeof(text), "%s_sum", name);
	lode_metrics_sample(m, text, NULL, (double)ns->sum * 1e-9);
	snprintf(text, sizeof(text), "%s_count", name);
	lode_metrics_sample(m, text, NULL, (double)ns->n);
}
