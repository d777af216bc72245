/* SPDX-License-Identifier: BSD-3-Clause */
/* wire: the bytes on the tunnel (docs/protocol.md) and arithmetic about them: headers, control messages,
 * replay windows, MTU, checksums, ICMP errors. Plain functions over the caller's memory, no state of their
 * own, no allocation; any thread. Lengths are bytes. Bytes that came from outside are checked before they
 * are read: -EBADMSG for what contradicts itself. Sub-folders: aead (sealing), noise (handshake). */
#pragma once

#include "lode_base.h"

#define LODE_WIRE_VERSION	1 /* newest version spoken here */
#define LODE_WIRE_VERSION_MIN	1
#define LODE_WIRE_PATHS		8 /* 3 bits in the header */
#define LODE_WIRE_LANES		8 /* 3 bits */
#define LODE_WIRE_PHASES	3 /* previous, current, next keys; the fourth value is not used */
#define LODE_WIRE_PARTS_MAX	8 /* segments that one packet may be cut into */

#define LODE_WIRE_CLEAR_BYTES	8  /* clear header, authenticated */
#define LODE_WIRE_SEGMENT_BYTES 12 /* segment header, encrypted */
#define LODE_WIRE_TAG_BYTES	16
#define LODE_WIRE_OVERHEAD	(LODE_WIRE_CLEAR_BYTES + LODE_WIRE_SEGMENT_BYTES + LODE_WIRE_TAG_BYTES)
#define LODE_WIRE_CONTROL_BYTES 8 /* control header, encrypted */
/* Sealed bytes around the TLVs of a control message. */
#define LODE_WIRE_CONTROL_OVERHEAD \
	(LODE_WIRE_CLEAR_BYTES + LODE_WIRE_CONTROL_BYTES + LODE_WIRE_TAG_BYTES)

/* ---- clear header: the additional data of the AEAD ---- */

enum lode_wire_type {
	LODE_WIRE_DATA = 1,
	LODE_WIRE_REPAIR = 2, /* FEC */
	LODE_WIRE_CONTROL = 3,
	LODE_WIRE_HANDSHAKE_INIT = 4,
	LODE_WIRE_HANDSHAKE_RESPONSE = 5,
	LODE_WIRE_COOKIE = 6,
};

struct lode_wire_clear {
	uint8_t type;	   /* enum lode_wire_type, or what a newer version sends */
	uint8_t version;   /* agreed in the handshake */
	uint8_t key_phase; /* the receiver's label of the key */
	uint8_t path, lane;
	uint16_t session; /* the receiver's index of the keys */
	uint32_t number;  /* packet number of (path, lane), low 32 bits; lode_wire_replay_expand */
};

/* The header as a number: stored big-endian. */
static inline uint64_t lode_wire_clear_word(const struct lode_wire_clear *h)
{
	uint32_t kind = (uint32_t)h->type << 4 | h->version;
	uint32_t way = (uint32_t)h->key_phase << 6 | (uint32_t)h->path << 3 | h->lane;
	return (uint64_t)(kind << 24 | way << 16 | h->session) << 32 | h->number;
}

/* b must have room for LODE_WIRE_CLEAR_BYTES. */
static inline void lode_wire_put_clear(uint8_t *b, const struct lode_wire_clear *h)
{
	lode_store_be64(b, lode_wire_clear_word(h));
}

/* b must hold LODE_WIRE_CLEAR_BYTES. Every pattern is a header: type and version are the caller's to judge. */
static inline void lode_wire_get_clear(const uint8_t *b, struct lode_wire_clear *h)
{
	h->type = b[0] >> 4;
	h->version = b[0] & 15;
	h->key_phase = b[1] >> 6;
	h->path = b[1] >> 3 & 7;
	h->lane = b[1] & 7;
	h->session = lode_load_be16(b + 2);
	h->number = lode_load_be32(b + 4);
}

/* The 64 bits that, behind the key's 32-bit salt, make the AEAD's nonce: unique per key without counters
 * shared between lanes. number < 2^58, which the rekey limit keeps far away. */
static inline uint64_t lode_wire_nonce(unsigned path, unsigned lane, uint64_t number)
{
	return (uint64_t)path << 61 | (uint64_t)lane << 58 | number;
}

