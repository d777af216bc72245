/* SPDX-License-Identifier: BSD-3-Clause */
#include "plan.h"

#include <stdio.h>

const uint8_t *space_at(const struct space *s, uint64_t offset, uint64_t *left)
{
	for (uint32_t f = 0; f < s->n_files; f++) {
		if (offset < s->files[f].size) {
			*left = s->files[f].size - offset;
			return s->files[f].data + offset;
		}
		offset -= s->files[f].size;
	}
	*left = 0;
	return NULL;
}

const uint8_t *space_map(void *space, uint64_t offset, size_t len)
{
	uint64_t left;
	const uint8_t *at = space_at(space, offset, &left);
	return left >= len ? at : NULL;
}

int space_read(void *space, uint64_t offset, void *buf, size_t len)
{
	uint8_t *to = buf;
	while (len) {
		uint64_t left;
		const uint8_t *from = space_at(space, offset, &left);
		size_t n = (size_t)LODE_MIN((uint64_t)len, left);
		if (!n)
			return -EINVAL;
		memcpy(to, from, n);
		to += n;
		len -= n;
		offset += n;
	}
	return 0;
}

/* A side nobody can parse (too many tensors, say) is still bytes. */
void space_open(struct space *s, const struct lode_delta_input *files, uint32_t n_files)
{
	struct lode_package_input inputs[LODE_DELTA_MAX_FILES];
	*s = (struct space){.files = files, .n_files = n_files};
	for (uint32_t f = 0; f < n_files; f++) {
		inputs[f].name = files[f].name[0] ? files[f].name : "model";
		inputs[f].data = files[f].data;
		inputs[f].n_bytes = files[f].size;
		s->size += files[f].size;
	}
	s->parsed = n_files && !lode_package_from_memory(
				       &s->package, inputs, n_files, &lode_limits_delivery, NULL);
}

void space_close(struct space *s)
{
	if (s->parsed)
		lode_package_close(&s->package);
	s->parsed = false;
}
