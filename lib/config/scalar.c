/* SPDX-License-Identifier: BSD-3-Clause */
/* One leaf: text to memory and back. */
#include "schema.h"

#include <arpa/inet.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const struct {
	const char *name;
	uint8_t number;
} protocols[] = {{"any", 0}, {"icmp", 1}, {"tcp", 6}, {"udp", 17}, {"icmp6", 58}};

static bool parse_double(const char *text, double *v)
{
	char *end;
	/* strtod also takes hexadecimal, "nan" and "inf": a number starts like a number. */
	if (text[strspn(text, "-+0123456789.eE")] || !*text)
		return false;
	*v = strtod(text, &end);
	return !*end && isfinite(*v);
}

static bool parse_uint(const char *text, unsigned long max, unsigned long *v)
{
	char *end;
	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*v = strtoul(text, &end, 10);
	return !*end && !errno && *v <= max;
}

static void store(void *to, size_t size, int64_t v)
{
	memcpy(to, &v, size); /* little endian: the low bytes */
}

static int64_t fetch(const void *from, size_t size, bool is_signed)
{
	uint64_t v = 0;
	memcpy(&v, from, size);
	unsigned shift = 64 - 8 * (unsigned)size;
	return is_signed ? (int64_t)(v << shift) >> shift : (int64_t)v;
}

static bool parse_number(const struct field *f, const char *text, void *to)
{
	double v;
	if (f->word && !strcmp(text, f->word)) {
		store(to, f->size, -1);
		return true;
	}
	if (!parse_double(text, &v) || v < f->min || v > f->max)
		return false;
	if (f->type == F_DOUBLE) {
		memcpy(to, &v, sizeof(v));
		return true;
	}
	double stored = v * (f->scale > 0 ? f->scale : 1);
	double whole = nearbyint(stored);
	if (fabs(stored - whole) > 1e-6)
		return false;
	store(to, f->size, (int64_t)whole);
	return true;
}

static bool parse_prefix(const char *text, struct lode_prefix *p)
{
	char addr[INET6_ADDRSTRLEN];
	unsigned long len;
	const char *slash = strchr(text, '/');
	size_t n = slash ? (size_t)(slash - text) : strlen(text);
	if (n >= sizeof(addr))
		return false;
	memcpy(addr, text, n);
	addr[n] = '\0';
	if (lode_ip_parse(addr, &p->ip))
		return false;
	unsigned bits = lode_ip_is_v4(&p->ip) ? 32 : 128;
	if (slash && !parse_uint(slash + 1, bits, &len))
		return false;
	p->len = (uint8_t)(slash ? len + 128 - bits : 128);
	return true;
}

static bool parse_endpoint(const char *text, struct lode_endpoint *e)
{
	char addr[INET6_ADDRSTRLEN + 2];
	unsigned long port;
	const char *colon = strrchr(text, ':');
	if (!colon || (size_t)(colon - text) >= sizeof(addr) || colon == text)
		return false;
	size_t n = (size_t)(colon - text);
	bool bracketed = text[0] == '[' && colon[-1] == ']';
	memcpy(addr, text + bracketed, n - 2 * (size_t)bracketed);
	addr[n - 2 * (size_t)bracketed] = '\0';
	if (!parse_uint(colon + 1, 65535, &port) || port == 0 || lode_ip_parse(addr, &e->ip))
		return false;
	e->port = (uint16_t)port;
	return bracketed != lode_ip_is_v4(&e->ip);
}

static bool parse_range(const char *text, uint16_t range[2])
{
	char low[8];
	unsigned long lo, hi;
	const char *dash = strchr(text, '-');
	if (!strcmp(text, "any")) {
		range[0] = 0;
		range[1] = 65535;
		return true;
	}
	size_t n = dash ? (size_t)(dash - text) : strlen(text);
	if (n >= sizeof(low))
		return false;
	memcpy(low, text, n);
	low[n] = '\0';
	if (!parse_uint(low, 65535, &lo))
		return false;
	hi = lo;
	if (dash && (!parse_uint(dash + 1, 65535, &hi) || hi < lo))
		return false;
	range[0] = (uint16_t)lo;
	range[1] = (uint16_t)hi;
	return true;
}

