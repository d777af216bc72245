/* SPDX-License-Identifier: BSD-3-Clause */
/* Is the path alive, and is the peer really there? Probes every 50 ms while the path carries data, every
 * 500 ms after 5 idle minutes. Life is judged by proofs only: replies to our probes and reports of our
 * packets, so that a path whose other direction still works is not taken for alive. */
#include "path.h"

#define PROBE_NS	    (50 * LODE_NS_PER_MS)
#define PROBE_IDLE_NS	    (500 * LODE_NS_PER_MS)
#define FOLLOW_NS	    LODE_NS_PER_S /* followers: to keep a NAT's mapping, not to measure */
#define FOLLOW_IDLE_NS	    (15 * LODE_NS_PER_S)
#define IDLE_AFTER_NS	    (300 * LODE_NS_PER_S)
#define SUSPECT_INTERVALS   3
#define DOWN_INTERVALS	    5
#define FAR_DOWN_INTERVALS  6 /* where no answer to a probe of the suspicion can be back in time */
#define SUSPECT_PROBES	    4 /* per interval: whether it lives must be known soon, and surely */
#define GOOD_WITHIN_NS	    LODE_NS_PER_S
#define FLAP_NS		    (30 * LODE_NS_PER_S) /* up for less: the next time up must wait longer */
#define BACKOFF_MIN_NS	    LODE_NS_PER_S
#define BACKOFF_MAX_NS	    (30 * LODE_NS_PER_S)
#define JUDGE_INTERVALS	    4  /* and a round trip without a reply: the probe is lost */
#define JUDGE_MAX	    60 /* probes waited for */
#define CHALLENGE_FIRST_NS  (100 * LODE_NS_PER_MS)
#define CHALLENGE_SECOND_NS LODE_NS_PER_S
#define AMPLIFICATION	    3

const char *lode_path_state_name(enum lode_path_state state)
{
	static const char *const names[] = {"unknown", "probing", "up", "suspect", "down"};
	return (unsigned)state < LODE_ARRAY_LEN(names) ? names[state] : "?";
}

static void new_challenge(struct lode_path *p, uint64_t now_ns)
{
	struct life *l = &p->life;
	uint64_t token = lode_rng_u64(&p->rng);
	memcpy(l->token, &token, sizeof(l->token));
	l->validated = false;
	l->challenge_due_ns = now_ns;
	l->challenge_wait_ns = CHALLENGE_FIRST_NS;
	l->unvalidated_rx = l->unvalidated_tx = 0;
}

void life_init(struct lode_path *p, uint64_t now_ns)
{
	struct life *l = &p->life;
	l->interval_ns = p->params.follower ? FOLLOW_NS : PROBE_NS;
	l->interval_since_ns = l->last_data_ns = now_ns;
	uint64_t phase_ns = PROBE_NS + p->params.probe_phase_ns % PROBE_NS;
	l->next_probe_ns = now_ns + (phase_ns - now_ns % PROBE_NS) % PROBE_NS;
	l->probe_id = l->judged_id = (uint32_t)lode_rng_u64(&p->rng);
	if (p->params.remote_known) {
		l->validated = true;
		l->challenge_due_ns = FAR_FUTURE;
	} else {
		new_challenge(p, now_ns);
	}
}

void life_moved(struct lode_path *p, uint64_t now_ns)
{
	new_challenge(p, now_ns);
}

uint64_t life_allowance(const struct lode_path *p)
{
	const struct life *l = &p->life;
	uint64_t allowed = AMPLIFICATION * l->unvalidated_rx;
	return allowed > l->unvalidated_tx ? allowed - l->unvalidated_tx : 0;
}

static void set_interval(struct lode_path *p, uint64_t now_ns)
{
	struct life *l = &p->life;
	bool idle = now_ns - l->last_data_ns >= IDLE_AFTER_NS;
	uint64_t want = idle ? PROBE_IDLE_NS : PROBE_NS;
	if (p->params.follower)
		want = idle && l->state == LODE_PATH_UP ? FOLLOW_IDLE_NS : FOLLOW_NS;
	if (want == l->interval_ns)
		return;
	l->interval_ns = want;
	l->interval_since_ns = now_ns;
	l->next_probe_ns = LODE_MIN(l->next_probe_ns, now_ns + want);
}

void life_received(struct lode_path *p, uint64_t now_ns, bool data)
{
	p->life.last_rx_ns = now_ns;
	if (!data)
		return;
	p->life.last_data_ns = now_ns;
	if (p->life.interval_ns >= PROBE_IDLE_NS)
		set_interval(p, now_ns);
}

/* When silence since the last proof becomes so many intervals long. A probe sent at a new, shorter
 * interval cannot be answered before a round trip. */