/* ---- segment header: DATA and REPAIR ---- */

enum lode_wire_segment_flags {
	LODE_WIRE_MORE = 1,   /* a part of a packet, not the last */
	LODE_WIRE_CONT = 2,   /* a part of a packet, not the first */
	LODE_WIRE_BUNDLE = 4, /* several packets: lode_wire_bundle_* */
	LODE_WIRE_COPY = 8,   /* also sent on another path */
};

#define LODE_WIRE_SEQ_BITS 24
#define LODE_WIRE_SEQ_MASK ((1u << LODE_WIRE_SEQ_BITS) - 1)

struct lode_wire_segment {
	uint8_t cls;	   /* enum lode_class */
	uint8_t flags;	   /* enum lode_wire_segment_flags */
	uint8_t encoding;  /* 0: raw */
	uint8_t hop_limit; /* peers that may still pass it on */
	uint16_t dist;	   /* sequence distance to the flow's previous segment; 0: do not wait */
	uint32_t seq;	   /* 24 bits; counts segments of (lane, class) */
	uint32_t tx_us;	   /* sender's clock, low 32 bits */
};

static inline void lode_wire_put_segment(uint8_t *b, const struct lode_wire_segment *s)
{
	uint32_t place = (uint32_t)s->cls << 28 | (uint32_t)s->flags << 24 | s->seq;
	lode_store_be64(b, (uint64_t)place << 32 | s->tx_us);
	lode_store_be32(b + 8,
		(uint32_t)s->dist << 16 | (uint32_t)s->encoding << 8 | (uint32_t)s->hop_limit << 4);
}

/* b must hold LODE_WIRE_SEGMENT_BYTES. -EBADMSG: no such class, or flags that exclude each other. */
static inline int lode_wire_get_segment(const uint8_t *b, struct lode_wire_segment *s)
{
	s->cls = b[0] >> 4;
	s->flags = b[0] & 15;
	s->seq = lode_load_be32(b) & LODE_WIRE_SEQ_MASK;
	s->tx_us = lode_load_be32(b + 4);
	s->dist = lode_load_be16(b + 8);
	s->encoding = b[10];
	s->hop_limit = b[11] >> 4;
	bool both = (s->flags & LODE_WIRE_BUNDLE) && (s->flags & (LODE_WIRE_MORE | LODE_WIRE_CONT));
	return s->cls >= LODE_N_CLASSES || both ? -EBADMSG : 0;
}

/* ---- REPAIR: what makes lost segments whole again ---- */

/* Bit of the handshake's features: this end reads REPAIR datagrams and NACK messages. */
#define LODE_WIRE_FEATURE_REPAIR (1ull << 0)

/* The symbol of a segment is what of it a receiver cannot know: the last 4 bytes of its header, with the
 * flags (without COPY) in the lower half of the last one, and its payload. So a repair over full segments is
 * longer than they are by this: E must leave room. */
#define LODE_WIRE_SYMBOL_HEADER_BYTES 4

/* In place of the segment header; then the coded symbol bytes (lode_fec.h). */
struct lode_wire_repair {
	uint8_t cls;	       /* enum lode_class */
	uint8_t span;	       /* symbols covered, 1 to 128, from first_seq on */
	uint8_t id;	       /* 7 bits, selects the coefficients */
	uint16_t coded_length; /* combination of the symbols' lengths */
	uint32_t first_seq;    /* 24 bits */
	uint32_t tx_us;	       /* sender's clock, low 32 bits */
};

static inline void lode_wire_put_repair(uint8_t *b, const struct lode_wire_repair *r)
{
	lode_store_be32(b, (uint32_t)r->cls << 28 | r->first_seq);
	lode_store_be32(b + 4, r->tx_us);
	lode_store_be16(b + 8, r->coded_length);
	b[10] = r->span;
	b[11] = r->id;
}

