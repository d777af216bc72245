/* SPDX-License-Identifier: BSD-3-Clause */
/* Pairs of links as text, their changes while running, and their statistics as JSON. */
#include "wanem.h"

#include "lode_clock.h"

#include <stdio.h>
#include <stdlib.h>

static int set_trace(struct direction *d, const char *path, struct lode_err *err)
{
	struct lode_link_trace *t = NULL;
	if (strlen(path) >= sizeof(d->trace_path))
		return lode_err_set(err, -EINVAL, "trace: path of at most %zu bytes allowed",
			sizeof(d->trace_path) - 1);
	int rc = *path ? lode_link_trace_load(path, &t, err) : 0;
	if (rc)
		return rc;
	d->config.trace = t;
	strcpy(d->trace_path, path);
	return 0;
}

static int direction_set(
	struct direction *d, const char *key, const char *value, struct lode_err *err)
{
	if (!strcmp(key, "trace"))
		return set_trace(d, value, err);
	return lode_link_config_set(&d->config, key, value, err);
}

static int set_name(char *to, const char *what, const char *value, struct lode_err *err)
{
	if (!*value || strlen(value) >= NAME_BYTES)
		return lode_err_set(err, -EINVAL, "%s: 1 to %d characters allowed, found '%.40s'",
			what, NAME_BYTES - 1, value);
	strcpy(to, value);
	return 0;
}

int pair_set(struct pair *p, const char *setting, struct lode_err *err)
{
	char key[NAME_BYTES];
	const char *eq = strchr(setting, '=');
	if (!eq) {
		bool down = !strcmp(setting, "down");
		if (!down && strcmp(setting, "up"))
			return lode_err_set(err, -EINVAL,
				"key=value, 'up' or 'down' expected, found '%.60s'", setting);
		p->dir[UP].config.down = p->dir[DOWN].config.down = down;
		return 0;
	}
	if ((size_t)(eq - setting) >= sizeof(key))
		return lode_err_set(err, -EINVAL, "'%.60s' is no setting of a link", setting);
	snprintf(key, sizeof(key), "%.*s", (int)(eq - setting), setting);
	const char *value = eq + 1;
	if (!strcmp(key, "name"))
		return set_name(p->name, key, value, err);
	if (!strcmp(key, "a") || !strcmp(key, "b"))
		return set_name(p->side[key[0] - 'a'].name, key, value, err);
	if (!strncmp(key, "up.", 3))
		return direction_set(&p->dir[UP], key + 3, value, err);
	if (!strncmp(key, "down.", 5))
		return direction_set(&p->dir[DOWN], key + 5, value, err);
	int rc = direction_set(&p->dir[UP], key, value, err);
	return rc ? rc : direction_set(&p->dir[DOWN], key, value, err);
}

struct pair *pair_find(struct wanem *w, const char *name)
{
	for (unsigned i = 0; i < w->n_pairs; i++)
		if (!strcmp(w->pairs[i].name, name))
			return &w->pairs[i];
	return NULL;
}

/* The copy's new traces go, the running pair's stay. */
static void drop_new_traces(const struct pair *running, const struct pair *next)
{
	for (int d = 0; d < N_DIRECTIONS; d++)
		if (next->dir[d].config.trace != running->dir[d].config.trace)
			free((void *)next->dir[d].config.trace);
}

int pair_change(struct pair *p, char **settings, int n, struct lode_err *err)
{
	struct pair next = *p;
	int rc = 0;
	for (int i = 0; i < n && rc == 0; i++) {
		bool fixed = !strncmp(settings[i], "name=", 5) || !strncmp(settings[i], "a=", 2) ||
			     !strncmp(settings[i], "b=", 2);
		rc = fixed ? lode_err_set(err, -EINVAL, "'%.40s' cannot change while running",
				     settings[i])
			   : pair_set(&next, settings[i], err);
	}
	for (int d = 0; d < N_DIRECTIONS && rc == 0; d++)
		rc = lode_link_config_check(&next.dir[d].config, err);
	if (rc) {
		drop_new_traces(p, &next);
		return rc;
	}
	for (int d = 0; d < N_DIRECTIONS; d++) {
		struct direction *dir = &p->dir[d];
		const struct lode_link_trace *old = dir->config.trace;
		dir->config = next.dir[d].config;
		strcpy(dir->trace_path, next.dir[d].trace_path);
		lode_link_set(dir->link, &dir->config, lode_clock_ns(), NULL);
		if (old != dir->config.trace)
			free((void *)old);
	}
	return 0;
}

static void direction_json(struct lode_json *j, const char *key, const struct direction *d)
{
	const struct lode_link_stats *s = lode_link_stats(d->link);
	lode_json_object(j, key);
	lode_json_bool(j, "down", d->config.down);
	lode_json_u64(j, "in_packets", s->in_pkts);
	lode_json_u64(j, "in_bytes", s->in_bytes);
	lode_json_u64(j, "out_packets", s->out_pkts);
	lode_json_u64(j, "out_bytes", s->out_bytes);
	lode_json_object(j, "lost_packets");
	for (int f = LODE_LINK_OK + 1; f < LODE_LINK_N_FATES; f++)
		lode_json_u64(j, lode_link_fate_name((enum lode_link_fate)f), s->fate_pkts[f]);
	lode_json_close_object(j);
	lode_json_u64(j, "duplicated_packets", s->duplicated_pkts);
	lode_json_u64(j, "corrupted_packets", s->corrupted_pkts);
	lode_json_u64(j, "reordered_packets", s->reordered_pkts);
	lode_json_u64(j, "queued_packets", lode_link_queued_pkts(d->link));
	lode_json_u64(j, "queued_bytes", lode_link_queued_bytes(d->link));
	lode_json_u64(j, "late_p50_ns", lode_hist_quantile(d->late, 0.5));
	lode_json_u64(j, "late_p99_ns", lode_hist_quantile(d->late, 0.99));
	lode_json_close_object(j);
}

long wanem_stats_json(const struct wanem *w, char *buf, size_t size)
{
	struct lode_json j;
	lode_json_begin(&j, buf, size);
	lode_json_object(&j, NULL);
	lode_json_u64(&j, "uptime_ms", (lode_clock_ns() - w->start_ns) / LODE_NS_PER_MS);
	lode_json_array(&j, "links");
	for (unsigned i = 0; i < w->n_pairs; i++) {
		const struct pair *p = &w->pairs[i];
		lode_json_object(&j, NULL);
		lode_json_string(&j, "name", p->name);
		lode_json_string(&j, "a", p->side[0].name);
		lode_json_string(&j, "b", p->side[1].name);
		direction_json(&j, "up", &p->dir[UP]);
		direction_json(&j, "down", &p->dir[DOWN]);
		lode_json_u64(&j, "send_errors", p->side[0].tx_errors + p->side[1].tx_errors);
		lode_json_close_object(&j);
	}
	lode_json_close_array(&j);
	lode_json_close_object(&j);
	return lode_json_end(&j);
}
