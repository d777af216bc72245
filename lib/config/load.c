/* SPDX-License-Identifier: BSD-3-Clause */
/* Walks the schema over a YAML document (libyaml). The walk follows the table, never the document, so
 * that its depth is the table's and ports are known before the links that name them. */
#include "schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <yaml.h>

#define FILE_MAX_BYTES (1u << 20)

struct loader {
	yaml_document_t *doc;
	struct lode_config *config;
	const char *name;
	struct lode_err *err;
};

static int fail(struct loader *l, const yaml_node_t *node, const char *path, const char *what)
{
	yaml_mark_t m = node ? node->start_mark : (yaml_mark_t){0};
	return lode_err_set(l->err, -EINVAL, "%s:%zu:%zu: %s%s%s", l->name, m.line + 1,
		m.column + 1, path, *path ? ": " : "", what);
}

static const char *text_of(const yaml_node_t *node)
{
	return (const char *)node->data.scalar.value;
}

/* Text a person sees of a node that was found in the wrong place. */
static const char *describe(const yaml_node_t *node)
{
	if (node->type == YAML_MAPPING_NODE)
		return "a mapping";
	if (node->type == YAML_SEQUENCE_NODE)
		return "a list";
	return node->type == YAML_SCALAR_NODE ? text_of(node) : "nothing";
}

static yaml_node_t *node_at(struct loader *l, int index)
{
	return yaml_document_get_node(l->doc, index);
}

static yaml_node_t *find(struct loader *l, yaml_node_t *map, const char *key)
{
	if (!map)
		return NULL;
	for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top;
		p++) {
		yaml_node_t *k = node_at(l, p->key);
		if (k->type == YAML_SCALAR_NODE && !strcmp(text_of(k), key))
			return node_at(l, p->value);
	}
	return NULL;
}

static unsigned edit_distance(const char *a, const char *b)
{
	unsigned row[64], nb = (unsigned)strlen(b);
	if (nb >= LODE_ARRAY_LEN(row))
		return UINT32_MAX;
	for (unsigned j = 0; j <= nb; j++)
		row[j] = j;
	for (unsigned i = 1; a[i - 1]; i++) {
		unsigned diagonal = row[0];
		row[0] = i;
		for (unsigned j = 1; j <= nb; j++) {
			unsigned swap = diagonal + (a[i - 1] != b[j - 1]);
			diagonal = row[j];
			row[j] = LODE_MIN(LODE_MIN(row[j], row[j - 1]) + 1, swap);
		}
	}
	return row[nb];
}

static const char *nearest(const struct field *fields, const char *key, bool top)
{
	const char *best = top ? "version" : fields->key;
	unsigned distance = edit_distance(key, best);
	for (const struct field *f = fields; !field_is_end(f); f++) {
		unsigned d = edit_distance(key, f->key);
		if (d < distance) {
			distance = d;
			best = f->key;
		}
	}
	return best;
}

static bool is_known(const struct field *fields, const char *key, bool top)
{
	for (const struct field *f = fields; !field_is_end(f); f++)
		if (!strcmp(f->key, key))
			return true;
	return top && !strcmp(key, "version");
}

/* Every key of the mapping is in the table, and there once. */
static int check_keys(
	struct loader *l, yaml_node_t *map, const struct field *fields, const char *path, bool top)
{
	yaml_node_pair_t *start = map->data.mapping.pairs.start;
	char what[200];
	for (yaml_node_pair_t *p = start; p < map->data.mapping.pairs.top; p++) {
		yaml_node_t *k = node_at(l, p->key);
		if (k->type != YAML_SCALAR_NODE)
			return fail(l, k, path, "a key must be a word");
		if (!is_known(fields, text_of(k), top)) {
			snprintf(what, sizeof(what),
				"unknown key '%.60s'; the nearest known key is '%s'", text_of(k),
				nearest(fields, text_of(k), top));
			return fail(l, k, path, what);
		}
		for (yaml_node_pair_t *q = start; q < p; q++) {
			yaml_node_t *earlier = node_at(l, q->key);
			if (strcmp(text_of(earlier), text_of(k)))
				continue;
			snprintf(what, sizeof(what), "key '%.60s' stands twice, first in line %zu",
				text_of(k), earlier->start_mark.line + 1);
			return fail(l, k, path, what);
		}
	}
	return 0;
}