/* b must hold LODE_WIRE_SEGMENT_BYTES. -EBADMSG: no such class, span or id. */
static inline int lode_wire_get_repair(const uint8_t *b, struct lode_wire_repair *r)
{
	r->cls = b[0] >> 4;
	r->first_seq = lode_load_be32(b) & LODE_WIRE_SEQ_MASK;
	r->tx_us = lode_load_be32(b + 4);
	r->coded_length = lode_load_be16(b + 8);
	r->span = b[10];
	r->id = b[11];
	bool good = r->cls < LODE_N_CLASSES && r->span >= 1 && r->span <= 128 && r->id <= 127;
	return good ? 0 : -EBADMSG;
}

/* a - b of two 24-bit sequences, in [-2^23, 2^23). */
static inline int32_t lode_wire_seq_diff(uint32_t a, uint32_t b)
{
	return (int32_t)((a - b) << (32 - LODE_WIRE_SEQ_BITS)) >> (32 - LODE_WIRE_SEQ_BITS);
}

/* Bundle payload: items of length (16 bits), distance (16 bits), packet. */
#define LODE_WIRE_BUNDLE_ITEM_BYTES 4

struct lode_wire_item {
	const uint8_t *data;
	uint16_t len, dist;
};

/* Reads the item at *pos of a bundle payload and moves *pos behind it. 1: item; 0: end; -EBADMSG. */
int lode_wire_bundle_next(
	const uint8_t *payload, size_t len, size_t *pos, struct lode_wire_item *item);

/* ---- control messages: 8 bytes of header, then TLVs (type 8, length 16 bits) ---- */

struct lode_wire_control {
	uint32_t tx_us; /* sender's clock, low 32 bits */
	uint8_t flags;	/* none defined: written 0, ignored */
};

static inline void lode_wire_put_control(uint8_t *b, const struct lode_wire_control *c)
{
	lode_store_be32(b, c->tx_us);
	lode_store_be32(b + 4, (uint32_t)c->flags << 24);
}
static inline void lode_wire_get_control(const uint8_t *b, struct lode_wire_control *c)
{
	c->tx_us = lode_load_be32(b);
	c->flags = b[4];
}

enum lode_wire_tlv_type {
	LODE_WIRE_TLV_PADDING = 0,
	LODE_WIRE_TLV_PROBE = 1,
	LODE_WIRE_TLV_PROBE_REPLY = 2,
	LODE_WIRE_TLV_FEEDBACK = 3,
	LODE_WIRE_TLV_ACK = 4,
	LODE_WIRE_TLV_CHALLENGE = 5,
	LODE_WIRE_TLV_CHALLENGE_REPLY = 6,
	LODE_WIRE_TLV_LANES = 7,
	LODE_WIRE_TLV_LINKS = 8,
	LODE_WIRE_TLV_PMTU_PROBE = 9,
	LODE_WIRE_TLV_PMTU_ACK = 10,
	LODE_WIRE_TLV_CLOSE = 11,
	LODE_WIRE_TLV_NACK = 12,
};
#define LODE_WIRE_TLV_HEADER_BYTES 3

/* Appends TLVs to a buffer. Once something did not fit, overflow is set and nothing more is written, so
 * one check at the end is enough; `len` bytes are whole TLVs in any case. */
struct lode_wire_writer {
	uint8_t *buf;
	size_t size, len;
	bool overflow;
};
static inline void lode_wire_writer_init(struct lode_wire_writer *w, uint8_t *buf, size_t size)
{
	*w = (struct lode_wire_writer){.buf = buf, .size = size};
}
/* Room for a TLV of value_bytes; its header is written. NULL: overflow. */
uint8_t *lode_wire_tlv_add(struct lode_wire_writer *w, unsigned type, size_t value_bytes);

struct lode_wire_tlv {
	uint8_t type;
	uint16_t len;
	const uint8_t *value;
};
/* Reads the TLV at *pos and moves *pos behind it. 1: one read; 0: end; -EBADMSG: cut. Types that are not
 * known are to be skipped and counted. */
int lode_wire_tlv_next(const uint8_t *buf, size_t len, size_t *pos, struct lode_wire_tlv *tlv);

/* Each message: put appends one TLV; get reads the value of one and returns 0 or -EBADMSG. Values longer
 * than known are accepted (later versions append fields), shorter ones are not. */

