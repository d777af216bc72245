/* SPDX-License-Identifier: BSD-3-Clause */
/* ipc: framed messages over UNIX stream sockets, and sealed memory passed with them. A frame is a
 * 4-byte big-endian length and that many bytes (JSON by convention, this room does not look inside); at
 * most one file descriptor may travel with a frame. What arrives is hostile: a length above the limit
 * closes the connection before anything is allocated. An object belongs to one thread; no global state.
 * Actions return 0 or -errno. */
#pragma once

#include "lode_base.h"

#include <sys/stat.h>
#include <sys/types.h>

#define LODE_IPC_FRAME_MAX   (1u << 20) /* bytes of a frame's body, both directions */
#define LODE_IPC_CLIENTS_MAX 16 /* connections a server serves at once; further ones are closed */

/* ---- frames out of a byte stream ---- */

/* Collects bytes until a frame is whole. Memory grows with what has arrived, never with what a header
 * merely promises. */
struct lode_ipc_decoder {
	uint8_t *buf;
	size_t size, len, taken; /* taken: bytes of the frame handed out last */
	uint32_t limit_bytes;
};

void lode_ipc_decoder_init(struct lode_ipc_decoder *d, uint32_t limit_bytes);
void lode_ipc_decoder_fini(struct lode_ipc_decoder *d);
/* Takes bytes of the stream. -EMSGSIZE: the frame being received is longer than the limit; -ENOMEM. */
int lode_ipc_decoder_push(struct lode_ipc_decoder *d, const void *bytes, size_t n);
/* Next whole frame: its length, or -EAGAIN when more bytes are needed, or -EMSGSIZE. *body is followed
 * by a NUL and stays valid until the next call on d. */
long lode_ipc_decoder_next(struct lode_ipc_decoder *d, const char **body);

/* ---- server: accepts, collects requests, sends replies; one request at a time per client ---- */

struct lode_ipc_creds {
	pid_t pid;
	uid_t uid;
	gid_t gid;
};

struct lode_ipc_server;
struct lode_ipc_client; /* of the server; valid inside the handler */

/* Called with one whole request. fd is a descriptor the client sent, or -1; the handler that keeps it
 * dups it. The handler answers with lode_ipc_reply, once. */
typedef void lode_ipc_handler(void *ctx, struct lode_ipc_client *client,
	const struct lode_ipc_creds *creds, const char *body, size_t len, int fd);

/* Listens on path with the given file mode. A stale socket file is replaced; -EADDRINUSE if somebody
 * answers on it. */
int lode_ipc_server_new(const char *path, mode_t mode, lode_ipc_handler *handler, void *ctx,
	struct lode_ipc_server **out, struct lode_err *err);
/* Closes everything and removes the socket file. */
void lode_ipc_server_free(struct lode_ipc_server *s);
/* Readable when lode_ipc_server_run has work: for the caller's own poll. */
int lode_ipc_server_fd(const struct lode_ipc_server *s);
/* Serves what is ready, waiting at most timeout_ms (-1: until something happens). */
int lode_ipc_server_run(struct lode_ipc_server *s, int timeout_ms);
/* Queues the answer; -EMSGSIZE above LODE_IPC_FRAME_MAX, -ENOMEM. */
int lode_ipc_reply(struct lode_ipc_client *client, const char *body, size_t len);

/* ---- client, blocking with a deadline ---- */

/* Returns the socket or -errno. */
int lode_ipc_connect(const char *path, struct lode_err *err);
/* Sends one frame, fd (or -1) with it, and waits for the answer. *reply is NUL-terminated, freed by the
 * caller; its length is returned. -ETIMEDOUT, -ECONNRESET, -EMSGSIZE. */
long lode_ipc_call(int sock, const char *body, size_t len, int fd, int timeout_ms, char **reply,
	struct lode_err *err);

/* ---- sealed memory ---- */

/* A memfd with a copy of the bytes, sealed against shrinking, growing, writing and further seals.
 * Returns the descriptor or -errno. */
int lode_ipc_memfd_new(const char *name, const void *bytes, size_t len, struct lode_err *err);
/* Maps a received memfd read-only after checking its seals and that it has 1..limit bytes; so nobody
 * can change or truncate it under the reader. Unmap with munmap. */
int lode_ipc_memfd_map(
	int fd, size_t limit_bytes, const void **bytes, size_t *len, struct lode_err *err);
