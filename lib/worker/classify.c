/* SPDX-License-Identifier: BSD-3-Clause */
#include "classify.h"

/* RFC 4594 table 3, RFC 8622 (LE). */
bool classify_dscp(uint8_t dscp, enum lode_class *cls)
{
	switch (dscp) {
	case 46: /* EF */
	case 44: /* voice admit, RFC 5865 */
	case 40: /* CS5, signalling */
		*cls = LODE_VOIP;
		return true;
	case 32: /* CS4, real-time interactive */
	case 34: /* AF4x, multimedia conferencing */
	case 36:
	case 38:
		*cls = LODE_GAMING;
		return true;
	case 24: /* CS3, broadcast video */
	case 26: /* AF3x, multimedia streaming */
	case 28:
	case 30:
		*cls = LODE_STREAMING;
		return true;
	case 16: /* CS2, OAM */
	case 18: /* AF2x, low-latency data */
	case 20:
	case 22:
	case 48: /* CS6, network control */
	case 56:
		*cls = LODE_WEB;
		return true;
	case 1:	 /* LE */
	case 8:	 /* CS1 */
	case 10: /* AF1x, high-throughput data */
	case 12:
	case 14:
		*cls = LODE_BULK;
		return true;
	default:
		return false;
	}
}

struct port_rule {
	uint8_t protocol; /* 0: TCP and UDP */
	uint16_t lo, hi;
	enum lode_class cls;
};

/* IANA's registry, and what games and torrents are known to use. */
static const struct port_rule port_rules[] = {
	{PROTO_UDP, 5060, 5061, LODE_VOIP},			/* SIP */
	{PROTO_UDP, 3478, 3479, LODE_VOIP},			/* STUN */
	{PROTO_UDP, 3074, 3074, LODE_GAMING},			/* Xbox */
	{PROTO_UDP, 27000, 27050, LODE_GAMING},			/* Steam */
	{PROTO_UDP, 7777, 7788, LODE_GAMING},			/* Unreal */
	{0, 25565, 25565, LODE_GAMING},				/* Minecraft */
	{0, 554, 554, LODE_STREAMING},				/* RTSP */
	{PROTO_TCP, 1935, 1935, LODE_STREAMING},		/* RTMP */
	{0, 53, 53, LODE_WEB}, {PROTO_UDP, 123, 123, LODE_WEB}, /* NTP */
	{PROTO_TCP, 22, 23, LODE_WEB},				/* SSH, telnet */
	{0, 80, 80, LODE_WEB}, {0, 443, 443, LODE_WEB},
	{PROTO_TCP, 853, 853, LODE_WEB},				   /* DNS over TLS */
	{0, 3389, 3389, LODE_WEB},					   /* RDP */
	{PROTO_TCP, 8080, 8080, LODE_WEB}, {PROTO_TCP, 20, 21, LODE_BULK}, /* FTP */
	{PROTO_TCP, 445, 445, LODE_BULK},				   /* SMB */
	{PROTO_TCP, 873, 873, LODE_BULK},				   /* rsync */
	{0, 2049, 2049, LODE_BULK},					   /* NFS */
	{0, 6881, 6889, LODE_BULK},					   /* BitTorrent */
};

bool classify_ports(const struct five_tuple *tuple, enum lode_class *cls)
{
	if (tuple->protocol == PROTO_ICMP || tuple->protocol == PROTO_ICMPV6) {
		*cls = LODE_WEB;
		return true;
	}
	if (tuple->protocol != PROTO_TCP && tuple->protocol != PROTO_UDP)
		return false;
	uint16_t sport = __builtin_bswap16(tuple->sport_be),
		 dport = __builtin_bswap16(tuple->dport_be);
	for (unsigned i = 0; i < LODE_ARRAY_LEN(port_rules); i++) {
		const struct port_rule *r = &port_rules[i];
		if (r->protocol && r->protocol != tuple->protocol)
			continue;
		if ((dport >= r->lo && dport <= r->hi) || (sport >= r->lo && sport <= r->hi)) {
			*cls = r->cls;
			return true;
		}
	}
	return false;
}