static int load_fields(struct loader *l, yaml_node_t *map, const struct field *fields, void *base,
	const char *path, const yaml_node_t *place);

static int load_scalar(struct loader *l, yaml_node_t *node, const struct field *f, void *to,
	const char *path, const yaml_node_t *place)
{
	char allowed[300], what[500];
	if (node && node->type != YAML_SCALAR_NODE) {
		scalar_allowed(f, allowed, sizeof(allowed));
		snprintf(what, sizeof(what), "found %s, allowed: %s", describe(node), allowed);
		return fail(l, node, path, what);
	}
	const char *text = node ? text_of(node) : f->def;
	if (!text)
		return fail(l, place, path, "missing; the key must be given");
	if (node && strlen(text) != node->data.scalar.length)
		return fail(l, node, path, "found a NUL byte");
	if (scalar_parse(f, l->config, text, to, allowed, sizeof(allowed)) == 0)
		return 0;
	snprintf(what, sizeof(what), "found '%.100s'%s%s, allowed: %s", text,
		f->unit ? ", in " : "", f->unit ? f->unit : "", allowed);
	return fail(l, node ? node : place, path, what);
}

static void set_count(const struct field *f, void *base, unsigned n)
{
	uint8_t *at = (uint8_t *)base + f->count_offset;
	memcpy(at, &n, f->count_size);
}

/* A list item is a mapping of f->sub, or a scalar when the only row of f->sub has no name. */
static int load_item(
	struct loader *l, yaml_node_t *node, const struct field *f, void *item, const char *path)
{
	char what[200];
	if (!*f->sub->key)
		return load_scalar(l, node, f->sub, item, path, node);
	if (node->type != YAML_MAPPING_NODE) {
		snprintf(what, sizeof(what), "found '%.60s', allowed: a mapping", describe(node));
		return fail(l, node, path, what);
	}
	return load_fields(l, node, f->sub, item, path, node);
}

