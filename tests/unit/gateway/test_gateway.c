/* SPDX-License-Identifier: BSD-3-Clause */
/* State on disk and log levels. */
#include <criterion/criterion.h>

#include "gateway.h"

#include <stdlib.h>
#include <unistd.h>

static char *make_dir(void)
{
	static char dir[64];
	strcpy(dir, "/tmp/lode-state-XXXXXX");
	cr_assert(mkdtemp(dir));
	return dir;
}

static void remove_dir(const char *dir)
{
	char command[128];
	snprintf(command, sizeof(command), "rm -r %s", dir);
	cr_assert_eq(system(command), 0);
}

Test(state, a_counter_survives_and_a_damaged_one_is_refused)
{
	const char *dir = make_dir();
	char path[128];
	uint64_t counter = 7;
	struct lode_err err = {0};
	cr_assert_eq(state_read_counter(dir, &counter, &err), 0);
	cr_assert_eq(counter, 0, "the very first start");
	cr_assert_eq(state_save_counter(dir, UINT64_MAX - 1), 0);
	cr_assert_eq(state_read_counter(dir, &counter, &err), 0, "%s", err.msg);
	cr_assert_eq(counter, UINT64_MAX - 1);
	snprintf(path, sizeof(path), "%s/handshake.counter", dir);
	cr_assert_eq(truncate(path, 5), 0);
	cr_assert_eq(state_read_counter(dir, &counter, &err), -EINVAL,
		"a cut number would make every handshake a replay");
	cr_assert(strstr(err.msg, path), "%s", err.msg);
	cr_assert_eq(truncate(path, 0), 0);
	cr_assert_eq(state_read_counter(dir, &counter, &err), -EINVAL);
	remove_dir(dir);
}

Test(state, a_directory_is_made_with_its_parents_and_held_by_one)
{
	const char *dir = make_dir();
	char path[128];
	struct lode_err err = {0};
	int first, second;
	snprintf(path, sizeof(path), "%s/a/b", dir);
	cr_assert_eq(state_make_dir(path, &err), 0, "%s", err.msg);
	cr_assert_eq(state_make_dir(path, &err), 0, "%s", err.msg);
	cr_assert_eq(state_lock(path, &first, &err), 0, "%s", err.msg);
	cr_assert_eq(state_lock(path, &second, &err), -EBUSY);
	cr_assert(strstr(err.msg, path), "%s", err.msg);
	close(first);
	cr_assert_eq(state_lock(path, &second, &err), 0, "%s", err.msg);
	close(second);
	remove_dir(dir);
}

Test(log, levels_are_set_for_all_or_one_module)
{
	struct logger l;
	log_init(&l);
	cr_assert_eq(log_set_by_text(&l, "debug"), 0);
	cr_assert_eq(atomic_load(&l.level[LOG_DPDK]), LODE_LOG_DEBUG);
	cr_assert_eq(log_set_by_text(&l, "port warn"), 0);
	cr_assert_eq(atomic_load(&l.level[LOG_PORT]), LODE_LOG_WARN);
	cr_assert_eq(atomic_load(&l.level[LOG_KERNEL]), LODE_LOG_DEBUG);
	static const char *const bad[] = {
		"", "loud", "port loud", "nosuch warn", "warn port", "default port"};
	for (size_t i = 0; i < LODE_ARRAY_LEN(bad); i++)
		cr_assert_eq(log_set_by_text(&l, bad[i]), -EINVAL, "\"%s\"", bad[i]);
	cr_assert_eq(atomic_load(&l.level[LOG_PORT]), LODE_LOG_WARN, "a refused text changed it");
}

Test(log, an_operators_level_outlives_the_configuration_until_given_back)
{
	struct logger l;
	log_init(&l);
	log_set_by_text(&l, "port debug");
	log_configure(&l, LODE_LOG_WARN);
	cr_assert_eq(atomic_load(&l.level[LOG_PORT]), LODE_LOG_DEBUG);
	cr_assert_eq(atomic_load(&l.level[LOG_KERNEL]), LODE_LOG_WARN);
	log_set_by_text(&l, "port default");
	cr_assert_eq(atomic_load(&l.level[LOG_PORT]), LODE_LOG_WARN);
	log_set_by_text(&l, "debug");
	log_set_by_text(&l, "default");
	log_configure(&l, LODE_LOG_ERROR);
	cr_assert_eq(atomic_load(&l.level[LOG_PORT]), LODE_LOG_ERROR);
}

typedef void shout_fn(struct logger *l);

