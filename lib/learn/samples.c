/* SPDX-License-Identifier: BSD-3-Clause */
#include "lode_learn.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define RECORDS_MAX (1u << 30)

struct header {
	char magic[8];
	uint32_t version, record_bytes;
	uint8_t reserved[16];
};
static const struct header ours = {
	.magic = "LODELOSS", .version = 1, .record_bytes = sizeof(struct lode_learn_record)};

static int check_header(const struct header *h, const char *path, struct lode_err *err)
{
	if (memcmp(h, &ours, sizeof(ours)) == 0)
		return 0;
	return lode_err_set(err, -EBADMSG,
		"%s: not a file of loss samples of version %u with records of %u bytes", path,
		ours.version, ours.record_bytes);
}

/* ---- writing ---- */

struct lode_learn_writer {
	FILE *file;
	uint64_t n_bytes, max_bytes;
	char path[256];
};

static int begin(struct lode_learn_writer *w, struct lode_err *err)
{
	struct header h;
	fseek(w->file, 0, SEEK_END);
	long end = ftell(w->file);
	if (end == 0) {
		w->n_bytes = sizeof(ours);
		return fwrite(&ours, sizeof(ours), 1, w->file) == 1
			       ? 0
			       : lode_err_set(err, -EIO, "%s: %s", w->path, strerror(errno));
	}
	rewind(w->file);
	if (fread(&h, sizeof(h), 1, w->file) != 1)
		memset(&h, 0, sizeof(h));
	int rc = check_header(&h, w->path, err);
	/* A torn record at the end is overwritten. */
	size_t n = rc ? 0 : ((size_t)end - sizeof(h)) / sizeof(struct lode_learn_record);
	w->n_bytes = sizeof(h) + n * sizeof(struct lode_learn_record);
	fseek(w->file, (long)w->n_bytes, SEEK_SET);
	return rc;
}

int lode_learn_writer_open(
	struct lode_learn_writer **out, const char *path, uint64_t max_bytes, struct lode_err *err)
{
	struct lode_learn_writer *w = calloc(1, sizeof(*w));
	*out = NULL;
	if (!w)
		return lode_err_set(err, -ENOMEM, "no memory to write samples");
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	w->file = fd < 0 ? NULL : fdopen(fd, "r+");
	w->max_bytes = max_bytes;
	snprintf(w->path, sizeof(w->path), "%s", path);
	int rc = w->file ? begin(w, err)
			 : lode_err_set(err, -errno, "%s: %s", path, strerror(errno));
	if (rc) {
		if (w->file)
			fclose(w->file);
		free(w);
		return rc;
	}
	*out = w;
	return 0;
}

int lode_learn_write(
	struct lode_learn_writer *w, const struct lode_learn_record *record, struct lode_err *err)
{
	if (w->max_bytes && w->n_bytes + sizeof(*record) > w->max_bytes)
		return lode_err_set(err, -EFBIG, "%s: full at %llu bytes", w->path,
			(unsigned long long)w->n_bytes);
	if (fwrite(record, sizeof(*record), 1, w->file) != 1)
		return lode_err_set(err, -EIO, "%s: %s", w->path, strerror(errno));
	w->n_bytes += sizeof(*record);
	return 0;
}

uint64_t lode_learn_writer_bytes(const struct lode_learn_writer *w)
{
	return w->n_bytes;
}

int lode_learn_writer_close(struct lode_learn_writer *w, struct lode_err *err)
{
	if (!w)
		return 0;
	int rc = fclose(w->file) ? lode_err_set(err, -EIO, "%s: %s", w->path, strerror(errno)) : 0;
	free(w);
	return rc;
}

/* ---- reading ---- */

static int check_records(const struct lode_learn_samples *s, const char *path, struct lode_err *err)
{
	for (size_t i = 0; i < s->n_records; i++) {
		const struct lode_learn_record *r = &s->records[i];
		bool good = r->kind == LODE_LEARN_WINDOW ||
			    (r->kind == LODE_LEARN_SERIES &&
				    memchr(r->about.name, 0, sizeof(r->about.name)));
		if (!good)
			return lode_err_set(err, -EBADMSG,
				"%s: record %zu is of kind %u, or its name has no end", path, i,
				r->kind);
	}
	return 0;
}

int lode_learn_samples_open(struct lode_learn_samples *s, const char *path, struct lode_err *err)
{
	struct stat st;
	*s = (struct lode_learn_samples){0};
	int fd = open(path, O_RDONLY | O_CLOEXEC), rc = 0;
	if (fd < 0 || fstat(fd, &st))
		rc = lode_err_set(err, -errno, "%s: %s", path, strerror(errno));
	else if ((size_t)st.st_size < sizeof(struct header))
		rc = lode_err_set(err, -EBADMSG, "%s: shorter than its header", path);
	if (!rc) {
		s->map_bytes = (size_t)st.st_size;
		s->map = mmap(NULL, s->map_bytes, PROT_READ, MAP_PRIVATE, fd, 0);
		if (s->map == MAP_FAILED) {
			s->map = NULL;
			rc = lode_err_set(err, -errno, "%s: %s", path, strerror(errno));
		}
	}
	if (fd >= 0)
		close(fd);
	rc = rc ? rc : check_header(s->map, path, err);
	if (!rc) {
		const uint8_t *data = s->map;
		s->records = (const void *)(data + sizeof(struct header));
		s->n_records = (s->map_bytes - sizeof(struct header)) / sizeof(*s->records);
		rc = s->n_records > RECORDS_MAX
			     ? lode_err_set(err, -E2BIG, "%s: %zu records, at most %u are allowed",
				       path, s->n_records, RECORDS_MAX)
			     : check_records(s, path, err);
	}
	if (rc)
		lode_learn_samples_close(s);
	return rc;
}

void lode_learn_samples_close(struct lode_learn_samples *s)
{
	if (s->map)
		munmap(s->map, s->map_bytes);
	*s = (struct lode_learn_samples){0};
}
