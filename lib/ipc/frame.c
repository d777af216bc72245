/* SPDX-License-Identifier: BSD-3-Clause */
#include "socket.h"

#include <stdlib.h>

#define FIRST_BUFFER_BYTES 4096

void lode_ipc_decoder_init(struct lode_ipc_decoder *d, uint32_t limit_bytes)
{
	*d = (struct lode_ipc_decoder){.limit_bytes = limit_bytes};
}

void lode_ipc_decoder_fini(struct lode_ipc_decoder *d)
{
	free(d->buf);
	*d = (struct lode_ipc_decoder){.limit_bytes = d->limit_bytes};
}

/* Forgets the frame handed out last. */
static void consume(struct lode_ipc_decoder *d)
{
	if (!d->taken)
		return;
	/* The byte after the frame was lent to the NUL; put it back before moving. */
	d->buf[d->taken] = d->buf[d->size - 1];
	d->len -= d->taken;
	memmove(d->buf, d->buf + d->taken, d->len);
	d->taken = 0;
}

static bool too_long(const struct lode_ipc_decoder *d)
{
	return d->len >= HEADER_BYTES && lode_load_be32(d->buf) > d->limit_bytes;
}

int lode_ipc_decoder_push(struct lode_ipc_decoder *d, const void *bytes, size_t n)
{
	consume(d);
	if (!n)
		return too_long(d) ? -EMSGSIZE : 0;
	/* Two bytes of slack: one that may become a NUL, one that remembers what it covers. */
	if (d->size < d->len + n + 2) {
		size_t size = LODE_MAX(2 * (d->len + n + 2), (size_t)FIRST_BUFFER_BYTES);
		uint8_t *buf = realloc(d->buf, size);
		if (!buf)
			return -ENOMEM;
		d->buf = buf;
		d->size = size;
	}
	memcpy(d->buf + d->len, bytes, n);
	d->len += n;
	return too_long(d) ? -EMSGSIZE : 0;
}

long lode_ipc_decoder_next(struct lode_ipc_decoder *d, const char **body)
{
	consume(d);
	if (d->len < HEADER_BYTES)
		return -EAGAIN;
	if (too_long(d))
		return -EMSGSIZE;
	size_t len = lode_load_be32(d->buf);
	if (d->len - HEADER_BYTES < len)
		return -EAGAIN;
	d->taken = HEADER_BYTES + len;
	d->buf[d->size - 1] = d->buf[d->taken];
	d->buf[d->taken] = 0;
	*body = (const char *)d->buf + HEADER_BYTES;
	return (long)len;
}