static int load_list(struct loader *l, yaml_node_t *node, const struct field *f, void *base,
	const char *path, const yaml_node_t *place)
{
	char what[200], item_path[160];
	if (!node) {
		if (!f->def)
			return fail(l, place, path, "missing; the list must be given");
		if (!strcmp(f->def, "[]"))
			return 0;
		/* The one other default: a list of a single scalar. */
		set_count(f, base, 1);
		return load_scalar(l, NULL, f->sub, (uint8_t *)base + f->offset, path, place);
	}
	if (node->type != YAML_SEQUENCE_NODE) {
		snprintf(what, sizeof(what), "found '%.60s', allowed: a list", describe(node));
		return fail(l, node, path, what);
	}
	size_t n = (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
	if (n > f->max_items) {
		snprintf(what, sizeof(what), "found %zu items, allowed: up to %u", n, f->max_items);
		return fail(l, node, path, what);
	}
	for (unsigned i = 0; i < n; i++) {
		snprintf(item_path, sizeof(item_path), "%s[%u]", path, i);
		void *item = (uint8_t *)base + f->offset + i * f->size;
		int rc = load_item(
			l, node_at(l, node->data.sequence.items.start[i]), f, item, item_path);
		if (rc)
			return rc;
		set_count(f, base, i + 1);
	}
	return 0;
}

static int load_field(struct loader *l, yaml_node_t *node, const struct field *f, void *base,
	const char *path, const yaml_node_t *place)
{
	char what[200];
	/* An empty value is as good as an absent key. */
	if (node && node->type == YAML_SCALAR_NODE && node->data.scalar.length == 0 &&
		node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
		node = NULL;
	if (f->type == F_LIST)
		return load_list(l, node, f, base, path, place);
	if (f->type != F_GROUP)
		return load_scalar(l, node, f, (uint8_t *)base + f->offset, path, place);
	if (node && node->type != YAML_MAPPING_NODE) {
		snprintf(what, sizeof(what), "found '%.60s', allowed: a mapping", describe(node));
		return fail(l, node, path, what);
	}
	return load_fields(l, node, f->sub, (uint8_t *)base + f->offset, path, node ? node : place);
}

static int load_fields(struct loader *l, yaml_node_t *map, const struct field *fields, void *base,
	const char *path, const yaml_node_t *place)
{
	char sub_path[160];
	int rc = map ? check_keys(l, map, fields, path, fields == config_schema) : 0;
	for (const struct field *f = fields; !rc && !field_is_end(f); f++) {
		snprintf(sub_path, sizeof(sub_path), "%s%s%s", path, *path ? "." : "", f->key);
		rc = load_field(l, find(l, map, f->key), f, base, sub_path, place);
	}
	return rc;
}

static int load_document(struct loader *l)
{
	yaml_node_t *root = yaml_document_get_root_node(l->doc);
	if (!root || root->type != YAML_MAPPING_NODE)
		return fail(
			l, root, "", "the file must be a mapping that starts with 'version: 1'");
	yaml_node_t *version = find(l, root, "version");
	if (!version)
		return fail(l, root, "version", "missing; this program reads version 1");
	if (version->type != YAML_SCALAR_NODE || strcmp(text_of(version), "1")) {
		char what[200];
		snprintf(what, sizeof(what), "found '%.60s', allowed: 1", describe(version));
		return fail(l, version, "version", what);
	}
	int rc = load_fields(l, root, config_schema, l->config, "", root);
	return rc ? rc : config_cross_check(l->config, l->name, l->err);
}

int lode_config_parse(const char *name, const char *text, size_t len, struct lode_config **out,
	struct lode_err *err)
{
	yaml_parser_t parser;
	yaml_document_t doc;
	*out = NULL;
	if (len > FILE_MAX_BYTES)
		return lode_err_set(err, -EFBIG, "%s: %zu bytes found, up to %u allowed", name, len,
			FILE_MAX_BYTES);
	if (!yaml_parser_initialize(&parser))
		return lode_err_set(err, -ENOMEM, "%s: out of memory", name);
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
	int rc = 0;
	if (!yaml_parser_load(&parser, &doc)) {
		size_t at = parser.problem_mark.index;
		bool tab = at < len && text[at] == '\t';
		rc = lode_err_set(err, -EINVAL, "%s:%zu:%zu: not YAML: %s", name,
			parser.problem_mark.line + 1, parser.problem_mark.column + 1,
			tab		 ? "a tab; lines are indented with spaces"
			: parser.problem ? parser.problem
					 : "unreadable");
		yaml_parser_delete(&parser);
		return rc;
	}
	struct loader l = {&doc, calloc(1, sizeof(struct lode_config)), name, err};
	rc = l.config ? load_document(&l) : lode_err_set(err, -ENOMEM, "%s: out of memory", name);
	yaml_document_delete(&doc);
	yaml_parser_delete(&parser);
	if (rc)
		lode_config_free(l.config);
	else
		*out = l.config;
	return rc;
}

int lode_config_load(const char *path, struct lode_config **out, struct lode_err *err)
{
	*out = NULL;
	FILE *f = fopen(path, "r");
	if (!f)
		return lode_err_set(err, -errno, "%s: %s", path, strerror(errno));
	char *text = malloc(FILE_MAX_BYTES + 1);
	size_t len = text ? fread(text, 1, FILE_MAX_BYTES + 1, f) : 0;
	int rc;
	if (!text)
		rc = lode_err_set(err, -ENOMEM, "%s: out of memory", path);
	else if (ferror(f))
		rc = lode_err_set(err, -errno, "%s: %s", path, strerror(errno));
	else
		rc = lode_config_parse(path, text, len, out, err);
	fclose(f);
	free(text);
	return rc;
}

void lode_config_free(struct lode_config *c)
{
	if (!c)
		return;
	explicit_bzero(c, sizeof(*c)); /* it holds pre-shared keys */
	free(c);
}
