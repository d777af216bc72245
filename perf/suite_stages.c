/* SPDX-License-Identifier: BSD-3-Clause */
/* Draws the stage tables of the lane as they are in this program: docs/stages.svg. Not a measurement; here
 * because this program already knows the insides of a lane. Argument after --: file, else stdout. */
#include "lode_perf.h"

#include "lane.h"

#include <stdio.h>

#define BOX_W_PX 84
#define BOX_H_PX 34
#define STEP_PX	 104
#define ROW_PX	 92

int suite_stages(struct lode_perf *p);

static void put_box(FILE *f, unsigned x, unsigned y, const char *text, const char *fill)
{
	fprintf(f,
		"<rect x=\"%u\" y=\"%u\" width=\"%u\" height=\"%u\" rx=\"5\" fill=\"%s\" "
		"stroke=\"#22333b\"/>\n"
		"<text x=\"%u\" y=\"%u\" text-anchor=\"middle\">%s</text>\n",
		x, y, BOX_W_PX, BOX_H_PX, fill, x + BOX_W_PX / 2, y + 22, text);
}

static void put_arrow(FILE *f, unsigned x, unsigned y)
{
	fprintf(f,
		"<path d=\"M%u %u h%u\" stroke=\"#22333b\" fill=\"none\" "
		"marker-end=\"url(#head)\"/>\n",
		x, y, STEP_PX - BOX_W_PX - 6);
}

static void put_table(FILE *f, unsigned y, const char *title, const char *from, const char *to,
	const struct stage *stages, unsigned n)
{
	fprintf(f, "<text x=\"12\" y=\"%u\" font-weight=\"bold\">%s</text>\n", y - 12, title);
	put_box(f, 12, y, from, "#e0e7ea");
	for (unsigned i = 0; i <= n; i++) {
		unsigned x = 12 + (i + 1) * STEP_PX;
		put_arrow(f, x - STEP_PX + BOX_W_PX, y + BOX_H_PX / 2);
		put_box(f, x, y, i < n ? stages[i].name : to, i < n ? "#cfe8d5" : "#e0e7ea");
	}
}

static void put_picture(FILE *f)
{
	unsigned n = LODE_MAX(LAN_TO_WAN_STAGES, WAN_TO_LAN_STAGES) + 2;
	fprintf(f,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%u\" height=\"%u\" "
		"font-family=\"sans-serif\" font-size=\"13\">\n"
		"<defs><marker id=\"head\" markerWidth=\"8\" markerHeight=\"8\" refX=\"6\" "
		"refY=\"4\" orient=\"auto\"><path d=\"M0 0 L8 4 L0 8 z\" "
		"fill=\"#22333b\"/></marker></defs>\n"
		"<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n",
		n * STEP_PX + 8, 2 * ROW_PX + 16);
	put_table(f, 40, "lib/lane/lan_to_wan.c", "worker", "WAN port", lan_to_wan,
		LAN_TO_WAN_STAGES);
	put_table(f, 40 + ROW_PX, "lib/lane/wan_to_lan.c", "worker", "worker", wan_to_lan,
		WAN_TO_LAN_STAGES);
	fputs("</svg>\n", f);
}

int suite_stages(struct lode_perf *p)
{
	FILE *f = p->argc > 0 ? fopen(p->argv[0], "w") : stdout;
	if (!f) {
		perror(p->argv[0]);
		return -1;
	}
	put_picture(f);
	return f == stdout ? fflush(f) : fclose(f);
}
