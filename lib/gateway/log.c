/* SPDX-License-Identifier: BSD-3-Clause */
#include "log.h"

#include <stdarg.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define LINES_OF_A_SHAPE  10
#define LINES_OF_A_MODULE 60
#define WINDOW_NS	  (10 * LODE_NS_PER_S)
#define LINE_BYTES	  1024

const char *const log_module_names[LOG_N_MODULES] = {
	"gateway", "control", "port", "kernel", "dpdk"};
const char *const log_level_names[] = {"error", "warn", "info", "debug"};
static const char *const shown[] = {"ERROR", "WARN ", "INFO ", "DEBUG"};
static const int journal_levels[] = {3, 4, 6, 7};

void log_init(struct logger *l)
{
	*l = (struct logger){.journal = getenv("JOURNAL_STREAM") != NULL};
	pthread_mutex_init(&l->lock, NULL);
	log_configure(l, LODE_LOG_INFO);
}

/* ---- levels ---- */

void log_configure(struct logger *l, enum lode_log_level level)
{
	pthread_mutex_lock(&l->lock);
	l->configured = level;
	for (unsigned m = 0; m < LOG_N_MODULES; m++)
		if (!l->module[m].by_operator)
			atomic_store(&l->level[m], level);
	pthread_mutex_unlock(&l->lock);
}

/* enum lode_log_level, or LEVEL_DEFAULT, or -EINVAL. */
#define LEVEL_DEFAULT (LODE_LOG_DEBUG + 1)
static int level_by_name(const char *name)
{
	for (int i = LODE_LOG_ERROR; i <= LODE_LOG_DEBUG; i++)
		if (!strcmp(name, log_level_names[i]))
			return i;
	return strcmp(name, "default") ? -EINVAL : LEVEL_DEFAULT;
}

static void set_module(struct logger *l, unsigned m, int level)
{
	l->module[m].by_operator = level != LEVEL_DEFAULT;
	atomic_store(&l->level[m], level == LEVEL_DEFAULT ? l->configured : (uint8_t)level);
}

int log_set_by_text(struct logger *l, const char *text)
{
	char words[2][16] = {{0}};
	int n = sscanf(text, "%15s %15s", words[0], words[1]), rc = -EINVAL;
	int level = n > 0 ? level_by_name(words[n - 1]) : -EINVAL;
	if (level < 0)
		return level;
	pthread_mutex_lock(&l->lock);
	for (unsigned m = 0; m < LOG_N_MODULES; m++)
		if (n == 1 || !strcmp(words[0], log_module_names[m])) {
			set_module(l, m, level);
			rc = 0;
		}
	pthread_mutex_unlock(&l->lock);
	return rc;
}

void log_show(struct logger *l, struct lode_json *j)
{
	pthread_mutex_lock(&l->lock);
	for (unsigned m = 0; m < LOG_N_MODULES; m++) {
		const struct log_module_state *s = &l->module[m];
		lode_json_object(j, log_module_names[m]);
		lode_json_string(j, "level", log_level_names[atomic_load(&l->level[m])]);
		lode_json_string(j, "set_by", s->by_operator ? "operator" : "configuration");
		lode_json_u64(j, "lines", s->n_lines);
		lode_json_u64(j, "left_out", s->n_left_out);
		lode_json_close_object(j);
	}
	pthread_mutex_unlock(&l->lock);
}

/* ---- lines ---- */

static void write_line(const struct logger *l, const struct timespec *ts, enum log_module module,
	enum lode_log_level level, const char *text)
{
	char line[LINE_BYTES], when[32];
	struct tm tm;
	int len;
	if (l->journal) {
		len = snprintf(line, sizeof(line), "<%d>%s: %s\n", journal_levels[level],
			log_module_names[module], text);
	} else {
		gmtime_r(&ts->tv_sec, &tm);
		strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &tm);
		len = snprintf(line, sizeof(line), "%s.%03ldZ %s %s: %s\n", when,
			ts->tv_nsec / 1000000, shown[level], log_module_names[module], text);
	}
	if ((size_t)len >= sizeof(line)) {
		len = sizeof(line) - 1;
		line[len - 1] = '\n';
	}
	if (write(STDERR_FILENO, line, (size_t)len) < 0)
		return; /* nobody left to tell */
}

static uint64_t ns_of(const struct timespec *ts)
{
	return (uint64_t)ts->tv_sec * LODE_NS_PER_S + (uint64_t)ts->tv_nsec;
}

