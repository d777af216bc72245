/* SPDX-License-Identifier: BSD-3-Clause */
#include "lodectl.h"

#include <stdarg.h>
#include <stdlib.h>

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
	size_t width[32];
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
