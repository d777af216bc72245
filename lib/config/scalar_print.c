/* SPDX-License-Identifier: BSD-3-Clause */
/* One leaf: memory to text, and what it allows. */
#include "schema.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

static int64_t fetch(const void *from, size_t size, bool is_signed)
{
	uint64_t v = 0;
	memcpy(&v, from, size);
	unsigned shift = 64 - 8 * (unsigned)size;
	return is_signed ? (int64_t)(v << shift) >> shift : (int64_t)v;
}

void scalar_allowed(const struct field *f, char *text, size_t size)
{
	size_t len = 0;
	text[0] = '\0';
	switch (f->type) {
	case F_STRING:
		snprintf(text, size,
			f->size == LODE_NAME_MAX ? "1..%zu of A-Z a-z 0-9 . _ -"
						 : "up to %zu characters",
			f->size - 1);
		break;
	case F_UINT:
	case F_INT:
	case F_DOUBLE:
		snprintf(text, size, "%s%s%.9g..%.9g", f->word ? f->word : "",
			f->word ? " or " : "", f->min, f->max);
		break;
	case F_BOOL:
		snprintf(text, size, "true or false");
		break;
	case F_ENUM:
		for (int i = 0; f->words[i] && len < size; i++)
			len += (size_t)snprintf(
				text + len, size - len, "%s%s", i ? ", " : "", f->words[i]);
		break;
	case F_IP:
		snprintf(text, size, "an IPv4 or IPv6 address");
		break;
	case F_PREFIX:
		snprintf(text, size,
			f->needs_length ? "address/length, like 10.1.0.1/24 or 2001:db8::1/64"
					: "address/length, like 10.1.0.0/16 or 2001:db8::/32");
		break;
	case F_ENDPOINT:
		snprintf(text, size, "address:port, like 192.0.2.1:51900 or [2001:db8::1]:51900");
		break;
	case F_KEY:
		snprintf(text, size, "32 bytes in base64 (44 characters)");
		break;
	case F_PORT_REF:
		snprintf(text, size, "the name of a port");
		break;
	case F_PEER_REF:
		snprintf(text, size, "%s or the name of a peer", f->word);
		break;
	case F_RANGE:
		snprintf(text, size, "any, a port, or low-high");
		break;
	case F_PROTOCOL:
		snprintf(text, size, "any, tcp, udp, icmp, icmp6 or 0..255");
		break;
	case F_LIST:
		snprintf(text, size, "a list of up to %u", f->max_items);
		break;
	case F_GROUP:
		snprintf(text, size, "a mapping");
		break;
	}
}

static void print_number(const struct field *f, const void *from, char *text, size_t size)
{
	int64_t v = fetch(from, f->size, f->type == F_INT || f->word);
	if (f->word && v == -1)
		snprintf(text, size, "%s", f->word);
	else
		snprintf(text, size, "%.12g", (double)v / (f->scale > 0 ? f->scale : 1));
}

static void print_double(const void *from, char *text, size_t size)
{
	double v;
	memcpy(&v, from, sizeof(v));
	for (int digits = 6; digits <= 17; digits++) {
		snprintf(text, size, "%.*g", digits, v);
		if (strtod(text, NULL) == v)
			break;
	}
}

static void print_address(const struct field *f, const void *from, char *text, size_t size)
{
	struct lode_ip ip;
	char addr[INET6_ADDRSTRLEN];
	memcpy(&ip, from, sizeof(ip));
	if (lode_ip_is_none(&ip) && f->type != F_PREFIX) {
		snprintf(text, size, "%s", "");
		return;
	}
	lode_ip_format(&ip, addr);
	bool v4 = lode_ip_is_v4(&ip);
	if (f->type == F_IP) {
		snprintf(text, size, "%s", addr);
	} else if (f->type == F_ENDPOINT) {
		const struct lode_endpoint *e = from;
		snprintf(text, size, v4 ? "%s:%u" : "[%s]:%u", addr, e->port);
	} else {
		const struct lode_prefix *p = from;
		if (f->word && p->len == 0 && lode_ip_is_none(&ip))
			snprintf(text, size, "%s", f->word);
		else
			snprintf(text, size, "%s/%d", addr, v4 ? p->len - 96 : p->len);
	}
}

static void print_range(const void *from, char *text, size_t size)
{
	const uint16_t *range = from;
	if (range[0] == 0 && range[1] == 65535)
		snprintf(text, size, "any");
	else if (range[0] == range[1])
		snprintf(text, size, "%u", range[0]);
	else
		snprintf(text, size, "%u-%u", range[0], range[1]);
}

static void print_protocol(uint8_t number, char *text, size_t size)
{
	snprintf(text, size, "%u", number);
	for (const struct protocol_name *p = protocol_names; p->name; p++)
		if (number == p->number)
			snprintf(text, size, "%s", p->name);
}

void scalar_print(const struct field *f, const struct lode_config *c, const void *from, char *text,
	size_t size)
{
	int64_t index;
	text[0] = '\0';
	switch (f->type) {
	case F_STRING:
		snprintf(text, size, "%s", (const char *)from);
		break;
	case F_UINT:
	case F_INT:
		print_number(f, from, text, size);
		break;
	case F_DOUBLE:
		print_double(from, text, size);
		break;
	case F_BOOL:
		snprintf(text, size, "%s", *(const bool *)from ? "true" : "false");
		break;
	case F_ENUM:
		snprintf(text, size, "%s", f->words[fetch(from, f->size, false)]);
		break;
	case F_IP:
	case F_PREFIX:
	case F_ENDPOINT:
		print_address(f, from, text, size);
		break;
	case F_KEY:
		lode_config_key_to_base64(from, text);
		break;
	case F_PORT_REF:
		snprintf(text, size, "%s", c->ports[fetch(from, f->size, false)].name);
		break;
	case F_PEER_REF:
		index = fetch(from, f->size, true);
		snprintf(text, size, "%s", index < 0 ? f->word : c->peers[index].name);
		break;
	case F_RANGE:
		print_range(from, text, size);
		break;
	case F_PROTOCOL:
		print_protocol(*(const uint8_t *)from, text, size);
		break;
	case F_GROUP:
	case F_LIST:
		break;
	}
}
