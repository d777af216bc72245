/* SPDX-License-Identifier: BSD-3-Clause */
/* The same conformance tests on both databases. PostgreSQL runs as a cluster of its own in a temporary
 * folder, as an unprivileged user, when Debian's server is installed. */
#include <criterion/criterion.h>

#include "lode_store.h"
#include "temp.h"

#include <linux/close_range.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PG_BIN "/usr/lib/postgresql/15/bin"

struct place {
	char dir[64], url[200];
	bool postgres;
};

/* Runs a shell command, as postgres when we are root: the server refuses root. */
static int run_as_postgres(const char *command)
{
	char line[600];
	if (geteuid() == 0)
		snprintf(line, sizeof(line), "runuser -u postgres -- sh -c '%s' >/dev/null 2>&1",
			command);
	else
		snprintf(line, sizeof(line), "sh -c '%s' >/dev/null 2>&1", command);
	/* The server stays when the shell is gone: it must not hold the test runner's pipes. */
	cr_assert_eq(close_range(3, ~0u, CLOSE_RANGE_CLOEXEC), 0);
	return system(line);
}

static bool start_postgres(struct place *p)
{
	struct passwd *user = getpwnam("postgres");
	if (access(PG_BIN "/initdb", X_OK) || (geteuid() == 0 && !user))
		return false;
	if (geteuid() == 0)
		cr_assert_eq(chown(p->dir, user->pw_uid, user->pw_gid), 0);
	char command[500];
	snprintf(command, sizeof(command),
		PG_BIN "/initdb -D %s/db -A trust -U lode -E UTF8 --no-sync && " PG_BIN
		       "/pg_ctl -D %s/db -w -l %s/log -o \"-F -h \\\"\\\" -k %s\" start",
		p->dir, p->dir, p->dir, p->dir);
	cr_assert_eq(run_as_postgres(command), 0, "the PostgreSQL server does not start");
	snprintf(p->url, sizeof(p->url), "postgresql:///postgres?host=%s&user=lode", p->dir);
	return true;
}

static bool place_make(struct place *p, const char *kind)
{
	temp_make(p->dir);
	p->postgres = !strcmp(kind, "postgres");
	snprintf(p->url, sizeof(p->url), "%s/store.db", p->dir);
	return !p->postgres || start_postgres(p);
}

/* One process per test: what a test leaves is taken down at its end, however it ends. */
static struct place the_place;

static void drop_place(void)
{
	struct place *p = &the_place;
	char command[200];
	snprintf(command, sizeof(command), PG_BIN "/pg_ctl -D %s/db -m immediate stop", p->dir);
	if (p->postgres)
		run_as_postgres(command);
	temp_remove(p->dir);
}

static struct lode_store *open_store(const struct place *p)
{
	struct lode_store *s = NULL;
	struct lode_err err = {0};
	cr_assert_eq(lode_store_open(p->url, &s, &err), 0, "%s", err.msg);
	return s;
}

static int collect_ids(void *ctx, const struct lode_store_doc *doc)
{
	strcat(ctx, doc->id);
	strcat(ctx, " ");
	return 0;
}

static void check_documents(struct lode_store *s)
{
	struct lode_err err;
	struct lode_store_doc doc;
	cr_assert_eq(lode_store_get(s, LODE_DOC_DEVICE, "", "a", &doc, &err), -ENOENT);
	cr_assert_eq(lode_store_put(s, LODE_DOC_DEVICE, "", "a", "online", "{\"x\":1}",
			     LODE_STORE_NEW, &err),
		0);
	cr_assert_eq(
		lode_store_put(s, LODE_DOC_DEVICE, "", "a", "online", "{}", LODE_STORE_NEW, &err),
		-EEXIST);
	cr_assert_eq(lode_store_get(s, LODE_DOC_DEVICE, "", "a", &doc, &err), 0);
	cr_assert_str_eq(doc.text, "{\"x\":1}");
	cr_assert_eq(doc.rev, 1);
	lode_store_doc_clear(&doc);
	cr_assert_eq(lode_store_put(s, LODE_DOC_DEVICE, "", "a", "offline", "{}", 1, &err), 0);
	cr_assert_eq(lode_store_put(s, LODE_DOC_DEVICE, "", "a", "online", "{}", 1, &err), -ESTALE);
	cr_assert_eq(lode_store_put(s, LODE_DOC_DEVICE, "", "a", "online", "{'it''s'}",
			     LODE_STORE_ANY_REV, &err),
		0);
	cr_assert_eq(lode_store_get(s, LODE_DOC_DEVICE, "", "a", &doc, &err), 0);
	cr_assert_eq(doc.rev, 3);
	cr_assert_str_eq(doc.tag, "online");
	lode_store_doc_clear(&doc);
	cr_assert_eq(lode_store_delete(s, LODE_DOC_DEVICE, "", "a", &err), 0);
	cr_assert_eq(lode_store_delete(s, LODE_DOC_DEVICE, "", "a", &err), -ENOENT);
}

