/* SPDX-License-Identifier: BSD-3-Clause */
/* The struct back to text: as YAML, as a list of changes, and the list of all keys. */
#include "schema.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define PATH_TEXT_MAX 160

struct text {
	char *buf;
	size_t size, len;
};

static void add(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void add(struct text *t, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	bool room = t->len < t->size;
	int n = vsnprintf(room ? t->buf + t->len : NULL, room ? t->size - t->len : 0, fmt, args);
	va_end(args);
	t->len += (size_t)n;
}

static long finish(const struct text *t)
{
	return t->len < t->size ? (long)t->len : -ENOSPC;
}

/* Quoted whenever YAML could read it as something else. */
static void add_value(struct text *t, const struct field *f, const char *text)
{
	if (f->type != F_STRING && f->type != F_KEY && *text && !strpbrk(text, ":[]{}#")) {
		add(t, "%s", text);
		return;
	}
	add(t, "\"");
	for (; *text; text++) /* strings hold no control characters */
		add(t, "%s%c", *text == '"' || *text == '\\' ? "\\" : "", *text);
	add(t, "\"");
}

static void print_fields(struct text *t, const struct lode_config *c, const struct field *fields,
	const void *base, int indent, bool in_item);

static void print_list(struct text *t, const struct lode_config *c, const struct field *f,
	const void *base, int indent)
{
	char text[LODE_PATH_MAX];
	unsigned n = list_count(f, base);
	add(t, n ? "\n" : " []\n");
	for (unsigned i = 0; i < n; i++) {
		const void *item = (const uint8_t *)base + f->offset + i * f->size;
		add(t, "%*s- ", indent + 2, "");
		if (*f->sub->key) {
			print_fields(t, c, f->sub, item, indent + 4, true);
			continue;
		}
		scalar_print(f->sub, c, item, text, sizeof(text));
		add_value(t, f->sub, text);
		add(t, "\n");
	}
}

static void print_fields(struct text *t, const struct lode_config *c, const struct field *fields,
	const void *base, int indent, bool in_item)
{
	char text[LODE_PATH_MAX];
	for (const struct field *f = fields; !field_is_end(f); f++) {
		const void *at = (const uint8_t *)base + f->offset;
		add(t, "%*s%s:", in_item && f == fields ? 0 : indent, "", f->key);
		if (f->type == F_GROUP) {
			add(t, "\n");
			print_fields(t, c, f->sub, at, indent + 2, false);
		} else if (f->type == F_LIST) {
			print_list(t, c, f, base, indent);
		} else {
			scalar_print(f, c, at, text, sizeof(text));
			add(t, " ");
			add_value(t, f, text);
			add(t, "\n");
		}
	}
}

long lode_config_print(const struct lode_config *c, char *buf, size_t size)
{
	struct text t = {buf, size, 0};
	add(&t, "version: 1\n");
	print_fields(&t, c, config_schema, c, 0, false);
	return finish(&t);
}

struct leaf {
	char *path, *text; /* "peers[0].links[1].cost" */
	enum lode_reload reload;
};
struct leaves {
	struct leaf *leaf;
	size_t n, room;
	bool failed;
};

static void add_leaf(struct leaves *l, const char *path, const char *text, enum lode_reload reload)
{
	if (l->n == l->room) {
		size_t room = l->room ? 2 * l->room : 256;
		struct leaf *grown = realloc(l->leaf, room * sizeof(*grown));
		if (!grown) {
			l->failed = true;
			return;
		}
		l->leaf = grown;
		l->room = room;
	}
	l->leaf[l->n++] = (struct leaf){strdup(path), strdup(text), reload};
}

/* Every leaf in schema order. */
static void collect(struct leaves *l, const struct lode_config *c, const struct field *fields,
	const void *base, const char *prefix)
{
	char path[PATH_TEXT_MAX], text[LODE_PATH_MAX];
	for (const struct field *f = fields; !field_is_end(f); f++) {
		const uint8_t *at = (const uint8_t *)base + f->offset;
		snprintf(path, sizeof(path), "%s%s%s", prefix, *prefix && *f->key ? "." : "",
			f->key);
		if (f->type == F_GROUP) {
			collect(l, c, f->sub, at, path);
		} else if (f->type == F_LIST) {
			for (unsigned i = 0; i < list_count(f, base); i++) {
				char item[PATH_TEXT_MAX + 16];
				snprintf(item, sizeof(item), "%s[%u]", path, i);
				collect(l, c, f->sub, at + i * f->size, item);
			}
		} else {
			scalar_print(f, c, at, text, sizeof(text));
			add_leaf(l, path, text, f->reload);
		}
	}
}

static void free_leaves(struct leaves *l)
{
	for (size_t i = 0; i < l->n; i++) {
		free(l->leaf[i].path);
		free(l->leaf[i].text);
	}
	free(l->leaf);
}

static const struct leaf *find_leaf(const struct leaves *l, const char *path, size_t hint)
{
	/* Both lists are in schema order: the search starts where the other list stands. */
	for (size_t k = 0; k < l->n; k++) {
		const struct leaf *leaf = &l->leaf[(hint + k) % l->n];
		if (!strcmp(leaf->path, path))
			return leaf;
	}
	return NULL;
}

static void add_change(struct text *t, const struct leaf *from, const struct leaf *to)
{
	const struct leaf *any = from ? from : to;
	add(t, "%s: %s -> %s (%s)\n", any->path, from ? from->text : "absent",
		to ? to->text : "absent", any->reload == LODE_RELOAD_LIVE ? "live" : "restart");
}

/* Calls nothing back: writes changes to t, and the first that needs a restart to *restart. */
static int compare(const struct leaves *from, const struct leaves *to, struct text *t,
	char *restart, size_t restart_size)
{
	int n = 0;
	for (int pass = 0; pass < 2; pass++) {
		const struct leaves *a = pass ? to : from, *b = pass ? from : to;
		for (size_t i = 0; i < a->n; i++) {
			const struct leaf *other = find_leaf(b, a->leaf[i].path, i);
			if (other && (pass || !strcmp(other->text, a->leaf[i].text)))
				continue;
			n++;
			add_change(t, pass ? other : &a->leaf[i], pass ? &a->leaf[i] : other);
			if (a->leaf[i].reload == LODE_RELOAD_RESTART && !*restart)
				snprintf(restart, restart_size, "%s", a->leaf[i].path);
		}
	}
	return n;
}

static int diff(const struct lode_config *from, const struct lode_config *to, struct text *t,
	char *restart, size_t restart_size)
{
	struct leaves a = {0}, b = {0};
	collect(&a, from, config_schema, from, "");
	collect(&b, to, config_schema, to, "");
	int n = a.failed || b.failed ? -ENOMEM : compare(&a, &b, t, restart, restart_size);
	free_leaves(&a);
	free_leaves(&b);
	return n;
}

int lode_config_diff(
	const struct lode_config *from, const struct lode_config *to, char *buf, size_t size)
{
	char restart[PATH_TEXT_MAX] = "";
	struct text t = {buf, size, 0};
	if (size)
		buf[0] = '\0';
	int n = diff(from, to, &t, restart, sizeof(restart));
	return n < 0 || finish(&t) >= 0 || size == 0 ? n : -ENOSPC;
}

int lode_config_can_reload(
	const struct lode_config *from, const struct lode_config *to, struct lode_err *err)
{
	char restart[PATH_TEXT_MAX] = "";
	struct text none = {NULL, 0, 0};
	int n = diff(from, to, &none, restart, sizeof(restart));
	if (n < 0)
		return lode_err_set(err, n, "out of memory");
	if (*restart)
		return lode_err_set(err, -EBUSY,
			"%s: changed; this key needs a restart of the gateway", restart);
	return 0;
}

static void print_keys(struct text *t, const struct field *fields, const char *prefix)
{
	char path[PATH_TEXT_MAX], allowed[300];
	for (const struct field *f = fields; !field_is_end(f); f++) {
		snprintf(path, sizeof(path), "%s%s%s%s", prefix, *prefix && *f->key ? "." : "",
			f->key, f->type == F_LIST ? "[]" : "");
		if (f->type == F_GROUP || (f->type == F_LIST && *f->sub->key)) {
			print_keys(t, f->sub, path);
			continue;
		}
		const struct field *leaf = f->type == F_LIST ? f->sub : f;
		scalar_allowed(leaf, allowed, sizeof(allowed));
		add(t, "%s\t%s\t%s\t%s\t%s\t%s\n", path, leaf->unit ? leaf->unit : "-", allowed,
			!f->def	  ? "required"
			: *f->def ? f->def
				  : "empty",
			f->reload == LODE_RELOAD_LIVE ? "live" : "restart", f->help);
	}
}

long lode_config_keys(char *buf, size_t size)
{
	struct text t = {buf, size, 0};
	print_keys(&t, config_schema, "");
	return finish(&t);
}
