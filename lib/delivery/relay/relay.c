/* SPDX-License-Identifier: BSD-3-Clause */
/* The fetching side: a queue of hashes, one transfer at a time. */
#include "relay.h"

#include <stdio.h>
#include <stdlib.h>

#define MISSING_FOR_NS	(30 * LODE_NS_PER_S)
#define PART_PREFIX_LEN 6

static bool is_missing(const struct lode_relay *r, const char *sha256, uint64_t now_ns)
{
	for (unsigned i = 0; i < MISSING_MAX; i++)
		if (r->missing[i].until_ns > now_ns && !strcmp(r->missing[i].sha256, sha256))
			return true;
	return false;
}

bool relay_want(struct lode_relay *r, const char *sha256)
{
	const struct lode_fetch_options *o = &r->options.fetch;
	unsigned i = 0;
	pthread_mutex_lock(&r->lock);
	while (i < r->n_wanted && strcmp(r->wanted[i], sha256) != 0)
		i++;
	bool missing = i == r->n_wanted && is_missing(r, sha256, o->now_ns(o->ctx));
	/* With a full queue they come again and find a place. */
	if (i == r->n_wanted && !missing && i < WANTED_MAX) {
		snprintf(r->wanted[r->n_wanted++], LODE_BLOB_HEX, "%s", sha256);
		pthread_cond_signal(&r->more);
	}
	pthread_mutex_unlock(&r->lock);
	return !missing;
}

/* Into the cache. The part is named by the hash: after a cut, or a restart, it goes on. */
static int fetch_one(struct lode_relay *r, const char *sha256, struct lode_err *err)
{
	char name[LODE_BLOB_HEX + PART_PREFIX_LEN], found[LODE_BLOB_HEX];
	struct lode_blob_writer *w;
	snprintf(name, sizeof(name), "fetch-%s", sha256);
	int rc = lode_blob_begin(r->cache, name, 0, &w, NULL, err);
	if (rc)
		return rc;
	rc = lode_fetch_blob(
		r->fetch, &r->options.upstream, sha256, r->options.cache_bytes / 2, w, err);
	if (!rc)
		return lode_blob_commit(w, sha256, found, err);
	if (rc == -ENOENT || rc == -EFBIG)
		lode_blob_abandon(w);
	else
		lode_blob_suspend(w);
	return rc;
}

/* Takes the first off the queue; failures that will not go away at once are remembered for a while. */
static void finish_one(struct lode_relay *r, int rc)
{
	const struct lode_fetch_options *o = &r->options.fetch;
	pthread_mutex_lock(&r->lock);
	if (rc) {
		struct missing *m = &r->missing[r->next_missing++ % MISSING_MAX];
		snprintf(m->sha256, sizeof(m->sha256), "%s", r->wanted[0]);
		m->until_ns = o->now_ns(o->ctx) + MISSING_FOR_NS;
	}
	memmove(r->wanted[0], r->wanted[1], (--r->n_wanted) * sizeof(r->wanted[0]));
	r->stats.n_fetches++;
	r->stats.n_failed += rc != 0;
	r->stats.fetched_bytes = lode_fetch_received(r->fetch);
	pthread_mutex_unlock(&r->lock);
}

static bool wait_for_one(struct lode_relay *r, char sha256[LODE_BLOB_HEX])
{
	pthread_mutex_lock(&r->lock);
	while (!r->n_wanted && !r->stopping)
		pthread_cond_wait(&r->more, &r->lock);
	snprintf(sha256, LODE_BLOB_HEX, "%s", r->wanted[0]);
	pthread_mutex_unlock(&r->lock);
	return !r->stopping;
}

static void *fetch_all(void *ctx)
{
	struct lode_relay *r = ctx;
	const struct lode_fetch_options *o = &r->options.fetch;
	char sha256[LODE_BLOB_HEX], line[700];
	while (wait_for_one(r, sha256)) {
		struct lode_err err = {0};
		int rc = fetch_one(r, sha256, &err);
		if (!rc)
			lode_blobs_trim(r->cache, r->options.cache_bytes);
		snprintf(line, sizeof(line), "relay: %.12s... %s", sha256,
			rc ? err.msg : "is in the cache");
		if (o->log)
			o->log(o->ctx, line);
		finish_one(r, rc);
	}
	return NULL;
}

/* A stop must end a transfer too. */
static int on_progress(void *ctx, uint64_t done_bytes, uint64_t total_bytes)
{
	struct lode_relay *r = ctx;
	(void)done_bytes, (void)total_bytes;
	atomic_store(&r->received_bytes, lode_fetch_received(r->fetch));
	return r->stopping;
}

/* The fetcher calls back with the relay; these pass on to the caller's own. */
static uint64_t now_ns(void *ctx)
{
	const struct lode_relay *r = ctx;
	return r->options.fetch.now_ns(r->options.fetch.ctx);
}

static void sleep_ns(void *ctx, uint64_t ns)
{
	const struct lode_relay *r = ctx;
	r->options.fetch.sleep_ns(r->options.fetch.ctx, ns);
}

static uint64_t rate(void *ctx)
{
	const struct lode_relay *r = ctx;
	return r->options.fetch.rate(r->options.fetch.ctx);
}

static int start_fetching(struct lode_relay *r, struct lode_err *err)
{
	struct lode_fetch_options o = r->options.fetch;
	o.ctx = r;
	o.now_ns = now_ns;
	o.sleep_ns = sleep_ns;
	o.rate = o.rate ? rate : NULL;
	o.progress = on_progress;
	o.log = NULL; /* one line at the end of each */
	int rc = lode_fetch_new(&o, &r->fetch, err);
	if (rc)
		return rc;
	rc = pthread_create(&r->thread, NULL, fetch_all, r);
	r->thread_runs = !rc;
	return rc ? lode_err_set(err, -rc, "the relay's thread does not start") : 0;
}

int lode_relay_new(
	const struct lode_relay_options *o, struct lode_relay **out, struct lode_err *err)
{
	struct lode_relay *r = calloc(1, sizeof(*r));
	if (!r)
		return lode_err_set(err, -ENOMEM, "no memory for a relay");
	r->options = *o;
	snprintf(r->url, sizeof(r->url), "%s", o->upstream.url);
	r->options.upstream.url = r->url;
	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->more, NULL);
	int rc = lode_blobs_open(o->cache_dir, &r->cache, err);
	if (!rc)
		rc = start_fetching(r, err);
	if (!rc)
		rc = relay_listen(r, err);
	if (rc) {
		lode_relay_free(r);
		return rc;
	}
	*out = r;
	return 0;
}

void lode_relay_free(struct lode_relay *r)
{
	if (!r)
		return;
	r->stopping = true;
	if (r->daemon)
		MHD_stop_daemon(r->daemon);
	pthread_mutex_lock(&r->lock);
	pthread_cond_signal(&r->more);
	pthread_mutex_unlock(&r->lock);
	if (r->thread_runs)
		pthread_join(r->thread, NULL);
	lode_fetch_free(r->fetch);
	lode_blobs_close(r->cache);
	pthread_cond_destroy(&r->more);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

void lode_relay_stats(struct lode_relay *r, struct lode_relay_stats *s)
{
	pthread_mutex_lock(&r->lock);
	*s = r->stats;
	pthread_mutex_unlock(&r->lock);
}