struct lode_wire_probe {
	uint32_t id; /* of the sender's choice; the send time is in the control header */
};
void lode_wire_put_probe(struct lode_wire_writer *w, const struct lode_wire_probe *m);
int lode_wire_get_probe(const struct lode_wire_tlv *tlv, struct lode_wire_probe *m);

struct lode_wire_probe_reply {
	uint32_t id;	  /* of the probe */
	uint32_t echo_us; /* tx_us of the probe's control header */
	uint32_t hold_us; /* between its arrival and this reply */
};
void lode_wire_put_probe_reply(struct lode_wire_writer *w, const struct lode_wire_probe_reply *m);
int lode_wire_get_probe_reply(const struct lode_wire_tlv *tlv, struct lode_wire_probe_reply *m);

/* What a receiver saw of one path in 10 ms. */
#define LODE_WIRE_SLOT_MS   10
#define LODE_WIRE_SLOTS_MAX 16
struct lode_wire_slot {
	uint32_t bytes;
	uint16_t pkts, lost;
	uint16_t bursts, longest_burst;	  /* runs of lost packets */
	uint32_t owd_min_us, owd_last_us; /* receiver's clock minus tx_us, modulo 2^32 */
	uint16_t ce;			  /* congestion-experienced marks on the outer header */
};
struct lode_wire_feedback {
	uint8_t path;
	uint8_t n_slots;
	uint32_t
		first_slot; /* number of slots[0] in the receiver's count of 10 ms slots, modulo 2^32 */
	uint64_t highest; /* packet number, lane 0 */
	uint32_t echo_us; /* tx_us of the newest packet received on the path */
	uint32_t hold_us; /* between its arrival and this feedback */
	struct lode_wire_slot slots[LODE_WIRE_SLOTS_MAX];
};
void lode_wire_put_feedback(struct lode_wire_writer *w, const struct lode_wire_feedback *m);
int lode_wire_get_feedback(const struct lode_wire_tlv *tlv, struct lode_wire_feedback *m);

/* Received class sequences of (lane, class), newest range first. */
#define LODE_WIRE_RANGES_MAX 16
struct lode_wire_ack {
	uint8_t lane, cls, n_ranges;
	struct {
		uint32_t first, last; /* 24-bit sequences, both received */
	} ranges[LODE_WIRE_RANGES_MAX];
};
void lode_wire_put_ack(struct lode_wire_writer *w, const struct lode_wire_ack *m);
int lode_wire_get_ack(const struct lode_wire_tlv *tlv, struct lode_wire_ack *m);
/* NACK: the same form; class sequences that are missing, oldest range first, at most 255 in a range. */
void lode_wire_put_nack(struct lode_wire_writer *w, const struct lode_wire_ack *m);
int lode_wire_get_nack(const struct lode_wire_tlv *tlv, struct lode_wire_ack *m);

/* CHALLENGE and its reply: 8 random bytes that come back on the same path. */
#define LODE_WIRE_CHALLENGE_BYTES 8
void lode_wire_put_challenge(struct lode_wire_writer *w, enum lode_wire_tlv_type type,
	const uint8_t token[LODE_WIRE_CHALLENGE_BYTES]);
int lode_wire_get_challenge(
	const struct lode_wire_tlv *tlv, uint8_t token[LODE_WIRE_CHALLENGE_BYTES]);

/* UDP port on which the sender wants each lane. */
struct lode_wire_lanes {
	uint8_t n_lanes;
	uint16_t udp_port[LODE_WIRE_LANES];
};
void lode_wire_put_lanes(struct lode_wire_writer *w, const struct lode_wire_lanes *m);
int lode_wire_get_lanes(const struct lode_wire_tlv *tlv, struct lode_wire_lanes *m);

/* Path id -> link name; "" where an id is not used. */
struct lode_wire_links {
	char name[LODE_WIRE_PATHS][LODE_NAME_MAX];
};
void lode_wire_put_links(struct lode_wire_writer *w, const struct lode_wire_links *m);
int lode_wire_get_links(const struct lode_wire_tlv *tlv, struct lode_wire_links *m);

