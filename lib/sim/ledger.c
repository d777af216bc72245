/* SPDX-License-Identifier: BSD-3-Clause */
/* The books: what every gateway counted must balance with what it was given, gave out and holds, to the packet
 * and at any time. */
#include "sim.h"

/* Sums over the workers of one site and their lanes. */
struct books {
	struct lode_worker_counters w;
	struct lode_lane_counters l;
	struct lode_worker_held held;
	uint64_t in_handoff, in_tx, in_rx[LODE_ALL_PORTS], rx_buffers;
};

/* Tables of counters are arrays of uint64_t. */
static void add_counters(void *to, const void *from, size_t bytes)
{
	for (size_t i = 0; i < bytes / sizeof(uint64_t); i++)
		((uint64_t *)to)[i] += ((const uint64_t *)from)[i];
}

static void add_worker(struct books *b, const struct site *site, unsigned idx)
{
	struct lode_worker *w = site->workers[idx];
	struct lode_worker_held held;
	add_counters(&b->w, lode_worker_counters(w), sizeof(b->w));
	lode_worker_held(w, &held);
	b->held.own_pkts += held.own_pkts;
	b->held.lanes.queued_pkts += held.lanes.queued_pkts;
	b->held.lanes.waiting_pkts += held.lanes.waiting_pkts;
	b->held.lanes.waiting_parts += held.lanes.waiting_parts;
	add_counters(&b->l, lode_worker_gone_lanes(w), sizeof(b->l));
	for (unsigned p = 0; p < LODE_PEERS_MAX; p++)
		if (lode_worker_lane(w, p))
			add_counters(
				&b->l, lode_lane_counters(lode_worker_lane(w, p)), sizeof(b->l));
	for (unsigned p = 0; p < LODE_ALL_PORTS; p++) {
		b->in_tx += lode_worker_tx(w, p)->n + lode_worker_mirror(w, p)->n;
		b->in_rx[p] += site->rx[idx][p].n;
		for (unsigned i = 0; i < site->rx[idx][p].n; i++)
			b->rx_buffers += site->rx[idx][p].pkts[i]->nb_segs;
	}
	for (unsigned to = 0; to < site->n_workers; to++)
		if (to != idx)
			b->in_handoff += rte_ring_count(site->handoff[idx][to]);
}

static void read_books(const struct site *site, struct books *b)
{
	memset(b, 0, sizeof(*b));
	for (unsigned w = 0; w < site->n_workers; w++)
		if (site->workers[w])
			add_worker(b, site, w);
}

/* ---- the sums ---- */

struct sum {
	const char *what;
	uint64_t left, right;
};

static int compare(
	const struct site *site, const struct sum *sums, unsigned n, struct lode_err *err)
{
	for (unsigned i = 0; i < n; i++)
		if (sums[i].left != sums[i].right)
			return lode_err_set(err, -EBADMSG,
				"%s: %s: %llu on one side, %llu on the other", site->name,
				sums[i].what, (unsigned long long)sums[i].left,
				(unsigned long long)sums[i].right);
	return 0;
}

static bool is_drop(const struct lode_counter_desc *desc)
{
	return !strncmp(desc->name, "drop_", 5);
}

/* Frames: what came in at ports or was made here went out at ports, to lanes, to control or to a drop. */
static int check_worker(const struct site *site, const struct books *b, struct lode_err *err)
{
	const struct tally *t = &site->tally;
	const struct lode_worker_counters *w = &b->w;
	uint64_t lan_in = 0, wan_in = 0, out = t->mirrored, drops = 0;
	for (unsigned p = 0; p < LODE_ALL_PORTS; p++) {
		uint64_t in = t->in[p] - t->lost[p] - b->in_rx[p];
		*(p == LAN_PORT || p == LODE_HOST_PORT ? &lan_in : &wan_in) += in;
		out += t->out[p];
	}
	for (unsigned i = 0; i < lode_worker_n_counters; i++)
		if (is_drop(&lode_worker_counter_descs[i]))
			drops += ((const uint64_t *)w)[i];
	drops -= w->drop_no_mbuf; /* control's datagrams that never became a frame */
	const struct sum sums[] = {
		{"frames from LAN ports = lan_rx", lan_in, w->lan_rx},
		{"frames from WAN ports = wan_rx", wan_in, w->wan_rx},
		{"to_lane = lan_pkts of lanes", w->to_lane, b->l.lan_pkts},
		{"from_lane = rx_datagrams of lanes", w->from_lane, b->l.rx_datagrams},
		{"delivered = delivered_pkts of lanes", w->delivered, b->l.delivered_pkts},
		{"frames in = frames out, to lanes, to control, held and dropped",
			w->lan_rx + w->wan_rx + w->delivered + w->icmp_sent + w->control_tx +
				b->l.tx_datagrams + w->fragments,
			out + w->fragmented + w->to_lane + w->from_lane + w->control_rx + drops +
				b->in_tx + b->in_handoff + b->held.own_pkts},
	};
	return compare(site, sums, LODE_ARRAY_LEN(sums), err);
}

