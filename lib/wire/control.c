/* SPDX-License-Identifier: BSD-3-Clause */
/* TLVs of control messages and bundles: reading never trusts a length, writing never overruns. */
#include "lode_wire.h"

#define FEEDBACK_BYTES 22
#define SLOT_BYTES     24
#define ACK_BYTES      2
#define RANGE_BYTES    8

uint8_t *lode_wire_tlv_add(struct lode_wire_writer *w, unsigned type, size_t value_bytes)
{
	size_t need = LODE_WIRE_TLV_HEADER_BYTES + value_bytes;
	if (w->overflow || value_bytes > UINT16_MAX || need > w->size - w->len) {
		w->overflow = true;
		return NULL;
	}
	uint8_t *b = w->buf + w->len;
	b[0] = (uint8_t)type;
	lode_store_be16(b + 1, (uint16_t)value_bytes);
	w->len += need;
	return b + LODE_WIRE_TLV_HEADER_BYTES;
}

int lode_wire_tlv_next(const uint8_t *buf, size_t len, size_t *pos, struct lode_wire_tlv *tlv)
{
	if (*pos == len)
		return 0;
	if (len - *pos < LODE_WIRE_TLV_HEADER_BYTES)
		return -EBADMSG;
	const uint8_t *b = buf + *pos;
	size_t value_bytes = lode_load_be16(b + 1);
	if (value_bytes > len - *pos - LODE_WIRE_TLV_HEADER_BYTES)
		return -EBADMSG;
	*tlv = (struct lode_wire_tlv){
		.type = b[0],
		.len = (uint16_t)value_bytes,
		.value = b + LODE_WIRE_TLV_HEADER_BYTES,
	};
	*pos += LODE_WIRE_TLV_HEADER_BYTES + value_bytes;
	return 1;
}

int lode_wire_bundle_next(
	const uint8_t *payload, size_t len, size_t *pos, struct lode_wire_item *item)
{
	if (*pos == len)
		return 0;
	if (len - *pos < LODE_WIRE_BUNDLE_ITEM_BYTES)
		return -EBADMSG;
	const uint8_t *b = payload + *pos;
	*item = (struct lode_wire_item){
		.data = b + LODE_WIRE_BUNDLE_ITEM_BYTES,
		.len = lode_load_be16(b),
		.dist = lode_load_be16(b + 2),
	};
	if (item->len > len - *pos - LODE_WIRE_BUNDLE_ITEM_BYTES)
		return -EBADMSG;
	*pos += LODE_WIRE_BUNDLE_ITEM_BYTES + item->len;
	return 1;
}

void lode_wire_put_probe(struct lode_wire_writer *w, const struct lode_wire_probe *m)
{
	uint8_t *v = lode_wire_tlv_add(w, LODE_WIRE_TLV_PROBE, 4);
	if (v)
		lode_store_be32(v, m->id);
}

int lode_wire_get_probe(const struct lode_wire_tlv *tlv, struct lode_wire_probe *m)
{
	if (tlv->len < 4)
		return -EBADMSG;
	m->id = lode_load_be32(tlv->value);
	return 0;
}

void lode_wire_put_probe_reply(struct lode_wire_writer *w, const struct lode_wire_probe_reply *m)
{
	uint8_t *v = lode_wire_tlv_add(w, LODE_WIRE_TLV_PROBE_REPLY, 12);
	if (!v)
		return;
	lode_store_be32(v, m->id);
	lode_store_be32(v + 4, m->echo_us);
	lode_store_be32(v + 8, m->hold_us);
}

int lode_wire_get_probe_reply(const struct lode_wire_tlv *tlv, struct lode_wire_probe_reply *m)
{
	if (tlv->len < 12)
		return -EBADMSG;
	m->id = lode_load_be32(tlv->value);
	m->echo_us = lode_load_be32(tlv->value + 4);
	m->hold_us = lode_load_be32(tlv->value + 8);
	return 0;
}

