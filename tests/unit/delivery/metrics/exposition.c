/* SPDX-License-Identifier: BSD-3-Clause */
#include "exposition.h"

#include <criterion/criterion.h>
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINES_MAX 4000

struct reader {
	char *lines[LINES_MAX]; /* series and "# TYPE x" seen so far */
	size_t n_seen, n_samples;
	char family[200], type[20];
	char bucket[200]; /* of which family and labels */
	double below;
};

static void once(struct reader *r, const char *what)
{
	for (size_t i = 0; i < r->n_seen; i++)
		cr_assert_str_neq(r->lines[i], what, "twice: %s", what);
	cr_assert_lt(r->n_seen, LINES_MAX);
	r->lines[r->n_seen++] = strdup(what);
}

static const char *skip_name(const char *p)
{
	const char *start = p;
	while (isalnum((unsigned char)*p) || *p == '_' || *p == ':')
		p++;
	cr_assert(p > start && !isdigit((unsigned char)*start), "a name is wanted: %s", start);
	return p;
}

static const char *skip_labels(const char *p)
{
	do {
		p = skip_name(p + 1);
		cr_assert_eq(strncmp(p, "=\"", 2), 0, "a label: %s", p);
		for (p += 2; *p && *p != '"'; p++) {
			cr_assert_neq(*p, '\n');
			if (*p == '\\') {
				p++;
				cr_assert(*p && strchr("\\\"n", *p), "an escape: %s", p);
			}
		}
		cr_assert_eq(*p, '"', "an open label");
		p++;
	} while (*p == ',');
	cr_assert_eq(*p, '}', "labels end with }: %s", p);
	return p + 1;
}

static void read_comment(struct reader *r, const char *line)
{
	char name[200], type[20];
	if (sscanf(line, "# HELP %199s", name) == 1) {
		snprintf(r->family, sizeof(r->family), "%s", name);
		return;
	}
	cr_assert_eq(sscanf(line, "# TYPE %199s %19s", name, type), 2, "%s", line);
	cr_assert_str_eq(name, r->family, "TYPE follows its HELP: %s", line);
	cr_assert(!strcmp(type, "gauge") || !strcmp(type, "counter") || !strcmp(type, "histogram"));
	if (!strcmp(type, "counter"))
		cr_assert(
			strlen(name) > 6 && !strcmp(name + strlen(name) - 6, "_total"), "%s", name);
	snprintf(r->type, sizeof(r->type), "%s", type);
	once(r, line);
}

/* The buckets of one histogram follow each other and rise. */
static void check_bucket(struct reader *r, const char *line, double value)
{
	const char *le = strstr(line, "le=\"");
	if (!le)
		return;
	bool same = !strncmp(r->bucket, line, (size_t)(le - line));
	cr_assert(!same || value >= r->below, "a bucket falls: %s", line);
	snprintf(r->bucket, sizeof(r->bucket), "%.*s", (int)(le - line), line);
	r->below = value;
}

static void read_sample(struct reader *r, char *line)
{
	const char *end = skip_name(line);
	size_t len = (size_t)(end - line), own = strlen(r->family);
	cr_assert(len >= own && !strncmp(line, r->family, own), "below another family: %s", line);
	if (strcmp(r->type, "histogram") != 0)
		cr_assert_eq(len, own, "%s", line);
	if (*end == '{')
		end = skip_labels(end);
	cr_assert_eq(*end, ' ', "%s", line);
	char *number_end;
	double value = strtod(end + 1, &number_end);
	cr_assert_eq(*number_end, 0, "a number: %s", line);
	check_bucket(r, line, value);
	line[end - line] = 0;
	once(r, line);
	r->n_samples++;
}

size_t exposition_check(const char *text)
{
	struct reader *r = calloc(1, sizeof(*r));
	char *copy = strdup(text), *save = NULL;
	cr_assert(*text && text[strlen(text) - 1] == '\n', "the last line ends");
	for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (*line == '#')
			read_comment(r, line);
		else
			read_sample(r, line);
	}
	size_t n = r->n_samples;
	while (r->n_seen)
		free(r->lines[--r->n_seen]);
	free(copy);
	free(r);
	return n;
}

double exposition_value(const char *text, const char *series)
{
	size_t len = strlen(series);
	for (const char *p = text; (p = strstr(p, series)); p += len)
		if ((p == text || p[-1] == '\n') && p[len] == ' ')
			return strtod(p + len, NULL);
	return NAN;
}
