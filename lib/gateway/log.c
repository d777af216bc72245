/* SPDX-License-Identifier: BSD-3-Clause */
#include "log.h"

#include <stdarg.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define LINES_PER_WINDOW 60
#define WINDOW_NS	 (10 * LODE_NS_PER_S)
#define LINE_BYTES	 1024

const char *const log_module_names[LOG_N_MODULES] = {
	"gateway", "control", "port", "kernel", "dpdk"};
const char *const log_level_names[] = {"error", "warn", "info", "debug"};
static const char *const shown[] = {"ERROR", "WARN ", "INFO ", "DEBUG"};
static const int journal_levels[] = {3, 4, 6, 7};

void log_init(struct logger *l)
{
	*l = (struct logger){.journal = getenv("JOURNAL_STREAM") != NULL};
	pthread_mutex_init(&l->lock, NULL);
	log_set_level(l, LODE_LOG_INFO);
}

void log_set_level(struct logger *l, enum lode_log_level level)
{
	for (unsigned m = 0; m < LOG_N_MODULES; m++)
		atomic_store(&l->level[m], level);
}

static int level_by_name(const char *name)
{
	for (int i = LODE_LOG_ERROR; i <= LODE_LOG_DEBUG; i++)
		if (!strcmp(name, log_level_names[i]))
			return i;
	return -EINVAL;
}

int log_set_by_text(struct logger *l, const char *text, enum lode_log_level *level)
{
	char words[2][16] = {{0}};
	int n = sscanf(text, "%15s %15s", words[0], words[1]);
	int value = n > 0 ? level_by_name(words[n - 1]) : -EINVAL;
	if (value < 0)
		return value;
	*level = (enum lode_log_level)value;
	if (n == 1) {
		log_set_level(l, *level);
		return 0;
	}
	for (unsigned m = 0; m < LOG_N_MODULES; m++) {
		if (strcmp(words[0], log_module_names[m]))
			continue;
		atomic_store(&l->level[m], *level);
		return 0;
	}
	return -EINVAL;
}

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

/* Whether the module may still speak in this window. */
static bool admit(struct logger *l, enum log_module module, const struct timespec *ts)
{
	uint64_t now = (uint64_t)ts->tv_sec * LODE_NS_PER_S + (uint64_t)ts->tv_nsec;
	if (now - l->rate[module].window_ns >= WINDOW_NS) {
		if (l->rate[module].n_lost) {
			char text[64];
			snprintf(text, sizeof(text), "%u lines were left out",
				l->rate[module].n_lost);
			write_line(l, ts, module, LODE_LOG_WARN, text);
		}
		l->rate[module].window_ns = now;
		l->rate[module].n = l->rate[module].n_lost = 0;
	}
	if (l->rate[module].n < LINES_PER_WINDOW) {
		l->rate[module].n++;
		return true;
	}
	l->rate[module].n_lost++;
	return false;
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
	if (admit(l, module, &ts))
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