static void put_slot(uint8_t *v, const struct lode_wire_slot *s)
{
	lode_store_be32(v, s->bytes);
	lode_store_be16(v + 4, s->pkts);
	lode_store_be16(v + 6, s->lost);
	lode_store_be16(v + 8, s->bursts);
	lode_store_be16(v + 10, s->longest_burst);
	lode_store_be32(v + 12, s->owd_min_us);
	lode_store_be32(v + 16, s->owd_last_us);
	lode_store_be16(v + 20, s->ce);
	lode_store_be16(v + 22, 0);
}

static void get_slot(const uint8_t *v, struct lode_wire_slot *s)
{
	s->bytes = lode_load_be32(v);
	s->pkts = lode_load_be16(v + 4);
	s->lost = lode_load_be16(v + 6);
	s->bursts = lode_load_be16(v + 8);
	s->longest_burst = lode_load_be16(v + 10);
	s->owd_min_us = lode_load_be32(v + 12);
	s->owd_last_us = lode_load_be32(v + 16);
	s->ce = lode_load_be16(v + 20);
}

void lode_wire_put_feedback(struct lode_wire_writer *w, const struct lode_wire_feedback *m)
{
	size_t n = LODE_MIN(m->n_slots, LODE_WIRE_SLOTS_MAX);
	uint8_t *v = lode_wire_tlv_add(w, LODE_WIRE_TLV_FEEDBACK, FEEDBACK_BYTES + n * SLOT_BYTES);
	if (!v)
		return;
	v[0] = m->path;
	v[1] = (uint8_t)n;
	lode_store_be32(v + 2, m->first_slot);
	lode_store_be64(v + 6, m->highest);
	lode_store_be32(v + 14, m->echo_us);
	lode_store_be32(v + 18, m->hold_us);
	for (size_t i = 0; i < n; i++)
		put_slot(v + FEEDBACK_BYTES + i * SLOT_BYTES, &m->slots[i]);
}

int lode_wire_get_feedback(const struct lode_wire_tlv *tlv, struct lode_wire_feedback *m)
{
	const uint8_t *v = tlv->value;
	if (tlv->len < FEEDBACK_BYTES || v[0] >= LODE_WIRE_PATHS || v[1] > LODE_WIRE_SLOTS_MAX ||
		tlv->len < FEEDBACK_BYTES + v[1] * SLOT_BYTES)
		return -EBADMSG;
	m->path = v[0];
	m->n_slots = v[1];
	m->first_slot = lode_load_be32(v + 2);
	m->highest = lode_load_be64(v + 6);
	m->echo_us = lode_load_be32(v + 14);
	m->hold_us = lode_load_be32(v + 18);
	for (size_t i = 0; i < m->n_slots; i++)
		get_slot(v + FEEDBACK_BYTES + i * SLOT_BYTES, &m->slots[i]);
	return 0;
}

static void put_ranges(
	struct lode_wire_writer *w, enum lode_wire_tlv_type type, const struct lode_wire_ack *m)
{
	size_t n = LODE_MIN(m->n_ranges, LODE_WIRE_RANGES_MAX);
	uint8_t *v = lode_wire_tlv_add(w, type, ACK_BYTES + n * RANGE_BYTES);
	if (!v)
		return;
	v[0] = (uint8_t)(m->lane << 4 | m->cls);
	v[1] = (uint8_t)n;
	for (size_t i = 0; i < n; i++) {
		lode_store_be32(v + ACK_BYTES + i * RANGE_BYTES, m->ranges[i].first);
		lode_store_be32(v + ACK_BYTES + i * RANGE_BYTES + 4, m->ranges[i].last);
	}
}

void lode_wire_put_ack(struct lode_wire_writer *w, const struct lode_wire_ack *m)
{
	put_ranges(w, LODE_WIRE_TLV_ACK, m);
}