/* FNV-1a over the words: numbers do not make lines different. */
static uint64_t hash_shape(enum log_module module, const char *text)
{
	uint64_t hash = 0xcbf29ce484222325ull + module;
	for (; *text; text++)
		if (*text < '0' || *text > '9')
			hash = (hash ^ (uint8_t)*text) * 0x100000001b3ull;
	return hash;
}

/* Ends a window that has passed, or (always) any. what: an example of the lines, NULL: of the whole module. */
static void end_window(struct logger *l, struct log_window *w, const struct timespec *ts,
	enum log_module module, const char *what, bool always)
{
	char text[200];
	uint64_t now = ns_of(ts);
	if (!always && now - w->since_ns < WINDOW_NS)
		return;
	if (w->n_left_out) {
		snprintf(text, sizeof(text), "%u lines %s%s were left out", w->n_left_out,
			what ? "like: " : "of this module", what ? what : "");
		write_line(l, ts, module, LODE_LOG_WARN, text);
	}
	*w = (struct log_window){.since_ns = now};
}

/* The place of lines of that shape; a new one takes the place that rested longest. */
static struct log_shape *find_shape(
	struct logger *l, enum log_module module, uint64_t hash, const struct timespec *ts)
{
	struct log_shape *oldest = &l->shapes[0];
	for (unsigned i = 0; i < LOG_SHAPES; i++) {
		struct log_shape *s = &l->shapes[i];
		if (s->hash == hash)
			return s;
		if (s->window.since_ns < oldest->window.since_ns)
			oldest = s;
	}
	end_window(l, &oldest->window, ts, oldest->module, oldest->example, true);
	oldest->hash = hash;
	oldest->module = module;
	return oldest;
}

static bool may_write(struct log_window *w, unsigned limit)
{
	if (w->n < limit) {
		w->n++;
		return true;
	}
	w->n_left_out++;
	return false;
}

static bool admit(struct logger *l, enum log_module module, const char *fmt, const char *text,
	const struct timespec *ts)
{
	struct log_module_state *m = &l->module[module];
	bool only_text = !strcmp(fmt, "%s") || !strcmp(fmt, "%.*s");
	struct log_shape *s = find_shape(l, module, hash_shape(module, only_text ? text : fmt), ts);
	end_window(l, &s->window, ts, module, s->example, false);
	end_window(l, &m->window, ts, module, NULL, false);
	snprintf(s->example, sizeof(s->example), "%s", text);
	bool written =
		may_write(&s->window, LINES_OF_A_SHAPE) && may_write(&m->window, LINES_OF_A_MODULE);
	m->n_lines += written;
	m->n_left_out += !written;
	return written;
}

void log_flush(struct logger *l)
{
	struct timespec ts;
	clock_gettime(CLOCK_REALTIME, &ts);
	pthread_mutex_lock(&l->lock);
	for (unsigned i = 0; i < LOG_SHAPES; i++)
		if (l->shapes[i].window.n) /* the others rest */
			end_window(l, &l->shapes[i].window, &ts, l->shapes[i].module,
				l->shapes[i].example, false);
	for (unsigned m = 0; m < LOG_N_MODULES; m++)
		end_window(l, &l->module[m].window, &ts, (enum log_module)m, NULL, false);
	pthread_mutex_unlock(&l->lock);
}

void log_line(
	struct logger *l, enum log_module module, enum lode_log_level level, const char *fmt, ...)
{
	if (level > atomic_load_explicit(&l->level[module], memory_order_relaxed))
		return;
	char text[LINE_BYTES];
	struct timespec ts;
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	clock_gettime(CLOCK_REALTIME, &ts);
	pthread_mutex_lock(&l->lock);
	if (admit(l, module, fmt, text, &ts))
		write_line(l, &ts, module, level, text);
	pthread_mutex_unlock(&l->lock);
}

/* DPDK writes whole lines; levels are not told, so all are debug: what matters comes back as error codes and
 * is said in our own words. */
static ssize_t stream_write(void *cookie, const char *buf, size_t size)
{
	size_t at = 0;
	while (at < size) {
		size_t len = strcspn(buf + at, "\n");
		len = LODE_MIN(len, size - at);
		if (len)
			log_line(cookie, LOG_DPDK, LODE_LOG_DEBUG, "%.*s", (int)len, buf + at);
		at += len + 1;
	}
	return (ssize_t)size;
}

FILE *log_stream(struct logger *l)
{
	FILE *f = fopencookie(l, "w", (cookie_io_functions_t){.write = stream_write});
	if (f)
		setvbuf(f, NULL, _IOLBF, LINE_BYTES);
	return f;
}
