/* SPDX-License-Identifier: BSD-3-Clause */
/* A thread that fills the cache from the bucket, so that who serves many need not wait for one. */
#include "blobs.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define WANTED_MAX 32

struct fetcher {
	struct lode_blobs *blobs;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t more;
	/* Under the lock. */
	bool stop;
	unsigned n_wanted;
	char wanted[WANTED_MAX][LODE_BLOB_HEX]; /* the first is being fetched */
	char failed[LODE_BLOB_HEX];		/* the last that could not be; told once */
	int failure;
};

static bool next_wanted(struct fetcher *f, char sha256[LODE_BLOB_HEX])
{
	pthread_mutex_lock(&f->lock);
	while (!f->n_wanted && !f->stop)
		pthread_cond_wait(&f->more, &f->lock);
	bool goes_on = !f->stop;
	snprintf(sha256, LODE_BLOB_HEX, "%s", f->wanted[0]);
	pthread_mutex_unlock(&f->lock);
	return goes_on;
}

static void *fetch_all(void *ctx)
{
	struct fetcher *f = ctx;
	char sha256[LODE_BLOB_HEX];
	while (next_wanted(f, sha256)) {
		struct lode_err ignored;
		int rc = bucket_fetch(f->blobs, sha256, &ignored);
		pthread_mutex_lock(&f->lock);
		if (rc) {
			memcpy(f->failed, sha256, sizeof(f->failed));
			f->failure = rc;
		}
		memmove(f->wanted[0], f->wanted[1], --f->n_wanted * sizeof(f->wanted[0]));
		pthread_mutex_unlock(&f->lock);
	}
	return NULL;
}

int fetcher_new(struct lode_blobs *b, struct fetcher **out, struct lode_err *err)
{
	struct fetcher *f = calloc(1, sizeof(*f));
	if (!f)
		return lode_err_set(err, -ENOMEM, "no memory for the bucket's cache");
	f->blobs = b;
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->more, NULL);
	int rc = -pthread_create(&f->thread, NULL, fetch_all, f);
	if (rc) {
		free(f);
		return lode_err_set(err, rc, "the thread of the bucket's cache does not start");
	}
	*out = f;
	return 0;
}

void fetcher_free(struct fetcher *f)
{
	if (!f)
		return;
	pthread_mutex_lock(&f->lock);
	f->stop = true;
	pthread_cond_signal(&f->more);
	pthread_mutex_unlock(&f->lock);
	atomic_store(&f->blobs->closing, true);
	pthread_join(f->thread, NULL);
	pthread_cond_destroy(&f->more);
	pthread_mutex_destroy(&f->lock);
	free(f);
}

int fetcher_want(struct fetcher *f, const char *sha256)
{
	int rc = -EAGAIN;
	unsigned i = 0;
	pthread_mutex_lock(&f->lock);
	while (i < f->n_wanted && strcmp(f->wanted[i], sha256) != 0)
		i++;
	if (!strcmp(f->failed, sha256)) {
		rc = f->failure;
		f->failed[0] = 0;
	} else if (i == f->n_wanted && i < WANTED_MAX) { /* else they come again and find a place */
		snprintf(f->wanted[f->n_wanted++], LODE_BLOB_HEX, "%s", sha256);
		pthread_cond_signal(&f->more);
	}
	pthread_mutex_unlock(&f->lock);
	return rc;
}
