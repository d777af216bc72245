/* SPDX-License-Identifier: BSD-3-Clause */
/* Settings as text: one table of keys, each with the kind of its value. */
#include "lode_link.h"

#include <math.h>
#include <stdlib.h>

/* A finite number >= 0 in plain decimal; *end points behind it. */
static int parse_number(const char *text, double *value, const char **end)
{
	if (!((*text >= '0' && *text <= '9') || *text == '.'))
		return -EINVAL;
	char *e;
	*value = strtod(text, &e);
	*end = e;
	return isfinite(*value) ? 0 : -EINVAL;
}

struct unit {
	const char *name;
	double factor;
};

static int parse_scaled(const char *text, const struct unit *units, uint64_t *out)
{
	double value;
	const char *end;
	if (parse_number(text, &value, &end))
		return -EINVAL;
	for (; units->name; units++) {
		if (strcmp(end, units->name))
			continue;
		double scaled = value * units->factor + 0.5;
		if (scaled >= 0x1p63)
			return -EINVAL;
		*out = (uint64_t)scaled;
		return 0;
	}
	return -EINVAL;
}

int lode_link_parse_rate(const char *text, uint64_t *bps)
{
	static const struct unit units[] = {{"", 1}, {"k", 1e3}, {"M", 1e6}, {"G", 1e9}, {NULL, 0}};
	return parse_scaled(text, units, bps);
}

