/* SPDX-License-Identifier: BSD-3-Clause */
/* What takes long steps aside: reading again what is there of an upload, sealing it, bringing it to a bucket. A thread
 * with an API object of its own does it, one upload after the other, while the connection is suspended and the
 * server's thread answers others. */
#include "http.h"

#include <pthread.h>
#include <stdlib.h>

struct aside {
	struct lode_api *api;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t more;
	/* Under the lock. */
	bool stop;
	struct incoming *first, **last;
};

/* The request is this thread's from its suspension to its resumption. */
static void work(struct aside *a, struct incoming *in)
{
	if (in->step == OPENING) {
		lode_api_upload_begin(a->api, &in->req, &in->writer, &in->refusal);
	} else {
		lode_api_handle(a->api, &in->req, in->writer, &in->reply);
		in->writer = NULL;
	}
}

static struct incoming *next(struct aside *a)
{
	pthread_mutex_lock(&a->lock);
	while (!a->first && !a->stop)
		pthread_cond_wait(&a->more, &a->lock);
	struct incoming *in = a->first;
	if (in && !(a->first = in->next))
		a->last = &a->first;
	bool stop = a->stop;
	pthread_mutex_unlock(&a->lock);
	if (in && stop)
		in->failed = MHD_HTTP_SERVICE_UNAVAILABLE;
	return in;
}

/* Ends when it is to stop and nobody waits any more. */
static void *run(void *ctx)
{
	struct aside *a = ctx;
	struct incoming *in;
	while ((in = next(a))) {
		struct MHD_Connection *conn = in->req.ctx;
		if (!in->failed)
			work(a, in);
		MHD_resume_connection(conn);
	}
	return NULL;
}

int aside_new(struct lode_api *api, struct aside **out, struct lode_err *err)
{
	struct aside *a = calloc(1, sizeof(*a));
	if (!a)
		return lode_err_set(err, -ENOMEM, "no memory for the thread of uploads");
	a->api = api;
	a->last = &a->first;
	pthread_mutex_init(&a->lock, NULL);
	pthread_cond_init(&a->more, NULL);
	int rc = -pthread_create(&a->thread, NULL, run, a);
	if (rc) {
		free(a);
		return lode_err_set(err, rc, "the thread of uploads does not start");
	}
	*out = a;
	return 0;
}

void aside_free(struct aside *a)
{
	if (!a)
		return;
	pthread_mutex_lock(&a->lock);
	a->stop = true;
	pthread_cond_signal(&a->more);
	pthread_mutex_unlock(&a->lock);
	pthread_join(a->thread, NULL);
	pthread_cond_destroy(&a->more);
	pthread_mutex_destroy(&a->lock);
	free(a);
}

void aside_do(struct aside *a, struct MHD_Connection *conn, struct incoming *in)
{
	MHD_suspend_connection(conn);
	in->next = NULL;
	pthread_mutex_lock(&a->lock);
	*a->last = in;
	a->last = &in->next;
	pthread_cond_signal(&a->more);
	pthread_mutex_unlock(&a->lock);
}
