/* SPDX-License-Identifier: BSD-3-Clause */
/* The TLVs of a control message, as they come out of an authentic packet. What was read is written again and
 * read again: the second reading must agree with the first. */
#include "lode_wire.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t buf[4096];

static struct lode_wire_tlv again(const struct lode_wire_writer *w)
{
	struct lode_wire_tlv tlv;
	size_t pos = 0;
	if (w->overflow || lode_wire_tlv_next(buf, w->len, &pos, &tlv) != 1 || pos != w->len)
		abort();
	return tlv;
}

#define ROUND_TRIP(kind, type_of)                               \
	do {                                                    \
		struct type_of first, second;                   \
		memset(&first, 0, sizeof(first));               \
		memset(&second, 0, sizeof(second));             \
		if (lode_wire_get_##kind(tlv, &first))          \
			return;                                 \
		lode_wire_put_##kind(&w, &first);               \
		struct lode_wire_tlv copy = again(&w);          \
		if (lode_wire_get_##kind(&copy, &second) ||     \
			memcmp(&first, &second, sizeof(first))) \
			abort();                                \
	} while (0)

static void read_tlv(const struct lode_wire_tlv *tlv)
{
	struct lode_wire_writer w;
	struct lode_wire_pmtu pmtu;
	enum lode_wire_close reason;
	uint8_t token[LODE_WIRE_CHALLENGE_BYTES];
	lode_wire_writer_init(&w, buf, sizeof(buf));
	switch (tlv->type) {
	case LODE_WIRE_TLV_PROBE:
		ROUND_TRIP(probe, lode_wire_probe);
		break;
	case LODE_WIRE_TLV_PROBE_REPLY:
		ROUND_TRIP(probe_reply, lode_wire_probe_reply);
		break;
	case LODE_WIRE_TLV_FEEDBACK:
		ROUND_TRIP(feedback, lode_wire_feedback);
		break;
	case LODE_WIRE_TLV_ACK:
		ROUND_TRIP(ack, lode_wire_ack);
		break;
	case LODE_WIRE_TLV_NACK:
		ROUND_TRIP(nack, lode_wire_ack);
		break;
	case LODE_WIRE_TLV_LANES:
		ROUND_TRIP(lanes, lode_wire_lanes);
		break;
	case LODE_WIRE_TLV_LINKS:
		ROUND_TRIP(links, lode_wire_links);
		break;
	case LODE_WIRE_TLV_PMTU_PROBE:
	case LODE_WIRE_TLV_PMTU_ACK:
		lode_wire_get_pmtu(tlv, &pmtu);
		break;
	case LODE_WIRE_TLV_CHALLENGE:
	case LODE_WIRE_TLV_CHALLENGE_REPLY:
		lode_wire_get_challenge(tlv, token);
		break;
	case LODE_WIRE_TLV_CLOSE:
		lode_wire_get_close(tlv, &reason);
		break;
	default:
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lode_wire_tlv tlv;
	struct lode_wire_item item;
	size_t pos = 0, before = 0;
	while (lode_wire_tlv_next(data, size, &pos, &tlv) == 1) {
		if (pos <= before || pos > size)
			abort();
		before = pos;
		read_tlv(&tlv);
	}
	/* The same bytes as a bundle. */
	for (pos = 0; lode_wire_bundle_next(data, size, &pos, &item) == 1;)
		if (pos > size || item.data + item.len != data + pos)
			abort();
	return 0;
}