static void check_lists(struct lode_store *s)
{
	static const char *const ids[] = {"b", "a", "C", "d_", "d"};
	struct lode_err err;
	char seen[64] = "";
	for (unsigned i = 0; i < LODE_ARRAY_LEN(ids); i++)
		cr_assert_eq(lode_store_put(s, LODE_DOC_VERSION, i % 2 ? "m2" : "m1", ids[i],
				     i < 3 ? "x" : "y", "{}", LODE_STORE_NEW, &err),
			0);
	struct lode_store_query q = {0};
	cr_assert_eq(lode_store_list(s, LODE_DOC_VERSION, &q, collect_ids, seen, &err), 0);
	cr_assert_str_eq(seen, "C b d a d_ ", "by parent, then by bytes: %s", seen);
	seen[0] = 0;
	q = (struct lode_store_query){.parent = "m1", .after_id = "C", .limit = 1};
	cr_assert_eq(lode_store_list(s, LODE_DOC_VERSION, &q, collect_ids, seen, &err), 0);
	cr_assert_str_eq(seen, "b ");
	seen[0] = 0;
	q = (struct lode_store_query){.tag = "y"};
	cr_assert_eq(lode_store_list(s, LODE_DOC_VERSION, &q, collect_ids, seen, &err), 0);
	cr_assert_str_eq(seen, "d d_ ");
	cr_assert_eq(lode_store_count(s, LODE_DOC_VERSION, "m1", "x", &err), 2);
	cr_assert_eq(lode_store_count(s, LODE_DOC_DEVICE, NULL, NULL, &err), 0);
}

static void check_transactions(struct lode_store *s)
{
	struct lode_err err;
	struct lode_store_doc doc;
	cr_assert_eq(lode_store_begin(s, true, &err), 0);
	cr_assert_eq(lode_store_put(s, LODE_DOC_FLEET, "", "f", "", "{}", LODE_STORE_NEW, &err), 0);
	lode_store_rollback(s);
	cr_assert_eq(lode_store_get(s, LODE_DOC_FLEET, "", "f", &doc, &err), -ENOENT);
	cr_assert_eq(lode_store_begin(s, false, &err), 0);
	cr_assert_eq(lode_store_put(s, LODE_DOC_FLEET, "", "f", "", "{}", LODE_STORE_NEW, &err), 0);
	cr_assert_eq(lode_store_commit(s, &err), 0);
	cr_assert_eq(lode_store_get(s, LODE_DOC_FLEET, "", "f", &doc, &err), 0);
	lode_store_doc_clear(&doc);
}

/* What follows a failed statement is lost with it, and commit says so. */
static void check_failed_transaction(struct lode_store *s)
{
	struct lode_err err;
	struct lode_store_doc doc;
	cr_assert_eq(lode_store_begin(s, true, &err), 0);
	cr_assert_eq(lode_store_put(s, LODE_DOC_FLEET, "", "g", "", "{}", LODE_STORE_NEW, &err), 0);
	/* Bytes that are no UTF-8. */
	cr_assert_neq(
		lode_store_put(s, LODE_DOC_FLEET, "", "h", "", "\xff", LODE_STORE_NEW, &err), 0);
	cr_assert_eq(lode_store_put(s, LODE_DOC_FLEET, "", "i", "", "{}", LODE_STORE_NEW, &err),
		-EAGAIN);
	cr_assert_eq(lode_store_commit(s, &err), -EAGAIN);
	cr_assert_eq(lode_store_get(s, LODE_DOC_FLEET, "", "g", &doc, &err), -ENOENT);
}

static void check_limits(struct lode_store *s)
{
	struct lode_err err;
	char long_id[LODE_STORE_ID_MAX + 1];
	memset(long_id, 'x', sizeof(long_id) - 1);
	long_id[sizeof(long_id) - 1] = 0;
	cr_assert_eq(lode_store_put(s, LODE_DOC_FLEET, "", long_id, "", "{}", 0, &err), -EINVAL);
	cr_assert_eq(lode_store_put(s, LODE_DOC_FLEET, "", "", "", "{}", 0, &err), -EINVAL);
	char *text = malloc(LODE_STORE_DOC_MAX + 2);
	memset(text, ' ', LODE_STORE_DOC_MAX + 1);
	text[LODE_STORE_DOC_MAX + 1] = 0;
	cr_assert_eq(lode_store_put(s, LODE_DOC_FLEET, "", "big", "", text, 0, &err), -EINVAL);
	free(text);
}

