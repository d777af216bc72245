/* SPDX-License-Identifier: BSD-3-Clause */
#include "oxdl_onnx.h"

#include "oxdl_field.h"

enum { MODEL_GRAPH = 7, GRAPH_INITIALIZER = 5, TENSOR_NAME = 8, TENSOR_RAW = 9 };
enum {
	TENSOR_FLOATS = 4,
	TENSOR_INT32 = 5,
	TENSOR_INT64 = 7,
	TENSOR_DOUBLES = 10,
	TENSOR_UINT64 = 11
};

static bool is_message(const struct field *f, uint32_t number)
{
	return f->number == number && f->wire == WIRE_BYTES;
}

static void put_view(struct buf *out, struct view v)
{
	put_bytes(out, v.p, view_left(&v));
}

static void put_message(struct buf *out, uint32_t number, const struct buf *body)
{
	put_varint(out, (uint64_t)number << 3 | WIRE_BYTES);
	put_varint(out, body->len);
	put_bytes(out, body->data, body->len);
	out->failed |= body->failed;
}

/* ---- initializers ---- */

/* Varints as little-endian integers of width bytes, appended to converted. */
static bool convert_varints(struct view v, unsigned width, struct buf *converted)
{
	uint64_t value;
	while (v.p < v.end) {
		if (!get_varint(&v, &value))
			return false;
		put_bytes(converted, &value, width);
	}
	return true;
}

/* Payload offsets into converted are kept as numbers while it may still move. */
static bool read_tensor(
	struct view v, struct oxdl_tensor *t, struct buf *converted, bool *in_converted)
{
	struct field f;
	size_t start = converted->len;
	*t = (struct oxdl_tensor){0};
	*in_converted = false;
	struct view raw = {0}, packed = {0};
	while (v.p < v.end) {
		if (!next_field(&v, &f))
			return false;
		if (is_message(&f, TENSOR_NAME))
			t->name = f.bytes;
		else if (is_message(&f, TENSOR_RAW))
			raw = f.bytes;
		else if (is_message(&f, TENSOR_FLOATS) || is_message(&f, TENSOR_DOUBLES))
			packed = f.bytes;
		else if (is_message(&f, TENSOR_INT32) && !convert_varints(f.bytes, 4, converted))
			return false;
		else if ((is_message(&f, TENSOR_INT64) || is_message(&f, TENSOR_UINT64)) &&
			 !convert_varints(f.bytes, 8, converted))
			return false;
	}
	t->bytes = view_left(&raw) ? raw : packed;
	if (view_left(&t->bytes) || converted->len == start)
		return true;
	*in_converted = true;
	t->bytes.p = (const uint8_t *)(uintptr_t)start;
	t->bytes.end = (const uint8_t *)(uintptr_t)converted->len;
	return true;
}

static int add_tensor(struct oxdl_tensors *ts, size_t *cap, uint8_t **flags, struct view body)
{
	if (ts->n == *cap) {
		size_t grown = *cap * 2 + 64;
		struct oxdl_tensor *t = realloc(ts->t, grown * sizeof(*t));
		if (t)
			ts->t = t;
		uint8_t *more = realloc(*flags, grown);
		if (more)
			*flags = more;
		if (!t || !more)
			return -ENOMEM;
		*cap = grown;
	}
	bool in_converted;
	if (!read_tensor(body, &ts->t[ts->n], &ts->converted, &in_converted))
		return -EBADMSG;
	(*flags)[ts->n++] = in_converted;
	return 0;
}

int oxdl_tensors_read(struct oxdl_tensors *ts, struct view file)
{
	struct field f, g;
	size_t cap = 0;
	uint8_t *flags = NULL;
	int rc = 0;
	bool has_graph = false;
	*ts = (struct oxdl_tensors){0};
	while (!rc && file.p < file.end) {
		if (!next_field(&file, &f)) {
			rc = -EBADMSG;
			break;
		}
		if (!is_message(&f, MODEL_GRAPH))
			continue;
		has_graph = true;
		while (!rc && f.bytes.p < f.bytes.end) {
			if (!next_field(&f.bytes, &g))
				rc = -EBADMSG;
			else if (is_message(&g, GRAPH_INITIALIZER))
				rc = add_tensor(ts, &cap, &flags, g.bytes);
		}
	}
	for (size_t i = 0; i < ts->n; i++) {
		if (flags[i]) {
			ts->t[i].bytes.p = ts->converted.data + (size_t)ts->t[i].bytes.p;
			ts->t[i].bytes.end = ts->converted.data + (size_t)ts->t[i].bytes.end;
		}
	}
	free(flags);
	return rc ? rc : ts->converted.failed ? -ENOMEM : has_graph ? 0 : -EBADMSG;
}

