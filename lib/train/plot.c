/* SPDX-License-Identifier: BSD-3-Clause */
#include "lode_train.h"

#include <math.h>
#include <stdio.h>

#define WIDTH  640
#define HEIGHT 360
#define LEFT   70
#define BOTTOM 40
#define TOP    40

static const char *const colours[] = {"#1f5fa8", "#c0392b", "#2e8b57", "#8e44ad"};

static void bounds(const struct lode_train_curve *curves, unsigned n, double *low, double *high)
{
	*low = INFINITY;
	*high = -INFINITY;
	for (unsigned c = 0; c < n; c++)
		for (unsigned i = 0; i < curves[c].n; i++) {
			*low = fmin(*low, curves[c].y[i]);
			*high = fmax(*high, curves[c].y[i]);
		}
	double room = fmax((*high - *low) * 0.05, 1e-6);
	*low -= room;
	*high += room;
}

static double x_of(unsigned i, unsigned n)
{
	return LEFT + (double)(WIDTH - LEFT - 20) * i / LODE_MAX(n - 1, 1u);
}

static double y_of(double y, double low, double high)
{
	return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * (y - low) / (high - low);
}

int lode_train_plot(const char *path, const char *title, const struct lode_train_curve *curves,
	unsigned n_curves, struct lode_err *err)
{
	double low, high;
	FILE *f = fopen(path, "w");
	if (!f)
		return lode_err_set(err, -errno, "%s: %s", path, strerror(errno));
	bounds(curves, n_curves, &low, &high);
	fprintf(f,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
		"font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%%\" "
		"height=\"100%%\" "
		"fill=\"white\"/>\n<text x=\"%d\" y=\"20\" font-size=\"14\">%s</text>\n",
		WIDTH, HEIGHT, LEFT, title);
	for (unsigned i = 0; i <= 4; i++) {
		double v = low + (high - low) * i / 4, y = y_of(v, low, high);
		fprintf(f,
			"<path d=\"M%d %.1f H%d\" stroke=\"#ddd\"/><text x=\"8\" "
			"y=\"%.1f\">%.4f</text>\n",
			LEFT, y, WIDTH - 20, y + 4, v);
	}
	for (unsigned c = 0; c < n_curves; c++) {
		const char *colour = colours[c % LODE_ARRAY_LEN(colours)];
		fprintf(f, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"2\" points=\"",
			colour);
		for (unsigned i = 0; i < curves[c].n; i++)
			fprintf(f, "%.1f,%.1f ", x_of(i, curves[c].n),
				y_of(curves[c].y[i], low, high));
		fprintf(f, "\"/>\n<text x=\"%d\" y=\"%d\" fill=\"%s\">%s</text>\n",
			LEFT + (int)c * 180, HEIGHT - 12, colour, curves[c].name);
	}
	fputs("</svg>\n", f);
	return fclose(f) ? lode_err_set(err, -EIO, "%s: %s", path, strerror(errno)) : 0;
}
