/* SPDX-License-Identifier: BSD-3-Clause */
/* What survives a restart: what the selectors learned of each link and what each port has spent this month.
 * Text, one thing per line, names without spaces as the configuration has them:
 *
 *   lodestone-selector 1 <seconds since 1970>
 *   path <peer> <link> <algorithm> <n> <n numbers>
 *   quota <port> <month, counted from 1900> <bytes>
 */
#include "control.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define HEAD "lodestone-selector 1 "

static uint64_t wall_s(const struct lode_control *c)
{
	int64_t offset_ns =
		atomic_load_explicit(&c->params.shared->wall_offset_ns, memory_order_relaxed);
	return offset_ns == 0 ? 0 : (uint64_t)((int64_t)c->now_ns + offset_ns) / LODE_NS_PER_S;
}

/* ---- between selectors ---- */

static struct remembered *find(struct lode_control *c, const char *peer, const char *link)
{
	for (unsigned i = 0; i < c->n_remembered; i++)
		if (!strcmp(c->remembered[i].peer, peer) && !strcmp(c->remembered[i].link, link))
			return &c->remembered[i];
	return NULL;
}

/* Its entry, or a new one; NULL: no room. */
static struct remembered *entry(struct lode_control *c, const char *peer, const char *link)
{
	struct remembered *r = find(c, peer, link);
	if (r || c->n_remembered == REMEMBERED_MAX)
		return r;
	if (!c->remembered && !(c->remembered = calloc(REMEMBERED_MAX, sizeof(*c->remembered))))
		return NULL;
	r = &c->remembered[c->n_remembered++];
	snprintf(r->peer, sizeof(r->peer), "%s", peer);
	snprintf(r->link, sizeof(r->link), "%s", link);
	return r;
}

void remember_take(struct lode_control *c, unsigned peer_idx)
{
	struct peer_slot *slot = &c->peers[peer_idx];
	double kept[LODE_SELECTOR_KEPT];
	for (unsigned p = 0; p < LODE_LINKS_MAX; p++) {
		unsigned n =
			slot->selector_link[p][0] ? lode_selector_keep(slot->selector, p, kept) : 0;
		struct remembered *r = n ? entry(c, slot->name, slot->selector_link[p]) : NULL;
		if (!r)
			continue;
		r->n = n;
		r->kind = slot->selector_params.kind;
		r->at_ns = c->now_ns;
		r->age_ns = 0;
		memcpy(r->kept, kept, n * sizeof(*kept));
	}
}

void remember_give(struct lode_control *c, unsigned peer_idx, unsigned path, uint64_t now_ns)
{
	struct peer_slot *slot = &c->peers[peer_idx];
	const struct remembered *r = find(c, slot->name, slot->selector_link[path]);
	if (!r || r->kind != slot->selector_params.kind)
		return;
	uint64_t age_ns = r->age_ns + (now_ns - r->at_ns);
	if (!lode_selector_restore(slot->selector, path, r->kept, r->n, age_ns))
		control_log(c, LODE_LOG_INFO,
			"peer %s, link %s: selector goes on with what it knew %" PRIu64 " s ago",
			slot->name, slot->selector_link[path], (uint64_t)(age_ns / LODE_NS_PER_S));
}

/* ---- to text ---- */

struct writer {
	char *buf;
	size_t size, len;
};