static int count_entries(void *ctx, const struct lode_audit *e)
{
	(void)e;
	++*(int *)ctx;
	return 0;
}

static void check_audit(struct lode_store *s)
{
	struct lode_err err;
	int64_t bad;
	int n = 0;
	for (int i = 0; i < 3; i++) {
		struct lode_audit e = {.time_ms = 1000 + i,
			.actor = "eve",
			.action = "upload",
			.object = "m/1",
			.detail = "{}"};
		cr_assert_eq(lode_store_audit(s, &e, &err), 0);
	}
	cr_assert_eq(lode_store_audit_verify(s, &bad, &err), 0);
	cr_assert_eq(lode_store_audit_list(s, 1, 0, count_entries, &n, &err), 0);
	cr_assert_eq(n, 2);
}

/* Two managers on one database: of two that read the same revision one writes. */
static void check_two(const struct place *p)
{
	struct lode_store *a = open_store(p), *b = open_store(p);
	struct lode_err err;
	struct lode_store_doc doc;
	cr_assert_eq(
		lode_store_put(a, LODE_DOC_CAMPAIGN, "", "c", "", "{}", LODE_STORE_NEW, &err), 0);
	cr_assert_eq(lode_store_get(b, LODE_DOC_CAMPAIGN, "", "c", &doc, &err), 0);
	cr_assert_eq(lode_store_put(a, LODE_DOC_CAMPAIGN, "", "c", "", "{}", doc.rev, &err), 0);
	cr_assert_eq(
		lode_store_put(b, LODE_DOC_CAMPAIGN, "", "c", "", "{}", doc.rev, &err), -ESTALE);
	lode_store_doc_clear(&doc);
	lode_store_close(a);
	lode_store_close(b);
	/* What was written is there for the next process. */
	a = open_store(p);
	cr_assert_eq(lode_store_get(a, LODE_DOC_CAMPAIGN, "", "c", &doc, &err), 0);
	cr_assert_eq(doc.rev, 2);
	lode_store_doc_clear(&doc);
	lode_store_close(a);
}

static void conform(const char *kind)
{
	if (!place_make(&the_place, kind))
		cr_skip("PostgreSQL's server is not installed");
	struct lode_store *s = open_store(&the_place);
	check_documents(s);
	check_lists(s);
	check_transactions(s);
	if (the_place.postgres)
		check_failed_transaction(s);
	check_limits(s);
	check_audit(s);
	lode_store_close(s);
	check_two(&the_place);
}

Test(store, sqlite_conforms, .fini = drop_place)
{
	conform("sqlite");
}

Test(store, postgresql_conforms, .timeout = 60, .fini = drop_place)
{
	conform("postgres");
}

Test(store, a_changed_audit_entry_shows, .fini = drop_place)
{
	struct lode_err err;
	int64_t bad = 0;
	cr_assert(place_make(&the_place, "sqlite"));
	struct lode_store *s = open_store(&the_place);
	check_audit(s);
	char command[300];
	snprintf(command, sizeof(command),
		"python3 -c \"import sqlite3; c = sqlite3.connect('%s'); c.execute(\\\"UPDATE "
		"audit SET "
		"actor = 'adam' WHERE seq = 2\\\"); c.commit()\"",
		the_place.url);
	cr_assert_eq(system(command), 0);
	cr_assert_eq(lode_store_audit_verify(s, &bad, &err), -EBADMSG);
	cr_assert_eq(bad, 2);
	lode_store_close(s);
}

/* kill -9 in the middle of writing: what was committed is there, nothing is torn. */
Test(store, a_killed_writer_leaves_whole_documents, .fini = drop_place)
{
	struct lode_err err;
	cr_assert(place_make(&the_place, "sqlite"));
	int ends[2];
	cr_assert_eq(pipe(ends), 0);
	pid_t child = fork();
	if (!child) {
		struct lode_store *s = open_store(&the_place);
		for (unsigned i = 0;; i++) {
			char id[16];
			snprintf(id, sizeof(id), "%06u", i);
			if (lode_store_put(s, LODE_DOC_DEVICE, "", id, "", "{}", 0, &err) ||
				write(ends[1], &i, sizeof(i)) != sizeof(i))
				_exit(1);
		}
	}
	unsigned last = 0;
	while (last < 50)
		cr_assert_eq(read(ends[0], &last, sizeof(last)), (ssize_t)sizeof(last));
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	struct lode_store *s = open_store(&the_place);
	cr_assert_geq(lode_store_count(s, LODE_DOC_DEVICE, NULL, NULL, &err), last + 1);
	lode_store_close(s);
}
