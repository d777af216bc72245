/* SPDX-License-Identifier: BSD-3-Clause */
#include "oxdl_onnx.h"

#define DEPTH_MAX 64

enum { WIRE_VARINT, WIRE_FIXED64, WIRE_BYTES, WIRE_FIXED32 = 5 };
enum { MODEL_GRAPH = 7, GRAPH_INITIALIZER = 5, TENSOR_NAME = 8, TENSOR_RAW = 9 };
enum {
	TENSOR_FLOATS = 4,
	TENSOR_INT32 = 5,
	TENSOR_INT64 = 7,
	TENSOR_DOUBLES = 10,
	TENSOR_UINT64 = 11
};

struct field {
	uint32_t number;
	uint8_t wire;
	uint64_t value;	   /* WIRE_VARINT */
	struct view bytes; /* WIRE_BYTES, fixed */
	struct view whole; /* tag included */
};

static bool next_field(struct view *v, struct field *f)
{
	uint64_t tag, len;
	f->whole.p = v->p;
	if (!get_varint(v, &tag) || !(tag >> 3) || tag >> 3 > 0x1fffffff)
		return false;
	f->number = (uint32_t)(tag >> 3);
	f->wire = tag & 7;
	bool ok = false;
	if (f->wire == WIRE_VARINT)
		ok = get_varint(v, &f->value);
	else if (f->wire == WIRE_BYTES)
		ok = get_varint(v, &len) && len <= view_left(v) && get_view(v, len, &f->bytes);
	else if (f->wire == WIRE_FIXED32)
		ok = get_view(v, 4, &f->bytes);
	else if (f->wire == WIRE_FIXED64)
		ok = get_view(v, 8, &f->bytes);
	f->whole.end = v->p;
	return ok;
}

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

/* ---- the old system's schema (onnx.proto, proto2) ---- */

enum message {
	M_MODEL,
	M_GRAPH,
	M_NODE,
	M_ATTRIBUTE,
	M_TENSOR,
	M_SEGMENT,
	M_SPARSE,
	M_VALUE_INFO,
	M_TYPE,
	M_TYPE_TENSOR,
	M_TYPE_SEQUENCE,
	M_TYPE_MAP,

	M_SHAPE,
	M_DIMENSION,
	M_OPSET,
	M_PAIR,
	M_ANNOTATION,
	M_TRAINING,
	M_FUNCTION,
	N_MESSAGES,
	KIND_INT64 = 32,
	KIND_INT32,
	KIND_FIXED32,
	KIND_STRING,
	KIND_BYTES,
	KIND_VARINTS,
};

#define MANY 0x80 /* repeated */

/* Per message: field number and kind (a message or KIND_*), in ascending order, ended by zeros. */
static const uint8_t schema[N_MESSAGES][20][2] = {
	[M_MODEL] = {{1, KIND_INT64}, {2, KIND_STRING}, {3, KIND_STRING}, {4, KIND_STRING},
		{5, KIND_INT64}, {6, KIND_STRING}, {7, M_GRAPH}, {8, M_OPSET | MANY},
		{14, M_PAIR | MANY}, {20, M_TRAINING | MANY}, {25, M_FUNCTION | MANY}},
	[M_GRAPH] = {{1, M_NODE | MANY}, {2, KIND_STRING}, {5, M_TENSOR | MANY}, {10, KIND_STRING},
		{11, M_VALUE_INFO | MANY}, {12, M_VALUE_INFO | MANY}, {13, M_VALUE_INFO | MANY},
		{14, M_ANNOTATION | MANY}, {15, M_SPARSE | MANY}, {16, M_PAIR | MANY}},
	[M_NODE] = {{1, KIND_STRING | MANY}, {2, KIND_STRING | MANY}, {3, KIND_STRING},
		{4, KIND_STRING}, {5, M_ATTRIBUTE | MANY}, {6, KIND_STRING}, {7, KIND_STRING},
		{8, KIND_STRING}, {9, M_PAIR | MANY}},
	[M_ATTRIBUTE] = {{1, KIND_STRING}, {2, KIND_FIXED32}, {3, KIND_INT64}, {4, KIND_BYTES},
		{5, M_TENSOR}, {6, M_GRAPH}, {7, KIND_FIXED32 | MANY}, {8, KIND_INT64 | MANY},
		{9, KIND_BYTES | MANY}, {10, M_TENSOR | MANY}, {11, M_GRAPH | MANY},
		{13, KIND_STRING}, {14, M_TYPE}, {15, M_TYPE | MANY}, {20, KIND_INT32},
		{21, KIND_STRING}, {22, M_SPARSE}, {23, M_SPARSE | MANY}},
	[M_TENSOR] = {{1, KIND_INT64 | MANY}, {2, KIND_INT32}, {3, M_SEGMENT}, {4, KIND_BYTES},
		{5, KIND_VARINTS}, {6, KIND_BYTES | MANY}, {7, KIND_VARINTS}, {8, KIND_STRING},
		{9, KIND_BYTES}, {10, KIND_BYTES}, {11, KIND_VARINTS}, {12, KIND_STRING},
		{13, M_PAIR | MANY}, {14, KIND_INT32}, {16, M_PAIR | MANY}},
	[M_SEGMENT] = {{1, KIND_INT64}, {2, KIND_INT64}},
	[M_SPARSE] = {{1, M_TENSOR}, {2, M_TENSOR}, {3, KIND_INT64 | MANY}},
	[M_VALUE_INFO] = {{1, KIND_STRING}, {2, M_TYPE}, {3, KIND_STRING}, {4, M_PAIR | MANY}},
	[M_TYPE] = {{1, M_TYPE_TENSOR}, {4, M_TYPE_SEQUENCE}, {5, M_TYPE_MAP}, {6, KIND_STRING}},
	[M_TYPE_TENSOR] = {{1, KIND_INT32}, {2, M_SHAPE}},
	[M_TYPE_SEQUENCE] = {{1, M_TYPE}},
	[M_TYPE_MAP] = {{1, KIND_INT32}, {2, M_TYPE}},
	[M_SHAPE] = {{1, M_DIMENSION | MANY}},
	[M_DIMENSION] = {{1, KIND_INT64}, {2, KIND_STRING}, {3, KIND_STRING}},
	[M_OPSET] = {{1, KIND_STRING}, {2, KIND_INT64}},
	[M_PAIR] = {{1, KIND_STRING}, {2, KIND_STRING}},
	[M_ANNOTATION] = {{1, KIND_STRING}, {2, M_PAIR | MANY}},
	[M_TRAINING] = {{1, M_GRAPH}, {2, M_GRAPH}, {3, M_PAIR | MANY}, {4, M_PAIR | MANY}},
	[M_FUNCTION] = {{1, KIND_STRING}, {4, KIND_STRING | MANY}, {5, KIND_STRING | MANY},
		{6, KIND_STRING | MANY}, {7, M_NODE | MANY}, {8, KIND_STRING}, {9, M_OPSET | MANY},
		{10, KIND_STRING}, {11, M_ATTRIBUTE | MANY}, {12, M_VALUE_INFO | MANY},
		{13, KIND_STRING}, {14, M_PAIR | MANY}},
};

