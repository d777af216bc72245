/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "api.h"

enum route_versions { V1 = 1, V2 = 2, BOTH = 3 };

struct route {
	const char *method;
	const char *path; /* below /api/v1 or /api/v2; a component "*" is a name */
	enum route_versions versions;
	enum lode_api_role role; /* at least */
	enum lode_api_body body;
	void (*handler)(struct call *c);
	const char *about; /* for the description that is served */
	/* Members of the JSON body, or of a GET's query: "name" text, "name#" number, "name?" truth, "name{}" object,
	 * "name[]" list; a '*' at the end: needed. */
	const char *members;
};

extern const struct route routes[];
extern const size_t n_routes;

/* The route of a path; *copy holds the parts and is freed by the caller. *other: the path exists under another
 * method. *version: V1, V2 or 0. */
const struct route *route_find(const char *method, const char *path, char **copy,
	const char *parts[PARTS_MAX], int *version, bool *other);
