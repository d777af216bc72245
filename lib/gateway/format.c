/* SPDX-License-Identifier: BSD-3-Clause */
/* Packets and times in words. */
#include "views.h"

#include <stdio.h>
#include <time.h>

void format_wall_time(uint64_t at_ns, char *text, size_t size)
{
	struct tm tm;
	char seconds[32];
	uint64_t ns = lode_clock_wall_ns() - (now_ns() - at_ns);
	time_t s = (time_t)(ns / LODE_NS_PER_S);
	gmtime_r(&s, &tm);
	strftime(seconds, sizeof(seconds), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text, size, "%s.%03dZ", seconds, (int)(ns % LODE_NS_PER_S / LODE_NS_PER_MS));
}

const char *format_protocol(uint8_t protocol, char text[12])
{
	switch (protocol) {
	case IPPROTO_ICMP:
		return "icmp";
	case IPPROTO_ICMPV6:
		return "icmp6";
	case IPPROTO_TCP:
		return "tcp";
	case IPPROTO_UDP:
		return "udp";
	default:
		snprintf(text, 12, "proto %u", protocol);
		return text;
	}
}

void format_endpoint(const struct lode_ip *ip, uint16_t port, char *text, size_t size)
{
	char addr[INET6_ADDRSTRLEN];
	lode_ip_format(ip, addr);
	if (!port)
		snprintf(text, size, "%s", addr);
	else
		snprintf(text, size, lode_ip_is_v4(ip) ? "%s:%u" : "[%s]:%u", addr, port);
}

const char *port_name(const struct gateway *g, unsigned port_idx)
{
	return port_idx < g->config->n_ports ? g->config->ports[port_idx].name : "lode0";
}

void format_packet(
	const struct gateway *g, const struct lode_packet_id *id, char *text, size_t size)
{
	char src[INET6_ADDRSTRLEN + 10], dst[INET6_ADDRSTRLEN + 10], protocol[12];
	if (lode_ip_is_none(&id->src)) {
		snprintf(text, size, "not readable, %s, %u bytes", port_name(g, id->rx_port),
			id->len_bytes);
		return;
	}
	format_endpoint(&id->src, id->sport, src, sizeof(src));
	format_endpoint(&id->dst, id->dport, dst, sizeof(dst));
	snprintf(text, size, "%s %s > %s, %s, %u bytes", format_protocol(id->protocol, protocol),
		src, dst, port_name(g, id->rx_port), id->len_bytes);
}