/* What reaches stderr. */
static const char *written_by(shout_fn *shout)
{
	static char text[65536];
	char path[] = "/tmp/lode-log-XXXXXX";
	int fd = mkstemp(path), saved = dup(STDERR_FILENO);
	struct logger l;
	log_init(&l);
	dup2(fd, STDERR_FILENO);
	shout(&l);
	dup2(saved, STDERR_FILENO);
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
	text[n > 0 ? n : 0] = 0;
	close(fd);
	close(saved);
	unlink(path);
	return text;
}

static unsigned lines_in(const char *text)
{
	unsigned n = 0;
	for (; *text; text++)
		n += *text == '\n';
	return n;
}

static void say_little(struct logger *l)
{
	for (unsigned i = 0; i < 5; i++)
		log_line(l, LOG_PORT, LODE_LOG_INFO, "line %u", i);
	log_line(l, LOG_PORT, LODE_LOG_DEBUG, "not at this level");
}

static void repeat_one_line(struct logger *l)
{
	for (unsigned i = 0; i < 1000; i++)
		log_line(l, LOG_PORT, LODE_LOG_INFO, "line %u", i);
	log_line(l, LOG_PORT, LODE_LOG_INFO, "another line is heard");
	log_line(l, LOG_GATEWAY, LODE_LOG_INFO, "another module is heard");
}

/* Text made elsewhere: it is known by its words. */
static void repeat_given_text(struct logger *l)
{
	char text[40];
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(text, sizeof(text), "peer %u is back", i);
		log_line(l, LOG_CONTROL, LODE_LOG_INFO, "%s", text);
	}
	log_line(l, LOG_CONTROL, LODE_LOG_INFO, "%s", "another line is heard");
}

static void say_much(struct logger *l)
{
	char text[3] = {0};
	for (unsigned i = 0; i < 500; i++) {
		text[0] = (char)('a' + i % 26);
		text[1] = (char)('a' + i / 26);
		log_line(l, LOG_DPDK, LODE_LOG_INFO, "%s", text);
	}
}

static void shout_then_wait(struct logger *l)
{
	for (unsigned i = 0; i < 30; i++)
		log_line(l, LOG_PORT, LODE_LOG_INFO, "line %u", i);
	for (unsigned i = 0; i < LOG_SHAPES; i++)
		l->shapes[i].window.since_ns = 0; /* as if its time had passed */
	log_flush(l);
}

Test(log, lines_are_limited_by_shape_and_by_module)
{
	cr_assert_eq(lines_in(written_by(say_little)), 5);
	const char *text = written_by(repeat_one_line);
	cr_assert_eq(lines_in(text), 12, "%s", text);
	cr_assert(strstr(text, "another line is heard") && strstr(text, "another module"));
	text = written_by(repeat_given_text);
	cr_assert_eq(lines_in(text), 11, "%s", text);
	unsigned n = lines_in(written_by(say_much));
	cr_assert(n >= 50 && n <= 70, "%u lines of a module in one window", n);
}

Test(log, what_was_left_out_is_said)
{
	const char *text = written_by(shout_then_wait);
	cr_assert_eq(lines_in(text), 11, "%s", text);
	cr_assert(strstr(text, "20 lines like: line 29 were left out"), "%s", text);
}

Test(log, a_long_line_is_cut_and_ended)
{
	char text[5000];
	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = 0;
	struct logger l;
	log_init(&l);
	char path[] = "/tmp/lode-log-XXXXXX", got[4096] = {0};
	int fd = mkstemp(path), saved = dup(STDERR_FILENO);
	dup2(fd, STDERR_FILENO);
	log_line(&l, LOG_PORT, LODE_LOG_INFO, "%s", text);
	dup2(saved, STDERR_FILENO);
	ssize_t n = pread(fd, got, sizeof(got) - 1, 0);
	cr_assert(n > 500 && n < 2000 && got[n - 1] == '\n', "%zd bytes", n);
	close(fd);
	close(saved);
	unlink(path);
}

Test(views, are_found_by_name_and_fit_telemetry)
{
	cr_assert_null(view_by_name("nosuch"));
	cr_assert_null(view_by_name(""));
	for (unsigned i = 0; i < n_views; i++) {
		cr_assert_eq(view_by_name(views[i].name), &views[i]);
		cr_assert_lt(strlen(views[i].help), 128, "%s: help too long for telemetry",
			views[i].name);
		cr_assert_leq(strlen("/lodestone/") + strlen(views[i].name), 55);
		cr_assert_eq(strspn(views[i].name, "abcdefghijklmnopqrstuvwxyz_/"),
			strlen(views[i].name));
	}
}
