/* SPDX-License-Identifier: BSD-3-Clause */
/* Run while building: writes the page's files as one C table.      embed OUTPUT FILE... */
#include <stdio.h>
#include <string.h>

static int write_bytes(FILE *out, const char *path, unsigned i)
{
	FILE *in = fopen(path, "rb");
	int c;
	if (!in) {
		perror(path);
		return -1;
	}
	fprintf(out, "static const unsigned char file_%u[] = {", i);
	for (unsigned n = 0; (c = fgetc(in)) != EOF; n++)
		fprintf(out, "%s%d,", n % 32 ? "" : "\n", c);
	fputs("};\n", out);
	return fclose(in);
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

int main(int argc, char **argv)
{
	FILE *out = argc > 2 ? fopen(argv[1], "w") : NULL;
	if (!out) {
		fputs("usage: embed OUTPUT FILE...\n", stderr);
		return 1;
	}
	fputs("/* SPDX-License-Identifier: BSD-3-Clause */\n#include \"face.h\"\n", out);
	for (int i = 2; i < argc; i++)
		if (write_bytes(out, argv[i], (unsigned)i))
			return 1;
	fputs("const struct page_file page_files[] = {\n", out);
	for (int i = 2; i < argc; i++)
		fprintf(out, "\t{\"%s\", file_%d, sizeof(file_%d)},\n", base_name(argv[i]), i, i);
	fprintf(out, "};\nconst size_t n_page_files = %d;\n", argc - 2);
	return fclose(out) ? 1 : 0;
}