static void put(struct writer *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void put(struct writer *w, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	size_t room = w->len < w->size ? w->size - w->len : 0;
	int n = vsnprintf(room ? w->buf + w->len : NULL, room, fmt, args);
	va_end(args);
	w->len += n > 0 ? (size_t)n : 0;
}

static void put_path(struct writer *w, const char *peer, const char *link,
	enum lode_selector_kind kind, const double *kept, unsigned n)
{
	put(w, "path %s %s %s %u", peer, link, lode_selector_kind_name(kind), n);
	for (unsigned i = 0; i < n; i++)
		put(w, " %.17g", kept[i]);
	put(w, "\n");
}

static bool is_live(const struct lode_control *c, const struct remembered *r)
{
	for (unsigned i = 0; i < LODE_PEERS_MAX; i++)
		for (unsigned p = 0; c->peers[i].selector && p < LODE_LINKS_MAX; p++)
			if (!strcmp(c->peers[i].name, r->peer) &&
				!strcmp(c->peers[i].selector_link[p], r->link))
				return true;
	return false;
}

static void put_paths(const struct lode_control *c, struct writer *w)
{
	double kept[LODE_SELECTOR_KEPT];
	for (unsigned i = 0; i < LODE_PEERS_MAX; i++) {
		const struct peer_slot *slot = &c->peers[i];
		for (unsigned p = 0; slot->selector && p < LODE_LINKS_MAX; p++) {
			unsigned n = lode_selector_keep(slot->selector, p, kept);
			if (n && slot->selector_link[p][0])
				put_path(w, slot->name, slot->selector_link[p],
					slot->selector_params.kind, kept, n);
		}
	}
	for (unsigned i = 0; i < c->n_remembered; i++) {
		const struct remembered *r = &c->remembered[i];
		if (!is_live(c, r))
			put_path(w, r->peer, r->link, r->kind, r->kept, r->n);
	}
}

long lode_control_state(const struct lode_control *c, char *buf, size_t size)
{
	struct writer w = {.buf = buf, .size = size};
	put(&w, HEAD "%" PRIu64 "\n", wall_s(c));
	for (unsigned i = 0; i < c->prepared->config->n_ports; i++)
		if (c->quota[i].used_bytes && c->quota[i].month)
			put(&w, "quota %s %u %" PRIu64 "\n", c->prepared->config->ports[i].name,
				c->quota[i].month, c->quota[i].used_bytes);
	put_paths(c, &w);
	return w.len < size ? (long)w.len : -ENOSPC;
}

/* ---- from text: it lay on a disk, so it may hold anything ---- */

/* The next word of the line, cut out; NULL: none. */
static char *word(char **at)
{
	return strsep(at, " ");
}

static bool name_of(const char *text, char name[LODE_NAME_MAX])
{
	if (!text || !*text || strlen(text) >= LODE_NAME_MAX)
		return false;
	memcpy(name, text, strlen(text) + 1);
	return true;
}

static bool number(const char *text, uint64_t max, uint64_t *out)
{
	char *end;
	if (!text || *text < '0' || *text > '9')
		return false;
	errno = 0;
	*out = strtoull(text, &end, 10);
	return !*end && !errno && *out <= max;
}

static bool read_path(struct lode_control *c, char *line, uint64_t age_ns)
{
	char peer[LODE_NAME_MAX], link[LODE_NAME_MAX];
	uint64_t n;
	if (!name_of(word(&line), peer) || !name_of(word(&line), link))
		return false;
	const char *kind = word(&line);
	if (!number(word(&line), LODE_SELECTOR_KEPT, &n))
		return false;
	struct remembered *r = entry(c, peer, link);
	if (!r)
		return false;
	r->kind = LODE_SELECTOR_VALUE;
	while (r->kind < LODE_SELECTOR_KINDS && strcmp(kind, lode_selector_kind_name(r->kind)))
		r->kind++;
	r->n = (uint32_t)n;
	r->at_ns = c->now_ns;
	r->age_ns = age_ns;
	for (unsigned i = 0; i < n; i++) {
		char *text = word(&line), *end = NULL;
		r->kept[i] = text ? strtod(text, &end) : 0;
		if (!text || !*text || *end)
			return false;
	}
	return r->kind < LODE_SELECTOR_KINDS && line == NULL;
}

static bool read_quota(struct lode_control *c, char *line)
{
	char name[LODE_NAME_MAX];
	uint64_t month, used;
	if (!name_of(word(&line), name) || !number(word(&line), UINT32_MAX, &month) ||
		!number(word(&line), UINT64_MAX / 2, &used))
		return false;
	int port_idx = lode_config_port_by_name(c->prepared->config, name);
	if (port_idx >= 0)
		c->quota[port_idx] = (struct quota){.month = (uint32_t)month, .used_bytes = used};
	return true;
}

static bool read_line(struct lode_control *c, char *line, uint64_t age_ns)
{
	const char *kind = word(&line);
	if (!strcmp(kind, "path"))
		return read_path(c, line, age_ns);
	return !strcmp(kind, "quota") ? read_quota(c, line) : *kind == '\0';
}

static void forget(struct lode_control *c)
{
	c->n_remembered = 0;
	memset(c->quota, 0, sizeof(c->quota));
}

int remember_read(struct lode_control *c, const char *text, struct lode_err *err)
{
	uint64_t saved_s, now_s = wall_s(c);
	char *copy = strdup(text), *at = copy, *line = strsep(&at, "\n");
	unsigned n = 1;
	if (!copy)
		return lode_err_set(err, -ENOMEM, "no memory for the selector's state");
	bool good = !strncmp(line, HEAD, strlen(HEAD)) &&
		    number(line + strlen(HEAD), UINT64_MAX / LODE_NS_PER_S, &saved_s);
	/* Without a clock then or now its age is not known: it counts as fresh. */
	uint64_t age_s = good && saved_s && now_s > saved_s ? now_s - saved_s : 0;
	while (good && (line = strsep(&at, "\n"))) {
		n++;
		good = read_line(c, line, age_s * LODE_NS_PER_S);
	}
	free(copy);
	if (good)
		return 0;
	forget(c);
	return lode_err_set(err, -EINVAL, "selector state, line %u: not understood", n);
}