void lode_wire_put_nack(struct lode_wire_writer *w, const struct lode_wire_ack *m)
{
	put_ranges(w, LODE_WIRE_TLV_NACK, m);
}

/* A range may not run backwards nor over more than half of the sequence space. */
int lode_wire_get_ack(const struct lode_wire_tlv *tlv, struct lode_wire_ack *m)
{
	const uint8_t *v = tlv->value;
	if (tlv->len < ACK_BYTES || v[0] >> 4 >= LODE_WIRE_LANES || (v[0] & 15) >= LODE_N_CLASSES ||
		v[1] > LODE_WIRE_RANGES_MAX || tlv->len < ACK_BYTES + v[1] * RANGE_BYTES)
		return -EBADMSG;
	m->lane = v[0] >> 4;
	m->cls = v[0] & 15;
	m->n_ranges = v[1];
	for (size_t i = 0; i < m->n_ranges; i++) {
		uint32_t first = lode_load_be32(v + ACK_BYTES + i * RANGE_BYTES);
		uint32_t last = lode_load_be32(v + ACK_BYTES + i * RANGE_BYTES + 4);
		if ((first | last) & ~LODE_WIRE_SEQ_MASK || lode_wire_seq_diff(last, first) < 0)
			return -EBADMSG;
		m->ranges[i].first = first;
		m->ranges[i].last = last;
	}
	return 0;
}

/* What is asked for is looked up one by one. */
int lode_wire_get_nack(const struct lode_wire_tlv *tlv, struct lode_wire_ack *m)
{
	int ret = lode_wire_get_ack(tlv, m);
	for (size_t i = 0; ret == 0 && i < m->n_ranges; i++) {
		if (lode_wire_seq_diff(m->ranges[i].last, m->ranges[i].first) >= 255)
			ret = -EBADMSG;
	}
	return ret;
}

void lode_wire_put_challenge(struct lode_wire_writer *w, enum lode_wire_tlv_type type,
	const uint8_t token[LODE_WIRE_CHALLENGE_BYTES])
{
	uint8_t *v = lode_wire_tlv_add(w, type, LODE_WIRE_CHALLENGE_BYTES);
	if (v)
		memcpy(v, token, LODE_WIRE_CHALLENGE_BYTES);
}

int lode_wire_get_challenge(
	const struct lode_wire_tlv *tlv, uint8_t token[LODE_WIRE_CHALLENGE_BYTES])
{
	if (tlv->len < LODE_WIRE_CHALLENGE_BYTES)
		return -EBADMSG;
	memcpy(token, tlv->value, LODE_WIRE_CHALLENGE_BYTES);
	return 0;
}

void lode_wire_put_lanes(struct lode_wire_writer *w, const struct lode_wire_lanes *m)
{
	size_t n = LODE_MIN(m->n_lanes, LODE_WIRE_LANES);
	uint8_t *v = lode_wire_tlv_add(w, LODE_WIRE_TLV_LANES, 1 + 2 * n);
	if (!v)
		return;
	v[0] = (uint8_t)n;
	for (size_t i = 0; i < n; i++)
		lode_store_be16(v + 1 + 2 * i, m->udp_port[i]);
}

int lode_wire_get_lanes(const struct lode_wire_tlv *tlv, struct lode_wire_lanes *m)
{
	if (tlv->len < 1 || tlv->value[0] < 1 || tlv->value[0] > LODE_WIRE_LANES ||
		tlv->len < 1 + 2 * tlv->value[0])
		return -EBADMSG;
	*m = (struct lode_wire_lanes){.n_lanes = tlv->value[0]};
	for (size_t i = 0; i < m->n_lanes; i++) {
		m->udp_port[i] = lode_load_be16(tlv->value + 1 + 2 * i);
		if (!m->udp_port[i])
			return -EBADMSG;
	}
	return 0;
}

