/* SPDX-License-Identifier: BSD-3-Clause */
/* Bytes by their hash: whole or a range, from the file, opened on their way out, or left to the proxy. */
#include "http.h"

#include <stdio.h>
#include <stdlib.h>

/* The part the client wants: all unless its copy is of the same bytes. */
static enum lode_range wanted(struct MHD_Connection *conn, const char *etag, uint64_t size,
	uint64_t *first, uint64_t *length)
{
	const char *if_range = get_header(conn, "If-Range");
	const char *range = if_range && strcmp(if_range, etag) ? NULL : get_header(conn, "Range");
	return lode_http_range(range, size, first, length);
}

/* Bytes that are opened on their way out. */
struct opening {
	struct lode_seal_reader *sealed;
	uint64_t first;
};

static ssize_t read_opened(void *cls, uint64_t pos, char *buf, size_t max)
{
	struct opening *o = cls;
	struct lode_err err;
	int64_t n = lode_seal_read_at(o->sealed, o->first + pos, buf, max, &err);
	return n > 0 ? n : n ? MHD_CONTENT_READER_END_WITH_ERROR : MHD_CONTENT_READER_END_OF_STREAM;
}

static void free_opening(void *cls)
{
	struct opening *o = cls;
	lode_seal_reader_close(o->sealed);
	free(o);
}

/* Takes the view's descriptor or reader over. */
static struct MHD_Response *body_of(struct lode_api_view *v, uint64_t first, uint64_t length)
{
	struct MHD_Response *r = NULL;
	if (!v->sealed) {
		r = MHD_create_response_from_fd_at_offset64(length, v->fd, first);
		v->fd = r ? -1 : v->fd;
		return r;
	}
	struct opening *o = malloc(sizeof(*o));
	if (!o)
		return NULL;
	*o = (struct opening){v->sealed, first};
	r = MHD_create_response_from_callback(
		length, LODE_SEAL_CHUNK_USUAL, read_opened, o, free_opening);
	if (r)
		v->sealed = NULL;
	else
		free(o);
	return r;
}

static enum MHD_Result send_view(struct lode_http *h, struct MHD_Connection *conn,
	const struct incoming *in, const struct lode_api_reply *reply, struct lode_api_view *v)
{
	char etag[LODE_BLOB_HEX + 2], text[200], path[72];
	snprintf(etag, sizeof(etag), "\"%s\"", reply->blob);
	uint64_t first, length, size = v->n_bytes;
	enum lode_range range = wanted(conn, etag, size, &first, &length);
	if (range == LODE_RANGE_BAD) {
		snprintf(text, sizeof(text), "bytes */%llu", (unsigned long long)size);
		return send_empty(conn, MHD_HTTP_RANGE_NOT_SATISFIABLE, "Content-Range", text);
	}
	h->stats.reply_bytes += length;
	struct MHD_Response *r;
	/* The proxy opens the file itself; it is in the folder now, wherever it was. */
	bool accel = in->by_proxy && h->options.accel_prefix && !v->sealed;
	if (accel) {
		lode_blob_path(reply->blob, path);
		snprintf(text, sizeof(text), "%s/%s", h->options.accel_prefix, path);
		r = MHD_create_response_from_buffer(0, "", MHD_RESPMEM_PERSISTENT);
		if (r)
			MHD_add_response_header(r, "X-Accel-Redirect", text);
	} else {
		r = body_of(v, first, length);
	}
	if (!r)
		return send_empty(conn, MHD_HTTP_INTERNAL_SERVER_ERROR, NULL, NULL);
	add_headers(r, reply);
	MHD_add_response_header(r, "ETag", etag);
	MHD_add_response_header(r, "Accept-Ranges", "bytes");
	if (range == LODE_RANGE_PART && !accel) {
		snprintf(text, sizeof(text), "bytes %llu-%llu/%llu", (unsigned long long)first,
			(unsigned long long)(first + length - 1), (unsigned long long)size);
		MHD_add_response_header(r, "Content-Range", text);
	}
	return queue(conn,
		range == LODE_RANGE_PART && !accel ? MHD_HTTP_PARTIAL_CONTENT : MHD_HTTP_OK, r);
}

/* A bucket is slow; the others need not wait. As a relay says it (delivery/relay). */
static enum MHD_Result send_wait(struct lode_http *h, struct MHD_Connection *conn)
{
	char received[24];
	struct MHD_Response *r = MHD_create_response_from_buffer(0, "", MHD_RESPMEM_PERSISTENT);
	snprintf(received, sizeof(received), "%llu",
		(unsigned long long)lode_blobs_fetched(lode_api_blobs(h->api)));
	if (r) {
		MHD_add_response_header(r, "Retry-After", "1");
		MHD_add_response_header(r, "X-Lodestone-Received", received);
	}
	return queue(conn, MHD_HTTP_SERVICE_UNAVAILABLE, r);
}

enum MHD_Result send_blob(struct lode_http *h, struct MHD_Connection *conn,
	const struct incoming *in, const struct lode_api_reply *reply)
{
	char etag[LODE_BLOB_HEX + 2];
	struct lode_api_view v;
	snprintf(etag, sizeof(etag), "\"%s\"", reply->blob);
	const char *none_match = get_header(conn, "If-None-Match");
	if (none_match && strstr(none_match, etag))
		return send_empty(conn, MHD_HTTP_NOT_MODIFIED, "ETag", etag);
	int rc = lode_api_view_open(h->api, reply->blob, false, &v);
	if (rc == -EAGAIN)
		return send_wait(h, conn);
	if (rc)
		return send_empty(conn, MHD_HTTP_INTERNAL_SERVER_ERROR, NULL, NULL);
	enum MHD_Result sent = send_view(h, conn, in, reply, &v);
	lode_api_view_close(&v);
	return sent;
}
