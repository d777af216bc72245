/* SPDX-License-Identifier: BSD-3-Clause */
/* Attributes of a node: found by walking it, they are few and asked for once. */
#include "graph.h"
#include "proto.h"
#include "tensor.h"

/* The first attribute of that name. */
static bool find_attribute(const struct node *n, const char *name, struct pb *attribute)
{
	struct pb m = n->body;
	struct pb_field f, g;
	while (pb_next(&m, &f) > 0) {
		if (f.number != NODE_ATTRIBUTE || f.wire != PB_LEN)
			continue;
		struct pb a = pb_open(&f);
		while (pb_next(&a, &g) > 0)
			if (g.number == ATTR_NAME && g.wire == PB_LEN &&
				lode_span_is((struct lode_span){g.data, g.n_bytes}, name)) {
				*attribute = pb_open(&f);
				return true;
			}
	}
	return false;
}

static bool find_field(const struct node *n, const char *name, uint32_t number, enum pb_wire wire,
	unsigned skip, struct pb_field *f)
{
	struct pb a;
	if (!find_attribute(n, name, &a))
		return false;
	while (pb_next(&a, f) > 0)
		if (f->number == number && f->wire == wire && skip-- == 0)
			return true;
	return false;
}

int64_t attr_int(const struct node *n, const char *name, int64_t missing)
{
	struct pb_field f;
	return find_field(n, name, ATTR_I, PB_VARINT, 0, &f) ? (int64_t)f.value : missing;
}

float attr_float(const struct node *n, const char *name, float missing)
{
	struct pb_field f;
	if (!find_field(n, name, ATTR_F, PB_I32, 0, &f))
		return missing;
	float v;
	memcpy(&v, f.data, sizeof(v));
	return v;
}

/* Packed, one by one or mixed. */
int attr_ints(const struct node *n, const char *name, int64_t *out, int max)
{
	struct pb a;
	struct pb_field f;
	int count = 0;
	if (!find_attribute(n, name, &a))
		return 0;
	while (pb_next(&a, &f) > 0) {
		if (f.number != ATTR_INTS || (f.wire != PB_VARINT && f.wire != PB_LEN))
			continue;
		const uint8_t *p = f.data, *end = f.data + f.n_bytes;
		while (p < end) {
			uint64_t v;
			unsigned taken = pb_varint(p, end, &v);
			if (!taken || count == max)
				return -1;
			out[count++] = (int64_t)v;
			p += taken;
		}
	}
	return count;
}

bool attr_text(const struct node *n, const char *name, unsigned i, struct lode_span *text)
{
	struct pb_field f;
	if (!find_field(n, name, ATTR_STRINGS, PB_LEN, i, &f) &&
		(i || !find_field(n, name, ATTR_S, PB_LEN, 0, &f)))
		return false;
	*text = (struct lode_span){f.data, f.n_bytes};
	return true;
}

bool attr_tensor(const struct node *n, const char *name, struct lode_onnx_tensor *t)
{
	struct pb_field f;
	return find_field(n, name, ATTR_T, PB_LEN, 0, &f) && tensor_parse(pb_open(&f), t);
}