int lode_link_parse_time(const char *text, uint64_t *ns)
{
	static const struct unit units[] = {
		{"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}, {NULL, 0}};
	if (!strcmp(text, "0")) {
		*ns = 0;
		return 0;
	}
	return parse_scaled(text, units, ns);
}

/* 0..1 or 0%..100%. */
static int parse_share(const char *text, double *share)
{
	double value;
	const char *end;
	if (parse_number(text, &value, &end))
		return -EINVAL;
	if (!strcmp(end, "%"))
		value /= 100;
	else if (*end)
		return -EINVAL;
	if (value > 1)
		return -EINVAL;
	*share = value;
	return 0;
}

static int parse_u32(const char *text, uint32_t *out)
{
	static const struct unit units[] = {{"", 1}, {"k", 1e3}, {"M", 1e6}, {NULL, 0}};
	uint64_t v;
	if (parse_scaled(text, units, &v) || v > UINT32_MAX)
		return -EINVAL;
	*out = (uint32_t)v;
	return 0;
}

static int parse_bytes(const char *text, uint64_t *out)
{
	static const struct unit units[] = {{"", 1}, {"k", 1e3}, {"M", 1e6}, {NULL, 0}};
	return parse_scaled(text, units, out);
}

static int parse_positive(const char *text, double *out)
{
	const char *end;
	return parse_number(text, out, &end) || *end ? -EINVAL : 0;
}

static int parse_aqm(const char *text, enum lode_link_aqm *out)
{
	if (!strcmp(text, "droptail"))
		*out = LODE_LINK_DROPTAIL;
	else if (!strcmp(text, "codel"))
		*out = LODE_LINK_CODEL;
	else
		return -EINVAL;
	return 0;
}

static int parse_switch(const char *text, bool *out)
{
	bool on = !strcmp(text, "on") || !strcmp(text, "yes");
	if (!on && strcmp(text, "off") && strcmp(text, "no"))
		return -EINVAL;
	*out = on;
	return 0;
}

enum kind { RATE, TIME, SHARE, COUNT, BYTES, POSITIVE, AQM, SWITCH };

static const char *const allowed[] = {
	[RATE] = "a rate in bit/s such as 800k, 50M, 1G; 0 for no limit",
	[TIME] = "a time such as 250us, 10ms, 2s",
	[SHARE] = "a share such as 0.1% or 0.001, at most 100%",
	[COUNT] = "a whole number",
	[BYTES] = "a number of bytes such as 9000, 64k",
	[POSITIVE] = "a number",
	[AQM] = "droptail or codel",
	[SWITCH] = "on or off",
};

#define ROW(key, kind, field)                                       \
	{                                                           \
		key, kind, offsetof(struct lode_link_config, field) \
	}
static const struct {
	const char *name;
	enum kind kind;
	size_t offset;
} keys[] = {
	ROW("rate", RATE, rate_bps),
	ROW("delay", TIME, delay_ns),
	ROW("jitter", TIME, jitter_ns),
	ROW("loss", SHARE, loss),
	ROW("burst", POSITIVE, burst_pkts),
	ROW("burst_loss", SHARE, burst_loss),
	ROW("reorder", SHARE, reorder),
	ROW("reorder_by", TIME, reorder_ns),
	ROW("duplicate", SHARE, duplicate),
	ROW("corrupt", SHARE, corrupt),
	ROW("queue", COUNT, queue_pkts),
	ROW("queue_bytes", BYTES, queue_bytes),
	ROW("aqm", AQM, aqm),
	ROW("codel_target", TIME, codel_target_ns),
	ROW("codel_interval", TIME, codel_interval_ns),
	ROW("outage_every", TIME, outage_every_ns),
	ROW("outage_for", TIME, outage_for_ns),
	ROW("mtu", COUNT, mtu_bytes),
	ROW("down", SWITCH, down),
};

static int parse_kind(enum kind kind, const char *value, void *field)
{
	switch (kind) {
	case RATE:
		return lode_link_parse_rate(value, field);
	case TIME:
		return lode_link_parse_time(value, field);
	case SHARE:
		return parse_share(value, field);
	case COUNT:
		return parse_u32(value, field);
	case BYTES:
		return parse_bytes(value, field);
	case POSITIVE:
		return parse_positive(value, field);
	case AQM:
		return parse_aqm(value, field);
	case SWITCH:
		return parse_switch(value, field);
	}
	return -EINVAL;
}

int lode_link_config_set(
	struct lode_link_config *c, const char *key, const char *value, struct lode_err *err)
{
	for (size_t i = 0; i < LODE_ARRAY_LEN(keys); i++) {
		if (strcmp(key, keys[i].name))
			continue;
		struct lode_link_config next = *c;
		if (parse_kind(keys[i].kind, value, (char *)&next + keys[i].offset))
			return lode_err_set(err, -EINVAL, "%s: %s expected, found '%.40s'", key,
				allowed[keys[i].kind], value);
		*c = next;
		return 0;
	}
	return lode_err_set(err, -ENOENT, "'%.40s' is no setting of a link", key);
}

/* One range: name, value, limits. */
static int check(const char *name, double value, double min, double max, struct lode_err *err)
{
	if (value >= min && value <= max)
		return 0;
	return lode_err_set(err, -EINVAL, "%s: %g to %g allowed, found %g", name, min, max, value);
}

int lode_link_config_check(const struct lode_link_config *c, struct lode_err *err)
{
	const double minute = 60.0 * (double)LODE_NS_PER_S;
	const struct {
		const char *name;
		double value, min, max;
	} rows[] = {
		{"rate (bit/s, 0 for none)", c->rate_bps ? (double)c->rate_bps : 1e3, 1e3, 1e12},
		{"delay (ns)", (double)c->delay_ns, 0, minute},
		{"jitter (ns, at most the delay)", (double)c->jitter_ns, 0, (double)c->delay_ns},
		{"loss", c->loss, 0, 1},
		{"burst (packets)", c->burst_pkts, 0, 1e6},
		{"burst_loss", c->burst_loss, 0, 1},
		{"reorder", c->reorder, 0, 1},
		{"reorder_by (ns)", (double)c->reorder_ns, 0, minute},
		{"duplicate", c->duplicate, 0, 1},
		{"corrupt", c->corrupt, 0, 1},
		{"queue (packets)", c->queue_pkts, 0, 1e6},
		{"codel_target (ns)", (double)c->codel_target_ns, 0, minute},
		{"codel_interval (ns)", (double)c->codel_interval_ns, 0, minute},
		{"outage_every (ns)", (double)c->outage_every_ns, 0, 1440 * minute},
		{"outage_for (ns, below outage_every)", (double)c->outage_for_ns, 0,
			c->outage_every_ns ? (double)(c->outage_every_ns - 1) : 0},
	};
	for (size_t i = 0; i < LODE_ARRAY_LEN(rows); i++)
		if (check(rows[i].name, rows[i].value, rows[i].min, rows[i].max, err))
			return -EINVAL;
	return 0;
}

const char *lode_link_fate_name(enum lode_link_fate fate)
{
	static const char *const names[LODE_LINK_N_FATES] = {
		"ok", "down", "mtu", "random", "queue", "codel", "no_memory"};
	return (unsigned)fate < LODE_LINK_N_FATES ? names[fate] : "unknown";
}
