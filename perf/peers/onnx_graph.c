/* SPDX-License-Identifier: BSD-3-Clause */
#include "onnx_graph.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- protobuf ---- */

static void put(struct onnx_bytes *b, const void *data, size_t len)
{
	if (b->len + len > b->size) {
		size_t size = 2 * (b->len + len) + 256;
		uint8_t *more = realloc(b->data, size);
		if (!more) {
			b->failed = true;
			return;
		}
		b->data = more;
		b->size = size;
	}
	memcpy(b->data + b->len, data, len);
	b->len += len;
}

static void put_varint(struct onnx_bytes *b, uint64_t v)
{
	uint8_t byte;
	for (; v >= 128; v >>= 7) {
		byte = (uint8_t)(v | 128);
		put(b, &byte, 1);
	}
	byte = (uint8_t)v;
	put(b, &byte, 1);
}

void put_int(struct onnx_bytes *b, unsigned field, uint64_t v)
{
	put_varint(b, field << 3);
	put_varint(b, v);
}

static void put_block(struct onnx_bytes *b, unsigned field, const void *data, size_t len)
{
	put_varint(b, field << 3 | 2);
	put_varint(b, len);
	put(b, data, len);
}

void put_text(struct onnx_bytes *b, unsigned field, const char *text)
{
	put_block(b, field, text, strlen(text));
}

void put_message(struct onnx_bytes *b, unsigned field, struct onnx_bytes *m)
{
	put_block(b, field, m->data, m->len);
	b->failed |= m->failed;
	free(m->data);
	*m = (struct onnx_bytes){0};
}

/* ---- ONNX ---- */

void tensor(struct graph *g, const char *name, int type, const int64_t *dims, unsigned n_dims,
	const void *data, size_t bytes)
{
	struct onnx_bytes t = {0};
	for (unsigned i = 0; i < n_dims; i++)
		put_int(&t, 1, (uint64_t)dims[i]);
	put_int(&t, 2, (uint64_t)type);
	put_text(&t, 8, name);
	put_block(&t, 9, data, bytes);
	put_message(&g->b, 5, &t);
}

void ints(struct graph *g, const char *name, const int64_t *v, unsigned n)
{
	const int64_t dims[] = {n};
	tensor(g, name, TYPE_INT64, dims, 1, v, n * sizeof(*v));
}

void value(struct graph *g, unsigned field, const char *name, const int64_t *dims, unsigned n_dims)
{
	struct onnx_bytes shape = {0}, type = {0}, outer = {0}, info = {0};
	for (unsigned i = 0; i < n_dims; i++) {
		struct onnx_bytes dim = {0};
		put_int(&dim, 1, (uint64_t)dims[i]);
		put_message(&shape, 1, &dim);
	}
	put_int(&type, 1, TYPE_FLOAT);
	put_message(&type, 2, &shape);
	put_message(&outer, 1, &type);
	put_text(&info, 1, name);
	put_message(&info, 2, &outer);
	put_message(&g->b, field, &info);
}

void attribute_int(struct onnx_bytes *node, const char *name, int64_t v)
{
	struct onnx_bytes a = {0};
	put_text(&a, 1, name);
	put_int(&a, 3, (uint64_t)v);
	put_int(&a, 20, ATTRIBUTE_INT);
	put_message(node, 5, &a);
}

void attribute_text(struct onnx_bytes *node, const char *name, const char *text)
{
	struct onnx_bytes a = {0};
	put_text(&a, 1, name);
	put_text(&a, 4, text);
	put_int(&a, 20, ATTRIBUTE_STRING);
	put_message(node, 5, &a);
}

void attribute_ints(struct onnx_bytes *node, const char *name, const int64_t *v, unsigned n)
{
	struct onnx_bytes a = {0};
	put_text(&a, 1, name);
	for (unsigned i = 0; i < n; i++)
		put_int(&a, 8, (uint64_t)v[i]);
	put_int(&a, 20, ATTRIBUTE_INTS);
	put_message(node, 5, &a);
}

/* Names with spaces between; "-" is an empty one. */
static void put_names(struct onnx_bytes *node, unsigned field, const char *names)
{
	char text[256], *rest = text;
	snprintf(text, sizeof(text), "%s", names);
	for (char *name; (name = strsep(&rest, " "));)
		put_text(node, field, strcmp(name, "-") ? name : "");
}

struct onnx_bytes node_begin(const char *op, const char *inputs, const char *outputs)
{
	struct onnx_bytes n = {0};
	put_names(&n, 1, inputs);
	put_names(&n, 2, outputs);
	put_text(&n, 4, op);
	return n;
}

void node(struct graph *g, const char *op, const char *inputs, const char *outputs)
{
	struct onnx_bytes n = node_begin(op, inputs, outputs);
	put_message(&g->b, 1, &n);
}

void node_n(struct graph *g, const char *op, const char *inputs, const char *outputs)
{
	char text[2][256];
	const char *from[] = {inputs, outputs};
	for (unsigned i = 0; i < 2; i++) {
		size_t n = 0;
		for (const char *c = from[i]; *c && n < sizeof(text[i]) - 16; c++)
			n += (size_t)snprintf(text[i] + n, sizeof(text[i]) - n,
				*c == '%' ? "%u" : "%c",
				*c == '%' ? g->n_names : (unsigned char)*c);
		text[i][n] = 0;
	}
	node(g, op, text[0], text[1]);
}

void scalar(struct graph *g, const char *letter, int type, const void *v, size_t bytes)
{
	char name[16];
	snprintf(name, sizeof(name), "%s%u", letter, g->n_names);
	tensor(g, name, type, NULL, 0, v, bytes);
}
