/* SPDX-License-Identifier: BSD-3-Clause */
/* WAN frames into a worker that has a session. Byte 0: 1 the frame is for us, 2 its IPv4 checksum is right,
 * 4 time passes, 8 the rest is not a frame but a datagram of our peer, clear header first, that is sealed
 * with the session's key. */
#include "worker_fuzz.h"

#define CLEAR LODE_WIRE_CLEAR_BYTES

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void send_sealed(const uint8_t *datagram, size_t len)
{
	static uint32_t number;
	uint8_t frame[2048];
	struct lode_wire_clear clear;
	if (len < CLEAR)
		return;
	size_t frame_len = world_udp4(frame, "192.0.2.2", "192.0.2.1", WORLD_UDP_PORT,
		WORLD_UDP_PORT, len + LODE_AEAD_TAG_BYTES);
	memcpy(frame, world_wan_mac, 6);
	uint8_t *d = frame + 42;
	memcpy(d, datagram, len);
	lode_wire_get_clear(d, &clear);
	clear.session = WORLD_SESSION;
	clear.version = LODE_WIRE_VERSION;
	clear.path = clear.lane = clear.key_phase = 0;
	clear.number = number++;
	lode_wire_put_clear(d, &clear);
	const struct lode_aead_op op = {.data = d,
		.nonce = lode_wire_nonce(0, 0, clear.number),
		.aad_bytes = CLEAR,
		.text_bytes = (uint16_t)(len - CLEAR)};
	lode_aead_seal_burst(x.view.epochs[0].rx_key[0], &op, 1);
	world_wan(&x, frame, frame_len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t frame[1500];
	if (size < 1 || size > sizeof(frame))
		return 0;
	fresh_world();
	size_t len = size - 1;
	memcpy(frame, data + 1, len);
	x.now_ns += data[0] & 4 ? 100 * LODE_NS_PER_MS : LODE_NS_PER_US;
	if (data[0] & 8) {
		send_sealed(frame, len);
	} else {
		if (data[0] & 1 && len >= 6)
			memcpy(frame, world_wan_mac, 6);
		if (data[0] & 2 && len >= 14 + 60)
			world_mend(frame);
		world_wan(&x, frame, len);
	}
	drain();
	return 0;
}
