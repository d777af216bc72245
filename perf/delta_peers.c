/* SPDX-License-Identifier: BSD-3-Clause */
#include "delta_peers.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zstd.h>

struct blob blob_read(const char *path)
{
	struct blob b = {0};
	struct stat st;
	FILE *f = fopen(path, "rb");
	if (!f)
		return b;
	if (!fstat(fileno(f), &st))
		b.data = malloc((size_t)st.st_size + 1);
	if (b.data)
		b.len = fread(b.data, 1, (size_t)st.st_size, f);
	fclose(f);
	return b;
}

void blob_write(const char *path, const struct blob *b)
{
	FILE *f = fopen(path, "wb");
	if (!f || fwrite(b->data, 1, b->len, f) != b->len || fclose(f)) {
		perror(path);
		exit(1);
	}
}

/* Runs a program silently; size of the file it made. */
static double size_after(const char *out, char *const *argv)
{
	struct stat st;
	int status;
	unlink(out);
	pid_t child = fork();
	if (!child) {
		int null = open("/dev/null", O_RDWR);
		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
		execvp(argv[0], argv);
		_exit(127);
	}
	if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status) ||
		WEXITSTATUS(status) || stat(out, &st)) {
		fprintf(stderr, "%s: not measurable here\n", argv[0]);
		return NAN;
	}
	return (double)st.st_size;
}

#define ARG(text) ((char *)(uintptr_t)(text))

double peer_zstd(const char *target, const char *out)
{
	char *argv[] = {ARG("zstd"), ARG("-19"), ARG("-q"), ARG("-f"), ARG(target), ARG("-o"),
		ARG(out), NULL};
	return size_after(out, argv);
}

double peer_patch_from(const char *base, const char *target, const char *out)
{
	char from[512];
	snprintf(from, sizeof(from), "--patch-from=%s", base);
	char *argv[] = {ARG("zstd"), ARG("-19"), ARG("--long=27"), ARG("-q"), ARG("-f"), from,
		ARG(target), ARG("-o"), ARG(out), NULL};
	return size_after(out, argv);
}

double peer_xdelta3(const char *base, const char *target, const char *out)
{
	char *argv[] = {ARG("xdelta3"), ARG("-e"), ARG("-9"), ARG("-f"), ARG("-s"), ARG(base),
		ARG(target), ARG(out), NULL};
	return size_after(out, argv);
}

double peer_bsdiff(const char *base, const char *target, const char *out)
{
	char *argv[] = {ARG("bsdiff"), ARG(base), ARG(target), ARG(out), NULL};
	return size_after(out, argv);
}

double peer_xor_zstd(const struct blob *base, const struct blob *target)
{
	size_t bound = ZSTD_compressBound(target->len);
	uint8_t *xored = malloc(target->len + bound + 1);
	if (!xored)
		return NAN;
	for (size_t i = 0; i < target->len; i++)
		xored[i] = target->data[i] ^ (i < base->len ? base->data[i] : 0);
	size_t n = ZSTD_compress(xored + target->len, bound, xored, target->len, 3);
	free(xored);
	return ZSTD_isError(n) ? NAN : (double)n;
}

void best_peer_offer(struct best_peer *best, const char *name, double bytes)
{
	if (bytes > 0 && bytes < best->bytes) {
		best->bytes = bytes;
		best->name = name;
	}
}
