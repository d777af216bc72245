/* SPDX-License-Identifier: BSD-3-Clause */
/* lodectl top: what the gateway does now, redrawn every second. Rates are differences between two answers of
 * the gateway, which keeps nothing for it but the table of the heaviest conversations. */
#include "lodectl.h"

#include "lode_clock.h"

#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define EVERY_NS LODE_NS_PER_S
#define ROWS_MAX 10 /* of drops and conversations */

static const char *const asked[] = {
	"status", "workers", "ports", "paths", "classes", "drops", "talkers"};

struct answers {
	json_t *view[LODE_ARRAY_LEN(asked)];
	uint64_t at_ns;
};

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
	interrupted = number;
}

static void forget(struct answers *a)
{
	for (size_t i = 0; i < LODE_ARRAY_LEN(asked); i++)
		json_decref(a->view[i]);
	*a = (struct answers){0};
}

static bool ask_all(struct lodectl *ctl, struct answers *a)
{
	a->at_ns = lode_clock_ns();
	for (size_t i = 0; i < LODE_ARRAY_LEN(asked); i++)
		if (!(a->view[i] = ask_gateway(ctl, asked[i], NULL)))
			return false;
	return true;
}

static json_t *view_of(const struct answers *a, const char *name)
{
	for (size_t i = 0; i < LODE_ARRAY_LEN(asked); i++)
		if (!strcmp(asked[i], name))
			return a->view[i];
	return NULL;
}

/* ---- numbers ---- */

struct screen {
	const struct answers *then, *now;
	double seconds; /* between them */
	FILE *to;
};

static double number(const json_t *row, const char *key)
{
	return (double)json_integer_value(json_object_get(row, key));
}

/* Growth per second of a counter in the row of that name. */
static double rate(const struct screen *s, const char *view, const char *name, const char *key)
{
	const json_t *now = json_object_get(view_of(s->now, view), name);
	const json_t *then = json_object_get(view_of(s->then, view), name);
	double more = number(now, key) - number(then, key);
	return then && more > 0 ? more / s->seconds : 0;
}

static const char *text_of(const json_t *row, const char *key)
{
	const char *text = json_string_value(json_object_get(row, key));
	return text ? text : "";
}

/* 1234567 -> "1.2M". */
static void cell_scaled(struct table *t, double value)
{
	static const char units[] = " kMGT";
	unsigned i = 0;
	for (; value >= 999.5 && units[i + 1]; i++)
		value /= 1000;
	if (i == 0)
		table_cell(t, "%.0f", value);
	else
		table_cell(t, "%.*f%c", value < 10 ? 1 : 0, value, units[i]);
}

/* ---- sections ---- */

static void put_head(const struct screen *s)
{
	const json_t *v = view_of(s->now, "status");
	long up = (long)number(v, "up_s");
	fprintf(s->to,
		"%s  up %ld d %02ld:%02ld:%02ld  ports %.0f/%.0f  peers %.0f/%.0f  paths %.0f/%.0f "
		" "
		"packets %.0f/%.0f\n",
		text_of(v, "name"), up / 86400, up / 3600 % 24, up / 60 % 60, up % 60,
		number(v, "ports_up"), number(v, "ports"), number(v, "peers_established"),
		number(v, "peers"), number(v, "paths_up"), number(v, "paths"),
		number(v, "packets_in_use"), number(v, "packets"));
}

static void begin_section(
	const struct screen *s, struct table *t, size_t n, const char *const *heads)
{
	fputc('\n', s->to);
	table_begin(t, n, heads);
}

static void put_workers(const struct screen *s)
{
	static const char *const heads[] = {
		"worker", "cpu", "busy %", "rx pps", "tx pps", "loops/s", "long", "flows"};
	struct table t;
	const char *key;
	json_t *row;
	begin_section(s, &t, LODE_ARRAY_LEN(heads), heads);
	json_object_foreach(view_of(s->now, "workers"), key, row)
	{
		table_cell(&t, "%s", key);
		table_cell(&t, "%.0f", number(row, "cpu"));
		table_cell(&t, "%.1f", rate(s, "workers", key, "busy_ns") / 1e7);
		cell_scaled(&t, rate(s, "workers", key, "rx_frames"));
		cell_scaled(&t, rate(s, "workers", key, "tx_frames"));
		cell_scaled(&t, rate(s, "workers", key, "loops"));
		table_cell(&t, "%.0f", number(row, "long_loops"));
		table_cell(&t, "%.0f", number(row, "flows"));
	}
	table_end(&t, s->to);
}