void classify_start(const struct lode_rules *rules, uint32_t rules_serial, const struct ip_info *ip,
	struct flow *f)
{
	enum lode_class cls = LODE_BULK;
	/* What an application was found to be stays when nothing stronger says a class. */
	bool by_app = f->n_pkts && f->source == CLASS_BY_APP;
	uint8_t app_cls = f->cls;
	f->source = rules_match(rules, &ip->tuple, ip->dscp, &cls) ? CLASS_BY_RULE
		    : classify_dscp(ip->dscp, &cls)		   ? CLASS_BY_DSCP
		    : classify_ports(&ip->tuple, &cls)		   ? CLASS_BY_PORT
								   : CLASS_BY_DEFAULT;
	if (by_app && f->source > CLASS_BY_APP) {
		f->source = CLASS_BY_APP;
		cls = (enum lode_class)app_cls;
	}
	f->cls = (uint8_t)cls;
	f->dscp = ip->dscp;
	f->rules_serial = (uint16_t)rules_serial;
}

#define CONSTANT_SIZE_SPAN 64
#define HEAVY_PKTS	   1024 /* about a megabyte of full ones */

static bool udp_behaviour(
	uint32_t mean_bytes, uint32_t pps, uint32_t span_bytes, enum lode_behaviour *behaviour)
{
	if (mean_bytes <= 320 && pps >= 15 && pps <= 250) {
		*behaviour = span_bytes <= CONSTANT_SIZE_SPAN && pps <= 120 ? LODE_BEHAVES_CALL
									    : LODE_BEHAVES_GAME;
		return true;
	}
	*behaviour = LODE_BEHAVES_STREAM;
	return mean_bytes >= 700 && pps >= 50;
}

static bool tcp_behaviour(
	const struct flow *f, uint32_t mean_bytes, uint32_t pps, enum lode_behaviour *behaviour)
{
	if (mean_bytes >= 900 && f->n_pkts >= HEAVY_PKTS) {
		*behaviour = LODE_BEHAVES_DOWNLOAD;
		return true;
	}
	*behaviour = LODE_BEHAVES_TYPING;
	return mean_bytes <= 300 && pps <= 100;
}

/* The windows double from 16 to 1024 packets, so this runs seldom. */
void classify_look(const struct lode_rules *rules, struct flow *f, uint64_t now_ns)
{
	uint64_t elapsed_ns = LODE_MAX(now_ns - f->mark_ns, LODE_NS_PER_US);
	uint32_t pps = (uint32_t)LODE_MIN(f->mark_pkts * LODE_NS_PER_S / elapsed_ns, UINT32_MAX);
	uint32_t mean_bytes = f->mark_bytes / f->mark_pkts;
	enum lode_behaviour behaviour;
	bool known = f->protocol == PROTO_UDP	? udp_behaviour(mean_bytes, pps,
							  f->max_bytes - f->min_bytes, &behaviour)
		     : f->protocol == PROTO_TCP ? tcp_behaviour(f, mean_bytes, pps, &behaviour)
						: false;
	/* A port says what a flow may be; only a heavy download disproves it. */
	bool disproves = f->source == CLASS_BY_PORT && f->cls == LODE_WEB && known &&
			 behaviour == LODE_BEHAVES_DOWNLOAD;
	if (known && (f->source >= CLASS_BY_BEHAVIOUR || disproves)) {
		f->cls = (uint8_t)rules_behaviour(rules, behaviour);
		f->source = CLASS_BY_BEHAVIOUR;
	}
	f->mark_ns = now_ns;
	f->mark_pkts = f->mark_bytes = 0;
	f->min_bytes = UINT16_MAX;
	f->max_bytes = 0;
}