/* Per used id: id, length of the name, name without NUL. */
void lode_wire_put_links(struct lode_wire_writer *w, const struct lode_wire_links *m)
{
	size_t name_bytes[LODE_WIRE_PATHS], total = 0;
	for (unsigned i = 0; i < LODE_WIRE_PATHS; i++) {
		name_bytes[i] = strnlen(m->name[i], LODE_NAME_MAX - 1);
		total += name_bytes[i] ? 2 + name_bytes[i] : 0;
	}
	uint8_t *v = lode_wire_tlv_add(w, LODE_WIRE_TLV_LINKS, total);
	for (unsigned i = 0; v && i < LODE_WIRE_PATHS; i++) {
		if (!name_bytes[i])
			continue;
		v[0] = (uint8_t)i;
		v[1] = (uint8_t)name_bytes[i];
		memcpy(v + 2, m->name[i], name_bytes[i]);
		v += 2 + name_bytes[i];
	}
}

/* Names are printable ASCII: they reach logs and JSON. An id or a name may stand once. */
static int get_link(struct lode_wire_links *m, unsigned id, const uint8_t *name, size_t len)
{
	if (id >= LODE_WIRE_PATHS || len < 1 || len >= LODE_NAME_MAX || m->name[id][0])
		return -EBADMSG;
	char text[LODE_NAME_MAX] = {0};
	for (size_t i = 0; i < len; i++) {
		if (name[i] <= ' ' || name[i] > '~')
			return -EBADMSG;
		text[i] = (char)name[i];
	}
	for (unsigned i = 0; i < LODE_WIRE_PATHS; i++)
		if (!strcmp(m->name[i], text))
			return -EBADMSG;
	memcpy(m->name[id], text, sizeof(text));
	return 0;
}

int lode_wire_get_links(const struct lode_wire_tlv *tlv, struct lode_wire_links *m)
{
	memset(m, 0, sizeof(*m));
	size_t pos = 0;
	while (pos < tlv->len) {
		const uint8_t *v = tlv->value + pos;
		if (tlv->len - pos < 2 || v[1] > tlv->len - pos - 2)
			return -EBADMSG;
		int rc = get_link(m, v[0], v + 2, v[1]);
		if (rc)
			return rc;
		pos += 2 + v[1];
	}
	return 0;
}

void lode_wire_put_pmtu(
	struct lode_wire_writer *w, enum lode_wire_tlv_type type, const struct lode_wire_pmtu *m)
{
	uint8_t *v = lode_wire_tlv_add(w, type, 6);
	if (!v)
		return;
	lode_store_be32(v, m->id);
	lode_store_be16(v + 4, m->mtu_bytes);
}

int lode_wire_get_pmtu(const struct lode_wire_tlv *tlv, struct lode_wire_pmtu *m)
{
	if (tlv->len < 6)
		return -EBADMSG;
	m->id = lode_load_be32(tlv->value);
	m->mtu_bytes = lode_load_be16(tlv->value + 4);
	return 0;
}

void lode_wire_put_padding(struct lode_wire_writer *w, size_t total_bytes)
{
	if (total_bytes < LODE_WIRE_TLV_HEADER_BYTES) {
		w->overflow = true;
		return;
	}
	size_t n = total_bytes - LODE_WIRE_TLV_HEADER_BYTES;
	uint8_t *v = lode_wire_tlv_add(w, LODE_WIRE_TLV_PADDING, n);
	if (v)
		memset(v, 0, n);
}

void lode_wire_put_close(struct lode_wire_writer *w, enum lode_wire_close reason)
{
	uint8_t *v = lode_wire_tlv_add(w, LODE_WIRE_TLV_CLOSE, 1);
	if (v)
		v[0] = (uint8_t)reason;
}

int lode_wire_get_close(const struct lode_wire_tlv *tlv, enum lode_wire_close *reason)
{
	if (tlv->len < 1)
		return -EBADMSG;
	*reason = tlv->value[0];
	return 0;
}