static void put_ports(const struct screen *s)
{
	static const char *const heads[] = {
		"port", "role", "link", "rx bit/s", "rx pps", "tx bit/s", "tx pps", "missed/s"};
	struct table t;
	const char *key;
	json_t *row;
	begin_section(s, &t, LODE_ARRAY_LEN(heads), heads);
	json_object_foreach(view_of(s->now, "ports"), key, row)
	{
		table_cell(&t, "%s", key);
		table_cell(&t, "%s", text_of(row, "role"));
		table_cell(&t, "%s", text_of(row, "link"));
		cell_scaled(&t, rate(s, "ports", key, "rx_bytes") * 8);
		cell_scaled(&t, rate(s, "ports", key, "rx_pkts"));
		cell_scaled(&t, rate(s, "ports", key, "tx_bytes") * 8);
		cell_scaled(&t, rate(s, "ports", key, "tx_pkts"));
		cell_scaled(&t, rate(s, "ports", key, "rx_missed_pkts"));
	}
	table_end(&t, s->to);
}

static void put_paths(const struct screen *s)
{
	static const char *const heads[] = {"path", "state", "rtt ms", "jitter ms", "loss %",
		"tx bit/s", "rx bit/s", "allowed bit/s"};
	struct table t;
	const char *key;
	json_t *row;
	begin_section(s, &t, LODE_ARRAY_LEN(heads), heads);
	json_object_foreach(view_of(s->now, "paths"), key, row)
	{
		table_cell(&t, "%s", key);
		table_cell(&t, "%s", text_of(row, "state"));
		table_cell(&t, "%.1f", number(row, "rtt_us") / 1000);
		table_cell(&t, "%.1f", number(row, "jitter_us") / 1000);
		table_cell(&t, "%.2f", number(row, "loss_ppm") / 10000);
		cell_scaled(&t, rate(s, "paths", key, "tx_bytes") * 8);
		cell_scaled(&t, rate(s, "paths", key, "rx_bytes") * 8);
		cell_scaled(&t, number(row, "pacing_kbps") * 1000);
	}
	table_end(&t, s->to);
}

/* Classes in which something happens. */
static void put_classes(const struct screen *s)
{
	static const char *const heads[] = {
		"class", "tx/s", "rx/s", "queued", "wait ms", "duplicates/s"};
	struct table t;
	const char *key;
	json_t *row;
	begin_section(s, &t, LODE_ARRAY_LEN(heads), heads);
	json_object_foreach(view_of(s->now, "classes"), key, row)
	{
		double tx = rate(s, "classes", key, "tx_segments");
		double rx = rate(s, "classes", key, "rx_segments");
		if (tx + rx + number(row, "queue_pkts") == 0)
			continue;
		table_cell(&t, "%s", key);
		cell_scaled(&t, tx);
		cell_scaled(&t, rx);
		table_cell(&t, "%.0f", number(row, "queue_pkts"));
		table_cell(&t, "%.1f", number(row, "wait_us") / 1000);
		cell_scaled(&t, rate(s, "classes", key, "duplicates"));
	}
	table_end(&t, s->to);
}

static void put_drops(const struct screen *s)
{
	static const char *const heads[] = {"dropped", "per s", "in all", "why"};
	struct table t;
	const char *key;
	json_t *row;
	unsigned n = 0;
	begin_section(s, &t, LODE_ARRAY_LEN(heads), heads);
	json_object_foreach(view_of(s->now, "drops"), key, row)
	{
		double per_s = rate(s, "drops", key, "count");
		if (per_s == 0 || n++ == ROWS_MAX)
			continue;
		table_cell(&t, "%s", key);
		cell_scaled(&t, per_s);
		table_cell(&t, "%.0f", number(row, "count"));
		table_cell(&t, "%s", text_of(row, "why"));
	}
	table_end(&t, s->to);
}

static int heavier_first(const void *a, const void *b)
{
	const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
	double more = number(y, "tx_kbps") + number(y, "rx_kbps") - number(x, "tx_kbps") -
		      number(x, "rx_kbps");
	return (more > 0) - (more < 0);
}

static void put_talkers(const struct screen *s)
{
	static const char *const heads[] = {
		"proto", "here", "there", "peer", "class", "tx bit/s", "rx bit/s"};
	struct table t;
	const char *key;
	json_t *row, *rows[256];
	size_t n = 0;
	json_object_foreach(view_of(s->now, "talkers"), key, row) if (n < LODE_ARRAY_LEN(rows))
		rows[n++] = row;
	qsort(rows, n, sizeof(rows[0]), heavier_first);
	begin_section(s, &t, LODE_ARRAY_LEN(heads), heads);
	for (size_t i = 0; i < n && i < ROWS_MAX; i++) {
		static const char *const words[] = {"proto", "here", "there", "peer", "class"};
		for (size_t k = 0; k < LODE_ARRAY_LEN(words); k++)
			table_cell(&t, "%s", text_of(rows[i], words[k]));
		cell_scaled(&t, number(rows[i], "tx_kbps") * 1000);
		cell_scaled(&t, number(rows[i], "rx_kbps") * 1000);
	}
	table_end(&t, s->to);
}

