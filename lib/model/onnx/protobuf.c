/* SPDX-License-Identifier: BSD-3-Clause */
#include "protobuf.h"

unsigned pb_varint(const uint8_t *p, const uint8_t *end, uint64_t *v)
{
	uint64_t sum = 0;
	for (unsigned i = 0; i < 10 && p + i < end; i++) {
		if (i == 9 && p[i] > 1)
			return 0;
		sum |= (uint64_t)(p[i] & 0x7f) << (7 * i);
		if (p[i] < 0x80) {
			*v = sum;
			return i + 1;
		}
	}
	return 0;
}

static bool take_fixed(const uint8_t **p, const uint8_t *end, unsigned n, struct pb_field *f)
{
	if ((uint64_t)(end - *p) < n)
		return false;
	f->data = *p;
	f->n_bytes = n;
	f->value = n == 8 ? lode_load_le64(*p) : lode_load_le32(*p);
	*p += n;
	return true;
}

static bool take_value(const uint8_t **p, const uint8_t *end, struct pb_field *f)
{
	unsigned n;
	switch (f->wire) {
	case PB_I64:
		return take_fixed(p, end, 8, f);
	case PB_I32:
		return take_fixed(p, end, 4, f);
	case PB_VARINT:
		n = pb_varint(*p, end, &f->value);
		f->data = *p;
		f->n_bytes = n;
		*p += n;
		return n > 0;
	case PB_LEN:
		n = pb_varint(*p, end, &f->n_bytes);
		*p += n;
		if (!n || f->n_bytes > (uint64_t)(end - *p))
			return false;
		f->data = *p;
		*p += f->n_bytes;
		return true;
	default:
		return false;
	}
}

int pb_next(struct pb *m, struct pb_field *f)
{
	uint64_t key;
	if (m->p == m->end)
		return 0;
	unsigned n = pb_varint(m->p, m->end, &key);
	if (!n || n > 5 || key >> 3 == 0 || key >> 3 > (1u << 29) - 1)
		return -EBADMSG;
	*f = (struct pb_field){.number = (uint32_t)(key >> 3), .wire = (enum pb_wire)(key & 7)};
	const uint8_t *p = m->p + n;
	if (!take_value(&p, m->end, f))
		return -EBADMSG;
	m->p = p;
	return 1;
}
