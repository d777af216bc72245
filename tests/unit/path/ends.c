/* SPDX-License-Identifier: BSD-3-Clause */
#include "ends.h"

#include <stdlib.h>

#define CONTROL_MAX   9000
#define CONTROL_OUTER (28 + LODE_WIRE_CONTROL_OVERHEAD)

struct msg {
	uint64_t pn;
	uint32_t bytes, tx_us;
	uint32_t len; /* of control; 0: data */
	uint8_t control[];
};

static struct lode_path *new_path(const struct lode_path_params *params)
{
	void *memory = aligned_alloc(LODE_CACHE_LINE, lode_path_bytes());
	return lode_path_init(memory, params, 0);
}

void ends_open(struct ends *s, const struct lode_link_config *forward,
	const struct lode_link_config *back, const struct lode_path_params *params)
{
	struct lode_path_params p = *params;
	memset(s, 0, sizeof(*s));
	for (int i = 0; i < 2; i++) {
		p.seed = params->seed + (uint64_t)i;
		s->e[i].path = new_path(&p);
		s->e[i].config = i == 0 ? *forward : *back;
		s->e[i].link = lode_link_new(&s->e[i].config, 10 + (uint64_t)i, 0, NULL);
		s->e[i].data_bytes = 1200;
	}
}

void ends_close(struct ends *s)
{
	uint64_t handle;
	for (int i = 0; i < 2; i++) {
		while (lode_link_flush(s->e[i].link, &handle))
			free((void *)(uintptr_t)handle);
		lode_link_free(s->e[i].link);
		free(s->e[i].path);
	}
}

static void push(struct ends *s, struct end *e, uint32_t bytes, const uint8_t *control, size_t len)
{
	struct msg *m = malloc(sizeof(*m) + len);
	m->pn = e->pn++;
	m->bytes = bytes;
	m->tx_us = lode_path_tx_us(s->now_ns);
	m->len = (uint32_t)len;
	if (len)
		memcpy(m->control, control, len);
	lode_path_sent(e->path, s->now_ns, bytes, m->tx_us, len ? LODE_PATH_CONTROL : 0);
	e->n_sent++;
	if (lode_link_push(e->link, s->now_ns, bytes, (uintptr_t)m) != LODE_LINK_OK)
		free(m);
}

static void take(struct ends *s, struct end *to, const struct msg *m)
{
	struct lode_wire_tlv tlv;
	size_t pos = 0;
	lode_path_received(
		to->path, s->now_ns, m->pn, m->bytes, m->tx_us, m->len ? LODE_PATH_CONTROL : 0);
	to->n_arrived++;
	while (m->len && lode_wire_tlv_next(m->control, m->len, &pos, &tlv) == 1)
		cr_assert_geq(lode_path_read_control(to->path, s->now_ns, m->tx_us, &tlv), 0);
}

static void send_control(struct ends *s, struct end *e)
{
	static uint8_t buf[CONTROL_MAX];
	struct lode_wire_writer w;
	struct lode_wire_pmtu probe;
	if (lode_path_control_due(e->path, s->now_ns)) {
		lode_wire_writer_init(&w, buf, sizeof(buf));
		lode_path_write_control(e->path, s->now_ns, &w);
		cr_assert_gt(w.len, 0);
		cr_assert_leq(w.len, LODE_PATH_CONTROL_MAX);
		push(s, e, (uint32_t)w.len + CONTROL_OUTER, buf, w.len);
	}
	uint16_t mtu = lode_path_pmtu_due(e->path, s->now_ns, &probe);
	if (mtu == 0)
		return;
	lode_wire_writer_init(&w, buf, lode_wire_mtu_probe_tlvs(mtu, false));
	lode_wire_put_pmtu(&w, LODE_WIRE_TLV_PMTU_PROBE, &probe);
	lode_wire_put_padding(&w, w.size - w.len);
	cr_assert_eq(w.len + CONTROL_OUTER, mtu);
	push(s, e, mtu, buf, w.len);
	lode_path_pmtu_sent(e->path, s->now_ns);
}

static void send_data(struct ends *s, struct end *e)
{
	if (e->data_gap_ns == 1) {
		for (int i = 0; i < 1000 && lode_path_credit(e->path, s->now_ns) > 0; i++) {
			e->data_bytes_sent += e->data_bytes;
			push(s, e, e->data_bytes, NULL, 0);
		}
		return;
	}
	while (e->data_gap_ns && s->now_ns >= e->next_data_ns) {
		e->data_bytes_sent += e->data_bytes;
		push(s, e, e->data_bytes, NULL, 0);
		e->next_data_ns = LODE_MAX(e->next_data_ns + e->data_gap_ns, s->now_ns);
	}
	if (lode_path_credit(e->path, s->now_ns) > 0)
		lode_path_app_limited(e->path);
}

static uint64_t end_due(struct end *e)
{
	uint64_t due_ns = LODE_MIN(lode_link_next_due_ns(e->link), lode_path_next_due_ns(e->path));
	if (e->data_gap_ns == 1)
		due_ns = LODE_MIN(due_ns, lode_path_credit_due_ns(e->path));
	else if (e->data_gap_ns)
		due_ns = LODE_MIN(due_ns, e->next_data_ns);
	return due_ns;
}

void ends_run(struct ends *s, uint64_t ms)
{
	uint64_t end_ns = s->now_ns + ms * MS;
	struct lode_link_out out;
	for (;;) {
		uint64_t due_ns = LODE_MIN(end_due(&s->e[0]), end_due(&s->e[1]));
		if (due_ns >= end_ns)
			break;
		s->now_ns = LODE_MAX(s->now_ns + 1, due_ns);
		s->n_events++;
		for (int i = 0; i < 2; i++) {
			while (lode_link_pop(s->e[i].link, s->now_ns, &out)) {
				struct msg *m = (struct msg *)(uintptr_t)out.handle;
				if (out.fate == LODE_LINK_OK && !out.corrupt)
					take(s, &s->e[!i], m);
				if (!out.copy)
					free(m);
			}
		}
		for (int i = 0; i < 2; i++) {
			lode_path_poll(s->e[i].path, s->now_ns);
			send_control(s, &s->e[i]);
			send_data(s, &s->e[i]);
		}
	}
	s->now_ns = end_ns;
	for (int i = 0; i < 2; i++)
		lode_path_poll(s->e[i].path, s->now_ns);
}

void ends_set(struct ends *s, int from, const char *key, const char *value)
{
	struct end *e = &s->e[from];
	cr_assert_eq(lode_link_config_set(&e->config, key, value, NULL), 0);
	cr_assert_eq(lode_link_set(e->link, &e->config, s->now_ns, NULL), 0);
}

void ends_cut(struct ends *s, int from, bool down)
{
	ends_set(s, from, "down", down ? "on" : "off");
}

struct lode_path_stats ends_stats(const struct ends *s, int end)
{
	struct lode_path_stats stats;
	lode_path_get_stats(s->e[end].path, &stats);
	return stats;
}