/* ---- the screen ---- */

/* The text, cut to the terminal. */
static void show_cut(const char *text)
{
	struct winsize size = {0};
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || !size.ws_row || !size.ws_col)
		size = (struct winsize){.ws_row = 24, .ws_col = 80};
	fputs("\033[H\033[J", stdout);
	for (unsigned row = 1; *text && row < size.ws_row; row++) {
		size_t len = strcspn(text, "");
		printf("%.*s\r\n", (int)LODE_MIN(len, size.ws_col), text);
		text += len + (text[len] == '\n');
	}
}

static void draw(const struct answers *then, const struct answers *now, bool terminal)
{
	char *text = NULL;
	size_t len = 0;
	struct screen s = {then, now,
		(double)LODE_MAX(now->at_ns - then->at_ns, LODE_NS_PER_MS) / LODE_NS_PER_S,
		open_memstream(&text, &len)};
	if (!s.to)
		abort();
	put_head(&s);
	put_workers(&s);
	put_ports(&s);
	put_paths(&s);
	put_classes(&s);
	put_drops(&s);
	put_talkers(&s);
	fclose(s.to);
	if (terminal)
		show_cut(text);
	else
		puts(text);
	fflush(stdout);
	free(text);
}

static int draw_json(const struct answers *now)
{
	json_t *all = json_object();
	for (size_t i = 0; i < LODE_ARRAY_LEN(asked); i++)
		json_object_set(all, asked[i], now->view[i]);
	print_json(all);
	json_decref(all);
	return EXIT_OK;
}

/* True when the operator wants to leave. Signals come in here and nowhere else: a request is never cut. */
static bool pause_for_key(bool terminal)
{
	struct pollfd in = {STDIN_FILENO, POLLIN, 0};
	uint64_t now_ns = lode_clock_ns(), end_ns = now_ns + EVERY_NS;
	sigset_t none;
	sigemptyset(&none);
	char key = 0;
	for (; !interrupted && now_ns < end_ns; now_ns = lode_clock_ns()) {
		uint64_t left_ns = end_ns - now_ns;
		struct timespec left = {
			(time_t)(left_ns / LODE_NS_PER_S), (long)(left_ns % LODE_NS_PER_S)};
		if (ppoll(&in, terminal, &left, &none) > 0 &&
			(read(STDIN_FILENO, &key, 1) <= 0 || key == 'q' || key == 'Q'))
			return true;
	}
	return interrupted;
}

static void hold_signals(void)
{
	const struct sigaction action = {.sa_handler = on_signal};
	sigset_t held;
	sigemptyset(&held);
	sigaddset(&held, SIGINT);
	sigaddset(&held, SIGTERM);
	sigprocmask(SIG_BLOCK, &held, NULL);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

static int run(struct lodectl *ctl, unsigned long n_draws, bool terminal)
{
	struct answers a[2] = {0};
	bool ok = ask_all(ctl, &a[0]);
	for (unsigned long i = 1; ok && (n_draws == 0 || i <= n_draws); i++) {
		struct answers *then = &a[(i - 1) % 2], *now = &a[i % 2];
		if (pause_for_key(terminal))
			break;
		forget(now);
		ok = ask_all(ctl, now);
		if (ok && ctl->json)
			draw_json(now);
		else if (ok)
			draw(then, now, terminal);
	}
	forget(&a[0]);
	forget(&a[1]);
	return ok ? EXIT_OK : EXIT_OTHER;
}

static int top(struct lodectl *ctl, int argc, char **argv)
{
	unsigned long n = 0;
	char *end = "";
	if (argc == 2 && !strcmp(argv[0], "-n"))
		n = strtoul(argv[1], &end, 10);
	if ((argc != 0 && argc != 2) || *end || (argc == 2 && n == 0))
		return complain(EXIT_OTHER, "usage: lodectl top [-n TIMES]");
	bool terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && !ctl->json && n == 0;
	struct termios before, raw;
	hold_signals();
	terminal = terminal && tcgetattr(STDIN_FILENO, &before) == 0;
	if (terminal) {
		raw = before;
		raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		tcsetattr(STDIN_FILENO, TCSANOW, &raw);
		fputs("\033[?1049h\033[?25l", stdout); /* the other screen, no cursor */
	}
	int rc = run(ctl, n, terminal);
	if (terminal) {
		fputs("\033[?25h\033[?1049l", stdout);
		tcsetattr(STDIN_FILENO, TCSANOW, &before);
	}
	return rc;
}

const struct command top_commands[] = {
	{"top", "", "[-n TIMES]", "load, ports, paths, classes, drops, conversations; q leaves",
		top},
	COMMANDS_END,
};
