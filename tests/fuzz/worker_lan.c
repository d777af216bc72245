/* SPDX-License-Identifier: BSD-3-Clause */
/* LAN frames into a worker. Byte 0: 1 the frame is for us, 2 its IPv4 checksum is right, 4 time passes; then
 * the frame. Every so often the worker is taken down, and all packet buffers must be back. */
#include "worker_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t frame[2000];
	if (size < 1 || size > sizeof(frame))
		return 0;
	fresh_world();
	size_t len = size - 1;
	memcpy(frame, data + 1, len);
	if (data[0] & 1 && len >= 6)
		memcpy(frame, world_lan_mac, 6);
	if (data[0] & 2 && len >= 14 + 60)
		world_mend(frame);
	x.now_ns += data[0] & 4 ? 100 * LODE_NS_PER_MS : LODE_NS_PER_US;
	world_lan(&x, data[0] & 8 ? LODE_HOST_PORT : 0, frame, len);
	drain();
	return 0;
}
