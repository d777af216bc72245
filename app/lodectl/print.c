/* SPDX-License-Identifier: BSD-3-Clause */
/* How answers look on a terminal. */
#include "lodectl.h"

#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#define COLUMNS_MAX 32
#define BAR_WIDTH   30

/* C0, DEL, and C1 as UTF-8 writes it: what could move the cursor or worse. */
void clean_text(char *text)
{
	for (unsigned char *p = (unsigned char *)text; *p; p++) {
		bool c1 = p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0;
		if (c1)
			*p++ = '?';
		if (c1 || (*p < 0x20 && *p != '\n') || *p == 0x7f)
			*p = '?';
	}
}

void print_clean(const char *text)
{
	char *copy = strdup(text);
	if (!copy)
		abort();
	clean_text(copy);
	fputs(copy, stdout);
	free(copy);
}

/* ---- tables ---- */

void table_begin(struct table *t, size_t n_columns, const char *const *heads)
{
	*t = (struct table){.n_columns = n_columns};
	for (size_t i = 0; heads && i < n_columns; i++)
		table_cell(t, "%s", heads[i]);
}

void table_cell(struct table *t, const char *fmt, ...)
{
	va_list args;
	if (t->n_cells == t->room) {
		size_t room = t->room ? 2 * t->room : 64;
		char **grown = realloc(t->cell, room * sizeof(*grown));
		if (!grown)
			abort();
		t->cell = grown;
		t->room = room;
	}
	va_start(args, fmt);
	if (vasprintf(&t->cell[t->n_cells], fmt, args) < 0)
		abort();
	va_end(args);
	clean_text(t->cell[t->n_cells]);
	for (char *p = t->cell[t->n_cells]; (p = strchr(p, '\n'));)
		*p = ' ';
	t->n_cells++;
}

static size_t column_width(const struct table *t, size_t column)
{
	size_t width = 0;
	for (size_t i = column; i < t->n_cells; i += t->n_columns)
		width = LODE_MAX(width, strlen(t->cell[i]));
	return width;
}

void table_end(struct table *t, FILE *to)
{
	size_t width[COLUMNS_MAX];
	for (size_t c = 0; c < t->n_columns; c++)
		width[c] = column_width(t, c);
	for (size_t i = 0; i < t->n_cells; i++) {
		size_t c = i % t->n_columns;
		bool last = c + 1 == t->n_columns;
		if (last)
			fprintf(to, "%s\n", t->cell[i]);
		else
			fprintf(to, "%-*s  ", (int)width[c], t->cell[i]);
		free(t->cell[i]);
	}
	free(t->cell);
	*t = (struct table){0};
}

/* ---- JSON ---- */

int print_json(const json_t *value)
{
	/* Escaped on a terminal: C1 control characters would pass else. */
	size_t ascii = isatty(STDOUT_FILENO) ? JSON_ENSURE_ASCII : 0;
	json_dumpf(value, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY | ascii);
	putchar('\n');
	return EXIT_OK;
}

void table_value(struct table *t, const json_t *v)
{
	const char *string = json_string_value(v);
	if (!v || json_is_null(v) || (string && !*string)) {
		table_cell(t, "-");
	} else if (string) {
		table_cell(t, "%s", string);
	} else {
		char *text = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(6));
		table_cell(t, "%s", text ? text : "?");
		free(text);
	}
}

/* Rows of objects: an object of objects, with a name each, or an array of them. */
static bool is_table(json_t *v)
{
	const char *key;
	json_t *row;
	size_t i;
	json_object_foreach(v, key, row) if (!json_is_object(row)) return false;
	json_array_foreach(v, i, row) if (!json_is_object(row)) return false;
	return json_object_size(v) + json_array_size(v) > 0;
}

static size_t add_columns(json_t *row, const char **column, size_t n)
{
	const char *key;
	json_t *cell;
	json_object_foreach(row, key, cell)
	{
		size_t i = 1;
		while (i < n && strcmp(column[i], key))
			i++;
		if (i == n && n < COLUMNS_MAX && !json_is_object(cell))
			column[n++] = key;
	}
	return n;
}

static void print_rows(json_t *named)
{
	const char *column[COLUMNS_MAX] = {""}, *name;
	json_t *row;
	struct table t;
	size_t n = 1;
	json_object_foreach(named, name, row) n = add_columns(row, column, n);
	table_begin(&t, n, column);
	json_object_foreach(named, name, row)
	{
		table_cell(&t, "%s", name);
		for (size_t i = 1; i < n; i++)
			table_value(&t, json_object_get(row, column[i]));
	}
	table_end(&t, stdout);
}

static void print_table(json_t *v)
{
	json_t *named = json_is_array(v) ? json_object() : json_incref(v), *row;
	char name[24];
	size_t i;
	json_array_foreach(v, i, row)
	{
		snprintf(name, sizeof(name), "%zu", i + 1);
		json_object_set(named, name, row);
	}
	print_rows(named);
	json_decref(named);
}

/* An array has a row for each value. */
static void add_pair(struct table *t, const char *key, json_t *v)
{
	json_t *part;
	size_t i;
	if (!json_array_size(v)) {
		table_cell(t, "%s", key);
		table_value(t, v);
	}
	json_array_foreach(v, i, part)
	{
		table_cell(t, "%s", i ? "" : key);
		table_value(t, part);
	}
}

static bool is_section(json_t *v)
{
	return json_object_size(v) || (json_is_array(v) && is_table(v));
}

/* What is simple first, then the rest under headings. */
static void print_pairs(json_t *object)
{
	const char *key;
	json_t *v;
	struct table t;
	table_begin(&t, 2, NULL);
	json_object_foreach(object, key, v) if (!is_section(v)) add_pair(&t, key, v);
	table_end(&t, stdout);
	json_object_foreach(object, key, v) if (is_section(v))
	{
		printf("\n%s\n", key);
		if (is_table(v))
			print_table(v);
		else
			print_pairs(v);
	}
}

int print_answer(struct lodectl *ctl, json_t *v)
{
	if (!v)
		return EXIT_OTHER;
	if (ctl->json || !json_is_object(v))
		print_json(v);
	else if (is_table(v))
		print_table(v);
	else
		print_pairs(v);
	json_decref(v);
	return EXIT_OK;
}

/* ---- progress ---- */

void progress_bar(const char *what, uint64_t done, uint64_t total, const char *unit)
{
	char bar[BAR_WIDTH + 1];
	unsigned full = total ? (unsigned)(LODE_MIN(done, total) * BAR_WIDTH / total) : BAR_WIDTH;
	if (!isatty(STDERR_FILENO))
		return;
	memset(bar, '.', BAR_WIDTH);
	memset(bar, '#', full);
	bar[BAR_WIDTH] = 0;
	fprintf(stderr, "\r%s %s %3llu %%  %llu of %llu %s ", what, bar,
		(unsigned long long)(total ? done * 100 / total : 100), (unsigned long long)done,
		(unsigned long long)total, unit);
}

void progress_end(void)
{
	if (isatty(STDERR_FILENO))
		fputs("\r\033[K", stderr);
}
