/* SPDX-License-Identifier: BSD-3-Clause */
/* Replays a corpus folder through one fuzz target, for machines without a fuzzer.
 * Prints the number of inputs; an empty or missing corpus is a failure. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	if (!f) {
		perror(path);
		return -1;
	}
	fseek(f, 0, SEEK_END);
	long size = ftell(f);
	rewind(f);
	/* Exactly sized, so that a sanitizer sees a read past the end. */
	uint8_t *data = malloc(size > 0 ? (size_t)size : 1);
	size_t got = data ? fread(data, 1, (size_t)size, f) : 0;
	fclose(f);
	if (data && got == (size_t)size)
		LLVMFuzzerTestOneInput(data, got);
	free(data);
	return 0;
}

int main(int argc, char **argv)
{
	int n_inputs = 0;
	for (int i = 1; i < argc; i++) {
		DIR *dir = opendir(argv[i]);
		if (!dir) {
			perror(argv[i]);
			return 1;
		}
		struct dirent *entry;
		while ((entry = readdir(dir))) {
			char path[4096];
			if (entry->d_name[0] == '.')
				continue;
			snprintf(path, sizeof(path), "%s/%s", argv[i], entry->d_name);
			if (replay_file(path))
				return 1;
			n_inputs++;
		}
		closedir(dir);
	}
	printf("%d inputs replayed\n", n_inputs);
	return n_inputs > 0 ? 0 : 1;
}
