/* SPDX-License-Identifier: BSD-3-Clause */
/* Results as a picture: a bar per figure, to scale among figures of one unit, with value and ratio. */
#include "report.h"

#include <math.h>
#include <stdio.h>

#define ROW_PX	  20
#define HEAD_PX	  40
#define WIDTH_PX  980
#define BAR_X_PX  470
#define BAR_W_PX  240
#define VALUE_GAP 6

static void put_text(FILE *f, const char *text)
{
	for (; *text; text++) {
		switch (*text) {
		case '&':
			fputs("&amp;", f);
			break;
		case '<':
			fputs("&lt;", f);
			break;
		case '>':
			fputs("&gt;", f);
			break;
		default:
			fputc(*text, f);
		}
	}
}

static double largest_of_unit(const struct lode_perf *p, const char *unit)
{
	double largest = 0;
	for (unsigned i = 0; i < p->n_results; i++)
		if (!strcmp(p->results[i].unit, unit) && isfinite(p->results[i].value))
			largest = fmax(largest, fabs(p->results[i].value));
	return largest;
}

static void put_row(FILE *f, const struct lode_perf *p, unsigned i)
{
	const struct perf_result *r = &p->results[i];
	unsigned y = HEAD_PX + i * ROW_PX;
	double largest = largest_of_unit(p, r->unit);
	double bar = largest > 0 && isfinite(r->value) ? fabs(r->value) / largest * BAR_W_PX : 0;
	fprintf(f, "<text x=\"%u\" y=\"%u\" text-anchor=\"end\">", BAR_X_PX - 8, y + 14);
	put_text(f, r->name);
	fputs(": ", f);
	put_text(f, r->metric);
	fprintf(f, "</text>\n<rect x=\"%u\" y=\"%u\" width=\"%.1f\" height=\"%u\" fill=\"%s\"/>\n",
		BAR_X_PX, y + 3, bar, ROW_PX - 6, r->baseline[0] ? "#2a6f97" : "#a9b8c2");
	fprintf(f, "<text x=\"%.1f\" y=\"%u\">%.4g ", BAR_X_PX + bar + VALUE_GAP, y + 14, r->value);
	put_text(f, r->unit);
	if (r->baseline[0]) {
		fprintf(f, " (%.3gx ", r->ratio);
		put_text(f, r->baseline);
		fputc(')', f);
	}
	fputs("</text>\n", f);
}

int perf_svg_write(const struct lode_perf *p, const char *path)
{
	FILE *f = fopen(path, "w");
	if (!f)
		return -errno;
	fprintf(f,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%u\" height=\"%u\" "
		"font-family=\"sans-serif\" font-size=\"12\">\n"
		"<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n"
		"<text x=\"12\" y=\"24\" font-size=\"16\">lode-perf ",
		WIDTH_PX, HEAD_PX + p->n_results * ROW_PX + 12);
	put_text(f, p->suite);
	fputs("</text>\n", f);
	for (unsigned i = 0; i < p->n_results; i++)
		put_row(f, p, i);
	fputs("</svg>\n", f);
	return fclose(f) ? -errno : 0;
}
