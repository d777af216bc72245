/* SPDX-License-Identifier: BSD-3-Clause */
/* A tunnel datagram as a receiver treats it: header, window, opening, what is inside. The first byte says
 * whether the bytes come as they are (nothing may open) or are sealed with the right key first, so that the
 * fuzzer reaches the parsers behind the tag. */
#include "lode_aead.h"
#include "lode_wire.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_data(const uint8_t *text, size_t len)
{
	struct lode_wire_segment s;
	struct lode_wire_item item;
	if (len < LODE_WIRE_SEGMENT_BYTES || lode_wire_get_segment(text, &s) ||
		!(s.flags & LODE_WIRE_BUNDLE))
		return;
	text += LODE_WIRE_SEGMENT_BYTES;
	len -= LODE_WIRE_SEGMENT_BYTES;
	for (size_t pos = 0; lode_wire_bundle_next(text, len, &pos, &item) == 1;)
		if (item.data < text || item.data + item.len > text + len)
			abort();
}

static void read_control(const uint8_t *text, size_t len)
{
	struct lode_wire_control c;
	struct lode_wire_tlv tlv;
	if (len < LODE_WIRE_CONTROL_BYTES)
		return;
	lode_wire_get_control(text, &c);
	text += LODE_WIRE_CONTROL_BYTES;
	len -= LODE_WIRE_CONTROL_BYTES;
	for (size_t pos = 0; lode_wire_tlv_next(text, len, &pos, &tlv) == 1;)
		if (tlv.value < text || tlv.value + tlv.len > text + len)
			abort();
}

static void receive(const struct lode_aead_key *key, uint8_t *packet, size_t len, bool sealed)
{
	static const struct lode_wire_replay empty;
	struct lode_wire_replay window = empty;
	struct lode_wire_clear h;
	lode_wire_get_clear(packet, &h);
	uint64_t number = lode_wire_replay_expand(&window, h.number);
	struct lode_aead_op op = {.data = packet,
		.nonce = lode_wire_nonce(h.path, h.lane, number),
		.aad_bytes = LODE_WIRE_CLEAR_BYTES,
		.text_bytes = (uint16_t)(len - LODE_WIRE_CLEAR_BYTES - LODE_WIRE_TAG_BYTES)};
	if (sealed)
		lode_aead_seal_burst(key, &op, 1);
	if (lode_aead_open_burst(key, &op, 1) != sealed)
		abort();
	if (!sealed)
		return;
	if (!lode_wire_replay_accept(&window, number) || lode_wire_replay_accept(&window, number))
		abort();
	if (h.type == LODE_WIRE_DATA)
		read_data(packet + LODE_WIRE_CLEAR_BYTES, op.text_bytes);
	else if (h.type == LODE_WIRE_CONTROL)
		read_control(packet + LODE_WIRE_CLEAR_BYTES, op.text_bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t secret[LODE_AEAD_KEY_BYTES] = {42};
	if (size < 1 + LODE_WIRE_CLEAR_BYTES + LODE_WIRE_TAG_BYTES || size > 9000)
		return 0;
	struct lode_aead *aead = lode_aead_new("openssl", NULL);
	struct lode_aead_key *key = aead ? lode_aead_key_new(aead, secret, 7) : NULL;
	uint8_t *packet = malloc(size - 1);
	if (key && packet) {
		memcpy(packet, data + 1, size - 1);
		receive(key, packet, size - 1, data[0] & 1);
	}
	free(packet);
	lode_aead_key_free(key);
	lode_aead_free(aead);
	return 0;
}