static bool parse_protocol(const char *text, uint8_t *to)
{
	unsigned long v;
	for (size_t i = 0; i < LODE_ARRAY_LEN(protocols); i++)
		if (!strcmp(text, protocols[i].name)) {
			*to = protocols[i].number;
			return true;
		}
	if (!parse_uint(text, 255, &v))
		return false;
	*to = (uint8_t)v;
	return true;
}

static bool parse_enum(const struct field *f, const char *text, void *to)
{
	for (int i = 0; f->words[i]; i++)
		if (!strcmp(text, f->words[i])) {
			store(to, f->size, i);
			return true;
		}
	return false;
}

static bool parse_string(const struct field *f, const char *text, char *to)
{
	size_t n = strlen(text);
	if (n >= f->size || (n == 0 && !(f->def && !*f->def)))
		return false;
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return false;
	/* Names go into paths of counters and JSON keys. */
	if (f->size == LODE_NAME_MAX &&
		text[strspn(text, "abcdefghijklmnopqrstuvwxyz"
				  "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")])
		return false;
	memset(to, 0, f->size);
	memcpy(to, text, n);
	return true;
}

static bool parse_ref(
	const struct field *f, const struct lode_config *c, const char *text, void *to)
{
	if (f->word && !strcmp(text, f->word)) {
		store(to, f->size, -1);
		return true;
	}
	int index = f->type == F_PORT_REF ? lode_config_port_by_name(c, text)
					  : lode_config_peer_by_name(c, text);
	if (index < 0)
		return false;
	store(to, f->size, index);
	return true;
}

static bool parse_bool(const char *text, void *to)
{
	bool v = !strcmp(text, "true");
	memcpy(to, &v, sizeof(v));
	return v || !strcmp(text, "false");
}

/* An optional address, endpoint or prefix left empty, or the word for "any". */
static bool is_absent(const struct field *f, const char *text)
{
	return (!*text && f->def && !*f->def) || (f->word && !strcmp(text, f->word));
}

static bool parse_any(
	const struct field *f, const struct lode_config *c, const char *text, void *to)
{
	switch (f->type) {
	case F_STRING:
		return parse_string(f, text, to);
	case F_UINT:
	case F_INT:
	case F_DOUBLE:
		return parse_number(f, text, to);
	case F_BOOL:
		return parse_bool(text, to);
	case F_ENUM:
		return parse_enum(f, text, to);
	case F_IP:
	case F_PREFIX:
	case F_ENDPOINT:
		if (is_absent(f, text)) {
			memset(to, 0, f->size);
			return true;
		}
		if (f->type == F_IP)
			return lode_ip_parse(text, to) == 0;
		if (f->type == F_PREFIX && f->needs_length && !strchr(text, '/'))
			return false;
		return f->type == F_PREFIX ? parse_prefix(text, to) : parse_endpoint(text, to);
	case F_KEY:
		return lode_config_key_from_base64(text, to) == 0;
	case F_PORT_REF:
	case F_PEER_REF:
		return parse_ref(f, c, text, to);
	case F_RANGE:
		return parse_range(text, to);
	case F_PROTOCOL:
		return parse_protocol(text, to);
	case F_GROUP:
	case F_LIST:
		break;
	}
	return false;
}

static void list_names(const struct field *f, const struct lode_config *c, char *text, size_t size)
{
	size_t len = (size_t)snprintf(text, size, "%s%s", f->word ? f->word : "the name of a ",
		f->word ? ", or the name of a peer" : "port");
	unsigned n = f->type == F_PORT_REF ? c->n_ports : c->n_peers;
	for (unsigned i = 0; i < n && i < 8 && len < size; i++)
		len += (size_t)snprintf(text + len, size - len, "%s%s", i ? ", " : ": ",
			f->type == F_PORT_REF ? c->ports[i].name : c->peers[i].name);
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

int scalar_parse(const struct field *f, const struct lode_config *c, const char *text, void *to,
	char *allowed, size_t allowed_size)
{
	if (parse_any(f, c, text, to))
		return 0;
	if (f->type == F_PORT_REF || f->type == F_PEER_REF)
		list_names(f, c, allowed, allowed_size);
	else
		scalar_allowed(f, allowed, allowed_size);
	return -EINVAL;
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
	for (size_t i = 0; i < LODE_ARRAY_LEN(protocols); i++)
		if (number == protocols[i].number)
			snprintf(text, size, "%s", protocols[i].name);
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
