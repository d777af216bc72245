/* SPDX-License-Identifier: BSD-3-Clause */
#include "hello.h"

void frame_put(uint8_t *b, const struct frame *f)
{
	b[0] = (uint8_t)(f->type << 4 | FRAME_VERSION);
	b[1] = f->pattern;
	lode_store_be16(b + 2, f->receiver);
	lode_store_be16(b + 4, f->sender);
	lode_store_be16(b + 6, 0);
}

int frame_get(const uint8_t *b, struct frame *f)
{
	f->type = b[0] >> 4;
	f->pattern = b[1];
	f->receiver = lode_load_be16(b + 2);
	f->sender = lode_load_be16(b + 4);
	return (b[0] & 15) == FRAME_VERSION && f->pattern <= LODE_NOISE_IKPSK2 ? 0 : -EBADMSG;
}

int hello_put(const struct hello *h, uint8_t *buf, size_t size)
{
	if (size < HELLO_FIXED_BYTES)
		return -ENOSPC;
	lode_store_be64(buf, h->counter);
	lode_store_be64(buf + 8, h->instance);
	lode_store_be64(buf + 16, h->features);
	lode_store_be16(buf + 24, h->session);
	buf[26] = h->key_phase;
	buf[27] = h->version_min;
	buf[28] = h->version_max;
	buf[29] = h->accepted;
	lode_store_be16(buf + 30, h->udp_port);
	struct lode_wire_writer w;
	lode_wire_writer_init(&w, buf + HELLO_FIXED_BYTES, size - HELLO_FIXED_BYTES);
	lode_wire_put_lanes(&w, &h->lanes);
	if (h->has_links)
		lode_wire_put_links(&w, &h->links);
	return w.overflow ? -ENOSPC : (int)(HELLO_FIXED_BYTES + w.len);
}

static int get_tlv(const struct lode_wire_tlv *tlv, struct hello *h)
{
	switch (tlv->type) {
	case LODE_WIRE_TLV_LANES:
		return lode_wire_get_lanes(tlv, &h->lanes);
	case LODE_WIRE_TLV_LINKS:
		h->has_links = true;
		return lode_wire_get_links(tlv, &h->links);
	default:
		return 0; /* of a later version */
	}
}

int hello_get(const uint8_t *buf, size_t len, struct hello *h)
{
	memset(h, 0, sizeof(*h));
	if (len < HELLO_FIXED_BYTES)
		return -EBADMSG;
	h->counter = lode_load_be64(buf);
	h->instance = lode_load_be64(buf + 8);
	h->features = lode_load_be64(buf + 16);
	h->session = lode_load_be16(buf + 24);
	h->key_phase = buf[26];
	h->version_min = buf[27];
	h->version_max = buf[28];
	h->accepted = buf[29];
	h->udp_port = lode_load_be16(buf + 30);
	struct lode_wire_tlv tlv;
	size_t pos = HELLO_FIXED_BYTES;
	int rc;
	while ((rc = lode_wire_tlv_next(buf, len, &pos, &tlv)) == 1)
		if (get_tlv(&tlv, h))
			return -EBADMSG;
	if (rc || !h->lanes.n_lanes || !h->session || h->key_phase >= LODE_WIRE_PHASES)
		return -EBADMSG;
	return 0;
}
