/* SPDX-License-Identifier: BSD-3-Clause */
/* What the verbs towards the manager share: names in paths, options, tables. */
#include "manager.h"

#include <stdarg.h>

static bool name_ok(const char *name)
{
	static const char chars[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._+-";
	size_t n = strspn(name, chars);
	return n && !name[n] && n <= 128 && *name != '.';
}

bool manager_path(
	char path[MANAGER_PATH_MAX], const char *pattern, int argc, char **argv, int n_needed)
{
	size_t n = 0;
	int used = 0;
	if (argc < n_needed) {
		complain(EXIT_OTHER, "%d names are needed, found %d; 'lodectl help' lists them",
			n_needed, argc);
		return false;
	}
	for (; *pattern && n + 200 < MANAGER_PATH_MAX; pattern++) {
		if (*pattern != '*') {
			path[n++] = *pattern;
			continue;
		}
		const char *name = argv[used++];
		if (!name_ok(name)) {
			complain(EXIT_OTHER,
				"'%s': names have 1 to 128 of A-Z a-z 0-9 . _ + -, no leading dot",
				name);
			return false;
		}
		n += (size_t)snprintf(path + n, MANAGER_PATH_MAX - n, "%s", name);
	}
	path[n] = 0;
	return true;
}

int manager_do(struct lodectl *ctl, const char *method, const char *path, json_t *body,
	const char *sentence, ...)
{
	char line[400];
	va_list args;
	json_t *v = manager_once(ctl, method, path, body);
	if (!v || ctl->json)
		return print_answer(ctl, v);
	va_start(args, sentence);
	vsnprintf(line, sizeof(line), sentence, args);
	va_end(args);
	print_clean(line);
	putchar('\n');
	json_decref(v);
	return EXIT_OK;
}

static json_t *value_of(const char *text)
{
	/* Numbers, truths, lists and objects are JSON as they stand; all else is text. */
	json_t *v = json_loads(text, JSON_DECODE_ANY, NULL);
	return v ? v : json_string(text);
}

json_t *manager_options(int argc, char **argv)
{
	json_t *o = json_object();
	for (int i = 0; i < argc; i++) {
		char *value = strchr(argv[i], '=');
		if (!value || value == argv[i]) {
			complain(EXIT_OTHER, "'%s': KEY=VALUE is expected", argv[i]);
			json_decref(o);
			return NULL;
		}
		*value = 0;
		json_object_set_new(o, argv[i], value_of(value + 1));
	}
	return o;
}

/* Long lists by their length. */
static void add_cell(struct table *t, const json_t *v)
{
	if (json_is_array(v))
		table_cell(t, "%zu", json_array_size(v));
	else
		table_value(t, v);
}

int manager_table(struct lodectl *ctl, const char *path, const struct column *columns, size_t n)
{
	struct manager *m = manager_open(ctl);
	json_t *all = m ? manager_list(m, path) : NULL, *item;
	struct table t;
	size_t i;
	manager_close(m);
	if (!all)
		return EXIT_OTHER;
	if (ctl->json) {
		print_json(all);
	} else {
		table_begin(&t, n, NULL);
		for (size_t c = 0; c < n; c++)
			table_cell(&t, "%s", columns[c].head);
		json_array_foreach(all, i, item) for (size_t c = 0; c < n; c++)
			add_cell(&t, json_object_get(item, columns[c].member));
		table_end(&t, stdout);
	}
	json_decref(all);
	return EXIT_OK;
}

int manager_show(struct lodectl *ctl, const char *pattern, int argc, char **argv)
{
	char path[MANAGER_PATH_MAX];
	if (!manager_path(path, pattern, argc, argv, 1))
		return EXIT_OTHER;
	return print_answer(ctl, manager_once(ctl, "GET", path, NULL));
}