/* PMTU_PROBE (followed by PADDING up to the size) and PMTU_ACK. */
struct lode_wire_pmtu {
	uint32_t id;
	uint16_t mtu_bytes; /* of the outer IP packet */
};
void lode_wire_put_pmtu(
	struct lode_wire_writer *w, enum lode_wire_tlv_type type, const struct lode_wire_pmtu *m);
int lode_wire_get_pmtu(const struct lode_wire_tlv *tlv, struct lode_wire_pmtu *m);
/* Padding of exactly total_bytes, TLV header included (>= LODE_WIRE_TLV_HEADER_BYTES). */
void lode_wire_put_padding(struct lode_wire_writer *w, size_t total_bytes);

enum lode_wire_close { LODE_WIRE_CLOSE_SHUTDOWN = 1, LODE_WIRE_CLOSE_REMOVED = 2 };
void lode_wire_put_close(struct lode_wire_writer *w, enum lode_wire_close reason);
int lode_wire_get_close(const struct lode_wire_tlv *tlv, enum lode_wire_close *reason);

/* ---- replay window per (epoch, path, lane): RFC 6479, 2048 numbers ---- */

#define LODE_WIRE_REPLAY_BITS  2048
#define LODE_WIRE_REPLAY_WORDS (LODE_WIRE_REPLAY_BITS / 64 * 2) /* a power of two */

struct lode_wire_replay {
	uint64_t next; /* highest number accepted + 1; 0: none yet */
	uint64_t bits[LODE_WIRE_REPLAY_WORDS];
};
/* The 64-bit number with these low bits that is nearest to the highest accepted one (RFC 9000 A.3). */
static inline uint64_t lode_wire_replay_expand(const struct lode_wire_replay *r, uint32_t low)
{
	/* The difference of the low bits, taken as signed, is the way from the expected number. */
	uint64_t near = r->next + (uint64_t)(int64_t)(int32_t)(low - (uint32_t)r->next);
	return near >> 63 ? near + (1ull << 32) : near; /* none is below 0 */
}
/* Before opening: false for what is a duplicate or left of the window. */
static inline bool lode_wire_replay_check(const struct lode_wire_replay *r, uint64_t number)
{
	if (number >= r->next)
		return true;
	if (r->next - number > LODE_WIRE_REPLAY_BITS)
		return false;
	return !(r->bits[number / 64 % LODE_WIRE_REPLAY_WORDS] >> (number % 64) & 1);
}
/* The window moves on to the word of number: of replay_accept. */
void lode_wire_replay_slide(struct lode_wire_replay *r, uint64_t number);
/* After authentication, and only then: false for a duplicate (two copies in one burst) or too old. */
static inline bool lode_wire_replay_accept(struct lode_wire_replay *r, uint64_t number)
{
	uint64_t *word = &r->bits[number / 64 % LODE_WIRE_REPLAY_WORDS];
	uint64_t bit = 1ull << (number % 64);
	if (lode_unlikely(number < r->next)) {
		if (r->next - number > LODE_WIRE_REPLAY_BITS || *word & bit)
			return false;
	} else {
		if (number / 64 != (r->next - 1) / 64)
			lode_wire_replay_slide(r, number);
		r->next = number + 1;
	}
	*word |= bit;
	return true;
}

/* ---- MTU arithmetic: the only place that knows it ---- */

#define LODE_WIRE_MTU_BASE 1280 /* every path is assumed to carry this (RFC 8899 BASE_PLPMTU) */
#define LODE_WIRE_MTU_MIN  576
#define LODE_WIRE_MTU_MAX  9216
#define LODE_WIRE_INNER_MIN \
	1280 /* IPv6 hosts are never told less (RFC 8200): such packets go in parts */

