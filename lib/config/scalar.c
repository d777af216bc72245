/* SPDX-License-Identifier: BSD-3-Clause */
/* One leaf: text to memory. */
#include "schema.h"

#include <arpa/inet.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

const struct protocol_name protocol_names[] = {
	{"any", 0}, {"icmp", 1}, {"tcp", 6}, {"udp", 17}, {"icmp6", 58}, {NULL, 0}};

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
	for (const struct protocol_name *p = protocol_names; p->name; p++)
		if (!strcmp(text, p->name)) {
			*to = p->number;
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
