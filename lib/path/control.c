/* SPDX-License-Identifier: BSD-3-Clause */
/* Control messages: which are due, writing them, reading them. */
#include "path.h"

bool lode_path_control_due(const struct lode_path *p, uint64_t now_ns)
{
	return p->pmtu_ack.pending || life_control_due_ns(p) <= now_ns ||
	       (!p->params.follower && rx_feedback_due_ns(p) <= now_ns);
}

void lode_path_write_control(struct lode_path *p, uint64_t now_ns, struct lode_wire_writer *w)
{
	if (w->size - w->len < LODE_PATH_CONTROL_MAX)
		return;
	if (p->pmtu_ack.pending) {
		struct lode_wire_pmtu m = {p->pmtu_ack.id, p->pmtu_ack.mtu_bytes};
		lode_wire_put_pmtu(w, LODE_WIRE_TLV_PMTU_ACK, &m);
		p->pmtu_ack.pending = false;
	}
	life_write(p, now_ns, w);
	if (!p->params.follower && rx_feedback_due_ns(p) <= now_ns) {
		struct lode_wire_feedback m;
		rx_make_feedback(p, now_ns, &m);
		lode_wire_put_feedback(w, &m);
	}
}

static int read_feedback(struct lode_path *p, uint64_t now_ns, const struct lode_wire_tlv *tlv)
{
	struct lode_wire_feedback m;
	if (lode_wire_get_feedback(tlv, &m) || m.path != p->params.path_id)
		return -EBADMSG;
	if (!p->params.follower)
		tx_feedback(p, now_ns, &m);
	return 1;
}

static int read_pmtu(struct lode_path *p, uint64_t now_ns, const struct lode_wire_tlv *tlv)
{
	struct lode_wire_pmtu m;
	if (lode_wire_get_pmtu(tlv, &m))
		return -EBADMSG;
	if (tlv->type == LODE_WIRE_TLV_PMTU_ACK) {
		pmtu_acked(p, now_ns, &m);
		return 1;
	}
	p->pmtu_ack.id = m.id;
	p->pmtu_ack.mtu_bytes = m.mtu_bytes;
	p->pmtu_ack.pending = true;
	return 1;
}

int lode_path_read_control(
	struct lode_path *p, uint64_t now_ns, uint32_t tx_us, const struct lode_wire_tlv *tlv)
{
	switch (tlv->type) {
	case LODE_WIRE_TLV_FEEDBACK:
		return read_feedback(p, now_ns, tlv);
	case LODE_WIRE_TLV_PMTU_PROBE:
	case LODE_WIRE_TLV_PMTU_ACK:
		return read_pmtu(p, now_ns, tlv);
	default:
		return life_read(p, now_ns, tx_us, tlv);
	}
}
