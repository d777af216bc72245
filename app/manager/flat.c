/* SPDX-License-Identifier: BSD-3-Clause */
#include "flat.h"

#include <stdio.h>
#include <yaml.h>

struct flat {
	const char *path;
	flat_fn *fn;
	void *ctx;
	struct lode_err *err;
	unsigned depth; /* mappings and lists that are open */
	bool in_list;
	char key[64], value[1024];
};

static int refuse(const struct flat *f, const yaml_event_t *e, const char *what)
{
	return lode_err_set(f->err, -EINVAL, "%s:%zu:%zu: %s%s%s", f->path, e->start_mark.line + 1,
		e->start_mark.column + 1, f->key, *f->key ? ": " : "", what);
}

/* The pair is whole. */
static int give(struct flat *f, const yaml_event_t *e)
{
	const char *wrong = f->fn(f->ctx, f->key, f->value);
	int rc = wrong ? refuse(f, e, wrong) : 0;
	f->key[0] = f->value[0] = 0;
	return rc;
}

static int take_scalar(struct flat *f, const yaml_event_t *e)
{
	const char *text = (const char *)e->data.scalar.value;
	bool is_key = !*f->key;
	char *to = is_key ? f->key : f->value;
	size_t room = is_key ? sizeof(f->key) : sizeof(f->value), len = is_key ? 0 : strlen(to);
	if (f->depth != 1u + f->in_list)
		return refuse(f, e, "one mapping of keys and values is expected");
	if (len + strlen(text) + 2 > room || (is_key && !*text))
		return refuse(f, e, is_key ? "no such key" : "too long");
	snprintf(to + len, room - len, "%s%s", len ? " " : "", text);
	return is_key || f->in_list ? 0 : give(f, e);
}

static int take(struct flat *f, const yaml_event_t *e)
{
	switch (e->type) {
	case YAML_SCALAR_EVENT:
		return take_scalar(f, e);
	case YAML_MAPPING_START_EVENT:
		return f->depth++ ? refuse(f, e, "one value is expected") : 0;
	case YAML_SEQUENCE_START_EVENT:
		f->in_list = true;
		return f->depth++ == 1 && *f->key ? 0 : refuse(f, e, "one value is expected");
	case YAML_SEQUENCE_END_EVENT:
		f->in_list = false;
		f->depth--;
		return give(f, e);
	case YAML_ALIAS_EVENT:
		return refuse(f, e, "one value is expected");
	default:
		return 0;
	}
}

static int parse(struct flat *f, yaml_parser_t *parser)
{
	yaml_event_t e;
	bool done = false;
	int rc = 0;
	while (!rc && !done) {
		if (!yaml_parser_parse(parser, &e))
			return lode_err_set(f->err, -EINVAL, "%s:%zu:%zu: %s", f->path,
				parser->problem_mark.line + 1, parser->problem_mark.column + 1,
				parser->problem);
		done = e.type == YAML_STREAM_END_EVENT;
		rc = take(f, &e);
		yaml_event_delete(&e);
	}
	return rc;
}

int flat_load(const char *path, flat_fn *fn, void *ctx, struct lode_err *err)
{
	struct flat f = {.path = path, .fn = fn, .ctx = ctx, .err = err};
	yaml_parser_t parser;
	FILE *file = fopen(path, "re");
	if (!file)
		return lode_err_set(err, -errno, "%s: %s", path, strerror(errno));
	if (!yaml_parser_initialize(&parser)) {
		fclose(file);
		return lode_err_set(err, -ENOMEM, "no memory for YAML");
	}
	yaml_parser_set_input_file(&parser, file);
	int rc = parse(&f, &parser);
	yaml_parser_delete(&parser);
	fclose(file);
	return rc;
}