/* Outer IP and UDP headers. */
static inline uint16_t lode_wire_outer_bytes(bool outer_v6)
{
	return outer_v6 ? 48 : 28;
}
/* E of one path: segment payload that fits an outer packet of path_mtu. 0 if path_mtu < LODE_WIRE_MTU_MIN. */
uint16_t lode_wire_mtu_segment(uint16_t path_mtu_bytes, bool outer_v6);
/* E of a peer: smallest of segment_bytes[i] whose bit in usable is set; 0 without any. */
uint16_t lode_wire_mtu_usable(const uint16_t segment_bytes[LODE_WIRE_PATHS], unsigned usable);
/* MTU told to LAN hosts (ICMP too big) for E: E itself, for IPv6 not below 1280. */
uint16_t lode_wire_mtu_inner(uint16_t segment_bytes, bool inner_v6);
/* TCP MSS for an inner MTU. */
uint16_t lode_wire_mtu_mss(uint16_t inner_mtu_bytes, bool inner_v6);
/* Segments for a packet of len bytes: 1.. LODE_WIRE_PARTS_MAX, 0 if it cannot be sent. */
unsigned lode_wire_mtu_parts(size_t len, uint16_t segment_bytes);
/* Bytes of TLVs that make a control message an outer packet of exactly path_mtu bytes. */
uint16_t lode_wire_mtu_probe_tlvs(uint16_t path_mtu_bytes, bool outer_v6);
/* Lowers the MSS option of a TCP SYN and mends the checksum. tcp: header and options, len bytes. True if
 * changed. Segments without SYN or with damaged options stay as they are. */
bool lode_wire_mtu_clamp_mss(uint8_t *tcp, size_t len, uint16_t mss);

/* ---- checksums (RFC 1071, RFC 1624), for ports and packets without offload ---- */

/* Ones' complement sum of the bytes, added to sum, not folded; lode_wire_sum_fold gives its 16 bits. */
uint64_t lode_wire_sum(uint64_t sum, const void *data, size_t len);
static inline uint16_t lode_wire_sum_fold(uint64_t sum)
{
	/* A word plus itself with halves swapped: sum and carry meet in the upper half. */
	sum += sum >> 32 | sum << 32;
	uint32_t half = (uint32_t)(sum >> 32);
	half += half >> 16 | half << 16;
	return (uint16_t)(half >> 16);
}
/* Checksum field of an IPv4 header (its checksum field is taken as 0), big-endian as stored. */
static inline uint16_t lode_wire_ipv4_checksum(const uint8_t *ip, size_t header_bytes)
{
	/* Nearly always 20 bytes, once or twice for every packet: no loop for them. */
	uint64_t sum = (uint64_t)lode_load_le32(ip) + lode_load_le32(ip + 4) +
		       (lode_load_le32(ip + 8) & 0xffff) + lode_load_le32(ip + 12) +
		       lode_load_le32(ip + 16);
	if (lode_unlikely(header_bytes > 20))
		sum = lode_wire_sum(sum, ip + 20, header_bytes - 20);
	return (uint16_t)~lode_wire_sum_fold(sum);
}
/* Checksum of UDP, TCP or ICMPv6 behind an IPv4 or IPv6 header `ip`, over l4_bytes; the field in l4 must be
 * 0 to compute one. Over a packet with its checksum in place the result is 0 when it is right. */
uint16_t lode_wire_l4_checksum(
	const uint8_t *ip, uint8_t protocol, const uint8_t *l4, size_t l4_bytes);
/* A stored checksum after a 16-bit field changed (RFC 1624 equation 3); all big-endian as stored. */
static inline uint16_t lode_wire_checksum_update(
	uint16_t checksum_be, uint16_t old_be, uint16_t new_be)
{
	return (uint16_t)~lode_wire_sum_fold(
		(uint64_t)(uint16_t)~checksum_be + (uint16_t)~old_be + new_be);
}

/* ---- ICMP errors for LAN hosts (RFC 792, 1191, 1812, 4443) ---- */

enum lode_wire_icmp {
	LODE_WIRE_ICMP_TOO_BIG,
	LODE_WIRE_ICMP_NO_ROUTE,
	LODE_WIRE_ICMP_TIME_EXCEEDED,
};
#define LODE_WIRE_ICMP_MAX 1280
/* Builds the whole IP packet (from its IP header on) that answers the IP packet `cause`. src: an address of
 * this box, of cause's family. Returns its length, or 0 when none may be sent (answer to an ICMP error, a
 * later fragment, a multicast, or size too small). mtu_bytes: for TOO_BIG. */
size_t lode_wire_icmp_error(enum lode_wire_icmp kind, uint16_t mtu_bytes, const struct lode_ip *src,
	const uint8_t *cause, size_t cause_bytes, uint8_t *out, size_t size);