static uint64_t silence_ns(const struct lode_path *p, unsigned intervals)
{
	const struct life *l = &p->life;
	uint64_t since = LODE_MAX(l->last_proof_ns, l->interval_since_ns + p->tx.srtt_ns);
	return since + intervals * l->interval_ns;
}

static uint64_t down_ns(const struct lode_path *p)
{
	bool far = p->tx.srtt_ns > (DOWN_INTERVALS - SUSPECT_INTERVALS) * p->life.interval_ns;
	return silence_ns(p, far ? FAR_DOWN_INTERVALS : DOWN_INTERVALS);
}

static void go_up(struct lode_path *p, uint64_t now_ns)
{
	struct life *l = &p->life;
	l->state = LODE_PATH_UP;
	l->up_since_ns = now_ns;
	pmtu_path_up(p, now_ns);
}

static void go_down(struct lode_path *p, uint64_t now_ns)
{
	struct life *l = &p->life;
	bool flapped = now_ns - l->up_since_ns < FLAP_NS;
	l->backoff_ns =
		flapped ? LODE_MIN(LODE_MAX(2 * l->backoff_ns, BACKOFF_MIN_NS), BACKOFF_MAX_NS) : 0;
	l->hold_until_ns = now_ns + l->backoff_ns;
	l->state = LODE_PATH_DOWN;
	l->n_good = 0;
	l->n_downs++;
	pmtu_path_down(p);
}

void life_proof(struct lode_path *p, uint64_t now_ns)
{
	p->life.last_proof_ns = now_ns;
	struct life *l = &p->life;
	if (l->state != LODE_PATH_SUSPECT)
		return;
	l->state = LODE_PATH_UP;
	l->judge_ns = now_ns + JUDGE_INTERVALS * l->interval_ns + p->tx.srtt_ns;
}

/* A probe was answered: five within a second bring the path up, or, while it is held back for having flapped,
 * make it one that answers: better than none. */
static void good_probe(struct lode_path *p, uint64_t now_ns)
{
	struct life *l = &p->life;
	life_proof(p, now_ns);
	l->n_replies++;
	uint64_t oldest_ns =
		l->good_ns[l->n_good % GOOD_PROBES]; /* the fifth last, this one counted */
	l->good_ns[l->n_good++ % GOOD_PROBES] = now_ns;
	if (l->state == LODE_PATH_UNKNOWN)
		l->state = LODE_PATH_PROBING;
	if (lode_path_usable(l->state))
		return;
	oldest_ns = l->good_ns[l->n_good % GOOD_PROBES];
	if (!p->params.follower &&
		(l->n_good < GOOD_PROBES || now_ns - oldest_ns > GOOD_WITHIN_NS))
		return;
	if (now_ns < l->hold_until_ns)
		l->state = LODE_PATH_PROBING;
	else
		go_up(p, now_ns);
}

void life_poll(struct lode_path *p, uint64_t now_ns)
{
	struct life *l = &p->life;
	set_interval(p, now_ns);
	if (l->state == LODE_PATH_UP && now_ns >= silence_ns(p, SUSPECT_INTERVALS)) {
		l->state = LODE_PATH_SUSPECT;
		l->n_suspects++;
		l->next_probe_ns = now_ns;
	}
	if (l->state == LODE_PATH_SUSPECT && now_ns >= down_ns(p))
		go_down(p, now_ns);
	if (l->state == LODE_PATH_PROBING && now_ns >= silence_ns(p, DOWN_INTERVALS)) {
		l->state = LODE_PATH_DOWN;
		l->n_good = 0;
	}
}

uint64_t life_next_due_ns(const struct lode_path *p)
{
	const struct life *l = &p->life;
	if (l->state == LODE_PATH_UP)
		return silence_ns(p, SUSPECT_INTERVALS);
	if (l->state == LODE_PATH_SUSPECT)
		return down_ns(p);
	if (l->state == LODE_PATH_PROBING)
		return silence_ns(p, DOWN_INTERVALS);
	return FAR_FUTURE;
}

uint64_t life_control_due_ns(const struct lode_path *p)
{
	const struct life *l = &p->life;
	if (l->n_pending_replies || l->answer_pending)
		return 0;
	return LODE_MIN(l->next_probe_ns, l->challenge_due_ns);
}

/* A probe leaves: those before that must have come back by now are judged. The quick ones of a suspicion have
 * to wait until it is over. */