void oxdl_tensors_clear(struct oxdl_tensors *ts)
{
	free(ts->t);
	buf_free(&ts->converted);
	*ts = (struct oxdl_tensors){0};
}

static bool same_bytes(struct view a, struct view b)
{
	return view_left(&a) == view_left(&b) && (a.p == a.end || !memcmp(a.p, b.p, view_left(&a)));
}

const struct oxdl_tensor *oxdl_tensor_find(const struct oxdl_tensor *t, size_t n, struct view name)
{
	while (n-- > 0)
		if (same_bytes(t[n].name, name))
			return &t[n];
	return NULL;
}

/* ---- skeleton and back ---- */

/* Rewrites one initializer; tensors NULL: takes the payload out, else puts it in. */
struct rewrite {
	const struct oxdl_tensor *t;
	size_t n;
	bool strip;
};

static bool is_payload(uint32_t number)
{
	return number == TENSOR_RAW || number == TENSOR_FLOATS || number == TENSOR_INT32 ||
	       number == TENSOR_INT64 || number == TENSOR_DOUBLES || number == TENSOR_UINT64;
}

static struct view tensor_name(struct view v)
{
	struct field f;
	struct view name = {0};
	while (v.p < v.end && next_field(&v, &f))
		if (is_message(&f, TENSOR_NAME))
			name = f.bytes;
	return name;
}

static bool rewrite_tensor(const struct rewrite *r, struct view v, struct buf *out)
{
	const struct oxdl_tensor *t =
		r->strip ? NULL : oxdl_tensor_find(r->t, r->n, tensor_name(v));
	struct field f;
	bool raw_due = t != NULL;
	while (v.p < v.end) {
		if (!next_field(&v, &f))
			return false;
		if (raw_due && f.number > TENSOR_RAW) {
			struct buf raw = {(uint8_t *)t->bytes.p, view_left(&t->bytes), 0, false};
			put_message(out, TENSOR_RAW, &raw);
			raw_due = false;
		}
		bool replaced = t && f.number == TENSOR_RAW;
		if (!(r->strip && is_payload(f.number)) && !replaced)
			put_view(out, f.whole);
	}
	if (raw_due) {
		struct buf raw = {(uint8_t *)t->bytes.p, view_left(&t->bytes), 0, false};
		put_message(out, TENSOR_RAW, &raw);
	}
	return true;
}

static bool rewrite_graph(const struct rewrite *r, struct view v, struct buf *out)
{
	struct field f;
	struct buf body = {0};
	bool ok = true;
	while (ok && v.p < v.end) {
		ok = next_field(&v, &f);
		if (ok && is_message(&f, GRAPH_INITIALIZER)) {
			body.len = 0;
			ok = rewrite_tensor(r, f.bytes, &body);
			put_message(out, f.number, &body);
		} else if (ok) {
			put_view(out, f.whole);
		}
	}
	buf_free(&body);
	return ok;
}

static bool rewrite_model(const struct rewrite *r, struct view v, struct buf *out)
{
	struct field f;
	struct buf graph = {0};
	bool ok = true;
	while (ok && v.p < v.end) {
		ok = next_field(&v, &f);
		if (ok && is_message(&f, MODEL_GRAPH)) {
			graph.len = 0;
			ok = rewrite_graph(r, f.bytes, &graph);
			put_message(out, f.number, &graph);
		} else if (ok) {
			put_view(out, f.whole);
		}
	}
	buf_free(&graph);
	return ok && !out->failed;
}

bool oxdl_skeleton(struct view file, struct buf *out)
{
	const struct rewrite r = {.strip = true};
	return rewrite_model(&r, file, out);
}

bool oxdl_rebuild(struct view skeleton, const struct oxdl_tensor *t, size_t n, struct buf *out)
{
	const struct rewrite r = {t, n, false};
	return rewrite_model(&r, skeleton, out);
}