/* Packets: as lan_to_wan.c and wan_to_lan.c of lane say. */
static int check_lanes(const struct site *site, const struct books *b, struct lode_err *err)
{
	const struct lode_lane_counters *l = &b->l;
	const struct sum sums[] = {
		{"lan_pkts = tx_pkts + dropped from queues + queued", l->lan_pkts,
			l->tx_pkts + l->drop_queue_full + l->drop_no_flow_queue + l->drop_deadline +
				l->drop_codel + l->drop_too_long + l->drop_no_mbuf +
				l->drop_closed + l->drop_flush + b->held.lanes.queued_pkts},
		{"segments + copies + repairs + resent + control = datagrams + dropped",
			l->tx_segments + l->tx_copies + l->tx_repairs + l->tx_resent +
				l->tx_control,
			l->tx_datagrams + l->drop_tx_parts + l->drop_tx_headroom},
		{"rx_datagrams = control + segments + repairs + dropped", l->rx_datagrams,
			l->rx_control + l->rx_segments + l->rx_repairs + l->drop_rx_short +
				l->drop_rx_type + l->drop_rx_no_key + l->drop_rx_replay +
				l->drop_rx_auth + l->drop_rx_encoding + l->drop_rx_duplicate +
				l->drop_rx_late},
		{"rx_parts = joined + dropped + waiting", l->rx_parts,
			l->rx_joined_parts + l->drop_rx_parts + l->drop_rx_wait_full +
				b->held.lanes.waiting_parts},
		{"whole, joined and unbundled packets = delivered + dropped + waiting",
			l->rx_segments + l->rx_recovered - l->rx_parts - l->rx_bundles +
				l->rx_joined + l->rx_unbundled,
			l->delivered_pkts + l->drop_rx_ce_not_ect + l->drop_rx_no_mbuf +
				l->drop_rx_flush + b->held.lanes.waiting_pkts},
		{"what an authentic peer never sends",
			l->drop_rx_malformed + l->rx_control_bad + l->drop_tx_headroom, 0},
	};
	return compare(site, sums, LODE_ARRAY_LEN(sums), err);
}

static uint64_t held_by(const struct books *b)
{
	return b->held.own_pkts + b->held.lanes.queued_pkts + b->held.lanes.waiting_pkts +
	       b->held.lanes.waiting_parts + b->in_handoff + b->in_tx;
}

int lode_sim_audit(const struct lode_sim *s, struct lode_err *err)
{
	uint64_t in_use = s->n_taken + (s->sabotage.kept != NULL);
	int rc = 0;
	for (unsigned i = 0; i < s->params.n_sites && !rc; i++) {
		const struct site *site = &s->sites[i];
		struct books b;
		read_books(site, &b);
		in_use += held_by(&b) + b.rx_buffers;
		for (unsigned k = 0; k < s->params.n_wan_ports; k++)
			in_use += site->cables[k].n_inside;
		rc = check_worker(site, &b, err);
		rc = rc ? rc : check_lanes(site, &b, err);
	}
	if (!rc && in_use != lode_sim_mbufs_in_use(s))
		rc = lode_err_set(err, -EBADMSG,
			"%u packet buffers are in use, %llu are held by somebody",
			lode_sim_mbufs_in_use(s), (unsigned long long)in_use);
	return rc;
}

uint64_t lode_sim_held_pkts(const struct lode_sim *s)
{
	uint64_t n = 0;
	for (unsigned i = 0; i < s->params.n_sites; i++) {
		struct books b;
		read_books(&s->sites[i], &b);
		n += held_by(&b);
	}
	return n;
}

/* ---- for reports ---- */

static void add_site(struct lode_sim_totals *to, const struct site *site)
{
	struct books b;
	if (!site->control)
		return;
	read_books(site, &b);
	add_counters(&to->lanes, &b.l, sizeof(b.l));
	add_counters(&to->workers, &b.w, sizeof(b.w));
	add_counters(&to->control, lode_control_counters(site->control), sizeof(to->control));
}

void ledger_close(struct site *site)
{
	add_site(&site->totals, site);
}

void lode_sim_totals(const struct lode_sim *s, struct lode_sim_totals *out)
{
	memset(out, 0, sizeof(*out));
	for (unsigned i = 0; i < s->params.n_sites; i++) {
		add_site(out, &s->sites[i]);
		add_counters(out, &s->sites[i].totals, sizeof(*out));
	}
}