static void count_probe(struct lode_path *p, uint64_t now_ns)
{
	struct life *l = &p->life;
	uint64_t wait = JUDGE_INTERVALS + p->tx.srtt_ns / l->interval_ns;
	if (l->state == LODE_PATH_SUSPECT || now_ns < l->judge_ns)
		wait = JUDGE_MAX;
	for (wait = LODE_MIN(wait, JUDGE_MAX); l->probe_id - l->judged_id >= wait;) {
		l->judged_id++;
		lode_selector_loss_add(
			&l->probe_loss, !(l->answered & 1ull << (l->judged_id % 64)));
	}
	l->probe_id++;
	l->answered &= ~(1ull << (l->probe_id % 64));
	l->n_probes++;
}

static void write_replies(struct life *l, uint64_t now_ns, struct lode_wire_writer *w)
{
	for (uint32_t i = 0; i < l->n_pending_replies; i++) {
		struct lode_wire_probe_reply m = {.id = l->replies[i].id,
			.echo_us = l->replies[i].echo_us,
			.hold_us = (uint32_t)((now_ns - l->replies[i].rx_ns) / LODE_NS_PER_US)};
		lode_wire_put_probe_reply(w, &m);
	}
	l->n_pending_replies = 0;
}

void life_write(struct lode_path *p, uint64_t now_ns, struct lode_wire_writer *w)
{
	struct life *l = &p->life;
	if (l->answer_pending) {
		lode_wire_put_challenge(w, LODE_WIRE_TLV_CHALLENGE_REPLY, l->answer);
		l->answer_pending = false;
	}
	if (!l->validated && now_ns >= l->challenge_due_ns) {
		lode_wire_put_challenge(w, LODE_WIRE_TLV_CHALLENGE, l->token);
		l->challenge_due_ns = now_ns + l->challenge_wait_ns;
		l->challenge_wait_ns = LODE_MIN(2 * l->challenge_wait_ns, CHALLENGE_SECOND_NS);
	}
	write_replies(l, now_ns, w);
	if (now_ns >= l->next_probe_ns) {
		count_probe(p, now_ns);
		lode_wire_put_probe(w, &(struct lode_wire_probe){.id = l->probe_id});
		uint64_t every_ns = l->interval_ns;
		if (l->state == LODE_PATH_SUSPECT)
			every_ns /= SUSPECT_PROBES;
		l->next_probe_ns = LODE_MAX(l->next_probe_ns + every_ns, now_ns + every_ns / 2);
	}
}

static int read_probe(
	struct lode_path *p, uint64_t now_ns, uint32_t tx_us, const struct lode_wire_tlv *tlv)
{
	struct life *l = &p->life;
	struct lode_wire_probe m;
	if (lode_wire_get_probe(tlv, &m))
		return -EBADMSG;
	/* More than a few at once: the newest tell enough. */
	if (l->n_pending_replies == REPLIES_MAX)
		memmove(l->replies, l->replies + 1, sizeof(l->replies[0]) * --l->n_pending_replies);
	l->replies[l->n_pending_replies].id = m.id;
	l->replies[l->n_pending_replies].echo_us = tx_us;
	l->replies[l->n_pending_replies++].rx_ns = now_ns;
	return 1;
}

static int read_probe_reply(struct lode_path *p, uint64_t now_ns, const struct lode_wire_tlv *tlv)
{
	struct lode_wire_probe_reply m;
	if (lode_wire_get_probe_reply(tlv, &m))
		return -EBADMSG;
	if (p->life.probe_id - m.id > 1024)
		return 1; /* none of ours */
	if (p->life.probe_id - m.id < 64)
		p->life.answered |= 1ull << (m.id % 64);
	tx_rtt(p, now_ns, m.echo_us, m.hold_us);
	good_probe(p, now_ns);
	return 1;
}

int life_read(struct lode_path *p, uint64_t now_ns, uint32_t tx_us, const struct lode_wire_tlv *tlv)
{
	struct life *l = &p->life;
	uint8_t token[CHALLENGE_BYTES];
	switch (tlv->type) {
	case LODE_WIRE_TLV_PROBE:
		return read_probe(p, now_ns, tx_us, tlv);
	case LODE_WIRE_TLV_PROBE_REPLY:
		return read_probe_reply(p, now_ns, tlv);
	case LODE_WIRE_TLV_CHALLENGE:
		if (lode_wire_get_challenge(tlv, l->answer))
			return -EBADMSG;
		l->answer_pending = true;
		return 1;
	case LODE_WIRE_TLV_CHALLENGE_REPLY:
		if (lode_wire_get_challenge(tlv, token))
			return -EBADMSG;
		if (!l->validated && memcmp(token, l->token, sizeof(token)) == 0) {
			l->validated = true;
			l->challenge_due_ns = FAR_FUTURE;
		}
		return 1;
	default:
		return 0;
	}
}