/* RFC 3629, without surrogates and overlong forms. */
static bool is_utf8(struct view v)
{
	uint8_t b;
	while (get_u8(&v, &b)) {
		unsigned n = b < 0x80		     ? 0
			     : b >= 0xc2 && b < 0xe0 ? 1
			     : b >= 0xe0 && b < 0xf0 ? 2
			     : b >= 0xf0 && b < 0xf5 ? 3
						     : 4;
		uint32_t c = n ? b & (0x3fu >> n) : b;
		if (n == 4)
			return false;
		for (unsigned i = 0; i < n; i++) {
			if (!get_u8(&v, &b) || (b & 0xc0) != 0x80)
				return false;
			c = c << 6 | (b & 0x3f);
		}
		if ((n == 2 && c < 0x800) || (n == 3 && c < 0x10000) || c > 0x10ffff ||
			(c >= 0xd800 && c < 0xe000))
			return false;
	}
	return true;
}

static bool varints_ok(struct view v)
{
	uint64_t value;
	while (v.p < v.end)
		if (!get_varint(&v, &value))
			return false;
	return true;
}

static bool message_ok(enum message m, struct view v, unsigned depth);

static bool field_ok(const struct field *f, unsigned kind, unsigned depth)
{
	switch (kind) {
	case KIND_INT64:
		return f->wire == WIRE_VARINT;
	case KIND_INT32:
		return f->wire == WIRE_VARINT && f->value <= INT32_MAX;
	case KIND_FIXED32:
		return f->wire == WIRE_FIXED32;
	case KIND_STRING:
		return f->wire == WIRE_BYTES && is_utf8(f->bytes);
	case KIND_BYTES:
		return f->wire == WIRE_BYTES;
	case KIND_VARINTS:
		return f->wire == WIRE_BYTES && varints_ok(f->bytes);
	default:
		return f->wire == WIRE_BYTES && message_ok(kind, f->bytes, depth + 1);
	}
}

static bool message_ok(enum message m, struct view v, unsigned depth)
{
	const uint8_t(*row)[2] = schema[m];
	struct field f;
	uint32_t before = 0;
	if (depth > DEPTH_MAX)
		return false;
	while (v.p < v.end) {
		if (!next_field(&v, &f))
			return false;
		while ((*row)[0] && (*row)[0] < f.number)
			row++;
		bool many = (*row)[1] & MANY;
		if ((*row)[0] != f.number || (f.number == before && !many) ||
			!field_ok(&f, (*row)[1] & ~MANY, depth))
			return false;
		before = f.number;
	}
	return true;
}

bool oxdl_canonical(struct view file)
{
	return message_ok(M_MODEL, file, 0);
}
