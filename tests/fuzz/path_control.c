/* SPDX-License-Identifier: BSD-3-Clause */
/* Any bytes as control messages of an authenticated peer, between sending, receiving and time going by. */
#include "lode_path.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_all(struct lode_path *p, uint64_t now_ns, const uint8_t *data, size_t size)
{
	struct lode_wire_tlv tlv;
	size_t pos = 0;
	while (lode_wire_tlv_next(data, size, &pos, &tlv) == 1)
		lode_path_read_control(p, now_ns, lode_path_tx_us(now_ns - LODE_NS_PER_MS), &tlv);
}

static void write_all(struct lode_path *p, uint64_t now_ns)
{
	uint8_t buf[LODE_PATH_CONTROL_MAX];
	struct lode_wire_writer w;
	struct lode_wire_pmtu m;
	lode_wire_writer_init(&w, buf, sizeof(buf));
	lode_path_write_control(p, now_ns, &w);
	if (w.overflow)
		abort();
	if (lode_path_pmtu_due(p, now_ns, &m))
		lode_path_pmtu_sent(p, now_ns);
}

/* First byte of each step: what happens; the next two: how long it takes or how much follows. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lode_path_params params = {.link_mtu_bytes = 1500, .seed = 1};
	uint64_t now_ns = LODE_NS_PER_S;
	void *memory = aligned_alloc(LODE_CACHE_LINE, lode_path_bytes());
	struct lode_path *p = lode_path_init(memory, &params, now_ns);
	while (size >= 3) {
		uint8_t what = data[0];
		uint16_t n = lode_load_be16(data + 1);
		data += 3;
		size -= 3;
		size_t len = LODE_MIN(n % 600u, size);
		now_ns += n * 1000ull;
		switch (what % 6) {
		case 0:
			read_all(p, now_ns, data, len);
			data += len;
			size -= len;
			break;
		case 1:
			lode_path_sent(p, now_ns, n, lode_path_tx_us(now_ns), what >> 4);
			break;
		case 2:
			lode_path_received(p, now_ns, (uint64_t)n << (what >> 4), n, n, what >> 5);
			break;
		case 3:
			write_all(p, now_ns);
			break;
		case 4:
			lode_path_poll(p, now_ns);
			break;
		case 5:
			now_ns += n * LODE_NS_PER_MS;
			break;
		}
		struct lode_path_stats st;
		lode_path_get_stats(p, &st);
		if (st.inflight_bytes > st.tx.bytes || lode_path_credit(p, now_ns) > st.cwnd_bytes)
			abort();
	}
	free(memory);
	return 0;
}
