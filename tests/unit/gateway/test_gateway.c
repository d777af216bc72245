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
	enum lode_log_level level;
	log_init(&l);
	cr_assert_eq(log_set_by_text(&l, "debug", &level), 0);
	cr_assert_eq(atomic_load(&l.level[LOG_DPDK]), LODE_LOG_DEBUG);
	cr_assert_eq(log_set_by_text(&l, "port warn", &level), 0);
	cr_assert_eq(level, LODE_LOG_WARN);
	cr_assert_eq(atomic_load(&l.level[LOG_PORT]), LODE_LOG_WARN);
	cr_assert_eq(atomic_load(&l.level[LOG_KERNEL]), LODE_LOG_DEBUG);
	static const char *const bad[] = {"", "loud", "port loud", "nosuch warn", "warn port"};
	for (size_t i = 0; i < LODE_ARRAY_LEN(bad); i++)
		cr_assert_eq(log_set_by_text(&l, bad[i], &level), -EINVAL, "\"%s\"", bad[i]);
	cr_assert_eq(atomic_load(&l.level[LOG_PORT]), LODE_LOG_WARN, "a refused text changed it");
}

/* Lines that reach stderr when a module shouts n times. */
static unsigned lines_of(unsigned n)
{
	char path[] = "/tmp/lode-log-XXXXXX", c;
	int fd = mkstemp(path), saved = dup(STDERR_FILENO);
	unsigned lines = 0;
	struct logger l;
	log_init(&l);
	dup2(fd, STDERR_FILENO);
	for (unsigned i = 0; i < n; i++)
		log_line(&l, LOG_PORT, LODE_LOG_INFO, "line %u", i);
	log_line(&l, LOG_PORT, LODE_LOG_DEBUG, "not at this level");
	log_line(&l, LOG_GATEWAY, LODE_LOG_INFO, "another module is heard");
	dup2(saved, STDERR_FILENO);
	lseek(fd, 0, SEEK_SET);
	while (read(fd, &c, 1) == 1)
		lines += c == '\n';
	close(fd);
	close(saved);
	unlink(path);
	return lines;
}

Test(log, a_module_that_shouts_is_cut_off)
{
	cr_assert_eq(lines_of(5), 6);
	unsigned lines = lines_of(10000);
	cr_assert_leq(lines, 100, "%u lines of 10000", lines);
	cr_assert_geq(lines, 2);
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
